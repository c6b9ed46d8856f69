package ablate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// many is small with many examples: of 4000, 3700 are right. Some units decide nothing, one helps when it is gone.
func many() *additive {
	return &additive{
		names: []string{"a", "b"}, cost: [][]int{{0, 400, 1, 900}, {0, 3, -30, 25, 700, 60}}, right: []int{1800, 1900},
		examples: 4000,
	}
}

// total is what units of many cost together.
func total(n *additive, pooled []int) (cost int) {
	costs := slices.Concat(n.cost...)
	for _, u := range pooled {
		cost += costs[u]
	}
	return cost
}

var half = sample.Bound{Within: .04, Confidence: .9, Seed: 3}

func TestBoundedByHand(t *testing.T) {
	spec := ablate.Spec{Orders: 3, Points: 6, Seed: 1, Bound: half}
	n := many()
	r, err := ablate.Cumulative(t.Context(), n, spec, ablate.Options{})
	require.NoError(t, err)
	require.True(t, r.Complete())
	require.Equal(t, half, r.Bounded.Bound)
	require.Equal(t, 4000, r.Examples)
	require.Equal(t, 3700, r.Baseline.Correct)
	require.Equal(t, 3700-(400+1+900+3-30+25+700+60), r.AllAblated.Correct)

	// What was asked: both ends on all examples, then the four points between, always on the same examples.
	order := sample.Order(4000, 3)
	require.Len(t, n.seen[0], 4000)
	require.Empty(t, n.sets[0])
	require.Equal(t, []unit.Edit{unit.Ablate("a", unit.Zero), unit.Ablate("b", unit.Zero)}, n.sets[1])
	call := 1
	for i, used := range r.Bounded.Used {
		var seen []int
		for ; len(seen) < used; call++ {
			seen = append(seen, n.seen[call]...)
		}
		require.ElementsMatch(t, order[:used], seen, "ordering %d", i)
	}
	require.Len(t, n.seen, call)
	require.Equal(t, 2+4*(call-1), r.Receipt.Sets)

	// The counts, from the network asked for all of the examples seen at once.
	for i, pooled := range ablate.Random(10, 3, 1) {
		used := r.Bounded.Used[i]
		for j, k := range r.Grid {
			var edits []unit.Edit
			for _, u := range pooled[:k] {
				site, local := "a", u
				if u >= 4 {
					site, local = "b", u-4
				}
				edits = append(edits, unit.Ablate(site, unit.Zero, local))
			}
			scores, right, _, err := many().EvaluateOn(t.Context(), order[:used], [][]unit.Edit{nil, edits})
			require.NoError(t, err)
			lost, gained := 0, 0
			for e := range used {
				switch was, is := right[0][e], right[1][e]; {
				case was && !is:
					lost++
				case is && !was:
					gained++
				}
			}
			require.Equal(t, scores[0].Correct, r.Bounded.UsedRight[i])
			require.Equal(t, scores[1].Correct, r.Correct[i][j])
			require.Equal(t, [2]int{lost, gained}, [2]int{r.Bounded.Lost[i][j], r.Bounded.Gained[i][j]})

			truth := float64(3700-total(n, pooled[:k])) / 4000
			if k == 0 || k == 10 {
				require.Equal(t, truth, r.Bounded.Accuracy[i][j])
				require.Zero(t, r.Bounded.HalfWidth[i][j])
				continue
			}
			usedRight := float64(r.Bounded.UsedRight[i])
			estimate := 3700 - 3700*float64(lost)/usedRight + 300*float64(gained)/(float64(used)-usedRight)
			require.InDelta(t, estimate/4000, r.Bounded.Accuracy[i][j], 1e-12)
			require.InDelta(t, truth, r.Bounded.Accuracy[i][j], r.Bounded.HalfWidth[i][j])
			require.LessOrEqual(t, r.Bounded.HalfWidth[i][j], .04)
			require.Positive(t, r.Bounded.HalfWidth[i][j])
		}
	}
	require.Equal(t, ablate.AUC(r.Fraction, r.Bounded.MeanHalfWidth), r.AUCHalfWidth)
	require.Less(t, slices.Max(r.Bounded.Used), 4000, "or nothing was saved")
	require.Zero(t, r.SD[0])
}

func TestBoundedCoverage(t *testing.T) {
	const runs = 50
	exact := withoutSeconds(t, many(), ablate.Spec{Orders: 3, Points: 6}, ablate.Options{})
	points, missed, means, areas := 0, 0, 0, 0
	for seed := range uint64(runs) {
		bound := sample.Bound{Within: .05, Confidence: .8, Seed: seed}
		r := withoutSeconds(t, many(), ablate.Spec{Orders: 3, Points: 6, Bound: bound}, ablate.Options{})
		require.Equal(t, exact.OrdersHash, r.OrdersHash, "the orderings are those of the exact analysis")
		for i, row := range exact.Correct {
			for j := 1; j < 5; j++ {
				points++
				if d := math.Abs(r.Bounded.Accuracy[i][j] - float64(row[j])/4000); d > r.Bounded.HalfWidth[i][j] {
					missed++
				}
			}
		}
		if math.Abs(r.Mean[2]-exact.Mean[2]) > r.Bounded.MeanHalfWidth[2] {
			means++
		}
		if math.Abs(r.AUC-exact.AUC) > r.AUCHalfWidth {
			areas++
		}
	}
	t.Logf("missed %d of %d points, %d means and %d areas of %d", missed, points, means, areas, runs)
	require.LessOrEqual(t, missed, points/5)
	require.LessOrEqual(t, means, runs/5)
	require.LessOrEqual(t, areas, runs/5)
}

func TestAnUnreachableBoundIsExact(t *testing.T) {
	tight := sample.Bound{Within: 1e-6, Confidence: .95}
	spec := ablate.Spec{Orders: 3, Points: 6, Seed: 9}
	want := withoutSeconds(t, many(), spec, ablate.Options{})
	spec.Bound = tight
	got := withoutSeconds(t, many(), spec, ablate.Options{})
	require.Equal(t, want.Correct, got.Correct)
	require.Equal(t, []int{4000, 4000, 4000}, got.Bounded.Used)
	require.InDeltaSlice(t, want.Mean, got.Mean, 1e-15)
	require.InDeltaSlice(t, want.SD, got.SD, 1e-15)
	require.Equal(t, want.AUCs, got.AUCs)
	require.InDelta(t, want.AUC, got.AUC, 1e-15)
	require.Zero(t, got.AUCHalfWidth)
	require.Contains(t, got.Curve("").Band, "each accuracy ± 0 points at 95 % (n = 4000 of 4000 examples)")

	one, err := ablate.Single(t.Context(), many(), ablate.SingleSpec{}, ablate.SingleOptions{})
	require.NoError(t, err)
	two, err := ablate.Single(t.Context(), many(), ablate.SingleSpec{Bound: tight}, ablate.SingleOptions{})
	require.NoError(t, err)
	require.Equal(t, one.Baseline, two.Baseline)
	for u, i := range two.Impacts {
		require.Equal(t, max(0, slices.Concat(many().cost...)[u]), i.Lost)
		require.Equal(t, max(0, -slices.Concat(many().cost...)[u]), i.Gained)
		i.Lost, i.Gained = 0, 0
		require.Equal(t, one.Impacts[u], i)
	}
}

// bare hides that a network can score some of its examples.
type bare struct{ ablate.Evaluator }

func TestBoundErrors(t *testing.T) {
	for says, bound := range map[string]sample.Bound{
		"within 0.5, it must lie": {Within: .5},
		"within 0, it must lie":   {Confidence: .95},
		"bound is 95, it must":    {Within: .01, Confidence: 95},
	} {
		n := many()
		_, err := ablate.Cumulative(t.Context(), n, ablate.Spec{Bound: bound}, ablate.Options{})
		require.ErrorContains(t, err, says)
		_, err = ablate.Single(t.Context(), n, ablate.SingleSpec{Bound: bound}, ablate.SingleOptions{})
		require.ErrorContains(t, err, says)
		require.Zero(t, n.calls)
	}
	n := many()
	_, err := ablate.Cumulative(t.Context(), bare{n}, ablate.Spec{Bound: half}, ablate.Options{})
	require.ErrorContains(t, err, "cannot score some of its examples only; leave the bound out")
	_, err = ablate.Single(t.Context(), bare{n}, ablate.SingleSpec{Bound: half}, ablate.SingleOptions{})
	require.ErrorContains(t, err, "cannot score some of its examples only; leave the bound out")
	require.Zero(t, n.calls)

	n.broken = func(s []unit.Score) []unit.Score { s[0].Correct++; return s }
	r, err := ablate.Cumulative(t.Context(), n, ablate.Spec{Bound: half}, ablate.Options{})
	require.ErrorContains(t, err, "stopped with 0 of 10 orderings complete: the evaluator was asked for 4000 examples")
	require.Empty(t, r.Correct)
	_, err = ablate.Single(t.Context(), n, ablate.SingleSpec{Bound: half}, ablate.SingleOptions{})
	require.ErrorContains(t, err, "stopped after 0 looks: the evaluator was asked for 4000 examples")
	n.broken = func(s []unit.Score) []unit.Score {
		if len(s) > 2 {
			s[2].ByClass = nil
		}
		return s
	}
	_, err = ablate.Single(t.Context(), n, ablate.SingleSpec{Bound: half}, ablate.SingleOptions{})
	require.ErrorContains(t, err, "into 0 classes, and into 2")
}

func TestBoundedGrids(t *testing.T) {
	given := &ablate.Orderings{Sites: []string{"a", "b"}, Grid: []int{1, 3}, Orders: [][]int{{1, 0, 3}, {6, 5, 4}}}
	r, err := ablate.Cumulative(t.Context(), many(), ablate.Spec{Given: given, Bound: half}, ablate.Options{})
	require.NoError(t, err)
	require.Nil(t, r.AllAblated)
	require.InDelta(t, 3300./4000, r.Bounded.Accuracy[0][0], .04)
	require.InDelta(t, 3730./4000, r.Bounded.Accuracy[1][0], .04)
	given = &ablate.Orderings{Sites: []string{"a", "b"}, Grid: []int{0, 10}, Orders: ablate.Random(10, 2, 1)}
	n := many()
	r, err = ablate.Cumulative(t.Context(), n, ablate.Spec{Given: given, Bound: half}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, 1, n.calls, "both ends are known")
	require.Equal(t, []float64{3700. / 4000, float64(r.AllAblated.Correct) / 4000}, r.Mean)
	require.Equal(t, []float64{0, 0}, r.SD)
}

func TestBoundedResume(t *testing.T) {
	spec := ablate.Spec{Orders: 4, Points: 5, Seed: 3, Bound: half}
	want, err := json.Marshal(withoutSeconds(t, many(), spec, ablate.Options{}))
	require.NoError(t, err)
	calls := many()
	_ = withoutSeconds(t, calls, spec, ablate.Options{})
	for stop := range calls.calls + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		n := many()
		n.prepare = func(call int) error {
			if call > stop {
				cancel()
			}
			return nil
		}
		saved := []byte("null")
		partial, err := ablate.Cumulative(ctx, n, spec, ablate.Options{Done: func(r ablate.Result) (err error) {
			saved, err = json.Marshal(r)
			return err
		}})
		cancel()
		require.Equal(t, stop < calls.calls, err != nil)
		before, err := json.Marshal(partial)
		require.NoError(t, err)
		var resume *ablate.Result // as another process reads it
		require.NoError(t, json.Unmarshal(saved, &resume))
		for _, old := range []*ablate.Result{resume, &partial} {
			got, err := json.Marshal(withoutSeconds(t, many(), spec, ablate.Options{Resume: old}))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), "stopped in call %d", stop)
		}
		after, err := json.Marshal(partial)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
	}

	whole := withoutSeconds(t, many(), spec, ablate.Options{})
	for says, other := range map[string]sample.Bound{
		"of another bound; start": {},
		"another bound":           {Within: .01, Confidence: .9, Seed: 3},
		"of another bound":        {Within: .04, Confidence: .9, Seed: 4},
		"is of another bound":     {Within: .04, Confidence: .95, Seed: 3},
	} {
		n, spec := many(), spec
		spec.Bound = other
		_, err := ablate.Cumulative(t.Context(), n, spec, ablate.Options{Resume: &whole})
		require.ErrorContains(t, err, says)
		require.Zero(t, n.calls)
	}
	broken := whole
	rows := *whole.Bounded
	rows.Used = []int{1, 2, 3, 4}
	broken.Bounded = &rows
	_, err = ablate.Cumulative(t.Context(), many(), spec, ablate.Options{Resume: &broken})
	require.ErrorContains(t, err, "the result to resume is damaged: row 0 has 1 examples")
	part := whole
	part.Correct = whole.Correct[:2]
	_, err = ablate.Cumulative(t.Context(), many(), spec, ablate.Options{Resume: &part})
	require.ErrorContains(t, err, "the result to resume is damaged")
	part, rows = whole, sample.Rows{Bound: half, Used: rows.Used[:0]}
	part.Correct, part.Bounded, part.Examples, part.Baseline.Correct = nil, &rows, 0, 0
	_, err = ablate.Cumulative(t.Context(), many(), spec, ablate.Options{Resume: &part})
	require.NoError(t, err, "nothing to go on from is a start")
}

func TestBoundedSingle(t *testing.T) {
	spec := ablate.SingleSpec{Bound: sample.Bound{Within: .01, Confidence: .9, Seed: 2}}
	n := many()
	r, err := ablate.Single(t.Context(), n, spec, ablate.SingleOptions{})
	require.NoError(t, err)
	require.True(t, r.Complete())
	require.Equal(t, [2]int{10, 4000}, [2]int{r.Units, r.Examples})
	require.Equal(t, 3700, r.Baseline.Correct)
	costs := slices.Concat(n.cost...)
	order := sample.Order(4000, 2)
	for u, i := range r.Impacts {
		seen := i.Score.Examples
		scores, right, _, err := many().EvaluateOn(t.Context(), order[:seen],
			[][]unit.Edit{nil, {unit.Ablate(i.Site, unit.Zero, i.Unit)}})
		require.NoError(t, err)
		require.Equal(t, scores[1].Correct, i.Score.Correct)
		require.Equal(t, scores[1].ByClass, i.Score.ByClass)
		require.InDelta(t, (scores[1].Loss-scores[0].Loss)/float64(seen), i.DeltaLoss, 1e-12, "on the same examples")
		lost := 0
		for e := range seen {
			if right[0][e] && !right[1][e] {
				lost++
			}
		}
		require.Equal(t, lost, i.Lost)
		require.InDelta(t, -float64(costs[u])/4000, i.DeltaAccuracy, i.HalfWidth+1e-12)
		require.LessOrEqual(t, i.HalfWidth, .01)
	}
	require.Equal(t, r.Impacts[0].Score.Examples, r.Impacts[4].Score.Examples)
	require.Less(t, r.Impacts[0].Score.Examples, 1000, "a unit that does nothing needs few")
	require.Greater(t, r.Impacts[3].Score.Examples, r.Impacts[0].Score.Examples, "each stops by itself")
	var looks []int
	for _, s := range r.Unedited {
		looks = append(looks, s.Examples)
	}
	require.True(t, slices.IsSorted(looks))

	table := r.Table("net")
	require.Equal(t, "accuracy ± at 90 % (fraction)", table.Columns[7].String())
	for _, row := range table.Rows {
		require.Len(t, row, 8)
	}
	var b bytes.Buffer
	require.NoError(t, r.WriteCSV(&b))
	require.True(t, strings.HasPrefix(b.String(),
		"site,unit,correct,examples,delta_loss,delta_accuracy,worst_class,worst_class_drop,half_width\n"))
	require.Contains(t, b.String(), fmt.Sprintf("%v\n", r.Impacts[9].HalfWidth))

	missed := 0
	for seed := range uint64(20) {
		bound := sample.Bound{Within: .02, Confidence: .8, Seed: seed}
		r, err := ablate.Single(t.Context(), many(), ablate.SingleSpec{Bound: bound}, ablate.SingleOptions{})
		require.NoError(t, err)
		for u, i := range r.Impacts {
			if math.Abs(i.DeltaAccuracy+float64(costs[u])/4000) > i.HalfWidth+1e-12 {
				missed++
			}
		}
	}
	require.LessOrEqual(t, missed, 20*10/5)
}

func TestBoundedSingleResume(t *testing.T) {
	spec := ablate.SingleSpec{Bound: sample.Bound{Within: .01}}
	run := func(n *additive, opt ablate.SingleOptions) string {
		r, err := ablate.Single(t.Context(), n, spec, opt)
		require.NoError(t, err)
		r.Seconds = result.Seconds{}
		text, err := json.Marshal(r)
		require.NoError(t, err)
		return string(text)
	}
	n := many()
	want := run(n, ablate.SingleOptions{})
	for stop := range n.calls - 1 {
		var saved []byte
		looks := 0
		partial, err := ablate.Single(t.Context(), many(), spec, ablate.SingleOptions{Done: func(r ablate.Impacts) (err error) {
			saved, err = json.Marshal(r)
			if looks++; looks > stop {
				return errors.New("disk full")
			}
			return err
		}})
		require.ErrorContains(t, err, fmt.Sprintf("stopped after %d looks: disk full", stop+1))
		var resume ablate.Impacts
		require.NoError(t, json.Unmarshal(saved, &resume))
		rest := many()
		require.Equal(t, want, run(rest, ablate.SingleOptions{Resume: &resume}))
		require.Equal(t, n.calls-1, stop+1+rest.calls-1, "no look is repeated")
		require.Equal(t, want, run(many(), ablate.SingleOptions{Resume: &partial}))
		require.Equal(t, partial.Impacts, resume.Impacts, "what is resumed stays as it is")

		for says, damage := range map[string]func(*ablate.Impacts){
			"of other sites, target or bound":      func(r *ablate.Impacts) { r.Bound.Seed++ },
			"is of other sites, target":            func(r *ablate.Impacts) { r.To = unit.Mean },
			"was on 3699 of 4000 when the analysi": func(r *ablate.Impacts) { r.Baseline.Correct-- },
			"it has 9 impacts of 10 units after":   func(r *ablate.Impacts) { r.Impacts = r.Impacts[:9] },
			"unit 5 of site \"b\" has seen 7 exam": func(r *ablate.Impacts) { r.Impacts[9].Score.Examples = 7 },
			"it has 10 impacts of 10 units after ": func(r *ablate.Impacts) { r.Unedited = nil },
		} {
			var broken ablate.Impacts
			require.NoError(t, json.Unmarshal(saved, &broken))
			damage(&broken)
			_, err := ablate.Single(t.Context(), many(), spec, ablate.SingleOptions{Resume: &broken})
			require.ErrorContains(t, err, says)
		}
	}
}

func TestWithoutABoundNothingChanges(t *testing.T) {
	text, err := json.Marshal(ablate.Spec{}.WithDefaults())
	require.NoError(t, err)
	require.Equal(t, `{"orders":10,"points":20,"to":"zero"}`, string(text), "it is part of keys")
	text, err = json.Marshal(ablate.Spec{Bound: half}.WithDefaults())
	require.NoError(t, err)
	require.Equal(t, `{"orders":10,"points":20,"to":"zero","bound":{"within":0.04,"confidence":0.9,"seed":3}}`, string(text))
	text, err = json.Marshal(withoutSeconds(t, small(), ablate.Spec{}, ablate.Options{}))
	require.NoError(t, err)
	require.NotContains(t, string(text), "bounded")
	require.NotContains(t, string(text), "half_width")
}

func TestBoundedCurve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := ablate.Spec{
			Orders: rapid.IntRange(1, 3).Draw(t, "orders"), Points: rapid.IntRange(2, 8).Draw(t, "points"),
			Seed:  rapid.Uint64().Draw(t, "orderings"),
			Bound: sample.Bound{Within: rapid.Float64Range(.005, .2).Draw(t, "within"), Seed: rapid.Uint64().Draw(t, "seed")},
		}
		r, err := ablate.Cumulative(context.Background(), many(), spec, ablate.Options{})
		require.NoError(t, err)
		c := r.Curve("net")
		require.NoError(t, c.Check())
		note := r.Bounded.Note(4000)
		require.Regexp(t, `^± \S+ points at 95 % \(n = \d+( to \d+)? of 4000 examples\)$`, note)
		if spec.Orders == 1 {
			require.Equal(t, "interval of the accuracy, at most "+note, c.Band)
			require.InDelta(t, c.Y[1]+r.Bounded.HalfWidth[0][1], c.Hi[1], 1e-15)
		} else {
			require.Equal(t, fmt.Sprintf("± s.d. over %d orderings; each accuracy %s", spec.Orders, note), c.Band)
			require.InDelta(t, c.Y[1]-r.SD[1], c.Lo[1], 1e-15)
		}
		var b bytes.Buffer
		require.NoError(t, r.WriteCSV(&b))
		require.True(t, strings.HasPrefix(b.String(), fmt.Sprintf("order,k,fraction,correct,examples,accuracy,half_width\n"+
			"0,0,0,%d,%d,0.925,0\n0,%d,%v,%d,%d,%v,%v\n", r.Bounded.UsedRight[0], r.Bounded.Used[0], r.Grid[1], r.Fraction[1],
			r.Correct[0][1], r.Bounded.Used[0], r.Bounded.Accuracy[0][1], r.Bounded.HalfWidth[0][1])), b.String())
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var read ablate.Result
		require.NoError(t, json.Unmarshal(text, &read))
		require.Equal(t, r, read)
	})
}
