package main

import (
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
	examples int
	lr       float64
	target   float64
	// chaotic: rounding grows so fast that only the first losses can be compared, those before and after one step.
	// PyTorch against itself, with images changed by a ten-millionth, is 1 % apart after five steps of the ConvNet.
	chaotic bool
}

// lossTolerance is how far apart the losses that are compared may be, relative to them.
const lossTolerance = 1e-3

// training is workload 6.
func (b *bench) training(report *Report) error {
	set, err := b.lab.Data(b.ctx, b.pick("mnist", "mnist10k"))
	if err != nil {
		return err
	}
	err = b.trainOne(report, trainWork{
		id: "6", source: source{spec: b.pick("mlp:512,512", "mlp:48,48"), set: set, part: "train"},
		examples: b.size(60000, 1280), lr: 0.1, target: 1,
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
		examples: b.size(5000, 512), lr: 0.01, target: 1, chaotic: true,
	})
}

// pick is full, or tiny in a self-test.
func (b *bench) pick(full, tiny string) string {
	if b.opt.quick {
		return tiny
	}
	return full
}

// trainBatch is the number of examples of a step.
const trainBatch = 128

// trainOne measures epochs of training.
func (b *bench) trainOne(report *Report, t trainWork) error {
	n, err := b.initial(t.source)
	if err != nil {
		return err
	}
	// The first epoch compiles, and the last one ends with an evaluation: neither is measured.
	measured, err := b.epochs(n, t, t.examples, b.opt.repeats+2)
	if err != nil {
		return err
	}
	last := len(measured.ours) - 1
	w := Workload{
		ID: t.id, Target: t.target, Passes: 1, Plan: fmt.Sprintf("batch %d", trainBatch),
		Peer: fmt.Sprintf("PyTorch, batch %d as ours", trainBatch),
		What: fmt.Sprintf("%s, one epoch of training on %s images of %s, SGD, batch %d",
			t.spec, thousands(t.examples), t.set.Name, trainBatch),
		Ours:   Timing{First: measured.seconds[0][0], Seconds: measured.seconds[0][1:last], Scale: 1},
		Theirs: Timing{First: measured.seconds[1][0], Seconds: measured.seconds[1][1:last], Scale: 1},
	}
	what, judged := "loss of the first epoch", measured
	if t.chaotic {
		what = "loss after one step"
		if judged, err = b.epochs(n, t, trainBatch, 2); err != nil { // an epoch is a step
			return err
		}
	} else {
		judged.ours, judged.theirs = judged.ours[:1], judged.theirs[:1]
	}
	if w.Answers, err = compareLosses(what, judged.ours, judged.theirs, lossTolerance); err != nil {
		return err
	}
	w.Answers.Text += fmt.Sprintf("; of epoch %d %.4f and %.4f", last+1, measured.ours[last], measured.theirs[last])
	report.add(w)
	return nil
}

// epochs is some epochs of training on both sides: the seconds of each epoch, ours and theirs, and the losses.
type epochs struct {
	seconds      [2][]float64
	ours, theirs []float64
}

// epochs trains on the first examples. The peer trains its epoch when ours is done.
func (b *bench) epochs(n network, t trainWork, examples, count int) (epochs, error) {
	var e epochs
	images, err := n.split.Head(examples)
	if err != nil {
		return e, err
	}
	test, err := t.set.Test.Head(min(1000, t.set.Test.Len()))
	if err != nil {
		return e, err
	}
	start := n.request("start", examples)
	start.LR, start.Batch = t.lr, trainBatch
	spec := fit.Spec{
		LR: t.lr, Batch: trainBatch, Epochs: count, Evaluate: count, InitSeed: initSeed, OrderSeed: orderSeed,
	}
	mark := time.Now()
	_, err = fit.Train(b.ctx, b.backend, n.net, images, test, spec, fit.Options{OnEpoch: func(done fit.Epoch) error {
		own := time.Since(mark).Seconds()
		order := fmt.Sprintf("order-%d-of-%d.npy", done.Epoch, examples)
		ids := epochOrder(orderSeed, done.Epoch-1, examples)
		if err := writeNumpy(filepath.Join(b.work, order), "<i4", []int{examples}, ids); err != nil {
			return err
		}
		asked := time.Now()
		if done.Epoch == 1 {
			if _, err := b.ask(train, start); err != nil {
				return err
			}
		}
		a, err := b.ask(train, request{Kind: "epoch", Order: order})
		if err != nil {
			return err
		}
		theirs := a.Seconds
		if done.Epoch == 1 { // with loading
			theirs = time.Since(asked).Seconds()
		}
		e.seconds[0], e.seconds[1] = append(e.seconds[0], own), append(e.seconds[1], theirs)
		e.ours, e.theirs = append(e.ours, done.Loss), append(e.theirs, a.Loss)
		mark = time.Now()
		return nil
	}})
	return e, err
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
