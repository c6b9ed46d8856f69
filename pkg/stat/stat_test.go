package stat_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// With ties in both, and one run of three.
var (
	tiedX = []float64{1, 2, 2, 3, 5, 8, 8, 8, 13, 21}
	tiedY = []float64{2, 1, 4, 4, 3, 9, 7, 9, 9, 10}
)

func TestMeanSD(t *testing.T) {
	mean, sd := stat.MeanSD(tiedX)
	require.InDelta(t, 7.1, mean, 1e-15)
	require.InDelta(t, 6.1544924874255695, sd, 1e-14) // numpy 2.4.6 std(x, ddof=1)

	mean, sd = stat.MeanSD([]float64{3})
	require.Equal(t, 3.0, mean)
	require.True(t, math.IsNaN(sd))
	mean, sd = stat.MeanSD(nil)
	require.True(t, math.IsNaN(mean) && math.IsNaN(sd))
}

func TestMeanSDCounts(t *testing.T) {
	// Averaging 0.8 four times in floating point need not give 0.8; counts must.
	mean, sd, err := stat.MeanSDCounts([][]int{{8, 0}, {8, 1}, {8, 2}, {8, 3}}, 10)
	require.NoError(t, err)
	require.Equal(t, []float64{0.8, 0.15}, mean)
	require.Equal(t, 0.0, sd[0])
	require.InDelta(t, math.Sqrt(5.0/3)/10, sd[1], 1e-16) // deviations ±1.5, ±0.5 of 3 degrees of freedom

	mean, sd, err = stat.MeanSDCounts([][]int{{1, 2}}, 4)
	require.NoError(t, err)
	require.Equal(t, []float64{0.25, 0.5}, mean)
	require.Nil(t, sd)

	mean, sd, err = stat.MeanSDCounts(nil, 4)
	require.NoError(t, err)
	require.Nil(t, mean)
	require.Nil(t, sd)

	for _, bad := range []struct {
		counts [][]int
		of     int
		says   string
	}{
		{[][]int{{1, 2}, {1}}, 4, "repeat 1 have 1 points"},
		{[][]int{{5}}, 4, "outside 0..4"},
		{[][]int{{-1}}, 4, "outside 0..4"},
		{[][]int{{0}}, 0, "between 1 and"},
	} {
		_, _, err := stat.MeanSDCounts(bad.counts, bad.of)
		require.ErrorContains(t, err, bad.says)
	}
}

func TestMeanSDCountsEqualsMeanSD(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.IntRange(1, 1_300_000).Draw(t, "of")
		repeats := rapid.SliceOfN(rapid.IntRange(0, of), 2, 20).Draw(t, "counts")
		rows, fractions := make([][]int, len(repeats)), make([]float64, len(repeats))
		for i, c := range repeats {
			rows[i], fractions[i] = []int{c}, float64(c)/float64(of)
		}
		mean, sd, err := stat.MeanSDCounts(rows, of)
		require.NoError(t, err)
		wantMean, wantSD := stat.MeanSD(fractions)
		require.InDelta(t, wantMean, mean[0], 1e-14)
		require.InDelta(t, wantSD, sd[0], 1e-9)
	})
}

func TestTrapezoid(t *testing.T) {
	area, err := stat.Trapezoid([]float64{0, 0.1, 0.5, 1}, []float64{1, 0.9, 0.5, 0.1})
	require.NoError(t, err)
	require.InDelta(t, 0.525, area, 1e-15) // numpy 2.4.6 trapezoid(y, x); by hand 0.095 + 0.28 + 0.15

	_, err = stat.Trapezoid([]float64{0, 0}, []float64{1, 1})
	require.ErrorContains(t, err, "increase strictly")
	_, err = stat.Trapezoid([]float64{0}, []float64{1})
	require.ErrorContains(t, err, "too few")
	_, err = stat.Trapezoid([]float64{0, 1}, []float64{1})
	require.ErrorContains(t, err, "pair up")
	_, err = stat.Trapezoid([]float64{0, 1}, []float64{1, math.Inf(-1)})
	require.ErrorContains(t, err, "pair 1 is (1, -Inf)")
}

func TestRanks(t *testing.T) {
	// scipy 1.17.1 stats.rankdata
	require.Equal(t, []float64{1, 2.5, 2.5, 4, 5, 7, 7, 7, 9, 10}, stat.Ranks(tiedX))
	require.Equal(t, []float64{2, 1, 4.5, 4.5, 3, 8, 6, 8, 8, 10}, stat.Ranks(tiedY))
	require.Empty(t, stat.Ranks(nil))
	require.Equal(t, []float64{2, 2, 2}, stat.Ranks([]float64{7, 7, 7}))
}

func TestCorrelations(t *testing.T) {
	rho, err := stat.Spearman(tiedX, tiedY)
	require.NoError(t, err)
	require.InDelta(t, 0.903125, rho, 1e-15) // scipy 1.17.1 stats.spearmanr
	r, err := stat.Pearson(tiedX, tiedY)
	require.NoError(t, err)
	require.InDelta(t, 0.8285601066245954, r, 1e-14) // scipy 1.17.1 stats.pearsonr

	// 30 pairs, ties in b only, from a formula.
	a, b := make([]float64, 30), make([]float64, 30)
	for i := range a {
		a[i] = float64(i * 7 % 30)
		b[i] = a[i] + 1.5*float64(i*11%17)
	}
	rho, err = stat.Spearman(a, b)
	require.NoError(t, err)
	require.InDelta(t, 0.6751946607341489, rho, 1e-14) // scipy 1.17.1 stats.spearmanr

	for _, f := range []func(x, y []float64) (float64, error){stat.Pearson, stat.Spearman} {
		_, err = f([]float64{1, 1}, []float64{1, 2})
		require.ErrorContains(t, err, "x is 1 throughout")
		_, err = f([]float64{1, 2}, []float64{3, 3})
		require.ErrorContains(t, err, "y is 3 throughout")
		_, err = f([]float64{1, math.NaN()}, []float64{1, 2})
		require.ErrorContains(t, err, "pair 1 is (NaN, 2)")
	}
}

func TestSpearmanInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		value := rapid.IntRange(-9, 9)
		ints := func(name string) []float64 {
			x := make([]float64, n)
			for i, v := range rapid.SliceOfN(value, n, n).Draw(t, name) {
				x[i] = float64(v)
			}
			return x
		}
		x, y := ints("x"), ints("y")
		x[0], x[1], y[0], y[1] = -20, 20, 20, -20 // neither constant
		before := slices.Clone(x)
		rho, err := stat.Spearman(x, y)
		require.NoError(t, err)
		require.Equal(t, before, x, "arguments stay as they are")

		ranked, err := stat.Pearson(stat.Ranks(x), stat.Ranks(y))
		require.NoError(t, err)
		require.InDelta(t, ranked, rho, 1e-12, "the definition")

		swapped, err := stat.Spearman(y, x)
		require.NoError(t, err)
		require.Equal(t, rho, swapped)

		grown, fallen := make([]float64, n), make([]float64, n)
		for i, v := range x {
			grown[i], fallen[i] = math.Exp(v/5), -v
		}
		monotone, err := stat.Spearman(grown, y)
		require.NoError(t, err)
		require.Equal(t, rho, monotone, "a growing map changes no rank")
		reversed, err := stat.Spearman(fallen, y)
		require.NoError(t, err)
		require.Equal(t, -rho, reversed)

		self, err := stat.Spearman(x, grown)
		require.NoError(t, err)
		require.Equal(t, 1.0, self)
	})
}

func TestSpearmanTestExact(t *testing.T) {
	// scipy 1.17.1 stats.permutation_test(..., permutation_type='pairings', n_resamples=inf) on spearmanr: how many of the
	// 720 pairings are as extreme. The last pair of lists has ties.
	for _, c := range []struct {
		x, y    []float64
		rho     float64
		extreme int
	}{
		{[]float64{1, 2, 3, 4, 5, 6}, []float64{2, 1, 4, 3, 6, 5}, 0.8285714285714287, 42},
		{[]float64{0, .2, .4, .6, .8, 1}, []float64{.9, .7, .71, .5, .3, .31}, -0.8857142857142858, 24},
		{[]float64{1, 1, 2, 2, 3, 3}, []float64{1, 2, 1, 3, 3, 2}, 0.5, 304},
	} {
		got, err := stat.SpearmanTest(c.x, c.y, 720, 1)
		require.NoError(t, err)
		require.InDelta(t, c.rho, got.Rho, 1e-15)
		got.Rho = 0
		require.Equal(t, stat.Correlation{N: 6, P: float64(c.extreme) / 720, Permutations: 720, Exact: true}, got)
	}
}

func TestSpearmanTestDrawn(t *testing.T) {
	a, b := make([]float64, 30), make([]float64, 30)
	for i := range a {
		a[i] = float64(i * 7 % 30)
		b[i] = float64(i*13%30) + 0.5*a[i]
	}
	got, err := stat.SpearmanTest(a, b, 20_000, 1)
	require.NoError(t, err)
	require.InDelta(t, 0.4423420398775324, got.Rho, 1e-14) // scipy 1.17.1 stats.spearmanr
	// scipy 1.17.1 stats.permutation_test with 100,000 pairings: 0.0149. Five standard errors of 20,000 draws.
	require.InDelta(t, 0.0149, got.P, 5*math.Sqrt(0.0149/20_000))
	require.Equal(t, 20_000, got.Permutations)
	require.False(t, got.Exact)

	again, err := stat.SpearmanTest(a, b, 20_000, 1)
	require.NoError(t, err)
	require.Equal(t, got, again)
	other, err := stat.SpearmanTest(a, b, 20_000, 2)
	require.NoError(t, err)
	require.NotEqual(t, got.P, other.P)

	// A perfect order of 30 pairs is met by no random pairing: the smallest P there can be.
	perfect, err := stat.SpearmanTest(a, a, 99, 1)
	require.NoError(t, err)
	require.Equal(t, 0.01, perfect.P)

	_, err = stat.SpearmanTest(a, b, 0, 1)
	require.ErrorContains(t, err, "permutations is 0")
}

func meanOfMeans(networks [][]float64) float64 {
	sum := 0.0
	for _, replicates := range networks {
		mean, _ := stat.MeanSD(replicates)
		sum += mean
	}
	return sum / float64(len(networks))
}

func TestBootstrapAgainstEnumeration(t *testing.T) {
	// Two networks {0, 4} and {10, 20}: a resample draws network and replicates, so each network's mean is one of
	// 0 2 2 4 (each 1/8) or 10 15 15 20 (each 1/8). All 64 pairs, equally likely, give the exact distribution.
	networks := [][]float64{{0, 4}, {10, 20}}
	means := []float64{0, 2, 2, 4, 10, 15, 15, 20}
	// Cumulative shares: 1 covers 1.6 to 7.8 %, 17.5 covers 92.2 to 98.4 %. Resampling networks only would give 2 and 15.
	atMost := func(limit float64) (share float64) {
		for _, a := range means {
			for _, b := range means {
				if (a+b)/2 <= limit {
					share += 1.0 / 64
				}
			}
		}
		return share
	}
	require.Equal(t, []float64{1.0 / 64, 5.0 / 64, 59.0 / 64, 63.0 / 64},
		[]float64{atMost(0), atMost(1), atMost(15), atMost(17.5)})
	got, err := stat.Bootstrap(networks, meanOfMeans, 0.9, 20_000, 7)
	require.NoError(t, err)
	require.Equal(t, 8.5, got.Estimate)
	require.Equal(t, []float64{1, 17.5}, []float64{got.Lo, got.Hi})
	require.Zero(t, got.Undefined)

	again, err := stat.Bootstrap(networks, meanOfMeans, 0.9, 20_000, 7)
	require.NoError(t, err)
	require.Equal(t, got, again)
	require.Equal(t, [][]float64{{0, 4}, {10, 20}}, networks)
}

func TestBootstrapResamplesNetworksNotReplicates(t *testing.T) {
	// Many replicates without spread must not narrow the interval of two networks that differ.
	few := [][]float64{{0}, {1}}
	many := [][]float64{make([]float64, 100), slices.Repeat([]float64{1}, 100)}
	a, err := stat.Bootstrap(few, meanOfMeans, 0.9, 2000, 1)
	require.NoError(t, err)
	b, err := stat.Bootstrap(many, meanOfMeans, 0.9, 2000, 1)
	require.NoError(t, err)
	require.Equal(t, []float64{0, 1}, []float64{a.Lo, a.Hi})
	require.Equal(t, []float64{0, 1}, []float64{b.Lo, b.Hi})
}

func TestBootstrapOfACorrelation(t *testing.T) {
	type network struct{ auc, loss float64 }
	var networks [][]network
	for i := range 5 {
		networks = append(networks, []network{{float64(i), float64(-i * i)}})
	}
	rho := func(sample [][]network) float64 {
		var x, y []float64
		for _, n := range sample {
			x, y = append(x, n[0].auc), append(y, n[0].loss)
		}
		r, err := stat.Spearman(x, y)
		if err != nil {
			return math.NaN()
		}
		return r
	}
	got, err := stat.Bootstrap(networks, rho, 0.95, 20_000, 3)
	require.NoError(t, err)
	require.Equal(t, [3]float64{-1, -1, -1}, [3]float64{got.Estimate, got.Lo, got.Hi})
	// All five draws alike: 5 of 5^5 resamples, 0.16 %.
	require.InDelta(t, 32, got.Undefined, 5*math.Sqrt(32))
}

func TestBootstrapErrors(t *testing.T) {
	good := [][]float64{{1}, {2}}
	nan := func([][]float64) float64 { return math.NaN() }
	for _, bad := range []struct {
		networks  [][]float64
		statistic func([][]float64) float64
		level     float64
		resamples int
		says      string
	}{
		{good[:1], meanOfMeans, 0.95, 10, "1 networks are too few"},
		{[][]float64{{1}, {}}, meanOfMeans, 0.95, 10, "network 1 has no replicates"},
		{good, meanOfMeans, 95, 10, "level is 95"},
		{good, meanOfMeans, math.NaN(), 10, "level is NaN"},
		{good, meanOfMeans, 0.95, 0, "resamples is 0"},
		{good, nan, 0.95, 10, "NaN on the data"},
	} {
		_, err := stat.Bootstrap(bad.networks, bad.statistic, bad.level, bad.resamples, 1)
		require.ErrorContains(t, err, bad.says)
	}
}

func ExampleSpearmanTest() {
	corrupted := []float64{0, 0.2, 0.4, 0.6, 0.8, 1}
	auc := []float64{0.90, 0.70, 0.71, 0.50, 0.30, 0.31}
	c, err := stat.SpearmanTest(corrupted, auc, 10_000, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("rho = %.3f, n = %d, p = %.3f over all %d pairings\n", c.Rho, c.N, c.P, c.Permutations)
	// Output: rho = -0.886, n = 6, p = 0.033 over all 720 pairings
}

func ExampleBootstrap() {
	orderings := [][]float64{{0.61, 0.63}, {0.55, 0.54}, {0.72, 0.70}, {0.66, 0.67}} // AUC, two orderings per network
	mean := func(networks [][]float64) float64 {
		sum := 0.0
		for _, n := range networks {
			m, _ := stat.MeanSD(n)
			sum += m / float64(len(networks))
		}
		return sum
	}
	i, err := stat.Bootstrap(orderings, mean, 0.95, 10_000, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f [%.2f, %.2f]\n", i.Estimate, i.Lo, i.Hi)
	// Output: 0.64 [0.57, 0.69]
}
