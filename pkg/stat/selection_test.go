package stat_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

func selected(t require.TestingT, score, value []float64, opt stat.SelectOptions) stat.Selection {
	s, err := stat.Select(score, value, opt)
	require.NoError(t, err)
	return s
}

// By hand. Three settings, of which the first has the highest score and the lowest value; two at a time are three subsets:
//
//	{0, 1}: picks 0, second of two, 0.4 short; {0, 2}: picks 0, second, 0.2 short; {1, 2}: picks 1, first, 0 short.
//
// Of the six orders of settings by score, 012 gives 1/3 first places, 021 none, 102 2/3, 120 3/3, 201 1/3, 210 2/3; they are
// 0.6, 0.8, 0.2, 0, 0.6 and 0.2 short in all.
func TestSelectByHand(t *testing.T) {
	opt := stat.SelectOptions{Subset: 2, Top: []int{1, 2}}
	s := selected(t, []float64{3, 2, 1}, []float64{0.5, 0.9, 0.7}, opt)
	require.Equal(t, []int{3, 2, 3}, []int{s.Settings, s.Subset, s.Draws})
	require.True(t, s.Exact)
	require.Equal(t, 6, s.Permutations)
	require.InDelta(t, 1./3, s.Top[0].Rate, 1e-12)
	require.InDelta(t, 1./2, s.Top[0].Chance, 1e-12)
	require.InDelta(t, 5./6, s.Top[0].P, 1e-12)
	require.Equal(t, stat.Top{K: 2, Rate: 1, Chance: 1, P: 1}, s.Top[1], "nobody is third of two")
	require.InDelta(t, 0.2, s.Shortfall, 1e-12)
	require.InDelta(t, 0.2, s.ShortfallSD, 1e-12, "of 0.4, 0.2 and 0")
	require.InDelta(t, (0.2+0.1+0.1)/3, s.ShortfallChance, 1e-12)
	require.InDelta(t, 5./6, s.ShortfallP, 1e-12)

	// Ties of the score are picked in equal parts: {0, 1} gives half a first place, {0, 2} and {1, 2} one each.
	s = selected(t, []float64{1, 1, 0}, []float64{0.8, 0.6, 0.2}, opt)
	require.InDelta(t, 2.5/3, s.Top[0].Rate, 1e-12)
	require.InDelta(t, 0.1/3, s.Shortfall, 1e-12)
	// Ties of the value: both are first.
	s = selected(t, []float64{1, 2, 3}, []float64{0.8, 0.8, 0.2}, opt)
	require.InDelta(t, 1./3, s.Top[0].Rate, 1e-12)
	require.InDelta(t, (1+0.5+0.5)/3, s.Top[0].Chance, 1e-12)
	// All settings at once: one subset, without a spread.
	s = selected(t, []float64{1, 2, 3}, []float64{3, 1, 2}, stat.SelectOptions{Subset: 3, Top: []int{1, 2, 3}})
	require.Equal(t, []float64{0, 1, 1}, []float64{s.Top[0].Rate, s.Top[1].Rate, s.Top[2].Rate})
	require.Equal(t, []float64{1, 0}, []float64{s.Shortfall, s.ShortfallSD})
}

// spread are n different values in no order: multiples of the golden ratio, modulo 1.
func spread(n int) (x []float64) {
	for i := range n {
		x = append(x, math.Mod(float64(i+1)*math.Phi, 1))
	}
	return x
}

// The paper's experiment: 48 of 96 settings, too many subsets to take all.
func TestSelectOfThePaper(t *testing.T) {
	value, worst := spread(96), make([]float64, 96)
	for i, v := range value {
		worst[i] = -v
	}
	opt := stat.SelectOptions{Subset: 48, Top: []int{1, 5, 10}, Permutations: 40, Seed: 1}
	perfect := selected(t, value, value, opt)
	require.False(t, perfect.Exact)
	require.Equal(t, 10_000, perfect.Draws)
	for i, k := range opt.Top {
		top := perfect.Top[i]
		require.InDelta(t, 1, top.Rate, 1e-12)
		require.InDelta(t, float64(k)/48, top.Chance, 1e-9)
		require.LessOrEqual(t, top.P, 0.1, "K = 10 is reached by a permutation whose first few all are among the best")
	}
	require.Zero(t, perfect.Shortfall)
	require.InDelta(t, 1./41, perfect.ShortfallP, 1e-12)

	opt.Draws, opt.Permutations = 1000, 20
	inverse := selected(t, worst, value, opt)
	require.Equal(t, []float64{0, 0, 0}, []float64{inverse.Top[0].Rate, inverse.Top[1].Rate, inverse.Top[2].Rate})
	require.Equal(t, 1., inverse.Top[0].P)
	require.InDelta(t, 1, inverse.ShortfallP, 1e-12)

	// A score that is the same everywhere picks at random, and cannot be told from it.
	constant := selected(t, make([]float64, 96), value, opt)
	for _, top := range constant.Top {
		require.InDelta(t, top.Chance, top.Rate, 1e-9)
		require.Equal(t, 1., top.P)
	}
	require.InDelta(t, constant.ShortfallChance, constant.Shortfall, 1e-9)
	// The mean of 48 of 96 about evenly spread values is ½; the largest is 97/98 on average, or so.
	require.InDelta(t, 0.48, constant.ShortfallChance, 0.02)

	perfect = selected(t, value, value, opt)
	require.Equal(t, perfect, selected(t, value, value, opt))
	opt.Seed = 2
	require.NotEqual(t, perfect.ShortfallChance, selected(t, value, value, opt).ShortfallChance, "other subsets")
}

// The p-value of scores that have nothing to do with the values is at most 0.05 in at most about 5 % of cases.
func TestSelectKeepsItsLevel(t *testing.T) {
	value := spread(16)
	const trials = 200
	below := 0
	for seed := range trials {
		score := make([]float64, 16)
		for i := range score {
			score[i] = math.Mod(float64((i+1)*(seed+7)*(seed+3))*math.Sqrt2, 1)
		}
		s := selected(t, score, value, stat.SelectOptions{Subset: 8, Top: []int{2}, Draws: 60, Permutations: 99, Seed: uint64(seed)})
		if s.Top[0].P <= 0.05 {
			below++
		}
	}
	require.LessOrEqual(t, below, 23, "expected 10 of 200 or fewer; 4 s.d. of 3.1 above it")
}

// However scores and values are: what is random agrees with what is exact, and only the ranks of the scores count.
func TestSelectInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 7).Draw(t, "n")
		numbers := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 5), func(i int) float64 { return float64(i) }), n, n)
		score, value := numbers.Draw(t, "score"), numbers.Draw(t, "value")
		opt := stat.SelectOptions{Subset: rapid.IntRange(1, n).Draw(t, "subset"), Permutations: 24}
		for k := range opt.Subset {
			opt.Top = append(opt.Top, k+1)
		}
		s := selected(t, score, value, opt)
		require.True(t, s.Exact)
		for i, top := range s.Top {
			require.True(t, top.Rate >= 0 && top.Rate <= 1+1e-12 && top.P > 0 && top.P <= 1)
			require.GreaterOrEqual(t, top.Chance, float64(top.K)/float64(opt.Subset)-1e-12)
			if i > 0 {
				require.GreaterOrEqual(t, top.Rate, s.Top[i-1].Rate-1e-12)
			}
		}
		require.InDelta(t, 1, s.Top[opt.Subset-1].Rate, 1e-12, "all are among as many as there are")
		require.GreaterOrEqual(t, s.Shortfall, 0.)
		cubed := make([]float64, n)
		for i, x := range score {
			cubed[i] = x*x*x - 100
		}
		require.Equal(t, s, selected(t, cubed, value, opt))
	})
}

func TestSelectErrors(t *testing.T) {
	two := []float64{1, 2}
	for want, c := range map[string]struct {
		score, value []float64
		opt          stat.SelectOptions
	}{
		"there are 2 scores but 1 values":                               {two, []float64{1}, stat.SelectOptions{Subset: 1, Top: []int{1}}},
		"1 settings are too few to select from":                         {two[:1], two[:1], stat.SelectOptions{Subset: 1, Top: []int{1}}},
		"subset is 3, it must lie between 1 and the number of settings": {two, two, stat.SelectOptions{Subset: 3, Top: []int{1}}},
		"subset is 0":            {two, two, stat.SelectOptions{Top: []int{1}}},
		"no K is given":          {two, two, stat.SelectOptions{Subset: 1}},
		"top: 2 is not possible": {two, two, stat.SelectOptions{Subset: 1, Top: []int{2}}},
		"-1 draws and 1000 per":  {two, two, stat.SelectOptions{Subset: 1, Top: []int{1}, Draws: -1}},
		"finite":                 {[]float64{1, math.NaN()}, two, stat.SelectOptions{Subset: 1, Top: []int{1}}},
	} {
		_, err := stat.Select(c.score, c.value, c.opt)
		require.ErrorContains(t, err, want)
	}
}
