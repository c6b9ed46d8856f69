// Package probe evaluates a trained network under many sets of edits to its activations, and measures those activations.
//
// The plain way is one forward pass of the whole network for every set of edits. A Probe does less work for the same
// answer:
//
//   - What no edit can reach is computed once for each chunk of examples and kept on the device (cut.go), as is what
//     depends on weights only; the rest is built for many rows, a row being an example under a set of edits (pass.go).
//   - All pairs of a few sets and a chunk of examples share a pass (grid.go, noise.go).
//   - Of nested sets, each adds to the first layer behind the cut what the units give that come back (chain.go).
//   - Of sets that edit little, only those examples are computed that an edit changes (differ.go, pairs.go), single
//     units before a dense layer by one row of its weight.
//
// How sets are grouped, by which method and in what shapes is decided before anything runs (plan.go), from the sizes
// and costs of the network's parts (anatomy.go), and can be asked for (explain.go). What was done is in the receipt, and a random
// sample of every call is computed again the plain way and compared (receipt.go). Masks, values, noise scales and random
// keys are inputs of compiled graphs: no edit costs a compilation, and none leaves anything behind.
//
// Networks run in inference mode (protocol, section 2.2).
package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// ErrNotFinite is wrapped by the error of an evaluation in which the network's output was NaN or infinite.
var ErrNotFinite = errors.New("the network's output is not finite")

// Options of a Probe. The zero value plans everything itself.
type Options struct {
	Memory int64 // bytes a pass may use; 0: a quarter of the machine's memory
	Widen  int   // sets of edits in one pass; 0: planned
	Chunk  int   // examples in one pass; 0: planned
	Verify int   // (set, chunk) pairs of every call recomputed on the plain path; 0: 2; negative: all of them
	// Advance, if not nil, is told of work as it gets done, in examples × sets of edits.
	Advance func(n int)
	// Mean gives, by site, the values that unit.Mean clamps to; where it has none, the mean over this probe's own data
	// is measured and used.
	Mean map[string][]float64
	// ElementMean is the same for unit.ElementMean, in the order of ElementMeans.
	ElementMean map[string][]float64
}

// Probe evaluates one network on one set of labelled images. It is safe for concurrent use; calls take turns.
type Probe struct {
	backend *backend.Backend
	net     nets.Net
	store   *model.Store
	sites   []unit.Site
	labels  []int32
	opt     Options

	mu             sync.Mutex
	images         *tensors.Tensor // (Uint8)[examples, height, width, channels], on the device
	targets        *tensors.Tensor // (Int32)[examples]
	moments        map[string]Moments
	elementMeans   map[string][]float64
	elementTensors map[string][]*tensors.Tensor // see elementsOnDevice
	passes         map[string]*pass             // compiled, by method and what they edit
	plain          map[layout]*model.Exec       // compiled
	measure        map[string]*model.Exec
	draws          map[string]*model.Exec // of noise, by site
	calls          uint64

	fixed     bool               // the parameters do not change between calls
	anatomies map[string]anatomy // by sites
	keptBytes int64              // of frontiers that stay on the device between calls
	avoid     map[method]bool    // for tests: methods not to choose
	eager     bool               // for tests: chain sets even where it does not pay
}

// New makes a probe of net with the given weights on the images and labels of data.
func New(b *backend.Backend, net nets.Net, weights map[string]nets.Array, data datasets.Split, opt Options) (*Probe, error) {
	if err := net.Check(b.Engine, weights); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	store, err := nets.NewStore(weights)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	p, err := NewOnStore(b, net, store, data, opt)
	if err != nil {
		return nil, err
	}
	p.fixed = true
	return p, nil
}

// NewOnStore makes a probe that reads the network's parameters from a live store at every call, as training does.
func NewOnStore(b *backend.Backend, net nets.Net, store *model.Store, data datasets.Split, opt Options) (*Probe, error) {
	sites, _, err := net.Sketch(b.Engine)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	if data.Len() == 0 {
		return nil, errors.New("probe: no examples")
	}
	if err := data.Check(); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	if !slices.Equal(data.Shape, net.Image) {
		return nil, fmt.Errorf("probe: images have shape %v, net %s takes %v", data.Shape, net.Name, net.Image)
	}
	for i, y := range data.Labels {
		if y < 0 || int(y) >= net.Classes {
			return nil, fmt.Errorf("probe: label %d of example %d is outside 0..%d, the classes of net %s", y, i, net.Classes-1, net.Name)
		}
	}
	if opt.Memory < 0 || opt.Widen < 0 || opt.Chunk < 0 {
		return nil, fmt.Errorf("probe: Memory %d, Widen %d, Chunk %d: none may be negative (0 means planned)", opt.Memory, opt.Widen, opt.Chunk)
	}
	return &Probe{
		backend: b, net: net, store: store, sites: sites, labels: slices.Clone(data.Labels), opt: opt,
		images:  tensors.FromFlatDataAndDimensions(data.Images, append([]int{data.Len()}, data.Shape...)...),
		targets: tensors.FromFlatDataAndDimensions(data.Labels, data.Len()),
		moments: map[string]Moments{}, passes: map[string]*pass{}, plain: map[layout]*model.Exec{}, measure: map[string]*model.Exec{}, draws: map[string]*model.Exec{},
		anatomies: map[string]anatomy{}, elementMeans: map[string][]float64{}, elementTensors: map[string][]*tensors.Tensor{},
	}, nil
}

// Sites lists the network's named activations, in its order.
func (p *Probe) Sites() []unit.Site { return slices.Clone(p.sites) }

// Examples is the number of images every set of edits is scored on.
func (p *Probe) Examples() int { return len(p.labels) }

// Close frees what the probe holds on the device. The probe cannot be used afterwards.
func (p *Probe) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ps := range p.passes {
		ps.close()
	}
	for _, e := range p.plain {
		e.Finalize()
	}
	for _, e := range p.measure {
		e.Finalize()
	}
	for _, e := range p.draws {
		e.Finalize()
	}
	for _, ts := range p.elementTensors {
		free(ts)
	}
	p.passes, p.plain, p.measure, p.draws, p.elementTensors = nil, nil, nil, nil, nil
	_ = p.images.FinalizeAll()
	_ = p.targets.FinalizeAll()
}

// Evaluate scores the network under each set of edits, on all examples; an empty set is the unedited network. Scores come
// in the order of sets. A cancelled context ends the call within one pass with the context's error. A disagreement between
// the fast and the plain path beyond rounding is an error, whose receipt counts it.
func (p *Probe) Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, receipt, err := p.evaluate(ctx, p.everything(), sets)
	if err != nil {
		return nil, receipt, err
	}
	return t.score, receipt, nil
}

// EvaluateOn is Evaluate on some of the examples, by index, each at most once. right[i][k] says whether set i classifies
// examples[k] as labelled.
func (p *Probe) EvaluateOn(ctx context.Context, examples []int, sets [][]unit.Edit) (
	scores []unit.Score, right [][]bool, receipt unit.Receipt, err error,
) {
	ids, seen := make([]int32, len(examples)), make([]bool, len(p.labels))
	for k, e := range examples {
		if e < 0 || e >= len(p.labels) {
			return nil, nil, receipt, fmt.Errorf("probe: example %d is outside 0..%d", e, len(p.labels)-1)
		}
		if seen[e] {
			return nil, nil, receipt, fmt.Errorf("probe: example %d is given twice", e)
		}
		ids[k], seen[e] = int32(e), true
	}
	if len(ids) == 0 {
		return nil, nil, receipt, errors.New("probe: no examples")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t, receipt, err := p.evaluate(ctx, ids, sets)
	if err != nil {
		return nil, nil, receipt, err
	}
	for i := range sets {
		row := make([]bool, len(ids))
		for k, id := range ids {
			row[k] = t.class[i][k] == p.labels[id]
		}
		right = append(right, row)
	}
	return t.score, right, receipt, nil
}

func (p *Probe) evaluate(ctx context.Context, examples []int32, sets [][]unit.Edit) (*tally, unit.Receipt, error) {
	receipt := unit.Receipt{Backend: p.backend.Kind, Sets: len(sets), Examples: len(examples)}
	if err := p.check(sets); err != nil {
		return nil, receipt, err
	}
	if err := p.prepareMeans(ctx, sets); err != nil {
		return nil, receipt, err
	}
	jobs, err := p.plan(sets, len(examples))
	if err != nil {
		return nil, receipt, err
	}
	t := newTally(p.net.Classes, p.labels, examples, sets)
	receipt.Plan = p.summary(jobs).String()
	for _, j := range jobs {
		if err := p.run(ctx, j, sets, examples, t); err != nil {
			return nil, receipt, err
		}
	}
	for _, set := range sets {
		receipt.Edits += len(set)
	}
	t.fill(&receipt, sets)
	if err := p.verify(ctx, sets, examples, t, rand.New(rand.NewPCG(p.calls, uint64(len(sets)))), &receipt); err != nil {
		return nil, receipt, err
	}
	p.calls++
	return t, receipt, nil
}

// check refuses what cannot be evaluated.
func (p *Probe) check(sets [][]unit.Edit) error {
	if p.plain == nil {
		return errors.New("probe: used after Close")
	}
	if err := unit.Check(p.sites, sets); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// everything lists all examples.
func (p *Probe) everything() []int32 {
	ids := make([]int32, len(p.labels))
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}

func (p *Probe) advance(n int) {
	if p.opt.Advance != nil && n > 0 {
		p.opt.Advance(n)
	}
}
