package onnx

import (
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
)

// on reads a file whose input x has this shape.
func on(t *testing.T, f *file, shape []int, opt Options) *Model {
	f.graph.inputs[0].shape = shape
	m, err := Read(f.encode(), opt)
	require.NoError(t, err)
	return m
}

// evaluate runs a network in pure Go on images [n, height, width, channels].
func evaluate(t *testing.T, m *Model, images []float32, shape ...int) [][]float32 {
	b, err := compute.NewWithConfig("go")
	require.NoError(t, err)
	net, err := m.Net(shape[1:], 3)
	require.NoError(t, err)
	store, err := nets.NewStore(m.Weights())
	require.NoError(t, err)
	out, err := model.CallOnce(b, store, func(scope *model.Scope, x *graph.Node) *graph.Node { return net.Graph(scope, x) },
		tensors.FromFlatDataAndDimensions(images, shape...))
	require.NoError(t, err)
	return out.Value().([][]float32)
}

func TestUnitAxes(t *testing.T) {
	// x [?, 2, 4, 6] channels first, through operations that move or keep the axis of the channels.
	nodes := []*node{
		op("Mul", "scaled", "s", "x"),
		op("Transpose", "last", "scaled").with(integers("perm", 0, 2, 3, 1)),
		op("Unsqueeze", "wider", "last", "axis1"),
		op("Squeeze", "back", "wider", "axis1"),
		op("ReduceMean", "mean", "back").with(integers("axes", 1), integer("keepdims", 0)),
		op("Reshape", "rows", "mean", "shape"),
		op("Conv", "conv", "x", "k"),
		op("Pad", "padded", "conv", "pads"),
		op("Add", "sum", "padded", "scaled"),
		op("ReduceMax", "max", "sum").with(integers("axes", -1, -2), integer("keepdims", 1)),
		op("Flatten", "flat", "max"),
		op("Reshape", "lost", "sum", "folded"),
		op("ReduceSum", "total", "lost", "axes12"),
		op("Concat", "both", "flat", "total").with(integer("axis", 1)),
		op("ReduceMean", "meanrows", "rows").with(integers("axes", 2), integer("keepdims", 0)),
		op("Concat", "all", "both", "meanrows").with(integer("axis", 1)),
		op("Gemm", "y", "all", "w"),
	}
	f := built(13, nodes, weight("s", 1, 2, 1, 1), intTensor("axis1", 1), intTensor("shape", 0, 6, 2), weight("k", 2, 2, 1, 1),
		intTensor("pads", 0, 0, 0, 0, 0, 0, 0, 0), intTensor("folded", 0, 4, 3, 4), intTensor("axes12", 1, 2), weight("w", 12, 3))
	f.graph.nodes[12].attrs = []attr{integer("keepdims", 0)}
	m := on(t, f, []int{-1, 2, 4, 6}, Options{})
	net, err := m.Net([]int{4, 6, 2}, 3)
	require.NoError(t, err)
	require.Nil(t, net.Default, "there is no activation function")
	info, err := m.Inspect([]int{4, 6, 2})
	require.NoError(t, err)
	require.Equal(t, "nchw", info.Layout)
	got := map[string]string{}
	for _, s := range info.Sites {
		got[s.Name] = fmt.Sprint(s.Axis, s.Units, s.Shape)
	}
	require.Equal(t, map[string]string{
		"scaled": "1 2 [2 4 6]", "last": "3 2 [4 6 2]", "wider": "4 2 [1 4 6 2]", "back": "3 2 [4 6 2]", "mean": "2 2 [6 2]",
		"conv": "1 2 [2 4 6]", "sum": "1 2 [2 4 6]", "max": "1 2 [2 1 1]", "flat": "1 2 [2]", "total": "1 4 [4]", "both": "1 6 [6]",
		"padded": "1 2 [2 4 6]", "rows": "2 2 [6 2]", "meanrows": "1 6 [6]", "all": "1 12 [12]",
	}, got, "lost has no plain axis of units")
	m = on(t, f, []int{-1, 2, 4, 6}, Options{UnitAxis: -1})
	info, err = m.Inspect([]int{4, 6, 2})
	require.NoError(t, err)
	for _, s := range info.Sites {
		require.Equal(t, len(s.Shape), s.Axis, s.Name)
		require.Equal(t, s.Shape[s.Axis-1], s.Units)
	}
}

func TestLayout(t *testing.T) {
	dense := func(n int64) *file {
		return built(17, []*node{op("Flatten", "f", "x"), op("MatMul", "a", "f", "v"), op("Relu", "b", "a"), op("MatMul", "y", "b", "w")},
			weight("v", n, 2), weight("w", 2, 3))
	}
	for _, c := range []struct {
		shape, image []int
		layout, says string
	}{
		{shape: []int{-1, 3, 4, 5}, image: []int{4, 5, 3}, layout: "nchw"},
		{shape: []int{-1, 4, 5, 3}, image: []int{4, 5, 3}, layout: "nhwc"},
		{shape: []int{-1, -1, 5, -1}, image: []int{4, 5, 3}, says: "in two ways; say which it is: --layout nchw"},
		{shape: []int{-1, 3, 3, 3}, image: []int{3, 3, 3}, says: "in two ways"},
		{shape: []int{-1, 60}, image: []int{4, 5, 3}, says: "in two ways"},
		{shape: []int{-1, 20}, image: []int{4, 5, 1}, layout: ""},
		{shape: []int{-1, 4, 5}, image: []int{4, 5, 1}, layout: ""},
		{shape: []int{-1, 4, 5}, image: []int{4, 5, 3}, says: "this does not fit"},
		{shape: []int{-1, 59}, image: []int{4, 5, 3}, says: "this does not fit"},
		{shape: []int{-1, 3, 5, 4}, image: []int{4, 5, 3}, says: `the network takes [?, 3, 5, 4] in its input "x", images of the data set are [4, 5, 3]`},
	} {
		if c.shape[1] == -1 {
			c.shape[2] = -1
		}
		m := on(t, dense(int64(product(c.image))), c.shape, Options{})
		info, err := m.Inspect(c.image)
		if c.says != "" {
			require.ErrorContains(t, err, c.says, c.shape)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.layout, info.Layout)
	}
	// What they mean: the first weight counts one pixel of one channel.
	v := weight("v", 12, 2)
	clear(v.raw)
	copy(v.raw, filled("", 1, 1).raw)           // of element 0
	copy(v.raw[4*2*4+4:], filled("", 1, 1).raw) // of element 4, the second unit
	f := built(17, []*node{op("MatMul", "a", "x", "v"), op("Relu", "b", "a"), op("MatMul", "y", "b", "w")}, v, weight("w", 2, 3))
	w := filled("w", 1, 2, 3)
	copy(w.raw[4*3:], filled("", 10, 3).raw) // the second unit counts ten times
	f.graph.tensors[1] = w
	image := make([]float32, 12)
	for i := range image {
		image[i] = float32(i)
	}
	m := on(t, f, []int{-1, 12}, Options{Layout: "nhwc"})
	require.Equal(t, [][]float32{{40, 40, 40}}, evaluate(t, m, image, 1, 2, 2, 3), "0 + 10·4")
	m = on(t, f, []int{-1, 12}, Options{Layout: "nchw"})
	require.Equal(t, [][]float32{{10, 10, 10}}, evaluate(t, m, image, 1, 2, 2, 3), "0 + 10·1: element 4 is channel 1 of the first pixel")
	_, err := m.Inspect(nil)
	require.NoError(t, err)
	_, err = on(t, dense(12), []int{-1, 3, -1, -1}, Options{}).Inspect(nil)
	require.ErrorContains(t, err, "the shapes of its tensors depend on the images; say which: --data NAME")
}

func TestLogits(t *testing.T) {
	start := []*node{op("Flatten", "f", "x"), op("MatMul", "h", "f", "v"), op("Relu", "b", "h"), op("MatMul", "z", "b", "w")}
	v := weight("v", 4, 2)
	w := floatTensor("w", []float32{1, 2, 3, 0, 0.5, 1}, 2, 3)
	image := []float32{1, 0, 1, 0.5} // h = 1.25, 1.25 → z = 1.25, 3.125, 5
	for name, c := range map[string]struct {
		end  []*node
		want []float64
		how  string
	}{
		"logits":  {[]*node{op("Mul", "y", "z", "one")}, []float64{1.25, 3.125, 5}, "the output"},
		"softmax": {[]*node{op("Softmax", "y", "z")}, []float64{1.25, 3.125, 5}, "the input of the last Softmax"},
		"cast": {[]*node{op("Softmax", "p", "z").with(integer("axis", 1)), op("Identity", "y", "p")}, []float64{1.25, 3.125, 5},
			"the input of the last Softmax"},
		"written out": {[]*node{op("Exp", "e", "z"), op("ReduceSum", "s", "e", "axis1"), op("Div", "y", "e", "s")},
			logSoftmax(1.25, 3.125, 5), "the logarithm of the output, which are probabilities"},
		"not probabilities": {[]*node{op("Exp", "e", "z"), op("Div", "y", "e", "one")},
			[]float64{math.Exp(1.25), math.Exp(3.125), math.Exp(5)}, "the output"},
	} {
		t.Run(name, func(t *testing.T) {
			m := on(t, built(17, append(start[:4:4], c.end...), v, w, filled("one", 1), intTensor("axis1", 1)), []int{-1, 1, 2, 2}, Options{})
			for i, y := range evaluate(t, m, image, 1, 2, 2, 1)[0] {
				require.InDelta(t, c.want[i], y, 1e-4)
			}
			info, err := m.Inspect(nil)
			require.NoError(t, err)
			require.Equal(t, c.how, info.Logits)
		})
	}
	m := on(t, built(17, append(start[:4:4], op("Sigmoid", "y", "z")), v, w), []int{-1, 1, 2, 2}, Options{Output: "z"})
	require.InDelta(t, 5, evaluate(t, m, image, 1, 2, 2, 1)[0][2], 1e-6)
}

func logSoftmax(z ...float64) (y []float64) {
	sum := 0.0
	for _, x := range z {
		sum += math.Exp(x)
	}
	for _, x := range z {
		y = append(y, x-math.Log(sum))
	}
	return y
}

func TestFixedBatch(t *testing.T) {
	flat := func(shape ...int64) *file {
		return built(17, []*node{op("Relu", "b", "x"), op("Reshape", "f", "b", "n"), op("MatMul", "y", "f", "w")},
			intTensor("n", shape...), weight("w", 4, 3))
	}
	m := on(t, flat(2, 4), []int{2, 1, 2, 2}, Options{})
	info, err := m.Inspect(nil)
	require.NoError(t, err)
	require.Equal(t, 2, info.Batch)
	require.Len(t, evaluate(t, m, make([]float32, 12), 3, 2, 2, 1), 3, "any number works")

	// One whose answers depend on the other images of its batch.
	f := built(17, []*node{op("Relu", "b", "x"), op("ReduceMean", "m", "b").with(integers("axes", 0)), op("Sub", "d", "b", "m"),
		op("Reshape", "f", "d", "n"), op("MatMul", "y", "f", "w")}, intTensor("n", -1, 4), floatTensor("w", []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}, 4, 3))
	_, err = on(t, f, []int{2, 1, 2, 2}, Options{}).Inspect(nil)
	require.ErrorContains(t, err, "the file is made for batches of 2, and an image among 3 gives another answer")
	require.ErrorContains(t, err, "export it with a batch of any size")
	f = built(17, []*node{op("Relu", "b", "x"), op("Reshape", "f", "b", "n"), op("MatMul", "y", "f", "w")}, intTensor("n", 4), weight("w", 4, 3))
	_, err = on(t, f, []int{1, 1, 2, 2}, Options{}).Inspect(nil)
	require.ErrorContains(t, err, "the network cannot be built for images [1 2 2]")
}

func TestFilterNorms(t *testing.T) {
	k := floatTensor("k", []float32{1, -2, 3, 4, -0.5, 0.5, 0, 2}, 2, 1, 2, 2) // Σ|w|: 10, 3
	v := floatTensor("v", []float32{1, -2, 3, 4}, 2, 2)                        // rows 3, 7; columns 4, 6
	m := on(t, built(17, []*node{
		op("Conv", "c", "x", "k"), op("Add", "biased", "c", "s"), op("LeakyRelu", "act", "biased"), op("Flatten", "f", "act"),
		op("MatMul", "a", "f", "v"), op("Sigmoid", "g", "a"), op("Mul", "swish", "a", "g"),
		op("Gemm", "b", "swish", "v").with(integer("transB", 1)), op("Add", "sum", "b", "swish"), op("MatMul", "y", "sum", "w"),
	}, k, v, weight("s", 1, 2, 1, 1), weight("w", 2, 3)), []int{-1, 1, 2, 2}, Options{})
	require.Equal(t, map[string][]float64{"c": {10, 3}, "biased": {10, 3}, "act": {10, 3}, "a": {4, 6}, "g": {4, 6}, "swish": {4, 6},
		"b": {3, 7}, "y": {1, 1, 1}}, m.FilterNorms())
	net, err := m.Net([]int{2, 2, 1}, 3)
	require.NoError(t, err)
	require.Equal(t, []string{"act", "swish"}, net.Default)
}

// Windows that reach over the edge, of pixels 0 … 15 in rows of four; what is outside counts for nothing.
func TestPoolingRoundedUp(t *testing.T) {
	image := make([]float32, 16)
	for i := range image {
		image[i] = float32(i)
	}
	pick := floatTensor("w", []float32{1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1}, 4, 3) // the first, second and last of four
	for _, c := range []struct {
		op   string
		want []float32
	}{
		{"MaxPool", []float32{10, 11, 15}},
		{"AveragePool", []float32{5, 6.5, 12.5}}, // of 9, 6 and 4 pixels
	} {
		m := on(t, built(17, []*node{
			op(c.op, "p", "x").with(integers("kernel_shape", 3, 3), integers("strides", 2, 2), integer("ceil_mode", 1)),
			op("Flatten", "f", "p"), op("MatMul", "y", "f", "w"),
		}, pick), []int{-1, 1, 4, 4}, Options{})
		require.Equal(t, [][]float32{c.want}, evaluate(t, m, image, 1, 4, 4, 1), c.op)
	}
	// Without strides, windows move by one.
	m := on(t, built(17, []*node{op("MaxPool", "p", "x").with(integers("kernel_shape", 4, 3)), op("Relu", "r", "p"), op("Flatten", "f", "r"),
		op("MatMul", "y", "f", "v")}, floatTensor("v", []float32{1, 0, 0, 0, 1, 1}, 2, 3)), []int{-1, 1, 4, 4}, Options{})
	require.Equal(t, [][]float32{{14, 15, 15}}, evaluate(t, m, image, 1, 4, 4, 1))
}
