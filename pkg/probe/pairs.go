package probe

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Where sets of edits clamp few units of one site, as the impact of single units does, an edit changes nothing on the
// many examples on which its units have the value they are clamped to already (zero, behind a ReLU). Only the other pairs
// of example and set are computed, packed into passes; the rest is answered by the unedited network. If moreover each set clamps
// one unit, and a dense layer is all that reads it, the layer's result changes by one row of its weight:
//
//	z' = z + (value − x[u])·W[u],
//
// which before the logits is their closed form, h·w taken off.

// pairGraph is the suffix of such jobs. Inputs: targets, ids; of each row the position of its example in the chunk
// (Int32)[rows], its set (Int32)[rows], or its unit where that is all there is to a set, and whether it is edited (Float32)[rows];
// the values units are clamped to (Float32)[units]; which units a set clamps (Bool)[sets, units], where a set is more than
// a unit; frontier (with, for single units, the unedited results of the linear ops), constants.
func (p *Probe) pairGraph(j job, ps *pass) graphFunc {
	return func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		targets, ids, example, set, edited, value := in[0], in[1], in[2], in[3], in[4], in[5]
		rest := in[6:]
		g, rows := ids.Graph(), example.Shape().Dimensions[0]
		w := wide{section: p.build(scope, p.standIn(g, rows), j.sites)}
		w.spread = func(x *graph.Node) *graph.Node { return rowsOf(x, example) }
		constant := rest[len(rest)-len(w.constant):]
		var mask *graph.Node // (Bool)[rows, units]
		if j.method == single {
			all := shapes.Make(dtypes.Int32, rows, ps.units)
			mask = graph.Equal(graph.Iota(g, all, 1), graph.BroadcastToShape(graph.InsertAxes(set, -1), all))
			on := graph.GreaterThan(edited, graph.ScalarZero(g, dtypes.Float32))
			mask = graph.LogicalAnd(mask, graph.BroadcastToDims(graph.InsertAxes(on, -1), rows, ps.units))
		} else {
			mask, rest = rowsOf(rest[0], set), rest[1:]
		}
		frontier := rest[:len(rest)-len(w.constant)]
		w.edit = func(_ int, x *graph.Node) *graph.Node {
			m := mask
			for m.Rank() < x.Rank() {
				m = graph.InsertAxes(m, 1)
			}
			dims := x.Shape().Dimensions
			return graph.Where(graph.BroadcastToDims(m, dims...),
				graph.BroadcastToDims(graph.ExpandLeftToRank(value, x.Rank()), dims...), x)
		}
		if j.method == single {
			before := frontier[len(frontier)-len(ps.linears):]
			frontier = frontier[:len(frontier)-len(ps.linears)]
			at := graph.Stack([]*graph.Node{example, set}, -1)
			change := graph.Mul(edited, graph.Sub(rowsOf(value, set), graph.Gather(frontier[ps.first], at))) // [rows]
			w.instead = map[int]func(n *graph.Node) *graph.Node{}
			for i, l := range ps.linears {
				w.instead[l.at] = func(n *graph.Node) *graph.Node {
					weight := w.value(n.Inputs()[1-l.data])
					if l.axis == 1 {
						weight = graph.Transpose(weight, 0, 1)
					}
					gain := graph.Mul(graph.BroadcastToDims(graph.InsertAxes(change, -1), rows, l.result[0]), rowsOf(weight, set))
					return graph.Add(rowsOf(before[i], example), gain)
				}
			}
		}
		logits := w.compute(frontier, constant, ids.Shape().Dimensions[0])
		class, tied, loss := outcome(logits, rowsOf(rowsOf(targets, ids), example))
		return last([]*graph.Node{class, tied, loss})
	}
}

// row is a pair to compute: the e-th example of the chunk under a set (−1: unedited).
type row struct{ e, set int }

// runPairs scores all sets on a chunk: first the unedited network on all examples, then each set on those it changes.
func (r *running) runPairs(ctx context.Context) error {
	if r.value == nil {
		r.value = r.p.values(r.sites[0], r.to)
		r.given = append(r.given, r.value)
		if r.method == pairs {
			r.table = r.maskTable()
			r.given = append(r.given, r.table)
		}
	}
	differ, _, err := r.differences(r.value, true)
	if err != nil {
		return err
	}
	base := make([]answer, r.now.fresh)
	waiting := make([]row, 0, r.rows)
	done := 0
	flush := func() error {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		answers, err := r.compute(waiting)
		if err != nil {
			return err
		}
		for i, w := range waiting {
			if w.set < 0 {
				base[w.e] = answers.at(i)
			} else if err := r.tally.add(w.set, r.now.ids[w.e], answers.at(i)); err != nil {
				return err
			}
		}
		waiting = waiting[:0]
		r.p.advance(done)
		done = 0
		return nil
	}
	put := func(w row) error {
		if waiting = append(waiting, w); len(waiting) == r.rows {
			return flush()
		}
		return nil
	}
	for e := range base {
		if err := put(row{e, -1}); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	size := len(r.now.ids)
	for _, i := range r.job.sets {
		units := r.unitsOfSet[i]
		for e := range base {
			changed := 0
			for _, u := range units {
				changed += int(differ[u*size+e])
			}
			if changed == 0 {
				err = r.tally.add(i, r.now.ids[e], base[e])
			} else {
				r.tally.changed[i] += int64(changed)
				err = put(row{e, i})
			}
			if err != nil {
				return err
			}
			done++
		}
	}
	return flush()
}

// compute answers rows, at most as many as a pass takes.
func (r *running) compute(rows []row) (outcomes, error) {
	example, set, edited := make([]int32, r.rows), make([]int32, r.rows), make([]float32, r.rows)
	for i, w := range rows {
		example[i] = int32(w.e)
		switch {
		case w.set < 0: // the first row of the table, or unit 0 of an unedited row
		case r.method == pairs:
			set[i] = r.rowOfTable[w.set]
		default:
			set[i], edited[i] = int32(r.unitsOfSet[w.set][0]), 1
		}
	}
	inputs := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(example, r.rows), tensors.FromFlatDataAndDimensions(set, r.rows),
		tensors.FromFlatDataAndDimensions(edited, r.rows),
	}
	defer free(inputs)
	inputs = append(slices.Clip(inputs), r.value)
	if r.table != nil {
		inputs = append(inputs, r.table)
	}
	o, _, err := r.pass.call(r.p, r.ids, inputs, r.frontier, r.constant)
	return o, err
}

// maskTable tells which units each set clamps: (Bool)[1 + sets or more, units]. Its first row clamps none.
func (r *running) maskTable() *tensors.Tensor {
	r.rowOfTable = make([]int32, len(r.sets))
	size := roundWidth(1 + len(r.job.sets))
	mask := make([]bool, size*r.units)
	for k, i := range r.job.sets {
		r.rowOfTable[i] = int32(1 + k)
		for _, u := range r.unitsOfSet[i] {
			mask[(1+k)*r.units+u] = true
		}
	}
	return tensors.FromFlatDataAndDimensions(mask, size, r.units)
}
