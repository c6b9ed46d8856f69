package onnx

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// Info is what a file holds, for people: the input, the logits, and the tensors that can be sites.
type Info struct {
	Producer string `json:"producer,omitempty"`
	Opset    int64  `json:"opset"`
	Input    Tensor `json:"input"`
	Layout   string `json:"layout,omitempty"` // how images lie in the input: nchw, nhwc
	Output   Tensor `json:"output"`
	Logits   string `json:"logits"`          // what is taken as logits, in words
	Batch    int    `json:"batch,omitempty"` // examples that the file is made for, if it is a fixed number
	Params   int    `json:"parameters"`
	Sites    []Site `json:"sites"`
}

// Tensor is a name and a shape; what is not fixed in the file is -1.
type Tensor struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// fitted is a model for images of one shape.
type fitted struct {
	*Model
	layout string // nchw, nhwc; "" where it makes no difference
	sample []int  // shape of an example as the model takes it
	sites  []Site
	logits []int // shape of the logits of one example
	prob   bool  // what is taken as logits are probabilities: their logarithm is
}

// Net makes the model a network for images [height, width, channels] of so many classes. Its sites are those of Inspect.
func (m *Model) Net(image []int, classes int) (nets.Net, error) {
	m.fitting.Lock()
	defer m.fitting.Unlock()
	f := m.fits[fmt.Sprint(image)]
	if f == nil {
		layout, sample, err := m.fit(image)
		if err != nil {
			return nets.Net{}, err
		}
		if f, err = m.sketch(layout, sample); err != nil {
			return nets.Net{}, err
		}
		m.fits[fmt.Sprint(image)] = f
	}
	if got := product(f.logits); got != classes {
		return nets.Net{}, fmt.Errorf("the network tells %d classes apart (its output is [batch, %d]), the data set has %d",
			got, got, classes)
	}
	if len(f.sites) == 0 {
		return nets.Net{}, errors.New("the network has no hidden units: nothing lies between its input and its logits")
	}
	net := nets.Net{Name: m.opt.String(), Image: slices.Clone(image), Classes: classes, Graph: f.graph}
	for _, s := range f.sites {
		if s.Default {
			net.Default = append(net.Default, s.Name)
		}
	}
	return net, nil
}

// Inspect tells what the file holds. image is the shape of images [height, width, channels]; nil takes it from the file,
// which must then have it.
func (m *Model) Inspect(image []int) (Info, error) {
	info := Info{Producer: m.file.producer, Opset: m.file.opset, Batch: m.fixed,
		Input: Tensor{m.input.name, m.input.shape}, Output: Tensor{Name: m.network.output}}
	layout, sample := m.opt.Layout, m.input.shape[1:]
	if image != nil {
		var err error
		if layout, sample, err = m.fit(image); err != nil {
			return info, err
		}
	} else if slices.Contains(sample, -1) {
		return info, fmt.Errorf("its input %q has shape %s, so the shapes of its tensors depend on the images; "+
			"say which: --data NAME", m.input.name, Dims(m.input.shape))
	}
	if layout == "" && len(sample) == 3 {
		switch { // a guess, for the axis of the units of what comes before the first convolution
		case sample[0] == 1 || sample[0] == 3:
			layout = "nchw"
		case sample[2] == 1 || sample[2] == 3:
			layout = "nhwc"
		}
	}
	f, err := m.sketch(layout, sample)
	if err != nil {
		return info, err
	}
	info.Layout, info.Sites = layout, f.sites
	info.Output.Shape = append([]int{-1}, f.logits...)
	for _, p := range m.params {
		info.Params += len(p.array.Data)
	}
	switch {
	case f.prob:
		info.Logits = "the logarithm of the output, which are probabilities"
	case m.how != "":
		info.Logits = m.how
	default:
		info.Logits = "the output"
	}
	return info, nil
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// fit finds how images [height, width, channels] lie in the model's input.
func (m *Model) fit(image []int) (layout string, sample []int, err error) {
	h, w, c := image[0], image[1], image[2]
	shape := m.input.shape[1:]
	can := map[string][]int{}
	switch len(shape) {
	case 3:
		can["nchw"], can["nhwc"] = []int{c, h, w}, []int{h, w, c}
	case 2:
		if c == 1 {
			can[""] = []int{h, w}
		}
	case 1:
		can["nchw"], can["nhwc"] = []int{h * w * c}, []int{h * w * c}
		if c == 1 {
			can = map[string][]int{"": {h * w}}
		}
	}
	matches := func(s []int) bool {
		return slices.EqualFunc(s, shape, func(a, b int) bool { return a == b || b < 0 })
	}
	for l, s := range can {
		if !matches(s) || m.opt.Layout != "" && l != "" && l != m.opt.Layout {
			delete(can, l)
		}
	}
	switch len(can) {
	case 0:
		asked := ""
		if m.opt.Layout != "" {
			asked = " in layout " + m.opt.Layout
		}
		return "", nil, fmt.Errorf("the network takes %s in its input %q, images of the data set are [%d, %d, %d] "+
			"(height, width, channels)%s: this does not fit", Dims(append([]int{-1}, shape...)), m.input.name, h, w, c, asked)
	case 1:
		for l, s := range can {
			return l, s, nil
		}
	}
	return "", nil, fmt.Errorf("images [%d, %d, %d] fit the input %q %s in two ways; say which it is: --layout nchw "+
		"(channels first, as PyTorch has it) or --layout nhwc (channels last, as Keras has it)", h, w, c, m.input.name,
		Dims(append([]int{-1}, shape...)))
}

// limit is the number of elements that no tensor of one example may have.
const limit = 1 << 28

// sketch builds the network for images of one shape without running it, for two and for three examples, and finds the
// tensors that can be sites: of float32, depending on the images, with the examples on the first axis and units on a known
// one.
func (m *Model) sketch(layout string, sample []int) (*fitted, error) {
	f := &fitted{Model: m, layout: layout, sample: sample}
	images := m.fromImage()
	var names []string
	op := map[string]string{}
	for _, d := range m.nodes {
		for _, out := range d.out {
			if images[out] && (!d.hidden || out == m.logits) {
				names = append(names, out)
			}
			op[out] = d.op
			if d.label != "" {
				op[out] = d.label
			}
		}
	}
	two, same, err := m.shapes(2, sample, names)
	if err != nil {
		return nil, err
	}
	three, _, err := m.shapes(3, sample, names)
	if err != nil {
		return nil, err
	}
	perExample := func(name string) bool {
		a, b := two[name], three[name]
		return a.Rank() >= 2 && a.DType == dtypes.Float32 && a.Dimensions[0] == 2 && b.Dimensions[0] == 3 &&
			slices.Equal(a.Dimensions[1:], b.Dimensions[1:])
	}
	wide := 0 // axes, of which classes are one
	for _, d := range two[m.logits].Dimensions {
		if d > 1 {
			wide++
		}
	}
	if !perExample(m.logits) || wide > 2 {
		fixed := ""
		if m.fixed > 0 {
			fixed = fmt.Sprintf("; the file is made for batches of %d: export it with a batch of any size "+
				"(in PyTorch, dynamic_shapes or dynamic_axes)", m.fixed)
		}
		return nil, fmt.Errorf("its logits for 2 images have shape %v, for 3 images %v, not [images, classes]%s",
			two[m.logits].Dimensions, three[m.logits].Dimensions, fixed)
	}
	f.logits = two[m.logits].Dimensions[1:]
	dimensions := map[string][]int{m.input.name: append([]int{2}, sample...)}
	for name, s := range two {
		dimensions[name] = s.Dimensions
		if declared := m.sizes[name]; len(declared) == s.Rank() { // padding may have been computed from it
			for axis := 1; axis < s.Rank(); axis++ {
				if declared[axis] > 0 && declared[axis] != s.Dimensions[axis] {
					return nil, fmt.Errorf("tensor %q has shape %v, the file says %s", name, s.Dimensions, Dims(declared))
				}
			}
		}
	}
	input := map[string]int{"nchw": 1, "nhwc": 3}[layout]
	if len(sample) == 1 {
		input = 1
	}
	axes, defaults := m.unitAxes(dimensions, input), m.defaults()
	for _, name := range names {
		axis := axes[name]
		rank := len(dimensions[name])
		switch {
		case rank > 2 && m.opt.UnitAxis == -1:
			axis = rank - 1
		case rank > 2 && m.opt.UnitAxis > 0:
			axis = m.opt.UnitAxis
		}
		if name == m.logits || !perExample(name) || same[name] || axis < 1 || axis >= rank || !siteName(name) {
			continue
		}
		f.sites = append(f.sites, Site{Name: name, Op: op[name], Shape: dimensions[name][1:], Axis: axis,
			Units: dimensions[name][axis], Default: defaults[name]})
	}
	if m.doubt || m.fixed > 0 {
		return f, f.try()
	}
	return f, nil
}

// shapes builds the network for so many examples, and returns the shapes of the named tensors. same has those that are only
// another name of one before.
func (m *Model) shapes(examples int, sample []int, names []string) (
	found map[string]shapes.Shape, same map[string]bool, err error,
) {
	backend, err := engine()
	if err != nil {
		return nil, nil, err
	}
	defer backend.Finalize()
	found, same = map[string]shapes.Shape{}, map[string]bool{}
	err = try(func() error {
		g := graph.NewGraph(backend, "sketch")
		defer g.Finalize()
		store := model.NewStore()
		model.SetStore(g, store)
		x := graph.Parameter(g, "images", shapes.Make(dtypes.Float32, append([]int{examples}, sample...)...))
		nodes := m.call(store.RootScope(), x, names)
		seen := map[graph.NodeId]bool{x.Id(): true}
		for i, n := range nodes {
			found[names[i]], same[names[i]] = n.Shape(), seen[n.Id()]
			seen[n.Id()] = true
		}
		for _, n := range g.Nodes() {
			size := 1
			for _, d := range n.Shape().Dimensions {
				if size *= max(1, d); size > examples*limit {
					return fmt.Errorf("a tensor of shape %v is too large", n.Shape().Dimensions)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("the network cannot be built for images %v: %w", sample, err)
	}
	return found, same, nil
}

// call builds the network on x, which is as the model takes it, and returns the named tensors.
func (m *Model) call(scope *model.Scope, x *graph.Node, names []string) []*graph.Node {
	for _, p := range m.params {
		scope.At(scopeName).VariableWithShape(p.name, shapes.Make(dtypes.Float32, p.array.Shape...))
	}
	m.building.Lock()
	defer m.building.Unlock()
	return m.built.CallGraph(scope, x.Graph(), map[string]*graph.Node{m.input.name: x}, names...)
}

// graph is the Graph of the nets.Net.
func (f *fitted) graph(scope *model.Scope, images *graph.Node) *graph.Node {
	x := images // [batch, height, width, channels]
	if f.layout == "nchw" {
		x = graph.TransposeAllAxes(x, 0, 3, 1, 2)
	}
	x = graph.Reshape(x, append([]int{images.Shape().Dimensions[0]}, f.sample...)...)
	return f.logitsOf(scope, x)
}

func (f *fitted) logitsOf(scope *model.Scope, x *graph.Node) *graph.Node {
	g := x.Graph()
	names := []string{f.Model.logits}
	if tap.Recording(g) {
		for _, s := range f.sites {
			names = append(names, s.Name)
		}
	}
	first := len(g.Nodes())
	found := f.call(scope, x, names)
	logits := found[0]
	if len(names) > 1 {
		logits = f.tapped(g.Nodes()[first:], logits, found[1:])
	}
	logits = graph.Reshape(logits, logits.Shape().Dimensions[0], product(f.logits))
	if f.prob {
		logits = graph.Log(graph.MaxScalar(logits, math.SmallestNonzeroFloat32*(1<<23))) // the smallest normal number
	}
	return logits
}

// tapped names activations in a part of a graph that is built already: what depends on a named activation is built again on
// what tap.Point gives. nodes are in order.
func (f *fitted) tapped(nodes []*graph.Node, logits *graph.Node, activations []*graph.Node) *graph.Node {
	site := map[graph.NodeId]Site{}
	for i, n := range activations {
		site[n.Id()] = f.sites[i]
	}
	needed := map[graph.NodeId]bool{logits.Id(): true}
	for _, n := range slices.Backward(nodes) {
		if needed[n.Id()] {
			for _, in := range n.Inputs() {
				needed[in.Id()] = true
			}
		}
	}
	instead := map[graph.NodeId]*graph.Node{}
	for _, n := range nodes {
		if !needed[n.Id()] {
			continue
		}
		now, inputs := n, slices.Clone(n.Inputs())
		for i, in := range inputs {
			if y := instead[in.Id()]; y != nil {
				inputs[i] = y
			}
		}
		if !slices.Equal(inputs, n.Inputs()) {
			now = n.CloneWithInputs(inputs...)
		}
		if s, ok := site[n.Id()]; ok {
			now = point(now, s)
		}
		if now != n {
			instead[n.Id()] = now
		}
	}
	if y := instead[logits.Id()]; y != nil {
		return y
	}
	return logits
}

// point taps x with its units on the last axis.
func point(x *graph.Node, s Site) *graph.Node {
	last := x.Rank() - 1
	if s.Axis == last {
		return tap.Point(x, s.Name)
	}
	var there, back []int // axes in the order in which they come to lie
	for axis := range x.Rank() {
		if axis != s.Axis {
			there = append(there, axis)
		}
	}
	there = append(there, s.Axis)
	back = make([]int, len(there))
	for i, axis := range there {
		back[axis] = i
	}
	return graph.TransposeAllAxes(tap.Point(graph.TransposeAllAxes(x, there...), s.Name), back...)
}

// try runs the network on random images, to find out what the file does not tell: whether its output is probabilities, and
// whether a network made for a fixed number of examples gives each the same answer among others.
func (f *fitted) try() error {
	backend, err := engine()
	if err != nil {
		return err
	}
	defer backend.Finalize()
	store, err := nets.NewStore(f.Weights())
	if err != nil {
		return err
	}
	run := func(x []float32) (logits [][]float32, err error) {
		n := len(x) / product(f.sample)
		err = try(func() error {
			exec, err := model.NewExec(backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
				return f.logitsOf(scope, x)
			})
			if err != nil {
				return err
			}
			defer exec.Finalize()
			out, err := exec.Exec(tensors.FromFlatDataAndDimensions(x, append([]int{n}, f.sample...)...))
			if err != nil {
				return err
			}
			flat, err := tensors.CopyFlatData[float32](out[0])
			logits = slices.Collect(slices.Chunk(flat, product(f.logits)))
			return err
		})
		return logits, err
	}
	examples := max(2, f.fixed+1)
	if f.fixed > 64 {
		return fmt.Errorf("the file is made for batches of %d; export it with a batch of any size (in PyTorch, dynamic_shapes "+
			"or dynamic_axes)", f.fixed)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, examples*product(f.sample))
	for i := range x {
		x[i] = rng.Float32()
	}
	all, err := run(x)
	if err != nil {
		return fmt.Errorf("the network cannot be run: %w", err)
	}
	if f.doubt {
		f.prob = !slices.ContainsFunc(all, func(row []float32) bool {
			var sum float64
			for _, p := range row {
				if !(p >= 0 && p <= 1) {
					return true
				}
				sum += float64(p)
			}
			return math.Abs(sum-1) > 1e-4
		})
	}
	if f.fixed == 0 {
		return nil
	}
	some, err := run(x[:f.fixed*product(f.sample)])
	if err != nil {
		return fmt.Errorf("the network cannot be run: %w", err)
	}
	if f.prob { // the first run gave probabilities
		for _, row := range all {
			for i, p := range row {
				row[i] = float32(math.Log(max(float64(p), math.SmallestNonzeroFloat32*(1<<23))))
			}
		}
	}
	for e, row := range some {
		for i, y := range row {
			if d := math.Abs(float64(y - all[e][i])); !(d <= 1e-3*(1+math.Abs(float64(y)))) {
				return fmt.Errorf("the file is made for batches of %d, and an image among %d gives another answer (%v) than "+
					"among %d (%v); export it with a batch of any size (in PyTorch, dynamic_shapes or dynamic_axes)",
					f.fixed, examples, all[e][i], f.fixed, y)
			}
		}
	}
	return nil
}
