package lab

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
)

func TestCheckpoint(t *testing.T) {
	ctx := context.Background()
	l, _ := open(t, t.TempDir(), Options{})
	spec := Spec{Data: "mnist10k", Examples: 100, Net: "mlp:4", Fit: fit.Spec{Epochs: 3, Batch: 20, Checkpoints: []int{0, 2, 3}}}
	run, err := l.Train(ctx, spec, "net")
	require.NoError(t, err)

	correct := func(r *Run) []int {
		a, err := l.Ablate(ctx, r, On{}, ablate.Spec{Orders: 1, Points: 3})
		require.NoError(t, err)
		return a.Correct[0]
	}
	whole := correct(run)
	last, err := l.Checkpoint(run, 3)
	require.NoError(t, err)
	require.Equal(t, run.Arrays, last.Arrays, "after the last epoch the network is the trained one")
	require.Equal(t, run.Final, last.Final)
	require.NotEqual(t, run.Key, last.Key)
	require.Equal(t, "net@3", last.Label())
	require.Equal(t, whole, correct(last))

	start, err := l.Find("net@0")
	require.NoError(t, err)
	require.NotEqual(t, run.Arrays, start.Arrays)
	require.Nil(t, start.Final)
	require.Empty(t, start.History)
	require.NotEqual(t, whole, correct(start), "its result is its own, not that in the store for the trained network")
	middle, err := l.Find(run.Key[:6] + "@2")
	require.NoError(t, err)
	require.Len(t, middle.History, 2)
	require.NotNil(t, middle.Final, "measured because it was kept")

	_, err = l.Find("net@1")
	require.ErrorContains(t, err, "run net has no checkpoint of epoch 1; it kept those of epochs [0 2 3]")
	_, err = l.Find("nobody@2")
	require.ErrorContains(t, err, `no run "nobody"`)
	_, err = l.Find("net@x")
	require.ErrorContains(t, err, `no run "net@x"`)

	file := filepath.Join(l.store.RunDir(run.Key), fit.CheckpointFile(2))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text[:len(text)-1], 0o644))
	_, err = l.Checkpoint(run, 2)
	require.ErrorContains(t, err, "checkpoint of epoch 2 of run net")
}
