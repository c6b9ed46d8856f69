package stat

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Contrast compares two groups of different networks.
type Contrast struct {
	Difference float64 `json:"difference"` // mean of b − mean of a
	// Lo and Hi bound the difference by Student's t with Welch's degrees of freedom.
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	Level float64 `json:"level"`
	DF    float64 `json:"df"`
	NA    int     `json:"n_a"`
	NB    int     `json:"n_b"`
}

// Unpaired compares the means of two groups that may differ in size and spread (Welch 1947): with v = s²/n of each group, s
// having n − 1,
//
//	mean(b) − mean(a) ± t √(v_a + v_b),   t with (v_a + v_b)² / (v_a²/(n_a − 1) + v_b²/(n_b − 1)) degrees of freedom.
//
// If neither group varies the interval is the difference itself, and DF 0. Fewer than two values in a group, numbers that are
// not finite and a level outside (0, 1) are errors.
func Unpaired(a, b []float64, level float64) (Contrast, error) {
	if !(level > 0 && level < 1) {
		return Contrast{}, fmt.Errorf("level is %v, it must lie between 0 and 1 (0.95 is usual)", level)
	}
	c := Contrast{Level: level, NA: len(a), NB: len(b)}
	var means, spreads [2]float64
	for i, group := range [][]float64{a, b} {
		if len(group) < 2 {
			return Contrast{}, fmt.Errorf("a group of %d is too small to compare, at least 2 are needed", len(group))
		}
		if err := values(group); err != nil {
			return Contrast{}, err
		}
		mean, sd := MeanSD(group)
		means[i], spreads[i] = mean, sd*sd/float64(len(group))
	}
	c.Difference = means[1] - means[0]
	c.Lo, c.Hi = c.Difference, c.Difference
	if v := spreads[0] + spreads[1]; v > 0 {
		c.DF = v * v / (spreads[0]*spreads[0]/float64(c.NA-1) + spreads[1]*spreads[1]/float64(c.NB-1))
		half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: c.DF}.Quantile((1+level)/2) * math.Sqrt(v)
		c.Lo, c.Hi = c.Difference-half, c.Difference+half
	}
	return c, nil
}
