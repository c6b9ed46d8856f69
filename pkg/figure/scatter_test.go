package figure

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/vg"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// layers are clouds like those of Figure 7b: 11 layers, the last one without points.
func layers() (ScatterOptions, []Cloud) {
	var clouds []Cloud
	for k := range 11 {
		c := Cloud{Name: fmt.Sprintf("conv%d", k+1), Line: &Straight{Slope: -.5 + float64(k)/20, Intercept: .6 - float64(k)/20}}
		for i := range 40 {
			x := (float64(i) + .5*math.Sin(float64(i*7+k))) / 45
			c.X = append(c.X, x)
			c.Y = append(c.Y, c.Line.Intercept+c.Line.Slope*x+.1*math.Sin(float64(i*i+k)))
		}
		clouds = append(clouds, c)
	}
	clouds[10].X, clouds[10].Y, clouds[10].Line = nil, nil, nil
	return ScatterOptions{
		Title: "Class selectivity and impact", Caption: []string{"One point per unit."}, LegendTitle: "layer",
		X: result.Axis{Name: "class selectivity index"}, Y: result.Axis{Name: "change of loss", Unit: "nats"},
		Pooled: &Straight{Slope: -.2, Intercept: .4},
	}, clouds
}

func TestScatterDrawsAllPointsAndLines(t *testing.T) {
	opt, clouds := layers()
	f := must(Scatter(opt, clouds...))
	d := draws(t, f)
	require.Len(t, d.fills, 400, "a marker for every point")
	for _, path := range append(d.fills, d.strokes...) {
		for _, p := range path {
			const slack = 4 // half a marker
			require.True(t, p.X >= d.data.Min.X-slack && p.X <= d.data.Max.X+slack && p.Y >= d.data.Min.Y-slack && p.Y <= d.data.Max.Y+slack)
		}
	}
	lines := 0
	for _, s := range d.strokes {
		if len(s) == 2 && s[0].X != s[1].X && s[0].Y != s[1].Y { // no grid
			lines++
		}
	}
	require.Equal(t, 2*11, lines, "ten lines and the pooled one, each with its casing")
	require.Contains(t, f.Alt(), "conv1: 40 points, line with slope −0.5.")
	require.Contains(t, f.Alt(), "conv11: 0 points, no line.")
	require.Contains(t, f.Alt(), "all, line with slope −0.2.")
	require.Contains(t, f.Alt(), "One point per unit.")
	before := svg(t, f)
	clouds[0].X[0], opt.Caption[0] = 9, "other"
	require.Equal(t, before, svg(t, f), "it keeps its own copy")
}

func TestScatterOfOnePoint(t *testing.T) {
	d := draws(t, must(Scatter(ScatterOptions{}, Cloud{X: []float64{.5}, Y: []float64{0}, Line: &Straight{}})))
	require.Len(t, d.fills, 1)
	middle := d.data.Min.Add(d.data.Size().Scale(.5))
	for _, p := range d.fills[0] {
		require.InDelta(t, 0, math.Hypot(float64(p.X-middle.X), float64(p.Y-middle.Y)), 4)
	}
}

func TestScatterErrors(t *testing.T) {
	point := Cloud{Name: "a", X: []float64{1}, Y: []float64{2}}
	for want, clouds := range map[string][]Cloud{
		"0 clouds without a point":                   {},
		"1 clouds without a point":                   {{Name: "a"}},
		`cloud 1 ("b"): 1 X but 0 Y`:                 {point, {Name: "b", X: []float64{1}}},
		`cloud 0 ("a"): point 0 is (1, NaN)`:         {{Name: "a", X: []float64{1}, Y: []float64{math.NaN()}}},
		`cloud 1 is called "a"`:                      {point, point},
		`cloud 1 is called ""`:                       {point, {X: []float64{1}, Y: []float64{1}}},
		`its line {Slope:NaN Intercept:0} is not fi`: {{Name: "a", X: []float64{1}, Y: []float64{2}, Line: &Straight{Slope: math.NaN()}}},
	} {
		_, err := Scatter(ScatterOptions{Title: "Figure 7b"}, clouds...)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, `figure "Figure 7b": `)
	}
	_, err := Scatter(ScatterOptions{Pooled: &Straight{Intercept: math.Inf(1)}}, point)
	require.ErrorContains(t, err, "the line over all points")
	_, err = Scatter(ScatterOptions{Style: Style{Width: 1}}, point)
	require.ErrorContains(t, err, "style 1 ×")
}

func correlations() EstimateOptions {
	return EstimateOptions{
		Title: "Correlation by block", X: "Layer", Y: result.Axis{Name: "Spearman's ρ"}, Band: "95 % interval over 4 networks", YMin: -1, YMax: 1,
		Pooled: &Estimate{Name: "all", Value: -.3, Lo: -.4, Hi: -.2}, Style: Style{Width: 11, Height: 6, FontSize: 8},
	}
}

func correlated(n int) (all []Estimate) {
	for i := range n {
		x := -.6 + .04*float64(i)
		all = append(all, Estimate{Name: fmt.Sprintf("layer%d.%d", 1+i/4, i%4), Value: x, Lo: x - .1, Hi: x + .15})
	}
	all[1].Missing = true
	return all
}

// sideways are estimates with long names.
func sideways() *Figure {
	opt := correlations()
	opt.Sideways, opt.X, opt.Title = true, "", "Correlation by measure"
	all := correlated(4)
	for i, name := range []string{"cumulative ablation of units", "margin", "training loss", "Frobenius norms, product"} {
		all[i].Name = name
	}
	return must(Estimates(opt, all...))
}

func TestEstimatesSideways(t *testing.T) {
	f := sideways()
	require.Contains(t, f.Alt(), "Horizontal axis: Spearman's ρ, −1 to 1.")
	require.Contains(t, f.Alt(), "cumulative ablation of units: −0.6, from −0.7 to −0.45. margin: none.")
	require.Contains(t, svg(t, f), ">Frobenius norms, product</text>", "names are whole")
	d := draws(t, f)
	require.Len(t, d.fills, 4, "three numbers and the pooled one")
	var centre, first, last vg.Length
	for _, p := range d.fills[0] {
		centre, first = max(centre, p.X), max(first, p.Y)
	}
	for _, p := range d.fills[3] {
		last = max(last, p.Y)
	}
	require.InDelta(t, float64(d.data.Min.X+d.data.Size().X*.2), float64(centre), 5, "−0.6 on an axis from −1 to 1")
	require.Greater(t, first, last, "the first one is on top, the pooled one at the bottom")
}

func TestEstimates(t *testing.T) {
	all := correlated(4)
	all[2].Lo, all[2].Hi = math.NaN(), math.NaN()
	f := must(Estimates(correlations(), all...))
	d := draws(t, f)
	require.Len(t, d.fills, 4, "three numbers and the pooled one")
	bars := 0
	for _, s := range d.strokes {
		if h := s[0].Y - s[len(s)-1].Y; len(s) == 2 && s[0].X == s[1].X && math.Abs(float64(h)) < float64(d.data.Size().Y)*.9 {
			bars++
		}
	}
	require.Equal(t, 3, bars)
	// ρ = −0.6 on an axis from −1 to 1: at 0.2 of its height.
	var centre vg.Length
	for _, p := range d.fills[0] {
		centre = max(centre, p.Y)
	}
	require.InDelta(t, float64(d.data.Min.Y+d.data.Size().Y*.2), float64(centre), 5)
	require.Contains(t, f.Alt(), "layer1.0: −0.6, from −0.7 to −0.45. layer1.1: none. layer1.2: −0.52. layer1.3: −0.48")
	require.Contains(t, f.Alt(), "Bars: 95 % interval over 4 networks.")
	require.Contains(t, f.Alt(), "Horizontal axis: Layer.", "the names fit")

	f = must(Estimates(correlations(), correlated(16)...))
	require.Contains(t, f.Alt(), "Horizontal axis: Layer (layer…).")
	require.Contains(t, svg(t, f), ">4.3</text>")
	require.Equal(t, "", common([]string{"fc1", "conv1"}))
	require.Equal(t, "conv", common([]string{"conv1", "conv11"}))
	require.Equal(t, "", common([]string{"a", "ab"}), "something must be left")

	for want, bad := range map[string]Estimate{
		"estimate 0 has no name": {}, `estimate 0 ("a") is NaN`: {Name: "a", Value: math.NaN()},
		`estimate 0 ("a"): its bar goes from 1 to 0`: {Name: "a", Lo: 1}, `its bar goes from NaN to 0`: {Name: "a", Lo: math.NaN()},
	} {
		_, err := Estimates(correlations(), bad)
		require.ErrorContains(t, err, want)
	}
	f = must(Estimates(EstimateOptions{X: "Class", Y: result.Axis{Name: "Activity"}}, Estimate{Name: "cat", Value: 4.4}, Estimate{Name: "dog"}))
	require.Contains(t, f.Alt(), "Vertical axis: Activity, 0 to 4.5.", "as wide as needed, with 0")
	_, err := Estimates(EstimateOptions{YMin: 1, YMax: -1}, correlated(2)...)
	require.ErrorContains(t, err, "YMin 1 to YMax -1")
	_, err = Estimates(EstimateOptions{})
	require.ErrorContains(t, err, "no estimates given")
}
