package lab

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
)

func TestCourse(t *testing.T) {
	ctx := context.Background()
	home := t.TempDir()
	var notes []string
	l, w := open(t, home, Options{Note: func(text string) { notes = append(notes, text) }})
	spec := Spec{Data: "mnist10k", Examples: 100, Net: "mlp:6,4", Fit: fit.Spec{Epochs: 3, Batch: 20, Checkpoints: []int{0, 2, 3}}}
	run, err := l.Train(ctx, spec, "net")
	require.NoError(t, err)
	c, err := l.Course(ctx, run, On{Examples: 60}, &On{Examples: 60}, selectivity.Spec{})
	require.NoError(t, err)
	require.Equal(t, []string{"fc1", "fc2"}, c.Layers())
	require.Equal(t, []any{60, 60, "test"}, []any{c.Examples, c.Ablated, c.Split})
	require.Len(t, c.Rows.Rows, 3*3)
	column := func(name string) []float64 {
		x, err := c.Table().Numbers(name)
		require.NoError(t, err)
		return x
	}
	require.Equal(t, []float64{0, 0, 0, 2, 2, 2, 3, 3, 3}, column("epoch"))
	require.Equal(t, []float64{6, 4, 10, 6, 4, 10, 6, 4, 10}, column("units"))

	// Each row is what the units of the checkpoint say, by their definition.
	median, loss, accuracy, dead := column("selectivity"), column("delta_loss"), column("delta_accuracy"), column("dead")
	for i, row := range c.Rows.Rows {
		at, err := l.Checkpoint(run, row[0].(int))
		require.NoError(t, err)
		sites := []string{row[1].(string)}
		if row[1] == "all" {
			sites = nil
		}
		u, err := l.Units(ctx, at, On{Examples: 60}, selectivity.Spec{}, true)
		require.NoError(t, err)
		var alive []float64
		died, n, sumLoss, sumAccuracy := 0, 0, 0.0, 0.0
		for k, unit := range u.Table.Rows {
			if sites != nil && unit[0] != sites[0] {
				continue
			}
			n++
			sumLoss += u.Impacts.Impacts[k].DeltaLoss
			sumAccuracy += u.Impacts.Impacts[k].DeltaAccuracy
			if unit[2].(bool) {
				died++
			} else {
				alive = append(alive, unit[3].(float64))
			}
		}
		slices.Sort(alive)
		require.EqualValues(t, died, dead[i])
		require.InDelta(t, (alive[(len(alive)-1)/2]+alive[len(alive)/2])/2, median[i], 1e-12)
		require.InDelta(t, sumLoss/float64(n), loss[i], 1e-12)
		require.InDelta(t, sumAccuracy/float64(n), accuracy[i], 1e-12)
		if at.Final == nil {
			require.Nil(t, row[13])
		} else {
			require.Equal(t, at.Final.TestAccuracy, row[13])
		}
	}

	f, err := c.Figure()
	require.NoError(t, err)
	require.Contains(t, f.Alt(), "Figure with 2 panels. Panel a: Class selectivity over training")
	curves, err := c.Curves("selectivity", result.Axis{Name: "s"})
	require.NoError(t, err)
	require.Len(t, curves, 2)
	require.Equal(t, []float64{1, 2, 3}, curves[0].X, "epoch 0 has a place on a logarithmic axis")

	// Read again, without a backend; and without impact.
	before := len(w.meters)
	l2, w2 := open(t, home, Options{})
	again, err := l2.Course(ctx, run, On{Examples: 60, Split: "test"}, &On{Examples: 60, Split: "test"}, selectivity.Spec{})
	require.NoError(t, err)
	require.Equal(t, c, again)
	require.Empty(t, w2.meters)
	alone, err := l.Course(ctx, run, On{Examples: 60}, nil, selectivity.Spec{})
	require.NoError(t, err)
	require.Len(t, w.meters, before, "of the same measurements")
	require.Zero(t, alone.Ablated)
	require.Nil(t, alone.Rows.Rows[0][7])
	f, err = alone.Figure()
	require.NoError(t, err)
	require.NotContains(t, f.Alt(), "panels")
	ablated, err := alone.Table().Numbers("delta_loss")
	require.NoError(t, err)
	require.True(t, math.IsNaN(ablated[0]))

	// A training that ended early, one without checkpoints, and a checkpoint itself.
	short := spec
	short.Fit.StopAt, short.Fit.Epochs, short.Fit.Evaluate, short.Fit.Checkpoints = 0.01, 9, 1, []int{1, 9}
	ended, err := l.Train(ctx, short, "short")
	require.NoError(t, err)
	c, err = l.Course(ctx, ended, On{Examples: 60}, nil, selectivity.Spec{})
	require.NoError(t, err)
	require.Len(t, c.Rows.Rows, 3)
	require.Equal(t, "short: the training ended after 1 epochs, so there is no checkpoint of epoch 9", notes[len(notes)-1])
	_, r := shared(t)
	_, err = l.Course(ctx, r, On{}, nil, selectivity.Spec{})
	require.ErrorContains(t, err, "run net kept no checkpoints, so nothing is known of the course of its training; train it with Fit.Checkpoints")
	at, err := l.Find("net@2")
	require.NoError(t, err)
	_, err = l.Course(ctx, at, On{}, nil, selectivity.Spec{})
	require.EqualError(t, err, "run net@2 is itself the checkpoint of epoch 2; give the run")
}
