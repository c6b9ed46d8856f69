package figure

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
)

// number writes x with at most the given significant digits, without an exponent where that is readable.
func number(x float64, digits int) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'e', digits-1, 64), 64)
	if err != nil { // only beyond the largest float64
		rounded = x
	}
	if rounded == 0 {
		rounded = 0 // not −0
	}
	format := byte('f')
	if a := math.Abs(rounded); a != 0 && (a < 1e-4 || a >= 1e7) {
		format = 'e'
	}
	s := strconv.FormatFloat(rounded, format, -1, 64)
	s = strings.NewReplacer("e-0", "e-", "e+0", "e", "e+", "e").Replace(s)
	return strings.ReplaceAll(s, "-", "−")
}

// linearTicks labels five to seven round values between lo and hi where a round step allows (four to eight otherwise), with
// unlabelled ticks between them. whole forbids steps that are no whole numbers.
func linearTicks(lo, hi float64, whole bool) []plot.Tick {
	step := linearStep(lo, hi, whole)
	minor := step / 2
	if whole && minor != math.Trunc(minor) {
		minor = step
	}
	var ticks []plot.Tick
	slack := (hi - lo) * 1e-9
	for i := math.Ceil((lo - slack) / minor); i*minor <= hi+slack; i++ {
		t := plot.Tick{Value: math.Max(lo, math.Min(hi, i*minor))} // rounding must not push a tick off the axis
		if major := i * minor / step; math.Abs(major-math.Round(major)) < 1e-6 {
			t.Label = number(math.Round(major)*step, 12)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// linearStep chooses among 1, 2, 5, 2.5, 4, 3, 1.5 times a power of ten, the earlier the better, the step that gives five
// to seven multiples between lo and hi; failing that four to eight; failing that (whole steps on a short axis) fewer.
func linearStep(lo, hi float64, whole bool) float64 {
	slack := (hi - lo) * 1e-9
	top := int(math.Floor(math.Log10(hi - lo)))
	for _, want := range [][2]float64{{5, 7}, {4, 8}} {
		for _, q := range []float64{1, 2, 5, 2.5, 4, 3, 1.5} {
			for exp := top; exp >= top-1; exp-- {
				step := q * math.Pow10(exp)
				if exp < 0 {
					step = q / math.Pow10(-exp) // exact to the last bit more often: 2/10 is 0.2
				}
				if whole && step != math.Trunc(step) {
					continue
				}
				n := math.Floor((hi+slack)/step) - math.Ceil((lo-slack)/step) + 1
				if n >= want[0] && n <= want[1] {
					return step
				}
			}
		}
	}
	if whole {
		return math.Max(1, math.Pow10(top))
	}
	return (hi - lo) / 4
}

// logTicks marks 1…9 times each power of ten between lo and hi, which are positive, and labels the powers of ten; on a
// short axis 1, 2 and 5 times the powers, and on one shorter still what linearTicks labels.
func logTicks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	var decades int
	first, last := int(math.Floor(math.Log10(lo))), int(math.Ceil(math.Log10(hi)))
	for exp := first; exp <= last; exp++ {
		for m := 1.; m <= 9; m++ {
			v := m * math.Pow10(exp)
			if exp < 0 {
				v = m / math.Pow10(-exp)
			}
			if v < lo*(1-1e-9) || v > hi*(1+1e-9) {
				continue
			}
			ticks = append(ticks, plot.Tick{Value: math.Max(lo, math.Min(hi, v)), Label: number(v, 12)})
			if m == 1 {
				decades++
			}
		}
	}
	every := (decades + 7) / 8 // on a very long axis not every decade has room for a label
	labels := 0
	for i := range ticks {
		v := ticks[i].Value
		exp := math.Floor(math.Log10(v) + 1e-9)
		m := math.Round(v / math.Pow(10, exp))
		keep := m == 1 && (int(exp)-first)%max(every, 1) == 0
		if decades < 3 {
			keep = m == 1 || m == 2 || m == 5
		}
		if keep {
			labels++
		} else {
			ticks[i].Label = ""
		}
	}
	if labels < 3 {
		return linearTicks(lo, hi, false)
	}
	return ticks
}
