package fit

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// Expected values: testdata/selectivity.py, PyTorch 2.15.0. Of four classes one has no examples; unit 1 is dead.
func TestSelectivityIndexAgainstPyTorch(t *testing.T) {
	maps := []float32{
		3, 0, 1, 1, 0, 2,
		0, 0, 5, 2, 0, 1,
		4, 0, 0, 0, 0, 1,
		1, 0, 2, 1, 0, 0,
		7, 0, 3, 2, 0, 1,
		0, 0, 0, 1, 0, 4,
	}
	exec, err := graph.NewExec(open(t).Engine, func(maps, labels *graph.Node) []*graph.Node {
		own := graph.OneHot(labels, 4, dtypes.Float32)
		weights := graph.Const(maps.Graph(), []float32{1, 1, 3})
		gradient := func(index *graph.Node) *graph.Node {
			return graph.Gradient(graph.ReduceAllSum(graph.Mul(index, weights)), maps)[0]
		}
		index := selectivityIndex(maps, own)                                    // [6, 2, 1, 3]
		flat := selectivityIndex(graph.ReduceMean(maps, 1, 2), own)             // [6, 3]
		active := selectivityIndex(graph.Max(graph.ZerosLike(maps), maps), own) // as nets has ReLU
		return []*graph.Node{index, flat, gradient(index), gradient(active)}
	})
	require.NoError(t, err)
	defer exec.Finalize()
	run := func(labels ...int32) (index []float32, gradient, active [][][][]float32) {
		out, err := exec.Call(tensors.FromFlatDataAndDimensions(slices.Clone(maps), 6, 2, 1, 3), labels)
		require.NoError(t, err)
		index = out[0].Value().([]float32)
		require.InDeltaSlice(t, index, out[1].Value(), 1e-6, "feature maps are averaged over positions first")
		return index, out[2].Value().([][][][]float32), out[3].Value().([][][][]float32)
	}

	index, gradient, active := run(0, 2, 2, 3, 0, 3)
	require.InDeltaSlice(t, []float64{0.485714275, 0, 0.037037036}, index, 1e-6)
	for e := range gradient {
		want := []float64{-0.042448978, -0.115226334} // both units prefer class 0, that of examples 0 and 4
		if e == 0 || e == 4 {
			want = []float64{0.029387755, 0.213991763}
		}
		for p := range 2 {
			got := gradient[e][p][0]
			require.InDelta(t, want[0], got[0], 1e-6, "example %d", e)
			require.InDelta(t, want[1], got[2], 1e-6, "example %d", e)
			require.Zero(t, active[e][p][0][1], "a dead unit has no gradient through its ReLU")
			if maps[6*e+3*p] > 0 {
				require.Equal(t, got[0], active[e][p][0][0])
			}
		}
	}

	// A batch of one class says nothing, and asks for nothing.
	index, gradient, _ = run(2, 2, 2, 2, 2, 2)
	require.Equal(t, []float32{0, 0, 0}, index)
	for e := range gradient {
		for p := range 2 {
			require.Equal(t, [][]float32{{0, 0, 0}}, gradient[e][p : p+1][0])
		}
	}
}

// Expected values: testdata/selectivity.py, PyTorch 2.15.0 on a CPU, in float64: 6 steps of 3 examples from fixed weights. All
// batches but one lack a class, the last one has a single class.
func TestStepsWithSelectivityAgainstPyTorch(t *testing.T) {
	net, err := nets.Parse("mlp:3,2", []int{1, 4, 1}, 3)
	require.NoError(t, err)
	data := datasets.Split{
		Images: []byte{0, 0, 0, 0, 255, 30, 7, 90, 12, 200, 65, 0, 99, 1, 254, 128, 60, 60, 180, 33, 5, 142, 0, 211, 77, 8, 31, 250},
		Labels: []int32{1, 0, 1, 2, 1, 0, 2},
		Shape:  []int{1, 4, 1},
	}
	order := []int32{0, 1, 2, 3, 4, 5, 6, 0, 2, 5, 1, 4, 3, 6, 0, 2, 4, 0}
	names := []string{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "logits.weight", "logits.bias"}
	start := [][]float32{
		{0.5, -0.3, 0.8, 0.1, -0.6, 0.9, 0.2, -0.4, 0.3, 0.7, -0.5, 0.6},
		{0.1, 0.1, -0.05},
		{0.6, 0.4, -0.2, -0.3, 0.5, 0.9},
		{0.05, 0.02},
		{0.7, -0.2, -0.5, 0.6, 0.1, 0.3},
		{0.02, -0.03, 0.01},
	}
	for _, c := range []struct {
		spec    Spec
		loss    float64
		correct int
		want    [][]float64
	}{
		{Spec{SelectivityAlpha: -2, LR: 0.2, Momentum: 0.9}, 23.972823352, 4, [][]float64{
			{
				-0.077029099, 0.401546139, 0.583925145, 0.300613927, -0.565633275, 1.198086927,
				0.081939231, 0.447824148, 0.767771411, 0.957998606, 0.405632854, 0.132394300,
			},
			{1.129320594, 0.607007242, 1.258821548},
			{0.116230750, 0.476953225, 0.793490517, 0.482119123, 0.649095750, 0.786476316},
			{0.586979877, 0.695390014},
			{0.121614025, -0.238160861, 0.048914521, 0.760362503, 0.129471454, 0.177798358},
			{-0.240515381, 0.486339168, -0.245823786},
		}},
		{Spec{SelectivityAlpha: 1.5, LR: 0.3}, 20.040053339, 8, [][]float64{
			{
				0.699267930, -0.484882815, 0.779094650, 0.356249719, -0.561103181, 0.759241402,
				0.345412692, -0.705071201, 0.012656621, 0.626715212, -0.549682900, 0.182461193,
			},
			{-0.180187948, -0.077199319, -0.624694837},
			{0.622641341, 0.233142141, -0.141403485, -0.543604974, 0.656044705, 0.668327638},
			{-0.214966010, -0.491683689},
			{0.616462835, -0.168076159, -0.473348105, 0.638101861, 0.156885269, 0.229974298},
			{-0.207184307, 0.350450623, -0.143266316},
		}},
		{Spec{SelectivityAlpha: -1, Optimizer: "adam", LR: 0.02}, 21.733541404, 3, [][]float64{
			{
				0.472295154, -0.224465297, 0.768620090, 0.111480296, -0.646808351, 0.921650939,
				0.152616387, -0.336241670, 0.305444940, 0.750671486, -0.419241025, 0.554798843,
			},
			{0.183090816, 0.082927591, -0.051599694},
			{0.550022433, 0.380501154, -0.191362642, -0.246038072, 0.492336522, 0.877488829},
			{0.010312422, 0.067544551},
			{0.647979486, -0.177618906, -0.390038958, 0.613809734, 0.075759783, 0.212127330},
			{-0.047578109, 0.060743879, -0.055961699},
		}},
	} {
		calls := []int{1}         // steps per call
		if open(t).Kind != "go" { // which takes no more; elsewhere each compilation takes seconds
			if c.spec.Momentum == 0 {
				continue
			}
			calls = []int{1, 2}
		}
		spec := c.spec
		spec.Batch, spec.Epochs = 3, 3
		made, err := newTrainer(open(t), net, data, data, spec.WithDefaults(), Options{})
		require.NoError(t, err)
		memories := made.arrays()[len(names):]
		for _, steps := range calls {
			made.step, made.loss, made.correct = 0, 0, 0
			for _, name := range memories {
				v := made.store.GetVariable(nets.ParamPath(name))
				require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(make([]float32, v.Shape().Size()), v.Shape().Dimensions...)))
			}
			for i, name := range names {
				v := made.store.GetVariable(nets.ParamPath(name))
				require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(slices.Clone(start[i]), v.Shape().Dimensions...)))
			}
			for part := range slices.Chunk(order, 3*steps) {
				require.NoError(t, made.call(part))
			}
			require.Equal(t, 6, made.step)
			require.InDelta(t, c.loss, made.loss, 3e-6, "cross-entropy alone; %+v", c.spec)
			require.Equal(t, c.correct, made.correct, "%+v", c.spec)
			got, err := nets.FromStore(made.store, names)
			require.NoError(t, err)
			for i, name := range names {
				require.InDeltaSlice(t, c.want[i], got[name].Data, 2e-6, "%+v, %d steps in a call: %s", c.spec, steps, name)
			}
		}
		made.close()
	}
}

// On a batch of all examples the index is that of package selectivity.
func TestSelectivityIndexIsThatOfPackageSelectivity(t *testing.T) {
	net, data, _ := toy()
	weights, err := net.Init(open(t).Engine, 1)
	require.NoError(t, err)
	store, err := nets.NewStore(weights)
	require.NoError(t, err)
	defer store.Finalize()
	exec, err := model.NewExec(open(t).Engine, store, func(scope *model.Scope, images, labels *graph.Node) *graph.Node {
		var r tap.Recorder
		r.Attach(images.Graph())
		net.Graph(scope, net.Pixels(images))
		return selectivityIndex(r.Node("fc1"), graph.OneHot(labels, 3, dtypes.Float32))
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(data.Images, 88, 2, 2, 1), data.Labels)
	require.NoError(t, err)
	require.InDeltaSlice(t, indices(t, weights), out[0].Value(), 1e-5)
}

// indices are the class selectivity of the units of toy, on its training examples.
func indices(t *testing.T, weights map[string]nets.Array) []float64 {
	net, data, _ := toy()
	p, err := probe.New(open(t), net, weights, data, probe.Options{})
	require.NoError(t, err)
	defer p.Close()
	r, err := selectivity.Measure(context.Background(), p, selectivity.Spec{Epsilon: selectivityEpsilon}, selectivity.Options{})
	require.NoError(t, err)
	index, err := r.Table.Numbers("selectivity")
	require.NoError(t, err)
	return index
}

// α moves the class selectivity of units that have some in its direction. (A large α > 0 makes units die, which have none.)
func TestSelectivityAlpha(t *testing.T) {
	if open(t).Kind != "go" {
		t.Skip("three compilations, and TestStepsWithSelectivityAgainstPyTorch has each step; run with GOMLX_BACKEND=go")
	}
	found := map[float64][]float64{}
	for _, alpha := range []float64{-1, 0, 0.2} {
		spec := Spec{LR: 0.1, Batch: 22, Epochs: 60, Evaluate: 60, SelectivityAlpha: alpha, InitSeed: 1, OrderSeed: 2}
		found[alpha] = indices(t, mustTrain(t, spec, Options{}).Weights)
	}
	moved := 0
	for u, x := range found[0.] {
		if x > 0.05 && x < 0.95 { // neither dead nor at the end of what is possible
			moved++
			require.Less(t, found[-1.][u], x/2, "unit %d", u)
			require.Greater(t, found[0.2][u], 1.1*x, "unit %d", u)
		}
	}
	require.GreaterOrEqual(t, moved, 3)
}

// A specification without is written as before there was any, so keys of networks stay, and means the same training; an
// interrupted training with it ends with the same bits as another one.
func TestSelectivityAlphaAmongTheRest(t *testing.T) {
	text, err := json.Marshal(Spec{}.WithDefaults())
	require.NoError(t, err)
	require.NotContains(t, string(text), "selectivity")

	spec := sgd() // with dropout
	spec.SelectivityAlpha, spec.Epochs = -1, 2
	want := mustTrain(t, spec, Options{})
	plain := sgd()
	plain.Epochs = 2
	require.Error(t, sameBits(want.Weights, mustTrain(t, plain, Options{}).Weights))
	points := []int{0, 1, 30, 44, 61}
	if open(t).Kind != "go" {
		points = []int{2, 8} // of fewer calls
	}
	for _, point := range points {
		opt := Options{Dir: t.TempDir(), Key: "k"}
		_, err := train(t, after(point), spec, opt)
		require.ErrorIs(t, err, context.Canceled)
		requireSame(t, want, mustTrain(t, spec, opt), fmt.Sprintf("interrupted at %d", point))
	}
}

// Convolutional networks: batch normalization, dropout and the index of feature maps together, on either backend.
func TestSelectivityAlphaOfFeatureMaps(t *testing.T) {
	net, err := nets.Parse("convnet:width=0.03125,layers=2", []int{4, 4, 1}, 2)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	data := datasets.Split{Images: make([]byte, 16*32), Labels: make([]int32, 32), Shape: []int{4, 4, 1}}
	for i := range data.Labels { // bright above or bright below
		data.Labels[i] = int32(i % 2)
		for p := range 16 {
			data.Images[16*i+p] = byte(rng.IntN(128) + 127*((p/8+i)%2))
		}
	}
	spec := Spec{LR: 0.1, Batch: 8, Epochs: 8, SelectivityAlpha: -2, InitSeed: 1, OrderSeed: 2}
	r, err := Train(context.Background(), open(t), net, data, data, spec, Options{})
	require.NoError(t, err)
	require.Equal(t, 1.0, r.Final().TestAccuracy, "it still learns")
}

func TestSelectivityAlphaNeedsPoints(t *testing.T) {
	_, data, test := toy()
	_, err := Train(context.Background(), open(t), centred(), data, test, Spec{SelectivityAlpha: -1}, Options{})
	require.EqualError(t, err, "training: selectivity_alpha is -1, but net centred names no activations (tap.Point) whose class "+
		"selectivity there could be")
}
