package probe

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
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
	cancels              *model.Exec               // method single, see pairs.go
	kept                 map[int][]*tensors.Tensor // frontiers of all chunks of the data, by chunk, if they stay on the device
	size                 int                       // of those chunks
	lastBlock, lastSteps int                       // method chain: the shapes compiled last
}

func (ps *pass) close() {
	for _, e := range []*model.Exec{ps.prefix, ps.constant, ps.suffix, ps.start, ps.differ, ps.cancels} {
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
		ps.differ = exec("differences", differences(j.layout))
		switch j.method {
		case chain:
			ps.start = exec("start", p.chainStart(j, ps))
			ps.suffix = exec("suffix", p.chainGraph(j, ps))
		case single, pairs:
			ps.suffix = exec("suffix", p.pairGraph(j, ps))
			ps.cancels = exec("cancels", p.cancels(j, ps))
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
	// instead computes some nodes behind the cut, by index, in another way.
	instead map[int]func(n *graph.Node) *graph.Node
}

// compute gives the rows' logits from the values of the frontier (of a chunk) and the constants.
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
	given       []*tensors.Tensor
	value, near *tensors.Tensor   // what units of the first site are clamped to, and how far from it counts as equal
	pieces      [][]piece         // method chain: of every chain
	begin       []*tensors.Tensor // method chain: where chains start
	lanes       []*lane           // methods pairs and single
	table       *tensors.Tensor   // methods pairs and single: which units each set clamps
	rowOfTable  []int32           // by set
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
