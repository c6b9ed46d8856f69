package probe

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// tally adds up outcomes on the host, as counts and float64 sums, and keeps every prediction for the later comparison.
type tally struct {
	labels  []int32 // of all examples
	place   []int32 // of all examples: where in the list of those evaluated
	score   []unit.Score
	changed []int64
	class   [][]int32 // by set and place
}

func newTally(classes int, labels, examples []int32, sets [][]unit.Edit) *tally {
	t := &tally{labels: labels, place: make([]int32, len(labels)), score: make([]unit.Score, len(sets)),
		changed: make([]int64, len(sets)), class: make([][]int32, len(sets))}
	for k, id := range examples {
		t.place[id] = int32(k)
	}
	for i := range sets {
		t.score[i].ByClass = make([]int, classes)
		t.class[i] = make([]int32, len(examples))
	}
	return t
}

// add counts the outcome of an example under a set.
func (t *tally) add(set int, example int32, a answer) error {
	s, loss := &t.score[set], float64(a.loss)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return fmt.Errorf("probe: the loss of example %d under edit set %d is %v: %w", example, set, loss, ErrNotFinite)
	}
	s.Examples++
	s.Loss += loss
	if a.tied > 0 {
		s.Ties++
	}
	if a.class == t.labels[example] {
		s.Correct++
		s.ByClass[a.class]++
	}
	t.class[set][t.place[example]] = a.class
	return nil
}

// fill writes what was counted into the receipt.
func (t *tally) fill(r *unit.Receipt, sets [][]unit.Edit) {
	for i, s := range t.score {
		r.Ties += s.Ties
		r.Changed += t.changed[i]
		if len(sets[i]) > 0 && t.changed[i] == 0 {
			r.NoEffect++
		}
	}
}

// plainExec compiles the plain path: the network from images to logits with one set of edits, by nothing but tap.Point,
// against which every faster way is checked. Its outputs are class, tied, loss, the number of changed activations, the
// gap between the two largest logits and the size of the largest, by which rounding is told from error.
func (p *Probe) plainExec(l layout) (*model.Exec, error) {
	if exec := p.plain[l]; exec != nil {
		return exec, nil
	}
	exec, err := model.NewExec(p.backend.Engine, p.store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		images, targets, ids := in[0], in[1], in[2]
		edits, _ := p.split(l, p.siteNames(), in[3:])
		var changed *graph.Node
		r := tap.Recorder{Edit: func(site string, x *graph.Node) *graph.Node {
			i := slices.IndexFunc(p.sites, func(s unit.Site) bool { return s.Name == site })
			y, n := editWide(x, l.at(p.sites[i]), edits[i])
			changed = plus(changed, n)
			return y
		}}
		r.Attach(images.Graph())
		logits := p.net.Graph(scope, p.net.Pixels(rowsOf(images, ids)))
		class, tied, loss := outcome(logits, rowsOf(targets, ids))
		if changed == nil {
			changed = graph.ZerosLike(class)
		}
		top := graph.ReduceMax(logits, -1)
		own := graph.OneHot(class, p.net.Classes, logits.DType())
		second := graph.ReduceMax(graph.Sub(logits, graph.MulScalar(own, 1e30)), -1)
		size := graph.ReduceMax(graph.Abs(logits), -1)
		return []*graph.Node{class, tied, loss, changed, graph.Sub(top, second), size}
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	p.plain[l] = exec.WithName("probe plain path" + l.String())
	return exec, nil
}

// siteNames names all sites, in the network's order.
func (p *Probe) siteNames() (names []string) {
	for _, s := range p.sites {
		names = append(names, s.Name)
	}
	return names
}

// plainly are the outcomes of the plain path.
type plainly struct {
	outcomes
	changed   []int32
	gap, size []float32 // between the two largest logits; of the largest
}

// callPlain evaluates one set on a chunk.
func (p *Probe) callPlain(c chunk, sets [][]unit.Edit, set int) (o plainly, err error) {
	l := p.layoutOf(sets, set)
	exec, err := p.plainExec(l)
	if err != nil {
		return o, err
	}
	ids := c.tensor()
	inputs, given := []*tensors.Tensor{ids}, []*tensors.Tensor{ids}
	defer func() { free(given) }()
	sites := p.siteNames()
	draws := make([]*tensors.Tensor, len(sites))
	if l.noise {
		one := job{sites: sites, sets: []int{set}, layout: l, widen: 1}
		if draws, err = p.draw(sites, one.keys(sets, one.sets), ids); err != nil {
			return o, err
		}
		given = append(given, draws...)
	}
	for i, site := range sites {
		var bases *tensors.Tensor
		if l.turns(site) {
			bases = p.bases(site, 1, sets, []int{set}, nil)
			given = append(given, bases)
		}
		all, own := p.inputs(site, l, 1, sets, []int{set}, draws[i], bases)
		inputs, given = append(inputs, all...), append(given, own...)
	}
	out, err := call(exec, slices.Concat([]*tensors.Tensor{p.images, p.targets}, inputs)...)
	if err != nil {
		return o, err
	}
	defer free(out[3:])
	if o.outcomes, err = read(out); err != nil {
		return o, err
	}
	if o.changed, err = copyOut[int32](out[3]); err != nil {
		return o, err
	}
	if o.gap, err = copyOut[float32](out[4]); err == nil {
		o.size, err = copyOut[float32](out[5])
	}
	return o, err
}

// runPlain scores the sets of a job one by one on the plain path.
func (p *Probe) runPlain(ctx context.Context, j job, sets [][]unit.Edit, examples []int32, t *tally) error {
	for _, i := range j.sets {
		for _, c := range chunks(examples, j.chunk) {
			if ctx.Err() != nil {
				return fmt.Errorf("probe: %w", context.Cause(ctx))
			}
			o, err := p.callPlain(c, sets, i)
			if err != nil {
				return err
			}
			for e, id := range c.ids[:c.fresh] {
				if err := t.add(i, id, o.at(e)); err != nil {
					return err
				}
				t.changed[i] += int64(o.changed[e])
			}
			p.advance(c.fresh)
		}
	}
	return nil
}

// nearTie is the gap between the two largest logits, relative to the largest in size, below which two ways of adding up
// the same products in float32 may disagree about which is larger.
const nearTie = 1e-5

// verify recomputes a random sample of (set, chunk) pairs on the plain path and compares the predictions. A difference
// where the plain path's two largest logits are equal up to rounding is counted apart; any other is an error.
func (p *Probe) verify(ctx context.Context, sets [][]unit.Edit, examples []int32, t *tally, rng *rand.Rand, r *unit.Receipt) error {
	var edited []int
	for i, set := range sets {
		if len(set) > 0 {
			edited = append(edited, i)
		}
	}
	parts := chunks(examples, p.plainChunk(len(examples)))
	want, total := cmp.Or(p.opt.Verify, 2), len(edited)*len(parts)
	if want < 0 || want > total {
		want = total
	}
	worst := ""
	for k := range want {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		if want < total {
			k = rng.IntN(total)
		}
		set, c := edited[k/len(parts)], parts[k%len(parts)]
		o, err := p.callPlain(c, sets, set)
		if err != nil {
			return err
		}
		for e, id := range c.ids[:c.fresh] {
			r.Checked++
			got := t.class[set][t.place[id]]
			if o.class[e] == got {
				continue
			}
			if gap := o.gap[e] / (1 + o.size[e]); gap <= nearTie {
				r.NearTies++
				r.NearTieGap = max(r.NearTieGap, float64(gap))
				continue
			}
			r.Mismatches++
			worst = fmt.Sprintf("example %d under edit set %d: class %d, plainly %d by a margin of %.3g",
				id, set, got, o.class[e], o.gap[e])
		}
	}
	if r.Mismatches > 0 {
		return fmt.Errorf("probe: %d of %d predictions differ from the plain path, e.g. %s; this is a defect: please report it with the plan %q",
			r.Mismatches, r.Checked, worst, r.Plan)
	}
	return nil
}
