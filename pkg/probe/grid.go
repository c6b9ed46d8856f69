package probe

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// gridGraph is the suffix of a job whose passes hold widen sets × chunk examples, all pairs of them. Inputs: targets, ids
// (Int32)[chunk], for each site what editWide reads, frontier, constants. Outputs [widen, chunk]: class, tied, loss, and
// how many activations the edits changed.
func (p *Probe) gridGraph(j job) graphFunc {
	return func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		targets, ids := in[0], in[1]
		edits, rest := p.split(j.layout, j.sites, in[2:])
		chunk, widen := ids.Shape().Dimensions[0], edits[0][0].Shape().Dimensions[0]
		w := wide{section: p.build(scope, p.standIn(ids.Graph(), widen*chunk), j.sites)}
		w.spread = func(x *graph.Node) *graph.Node { return over(x, widen) }
		var changed *graph.Node
		w.edit = func(i int, x *graph.Node) *graph.Node {
			s, _ := unit.Find(p.sites, j.sites[i])
			y, n := editWide(x, j.layout.at(s), edits[i])
			changed = plus(changed, n)
			return y
		}
		logits := w.compute(rest[:len(rest)-len(w.constant)], rest[len(rest)-len(w.constant):], chunk)
		class, tied, loss := outcome(logits, over(rowsOf(targets, ids), widen))
		return []*graph.Node{class, tied, loss, changed}
	}
}

// over repeats x [chunk, …] for each of widen sets: [widen·chunk, …].
func over(x *graph.Node, widen int) *graph.Node {
	dims := slices.Clone(x.Shape().Dimensions)
	dims[0] *= widen
	return graph.Reshape(graph.BroadcastPrefix(x, widen), dims...)
}

func plus(sum, x *graph.Node) *graph.Node {
	if sum == nil {
		return x
	}
	return graph.Add(sum, x)
}

// runGrid runs all sets over a chunk, widen at a time.
func (r *running) runGrid(ctx context.Context) (err error) {
	var draws []*tensors.Tensor // by site; kept for the whole chunk if all sets share them
	defer func() { free(draws) }()
	shared := map[string]*tensors.Tensor{} // by site, of the whole job: the basis if all sets take directions of one
	defer func() {
		for _, t := range shared {
			free([]*tensors.Tensor{t})
		}
	}()
	for _, site := range r.sites {
		if b, ok := sharedBasis(r.sets, r.job.sets, site); ok && r.turns(site) {
			shared[site] = r.p.bases(site, 1, r.sets, nil, b)
		}
	}
	for block := range slices.Chunk(r.job.sets, r.widen) {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		if r.noise && (draws == nil || !r.shared) {
			free(draws)
			if draws, err = r.p.draw(r.sites, r.keys(r.sets, block), r.ids); err != nil {
				return err
			}
		}
		var edits, inputs []*tensors.Tensor
		for i, site := range r.sites {
			var drawn *tensors.Tensor
			if r.noise {
				drawn = draws[i]
			}
			bases := shared[site]
			if bases == nil && r.turns(site) {
				bases = r.p.bases(site, r.widen, r.sets, block, nil)
				edits = append(edits, bases)
			}
			all, own := r.p.inputs(site, r.layout, r.widen, r.sets, block, drawn, bases)
			inputs, edits = append(inputs, all...), append(edits, own...)
		}
		o, rest, err := r.pass.call(r.p, r.ids, inputs, r.frontier, r.constant)
		free(edits)
		if err != nil {
			return err
		}
		changed, err := copyOut[int32](rest[0])
		free(rest)
		if err != nil {
			return err
		}
		for row, i := range block {
			for e, id := range r.now.ids[:r.now.fresh] {
				at := row*len(r.now.ids) + e
				if err := r.tally.add(i, id, o.at(at)); err != nil {
					return err
				}
				r.tally.changed[i] += int64(changed[at])
			}
		}
		r.p.advance(len(block) * r.now.fresh)
	}
	return nil
}
