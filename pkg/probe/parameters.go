package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// Replace gives the network other parameters, of the same names and shapes, for all calls that follow. Compiled graphs stay;
// what was measured or kept of activations with the earlier ones is forgotten.
func (p *Probe) Replace(weights map[string]nets.Array) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plain == nil {
		return errors.New("probe: used after Close")
	}
	if err := p.net.Check(p.backend.Engine, weights); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	for name, a := range weights {
		v := p.store.GetVariable(nets.ParamPath(name))
		if v == nil {
			return fmt.Errorf("probe: the network's store has no parameter %q", name)
		}
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(slices.Clone(a.Data), a.Shape...)); err != nil {
			return fmt.Errorf("probe: parameter %q: %w", name, err)
		}
	}
	for _, ps := range p.passes {
		p.keptBytes -= ps.forget()
	}
	for _, ts := range p.elementTensors {
		free(ts)
	}
	clear(p.moments)
	clear(p.elementMeans)
	clear(p.elementTensors)
	return nil
}

// Logits runs the unedited network once over all examples, in their order, and hands its outputs over in parts: [examples of
// the part, classes], row by row, of the examples from first on. logits belong to each, which must not call the probe. Its
// error ends the call and is returned, as is ctx's.
func (p *Probe) Logits(ctx context.Context, each func(first int, logits []float32) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plain == nil {
		return errors.New("probe: used after Close")
	}
	exec, err := p.measuring("logits", func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		images, ids := in[0], in[1]
		tap.Detach(images.Graph())
		return last([]*graph.Node{p.net.Graph(scope, p.net.Pixels(rowsOf(images, ids)))})
	})
	if err != nil {
		return err
	}
	for _, c := range chunks(p.everything(), p.plainChunk(len(p.labels))) {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		flat, err := outputs(exec, p.images, c.tensor())
		if err != nil {
			return err
		}
		if err := each(int(c.ids[0]), flat[:c.fresh*p.net.Classes]); err != nil {
			return err
		}
	}
	return nil
}

// Ones are the logits of one image whose input to the network, after Net.Pixels, is 1 everywhere.
func (p *Probe) Ones(context.Context) ([]float32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plain == nil {
		return nil, errors.New("probe: used after Close")
	}
	exec, err := p.measuring("ones", func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		ones := graph.Ones(in[0].Graph(), shapes.Make(dtypes.Float32, append([]int{1}, p.net.Image...)...))
		return last([]*graph.Node{p.net.Graph(scope, ones)})
	})
	if err != nil {
		return nil, err
	}
	return outputs(exec, tensors.FromScalar(float32(0))) // a graph needs an input
}

// measuring compiles a graph that measures something, or finds it among those compiled before.
func (p *Probe) measuring(name string, f graphFunc) (*model.Exec, error) {
	if exec := p.measure[name]; exec != nil {
		return exec, nil
	}
	exec, err := model.NewExec(p.backend.Engine, p.store, f)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	p.measure[name] = exec.WithName("probe " + name)
	return p.measure[name], nil
}

// outputs runs a graph, whose last input is freed, and copies its only output to the host.
func outputs(exec *model.Exec, in ...*tensors.Tensor) ([]float32, error) {
	out, err := call(exec, in...)
	free(in[len(in)-1:])
	if err != nil {
		return nil, err
	}
	defer free(out)
	return copyOut[float32](out[0])
}
