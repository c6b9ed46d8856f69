package sample

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLimits(t *testing.T) {
	// scipy 1.17.1: bisection on stats.hypergeom.cdf.
	for _, c := range []struct {
		all, used, found int
		tail             float64
		lo, hi           int
	}{
		{60000, 1875, 0, .0025, 0, 188},
		{60000, 1875, 3, .0025, 10, 375},
		{60000, 30000, 12345, .0025, 24352, 25030},
		{60000, 7500, 7400, .001, 58941, 59409},
		{1281167, 20018, 150, .002, 7521, 12052},
		{1000, 500, 1, .025, 1, 8},
		{120, 9, 0, .01, 0, 46},
	} {
		estimate, lo, hi := total(c.all, c.used, c.found, c.tail)
		require.InDelta(t, float64(c.all)*float64(c.found)/float64(c.used), estimate, 1e-9)
		require.Equal(t, [2]float64{float64(c.lo), float64(c.hi)}, [2]float64{lo, hi}, "%+v", c)
	}
	// Without a used example anything is possible; with all of them nothing else is.
	estimate, lo, hi := total(7, 0, 0, .01)
	require.Equal(t, [3]float64{0, 0, 7}, [3]float64{estimate, lo, hi})
	estimate, lo, hi = total(7, 7, 2, .01)
	require.Equal(t, [3]float64{2, 2, 2}, [3]float64{estimate, lo, hi})
	estimate, lo, hi = total(0, 0, 0, .01)
	require.Equal(t, [3]float64{0, 0, 0}, [3]float64{estimate, lo, hi})
}

// exactly is the probability to find so many of the marked examples, in whole numbers.
func exactly(all, marked, used, found int) float64 {
	choose := func(n, k int) *big.Int {
		if k < 0 || k > n {
			return new(big.Int)
		}
		return new(big.Int).Binomial(int64(n), int64(k))
	}
	ways := new(big.Int).Mul(choose(marked, found), choose(all-marked, used-found))
	p, _ := new(big.Rat).SetFrac(ways, choose(all, used)).Float64()
	return p
}

func TestProbabilities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.IntRange(1, 150).Draw(t, "all")
		used := rapid.IntRange(1, all).Draw(t, "used")
		marked := rapid.IntRange(0, all).Draw(t, "marked")
		sum := 0.0
		for found := range used + 1 {
			sum += exactly(all, marked, used, found)
			require.InDelta(t, sum, atMost(all, marked, used, found), 1e-11, "at most %d", found)
		}
	})
}

// The promise itself, without a simulation: over all samples there are, each limit is wrong with at most its probability.
func TestLimitsCover(t *testing.T) {
	for _, all := range []int{1, 2, 13, 35} {
		for _, tail := range []float64{.1, .0125, .001} {
			for used := 1; used <= all; used++ {
				lo, hi := make([]float64, used+1), make([]float64, used+1)
				for found := range lo {
					_, lo[found], hi[found] = total(all, used, found, tail)
				}
				for marked := range all + 1 {
					low, high := 0.0, 0.0
					for found := range lo {
						p := exactly(all, marked, used, found)
						if float64(marked) < lo[found] && p > 0 {
							low += p
						}
						if float64(marked) > hi[found] && p > 0 {
							high += p
						}
					}
					require.LessOrEqual(t, max(low, high), tail, "%d marked of %d, %d used", marked, all, used)
				}
			}
		}
	}
}

func TestLooks(t *testing.T) {
	half := Bound{Within: .005, Confidence: .95}
	for _, c := range []struct {
		bound      Bound
		all, right int
		looks      []int
		tail       float64
	}{
		// 1875: with 5 looks each limit may err with 0.05/20, and (1 − 300/60000)^1875 ≈ e^−9.4 is less; with 6 looks,
		// e^−4.7 is more than 0.05/24.
		{half, 60000, 59000, []int{1875, 3750, 7500, 15000, 30000, 60000}, .05 / 20},
		{half, 60000, 60000, []int{1875, 3750, 7500, 15000, 30000, 60000}, .05 / 10}, // nothing can be gained
		{half, 2000, 1900, []int{1000, 2000}, .05 / 4},
		{half, 100, 90, []int{100}, 0},
		{Bound{Within: .1}, 1001, 500, []int{63, 126, 251, 501, 1001}, .05 / 16}, // halves are rounded up
		{Bound{Within: .1}, 1, 0, []int{1}, 0},
		{Bound{Within: 1e-9}, 60000, 59000, []int{60000}, 0},
	} {
		d := c.bound.design(c.all, c.right)
		require.Equal(t, c.looks, d.looks, "%+v", c)
		require.InDelta(t, c.tail, d.tail, 1e-15)
	}
}

func TestOrder(t *testing.T) {
	order := Order(1000, 7)
	seen := make([]bool, 1000)
	for _, example := range order {
		require.False(t, seen[example])
		seen[example] = true
	}
	require.Equal(t, order, Order(1000, 7))
	require.NotEqual(t, order, Order(1000, 8))
	require.Equal(t, []int{2, 4, 3, 1, 0}, Order(5, 1), "stored results hold as long as this does")
}

func TestPaired(t *testing.T) {
	// 1000 examples, 900 right without the edit; 250 seen, 220 of them right. 11 lost and 6 gained: 900·11/220 = 45 and
	// 100·6/30 = 20 of all.
	d := Bound{Within: .1}.design(1000, 900)
	correct, half := d.accuracy(250, 220, 11, 6)
	require.InDelta(t, 900-45+20, correct, 1e-9)
	// scipy 1.17.1, as in TestLimits, at the tail 0.05/(4·4): lost 21 to 87, gained 8 to 41.
	require.InDelta(t, .05/16, d.tail, 1e-15)
	require.InDelta(t, (20.-8)+(87-45), half, 1e-9, "the lower side is the longer")

	// Nothing lost and nothing gained is no certainty.
	correct, half = d.accuracy(250, 220, 0, 0)
	require.Equal(t, 900.0, correct)
	require.Greater(t, half, 10.0)
	// All seen is one.
	correct, half = d.accuracy(1000, 900, 450, 77)
	require.Equal(t, [2]float64{900 - 450 + 77, 0}, [2]float64{correct, half})
}

func TestPoints(t *testing.T) {
	for half, want := range map[float64]string{
		0: "0 points", .005: "0.5 points", .00432: "0.44 points", .0043: "0.43 points", .0999: "10 points", .123: "13 points",
		.0101: "1.1 points", 1.23e-5: "0.0013 points",
	} {
		require.Equal(t, want, Points(half), "%v, rounded up", half)
	}
	require.Equal(t, "95 %", Percent(.95))
	require.Equal(t, "99.9 %", Percent(.999))
}
