package fit

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

// following is a training of constant rate, so that a shorter one is its beginning.
func following(every int) Spec {
	s := sgd()
	s.Schedule, s.Epochs, s.Evaluate, s.Reliance = "constant", 8, 100, Reliance{Every: every, Orders: 2, Points: 5, Seed: 3}
	return s
}

func TestRelianceIsFollowed(t *testing.T) {
	spec := following(3)
	plain := spec
	plain.Reliance = Reliance{}
	want, got := mustTrain(t, plain, Options{}), mustTrain(t, spec, Options{})
	require.NoError(t, sameBits(want.Weights, got.Weights), "following does not change the training")
	for i, e := range got.History {
		require.Equal(t, e.Epoch%3 == 0 || e.Epoch == 8, e.AUC != nil, "epoch %d", e.Epoch)
		require.Equal(t, e.AUC != nil, e.Measured != nil, "its accuracies are measured with it")
		require.Zero(t, e.AUCHalfWidth)
		e.AUC, e.Measured, want.History[i].Measured = nil, nil, nil
		require.Equal(t, want.History[i], e)
	}
	// The last AUC is that of the trained network.
	net, data, _ := toy()
	p, err := probe.New(open(t), net, got.Weights, data, probe.Options{})
	require.NoError(t, err)
	defer p.Close()
	a, err := ablate.Cumulative(context.Background(), p, ablate.Spec{Orders: 2, Points: 5, Seed: 3}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, a.AUC, *got.History[7].AUC)

	if open(t).Kind != "go" {
		return // bounds are another set of graphs, seconds of compilation; package lab tests them here too
	}
	spec.Reliance.Bound = sample.Bound{Within: 0.2, Seed: 1}
	bounded := mustTrain(t, spec, Options{}).History[7]
	require.Less(t, bounded.AUCHalfWidth, 0.2)
	require.InDelta(t, a.AUC, *bounded.AUC, bounded.AUCHalfWidth+1e-12)
}

func TestPatience(t *testing.T) {
	// What happens without patience tells where a training with patience 1, 2, 3 must end.
	spec := following(1)
	free := mustTrain(t, spec, Options{})
	ends := map[int]bool{}
	for patience := 1; patience <= 3; patience++ {
		end, top, since := 8, 0, 0
		for i, e := range free.History {
			if top == 0 || *e.AUC > *free.History[top-1].AUC {
				top, since = i+1, 0
			} else {
				since++
			}
			if since == patience {
				end = i + 1
				break
			}
		}
		ends[end] = true
		spec.Reliance.Patience = patience
		opt := Options{Dir: t.TempDir(), Key: "k"}
		got := mustTrain(t, spec, opt)
		require.Equal(t, free.History[:end], got.History)
		shorter := spec
		shorter.Epochs, shorter.Reliance = top, Reliance{}
		require.NoError(t, sameBits(mustTrain(t, shorter, Options{}).Weights, got.Weights), "the weights of epoch %d", top)
		require.Equal(t, *free.History[top-1].Measured, got.Final())
		if top < end {
			require.Equal(t, top, got.Best)
		} else {
			require.Zero(t, got.Best)
		}
		files, err := filepath.Glob(filepath.Join(opt.Dir, "epoch-*"))
		require.NoError(t, err)
		require.Equal(t, []string{CheckpointFile(top)}, base(files))

		// Interrupted, it ends the same way.
		points := []int{60}
		if patience == 2 {
			points = []int{3, 20, 60, 130}
		}
		for _, point := range points {
			again := Options{Dir: t.TempDir(), Key: "k"}
			_, _ = train(t, after(point), spec, again)
			r := mustTrain(t, spec, again)
			requireSame(t, got, r, fmt.Sprintf("patience %d, interrupted at %d", patience, point))
			require.Equal(t, got.Best, r.Best)
		}
	}
	require.True(t, len(ends) > 1 || !ends[8], "some patience ends before the last epoch: %v", ends)
}

func TestBest(t *testing.T) {
	at := func(aucs ...float64) (history []Epoch) {
		for i, x := range aucs {
			e := Epoch{Epoch: i + 1}
			if x >= 0 {
				e.AUC = &x
			}
			history = append(history, e)
		}
		return history
	}
	for _, test := range []struct {
		history      []Epoch
		epoch, since int
	}{{nil, 0, 0}, {at(-1, -1), 0, 0}, {at(0.2), 1, 0}, {at(-1, 0.2, 0.3, -1, 0.3, 0.1), 3, 2}, {at(0, 0), 1, 1}} {
		epoch, since := Best(test.history)
		require.Equal(t, []int{test.epoch, test.since}, []int{epoch, since})
	}
}

func TestRelianceErrors(t *testing.T) {
	check := func(r Reliance) error { return Spec{Reliance: r}.WithDefaults().Check() }
	require.NoError(t, check(Reliance{}))
	require.ErrorContains(t, check(Reliance{Patience: 2}), "settings but every is 0")
	require.ErrorContains(t, check(Reliance{Every: -1}), "none negative")
	require.ErrorContains(t, check(Reliance{Every: 1, Points: 1}), "at least 2 points")
	require.ErrorContains(t, check(Reliance{Every: 1, Bound: sample.Bound{Within: 2}}), "a bound is within 2")
	_, err := train(t, context.Background(), func() Spec { s := following(1); s.Reliance.Sites = []string{"fc9"}; return s }(), Options{})
	require.ErrorContains(t, err, `reliance after epoch 1: cumulative ablation: no site "fc9"`)
	if open(t).Kind == "go" {
		_, err = train(t, context.Background(), func() Spec { s := following(1); s.Reliance.Patience = 1; return s }(), Options{})
		require.ErrorContains(t, err, "no folder to keep the best weights in")
	}
	// A specification that asks for none is written as before there was any: keys of networks stay.
	text, err := json.Marshal(Spec{}.WithDefaults())
	require.NoError(t, err)
	require.NotContains(t, string(text), "reliance")
}
