package main

import (
	"fmt"
	"math"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
)

// bounded is our side where numbers need only be known within a bound. The peers have nothing of the kind: their user
// runs the whole.
type bounded struct {
	side
	first float64
	found *ablate.Impacts // by the last run
}

func (b *bench) boundedSide(c impactWork, p *probe.Probe) (bounded, error) {
	w := bounded{found: &ablate.Impacts{}}
	spec := ablate.SingleSpec{Sites: c.sites[len(c.sites)-1:], Bound: c.bound}
	started := time.Now()
	if _, err := ablate.Single(b.ctx, p, spec, ablate.SingleOptions{}); err != nil {
		return w, err
	}
	w.first = time.Since(started).Seconds()
	spec.Sites = c.sites
	w.side = side{"ours, bounded", func() (float64, error) {
		started := time.Now()
		found, err := ablate.Single(b.ctx, p, spec, ablate.SingleOptions{})
		*w.found = found
		return time.Since(started).Seconds(), err
	}}
	return w, nil
}

// compareBound compares changes of the accuracy known within a bound with the exact ones. Of the intervals, a share of
// at least the confidence must hold.
func compareBound(exact, within ablate.Impacts) Agreement {
	a := Agreement{Counts: len(exact.Impacts)}
	if len(within.Impacts) != a.Counts || a.Counts == 0 {
		a.Text = fmt.Sprintf("%d units are known exactly and %d within the bound", a.Counts, len(within.Impacts))
		return a
	}
	held, worst, seen := 0, 0.0, 0
	for i, e := range exact.Impacts {
		w := within.Impacts[i]
		apart := math.Abs(w.DeltaAccuracy - e.DeltaAccuracy)
		worst = math.Max(worst, apart)
		seen += w.Score.Examples
		// Both are quotients of whole numbers of examples; a millionth of one of them is rounding.
		if apart <= w.HalfWidth+1e-6/float64(exact.Examples) {
			held++
		}
	}
	a.OK = float64(held) >= within.Bound.Confidence*float64(a.Counts)
	a.Text = fmt.Sprintf("%s of %s intervals hold the exact change, which is at most %.2f percentage points away; "+
		"%.0f %% of the images seen",
		thousands(held), thousands(a.Counts), 100*worst, 100*float64(seen)/float64(a.Counts*exact.Examples))
	return a
}
