// Package figure draws results: curves with bands, in one house style, as PNG and SVG with a text alternative.
//
// A figure computes nothing and reads nothing: all it shows is in the results it is given, which are checked and copied
// when it is made, so that drawing cannot fail on data. The same input gives the same bytes.
//
// The style: sizes in cm, sans-serif type that can be read in a column of a paper, colours of Okabe and Ito (2008) each
// with its own marker (and a dash pattern where there are more than seven curves), axis labels that name the unit,
// fractions from 0 to 1 with a dotted line at chance, a legend beside the data and never on them, and a note that says
// what the bands are. New kinds of figures implement drawing and lay themselves out with frame.
package figure

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"html"
	"image/color"
	"io"
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Figure is a finished drawing. It does not change, and may be written any number of times and from several goroutines.
type Figure struct {
	drawing drawing
}

// drawing is one kind of figure. letter is the name of the panel ("a"), empty outside a grid.
type drawing interface {
	size(letter string) (width, height vg.Length)
	draw(c draw.Canvas, letter string)
	title() string
	alt() string
}

// DPI is the resolution of PNG files in dots per inch.
const DPI = 192

// Size is the width and height of the figure in cm.
func (f *Figure) Size() (widthCm, heightCm float64) {
	w, h := f.drawing.size("")
	return float64(w / vg.Centimeter), float64(h / vg.Centimeter)
}

// Title is the title of the figure, or of the first panel that has one; empty if there is none.
func (f *Figure) Title() string { return f.drawing.title() }

// Alt is the figure in words, for readers who do not see it: title, axes with their ranges, and for each curve its first,
// last, lowest and highest value.
func (f *Figure) Alt() string { return f.drawing.alt() }

// WritePNG writes the figure as PNG with DPI dots per inch on a white ground. The file says its resolution, so that
// programs place it at its true size.
func (f *Figure) WritePNG(w io.Writer) error {
	width, height := f.drawing.size("")
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(DPI))
	f.drawing.draw(draw.New(canvas), "")
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&b); err != nil {
		return fmt.Errorf("figure %q as PNG: %w", f.Title(), err)
	}
	_, err := w.Write(withResolution(b.Bytes(), DPI))
	return err
}

// withResolution adds a pHYs chunk to a PNG, which Go's encoder does not write.
func withResolution(png []byte, dpi float64) []byte {
	const headEnd = 8 + 25 // the signature and the IHDR chunk, which pHYs follows
	chunk := []byte("pHYs")
	perMetre := uint32(math.Round(dpi / 0.0254))
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre) // horizontally
	chunk = binary.BigEndian.AppendUint32(chunk, perMetre) // vertically
	chunk = append(chunk, 1)                               // the unit is the metre
	out := append([]byte{}, png[:headEnd]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(chunk)-4)) // the name does not count
	out = append(out, chunk...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(chunk))
	return append(out, png[headEnd:]...)
}

// WriteSVG writes the figure as SVG, with its title and its text alternative as <title> and <desc>. Text stays text; it is
// set in Liberation Sans or, where that is missing, in a face of the same widths.
func (f *Figure) WriteSVG(w io.Writer) error {
	width, height := f.drawing.size("")
	canvas := vgsvg.New(width, height)
	c := draw.New(canvas)
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	f.drawing.draw(c, "")
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return fmt.Errorf("figure %q as SVG: %w", f.Title(), err)
	}
	const rootEnd = `xmlns:xlink="http://www.w3.org/1999/xlink">`
	svg := strings.Replace(b.String(), rootEnd, rootEnd[:len(rootEnd)-1]+` role="img">`+
		"\n<title>"+html.EscapeString(f.Title())+"</title>\n<desc>"+html.EscapeString(f.Alt())+"</desc>", 1)
	svg = strings.ReplaceAll(svg, "font-family:Liberation Sans", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif")
	svg = strings.ReplaceAll(svg, "data:image/jpg;base64,", "data:image/png;base64,") // which is what it holds
	_, err := io.WriteString(w, svg)
	return err
}
