package probe

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// differences is the graph that counts which activations x (Float32)[chunk, …, units] differ from a value
// (Float32)[units] or […, units]: positions by unit and example (Float32)[units, chunk]; the same, but of those that
// count as changed; and of these by unit over the examples that count (Float32)[units]. Exact up to 2^24 positions.
func differences(l layout) graphFunc {
	return func(_ *model.Scope, in []*graph.Node) []*graph.Node {
		x, value, near, counts := in[0], in[1], in[2], in[3]
		dims := x.Shape().Dimensions
		spread := func(n *graph.Node) *graph.Node {
			return graph.BroadcastToDims(graph.ExpandLeftToRank(n, x.Rank()), dims...)
		}
		byUnit := func(differ *graph.Node) *graph.Node { // [chunk, units]
			return graph.ReduceSum(graph.Reshape(graph.ConvertDType(differ, x.DType()), dims[0], -1, dims[len(dims)-1]), 1)
		}
		each := byUnit(graph.NotEqual(x, spread(value)))
		changed := each
		if l.means {
			changed = byUnit(graph.GreaterThan(graph.Abs(graph.Sub(x, spread(value))), spread(near)))
		}
		all := graph.Reshape(graph.Dot(graph.InsertAxes(counts, 0), changed).MatMul(), -1)
		return last([]*graph.Node{graph.Transpose(each, 0, 1), graph.Transpose(changed, 0, 1), all})
	}
}

// differences counts, on the chunk, the activations of the first edited site that differ from what its units are
// clamped to, as the graph does: by unit and example if asked for, and by unit.
func (r *running) differences(each bool) (differ, changed, byUnit []float32, err error) {
	counts := r.now.counts()
	out, err := call(r.pass.differ, r.frontier[r.first], r.value, r.near, counts)
	free([]*tensors.Tensor{counts})
	if err != nil {
		return nil, nil, nil, err
	}
	defer free(out)
	if each {
		if differ, err = copyOut[float32](out[0]); err != nil {
			return nil, nil, nil, err
		}
		if changed = differ; r.means {
			if changed, err = copyOut[float32](out[1]); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	byUnit, err = copyOut[float32](out[2])
	return differ, changed, byUnit, err
}
