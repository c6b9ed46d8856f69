package nets

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// oracle is what PyTorch says of a network: testdata/convolutions.py.
type oracle struct {
	Images    []int                 `json:"images"`
	Logits    []float64             `json:"logits"`
	Loss      float64               `json:"loss"`
	Gradients map[string][2]float64 `json:"gradients"`
	Running   map[string][]float64  `json:"running"`
}

// madeUp are the numbers from -0.5 to 0.5 that the script makes too.
func madeUp(name string, count int) []float64 {
	seed := 0
	for _, b := range []byte(name) {
		seed += int(b)
	}
	x := make([]float64, count)
	for i := range x {
		x[i] = float64((i*i*31+i*17+seed*101)%1009)/1009 - 0.5
	}
	return x
}

func madeUpWeights(t *testing.T, net Net) map[string]Array {
	_, params, err := net.Sketch(open(t).Engine)
	require.NoError(t, err)
	weights := map[string]Array{}
	for name, shape := range params {
		a := Array{Shape: shape}
		size := 1
		for _, d := range shape {
			size *= d
		}
		norm := len(shape) == 1 && strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".running_var")
		for _, x := range madeUp(name, size) {
			switch {
			case len(shape) > 1:
				x *= 4 / math.Sqrt(float64(size/shape[0]))
			case norm:
				x++
			}
			a.Data = append(a.Data, float32(x))
		}
		weights[name] = a
	}
	return weights
}

func TestConvolutionsAgainstPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/convolutions.json")
	require.NoError(t, err)
	var oracles map[string]oracle
	require.NoError(t, json.Unmarshal(text, &oracles))
	graphs := map[string]func(*model.Scope, *graph.Node) *graph.Node{
		"convnet":           ConvNet{Channels: []int{4, 6, 5}, Strides: []int{1, 2, 1}, Classes: 3}.Graph,
		"convnet plain":     ConvNet{Channels: []int{4, 6, 5}, Strides: []int{1, 2, 1}, Plain: true, Classes: 3}.Graph,
		"convnet fc":        ConvNet{Channels: []int{4}, Strides: []int{2}, Hidden: 7, Classes: 3}.Graph,
		"resnet cifar":      ResNet{Blocks: []int{1, 2}, Channels: 4, Classes: 3}.Graph,
		"resnet imagenet":   ResNet{Blocks: []int{1, 1}, Channels: 4, ImageNet: true, Classes: 3}.Graph,
		"resnet bottleneck": ResNet{Blocks: []int{1, 1}, Channels: 2, ImageNet: true, Bottleneck: true, Classes: 3}.Graph,
	}
	require.Equal(t, slices.Sorted(maps.Keys(oracles)), slices.Sorted(maps.Keys(graphs)))
	for name, want := range oracles {
		t.Run(name, func(t *testing.T) {
			net := Net{Name: name, Image: want.Images[1:], Classes: 3, Graph: graphs[name]}
			weights := madeUpWeights(t, net)
			require.Len(t, weights, len(want.Gradients)+len(want.Running), "trained parameters and running statistics")
			var pixels []float32
			for _, x := range madeUp("images", want.Images[0]*want.Images[1]*want.Images[2]*want.Images[3]) {
				pixels = append(pixels, float32(4*x))
			}
			images := tensors.FromFlatDataAndDimensions(pixels, want.Images...)
			store, err := NewStore(weights)
			require.NoError(t, err)
			defer store.Finalize()

			exec, err := model.NewExec(open(t).Engine, store, net.Graph)
			require.NoError(t, err)
			defer exec.Finalize()
			out, err := exec.Call(images)
			require.NoError(t, err)
			logits, err := tensors.CopyFlatData[float32](out[0])
			require.NoError(t, err)
			near(t, want.Logits, logits, "logits")

			loss, gradients := trainingStep(t, net, store, images, slices.Sorted(maps.Keys(want.Gradients)))
			require.InDelta(t, want.Loss, loss, 1e-5)
			for key, w := range want.Gradients {
				var moment, size float64
				for i, x := range gradients[key] {
					moment, size = moment+float64(i)*float64(x), size+math.Abs(float64(x))
				}
				require.InDelta(t, w[1], size, 1e-4*(1+w[1]), key)
				require.InDelta(t, w[0], moment, 1e-4*(1+w[1])*float64(len(gradients[key])), key)
			}
			after, err := FromStore(store, slices.Sorted(maps.Keys(weights)))
			require.NoError(t, err)
			for key, a := range after {
				if w, ok := want.Running[key]; ok {
					near(t, w, a.Data, key)
					require.False(t, Trained(key))
				} else {
					require.Equal(t, weights[key], a, "%s is not changed by the graph", key)
					require.True(t, Trained(key))
				}
			}
		})
	}
}

func near(t *testing.T, want []float64, got []float32, what string) {
	require.Len(t, got, len(want), what)
	for i, x := range want {
		require.InDelta(t, x, got[i], 2e-5*(1+math.Abs(x)), "%s[%d]", what, i)
	}
}

// trainingStep runs a graph in training mode: the summed cross-entropy of labels 0, 1, 2, 0, … and its gradients.
func trainingStep(t *testing.T, net Net, store *model.Store, images *tensors.Tensor, params []string) (
	float64, map[string][]float32) {
	exec, err := model.NewExec(open(t).Engine, store, func(scope *model.Scope, x *graph.Node) []*graph.Node {
		g := x.Graph()
		scope.Store().SetTraining(g, true)
		var values []*graph.Node
		for _, name := range params {
			values = append(values, scope.Store().GetVariable(ParamPath(name)).NodeValue(g))
		}
		logits := net.Graph(scope, x)
		labels := make([]int32, x.Shape().Dimensions[0])
		for i := range labels {
			labels[i] = int32(i % 3)
		}
		own := graph.OneHot(graph.Const(g, labels), net.Classes, dtypes.Float32)
		loss := graph.Neg(graph.ReduceAllSum(graph.Mul(own, graph.LogSoftmax(logits, -1))))
		return append([]*graph.Node{loss}, graph.Gradient(loss, values...)...)
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call(images)
	require.NoError(t, err)
	gradients := map[string][]float32{}
	for i, name := range params {
		gradients[name], err = tensors.CopyFlatData[float32](out[i+1])
		require.NoError(t, err)
	}
	return float64(tensors.ToScalar[float32](out[0])), gradients
}

// The numbers of parameters are those of the modules of testdata/convolutions.py, counted by PyTorch 2.15; for the ImageNet
// layout they are torchvision's, for CIFAR those that github.com/akamaster/pytorch_resnet_cifar10 gives in millions.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		spec    string
		image   []int
		classes int
		sites   int
		trained int // parameters
		macs    int // multiplications of an image in convolutions; 0: not checked
	}{
		{"convnet", []int{32, 32, 3}, 10, 11, 7867594, 322_600_000}, // section 3 of the protocol says 322.6 M
		{"convnet:nobn", []int{32, 32, 3}, 10, 11, 7864778, 322_600_000},
		// By hand: stem 464, blocks 4,672, 13,952 and 55,552, logits 650.
		{"resnet8", []int{32, 32, 3}, 10, 1 + 2*3, 75290, 0},
		{"resnet20", []int{32, 32, 3}, 10, 1 + 2*9, 269722, 0},
		{"resnet32", []int{32, 32, 3}, 10, 1 + 2*15, 464154, 0},
		{"resnet44", []int{32, 32, 3}, 10, 1 + 2*21, 658586, 0},
		{"resnet56", []int{32, 32, 3}, 10, 1 + 2*27, 853018, 0},
		{"resnet18", []int{224, 224, 3}, 1000, 1 + 2*8, 11689512, 0},
		{"resnet34", []int{224, 224, 3}, 1000, 1 + 2*16, 21797672, 0},
		{"resnet50", []int{224, 224, 3}, 1000, 1 + 3*16, 25557032, 0},
	} {
		net := parse(t, c.spec, c.image, c.classes)
		sites, params, err := net.Sketch(open(t).Engine)
		require.NoError(t, err)
		require.Len(t, sites, c.sites, c.spec)
		for _, name := range net.Default {
			_, err := unit.Find(sites, name)
			require.NoError(t, err, c.spec)
		}
		trained, macs := 0, 0
		for name, shape := range params {
			size := 1
			for _, d := range shape {
				size *= d
			}
			if Trained(name) {
				trained += size
			}
			if c.macs > 0 && len(shape) == 4 {
				s, err := unit.Find(sites, strings.TrimSuffix(name, ".weight"))
				require.NoError(t, err)
				macs += size * s.Shape[0] * s.Shape[1]
			}
		}
		require.Equal(t, c.trained, trained, c.spec)
		if c.macs > 0 {
			require.InDelta(t, c.macs, macs, 50_000, c.spec)
		}
	}
}

func TestConvNetSpellings(t *testing.T) {
	cifar := []int{32, 32, 3}
	for _, spec := range []string{"convnet", "convnet:width=0.25", "convnet:nobn", "convnet:fc=256", "convnet:layers=6",
		"convnet:width=0.25,layers=3,nobn,fc=256", "convnet:width=2,nobn", "convnet:layers=1,fc=1"} {
		require.Equal(t, spec, parse(t, spec, cifar, 10).Name)
	}
	sites, params, err := parse(t, "convnet:width=0.25,layers=3,fc=7", []int{9, 6, 1}, 10).Sketch(open(t).Engine)
	require.NoError(t, err)
	require.Equal(t, []unit.Site{{Name: "conv1", Shape: []int{9, 6, 16}}, {Name: "conv2", Shape: []int{9, 6, 16}},
		{Name: "conv3", Shape: []int{5, 3, 32}}, {Name: "fc1", Shape: []int{7}}}, sites)
	require.Equal(t, []int{16, 1, 3, 3}, params["conv1.weight"])
	require.Equal(t, []int{7, 5 * 3 * 32}, params["fc1.weight"])
	require.NotContains(t, params, "conv1.bias")
	for _, c := range []struct{ spec, says string }{
		{"convnet:", `this network is written "convnet"`},
		{"convnet:width=1", `this network is written "convnet"`},
		{"convnet:layers=11", `this network is written "convnet"`},
		{"convnet:width=.5", `is written "convnet:width=0.5"`},
		{"convnet:nobn,width=0.5", `is written "convnet:width=0.5,nobn"`},
		{"convnet:fc=8,nobn,layers=2", `is written "convnet:layers=2,nobn,fc=8"`},
		{"convnet:nobn,nobn", `is written "convnet:nobn"`},
		{"convnet:width=0.5,width=0.25", `is written "convnet:width=0.25"`},
		{"convnet:fc=1e2", `is written "convnet:fc=100"`},
		{"convnet:width=0", `option "width=0" is not one of width=1/64…16`},
		{"convnet:width=NaN", `option "width=NaN"`},
		{"convnet:width=17", `option "width=17"`},
		{"convnet:layers=0", `option "layers=0" is not one of`},
		{"convnet:layers=12", `layers=1…11`},
		{"convnet:layers=2.5", `option "layers=2.5"`},
		{"convnet:nobn=", `option "nobn="`},
		{"convnet:fc=0", `option "fc=0"`},
		{"convnet:bn", `option "bn" is not one of`},
		{"convnet:,nobn", `option "" is not one of`},
		{"resnet20:", `net "resnet20:" is not known; allowed: mlp:`},
		{"resnet21", "convnet[:width=W,layers=N,nobn,fc=UNITS] (for example convnet or convnet:width=0.25,nobn), " +
			"resnet18, resnet20, resnet32, resnet34, resnet44, resnet50, resnet56, resnet8"},
	} {
		_, err := Parse(c.spec, cifar, 10)
		require.ErrorContains(t, err, c.says, "%q", c.spec)
	}
}

func TestInitOfBatchNorm(t *testing.T) {
	weights, err := parse(t, "convnet:width=0.25,layers=2", []int{4, 4, 3}, 3).Init(open(t).Engine, 1)
	require.NoError(t, err)
	ones := slices.Repeat([]float32{1}, 16)
	require.Equal(t, ones, weights["bn2.weight"].Data)
	require.Equal(t, ones, weights["bn2.running_var"].Data)
	require.Equal(t, make([]float32, 16), weights["bn2.bias"].Data)
	require.Equal(t, make([]float32, 16), weights["bn2.running_mean"].Data)
	var squares float64
	for _, x := range weights["conv2.weight"].Data {
		squares += float64(x) * float64(x)
	}
	n := float64(16 * 16 * 9) // the mean square of n draws of N(0, v) has the standard error v·√(2/n); allow 4
	require.InDelta(t, 1, squares/n*(16*9)/2, 4*math.Sqrt(2/n))
}

func TestBatchNormNeedsTwoValues(t *testing.T) {
	c := ConvNet{Channels: []int{2}, Strides: []int{1}, Classes: 3}
	net := Net{Name: "net", Image: []int{1, 1, 2}, Classes: 3, Graph: c.Graph}
	store, err := NewStore(madeUpWeights(t, net))
	require.NoError(t, err)
	defer store.Finalize()
	exec, err := model.NewExec(open(t).Engine, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		return net.Graph(scope, x)
	})
	require.NoError(t, err)
	defer exec.Finalize()
	_, err = exec.Call(tensors.FromFlatDataAndDimensions([]float32{1, 2}, 1, 1, 1, 2))
	require.ErrorContains(t, err, "/bn1: batch normalization in training mode needs more than 1 value per channel")
	_, err = exec.Call(tensors.FromFlatDataAndDimensions([]float32{1, 2, 3, 5}, 2, 1, 1, 2))
	require.NoError(t, err)
}

// Two steps in one graph, as training unrolls them, on the values 1 and 3: mean 2, variance 1, and 2 with divisor n−1. The
// running statistics begin at 0 and 1 and move by a tenth, twice.
func TestRunningStatisticsOfUnrolledSteps(t *testing.T) {
	one := func(x float32) Array { return Array{[]int{1}, []float32{x}} }
	store, err := NewStore(map[string]Array{"bn.weight": one(3), "bn.bias": one(0.5), "bn.running_mean": one(0), "bn.running_var": one(1)})
	require.NoError(t, err)
	defer store.Finalize()
	exec, err := model.NewExec(open(t).Engine, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		batchNorm(scope.Store().RootScope().In("bn"), x)
		return batchNorm(scope.Store().RootScope().In("bn"), x)
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call(tensors.FromFlatDataAndDimensions([]float32{1, 3}, 2, 1, 1, 1))
	require.NoError(t, err)
	y, err := tensors.CopyFlatData[float32](out[0])
	require.NoError(t, err)
	near(t, []float64{0.5 - 3/math.Sqrt(1+1e-5), 0.5 + 3/math.Sqrt(1+1e-5)}, y, "y")
	after, err := FromStore(store, []string{"bn.running_mean", "bn.running_var"})
	require.NoError(t, err)
	near(t, []float64{0.1*2*0.9 + 0.1*2}, after["bn.running_mean"].Data, "mean")
	near(t, []float64{(0.9+0.1*2)*0.9 + 0.1*2}, after["bn.running_var"].Data, "variance")
}
