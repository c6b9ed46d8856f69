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
	session sample.Session
}

// next evaluates one more repeat and adds it to r. On error r gains nothing but the time spent.
func (b *bounded) next(ctx context.Context, _ Evaluator, r *Result) error {
	found, err := b.session.Next(ctx, r.Baseline, b.sets(len(r.Correct)))
	r.Seconds.Evaluate += found.Seconds
	if err != nil {
		return err
	}
	grown := *r
	if found.First {
		grown.Examples, grown.Baseline = found.Sample.Scores[0].Examples, found.Sample.Scores[0]
	}
	rows := *r.Bounded
	rows.Add(found.Sample, found.Look, found.Trials)
	grown.Bounded, grown.Receipt = &rows, r.Receipt.Add(found.Receipt)
	if err := grown.summarise(); err != nil {
		return fmt.Errorf("the evaluator's scores: %w", err)
	}
	*r = grown
	return nil
}
