package probe

import (
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
	labels  []int32
	score   []unit.Score
	changed []int64
	class   [][]int32 // by set and example
}

func newTally(classes int, labels []int32, sets [][]unit.Edit) *tally {
	t := &tally{labels: labels, score: make([]unit.Score, len(sets)), changed: make([]int64, len(sets)), class: make([][]int32, len(sets))}
	for i := range sets {
		t.score[i].ByClass = make([]int, classes)
		t.class[i] = make([]int32, len(labels))
	}
	return t
}

// add counts the outcomes of a block of sets on the chunk that begins at start, skipping what lies before from.
func (t *tally) add(o outcomes, block []int, start, from, chunk int) error {
	for row, i := range block {
		s := &t.score[i]
		for e := from; e < start+chunk; e++ {
			at := row*chunk + e - start
			loss := float64(o.loss[at])
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return fmt.Errorf("probe: the loss of example %d under edit set %d is %v: %w", e, i, loss, ErrNotFinite)
			}
			s.Examples++
			s.Loss += loss
			if o.tied[at] > 0 {
				s.Ties++
			}
			if o.class[at] == t.labels[e] {
				s.Correct++
				s.ByClass[t.labels[e]]++
			}
			t.changed[i] += int64(o.changed[at])
			t.class[i][e] = o.class[at]
		}
	}
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
// against which every faster way is checked. Its outputs are those of a pass, plus the gap between the two largest logits and the
// size of the largest, by which rounding is told from error.
func (p *Probe) plainExec(noise bool, chunk int) (*model.Exec, error) {
	if exec := p.plain[noise]; exec != nil {
		return exec, nil
	}
	per := inputsPerSite(noise)
	exec, err := model.NewExec(p.backend.Engine, p.store, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		images, targets, start := in[0], in[1], in[2]
		var changed *graph.Node
		r := tap.Recorder{Edit: func(site string, x *graph.Node) *graph.Node {
			i := slices.IndexFunc(p.sites, func(s unit.Site) bool { return s.Name == site })
			y, c := editWide(x, in[3+per*i:3+per*(i+1)])
			if changed == nil {
				changed = c
			} else {
				changed = graph.Add(changed, c)
			}
			return y
		}}
		r.Attach(images.Graph())
		logits := p.net.Graph(scope, p.net.Pixels(slice(images, start, chunk)))
		class, tied, loss := outcome(logits, slice(targets, start, chunk))
		if changed == nil {
			changed = graph.ZerosLike(class)
		}
		top := graph.ReduceMax(logits, -1)
		own := graph.OneHot(class, p.net.Classes, logits.DType())
		second := graph.ReduceMax(graph.Sub(logits, graph.MulScalar(own, 1e30)), -1)
		size := graph.ReduceMax(graph.Abs(logits), -1)
		return []*graph.Node{class, tied, loss, graph.Reshape(changed, chunk), graph.Sub(top, second), size}
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	p.plain[noise] = exec.WithName("probe plain path")
	return exec, nil
}

// callPlain evaluates one set on the chunk that begins at start.
func (p *Probe) callPlain(noise bool, chunk, start int, sets [][]unit.Edit, set int) (o outcomes, gap, size []float32, err error) {
	exec, err := p.plainExec(noise, chunk)
	if err != nil {
		return o, nil, nil, err
	}
	inputs := []*tensors.Tensor{scalar(start)}
	defer func() { free(inputs) }()
	var sites []string
	for _, s := range p.sites {
		sites = append(sites, s.Name)
	}
	var draws []*tensors.Tensor
	if noise {
		one := job{sites: sites, sets: []int{set}, noise: true, widen: 1}
		if draws, err = p.draw(sites, one.keys(sets, one.sets), inputs[0], chunk); err != nil {
			return o, nil, nil, err
		}
	}
	for i, site := range sites {
		inputs = append(inputs, p.inputs(site, noise, 1, sets, []int{set})...)
		if noise {
			inputs = append(inputs, draws[i])
		}
	}
	out, err := call(exec, slices.Concat([]*tensors.Tensor{p.images, p.targets}, inputs)...)
	if err != nil {
		return o, nil, nil, err
	}
	defer free(out[4:])
	if o, err = read(out[:4]); err != nil {
		return o, nil, nil, err
	}
	if gap, err = tensors.CopyFlatData[float32](out[4]); err == nil {
		size, err = tensors.CopyFlatData[float32](out[5])
	}
	return o, gap, size, err
}

// runPlain scores the sets of a job one by one on the plain path.
func (p *Probe) runPlain(ctx context.Context, j job, sets [][]unit.Edit, t *tally) error {
	for _, i := range j.sets {
		for start, from := range chunks(j.n, j.chunk) {
			if ctx.Err() != nil {
				return fmt.Errorf("probe: %w", context.Cause(ctx))
			}
			o, _, _, err := p.callPlain(j.noise, j.chunk, start, sets, i)
			if err == nil {
				err = t.add(o, []int{i}, start, from, j.chunk)
			}
			if err != nil {
				return err
			}
			if p.opt.Advance != nil {
				p.opt.Advance(start + j.chunk - from)
			}
		}
	}
	return nil
}

// nearTie is the gap between the two largest logits, relative to the largest in size, below which two ways of adding up
// the same products in float32 may disagree about which is larger.
const nearTie = 1e-5

// verify recomputes a random sample of (set, chunk) pairs on the plain path and compares the predictions. A difference
// where the plain path's two largest logits are equal up to rounding is counted apart; any other is an error.
func (p *Probe) verify(ctx context.Context, sets [][]unit.Edit, t *tally, rng *rand.Rand, r *unit.Receipt) error {
	type pair struct{ set, start, from int }
	var edited []int
	for i, set := range sets {
		if len(set) > 0 {
			edited = append(edited, i)
		}
	}
	all := job{n: len(p.labels)}
	p.size(&all)
	count := (len(p.labels) + all.chunk - 1) / all.chunk
	if len(edited) == 0 || count == 0 {
		return nil
	}
	var pairs []pair
	at := func(k int) pair {
		from := k % count * all.chunk
		return pair{edited[k/count], min(from, all.n-all.chunk), from}
	}
	want, total := p.opt.Verify, len(edited)*count
	if want == 0 {
		want = 2
	}
	if want < 0 || want >= total {
		for k := range total {
			pairs = append(pairs, at(k))
		}
	} else {
		for range want {
			pairs = append(pairs, at(rng.IntN(total)))
		}
	}
	worst := ""
	for _, q := range pairs {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		noise := slices.ContainsFunc(sets[q.set], func(e unit.Edit) bool { return e.Sigma != nil })
		o, gap, size, err := p.callPlain(noise, all.chunk, q.start, sets, q.set)
		if err != nil {
			return err
		}
		for e := q.from; e < q.start+all.chunk; e++ {
			k := e - q.start
			r.Checked++
			if o.class[k] == t.class[q.set][e] {
				continue
			}
			if gap[k] <= nearTie*(1+size[k]) {
				r.NearTies++
				continue
			}
			r.Mismatches++
			worst = fmt.Sprintf("example %d under edit set %d: class %d, plainly %d by a margin of %.3g", e, q.set, t.class[q.set][e], o.class[k], gap[k])
		}
	}
	if r.Mismatches > 0 {
		return fmt.Errorf("probe: %d of %d predictions differ from the plain path, e.g. %s; this is a defect: please report it with the plan %q",
			r.Mismatches, r.Checked, worst, r.Plan)
	}
	return nil
}
