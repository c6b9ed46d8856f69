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
// the values units are clamped to (Float32)[units] or [elements…, units]; which units a set clamps (Bool)[sets, units], where a set is more than
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

// cancels is the graph of where that formula would not do: if what is taken off may be nearly all of z, too few digits
// would be left. Inputs: the values units are clamped to and how far from them counts as equal, (Float32)[units] each, the pass's
// frontier, constants. It gives, by unit and example (Float32)[units, chunk], 0 where the unit has its value already, 2 where
//
//	|value − x[u]| · max|W[u]| > 63/64 · max|z|,
//
// and else 1: there the largest of z' is at least a 64th of the largest of z, so that at most 6 of 24 bits are lost.
// And, of the same shape, 1 where the activation counts as changed.
func (p *Probe) cancels(j job, ps *pass) graphFunc {
	return func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		value, near, rest := in[0], in[1], in[2:]
		w := wide{section: p.build(scope, p.standIn(value.Graph(), 1), j.sites), now: map[graph.NodeId]*graph.Node{}}
		frontier, constant := rest[:len(rest)-len(w.constant)], rest[len(rest)-len(w.constant):]
		for i, n := range w.constant {
			w.now[n.Id()] = constant[i]
		}
		x := frontier[ps.first]
		dims := x.Shape().Dimensions // [chunk, units]
		spread := func(n *graph.Node, axis int) *graph.Node {
			return graph.BroadcastToDims(graph.InsertAxes(n, axis), dims...)
		}
		change := graph.Abs(graph.Sub(spread(value, 0), x))
		code := graph.ConvertDType(graph.GreaterThan(change, graph.ZerosLike(change)), dtypes.Float32)
		changed := code
		if j.means {
			changed = graph.ConvertDType(graph.GreaterThan(change, spread(near, 0)), dtypes.Float32)
		}
		for i, l := range ps.linears {
			weight := w.value(w.downstream[l.at].Inputs()[1-l.data])
			most := graph.ReduceMax(graph.Abs(weight), 1-l.axis)
			before := graph.ReduceMax(graph.Abs(frontier[len(frontier)-len(ps.linears)+i]), 1)
			risky := graph.GreaterThan(graph.Mul(change, spread(most, 0)), graph.MulScalar(spread(before, 1), 63.0/64))
			code = graph.Where(risky, graph.MulScalar(graph.OnesLike(code), 2), code)
		}
		return last([]*graph.Node{graph.Transpose(code, 0, 1), graph.Transpose(changed, 0, 1)})
	}
}

// row is a pair to compute: the e-th example of the chunk under a set (−1: unedited).
type row struct{ e, set int }

// lane collects rows that are computed by one pass, up to as many as it takes.
type lane struct {
	pass    *pass
	method  method
	rows    int
	waiting []row
}

// preparePairs puts on the device what serves every chunk, and opens the lanes: that of the job's method, and beside
// method single one of method pairs, for where the formula would not do.
func (r *running) preparePairs() error {
	r.value, r.near = r.p.onDevice(r.to, r.sites[0])
	r.given = append(r.given, r.value, r.near)
	r.lanes = []*lane{{pass: r.pass, method: r.method, rows: r.job.rows}}
	if r.method == single {
		anew := r.job
		anew.method = pairs
		ps, err := r.p.compile(anew)
		if err != nil {
			return err
		}
		r.p.size(&anew, ps.anatomy)
		r.lanes = append(r.lanes, &lane{pass: ps, method: pairs, rows: min(anew.rows, 256)}) // there are few
	}
	return nil
}

// runPairs scores all sets on a chunk: first the unedited network on all examples, then each set on those it changes.
func (r *running) runPairs(ctx context.Context) error {
	if r.value == nil {
		if err := r.preparePairs(); err != nil {
			return err
		}
	}
	differ, counts, err := r.changes()
	if err != nil {
		return err
	}
	base := make([]answer, r.now.fresh)
	flush := func(l *lane) error {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		answers, err := r.compute(l)
		if err != nil {
			return err
		}
		for i, w := range l.waiting {
			if w.set < 0 {
				base[w.e] = answers.at(i)
			} else if err := r.tally.add(w.set, r.now.ids[w.e], answers.at(i)); err != nil {
				return err
			}
		}
		l.waiting = l.waiting[:0]
		return nil
	}
	put := func(l *lane, w row) error {
		if l.waiting = append(l.waiting, w); len(l.waiting) == l.rows {
			return flush(l)
		}
		return nil
	}
	for e := range base {
		if err := put(r.lanes[0], row{e, -1}); err != nil {
			return err
		}
	}
	if err := flush(r.lanes[0]); err != nil {
		return err
	}
	size := len(r.now.ids)
	for _, i := range r.job.sets {
		units := r.unitsOfSet[i]
		for e := range base {
			same, changed, l := true, 0, r.lanes[0]
			for _, u := range units {
				same = same && differ[u*size+e] == 0
				changed += int(counts[u*size+e])
			}
			if r.method == single && len(units) > 0 && differ[units[0]*size+e] == 2 {
				l = r.lanes[1]
			}
			if same {
				err = r.tally.add(i, r.now.ids[e], base[e])
			} else {
				r.tally.changed[i] += int64(changed)
				err = put(l, row{e, i})
			}
			if err != nil {
				return err
			}
		}
		r.p.advance(len(base))
	}
	for _, l := range r.lanes {
		if len(l.waiting) > 0 {
			if err := flush(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// changes tells by unit and example how many activations differ from the value they are clamped to, of method single see
// cancels; and how many of them count as changed.
func (r *running) changes() (differ, changed []float32, err error) {
	if r.method == pairs {
		differ, changed, _, err = r.differences(true)
		return differ, changed, err
	}
	out, err := call(r.pass.cancels, slices.Concat([]*tensors.Tensor{r.value, r.near}, r.frontier, r.constant)...)
	if err != nil {
		return nil, nil, err
	}
	defer free(out)
	if differ, err = copyOut[float32](out[0]); err != nil {
		return nil, nil, err
	}
	changed, err = copyOut[float32](out[1])
	return differ, changed, err
}

// compute answers the rows of a lane.
func (r *running) compute(l *lane) (outcomes, error) {
	if l.method == pairs && r.table == nil {
		r.table = r.maskTable()
		r.given = append(r.given, r.table)
	}
	example, set, edited := make([]int32, l.rows), make([]int32, l.rows), make([]float32, l.rows)
	for i, w := range l.waiting {
		example[i] = int32(w.e)
		switch {
		case w.set < 0: // the first row of the table, or unit 0 of an unedited row
		case l.method == pairs:
			set[i] = r.rowOfTable[w.set]
		default:
			set[i], edited[i] = int32(r.unitsOfSet[w.set][0]), 1
		}
	}
	inputs := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(example, l.rows), tensors.FromFlatDataAndDimensions(set, l.rows),
		tensors.FromFlatDataAndDimensions(edited, l.rows),
	}
	defer free(inputs)
	inputs, frontier := append(slices.Clip(inputs), r.value), r.frontier
	if l.method == pairs {
		inputs = append(inputs, r.table)
		if r.method == single { // without the results of the linear ops
			frontier = frontier[:len(frontier)-len(r.linears)]
		}
	}
	o, _, err := l.pass.call(r.p, r.ids, inputs, frontier, r.constant)
	return o, err
}

// maskTable tells which units each set clamps: (Bool)[1 + sets or more, units]. Its first row clamps none.
func (r *running) maskTable() *tensors.Tensor {
	r.rowOfTable = make([]int32, len(r.sets))
	size := 16
	for size < 1+len(r.job.sets) { // few sizes mean few compilations
		size *= 4
	}
	mask := make([]bool, size*r.units)
	for k, i := range r.job.sets {
		r.rowOfTable[i] = int32(1 + k)
		for _, u := range r.unitsOfSet[i] {
			mask[(1+k)*r.units+u] = true
		}
	}
	return tensors.FromFlatDataAndDimensions(mask, size, r.units)
}
