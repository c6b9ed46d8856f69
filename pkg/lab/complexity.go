package lab

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/complexity"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
)

// Complexity computes, or loads, what is said to predict how well a run generalizes: margin, norms and flatness on the
// examples of on (the zero On: all training examples, with the labels the network was trained on). Networks from ONNX files
// have parameters by other names, which is an error.
func (l *Lab) Complexity(ctx context.Context, r *Run, on On, spec complexity.Spec) (complexity.Result, error) {
	if r.model != nil {
		return complexity.Result{}, fmt.Errorf("complexity of %s: the parameters of an ONNX file have no names by which layers and batch "+
			"normalization are told apart", r.Label())
	}
	if math.IsNaN(spec.Fall) || math.IsInf(spec.Fall, 0) { // which the key cannot hold
		return complexity.Result{}, fmt.Errorf("complexity of %s: %w", r.Label(), spec.Check())
	}
	spec, on = spec.WithDefaults(), on.withDefaults()
	config := map[string]any{"run": r.Spec, "on": on, "complexity": spec}
	return compute(ctx, l, r, "complexity", []any{on, spec}, config,
		func(_ *complexity.Result, _ func(complexity.Result) error) (complexity.Result, error) {
			started := time.Now()
			a := alterable{}
			var meter Meter
			p, err := l.Probe(ctx, r, on, func(n int) { meter.Advance(n) })
			if err != nil {
				return complexity.Result{}, err
			}
			defer p.Close()
			a.Probe = p
			prepare := time.Since(started).Seconds()
			meter = l.opt.Progress.Start("disturbing the weights of "+r.Label(), (2+spec.Draws*spec.Steps)*p.Examples(), "examples × networks")
			defer meter.Done()
			res, err := complexity.Of(ctx, a, arrays[complexity.Array](r.Arrays), spec)
			res.Seconds.Prepare += prepare
			res.Seconds.Total += prepare
			return res, err
		}, complexity.Result.Complete)
}

// alterable is a probe as the measures of complexity need it.
type alterable struct{ *probe.Probe }

func (a alterable) Replace(parameters map[string]complexity.Array) error {
	return a.Probe.Replace(arrays[nets.Array](parameters))
}

// arrays are the same parameters in another package's words.
func arrays[To, From complexity.Array | nets.Array](from map[string]From) map[string]To {
	to := make(map[string]To, len(from))
	for name, a := range from {
		to[name] = To(a)
	}
	return to
}
