package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Style is the part of the look that a figure may choose. The zero Style is the house style.
type Style struct {
	Width    float64 // cm; 0: 17
	Height   float64 // cm, of the figure without title and caption; 0: 9. A long legend makes the figure higher.
	FontSize float64 // points, of the axis labels; 0: 10
}

func (s Style) withDefaults() Style {
	if s.Width == 0 {
		s.Width = 17
	}
	if s.Height == 0 {
		s.Height = 9
	}
	if s.FontSize == 0 {
		s.FontSize = 10
	}
	return s
}

func (s Style) check() error {
	if !(s.Width >= 5 && s.Width <= 100 && s.Height >= 3 && s.Height <= 100 && s.FontSize >= 4 && s.FontSize <= 40) {
		return fmt.Errorf("style %v × %v cm at %v points is not between 5 × 3 and 100 × 100 cm at 4 to 40 points (0 takes the default)",
			s.Width, s.Height, s.FontSize)
	}
	return nil
}

// The colours of Okabe and Ito (2008), made to be told apart with any common colour vision. Their yellow is left out: a
// thin line of it vanishes on white.
var (
	black      = color.NRGBA{A: 255}
	orange     = color.NRGBA{R: 0xE6, G: 0x9F, B: 0x00, A: 255}
	skyBlue    = color.NRGBA{R: 0x56, G: 0xB4, B: 0xE9, A: 255}
	green      = color.NRGBA{R: 0x00, G: 0x9E, B: 0x73, A: 255}
	blue       = color.NRGBA{R: 0x00, G: 0x72, B: 0xB2, A: 255}
	vermillion = color.NRGBA{R: 0xD5, G: 0x5E, B: 0x00, A: 255}
	purple     = color.NRGBA{R: 0xCC, G: 0x79, B: 0xA7, A: 255}

	ink      = color.NRGBA{R: 0x22, G: 0x22, B: 0x22, A: 255} // text and axes
	fine     = color.NRGBA{R: 0x55, G: 0x55, B: 0x55, A: 255} // small print, chance line; 7.5:1 on white
	gridGrey = color.NRGBA{R: 0xE4, G: 0xE4, B: 0xE4, A: 255}
)

// palette gives n colours: the most distinct first or, for an ordered family, from blue through green to vermillion.
// From the eighth on colours repeat, with another dash pattern; an ordered family of more than seven gets a ramp.
func palette(n int, ordered bool) []color.NRGBA {
	if ordered && n > 7 {
		return ramp(n)
	}
	colours := []color.NRGBA{blue, vermillion, green, purple, orange, skyBlue, black}
	if ordered {
		switch n {
		case 1, 2:
			colours = []color.NRGBA{blue, vermillion}
		case 3:
			colours = []color.NRGBA{blue, green, vermillion}
		case 4:
			colours = []color.NRGBA{blue, skyBlue, orange, vermillion}
		case 5:
			colours = []color.NRGBA{blue, skyBlue, green, orange, vermillion}
		case 6:
			colours = []color.NRGBA{blue, skyBlue, green, purple, orange, vermillion}
		default:
			colours = []color.NRGBA{black, blue, skyBlue, green, purple, orange, vermillion}
		}
	}
	out := make([]color.NRGBA, n)
	for i := range out {
		out[i] = colours[i%len(colours)]
	}
	return out
}

// viridis is every tenth of the map of that name (Smith and van der Walt 2015), whose lightness grows evenly, also for
// people who are colour blind.
var viridis = []color.NRGBA{
	{R: 0x44, G: 0x01, B: 0x54, A: 255}, {R: 0x48, G: 0x24, B: 0x75, A: 255}, {R: 0x41, G: 0x44, B: 0x87, A: 255},
	{R: 0x35, G: 0x5F, B: 0x8D, A: 255}, {R: 0x2A, G: 0x78, B: 0x8E, A: 255}, {R: 0x21, G: 0x91, B: 0x8C, A: 255},
	{R: 0x22, G: 0xA8, B: 0x84, A: 255}, {R: 0x44, G: 0xBF, B: 0x70, A: 255}, {R: 0x7A, G: 0xD1, B: 0x51, A: 255},
}

// ramp gives n ≥ 2 colours from dark violet to a green that is just dark enough on white.
func ramp(n int) []color.NRGBA {
	const top = 7.5 // tenths of the map
	out := make([]color.NRGBA, n)
	for i := range out {
		at := top * float64(i) / float64(n-1)
		below := int(at)
		mix := func(a, b uint8) uint8 {
			return uint8(math.Round(float64(a) + (at-float64(below))*(float64(b)-float64(a))))
		}
		a, b := viridis[below], viridis[below+1]
		out[i] = color.NRGBA{R: mix(a.R, b.R), G: mix(a.G, b.G), B: mix(a.B, b.B), A: 255}
	}
	return out
}

// dashes is the dash pattern of curve i: none for the first seven, then another one for every seven more.
func dashes(i int) []vg.Length {
	patterns := [][]vg.Length{nil, {6, 2.5}, {1.5, 2}, {7, 2, 1.5, 2}}
	return patterns[i/7%len(patterns)]
}

// mark is the marker of curve i: seven shapes that differ in outline, so that they do without colour.
type mark int

const marks = 7

// DrawGlyph implements draw.GlyphDrawer. A thin white rim keeps markers apart where curves meet.
func (m mark) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, at vg.Point) {
	var p vg.Path
	if m%marks == 0 {
		p.Move(vg.Point{X: at.X + sty.Radius, Y: at.Y})
		p.Arc(at, sty.Radius, 0, 2*math.Pi)
	} else {
		for i, corner := range m.outline() {
			pt := at.Add(corner.Scale(sty.Radius))
			if i == 0 {
				p.Move(pt)
			} else {
				p.Line(pt)
			}
		}
	}
	p.Close()
	c.SetLineStyle(draw.LineStyle{Color: color.White, Width: sty.Radius * 0.55})
	c.Stroke(p)
	c.SetColor(sty.Color)
	c.Fill(p)
}

// outline is the marker's shape for radius 1; the circle, mark 0, has none. Areas are about that of the circle.
func (m mark) outline() []vg.Point {
	triangle := regular(3, 1.4)
	switch m % marks {
	case 1: // square
		return []vg.Point{{X: -.9, Y: -.9}, {X: .9, Y: -.9}, {X: .9, Y: .9}, {X: -.9, Y: .9}}
	case 2:
		return triangle
	case 3: // diamond
		return []vg.Point{{X: 0, Y: -1.4}, {X: 1.1, Y: 0}, {X: 0, Y: 1.4}, {X: -1.1, Y: 0}}
	case 4: // triangle on its tip
		down := slices.Clone(triangle)
		for i := range down {
			down[i].Y = -down[i].Y
		}
		return down
	case 5: // plus
		const a, b = .45, 1.3
		return []vg.Point{{X: -a, Y: -b}, {X: a, Y: -b}, {X: a, Y: -a}, {X: b, Y: -a}, {X: b, Y: a}, {X: a, Y: a},
			{X: a, Y: b}, {X: -a, Y: b}, {X: -a, Y: a}, {X: -b, Y: a}, {X: -b, Y: -a}, {X: -a, Y: -a}}
	case 6: // star
		outer, inner := regular(5, 1.5), regular(5, -.65)
		var star []vg.Point
		for i := range outer {
			star = append(star, outer[i], inner[(i+3)%5])
		}
		return star
	}
	return nil
}

// regular is a regular polygon with a corner at (0, r).
func regular(corners int, r float64) []vg.Point {
	out := make([]vg.Point, corners)
	for i := range out {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(corners))
		out[i] = vg.Point{X: vg.Length(-r * sin), Y: vg.Length(r * cos)}
	}
	return out
}

// letters is a face to write single lines with.
type letters struct {
	font.Face
	color.NRGBA
}

func face(size vg.Length, clr color.NRGBA, bold bool) letters {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return letters{font.DefaultCache.Lookup(f, size), clr}
}

// write sets lines below one another, the first with its top at at.Y, all starting at at.X.
func (l letters) write(c draw.Canvas, at vg.Point, lines ...string) {
	c.SetColor(l.NRGBA)
	at.Y -= l.Extents().Ascent
	for _, line := range lines {
		c.FillString(l.Face, at, line)
		at.Y -= l.lineHeight()
	}
}

func (l letters) lineHeight() vg.Length { return 1.3 * l.Font.Size }

// wrap breaks a text into lines of at most the given width: at blanks, and inside words that are longer than a line.
func (l letters) wrap(text string, width vg.Length) []string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && l.Width(line+" "+word) <= width {
				line += " " + word
				continue
			}
			if line != "" {
				lines = append(lines, line)
			}
			for line = word; l.Width(line) > width && utf8.RuneCountInString(line) > 1; {
				runes := []rune(line)
				n := len(runes) - 1
				for n > 1 && l.Width(string(runes[:n])) > width {
					n--
				}
				lines, line = append(lines, string(runes[:n])), string(runes[n:])
			}
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// axisText is the face in the form the axes of gonum/plot take.
func (l letters) axisText(x draw.XAlignment, y draw.YAlignment) text.Style {
	return text.Style{Font: l.Font, Color: l.NRGBA, XAlign: x, YAlign: y, Handler: text.Plain{Fonts: font.DefaultCache}}
}
