package complexity

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// flatStream separates the draws of Flat from other uses of the same seed.
const flatStream = 0x666c6174

// flatFloor is what is added to the variance of each parameter's disturbance, as a s.d. (ε of Jiang et al.).
const flatFloor = 1e-3

// The search for a flatness begins between these.
const (
	flatLowest  = 1. / 512
	flatHighest = 4.
)

// Flatness is how far parameters can be disturbed, relative to their size.
type Flatness struct {
	Sigma float64 `json:"sigma"` // see Flat
	// Beyond tells that the accuracy fell at the smallest disturbance already (−1), or not at the largest (1).
	Beyond      int `json:"beyond,omitempty"`
	Evaluations int `json:"evaluations"`
}

// Flat is the largest σ at which the mean accuracy over spec.Draws disturbed networks is still at least baseline − spec.Fall,
// each parameter w being disturbed by
//
//	u ~ N(0, σ² w² + ε²),   ε = 1e-3.
//
// 1/σ² is the measure that Jiang et al. call PAC-Bayes-magnitude-flatness (eq. 61 of their appendix), and 0.1 is the fall
// they take. All parameters of the folded network are disturbed, biases too. The same draws are scaled for every σ, so the
// accuracy falls about steadily, and log σ is halved in on spec.Steps times between 1/512 and 4. The network is left with some
// disturbed parameters.
func Flat(ctx context.Context, n Network, f Folded, baseline float64, spec Spec) (Flatness, error) {
	spec = spec.WithDefaults()
	names := append(append([]string{}, f.Weights...), f.Biases...)
	draws := make([]map[string][]float32, spec.Draws)
	for d := range draws {
		draws[d] = map[string][]float32{}
		for _, name := range names {
			h := fnv.New64a()
			h.Write([]byte(name))
			rng := rand.New(rand.NewPCG(spec.Seed^h.Sum64(), flatStream+uint64(d)))
			draw := make([]float32, len(f.Arrays[name].Data))
			for i := range draw {
				draw[i] = float32(rng.NormFloat64())
			}
			draws[d][name] = draw
		}
	}
	var found Flatness
	accuracy := func(sigma float64) (mean float64, err error) {
		for _, draw := range draws {
			disturbed := maps.Clone(f.Arrays)
			for _, name := range names {
				a := f.Arrays[name]
				data := make([]float32, len(a.Data))
				for i, w := range a.Data {
					data[i] = float32(float64(w) + float64(draw[name][i])*math.Hypot(sigma*float64(w), flatFloor))
				}
				disturbed[name] = Array{a.Shape, data}
			}
			if err := n.Replace(disturbed); err != nil {
				return 0, err
			}
			scores, _, err := n.Evaluate(ctx, [][]unit.Edit{nil})
			if err != nil {
				return 0, err
			}
			if len(scores) != 1 || scores[0].Examples < 1 {
				return 0, errors.New("the network gave no score")
			}
			found.Evaluations++
			mean += scores[0].Accuracy() / float64(len(draws))
		}
		return mean, nil
	}
	low, high := math.Log(flatLowest), math.Log(flatHighest)
	withstood, fell := false, false
	for range spec.Steps {
		middle := (low + high) / 2
		a, err := accuracy(math.Exp(middle))
		if err != nil {
			return Flatness{}, fmt.Errorf("flatness: %w", err)
		}
		// Counts of examples make accuracies; rounding must not decide whether one is just enough.
		if a >= baseline-spec.Fall-1e-9 {
			low, withstood = middle, true
		} else {
			high, fell = middle, true
		}
	}
	switch {
	case !withstood:
		found.Beyond = -1
	case !fell:
		found.Beyond = 1
	}
	found.Sigma = math.Exp((low + high) / 2)
	return found, nil
}
