package onnx

import (
	"math"
	"slices"
	"strings"
	"unicode"
)

// Site is a tensor of the file whose units can be edited.
type Site struct {
	Name    string `json:"name"`      // of the tensor
	Op      string `json:"op"`        // that gives it
	Shape   []int  `json:"shape"`     // of one example, as in the file
	Axis    int    `json:"unit_axis"` // of the tensor in the file: 0 is the batch
	Units   int    `json:"units"`
	Default bool   `json:"default"` // analysed unless sites are named: the result of a non-linearity
}

// unitAxes finds the axis of units of every tensor, by what operations mean: of convolutions, pooling and batch
// normalization it is axis 1, of matrix products the last; operations on single elements and those that move axes keep
// it. 0 stands for not known. shapes are those of the tensors, with the batch.
func (n *network) unitAxes(shapes map[string][]int, input int) map[string]int {
	axes := map[string]int{n.input.name: input}
	for _, d := range n.nodes {
		axis, rank := n.unitAxis(d, axes, shapes), len(shapes[d.out[0]])
		if axis < 0 || axis >= rank {
			axis = 0
		}
		if rank == 2 {
			axis = 1
		}
		for _, out := range d.out {
			axes[out] = axis
		}
	}
	return axes
}

func (n *network) unitAxis(d *node, axes map[string]int, shapes map[string][]int) int {
	in, out := shapes[d.in[0]], shapes[d.out[0]]
	axis := axes[d.in[0]]
	if d.source != "" {
		return axes[d.source]
	}
	switch d.op {
	case "Conv", "BatchNormalization", "MaxPool", "AveragePool", "GlobalAveragePool":
		return 1
	case "MatMul", "Gemm", "LayerNormalization":
		return len(out) - 1
	case "Transpose":
		perm := d.ints("perm")
		if perm == nil {
			return len(in) - 1 - axis
		}
		return slices.Index(perm, int64(axis))
	case "Reshape", "Flatten":
		if axis > 0 && axis < len(out) && axis < len(in) && slices.Equal(in[1:axis+1], out[1:axis+1]) {
			return axis
		}
		return 0
	case "Squeeze", "Unsqueeze", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2":
		return n.moved(d, axis, in, out)
	case "Einsum", "Gather", "Where", "Expand", "Shape", "Size":
		return 0
	}
	// Single elements, slices, padding, softmax: as their inputs, which agree.
	for _, name := range d.in {
		x := axes[name]
		if x == 0 {
			continue
		}
		if x += len(out) - len(shapes[name]); axis != 0 && axis != x && name != d.in[0] {
			return 0
		}
		axis = x
	}
	return axis
}

// moved is where an axis comes to lie when others are taken out or put in.
func (n *network) moved(d *node, axis int, in, out []int) int {
	if axis == 0 || len(in) == len(out) && d.op != "Squeeze" && d.op != "Unsqueeze" {
		return axis
	}
	list := d.ints("axes")
	if list == nil && len(d.in) > 1 && n.consts[d.in[1]] != nil {
		list, _ = n.consts[d.in[1]].ints()
	}
	rank := max(len(in), len(out))
	var at []int
	for _, x := range list {
		if x < 0 {
			x += int64(rank)
		}
		at = append(at, int(x))
	}
	if d.op == "Unsqueeze" {
		slices.Sort(at)
		for _, x := range at {
			if x <= axis {
				axis++
			}
		}
		return axis
	}
	if list == nil || slices.Contains(at, axis) {
		return 0
	}
	before := 0
	for _, x := range at {
		if x < axis {
			before++
		}
	}
	return axis - before
}

// isDefault tells which results are those of a non-linearity: those of activation functions, and of x·sigmoid(x) and the
// like the product.
func (n *network) defaults() map[string]bool {
	readers := map[string][]*node{}
	for _, d := range n.nodes {
		for _, in := range slices.Compact(slices.Sorted(slices.Values(d.in))) {
			readers[in] = append(readers[in], d)
		}
	}
	found := map[string]bool{}
	for _, d := range n.nodes {
		if d.op == "Erf" { // x·(1 + erf(x/√2))/2: the last of a run of sums and products
			end := d
			for len(readers[end.out[0]]) == 1 && slices.Contains([]string{"Add", "Mul", "Div"}, readers[end.out[0]][0].op) {
				end = readers[end.out[0]][0]
			}
			found[end.out[0]] = end != d
			continue
		}
		op := d.op
		if d.label != "" {
			op = d.label
		}
		if d.hidden || !slices.Contains(nonlinear, op) {
			continue
		}
		out := d.out[0]
		if next := readers[out]; len(next) == 1 && next[0].op == "Mul" && slices.Contains(next[0].in, d.in[0]) {
			out = next[0].out[0]
		}
		found[out] = true
	}
	return found
}

// FilterNorms returns the L1 norm of each unit's incoming filter, Σ|w| over the weights that lead to it, by site: as
// nets.FilterNorms, of the convolution or matrix product that the site is a function of, element by element. A site that
// is something else, such as the sum of two, has no norms.
func (m *Model) FilterNorms() map[string][]float64 {
	from := map[string]*node{}
	for _, d := range m.nodes {
		from[d.out[0]] = d
	}
	images, norms := m.fromImage(), map[string][]float64{}
	for _, d := range m.nodes {
		if n := m.filterNorms(d.out[0], from, images); n != nil && !d.hidden {
			norms[d.out[0]] = n
		}
	}
	return norms
}

func (m *Model) filterNorms(name string, from map[string]*node, images map[string]bool) []float64 {
	for {
		d := from[name]
		if d == nil {
			return nil
		}
		var parts []string // that depend on the images
		for _, in := range d.in {
			if images[in] {
				parts = append(parts, in)
			}
		}
		switch {
		case d.source != "":
			name = d.source
		case len(parts) == 2 && d.op == "Mul" && from[parts[1]] != nil && from[parts[1]].in[0] == parts[0] &&
			slices.Contains(nonlinear, from[parts[1]].op): // x·sigmoid(x)
			name = parts[0]
		case len(parts) != 1:
			return nil
		case d.op == "Conv" || d.op == "Gemm" || d.op == "MatMul":
			w := m.consts[d.in[1]]
			if w == nil || w.kind != kindFloat || len(w.dims) < 2 || d.op != "Conv" && len(w.dims) != 2 || parts[0] != d.in[0] {
				return nil
			}
			return sums(w, d.op == "Conv" || d.int("transB", 0) != 0)
		case slices.Contains([]string{"Add", "Sub", "Mul", "Div", "Min", "Max", "BatchNormalization", "Transpose"}, d.op),
			slices.Contains(nonlinear, d.op):
			name = parts[0]
		default:
			return nil
		}
	}
}

// sums adds up the absolute values of the rows of a weight, or of its columns.
func sums(w *tensor, rows bool) []float64 {
	x, _ := floats(w.raw)
	units := w.dims[0]
	if !rows {
		units = w.dims[1]
	}
	norms := make([]float64, units)
	for i, v := range x {
		u := i * int(units) / len(x)
		if !rows {
			u = i % int(units)
		}
		norms[u] += math.Abs(float64(v))
	}
	return norms
}

// siteName tells whether a tensor's name can be that of a site: sites are given in lists, and shown in tables.
func siteName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r == ',' || r == '+' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
	})
}
