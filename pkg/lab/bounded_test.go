package lab

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

func impacts(t *testing.T, l *Lab, r *Run, on On, spec ablate.SingleSpec) ablate.Impacts {
	res, err := l.Single(context.Background(), r, on, spec)
	require.NoError(t, err)
	return res
}

func TestSingle(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	first := impacts(t, l, r, On{}, ablate.SingleSpec{})
	require.Equal(t, []string{"fc1", "fc2"}, first.Sites)
	require.Len(t, first.Impacts, 11)
	require.Equal(t, r.Final.TrainAccuracy, first.Baseline.Accuracy())
	require.Equal(t, "ablating single units of net", w.meters[0].title)
	require.Equal(t, 12*200, w.meters[0].total)
	require.Equal(t, 12*200, w.meters[0].done)
	require.True(t, w.meters[0].ended)
	require.Positive(t, first.Seconds.Prepare)

	again, w2 := open(t, home, Options{})
	require.Equal(t, first, impacts(t, again, r, On{Split: "train"}, ablate.SingleSpec{}))
	require.Empty(t, w2.meters)
	require.Len(t, resultFiles(t, l), 1)

	// The same by hand, one unit at a time.
	p, err := l.Probe(context.Background(), r, On{}, nil)
	require.NoError(t, err)
	defer p.Close()
	for _, i := range first.Impacts[4:8] {
		scores, _, err := p.Evaluate(context.Background(), [][]unit.Edit{{unit.Ablate(i.Site, unit.Zero, i.Unit)}})
		require.NoError(t, err)
		require.Equal(t, scores[0].ByClass, i.Score.ByClass)
	}
	// Clamped to the means of the training set, and of one site.
	test := impacts(t, l, r, On{Split: "test", Examples: 100}, ablate.SingleSpec{Sites: []string{"fc2"}, To: unit.Mean})
	require.Len(t, test.Impacts, 5)
	require.NotEqual(t, first.Impacts[6].Score.ByClass, test.Impacts[0].Score.ByClass)

	for want, c := range map[string]struct {
		on   On
		spec ablate.SingleSpec
	}{
		`no site "fc3", the network has [fc1 fc2]`: {On{}, ablate.SingleSpec{Sites: []string{"fc3"}}},
		"the first 201 examples: want 1 to 200":    {On{Examples: 201}, ablate.SingleSpec{}},
		"a bound is within NaN":                    {On{}, ablate.SingleSpec{Bound: sample.Bound{Within: math.NaN()}}},
	} {
		_, err := l.Single(context.Background(), r, c.on, c.spec)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "impacts of net: ")
	}
}

var loose = sample.Bound{Within: .1, Confidence: .9, Seed: 1}

func TestBoundsAreOtherResults(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	on := On{Split: "test"}
	spec := ablate.Spec{Orders: 2, Points: 4, Seed: 1}
	exact := ablation(t, l, r, on, spec)
	spec.Bound = loose
	got := ablation(t, l, r, on, spec)
	require.Equal(t, exact.OrdersHash, got.OrdersHash)
	require.Equal(t, exact.Baseline.ByClass, got.Baseline.ByClass)
	for i, row := range exact.Correct {
		require.Less(t, got.Bounded.Used[i], 2000)
		for j, correct := range row {
			require.InDelta(t, float64(correct)/2000, got.Bounded.Accuracy[i][j], got.Bounded.HalfWidth[i][j]+1e-12)
		}
	}
	require.Zero(t, w.meters[1].total, "nobody knows how many it will be")
	require.Less(t, w.meters[1].done, w.meters[0].total)
	require.True(t, w.meters[1].ended)

	sweepExact := sweep(t, l, r, on, noise.Spec{Scales: []float64{.3, 3}, Repeats: 2})
	swept := sweep(t, l, r, on, noise.Spec{Scales: []float64{.3, 3}, Repeats: 2, Bound: loose})
	for i, row := range sweepExact.Correct {
		for j, correct := range row {
			require.InDelta(t, float64(correct)/2000, swept.Bounded.Accuracy[i][j], swept.Bounded.HalfWidth[i][j]+1e-12)
		}
	}

	singleExact := impacts(t, l, r, on, ablate.SingleSpec{})
	single := impacts(t, l, r, on, ablate.SingleSpec{Bound: loose})
	for u, i := range singleExact.Impacts {
		require.InDelta(t, i.DeltaAccuracy, single.Impacts[u].DeltaAccuracy, single.Impacts[u].HalfWidth+1e-12)
	}
	require.Len(t, resultFiles(t, l), 6)
	again, w := open(t, home, Options{})
	require.Equal(t, single, impacts(t, again, r, on, ablate.SingleSpec{Bound: loose}))
	require.Equal(t, got, ablation(t, again, r, on, spec))
	require.Empty(t, w.meters)

	for _, bound := range []sample.Bound{{Within: math.NaN()}, {Within: 2}} {
		_, err := l.Ablate(context.Background(), r, on, ablate.Spec{Bound: bound})
		require.ErrorContains(t, err, "ablation of net: a bound is within")
		_, err = l.Noise(context.Background(), r, on, noise.Spec{Bound: bound})
		require.ErrorContains(t, err, "noise of net: a bound is within")
	}
}

func TestInterruptedSingle(t *testing.T) {
	home, r := shared(t)
	spec := ablate.SingleSpec{Bound: sample.Bound{Within: .04, Confidence: .9}}
	on := On{Split: "test"}
	whole, _ := open(t, t.TempDir(), Options{})
	want := impacts(t, whole, r, on, spec)
	require.Greater(t, len(want.Unedited), 2)

	ctx, cancel := context.WithCancel(context.Background())
	l, w := open(t, home, Options{})
	w.advance = func(_ string, done int) {
		if done > 2000+12*want.Unedited[0].Examples { // after the first look
			cancel()
		}
	}
	_, err := l.Single(ctx, r, on, spec)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "impacts of net: single-unit ablation: stopped after 1 looks: ")
	files := resultFiles(t, l)
	require.Len(t, files, 1)
	require.True(t, strings.HasSuffix(files[0], ".partial.json"))

	var notes []string
	l, _ = open(t, home, Options{Note: func(s string) { notes = append(notes, s) }})
	got := impacts(t, l, r, on, spec)
	require.Equal(t, []string{"impacts of net: going on from a partial result"}, notes)
	for _, res := range []*ablate.Impacts{&want, &got} {
		res.Seconds, res.Receipt = result.Seconds{}, unit.Receipt{} // how much was checked depends on the sessions
	}
	wantText, err := json.Marshal(want)
	require.NoError(t, err)
	gotText, err := json.Marshal(got)
	require.NoError(t, err)
	require.Equal(t, string(wantText), string(gotText))
}
