package ablate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// forthAndBack are two orders of the five units of small.
func forthAndBack() *ablate.Orderings {
	return &ablate.Orderings{
		Sites: []string{"a", "b"}, Grid: []int{0, 2, 5}, Orders: [][]int{{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}},
	}
}

func TestCumulativeByHand(t *testing.T) {
	n := small()
	r, err := ablate.Cumulative(t.Context(), n, ablate.Spec{Given: forthAndBack()}, ablate.Options{})
	require.NoError(t, err)
	require.True(t, r.Complete())

	require.Equal(t, []string{"a", "b"}, r.Sites)
	require.Equal(t, [3]int{5, 50, 2}, [3]int{r.Units, r.Examples, r.Orders})
	require.Equal(t, []int{0, 2, 5}, r.Grid)
	require.Equal(t, []float64{0, 0.4, 1}, r.Fraction)
	// Forth: a0 and a1 cost 30. Back: b2 and b1 cost 5. All cost 40.
	require.Equal(t, [][]int{{45, 15, 5}, {45, 40, 5}}, r.Correct)
	require.Equal(t, []float64{0.9, 0.55, 0.1}, r.Mean)
	require.InDeltaSlice(t, []float64{0, 0.5 / math.Sqrt2, 0}, r.SD, 1e-15)
	// 0.4·(0.9+0.3)/2 + 0.6·(0.3+0.1)/2, 0.4·(0.9+0.8)/2 + 0.6·(0.8+0.1)/2, and the mean of the two.
	require.InDeltaSlice(t, []float64{0.36, 0.61}, r.AUCs, 1e-15)
	require.InDelta(t, 0.485, r.AUC, 1e-15)
	require.InDelta(t, 0.485/0.9, r.AUCRelative, 1e-15)

	require.Equal(t, unit.Score{Examples: 50, Correct: 45, ByClass: []int{31, 14}}, r.Baseline)
	require.Equal(t, unit.Score{Examples: 50, Correct: 5, Loss: 4, ByClass: []int{1, 4}}, *r.AllAblated)
	// No units and all units are asked for once.
	require.Equal(t, [][]unit.Edit{
		nil,
		{unit.Ablate("a", unit.Zero, 0, 1)},
		{unit.Ablate("a", unit.Zero), unit.Ablate("b", unit.Zero)},
		{unit.Ablate("b", unit.Zero, 2, 1)},
	}, n.sets)
	require.Equal(t, unit.Receipt{Plan: "sum", Backend: "none", Sets: 4, Edits: 4, Examples: 50, Changed: 75}, r.Receipt)
	require.GreaterOrEqual(t, r.Seconds.Total, r.Seconds.Evaluate)
}

func TestSitesArePooledInTheirOrder(t *testing.T) {
	given := forthAndBack()
	given.Sites = []string{"b", "a"} // units 0…2 are now of b, 3 and 4 of a
	r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{Given: given}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, [][]int{{45, 39, 5}, {45, 15, 5}}, r.Correct) // b0 and b1 cost 6; a1 and a0 30

	r, err = ablate.Cumulative(t.Context(), small(), ablate.Spec{Sites: []string{"b"}}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, r.Sites)
	require.Equal(t, []int{0, 1, 2, 3}, r.Grid, "20 points of 3 units")
	require.Equal(t, 35, r.AllAblated.Correct)
}

func TestTargetReachesTheNetwork(t *testing.T) {
	for target, all := range map[unit.Target]int{unit.Zero: 5, unit.Mean: 45 - 5 - 10 - 2 - 0 - 2, unit.ElementMean: 45 - 5 - 10 - 2 - 0 - 2, unit.Itself: 45} {
		r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{To: target}, ablate.Options{})
		require.NoError(t, err)
		require.Equal(t, target, r.To)
		require.Equal(t, all, r.AllAblated.Correct, target.String())
	}
}

func TestDefaultsAreThePapersProtocol(t *testing.T) {
	r, err := ablate.Cumulative(t.Context(), wide(), ablate.Spec{}, ablate.Options{})
	require.NoError(t, err)
	require.Len(t, r.Correct, 10)
	require.Len(t, r.Grid, 20)
	require.Equal(t, 32, r.Units)
	require.Equal(t, ablate.Grid(32, 20), r.Grid)
	require.Equal(t, unit.Zero, r.To)
	for _, row := range r.Correct {
		require.True(t, slices.IsSortedFunc(row, func(a, b int) int { return b - a }), "nested sets of costs only fall")
		require.Equal(t, r.Baseline.Correct, row[0])
		require.Equal(t, 1, row[19])
	}
	require.Equal(t, ablate.Spec{Orders: 10, Points: 20}, ablate.Spec{}.WithDefaults())
	require.Equal(t, ablate.Spec{Orders: 2, Points: 3, Given: forthAndBack()},
		ablate.Spec{Sites: []string{"a", "b"}, Orders: 7, Points: 9, Seed: 4, Given: forthAndBack()}.WithDefaults())
}

func TestRowsEqualSetsAskedOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := ablate.Spec{
			Orders: rapid.IntRange(1, 4).Draw(t, "orders"),
			Points: rapid.IntRange(2, 40).Draw(t, "points"),
			Seed:   rapid.Uint64().Draw(t, "seed"),
		}
		n := wide()
		r, err := ablate.Cumulative(context.Background(), n, spec, ablate.Options{})
		require.NoError(t, err)
		costs := slices.Concat(n.cost...)
		for i, order := range ablate.Random(32, spec.Orders, spec.Seed) {
			for j, k := range r.Grid {
				want := n.right[0] + n.right[1]
				for _, u := range order[:k] {
					want -= costs[u]
				}
				require.Equal(t, want, r.Correct[i][j], "order %d, k = %d", i, k)
			}
		}
		require.Equal(t, 2+spec.Orders*(len(r.Grid)-2), len(n.sets), "no set is asked for twice")
		require.LessOrEqual(t, n.calls, spec.Orders)
	})
}

func TestBatchesAndRunsDoNotMatter(t *testing.T) {
	want := withoutSeconds(t, wide(), ablate.Spec{Orders: 3}, ablate.Options{})
	for size := 1; size <= 3; size++ {
		require.Equal(t, want, withoutSeconds(t, inBatches{wide(), size}, ablate.Spec{Orders: 3}, ablate.Options{}))
	}
}

func TestRelabelledUnitsGiveTheSameCurves(t *testing.T) {
	n, given := small(), forthAndBack()
	want := withoutSeconds(t, n, ablate.Spec{Given: given}, ablate.Options{})
	// Swap the two units of a, and turn b's round; the orders follow.
	n.cost = [][]int{{20, 10}, {4, 1, 5}}
	given.Orders = [][]int{{1, 0, 4, 3, 2}, {2, 3, 4, 0, 1}}
	got, err := ablate.Cumulative(t.Context(), n, ablate.Spec{Given: given}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, want.Correct, got.Correct)
	require.NotEqual(t, want.OrdersHash, got.OrdersHash)
}

// withoutSeconds runs to the end and forgets the time it took.
func withoutSeconds(t *testing.T, e ablate.Evaluator, spec ablate.Spec, opt ablate.Options) ablate.Result {
	t.Helper()
	r, err := ablate.Cumulative(t.Context(), e, spec, opt)
	require.NoError(t, err)
	r.Seconds = result.Seconds{}
	return r
}

func TestResumeEqualsUninterrupted(t *testing.T) {
	for _, spec := range []ablate.Spec{{Orders: 5, Points: 7, Seed: 3}, {Given: forthAndBack()}} {
		network := wide
		if spec.Given != nil {
			network = small
		}
		want, err := json.Marshal(withoutSeconds(t, network(), spec, ablate.Options{}))
		require.NoError(t, err)
		full := network()
		_ = withoutSeconds(t, full, spec, ablate.Options{})

		orders := spec.WithDefaults().Orders
		for stop := 0; stop <= orders; stop++ {
			ctx, cancel := context.WithCancel(t.Context())
			n := network()
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
			if stop < orders {
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, fmt.Sprintf("stopped with %d of %d orderings complete", stop, orders))
				require.False(t, partial.Complete())
				require.Len(t, partial.Correct, stop)
			} else {
				require.NoError(t, err)
			}
			var resume *ablate.Result // as another process reads it
			require.NoError(t, json.Unmarshal(saved, &resume))
			rest := network()
			got, err := json.Marshal(withoutSeconds(t, rest, spec, ablate.Options{Resume: resume}))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), "stopped after %d", stop)
			require.Equal(t, len(full.sets), len(n.sets)+len(rest.sets), "nothing is evaluated twice")

			// The partial result itself can be resumed too, and stays as it is.
			before, err := json.Marshal(partial)
			require.NoError(t, err)
			got, err = json.Marshal(withoutSeconds(t, network(), spec, ablate.Options{Resume: &partial}))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
			after, err := json.Marshal(partial)
			require.NoError(t, err)
			require.Equal(t, string(before), string(after))
		}
	}
}

func TestSecondsAddUpOverSessions(t *testing.T) {
	partial, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{}, ablate.Options{
		Done: func(ablate.Result) error { return errors.New("disk full") },
	})
	require.ErrorContains(t, err, "stopped with 1 of 10 orderings complete: disk full")
	partial.Seconds = result.Seconds{Prepare: 100, Evaluate: 200, Total: 300}
	r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{}, ablate.Options{Resume: &partial})
	require.NoError(t, err)
	require.Greater(t, r.Seconds.Prepare, 100.0)
	require.Greater(t, r.Seconds.Evaluate, 200.0)
	require.Greater(t, r.Seconds.Total, 300.0)
	require.Less(t, r.Seconds.Total, 310.0)
}

func TestResumeOfSomethingElse(t *testing.T) {
	whole, err := ablate.Cumulative(t.Context(), wide(), ablate.Spec{Orders: 3}, ablate.Options{})
	require.NoError(t, err)
	for _, spec := range []ablate.Spec{
		{Orders: 4}, {Orders: 3, Seed: 1}, {Orders: 3, Points: 5}, {Orders: 3, To: unit.Mean},
		{Orders: 3, Sites: []string{"fc2", "fc1"}}, {Orders: 3, Sites: []string{"fc1"}},
	} {
		n := wide()
		_, err := ablate.Cumulative(t.Context(), n, spec, ablate.Options{Resume: &whole})
		require.ErrorContains(t, err, "the result to resume is of other", "%+v", spec)
		require.Zero(t, n.calls)
	}
	for _, damage := range []func(*ablate.Result){
		func(r *ablate.Result) { r.Correct = [][]int{{1, 2}} },
		func(r *ablate.Result) { r.Correct = [][]int{r.Correct[0], {1, 2}} },
		func(r *ablate.Result) { r.Correct = append(slices.Clone(r.Correct), r.Correct[0]) },
		func(r *ablate.Result) { r.Examples = 10 },
		func(r *ablate.Result) { r.AllAblated = nil },
	} {
		broken := whole
		damage(&broken)
		_, err := ablate.Cumulative(t.Context(), wide(), ablate.Spec{Orders: 3}, ablate.Options{Resume: &broken})
		require.ErrorContains(t, err, "the result to resume is damaged")
	}
	part := whole
	part.Correct = whole.Correct[:1]
	n := wide()
	n.examples = 999
	_, err = ablate.Cumulative(t.Context(), n, ablate.Spec{Orders: 3}, ablate.Options{Resume: &part})
	require.ErrorContains(t, err, "scored 999 examples, earlier orderings saw 1000")

	// What is resumed is not written to, not even behind the end of its list.
	before := slices.Clone(whole.Correct)
	n = wide()
	n.cost[0] = make([]int, 12)
	_, err = ablate.Cumulative(t.Context(), n, ablate.Spec{Orders: 3}, ablate.Options{Resume: &part})
	require.NoError(t, err)
	require.Equal(t, before, whole.Correct)
}

func TestStops(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n := small()
	r, err := ablate.Cumulative(ended, n, ablate.Spec{}, ablate.Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "0 of 10 orderings")
	require.Zero(t, n.calls)
	require.Empty(t, r.Correct)
	require.Zero(t, r.Curve("none").Len())
	require.NoError(t, r.Curve("none").Check())

	// An evaluator that fails with an error of its own when its context ends.
	ctx, cancel := context.WithCancel(t.Context())
	n.prepare = func(int) error { cancel(); return errors.New("execution aborted") }
	_, err = ablate.Cumulative(ctx, n, ablate.Spec{}, ablate.Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "execution aborted")

	n.prepare = func(call int) error {
		if call == 3 {
			return os.ErrPermission
		}
		return nil
	}
	n.calls = 0
	r, err = ablate.Cumulative(t.Context(), n, ablate.Spec{}, ablate.Options{})
	require.ErrorIs(t, err, os.ErrPermission)
	require.Len(t, r.Correct, 2)
	require.Len(t, r.SD, len(r.Grid))
	require.Equal(t, 2, r.Curve("two").N)
}

func TestRequestErrors(t *testing.T) {
	given := func(change func(*ablate.Orderings)) ablate.Spec {
		o := forthAndBack()
		change(o)
		return ablate.Spec{Given: o}
	}
	for says, spec := range map[string]ablate.Spec{
		`no site "fc9", the network has [a b]`: {Sites: []string{"fc9"}},
		`site "a" is named twice`:              {Sites: []string{"a", "a"}},
		"orders is -1":                         {Orders: -1},
		"points is 1, at least 2":              {Points: 1},
		`of sites ["a" "b"], but sites ["b"]`:  {Sites: []string{"b"}, Given: forthAndBack()},
		"name no sites":                        given(func(o *ablate.Orderings) { o.Sites = nil }),
		"hold no orders":                       given(func(o *ablate.Orderings) { o.Orders = nil }),
		"grid value 6 is outside 0..5":         given(func(o *ablate.Orderings) { o.Grid[2] = 6 }),
		"grid value -1":                        given(func(o *ablate.Orderings) { o.Grid[0] = -1 }),
		"5 follows 5":                          given(func(o *ablate.Orderings) { o.Grid[1] = 5 }),
		"order 1 has 4 units, too few":         given(func(o *ablate.Orderings) { o.Orders[1] = o.Orders[1][:4] }),
		"order 0 names unit 2 twice":           given(func(o *ablate.Orderings) { o.Orders[0][4] = 2 }),
		"order 1, position 0: unit 5 is":       given(func(o *ablate.Orderings) { o.Orders[1][0] = 5 }),
		"order 1, position 0: unit -1":         given(func(o *ablate.Orderings) { o.Orders[1][0] = -1 }),
		`no site "c", the network has [a b]`:   given(func(o *ablate.Orderings) { o.Sites = []string{"a", "c"} }),
		"order 0 has 4 units, too few":         given(func(o *ablate.Orderings) { o.Grid, o.Orders[0] = nil, o.Orders[0][:4] }),
	} {
		n := small()
		r, err := ablate.Cumulative(t.Context(), n, spec, ablate.Options{})
		require.ErrorContains(t, err, says)
		require.Empty(t, r.Sites)
		require.Zero(t, n.calls)
	}
	_, err := ablate.Cumulative(t.Context(), &additive{}, ablate.Spec{}, ablate.Options{})
	require.ErrorContains(t, err, "no units to ablate")
}

func TestBrokenEvaluators(t *testing.T) {
	for says, broken := range map[string]func([]unit.Score) []unit.Score{
		"gave 5 scores for 6":  func(s []unit.Score) []unit.Score { return s[:5] },
		"on 1 examples":        func(s []unit.Score) []unit.Score { s[1].Examples = 1; return s },
		"set 0 on 0 examples":  func(s []unit.Score) []unit.Score { return make([]unit.Score, len(s)) },
		"count 51 (repeat 0, ": func(s []unit.Score) []unit.Score { s[1].Correct = 51; return s },
	} {
		n := small()
		n.broken = broken
		r, err := ablate.Cumulative(t.Context(), n, ablate.Spec{Points: 7}, ablate.Options{})
		require.ErrorContains(t, err, says)
		require.Empty(t, r.Correct, "nothing wrong is kept")
		require.Zero(t, r.Examples)
	}
}

func TestShortGrids(t *testing.T) {
	// The grid neither starts at 0 nor ends at all units; orders may then be short. The unedited network is scored anyway.
	given := &ablate.Orderings{Sites: []string{"a", "b"}, Grid: []int{1, 3}, Orders: [][]int{{1, 0, 3}, {2, 3, 4}}}
	r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{Given: given}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, [][]int{{25, 14}, {40, 35}}, r.Correct)
	require.Nil(t, r.AllAblated)
	require.InDelta(t, (0.65+0.49)/2, r.AUC, 1e-15, "the mean height over the fractions covered")
	require.InDelta(t, r.AUC/0.9, r.AUCRelative, 1e-15)
	again := withoutSeconds(t, small(), ablate.Spec{Given: given}, ablate.Options{Resume: &r})
	require.Equal(t, r.Correct, again.Correct)

	given = &ablate.Orderings{Sites: []string{"a"}, Grid: []int{0}, Orders: [][]int{{}, {1}}}
	n := small()
	r, err = ablate.Cumulative(t.Context(), n, ablate.Spec{Given: given}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, [][]int{{45}, {45}}, r.Correct)
	require.Equal(t, 0.9, r.AUC)
	require.Equal(t, 1, n.calls, "the second ordering has nothing left to ask")

	n = small()
	n.right = []int{0, 0}
	n.cost = [][]int{{0, 0}, {0, 0, 0}}
	r, err = ablate.Cumulative(t.Context(), n, ablate.Spec{}, ablate.Options{})
	require.NoError(t, err)
	require.Zero(t, r.AUCRelative, "0/0 is reported as 0, JSON has no NaN")
}

func TestJSON(t *testing.T) {
	for _, spec := range []ablate.Spec{
		{Seed: math.MaxUint64}, {Orders: 1, To: unit.Value(0.1)}, {Given: forthAndBack(), To: unit.Mean},
	} {
		network := wide()
		if spec.Given != nil {
			network = small()
		}
		r, err := ablate.Cumulative(t.Context(), network, spec, ablate.Options{})
		require.NoError(t, err)
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var read ablate.Result
		require.NoError(t, json.Unmarshal(text, &read))
		require.Equal(t, r, read)

		var fields map[string]any
		require.NoError(t, json.Unmarshal(text, &fields))
		for _, name := range []string{"sites", "units", "examples", "grid", "fraction", "correct", "mean", "sd", "auc",
			"auc_relative", "seconds", "receipt", "to", "orders", "seed"} {
			require.Contains(t, fields, name)
		}
		require.ElementsMatch(t, []string{"prepare", "evaluate", "total"},
			slices.Collect(maps.Keys(fields["seconds"].(map[string]any))))
		if spec.Orders == 1 {
			require.Nil(t, fields["sd"], "one ordering has no s.d.")
		}

		text, err = json.Marshal(spec)
		require.NoError(t, err)
		var again ablate.Spec
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, spec, again)
	}
}

func TestCurve(t *testing.T) {
	r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{Given: forthAndBack()}, ablate.Options{})
	require.NoError(t, err)
	c := r.Curve("20 % corrupted")
	require.NoError(t, c.Check())
	half := r.SD[1]
	require.Equal(t, result.Curve{
		Name: "20 % corrupted", N: 2, Band: "± s.d. over 2 orderings",
		XAxis: result.Axis{Name: "units ablated"}, YAxis: result.Axis{Name: "accuracy", Unit: "fraction"},
		X: []float64{0, 2, 5}, Y: []float64{0.9, 0.55, 0.1},
		Lo: []float64{0.9, 0.55 - half, 0.1}, Hi: []float64{0.9, 0.55 + half, 0.1},
	}, c)
	c.Y[0] = 7
	require.Equal(t, 0.9, r.Mean[0], "the curve is a copy")

	r, err = ablate.Cumulative(t.Context(), small(), ablate.Spec{Orders: 1}, ablate.Options{})
	require.NoError(t, err)
	c = r.Curve("one")
	require.NoError(t, c.Check())
	require.Nil(t, c.Lo)
	require.Empty(t, c.Band)
}

func TestWriteCSV(t *testing.T) {
	r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{Given: forthAndBack()}, ablate.Options{})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, r.WriteCSV(&b))
	require.Equal(t, `order,k,fraction,correct,examples,accuracy
0,0,0,45,50,0.9
0,2,0.4,15,50,0.3
0,5,1,5,50,0.1
1,0,0,45,50,0.9
1,2,0.4,40,50,0.8
1,5,1,5,50,0.1
`, b.String())
}

func TestAUC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		height := rapid.Float64Range(0, 1).Draw(t, "height")
		var fraction []float64
		for _, k := range ablate.Grid(1024, rapid.IntRange(2, 60).Draw(t, "points")) {
			fraction = append(fraction, float64(k)/1024)
		}
		require.InDelta(t, height, ablate.AUC(fraction, slices.Repeat([]float64{height}, len(fraction))), 1e-14)
		falling := make([]float64, len(fraction))
		for i, f := range fraction {
			falling[i] = 1 - f*(1-height)
		}
		require.InDelta(t, (1+height)/2, ablate.AUC(fraction, falling), 1e-14)
	})
	require.Equal(t, 0.3, ablate.AUC([]float64{0}, []float64{0.3}))
	for _, bad := range [][2][]float64{
		{nil, nil}, {{0, 1}, {1}}, {{0, 0}, {1, 1}}, {{1, 0}, {1, 1}}, {{0, 1}, {1, math.NaN()}},
	} {
		require.True(t, math.IsNaN(ablate.AUC(bad[0], bad[1])))
	}
}

func TestSingle(t *testing.T) {
	for size := 1; size <= 3; size++ {
		r, err := ablate.Single(t.Context(), inBatches{small(), size}, ablate.SingleSpec{}, ablate.SingleOptions{})
		require.NoError(t, err)
		require.True(t, r.Complete())
		require.Equal(t, []string{"a", "b"}, r.Sites)
		require.Equal(t, [2]int{5, 50}, [2]int{r.Units, r.Examples})
		require.Equal(t, unit.Score{Examples: 50, Correct: 45, ByClass: []int{31, 14}}, r.Baseline)
		require.Len(t, r.Impacts, 5)
		require.Equal(t, ablate.Impact{
			Site: "a", Unit: 1, Score: unit.Score{Examples: 50, Correct: 25, Loss: 2, ByClass: []int{11, 14}},
			DeltaLoss: 2.0 / 50, DeltaAccuracy: -0.4, WorstClass: 0, WorstClassDrop: 20.0 / 31,
		}, r.Impacts[1])
		require.Equal(t, ablate.Impact{
			Site: "b", Unit: 2, Score: unit.Score{Examples: 50, Correct: 41, Loss: 0.4, ByClass: []int{31, 10}},
			DeltaLoss: 0.4 / 50, DeltaAccuracy: -0.08, WorstClass: 1, WorstClassDrop: 4.0 / 14,
		}, r.Impacts[4])
		require.Equal(t, 6, r.Receipt.Sets)
		require.GreaterOrEqual(t, r.Seconds.Total, r.Seconds.Evaluate)
	}
	r, err := ablate.Single(t.Context(), small(), ablate.SingleSpec{Sites: []string{"b"}, To: unit.Itself}, ablate.SingleOptions{})
	require.NoError(t, err)
	require.Len(t, r.Impacts, 3)
	for u, i := range r.Impacts {
		require.Equal(t, [2]any{"b", u}, [2]any{i.Site, i.Unit})
		require.Equal(t, [3]float64{0, 0, 0}, [3]float64{i.DeltaLoss, i.DeltaAccuracy, i.WorstClassDrop})
		require.Zero(t, i.WorstClass, "of tied classes the lowest")
	}

	_, err = ablate.Single(t.Context(), small(), ablate.SingleSpec{Sites: []string{"fc9"}}, ablate.SingleOptions{})
	require.ErrorContains(t, err, `no site "fc9", the network has [a b]`)
	_, err = ablate.Single(t.Context(), &additive{}, ablate.SingleSpec{}, ablate.SingleOptions{})
	require.ErrorContains(t, err, "no units to ablate")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err = ablate.Single(ctx, small(), ablate.SingleSpec{}, ablate.SingleOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, r.Complete())

	never := small()
	never.right, never.cost = []int{0, 0}, [][]int{{0}, {0}}
	r, err = ablate.Single(t.Context(), never, ablate.SingleSpec{}, ablate.SingleOptions{})
	require.NoError(t, err)
	require.Equal(t, -1, r.Impacts[0].WorstClass)
	never.broken = func(s []unit.Score) []unit.Score { s[1].ByClass = nil; return s }
	_, err = ablate.Single(t.Context(), never, ablate.SingleSpec{}, ablate.SingleOptions{})
	require.ErrorContains(t, err, "into 0 classes, and into 2")
}

func TestImpactsForPeople(t *testing.T) {
	r, err := ablate.Single(t.Context(), small(), ablate.SingleSpec{}, ablate.SingleOptions{})
	require.NoError(t, err)
	table := r.Table("net")
	require.Equal(t, "Units of net, each ablated alone: accuracy 0.9000 without ablation, on 50 examples", table.Title)
	var order []any
	for _, row := range table.Rows {
		order = append(order, row[0].(string)+fmt.Sprint(row[1]))
	}
	require.Equal(t, []any{"a1", "a0", "b0", "b2", "b1"}, order, "costs 20, 10, 5, 4, 1")
	var b bytes.Buffer
	require.NoError(t, r.WriteCSV(&b))
	require.Equal(t, `site,unit,correct,examples,delta_loss,delta_accuracy,worst_class,worst_class_drop
a,0,35,50,0.02,-0.2,0,0.3225806451612903
a,1,25,50,0.04,-0.4,0,0.6451612903225806
b,0,40,50,0.01,-0.1,1,0.35714285714285715
b,1,44,50,0.002,-0.02,1,0.07142857142857142
b,2,41,50,0.008,-0.08,1,0.2857142857142857
`, b.String())
	text, err := json.Marshal(r)
	require.NoError(t, err)
	for _, name := range []string{"bound", "unedited", "lost", "gained", "half_width"} {
		require.NotContains(t, string(text), `"`+name+`"`, "a result without a bound says nothing of bounds")
	}
	var read ablate.Impacts
	require.NoError(t, json.Unmarshal(text, &read))
	require.Equal(t, r, read)
}
