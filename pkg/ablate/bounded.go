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
	session sample.Session
}

// next evaluates one more ordering and adds it to r. On error r gains nothing but the time spent.
func (b *bounded) next(ctx context.Context, _ Evaluator, r *Result) error {
	order := len(r.Correct)
	var ks []int
	for _, k := range b.grid {
		if k > 0 && k < b.units {
			ks = append(ks, k)
		}
	}
	var ends [][]unit.Edit
	if b.hasAll() {
		ends = b.sets(order, []int{b.units})
	}
	found, err := b.session.Next(ctx, r.Baseline, b.sets(order, ks), ends...)
	r.Seconds.Evaluate += found.Seconds
	if err != nil {
		return err
	}
	grown := *r
	if found.First {
		scores := found.Sample.Scores
		grown.Examples, grown.Baseline = scores[0].Examples, scores[0]
		if b.hasAll() {
			grown.AllAblated = &scores[1]
		}
	}
	row, trials := make([]sample.Trial, len(b.grid)), found.Trials
	for i, k := range b.grid {
		switch k {
		case 0: // nothing lost, nothing gained
		case b.units:
			row[i] = found.Sample.Known(found.Look, 1)
		default:
			row[i], trials = trials[0], trials[1:]
		}
	}
	rows := *r.Bounded
	rows.Add(found.Sample, found.Look, row)
	grown.Bounded, grown.Receipt = &rows, r.Receipt.Add(found.Receipt)
	if err := grown.summarise(); err != nil {
		return fmt.Errorf("the evaluator's scores: %w", err)
	}
	*r = grown
	return nil
}
