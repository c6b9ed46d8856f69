package unit_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

func ExampleCheck() {
	sites := []unit.Site{{Name: "fc1", Shape: []int{64}}, {Name: "conv9", Shape: []int{4, 4, 512}}}
	fmt.Println(unit.Check(sites, [][]unit.Edit{{unit.Ablate("conv9", unit.Zero, 511)}}))
	fmt.Println(unit.Check(sites, [][]unit.Edit{{unit.Ablate("fc9", unit.Zero)}}))
	fmt.Println(unit.Check(sites, [][]unit.Edit{nil, {unit.Ablate("fc1", unit.Mean, 99)}}))
	// Output:
	// <nil>
	// edit set 0: no site "fc9", the network has [fc1 conv9]
	// edit set 1: site "fc1" has 64 units, got unit 99 (units count from 0)
}

func ExampleParseTarget() {
	for _, s := range []string{"", "mean", "element-mean", "value:0.5", "median"} {
		fmt.Println(unit.ParseTarget(s))
	}
	// Output:
	// zero <nil>
	// mean <nil>
	// element-mean <nil>
	// value:0.5 <nil>
	// zero target "median" is not one of zero, mean, element-mean, value:NUMBER (for example value:0.5)
}

func TestTargetsGoToTextAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		to := rapid.SampledFrom([]unit.Target{unit.Zero, unit.Mean, unit.ElementMean, unit.Itself, unit.Value(rapid.Float64().Draw(t, "value"))}).Draw(t, "target")
		text, err := json.Marshal(to)
		require.NoError(t, err)
		var back unit.Target
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, to, back)
	})
	for _, bad := range []string{"value:", "value:x", "value:NaN", "value:+Inf", "Zero", "value:1e999"} {
		_, err := unit.ParseTarget(bad)
		require.ErrorContains(t, err, "is not one of zero, mean, element-mean, value:NUMBER", bad)
	}
}

func TestEditsWithAndWithoutUnitsDifferInJSON(t *testing.T) {
	all, err := json.Marshal(unit.Ablate("fc1", unit.Zero))
	require.NoError(t, err)
	none, err := json.Marshal(unit.Edit{Site: "fc1", Units: []int{}})
	require.NoError(t, err)
	require.NotEqual(t, string(all), string(none), "no list means all units, an empty list none")
}

func TestCheck(t *testing.T) {
	sites := []unit.Site{{Name: "a", Shape: []int{3}}, {Name: "b", Shape: []int{2, 2, 4}}}
	noise := func(sd ...float64) unit.Edit { return unit.Noise("a", sd, 1) }
	good := [][]unit.Edit{nil, {}, {unit.Ablate("a", unit.Zero), unit.Ablate("b", unit.Value(-1), 0, 3)}, {noise(0, 1, 2)},
		{{Site: "a", Units: []int{}}}, {unit.Ablate("a", unit.Zero, 1), unit.Ablate("a", unit.Mean, 2)}}
	require.NoError(t, unit.Check(sites, good))
	for want, set := range map[string][]unit.Edit{
		"no site":             {unit.Ablate("c", unit.Zero)},
		"got unit 4":          {unit.Ablate("b", unit.Zero, 0, 4)},
		"got unit -1":         {unit.Ablate("b", unit.Zero, -1)},
		"unit 1 of site":      {unit.Ablate("a", unit.Zero), unit.Ablate("a", unit.Zero, 1)},
		"twice":               {unit.Ablate("a", unit.Zero, 2, 2)},
		"2 noise s.d. for 3":  {noise(1, 1)},
		"not a finite number": {noise(1, math.NaN(), 1)},
		"-1 is not a finite":  {noise(1, -1, 1)},
		"+Inf is not":         {noise(1, math.Inf(1), 1)},
		"is not finite":       {unit.Ablate("a", unit.Value(math.NaN()))},
		"two edits that add noise": {
			{Site: "a", Units: []int{0}, To: unit.Itself, Sigma: []float64{1}, Seed: 1},
			{Site: "a", Units: []int{1}, To: unit.Itself, Sigma: []float64{1}, Seed: 2},
		},
	} {
		require.ErrorContains(t, unit.Check(sites, [][]unit.Edit{nil, set}), want)
	}
}

func TestSelect(t *testing.T) {
	sites := []unit.Site{{Name: "a", Shape: []int{3}}, {Name: "b", Shape: []int{2, 2, 4}}}
	all, err := unit.Select(sites, nil)
	require.NoError(t, err)
	require.Equal(t, sites, all)
	chosen, err := unit.Select(sites, []string{"b", "a"})
	require.NoError(t, err)
	require.Equal(t, []unit.Site{sites[1], sites[0]}, chosen, "in the order asked for")
	_, err = unit.Select(sites, []string{"a", "a"})
	require.ErrorContains(t, err, `site "a" is named twice`)
	_, err = unit.Select(sites, []string{"x"})
	require.ErrorContains(t, err, `no site "x", the network has [a b]`)
	require.Equal(t, 4, sites[1].Units())
	require.Zero(t, unit.Site{}.Units())
}

func TestScoresAndReceiptsAddUp(t *testing.T) {
	a := unit.Score{Examples: 2, Correct: 1, Ties: 1, Loss: 0.5, ByClass: []int{1}}
	b := unit.Score{Examples: 3, Correct: 3, Loss: 0.25, ByClass: []int{0, 3}}
	sum := unit.Score{Examples: 5, Correct: 4, Ties: 1, Loss: 0.75, ByClass: []int{1, 3}}
	require.Equal(t, sum, a.Add(b))
	require.Equal(t, sum, b.Add(a))
	require.Equal(t, []int{1}, a.ByClass, "the parts stay as they are")
	require.Equal(t, 0.8, sum.Accuracy())
	require.Equal(t, 0.15, sum.MeanLoss())
	require.True(t, math.IsNaN(unit.Score{}.Accuracy()))

	r := unit.Receipt{Plan: "p", Backend: "go", Sets: 1, Edits: 2, Examples: 5, Changed: 3, NoEffect: 1, Ties: 1, Checked: 5, NearTies: 1}
	require.Equal(t, r, unit.Receipt{}.Add(r))
	twice := r.Add(r)
	require.Equal(t, unit.Receipt{Plan: "p", Backend: "go", Sets: 2, Edits: 4, Examples: 5, Changed: 6, NoEffect: 2, Ties: 2, Checked: 10, NearTies: 2}, twice)
}
