package ablate

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

func TestPooled(t *testing.T) {
	one := Result{Units: 2, Examples: 10, Orders: 2, Grid: []int{0, 2}, Fraction: []float64{0, 1}, Correct: [][]int{{10, 1}, {10, 3}}}
	two := one
	two.Correct = [][]int{{8, 2}, {8, 2}}
	require.NoError(t, one.summarise())
	require.NoError(t, two.summarise())
	c, err := Pooled("both", []Result{one, two})
	require.NoError(t, err)
	require.NoError(t, c.Check())
	require.Equal(t, "both", c.Name)
	require.Equal(t, []float64{0, 2}, c.X)
	require.InDeltaSlice(t, []float64{0.9, 0.2}, c.Y, 1e-15)
	// Of 1, 1, 0.8, 0.8 the sample variance is 4·0.1²/3, of 0.1, 0.3, 0.2, 0.2 it is 2·0.1²/3.
	require.InDeltaSlice(t, []float64{0.11547005, 0.08164966}, []float64{c.Hi[0] - c.Y[0], c.Y[1] - c.Lo[1]}, 1e-8)
	require.Equal(t, 4, c.N)
	require.Equal(t, "± s.d. over 2 networks × 2 orderings", c.Band)

	for want, change := range map[string]func(*Result){
		"has 1 of 2 orderings":                       func(r *Result) { r.Correct = r.Correct[:1] },
		"has 2 orderings of 3 units at [0 2]":        func(r *Result) { r.Units = 3 },
		"at [0 1], the first one 2 of 2 at [0 2]":    func(r *Result) { r.Grid = []int{0, 1} },
		"result 2 of 2 is known within a bound only": func(r *Result) { r.Bounded = &sample.Rows{} },
	} {
		bad := two
		change(&bad)
		_, err := Pooled("both", []Result{one, bad})
		require.ErrorContains(t, err, want)
	}
	_, err = Pooled("none", nil)
	require.ErrorContains(t, err, "at least one result")
}
