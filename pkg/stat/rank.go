package stat

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// maxRanked keeps the integer sums of products of ranks below 2⁶³.
const maxRanked = 1_000_000

// permutationStream separates the draws of SpearmanTest from other uses of the same seed.
const permutationStream = 0x70616972696e6773

// Ranks returns the ranks of x, 1 for the smallest; tied values share the mean of their ranks. It must not hold NaN,
// which has no rank: the result would be meaningless.
func Ranks(x []float64) []float64 {
	ranks := make([]float64, len(x))
	for i, r := range doubledRanks(x) {
		ranks[i] = float64(r) / 2
	}
	return ranks
}

// doubledRanks returns twice the ranks of x, which are integers with ties too.
func doubledRanks(x []float64) []int64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	ranks := make([]int64, len(x))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && x[order[to]] == x[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			ranks[i] = int64(from + 1 + to) // first rank + last rank of the tied run
		}
		from = to
	}
	return ranks
}

// Spearman returns the rank correlation of x and y, ties having average ranks: Pearson's correlation of Ranks(x) and
// Ranks(y). Fewer than two pairs, a constant x or y, numbers that are not finite and more than 10⁶ pairs are errors.
func Spearman(x, y []float64) (float64, error) {
	s, err := newRankSums(x, y)
	if err != nil {
		return 0, err
	}
	return s.rho(), nil
}

// Correlation is a rank correlation with its permutation test.
type Correlation struct {
	Rho          float64 `json:"rho"`
	N            int     `json:"n"`            // pairs
	P            float64 `json:"p"`            // two-sided
	Permutations int     `json:"permutations"` // pairings that P rests on
	Exact        bool    `json:"exact"`        // whether these are all n! pairings
}

// SpearmanTest returns the rank correlation of x and y and its two-sided permutation p-value: how often a random pairing
// of x with y has |ρ| at least as large as the one observed. Ties between the two are decided in integers.
//
// When n! ≤ permutations, all pairings are enumerated and P = count / n! is exact. Otherwise as many random pairings as
// asked for are drawn from the seed, and P = (count + 1) / (permutations + 1), which is never 0 and keeps the level of
// the test (Phipson & Smyth 2010). Errors: as Spearman, and permutations < 1.
func SpearmanTest(x, y []float64, permutations int, seed uint64) (Correlation, error) {
	if permutations < 1 {
		return Correlation{}, fmt.Errorf("permutations is %d, at least 1 is needed (10000 is usual)", permutations)
	}
	s, err := newRankSums(x, y)
	if err != nil {
		return Correlation{}, err
	}
	c := Correlation{Rho: s.rho(), N: len(x)}
	observed, a := abs(s.covariance()), slices.Clone(s.a)
	extreme := 0
	count := func() {
		if abs((rankSums{a: a, b: s.b}).covariance()) >= observed {
			extreme++
		}
	}
	if all, ok := factorial(len(x), permutations); ok {
		permute(a, len(a), count)
		c.P, c.Permutations, c.Exact = float64(extreme)/float64(all), all, true
		return c, nil
	}
	rng := rand.New(rand.NewPCG(seed, permutationStream))
	for range permutations {
		rng.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
		count()
	}
	c.P, c.Permutations = float64(extreme+1)/float64(permutations+1), permutations
	return c, nil
}

// rankSums are the doubled ranks of a sample of pairs.
type rankSums struct{ a, b []int64 }

func newRankSums(x, y []float64) (rankSums, error) {
	if err := varying(x, y); err != nil {
		return rankSums{}, err
	}
	if len(x) > maxRanked {
		return rankSums{}, fmt.Errorf("%d pairs are more than the %d that ranks are summed for exactly", len(x), maxRanked)
	}
	return rankSums{doubledRanks(x), doubledRanks(y)}, nil
}

// covariance is Σ ab − n(n+1)², n times the covariance of the doubled ranks, whose mean is n + 1.
func (s rankSums) covariance() int64 {
	n := int64(len(s.a))
	sum := -n * (n + 1) * (n + 1)
	for i, r := range s.a {
		sum += r * s.b[i]
	}
	return sum
}

func (s rankSums) rho() float64 {
	va, vb := rankSums{s.a, s.a}.covariance(), rankSums{s.b, s.b}.covariance()
	if va == vb { // without ties, or with equal ones: no root, so that ρ of equal orders is 1 exactly
		return float64(s.covariance()) / float64(va)
	}
	return float64(s.covariance()) / (math.Sqrt(float64(va)) * math.Sqrt(float64(vb)))
}

func abs(x int64) int64 { return max(x, -x) }

// factorial returns n! if it is at most limit.
func factorial(n, limit int) (int, bool) {
	product := 1
	for i := 2; i <= n; i++ {
		if product > limit/i {
			return 0, false
		}
		product *= i
	}
	return product, product <= limit
}

// permute calls visit for each arrangement of a[:n] (Heap's algorithm).
func permute(a []int64, n int, visit func()) {
	if n <= 1 {
		visit()
		return
	}
	for i := range n {
		permute(a, n-1, visit)
		if i == n-1 {
			break
		}
		if n%2 == 0 {
			a[i], a[n-1] = a[n-1], a[i]
		} else {
			a[0], a[n-1] = a[n-1], a[0]
		}
	}
}
