package sweep

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

func networks(t *testing.T, s Spec) []Network {
	t.Helper()
	n, _, err := s.Networks()
	require.NoError(t, err)
	return n
}

func TestGrid(t *testing.T) {
	s := Spec{Name: "a", Base: Base(), Grid: []Axis{{"lr", []any{0.1, 0.2}}, {"seed", []any{1, 2, 3}}}}
	n := networks(t, s)
	require.Len(t, n, 6)
	require.Equal(t, "lr 0.1, seed 2", n[1].Label)
	require.Equal(t, "lr 0.2, seed 1", n[3].Label)
	for i, x := range n {
		require.Equal(t, i, x.Index)
		seed := uint64(i%3 + 1)
		require.Equal(t, []uint64{seed, seed, seed}, []uint64{x.Spec.Fit.InitSeed, x.Spec.Fit.OrderSeed, x.Spec.Fit.DropoutSeed})
		require.Equal(t, []float64{0.1, 0.2}[i/3], x.Spec.Fit.LR)
		run, err := x.Spec.Key()
		require.NoError(t, err)
		require.Equal(t, run, x.Run, "an ordinary run of the store")
	}
	// Without a grid there is one network, that of `directions train` without flags.
	n = networks(t, Spec{Name: "a", Base: Base()})
	require.Len(t, n, 1)
	require.Equal(t, "", n[0].Label)

	// An uncorrupted network has no seed of corruption.
	s.Grid = []Axis{{"corrupt", []any{0, 0.5}}, {"corrupt_seed", []any{1, 2, 3}}}
	n, repeated, err := s.Networks()
	require.NoError(t, err)
	require.Equal(t, []int{4, 2}, []int{len(n), repeated})
}

// Rows of different analyses are different rows, of the same networks; equal ones are equal however they are written.
func TestKeys(t *testing.T) {
	key := func(a Analyses) Network { return networks(t, Spec{Name: "a", Base: Base(), Analyses: a})[0] }
	none, ablation := key(Analyses{}), key(Analyses{Ablate: &ablate.Spec{}})
	require.NotEqual(t, none.Key, ablation.Key)
	require.Equal(t, none.Run, ablation.Run)
	require.Equal(t, ablation.Key, key(Analyses{Ablate: &ablate.Spec{Orders: 10, Points: 20}, On: lab.On{Split: "train"}}).Key)
	require.NotEqual(t, ablation.Key, key(Analyses{Ablate: &ablate.Spec{Orders: 9}}).Key)
	require.NotEqual(t, ablation.Key, key(Analyses{Ablate: &ablate.Spec{}, On: lab.On{Split: "test"}}).Key)
	require.NotEqual(t, ablation.Key, ablation.Run)
	test := key(Analyses{Ablate: &ablate.Spec{}, Test: &lab.On{}})
	require.NotEqual(t, ablation.Key, test.Key)
	require.Equal(t, test.Key, key(Analyses{Ablate: &ablate.Spec{}, Test: &lab.On{Split: "test"}}).Key)
	require.NotEqual(t, test.Key, key(Analyses{Ablate: &ablate.Spec{}, Test: &lab.On{Examples: 10}}).Key)
}

// Recorded before there was Analyses.Test: rows that were computed without it keep their keys.
func TestKeysStay(t *testing.T) {
	smoke, ok := Preset("smoke")
	require.True(t, ok)
	require.Equal(t, "44e040b25e1bacc7e754c9d3ea9f3cda", networks(t, smoke)[0].Key)
}

func TestRandom(t *testing.T) {
	s := Spec{Name: "a", Base: Base(), Random: Random{Networks: 400, Seed: 1, Ranges: []Range{
		{Name: "lr", Low: 1e-3, High: 1, Log: true}, {Name: "dropout", Low: 0.1, High: 0.5},
		{Name: "batch", Low: 16, High: 256, Log: true}, {Name: "schedule", Choice: []any{"constant", "cosine"}},
	}}}
	all := networks(t, s)
	require.Len(t, all, 400)
	decades, cosine, small, dropout := [3]int{}, 0, 0, 0.
	for _, n := range all {
		f := n.Spec.Fit
		require.True(t, f.LR >= 1e-3 && f.LR <= 1 && f.Dropout >= 0.1 && f.Dropout <= 0.5 && f.Batch >= 16 && f.Batch <= 256)
		decades[min(2, int(math.Log10(f.LR)+3))]++
		dropout += f.Dropout / 400
		if f.Batch < 64 {
			small++
		}
		if f.Schedule == "cosine" {
			cosine++
		}
	}
	// Expected: 133 a decade, s.d. 9; 200 at half, s.d. 10; mean of dropout 0.3, s.d. 0.006. Bounds are 5 s.d. wide.
	for _, count := range decades {
		require.InDelta(t, 133, count, 47)
	}
	require.InDelta(t, 200, cosine, 50)
	require.InDelta(t, 200, small, 50, "half of the logarithms from 16 to 256 are below 64")
	require.InDelta(t, 0.3, dropout, 0.03)

	// More networks, or another parameter, leave what was drawn before as it was.
	s.Random.Networks = 3
	s.Random.Ranges = s.Random.Ranges[:1]
	for i, n := range networks(t, s) {
		require.Equal(t, all[i].Spec.Fit.LR, n.Spec.Fit.LR)
	}
	s.Random.Seed = 2
	require.NotEqual(t, all[0].Spec.Fit.LR, networks(t, s)[0].Spec.Fit.LR)
	s.Grid = []Axis{{"seed", []any{1, 2}}}
	both := networks(t, s)
	require.Len(t, both, 6)
	require.Equal(t, both[0].Spec.Fit.LR, both[1].Spec.Fit.LR)
	require.NotEqual(t, both[1].Spec.Fit.LR, both[2].Spec.Fit.LR)
}

// Drawn numbers are literals, the same on every platform. The values were drawn here (amd64) and are to stay.
func TestRandomStaysAsItIs(t *testing.T) {
	r := Range{Name: "lr", Low: 1e-3, High: 1, Log: true}
	var drawn []any
	for i := range 3 {
		_, x := r.value(1, i)
		drawn = append(drawn, x)
	}
	require.Equal(t, []any{0.05516, 0.0193, 0.2914}, drawn)
}

func TestSpecErrors(t *testing.T) {
	grid := func(axes ...Axis) Spec { return Spec{Name: "a", Base: Base(), Grid: axes} }
	random := func(n int, r ...Range) Spec {
		return Spec{Name: "a", Base: Base(), Random: Random{Networks: n, Ranges: r}}
	}
	seeds := grid()
	seeds.Base.Fit.OrderSeed = math.MaxUint64
	split := grid()
	split.Analyses.On.Split = "valid"
	test := func(a *ablate.Spec, on lab.On) Spec {
		s := grid()
		s.Analyses = Analyses{Ablate: a, Test: &on}
		return s
	}
	many := make([]any, 400)
	for i := range many {
		many[i] = i
	}
	for want, s := range map[string]Spec{
		`the name is ""`:                                    {},
		`the name is "a/b"`:                                 {Name: "a/b"},
		`no parameter "rate"; there are data,`:              grid(Axis{"rate", []any{1}}),
		"grid: lr has no values":                            grid(Axis{"lr", nil}),
		"grid: lr is varied twice":                          grid(Axis{"lr", []any{1}}, Axis{"lr", []any{2}}),
		"seed and init_seed are both varied":                grid(Axis{"seed", []any{1}}, Axis{"init_seed", []any{2}}),
		"lr: fast is not a number":                          grid(Axis{"lr", []any{"fast"}}),
		"lr is 0, it must be greater than 0":                grid(Axis{"lr", []any{0}}),
		"network with net mlp:x: ":                          grid(Axis{"net", []any{"mlp:x"}}),
		"network with lr -1: training: lr is -1; allowed":   grid(Axis{"lr", []any{-1}}),
		"more than 100000 networks":                         grid(Axis{"seed", many}, Axis{"corrupt_seed", many}),
		"it needs networks, how many, and at least one":     random(3),
		"random: networks is -1":                            random(-1, Range{Name: "lr", Low: 1, High: 2}),
		"the range is 2 to 1":                               random(1, Range{Name: "lr", Low: 2, High: 1}),
		"with log it must begin above 0":                    random(1, Range{Name: "lr", High: 1, Log: true}),
		"net: it takes no numbers":                          random(1, Range{Name: "net", Low: 1, High: 2}),
		"values to choose from and a range too":             random(1, Range{Name: "lr", Low: 1, High: 2, Choice: []any{1}}),
		"a seed is 18446744073709551615":                    seeds,
		`split "valid" is not one of train, test`:           split,
		"on test examples is asked for, but no ablation":    test(nil, lab.On{}),
		`the ablation on test examples is on split "train"`: test(&ablate.Spec{}, lab.On{Split: "train"}),
		"the ablation is on -1 test examples":               test(&ablate.Spec{}, lab.On{Examples: -1}),
	} {
		_, _, err := s.Networks()
		require.ErrorContains(t, err, want)
	}
}

// Every combination of a grid comes exactly once, in the order of an odometer.
func TestGridIsComplete(t *testing.T) {
	names := []string{"lr", "batch", "seed", "corrupt_seed", "dropout"}
	rapid.Check(t, func(t *rapid.T) {
		s := Spec{Name: "a", Base: Base()}
		s.Base.Corrupt.Fraction = 0.5 // so that its seed counts
		want := 1
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID[string]).Draw(t, "axes") {
			var values []any
			for i := range rapid.IntRange(1, 3).Draw(t, "values") {
				if name == "dropout" {
					values = append(values, float64(i)/8)
				} else {
					values = append(values, i+1)
				}
			}
			s.Grid = append(s.Grid, Axis{name, values})
			want *= len(values)
		}
		got, repeated, err := s.Networks()
		require.NoError(t, err)
		require.Zero(t, repeated)
		require.Len(t, got, want)
		for i, n := range got {
			for j, rest := len(s.Grid)-1, i; j >= 0; j-- {
				p, _ := lookup(s.Grid[j].Name)
				value := s.Grid[j].Values[rest%len(s.Grid[j].Values)]
				rest /= len(s.Grid[j].Values)
				want, _ := float(value)
				have, _ := float(p.get(n.Spec))
				require.Equal(t, want, have)
			}
		}
	})
}
