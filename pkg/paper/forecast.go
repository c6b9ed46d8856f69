package paper

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

// announce tells what a figure is going to cost before it starts: operations, and time at the speed of a few steps and a
// part of a pass that are tried out.
func announce(ctx context.Context, l *lab.Lab, p plan) error {
	type shape struct { // what determines a network's cost, apart from its number of epochs
		net, data       string
		examples, batch int
		dropout, alpha  bool
	}
	costs := map[shape]lab.Cost{}
	var training, analysis lab.Work
	todo := 0
	for _, s := range p.Networks {
		key, err := s.Key()
		if err != nil {
			return err
		}
		kind := shape{s.Net, s.Data, s.Examples, s.Fit.Batch, s.Fit.Dropout > 0, s.Fit.SelectivityAlpha != 0}
		c, ok := costs[kind]
		if !ok {
			if c, err = l.Cost(ctx, s); err != nil {
				return fmt.Errorf("predicting the cost of %s: %w", s.Net, err)
			}
			costs[kind] = c
		}
		if !l.Finished(key) {
			todo++
			training = training.Plus(c.Epoch.Times(s.Fit.Epochs))
		}
		analysis = analysis.Plus(c.Pass.Times(p.Passes))
	}
	l.Note("%d of %d networks are to be trained: %.2g FLOP, about %s at the speed of this machine (%.0f GFLOP/s)",
		todo, len(p.Networks), training.FLOPs, about(training.Time), training.FLOPs/max(training.Time.Seconds(), 1e-9)/1e9)
	l.Note("the analysis is worth %d passes over the training examples of each network: %.2g FLOP, at most %s; with what can be "+
		"shared between passes, less", p.Passes, analysis.FLOPs, about(analysis.Time))
	l.Note("all of it can be interrupted and goes on where it was")
	return nil
}

// about writes a duration as people say it: "40 s", "12 min", "3.5 h", "9 days".
func about(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}
