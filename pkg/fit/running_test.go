package fit

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
)

// centred is softmax regression on pixels less their running mean, which training moves by a quarter towards each batch's
// mean. The loss depends on the running mean: a gradient, if it were applied, would move it too.
func centred() nets.Net {
	return nets.Net{Name: "centred", Image: []int{2, 2, 1}, Classes: 3, Graph: func(scope *model.Scope, images *graph.Node) *graph.Node {
		g := images.Graph()
		x := graph.Reshape(images, images.Shape().Dimensions[0], 4)
		running := scope.In("norm").VariableWithShape("running_mean", shapes.Make(dtypes.Float32, 4))
		mean := running.NodeValue(g)
		if scope.Store().IsTraining(g) {
			moved := graph.Add(graph.MulScalar(mean, 0.75), graph.MulScalar(graph.ReduceMean(x, 0), 0.25))
			running.SetNodeValue(moved)
		}
		layer := scope.In("logits")
		weight := layer.VariableWithShape("weight", shapes.Make(dtypes.Float32, 3, 4)).NodeValue(g)
		return graph.Dot(graph.Sub(x, graph.ExpandLeftToRank(mean, 2)), graph.Transpose(weight, 0, 1)).MatMul()
	}}
}

func TestWhatTheNetworkUpdatesItself(t *testing.T) {
	net := centred()
	_, data, test := toy()
	spec := Spec{LR: 0.5, Momentum: 0.9, WeightDecay: 0.01, Batch: 8, Epochs: 2, Evaluate: 100, InitSeed: 1, OrderSeed: 2}
	dir := t.TempDir()
	opt := Options{Dir: dir, Key: "k", SaveEvery: -1}
	want, err := Train(context.Background(), open(t), net, data, test, spec, opt)
	require.NoError(t, err)
	require.Len(t, want.Weights, 2, "running statistics are part of the network")

	// The definition, in float64.
	mean := make([]float64, 4)
	for epoch := range spec.Epochs {
		for batch := range slices.Chunk(spec.permutation(epoch, 88), 8) {
			for i := range mean {
				sum := 0.0
				for _, e := range batch {
					sum += float64(data.Images[4*e+int32(i)]) / 255
				}
				mean[i] = 0.75*mean[i] + 0.25*sum/8
			}
		}
	}
	got := want.Weights["norm.running_mean"]
	require.Equal(t, []int{4}, got.Shape)
	require.InDeltaSlice(t, mean, got.Data, 1e-6)

	// Evaluation reads it, and leaves it alone.
	accuracy := func(s datasets.Split) (hits float64) {
		for e, label := range s.Labels {
			var z [3]float64
			for i := range 4 {
				for c := range z {
					z[c] += float64(want.Weights["logits.weight"].Data[4*c+i]) * (float64(s.Images[4*e+i])/255 - mean[i])
				}
			}
			if slices.Index(z[:], slices.Max(z[:])) == int(label) {
				hits++
			}
		}
		return hits / float64(s.Len())
	}
	require.InDelta(t, accuracy(data), want.Final().TrainAccuracy, 1e-9)
	require.InDelta(t, accuracy(test), want.Final().TestAccuracy, 1e-9)

	// A state holds it, but no optimizer memory of it.
	state, _, err := nets.LoadSafetensors(filepath.Join(dir, StateFile))
	require.NoError(t, err)
	var names []string
	for name := range state {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{"logits.weight", "norm.running_mean", "optimizer.velocity.logits.weight"}, names)

	// Wherever the training is interrupted, it ends with the same bits.
	points := []int{0, 1, 10, 11, 12, 22}
	if open(t).Kind != "go" {
		points = points[1:2] // each training compiles
	}
	for _, point := range points {
		again := Options{Dir: t.TempDir(), Key: "k"}
		_, err := Train(after(point), open(t), net, data, test, spec, again)
		require.ErrorIs(t, err, context.Canceled)
		stopped, _, err := nets.LoadSafetensors(filepath.Join(again.Dir, StateFile))
		require.NoError(t, err)
		require.Equal(t, point == 0, slices.Max(stopped["norm.running_mean"].Data) == 0)
		r, err := Train(context.Background(), open(t), net, data, test, spec, again)
		require.NoError(t, err)
		requireSame(t, want, r, "interrupted at point %d", point)
	}
	if open(t).Kind != "go" {
		return
	}
	often := spec
	often.Evaluate = 1
	measured, err := Train(context.Background(), open(t), net, data, test, often, Options{})
	require.NoError(t, err)
	require.NoError(t, sameBits(want.Weights, measured.Weights), "measuring changes nothing")

	// Each step is the same step, however many there are in a call.
	made, err := newTrainer(open(t), net, data, test, spec.WithDefaults(), Options{})
	require.NoError(t, err)
	defer made.close()
	for epoch := range spec.Epochs {
		for batch := range slices.Chunk(spec.permutation(epoch, 88), 8) {
			require.NoError(t, made.call(batch))
		}
	}
	single, err := nets.FromStore(made.store, made.params)
	require.NoError(t, err)
	require.NoError(t, sameBits(want.Weights, single))
}

// A convolutional network with batch normalization is trained step by step, and goes on where it was interrupted.
func TestConvolutionalNetwork(t *testing.T) {
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
	spec := Spec{LR: 0.1, Batch: 8, Epochs: 10, InitSeed: 1, OrderSeed: 2}
	want, err := Train(context.Background(), open(t), net, data, data, spec, Options{})
	require.NoError(t, err)
	require.Less(t, want.History[9].Loss, want.History[0].Loss/2)
	require.Equal(t, 1.0, want.Final().TestAccuracy, "with the running statistics")
	start, err := net.Init(open(t).Engine, spec.InitSeed)
	require.NoError(t, err)
	require.Len(t, want.Weights, len(start))
	for name, a := range want.Weights {
		require.NotEqual(t, start[name].Data, a.Data, name)
	}

	if open(t).Kind != "go" {
		return // more trainings, which compile for seconds
	}
	opt := Options{Dir: t.TempDir(), Key: "k"}
	_, err = Train(after(17), open(t), net, data, data, spec, opt)
	require.ErrorIs(t, err, context.Canceled)
	got, err := Train(context.Background(), open(t), net, data, data, spec, opt)
	require.NoError(t, err)
	requireSame(t, want, got)
}
