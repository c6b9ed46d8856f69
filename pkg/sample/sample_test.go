package sample_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// table is a network given by its answers: whether example k is classified as labelled without edits and, under a set
// that begins with an edit of unit u, is outcome[1+u][k]. Labels are k mod 2, and a wrong answer costs 1 nat.
type table struct {
	outcome [][]bool
	asked   []question
	broken  func(scores []unit.Score, right [][]bool) ([]unit.Score, [][]bool)
	before  func() error
}

type question struct {
	examples []int
	sets     int
}

func (n *table) Examples() int { return len(n.outcome[0]) }

func (n *table) EvaluateOn(_ context.Context, examples []int, sets [][]unit.Edit) (
	scores []unit.Score, right [][]bool, r unit.Receipt, err error,
) {
	n.asked = append(n.asked, question{slices.Clone(examples), len(sets)})
	if n.before != nil {
		if err := n.before(); err != nil {
			return nil, nil, r, err
		}
	}
	for _, set := range sets {
		answers := n.outcome[0]
		if len(set) > 0 {
			answers = n.outcome[1+set[0].Units[0]]
		}
		score := unit.Score{ByClass: make([]int, 2)}
		var is []bool
		for _, k := range examples {
			is = append(is, answers[k])
			score.Examples++
			if answers[k] {
				score.Correct++
				score.ByClass[k%2]++
			} else {
				score.Loss++
			}
		}
		scores, right = append(scores, score), append(right, is)
	}
	if n.broken != nil {
		scores, right = n.broken(scores, right)
	}
	return scores, right, unit.Receipt{Plan: "look up", Sets: len(sets), Examples: len(examples)}, nil
}

// network has so many examples, right of them right, and an edit for each pair {lost, gained}.
func network(seed uint64, examples, right int, changes ...[2]int) *table {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := &table{outcome: [][]bool{make([]bool, examples)}}
	order := rng.Perm(examples)
	for _, k := range order[:right] {
		n.outcome[0][k] = true
	}
	for _, c := range changes {
		edited := slices.Clone(n.outcome[0])
		was, wasNot := slices.Clone(order[:right]), slices.Clone(order[right:])
		rng.Shuffle(len(was), func(i, j int) { was[i], was[j] = was[j], was[i] })
		rng.Shuffle(len(wasNot), func(i, j int) { wasNot[i], wasNot[j] = wasNot[j], wasNot[i] })
		for _, k := range was[:c[0]] {
			edited[k] = false
		}
		for _, k := range wasNot[:c[1]] {
			edited[k] = true
		}
		n.outcome = append(n.outcome, edited)
	}
	return n
}

// edits are the sets of edits that the network knows.
func (n *table) edits() (sets [][]unit.Edit) {
	for u := range n.outcome[1:] {
		sets = append(sets, []unit.Edit{unit.Ablate("a", unit.Zero, u)})
	}
	return sets
}

func (n *table) accuracy(set int) float64 {
	correct := 0
	for _, is := range n.outcome[set] {
		if is {
			correct++
		}
	}
	return float64(correct) / float64(n.Examples())
}

func TestByHand(t *testing.T) {
	n := network(3, 1000, 900, [2]int{0, 0}, [2]int{40, 30}, [2]int{800, 10})
	bound := sample.Bound{Within: .06, Confidence: .9, Seed: 5}
	s, receipt, err := sample.New(t.Context(), n, bound, n.edits()[2])
	require.NoError(t, err)
	require.Equal(t, []int{125, 250, 500, 1000}, s.Looks())
	require.Equal(t, []question{{iota(1000), 2}}, n.asked)
	require.Equal(t, unit.Receipt{Plan: "look up", Sets: 2, Examples: 1000}, receipt)
	require.Equal(t, [2]int{900, 110}, [2]int{s.Scores[0].Correct, s.Scores[1].Correct})

	trials, look, receipt, err := s.Together(t.Context(), n.edits()[:2])
	require.NoError(t, err)
	require.Equal(t, 2*(look+1), receipt.Sets)
	require.Positive(t, look)

	// The examples of each look are the next ones in the order, sorted.
	order := sample.Order(1000, 5)
	for i, q := range n.asked[1:] {
		from := append([]int{0}, s.Looks()...)[i]
		want := slices.Clone(order[from:s.Looks()[i]])
		slices.Sort(want)
		require.Equal(t, question{want, 2}, q)
	}
	// Counted once more, from the answers.
	seen := order[:s.Looks()[look]]
	for i, trial := range append(trials, s.Known(look, 1)) {
		lost, gained, correct := 0, 0, 0
		for _, k := range seen {
			was, is := n.outcome[0][k], n.outcome[1+i][k]
			if was && !is {
				lost++
			}
			if is && !was {
				gained++
			}
			if is {
				correct++
			}
		}
		require.Equal(t, [2]int{lost, gained}, [2]int{trial.Lost, trial.Gained})
		if i == len(trials) {
			break // known without another evaluation
		}
		require.Equal(t, len(seen), trial.Score.Examples)
		require.Equal(t, correct, trial.Score.Correct)
		require.Equal(t, float64(len(seen)-correct), trial.Score.Loss)
	}
	change, half := s.Change(look, trials[0])
	require.Zero(t, change)
	require.Greater(t, half, .001, "nothing seen to change is no certainty")
	require.LessOrEqual(t, half, .06)
	require.False(t, s.Close(look-1, trials[1]) && s.Close(look-1, trials[0]), "or it would have stopped before")
}

func iota(n int) (x []int) {
	for i := range n {
		x = append(x, i)
	}
	return x
}

// What is promised: with the stated confidence at least, the accuracy on all examples is inside the interval at the look
// at which one stops because it is narrow.
func TestCoverage(t *testing.T) {
	const runs = 80
	for _, c := range []struct{ right, lost, gained int }{
		{1000, 0, 0}, {1000, 1, 0}, {1000, 4, 0}, {1000, 30, 0}, {1000, 500, 0}, {1000, 900, 0}, // memorised
		{980, 1, 1}, {980, 5, 3}, {980, 12, 12}, {980, 880, 4}, {300, 2, 3}, {300, 250, 50}, {3, 2, 0}, {0, 0, 7},
	} {
		for _, bound := range []sample.Bound{{Within: .08, Confidence: .8}, {Within: .03, Confidence: .9}} {
			missed, used := 0, 0
			n := network(1, 1000, c.right, [2]int{c.lost, c.gained})
			want := n.accuracy(1)
			for seed := range uint64(runs) {
				bound.Seed = seed
				s, _, err := sample.New(t.Context(), n, bound)
				require.NoError(t, err)
				trials, look, _, err := s.Together(t.Context(), n.edits())
				require.NoError(t, err)
				change, half := s.Change(look, trials[0])
				require.LessOrEqual(t, half, bound.Within)
				used += s.Looks()[look]
				if d := n.accuracy(0) + change - want; d > half+1e-12 || -d > half+1e-12 {
					missed++
				}
				n.asked = nil
			}
			require.LessOrEqual(t, float64(missed), (1-bound.Confidence)*runs, "%+v, within %v", c, bound.Within)
			t.Logf("%+v within %v at %v: %d of %d missed, %d examples", c, bound.Within, bound.Confidence, missed, runs, used/runs)
		}
	}
}

func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		examples := rapid.IntRange(1, 400).Draw(t, "examples")
		right := rapid.IntRange(0, examples).Draw(t, "right")
		var changes [][2]int
		for range rapid.IntRange(1, 4).Draw(t, "sets") {
			changes = append(changes, [2]int{
				rapid.IntRange(0, right).Draw(t, "lost"), rapid.IntRange(0, examples-right).Draw(t, "gained"),
			})
		}
		n := network(rapid.Uint64().Draw(t, "network"), examples, right, changes...)
		bound := sample.Bound{
			Within:     rapid.Float64Range(.001, .499).Draw(t, "within"),
			Confidence: rapid.Float64Range(.5, .999).Draw(t, "confidence"),
			Seed:       rapid.Uint64().Draw(t, "seed"),
		}
		s, _, err := sample.New(context.Background(), n, bound)
		require.NoError(t, err)
		looks := s.Looks()
		require.Equal(t, examples, looks[len(looks)-1])
		require.True(t, slices.IsSorted(looks))
		trials, look, _, err := s.Together(context.Background(), n.edits())
		require.NoError(t, err)

		// Every example once, and those of another run of the same seed.
		var met []int
		for _, q := range n.asked[1:] {
			met = append(met, q.examples...)
		}
		slices.Sort(met)
		require.Equal(t, slices.Sorted(slices.Values(sample.Order(examples, bound.Seed)[:looks[look]])), met)

		// Sets do not influence each other's counts, and at the last look nothing is left open.
		var apart []sample.Trial
		for look := range looks {
			apart, _, err = s.Extend(context.Background(), look, n.edits()[:1], apart)
			require.NoError(t, err)
			if look == len(looks)-1 {
				change, half := s.Change(look, apart[0])
				require.Zero(t, half)
				require.InDelta(t, n.accuracy(1)-n.accuracy(0), change, 1e-12)
			}
			if looks[look] == trials[0].Score.Examples {
				require.Equal(t, trials[0], apart[0])
			}
		}

		// Rows say the same as trials, and survive JSON.
		r := sample.Rows{Bound: bound}
		r.Add(s, look, trials)
		mean, sd, err := r.Estimate(len(trials), s.Scores[0], nil)
		require.NoError(t, err)
		require.Nil(t, sd)
		for i, trial := range trials {
			change, half := s.Change(look, trial)
			require.InDelta(t, n.accuracy(0)+change, mean[i], 1e-12)
			require.InDelta(t, half, r.HalfWidth[0][i], 1e-15)
			require.LessOrEqual(t, half, bound.Within)
			require.Equal(t, trial.Score.Correct, r.Correct()[0][i])
			require.GreaterOrEqual(t, mean[i], 0.)
			require.LessOrEqual(t, mean[i], 1.)
			if look == len(looks)-1 {
				require.Equal(t, n.accuracy(1+i), mean[i], "to the last digit")
			}
		}
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var read sample.Rows
		require.NoError(t, json.Unmarshal(text, &read))
		require.Equal(t, r, read)
	})
}

func TestRows(t *testing.T) {
	n := network(1, 2000, 1800, [2]int{3, 2}, [2]int{90, 10})
	bound := sample.Bound{Within: .03}.WithDefaults()
	s, _, err := sample.New(t.Context(), n, bound)
	require.NoError(t, err)
	r := sample.Rows{Bound: bound}
	require.Empty(t, r.Note(2000))
	for _, look := range []int{1, len(s.Looks()) - 1} {
		var trials []sample.Trial
		for l := range look + 1 {
			trials, _, err = s.Extend(t.Context(), l, n.edits(), trials)
			require.NoError(t, err)
		}
		r.Add(s, look, trials)
	}
	exact := unit.Score{Examples: 2000, Correct: 1720}
	mean, sd, err := r.Estimate(2, s.Scores[0], map[int]unit.Score{1: exact})
	require.NoError(t, err)
	require.Equal(t, .86, mean[1])
	require.Zero(t, sd[1])
	require.Equal(t, (1800.-3+2)/2000, r.Accuracy[1][0], "all were seen")
	require.Equal(t, []float64{0, 0}, r.HalfWidth[1])
	require.Zero(t, r.HalfWidth[0][1])
	require.InDelta(t, r.HalfWidth[0][0]/2, r.MeanHalfWidth[0], 1e-15)
	require.Equal(t, fmt.Sprintf("± %s at 95 %% (n = %d to 2000 of 2000 examples)", sample.Points(r.HalfWidth[0][0]),
		s.Looks()[1]), r.Note(2000))

	for says, damage := range map[string]func(*sample.Rows){
		"not of one length":                  func(r *sample.Rows) { r.Lost = r.Lost[:1] },
		"row 0 has 99 examples":              func(r *sample.Rows) { r.Used = []int{99, 2000} },
		"row 1 has 2000 examples with 1801":  func(r *sample.Rows) { r.UsedRight = []int{r.UsedRight[0], 1801} },
		"row 1 has 2000 examples with 1799":  func(r *sample.Rows) { r.UsedRight = []int{r.UsedRight[0], 1799} },
		"row 1, point 1: -1 lost of 1800 an": func(r *sample.Rows) { r.Lost = [][]int{r.Lost[0], {0, -1}} },
		"and 201 gained of 200":              func(r *sample.Rows) { r.Gained = [][]int{r.Gained[0], {0, 201}} },
		"and 1 points":                       func(r *sample.Rows) { r.Gained = [][]int{r.Gained[0], {0}} },
	} {
		broken := r
		damage(&broken)
		_, _, err := broken.Estimate(2, s.Scores[0], nil)
		require.ErrorContains(t, err, says)
	}
}

func TestBound(t *testing.T) {
	require.NoError(t, sample.Bound{}.Check())
	require.Equal(t, sample.Bound{}, sample.Bound{}.WithDefaults())
	require.Equal(t, sample.Bound{Within: .01, Confidence: .95}, sample.Bound{Within: .01}.WithDefaults())
	for says, b := range map[string]sample.Bound{
		"within 0,":          {Confidence: .95},
		"within 0.5,":        {Within: .5},
		"within -0.01,":      {Within: -.01},
		"within NaN,":        {Within: math.NaN()},
		"a bound is 95,":     {Within: .01, Confidence: 95},
		"a bound is 1,":      {Within: .01, Confidence: 1},
		"a bound is 0.05,":   {Within: .01, Confidence: .05},
		"confidence of a bo": {Within: .01, Confidence: math.NaN()},
	} {
		require.ErrorContains(t, b.Check(), says)
		n := network(1, 10, 5)
		_, _, err := sample.New(t.Context(), n, b)
		require.ErrorContains(t, err, says)
		require.Empty(t, n.asked)
	}
}

func TestEvaluators(t *testing.T) {
	bound := sample.Bound{Within: .1}
	type scores = []unit.Score
	for says, broken := range map[string]func(s scores, r [][]bool) (scores, [][]bool){
		"gave 0 scores and 1 lists":       func(s scores, r [][]bool) (scores, [][]bool) { return nil, r },
		"gave 1 scores and 0 lists":       func(s scores, r [][]bool) (scores, [][]bool) { return s, nil },
		"asked for 10 examples; it score": func(s scores, r [][]bool) (scores, [][]bool) { s[0].Examples++; return s, r },
		"gave 9 answers":                  func(s scores, r [][]bool) (scores, [][]bool) { r[0] = r[0][:9]; return s, r },
		"with 6 correct, and gave 10":     func(s scores, r [][]bool) (scores, [][]bool) { s[0].Correct++; return s, r },
	} {
		n := network(1, 10, 5)
		n.broken = broken
		_, _, err := sample.New(t.Context(), n, bound)
		require.ErrorContains(t, err, says)
	}

	n := network(1, 1000, 500, [2]int{0, 0})
	s, _, err := sample.New(t.Context(), n, bound)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	n.before = func() error { cancel(); return errors.New("execution aborted") }
	_, _, _, err = s.Together(ctx, n.edits())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "execution aborted")
	calls := len(n.asked)
	_, _, err = s.Extend(ctx, 0, n.edits(), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, n.asked, calls)
}
