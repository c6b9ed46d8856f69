package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Agreement is how the answers of two sides compare.
type Agreement struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`
	// Of counts: how many were compared, how many of them differ, by how many predictions in all, and how many examples
	// rounding may decide in those.
	Counts      int `json:"counts,omitempty"`
	Differ      int `json:"differ,omitempty"`
	Predictions int `json:"predictions,omitempty"`
	NearTies    int `json:"near_ties,omitempty"`
}

// nearTie is the gap between the two largest logits, relative to 1 + the largest in size, below which two libraries that
// add up the same float32 products in their own order may disagree about which is larger.
const nearTie = 1e-5

// compareCounts compares numbers of right predictions, one of each set of edits. Where they differ, near is asked how
// many examples each of these sets (by index) has whose prediction rounding may decide: a difference by more than that is
// none of rounding.
func compareCounts(ours, theirs []int, near func(sets []int) ([]int, error)) (Agreement, error) {
	if len(ours) != len(theirs) || len(ours) == 0 {
		return Agreement{}, fmt.Errorf("%d counts to compare with %d", len(ours), len(theirs))
	}
	a := Agreement{OK: true, Counts: len(ours)}
	var differ []int
	for i := range ours {
		if ours[i] != theirs[i] {
			differ = append(differ, i)
			a.Predictions += abs(ours[i] - theirs[i])
		}
	}
	a.Differ = len(differ)
	if a.Differ == 0 {
		a.Text = fmt.Sprintf("%s counts equal", thousands(a.Counts))
		return a, nil
	}
	ties, err := near(differ)
	if err != nil {
		return a, err
	}
	if len(ties) != len(differ) {
		return a, fmt.Errorf("%d numbers of near-ties for %d sets", len(ties), len(differ))
	}
	for k, i := range differ {
		a.NearTies += ties[k]
		if d := abs(ours[i] - theirs[i]); d > ties[k] && a.OK {
			a.OK = false
			a.Text = fmt.Sprintf("set %d: %d right and %d, but only %d near-ties; %d of %d counts differ",
				i, ours[i], theirs[i], ties[k], a.Differ, a.Counts)
		}
	}
	if a.OK {
		a.Text = fmt.Sprintf("%s of %s counts equal, the others off by %d predictions, all near-ties of float32",
			thousands(a.Counts-a.Differ), thousands(a.Counts), a.Predictions)
	}
	return a, nil
}

func abs(n int) int { return max(n, -n) }

// near asks the hooks peer about sets, for compareCounts.
func (b *bench) near(n network, examples int, settings Settings, sets [][]unit.Edit) func([]int) ([]int, error) {
	return func(which []int) ([]int, error) {
		r := n.request("near", examples)
		r.Settings, r.Tolerance = settings, nearTie
		for _, i := range which {
			r.Sets = append(r.Sets, sets[i])
		}
		a, err := b.ask(hooks, r)
		return a.Near, err
	}
}

// deviations is how many standard errors two measured accuracies may be apart.
const deviations = 5

// compareSweeps compares the mean accuracies of two sweeps with noise of their own, [repeats][scales] right predictions
// of so many examples. With independent noise on every example the mean over R repeats has a variance of at most
// p(1−p)/(R·N).
func compareSweeps(ours, theirs [][]int, examples int) (Agreement, error) {
	if len(ours) == 0 || len(theirs) == 0 || len(ours[0]) != len(theirs[0]) {
		return Agreement{}, errors.New("the sweeps have different scales, or no repeats")
	}
	mean := func(rows [][]int, at int) float64 {
		sum := 0
		for _, row := range rows {
			sum += row[at]
		}
		return float64(sum) / float64(len(rows)*examples)
	}
	a := Agreement{OK: true, Counts: len(ours[0])}
	worst := 0.0
	for i := range ours[0] {
		p, q := mean(ours, i), mean(theirs, i)
		m := (p + q) / 2
		se := math.Sqrt(m * (1 - m) / float64(examples) * (1/float64(len(ours)) + 1/float64(len(theirs))))
		d := math.Abs(p - q)
		worst = math.Max(worst, d)
		if d > deviations*se && a.OK {
			a.OK = false
			a.Text = fmt.Sprintf("scale %d: accuracy %.4f and %.4f, more than %d standard errors (%.1g) apart",
				i, p, q, deviations, se)
		}
	}
	if a.OK {
		a.Text = fmt.Sprintf("%d mean accuracies at most %.2g apart, each within %d standard errors",
			a.Counts, worst, deviations)
	}
	return a, nil
}

// compareLosses compares losses of which each must agree within a fraction of it. what names the last one.
func compareLosses(what string, ours, theirs []float64, relative float64) (Agreement, error) {
	if len(ours) != len(theirs) || len(ours) == 0 {
		return Agreement{}, fmt.Errorf("%d losses to compare with %d", len(ours), len(theirs))
	}
	worst := 0.0
	for i := range ours {
		worst = math.Max(worst, math.Abs(ours[i]-theirs[i])/math.Abs(theirs[i])) // NaN stays
	}
	last := len(ours) - 1
	return Agreement{OK: worst <= relative, Text: fmt.Sprintf("%s %.5f and %.5f, %.1g apart (allowed %.2g, relative)",
		what, ours[last], theirs[last], worst, relative)}, nil
}
