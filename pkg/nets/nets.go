// Package nets has the networks of the paper (section 3 of the protocol) as plain GoMLX model functions, and their weights
// in and out. Parameters are stored as PyTorch stores them, under PyTorch's names and in PyTorch's layout ("fc1.weight"
// is [out, in]), so that a safetensors file goes either way without conversion.
package nets

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Net is a network as a value: what it is called, what it eats, and the function that builds it.
type Net struct {
	Name    string // the specification Parse reads: "mlp:512,512"
	Image   []int  // shape of an image: [height, width, channels]
	Classes int    // number of logits
	Input   Input  // how pixels become its input
	// Default names the sites that an analysis works on when none are asked for; nil: all there are.
	Default []string
	// Graph maps images (Float32)[batch, height, width, channels] to logits (Float32)[batch, classes], naming its
	// activations with tap.Point.
	Graph func(scope *model.Scope, images *graph.Node) *graph.Node
}

// Parse reads a network's specification:
//
//	mlp:W1,W2,…  a multilayer perceptron with hidden layers of these widths; sites fc1, fc2, …
//	convnet      the paper's network of 11 convolutions with batch normalization; sites conv1, conv2, …
//	             options after a colon, in this order: width=W multiplies the channels, layers=N keeps the first N layers,
//	             nobn leaves batch normalization out, fc=UNITS puts a fully connected layer (site fc1, which is not
//	             analysed unless asked for) before the logits: convnet:width=0.25,nobn
//	resnet8, resnet20, resnet32, resnet44, resnet56  residual networks in the layout for CIFAR
//	resnet18, resnet34, resnet50                     in the layout for ImageNet
//	             sites conv1, layer1.0, …, and layer1.0.conv1 within blocks; unless asked for, block outputs are analysed
func Parse(spec string, image []int, classes int) (Net, error) {
	if classes < 2 {
		return Net{}, fmt.Errorf("net %q: %d classes, at least 2 are needed", spec, classes)
	}
	if len(image) != 3 || slices.Min(image) < 1 {
		return Net{}, fmt.Errorf("net %q: image shape %v is not [height, width, channels]", spec, image)
	}
	net := Net{Name: spec, Image: slices.Clone(image), Classes: classes}
	kind, rest, _ := strings.Cut(spec, ":")
	switch r, isResNet := resNets[spec]; {
	case kind == "mlp":
		m, err := parseMLP(spec, rest, classes)
		if err != nil {
			return Net{}, err
		}
		net.Graph = m.Graph
	case kind == "convnet":
		c, err := parseConvNet(spec, rest, classes)
		if err != nil {
			return Net{}, err
		}
		net.Graph = c.Graph
		if c.Hidden > 0 {
			for i := range c.Channels {
				net.Default = append(net.Default, fmt.Sprintf("conv%d", i+1))
			}
		}
	case isResNet:
		r.Classes = classes
		net.Graph, net.Default = r.Graph, r.outputs()
	default:
		return Net{}, fmt.Errorf("net %q is not known; allowed: mlp:WIDTH,WIDTH,… (for example mlp:512,512), %s, %s",
			spec, convNetForm, strings.Join(slices.Sorted(maps.Keys(resNets)), ", "))
	}
	return net, nil
}

func parseMLP(spec, rest string, classes int) (MLP, error) {
	var widths []int
	for field := range strings.SplitSeq(rest, ",") {
		w, err := strconv.Atoi(field)
		if err != nil || w < 1 || w > 1<<20 || field != strconv.Itoa(w) { // one spelling, as names enter keys
			return MLP{}, fmt.Errorf("net %q: layer width %q is not a number between 1 and %d (for example mlp:512,512)",
				spec, field, 1<<20)
		}
		widths = append(widths, w)
	}
	return MLP{Widths: widths, Classes: classes}, nil
}

// MLP is the multilayer perceptron of the paper's MNIST figures: fully connected layers with ReLU, then logits.
type MLP struct {
	Widths  []int // units of each hidden layer
	Classes int
}

// Graph maps images [batch, ...] to logits [batch, classes]. Sites: fc1, fc2, …, each [batch, width], after the ReLU.
func (m MLP) Graph(scope *model.Scope, images *graph.Node) *graph.Node {
	x := graph.Reshape(images, images.Shape().Dimensions[0], -1) // [batch, height·width·channels]
	for i, width := range m.Widths {
		name := fmt.Sprintf("fc%d", i+1)
		x = tap.Point(relu(dense(scope.In("%s", name), x, width)), name)
	}
	return dense(scope.In("logits"), x, m.Classes)
}

// Sketch builds the network without compiling it and returns its sites, in order, and its parameters' shapes by name.
func (n Net) Sketch(backend compute.Backend) (sites []unit.Site, params map[string][]int, err error) {
	params = map[string][]int{}
	err = exceptions.TryCatch[error](func() {
		g := graph.NewGraph(backend, "sketch of "+n.Name)
		defer g.Finalize()
		store := model.NewStore()
		model.SetStore(g, store)
		var r tap.Recorder
		r.Attach(g)
		images := graph.Parameter(g, "images", shapes.Make(dtypes.Float32, append([]int{2}, n.Image...)...))
		logits := n.Graph(store.RootScope(), images)
		if d := logits.Shape().Dimensions; len(d) != 2 || d[0] != 2 || d[1] != n.Classes {
			exceptions.Panicf("net %s: logits of 2 images have shape %v, want [2, %d]", n.Name, d, n.Classes)
		}
		sites = r.Sites()
		for v := range store.IterVariables() {
			params[paramName(v)] = slices.Clone(v.Shape().Dimensions)
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("net %s: %w", n.Name, err)
	}
	return sites, params, nil
}

func paramName(v *model.Variable) string {
	return strings.ReplaceAll(strings.TrimPrefix(v.Path(), "/"), "/", ".")
}

// ParamPath is the path of a parameter in a GoMLX store.
func ParamPath(name string) string { return "/" + strings.ReplaceAll(name, ".", "/") }

// Trained tells whether gradients change a parameter. The running statistics of batch normalization are measured instead:
// a graph in training mode (Store.IsTraining) sets them, any other reads them.
func Trained(name string) bool {
	return !strings.HasSuffix(name, ".running_mean") && !strings.HasSuffix(name, ".running_var")
}

// DropCounters deletes what PyTorch saves with batch normalization but no network here has, num_batches_tracked, and returns
// how many there were.
func DropCounters(weights map[string]Array) int {
	before := len(weights)
	maps.DeleteFunc(weights, func(name string, _ Array) bool { return strings.HasSuffix(name, ".num_batches_tracked") })
	return before - len(weights)
}

// Init draws initial parameters: weights from N(0, 2/fan-in) (He et al. 2015, for ReLU), biases zero; batch normalization
// begins with weight 1, bias 0, running mean 0 and running variance 1. Each parameter has a random stream of its own, named
// after it, so the draw of one does not depend on which others exist, nor on the backend.
func (n Net) Init(backend compute.Backend, seed uint64) (map[string]Array, error) {
	_, params, err := n.Sketch(backend)
	if err != nil {
		return nil, err
	}
	weights := map[string]Array{}
	for name, shape := range params {
		a := Array{Shape: shape, Data: make([]float32, shapes.Make(dtypes.Float32, shape...).Size())}
		switch {
		case len(shape) > 1:
			h := fnv.New64a()
			h.Write([]byte(name))
			rng := rand.New(rand.NewPCG(seed, h.Sum64()))
			sd := math.Sqrt(2 / float64(len(a.Data)/shape[0]))
			for i := range a.Data {
				a.Data[i] = float32(rng.NormFloat64() * sd)
			}
		case strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".running_var"): // of batch normalization
			for i := range a.Data {
				a.Data[i] = 1
			}
		}
		weights[name] = a
	}
	return weights, nil
}

// Check reports the first parameter, in order of name, that is missing, of the wrong shape or not finite, else one that
// the network does not have.
func (n Net) Check(backend compute.Backend, weights map[string]Array) error {
	_, params, err := n.Sketch(backend)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		a, ok := weights[name]
		if !ok {
			return fmt.Errorf("net %s: the weights have no %q %v; they have %s", n.Name, name, params[name], listed(weights))
		}
		if !slices.Equal(a.Shape, params[name]) {
			return fmt.Errorf("net %s: %q has shape %v in the weights, the network needs %v", n.Name, name, a.Shape, params[name])
		}
		if size, err := shapeElements(a.Shape); err != nil || len(a.Data) != size {
			return fmt.Errorf("net %s: %q of shape %v has %d elements in the weights, it should have %d",
				n.Name, name, a.Shape, len(a.Data), size)
		}
		for i, x := range a.Data {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("net %s: %q[%d] is %v; weights must be finite", n.Name, name, i, x)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if _, ok := params[name]; !ok {
			return fmt.Errorf("net %s has no parameter %q, which the weights contain; it has %s", n.Name, name, listed(params))
		}
	}
	return nil
}

// listed names parameters, unless they are too many for a message.
func listed[T any](params map[string]T) string {
	names := slices.Sorted(maps.Keys(params))
	if len(names) <= 8 {
		return fmt.Sprint(names)
	}
	return fmt.Sprintf("%d parameters, from %s to %s", len(names), names[0], names[len(names)-1])
}

// NewStore copies weights into a GoMLX store, ready for the network's Graph.
func NewStore(weights map[string]Array) (*model.Store, error) {
	store := model.NewStore()
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		a := weights[name]
		if _, err := store.CreateVariable(ParamPath(name), tensors.FromFlatDataAndDimensions(a.Data, a.Shape...)); err != nil {
			return nil, fmt.Errorf("parameter %q: %w", name, err)
		}
	}
	return store, nil
}

// FromStore copies the named parameters out of a store.
func FromStore(store *model.Store, names []string) (map[string]Array, error) {
	weights := map[string]Array{}
	for _, name := range names {
		v := store.GetVariable(ParamPath(name))
		if v == nil {
			return nil, fmt.Errorf("the store has no parameter %q", name)
		}
		value, err := v.Value()
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", name, err)
		}
		data, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", name, err)
		}
		weights[name] = Array{Shape: slices.Clone(v.Shape().Dimensions), Data: data}
	}
	return weights, nil
}
