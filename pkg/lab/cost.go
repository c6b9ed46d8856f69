package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Work is an amount of computation: operations, and how long they take here.
type Work struct {
	FLOPs float64 // of products and convolutions
	Time  time.Duration
}

// Plus is both amounts together.
func (w Work) Plus(v Work) Work { return Work{w.FLOPs + v.FLOPs, w.Time + v.Time} }

// Times is the work done n times.
func (w Work) Times(n int) Work { return Work{w.FLOPs * float64(n), w.Time * time.Duration(n)} }

// Cost is what a network costs, in compiled graphs that run already.
type Cost struct {
	Epoch Work // of training; a step is taken for three forward passes
	Pass  Work // forward, over the training examples
}

// Cost predicts what it takes to train and to evaluate the network that spec describes, from a few steps and a part of a
// pass. Nothing is stored.
func (l *Lab) Cost(ctx context.Context, spec Spec) (Cost, error) {
	spec = spec.WithDefaults()
	set, err := l.Data(ctx, spec.Data)
	if err != nil {
		return Cost{}, err
	}
	train, _, err := trainingSplit(set, spec)
	if err != nil {
		return Cost{}, err
	}
	net, err := spec.network(set.Train.Shape, len(set.Classes))
	if err != nil {
		return Cost{}, err
	}
	b, err := l.Backend()
	if err != nil {
		return Cost{}, err
	}
	epoch, err := fit.EpochTime(ctx, b, net, train, spec.Fit)
	if err != nil {
		return Cost{}, err
	}
	weights, err := net.Init(b.Engine, 0)
	if err != nil {
		return Cost{}, err
	}
	p, err := probe.New(b, net, weights, train, probe.Options{Memory: l.opt.Memory})
	if err != nil {
		return Cost{}, err
	}
	defer p.Close()
	once := [][]unit.Edit{nil}
	plan, err := p.Plan(once)
	if err != nil {
		return Cost{}, fmt.Errorf("planning a pass: %w", err)
	}
	_, pass, err := p.Time(ctx, once)
	if err != nil {
		return Cost{}, err
	}
	return Cost{Epoch: Work{3 * plan.PlainFLOPs, epoch}, Pass: Work{plan.PlainFLOPs, pass}}, nil
}
