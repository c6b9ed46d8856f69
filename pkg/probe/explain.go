package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// String says how the job is organised, for the receipt.
func (j job) String() string {
	at := "cut at " + strings.Join(j.sites, "+")
	switch j.method {
	case plain:
		return fmt.Sprintf("plain path, %d examples a pass", j.chunk)
	case chain:
		return fmt.Sprintf("%s, nested sets add back %d units a step, %d steps × %d examples a pass", at, j.block, j.widen, j.chunk)
	case pairs:
		return fmt.Sprintf("%s, examples an edit does not change skipped, %d rows a pass", at, j.rows)
	case single:
		return fmt.Sprintf("%s, one row of the next weight a unit, examples it does not change skipped, %d rows a pass", at, j.rows)
	}
	return fmt.Sprintf("%s, %d sets × %d examples a pass", at, j.widen, j.chunk)
}

// Plan is what an evaluation is going to do.
type Plan struct {
	Parts      []string // how the sets are evaluated, one line for each group that shares a cut
	Passes     int      // compiled graphs run; where edits may change nothing, at most
	FLOPs      float64  // of products and convolutions; at most, as above
	PlainFLOPs float64  // of one pass of the whole network for every set
	Bytes      int64    // of memory the largest pass takes, and what stays on the device between passes
}

// String is the plan on one line, as receipts have it.
func (p Plan) String() string {
	return strings.Join(p.Parts, "; ") + "; " + p.Work()
}

// Work compares the plan's operations with the plain path's.
func (p Plan) Work() string { return flops(p.FLOPs) + " instead of " + flops(p.PlainFLOPs) }

// flops writes a number of floating-point operations.
func flops(n float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e15, "PFLOP"}, {1e12, "TFLOP"}, {1e9, "GFLOP"}} {
		if n >= u.size {
			return fmt.Sprintf("%.3g %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.3g MFLOP", n/1e6)
}

// Plan tells how Evaluate would go about the sets, on all examples. It runs nothing.
func (p *Probe) Plan(sets [][]unit.Edit) (Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.check(sets); err != nil {
		return Plan{}, err
	}
	jobs, err := p.plan(sets, len(p.labels))
	if err != nil {
		return Plan{}, err
	}
	return p.summary(jobs), nil
}

// Time predicts how long Evaluate would take, by evaluating the sets on a first part of the examples, twice: first is what the
// first time takes longer, which is mostly compilation and need not be paid again; rest is the prediction for all examples.
func (p *Probe) Time(ctx context.Context, sets [][]unit.Edit) (first, rest time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.check(sets); err != nil {
		return 0, 0, err
	}
	jobs, err := p.plan(sets, len(p.labels))
	if err != nil {
		return 0, 0, err
	}
	part := 1
	for _, j := range jobs {
		part = max(part, min(j.chunk, len(p.labels)))
	}
	told := p.opt.Advance
	p.opt.Advance = nil // this is not the work itself
	defer func() { p.opt.Advance = told }()
	var took [2]time.Duration
	for i := range took {
		started := time.Now()
		if _, _, err := p.evaluate(ctx, p.everything()[:part], sets); err != nil {
			return 0, 0, err
		}
		took[i] = time.Since(started)
	}
	return max(0, took[0]-took[1]), time.Duration(float64(took[1]) * float64(len(p.labels)) / float64(part)), nil
}

func (p *Probe) summary(jobs []job) (all Plan) {
	for _, j := range jobs {
		if line := j.String(); !slices.Contains(all.Parts, line) {
			all.Parts = append(all.Parts, line)
		}
		all.Passes += j.passes()
		all.FLOPs += 2 * j.work
		all.PlainFLOPs += 2 * j.plainWork
		all.Bytes = max(all.Bytes, j.bytes)
	}
	return all
}

// passes is how many suffixes the job runs.
func (j job) passes() int {
	parts := ceilDiv(j.n, j.chunk)
	switch j.method {
	case plain:
		return parts * len(j.sets)
	case chain:
		n := 0
		for _, c := range j.chains {
			n += ceilDiv(len(c), j.widen)
		}
		return parts * n
	case pairs, single:
		return parts * ceilDiv(j.chunk*(1+len(j.sets)), j.rows)
	}
	return parts * ceilDiv(len(j.sets), j.widen)
}
