package stat_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// scipy's answers: linregress, pearsonr, spearmanr, kendalltau, ttest_rel and permutation_test. testdata/oracles.py wrote them.
type oracles struct {
	Points []struct {
		X, Y                                []float64
		Slope, Intercept, Pearson, Spearman float64
		Kendall                             float64
		SlopeSE                             float64 `json:"slope_se"`
	}
	Pairs []struct {
		A, B      []float64
		Lo, Hi, P float64
	}
	Conditional []struct { // kendalltau, and conditional information from its definition with stats.entropy
		LR, Batch, Outcome, Measure, Shares []float64
	}
}

func scipy(t *testing.T) (o oracles) {
	text, err := os.ReadFile("testdata/oracles.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &o))
	require.Len(t, o.Points, 3)
	require.Len(t, o.Pairs, 2)
	return o
}

func TestLineAgainstScipy(t *testing.T) {
	for _, o := range scipy(t).Points {
		line, err := stat.OLS(o.X, o.Y)
		require.NoError(t, err)
		require.InDeltaSlice(t, []float64{o.Slope, o.Intercept, o.SlopeSE, o.Pearson},
			[]float64{line.Slope, line.Intercept, line.SlopeSE, line.R}, 1e-12)
		require.Equal(t, len(o.X), line.N)
		rho, err := stat.Spearman(o.X, o.Y)
		require.NoError(t, err)
		require.InDelta(t, o.Spearman, rho, 1e-12)
		tau, err := stat.Kendall(o.X, o.Y)
		require.NoError(t, err)
		require.InDelta(t, o.Kendall, tau, 1e-14)
	}
	line, err := stat.OLS([]float64{1, 3}, []float64{2, 8})
	require.NoError(t, err)
	require.Equal(t, stat.Line{Slope: 3, Intercept: -1, R: 1, N: 2}, line)
	line, err = stat.OLS([]float64{1, 2, 4}, []float64{5, 5, 5})
	require.NoError(t, err)
	require.Equal(t, stat.Line{Intercept: 5, N: 3}, line)
	_, err = stat.OLS([]float64{1, 1}, []float64{2, 8})
	require.ErrorContains(t, err, "x is 1 throughout; no line")
	_, err = stat.OLS([]float64{1}, []float64{2})
	require.ErrorContains(t, err, "too few")
}

func TestPairedAgainstScipy(t *testing.T) {
	for _, o := range scipy(t).Pairs {
		d, err := stat.Paired(o.A, o.B, 0.95, 1000, 1)
		require.NoError(t, err)
		require.InDeltaSlice(t, []float64{o.Lo, o.Hi, o.P}, []float64{d.Lo, d.Hi, d.P}, 1e-9)
		require.True(t, d.Exact)
		require.Equal(t, 1<<len(o.A), d.Flips)
		drawn, err := stat.Paired(o.A, o.B, 0.95, 5, 1)
		require.NoError(t, err)
		require.False(t, drawn.Exact)
		require.Contains(t, []float64{1. / 6, 2. / 6, 3. / 6, 4. / 6, 5. / 6, 1}, drawn.P)
	}
	// By hand: differences 1, 2, 3 have mean 2, and of 8 assignments of signs only +++ and −−− are as far from 0.
	d, err := stat.Paired([]float64{0, 0, 0}, []float64{1, 2, 3}, 0.95, 8, 1)
	require.NoError(t, err)
	require.Equal(t, []float64{2, 1, 0.25}, []float64{d.Mean, d.SD, d.P})
	require.InDelta(t, 2+4.302652729911275/math.Sqrt(3), d.Hi, 1e-9) // scipy 1.17.1 stats.t.ppf(0.975, 2)
	// No difference at all: every assignment is as extreme.
	d, err = stat.Paired([]float64{1, 2}, []float64{1, 2}, 0.95, 8, 1)
	require.NoError(t, err)
	require.Equal(t, stat.Difference{N: 2, Level: 0.95, P: 1, Flips: 4, Exact: true}, d)

	_, err = stat.Paired([]float64{1}, []float64{1}, 0.95, 8, 1)
	require.ErrorContains(t, err, "too few")
	_, err = stat.Paired([]float64{1, 2}, []float64{1, 2}, 1, 8, 1)
	require.ErrorContains(t, err, "level is 1")
	_, err = stat.Paired([]float64{1, 2}, []float64{1, 2}, 0.9, 0, 1)
	require.ErrorContains(t, err, "flips is 0")
}

// paradox has two layers that fall, the second one above the first: pooled, they rise.
func paradox() (rows []stat.Row) {
	for network := range 3 {
		for i := range 5 {
			x := float64(i)
			rows = append(rows, stat.Row{Network: network, Layer: "late", X: 10 + x, Y: 20 - x},
				stat.Row{Network: network, Layer: "early", X: x, Y: 4 - x})
		}
	}
	return append(rows, stat.Row{Layer: "early", X: math.NaN(), Y: 1}, stat.Row{Layer: "early", X: 1, Y: math.Inf(1)},
		stat.Row{Layer: "flat", X: 1, Y: 2}, stat.Row{Layer: "flat", X: 2, Y: 2}, stat.Row{Layer: "dead", X: math.NaN(), Y: 0})
}

func TestRelatePerLayerAndPooled(t *testing.T) {
	rows := paradox()
	r, err := stat.Relate(rows, stat.RelateOptions{Permutations: 500, Resamples: 200, Seed: 1})
	require.NoError(t, err)
	require.Len(t, r.Layers, 4)
	for i, layer := range []string{"late", "early"} {
		got := r.Layers[i]
		require.Equal(t, layer, got.Layer)
		require.Equal(t, 15, got.N)
		require.Equal(t, 3, got.Networks)
		require.Equal(t, 2*i, got.LeftOut)
		require.InDelta(t, -1, got.Spearman.Rho, 1e-12)
		require.Less(t, got.Spearman.P, 0.01)
		require.InDelta(t, -1, got.Interval.Hi, 1e-12)
		require.InDelta(t, -1, got.Line.Slope, 1e-12)
		require.InDelta(t, -1, got.Pearson, 1e-12)
	}
	require.Equal(t, stat.Relation{Layer: "flat", Networks: 1, N: 2, Undefined: "y is 2 throughout; a constant has no correlation"}, r.Layers[2])
	require.Equal(t, 1, r.Layers[3].LeftOut)
	require.Contains(t, r.Layers[3].Undefined, "0 pairs are too few")
	require.Empty(t, r.Pooled.Layer)
	require.Equal(t, 32, r.Pooled.N)
	require.Equal(t, 3, r.Pooled.LeftOut)
	require.Positive(t, r.Pooled.Spearman.Rho)
	require.Positive(t, r.Pooled.Line.Slope)

	text, err := json.Marshal(r) // no NaN gets in
	require.NoError(t, err)
	var back stat.Relations
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, r, back)

	r, err = stat.Relate(rows, stat.RelateOptions{Permutations: 1, Resamples: -1})
	require.NoError(t, err)
	require.Nil(t, r.Pooled.Interval)
	_, err = stat.Relate(nil, stat.RelateOptions{})
	require.ErrorContains(t, err, "no rows")
	_, err = stat.Relate(rows, stat.RelateOptions{Permutations: -1})
	require.ErrorContains(t, err, `layer "late": permutations is -1`)
}

func TestSpearmanIntervalReplicatesNetworks(t *testing.T) {
	// Network 0 rises and network 1 falls, 20 units each. Over networks nothing is known of the sign; over the units of one
	// network ρ is certain.
	var up, down []stat.Pair
	for i := range 20 {
		up = append(up, stat.Pair{X: float64(i), Y: float64(i)})
		down = append(down, stat.Pair{X: float64(i), Y: float64(-i)})
	}
	both, err := stat.SpearmanInterval([][]stat.Pair{up, down}, 0.9, 400, 1)
	require.NoError(t, err)
	require.InDelta(t, -1, both.Lo, 1e-12)
	require.InDelta(t, 1, both.Hi, 1e-12)
	one, err := stat.SpearmanInterval([][]stat.Pair{up}, 0.9, 400, 1)
	require.NoError(t, err)
	require.Equal(t, [3]float64{1, 1, 1}, [3]float64{one.Estimate, one.Lo, one.Hi})

	_, err = stat.SpearmanInterval([][]stat.Pair{{{1, 2}, {1, 3}}}, 0.9, 400, 1)
	require.ErrorContains(t, err, "x is 1 throughout")
}
