package lab

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// onTest is what units are measured on: unlike for ablation curves, the zero On means the test split (section 2.6).
func onTest(on On) On {
	if on.Split == "" {
		on.Split = "test"
	}
	return on
}

// Selectivity computes, or loads, what the activity of each unit of a run tells about classes. The zero On is the paper's:
// all test examples. The L1 norms of filters are those of nets.FilterNorms, or of onnx.Model.FilterNorms.
func (l *Lab) Selectivity(ctx context.Context, r *Run, on On, spec selectivity.Spec) (selectivity.Result, error) {
	if math.IsNaN(spec.Epsilon) || math.IsInf(spec.Epsilon, 0) { // which the key cannot hold
		return selectivity.Result{}, fmt.Errorf("selectivity of %s: epsilon is %v, it must be a finite number ≥ 0", r.Label(), spec.Epsilon)
	}
	var err error
	if spec.Sites, err = l.sites(ctx, r, spec.Sites); err != nil {
		return selectivity.Result{}, err
	}
	spec, on = spec.WithDefaults(), onTest(on)
	config := map[string]any{"run": r.Spec, "on": on, "selectivity": spec}
	return compute(ctx, l, r, "selectivity", []any{on, spec}, config,
		func(_ *selectivity.Result, _ func(selectivity.Result) error) (selectivity.Result, error) {
			started := time.Now()
			p, err := l.Probe(ctx, r, on, nil)
			if err != nil {
				return selectivity.Result{}, err
			}
			defer p.Close()
			prepare := time.Since(started).Seconds()
			s := &passed{Probe: p}
			s.start = func(total int) Meter {
				return l.opt.Progress.Start("measuring units of "+r.Label(), total, "examples")
			}
			defer s.end()
			res, err := selectivity.Measure(ctx, s, spec, selectivity.Options{Memory: l.opt.Memory, L1: r.l1(p.Sites()), Progress: s.progress})
			res.Seconds.Prepare += prepare
			res.Seconds.Total += prepare
			return res, err
		}, selectivity.Result.Complete)
}

// l1 has the norms of the filters of all sites that have any.
func (r *Run) l1(sites []unit.Site) map[string][]float64 {
	norms, file := map[string][]float64{}, map[string][]float64{}
	if r.model != nil {
		file = r.model.FilterNorms()
	}
	for _, s := range sites {
		n := file[s.Name]
		if r.model == nil {
			n, _ = nets.FilterNorms(s, r.Arrays)
		}
		if len(n) == s.Units() {
			norms[s.Name] = n
		}
	}
	return norms
}

// passed is a probe whose meter starts with the first examples: a request that is refused shows none.
type passed struct {
	*probe.Probe
	start func(total int) Meter
	meter Meter
	done  int
}

func (s *passed) progress(done, total int) {
	if s.meter == nil {
		s.meter = s.start(total)
	}
	s.meter.Advance(done - s.done)
	s.done = done
}

func (s *passed) end() {
	if s.meter != nil {
		s.meter.Done()
	}
}

// Units is what is known of each unit of a run: a row per unit with the columns of selectivity.Columns and then, unless they
// were left out, of ablate.Impacts.Join.
type Units struct {
	Selectivity selectivity.Result
	Impacts     *ablate.Impacts // nil: left out
	Table       result.Table
}

// Units computes, or loads, what the activity of each unit tells about classes, and unless impact is false what ablating it
// to zero does, on the same examples (the zero On: all test examples). Both are kept by themselves, so that either is there
// for who needs it alone.
func (l *Lab) Units(ctx context.Context, r *Run, on On, spec selectivity.Spec, impact bool) (Units, error) {
	if impact {
		return l.UnitsWithin(ctx, r, on, spec, sample.Bound{})
	}
	found, err := l.Selectivity(ctx, r, onTest(on), spec)
	return Units{Selectivity: found, Table: found.Table}, err
}

// UnitsWithin is Units with impact, each unit ablated on as many examples only as it takes to know the change of the accuracy
// as closely as a bound asks for (see ablate.Impact for what is known of the change of the loss). Selectivity is of all
// examples. The zero bound: all examples.
func (l *Lab) UnitsWithin(ctx context.Context, r *Run, on On, spec selectivity.Spec, bound sample.Bound) (Units, error) {
	on = onTest(on)
	if err := bound.Check(); err != nil {
		return Units{}, fmt.Errorf("units of %s: %w", r.Label(), err)
	}
	u, err := l.Units(ctx, r, on, spec, false)
	if err != nil {
		return Units{}, err
	}
	impacts, err := l.Single(ctx, r, on, ablate.SingleSpec{Sites: spec.Sites, Bound: bound})
	if err != nil {
		return Units{}, err
	}
	u.Impacts = &impacts
	u.Table, err = impacts.Join(u.Table)
	return u, err
}

// Ranked orders the units of a run by a column of Units, the smallest or with descending the largest value first (see
// ablate.Ranked), for ablation in that order with ablate.Spec.Given. Columns of ablation cost an ablation of each unit. on is
// what units are ranked on; the curve belongs on other examples.
func (l *Lab) Ranked(ctx context.Context, r *Run, on On, sites []string, column string, descending bool) (*ablate.Orderings, error) {
	impact := !slices.Contains(selectivity.Columns(), column)
	if impact && !slices.Contains(impactColumns, column) {
		return nil, fmt.Errorf("units cannot be ranked by %q; there are %q and %q", column, selectivity.Columns()[2:], impactColumns)
	}
	u, err := l.Units(ctx, r, on, selectivity.Spec{Sites: sites, Seed: 1}, impact)
	if err != nil {
		return nil, err
	}
	return ablate.Ranked(u.Table, column, descending)
}

// impactColumns are those of ablate.Impacts.Join.
var impactColumns = []string{"delta_loss", "delta_accuracy", "worst_class", "worst_class_drop"}
