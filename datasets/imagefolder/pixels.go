package imagefolder

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
)

// maxPixels is the size of picture above which none is decoded, twice PIL's limit for a warning, above which PIL
// refuses too.
const maxPixels = 2 * 89478485

// header is what a file says before its pixels.
type header struct {
	width, height int
	grey          bool
	png           bool
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// readHeader tells the kind of file by its content, not its name.
func readHeader(data []byte) (h header, err error) {
	var c image.Config
	switch {
	case bytes.HasPrefix(data, []byte(pngSignature)):
		h.png = true
		c, err = png.DecodeConfig(bytes.NewReader(data))
		// The kind of colour is the tenth byte of the header's chunk: 0 is grey, 4 is grey with alpha.
		h.grey = err == nil && (data[25] == 0 || data[25] == 4)
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		c, err = jpeg.DecodeConfig(bytes.NewReader(data))
		h.grey = c.ColorModel == color.GrayModel
	case len(data) == 0:
		return h, errors.New("is empty")
	default:
		return h, errors.New("is neither a JPEG nor a PNG file")
	}
	if err != nil {
		return h, err
	}
	h.width, h.height = c.Width, c.Height
	if c.Width < 1 || c.Height < 1 {
		return h, fmt.Errorf("has %d × %d pixels", c.Width, c.Height)
	}
	if c.Width > maxPixels/c.Height {
		return h, fmt.Errorf("has %d × %d pixels, at most %d pixels are decoded", c.Width, c.Height, maxPixels)
	}
	return h, nil
}

// example decodes a picture and makes it an example of size × size × channels bytes.
func (s Spec) example(data []byte) ([]byte, error) {
	h, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	decode := jpeg.Decode
	if h.png {
		decode = png.Decode
	}
	img, err := decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	pixels := flatten(img, s.Channels)
	// As torchvision's Resize has it: the longer side is rounded down.
	w, height := s.Resize, s.Resize
	if h.width <= h.height {
		height = s.Resize * h.height / h.width
	} else {
		w = s.Resize * h.width / h.height
	}
	// As its CenterCrop has it: Python's round, to even.
	left, top := int(math.RoundToEven(float64(w-s.Size)/2)), int(math.RoundToEven(float64(height-s.Size)/2))
	x, y := bilinear(h.width, w, left, s.Size), bilinear(h.height, height, top, s.Size)
	return resample(pixels, h.width, s.Channels, x, y), nil
}

// flatten gives the pixels row by row, [H, W, channels], as PIL's convert does: alpha is dropped, and grey is 0.299,
// 0.587 and 0.114 of red, green and blue. Of 16 bits the upper 8 are kept.
func flatten(img image.Image, channels int) []byte {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	out := make([]byte, w*h*channels)
	var cb, cr []byte
	if img, ok := img.(*image.YCbCr); ok {
		cb, cr = chroma(img, img.Cb), chroma(img, img.Cr)
	}
	put := func(at int, r, g, b uint8) {
		if channels == 1 {
			out[at] = uint8((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
			return
		}
		out[3*at], out[3*at+1], out[3*at+2] = r, g, b
	}
	for y := range h {
		for x := range w {
			at := y*w + x
			switch img := img.(type) {
			case *image.Gray:
				v := img.Pix[y*img.Stride+x]
				put(at, v, v, v)
			case *image.YCbCr:
				r, g, b := color.YCbCrToRGB(img.Y[y*img.YStride+x], cb[at], cr[at])
				put(at, r, g, b)
			case *image.NRGBA:
				p := img.Pix[y*img.Stride+4*x:]
				put(at, p[0], p[1], p[2])
			case *image.RGBA: // opaque, the decoders use it for nothing else
				p := img.Pix[y*img.Stride+4*x:]
				put(at, p[0], p[1], p[2])
			case *image.NRGBA64:
				p := img.Pix[y*img.Stride+8*x:]
				put(at, p[0], p[2], p[4])
			case *image.Paletted:
				c := color.NRGBAModel.Convert(img.Palette[img.Pix[y*img.Stride+x]]).(color.NRGBA)
				put(at, c.R, c.G, c.B)
			default:
				c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
				put(at, c.R, c.G, c.B)
			}
		}
	}
	return out
}

// chroma gives a plane of colour differences its full size, row by row. Where a JPEG has only one for two pixels beside
// each other, or for two by two, the values between are interpolated as libjpeg does it: a sample's own pixel gets
// three quarters of it and a quarter of its neighbour, in either direction (jdsample.c, h2v1_fancy_upsample and
// h2v2_fancy_upsample).
func chroma(img *image.YCbCr, plane []byte) []byte {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := make([]byte, w*h)
	cw, ch := (w+1)/2, h
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		ch = (h + 1) / 2
	case image.YCbCrSubsampleRatio422:
	default: // none, or a rare one, which is repeated
		for at := range out {
			out[at] = plane[img.COffset(img.Rect.Min.X+at%w, img.Rect.Min.Y+at/w)]
		}
		return out
	}
	line := make([]int, cw) // a row of samples, times 4 if it is made of two
	for y := range h {
		near, far, scale, shift := y, y, 1, 2
		if ch != h {
			near, scale, shift = y/2, 4, 4
			far = min(ch-1, max(0, near-1+2*(y%2)))
		}
		for i := range line {
			a, b := int(plane[near*img.CStride+i]), int(plane[far*img.CStride+i])
			if line[i] = a; scale == 4 {
				line[i] = 3*a + b
			}
		}
		for x := range w {
			i := x / 2
			// Halves are rounded up and down by turns, so that the plane gets neither brighter nor darker.
			side, half := max(0, i-1), 1<<(shift-1)
			if scale == 1 {
				half = 1
			}
			if x%2 == 1 {
				if side = min(cw-1, i+1); scale == 1 {
					half = 2
				} else {
					half--
				}
			}
			out[y*w+x] = byte((3*line[i] + line[side] + half) >> shift)
		}
	}
	return out
}

// weights of the inputs that make up some outputs of a resampled line: output i is Σ by[i][k]·input[from[i]+k], in
// units of 2^−precision.
type weights struct {
	from []int
	by   [][]int32
}

// precision is PIL's: 8 bits for the value, 2 for sums to overflow into.
const precision = 32 - 8 - 2

// bilinear gives the weights by which a line of in pixels is resampled to out, for n outputs from first on: a triangle
// as wide as two outputs, or two inputs when enlarging (Pillow, src/libImaging/Resample.c, precompute_coeffs).
func bilinear(in, out, first, n int) (w weights) {
	scale := float64(in) / float64(out)
	support := max(1, scale)
	for i := first; i < first+n; i++ {
		center := (float64(i) + 0.5) * scale
		from, to := max(0, int(center-support+0.5)), min(in, int(center+support+0.5))
		exact, sum := make([]float64, to-from), 0.0
		for k := range exact {
			exact[k] = max(0, 1-math.Abs((float64(from+k)-center+0.5)/support))
			sum += exact[k]
		}
		by := make([]int32, len(exact))
		for k, x := range exact {
			by[k] = int32(0.5 + x/sum*(1<<precision))
		}
		w.from, w.by = append(w.from, from), append(w.by, by)
	}
	return w
}

// resample applies weights to the columns and then to the rows of an image [height, width, channels], with a rounding
// to 8 bits between.
func resample(pixels []byte, width, channels int, x, y weights) []byte {
	round := func(sum int32) byte { return byte(min(255, max(0, sum>>precision))) }
	top, bottom := y.from[0], 0
	for i, from := range y.from {
		bottom = max(bottom, from+len(y.by[i]))
	}
	line := len(x.from) * channels
	rows := make([]byte, (bottom-top)*line) // those that are needed
	for r := top; r < bottom; r++ {
		in, out := pixels[r*width*channels:], rows[(r-top)*line:]
		for i, from := range x.from {
			for c := range channels {
				sum := int32(1) << (precision - 1)
				for k, w := range x.by[i] {
					sum += w * int32(in[(from+k)*channels+c])
				}
				out[i*channels+c] = round(sum)
			}
		}
	}
	all := make([]byte, len(y.from)*line)
	for i, from := range y.from {
		for at := range line {
			sum := int32(1) << (precision - 1)
			for k, w := range y.by[i] {
				sum += w * int32(rows[(from-top+k)*line+at])
			}
			all[i*line+at] = round(sum)
		}
	}
	return all
}
