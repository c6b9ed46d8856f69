package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What onnx-gomlx (v0.5.2) does differs from ONNX in places, sometimes in silence: it gives pooling without strides the
// strides of its window, does not see the bounds of Clip where older files have them, and refuses attributes that change
// nothing. So an operation passes only if it is in the table below, with no other attributes than those that are known to be
// honoured; rule.fix rewrites the rest exactly, or says why that cannot be.

// rule says how an operation is handed on.
type rule struct {
	least, most int    // inputs
	attrs       string // that onnx-gomlx honours
	// fix, if not nil, makes d what onnx-gomlx takes. It may give several nodes, the last of which gives d's result.
	fix func(w *rewriter, d *node) ([]*node, error)
}

var rules = map[string]rule{
	"Abs": {1, 1, "", nil}, "Ceil": {1, 1, "", nil}, "Erf": {1, 1, "", nil}, "Exp": {1, 1, "", nil}, "Floor": {1, 1, "", nil},
	"HardSwish": {1, 1, "", nil}, "Log": {1, 1, "", nil}, "Neg": {1, 1, "", nil}, "Reciprocal": {1, 1, "", nil},
	"Relu": {1, 1, "", nil}, "Sigmoid": {1, 1, "", nil}, "Sign": {1, 1, "", nil}, "Sqrt": {1, 1, "", nil}, "Tanh": {1, 1, "", nil},
	"Not": {1, 1, "", nil},
	"Add": {2, 2, "", nil}, "Sub": {2, 2, "", nil}, "Mul": {2, 2, "", nil}, "Div": {2, 2, "", nil}, "Pow": {2, 2, "", nil},
	"Equal": {2, 2, "", nil}, "Less": {2, 2, "", nil}, "Greater": {2, 2, "", nil}, "Where": {3, 3, "", nil},
	"Min": {1, 64, "", nil}, "Max": {1, 64, "", nil}, "MatMul": {2, 2, "", nil},
	"Einsum": {2, 2, "equation", nil}, "Gemm": {2, 3, "transA transB alpha beta", nil},
	"Concat": {1, 1024, "axis", nil}, "Transpose": {1, 1, "perm", nil}, "Flatten": {1, 1, "axis", nil},
	"Cast": {1, 1, "to", fixCast}, "Gather": {2, 2, "axis", nil}, "Shape": {1, 1, "start end", nil}, "Size": {1, 1, "", nil},
	"Squeeze": {1, 2, "axes", nil}, "Unsqueeze": {1, 2, "axes", nil}, "Expand": {2, 2, "", fixExpand},
	"ConstantOfShape": {1, 1, "value", fixConstantOfShape}, "Reshape": {2, 2, "", fixReshape}, "Slice": {1, 5, "", fixSlice},
	"Split": {1, 2, "axis", fixSplit}, "Pad": {1, 3, "mode", fixPad}, "Clip": {1, 3, "", fixClip},
	"ReduceMean": {1, 2, "axes keepdims noop_with_empty_axes", nil}, "ReduceSum": {1, 2, "axes keepdims noop_with_empty_axes", nil},
	"ReduceMax": {1, 2, "axes keepdims noop_with_empty_axes", nil}, "ReduceMin": {1, 2, "axes keepdims noop_with_empty_axes", nil},
	"ReduceL2": {1, 2, "axes keepdims noop_with_empty_axes", nil},
	"Softmax":  {1, 1, "axis", fixSoftmax}, "LayerNormalization": {2, 3, "axis epsilon", fixFirstOutput("stash_type")},
	"BatchNormalization": {5, 5, "epsilon", fixBatchNorm}, "Conv": {2, 3, "kernel_shape strides pads dilations group", fixConv},
	"MaxPool": {1, 1, "kernel_shape strides pads", fixPool}, "AveragePool": {1, 1, "kernel_shape strides pads", fixPool},
	"GlobalAveragePool": {1, 1, "", nil}, "GlobalMaxPool": {1, 1, "axes keepdims", fixGlobalMaxPool},
	"Gelu": {1, 1, "", fixGelu}, "LeakyRelu": {1, 1, "", fixLeaky}, "PRelu": {2, 2, "", fixLeaky}, "Elu": {1, 1, "", fixElu},
	"Selu": {1, 1, "", fixElu}, "HardSigmoid": {1, 1, "", fixHardSigmoid}, "Softplus": {1, 1, "", fixSoftplus},
	"Softsign": {1, 1, "", fixSoftsign}, "Mish": {1, 1, "", fixMish},
	"ai.onnx.ml.Scaler": {1, 1, "", fixScaler},
}

// nonlinear are the operations whose results are analysed unless others are asked for.
var nonlinear = []string{"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "HardSwish", "Mish", "Sigmoid", "HardSigmoid",
	"Softplus", "Softsign", "Tanh", "Clip"}

// instead says what can be done about an operation that is not supported.
var instead = map[string]string{
	"LinearClassifier":       "a linear classifier has no hidden units to analyse",
	"SVMClassifier":          "a support vector machine has no hidden units to analyse",
	"TreeEnsembleClassifier": "an ensemble of trees has no hidden units to analyse",
	"Normalizer":             "leave that step out of the pipeline and normalize the data instead",
	"LogSoftmax":             "leave it out, or make it the last operation",
	"LSTM":                   "recurrent networks are not supported",
	"GRU":                    "recurrent networks are not supported",
	"Loop":                   "loops that depend on the data are not supported",
	"If":                     "run onnxsim (onnx-simplifier) on the file, which decides conditions that are known",
	"Resize":                 "resize the images before the network",
	"Upsample":               "resize the images before the network",
	"QuantizeLinear":         "export the network before it is quantized",
	"DequantizeLinear":       "export the network before it is quantized",
	"QLinearConv":            "export the network before it is quantized",
	"ConvInteger":            "export the network before it is quantized",
}

func unsupported(d *node) error {
	do, ok := instead[d.op]
	if !ok {
		do = "run onnxsim (onnx-simplifier) on the file, or export it with another opset or with simpler operations"
	}
	return fmt.Errorf("%s: the operation is not supported; %s", d, do)
}

// rewriter turns the nodes of a network into such that onnx-gomlx converts as ONNX means them.
type rewriter struct {
	*network
	images map[string]bool // tensors that depend on the images
	read   map[string]bool // tensors that an operation reads
	count  int
}

func (n *network) rewrite() error {
	w := &rewriter{network: n, images: n.fromImage(), read: map[string]bool{}}
	for _, d := range n.nodes {
		for _, in := range d.in {
			w.read[in] = true
		}
	}
	var nodes []*node
	for _, d := range n.nodes {
		more, err := w.node(d)
		if err != nil {
			return err
		}
		nodes = append(nodes, more...)
	}
	n.nodes = nodes
	return w.small()
}

func (w *rewriter) node(d *node) ([]*node, error) {
	name := d.op
	if !isDefault(d.domain) {
		name = d.domain + "." + d.op
	}
	r, ok := rules[name]
	if !ok {
		return nil, unsupported(d)
	}
	for len(d.in) > 0 && d.in[len(d.in)-1] == "" {
		d.in = d.in[:len(d.in)-1]
	}
	if len(d.in) < r.least || len(d.in) > r.most || d.in[0] == "" || len(d.out) == 0 || d.out[0] == "" {
		return nil, fmt.Errorf("%s has inputs %q and outputs %q; it takes %d to %d inputs and gives a result",
			d, d.in, d.out, r.least, r.most)
	}
	for _, in := range d.in {
		if t := w.consts[in]; t != nil && t.strings {
			return nil, fmt.Errorf("%s reads the text %q, which is not supported", d, in)
		}
	}
	if d.op != "Split" {
		for _, out := range d.out[1:] {
			if out != "" && w.read[out] {
				return nil, fmt.Errorf("%s: its result %q is not supported, only the first one", d, out)
			}
		}
	}
	if t := w.fold(d); t != nil {
		w.consts[d.out[0]] = t
		return nil, nil
	}
	nodes := []*node{d}
	if r.fix != nil {
		var err error
		if nodes, err = r.fix(w, d); err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
	}
	for _, a := range nodes[len(nodes)-1].attrs {
		if !slices.Contains(strings.Fields(r.attrs), a.name) {
			return nil, fmt.Errorf("%s: the attribute %s is not supported", d, a.name)
		}
	}
	for _, x := range nodes[:len(nodes)-1] {
		x.hidden = true
	}
	return nodes, nil
}

// small refuses constant expressions that grow out of proportion: onnx-gomlx computes them while it builds the graph.
func (w *rewriter) small() error {
	const most = 1 << 22 // elements
	size, late := map[string]int64{}, map[string]bool{w.input.name: true}
	for name, t := range w.consts {
		size[name], late[name] = t.size(), w.isParam(name)
	}
	for _, d := range w.nodes {
		shape := d.op == "Shape" || d.op == "Size"
		if !shape && slices.ContainsFunc(d.in, func(in string) bool { return late[in] }) {
			for _, out := range d.out {
				late[out] = true // computed when the network runs
			}
			continue
		}
		n := int64(16) // at most so many axes
		for i, in := range d.in {
			switch x := size[in]; {
			case shape:
			case i == 0:
				n = x
			case d.op == "Concat":
				n += x
			case n <= 64 && x <= 64, x <= 1, n == x: // of shapes; nothing is spread out
				n = max(n, x)
			default:
				n = min(n, most) * min(x, most)
			}
		}
		if n > most {
			return fmt.Errorf("%s: a constant of more than %d elements would be computed while the network is built; "+
				"run onnxsim (onnx-simplifier) on the file", d, most)
		}
		for _, out := range d.out {
			size[out] = n
		}
	}
	return nil
}

// fold computes what PyTorch's older exporter makes shapes of: lists of integers that are put together.
func (w *rewriter) fold(d *node) *tensor {
	var parts []int64
	for i, in := range d.in {
		t := w.consts[in]
		if t == nil || len(t.dims) > 1 || t.size() > 64 {
			return nil
		}
		x, ok := t.ints()
		if !ok {
			return nil
		}
		if i == 0 || d.op == "Concat" {
			parts = append(parts, x...)
		}
	}
	switch {
	case d.op == "Concat" && d.int("axis", 0) == 0, d.op == "Unsqueeze" && len(parts) == 1 && len(w.consts[d.in[0]].dims) == 0:
		return intTensor(d.out[0], parts...)
	case d.op == "Cast" && d.int("to", 0) == kindInt64:
		t := intTensor(d.out[0], parts...)
		t.dims = w.consts[d.in[0]].dims
		return t
	}
	return nil
}

// fresh is a name for a tensor between the nodes that stand for one of the file.
func (w *rewriter) fresh() string {
	w.count++
	return hiddenName(fmt.Sprint(w.count))
}

// scalar is the name of a constant.
func (w *rewriter) scalar(x float32) string {
	name := w.fresh()
	w.consts[name] = floatTensor(name, []float32{x})
	return name
}

func (w *rewriter) integers(x ...int64) string {
	name := w.fresh()
	w.consts[name] = intTensor(name, x...)
	return name
}

// chain writes an operation as several.
type chain struct {
	w     *rewriter
	nodes []*node
}

// do adds an operation and returns the name of its result.
func (c *chain) do(op string, in ...string) string {
	out := c.w.fresh()
	c.nodes = append(c.nodes, &node{op: op, in: in, out: []string{out}})
	return out
}

// end makes the last operation give the result of d.
func (c *chain) end(d *node) []*node {
	last := c.nodes[len(c.nodes)-1]
	last.out, last.label, last.name, last.source = d.out[:1], d.op, d.name, d.in[0]
	return c.nodes
}

func one(nodes ...*node) ([]*node, error) { return nodes, nil }

func fixFirstOutput(ignored ...string) func(w *rewriter, d *node) ([]*node, error) {
	return func(w *rewriter, d *node) ([]*node, error) {
		d.drop(ignored...)
		d.out = d.out[:1]
		return one(d)
	}
}

func fixCast(_ *rewriter, d *node) ([]*node, error) {
	d.drop("saturate", "round_mode") // of 8-bit floating point numbers
	return one(d)
}

func fixReshape(w *rewriter, d *node) ([]*node, error) {
	t := w.consts[d.in[1]]
	allowzero := d.int("allowzero", 0) != 0
	d.drop("allowzero")
	if t == nil {
		return one(d)
	}
	x, ok := t.ints()
	if !ok {
		return nil, fmt.Errorf("the shape %q is of %s", d.in[1], kindName(t.kind))
	}
	if allowzero && slices.Contains(x, 0) {
		return nil, errors.New("a result without elements is not supported")
	}
	if w.fixed > 0 && len(x) > 0 && x[0] == int64(w.fixed) && w.images[d.in[0]] {
		x[0] = 0 // as many as there are
		d.in = []string{d.in[0], w.integers(x...)}
	}
	return one(d)
}

func fixConstantOfShape(w *rewriter, d *node) ([]*node, error) {
	t := w.consts[d.in[0]]
	if t == nil {
		return nil, errors.New("a shape that is computed is not supported; run onnxsim (onnx-simplifier) on the file")
	}
	x, ok := t.ints()
	size := int64(1)
	for _, n := range x {
		if n < 0 || n > 0 && size > 1<<22/n {
			ok = false
			break
		}
		size *= n
	}
	if !ok {
		return nil, fmt.Errorf("the shape %v is not supported", x)
	}
	return one(d)
}

func fixExpand(w *rewriter, d *node) ([]*node, error) {
	if t := w.consts[d.in[0]]; !w.images[d.in[0]] && (t == nil || t.kind != kindFloat) {
		return nil, errors.New("of a computed constant it is not supported; run onnxsim (onnx-simplifier) on the file")
	}
	return one(d)
}

func fixSlice(w *rewriter, d *node) ([]*node, error) {
	if starts, ends := d.ints("starts"), d.ints("ends"); len(d.in) == 1 && starts != nil && ends != nil { // before opset 10
		d.in = append(d.in, w.integers(starts...), w.integers(ends...))
		if axes := d.ints("axes"); axes != nil {
			d.in = append(d.in, w.integers(axes...))
		}
		d.drop("starts", "ends", "axes")
	}
	if len(d.in) < 3 {
		return nil, errors.New("it has no starts and ends")
	}
	if len(d.in) > 3 && d.in[3] == "" {
		return nil, errors.New("steps without axes are not supported")
	}
	return one(d)
}

func fixSplit(w *rewriter, d *node) ([]*node, error) {
	if sizes := d.ints("split"); len(d.in) == 1 && sizes != nil { // before opset 13
		d.in = append(d.in, w.integers(sizes...))
	}
	if n := d.int("num_outputs", int64(len(d.out))); n != int64(len(d.out)) {
		return nil, fmt.Errorf("num_outputs is %d, but there are %d", n, len(d.out))
	}
	d.drop("split", "num_outputs")
	for i, out := range d.out {
		if out == "" {
			d.out[i] = w.fresh()
		}
	}
	return one(d)
}

func fixPad(w *rewriter, d *node) ([]*node, error) {
	if pads := d.ints("pads"); len(d.in) == 1 && pads != nil { // before opset 11
		d.in = append(d.in, w.integers(pads...), w.scalar(d.float("value", 0)))
		d.drop("pads", "value")
	}
	if len(d.in) < 2 {
		return nil, errors.New("it has no pads")
	}
	if len(d.in) > 2 && d.in[2] == "" {
		d.in[2] = w.scalar(0)
	}
	if t := w.consts[d.in[1]]; t != nil {
		x, _ := t.ints()
		for _, n := range x {
			if n < 0 || n > 1<<12 {
				return nil, fmt.Errorf("pads %v are not supported", x)
			}
		}
	}
	return one(d)
}

func fixClip(w *rewriter, d *node) ([]*node, error) {
	for i, name := range []string{"min", "max"} { // before opset 11
		if a := d.attr(name); a != nil && w.file.opset < 11 {
			for len(d.in) < i+2 {
				d.in = append(d.in, "")
			}
			d.in[i+1] = w.scalar(d.float(name, 0))
		}
	}
	if w.file.opset < 11 {
		d.drop("min", "max")
	}
	return one(d)
}

func fixSoftmax(w *rewriter, d *node) ([]*node, error) {
	if w.file.opset < 13 && d.int("axis", 1) != -1 {
		return nil, fmt.Errorf("in opset %d it flattens its input; export the model with opset 13 or newer", w.file.opset)
	}
	return one(d)
}

func fixBatchNorm(_ *rewriter, d *node) ([]*node, error) {
	for _, out := range d.out[1:] {
		if out != "" || d.int("training_mode", 0) != 0 {
			return nil, errors.New("it is in training mode; export the model for inference (in PyTorch, model.eval() first)")
		}
	}
	if d.int("training_mode", 0) != 0 || d.int("spatial", 1) != 1 {
		return nil, errors.New("it is in training mode; export the model for inference (in PyTorch, model.eval() first)")
	}
	d.drop("momentum", "training_mode", "spatial", "is_test")
	d.out = d.out[:1]
	return one(d)
}

// window is what convolutions and pooling have in common.
type window struct {
	kernel, strides, dilations, pads []int64 // pads: all before, then all after
}

func (w *rewriter) window(d *node, kernel []int64) (window, error) {
	x := window{kernel: kernel, strides: d.ints("strides"), dilations: d.ints("dilations"), pads: d.ints("pads")}
	n := len(kernel)
	ones := slices.Repeat([]int64{1}, n)
	if x.strides == nil {
		x.strides = ones
	}
	if x.dilations == nil {
		x.dilations = ones
	}
	if n < 1 || n > 3 || len(x.strides) != n || len(x.dilations) != n {
		return x, fmt.Errorf("a window of %v with strides %v and dilations %v is not supported", kernel, x.strides, x.dilations)
	}
	for _, v := range slices.Concat(kernel, x.strides, x.dilations) {
		if v < 1 || v > 1<<12 {
			return x, fmt.Errorf("a window of %v with strides %v and dilations %v is not supported", kernel, x.strides, x.dilations)
		}
	}
	auto := ""
	if a := d.attr("auto_pad"); a != nil {
		auto = string(a.s)
	}
	switch auto {
	case "", "NOTSET":
		if x.pads == nil {
			x.pads = make([]int64, 2*n)
		}
	case "VALID":
		x.pads = make([]int64, 2*n)
	case "SAME_UPPER", "SAME_LOWER":
		x.pads = make([]int64, 2*n)
		for i := range n {
			reach := (kernel[i]-1)*x.dilations[i] + 1
			total := reach - 1
			if x.strides[i] > 1 {
				size, err := w.spatial(d, i)
				if err != nil {
					return x, fmt.Errorf("auto_pad %s with strides %v: %w", auto, x.strides, err)
				}
				total = max(0, ((size+x.strides[i]-1)/x.strides[i]-1)*x.strides[i]+reach-size)
			}
			x.pads[i], x.pads[n+i] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				x.pads[i], x.pads[n+i] = x.pads[n+i], x.pads[i]
			}
		}
	default:
		return x, fmt.Errorf("auto_pad %q is not supported", auto)
	}
	if len(x.pads) != 2*n || slices.Min(x.pads) < 0 || slices.Max(x.pads) > 1<<12 {
		return x, fmt.Errorf("pads %v are not supported", x.pads)
	}
	d.setInts("kernel_shape", kernel)
	d.setInts("strides", x.strides)
	d.setInts("pads", x.pads)
	d.drop("auto_pad")
	return x, nil
}

// spatial is the size of the input of d along spatial axis i, as the file says. That it is so is checked later.
func (w *rewriter) spatial(d *node, i int) (int64, error) {
	shape := w.sizes[d.in[0]]
	if d.in[0] == w.input.name {
		shape = w.input.shape
	}
	if len(shape) < i+3 || shape[i+2] < 1 {
		return 0, fmt.Errorf("the file does not have the shape of %q; run onnx.shape_inference on it, or give explicit pads",
			d.in[0])
	}
	return int64(shape[i+2]), nil
}

func fixConv(w *rewriter, d *node) ([]*node, error) {
	kernel := d.ints("kernel_shape")
	if kernel == nil {
		t := w.consts[d.in[1]]
		if t == nil || len(t.dims) < 3 {
			return nil, errors.New("its kernel is not a constant of at least three axes")
		}
		kernel = t.dims[2:]
	}
	_, err := w.window(d, kernel)
	if len(d.in) == 3 && d.in[2] == "" {
		d.in = d.in[:2]
	}
	return []*node{d}, err
}

func fixPool(w *rewriter, d *node) ([]*node, error) {
	x, err := w.window(d, d.ints("kernel_shape"))
	if err != nil {
		return nil, err
	}
	n := len(x.kernel)
	if slices.Max(x.dilations) > 1 {
		return nil, fmt.Errorf("dilations %v are not supported", x.dilations)
	}
	if d.int("ceil_mode", 0) != 0 {
		// Rounding up means one more window where some is left over: room for it is made at the end.
		for i := range n {
			size, err := w.spatial(d, i)
			if err != nil {
				return nil, fmt.Errorf("ceil_mode: %w", err)
			}
			rest := size + x.pads[i] + x.pads[n+i] - x.kernel[i]
			if over := rest % x.strides[i]; over > 0 && (rest/x.strides[i]+1)*x.strides[i] < size+x.pads[i] {
				if d.op == "AveragePool" && d.int("count_include_pad", 0) != 0 {
					return nil, errors.New("ceil_mode together with count_include_pad is not supported")
				}
				x.pads[n+i] += x.strides[i] - over
			}
		}
		d.setInts("pads", x.pads)
	}
	var before []*node
	if d.int("count_include_pad", 0) != 0 && slices.Max(x.pads) > 0 {
		zeros := make([]int64, 2)
		around := w.integers(slices.Concat(zeros, x.pads[:n], zeros, x.pads[n:])...)
		pad := &node{op: "Pad", in: []string{d.in[0], around, w.scalar(0)}, out: []string{w.fresh()}}
		before = append(before, pad)
		d.in = []string{pad.out[0]}
		d.setInts("pads", make([]int64, 2*n))
	}
	d.drop("ceil_mode", "count_include_pad", "dilations", "storage_order")
	return append(before, d), nil
}

func fixGlobalMaxPool(w *rewriter, d *node) ([]*node, error) {
	d.label, d.op = d.op, "ReduceMax"
	d.setInts("axes", []int64{2, 3})
	return one(d)
}

func fixGelu(_ *rewriter, d *node) ([]*node, error) {
	how := "none"
	if a := d.attr("approximate"); a != nil {
		how = string(a.s)
	}
	d.drop("approximate")
	switch how {
	case "none":
	case "tanh":
		d.label, d.op = d.op, "FastGelu"
	default:
		return nil, fmt.Errorf("approximate %q is not supported", how)
	}
	return one(d)
}

// fixLeaky: max(x, 0) − slope·max(−x, 0).
func fixLeaky(w *rewriter, d *node) ([]*node, error) {
	c := &chain{w: w}
	x, slope := d.in[0], ""
	if d.op == "PRelu" {
		slope = d.in[1]
	} else {
		slope = w.scalar(d.float("alpha", 0.01))
	}
	up := c.do("Relu", x)
	down := c.do("Relu", c.do("Neg", x))
	c.do("Sub", up, c.do("Mul", down, slope))
	return c.end(d), nil
}

// fixElu: gamma·(max(x, 0) + alpha·(exp(min(x, 0)) − 1)).
func fixElu(w *rewriter, d *node) ([]*node, error) {
	alpha, gamma := d.float("alpha", 1), float32(1)
	if d.op == "Selu" {
		alpha, gamma = d.float("alpha", 1.67326319217681884765625), d.float("gamma", 1.05070102214813232421875)
	}
	c := &chain{w: w}
	x := d.in[0]
	low := c.do("Sub", c.do("Exp", c.do("Min", x, w.scalar(0))), w.scalar(1))
	y := c.do("Add", c.do("Relu", x), c.do("Mul", low, w.scalar(alpha)))
	if gamma != 1 {
		c.do("Mul", y, w.scalar(gamma))
	}
	return c.end(d), nil
}

func fixHardSigmoid(w *rewriter, d *node) ([]*node, error) {
	c := &chain{w: w}
	y := c.do("Add", c.do("Mul", d.in[0], w.scalar(d.float("alpha", 0.2))), w.scalar(d.float("beta", 0.5)))
	c.do("Clip", y, w.scalar(0), w.scalar(1))
	return c.end(d), nil
}

// softplus: log(1 + exp(x)) = max(x, 0) + log(1 + exp(−|x|)), which does not overflow.
func (c *chain) softplus(x string) string {
	e := c.do("Exp", c.do("Neg", c.do("Abs", x)))
	return c.do("Add", c.do("Relu", x), c.do("Log", c.do("Add", e, c.w.scalar(1))))
}

func fixSoftplus(w *rewriter, d *node) ([]*node, error) {
	c := &chain{w: w}
	c.softplus(d.in[0])
	return c.end(d), nil
}

func fixMish(w *rewriter, d *node) ([]*node, error) {
	c := &chain{w: w}
	c.do("Mul", d.in[0], c.do("Tanh", c.softplus(d.in[0])))
	return c.end(d), nil
}

func fixSoftsign(w *rewriter, d *node) ([]*node, error) {
	c := &chain{w: w}
	c.do("Div", d.in[0], c.do("Add", c.do("Abs", d.in[0]), w.scalar(1)))
	return c.end(d), nil
}

// fixScaler: (x − offset)·scale, a step of scikit-learn's pipelines.
func fixScaler(w *rewriter, d *node) ([]*node, error) {
	c := &chain{w: w}
	x := d.in[0]
	for _, part := range []struct{ attr, op string }{{"offset", "Sub"}, {"scale", "Mul"}} {
		if a := d.attr(part.attr); a != nil && a.kind == attrFloats {
			name := w.fresh()
			w.consts[name] = floatTensor(name, a.fs, int64(len(a.fs)))
			x = c.do(part.op, x, name)
		}
	}
	if len(c.nodes) == 0 {
		return nil, errors.New("it has neither offset nor scale")
	}
	return c.end(d), nil
}
