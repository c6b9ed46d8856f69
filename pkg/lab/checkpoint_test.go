package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
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

// The AUC that training followed is in the history, in the store and out of it, and decides which weights are kept.
func TestRelianceIsKept(t *testing.T) {
	ctx := context.Background()
	l, _ := open(t, t.TempDir(), Options{})
	spec := Spec{Data: "mnist10k", Examples: 100, Net: "mlp:8", Corrupt: corrupt.Spec{Fraction: 1}, Fit: fit.Spec{Epochs: 30, Batch: 10,
		Reliance: fit.Reliance{Every: 2, Orders: 2, Points: 4, Patience: 2}}}
	run, err := l.Train(ctx, spec, "followed")
	require.NoError(t, err)
	again, err := l.Train(ctx, spec, "")
	require.NoError(t, err)
	require.Equal(t, run.History, again.History)
	require.Equal(t, []any{run.Best, run.Final, run.Arrays}, []any{again.Best, again.Final, again.Arrays})
	require.NotNil(t, run.History[1].AUC)
	require.Nil(t, run.History[2].AUC)
	at := run.Best
	if at == 0 {
		at = len(run.History)
	}
	require.Equal(t, *run.History[at-1].Measured, *run.Final)
	a, err := l.Ablate(ctx, run, On{}, ablate.Spec{Orders: 2, Points: 4})
	require.NoError(t, err)
	require.Equal(t, a.AUC, *run.History[at-1].AUC)

	var text strings.Builder
	require.NoError(t, WriteHistory(&text, run.History))
	require.True(t, strings.HasPrefix(text.String(), "epoch,lr,loss,accuracy,train_loss,train_accuracy,test_loss,test_accuracy,auc,auc_half_width\n"))
	_, err = ReadHistory(strings.NewReader("epoch,lr,loss,accuracy,train_loss,train_accuracy,test_loss,test_accuracy,auc\n"))
	require.ErrorContains(t, err, "of which the last two may be missing")
}
