package lab

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
)

func TestUnits(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	ctx := context.Background()
	alone, err := l.Units(ctx, r, On{Examples: 60}, selectivity.Spec{}, false)
	require.NoError(t, err)
	require.Nil(t, alone.Impacts)
	require.Equal(t, alone.Selectivity.Table, alone.Table)
	require.Equal(t, 60, alone.Selectivity.Examples)
	require.Equal(t, []string{"fc1", "fc2"}, alone.Selectivity.Sites)
	require.Len(t, w.meters, 1)
	require.Equal(t, "measuring units of net", w.meters[0].title)
	require.Equal(t, 60, w.meters[0].total)
	require.Equal(t, 60, w.meters[0].done)
	require.True(t, w.meters[0].ended)
	require.Len(t, resultFiles(t, l), 1)
	require.Positive(t, alone.Selectivity.Seconds.Prepare)
	require.Greater(t, alone.Selectivity.Seconds.Total, alone.Selectivity.Seconds.Evaluate)

	// With the impact, which is the one that Single has, of the same examples.
	u, err := l.Units(ctx, r, On{Examples: 60, Split: "test"}, selectivity.Spec{Bins: 20}, true)
	require.NoError(t, err)
	require.Len(t, w.meters, 2, "selectivity came from the store")
	require.Len(t, resultFiles(t, l), 2)
	impacts, err := l.Single(ctx, r, On{Examples: 60, Split: "test"}, ablate.SingleSpec{})
	require.NoError(t, err)
	require.Equal(t, impacts, *u.Impacts)
	require.Len(t, u.Table.Rows, len(impacts.Impacts))
	loss, err := u.Table.Numbers("delta_loss")
	require.NoError(t, err)
	for i, row := range u.Table.Rows {
		require.Equal(t, alone.Table.Rows[i], row[:len(alone.Table.Columns)])
		require.Equal(t, impacts.Impacts[i].DeltaLoss, loss[i])
	}

	// The L1 norm is that of the incoming weights.
	norms, err := u.Table.Numbers("l1_norm")
	require.NoError(t, err)
	fc1 := r.Arrays["fc1.weight"]
	sum := 0.0
	for _, x := range fc1.Data[:fc1.Shape[1]] {
		sum += math.Abs(float64(x))
	}
	require.Equal(t, sum, norms[0])

	// Read again without a backend; another spec is another result; passes do not matter.
	l2, w2 := open(t, home, Options{Memory: 1})
	again, err := l2.Units(ctx, r, On{Examples: 60}, selectivity.Spec{}, true)
	require.NoError(t, err)
	require.Equal(t, u, again)
	require.Empty(t, w2.meters)
	bins, err := l.Selectivity(ctx, r, On{Examples: 60}, selectivity.Spec{Bins: 5})
	require.NoError(t, err)
	require.NotEqual(t, u.Selectivity.Table.Rows, bins.Table.Rows)
	one, err := l.Selectivity(ctx, r, On{Examples: 60}, selectivity.Spec{Sites: []string{"fc2"}})
	require.NoError(t, err)
	require.Equal(t, alone.Table.Rows[len(alone.Table.Rows)-len(one.Table.Rows):], one.Table.Rows)

	// On as few examples as it takes, of which the table tells how closely that is.
	bound := sample.Bound{Within: 0.1, Confidence: 0.9, Seed: 1}
	within, err := l.UnitsWithin(ctx, r, On{}, selectivity.Spec{}, bound)
	require.NoError(t, err)
	require.Equal(t, append(u.Table.Columns, result.Axis{Name: "half_width"}), within.Table.Columns)
	exact, err := l.Units(ctx, r, On{}, selectivity.Spec{}, true)
	require.NoError(t, err)
	half, err := within.Table.Numbers("half_width")
	require.NoError(t, err)
	estimates, err := within.Table.Numbers("delta_accuracy")
	require.NoError(t, err)
	truths, err := exact.Table.Numbers("delta_accuracy")
	require.NoError(t, err)
	fewer, outside := 0, 0
	for i, truth := range truths {
		require.LessOrEqual(t, half[i], bound.Within)
		if math.Abs(estimates[i]-truth) > half[i]+1e-12 {
			outside++
		}
		if within.Impacts.Impacts[i].Score.Examples < exact.Selectivity.Examples {
			fewer++
		}
		require.Equal(t, exact.Table.Rows[i][:len(alone.Table.Columns)], within.Table.Rows[i][:len(alone.Table.Columns)])
	}
	require.LessOrEqual(t, outside, len(truths)/10)
	require.Positive(t, fewer, "or nothing was saved")

	for says, f := range map[string]func() error{
		"units of net: a bound is within 2": func() error {
			_, err := l.UnitsWithin(ctx, r, On{}, selectivity.Spec{}, sample.Bound{Within: 2})
			return err
		},
		`selectivity of net: selectivity: no site "fc9"`: func() error {
			_, err := l.Units(ctx, r, On{}, selectivity.Spec{Sites: []string{"fc9"}}, true)
			return err
		},
		"epsilon is NaN": func() error {
			_, err := l.Selectivity(ctx, r, On{}, selectivity.Spec{Epsilon: math.NaN()})
			return err
		},
		"bins is 1,": func() error { _, err := l.Selectivity(ctx, r, On{}, selectivity.Spec{Bins: 1}); return err },
		`split "dev" is not one of`: func() error {
			_, err := l.Selectivity(ctx, r, On{Split: "dev"}, selectivity.Spec{})
			return err
		},
	} {
		require.ErrorContains(t, f(), says)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	before := resultFiles(t, l)
	_, err = l.Selectivity(stopped, r, On{}, selectivity.Spec{Bins: 7})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, resultFiles(t, l))
}
