package onnx

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// built is a file put together from nodes, with the images as x [?, 1, 2, 2] and the output y.
func built(opset int64, nodes []*node, tensors ...*tensor) *file {
	return &file{opset: opset, graph: graphProto{nodes: nodes, tensors: tensors,
		inputs:  []value{{name: "x", kind: kindFloat, shape: []int{-1, 1, 2, 2}, known: true}},
		outputs: []value{{name: "y", kind: kindFloat, known: true, shape: []int{-1, 3}}}}}
}

func op(name, out string, in ...string) *node { return &node{op: name, out: []string{out}, in: in} }

func (d *node) with(attrs ...attr) *node {
	d.attrs = append(d.attrs, attrs...)
	return d
}

func integer(name string, x int64) attr         { return attr{name: name, kind: attrInt, i: x} }
func integers(name string, x ...int64) attr     { return attr{name: name, kind: attrInts, is: x} }
func weight(name string, dims ...int64) *tensor { return filled(name, 0.5, dims...) }

func filled(name string, x float32, dims ...int64) *tensor {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = x
	}
	return floatTensor(name, data, dims...)
}

// dense leads from a tensor [?, 4] to the output of 3 classes.
func dense(from string) []*node {
	return []*node{op("Flatten", "flat", from), op("MatMul", "y", "flat", "w")}
}

// refused reads a file and makes a network for images [2, 2, 1] and 3 classes of it, one of which must fail.
func refused(data []byte, opt Options) error {
	m, err := Read(data, opt)
	if err == nil {
		_, err = m.Net([]int{2, 2, 1}, 3)
	}
	return err
}

func TestRefused(t *testing.T) {
	w := weight("w", 4, 3)
	after := func(d ...*node) []*node { return append(d, dense("a")...) }
	nan := weight("w", 4, 3)
	binary.LittleEndian.PutUint32(nan.raw[4*7:], math.Float32bits(float32(math.NaN())))
	lies := &tensor{name: "w", dims: []int64{4, 3}, kind: kindFloat, raw: make([]byte, 44)}
	huge := &tensor{name: "w", dims: []int64{1 << 31, 1 << 31, 1 << 31}, kind: kindFloat, raw: make([]byte, 4)}
	half := &tensor{name: "w", dims: []int64{4, 3}, kind: 10, raw: make([]byte, 24)}
	training := op("BatchNormalization", "a", "x", "s", "s", "s", "s")
	for name, c := range map[string]struct {
		f    *file
		says string
	}{
		"cycle": {built(17, after(op("Add", "a", "x", "b"), op("Relu", "b", "a")), w),
			`Add that gives "a" depends on its own result: the graph has a cycle`},
		"a tensor renamed to itself": {built(17, after(op("Identity", "b", "a"), op("Identity", "a", "b")), w),
			"depends on itself"},
		"missing initializer": {built(17, after(op("Relu", "a", "x"))),
			`MatMul that gives "y" reads "w", which no operation gives`},
		"the same result twice": {built(17, after(op("Relu", "a", "x"), op("Tanh", "a", "x")), w),
			`two operations give a tensor called "a"`},
		"size that lies": {built(17, dense("x"), lies),
			`tensor "w": shape [4 3] of float32 takes 48 bytes, the file has 44`},
		"huge": {built(17, dense("x"), huge),
			`tensor "w": shape [2147483648 2147483648 2147483648] is not possible`},
		"NaN": {built(17, dense("x"), nan),
			`initializer "w", element 7 is NaN; weights must be finite`},
		"float16": {built(17, dense("x"), half), "cannot be built"},
		"unsupported": {built(17, after(op("LRN", "a", "x")), w),
			`LRN that gives "a": the operation is not supported; run onnxsim`},
		"of another domain": {built(17, after(&node{op: "FusedConv", domain: "com.microsoft", in: []string{"x"}, out: []string{"a"}}), w),
			`com.microsoft.FusedConv that gives "a": the operation is not supported`},
		"a tree": {built(17, []*node{{op: "TreeEnsembleClassifier", domain: "ai.onnx.ml", in: []string{"x"}, out: []string{"l", "y"}}}),
			"an ensemble of trees has no hidden units"},
		"attribute": {built(17, after(op("Relu", "a", "x").with(integer("slope", 2))), w),
			`Relu that gives "a": the attribute slope is not supported`},
		"batch norm in training mode": {built(17, after(training.with(integer("training_mode", 1))), w, weight("s", 1)),
			"it is in training mode; export the model for inference (in PyTorch, model.eval() first)"},
		"dropout in training mode": {built(17, after(op("Dropout", "a", "x", "r", "m")), w, weight("r"),
			&tensor{name: "m", kind: 9, raw: []byte{1}}), "is in training mode"},
		"sigmoid": {built(17, []*node{op("Flatten", "f", "x"), op("MatMul", "z", "f", "w"), op("Sigmoid", "y", "z")}, w),
			"give --output z"},
		"an output of pixels": {built(17, []*node{op("MatMul", "y", "x", "w")}, weight("w", 2, 3)),
			"its logits for 2 images have shape [2 1 2 3]"},
		"no hidden units": {built(17, []*node{op("Concat", "y", "x", "x", "x").with(integer("axis", 1))}),
			"its logits for 2 images have shape [2 3 2 2]"},
		"classes": {built(17, dense("x"), weight("w", 4, 5)),
			"tells 5 classes apart (its output is [batch, 5]), the data set has 3"},
		"constant too big": {built(17, after(op("ConstantOfShape", "c", "n"), op("Add", "a", "x", "c")), w, intTensor("n", 1<<20, 1<<20)),
			"the shape [1048576 1048576] is not supported"},
		"grows": {built(17, append(doubling(40), after(op("Add", "a", "x", name("c", 40)))...), w, intTensor(name("i", 0), 1, 1, 1, 1)),
			"a constant of more than"},
		"padding too big": {built(17, after(op("Pad", "a", "x", "p")), w, intTensor("p", 0, 0, 0, 0, 0, 0, 1<<40, 0)),
			"pads [0 0 0 0 0 0 1099511627776 0] are not supported"},
		"tensor too big": {built(17, after(op("Expand", "b", "x", "n"), op("ReduceMean", "a", "b").with(integers("axes", 1), integer("keepdims", 1))), w, intTensor("n", 1, 1<<30, 2, 2)),
			"is too large"},
		"no inputs": {built(17, after(op("Relu", "b"), op("Add", "a", "x", "b")), w),
			`Relu that gives "b" has inputs []`},
		"no input at all": {built(17, after(op("Relu", "a")), w),
			"the output depends on the inputs []; a classifier of images has one"},
		"window": {built(17, after(op("MaxPool", "a", "x").with(integers("kernel_shape", 0, 2))), w),
			"a window of [0 2]"},
		"negative pads": {built(17, after(op("MaxPool", "a", "x").with(integers("kernel_shape", 2, 2), integers("pads", -1, 0, 0, 0))), w),
			"pads [-1 0 0 0] are not supported"},
		"opset": {built(6, dense("x"), w), "its operator set is version 6; 7 to 30 can be read"},
		"softmax of before": {built(11, after(op("Softmax", "a", "x").with(integer("axis", 3))), w),
			"in opset 11 it flattens its input"},
		"axis": {built(17, after(op("Transpose", "a", "x").with(integers("perm", 0, 1, 2, 9))), w),
			"cannot be built"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, refused(c.f.encode(), Options{}), c.says)
		})
	}
	require.NoError(t, refused(built(17, after(op("Relu", "a", "x")), w).encode(), Options{}), "the frame of these tests")
	require.ErrorContains(t, refused(built(17, dense("x"), w).encode(), Options{Output: "z"}), `no operation gives a tensor called "z"`)
	require.ErrorContains(t, refused(nil, Options{}), "it has no graph with an output: the file is cut short or damaged, or not an ONNX model")
	require.ErrorContains(t, refused([]byte("<html>"), Options{}), "not an ONNX model")
}

// doubling is a chain of constants each twice as long as the one before.
func doubling(n int) (nodes []*node) {
	for i := range n {
		nodes = append(nodes, op("Concat", name("c", i+1), name("i", i), name("i", i)).with(integer("axis", 0)), op("Abs", name("i", i+1), name("c", i+1)))
	}
	return nodes
}

func name(s string, i int) string { return s + string(rune('0'+i/10)) + string(rune('0'+i%10)) }

// Every beginning of a file is an error, or, where what is cut off does not matter, a network.
func TestTruncated(t *testing.T) {
	data, err := os.ReadFile("testdata/mlp.onnx")
	require.NoError(t, err)
	whole := 0
	for n := range data {
		m, err := Read(data[:n], Options{})
		if err == nil {
			_, err = m.Net([]int{4, 4, 1}, 4)
			require.NoError(t, err)
			whole++
		}
	}
	require.Less(t, whole, 100)
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/external.onnx")
	require.NoError(t, err)
	path := filepath.Join(dir, "external.onnx")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	_, err = ReadFile(path)
	require.ErrorContains(t, err, "is in a file of its own")
	require.ErrorContains(t, err, "keep both files together")
	weights, err := os.ReadFile("testdata/external.onnx.data")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".data", weights[:len(weights)-1], 0o644))
	_, err = ReadFile(path)
	require.ErrorContains(t, err, "of external.onnx.data, which has 383: it is cut short, or that of another model")
	require.NoError(t, os.WriteFile(path+".data", weights, 0o644))
	whole, err := ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path+".data"))
	m, err := Read(whole, Options{})
	require.NoError(t, err)
	require.Equal(t, open(t, "external", Options{}).Weights(), m.Weights(), "what is kept needs no other file")
	_, err = Read(data, Options{})
	require.ErrorContains(t, err, "is in another file")

	f, err := decode(data)
	require.NoError(t, err)
	for _, x := range f.graph.tensors {
		if x.external != nil {
			x.external.location = "../secret"
		}
	}
	_, err = f.inline(dir)
	require.ErrorContains(t, err, `is said to be in "../secret", which is not in the folder of the file`)
}

// What encode writes, decode reads as the same.
func TestEncodeDecode(t *testing.T) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	for _, path := range files {
		data, err := ReadFile(path)
		require.NoError(t, err)
		f, err := decode(data)
		require.NoError(t, err)
		f.graph.shapes = map[string][]int{} // which are not written
		again, err := decode(f.encode())
		require.NoError(t, err)
		require.Equal(t, f, again, path)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{}, {UnitAxis: -1}, {UnitAxis: 2, Layout: "nhwc"}, {Output: "a,b=c"}, {UnitAxis: 1, Layout: "nchw", Output: "z"}} {
		got, err := ParseOptions(o.String())
		require.NoError(t, err)
		require.Equal(t, o, got)
	}
	for s, says := range map[string]string{
		"onnx:":                        "is not of the form",
		"onnx:unit-axis=01":            "is not of the form",
		"onnx:unit-axis=x":             "is not of the form",
		"onnx:size=3":                  "is not of the form",
		"onnx:layout=nchw,":            "is not of the form",
		"mlp:3":                        "is not of the form",
		"onnx:unit-axis=4":             "unit axis 4: allowed are 1, 2, 3, and -1",
		"onnx:layout=chw":              `layout "chw" is not one of nchw`,
		"onnx:output=":                 "is not of the form",
		"onnx:layout=nchw,unit-axis=1": "is not of the form",
	} {
		_, err := ParseOptions(s)
		require.ErrorContains(t, err, says, s)
	}
}

// A few bytes changed are an error or a network, and never a panic; FuzzRead looks further.
func TestDamaged(t *testing.T) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	failed := 0
	for _, path := range files {
		data, err := ReadFile(path)
		require.NoError(t, err)
		for range 20 {
			damaged := slices.Clone(data)
			for range 1 + rng.IntN(3) {
				damaged[rng.IntN(len(damaged))] = byte(rng.IntN(256))
			}
			if m, err := Read(damaged, Options{}); err != nil {
				failed++
			} else if _, err := m.Net([]int{8, 8, 3}, 4); err != nil {
				failed++
			}
		}
	}
	require.Greater(t, failed, 50)
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.onnx")
	require.NoError(f, err)
	for _, path := range files {
		data, err := ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(data, Options{})
		if err != nil {
			return
		}
		_, _ = m.Net([]int{4, 4, 1}, 4) // must not panic
		_, _ = m.Net([]int{8, 8, 3}, 4)
	})
}
