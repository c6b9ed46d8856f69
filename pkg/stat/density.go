package stat

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Quantile returns the p-quantile of x, interpolated linearly between order statistics (numpy's default); p = 0.5 is the
// median. No values, numbers that are not finite, and p outside [0, 1] are errors. x stays as it is.
func Quantile(x []float64, p float64) (float64, error) {
	if err := values(x); err != nil {
		return 0, err
	}
	if !(p >= 0 && p <= 1) {
		return 0, fmt.Errorf("p is %v, it must lie between 0 and 1 (0.5 is the median)", p)
	}
	return quantile(slices.Sorted(slices.Values(x)), p), nil
}

// values checks that there are any, and that all are finite.
func values(x []float64) error {
	if len(x) == 0 {
		return errors.New("there are no values")
	}
	for i, v := range x {
		if v-v != 0 {
			return fmt.Errorf("value %d is %v; leave out values that are not finite, and report how many", i, v)
		}
	}
	return nil
}

// Bandwidth is Silverman's rule of thumb for the width of a Gaussian kernel (Silverman 1986, eq. 3.31):
//
//	0.9 min(s, IQR/1.34) n^(−1/5)
//
// with the s.d. alone where the interquartile range is 0. It is 0 if all values are equal. Errors: as Quantile.
func Bandwidth(x []float64) (float64, error) {
	if err := values(x); err != nil {
		return 0, err
	}
	if len(x) == 1 {
		return 0, nil
	}
	_, spread := MeanSD(x)
	sorted := slices.Sorted(slices.Values(x))
	if iqr := (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 1.34; iqr > 0 {
		spread = min(spread, iqr)
	}
	return 0.9 * spread * math.Pow(float64(len(x)), -0.2), nil
}

// Density estimates the probability density of x at the given places with a Gaussian kernel φ of width h,
//
//	f(t) = 1/(n h) Σ_i [ φ((t − x_i)/h) + φ((t − (2 lo − x_i))/h) + φ((t − (2 hi − x_i))/h) ],
//
// which reflects at the bounds what the kernel would put beyond them; a bound is ±Inf where there is none. Over the range
// from lo to hi it integrates to 1, up to what is reflected twice. Errors: as Quantile, h ≤ 0, and values outside the
// bounds.
func Density(x, at []float64, h, lo, hi float64) ([]float64, error) {
	if err := values(x); err != nil {
		return nil, err
	}
	if !(h > 0) || math.IsInf(h, 0) {
		return nil, fmt.Errorf("the kernel's width is %v, it must be a finite number > 0 (see Bandwidth)", h)
	}
	if !(slices.Min(x) >= lo && slices.Max(x) <= hi) {
		return nil, fmt.Errorf("values go from %v to %v, beyond the bounds %v to %v", slices.Min(x), slices.Max(x), lo, hi)
	}
	kernel := func(d float64) float64 { return math.Exp(-d * d / (2 * h * h)) } // 0 for infinite d
	f := make([]float64, len(at))
	for i, t := range at {
		for _, v := range x {
			f[i] += kernel(t-v) + kernel(t-(2*lo-v)) + kernel(t-(2*hi-v))
		}
		f[i] /= float64(len(x)) * h * math.Sqrt(2*math.Pi)
	}
	return f, nil
}
