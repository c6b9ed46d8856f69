package lab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// AnalysisVersion enters the key of every analysis. It changes when the code changes in a way that changes results.
const AnalysisVersion = 1

// momentsVersion enters the keys of those that rest on means or s.d. of units over the training set. With 2, sums over the
// positions of feature maps round less: they had been off by up to 1 % in pure Go, 0.02 % on XLA.
const momentsVersion = 2

// clamping is the request of an ablation, for its key.
func clamping(to unit.Target, request ...any) []any {
	if to.Kind == unit.KindMean || to.Kind == unit.KindElementMean {
		return append(request, momentsVersion)
	}
	return request
}

// On says which examples a network is analysed on. The zero value is the paper's: all training examples, with the labels
// the network was trained on.
type On struct {
	Split    string `json:"split"`    // "train" (default) or "test"
	Examples int    `json:"examples"` // the first so many; 0: all
}

func (o On) withDefaults() On {
	if o.Split == "" {
		o.Split = "train"
	}
	return o
}

// split returns the examples a run is analysed on.
func (l *Lab) split(ctx context.Context, r *Run, on On) (datasets.Split, []string, error) {
	set, err := l.Data(ctx, r.Spec.Data)
	if err == nil {
		err = r.sameData(set.Hash)
	}
	if err != nil {
		return datasets.Split{}, nil, err
	}
	var s datasets.Split
	switch on.Split {
	case "train":
		if s, _, err = trainingSplit(set, r.Spec); err != nil {
			return s, nil, err
		}
	case "test":
		s = set.Test
	default:
		return s, nil, fmt.Errorf("split %q is not one of train, test", on.Split)
	}
	if on.Examples != 0 {
		s, err = s.Head(on.Examples)
	}
	return s, set.Classes, err
}

// Probe prepares a run for analysis on some of its data. Close it after use. advance, if not nil, is told of work done,
// in examples × sets of edits.
func (l *Lab) Probe(ctx context.Context, r *Run, on On, advance func(n int)) (*probe.Probe, error) {
	return l.probe(ctx, r, on, probe.Options{Memory: l.opt.Memory, Verify: l.opt.Verify, Advance: advance})
}

func (l *Lab) probe(ctx context.Context, r *Run, on On, opt probe.Options) (*probe.Probe, error) {
	data, classes, err := l.split(ctx, r, on.withDefaults())
	if err != nil {
		return nil, err
	}
	net, err := r.network(data.Shape, len(classes))
	if err != nil {
		return nil, err
	}
	b, err := l.Backend()
	if err != nil {
		return nil, err
	}
	return probe.New(b, net, r.Arrays, data, opt)
}

// onTraining measures activations over the whole training set of a run, by which both noise scales and mean ablation are
// defined, whatever the examples are on which the network is scored. What the network will be scored on is checked
// before the work.
func (l *Lab) onTraining(ctx context.Context, r *Run, on On, measure func(p *probe.Probe) error) error {
	if on != (On{}).withDefaults() {
		if _, _, err := l.split(ctx, r, on); err != nil {
			return err
		}
	}
	p, err := l.Probe(ctx, r, On{}, nil)
	if err != nil {
		return err
	}
	defer p.Close()
	return measure(p)
}

// trainingMoments are mean and s.d. of every unit over the training set.
func (l *Lab) trainingMoments(ctx context.Context, r *Run, on On, sites []string) (m map[string]probe.Moments, err error) {
	err = l.onTraining(ctx, r, on, func(p *probe.Probe) (err error) {
		m, err = p.Moments(ctx, sites...)
		return err
	})
	return m, err
}

// Ablate computes, or loads, the cumulative ablation of a run.
func (l *Lab) Ablate(ctx context.Context, r *Run, on On, spec ablate.Spec) (ablate.Result, error) {
	if spec.Given != nil && len(spec.Sites) > 0 && !slices.Equal(spec.Sites, spec.Given.Sites) {
		return ablate.Result{}, fmt.Errorf("ablation of %s: the given orderings are of sites %q, but sites %q "+
			"are asked for; leave sites out", r.Label(), spec.Given.Sites, spec.Sites)
	}
	if err := spec.Bound.Check(); err != nil { // NaN, which the key cannot hold
		return ablate.Result{}, fmt.Errorf("ablation of %s: %w", r.Label(), err)
	}
	if spec.Given == nil {
		var err error
		if spec.Sites, err = l.sites(ctx, r, spec.Sites); err != nil {
			return ablate.Result{}, err
		}
	}
	spec, on = spec.WithDefaults(), on.withDefaults()
	config := map[string]any{"run": r.Spec, "on": on, "ablate": spec}
	return compute(ctx, l, r, "ablation", clamping(spec.To, on, spec), config,
		func(old *ablate.Result, save func(ablate.Result) error) (ablate.Result, error) {
			p, prepare, err := l.ablated(ctx, r, on, spec.To, sitesOf(spec))
			if err != nil {
				return ablate.Result{}, err
			}
			defer p.end()
			l.explains(p, spec.Orders)
			p.start = func() Meter {
				if spec.Bound != (sample.Bound{}) {
					return l.opt.Progress.Start("ablating "+r.Label(), 0, "examples × edits")
				}
				shared, own := points(p.Sites(), spec)
				m := l.opt.Progress.Start("ablating "+r.Label(), (shared+spec.Orders*own)*p.Examples(), "examples × edits")
				if old != nil {
					m.Advance((shared + len(old.Correct)*own) * p.Examples())
				}
				return m
			}
			res, err := ablate.Cumulative(ctx, p, spec, ablate.Options{Resume: old, Done: func(r ablate.Result) error {
				if r.Bounded != nil {
					p.meter.Note(fmt.Sprintf("%d of %d orderings, %s", len(r.Correct), r.Orders, r.Bounded.Note(r.Examples)))
				}
				return save(r)
			}})
			res.Seconds.Prepare += prepare
			res.Seconds.Total += prepare
			return res, err
		}, ablate.Result.Complete)
}

// Single computes, or loads, what the ablation of each unit alone does to a run.
func (l *Lab) Single(ctx context.Context, r *Run, on On, spec ablate.SingleSpec) (ablate.Impacts, error) {
	if err := spec.Bound.Check(); err != nil {
		return ablate.Impacts{}, fmt.Errorf("impacts of %s: %w", r.Label(), err)
	}
	var err error
	if spec.Sites, err = l.sites(ctx, r, spec.Sites); err != nil {
		return ablate.Impacts{}, err
	}
	spec, on = spec.WithDefaults(), on.withDefaults()
	config := map[string]any{"run": r.Spec, "on": on, "single": spec}
	return compute(ctx, l, r, "impacts", clamping(spec.To, on, spec), config,
		func(old *ablate.Impacts, save func(ablate.Impacts) error) (ablate.Impacts, error) {
			p, prepare, err := l.ablated(ctx, r, on, spec.To, spec.Sites)
			if err != nil {
				return ablate.Impacts{}, err
			}
			defer p.end()
			l.explains(p, 1)
			p.start = func() Meter {
				total := 0 // with a bound nobody knows
				if spec.Bound == (sample.Bound{}) {
					total = p.Examples()
					chosen, _ := unit.Select(p.Sites(), spec.Sites)
					for _, s := range chosen {
						total += s.Units() * p.Examples()
					}
				}
				return l.opt.Progress.Start("ablating single units of "+r.Label(), total, "examples × edits")
			}
			res, err := ablate.Single(ctx, p, spec, ablate.SingleOptions{Resume: old, Done: func(r ablate.Impacts) error {
				seen := r.Unedited[len(r.Unedited)-1].Examples
				p.meter.Note(fmt.Sprintf("%d of %d units done, %d of %d examples", r.Done(), r.Units, seen, r.Examples))
				return save(r)
			}})
			res.Seconds.Prepare += prepare
			res.Seconds.Total += prepare
			return res, err
		}, ablate.Impacts.Complete)
}

// ablated is a probe for clamping units of the sites to a target, with the seconds it took to prepare.
func (l *Lab) ablated(ctx context.Context, r *Run, on On, to unit.Target, sites []string) (*metered, float64, error) {
	started := time.Now()
	p := &metered{}
	opt := probe.Options{Memory: l.opt.Memory, Verify: l.opt.Verify, Advance: p.advance}
	switch to.Kind {
	case unit.KindElementMean:
		err := l.onTraining(ctx, r, on, func(p *probe.Probe) (err error) {
			opt.ElementMean, err = p.ElementMeans(ctx, sites...)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
	case unit.KindMean:
		moments, err := l.trainingMoments(ctx, r, on, sites)
		if err != nil {
			return nil, 0, err
		}
		opt.Mean = map[string][]float64{}
		for site, m := range moments {
			opt.Mean[site] = m.Mean
		}
	}
	var err error
	p.Probe, err = l.probe(ctx, r, on, opt)
	return p, time.Since(started).Seconds(), err
}

// Noise computes, or loads, the noise sweep of a run.
func (l *Lab) Noise(ctx context.Context, r *Run, on On, spec noise.Spec) (noise.Result, error) {
	for _, scale := range spec.Scales {
		if math.IsNaN(scale) || math.IsInf(scale, 0) { // which the key cannot hold
			return noise.Result{}, fmt.Errorf("noise of %s: scale %v is not a finite number > 0", r.Label(), scale)
		}
	}
	if err := spec.Bound.Check(); err != nil {
		return noise.Result{}, fmt.Errorf("noise of %s: %w", r.Label(), err)
	}
	var err error
	if spec.Sites, err = l.sites(ctx, r, spec.Sites); err != nil {
		return noise.Result{}, err
	}
	spec, on = spec.WithDefaults(), on.withDefaults()
	config := map[string]any{"run": r.Spec, "on": on, "noise": spec}
	return compute(ctx, l, r, "noise", []any{on, spec, momentsVersion}, config,
		func(old *noise.Result, save func(noise.Result) error) (noise.Result, error) {
			started := time.Now()
			moments, err := l.trainingMoments(ctx, r, on, spec.Sites)
			if err != nil {
				return noise.Result{}, err
			}
			sd := map[string][]float64{}
			for site, m := range moments {
				sd[site] = m.SD
			}
			p := &metered{}
			if p.Probe, err = l.Probe(ctx, r, on, p.advance); err != nil {
				return noise.Result{}, err
			}
			defer p.end()
			prepare := time.Since(started).Seconds()
			l.explains(p, spec.Repeats)
			p.start = func() Meter {
				if spec.Bound != (sample.Bound{}) {
					return l.opt.Progress.Start("adding noise to "+r.Label(), 0, "examples × edits")
				}
				each := len(spec.Scales) * p.Examples()
				m := l.opt.Progress.Start("adding noise to "+r.Label(), spec.Repeats*each+p.Examples(), "examples × edits")
				if old != nil {
					m.Advance(len(old.Correct)*each + p.Examples())
				}
				return m
			}
			res, err := noise.Sweep(ctx, p, sd, spec, noise.Options{Resume: old, Done: func(r noise.Result) error {
				if r.Bounded != nil {
					p.meter.Note(fmt.Sprintf("%d of %d repeats, %s", len(r.Correct), r.Repeats, r.Bounded.Note(r.Examples)))
				}
				return save(r)
			}})
			res.Seconds.Prepare += prepare
			res.Seconds.Total += prepare
			return res, err
		}, noise.Result.Complete)
}

// sites are those asked for, or else those that an analysis of this network works on by default; nil means all.
func (l *Lab) sites(ctx context.Context, r *Run, asked []string) ([]string, error) {
	if len(asked) > 0 {
		return asked, nil
	}
	of, err := l.Source(ctx, r.Spec.Data)
	if err == nil {
		err = r.sameData(of.Hash)
	}
	if err != nil {
		return nil, err
	}
	net, err := r.network(of.Shape, len(of.Classes))
	if err == nil && r.model != nil && net.Default == nil {
		err = fmt.Errorf("%s: no activation function is found in the file, so the sites to analyse must be named (--sites); "+
			"`directions inspect` lists what there is", r.Label())
	}
	return net.Default, err
}

// sitesOf names the sites of an ablation; none means all.
func sitesOf(spec ablate.Spec) []string {
	if spec.Given != nil {
		return spec.Given.Sites
	}
	return spec.Sites
}

// points counts the sets of edits that all orderings share, no units and all units, and those that each has for itself.
func points(sites []unit.Site, spec ablate.Spec) (shared, own int) {
	chosen, _ := unit.Select(sites, sitesOf(spec)) // who counts has checked the names
	units := 0
	for _, s := range chosen {
		units += s.Units()
	}
	grid := ablate.Grid(units, spec.Points)
	if spec.Given != nil && len(spec.Given.Grid) > 0 {
		grid = spec.Given.Grid
	}
	shared = 1
	for _, k := range grid {
		switch {
		case k == units:
			shared++
		case k > 0:
			own++
		}
	}
	return shared, own
}

// metered is a probe whose meter starts with the first evaluation: a request that is refused shows none.
type metered struct {
	*probe.Probe
	start   func() Meter
	meter   Meter
	explain func(plan probe.Plan, first, rest time.Duration) // nil: not wanted, or done
}

func (p *metered) Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	if err := p.begin(ctx, sets); err != nil {
		return nil, unit.Receipt{}, err
	}
	return p.Probe.Evaluate(ctx, sets)
}

func (p *metered) EvaluateOn(ctx context.Context, examples []int, sets [][]unit.Edit) (
	[]unit.Score, [][]bool, unit.Receipt, error,
) {
	if err := p.begin(ctx, sets); err != nil {
		return nil, nil, unit.Receipt{}, err
	}
	return p.Probe.EvaluateOn(ctx, examples, sets)
}

// begin tells the plan, if that is wanted, and starts the meter. sets are those of the first of all calls; the others
// have about as many.
func (p *metered) begin(ctx context.Context, sets [][]unit.Edit) error {
	if p.meter != nil {
		return nil
	}
	if p.explain != nil && len(sets) > 1 { // not the one set by which a bounded analysis begins
		plan, err := p.Plan(sets)
		if err != nil {
			return err
		}
		first, rest, err := p.Time(ctx, sets)
		if err != nil {
			return err
		}
		p.explain(plan, first, rest)
		p.explain = nil
	}
	p.meter = p.start()
	return nil
}

// explains prepares a probe to tell its plan, for so many calls of the evaluator.
func (l *Lab) explains(p *metered, calls int) {
	if !l.opt.Plan {
		return
	}
	p.explain = func(plan probe.Plan, first, rest time.Duration) {
		for _, part := range plan.Parts {
			l.Note("plan: %s", part)
		}
		times := ""
		if calls > 1 {
			times = fmt.Sprintf("%d × ", calls)
		}
		l.Note("plan: %s%d passes, %s%s", times, plan.Passes, times, plan.Work())
		l.Note("plan: at most %.0f MiB; about %.1f s, timed on a part of the examples, and %.1f s for compiling",
			float64(plan.Bytes)/(1<<20), float64(calls)*rest.Seconds(), first.Seconds())
	}
}

func (p *metered) advance(n int) {
	if p.meter != nil {
		p.meter.Advance(n)
	}
}

func (p *metered) end() {
	if p.meter != nil {
		p.meter.Done()
	}
	p.Close()
}

// compute returns the stored result of an analysis of a run, or computes it: from what an interrupted computation left,
// saving partial results on the way.
func compute[T any](ctx context.Context, l *Lab, r *Run, kind string, request []any, config any,
	work func(old *T, save func(T) error) (T, error), complete func(T) bool) (T, error) {
	var value T
	fail := func(err error) (T, error) { return value, fmt.Errorf("%s of %s: %w", kind, r.Label(), err) }
	key, err := result.Key(append([]any{kind, AnalysisVersion, r.Key}, request...)...)
	if err != nil {
		return fail(err)
	}
	unlock, err := l.store.Lock(ctx, key, func(holder string) { l.Note("waiting for %s, which computes the same", holder) })
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if !l.opt.Recompute {
		if _, ok, err := l.store.Get(key, &value); err != nil {
			return fail(err)
		} else if ok {
			return value, nil
		}
	}
	b, err := l.Backend()
	if err != nil {
		return fail(err)
	}
	var old *T
	var partial T
	if begun, ok, err := l.store.GetPartial(key, &partial); err != nil {
		return fail(err)
	} else if ok && begun.Backend == b.Kind {
		old = &partial
		l.Note("%s of %s: going on from a partial result", kind, r.Label())
	} else if ok {
		l.Note("%s of %s: starting over: the partial result was computed by %s, this is %s", kind, r.Label(), begun.Backend, b.Kind)
	}
	m := l.Manifest(key, config, map[string]string{"network": r.Key, "data": r.Data})
	started := time.Now()
	save := func(v T) error { return l.store.PutPartial(key, m, v) }
	value, err = work(old, save)
	if err != nil {
		return fail(err)
	}
	if !complete(value) {
		return fail(errors.New("the analysis ended without an error but is not complete"))
	}
	m.Seconds = time.Since(started).Seconds()
	if err := l.store.Put(key, m, value); err != nil {
		return fail(err)
	}
	return value, l.store.DropPartial(key)
}
