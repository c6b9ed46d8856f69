package stat

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// bootstrapStream separates the draws of Bootstrap from other uses of the same seed.
const bootstrapStream = 0x626f6f74737472

// Interval is a statistic with its bootstrap interval.
type Interval struct {
	Estimate  float64 `json:"estimate"` // of the data as they are
	Lo        float64 `json:"lo"`
	Hi        float64 `json:"hi"`
	Level     float64 `json:"level"`     // 0.95: Lo and Hi are the 2.5 and 97.5 % quantiles
	Resamples int     `json:"resamples"` // drawn
	Undefined int     `json:"undefined"` // of these, resamples left out because the statistic was NaN
}

// Bootstrap returns the percentile interval of a statistic over networks, each with its replicates (orderings, noise
// draws): networks[i][j] is replicate j of network i.
//
// It is hierarchical: a resample draws as many networks as there are, with replacement, and then within each drawn
// network as many replicates as that one has, with replacement. T is whatever the statistic needs of one replicate, for
// example an AUC together with the test error of its network. The statistic must not keep or change its argument. It may
// return NaN for a resample where it has no value (a correlation when all drawn networks are the same one); these are
// left out and counted. Quantiles are interpolated linearly between order statistics (numpy's default).
//
// Fewer than two networks, a network without replicates, a level outside (0, 1), fewer than one resample, and a
// statistic that is NaN on the data or on every resample are errors. With few networks (say, fewer than ten) percentile
// intervals are too narrow; say so next to them.
func Bootstrap[T any](
	networks [][]T, statistic func([][]T) float64, level float64, resamples int, seed uint64,
) (Interval, error) {
	if len(networks) < 2 {
		return Interval{}, fmt.Errorf("%d networks are too few for a bootstrap over networks, at least 2 are needed",
			len(networks))
	}
	if !(level > 0 && level < 1) {
		return Interval{}, fmt.Errorf("level is %v, it must lie between 0 and 1 (0.95 is usual)", level)
	}
	if resamples < 1 {
		return Interval{}, fmt.Errorf("resamples is %d, at least 1 is needed (10000 is usual)", resamples)
	}
	for i, replicates := range networks {
		if len(replicates) == 0 {
			return Interval{}, fmt.Errorf("network %d has no replicates", i)
		}
	}
	result := Interval{Estimate: statistic(networks), Level: level, Resamples: resamples}
	if math.IsNaN(result.Estimate) {
		return Interval{}, fmt.Errorf("the statistic is NaN on the data themselves")
	}
	rng := rand.New(rand.NewPCG(seed, bootstrapStream))
	values := make([]float64, 0, resamples)
	sample := make([][]T, len(networks))
	for range resamples {
		for i := range sample {
			drawn := networks[rng.IntN(len(networks))]
			sample[i] = slices.Grow(sample[i][:0], len(drawn))
			for range drawn {
				sample[i] = append(sample[i], drawn[rng.IntN(len(drawn))])
			}
		}
		if v := statistic(sample); math.IsNaN(v) {
			result.Undefined++
		} else {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Interval{}, fmt.Errorf("the statistic is NaN on all %d resamples", resamples)
	}
	slices.Sort(values)
	result.Lo, result.Hi = quantile(values, (1-level)/2), quantile(values, (1+level)/2)
	return result, nil
}

// quantile interpolates linearly at position p·(n−1) of sorted values.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	below := int(at)
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	lo, hi := sorted[below], sorted[below+1]
	if lo == hi { // also keeps ±Inf from turning into NaN
		return lo
	}
	return lo + (at-float64(below))*(hi-lo)
}
