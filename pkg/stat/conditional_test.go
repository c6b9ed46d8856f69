package stat_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

func TestKendall(t *testing.T) {
	// By hand: of the 6 pairs of points 5 are ordered alike, 1 not; then with a tie in x, and one more in y at the same place.
	for _, c := range []struct {
		x, y []float64
		tau  float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{1, 3, 2, 4}, 4. / 6},
		{[]float64{1, 2, 2, 4}, []float64{1, 3, 2, 4}, 5 / math.Sqrt(5*6)},
		{[]float64{1, 2, 2, 4}, []float64{1, 2, 2, 4}, 1},
		{[]float64{1, 2}, []float64{5, 4}, -1},
	} {
		tau, err := stat.Kendall(c.x, c.y)
		require.NoError(t, err)
		require.InDelta(t, c.tau, tau, 1e-15)
	}
	tau, err := stat.Kendall(tiedX, tiedY)
	require.NoError(t, err)
	require.InDelta(t, 0.7804878048780488, tau, 1e-15) // scipy 1.17.1 stats.kendalltau
	for _, bad := range [][2][]float64{{{1, 1}, {1, 2}}, {{1, 2}, {3, 3}}, {{1}, {2}}, {{1, 2}, {1}}, {{1, math.NaN()}, {1, 2}}} {
		_, err := stat.Kendall(bad[0], bad[1])
		require.Error(t, err)
	}
}

func TestConditionalByHand(t *testing.T) {
	conditional := func(measure, outcome []float64, settings ...stat.Setting) stat.ConditionalInformation {
		r, err := stat.Conditional(measure, outcome, settings, 2, 50, 1)
		require.NoError(t, err)
		return r
	}
	// 2 of 3 pairs are ordered alike, each counted both ways: I = ln 2 − H(1/3) and H = ln 2.
	r := conditional([]float64{1, 2, 3}, []float64{1, 3, 2})
	require.InDelta(t, 100*(1+(2*math.Log2(2./3)+math.Log2(1./3))/3), r.Score, 1e-12)
	require.Equal(t, []stat.Given{{Settings: []string{}, Information: r.Score / 100}}, r.Each)
	require.Equal(t, 3, r.Networks)

	// A perfect order, and its reverse, tell everything whatever else is known.
	outcome := []float64{0.1, 0.7, 0.4, 0.9, 0.2, 0.5, 0.3, 0.8}
	lr := stat.Setting{Name: "lr", Values: []float64{1, 1, 1, 1, 2, 2, 2, 2}}
	batch := stat.Setting{Name: "batch", Values: []float64{8, 8, 9, 9, 8, 8, 9, 9}}
	reversed := make([]float64, len(outcome))
	for i, y := range outcome {
		reversed[i] = 5 - y*y
	}
	for _, measure := range [][]float64{outcome, reversed} {
		r = conditional(measure, outcome, lr, batch)
		require.InDelta(t, 100, r.Score, 1e-10)
		require.Len(t, r.Each, 4)
		require.Equal(t, []string{"lr", "batch"}, r.Each[3].Settings)
		require.Less(t, r.Chance, 90.)
	}
	// What is a function of the learning rate tells nothing to those who know it, though it may tell others a lot.
	r = conditional(lr.Values, []float64{1, 2, 3, 4, 5, 6, 7, 8}, lr, batch)
	require.Greater(t, r.Each[0].Information, 0.3)
	require.InDelta(t, 0, r.Each[1].Information, 1e-12)
	require.Equal(t, []string{"lr"}, r.Each[1].Settings)
	require.InDelta(t, 0, r.Score, 1e-10)
	require.Contains(t, r.Least(), "lr")
	// Known settings of which every pair of values decides the outcome leave nothing to tell.
	r = conditional([]float64{1, 3, 2}, []float64{1, 2, 3}, stat.Setting{Name: "all", Values: []float64{1, 2, 3}})
	require.Zero(t, r.Each[1].Information)
}

func TestConditionalAgainstItsDefinition(t *testing.T) {
	for _, o := range scipy(t).Conditional {
		settings := []stat.Setting{{Name: "lr", Values: o.LR}, {Name: "batch", Values: o.Batch}}
		r, err := stat.Conditional(o.Measure, o.Outcome, settings, 2, 20, 1)
		require.NoError(t, err)
		smallest := 1.
		for i, want := range o.Shares {
			require.InDelta(t, want, r.Each[i].Information, 1e-12)
			smallest = min(smallest, want)
		}
		require.InDelta(t, 100*smallest, r.Score, 1e-10)
		again, err := stat.Conditional(o.Measure, o.Outcome, settings, 2, 20, 1)
		require.NoError(t, err)
		require.Equal(t, r, again)
		less, err := stat.Conditional(o.Measure, o.Outcome, settings, 1, 20, 1)
		require.NoError(t, err)
		require.Equal(t, r.Each[:3], less.Each)
	}
}

func TestConditionalInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 12).Draw(t, "n")
		draw := func(name string, most int) []float64 {
			x := make([]float64, n)
			for i, v := range rapid.SliceOfN(rapid.IntRange(0, most), n, n).Draw(t, name) {
				x[i] = float64(v)
			}
			return x
		}
		measure, outcome := draw("measure", 9), draw("outcome", 9)
		outcome[0], outcome[1] = -1, 10
		settings := []stat.Setting{{Name: "a", Values: draw("a", 2)}, {Name: "b", Values: draw("b", 1)}}
		r, err := stat.Conditional(measure, outcome, settings, 2, 5, 1)
		require.NoError(t, err)
		grown := make([]float64, n)
		for i, x := range measure {
			grown[i] = -math.Exp(x / 3)
		}
		s, err := stat.Conditional(grown, outcome, settings, 2, 5, 1)
		require.NoError(t, err)
		for i, g := range r.Each {
			require.GreaterOrEqual(t, g.Information, 0.)
			require.LessOrEqual(t, g.Information, 1.)
			require.InDelta(t, g.Information, s.Each[i].Information, 1e-12, "only the order counts, and not its direction")
		}
	})
}

func TestConditionalErrors(t *testing.T) {
	x, y := []float64{1, 2, 3}, []float64{1, 3, 2}
	for says, call := range map[string]func() error{
		"pair up": func() error { _, err := stat.Conditional(x, y[:2], nil, 2, 1, 1); return err },
		"the outcome is 1 throughout": func() error {
			_, err := stat.Conditional(x, []float64{1, 1, 1}, nil, 2, 1, 1)
			return err
		},
		"at most -1 settings": func() error { _, err := stat.Conditional(x, y, nil, -1, 1, 1); return err },
		"0 shuffles":          func() error { _, err := stat.Conditional(x, y, nil, 2, 0, 1); return err },
		"lr has 2 values for 3 networks": func() error {
			_, err := stat.Conditional(x, y, []stat.Setting{{Name: "lr", Values: x[:2]}}, 2, 1, 1)
			return err
		},
	} {
		require.ErrorContains(t, call(), says)
	}
}
