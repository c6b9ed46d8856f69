package figure

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Estimate is a number with its interval, such as a layer's rank correlation.
type Estimate struct {
	Name          string // of the layer
	Value, Lo, Hi float64
	Missing       bool // there is no number: the place stays empty
}

// EstimateOptions are the choices of a figure of estimates.
type EstimateOptions struct {
	Title   string
	Caption []string
	X       string // what the estimates are of: "Layer"
	Y       result.Axis
	Pooled  *Estimate // of all together: to the right, set apart; nil: none
	Band    string    // what the bars are: "95 % bootstrap interval over 4 networks"; empty: there are none
	// YMin and YMax are the ends of the vertical axis, further apart if something is beyond them. Both 0: as wide as numbers
	// and bars need, with 0.
	YMin, YMax float64
	// Sideways draws the estimates below each other, the first one on top, with their names in full to the left: for names
	// that are long. X is then the label of the vertical axis, and Y that of the horizontal one.
	Sideways bool
	Style    Style
}

// Estimates draws numbers side by side (or Sideways) in the order given, each with a bar from Lo to Hi if there is a Band, over a
// line at 0. Where names take too much room, what they begin with alike is left out, and stands in the axis label.
//
// At least one estimate with a name is needed; those that are not missing must be finite with Lo ≤ Hi, or Lo and Hi both
// NaN for no bar.
func Estimates(opt EstimateOptions, estimates ...Estimate) (*Figure, error) {
	f := &estimateFigure{opt: opt, all: slices.Clone(estimates)}
	f.opt.Style = opt.Style.withDefaults()
	f.opt.Caption = slices.Clone(opt.Caption)
	if opt.Pooled != nil {
		f.all = append(f.all, *opt.Pooled)
	}
	if err := f.check(len(estimates)); err != nil {
		return nil, fmt.Errorf("figure %q: %w", opt.Title, err)
	}
	f.frame = frame{style: f.opt.Style, heading: opt.Title, caption: f.opt.Caption, x: f.xAxis(), y: f.yAxis(), paint: f.paintAll}
	if opt.Sideways {
		f.x, f.y = f.y, f.names()
	}
	if opt.Band != "" {
		f.frame.caption = append([]string{"Bars: " + opt.Band + "."}, f.opt.Caption...)
	}
	return &Figure{f}, nil
}

type estimateFigure struct {
	frame
	opt EstimateOptions
	all []Estimate // with the pooled one last, if there is one
}

func (f *estimateFigure) check(n int) error {
	if err := f.opt.Style.check(); err != nil {
		return err
	}
	if !finite(f.opt.YMin) || !finite(f.opt.YMax) || f.opt.YMin > f.opt.YMax {
		return fmt.Errorf("vertical axis from YMin %v to YMax %v: YMin must be the smaller one", f.opt.YMin, f.opt.YMax)
	}
	if n == 0 {
		return fmt.Errorf("no estimates given, at least one is needed")
	}
	for i, e := range f.all {
		switch {
		case e.Name == "":
			return fmt.Errorf("estimate %d has no name", i)
		case e.Missing:
		case !finite(e.Value):
			return fmt.Errorf("estimate %d (%q) is %v: it must be finite, or missing", i, e.Name, e.Value)
		case f.opt.Band != "" && f.barred(e) && !(finite(e.Lo) && finite(e.Hi) && e.Lo <= e.Hi):
			return fmt.Errorf("estimate %d (%q): its bar goes from %v to %v: bounds must be finite with Lo ≤ Hi, or both NaN for none",
				i, e.Name, e.Lo, e.Hi)
		}
	}
	return nil
}

func (f *estimateFigure) barred(e Estimate) bool {
	return !e.Missing && f.opt.Band != "" && !(math.IsNaN(e.Lo) && math.IsNaN(e.Hi))
}

func (f *estimateFigure) pooled(i int) bool { return f.opt.Pooled != nil && i == len(f.all)-1 }

// place is where estimate i stands on the axis of names.
func (f *estimateFigure) place(i int) float64 {
	if f.opt.Sideways {
		return -f.order(i)
	}
	return f.order(i)
}

func (f *estimateFigure) order(i int) float64 {
	if f.pooled(i) {
		return float64(i) + 1.5
	}
	return float64(i) + 1
}

func (f *estimateFigure) xAxis() axis {
	last := len(f.all) - 1
	a := axis{label: f.opt.X, lo: .4, hi: f.place(last) + .6}
	var names []string
	width, size := vg.Length(0), vg.Length(f.opt.Style.FontSize)
	text := face(.9*size, ink, false)
	for i, e := range f.all {
		if !f.pooled(i) {
			names = append(names, e.Name)
		}
		width = max(width, text.Width(e.Name+"  "))
	}
	// What is left of the width after margins and the vertical axis.
	room := (vg.Length(f.opt.Style.Width)*vg.Centimeter - 60*f.unit()) / vg.Length(a.hi-a.lo)
	if prefix := common(names); width > room && prefix != "" {
		for i := range names {
			names[i] = strings.TrimPrefix(names[i], prefix)
		}
		a.label += " (" + prefix + "…)"
	}
	for i, e := range f.all {
		name := e.Name
		if !f.pooled(i) {
			name = names[i]
		}
		a.ticks = append(a.ticks, plot.Tick{Value: f.place(i), Label: name})
	}
	return a
}

// names is the axis of names if they stand below each other.
func (f *estimateFigure) names() axis {
	a := axis{label: f.opt.X, lo: f.place(len(f.all)-1) - .6, hi: -.4}
	for i, e := range slices.Backward(f.all) {
		a.ticks = append(a.ticks, plot.Tick{Value: f.place(i), Label: e.Name})
	}
	return a
}

// common is what all names begin with, letters only, and not all of any.
func common(names []string) string {
	prefix := names[0]
	for _, n := range names {
		for !strings.HasPrefix(n, prefix) || n == prefix {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return strings.TrimRight(prefix, "0123456789.")
}

func (f *estimateFigure) yAxis() axis {
	lo, hi := min(f.opt.YMin, 0), max(f.opt.YMax, 0)
	for _, e := range f.all {
		if !e.Missing {
			lo, hi = min(lo, e.Value), max(hi, e.Value)
		}
		if f.barred(e) {
			lo, hi = min(lo, e.Lo), max(hi, e.Hi)
		}
	}
	lo, hi = apart(lo, hi)
	if f.opt.YMin == 0 && f.opt.YMax == 0 {
		minor := linearStep(lo, hi, false) / 2 // to the next tick on either side
		lo, hi = minor*math.Floor(lo/minor+1e-9), minor*math.Ceil(hi/minor-1e-9)
	}
	return axis{label: label(f.opt.Y), lo: lo, hi: hi, ticks: linearTicks(lo, hi, false)}
}

func (f *estimateFigure) paintAll(c draw.Canvas, x, y func(float64) vg.Length) {
	u := f.unit()
	// A point by its place among the names and its value.
	at := func(place, value float64) vg.Point {
		if f.opt.Sideways {
			return vg.Point{X: x(value), Y: y(place)}
		}
		return vg.Point{X: x(place), Y: y(value)}
	}
	line := func(style draw.LineStyle, from, to vg.Point) { c.StrokeLine2(style, from.X, from.Y, to.X, to.Y) }
	names, values := f.x, f.y
	if f.opt.Sideways {
		names, values = f.y, f.x
	}
	line(draw.LineStyle{Color: ink, Width: .8 * u}, at(names.lo, 0), at(names.hi, 0))
	for i, e := range f.all {
		place, colour, shape := f.place(i), blue, mark(0)
		if f.pooled(i) {
			colour, shape = vermillion, mark(3)
			between := (place + f.place(i-1)) / 2
			line(draw.LineStyle{Color: fine, Width: .6 * u, Dashes: []vg.Length{2 * u, 2 * u}}, at(between, values.lo), at(between, values.hi))
		}
		if e.Missing {
			continue
		}
		if f.barred(e) {
			style := draw.LineStyle{Color: colour, Width: 1.4 * u}
			line(style, at(place, e.Lo), at(place, e.Hi))
			across := vg.Point{X: 2.5 * u}
			if f.opt.Sideways {
				across = vg.Point{Y: 2.5 * u}
			}
			for _, end := range []float64{e.Lo, e.Hi} {
				line(style, at(place, end).Sub(across), at(place, end).Add(across))
			}
		}
		c.DrawGlyph(draw.GlyphStyle{Color: colour, Radius: 3 * u, Shape: shape}, at(place, e.Value))
	}
}

func (f *estimateFigure) alt() string {
	names, values, of, by := f.x, f.y, "Horizontal", "Vertical"
	if f.opt.Sideways {
		names, values, of, by = f.y, f.x, by, of
	}
	parts := []string{f.opt.Title, fmt.Sprintf("Plot of %d numbers", len(f.all)), of + " axis: " + names.label,
		fmt.Sprintf("%s axis: %s, %s to %s", by, values.label, number(values.lo, 4), number(values.hi, 4))}
	for _, e := range f.all {
		switch {
		case e.Missing:
			parts = append(parts, e.Name+": none")
		case f.barred(e):
			parts = append(parts, fmt.Sprintf("%s: %s, from %s to %s", e.Name, number(e.Value, 3), number(e.Lo, 3), number(e.Hi, 3)))
		default:
			parts = append(parts, fmt.Sprintf("%s: %s", e.Name, number(e.Value, 3)))
		}
	}
	return sentence(append(parts, f.frame.caption...)...)
}
