package fit

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
)

// Expected values: testdata/pytorch.py, PyTorch 2.15.0 on a CPU, in float64: 9 steps of 2 examples from fixed weights.
func TestStepsAgainstPyTorch(t *testing.T) {
	net, err := nets.Parse("mlp:3", []int{1, 4, 1}, 2)
	require.NoError(t, err)
	data := datasets.Split{
		Images: []byte{0, 0, 0, 0, 255, 30, 7, 90, 12, 200, 65, 0, 99, 1, 254, 128, 60, 60, 180, 33, 5, 142, 0, 211},
		Labels: []int32{1, 0, 1, 0, 1, 0},
		Shape:  []int{1, 4, 1},
	}
	order := []int32{0, 1, 2, 3, 4, 5, 5, 2, 0, 4, 3, 1, 1, 2, 4, 3, 5, 0}
	names := []string{"fc1.weight", "fc1.bias", "logits.weight", "logits.bias"}
	start := [][]float32{
		{
			0.5, -0.3, 0.8, 0.1, -0.6, 0.9,
			0.2, -0.4, 0.3, 0.7, -0.5, 0.6,
		},
		{0, 0.1, -0.05},
		{0.7, -0.2, 0.4, -0.5, 0.6, 0.1},
		{0.02, -0.03},
	}
	for _, c := range []struct {
		spec    Spec
		loss    float64
		correct int
		want    [][]float64
	}{
		{Spec{LR: 0.5}, 9.863079389, 13, [][]float64{
			{
				0.748690949, -0.483202589, 0.689014437, 0.268310869, -0.585961383, 0.934533405,
				0.335737893, -0.838658630, 0.436673062, 0.727507975, -0.532547511, 0.831904976,
			},
			{-0.091312351, 0.400920797, 0.089102829},
			{0.741878473, -0.478512879, 0.791564520, -0.541878473, 0.878512879, -0.291564520},
			{-0.055422087, 0.045422087},
		}},
		{Spec{LR: 0.3, Momentum: 0.9, Schedule: "linear"}, 8.580753161, 14, [][]float64{
			{
				0.742597016, -0.355260401, 0.587458534, 0.651416667, -0.545161420, 0.971276892,
				0.427799641, -0.695824637, 0.398839654, 0.707953072, -0.518288319, 0.766258091,
			},
			{0.062400299, 0.577561649, 0.037773789},
			{0.761839601, -0.509353659, 0.750939206, -0.561839601, 0.909353659, -0.250939206},
			{-0.215511286, 0.205511286},
		}},
		{Spec{LR: 0.3, Momentum: 0.8, WeightDecay: 0.05, Schedule: "cosine"}, 9.238773663, 14, [][]float64{
			{
				0.593896486, -0.294489176, 0.497073410, 0.508059632, -0.450548349, 0.799153414,
				0.346399468, -0.557178184, 0.320259723, 0.580902306, -0.430436072, 0.619329864,
			},
			{0.050959775, 0.446784185, 0.020862011},
			{0.624259895, -0.404071278, 0.594579947, -0.459256345, 0.734078378, -0.182071072},
			{-0.161193918, 0.152943741},
		}},
		{Spec{Optimizer: "adam", LR: 0.02}, 9.621421722, 13, [][]float64{
			{
				0.576085136, -0.390054803, 0.775005214, 0.188789043, -0.516181551, 0.961525109,
				0.297528291, -0.485431870, 0.407600553, 0.711182362, -0.573938429, 0.734465404,
			},
			{-0.037941948, 0.223390576, 0.025331936},
			{0.728474244, -0.345795048, 0.505421864, -0.528474244, 0.745795048, -0.005421864},
			{-0.079907739, 0.069907739},
		}},
		{Spec{Optimizer: "adam", LR: 0.05, WeightDecay: 0.1, Schedule: "cosine"}, 9.029518803, 13, [][]float64{
			{
				0.607491402, -0.298703451, 0.791864289, 0.314983239, -0.462886093, 0.945248299,
				0.329137886, -0.486795050, 0.410799535, 0.669726714, -0.474968485, 0.802193627,
			},
			{0.042229274, 0.285442027, -0.015703858},
			{0.754208278, -0.395909232, 0.524045607, -0.559155771, 0.786014246, -0.036414339},
			{-0.154373611, 0.144620986},
		}},
	} {
		calls := []int{1}         // steps per call
		if open(t).Kind != "go" { // which takes no more; elsewhere compiling takes time: only what has every part
			if c.spec.WeightDecay == 0 {
				continue
			}
			calls = []int{1, 3}
		}
		spec := c.spec
		spec.Batch, spec.Epochs = 2, 3
		made, err := newTrainer(open(t), net, data, data, spec.WithDefaults(), Options{})
		require.NoError(t, err)
		memories := made.arrays()[len(names):]
		for _, steps := range calls {
			made.step, made.loss, made.correct = 0, 0, 0
			for _, name := range memories {
				v := made.store.GetVariable(nets.ParamPath(name))
				zero := make([]float32, v.Shape().Size())
				require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(zero, v.Shape().Dimensions...)))
			}
			for i, name := range names {
				v := made.store.GetVariable(nets.ParamPath(name))
				require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(slices.Clone(start[i]), v.Shape().Dimensions...)))
			}
			for part := range slices.Chunk(order, 2*steps) {
				require.NoError(t, made.call(part))
			}
			require.Equal(t, 9, made.step)
			require.InDelta(t, c.loss, made.loss, 3e-6, "%+v", c.spec)
			require.Equal(t, c.correct, made.correct, "%+v", c.spec)
			got, err := nets.FromStore(made.store, names)
			require.NoError(t, err)
			for i, name := range names {
				for k, w := range c.want[i] {
					require.InDelta(t, w, got[name].Data[k], 6e-7, "%+v, %d steps in a call: %s[%d]", c.spec, steps, name, k)
				}
			}
		}
		made.close()
	}
}

// Dropout of a matrix of ones and of feature maps.
func TestDropout(t *testing.T) {
	const p = 0.3
	exec, err := graph.NewExec(open(t).Engine, func(g *graph.Graph) []*graph.Node {
		ones := graph.Ones(g, shapes.Make(dtypes.Float32, 300, 100))
		maps := graph.AddScalar(graph.IotaFull(g, shapes.Make(dtypes.Float32, 40, 3, 2, 50)), 1)
		spec, other := Spec{Dropout: p, DropoutSeed: 1}, Spec{Dropout: p, DropoutSeed: 2}
		drop := func(spec Spec, x *graph.Node, site string, number int32) *graph.Node {
			return spec.drop(x, spec.keep(site, x, graph.Scalar(g, dtypes.Int32, number)))
		}
		return []*graph.Node{
			drop(spec, ones, "fc1", 5),
			drop(spec, ones, "fc1", 6),
			drop(spec, ones, "fc2", 5),
			drop(other, ones, "fc1", 5),
			drop(spec, maps, "conv1", 5),
			drop(Spec{}, maps, "conv1", 5),
		}
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call()
	require.NoError(t, err)

	grown := float32(1 / (1 - p))
	var masks [][][]float32
	for _, o := range out[:4] {
		masks = append(masks, o.Value().([][]float32))
	}
	for i, a := range masks {
		n, kept, mean := 0, 0, 0.0
		perUnit, perExample := make([]int, 100), make([]int, 300)
		for e, row := range a {
			for u, x := range row {
				require.True(t, x == 0 || x == grown, x)
				n++
				mean += float64(x) / (300 * 100)
				if x != 0 {
					kept++
					perUnit[u]++
					perExample[e]++
				}
			}
		}
		// standard errors of a share of kept: √(p(1-p)/n); allow 4 of them, and 5 for the extremes of 300
		require.InDelta(t, 1-p, float64(kept)/float64(n), 4*math.Sqrt(p*(1-p)/float64(n)))
		require.InDelta(t, 1, mean, 4*math.Sqrt(p*(1-p)/float64(n))/(1-p), "the expected activation is kept")
		for _, k := range perUnit {
			require.InDelta(t, 1-p, float64(k)/300, 5*math.Sqrt(p*(1-p)/300))
		}
		for _, k := range perExample {
			require.InDelta(t, 1-p, float64(k)/100, 5*math.Sqrt(p*(1-p)/100))
		}
		for k, b := range masks[:i] { // other step, site or seed: as independent as coins
			agree := 0
			for e := range a {
				for u := range a[e] {
					if a[e][u] == b[e][u] {
						agree++
					}
				}
			}
			q := p*p + (1-p)*(1-p)
			require.InDelta(t, q, float64(agree)/30000, 4*math.Sqrt(q*(1-q)/30000), "draws %d and %d", k, i)
		}
	}

	dropped := 0
	value := float32(0)
	got, none := out[4].Value().([][][][]float32), out[5].Value().([][][][]float32)
	for e := range got {
		for h := range got[e] {
			for w := range got[e][h] {
				for u, x := range got[e][h][w] {
					value++
					require.Equal(t, value, none[e][h][w][u], "dropout 0 drops nothing")
					require.Equal(t, got[e][0][0][u] == 0, x == 0, "a feature map is dropped as a whole")
					if x == 0 {
						dropped++
					} else {
						require.InEpsilon(t, value/(1-p), x, 2e-7)
					}
				}
			}
		}
	}
	// 2000 maps of 6
	require.InDelta(t, p, float64(dropped)/12000, 4*math.Sqrt(p*(1-p)/2000))
}

// One step of gradient descent with dropout, computed in float64 from the definition.
func TestStepWithDropoutAgainstTheDefinition(t *testing.T) {
	net, data, test := toy()
	spec := Spec{LR: 0.5, Dropout: 0.4, Batch: 88, Epochs: 1, InitSeed: 1, DropoutSeed: 2}.WithDefaults()
	made, err := newTrainer(open(t), net, data, test, spec, Options{})
	require.NoError(t, err)
	defer made.close()
	w, err := nets.FromStore(made.store, made.params)
	require.NoError(t, err)
	require.NoError(t, made.call(spec.permutation(0, 88)))
	got, err := nets.FromStore(made.store, made.params)
	require.NoError(t, err)

	exec, err := graph.NewExec(open(t).Engine, func(g *graph.Graph) *graph.Node {
		keep := spec.keep("fc1", graph.Zeros(g, shapes.Make(dtypes.Float32, 88, 8)), graph.Scalar(g, dtypes.Int32, int32(0)))
		return graph.ConvertDType(keep, dtypes.Float64)
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call()
	require.NoError(t, err)
	keep := out[0].Value().([][]float64)

	gradient := map[string][]float64{}
	for name, a := range w {
		gradient[name] = make([]float64, len(a.Data))
	}
	loss := 0.0
	for row, e := range spec.permutation(0, 88) {
		var x [4]float64
		var h, back [8]float64
		var z [3]float64
		for i := range x {
			x[i] = float64(data.Images[int(e)*4+i]) / 255
		}
		for u := range h {
			sum := float64(w["fc1.bias"].Data[u])
			for i := range x {
				sum += float64(w["fc1.weight"].Data[u*4+i]) * x[i]
			}
			h[u] = max(0, sum) * keep[row][u] / 0.6
		}
		total := 0.0
		for c := range z {
			z[c] = float64(w["logits.bias"].Data[c])
			for u := range h {
				z[c] += float64(w["logits.weight"].Data[c*8+u]) * h[u]
			}
			total += math.Exp(z[c])
		}
		loss += math.Log(total) - z[data.Labels[e]]
		for c := range z {
			d := math.Exp(z[c]) / total / 88
			if c == int(data.Labels[e]) {
				d -= 1.0 / 88
			}
			gradient["logits.bias"][c] += d
			for u := range h {
				gradient["logits.weight"][c*8+u] += d * h[u]
				back[u] += d * float64(w["logits.weight"].Data[c*8+u])
			}
		}
		for u := range h {
			if h[u] > 0 {
				gradient["fc1.bias"][u] += back[u] / 0.6
				for i := range x {
					gradient["fc1.weight"][u*4+i] += back[u] / 0.6 * x[i]
				}
			}
		}
	}
	require.InDelta(t, loss, made.loss, 1e-4)
	for name, a := range w {
		for i := range a.Data {
			require.InDelta(t, float64(a.Data[i])-0.5*gradient[name][i], got[name].Data[i], 1e-6, "%s[%d]", name, i)
		}
	}
}

// A call stops at the first step whose loss is not finite.
func TestCallStopsAtAnInfiniteLoss(t *testing.T) {
	net, data, test := toy()
	spec := Spec{LR: 1e30, Batch: 2, Epochs: 1}.WithDefaults()
	made, err := newTrainer(open(t), net, data, test, spec, Options{})
	require.NoError(t, err)
	defer made.close()
	order := spec.permutation(0, 88)
	for made.step < 44 && !math.IsInf(made.loss, 0) && !math.IsNaN(made.loss) {
		require.NoError(t, made.call(order[2*made.step:2*min(44, made.step+made.room)]))
	}
	require.Greater(t, made.step, 1, "the first loss is that of the initial weights")
	require.Less(t, made.step, 5)
	require.LessOrEqual(t, made.correct, 2*made.step)
}

// However slow or fast calls are, they take between one step and all for which there is room.
func TestPace(t *testing.T) {
	made := &trainer{steps: 1, room: 64, callTime: time.Second}
	paced := func(took ...time.Duration) (steps []int) {
		for _, d := range took {
			made.pace(d)
			steps = append(steps, made.steps)
		}
		return steps
	}
	const fast, right, slow = 499 * time.Millisecond, time.Second, 2001 * time.Millisecond
	require.Equal(t, []int{2, 4, 8, 16, 32, 64, 64}, paced(fast, fast, fast, fast, fast, fast, fast))
	require.Equal(t, []int{64, 32, 32, 64}, paced(right, slow, right, fast))
	require.Equal(t, []int{32, 16, 8, 4, 2, 1, 1}, paced(slow, slow, slow, slow, slow, slow, slow))
	made.room = 3
	require.Equal(t, []int{2, 3, 3, 1}, paced(fast, fast, fast, slow))
	made.room = 1
	require.Equal(t, []int{1, 1}, paced(fast, slow))
}

func ExampleTrain() {
	b, err := backend.Open("go", "")
	if err != nil {
		panic(err)
	}
	net, err := nets.Parse("mlp:8", []int{1, 2, 1}, 2)
	if err != nil {
		panic(err)
	}
	xor := datasets.Split{Images: []byte{0, 0, 0, 255, 255, 0, 255, 255}, Labels: []int32{0, 1, 1, 0}, Shape: []int{1, 2, 1}}
	r, err := Train(context.Background(), b, net, xor, xor, Spec{Optimizer: "adam", LR: 0.05, Epochs: 200, StopAt: 1}, Options{})
	fmt.Println("error:", err)
	fmt.Println("accuracy:", r.Final().TrainAccuracy, "in fewer than 200 epochs:", len(r.History) < 200)
	for _, name := range slices.Sorted(maps.Keys(r.Weights)) {
		fmt.Println(name, r.Weights[name].Shape)
	}
	// Output:
	// error: <nil>
	// accuracy: 1 in fewer than 200 epochs: true
	// fc1.bias [8]
	// fc1.weight [8 2]
	// logits.bias [2]
	// logits.weight [2 8]
}
