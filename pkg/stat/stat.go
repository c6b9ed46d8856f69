// Package stat has the statistics of the protocol that gonum.org/v1/gonum/stat lacks: means and standard deviations of
// counts, rank correlation with ties and a permutation p-value, a bootstrap that resamples networks before the replicates
// within them, the paired and unpaired comparison of conditions, relations of two numbers of units, per layer and pooled, and
// how well a score picks settings.
//
// The unit of analysis is nearly always the network, not the ordering or the noise draw: ten orderings of one network
// are ten looks at one sample. Bootstrap therefore takes its replicates grouped by network. Morcos et al. 2018 give no
// p-values and no intervals; those here are ours.
//
// No function writes to its arguments. Bad input is an error that names it, and every random result has its seed.
package stat

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/integrate"
	gonum "gonum.org/v1/gonum/stat"
)

// MeanSD returns the mean of x and its sample standard deviation
//
//	sqrt(Σ (x_i − mean)² / (n − 1)).
//
// The mean is NaN without values, the standard deviation with fewer than two.
func MeanSD(x []float64) (mean, sd float64) {
	if len(x) == 0 {
		return math.NaN(), math.NaN()
	}
	if len(x) == 1 {
		return x[0], math.NaN()
	}
	return gonum.MeanStdDev(x, nil)
}

// MeanSDCounts returns, for each column of counts [repeats, points], mean and sample standard deviation (n − 1) over the
// repeats of the fraction counts[i][j] / of.
//
// Sums are over integers, so four repeats at 8 of 10 have mean 0.8 and s.d. 0 exactly; repeats · of must stay below
// 3·10⁹. Without repeats both results are nil. With one repeat sd is nil: one value has no spread, and NaN does not go
// into JSON. An error is returned for rows of unequal length and for counts outside 0..of.
func MeanSDCounts(counts [][]int, of int) (mean, sd []float64, err error) {
	n := int64(len(counts))
	if n == 0 {
		return nil, nil, nil
	}
	if of < 1 || n*int64(of) >= 3e9 {
		return nil, nil, fmt.Errorf("counts of %d repeats out of %d: the total must lie between 1 and 3e9", n, of)
	}
	points := len(counts[0])
	for i, row := range counts {
		if len(row) != points {
			return nil, nil, fmt.Errorf("counts of repeat %d have %d points, those of repeat 0 have %d", i, len(row), points)
		}
		for j, c := range row {
			if c < 0 || c > of {
				return nil, nil, fmt.Errorf("count %d (repeat %d, point %d) is outside 0..%d", c, i, j, of)
			}
		}
	}
	mean = make([]float64, points)
	if n > 1 {
		sd = make([]float64, points)
	}
	for j := range points {
		var sum, squares int64
		for _, row := range counts {
			c := int64(row[j])
			sum += c
			squares += c * c
		}
		mean[j] = float64(sum) / float64(n*int64(of))
		if n > 1 {
			sd[j] = math.Sqrt(float64(n*squares-sum*sum)/float64(n*(n-1))) / float64(of)
		}
	}
	return mean, sd, nil
}

// Trapezoid returns the area under the polygon through the points (x_i, y_i),
//
//	Σ (x_{i+1} − x_i) (y_i + y_{i+1}) / 2.
//
// It needs at least two points, x strictly increasing, and finite numbers.
func Trapezoid(x, y []float64) (float64, error) {
	if err := paired(x, y); err != nil {
		return 0, err
	}
	for i := 1; i < len(x); i++ {
		if x[i] <= x[i-1] {
			return 0, fmt.Errorf("x must increase strictly, but x[%d] = %v follows %v", i, x[i], x[i-1])
		}
	}
	return integrate.Trapezoidal(x, y), nil
}

// Pearson returns the linear correlation of x and y, between −1 and 1. Fewer than two pairs, a constant x or y, and
// numbers that are not finite are errors.
func Pearson(x, y []float64) (float64, error) {
	if err := varying(x, y); err != nil {
		return 0, err
	}
	// Rounding may leave |r| an ulp above 1.
	return max(-1, min(1, gonum.Correlation(x, y, nil))), nil
}

// paired checks that x and y are at least two pairs of finite numbers.
func paired(x, y []float64) error {
	if len(x) != len(y) {
		return fmt.Errorf("x has %d values and y has %d; they must pair up", len(x), len(y))
	}
	if len(x) < 2 {
		return fmt.Errorf("%d pairs are too few, at least 2 are needed", len(x))
	}
	for i := range x {
		// v − v is 0 for every finite v and NaN otherwise.
		if x[i]-x[i] != 0 || y[i]-y[i] != 0 {
			return fmt.Errorf("pair %d is (%v, %v); leave out pairs that are not finite, and report how many", i, x[i], y[i])
		}
	}
	return nil
}

// varying is paired, and neither x nor y constant.
func varying(x, y []float64) error {
	if err := paired(x, y); err != nil {
		return err
	}
	return cmp.Or(notConstant("x", x, "a constant has no correlation"), notConstant("y", y, "a constant has no correlation"))
}

func notConstant(name string, x []float64, why string) error {
	if slices.Min(x) == slices.Max(x) {
		return fmt.Errorf("%s is %v throughout; %s", name, x[0], why)
	}
	return nil
}
