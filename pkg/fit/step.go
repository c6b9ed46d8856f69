package fit

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// maxSteps is how many steps a call may take: enough that starting a call and waiting for it cost nothing even for a
// small network.
const maxSteps = 64

// roomOf is how many steps a call of the trainer has room for. It is one, without a loop, where loops do not work well: XLA
// on a CPU computes convolutions within a loop 15 times slower, and pure Go fails in it ("input 0 for node Mul not computed
// yet", compute v0.1.6); there, a call costs little compared with a step.
func roomOf(t *trainer) int {
	convolution := func(name string) bool { return t.store.GetVariable(nets.ParamPath(name)).Shape().Rank() > 2 }
	if t.backend.Kind == "go" || t.backend.Kind == "xla:cpu" && slices.ContainsFunc(t.params, convolution) {
		return 1
	}
	return min(maxSteps, t.perEpoch)
}

// pace sets the number of steps of the next call, the last one having taken so long. The result does not depend on it.
func (t *trainer) pace(took time.Duration) {
	switch {
	case took < t.callTime/2:
		t.steps = min(2*t.steps, t.room)
	case took > 2*t.callTime:
		t.steps = max(t.steps/2, 1)
	}
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

// newStep compiles a call of several training steps. Its inputs, with room for t.room steps: all images
// (Uint8)[examples, h, w, c], all labels (Int32)[examples], the indices of the examples of each step
// (Int32)[room, batch], each step's learning rate (Float32)[room], the number of the first step (Int32), counted from 0
// over the whole training, how many steps to take (Int32), and the sum of the losses so far (Float64). It updates the
// parameters in the store, and returns how many steps it took (Int32), the new sum of the losses (Float64) and the number
// of correct predictions (Int32) over all examples of these steps, each as it was before its step's update. The loss that
// is summed is cross-entropy, also where Spec.SelectivityAlpha adds to what is minimized. It stops after a step whose loss is
// not finite.
func newStep(t *trainer) (*model.Exec, error) {
	exec, err := model.NewExec(t.backend.Engine, t.store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		g, store := in[0].Graph(), scope.Store()
		var variables []*model.Variable
		for _, name := range t.arrays() {
			variables = append(variables, store.GetVariable(nets.ParamPath(name)))
		}
		// All that a step sees goes through the loop: in XLA its body cannot use anything from around it, not even a constant
		// (Scalar would share it with the body, Const does not).
		state := append([]*graph.Node{graph.Const(g, int32(0)), in[6], graph.Const(g, int32(0))}, in[:6]...)
		inputs := len(state)
		for _, v := range variables {
			state = append(state, v.NodeValue(g))
		}
		step := func(state []*graph.Node) []*graph.Node {
			for i, v := range variables {
				v.SetNodeValue(state[inputs+i])
			}
			next := append(t.oneStep(store, state[:inputs]), state[3:inputs]...)
			for _, v := range variables {
				next = append(next, v.NodeValue(g))
			}
			return next
		}
		if t.room == 1 {
			state = step(state)
		} else {
			closure := func(f func(state []*graph.Node) []*graph.Node) *graph.Function {
				return graph.NewClosure(g, func(g *graph.Graph) []*graph.Node {
					var within []*graph.Node
					for i, x := range state {
						within = append(within, graph.Parameter(g, fmt.Sprintf("state%d", i), x.Shape()))
					}
					return f(within)
				})
			}
			goOn := func(state []*graph.Node) []*graph.Node {
				done, loss, asked := state[0], state[1], state[8]
				return []*graph.Node{graph.LogicalAnd(graph.LessThan(done, asked), graph.IsFinite(loss))}
			}
			state = graph.While(closure(goOn), closure(step), state...)
		}
		for i, v := range variables {
			v.SetNodeValue(state[inputs+i])
		}
		return state[:3]
	})
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	return exec.WithName("training of " + t.net.Name), nil
}

// oneStep takes a training step: it gives the parameters and the optimizer's memories in the store their next values. in
// is what newStep's call returns, as it stands before the step, and what the call got, apart from the sum of the losses.
// It returns the first three of these as they stand after the step.
//
// Parameters that are not trained by gradients (see nets.Trained) are the network's own business: it is told that this is
// a training graph.
func (t *trainer) oneStep(store *model.Store, in []*graph.Node) []*graph.Node {
	spec, net, g := t.spec, t.net, in[0].Graph()
	done, loss, correct, images, labels, order, rates, first := in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7]
	batch := order.Shape().Dimensions[1]
	now := func(x *graph.Node) *graph.Node { return graph.Gather(x, graph.Reshape(done, 1)) } // x[done]; pure Go has no DynamicSlice
	ids, rate, number := graph.Reshape(now(order), batch, 1), now(rates), graph.Add(first, done)

	x := net.Pixels(graph.Gather(images, ids)) // [batch, h, w, c]
	y := graph.Gather(labels, ids)             // [batch]
	own := graph.OneHot(y, net.Classes, dtypes.Float32)
	var layers []*graph.Node // class selectivity of each
	if spec.Dropout > 0 || spec.SelectivityAlpha != 0 {
		r := tap.Recorder{Edit: func(site string, a *graph.Node) *graph.Node {
			if spec.SelectivityAlpha != 0 {
				layers = append(layers, graph.ReduceAllMean(selectivityIndex(a, own)))
			}
			if spec.Dropout > 0 {
				a = spec.drop(a, spec.keep(site, a, number))
			}
			return a
		}}
		r.Attach(g)
	}
	store.SetTraining(g, true)
	logits := net.Graph(store.RootScope(), x)
	total := graph.Neg(graph.ReduceAllSum(graph.Mul(own, graph.LogSoftmax(logits, -1))))
	mean := graph.DivScalar(total, float64(batch))
	for _, s := range layers { // cross-entropy − α · the mean over layers
		mean = graph.Sub(mean, graph.MulScalar(s, spec.SelectivityAlpha/float64(len(layers))))
	}
	variables := make([]*model.Variable, len(t.trained))
	values := make([]*graph.Node, len(t.trained))
	for i, name := range t.trained {
		variables[i] = store.GetVariable(nets.ParamPath(name))
		values[i] = variables[i].NodeValue(g)
	}
	for i, gradient := range graph.Gradient(mean, values...) {
		variables[i].SetNodeValue(spec.update(store, t.trained[i], values[i], gradient, rate, number))
	}
	hit := graph.Equal(graph.ArgMax(logits, -1, dtypes.Int32), y)
	return []*graph.Node{
		graph.OnePlus(done),
		graph.Add(loss, graph.ConvertDType(total, dtypes.Float64)),
		graph.Add(correct, graph.ReduceAllSum(graph.ConvertDType(hit, dtypes.Int32))),
	}
}

// update returns a parameter's value after one step and stores the optimizer's new memories.
func (s Spec) update(store *model.Store, name string, w, gradient, rate, number *graph.Node) *graph.Node {
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
		t := graph.ConvertDType(graph.OnePlus(number), dtypes.Float32)
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

// keep draws which units x [batch, ..., units] of a site keeps in the step of this number (Int32): (Bool)[batch, units].
func (s Spec) keep(site string, x, number *graph.Node) *graph.Node {
	g, dims := x.Graph(), x.Shape().Dimensions
	shape := shapes.Make(dtypes.Uint32, dims[0], dims[len(dims)-1])
	word := func(x *graph.Node) *graph.Node { return graph.BroadcastToShape(x, shape) }
	key := tap.Key(s.DropoutSeed, "dropout at "+site, 0)
	k0 := word(graph.Scalar(g, dtypes.Uint32, key[0]))
	k1 := word(graph.BitwiseXor(graph.Scalar(g, dtypes.Uint32, key[1]), graph.ConvertDType(number, dtypes.Uint32)))
	u := tap.Uniform(k0, k1, graph.Iota(g, shape, 0), graph.Iota(g, shape, 1))
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

// call runs len(order)/batch steps, the first of which has number t.step, and moves on to the step after them, or after
// the first one whose loss is not finite.
func (t *trainer) call(order []int32) error {
	steps := len(order) / t.batch
	rates := make([]float32, t.room)
	for i := range steps {
		rates[i] = float32(t.spec.lr(t.step+i, t.spec.Epochs*t.perEpoch))
	}
	padded := make([]int32, t.room*t.batch)
	copy(padded, order)
	ids := tensors.FromFlatDataAndDimensions(padded, t.room, t.batch) // copies
	out, err := t.exec.Call(t.images, t.labels, ids, rates, int32(t.step), int32(steps), t.loss)
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	t.step += int(tensors.ToScalar[int32](out[0]))
	t.loss = tensors.ToScalar[float64](out[1])
	t.correct += int(tensors.ToScalar[int32](out[2]))
	for _, o := range append(out, ids) {
		_ = o.FinalizeAll()
	}
	return nil
}
