package probe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// pass is a compiled job: the prefix turns a chunk of images into the frontier, the suffix turns a frontier and widen sets
// of edits into outcomes.
type pass struct {
	prefix *model.Exec // images, start → frontier
	suffix *model.Exec // targets, start, edits…, frontier… → outcomes
}

// outcomes of a pass, each [widen, chunk]; counting is left to the host, where sums are exact.
type outcomes struct {
	class   []int32   // predicted class; of tied classes the lowest
	tied    []int32   // how many other classes share the largest logit
	loss    []float32 // cross-entropy in nats
	changed []int32   // activations the edits changed
}

// run scores the sets of a job, chunk by chunk.
func (p *Probe) run(ctx context.Context, j job, sets [][]unit.Edit, t *tally) error {
	if len(j.sites) == 0 {
		return p.runPlain(ctx, j, sets, t)
	}
	ps, err := p.compile(j)
	if err != nil {
		return err
	}
	blocks := slices.Collect(slices.Chunk(j.sets, j.widen))
	for start, from := range chunks(j.n, j.chunk) {
		if err := p.runChunk(ctx, j, ps, blocks, start, from, sets, t); err != nil {
			return err
		}
	}
	return nil
}

// runChunk computes the frontier of a chunk, and all blocks of sets over it.
func (p *Probe) runChunk(ctx context.Context, j job, ps *pass, blocks [][]int, start, from int, sets [][]unit.Edit, t *tally) error {
	at := []*tensors.Tensor{scalar(start)}
	defer free(at)
	frontier, err := call(ps.prefix, p.images, at[0])
	if err != nil {
		return err
	}
	defer free(frontier)
	var draws []*tensors.Tensor // by site; kept for the whole chunk if all sets share them
	defer func() { free(draws) }()
	for _, block := range blocks {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		if j.noise && (draws == nil || !j.shared) {
			free(draws)
			if draws, err = p.draw(j.sites, j.keys(sets, block), at[0], j.chunk); err != nil {
				return err
			}
		}
		var edits, inputs []*tensors.Tensor
		for i, site := range j.sites {
			in := p.inputs(site, j.noise, j.widen, sets, block)
			edits = append(edits, in...)
			inputs = append(inputs, in...)
			if j.noise {
				inputs = append(inputs, draws[i])
			}
		}
		out, err := call(ps.suffix, slices.Concat([]*tensors.Tensor{p.targets, at[0]}, inputs, frontier)...)
		free(edits)
		if err != nil {
			return err
		}
		o, err := read(out)
		if err == nil {
			err = t.add(o, block, start, from, j.chunk)
		}
		if err != nil {
			return err
		}
		if p.opt.Advance != nil {
			p.opt.Advance(len(block) * (start + j.chunk - from))
		}
	}
	return nil
}

// chunks yields (start, from): a chunk begins at start, and its examples from `from` on were not seen before. All chunks
// are of one size, so that one compiled graph serves them; the last one begins earlier rather than being padded.
func chunks(n, size int) func(yield func(start, from int) bool) {
	return func(yield func(start, from int) bool) {
		for from := 0; from < n; from += size {
			if !yield(min(from, n-size), from) {
				return
			}
		}
	}
}

// call runs a graph; a panic while it is being compiled is an error like any other.
func call(exec *model.Exec, inputs ...*tensors.Tensor) (outputs []*tensors.Tensor, err error) {
	args := make([]any, len(inputs))
	for i, t := range inputs {
		args[i] = t
	}
	panicked := exceptions.TryCatch[error](func() { outputs, err = exec.Call(args...) })
	if err = cmp.Or(err, panicked); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return outputs, nil
}

// scalar is an index as the graphs take it.
func scalar(n int) *tensors.Tensor { return tensors.FromScalar(int32(n)) }

// free gives back at once what the garbage collector would free some time.
func free(ts []*tensors.Tensor) {
	for _, t := range ts {
		_ = t.FinalizeAll()
	}
}

// read copies the outcomes to the host and frees the device's copies.
func read(out []*tensors.Tensor) (o outcomes, err error) {
	defer free(out)
	if o.class, err = tensors.CopyFlatData[int32](out[0]); err != nil {
		return o, fmt.Errorf("probe: %w", err)
	}
	if o.tied, err = tensors.CopyFlatData[int32](out[1]); err != nil {
		return o, fmt.Errorf("probe: %w", err)
	}
	if o.loss, err = tensors.CopyFlatData[float32](out[2]); err != nil {
		return o, fmt.Errorf("probe: %w", err)
	}
	if o.changed, err = tensors.CopyFlatData[int32](out[3]); err != nil {
		return o, fmt.Errorf("probe: %w", err)
	}
	return o, nil
}

// compile builds (lazily compiles) the two graphs of a job, or finds them among those built before.
func (p *Probe) compile(j job) (*pass, error) {
	id := fmt.Sprint(j.sites, j.noise)
	if ps := p.passes[id]; ps != nil {
		return ps, nil
	}
	// Both graphs build the whole model and agree on the frontier by its order; what an output does not need, the
	// backend drops.
	build := func(scope *model.Scope, images *graph.Node) (frontier, downstream, edited []*graph.Node, logits *graph.Node) {
		var r tap.Recorder
		r.Attach(images.Graph())
		logits = p.net.Graph(scope, images)
		for _, s := range j.sites {
			edited = append(edited, r.Node(s))
		}
		frontier, downstream = cut(images, edited, logits)
		return frontier, downstream, edited, logits
	}
	chunk := j.chunk
	prefix, err := model.NewExec(p.backend.Engine, p.store, func(scope *model.Scope, images, start *graph.Node) []*graph.Node {
		frontier, _, _, _ := build(scope, p.net.Pixels(slice(images, start, chunk)))
		return last(frontier)
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	per := inputsPerSite(j.noise)
	suffix, err := model.NewExec(p.backend.Engine, p.store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		targets, start := in[0], in[1]
		g := targets.Graph()
		widen := in[2].Shape().Dimensions[0]
		given := in[2+per*len(j.sites):]
		// A stand-in of the widened batch's shape; nothing that is used depends on its values.
		images := graph.Zeros(g, shapes.Make(dtypes.Float32, append([]int{widen * chunk}, p.net.Image...)...))
		frontier, downstream, edited, logits := build(scope, images)
		if len(frontier) != len(given) {
			exceptions.Panicf("probe: the network is not built the same way twice (%d and %d nodes at the cut)", len(given), len(frontier))
		}
		at := map[graph.NodeId]int{}
		for i, n := range edited {
			at[n.Id()] = i
		}
		var changed *graph.Node
		now := map[graph.NodeId]*graph.Node{} // what takes a node's place
		put := func(n, value *graph.Node) {
			if i, ok := at[n.Id()]; ok {
				var c *graph.Node
				value, c = editWide(value, in[2+per*i:2+per*(i+1)])
				if changed == nil {
					changed = c
				} else {
					changed = graph.Add(changed, c)
				}
			}
			now[n.Id()] = value
		}
		for i, n := range frontier {
			if d := given[i].Shape().Dimensions; len(d) == 0 || d[0]%chunk != 0 || d[0]*widen != n.Shape().Dimensions[0] {
				exceptions.Panicf("probe: an activation of shape %v mixes examples, the network cannot be evaluated in parts", d)
			}
			put(n, graph.Reshape(graph.BroadcastPrefix(given[i], widen), n.Shape().Dimensions...))
		}
		for _, n := range downstream {
			inputs := slices.Clone(n.Inputs())
			for i, x := range inputs {
				if y := now[x.Id()]; y != nil {
					inputs[i] = y
				}
			}
			put(n, n.CloneWithInputs(inputs...))
		}
		labels := graph.Reshape(graph.BroadcastPrefix(slice(targets, start, chunk), widen), -1)
		class, tied, loss := outcome(now[logits.Id()], labels)
		wide := func(x *graph.Node) *graph.Node { return graph.Reshape(x, widen, chunk) }
		return []*graph.Node{wide(class), wide(tied), wide(loss), changed}
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	name := "probe " + strings.Join(j.sites, "+")
	ps := &pass{prefix: prefix.WithName(name + " prefix"), suffix: suffix.WithName(name + " suffix")}
	p.passes[id] = ps
	return ps, nil
}

// last makes nodes the last ones of their graph: the pure-Go backend cannot run a graph with parameters, here the
// weights of later layers, that were made after its last output.
func last(nodes []*graph.Node) []*graph.Node {
	out := make([]*graph.Node, len(nodes))
	for i, n := range nodes {
		out[i] = graph.Identity(n)
	}
	return out
}

// slice is rows start…start+size of x. It gathers, because the pure-Go backend has no slices with computed bounds.
func slice(x, start *graph.Node, size int) *graph.Node {
	rows := graph.Add(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, size, 1), 0), start)
	return graph.Gather(x, rows, true)
}

// outcome gives for logits [rows, classes] and labels [rows]: the predicted class, how many others tie with it, and the
// cross-entropy, each [rows].
func outcome(logits, labels *graph.Node) (class, tied, loss *graph.Node) {
	classes := logits.Shape().Dimensions[1]
	class = graph.ArgMax(logits, -1, dtypes.Int32)
	top := graph.ReduceMax(logits, -1)
	best := graph.Equal(logits, graph.BroadcastToShape(graph.InsertAxes(top, -1), logits.Shape()))
	tied = graph.AddScalar(graph.ReduceSum(graph.ConvertDType(best, dtypes.Int32), -1), -1)
	own := graph.OneHot(labels, classes, logits.DType())
	loss = graph.Neg(graph.ReduceSum(graph.Mul(own, graph.LogSoftmax(logits, -1)), -1))
	return class, tied, loss
}

// inputsPerSite is the number of graph inputs that describe the edits at one site: mask and value, and for noise sigma
// and key.
func inputsPerSite(noise bool) int {
	if noise {
		return 4
	}
	return 2
}

// editWide applies widen sets of edits to x [widen·chunk, …, units], and counts for each set and example the activations
// that changed: [widen, chunk]. in holds mask (Bool)[widen, units] and
// value (Float32)[widen, units], for noise also sigma (Float32)[widen, units] and draws (Float32)[1 or widen, chunk, …, units].
func editWide(x *graph.Node, in []*graph.Node) (edited, changed *graph.Node) {
	flat := x.Shape().Dimensions
	widen := in[0].Shape().Dimensions[0]
	dims := append([]int{widen, flat[0] / widen}, flat[1:]...) // [widen, chunk, …, units]
	lift := func(n *graph.Node) *graph.Node {                  // [widen, units] → dims
		for n.Rank() < len(dims) {
			n = graph.InsertAxes(n, 1)
		}
		return graph.BroadcastToDims(n, dims...)
	}
	x = graph.Reshape(x, dims...)
	y := graph.Where(lift(in[0]), lift(in[1]), x)
	if len(in) == 4 {
		draw := graph.BroadcastToDims(in[3], dims...)
		y = graph.Add(y, graph.Mul(lift(in[2]), draw))
	}
	// Counted by a matrix product: several times faster than a sum on the CPU, and exact up to 2^24 activations an example.
	differ := graph.Reshape(graph.ConvertDType(graph.NotEqual(x, y), dtypes.Float32), flat[0], -1)
	ones := graph.Ones(x.Graph(), shapes.Make(dtypes.Float32, differ.Shape().Dimensions[1], 1))
	changed = graph.ConvertDType(graph.Reshape(graph.Dot(differ, ones).MatMul(), widen, dims[1]), dtypes.Int32)
	return graph.Reshape(y, flat...), changed
}

// inputs gives the graph inputs that describe what the sets of block do at one site, in the layout editWide reads, but
// without the draws. A block shorter than widen is filled up with empty sets.
func (p *Probe) inputs(site string, noise bool, widen int, sets [][]unit.Edit, block []int) []*tensors.Tensor {
	s, _ := unit.Find(p.sites, site)
	n := s.Units()
	mask, value := make([]bool, widen*n), make([]float32, widen*n)
	var sigma []float32
	if noise {
		sigma = make([]float32, widen*n)
	}
	for row, i := range block {
		for _, e := range sets[i] {
			if e.Site != site {
				continue
			}
			count := len(e.Units)
			if e.Units == nil {
				count = n
			}
			for k := range count {
				u := k
				if e.Units != nil {
					u = e.Units[k]
				}
				at := row*n + u
				switch e.To.Kind {
				case unit.KindZero:
					mask[at] = true
				case unit.KindMean:
					mask[at], value[at] = true, float32(p.mean(site)[u])
				case unit.KindValue:
					mask[at], value[at] = true, float32(e.To.Value)
				}
				if e.Sigma != nil {
					sigma[at] = float32(e.Sigma[k])
				}
			}
		}
	}
	in := []*tensors.Tensor{tensors.FromFlatDataAndDimensions(mask, widen, n), tensors.FromFlatDataAndDimensions(value, widen, n)}
	if noise {
		in = append(in, tensors.FromFlatDataAndDimensions(sigma, widen, n))
	}
	return in
}
