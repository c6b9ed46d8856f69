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

// Sets of edits that clamp nested sets of units, as a cumulative curve does, share the first linear op behind the cut:
// from the end where most units are clamped, each set's result is that of the set before plus the contribution of the
// few units that come back. A whole curve costs about one pass over the weights. Units are added back, never subtracted:
// the sum starts from what clamped units give and grows as any sum of products does, so it loses no accuracy.

// step adds back units; then it scores a set, or none (−1) where a set needs more units than a step takes.
type step struct {
	units []int32
	set   int
}

// nested orders sets by inclusion of what they clamp at a site: each list starts with the set that clamps most.
func nested(sets [][]unit.Edit, which []int, site string, units int) (chains [][]int, clamped map[int][]bool) {
	clamped = map[int][]bool{}
	size := map[int]int{}
	for _, i := range which {
		mask := make([]bool, units)
		for _, e := range sets[i] {
			if e.Site == site && e.To.Kind != unit.KindItself {
				for _, u := range unitsOf(e, units) {
					mask[u] = true
					size[i]++
				}
			}
		}
		clamped[i] = mask
	}
	order := slices.Clone(which)
	slices.SortStableFunc(order, func(a, b int) int { return size[b] - size[a] })
	for _, i := range order {
		at := slices.IndexFunc(chains, func(c []int) bool {
			above := clamped[c[len(c)-1]]
			for u, in := range clamped[i] {
				if in && !above[u] {
					return false
				}
			}
			return true
		})
		if at < 0 {
			chains, at = append(chains, nil), len(chains)
		}
		chains[at] = append(chains[at], i)
	}
	return chains, clamped
}

// steps turns a chain into steps of at most width units, from all units clamped to the last set of the chain.
func steps(chain []int, clamped map[int][]bool, units, width int) (all []step) {
	left := make([]bool, units) // clamped still
	for u := range left {
		left[u] = true
	}
	for _, i := range chain {
		var back []int32
		for u, still := range clamped[i] {
			if left[u] && !still {
				left[u] = false
				back = append(back, int32(u))
			}
		}
		for len(back) > width {
			all = append(all, step{back[:width], -1})
			back = back[width:]
		}
		all = append(all, step{back, i})
	}
	return all
}

// chainStart is the graph of where a chain starts: what the linear ops make of an activation of which every unit is
// clamped. Inputs: ids (Int32)[chunk], the values clamped to
// (Float32)[units] or [elements…, units], constants. Outputs [chunk, …].
func (p *Probe) chainStart(j job, ps *pass) graphFunc {
	return func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		ids, value := in[0], in[1]
		w := wide{section: p.build(scope, p.standIn(ids.Graph(), 1), j.sites), now: map[graph.NodeId]*graph.Node{}}
		for i, n := range w.constant {
			w.now[n.Id()] = in[2+i]
		}
		x := graph.BroadcastToDims(graph.ExpandLeftToRank(value, w.edited[0].Rank()), w.edited[0].Shape().Dimensions...)
		var out []*graph.Node
		for _, l := range ps.linears {
			n := w.downstream[l.at]
			z := applyLinear(n, l.data, x, w.value(n.Inputs()[1-l.data])) // [1, …]
			out = append(out, graph.BroadcastToDims(z, append([]int{ids.Shape().Dimensions[0]}, l.result...)...))
		}
		return last(out)
	}
}

// chainGraph is the suffix of a job of chains: steps × chunk rows. Inputs: targets, ids; units added back (Int32)[steps,
// width] and which of them count (Float32)[steps, width]; the values units are clamped to, as above; the results
// of the linear ops so far, each [chunk, …]; masks and values of all sites as editWide reads them; frontier, constants.
// Outputs: class, tied, loss, how many activations changed behind the first site, each [rows]; the linear ops' results.
func (p *Probe) chainGraph(j job, ps *pass) graphFunc {
	return func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		targets, ids, back, present, value := in[0], in[1], in[2], in[3], in[4]
		sums := in[5 : 5+len(ps.linears)]
		edits, rest := p.split(j.layout, j.sites, in[5+len(sums):])
		chunk, steps := ids.Shape().Dimensions[0], back.Shape().Dimensions[0]
		w := wide{section: p.build(scope, p.standIn(ids.Graph(), steps*chunk), j.sites)}
		frontier, constant := rest[:len(rest)-len(w.constant)], rest[len(rest)-len(w.constant):]
		w.spread = func(x *graph.Node) *graph.Node { return over(x, steps) }
		var changed *graph.Node
		w.edit = func(i int, x *graph.Node) *graph.Node {
			y, n := editWide(x, j.layout, edits[i])
			if i > 0 {
				changed = plus(changed, n)
			}
			return y
		}
		x := frontier[ps.first]
		row := func(n *graph.Node, k int) *graph.Node { return graph.Squeeze(graph.Slice(n, graph.AxisElem(k)), 0) }
		ends := make([]*graph.Node, len(sums))
		w.instead = map[int]func(n *graph.Node) *graph.Node{}
		for i, l := range ps.linears {
			w.instead[l.at] = func(n *graph.Node) *graph.Node {
				weight := w.value(n.Inputs()[1-l.data])
				sum := sums[i]
				all := make([]*graph.Node, steps)
				for k := range steps {
					units := row(back, k)
					gain := graph.Sub(take(x, units, x.Rank()-1), graph.ExpandLeftToRank(take(value, units, value.Rank()-1), x.Rank()))
					gain = graph.Mul(gain, graph.ExpandLeftToRank(row(present, k), x.Rank()))
					sum = graph.Add(sum, applyLinear(n, l.data, gain, take(weight, units, l.axis)))
					all[k] = sum
				}
				ends[i] = sum
				return graph.Concatenate(all, 0)
			}
		}
		logits := w.compute(frontier, constant, chunk)
		class, tied, loss := outcome(logits, over(rowsOf(targets, ids), steps))
		if changed == nil {
			changed = graph.ZerosLike(class)
		}
		return last(append([]*graph.Node{class, tied, loss, changed}, ends...))
	}
}

// piece is as many steps of a chain as a pass takes, with its inputs on the device.
type piece struct {
	steps  []step
	inputs []*tensors.Tensor // back, present
	edits  []*tensors.Tensor
}

// prepareChains puts the inputs of all pieces on the device; they serve every chunk.
func (r *running) prepareChains() (chains [][]piece) {
	r.value, r.near = r.p.onDevice(r.to, r.sites[0])
	r.given = append(r.given, r.value, r.near)
	for _, all := range r.job.chains {
		var pieces []piece
		for part := range slices.Chunk(all, r.widen) {
			back, present := make([]int32, r.widen*r.block), make([]float32, r.widen*r.block)
			block := make([]int, r.widen)
			for k := range block {
				block[k] = -1
				if k < len(part) {
					block[k] = part[k].set
					for i, u := range part[k].units {
						back[k*r.block+i], present[k*r.block+i] = u, 1
					}
				}
			}
			pc := piece{steps: part, inputs: []*tensors.Tensor{
				tensors.FromFlatDataAndDimensions(back, r.widen, r.block),
				tensors.FromFlatDataAndDimensions(present, r.widen, r.block),
			}}
			r.given = append(r.given, pc.inputs...)
			for _, site := range r.sites {
				all, own := r.p.inputs(site, r.layout, r.widen, r.sets, block, nil, nil)
				pc.edits, r.given = append(pc.edits, all...), append(r.given, own...)
			}
			pieces = append(pieces, pc)
		}
		chains = append(chains, pieces)
	}
	return chains
}

// runChains runs all chains over a chunk.
func (r *running) runChains(ctx context.Context) error {
	if r.pieces == nil {
		r.pieces = r.prepareChains()
		var err error
		if r.begin, err = call(r.pass.start, append([]*tensors.Tensor{r.ids, r.value}, r.constant...)...); err != nil {
			return err
		}
		r.given = append(r.given, r.begin...)
	}
	_, _, changedOf, err := r.differences(false)
	if err != nil {
		return err
	}
	size := len(r.now.ids)
	for _, pieces := range r.pieces {
		sums := r.begin
		drop := func() {
			if len(sums) > 0 && sums[0] != r.begin[0] {
				free(sums)
			}
		}
		for _, pc := range pieces {
			if ctx.Err() != nil {
				drop()
				return fmt.Errorf("probe: %w", context.Cause(ctx))
			}
			inputs := slices.Concat(pc.inputs, []*tensors.Tensor{r.value}, sums, pc.edits)
			o, rest, err := r.pass.call(r.p, r.ids, inputs, r.frontier, r.constant)
			drop()
			if err != nil {
				return err
			}
			sums = rest[1:]
			changed, err := copyOut[int32](rest[0])
			free(rest[:1])
			if err != nil {
				drop()
				return err
			}
			scored := 0
			for k, st := range pc.steps {
				if st.set < 0 {
					continue
				}
				scored++
				for e, id := range r.now.ids[:r.now.fresh] {
					if err := r.tally.add(st.set, id, o.at(k*size+e)); err != nil {
						drop()
						return err
					}
					r.tally.changed[st.set] += int64(changed[k*size+e])
				}
				for u, in := range r.clamped[st.set] {
					if in {
						r.tally.changed[st.set] += int64(changedOf[u])
					}
				}
			}
			r.p.advance(scored * r.now.fresh)
		}
		drop()
	}
	return nil
}
