package probe

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// chunk is a part of the examples, of a size that is the same for all chunks of an evaluation so that one compiled graph
// serves them: the last one is filled up with its last example.
type chunk struct {
	index int     // counted from 0
	ids   []int32 // examples by their index in the data
	fresh int     // how many of them count
}

// chunks splits examples into chunks of a size.
func chunks(examples []int32, size int) (all []chunk) {
	for from := 0; from < len(examples); from += size {
		ids := make([]int32, size)
		fresh := copy(ids, examples[from:])
		for i := fresh; i < size; i++ {
			ids[i] = ids[fresh-1]
		}
		all = append(all, chunk{len(all), ids, fresh})
	}
	return all
}

// tensor is what graphs take: (Int32)[size].
func (c chunk) tensor() *tensors.Tensor { return tensors.FromFlatDataAndDimensions(c.ids, len(c.ids)) }

// counts is 1 for the examples that count, else 0: (Float32)[size].
func (c chunk) counts() *tensors.Tensor {
	w := make([]float32, len(c.ids))
	for i := range c.fresh {
		w[i] = 1
	}
	return tensors.FromFlatDataAndDimensions(w, len(w))
}

// rowsOf picks the examples ids (Int32)[n] of x. It gathers; the pure-Go backend has no other way to pick rows by number.
func rowsOf(x, ids *graph.Node) *graph.Node { return graph.Gather(x, graph.InsertAxes(ids, -1)) }

// outcome gives for logits [rows, classes] and labels [rows]: the predicted class, how many others tie with it, and the
// cross-entropy, each [rows].
func outcome(logits, labels *graph.Node) (class, tied, loss *graph.Node) {
	classes := logits.Shape().Dimensions[1]
	class = graph.ArgMax(logits, -1, dtypes.Int32)
	top := graph.ReduceMax(logits, -1)
	best := graph.Equal(logits, graph.BroadcastToShape(graph.InsertAxes(top, -1), logits.Shape()))
	tied = graph.AddScalar(graph.ReduceSum(graph.ConvertDType(best, dtypes.Int32), -1), -1)
	own := graph.OneHot(labels, classes, logits.DType())
	loss = graph.Neg(graph.ReduceSum(graph.Mul(own, graph.LogSoftmax(logits, -1)), -1))
	return class, tied, loss
}

// countTrue counts the true entries of x (Bool)[rows, …] in each row: (Int32)[rows]. By a matrix product: several times
// faster than a sum on the CPU, and exact up to 2^24 entries a row.
func countTrue(x *graph.Node) *graph.Node {
	rows := x.Shape().Dimensions[0]
	flat := graph.Reshape(graph.ConvertDType(x, dtypes.Float32), rows, -1)
	ones := graph.Ones(x.Graph(), shapes.Make(dtypes.Float32, flat.Shape().Dimensions[1], 1))
	return graph.ConvertDType(graph.Reshape(graph.Dot(flat, ones).MatMul(), rows), dtypes.Int32)
}
