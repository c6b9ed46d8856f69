package ablate_test

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

func TestRandomBasisIsHaar(t *testing.T) {
	site := unit.Site{Name: "fc1", Shape: []int{3}}
	const draws = 4000
	var first, square, fourth, product float64
	for seed := range uint64(draws) {
		v := ablate.RandomBasis(site, seed, 0).Vectors
		first += v[0] / draws
		square += v[0] * v[0] / draws
		fourth += math.Pow(v[0], 4) / draws
		product += v[0] * v[4] / draws // fixed signs of the diagonal would show here
	}
	// Of a uniform direction in n = 3 dimensions: E q = 0, E q² = 1/n, E q⁴ = 3/(n(n + 2)), and E q₀₀ q₁₁ = 0; s.d. of one draw
	// are 0.58, 0.30, 0.26 and at most 0.34.
	se := 4 / math.Sqrt(draws)
	require.InDelta(t, 0, first, 0.58*se)
	require.InDelta(t, 1./3, square, 0.30*se)
	require.InDelta(t, 1./5, fourth, 0.27*se)
	require.InDelta(t, 0, product, 0.35*se)

	wide := unit.Site{Name: "conv9", Shape: []int{4, 4, 40}}
	b := ablate.RandomBasis(wide, 1, 0)
	_, err := unit.NewBasis(40, b.Vectors)
	require.NoError(t, err, "orthonormal")
	require.Equal(t, b, ablate.RandomBasis(wide, 1, 0))
	other := wide
	other.Name = "conv10"
	for _, c := range []*unit.Basis{ablate.RandomBasis(wide, 2, 0), ablate.RandomBasis(wide, 1, 1), ablate.RandomBasis(other, 1, 0)} {
		require.NotEqual(t, b, c, "another seed, ordering or site")
	}
}

func TestDirectionsInsteadOfUnits(t *testing.T) {
	spec := ablate.Spec{Orders: 3, Points: 6, Seed: 1}
	units := small()
	plain, err := ablate.Cumulative(context.Background(), units, spec, ablate.Options{})
	require.NoError(t, err)
	spec.Basis, spec.BasisSeed = ablate.RandomDirections, 9
	turned := small()
	r, err := ablate.Cumulative(context.Background(), turned, spec, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, "random", r.Basis)
	require.EqualValues(t, 9, r.BasisSeed)
	require.Equal(t, "directions ablated", r.Curve("x").XAxis.Name)
	require.Equal(t, "units ablated", plain.Curve("x").XAxis.Name)
	// The network of this test knows no directions: it takes them for units of the same numbers.
	require.Equal(t, plain.Correct, r.Correct)
	require.Equal(t, plain.OrdersHash, r.OrdersHash)
	seen := map[*unit.Basis]string{}
	for i, set := range turned.sets {
		require.Len(t, set, len(units.sets[i]))
		for k, e := range set {
			require.Equal(t, units.sets[i][k].Units, e.Units)
			if e.Units == nil {
				require.Nil(t, e.Basis, "all directions are all units")
				continue
			}
			seen[e.Basis] = e.Site
		}
	}
	require.Len(t, seen, 6, "one for each site and ordering")
	for b, site := range seen {
		n := map[string]int{"a": 2, "b": 3}[site]
		_, err := unit.NewBasis(n, b.Vectors)
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(b.Vectors, func(x float64) bool { return x != 0 && x != 1 }))
	}

	partial := r
	partial.Correct = r.Correct[:1]
	again, err := ablate.Cumulative(context.Background(), small(), spec, ablate.Options{Resume: &partial})
	require.NoError(t, err)
	require.Equal(t, r.Correct, again.Correct)
	spec.BasisSeed = 10
	_, err = ablate.Cumulative(context.Background(), small(), spec, ablate.Options{Resume: &partial})
	require.ErrorContains(t, err, "target or basis")
	_, err = ablate.Pooled("both", []ablate.Result{plain, r})
	require.ErrorContains(t, err, "takes out directions of another basis")
}

func TestDirectionsSpec(t *testing.T) {
	for want, spec := range map[string]ablate.Spec{
		`basis is "pca"; allowed: "random", or nothing for units`: {Basis: "pca"},
		"they cannot be clamped to mean":                          {Basis: "random", To: unit.Mean},
	} {
		_, err := ablate.Cumulative(context.Background(), small(), spec, ablate.Options{})
		require.ErrorContains(t, err, want)
	}
	// Specifications from before directions keep their text, and so the keys of their results.
	text, err := json.Marshal(ablate.Spec{Seed: 1, BasisSeed: 3}.WithDefaults())
	require.NoError(t, err)
	require.JSONEq(t, `{"orders": 10, "points": 20, "to": "zero", "seed": 1}`, string(text), "a seed of no basis is of no account")
}
