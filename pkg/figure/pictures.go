package figure

import (
	"fmt"
	"image"
	"image/color"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Picture is an image with a line of text below it.
type Picture struct {
	Shape  []int  // [height, width, channels], 1 channel (grey) or 3 (red, green, blue)
	Pixels []byte // height × width × channels, row by row
	Name   string // what stands below it, two lines at most: "cat 3.2"
}

// PictureOptions are the choices of a contact sheet.
type PictureOptions struct {
	Title   string
	Caption []string
	Columns int // pictures in a row; 0: 8
	Style   Style
}

// Pictures lays out images in rows, in their order, each enlarged to the same width without smoothing.
//
// At least one picture is needed; all must have as many bytes as their shape says.
func Pictures(opt PictureOptions, pictures ...Picture) (*Figure, error) {
	s := &sheet{opt: opt}
	s.opt.Style = opt.Style.withDefaults()
	s.opt.Caption = slices.Clone(opt.Caption)
	if s.opt.Columns == 0 {
		s.opt.Columns = 8
	}
	fail := func(format string, args ...any) (*Figure, error) {
		return nil, fmt.Errorf("figure %q: %w", opt.Title, fmt.Errorf(format, args...))
	}
	if err := s.opt.Style.check(); err != nil {
		return fail("%w", err)
	}
	if s.opt.Columns < 1 || s.opt.Columns > 40 {
		return fail("%d columns, it must lie between 1 and 40 (0 means 8)", s.opt.Columns)
	}
	if len(pictures) == 0 {
		return fail("no pictures given, at least one is needed")
	}
	for i, p := range pictures {
		if len(p.Shape) != 3 || p.Shape[0] < 1 || p.Shape[1] < 1 || p.Shape[2] != 1 && p.Shape[2] != 3 ||
			len(p.Pixels) != p.Shape[0]*p.Shape[1]*p.Shape[2] {
			return fail("picture %d has shape %v and %d bytes; it needs [height, width, 1 or 3] and as many bytes", i, p.Shape, len(p.Pixels))
		}
		s.images, s.names = append(s.images, enlarged(p)), append(s.names, p.Name)
	}
	return &Figure{s}, nil
}

// enlarged has squares in place of pixels, about 200 to a side, so that what draws it need not interpolate.
func enlarged(p Picture) *image.NRGBA {
	h, w, channels := p.Shape[0], p.Shape[1], p.Shape[2]
	scale := max(1, 200/max(h, w))
	out := image.NewNRGBA(image.Rect(0, 0, w*scale, h*scale))
	for y := range h * scale {
		for x := range w * scale {
			at := (y/scale*w + x/scale) * channels
			c := color.NRGBA{R: p.Pixels[at], G: p.Pixels[at], B: p.Pixels[at], A: 255}
			if channels == 3 {
				c.G, c.B = p.Pixels[at+1], p.Pixels[at+2]
			}
			out.SetNRGBA(x, y, c)
		}
	}
	return out
}

type sheet struct {
	opt    PictureOptions
	images []*image.NRGBA
	names  []string
}

func (s *sheet) unit() vg.Length { return vg.Length(s.opt.Style.FontSize) / 10 }

// places are the sheet's parts: its height, the lines of title and caption, and the side of a picture's cell.
func (s *sheet) places(letter string) (width, height vg.Length, title, caption []string, side, row vg.Length, titleX vg.Length) {
	u, size := s.unit(), vg.Length(s.opt.Style.FontSize)
	titleFace, smallFace := face(size, ink, true), face(.8*size, fine, false)
	width = vg.Length(s.opt.Style.Width) * vg.Centimeter
	titleX = margin * u
	if letter != "" {
		titleX += titleFace.Width(letter) + 1.5*gap*u
	}
	title = titleFace.wrap(s.opt.Title, width-margin*u-titleX)
	room := width - 2*margin*u
	for _, line := range s.opt.Caption {
		caption = append(caption, smallFace.wrap(line, room)...)
	}
	side = room/vg.Length(s.opt.Columns) - gap*u
	tallest, below := vg.Length(0), 0 // of the pictures, and lines below them
	for _, img := range s.images {
		tallest = max(tallest, side*vg.Length(img.Rect.Dy())/vg.Length(img.Rect.Dx()))
	}
	for _, name := range s.names {
		below = max(below, min(2, len(smallFace.wrap(name, side))))
	}
	row = tallest + vg.Length(below)*smallFace.lineHeight() + gap*u
	rows := (len(s.images) + s.opt.Columns - 1) / s.opt.Columns
	lines := len(title)
	if letter != "" {
		lines = max(lines, 1)
	}
	height = 2*margin*u + vg.Length(lines)*titleFace.lineHeight() + gap*u + vg.Length(rows)*row + vg.Length(len(caption))*smallFace.lineHeight()
	return width, height, title, caption, side, row, titleX
}

func (s *sheet) size(letter string) (width, height vg.Length) {
	width, height, _, _, _, _, _ = s.places(letter)
	return width, height
}

func (s *sheet) draw(c draw.Canvas, letter string) {
	u, size := s.unit(), vg.Length(s.opt.Style.FontSize)
	width, height, title, caption, side, row, titleX := s.places(letter)
	titleFace, smallFace := face(size, ink, true), face(.8*size, fine, false)
	c.Push()
	defer c.Pop()
	c.Translate(vg.Point{X: c.Min.X, Y: c.Max.Y - height})
	page := draw.NewCanvas(c.Canvas, width, height)
	top := height - margin*u
	if letter != "" {
		titleFace.write(page, vg.Point{X: margin * u, Y: top}, letter)
	}
	titleFace.write(page, vg.Point{X: titleX, Y: top}, title...)
	lines := len(title)
	if letter != "" {
		lines = max(lines, 1)
	}
	top -= vg.Length(lines)*titleFace.lineHeight() + gap*u
	for i, img := range s.images {
		at := vg.Point{X: margin*u + vg.Length(i%s.opt.Columns)*(side+gap*u), Y: top - vg.Length(i/s.opt.Columns)*row}
		tall := side * vg.Length(img.Rect.Dy()) / vg.Length(img.Rect.Dx())
		page.DrawImage(vg.Rectangle{Min: vg.Point{X: at.X, Y: at.Y - tall}, Max: vg.Point{X: at.X + side, Y: at.Y}}, img)
		name := smallFace.wrap(s.names[i], side)
		smallFace.write(page, vg.Point{X: at.X, Y: at.Y - tall - .2*gap*u}, name[:min(2, len(name))]...)
	}
	rows := vg.Length((len(s.images) + s.opt.Columns - 1) / s.opt.Columns)
	smallFace.write(page, vg.Point{X: margin * u, Y: top - rows*row}, caption...)
}

func (s *sheet) title() string { return s.opt.Title }

func (s *sheet) alt() string {
	parts := []string{s.opt.Title, fmt.Sprintf("%d pictures: %s", len(s.images), strings.Join(s.names, "; "))}
	return sentence(append(parts, s.opt.Caption...)...)
}
