package probe

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/gotype"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// graphFunc builds a graph with any number of inputs and outputs.
type graphFunc = func(scope *model.Scope, in []*graph.Node) []*graph.Node

// pass is what a kind of job compiles to. Its graphs build the whole model and agree on the cut by the order of its nodes;
// what an output does not need, the backend drops.
type pass struct {
	anatomy
	prefix               *model.Exec               // images, ids → frontier
	constant             *model.Exec               // a dummy → the dummy, constants
	suffix               *model.Exec               // see wide, and the file of each method → class, tied, loss, …
	start                *model.Exec               // method chain, see chain.go
	differ               *model.Exec               // activation, value, counts → see differences
	kept                 map[int][]*tensors.Tensor // frontiers of all chunks of the data, by chunk, if they stay on the device
	size                 int                       // of those chunks
	lastBlock, lastSteps int                       // method chain: the shapes compiled last
}

func (ps *pass) close() {
	for _, e := range []*model.Exec{ps.prefix, ps.constant, ps.suffix, ps.start, ps.differ} {
		if e != nil {
			e.Finalize()
		}
	}
	ps.forget()
}

// forget frees the frontiers kept on the device, and returns their bytes.
func (ps *pass) forget() (bytes int64) {
	for _, ts := range ps.kept {
		bytes += memory(ts)
		free(ts)
	}
	ps.kept = nil
	return bytes
}

// compile builds (lazily compiles) the graphs of a job, or finds them among those built before.
func (p *Probe) compile(j job) (*pass, error) {
	id := j.key()
	if ps := p.passes[id]; ps != nil {
		return ps, nil
	}
	a, err := p.anatomy(j.sites)
	if err != nil {
		return nil, err
	}
	ps := &pass{anatomy: a}
	name := "probe " + id
	exec := func(kind string, f graphFunc) *model.Exec {
		e, err := model.NewExec(p.backend.Engine, p.store, f)
		if err != nil {
			exceptions.Panicf("%s %s: %v", name, kind, err)
		}
		return e.WithName(name + " " + kind)
	}
	err = exceptions.TryCatch[error](func() {
		ps.prefix = exec("prefix", func(scope *model.Scope, in []*graph.Node) []*graph.Node {
			images, ids := in[0], in[1]
			s := p.build(scope, p.net.Pixels(rowsOf(images, ids)), j.sites)
			out := s.frontier
			if j.method == single {
				for _, l := range ps.linears {
					out = append(slices.Clip(out), s.downstream[l.at]) // what the edit will be added to
				}
			}
			return last(out)
		})
		ps.constant = exec("constants", func(scope *model.Scope, in []*graph.Node) []*graph.Node {
			s := p.build(scope, p.standIn(in[0].Graph(), 1), j.sites)
			return last(append(in, s.constant...)) // a graph needs an input and an output
		})
		ps.differ = exec("differences", differences)
		switch j.method {
		case chain:
			ps.start = exec("start", p.chainStart(j, ps))
			ps.suffix = exec("suffix", p.chainGraph(j, ps))
		case single, pairs:
			ps.suffix = exec("suffix", p.pairGraph(j, ps))
		default:
			ps.suffix = exec("suffix", p.gridGraph(j))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	p.passes[id] = ps
	return ps, nil
}

// standIn stands for the images of so many rows in a graph that is given what depends on them.
func (p *Probe) standIn(g *graph.Graph, rows int) *graph.Node {
	return graph.Zeros(g, shapes.Make(dtypes.Float32, append([]int{rows}, p.net.Image...)...))
}

// wide is a section built for rows, a row being one example under one set of edits.
type wide struct {
	section
	now map[graph.NodeId]*graph.Node // what takes a node's place
	// spread lays a node of the frontier, given for a chunk, out over the rows.
	spread func(given *graph.Node) *graph.Node
	// edit applies to the rows of the i-th edited site what their sets do there.
	edit func(i int, x *graph.Node) *graph.Node
	// instead computes some nodes behind the cut, by index, in another way; weight is the input that is not the activation.
	instead map[int]func(n *graph.Node) *graph.Node
}

// logits computes the rows' logits from the values of the frontier (of a chunk) and the constants.
func (w *wide) compute(frontier, constant []*graph.Node, chunk int) *graph.Node {
	w.now = map[graph.NodeId]*graph.Node{}
	if len(frontier) != len(w.frontier) || len(constant) != len(w.constant) {
		exceptions.Panicf("probe: the network is not built the same way twice (%d and %d nodes at the cut, %d and %d constants)",
			len(frontier), len(w.frontier), len(constant), len(w.constant))
	}
	put := func(n, value *graph.Node) {
		if i := slices.Index(w.edited, n); i >= 0 {
			value = w.edit(i, value)
		}
		w.now[n.Id()] = value
	}
	for i, n := range w.constant {
		w.now[n.Id()] = constant[i]
	}
	for i, n := range w.frontier {
		if d := frontier[i].Shape().Dimensions; len(d) == 0 || d[0] != chunk || !slices.Equal(d[1:], n.Shape().Dimensions[1:]) {
			exceptions.Panicf("probe: an activation of shape %v mixes examples, the network cannot be evaluated in parts", d)
		}
		put(n, w.spread(frontier[i]))
	}
	for i, n := range w.downstream {
		if f := w.instead[i]; f != nil {
			put(n, f(n))
			continue
		}
		inputs := slices.Clone(n.Inputs())
		for k, x := range inputs {
			inputs[k] = w.value(x)
		}
		put(n, n.CloneWithInputs(inputs...))
	}
	return w.now[w.logits.Id()]
}

// value is what takes a node's place, the node itself if nothing does.
func (w *wide) value(n *graph.Node) *graph.Node {
	if y := w.now[n.Id()]; y != nil {
		return y
	}
	return n
}

// gridGraph is the suffix of a job whose passes hold widen sets × chunk examples, all pairs of them. Inputs: targets, ids
// (Int32)[chunk], for each site what editWide reads, frontier, constants. Outputs [widen, chunk]: class, tied, loss, and
// how many activations the edits changed.
func (p *Probe) gridGraph(j job) graphFunc {
	per := inputsPerSite(j.noise)
	return func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		targets, ids, edits := in[0], in[1], in[2:2+per*len(j.sites)]
		chunk, widen := ids.Shape().Dimensions[0], edits[0].Shape().Dimensions[0]
		w := wide{section: p.build(scope, p.standIn(ids.Graph(), widen*chunk), j.sites)}
		w.spread = func(x *graph.Node) *graph.Node { return over(x, widen) }
		var changed *graph.Node
		w.edit = func(i int, x *graph.Node) *graph.Node {
			y := editWide(x, edits[per*i:per*(i+1)])
			changed = plus(changed, countTrue(graph.NotEqual(x, y)))
			return y
		}
		rest := in[2+len(edits):]
		logits := w.compute(rest[:len(rest)-len(w.constant)], rest[len(rest)-len(w.constant):], chunk)
		class, tied, loss := outcome(logits, over(rowsOf(targets, ids), widen))
		return []*graph.Node{class, tied, loss, changed}
	}
}

// over repeats x [chunk, …] for each of widen sets: [widen·chunk, …].
func over(x *graph.Node, widen int) *graph.Node {
	dims := slices.Clone(x.Shape().Dimensions)
	dims[0] *= widen
	return graph.Reshape(graph.BroadcastPrefix(x, widen), dims...)
}

func plus(sum, x *graph.Node) *graph.Node {
	if sum == nil {
		return x
	}
	return graph.Add(sum, x)
}

// editWide applies widen sets of edits to x [widen·chunk, …, units]. in holds mask (Bool)[widen, units] and value
// (Float32)[widen, units], for noise also sigma (Float32)[widen, units] and draws (Float32)[1 or widen, chunk, …, units].
func editWide(x *graph.Node, in []*graph.Node) *graph.Node {
	flat := x.Shape().Dimensions
	widen := in[0].Shape().Dimensions[0]
	dims := append([]int{widen, flat[0] / widen}, flat[1:]...) // [widen, chunk, …, units]
	lift := func(n *graph.Node) *graph.Node {                  // [widen, units] → dims
		for n.Rank() < len(dims) {
			n = graph.InsertAxes(n, 1)
		}
		return graph.BroadcastToDims(n, dims...)
	}
	y := graph.Where(lift(in[0]), lift(in[1]), graph.Reshape(x, dims...))
	if len(in) == 4 {
		y = graph.Add(y, graph.Mul(lift(in[2]), graph.BroadcastToDims(in[3], dims...)))
	}
	return graph.Reshape(y, flat...)
}

// inputsPerSite is the number of graph inputs that describe the edits at one site: mask and value, and for noise sigma
// and draws.
func inputsPerSite(noise bool) int {
	if noise {
		return 4
	}
	return 2
}

// run scores the sets of a job.
func (p *Probe) run(ctx context.Context, j job, sets [][]unit.Edit, examples []int32, t *tally) error {
	if j.method == plain {
		return p.runPlain(ctx, j, sets, examples, t)
	}
	ps, err := p.compile(j)
	if err != nil {
		return err
	}
	dummy := []*tensors.Tensor{tensors.FromScalar(float32(0))}
	constant, err := call(ps.constant, dummy...)
	free(dummy)
	if err != nil {
		return err
	}
	defer free(constant)
	if j.method == chain {
		ps.lastBlock, ps.lastSteps = j.block, j.widen
	}
	r := running{p: p, job: j, pass: ps, sets: sets, tally: t, constant: constant[1:]}
	defer r.close()
	whole := slices.Equal(examples, p.everything())
	for _, c := range chunks(examples, j.chunk) {
		if err := r.runChunk(ctx, c, whole); err != nil {
			return err
		}
	}
	return nil
}

// running is a job while it runs.
type running struct {
	p *Probe
	job
	*pass
	sets     [][]unit.Edit
	tally    *tally
	constant []*tensors.Tensor
	// Of a chunk:
	now      chunk
	ids      *tensors.Tensor
	frontier []*tensors.Tensor
	// For the whole job, all of given being freed at its end:
	given      []*tensors.Tensor
	value      *tensors.Tensor   // what units of the first site are clamped to
	pieces     [][]piece         // method chain: of every chain
	begin      []*tensors.Tensor // method chain: where chains start
	table      *tensors.Tensor   // method pairs: which units each set clamps
	rowOfTable map[int]int       // method pairs: by set
}

func (r *running) close() { free(r.given) }

// runChunk computes the frontier of a chunk, and all sets over it. whole tells that the chunk is one of those of all examples
// in their order, whose frontier may be needed again.
func (r *running) runChunk(ctx context.Context, c chunk, whole bool) (err error) {
	r.now, r.ids = c, c.tensor()
	defer r.ids.FinalizeAll()
	var release func()
	if r.frontier, release, err = r.p.frontier(r.pass, c, r.ids, whole); err != nil {
		return err
	}
	defer release()
	switch r.method {
	case chain:
		return r.runChains(ctx)
	case single, pairs:
		return r.runPairs(ctx)
	}
	return r.runGrid(ctx)
}

// runGrid runs all sets over a chunk, widen at a time.
func (r *running) runGrid(ctx context.Context) (err error) {
	var draws []*tensors.Tensor // by site; kept for the whole chunk if all sets share them
	defer func() { free(draws) }()
	for block := range slices.Chunk(r.job.sets, r.widen) {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		if r.noise && (draws == nil || !r.shared) {
			free(draws)
			if draws, err = r.p.draw(r.sites, r.keys(r.sets, block), r.ids); err != nil {
				return err
			}
		}
		var edits, inputs []*tensors.Tensor
		for i, site := range r.sites {
			in := r.p.inputs(site, r.noise, r.widen, r.sets, block)
			edits = append(edits, in...)
			inputs = append(inputs, in...)
			if r.noise {
				inputs = append(inputs, draws[i])
			}
		}
		o, rest, err := r.pass.call(r.p, r.ids, inputs, r.frontier, r.constant)
		free(edits)
		if err != nil {
			return err
		}
		changed, err := copyOut[int32](rest[0])
		free(rest)
		if err != nil {
			return err
		}
		for row, i := range block {
			for e, id := range r.now.ids[:r.now.fresh] {
				at := row*len(r.now.ids) + e
				if err := r.tally.add(i, id, o.at(at)); err != nil {
					return err
				}
				r.tally.changed[i] += int64(changed[at])
			}
		}
		r.p.advance(len(block) * r.now.fresh)
	}
	return nil
}

// call runs a suffix: targets, ids, inputs, frontier, constants → outcomes and whatever else it gives.
func (ps *pass) call(p *Probe, ids *tensors.Tensor, inputs, frontier, constant []*tensors.Tensor) (outcomes, []*tensors.Tensor, error) {
	out, err := call(ps.suffix, slices.Concat([]*tensors.Tensor{p.targets, ids}, inputs, frontier, constant)...)
	if err != nil {
		return outcomes{}, nil, err
	}
	o, err := read(out)
	if err != nil {
		free(out[3:])
		return outcomes{}, nil, err
	}
	return o, out[3:], nil
}

// frontier computes the frontier of a chunk, or finds it on the device. Of a chunk of the whole data it stays there as
// long as the memory budget allows: the next call will edit the same sites. release frees what does not stay.
func (p *Probe) frontier(ps *pass, c chunk, ids *tensors.Tensor, whole bool) (frontier []*tensors.Tensor, release func(), err error) {
	keep := whole && p.fixed
	if keep && ps.size == len(c.ids) && ps.kept[c.index] != nil {
		return ps.kept[c.index], func() {}, nil
	}
	if frontier, err = call(ps.prefix, p.images, ids); err != nil {
		return nil, nil, err
	}
	if keep {
		if ps.size != len(c.ids) {
			p.keptBytes -= ps.forget()
			ps.size = len(c.ids)
		}
		if bytes := memory(frontier); p.keptBytes+bytes <= p.memory()/2 {
			p.keptBytes += bytes
			if ps.kept == nil {
				ps.kept = map[int][]*tensors.Tensor{}
			}
			ps.kept[c.index] = frontier
			return frontier, func() {}, nil
		}
	}
	return frontier, func() { free(frontier) }, nil
}

// outcomes of rows; counting is left to the host, where sums are exact.
type outcomes struct {
	class []int32   // predicted class; of tied classes the lowest
	tied  []int32   // how many other classes share the largest logit
	loss  []float32 // cross-entropy in nats
}

// answer is the outcome of one row.
type answer struct {
	class, tied int32
	loss        float32
}

func (o outcomes) at(row int) answer { return answer{o.class[row], o.tied[row], o.loss[row]} }

// read copies the outcomes, the first three outputs, to the host and frees the device's copies.
func read(out []*tensors.Tensor) (o outcomes, err error) {
	defer free(out[:3])
	if o.class, err = copyOut[int32](out[0]); err != nil {
		return o, err
	}
	if o.tied, err = copyOut[int32](out[1]); err != nil {
		return o, err
	}
	o.loss, err = copyOut[float32](out[2])
	return o, err
}

func copyOut[T gotype.Supported](t *tensors.Tensor) ([]T, error) {
	flat, err := tensors.CopyFlatData[T](t)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return flat, nil
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

// free gives back at once what the garbage collector would free some time.
func free(ts []*tensors.Tensor) {
	for _, t := range ts {
		_ = t.FinalizeAll()
	}
}

// memory is what tensors take on the device, in bytes.
func memory(ts []*tensors.Tensor) (bytes int64) {
	for _, t := range ts {
		bytes += int64(t.Shape().ByteSize())
	}
	return bytes
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

// inputs gives the graph inputs that describe what the sets of block do at one site, in the layout editWide reads, but
// without the draws. A block shorter than widen, or −1 in place of a set, is filled up with empty sets.
func (p *Probe) inputs(site string, noise bool, widen int, sets [][]unit.Edit, block []int) []*tensors.Tensor {
	s, _ := unit.Find(p.sites, site)
	n := s.Units()
	mask, value := make([]bool, widen*n), make([]float32, widen*n)
	var sigma []float32
	if noise {
		sigma = make([]float32, widen*n)
	}
	for row, i := range block {
		if i < 0 {
			continue // a step that scores no set
		}
		for _, e := range sets[i] {
			if e.Site != site {
				continue
			}
			for k, u := range unitsOf(e, n) {
				at := row*n + u
				if v, clamps := p.target(e.To, site, u); clamps {
					mask[at], value[at] = true, v
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

// unitsOf yields the units of an edit, numbered.
func unitsOf(e unit.Edit, all int) func(yield func(k, u int) bool) {
	return func(yield func(k, u int) bool) {
		if e.Units == nil {
			for u := range all {
				if !yield(u, u) {
					return
				}
			}
			return
		}
		for k, u := range e.Units {
			if !yield(k, u) {
				return
			}
		}
	}
}

// target is the value a unit is clamped to, if it is.
func (p *Probe) target(to unit.Target, site string, u int) (v float32, clamps bool) {
	switch to.Kind {
	case unit.KindZero:
		return 0, true
	case unit.KindMean:
		return float32(p.mean(site)[u]), true
	case unit.KindValue:
		return float32(to.Value), true
	}
	return 0, false
}
