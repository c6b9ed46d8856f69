package ablate

import (
	"context"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// bounded is a plan that looks at some of the examples (package sample). The ends of the curve, no units and all units,
// are scored on all of them.
type bounded struct {
	plan
	evaluator sample.Evaluator
	sample    *sample.Sample // nil before the first ordering of this session
}

// next evaluates one more ordering and adds it to r. On error r gains nothing but the time spent.
func (b *bounded) next(ctx context.Context, _ Evaluator, r *Result) error {
	before := b.seconds()
	grown, err := b.grow(ctx, *r)
	r.Seconds.Evaluate += b.seconds() - before
	if err != nil {
		return err
	}
	grown.Seconds = r.Seconds
	if err := grown.summarise(); err != nil {
		return fmt.Errorf("the evaluator's scores: %w", err)
	}
	*r = grown
	return nil
}

// seconds is the time spent in the evaluator in this session.
func (b *bounded) seconds() float64 {
	if b.sample == nil {
		return 0
	}
	return b.sample.Seconds
}

func (b *bounded) grow(ctx context.Context, r Result) (Result, error) {
	if b.sample == nil {
		var ends [][]unit.Edit
		if b.hasAll() {
			ends = b.nested(b.orders[0], []int{b.units}, b.to)
		}
		s, receipt, err := sample.New(ctx, b.evaluator, b.bound, ends...)
		if err != nil {
			return r, err
		}
		b.sample = s
		if r.Examples > 0 {
			if err := s.Continues(r.Baseline); err != nil {
				return r, err
			}
		} else {
			r.Examples, r.Baseline, r.Receipt = s.Scores[0].Examples, s.Scores[0], receipt
			if b.hasAll() {
				r.AllAblated = &s.Scores[1]
			}
		}
	}
	var ks []int
	for _, k := range b.grid {
		if k > 0 && k < b.units {
			ks = append(ks, k)
		}
	}
	trials, look, receipt, err := b.sample.Together(ctx, b.nested(b.orders[len(r.Correct)], ks, b.to))
	if err != nil {
		return r, err
	}
	row := make([]sample.Trial, len(b.grid))
	for i, k := range b.grid {
		switch k {
		case 0: // nothing lost, nothing gained
		case b.units:
			row[i] = b.sample.Known(look, 1)
		default:
			row[i], trials = trials[0], trials[1:]
		}
	}
	rows := *r.Bounded
	rows.Add(b.sample, look, row)
	r.Bounded, r.Receipt = &rows, r.Receipt.Add(receipt)
	return r, nil
}
