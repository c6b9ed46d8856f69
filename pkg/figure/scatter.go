package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Cloud is a group of points of a scatter plot, such as the units of one layer.
type Cloud struct {
	Name string
	X, Y []float64
	Line *Straight // nil: none
}

// Straight is a line y = Intercept + Slope · x, drawn as far as the points of its cloud go.
type Straight struct{ Slope, Intercept float64 }

// ScatterOptions are the choices of a scatter plot.
type ScatterOptions struct {
	Title       string
	Caption     []string
	LegendTitle string // what tells the clouds apart: "layer"
	X, Y        result.Axis
	Pooled      *Straight // a dashed black line over all points: "all" in the legend; nil: none
	Style       Style
}

// Scatter draws clouds of points over common axes, one colour and marker for each in the order in which they are given, with
// one line for each that has one. Axes are as wide as the points need; points are never left out. Clouds without points stand
// in the legend.
//
// At least one point is needed; coordinates and lines must be finite; several clouds must have different names.
func Scatter(opt ScatterOptions, clouds ...Cloud) (*Figure, error) {
	f := &scatter{opt: opt}
	f.opt.Style = opt.Style.withDefaults()
	f.opt.Caption = slices.Clone(opt.Caption)
	for _, c := range clouds {
		c.X, c.Y = slices.Clone(c.X), slices.Clone(c.Y)
		f.clouds = append(f.clouds, c)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("figure %q: %w", opt.Title, err)
	}
	f.colours = palette(len(clouds), true)
	f.frame = frame{
		style: f.opt.Style, heading: opt.Title, caption: f.opt.Caption, legendTitle: opt.LegendTitle,
		x: around(opt.X, f.extent(func(c Cloud) []float64 { return c.X })),
		y: around(opt.Y, f.extent(func(c Cloud) []float64 { return c.Y })), paint: f.paintAll,
	}
	f.frame.legend = f.legendEntries()
	return &Figure{f}, nil
}

type scatter struct {
	frame
	opt     ScatterOptions
	clouds  []Cloud
	colours []color.NRGBA
}

func (f *scatter) check() error {
	points, names := 0, map[string]bool{}
	if err := f.opt.Style.check(); err != nil {
		return err
	}
	for i, c := range f.clouds {
		if len(c.X) != len(c.Y) {
			return fmt.Errorf("cloud %d (%q): %d X but %d Y", i, c.Name, len(c.X), len(c.Y))
		}
		for j := range c.X {
			if !finite(c.X[j]) || !finite(c.Y[j]) {
				return fmt.Errorf("cloud %d (%q): point %d is (%v, %v): X and Y must be finite", i, c.Name, j, c.X[j], c.Y[j])
			}
		}
		if names[c.Name] || len(f.clouds) > 1 && c.Name == "" {
			return fmt.Errorf("cloud %d is called %q: the legend could not tell it apart", i, c.Name)
		}
		names[c.Name] = true
		points += len(c.X)
		if c.Line != nil && !(finite(c.Line.Slope) && finite(c.Line.Intercept)) {
			return fmt.Errorf("cloud %d (%q): its line %+v is not finite", i, c.Name, *c.Line)
		}
	}
	if points == 0 {
		return fmt.Errorf("%d clouds without a point, at least one point is needed", len(f.clouds))
	}
	if p := f.opt.Pooled; p != nil && !(finite(p.Slope) && finite(p.Intercept)) {
		return fmt.Errorf("the line over all points, %+v, is not finite", *p)
	}
	return nil
}

// extent is the range of one coordinate over all clouds.
func (f *scatter) extent(of func(Cloud) []float64) [2]float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, c := range f.clouds {
		for _, v := range of(c) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return [2]float64{lo, hi}
}

// around is an axis for values in a range, with a little room at both ends.
func around(a result.Axis, r [2]float64) axis {
	lo, hi := apart(r[0], r[1])
	room := (hi - lo) * .02
	lo, hi = lo-room, hi+room
	return axis{label: label(a), lo: lo, hi: hi, ticks: linearTicks(lo, hi, false)}
}

func (f *scatter) glyph(i int) draw.GlyphStyle {
	c := f.colours[i]
	c.A = 200
	return draw.GlyphStyle{Color: c, Radius: 1.6 * f.unit(), Shape: mark(i)}
}

func (f *scatter) lineStyle(i int) draw.LineStyle {
	var pattern []vg.Length
	for _, d := range dashes(i) {
		pattern = append(pattern, d*f.unit())
	}
	return draw.LineStyle{Color: f.colours[i], Width: 1.5 * f.unit(), Dashes: pattern}
}

func (f *scatter) pooledStyle() draw.LineStyle {
	return draw.LineStyle{Color: black, Width: 1.5 * f.unit(), Dashes: []vg.Length{5 * f.unit(), 3 * f.unit()}}
}

// paintAll draws the points, of all clouds in turn so that none hides another one, then the lines.
func (f *scatter) paintAll(c draw.Canvas, x, y func(float64) vg.Length) {
	for j, more := 0, true; more; j++ {
		more = false
		for i, cloud := range f.clouds {
			if j < len(cloud.X) {
				more = true
				c.DrawGlyph(f.glyph(i), vg.Point{X: x(cloud.X[j]), Y: y(cloud.Y[j])})
			}
		}
	}
	ends := func(s *Straight, lo, hi float64) []vg.Point {
		return []vg.Point{{X: x(lo), Y: y(s.Intercept + s.Slope*lo)}, {X: x(hi), Y: y(s.Intercept + s.Slope*hi)}}
	}
	lines, styles := [][]vg.Point{}, []draw.LineStyle{}
	for i, cloud := range f.clouds {
		if cloud.Line != nil && len(cloud.X) > 0 {
			lines = append(lines, ends(cloud.Line, slices.Min(cloud.X), slices.Max(cloud.X)))
			styles = append(styles, f.lineStyle(i))
		}
	}
	if f.opt.Pooled != nil {
		r := f.extent(func(c Cloud) []float64 { return c.X })
		lines, styles = append(lines, ends(f.opt.Pooled, r[0], r[1])), append(styles, f.pooledStyle())
	}
	for _, line := range lines { // a white casing, so that lines are seen over the points
		c.StrokeLines(draw.LineStyle{Color: color.White, Width: 2.8 * f.unit()}, c.ClipLinesXY(line)...)
	}
	for i, line := range lines {
		c.StrokeLines(styles[i], c.ClipLinesXY(line)...)
	}
}

func (f *scatter) legendEntries() (out []entry) {
	middle := func(c draw.Canvas) vg.Length { return (c.Min.Y + c.Max.Y) / 2 }
	for i, cloud := range f.clouds {
		out = append(out, entry{cloud.Name, func(c draw.Canvas) {
			if cloud.Line != nil {
				c.StrokeLine2(f.lineStyle(i), c.Min.X, middle(c), c.Max.X, middle(c))
			}
			style := f.glyph(i)
			style.Radius = 2.3 * f.unit()
			c.DrawGlyph(style, vg.Point{X: (c.Min.X + c.Max.X) / 2, Y: middle(c)})
		}})
	}
	if f.opt.Pooled != nil {
		out = append(out, entry{"all", func(c draw.Canvas) {
			c.StrokeLine2(f.pooledStyle(), c.Min.X, middle(c), c.Max.X, middle(c))
		}})
	}
	return out
}

func (f *scatter) alt() string {
	parts := []string{f.opt.Title, fmt.Sprintf("Scatter plot of %d groups of points", len(f.clouds)),
		fmt.Sprintf("Horizontal axis: %s, %s to %s", f.x.label, number(f.x.lo, 4), number(f.x.hi, 4)),
		fmt.Sprintf("Vertical axis: %s, %s to %s", f.y.label, number(f.y.lo, 4), number(f.y.hi, 4))}
	if f.opt.LegendTitle != "" {
		parts = append(parts, "Groups by "+f.opt.LegendTitle)
	}
	slope := func(s *Straight) string {
		if s == nil {
			return ", no line"
		}
		return fmt.Sprintf(", line with slope %s", number(s.Slope, 3))
	}
	for _, c := range f.clouds {
		parts = append(parts, fmt.Sprintf("%s: %d points%s", c.Name, len(c.X), slope(c.Line)))
	}
	if f.opt.Pooled != nil {
		parts = append(parts, "all"+slope(f.opt.Pooled))
	}
	return sentence(append(parts, f.opt.Caption...)...)
}
