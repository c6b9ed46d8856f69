package stat

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// signStream separates the draws of Paired from other uses of the same seed.
const signStream = 0x7369676e73

// Difference compares two conditions that were measured on the same networks, or on networks that share their seeds.
type Difference struct {
	Mean float64 `json:"mean"` // of b − a
	SD   float64 `json:"sd"`   // of b − a, with n − 1
	N    int     `json:"n"`    // pairs
	// Lo and Hi bound the mean by Student's t with n − 1 degrees of freedom.
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	Level float64 `json:"level"`
	P     float64 `json:"p"`     // two-sided, of the sign-flip test
	Flips int     `json:"flips"` // assignments of signs that P rests on
	Exact bool    `json:"exact"` // whether these are all 2^n
}

// Paired compares conditions a and b, pair by pair: a[i] and b[i] are of one network. P is how often the mean difference is
// as far from 0 if each pair's labels a and b are swapped at random: over all 2^n assignments if these are at most flips,
// else over flips random ones of the seed, as (count + 1)/(flips + 1). With n pairs P is at least 2/2^n: four pairs cannot
// give less than 0.125.
//
// Fewer than two pairs, numbers that are not finite, a level outside (0, 1) and flips < 1 are errors.
func Paired(a, b []float64, level float64, flips int, seed uint64) (Difference, error) {
	if err := paired(a, b); err != nil {
		return Difference{}, err
	}
	if !(level > 0 && level < 1) {
		return Difference{}, fmt.Errorf("level is %v, it must lie between 0 and 1 (0.95 is usual)", level)
	}
	if flips < 1 {
		return Difference{}, fmt.Errorf("flips is %d, at least 1 is needed (10000 is usual)", flips)
	}
	d := Difference{N: len(a), Level: level}
	differences, size := make([]float64, len(a)), 0.0
	for i := range a {
		differences[i] = b[i] - a[i]
		size += math.Abs(differences[i])
	}
	d.Mean, d.SD = MeanSD(differences)
	n := float64(d.N)
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile((1+level)/2) * d.SD / math.Sqrt(n)
	d.Lo, d.Hi = d.Mean-half, d.Mean+half

	observed := 0.0
	for _, x := range differences {
		observed += x
	}
	// Sums of the same numbers in other signs are equal up to rounding, and rounding must not decide a tie.
	limit, extreme := math.Abs(observed)-1e-12*size, 0
	count := func(minus func(i int) bool) {
		sum := 0.0
		for i, x := range differences {
			if minus(i) {
				x = -x
			}
			sum += x
		}
		if math.Abs(sum) >= limit {
			extreme++
		}
	}
	if d.N < 31 && 1<<d.N <= flips {
		for signs := range 1 << d.N {
			count(func(i int) bool { return signs>>i&1 == 1 })
		}
		d.Flips, d.Exact, d.P = 1<<d.N, true, float64(extreme)/float64(int(1)<<d.N)
		return d, nil
	}
	rng := rand.New(rand.NewPCG(seed, signStream))
	for range flips {
		count(func(int) bool { return rng.Uint64()&1 == 1 })
	}
	d.Flips, d.P = flips, float64(extreme+1)/float64(flips+1)
	return d, nil
}
