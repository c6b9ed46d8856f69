package noise_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

func big() *linear {
	n := small()
	n.examples = 3000
	return n
}

func TestBounded(t *testing.T) {
	spec := noise.Spec{Scales: []float64{0.2, 1, 2}, Repeats: 4, Seed: 5}
	exact := withoutSeconds(t, big(), spec, noise.Options{})
	points, missed := 0, 0
	for seed := range uint64(40) {
		spec.Bound = sample.Bound{Within: .05, Confidence: .8, Seed: seed}
		r := withoutSeconds(t, big(), spec, noise.Options{})
		require.True(t, r.Complete())
		require.Equal(t, exact.Baseline, r.Baseline)
		require.Less(t, slices.Max(r.Bounded.Used), 3000, "or nothing was saved")
		order := sample.Order(3000, seed)
		for i, row := range exact.Correct {
			// The noise of an example is the same, whoever else is looked at.
			draw := noise.Seeds(5, 4)[i]
			set := []unit.Edit{unit.Noise("a", []float64{.6, 0}, draw), unit.Noise("b", []float64{.8}, draw)}
			scores, _, _, err := big().EvaluateOn(t.Context(), order[:r.Bounded.Used[i]], [][]unit.Edit{set})
			require.NoError(t, err)
			require.Equal(t, scores[0].Correct, r.Correct[i][1])
			for j, correct := range row {
				points++
				require.LessOrEqual(t, r.Bounded.HalfWidth[i][j], .05)
				if math.Abs(r.Bounded.Accuracy[i][j]-float64(correct)/3000) > r.Bounded.HalfWidth[i][j] {
					missed++
				}
			}
		}
	}
	require.LessOrEqual(t, missed, points/5)

	spec.Bound = sample.Bound{Within: 1e-6}
	got := withoutSeconds(t, big(), spec, noise.Options{})
	require.Equal(t, exact.Correct, got.Correct)
	require.InDeltaSlice(t, exact.Mean, got.Mean, 1e-15)
	require.InDeltaSlice(t, exact.SD, got.SD, 1e-15)
}

func TestBoundedSessions(t *testing.T) {
	spec := noise.Spec{Scales: []float64{0.2, 1}, Repeats: 3, Seed: 5, Bound: sample.Bound{Within: .05}}
	whole := big()
	want := withoutSeconds(t, whole, spec, noise.Options{})
	for stop := range whole.calls {
		ctx, cancel := context.WithCancel(t.Context())
		n := big()
		n.before = func(call int) error {
			if call > stop {
				cancel()
			}
			return nil
		}
		partial, err := noise.Sweep(ctx, n, spread(), spec, noise.Options{})
		cancel()
		require.ErrorIs(t, err, context.Canceled)
		text, err := json.Marshal(partial)
		require.NoError(t, err)
		var resume noise.Result // as another process reads it
		require.NoError(t, json.Unmarshal(text, &resume))
		require.Equal(t, want, withoutSeconds(t, big(), spec, noise.Options{Resume: &resume}), "stopped in call %d", stop)
	}

	part := want
	part.Correct = part.Correct[:2]
	_, err := noise.Sweep(t.Context(), big(), spread(), spec, noise.Options{Resume: &part})
	require.ErrorContains(t, err, "is damaged")
	rows := *want.Bounded
	rows.Lost = rows.Lost[:1]
	part = want
	part.Bounded = &rows
	_, err = noise.Sweep(t.Context(), big(), spread(), spec, noise.Options{Resume: &part})
	require.ErrorContains(t, err, "is damaged: its lists of rows")
	for _, bound := range []sample.Bound{{}, {Within: .05, Seed: 1}} {
		other := spec
		other.Bound = bound
		_, err = noise.Sweep(t.Context(), big(), spread(), other, noise.Options{Resume: &want})
		require.ErrorContains(t, err, "of another bound")
	}
	less := want
	less.Baseline.Correct--
	less.Correct, rows = less.Correct[:1], sample.Rows{Bound: want.Bounded.Bound, Used: want.Bounded.Used[:1],
		UsedRight: want.Bounded.UsedRight[:1], Lost: want.Bounded.Lost[:1], Gained: want.Bounded.Gained[:1]}
	less.Bounded = &rows
	rows.UsedRight = []int{rows.UsedRight[0] - 1}
	_, err = noise.Sweep(t.Context(), big(), spread(), spec, noise.Options{Resume: &less})
	require.Error(t, err)

	n := big()
	spec.Bound.Within = 1
	_, err = noise.Sweep(t.Context(), n, spread(), spec, noise.Options{})
	require.ErrorContains(t, err, "noise sweep: a bound is within 1, it must lie between 0 and 0.5")
	spec.Bound.Within = .1
	_, err = noise.Sweep(t.Context(), struct{ noise.Evaluator }{n}, spread(), spec, noise.Options{})
	require.ErrorContains(t, err, "leave the bound out")
	require.Zero(t, n.calls)
}

func TestBoundedWords(t *testing.T) {
	text, err := json.Marshal(noise.Spec{Scales: []float64{1}}.WithDefaults())
	require.NoError(t, err)
	require.Equal(t, `{"scales":[1],"repeats":10}`, string(text), "it is part of keys")
	r := withoutSeconds(t, big(), noise.Spec{Scales: []float64{1, 2}, Repeats: 2}, noise.Options{})
	text, err = json.Marshal(r)
	require.NoError(t, err)
	require.NotContains(t, string(text), "bounded")

	r = withoutSeconds(t, big(), noise.Spec{Scales: []float64{1, 2}, Repeats: 2, Bound: sample.Bound{Within: .05}},
		noise.Options{})
	c := r.Curve("net")
	require.NoError(t, c.Check())
	require.Equal(t, "± s.d. over 2 repeats; each accuracy "+r.Bounded.Note(3000), c.Band)
	var b bytes.Buffer
	require.NoError(t, r.WriteCSV(&b))
	lines := strings.Split(b.String(), "\n")
	require.Equal(t, "repeat,scale,correct,examples,accuracy,half_width", lines[0])
	require.Equal(t, fmt.Sprintf("0,1,%d,%d,%v,%v", r.Correct[0][0], r.Bounded.Used[0], r.Bounded.Accuracy[0][0],
		r.Bounded.HalfWidth[0][0]), lines[1])
	require.Len(t, lines, 1+4+1)
}
