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
	per := inputsPerSite(j.noise)
	return func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		targets, ids, edits := in[0], in[1], in[2:2+per*len(j.sites)]
		chunk, widen := ids.Shape().Dimensions[0], edits[0].Shape().Dimensions[0]
		w := wide{section: p.build(scope, p.standIn(ids.Graph(), widen*chunk), j.sites)}
		w.spread = func(x *graph.Node) *graph.Node { return over(x, widen) }
		var changed *graph.Node
		w.edit = func(i int, x *graph.Node) *graph.Node {
			y := editWide(x, edits[per*i:per*(i+1)])
			changed = plus(changed, countTrue(graph.NotEqual(x, y)))
			return y
		}
		rest := in[2+len(edits):]
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

// editWide applies widen sets of edits to x [widen·chunk, …, units]. in holds mask (Bool)[widen, units] and value
// (Float32)[widen, units], for noise also sigma (Float32)[widen, units] and draws (Float32)[1 or widen, chunk, …, units].
func editWide(x *graph.Node, in []*graph.Node) *graph.Node {
	flat := x.Shape().Dimensions
	widen := in[0].Shape().Dimensions[0]
	dims := append([]int{widen, flat[0] / widen}, flat[1:]...) // [widen, chunk, …, units]
	lift := func(n *graph.Node) *graph.Node {                  // [widen, units] → dims
		for n.Rank() < len(dims) {
			n = graph.InsertAxes(n, 1)
		}
		return graph.BroadcastToDims(n, dims...)
	}
	y := graph.Where(lift(in[0]), lift(in[1]), graph.Reshape(x, dims...))
	if len(in) == 4 {
		y = graph.Add(y, graph.Mul(lift(in[2]), graph.BroadcastToDims(in[3], dims...)))
	}
	return graph.Reshape(y, flat...)
}

// inputsPerSite is the number of graph inputs that describe the edits at one site: mask and value, and for noise sigma
// and draws.
func inputsPerSite(noise bool) int {
	if noise {
		return 4
	}
	return 2
}

// runGrid runs all sets over a chunk, widen at a time.
func (r *running) runGrid(ctx context.Context) (err error) {
	var draws []*tensors.Tensor // by site; kept for the whole chunk if all sets share them
	defer func() { free(draws) }()
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
			in := r.p.inputs(site, r.noise, r.widen, r.sets, block)
			edits = append(edits, in...)
			inputs = append(inputs, in...)
			if r.noise {
				inputs = append(inputs, draws[i])
			}
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

// inputs gives the graph inputs that describe what the sets of block do at one site, in the layout editWide reads, but
// without the draws. A block shorter than widen, or −1 in place of a set, is filled up with empty sets.
func (p *Probe) inputs(site string, noise bool, widen int, sets [][]unit.Edit, block []int) []*tensors.Tensor {
	s, _ := unit.Find(p.sites, site)
	n := s.Units()
	mask, value := make([]bool, widen*n), make([]float32, widen*n)
	var sigma []float32
	if noise {
		sigma = make([]float32, widen*n)
	}
	for row, i := range block {
		if i < 0 {
			continue // a step that scores no set
		}
		for _, e := range sets[i] {
			if e.Site != site {
				continue
			}
			for k, u := range unitsOf(e, n) {
				at := row*n + u
				if v, clamps := p.target(e.To, site, u); clamps {
					mask[at], value[at] = true, v
				}
				if e.Sigma != nil {
					sigma[at] = float32(e.Sigma[k])
				}
			}
		}
	}
	in := []*tensors.Tensor{tensors.FromFlatDataAndDimensions(mask, widen, n), tensors.FromFlatDataAndDimensions(value, widen, n)}
	if noise {
		in = append(in, tensors.FromFlatDataAndDimensions(sigma, widen, n))
	}
	return in
}

// unitsOf yields the units of an edit, numbered.
func unitsOf(e unit.Edit, all int) func(yield func(k, u int) bool) {
	return func(yield func(k, u int) bool) {
		if e.Units == nil {
			for u := range all {
				if !yield(u, u) {
					return
				}
			}
			return
		}
		for k, u := range e.Units {
			if !yield(k, u) {
				return
			}
		}
	}
}

// target is the value a unit is clamped to, if it is.
func (p *Probe) target(to unit.Target, site string, u int) (v float32, clamps bool) {
	switch to.Kind {
	case unit.KindZero:
		return 0, true
	case unit.KindMean:
		return float32(p.mean(site)[u]), true
	case unit.KindValue:
		return float32(to.Value), true
	}
	return 0, false
}
