package sample

import (
	"math"
	"sort"
)

// total estimates how many of all examples are marked, from found among the used ones, with its limits: more than hi and
// fewer than lo are each refuted at the level tail. Without a used example it says none, and all numbers are possible.
func total(all, used, found int, tail float64) (estimate, lo, hi float64) {
	if used == 0 {
		return 0, 0, float64(all)
	}
	return float64(all) * float64(found) / float64(used),
		float64(all - upper(all, used, used-found, tail)), float64(upper(all, used, found, tail))
}

// upper is the largest number of marked examples among all that does not make it too unlikely, of probability ≤ tail, to
// find no more than found in a random sample of used.
func upper(all, used, found int, tail float64) int {
	least, most := found, all-(used-found)
	return least + sort.Search(most-least, func(i int) bool { return atMost(all, least+i+1, used, found) <= tail })
}

// atMost is the hypergeometric probability to find at most found of the marked examples in a random sample of used.
func atMost(all, marked, used, found int) float64 {
	n, m, u := float64(all), float64(marked), float64(used)
	p := func(x float64) float64 {
		if x < 0 || x > m || x > u || u-x > n-m {
			return 0
		}
		return math.Exp(choose(m, x) + choose(n-m, u-x) - choose(n, u))
	}
	// Away from the mode the terms fall, so that the sum on that side has few of them that count.
	x := float64(found)
	if mode := math.Floor((u + 1) * (m + 1) / (n + 2)); x < mode {
		term, sum := p(x), 0.
		for ; term > 1e-17*sum; x-- {
			sum += term
			term *= x * (n - m - u + x) / ((m - x + 1) * (u - x + 1))
		}
		return sum
	}
	x++
	term, sum := p(x), 0.
	for ; term > 1e-17*sum; x++ {
		sum += term
		term *= (m - x) * (u - x) / ((x + 1) * (n - m - u + x + 1))
	}
	return 1 - sum
}

// choose is the logarithm of the binomial coefficient.
func choose(n, k float64) float64 { return factorial(n) - factorial(k) - factorial(n-k) }

func factorial(n float64) float64 {
	l, _ := math.Lgamma(n + 1)
	return l
}
