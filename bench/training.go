package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
)

// trainWork is plain SGD from the same weights, with the same examples in the same order on both sides.
type trainWork struct {
	id string
	source
	examples  int
	lr        float64
	tolerance float64 // relative difference of the losses that is allowed
	target    float64
}

// training is workload 6.
func (b *bench) training(report *Report) error {
	set, err := b.lab.Data(b.ctx, b.pick("mnist", "mnist10k"))
	if err != nil {
		return err
	}
	err = b.trainOne(report, trainWork{
		id: "6", source: source{spec: b.pick("mlp:512,512", "mlp:48,48"), set: set, part: "train"},
		examples: b.size(60000, 1280), lr: 0.1, tolerance: 1e-3, target: 1,
	})
	if err != nil {
		return err
	}
	if set = b.cifar(); set == nil {
		return nil
	}
	return b.trainOne(report, trainWork{
		id: "6 convnet", source: source{
			spec: b.pick("convnet:width=0.25", "convnet:width=0.0625"), input: "half", set: set, part: "train",
		},
		examples: b.size(5000, 512), lr: 0.05, tolerance: 0.02, target: 1,
	})
}

// pick is full, or tiny in a self-test.
func (b *bench) pick(full, tiny string) string {
	if b.opt.quick {
		return tiny
	}
	return full
}

// trainOne measures epochs. The peer trains its epoch when ours is done, epoch by epoch.
func (b *bench) trainOne(report *Report, t trainWork) error {
	n, err := b.initial(t.source)
	if err != nil {
		return err
	}
	const batch = 128
	images, err := n.split.Head(t.examples)
	if err != nil {
		return err
	}
	test, err := t.set.Test.Head(min(1000, t.set.Test.Len()))
	if err != nil {
		return err
	}
	// The first epoch compiles, and the last one ends with an evaluation: neither is measured.
	epochs := b.opt.repeats + 2
	spec := fit.Spec{LR: t.lr, Batch: batch, Epochs: epochs, Evaluate: epochs, InitSeed: initSeed, OrderSeed: orderSeed}
	start := n.request("start", t.examples)
	start.LR, start.Batch = t.lr, batch
	var ours, theirs []float64
	w := Workload{
		ID: t.id, Target: t.target, Passes: 1, Peer: fmt.Sprintf("PyTorch, batch %d as ours", batch),
		Plan: fmt.Sprintf("batch %d", batch), Ours: Timing{Scale: 1}, Theirs: Timing{Scale: 1},
		What: fmt.Sprintf("%s, one epoch of training on %s images of %s, SGD, batch %d",
			t.spec, thousands(t.examples), t.set.Name, batch),
	}
	mark := time.Now()
	_, err = fit.Train(b.ctx, b.backend, n.net, images, test, spec, fit.Options{OnEpoch: func(e fit.Epoch) error {
		own := time.Since(mark).Seconds()
		ours = append(ours, e.Loss)
		order := fmt.Sprintf("order-%d-of-%d.npy", e.Epoch, t.examples)
		ids := epochOrder(orderSeed, e.Epoch-1, t.examples)
		if err := writeNumpy(filepath.Join(b.work, order), "<i4", []int{t.examples}, ids); err != nil {
			return err
		}
		asked := time.Now()
		if e.Epoch == 1 {
			if _, err := b.ask(train, start); err != nil {
				return err
			}
		}
		r := request{Kind: "epoch", Order: order}
		a, err := b.ask(train, r)
		if err != nil {
			return err
		}
		theirs = append(theirs, a.Loss)
		switch e.Epoch {
		case 1:
			w.Ours.First, w.Theirs.First = own, time.Since(asked).Seconds()
		case epochs:
		default:
			w.Ours.Seconds, w.Theirs.Seconds = append(w.Ours.Seconds, own), append(w.Theirs.Seconds, a.Seconds)
		}
		mark = time.Now()
		return nil
	}})
	if err != nil {
		return err
	}
	if len(w.Ours.Seconds) == 0 {
		return errors.New("the training ended before an epoch could be measured")
	}
	if w.Answers, err = compareLosses(ours, theirs, t.tolerance); err != nil {
		return err
	}
	report.add(w)
	return nil
}

// epochOrder is the order in which pkg/fit shows n examples in an epoch, counted from 0. If it drew another one, the
// losses would not agree.
func epochOrder(seed uint64, epoch, n int) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	rand.New(rand.NewPCG(seed, uint64(epoch))).Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}
