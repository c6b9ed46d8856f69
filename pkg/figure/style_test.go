package figure

import (
	"fmt"
	"image/color"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"
)

// seen gives the CIE L*a*b* coordinates (D65) of a colour as somebody sees it: with normal vision or with full
// protanopia, deuteranopia or tritanopia (Machado, Oliveira and Fernandes 2009, severity 1.0, matrices on linear RGB).
func seen(c color.NRGBA, vision string) [3]float64 {
	linear := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= .04045 {
			return x / 12.92
		}
		return math.Pow((x+.055)/1.055, 2.4)
	}
	apply := func(m [9]float64, v [3]float64) (out [3]float64) {
		for i := range out {
			out[i] = m[3*i]*v[0] + m[3*i+1]*v[1] + m[3*i+2]*v[2]
		}
		return out
	}
	rgb := [3]float64{linear(c.R), linear(c.G), linear(c.B)}
	if m, ok := map[string][9]float64{
		"protanopia":   {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
		"deuteranopia": {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
		"tritanopia":   {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900},
	}[vision]; ok {
		rgb = apply(m, rgb)
		for i := range rgb {
			rgb[i] = max(0, min(1, rgb[i]))
		}
	}
	xyz := apply([9]float64{.4124564, .3575761, .1804375, .2126729, .7151522, .0721750, .0193339, .1191920, .9503041}, rgb)
	f := func(t float64) float64 {
		if t > 216./24389 {
			return math.Cbrt(t)
		}
		return (24389./27*t + 16) / 116
	}
	x, y, z := f(xyz[0]/.95047), f(xyz[1]), f(xyz[2]/1.08883)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

func distance(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

func TestColoursCanBeToldApart(t *testing.T) {
	// L*a*b* of pure sRGB red is (53.24, 80.09, 67.20): a check of the conversion.
	red := seen(color.NRGBA{R: 255}, "normal")
	require.InDeltaSlice(t, []float64{53.24, 80.09, 67.20}, red[:], .02)

	for _, vision := range []string{"normal", "protanopia", "deuteranopia", "tritanopia"} {
		for _, ordered := range []bool{false, true} {
			for n := 2; n <= 7; n++ {
				colours := palette(n, ordered)
				for i := range colours {
					require.Less(t, seen(colours[i], vision)[0], 75., "colour %d of %d is too pale on white", i, n)
					for j := range i {
						// A difference of 2.3 is just noticeable side by side; thin lines need several times that.
						require.Greater(t, distance(seen(colours[i], vision), seen(colours[j], vision)), 9.,
							"%s: colours %d and %d of %d (ordered %v)", vision, j, i, n, ordered)
					}
				}
			}
		}
	}
}

func TestRamp(t *testing.T) {
	for _, vision := range []string{"normal", "protanopia", "deuteranopia", "tritanopia"} {
		for _, n := range []int{8, 9, 11} { // 11 convolutional layers
			colours := palette(n, true)
			for i, c := range colours {
				require.LessOrEqual(t, seen(c, vision)[0], 76., "colour %d of %d is too pale on white", i, n)
				if i == 0 {
					continue
				}
				require.Greater(t, seen(c, vision)[0], seen(colours[i-1], vision)[0], "%s: lightness grows", vision)
				for j := range i {
					require.Greater(t, distance(seen(c, vision), seen(colours[j], vision)), 5., "%s: colours %d and %d of %d", vision, j, i, n)
				}
			}
		}
	}
}

func TestOrderedPaletteRunsFromBlueToVermillion(t *testing.T) {
	for n := 2; n <= 6; n++ {
		p := palette(n, true)
		require.Equal(t, blue, p[0])
		require.Equal(t, vermillion, p[n-1])
	}
}

func TestNoTwoCurvesLookTheSame(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		look := map[string]bool{}
		for i, c := range palette(28, ordered) {
			look[fmt.Sprint(c, dashes(i))] = true
		}
		require.Len(t, look, 28)
	}
	shapes := map[string]bool{}
	for m := range mark(marks) {
		shapes[fmt.Sprint(m.outline())] = true
	}
	require.Len(t, shapes, marks)
}

func TestMarkersHaveAboutTheSameArea(t *testing.T) {
	for m := mark(1); m < marks; m++ {
		var twice float64
		pts := m.outline()
		for i, p := range pts {
			q := pts[(i+1)%len(pts)]
			twice += float64(p.X*q.Y - q.X*p.Y)
		}
		require.InDelta(t, math.Pi, math.Abs(twice)/2, 1.1, "marker %d", m)
	}
}

func TestWrap(t *testing.T) {
	l := face(10, ink, false)
	require.Equal(t, []string{"one two"}, l.wrap(" one  two ", 1000))
	require.Empty(t, l.wrap("  ", 1000))
	require.Equal(t, []string{"one", "two"}, l.wrap("one\ntwo", 1000))
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`([a-zäß]{1,40} ?){0,12}`).Draw(rt, "text")
		width := vg.Length(rapid.Float64Range(12, 300).Draw(rt, "width"))
		lines := l.wrap(text, width)
		for _, line := range lines {
			require.LessOrEqual(rt, l.Width(line), width)
		}
		require.Equal(rt, strings.ReplaceAll(text, " ", ""), strings.ReplaceAll(strings.Join(lines, ""), " ", ""), "nothing is lost")
	})
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		x      float64
		digits int
		want   string
	}{
		{0, 3, "0"}, {math.Copysign(0, -1), 3, "0"}, {.12345, 3, "0.123"}, {.9999, 3, "1"}, {-1.5, 3, "−1.5"}, {60000, 3, "60000"},
		{12345, 3, "12300"}, {1e-5, 3, "1e−5"}, {2.5e8, 3, "2.5e8"}, {1e-12, 3, "1e−12"}, {math.MaxFloat64, 3, "1.7976931348623157e308"},
	} {
		require.Equal(t, c.want, number(c.x, c.digits))
	}
}

func labels(ticks []plot.Tick) string {
	var out []string
	for _, tick := range ticks {
		if tick.Label != "" {
			out = append(out, tick.Label)
		}
	}
	return strings.Join(out, " ")
}

func TestLinearTicks(t *testing.T) {
	require.Equal(t, "0 0.2 0.4 0.6 0.8 1", labels(linearTicks(0, 1, false)))
	require.Equal(t, "0 200 400 600 800 1000", labels(linearTicks(0, 1024, true)))
	require.Equal(t, "0 250 500 750 1000 1250 1500", labels(linearTicks(0, 1536, true)))
	require.Equal(t, "0 1 2 3", labels(linearTicks(0, 3, true)), "no half units")
	require.Equal(t, "0 0.5 1 1.5 2 2.5 3", labels(linearTicks(0, 3, false)))
	require.Equal(t, "−1 −0.5 0 0.5 1", labels(linearTicks(-1, 1, false)))
	rapid.Check(t, func(rt *rapid.T) {
		lo := rapid.Float64Range(-1e4, 1e4).Draw(rt, "lo")
		hi := lo + math.Pow(10, rapid.Float64Range(-2, 6).Draw(rt, "log range"))
		ticks := linearTicks(lo, hi, false)
		n := len(strings.Fields(labels(ticks)))
		require.True(rt, n >= 4 && n <= 8, "%d ticks: %s", n, labels(ticks))
		for i, tick := range ticks {
			require.True(rt, tick.Value >= lo && tick.Value <= hi)
			require.True(rt, i == 0 || tick.Value > ticks[i-1].Value)
		}
		for _, tick := range linearTicks(math.Floor(lo), math.Ceil(hi)+1, true) {
			require.Equal(rt, math.Trunc(tick.Value), tick.Value)
		}
	})
}

func TestLogTicks(t *testing.T) {
	require.Equal(t, "0.1 1 10", labels(logTicks(math.Pow(10, -1.5), 10)))
	require.Len(t, logTicks(.1, 10), 19, "1…9 twice, and 10")
	require.Equal(t, "0.5 1 2 5", labels(logTicks(.3, 5)))
	require.Equal(t, "0.0001 0.001 0.01 0.1", labels(logTicks(1e-4, .5)))
	require.Equal(t, "2 2.2 2.4 2.6 2.8 3", labels(logTicks(2, 3)), "too short for powers of ten")
	rapid.Check(t, func(rt *rapid.T) {
		lo := math.Pow(10, rapid.Float64Range(-12, 6).Draw(rt, "log lo"))
		hi := lo * math.Pow(10, rapid.Float64Range(.05, 16).Draw(rt, "log range"))
		ticks := logTicks(lo, hi)
		n := len(strings.Fields(labels(ticks)))
		require.True(rt, n >= 3 && n <= 9, "%d ticks: %s", n, labels(ticks))
		for _, tick := range ticks {
			require.True(rt, tick.Value >= lo && tick.Value <= hi)
		}
	})
}
