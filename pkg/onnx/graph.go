package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// network is the graph of a file, cut down to what leads from its input to the logits, and put into words that onnx-gomlx
// understands as ONNX means them (ops.go).
type network struct {
	file   *file
	nodes  []*node            // in order: each after those it reads
	consts map[string]*tensor // initializers and constants that nodes read
	input  value
	output string // what the file calls its output
	logits string // the tensor taken as logits
	how    string // in words, where that is not the output itself
	doubt  bool   // it is not plain that the output is logits and no probabilities
	fixed  int    // examples that the file is made for, 0: any number
	sizes  map[string][]int
}

// read cuts the graph of a file down to what leads to its output, or to the tensor named output.
func read(f *file, output string) (*network, error) {
	n := &network{file: f, consts: map[string]*tensor{}, sizes: f.graph.shapes}
	from, err := n.sources()
	if err != nil {
		return nil, err
	}
	if n.output, err = n.choose(output, from); err != nil {
		return nil, err
	}
	n.logits = n.output
	if err := n.strip(from); err != nil {
		return nil, err
	}
	if n.nodes, err = order(n.logits, from, func(name string) bool {
		return n.consts[name] != nil || slices.ContainsFunc(f.graph.inputs, func(v value) bool { return v.name == name })
	}); err != nil {
		return nil, err
	}
	return n, n.findInput()
}

// sources finds out which node gives each tensor. Nodes that only hold a constant, or only rename a tensor, are taken out.
func (n *network) sources() (map[string]*node, error) {
	for _, t := range n.file.graph.tensors {
		if n.consts[t.name] != nil {
			return nil, fmt.Errorf("two initializers are called %q", t.name)
		}
		n.consts[t.name] = t
	}
	from, alias := map[string]*node{}, map[string]string{}
	for _, d := range n.file.graph.nodes {
		for _, out := range d.out {
			if out == "" {
				continue
			}
			if from[out] != nil || n.consts[out] != nil || alias[out] != "" {
				return nil, fmt.Errorf("two operations give a tensor called %q", out)
			}
			from[out] = d
		}
		switch {
		case d.op == "Constant" && isDefault(d.domain) && len(d.out) == 1:
			t, err := d.constant()
			if err != nil {
				return nil, err
			}
			delete(from, d.out[0])
			n.consts[d.out[0]] = t
		case renames(d) && len(d.in) > 0 && len(d.out) > 0 && d.in[0] != "":
			if len(d.in) > 2 && d.in[2] != "" {
				if t := n.consts[d.in[2]]; t == nil || slices.ContainsFunc(t.raw, func(b byte) bool { return b != 0 }) {
					return nil, fmt.Errorf("%s is in training mode; export the model for inference (in PyTorch, model.eval() first)", d)
				}
			}
			delete(from, d.out[0])
			alias[d.out[0]] = d.in[0]
		}
	}
	// Renamed tensors are replaced by what they are, through chains of them.
	resolve := func(name string) (string, error) {
		for steps := 0; alias[name] != ""; steps++ {
			if steps > len(alias) {
				return "", fmt.Errorf("tensor %q depends on itself", name)
			}
			name = alias[name]
		}
		return name, nil
	}
	for _, d := range n.file.graph.nodes {
		for i, in := range d.in {
			var err error
			if d.in[i], err = resolve(in); err != nil {
				return nil, err
			}
		}
	}
	for i, v := range n.file.graph.outputs {
		to, err := resolve(v.name)
		if err != nil {
			return nil, err
		}
		if to != v.name {
			alias[v.name] = to
			n.file.graph.outputs[i].name = to
		}
	}
	return from, nil
}

func renames(d *node) bool { return isDefault(d.domain) && (d.op == "Identity" || d.op == "Dropout") }

// constant is the value of a node of op Constant.
func (d *node) constant() (*tensor, error) {
	for _, a := range d.attrs {
		switch {
		case a.name == "value" && a.kind == attrTensor:
			return a.t, nil
		case a.name == "value_float" && a.kind == attrFloat:
			return floatTensor("", []float32{a.f}), nil
		case a.name == "value_floats" && a.kind == attrFloats:
			return floatTensor("", a.fs, int64(len(a.fs))), nil
		case a.name == "value_int" && a.kind == attrInt:
			t := intTensor("", a.i)
			t.dims = nil
			return t, nil
		case a.name == "value_ints" && a.kind == attrInts:
			return intTensor("", a.is...), nil
		}
	}
	return nil, fmt.Errorf("%s has no value that is supported", d)
}

// choose finds the output that classifies: the only one of float32. What scikit-learn writes has a second one with the
// labels, or gives the probabilities as a map (ZipMap), whose input they are.
func (n *network) choose(asked string, from map[string]*node) (string, error) {
	if asked != "" {
		if from[asked] == nil {
			return "", fmt.Errorf("no operation gives a tensor called %q; `directions inspect` lists them", asked)
		}
		return asked, nil
	}
	var names, all []string
	for _, v := range n.file.graph.outputs {
		name := v.name
		if d := from[name]; d != nil && d.op == "ZipMap" && len(d.in) == 1 {
			name, v.kind = d.in[0], kindFloat
		}
		all = append(all, v.name)
		if v.kind == kindFloat {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		return "", fmt.Errorf("none of its outputs %q is a tensor of float32; export the model in float32", all)
	case len(names) > 1:
		return "", fmt.Errorf("it has several outputs, %q; say which are the logits: --output NAME", all)
	}
	return names[0], nil
}

// strip goes back from an output of probabilities to the logits they are made of, for which the loss is computed: the
// input of a last Softmax or LogSoftmax; of 1 − σ(z), σ(z) the pair 0, z.
func (n *network) strip(from map[string]*node) error {
	d := from[n.logits]
	if d == nil || !isDefault(d.domain) {
		return nil
	}
	switch d.op {
	case "Softmax", "LogSoftmax":
		rank := 2
		if s, ok := n.sizes[d.in[0]]; ok {
			rank = len(s)
		}
		last := int64(-1)
		if n.file.opset < 13 {
			last = 1 // it flattens what is behind, which of [batch, classes] is the same
		}
		if axis := d.int("axis", last); len(d.in) == 1 && (axis == -1 || axis == int64(rank-1) || axis == 1) {
			n.logits, n.how = d.in[0], "the input of the last "+d.op
			return nil
		}
	case "Concat":
		if z, ok := binary2(d, from, n.consts); ok {
			zero := &node{op: "Mul", in: []string{z, hiddenName("zero")}, out: []string{hiddenName("none")}, hidden: true}
			n.consts[hiddenName("zero")] = floatTensor("", []float32{0})
			pair := &node{op: "Concat", in: []string{zero.out[0], z}, out: []string{hiddenName("pair")}, hidden: true}
			pair.attrs = []attr{{name: "axis", kind: attrInt, i: 1}}
			from[zero.out[0]], from[pair.out[0]] = zero, pair
			n.logits, n.how = pair.out[0], fmt.Sprintf("0 and %q, of which the output is the softmax", z)
			return nil
		}
	case "Sigmoid":
		return fmt.Errorf("its output comes from a Sigmoid, so the classes are separate yes-or-no questions, for which "+
			"there is no cross-entropy over classes; to take the input of the Sigmoid as logits, give --output %s", d.in[0])
	}
	n.doubt = !slices.Contains([]string{"Gemm", "MatMul", "Add", "Conv", "Flatten", "Reshape", "Squeeze", "GlobalAveragePool",
		"ReduceMean", "BatchNormalization", "Mul"}, d.op)
	return nil
}

// binary2 recognizes the probabilities 1 − σ(z), σ(z) of two classes.
func binary2(d *node, from map[string]*node, consts map[string]*tensor) (z string, ok bool) {
	if len(d.in) != 2 {
		return "", false
	}
	no, yes := from[d.in[0]], from[d.in[1]]
	if no == nil || yes == nil || no.op != "Sub" || yes.op != "Sigmoid" || len(no.in) != 2 || len(yes.in) != 1 ||
		no.in[1] != d.in[1] || consts[no.in[0]] == nil || consts[no.in[0]].kind != kindFloat {
		return "", false
	}
	one, _ := floats(consts[no.in[0]].raw)
	return yes.in[0], len(one) == 1 && one[0] == 1
}

// hiddenName is a name for a tensor that the file does not have.
func hiddenName(s string) string { return "\x00" + s }

// order lists the nodes that target needs, each after those it reads. It does not recurse, and finds cycles.
func order(target string, from map[string]*node, given func(string) bool) (nodes []*node, err error) {
	const open, done = 1, 2
	state := map[*node]int{}
	type frame struct {
		n    *node
		next int
	}
	var stack []frame
	push := func(name string, reader *node) error {
		d := from[name]
		switch {
		case name == "" || given(name):
			return nil
		case d == nil && reader != nil:
			return fmt.Errorf("%s reads %q, which no operation gives and which is neither an input nor an initializer: the file is "+
				"cut short or damaged", reader, name)
		case d == nil:
			return fmt.Errorf("no operation gives the output %q", name)
		case state[d] == open:
			return fmt.Errorf("%s depends on its own result: the graph has a cycle", d)
		case state[d] == done:
			return nil
		}
		state[d] = open
		stack = append(stack, frame{n: d})
		return nil
	}
	if err := push(target, nil); err != nil {
		return nil, err
	}
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next == len(f.n.in) {
			state[f.n] = done
			nodes = append(nodes, f.n)
			stack = stack[:len(stack)-1]
			continue
		}
		f.next++
		if err := push(f.n.in[f.next-1], f.n); err != nil {
			return nil, err
		}
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("the output %q is no result of an operation", target)
	}
	if len(nodes) > 20_000 {
		return nil, fmt.Errorf("%d operations lead to the output; at most 20000 are supported", len(nodes))
	}
	return nodes, nil
}

// findInput finds the one input that the logits depend on.
func (n *network) findInput() error {
	var found []string
	for _, v := range n.file.graph.inputs {
		reads := slices.ContainsFunc(n.nodes, func(d *node) bool { return slices.Contains(d.in, v.name) })
		if n.consts[v.name] != nil || !reads { // older files list initializers among the inputs
			continue
		}
		found = append(found, v.name)
		n.input = v
	}
	if len(found) != 1 {
		return fmt.Errorf("the output depends on the inputs %q; a classifier of images has one", found)
	}
	if n.input.kind != kindFloat {
		return fmt.Errorf("its input %q is of %s; export the model with a float32 input", n.input.name, kindName(n.input.kind))
	}
	if !n.input.known || len(n.input.shape) < 2 || len(n.input.shape) > 4 {
		return fmt.Errorf("its input %q has shape %s; images are [batch, channels, height, width], "+
			"[batch, height, width, channels], [batch, height, width] or [batch, pixels]", n.input.name, Dims(n.input.shape))
	}
	if n.input.shape[0] > 0 {
		n.fixed = n.input.shape[0]
		n.input.shape = slices.Clone(n.input.shape)
		n.input.shape[0] = -1
	}
	return nil
}

// Dims spells a shape; what is not fixed in the file is "?".
func Dims(shape []int) string {
	var s []string
	for _, d := range shape {
		if d < 0 {
			s = append(s, "?")
		} else {
			s = append(s, fmt.Sprint(d))
		}
	}
	return "[" + strings.Join(s, ", ") + "]"
}

// fromImage tells which tensors depend on the images.
func (n *network) fromImage() map[string]bool {
	from := map[string]bool{n.input.name: true}
	for _, d := range n.nodes {
		if slices.ContainsFunc(d.in, func(in string) bool { return from[in] }) {
			for _, out := range d.out {
				from[out] = true
			}
		}
	}
	return from
}

// isParam tells whether a constant is a parameter of the network, which lives in the store as those of other networks do,
// and not one of the small numbers that its construction needs.
func (n *network) isParam(name string) bool {
	t := n.consts[name]
	if t == nil || t.kind != kindFloat || len(t.dims) == 0 || len(t.raw) == 0 {
		return false
	}
	for _, d := range n.nodes {
		if i := slices.Index(d.in, name); i >= 0 && !slices.Contains([]string{"Conv", "Gemm", "MatMul", "BatchNormalization",
			"LayerNormalization", "Add", "Sub", "Mul", "Div"}, d.op) {
			return false
		}
	}
	return true
}

// finite reports the first element of a tensor of float32 that is not a finite number.
func finite(name string, t *tensor) error {
	for i := 0; i+4 <= len(t.raw); i += 4 {
		if x := float64(math.Float32frombits(binary.LittleEndian.Uint32(t.raw[i:]))); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("initializer %q, element %d is %v; weights must be finite", name, i/4, x)
		}
	}
	return nil
}
