package stat

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// selectionStream separates the draws of Select from other uses of the same seed.
const selectionStream = 0x73656c656374

// Selection is how well a score picks settings whose value is high, without knowing the value (sections 2.8 and 6-13).
type Selection struct {
	Settings int   `json:"settings"`
	Subset   int   `json:"subset"` // of so many settings one is picked at a time
	Draws    int   `json:"draws"`  // subsets
	Exact    bool  `json:"exact"`  // whether these are all subsets there are
	Top      []Top `json:"top"`
	// How much the value of the pick falls short of the best of its subset: mean and s.d. over subsets, what it would be on
	// average for a pick at random, and how often permuted scores do as well.
	Shortfall       float64 `json:"shortfall"`
	ShortfallSD     float64 `json:"shortfall_sd"` // sample s.d.; 0 for one subset
	ShortfallChance float64 `json:"shortfall_chance"`
	ShortfallP      float64 `json:"shortfall_p"`
	Permutations    int     `json:"permutations"` // that P and ShortfallP rest on
}

// Top is how often the pick is among the K best of its subset.
type Top struct {
	K      int     `json:"k"`
	Rate   float64 `json:"rate"`
	Chance float64 `json:"chance"` // of a pick at random
	P      float64 `json:"p"`      // how often permuted scores reach the rate
}

// SelectOptions say how often. The zero value of all but Subset and Top is usual.
type SelectOptions struct {
	Subset       int   // settings to pick from at a time
	Top          []int // the K of each Top
	Draws        int   // 0: 10,000
	Permutations int   // 0: 1,000
	Seed         uint64
}

// Select draws random subsets of the settings, picks from each the setting with the highest score, and compares its value
// with those of the subset. The pick is among the K best if fewer than K settings of the subset have a higher value. If
// several settings share the highest score each is picked in equal parts.
//
// If there are at most Draws subsets of that size, each is taken once instead. Subsets overlap, so they are no sample of
// which a rate could be tested against Chance: P compares with what the same subsets give when the scores are permuted
// among the settings. It is one-sided, and count / n! over all permutations if these are at most Permutations, else
// (count + 1) / (Permutations + 1).
//
// Fewer than two settings, lengths that differ, numbers that are not finite, a Subset outside 1 … settings, no Top, a K
// outside 1 … Subset, and negative Draws or Permutations are errors.
func Select(score, value []float64, opt SelectOptions) (Selection, error) {
	opt.Draws, opt.Permutations = cmp.Or(opt.Draws, 10_000), cmp.Or(opt.Permutations, 1000)
	n := len(score)
	switch {
	case n != len(value):
		return Selection{}, fmt.Errorf("there are %d scores but %d values", n, len(value))
	case n < 2:
		return Selection{}, fmt.Errorf("%d settings are too few to select from, at least 2 are needed", n)
	case opt.Subset < 1 || opt.Subset > n:
		return Selection{}, fmt.Errorf("subset is %d, it must lie between 1 and the number of settings, %d", opt.Subset, n)
	case opt.Draws < 1 || opt.Permutations < 1:
		return Selection{}, fmt.Errorf("%d draws and %d permutations; at least 1 of each is needed (0 means the default)",
			opt.Draws, opt.Permutations)
	case len(opt.Top) == 0:
		return Selection{}, fmt.Errorf("no K is given: how many of the best count as a hit")
	}
	for _, x := range [][]float64{score, value} {
		if err := values(x); err != nil {
			return Selection{}, err
		}
	}
	for _, k := range opt.Top {
		if k < 1 || k > opt.Subset {
			return Selection{}, fmt.Errorf("top: %d is not possible, it must lie between 1 and the size of a subset, %d", k, opt.Subset)
		}
	}
	e := newExperiment(value, opt)
	s := Selection{Settings: n, Subset: opt.Subset, Draws: len(e.in), Exact: e.exact}
	order := make([]int64, n) // settings by the place of their score, the highest first; permuted below
	for i := range order {
		order[i] = int64(i)
	}
	slices.SortStableFunc(order, func(a, b int64) int { return cmp.Compare(score[b], score[a]) })
	// last[p] is the end of the run of equal scores that place p belongs to.
	last := make([]int, n)
	for p := n - 1; p >= 0; p-- {
		last[p] = p + 1
		if p+1 < n && score[order[p]] == score[order[p+1]] {
			last[p] = last[p+1]
		}
	}
	observed := e.pick(order, last, nil)
	shortfalls := make([]float64, 0, len(e.in))
	e.pick(order, last, &shortfalls)
	s.Shortfall, s.ShortfallSD = MeanSD(shortfalls)
	if len(shortfalls) == 1 {
		s.ShortfallSD = 0
	}
	chance := e.chance()
	s.ShortfallChance = chance.shortfall
	// Sums of shares of ties are not exact.
	const rounding = 1e-9
	hits, near := make([]int, len(opt.Top)), 0
	count := func() {
		permuted := e.pick(order, last, nil)
		for k := range hits {
			if permuted.hits[k] >= observed.hits[k]-rounding {
				hits[k]++
			}
		}
		if permuted.shortfall <= observed.shortfall+rounding {
			near++
		}
	}
	more := 1
	if all, ok := factorial(n, opt.Permutations); ok {
		permute(order, n, count)
		s.Permutations, more = all, 0
	} else {
		rng := rand.New(rand.NewPCG(opt.Seed, permutationStream))
		for range opt.Permutations {
			rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
			count()
		}
		s.Permutations = opt.Permutations
	}
	p := func(count int) float64 { return float64(count+more) / float64(s.Permutations+more) }
	for k := range opt.Top {
		s.Top = append(s.Top, Top{K: opt.Top[k], Rate: observed.hits[k], Chance: chance.hits[k], P: p(hits[k])})
	}
	s.ShortfallP = p(near)
	return s, nil
}

// experiment is the subsets, with what does not depend on the scores.
type experiment struct {
	top   []int
	value []float64
	in    [][]bool // [subset, setting]
	rank  [][]int  // [subset, setting]: how many of the subset have a higher value
	best  []float64
	exact bool
}

func newExperiment(value []float64, opt SelectOptions) *experiment {
	e := &experiment{top: opt.Top, value: value}
	n := len(value)
	if e.exact = choose(n, opt.Subset, opt.Draws) <= opt.Draws; e.exact {
		combinations(n, opt.Subset, e.add)
		return e
	}
	rng := rand.New(rand.NewPCG(opt.Seed, selectionStream))
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for range opt.Draws {
		for i := range opt.Subset { // the beginning of a Fisher-Yates shuffle
			j := i + rng.IntN(n-i)
			all[i], all[j] = all[j], all[i]
		}
		e.add(all[:opt.Subset])
	}
	return e
}

// add notes a subset.
func (e *experiment) add(subset []int) {
	in, rank, best := make([]bool, len(e.value)), make([]int, len(e.value)), math.Inf(-1)
	for _, i := range subset {
		in[i], best = true, max(best, e.value[i])
		for _, j := range subset {
			if e.value[j] > e.value[i] {
				rank[i]++
			}
		}
	}
	e.in, e.rank, e.best = append(e.in, in), append(e.rank, rank), append(e.best, best)
}

// outcome is means over subsets.
type outcome struct {
	hits      []float64 // [K]
	shortfall float64
}

// pick picks from each subset the settings that come first in order, and appends their shortfalls to each if it is not nil.
func (e *experiment) pick(order []int64, last []int, each *[]float64) outcome {
	o := outcome{hits: make([]float64, len(e.top))}
	picked := make([]int64, 0, len(order))
	for d, in := range e.in {
		picked = picked[:0]
		for p, end := 0, len(order); p < end; p++ {
			if i := order[p]; in[i] {
				picked, end = append(picked, i), last[p]
			}
		}
		short := 0.
		for _, i := range picked {
			short += (e.best[d] - e.value[i]) / float64(len(picked))
			for k, best := range e.top {
				if e.rank[d][i] < best {
					o.hits[k] += 1 / float64(len(picked))
				}
			}
		}
		o.shortfall += short
		if each != nil {
			*each = append(*each, short)
		}
	}
	return o.over(len(e.in))
}

// chance is what all settings of a subset, picked in equal parts, give.
func (e *experiment) chance() outcome {
	o := outcome{hits: make([]float64, len(e.top))}
	for d, in := range e.in {
		size, short, hits := 0, 0., make([]int, len(e.top))
		for i, is := range in {
			if !is {
				continue
			}
			size++
			short += e.best[d] - e.value[i]
			for k, best := range e.top {
				if e.rank[d][i] < best {
					hits[k]++
				}
			}
		}
		o.shortfall += short / float64(size)
		for k := range hits {
			o.hits[k] += float64(hits[k]) / float64(size)
		}
	}
	return o.over(len(e.in))
}

func (o outcome) over(draws int) outcome {
	o.shortfall /= float64(draws)
	for k := range o.hits {
		o.hits[k] /= float64(draws)
	}
	return o
}

// choose is the number of subsets of k of n, or something above limit if there are more than that.
func choose(n, k, limit int) int {
	count := 1
	for i := range min(k, n-k) {
		if count = count * (n - i) / (i + 1); count > limit {
			return limit + 1
		}
	}
	return count
}

// combinations calls visit with each subset of k of the numbers 0 … n−1, in lexicographic order.
func combinations(n, k int, visit func([]int)) {
	c := make([]int, k)
	for i := range c {
		c[i] = i
	}
	for {
		visit(c)
		i := k - 1
		for i >= 0 && c[i] == n-k+i {
			i--
		}
		if i < 0 {
			return
		}
		c[i]++
		for j := i + 1; j < k; j++ {
			c[j] = c[j-1] + 1
		}
	}
}
