package probe

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// values are what the units of a site are clamped to: (Float32)[units].
func (p *Probe) values(site string, to unit.Target) *tensors.Tensor {
	s, _ := unit.Find(p.sites, site)
	value := make([]float32, s.Units())
	for u := range value {
		value[u], _ = p.target(to, site, u)
	}
	return tensors.FromFlatDataAndDimensions(value, len(value))
}

// differences is the graph that counts which activations x (Float32)[chunk, …, units] differ from a value
// (Float32)[units]: positions by unit and example (Float32)[units, chunk], and by unit over the examples that count
// (Float32)[units]. Exact up to 2^24 positions.
func differences(_ *model.Scope, in []*graph.Node) []*graph.Node {
	x, value, counts := in[0], in[1], in[2]
	dims := x.Shape().Dimensions
	differ := graph.NotEqual(x, graph.BroadcastToDims(graph.ExpandLeftToRank(value, x.Rank()), dims...))
	n := graph.Reshape(graph.ConvertDType(differ, x.DType()), dims[0], -1, dims[len(dims)-1])
	each := graph.ReduceSum(n, 1)
	return last([]*graph.Node{graph.Transpose(each, 0, 1), graph.Reshape(graph.Dot(graph.InsertAxes(counts, 0), each).MatMul(), -1)})
}

// differences counts, on the chunk, the activations of the first edited site that differ from value: by unit and example
// if asked for, and by unit.
func (r *running) differences(value *tensors.Tensor, each bool) (byExample, byUnit []float32, err error) {
	counts := r.now.counts()
	out, err := call(r.pass.differ, r.frontier[r.first], value, counts)
	free([]*tensors.Tensor{counts})
	if err != nil {
		return nil, nil, err
	}
	defer free(out)
	if each {
		if byExample, err = copyOut[float32](out[0]); err != nil {
			return nil, nil, err
		}
	}
	byUnit, err = copyOut[float32](out[1])
	return byExample, byUnit, err
}
