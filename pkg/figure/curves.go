package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Options are the choices of a figure of curves. The zero value gives a figure without title and caption, with a linear
// horizontal axis from the first to the last point.
type Options struct {
	Title       string
	Caption     []string // lines of small print below: preset, what is smaller than in the paper, n
	LegendTitle string   // what tells the curves apart: "labels corrupted"
	Ordered     bool     // the curves are steps of one quantity: colours go from blue to vermillion
	LogX        bool     // logarithmic horizontal axis; every X must be > 0
	Chance      float64  // > 0: a dotted line at this height, "chance" in the legend
	YMin, YMax  float64  // both 0: 0 to 1 for fractions (more if a point needs it), else as wide as points and bands need
	VLines      []VLine
	Style       Style
}

// VLine is a dashed vertical line, for example where a network's dropout fraction lies.
type VLine struct {
	X     float64
	Name  string // in the legend; lines with the same name share an entry
	Curve string // the name of the curve whose colour the line takes; empty: grey
}

// Curves draws curves over common axes, each with its band (if it has one) as a translucent area between Lo and Hi, cut
// off at the ends of the vertical axis. Where Lo and Hi are both NaN there is no band, and a point that has one without
// neighbours that do gets a bar. The legend stands to the right in the order of the curves, and under it what the bands
// are.
//
// At least one curve with at least one point is needed. All curves must have the same axes; several curves must have
// different names; X must increase; X and Y must be finite; Lo ≤ Hi; a band must say what it is. Errors name the curve.
func Curves(opt Options, curves ...result.Curve) (*Figure, error) {
	f := &curveFigure{opt: opt, curves: make([]result.Curve, len(curves))}
	f.opt.Style = opt.Style.withDefaults()
	f.opt.Caption = slices.Clone(opt.Caption)
	f.opt.VLines = slices.Clone(opt.VLines)
	for i, c := range curves {
		c.X, c.Y, c.Lo, c.Hi = slices.Clone(c.X), slices.Clone(c.Y), slices.Clone(c.Lo), slices.Clone(c.Hi)
		f.curves[i] = c
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("figure %q: %w", opt.Title, err)
	}
	f.colours = palette(len(curves), opt.Ordered)
	f.frame = frame{
		style: f.opt.Style, heading: opt.Title, caption: f.opt.Caption, legendTitle: opt.LegendTitle,
		x: f.xAxis(), notes: f.bandNotes(), paint: f.paintAll,
	}
	f.frame.legend = f.legendEntries() // in the style of the frame
	var err error
	if f.frame.y, err = f.yAxis(); err != nil {
		return nil, fmt.Errorf("figure %q: %w", opt.Title, err)
	}
	return &Figure{f}, nil
}

type curveFigure struct {
	frame
	opt     Options
	curves  []result.Curve
	colours []color.NRGBA
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func (f *curveFigure) check() error {
	o := f.opt
	if len(f.curves) == 0 {
		return fmt.Errorf("no curves given, at least one is needed")
	}
	if err := o.Style.check(); err != nil {
		return err
	}
	if !finite(o.YMin) || !finite(o.YMax) || (o.YMin != 0 || o.YMax != 0) && o.YMin >= o.YMax {
		return fmt.Errorf("vertical axis from YMin %v to YMax %v: YMin must be the smaller one (both 0 fits the data)", o.YMin, o.YMax)
	}
	if !(o.Chance >= 0) || math.IsInf(o.Chance, 0) {
		return fmt.Errorf("chance %v is not a finite number ≥ 0 (0 draws no line)", o.Chance)
	}
	names := map[string]bool{}
	for i, c := range f.curves {
		if err := checkCurve(c, o.LogX); err != nil {
			return fmt.Errorf("curve %d (%q): %w", i, c.Name, err)
		}
		if first := f.curves[0]; c.XAxis != first.XAxis || c.YAxis != first.YAxis {
			return fmt.Errorf("curve %d (%q) has axes %q and %q, curve 0 (%q) has %q and %q: they cannot share a figure",
				i, c.Name, label(c.XAxis), label(c.YAxis), first.Name, label(first.XAxis), label(first.YAxis))
		}
		if len(f.curves) > 1 && c.Name == "" {
			return fmt.Errorf("curve %d has no name, and there are %d curves", i, len(f.curves))
		}
		if names[c.Name] {
			return fmt.Errorf("two curves are called %q: the legend could not tell them apart", c.Name)
		}
		names[c.Name] = true
	}
	for i, v := range o.VLines {
		switch {
		case !finite(v.X) || o.LogX && v.X <= 0:
			return fmt.Errorf("vertical line %d (%q) at %v: not a place on this axis", i, v.Name, v.X)
		case v.Name == "":
			return fmt.Errorf("vertical line %d at %v has no name for the legend", i, v.X)
		case v.Curve != "" && !names[v.Curve]:
			return fmt.Errorf("vertical line %d (%q) takes the colour of curve %q, which is not in the figure", i, v.Name, v.Curve)
		}
	}
	return nil
}

func checkCurve(c result.Curve, logX bool) error {
	switch {
	case len(c.X) == 0:
		return fmt.Errorf("has no points")
	case len(c.X) != len(c.Y):
		return fmt.Errorf("%d X but %d Y", len(c.X), len(c.Y))
	case (c.Lo == nil) != (c.Hi == nil):
		return fmt.Errorf("has one bound of a band: give both Lo and Hi or neither")
	case c.Lo != nil && (len(c.Lo) != len(c.X) || len(c.Hi) != len(c.X)):
		return fmt.Errorf("%d points but %d Lo and %d Hi", len(c.X), len(c.Lo), len(c.Hi))
	case c.Lo != nil && c.Band == "":
		return fmt.Errorf(`has a band but does not say what it is: set Band, for example "± s.d. over 10 orderings"`)
	}
	for i := range c.X {
		switch {
		case !finite(c.X[i]) || !finite(c.Y[i]):
			return fmt.Errorf("point %d is (%v, %v): X and Y must be finite", i, c.X[i], c.Y[i])
		case i > 0 && c.X[i] <= c.X[i-1]:
			return fmt.Errorf("the X must increase, but X[%d] = %v follows %v", i, c.X[i], c.X[i-1])
		case logX && c.X[i] <= 0:
			return fmt.Errorf("point %d, X = %v, cannot stand on a logarithmic axis, which needs X > 0", i, c.X[i])
		}
		if c.Lo == nil || math.IsNaN(c.Lo[i]) && math.IsNaN(c.Hi[i]) {
			continue
		}
		if lo, hi := c.Lo[i], c.Hi[i]; !finite(lo) || !finite(hi) || lo > hi {
			return fmt.Errorf("band at point %d goes from %v to %v: bounds must be finite with Lo ≤ Hi, or both NaN for none", i, lo, hi)
		}
	}
	return nil
}

// label is an axis label: "Name (unit)", or the name alone where there is no unit.
func label(a result.Axis) string {
	if a.Unit == "" {
		return a.Name
	}
	return a.Name + " (" + a.Unit + ")"
}

func (f *curveFigure) xAxis() axis {
	a := axis{label: label(f.curves[0].XAxis), lo: math.Inf(1), hi: math.Inf(-1), log: f.opt.LogX}
	whole := true
	for _, c := range f.curves {
		a.lo, a.hi = min(a.lo, c.X[0]), max(a.hi, c.X[len(c.X)-1])
		for _, x := range c.X {
			whole = whole && x == math.Trunc(x)
		}
	}
	for _, v := range f.opt.VLines {
		a.lo, a.hi = min(a.lo, v.X), max(a.hi, v.X)
	}
	if a.log {
		if a.lo == a.hi {
			a.lo, a.hi = a.lo/2, a.hi*2
		}
		a.ticks = logTicks(a.lo, a.hi)
		return a
	}
	a.lo, a.hi = apart(a.lo, a.hi)
	a.ticks = linearTicks(a.lo, a.hi, whole)
	return a
}

// apart widens a range that is a single number, or nearly so, to one that an axis can show.
func apart(lo, hi float64) (float64, float64) {
	if least := max(math.Abs(lo), math.Abs(hi)) * 1e-6; hi-lo <= least {
		pad := max(math.Abs(lo)*.1, least)
		if pad == 0 {
			pad = 1
		}
		return lo - pad, hi + pad
	}
	return lo, hi
}

func (f *curveFigure) yAxis() (axis, error) {
	a := axis{label: label(f.curves[0].YAxis), lo: f.opt.YMin, hi: f.opt.YMax}
	if a.lo == 0 && a.hi == 0 {
		fraction := f.curves[0].YAxis.Unit == "fraction"
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, c := range f.curves {
			lo, hi = min(lo, slices.Min(c.Y)), max(hi, slices.Max(c.Y))
			for i := range c.Lo {
				if !fraction && !math.IsNaN(c.Lo[i]) {
					lo, hi = min(lo, c.Lo[i]), max(hi, c.Hi[i])
				}
			}
		}
		if fraction && lo >= 0 && hi <= 1 {
			a.lo, a.hi = 0, 1
		} else {
			if fraction {
				lo, hi = min(lo, 0), max(hi, 1)
			} else if f.opt.Chance > 0 {
				lo, hi = min(lo, f.opt.Chance), max(hi, f.opt.Chance)
			}
			lo, hi = apart(lo, hi)
			minor := linearStep(lo, hi, false) / 2 // to the next tick on either side
			a.lo, a.hi = minor*math.Floor(lo/minor+1e-9), minor*math.Ceil(hi/minor-1e-9)
		}
	}
	if c := f.opt.Chance; c > 0 && (c < a.lo || c > a.hi) {
		return a, fmt.Errorf("chance %v lies outside the vertical axis, %v to %v (for ten classes chance is 0.1)", c, a.lo, a.hi)
	}
	a.ticks = linearTicks(a.lo, a.hi, false)
	return a, nil
}

func (f *curveFigure) lineStyle(i int) draw.LineStyle {
	var pattern []vg.Length
	for _, d := range dashes(i) {
		pattern = append(pattern, d*f.unit())
	}
	return draw.LineStyle{Color: f.colours[i], Width: 1.4 * f.unit(), Dashes: pattern}
}

func (f *curveFigure) glyph(i int) draw.GlyphStyle {
	return draw.GlyphStyle{Color: f.colours[i], Radius: 2.3 * f.unit(), Shape: mark(i)}
}

func translucent(c color.NRGBA) color.NRGBA {
	c.A = 48
	return c
}

func (f *curveFigure) chanceStyle() draw.LineStyle {
	return draw.LineStyle{Color: fine, Width: 1.1 * f.unit(), Dashes: []vg.Length{1.2 * f.unit(), 2 * f.unit()}}
}

func (f *curveFigure) vlineStyle(curve string) draw.LineStyle {
	s := draw.LineStyle{Color: fine, Width: 1 * f.unit(), Dashes: []vg.Length{5 * f.unit(), 3 * f.unit()}}
	for i, c := range f.curves {
		if curve != "" && c.Name == curve {
			s.Color = f.colours[i]
		}
	}
	return s
}

// paintAll draws, from back to front: bands, chance, vertical lines, curves.
func (f *curveFigure) paintAll(c draw.Canvas, x, y func(float64) vg.Length) {
	for i, curve := range f.curves {
		areas, bars := band(curve, x, y)
		for _, area := range areas {
			c.FillPolygon(translucent(f.colours[i]), c.ClipPolygonXY(area))
		}
		for _, bar := range bars {
			c.StrokeLines(draw.LineStyle{Color: f.colours[i], Width: f.unit()}, c.ClipLinesXY(bar)...)
		}
	}
	if f.opt.Chance > 0 {
		h := y(f.opt.Chance)
		c.StrokeLine2(f.chanceStyle(), c.Min.X, h, c.Max.X, h)
	}
	for _, v := range f.opt.VLines {
		c.StrokeLine2(f.vlineStyle(v.Curve), x(v.X), c.Min.Y, x(v.X), c.Max.Y)
	}
	for i, curve := range f.curves {
		points := make([]vg.Point, curve.Len())
		for j := range points {
			points[j] = vg.Point{X: x(curve.X[j]), Y: y(curve.Y[j])}
		}
		c.StrokeLines(f.lineStyle(i), c.ClipLinesXY(points)...)
		every, first := f.spread(i)
		for j := first; j < len(points); j += every {
			c.DrawGlyph(f.glyph(i), points[j])
		}
	}
}

// spread says which points of curve i get a marker: all of up to 30, else about 20, where other curves have theirs at
// other points.
func (f *curveFigure) spread(i int) (every, first int) {
	n := f.curves[i].Len()
	if n <= 30 {
		return 1, 0
	}
	every = (n + 19) / 20
	return every, i * every / len(f.curves) % every
}

// band is the area between Lo and Hi as polygons, one for each run of points that have a band: along Hi to the right,
// along Lo back. A run of one point is a bar. Corners are joined by straight lines on the page, as the curve's are.
func band(c result.Curve, x, y func(float64) vg.Length) (areas, bars [][]vg.Point) {
	for i := 0; i < len(c.Lo); i++ {
		from := i
		for i < len(c.Lo) && !math.IsNaN(c.Lo[i]) {
			i++
		}
		var run []vg.Point
		for j := from; j < i; j++ {
			run = append(run, vg.Point{X: x(c.X[j]), Y: y(c.Hi[j])})
		}
		for j := i - 1; j >= from; j-- {
			run = append(run, vg.Point{X: x(c.X[j]), Y: y(c.Lo[j])})
		}
		switch {
		case i-from == 1:
			bars = append(bars, run)
		case i > from:
			areas = append(areas, run)
		}
	}
	return areas, bars
}

func (f *curveFigure) legendEntries() []entry {
	var out []entry
	middle := func(c draw.Canvas) vg.Length { return (c.Min.Y + c.Max.Y) / 2 }
	across := func(style draw.LineStyle) func(c draw.Canvas) {
		return func(c draw.Canvas) { c.StrokeLine2(style, c.Min.X, middle(c), c.Max.X, middle(c)) }
	}
	for i, curve := range f.curves {
		name := curve.Name
		if name == "" {
			name = curve.YAxis.Name
		}
		out = append(out, entry{name, func(c draw.Canvas) {
			if curve.Lo != nil {
				c.SetColor(translucent(f.colours[i]))
				c.Fill(c.Rectangle.Path())
			}
			across(f.lineStyle(i))(c)
			c.DrawGlyph(f.glyph(i), vg.Point{X: (c.Min.X + c.Max.X) / 2, Y: middle(c)})
		}})
	}
	if f.opt.Chance > 0 {
		out = append(out, entry{fmt.Sprintf("chance (%s)", number(f.opt.Chance, 3)), across(f.chanceStyle())})
	}
	seen := map[string]bool{}
	for _, v := range f.opt.VLines {
		if !seen[v.Name] {
			seen[v.Name] = true
			out = append(out, entry{v.Name, across(f.vlineStyle(""))})
		}
	}
	return out
}

// bandNotes says what the bands are, once if they are all the same.
func (f *curveFigure) bandNotes() []string {
	var bands []string
	curves := map[string][]string{}
	for _, c := range f.curves {
		if c.Lo != nil {
			if curves[c.Band] == nil {
				bands = append(bands, c.Band)
			}
			curves[c.Band] = append(curves[c.Band], c.Name)
		}
	}
	if len(bands) == 1 {
		return []string{"Band: " + bands[0]}
	}
	for i, b := range bands {
		bands[i] = fmt.Sprintf("Band of %s: %s", strings.Join(curves[b], ", "), b)
	}
	return bands
}

func (f *curveFigure) alt() string {
	scale := ""
	if f.opt.LogX {
		scale = ", logarithmic"
	}
	parts := []string{f.opt.Title}
	if n := len(f.curves); n == 1 {
		parts = append(parts, "Plot of one curve")
	} else {
		parts = append(parts, fmt.Sprintf("Plot of %d curves", n))
	}
	parts = append(parts,
		fmt.Sprintf("Horizontal axis: %s, %s to %s%s", f.x.label, number(f.x.lo, 4), number(f.x.hi, 4), scale),
		fmt.Sprintf("Vertical axis: %s, %s to %s", f.y.label, number(f.y.lo, 4), number(f.y.hi, 4)))
	if f.opt.LegendTitle != "" {
		parts = append(parts, "Curves by "+f.opt.LegendTitle)
	}
	for i, c := range f.curves {
		last := c.Len() - 1
		lo, hi := 0, 0
		for j := range c.Y {
			if c.Y[j] < c.Y[lo] {
				lo = j
			}
			if c.Y[j] > c.Y[hi] {
				hi = j
			}
		}
		at := func(j int) string { return number(c.Y[j], 3) + " at " + number(c.X[j], 4) }
		parts = append(parts, fmt.Sprintf("%s: %d points, from %s to %s, lowest %s, highest %s",
			f.legend[i].name, c.Len(), at(0), at(last), at(lo), at(hi)))
	}
	parts = append(parts, f.notes...)
	if f.opt.Chance > 0 {
		parts = append(parts, "Dotted line at chance, "+number(f.opt.Chance, 3))
	}
	for _, v := range f.opt.VLines {
		of := ""
		if v.Curve != "" {
			of = " of " + v.Curve
		}
		parts = append(parts, fmt.Sprintf("Dashed vertical line at %s: %s%s", number(v.X, 4), v.Name, of))
	}
	return sentence(append(parts, f.opt.Caption...)...)
}
