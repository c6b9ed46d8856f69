package fit

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// selectivityEpsilon is added to the denominator of the index: 1e-7, as in Leavitt & Morcos 2021.
const selectivityEpsilon = 1e-7

// selectivityIndex is the class selectivity index of each unit of x [batch, ..., units], on the examples of one batch with
// labels own [batch, classes], one-hot: (Float32)[units], and differentiable,
//
//	SI = (μmax − μ−max) / (μmax + μ−max + 1e-7)
//
// with μmax the largest of the unit's mean activities over the examples of a class, and μ−max the mean of those of the other
// classes; feature maps are first averaged over positions (section 2.6; Leavitt & Morcos, "Selectivity considered harmful",
// ICLR 2021). It is that of package selectivity with Epsilon 1e-7, with these rules for what is particular to a batch:
//
//   - Means are over the classes of which the batch has examples; others do not count, neither for μmax nor for μ−max.
//   - A batch with examples of fewer than two classes says nothing about selectivity: SI is 0, as is its gradient.
//   - A unit that is 0 on the whole batch has SI 0, and through its ReLU no gradient.
//   - Of equal means the first class's is the largest.
//   - x is what the layer's non-linearity gives, before dropout drops any of it. It must not be negative, as after a ReLU.
//
// All points of a network (tap.Point) are regularised alike: all hidden layers, of a residual network those within blocks and
// the outputs of blocks.
func selectivityIndex(x, own *graph.Node) *graph.Node {
	for x.Rank() > 2 { // positions
		x = graph.ReduceMean(x, 1)
	}
	g := x.Graph()
	units, classes := x.Shape().Dimensions[1], own.Shape().Dimensions[1]
	spread := func(perClass *graph.Node) *graph.Node { // [1, classes] to [units, classes]
		return graph.BroadcastToDims(perClass, units, classes)
	}
	count := graph.ReduceAndKeep(own, graph.ReduceSum, 0) // [1, classes]
	present := graph.Min(count, graph.OnesLike(count))
	sums := graph.Dot(graph.Transpose(x, 0, 1), own).MatMul() // [units, classes]
	means := graph.Div(sums, spread(graph.Max(count, graph.OnesLike(count))))
	// Where no mean is negative, that of a class which is not there, 0, is not the largest, unless all are 0.
	best := graph.OneHot(graph.ArgMax(graph.StopGradient(means), 1, dtypes.Int32), classes, dtypes.Float32)
	highest := graph.ReduceSum(graph.Mul(means, best), 1) // [units]
	n := graph.ReduceAllSum(present)                      // classes with examples
	one := graph.ScalarOne(g, dtypes.Float32)
	others := graph.Div(graph.Sub(graph.ReduceSum(means, 1), highest), graph.Max(graph.Sub(n, one), one))
	index := graph.Div(graph.Sub(highest, others), graph.AddScalar(graph.Add(highest, others), selectivityEpsilon))
	return graph.Mul(index, graph.Min(graph.Max(graph.Sub(n, one), graph.ZerosLike(n)), one))
}
