package figure

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	stdpng "image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/cmpimg"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// ablation is a family like Figure 1a: accuracy falls from 1 to chance, the faster the more labels are corrupted.
func ablation() []result.Curve {
	var out []result.Curve
	for level := range 6 {
		f := float64(level) / 5
		c := result.Curve{
			Name:  fmt.Sprintf("%.0f %%", 100*f),
			XAxis: result.Axis{Name: "Units ablated", Unit: "fraction"},
			YAxis: result.Axis{Name: "Training accuracy", Unit: "fraction"},
			Band:  "± s.d. over 10 orderings", N: 10,
		}
		for i := range 20 {
			x := float64(i) / 19
			fall := math.Pow(x/(.75-.5*f), 4-2*f)
			y := .1 + .9/(1+fall)
			sd := .12 * (1 - f/2) * math.Sin(math.Pi*x) * (y - .05)
			c.X, c.Y = append(c.X, x), append(c.Y, y)
			c.Lo, c.Hi = append(c.Lo, y-sd), append(c.Hi, y+sd)
		}
		out = append(out, c)
	}
	return out
}

func ablationOptions() Options {
	return Options{
		Title:       "Cumulative ablation of an MLP trained on MNIST with corrupted labels",
		Caption:     []string{"Preset quick: 2 × 512 units, 60,000 images.", "Narrowed: 6 networks, one seed each (the paper: several)."},
		LegendTitle: "labels corrupted",
		Ordered:     true,
		Chance:      .1,
	}
}

// noise is a family like Figure 2a: 15 noise scales from 10^−1.5 to 10.
func noise() []result.Curve {
	var out []result.Curve
	for level := range 6 {
		f := float64(level) / 5
		c := result.Curve{
			Name:  fmt.Sprintf("%.0f %%", 100*f),
			XAxis: result.Axis{Name: "Noise scale", Unit: "s.d. of the unit"},
			YAxis: result.Axis{Name: "Training accuracy", Unit: "fraction"},
			Band:  "± s.d. over 5 draws", N: 5,
		}
		for i := range 15 {
			x := math.Pow(10, -1.5+2.5*float64(i)/14)
			y := .1 + .9/(1+math.Pow(x/(1.6-1.3*f), 2.5))
			c.X, c.Y = append(c.X, x), append(c.Y, y)
			c.Lo, c.Hi = append(c.Lo, y-.02), append(c.Hi, y+.02)
		}
		out = append(out, c)
	}
	return out
}

func noiseOptions() Options {
	return Options{
		Title: "Noise", LegendTitle: "labels corrupted", Ordered: true, LogX: true, Chance: .1,
		Caption: []string{"Preset smoke."},
	}
}

func single() result.Curve {
	return result.Curve{
		XAxis: result.Axis{Name: "Epoch"}, YAxis: result.Axis{Name: "Training loss", Unit: "nats"},
		X: []float64{1, 2, 3, 4, 5, 6, 7, 8}, Y: []float64{2.31, 1.74, 1.2, .86, .61, .5, .44, .41},
	}
}

// many has more curves than there are colours, a missing part of a band, bars, and vertical lines.
func many() (Options, []result.Curve) {
	var curves []result.Curve
	for i := range 10 {
		c := result.Curve{
			Name:  fmt.Sprintf("network %d", i),
			XAxis: result.Axis{Name: "Feature maps ablated"}, YAxis: result.Axis{Name: "Test loss", Unit: "nats"},
		}
		for j := range 40 {
			c.X = append(c.X, float64(j)*1024/39)
			c.Y = append(c.Y, 2+float64(i)/3+math.Sin(float64(j)/6+float64(i)))
		}
		if i == 0 {
			c.Band = "range over 3 networks"
			for j := range 40 {
				half := .3
				if j > 10 && j < 20 && j != 15 {
					half = math.NaN()
				}
				c.Lo, c.Hi = append(c.Lo, c.Y[j]-half), append(c.Hi, c.Y[j]+half)
			}
		}
		curves = append(curves, c)
	}
	curves[9].Name = "network 9, which has a name that does not fit into one line of the legend"
	return Options{
		Title: "Ten networks under a title that is itself so long that it has to go on in a second line below the first one",
		YMin:  1, YMax: 5,
		VLines: []VLine{{X: 200, Name: "dropout fraction", Curve: "network 1"}, {X: 400, Name: "dropout fraction"}},
	}, curves
}

func png(t *testing.T, f *Figure) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, f.WritePNG(&b))
	return b.Bytes()
}

func must(f *Figure, err error) *Figure {
	if err != nil {
		panic(err)
	}
	return f
}

func figures() map[string]*Figure {
	small := Style{Width: 11, Height: 6, FontSize: 8}
	manyOptions, manyCurves := many()
	manyOptions.Style = small
	noiseOptions := noiseOptions()
	noiseOptions.Style = small
	scatterOptions, clouds := layers()
	scatterOptions.Style = small
	return map[string]*Figure{
		"scatter":   must(Scatter(scatterOptions, clouds...)),
		"estimates": must(Estimates(correlations(), correlated(16)...)),
		"sideways":  sideways(),
		"ablation":  must(Curves(ablationOptions(), ablation()...)),
		"many":      must(Curves(manyOptions, manyCurves...)),
		"grid": must(Grid(2,
			must(Curves(Options{Style: small}, single())),
			must(Curves(noiseOptions, noise()...)),
			must(Curves(Options{Style: Style{Width: 8, Height: 4, FontSize: 7}}, noise()[:2]...)))),
	}
}

// TestGolden compares with pictures that a person has looked at. After a wanted change: go test ./pkg/figure -regen, and
// look again.
func TestGolden(t *testing.T) {
	for name, f := range figures() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".png")
			got := png(t, f)
			if *cmpimg.GenerateTestData {
				require.NoError(t, os.WriteFile(path, got, 0o644))
				return
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			// The tolerance lets through what another processor rounds differently at the edges of shapes.
			same, err := cmpimg.EqualApprox("png", got, want, .1)
			require.NoError(t, err)
			require.True(t, same, "%s looks different; see TestGolden", path)
		})
	}
}

func TestSameInputSameBytes(t *testing.T) {
	one, two := figures(), figures()
	require.Equal(t, png(t, one["many"]), png(t, two["many"]))
	for name, f := range one {
		require.Equal(t, svg(t, f), svg(t, two[name]), name)
	}
}

func TestWritingFromSeveralGoroutines(t *testing.T) {
	f := must(Curves(Options{Style: Style{Width: 6, Height: 4, FontSize: 6}}, ablation()[:2]...))
	want := png(t, f)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			var b bytes.Buffer
			if err := f.WritePNG(&b); err != nil || !bytes.Equal(b.Bytes(), want) {
				t.Errorf("another picture, error %v", err)
			}
		})
	}
	all.Wait()
}

func TestPNGHasSizeAndResolution(t *testing.T) {
	f := must(Curves(Options{Style: Style{Width: 10.16, Height: 7.62}}, single())) // 4 × 3 inches plus a lower margin
	b := png(t, f)
	config, format, err := image.DecodeConfig(bytes.NewReader(b))
	require.NoError(t, err)
	require.Equal(t, "png", format)
	w, h := f.Size()
	require.InDelta(t, 10.16, w, 1e-9)
	require.Equal(t, 4*DPI, config.Width)
	require.InDelta(t, h/2.54*DPI, float64(config.Height), 1)
	at := bytes.Index(b, []byte("pHYs"))
	require.Equal(t, 8+25+4, at, "directly after the header")
	require.EqualValues(t, 7559, binary.BigEndian.Uint32(b[at+4:]), "192 / 0.0254 dots per metre")
	_, err = stdpng.Decode(bytes.NewReader(b)) // checks the sums
	require.NoError(t, err)
}

func svg(t *testing.T, f *Figure) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, f.WriteSVG(&b))
	return b.String()
}

func TestSVGIsWellFormedAndReadable(t *testing.T) {
	opt := ablationOptions()
	opt.Title = `Labels <b>"corrupted"</b> & ablated`
	text := svg(t, must(Curves(opt, ablation()...)))
	var doc struct {
		Title string `xml:"title"`
		Desc  string `xml:"desc"`
		Role  string `xml:"role,attr"`
	}
	require.NoError(t, xml.Unmarshal([]byte(text), &doc))
	require.Equal(t, opt.Title, doc.Title)
	require.Contains(t, doc.Desc, "0 %: 20 points")
	require.Equal(t, "img", doc.Role)
	require.Contains(t, text, "font-family:'Liberation Sans',Arial")
	require.Contains(t, text, ">Units ablated (fraction)</text>")
	require.Contains(t, text, "fill-opacity:0.18824", "the bands are translucent")
}

func TestWriteErrorsAreReported(t *testing.T) {
	f := must(Curves(Options{Style: Style{Width: 6, Height: 4, FontSize: 6}}, single()))
	full := errors.New("disk full")
	require.ErrorIs(t, f.WritePNG(iotest{full}), full)
	require.ErrorIs(t, f.WriteSVG(iotest{full}), full)
}

type iotest struct{ err error }

func (w iotest) Write([]byte) (int, error) { return 0, w.err }

func TestFigureKeepsItsOwnCopyOfTheData(t *testing.T) {
	curves := ablation()
	opt := ablationOptions()
	f := must(Curves(opt, curves...))
	before := svg(t, f)
	curves[0].Y[3], curves[1].Lo[2], curves[2].X[0], curves[3].Name = 0, 0, -5, "other"
	opt.Caption[0] = "other"
	require.Equal(t, before, svg(t, f))
}

func TestCheckNamesTheCurveAndTheFault(t *testing.T) {
	nan := math.NaN()
	good := func() result.Curve {
		return result.Curve{Name: "good", X: []float64{1, 2}, Y: []float64{3, 4}}
	}
	with := func(change func(*result.Curve)) result.Curve {
		c := good()
		c.Name = "bad"
		change(&c)
		return c
	}
	for name, test := range map[string]struct {
		opt   Options
		curve result.Curve
		want  string
	}{
		"empty":     {Options{}, result.Curve{Name: "bad"}, `curve 1 ("bad"): has no points`},
		"lengths":   {Options{}, with(func(c *result.Curve) { c.Y = c.Y[:1] }), `curve 1 ("bad"): 2 X but 1 Y`},
		"NaN":       {Options{}, with(func(c *result.Curve) { c.Y[1] = nan }), "point 1 is (2, NaN)"},
		"Inf":       {Options{}, with(func(c *result.Curve) { c.X[1] = math.Inf(1) }), "X and Y must be finite"},
		"order":     {Options{}, with(func(c *result.Curve) { c.X[1] = 1 }), "X must increase, but X[1] = 1 follows 1"},
		"log":       {Options{LogX: true}, with(func(c *result.Curve) { c.X[0] = 0 }), "point 0, X = 0, cannot stand on a logarithmic axis"},
		"half band": {Options{}, with(func(c *result.Curve) { c.Lo = c.Y }), "give both Lo and Hi or neither"},
		"band length": {Options{}, with(func(c *result.Curve) { c.Lo, c.Hi, c.Band = c.Y, c.Y[:1], "range" }),
			"2 points but 2 Lo and 1 Hi"},
		"band order": {Options{}, with(func(c *result.Curve) { c.Lo, c.Hi, c.Band = []float64{3, 5}, []float64{3, 4}, "range" }),
			"band at point 1 goes from 5 to 4"},
		"band NaN": {Options{}, with(func(c *result.Curve) { c.Lo, c.Hi, c.Band = []float64{3, nan}, []float64{3, 4}, "range" }),
			"bounds must be finite with Lo ≤ Hi, or both NaN for none"},
		"band unnamed": {Options{}, with(func(c *result.Curve) { c.Lo, c.Hi = c.Y, c.Y }), "does not say what it is: set Band"},
		"axes": {Options{}, with(func(c *result.Curve) { c.YAxis = result.Axis{Name: "Loss", Unit: "nats"} }),
			`curve 1 ("bad") has axes "" and "Loss (nats)", curve 0 ("good") has "" and ""`},
		"same name": {Options{}, with(func(c *result.Curve) { c.Name = "good" }), `two curves are called "good"`},
		"no name":   {Options{}, with(func(c *result.Curve) { c.Name = "" }), "curve 1 has no name"},
		"y range":   {Options{YMin: 1}, with(func(*result.Curve) {}), "from YMin 1 to YMax 0"},
		"y NaN":     {Options{YMax: nan}, with(func(*result.Curve) {}), "YMax NaN"},
		"chance":    {Options{Chance: -1}, with(func(*result.Curve) {}), "chance -1 is not"},
		"chance outside": {Options{Chance: 10, YMax: 5}, with(func(*result.Curve) {}),
			"chance 10 lies outside the vertical axis, 0 to 5"},
		"style": {Options{Style: Style{Width: -1}}, with(func(*result.Curve) {}), "style -1 × 9 cm at 10 points"},
		"line":  {Options{VLines: []VLine{{X: nan, Name: "p"}}}, with(func(*result.Curve) {}), `vertical line 0 ("p") at NaN`},
		"line name": {Options{VLines: []VLine{{X: 1}}}, with(func(*result.Curve) {}),
			"vertical line 0 at 1 has no name"},
		"line curve": {Options{VLines: []VLine{{X: 1, Name: "p", Curve: "x"}}}, with(func(*result.Curve) {}),
			`takes the colour of curve "x", which is not in the figure`},
	} {
		t.Run(name, func(t *testing.T) {
			test.opt.Title = "Figure 1a"
			f, err := Curves(test.opt, good(), test.curve)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, `figure "Figure 1a": `)
			require.Nil(t, f)
		})
	}
	_, err := Curves(Options{})
	require.ErrorContains(t, err, "no curves given")
}

// identity places data at their own coordinates, in points.
func identity(v float64) vg.Length { return vg.Length(v) }

func TestBandPolygons(t *testing.T) {
	nan := math.NaN()
	c := result.Curve{
		X:  []float64{0, 1, 2, 3, 4, 5},
		Lo: []float64{1, 2, nan, 3, nan, nan},
		Hi: []float64{5, 6, nan, 7, nan, nan},
	}
	areas, bars := band(c, identity, identity)
	require.Equal(t, [][]vg.Point{{{X: 0, Y: 5}, {X: 1, Y: 6}, {X: 1, Y: 2}, {X: 0, Y: 1}}}, areas,
		"along Hi to the right, along Lo back")
	require.Equal(t, [][]vg.Point{{{X: 3, Y: 7}, {X: 3, Y: 3}}}, bars, "a point without neighbours")

	areas, bars = band(result.Curve{X: c.X}, identity, identity)
	require.Empty(t, areas)
	require.Empty(t, bars)
}

// drawn records what is drawn into the data area: the data area itself and the filled and stroked paths.
type drawn struct {
	data           vg.Rectangle
	fills, strokes [][]vg.Point
}

func draws(t *testing.T, f *Figure) drawn {
	t.Helper()
	var rec recorder.Canvas
	var frame *frame
	switch d := f.drawing.(type) {
	case *curveFigure:
		frame = &d.frame
	case *scatter:
		frame = &d.frame
	case *estimateFigure:
		frame = &d.frame
	}
	data := frame.arrange("").data
	c := draw.Canvas{Canvas: &rec, Rectangle: data}
	p := frame.axes(frame.arrange(""))
	painter{frame}.Plot(c, p)
	out := drawn{data: data}
	points := func(path vg.Path) (pts []vg.Point) {
		for _, comp := range path {
			if comp.Type == vg.MoveComp || comp.Type == vg.LineComp {
				pts = append(pts, comp.Pos)
			}
		}
		return pts
	}
	for _, a := range rec.Actions {
		switch a := a.(type) {
		case *recorder.Fill:
			out.fills = append(out.fills, points(a.Path))
		case *recorder.Stroke:
			out.strokes = append(out.strokes, points(a.Path))
		}
	}
	return out
}

func TestBandIsCutAtTheEndsOfTheAxis(t *testing.T) {
	// Hi leaves the axis at x = 0.5 and comes back at x = 1.5; Lo stays at 0.5.
	c := result.Curve{
		Name: "c", YAxis: result.Axis{Name: "Accuracy", Unit: "fraction"}, Band: "± s.d. over 2 orderings",
		X: []float64{0, 1, 2}, Y: []float64{.7, .8, .7}, Lo: []float64{.5, .5, .5}, Hi: []float64{.8, 1.2, .8},
	}
	d := draws(t, must(Curves(Options{}, c)))
	at := func(x, y float64) vg.Point {
		size := d.data.Size()
		return d.data.Min.Add(vg.Point{X: vg.Length(x/2) * size.X, Y: vg.Length(y) * size.Y})
	}
	want := []vg.Point{at(0, .8), at(.5, 1), at(1.5, 1), at(2, .8), at(2, .5), at(1, .5), at(0, .5)}
	require.Len(t, d.fills[0], len(want))
	for i, p := range want {
		// The cut may start the polygon at another corner.
		require.True(t, slices.ContainsFunc(d.fills[0], func(q vg.Point) bool {
			return math.Hypot(float64(p.X-q.X), float64(p.Y-q.Y)) < 1e-6
		}), "corner %d, %v, of %v", i, p, d.fills[0])
	}
}

func TestNothingIsDrawnOutsideTheDataArea(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(rt, "n")
		c := result.Curve{Name: "c", Band: "range over 3 networks"}
		value := rapid.Float64Range(-3, 3)
		for i := range n {
			y, below, above := value.Draw(rt, "y"), value.Draw(rt, "below"), value.Draw(rt, "above")
			c.X, c.Y = append(c.X, float64(i+1)), append(c.Y, y)
			c.Lo, c.Hi = append(c.Lo, y-math.Abs(below)), append(c.Hi, y+math.Abs(above))
			if rapid.IntRange(0, 3).Draw(rt, "gap") == 0 {
				c.Lo[i], c.Hi[i] = math.NaN(), math.NaN()
			}
		}
		opt := Options{YMin: -1, YMax: 1, LogX: rapid.Bool().Draw(rt, "log")}
		f, err := Curves(opt, c)
		require.NoError(rt, err)
		d := draws(t, f)
		const slack = 6 // half a marker
		for _, path := range append(d.fills, d.strokes...) {
			for _, p := range path {
				require.False(rt, math.IsNaN(float64(p.X+p.Y)))
				require.True(rt, p.X > d.data.Min.X-slack && p.X < d.data.Max.X+slack &&
					p.Y > d.data.Min.Y-slack && p.Y < d.data.Max.Y+slack, "%v outside %v", p, d.data)
			}
		}
	})
}

func TestLogarithmicAxisPlacesDecadesEvenly(t *testing.T) {
	c := result.Curve{Name: "c", X: []float64{.01, .1, 1}, Y: []float64{1, 1, 1}}
	d := draws(t, must(Curves(Options{LogX: true}, c)))
	line := d.strokes[slices.IndexFunc(d.strokes, func(s []vg.Point) bool { return len(s) == 3 })]
	require.InDelta(t, float64(d.data.Min.X), float64(line[0].X), 1e-9)
	require.InDelta(t, float64(d.data.Min.X+d.data.Max.X)/2, float64(line[1].X), 1e-9)
	require.InDelta(t, float64(d.data.Max.X), float64(line[2].X), 1e-9)
}

func TestLegendStandsRightOfTheData(t *testing.T) {
	for name, f := range figures() {
		cf, ok := f.drawing.(*curveFigure)
		if !ok {
			continue
		}
		l := cf.arrange("")
		require.Greater(t, l.legendX, l.data.Max.X, name)
		require.Less(t, l.data.Size().X, l.width, name)
		for i, lines := range l.legend {
			for _, line := range lines {
				right := l.legendX + (sampleWidth+gap)*cf.unit() + l.textFace.Width(line)
				require.LessOrEqual(t, right, l.width-margin*cf.unit()+1e-6, "%s, entry %d", name, i)
			}
		}
		require.Greater(t, l.data.Max.Y-cf.legendHeight(l), l.body.Min.Y, "%s: the legend fits", name)
	}
	// A long legend makes the figure higher rather than running out of it.
	var curves []result.Curve
	for i := range 40 {
		c := single()
		c.Name = fmt.Sprint("network ", i)
		curves = append(curves, c)
	}
	f := must(Curves(Options{}, curves...))
	_, h := f.Size()
	require.Greater(t, h, 17.)
	cf := f.drawing.(*curveFigure)
	l := cf.arrange("")
	require.Greater(t, l.data.Max.Y-cf.legendHeight(l), vg.Length(0))
}

func TestLegendFollowsTheCurvesAndSaysWhatBandsAre(t *testing.T) {
	curves := ablation()[:3]
	opt := ablationOptions()
	opt.VLines = []VLine{{.1, "dropout", "0 %"}, {.2, "dropout", "20 %"}}
	f := must(Curves(opt, curves...)).drawing.(*curveFigure)
	var names []string
	for _, e := range f.legend {
		names = append(names, e.name)
	}
	require.Equal(t, []string{"0 %", "20 %", "40 %", "chance (0.1)", "dropout"}, names)
	require.Equal(t, []string{"Band: ± s.d. over 10 orderings"}, f.notes)
	require.Equal(t, vermillion, f.vlineStyle("40 %").Color, "the line takes its curve's colour")
	require.Equal(t, fine, f.vlineStyle("").Color)

	curves[1].Band = "range over 4 networks"
	curves[2].Lo, curves[2].Hi = nil, nil
	f = must(Curves(opt, curves...)).drawing.(*curveFigure)
	require.Equal(t, []string{"Band of 0 %: ± s.d. over 10 orderings", "Band of 20 %: range over 4 networks"}, f.notes)
}

func TestVerticalAxis(t *testing.T) {
	axisOf := func(opt Options, unit string, y ...float64) axis {
		c := result.Curve{YAxis: result.Axis{Name: "y", Unit: unit}, Y: y}
		for i := range y {
			c.X = append(c.X, float64(i))
		}
		return must(Curves(opt, c)).drawing.(*curveFigure).frame.y
	}
	limits := func(a axis) [2]float64 { return [2]float64{math.Round(1e9*a.lo) / 1e9, math.Round(1e9*a.hi) / 1e9} }
	require.Equal(t, [2]float64{0, 1}, limits(axisOf(Options{}, "fraction", .4, .5)), "fractions")
	require.Equal(t, [2]float64{0, 1.2}, limits(axisOf(Options{}, "fraction", .4, 1.15)), "a fraction above 1")
	require.Equal(t, [2]float64{.2, .7}, limits(axisOf(Options{YMin: .2, YMax: .7}, "fraction", 0, 1)), "as told")
	require.Equal(t, [2]float64{.2, 2.4}, limits(axisOf(Options{}, "nats", .31, 2.31)))
	require.Equal(t, [2]float64{0, 2.4}, limits(axisOf(Options{Chance: 2.302}, "nats", .01, 1)), "chance is in sight")
	a := axisOf(Options{}, "nats", 3, 3)
	require.True(t, a.lo < 3 && a.hi > 3, "a flat line is in sight")
	a = axisOf(Options{}, "nats", 0)
	require.True(t, a.lo < 0 && a.hi > 0)
	require.Equal(t, "y (nats)", a.label)
	require.Equal(t, "y", axisOf(Options{}, "", 1).label)
}

func TestMarkersOfLongCurves(t *testing.T) {
	f := &curveFigure{curves: []result.Curve{{X: make([]float64, 30)}, {X: make([]float64, 100)}, {X: make([]float64, 100)}}}
	every, first := f.spread(0)
	require.Equal(t, [2]int{1, 0}, [2]int{every, first})
	every, first = f.spread(1)
	require.Equal(t, [2]int{5, 1}, [2]int{every, first})
	every, first = f.spread(2)
	require.Equal(t, [2]int{5, 3}, [2]int{every, first}, "beside those of curve 1")
}

func TestGridPlacesPanels(t *testing.T) {
	a := must(Curves(Options{Title: "first", Style: Style{Width: 8, Height: 5}}, single()))
	b := must(Curves(Options{Style: Style{Width: 12, Height: 4}}, single()))
	g := must(Grid(2, a, b, a))
	w, h := g.Size()
	require.InDelta(t, 20, w, 1e-9)
	_, ah := a.Size()
	require.InDelta(t, 2*ah, h, 1e-9)
	require.Equal(t, "first", g.Title())
	require.Contains(t, g.Alt(), "Figure with 3 panels. Panel a: first. Plot of one curve.")
	text := svg(t, g)
	for _, letter := range []string{">a</text>", ">b</text>", ">c</text>"} {
		require.Equal(t, 1, strings.Count(text, letter), letter)
	}
	wide := must(Grid(5, a))
	w, _ = wide.Size()
	require.InDelta(t, 8, w, 1e-9, "no empty columns")
	require.Empty(t, must(Grid(1, b)).Title())

	for want, err := range map[string]error{
		"0 columns":                 second(Grid(0, a)),
		"0 panels":                  second(Grid(1)),
		"panel 1 is nil":            second(Grid(1, a, nil)),
		"panel 0 is a grid itself":  second(Grid(1, g)),
		"27 panels, between 1 and ": second(Grid(1, slices.Repeat([]*Figure{a}, 27)...)),
	} {
		require.ErrorContains(t, err, want)
	}
}

func second(_ *Figure, err error) error { return err }

func TestAltOfCurves(t *testing.T) {
	opt := noiseOptions()
	opt.VLines = []VLine{{X: 1, Name: "one s.d.", Curve: "0 %"}}
	c := noise()[0]
	c.X, c.Y, c.Lo, c.Hi = []float64{.1, 1, 10}, []float64{.99, .999, .1}, nil, nil
	require.Equal(t, "Noise. Plot of one curve. Horizontal axis: Noise scale (s.d. of the unit), 0.1 to 10, logarithmic. "+
		"Vertical axis: Training accuracy (fraction), 0 to 1. Curves by labels corrupted. "+
		"0 %: 3 points, from 0.99 at 0.1 to 0.1 at 10, lowest 0.1 at 10, highest 0.999 at 1. "+
		"Dotted line at chance, 0.1. Dashed vertical line at 1: one s.d. of 0 %. Preset smoke.",
		must(Curves(opt, c)).Alt())
}

func ExampleCurves() {
	robust := result.Curve{
		Name: "true labels", XAxis: result.Axis{Name: "Units ablated", Unit: "fraction"},
		YAxis: result.Axis{Name: "Training accuracy", Unit: "fraction"}, Band: "± s.d. over 10 orderings",
		X: []float64{0, 0.5, 1}, Y: []float64{1, 0.8, 0.1}, Lo: []float64{1, 0.7, 0.1}, Hi: []float64{1, 0.9, 0.1},
	}
	fragile := robust
	fragile.Name, fragile.Y = "random labels", []float64{1, 0.2, 0.1}
	fragile.Lo, fragile.Hi = nil, nil
	f, err := Curves(Options{Title: "Cumulative ablation", Chance: 0.1}, robust, fragile)
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if err := f.WritePNG(&file); err != nil {
		fmt.Println(err)
		return
	}
	width, _ := f.Size()
	fmt.Println(width, "cm wide")
	for line := range strings.SplitSeq(f.Alt(), ". ") {
		fmt.Println(line)
	}
	// Output:
	// 17 cm wide
	// Cumulative ablation
	// Plot of 2 curves
	// Horizontal axis: Units ablated (fraction), 0 to 1
	// Vertical axis: Training accuracy (fraction), 0 to 1
	// true labels: 3 points, from 1 at 0 to 0.1 at 1, lowest 0.1 at 1, highest 1 at 0
	// random labels: 3 points, from 1 at 0 to 0.1 at 1, lowest 0.1 at 1, highest 1 at 0
	// Band: ± s.d
	// over 10 orderings
	// Dotted line at chance, 0.1.
}

func ExampleGrid() {
	loss := result.Curve{XAxis: result.Axis{Name: "Epoch"}, YAxis: result.Axis{Name: "Loss", Unit: "nats"},
		X: []float64{1, 2}, Y: []float64{2.3, 0.4}}
	a, err := Curves(Options{Title: "Training", Style: Style{Width: 8, Height: 5}}, loss)
	if err != nil {
		fmt.Println(err)
		return
	}
	both, err := Grid(2, a, a)
	if err != nil {
		fmt.Println(err)
		return
	}
	width, _ := both.Size()
	fmt.Printf("%.0f cm, %q\n", width, both.Title())
	// Output: 16 cm, "Training"
}
