package stat_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Expected: scipy 1.17.1, ttest_ind(b, a, equal_var=False), its df and confidence_interval.
func TestUnpairedAgainstScipy(t *testing.T) {
	for _, c := range []struct {
		a, b          []float64
		level         float64
		lo, hi, df, d float64
	}{
		{[]float64{1, 2, 3, 4, 5}, []float64{2.5, 3.5, 7, 9}, 0.95, -2.014660709414275, 7.014660709414275, 4.2984360038301945, 2.5},
		{[]float64{1, 2, 3, 4, 5}, []float64{2.5, 3.5, 7, 9}, 0.8, -0.02774386848962518, 5.027743868489625, 4.2984360038301945, 2.5},
		{[]float64{0.41, 0.44, 0.40, 0.43, 0.42}, []float64{0.36, 0.35, 0.39, 0.33, 0.37}, 0.95, -0.08879833064265859, -0.031201669357341408, 7.2, -0.06},
	} {
		got, err := stat.Unpaired(c.a, c.b, c.level)
		require.NoError(t, err)
		require.InDeltaSlice(t, []float64{c.lo, c.hi, c.df, c.d}, []float64{got.Lo, got.Hi, got.DF, got.Difference}, 1e-9)
		require.Equal(t, []int{len(c.a), len(c.b)}, []int{got.NA, got.NB})
		// The other way round it is the same with the other sign.
		back, err := stat.Unpaired(c.b, c.a, c.level)
		require.NoError(t, err)
		require.InDeltaSlice(t, []float64{-c.hi, -c.lo}, []float64{back.Lo, back.Hi}, 1e-9)
	}
	same, err := stat.Unpaired([]float64{1, 1}, []float64{3, 3, 3}, 0.95)
	require.NoError(t, err)
	require.Equal(t, stat.Contrast{Difference: 2, Lo: 2, Hi: 2, Level: 0.95, NA: 2, NB: 3}, same)

	for want, groups := range map[string][2][]float64{
		"a group of 1 is too small": {{1}, {1, 2}},
		"a group of 0 is too small": {{1, 2}, nil},
		"finite":                    {{1, 2}, {1, math.Inf(1)}},
	} {
		_, err := stat.Unpaired(groups[0], groups[1], 0.95)
		require.ErrorContains(t, err, want)
	}
	_, err = stat.Unpaired([]float64{1, 2}, []float64{1, 2}, 1)
	require.ErrorContains(t, err, "level is 1")
}
