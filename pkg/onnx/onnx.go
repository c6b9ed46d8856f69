// Package onnx makes networks of ONNX files analysable: classifiers that PyTorch, scikit-learn or Keras exported. Every
// tensor between two operations whose axis of units is known becomes a site under its name in the file.
//
// The operations are turned into GoMLX by onnx-gomlx. What that does otherwise than ONNX, and what a file from anywhere
// could do to it, is kept from it: files are read and checked here first (proto.go), cut down to what leads to the logits
// (graph.go), and their operations put into words that it takes as they are meant (ops.go). Weights become parameters in the
// store, as those of package nets are, and batch normalization uses the statistics in the file.
//
// Where units lie on another axis than the last, as channels do in PyTorch's layout, the tensor is transposed before the
// tap and back after it, which is exact.
package onnx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/onnx-gomlx/onnx"
	"github.com/gomlx/onnx-gomlx/onnx/parser"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
)

// Options say what a file does not. The zero value finds everything out.
type Options struct {
	UnitAxis int    // axis of the units of tensors with more than two axes; -1: the last; 0: found
	Layout   string // how the images lie in the input: "nchw" or "nhwc"; "": found
	Output   string // tensor that has the logits; "": found
}

// ParseOptions reads what String writes: "onnx", or "onnx:unit-axis=1,layout=nchw,output=NAME".
func ParseOptions(s string) (Options, error) {
	var o Options
	kind, rest, _ := strings.Cut(s, ":")
	for rest != "" {
		var field string
		if strings.HasPrefix(rest, "output=") { // the last one: a name may have anything in it
			field, rest = rest, ""
		} else {
			field, rest, _ = strings.Cut(rest, ",")
		}
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "unit-axis":
			o.UnitAxis, _ = strconv.Atoi(value)
		case "layout":
			o.Layout = value
		case "output":
			o.Output = value
		}
	}
	if kind != "onnx" || s != o.String() {
		return o, fmt.Errorf("net %q is not of the form onnx:unit-axis=N,layout=nchw,output=NAME, each part of which may be "+
			"left out", s)
	}
	return o, o.check()
}

func (o Options) check() error {
	if o.UnitAxis < -1 || o.UnitAxis > 3 {
		return fmt.Errorf("unit axis %d: allowed are 1, 2, 3, and -1 for the last (axis 0 is the batch)", o.UnitAxis)
	}
	if o.Layout != "" && o.Layout != "nchw" && o.Layout != "nhwc" {
		return fmt.Errorf("layout %q is not one of nchw (channels first, as PyTorch has it), nhwc (channels last, as Keras "+
			"has it)", o.Layout)
	}
	return nil
}

// String spells the options as the name of a net, one spelling for each.
func (o Options) String() string {
	var parts []string
	if o.UnitAxis != 0 {
		parts = append(parts, fmt.Sprintf("unit-axis=%d", o.UnitAxis))
	}
	if o.Layout != "" {
		parts = append(parts, "layout="+o.Layout)
	}
	if o.Output != "" {
		parts = append(parts, "output="+o.Output)
	}
	if parts == nil {
		return "onnx"
	}
	return "onnx:" + strings.Join(parts, ",")
}

// Model is a network read from an ONNX file. It is safe for concurrent use.
type Model struct {
	*network
	opt      Options
	params   []param
	building sync.Mutex // the library's model keeps notes while it builds a graph
	built    onnx.Model
	fitting  sync.Mutex
	fits     map[string]*fitted // by the shape of an image
}

// param is an initializer that is a parameter of the network.
type param struct {
	initializer string // its name in the file
	name        string // in the store: initializers may have names that those cannot have
	array       nets.Array
}

// ReadFile reads the bytes of an ONNX file, and with them those of the file beside it in which PyTorch keeps the weights:
// what it returns needs no other file. Of a file without such external data it returns the bytes as they are.
func ReadFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	found, err := f.inline(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !found {
		return data, nil
	}
	return f.encode(), nil
}

// inline reads external data from files of a folder.
func (f *file) inline(folder string) (found bool, err error) {
	files := map[string][]byte{}
	tensors := slices.Clone(f.graph.tensors)
	for _, d := range f.graph.nodes {
		for _, a := range d.attrs {
			if a.t != nil {
				tensors = append(tensors, a.t)
			}
		}
	}
	for _, t := range tensors {
		x := t.external
		if x == nil {
			continue
		}
		found = true
		if !filepath.IsLocal(x.location) {
			return true, fmt.Errorf("the data of tensor %q is said to be in %q, which is not in the folder of the file",
				t.name, x.location)
		}
		data, ok := files[x.location]
		if !ok {
			if data, err = os.ReadFile(filepath.Join(folder, x.location)); err != nil {
				return true, fmt.Errorf("the data of tensor %q is in a file of its own: %w; keep both files together", t.name, err)
			}
			files[x.location] = data
		}
		if x.offset > int64(len(data)) || x.length > int64(len(data))-x.offset {
			return true, fmt.Errorf("the data of tensor %q should be %d bytes at %d of %s, which has %d: it is cut short, "+
				"or that of another model", t.name, x.length, x.offset, x.location, len(data))
		}
		t.raw = data[x.offset:]
		if x.length >= 0 {
			t.raw = t.raw[:x.length]
		}
		t.external = nil
		if err := t.check(); err != nil {
			return true, err
		}
	}
	return found, nil
}

// Read reads the bytes of an ONNX file (see ReadFile). It finds errors before anything of the size that the file claims is
// allocated, and does not panic.
func Read(data []byte, opt Options) (*Model, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	f, err := decode(data)
	if err != nil {
		return nil, err
	}
	m := &Model{opt: opt, fits: map[string]*fitted{}}
	if m.network, err = read(f, opt.Output); err != nil {
		return nil, err
	}
	for _, t := range m.consts {
		if t.external != nil {
			return nil, fmt.Errorf("the data of tensor %q is in another file, %q", t.name, t.external.location)
		}
	}
	if err := m.rewrite(); err != nil {
		return nil, err
	}
	if err := m.collect(); err != nil {
		return nil, err
	}
	return m, try(func() (err error) {
		m.built, err = parser.Parse(m.translated().encode())
		if err == nil {
			m.built.DisableFusion() // it would hide the tensors in between
			m.built.FreeUnusedVariables()
		}
		return err
	})
}

// collect takes the parameters out of the constants.
func (m *Model) collect() error {
	prefix := "p" // of no tensor in the file
	for slices.ContainsFunc(m.nodes, func(d *node) bool {
		return slices.ContainsFunc(slices.Concat(d.in, d.out), func(name string) bool { return strings.HasPrefix(name, prefix) })
	}) {
		prefix += "_"
	}
	seen := map[string]bool{}
	for _, d := range m.nodes {
		for _, in := range d.in {
			if seen[in] || !m.isParam(in) {
				continue
			}
			seen[in] = true
			t := m.consts[in]
			if err := finite(in, t); err != nil {
				return err
			}
			data, err := floats(t.raw)
			if err != nil {
				return err
			}
			p := param{initializer: in, name: fmt.Sprintf("%s%d", prefix, len(m.params)), array: nets.Array{Data: data}}
			for _, n := range t.dims {
				p.array.Shape = append(p.array.Shape, int(n))
			}
			m.params = append(m.params, p)
		}
	}
	return nil
}

// translated is what onnx-gomlx reads: parameters under their names in the store, other constants as nodes, which it takes
// for known when it builds the graph.
func (m *Model) translated() *file {
	f := &file{opset: m.file.opset, graph: graphProto{inputs: []value{m.input}}}
	renamed := map[string]string{}
	for _, p := range m.params {
		renamed[p.initializer] = p.name
		f.graph.tensors = append(f.graph.tensors, &tensor{name: p.name, dims: m.consts[p.initializer].dims, kind: kindFloat,
			raw: m.consts[p.initializer].raw})
	}
	written := map[string]bool{}
	for _, d := range m.nodes {
		c := *d
		c.in = slices.Clone(d.in)
		for i, in := range d.in {
			t := m.consts[in]
			switch {
			case renamed[in] != "":
				c.in[i] = renamed[in]
			case t != nil && !written[in]:
				written[in] = true
				f.graph.nodes = append(f.graph.nodes, &node{op: "Constant", out: []string{in},
					attrs: []attr{{name: "value", kind: attrTensor, t: t}}})
			}
		}
		f.graph.nodes = append(f.graph.nodes, &c)
	}
	f.graph.outputs = []value{{name: m.logits, kind: kindFloat}}
	return f
}

// try turns a panic of the library into an error.
func try(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if e, ok := p.(error); ok {
				err = e
			} else {
				err = fmt.Errorf("%v", p)
			}
			var r runtime.Error
			if errors.As(err, &r) {
				err = fmt.Errorf("an operation is not as ONNX has it (%w); check the file with onnx.checker", err)
			}
		}
	}()
	return f()
}

// engine is the pure-Go backend, which sketches of networks need; onnx-gomlx brings it along.
func engine() (compute.Backend, error) { return compute.NewWithConfig("go") }

// Weights are the parameters of the network, under the names that its Graph gives them.
func (m *Model) Weights() map[string]nets.Array {
	weights := map[string]nets.Array{}
	for _, p := range m.params {
		weights[scopeName+"."+p.name] = p.array
	}
	return weights
}

// scopeName is where onnx-gomlx looks for parameters.
const scopeName = onnx.ModelScope
