package noise

import (
	"context"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

// bounded is a plan that looks at some of the examples (package sample). The network without noise is scored on all of
// them.
type bounded struct {
	plan
	evaluator sample.Evaluator
	sample    *sample.Sample // nil before the first repeat of this session
}

// next evaluates one more repeat and adds it to r. On error r gains nothing but the time spent.
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
		s, receipt, err := sample.New(ctx, b.evaluator, b.bound)
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
		}
	}
	trials, look, receipt, err := b.sample.Together(ctx, b.sets(len(r.Correct)))
	if err != nil {
		return r, err
	}
	rows := *r.Bounded
	rows.Add(b.sample, look, trials)
	r.Bounded, r.Receipt = &rows, r.Receipt.Add(receipt)
	return r, nil
}
