package ablate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// timed is the evaluator of a bounded analysis. It adds up the time spent in it.
type timed struct {
	sample.Evaluator
	seconds float64
}

func (t *timed) EvaluateOn(ctx context.Context, examples []int, sets [][]unit.Edit) (
	[]unit.Score, [][]bool, unit.Receipt, error,
) {
	started := time.Now()
	defer func() { t.seconds += time.Since(started).Seconds() }()
	return t.Evaluator.EvaluateOn(ctx, examples, sets)
}

// sampler finds the evaluator of a bounded analysis; without a bound there is none.
func sampler(e Evaluator, b sample.Bound) (*timed, error) {
	if b == (sample.Bound{}) {
		return nil, nil
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	s, ok := e.(sample.Evaluator)
	if !ok {
		return nil, errors.New("the evaluator cannot score some of its examples only; leave the bound out")
	}
	return &timed{Evaluator: s}, nil
}

// bounded is a plan that looks at some of the examples (package sample). The ends of the curve, no units and all units,
// are scored on all of them.
type bounded struct {
	plan
	evaluator *timed
	sample    *sample.Sample // nil before the first ordering of this session
}

// next evaluates one more ordering and adds it to r. On error r gains nothing but the time spent.
func (b *bounded) next(ctx context.Context, _ Evaluator, r *Result) error {
	grown, err := b.grow(ctx, *r)
	r.Seconds.Evaluate += b.evaluator.seconds
	b.evaluator.seconds = 0
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
		first := r.Examples == 0
		if unedited := s.Scores[0]; !first && (unedited.Examples != r.Examples || unedited.Correct != r.Baseline.Correct) {
			return r, fmt.Errorf("the evaluator scored the unedited network %d of %d, earlier %d of %d",
				unedited.Correct, unedited.Examples, r.Baseline.Correct, r.Examples)
		}
		b.sample = s
		if first {
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
	trials, look, receipt, err := b.sample.Together(ctx, b.evaluator, b.nested(b.orders[len(r.Correct)], ks, b.to))
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
