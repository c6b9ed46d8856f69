package stat

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// shuffleStream separates the draws of Conditional from other uses of the same seed.
const shuffleStream = 0x636d692d6e756c6c

// Setting is a hyperparameter with its value in each network.
type Setting struct {
	Name   string
	Values []float64
}

// Given is what a measure tells of an outcome if some hyperparameters are known.
type Given struct {
	Settings    []string `json:"settings"`    // names of those that are known; none: nothing is
	Information float64  `json:"information"` // share of the entropy, 0 to 1
}

// ConditionalInformation is how much a measure tells of an outcome beyond what hyperparameters tell: see Conditional.
type ConditionalInformation struct {
	Score    float64 `json:"score"`  // the smallest share in Each, × 100
	Chance   float64 `json:"chance"` // mean score of the same measure dealt out to the networks at random
	Each     []Given `json:"each"`   // for every set of known hyperparameters
	Networks int     `json:"networks"`
	Shuffles int     `json:"shuffles"` // that Chance is the mean of
}

// Conditional asks whether a measure predicts an outcome because both depend on the hyperparameters, or beyond that: the
// independence test of Jiang, Neyshabur, Mobahi, Krishnan, Bengio, "Fantastic generalization measures and where to find
// them" (ICLR 2020, section 2.2.3) with the score of the competition "Predicting generalization in deep learning" (NeurIPS
// 2020). Of every ordered pair of two networks, V is the sign of the difference of their measures, W that of their
// outcomes, and U_S the values in both networks of the hyperparameters in a set S. For each S of at most `most` settings the
// share is
//
//	I(V; W | U_S) / H(W | U_S),
//
// mutual information and entropy of the pairs with one U_S, weighted by how many pairs have it; 0 if the entropy is. The
// score is the smallest share times 100: 100 for a measure that orders all networks like the outcome, or exactly the
// other way round, as information has no sign; 0 for one that depends on the hyperparameters of some S only.
//
// The information is that of the sample. Where few pairs have one U_S it is too large, and if S is all that sets networks
// apart but their seeds it says little; the smallest share is then mostly another one. Chance is what is left by accident.
//
// It is an error if there are fewer than two networks, lengths differ, numbers are not finite, the outcome is constant,
// `most` is negative or shuffles is less than 1.
func Conditional(measure, outcome []float64, settings []Setting, most, shuffles int, seed uint64) (ConditionalInformation, error) {
	n := len(measure)
	fail := func(err error) (ConditionalInformation, error) {
		return ConditionalInformation{}, fmt.Errorf("conditional information: %w", err)
	}
	if err := paired(measure, outcome); err != nil {
		return fail(err)
	}
	if err := notConstant("the outcome", outcome, "there is nothing to tell"); err != nil {
		return fail(err)
	}
	if most < 0 || shuffles < 1 {
		return fail(fmt.Errorf("sets of at most %d settings and %d shuffles; at least 0 and 1 are needed", most, shuffles))
	}
	for _, s := range settings {
		if len(s.Values) != n {
			return fail(fmt.Errorf("%s has %d values for %d networks", s.Name, len(s.Values), n))
		}
		if err := values(s.Values); err != nil {
			return fail(fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	if n*(n-1) > math.MaxInt32 {
		return fail(errors.New("too many networks"))
	}
	sets := subsets(len(settings), most)
	cells := make([]pairCells, len(sets))
	r := ConditionalInformation{Networks: n, Shuffles: shuffles}
	for i, set := range sets {
		cells[i] = newPairCells(settings, set, outcome)
		g := Given{Settings: []string{}, Information: cells[i].share(measure)}
		for _, k := range set {
			g.Settings = append(g.Settings, settings[k].Name)
		}
		r.Each = append(r.Each, g)
	}
	score := func(measure []float64) float64 {
		smallest := math.Inf(1)
		for _, c := range cells {
			smallest = min(smallest, c.share(measure))
		}
		return 100 * smallest
	}
	r.Score = score(measure)
	rng := rand.New(rand.NewPCG(seed, shuffleStream))
	dealt := slices.Clone(measure)
	for range shuffles {
		rng.Shuffle(n, func(i, j int) { dealt[i], dealt[j] = dealt[j], dealt[i] })
		r.Chance += score(dealt) / float64(shuffles)
	}
	return r, nil
}

// subsets are those of 0…n−1 with at most so many members, the smaller ones first.
func subsets(n, most int) (all [][]int) {
	for size := range min(n, most) + 1 {
		var choose func(from int, set []int)
		choose = func(from int, set []int) {
			if len(set) == size {
				all = append(all, slices.Clone(set))
				return
			}
			for k := from; k < n; k++ {
				choose(k+1, append(set, k))
			}
		}
		choose(0, nil)
	}
	return all
}

// Least is the set of known hyperparameters that decides the score: the first one with the smallest share.
func (c ConditionalInformation) Least() []string {
	return slices.MinFunc(c.Each, func(a, b Given) int { return cmp.Compare(a.Information, b.Information) }).Settings
}

// pairCells sorts the ordered pairs of networks by the value of U_S and the sign of the outcomes' difference.
type pairCells struct {
	n       int
	cell    []int32 // of each ordered pair: 3 · number of U_S + sign of the outcomes' difference + 1; −1 of a network with itself
	groups  int
	entropy float64 // H(W | U_S), nats
}

func newPairCells(settings []Setting, set []int, outcome []float64) pairCells {
	c := pairCells{n: len(outcome)}
	// Networks with equal values of the settings in S have one number.
	number, seen := make([]int, c.n), [][]float64{}
	for i := range number {
		key := []float64{}
		for _, k := range set {
			key = append(key, settings[k].Values[i])
		}
		at := slices.IndexFunc(seen, func(s []float64) bool { return slices.Equal(s, key) })
		if at < 0 {
			at, seen = len(seen), append(seen, key)
		}
		number[i] = at
	}
	c.groups = len(seen) * len(seen)
	counts := make([]int, 3*c.groups)
	for i := range c.n {
		for j := range c.n {
			cell := int32(-1)
			if i != j {
				cell = int32(3*(number[i]*len(seen)+number[j]) + sign(outcome[i], outcome[j]) + 1)
				counts[cell]++
			}
			c.cell = append(c.cell, cell)
		}
	}
	for g := range c.groups {
		c.entropy += spread(counts[3*g : 3*g+3])
	}
	return c
}

// spread is n H(p) of counts that add up to n, in nats.
func spread(counts []int) (h float64) {
	n := 0
	for _, k := range counts {
		if n += k; k > 0 {
			h -= float64(k) * math.Log(float64(k))
		}
	}
	if n > 0 {
		h += float64(n) * math.Log(float64(n))
	}
	return h
}

// share is I(V; W | U_S)/H(W | U_S) = (H(V) + H(W) − H(V, W))/H(W), each conditional.
func (c pairCells) share(measure []float64) float64 {
	if c.entropy <= 0 {
		return 0
	}
	joint := make([]int, 9*c.groups)
	for i := range c.n {
		for j := range c.n {
			if cell := c.cell[i*c.n+j]; cell >= 0 {
				joint[3*int(cell)+sign(measure[i], measure[j])+1]++
			}
		}
	}
	information := c.entropy
	for g := range c.groups {
		group := joint[9*g : 9*g+9] // by sign of the outcomes' difference, then of the measures'
		var of [3]int
		for k, count := range group {
			of[k%3] += count
		}
		information += spread(of[:]) - spread(group)
	}
	if information < 1e-12*c.entropy { // rounding, as is more than all
		return 0
	}
	return min(1, information/c.entropy)
}
