package fit

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// maxSteps is how many steps are unrolled into one compiled call: enough that a small network is not launch-bound, few
// enough to compile quickly.
const maxSteps = 10

// stepsPerCall is the largest divisor of an epoch's steps that is at most maxSteps, so that every call has the same
// shape; if all its divisors are small, calls take maxSteps and the last one of an epoch fewer.
func stepsPerCall(perEpoch int) int {
	for s := min(maxSteps, perEpoch); s >= 4; s-- {
		if perEpoch%s == 0 {
			return s
		}
	}
	return min(maxSteps, perEpoch)
}

// slots are the optimizer's memories of a parameter: the names under which they stand in the store and in a state file.
func (s Spec) slots() []string {
	switch {
	case s.Optimizer == "adam":
		return []string{"adam_m", "adam_v"}
	case s.Momentum > 0:
		return []string{"velocity"}
	}
	return nil
}

// newStep compiles a call of several training steps. Its inputs: all images (Uint8)[examples, h, w, c], all labels
// (Int32)[examples], the indices of the examples of each step (Int32)[steps, batch], each step's learning rate
// (Float32)[steps], the number of the first step (Int32), counted from 0 over the whole training. It updates the
// parameters in the store and returns the sum of the loss (Float32) and the number of correct predictions (Int32) over
// all examples of all steps, each as it was before its step's update. Parameters that are not trained by gradients (see
// nets.Trained) are the network's own business: it is told that this is a training graph.
func newStep(t *trainer) (*model.Exec, error) {
	spec, net, params := t.spec, t.net, t.trained
	exec, err := model.NewExec(t.backend.Engine, t.store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		images, labels, order, rates, first := in[0], in[1], in[2], in[3], in[4]
		g := images.Graph()
		store := scope.Store()
		store.SetTraining(g, true)
		steps, batch := order.Shape().Dimensions[0], order.Shape().Dimensions[1]
		loss, correct := graph.Scalar(g, dtypes.Float32, 0), graph.Scalar(g, dtypes.Int32, 0)
		kept := map[string]*graph.Node{} // what dropout keeps at each site in all steps: drawn at once, it compiles faster
		for s := range steps {
			ids := graph.Reshape(graph.Slice(order, graph.AxisElem(s)), batch, 1)
			x := net.Pixels(graph.Gather(images, ids)) // [batch, h, w, c]
			y := graph.Gather(labels, ids)             // [batch]
			step := graph.AddScalar(first, float64(s))
			if spec.Dropout > 0 {
				r := tap.Recorder{Edit: func(site string, a *graph.Node) *graph.Node {
					if kept[site] == nil {
						kept[site] = spec.keep(site, a, first, steps)
					}
					return spec.drop(a, graph.Squeeze(graph.Slice(kept[site], graph.AxisElem(s)), 0))
				}}
				r.Attach(g)
			}
			logits := net.Graph(store.RootScope(), x) // a scope of its own per step: sub-scopes may be entered once
			own := graph.OneHot(y, net.Classes, dtypes.Float32)
			total := graph.Neg(graph.ReduceAllSum(graph.Mul(own, graph.LogSoftmax(logits, -1))))
			mean := graph.DivScalar(total, float64(batch))
			variables := make([]*model.Variable, len(params))
			values := make([]*graph.Node, len(params))
			for i, name := range params {
				variables[i] = store.GetVariable(nets.ParamPath(name))
				values[i] = variables[i].NodeValue(g)
			}
			rate := graph.Reshape(graph.Slice(rates, graph.AxisElem(s)))
			for i, gradient := range graph.Gradient(mean, values...) {
				variables[i].SetNodeValue(spec.update(store, params[i], values[i], gradient, rate, step))
			}
			loss = graph.Add(loss, total)
			hit := graph.Equal(graph.ArgMax(logits, -1, dtypes.Int32), y)
			correct = graph.Add(correct, graph.ReduceAllSum(graph.ConvertDType(hit, dtypes.Int32)))
		}
		return []*graph.Node{loss, correct}
	})
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	return exec.WithName("training of " + net.Name), nil
}

// update returns a parameter's value after one step and stores the optimizer's new memories.
func (s Spec) update(store *model.Store, name string, w, gradient, rate, step *graph.Node) *graph.Node {
	g := w.Graph()
	slot := func(kind string) (*model.Variable, *graph.Node) {
		v := store.GetVariable(nets.ParamPath(slotName(kind, name)))
		return v, v.NodeValue(g)
	}
	if s.Optimizer == "adam" {
		const b1, b2, epsilon = 0.9, 0.999, 1e-8
		mv, m := slot("adam_m")
		vv, v := slot("adam_v")
		m = graph.Add(graph.MulScalar(m, b1), graph.MulScalar(gradient, 1-b1))
		v = graph.Add(graph.MulScalar(v, b2), graph.MulScalar(graph.Mul(gradient, gradient), 1-b2))
		mv.SetNodeValue(m)
		vv.SetNodeValue(v)
		t := graph.ConvertDType(graph.OnePlus(step), dtypes.Float32)
		correct := func(x *graph.Node, beta float64) *graph.Node { // x / (1 - beta^t), without cancellation for small t
			return graph.Div(x, graph.Neg(graph.Expm1(graph.MulScalar(t, math.Log(beta)))))
		}
		d := graph.Div(correct(m, b1), graph.AddScalar(graph.Sqrt(correct(v, b2)), epsilon))
		if s.WeightDecay > 0 {
			d = graph.Add(d, graph.MulScalar(w, s.WeightDecay))
		}
		return graph.Sub(w, graph.Mul(d, rate))
	}
	if s.WeightDecay > 0 {
		gradient = graph.Add(gradient, graph.MulScalar(w, s.WeightDecay))
	}
	if s.Momentum > 0 {
		vv, v := slot("velocity")
		gradient = graph.Add(graph.MulScalar(v, s.Momentum), gradient)
		vv.SetNodeValue(gradient)
	}
	return graph.Sub(w, graph.Mul(gradient, rate))
}

// keep draws which units x [batch, ..., units] of a site keeps in each of several steps, of which first (Int32) is the
// number of the first: (Bool)[steps, batch, units]. A draw depends on the step's number, not on how steps share calls.
func (s Spec) keep(site string, x, first *graph.Node, steps int) *graph.Node {
	g, dims := x.Graph(), x.Shape().Dimensions
	shape := shapes.Make(dtypes.Uint32, steps, dims[0], dims[len(dims)-1])
	word := func(x *graph.Node) *graph.Node { return graph.BroadcastToShape(x, shape) }
	key := tap.Key(s.DropoutSeed, "dropout at "+site, 0)
	step := graph.Add(graph.Iota(g, shape, 0), word(graph.ConvertDType(first, dtypes.Uint32)))
	k0 := word(graph.Scalar(g, dtypes.Uint32, key[0]))
	k1 := graph.BitwiseXor(word(graph.Scalar(g, dtypes.Uint32, key[1])), step)
	u := tap.Uniform(k0, k1, graph.Iota(g, shape, 1), graph.Iota(g, shape, 2))
	return graph.GreaterOrEqual(u, graph.Scalar(g, dtypes.Float32, s.Dropout))
}

// drop is inverted dropout of x [batch, ..., units], keep being (Bool)[batch, units]: kept activations grow by 1/(1-p), so
// that nothing has to change at evaluation. A feature map is dropped as a whole.
func (s Spec) drop(x, keep *graph.Node) *graph.Node {
	for keep.Rank() < x.Rank() {
		keep = graph.InsertAxes(keep, 1)
	}
	keep = graph.BroadcastToDims(keep, x.Shape().Dimensions...)
	return graph.Where(keep, graph.DivScalar(x, 1-s.Dropout), graph.ZerosLike(x))
}

// call runs len(order)/batch steps, the first of which has number t.step, and moves on to the step after them.
func (t *trainer) call(order []int32) error {
	steps := len(order) / t.batch
	rates := make([]float32, steps)
	for i := range rates {
		rates[i] = float32(t.spec.lr(t.step+i, t.spec.Epochs*t.perEpoch))
	}
	ids := tensors.FromFlatDataAndDimensions(order, steps, t.batch) // copies
	out, err := t.exec.Call(t.images, t.labels, ids, rates, int32(t.step))
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	t.step += steps
	t.loss += float64(tensors.ToScalar[float32](out[0]))
	t.correct += int(tensors.ToScalar[int32](out[1]))
	for _, o := range append(out, ids) {
		_ = o.FinalizeAll()
	}
	return nil
}
