// Package sample finds out how accurate an edited network is on all examples by looking at some of them, and says how
// closely that is then known.
//
// The examples are drawn without replacement: they are put in one random order, a function of the seed only, and a
// network meets a beginning of it, which grows look by look: N/2^K, …, N/4, N/2, N of the N examples. After each look
// the interval of the accuracy on all N is computed, and the first look at which it is narrow enough is the last. At N
// the accuracy is exact and its interval has no width. K is the largest number of halvings after which the interval of
// an edit that changes nothing could still be narrow enough.
//
// The unedited network is scored on all examples, once. So it is known of every example whether it is right without the
// edit, and an edit can only lose examples that were right and gain examples that were wrong. With N₁ right and N₀ wrong
// of all, n₁ and n₀ of those seen, of which l are lost and g gained,
//
//	accuracy = (N₁ − L + G) / N,   estimated by L = N₁·l/n₁ and G = N₀·g/n₀.
//
// That is the comparison of the edited with the unedited network on the same examples where the two agree on nearly all,
// and no worse than the share of right answers (being its post-stratified form) where they have little in common.
//
// The interval is exact, in that its confidence is at least the stated one for every network, however few examples it
// loses, without an approximation. Given n₁ and n₀, l and g are hypergeometric; the limits of L and G invert its two
// one-sided tests, as Clopper and Pearson (Biometrika 26, 1934) do for the binomial; for finite populations see Wright,
// Exact Confidence Bounds when Sampling from Small Finite Universes (Springer, 1991). None lost of n₁ therefore does not
// mean a width of 0. The probability of error, 1 − confidence, is divided evenly (Bonferroni) among the K looks before
// the exact one, so that it makes no difference that one may stop at each, and among the two limits of L and of G. What
// is reported is the estimate ± half-width, the half-width being the distance to the farther limit.
//
// The confidence is that of one accuracy at a time, not of all points of a curve at once.
package sample

import (
	"fmt"
	"math/rand/v2"
)

// Bound says how closely an accuracy is to be known. The zero Bound asks for the exact accuracy, on all examples.
type Bound struct {
	// Within is the largest half-width allowed, a fraction of the examples: 0.005 is half a percentage point.
	Within     float64 `json:"within"`
	Confidence float64 `json:"confidence"`     // of each interval by itself; 0: 0.95
	Seed       uint64  `json:"seed,omitempty"` // of the order in which examples are drawn
}

// WithDefaults fills in Confidence, so that equal bounds are equal values.
func (b Bound) WithDefaults() Bound {
	if b.Within != 0 && b.Confidence == 0 {
		b.Confidence = 0.95
	}
	return b
}

// Check reports what is wrong with a bound.
func (b Bound) Check() error {
	if b == (Bound{}) {
		return nil
	}
	if !(b.Within > 0 && b.Within < 0.5) {
		return fmt.Errorf("a bound is within %v, it must lie between 0 and 0.5, a fraction of the examples (0.005 is half a "+
			"percentage point); no bound at all asks for exact numbers", b.Within)
	}
	if c := b.WithDefaults().Confidence; !(c >= 0.5 && c < 1) {
		return fmt.Errorf("the confidence of a bound is %v, it must be at least 0.5 and less than 1 (0.95 is usual)", c)
	}
	return nil
}

// orderStream separates the draws of Order from other uses of the same seed.
const orderStream = 0x6578616d706c6573

// Order is the order in which so many examples are drawn: a uniformly random permutation. Equal on every platform.
func Order(examples int, seed uint64) []int {
	return rand.New(rand.NewPCG(seed, orderStream)).Perm(examples)
}

// design is a bound applied to one network.
type design struct {
	all, right int     // examples, and how many of them the unedited network classifies as labelled
	looks      []int   // numbers of examples seen, ascending; the last is all
	tail       float64 // probability of error of each limit
}

func (b Bound) design(all, right int) design {
	b = b.WithDefaults()
	limits := 4.
	if right == 0 || right == all {
		limits = 2 // nothing can be lost, or nothing gained
	}
	d := design{all: all, right: right, looks: []int{all}}
	for k := 1; ; k++ {
		tail := (1 - b.Confidence) / (limits * float64(k))
		first := (all + 1<<k - 1) >> k
		if first == d.looks[0] || float64(upper(all, first, 0, tail)) > b.Within*float64(all) {
			return d
		}
		d.looks, d.tail = append([]int{first}, d.looks...), tail
	}
}

// accuracy estimates how many of all examples an edited network classifies as labelled, with the half-width of the
// interval. usedRight of the used examples are right without the edit; lost of these are wrong with it, and gained of the
// others right.
func (d design) accuracy(used, usedRight, lost, gained int) (correct, half float64) {
	l, l0, l1 := total(d.right, usedRight, lost, d.tail)
	g, g0, g1 := total(d.all-d.right, used-usedRight, gained, d.tail)
	return float64(d.right) - l + g, max((g1-g)+(l-l0), (g-g0)+(l1-l))
}
