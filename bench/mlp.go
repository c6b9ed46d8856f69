package main

import (
	"fmt"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// mlpCurve is workload 1.
func (b *bench) mlpCurve(report *Report) error {
	c, err := b.curve1()
	if err != nil {
		return err
	}
	return b.addCurve(report, c, "1", "both hidden layers", 20)
}

func (b *bench) curve1() (curveWork, error) {
	n, err := b.mlp("train")
	return curveWork{
		network: n, examples: b.size(60000, 500), sites: []string{"fc1", "fc2"},
		orders: b.size(10, 3), points: b.size(20, 5),
		part: part{orders: b.size(3, 2)}, batches: b.few(batchesMLP),
	}, err
}

// mlp is the network of workloads 1, 2 and 5, on a part of its data set.
func (b *bench) mlp(part string) (network, error) {
	name, spec, examples := "mnist", "mlp:512,512", 60000
	if b.opt.quick {
		name, spec, examples = "mnist10k", "mlp:48,48", 500
	}
	set, err := b.lab.Data(b.ctx, name)
	if err != nil {
		return network{}, err
	}
	s := source{spec: spec, set: set, part: part}
	if b.opt.weights != "" && !b.opt.quick {
		return b.loaded(s, b.opt.weights)
	}
	return b.trained(s, examples, b.size(3, 5))
}

// mlpImpact is workload 2.
func (b *bench) mlpImpact(report *Report) error {
	n, err := b.mlp("train")
	if err != nil {
		return err
	}
	return b.addImpact(report, impactWork{
		network: n, examples: b.size(10000, 500), sites: []string{"fc1", "fc2"},
		hooks: part{every: 8}, batches: b.few(batchesMLP),
		captum: part{examples: b.size(1000, 100)},
		perEval: []Settings{
			{Batch: 100, PerEval: 1}, {Batch: 100, PerEval: 16}, {Batch: 1000, PerEval: 1}, {Batch: 500, PerEval: 4},
		},
	}, "2", "units", 100, 100)
}

// mlpNoise is workload 5. Each side draws noise of its own, of the same standard deviations.
func (b *bench) mlpNoise(report *Report) error {
	n, err := b.mlp("train")
	if err != nil {
		return err
	}
	examples, repeats, partRepeats := b.size(60000, 500), b.size(5, 3), 2
	spec := noise.Spec{Repeats: repeats, Seed: 1}.WithDefaults()
	w := Workload{ID: "5", Target: 2, Passes: float64(repeats * len(spec.Scales))}
	w.What = fmt.Sprintf("%s, noise on all units, %d scales × %d repeats, %s images",
		n.net.Name, len(spec.Scales), repeats, thousands(examples))

	started := time.Now()
	p, err := b.probe(n, examples)
	if err != nil {
		return err
	}
	defer p.Close()
	moments, err := p.Moments(b.ctx)
	if err != nil {
		return err
	}
	sd := map[string][]float64{}
	for site, m := range moments {
		sd[site] = m.SD
	}
	small := spec
	small.Repeats = 2 // the first one scores the network without noise too
	if _, err := noise.Sweep(b.ctx, p, sd, small, noise.Options{}); err != nil {
		return err
	}
	w.Ours.First, w.Ours.Scale = time.Since(started).Seconds(), 1

	settings, first, err := b.prepareHooks(n, [][]unit.Edit{{}}, examples, b.few(batchesMLP))
	if err != nil {
		return err
	}
	w.Peer = "PyTorch hooks, " + settings.String()
	w.Theirs = Timing{First: first, Scale: float64(repeats) / float64(partRepeats)}
	w.Theirs.Part = of(partRepeats, repeats, "repeats")
	var ours noise.Result
	var theirs [][]int
	r := n.request("sweep", examples)
	r.Settings, r.Sigma, r.Scales, r.Repeats = settings, sd, spec.Scales, partRepeats
	taken, err := interleave(b.opt.repeats, side{"ours", func() (float64, error) {
		started := time.Now()
		var err error
		ours, err = noise.Sweep(b.ctx, p, sd, spec, noise.Options{})
		return time.Since(started).Seconds(), err
	}}, side{"PyTorch hooks", func() (float64, error) {
		r.Seed++
		a, err := b.ask(hooks, r)
		theirs = append(theirs, a.Noisy...)
		return a.Seconds, err
	}})
	if err != nil {
		return err
	}
	w.Ours.Seconds, w.Theirs.Seconds, w.Plan = taken[0], taken[1], ours.Receipt.Plan
	if w.Answers, err = compareSweeps(ours.Correct, theirs, examples); err != nil {
		return err
	}
	report.add(w)
	return nil
}
