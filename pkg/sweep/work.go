package sweep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/lease"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Shard is part Part of Of, both from 1, of the networks of a sweep: every Of-th. The zero Shard is all of them.
type Shard struct{ Part, Of int }

// Check reports a shard that there is not.
func (s Shard) Check() error {
	if s != (Shard{}) && (s.Of < 1 || s.Part < 1 || s.Part > s.Of) {
		return fmt.Errorf("shard %d/%d: part i of n is written i/n, with i from 1 to n", s.Part, s.Of)
	}
	return nil
}

func (s Shard) has(index int) bool { return s == (Shard{}) || index%s.Of == s.Part-1 }

// Deaths is how many workers may die in a row with one network before that is recorded as its failure.
const Deaths = 10

// WorkOptions are those of one worker. The zero value does what there is to do and leaves what others are doing to them.
type WorkOptions struct {
	Shard  Shard
	Wait   bool   // until all networks have a row: if another worker dies, its network is taken over
	Deaths int    // 0: Deaths; less than 0: no limit
	Label  string // kept with every claim, to tell workers apart: "task 12_3"
	Watch  *Watch // follows the work; may be nil
}

// errLost ends the work on a network that another worker took over.
var errLost = errors.New("the claim was lost to another worker, as this one showed no sign of life for too long")

// Work is one worker: it claims one network after another, computes it in this process and records its row, until there is
// nothing more to claim. Whatever goes wrong with a network is recorded in its row and does not end the work; ends of ctx and
// a store that cannot be read or written do. What was begun then goes on where it was, here or in another process.
func (s *Sweep) Work(ctx context.Context, opt WorkOptions) error {
	fail := func(err error) error { return fmt.Errorf("sweep %s: %w", s.Name, err) }
	if err := opt.Shard.Check(); err != nil {
		return fail(err)
	}
	if err := s.Keep(); err != nil {
		return err
	}
	if opt.Deaths == 0 {
		opt.Deaths = Deaths
	}
	todo := slices.DeleteFunc(slices.Clone(s.Networks), func(n Network) bool { return !opt.Shard.has(n.Index) })
	ready, pause := false, 250*time.Millisecond
	for {
		worked, others := false, false
		for _, n := range slices.Clone(todo) {
			if ctx.Err() != nil {
				return fail(context.Cause(ctx))
			}
			row, err := s.row(n)
			if err != nil {
				return fail(err)
			}
			if row != nil {
				todo = slices.DeleteFunc(todo, func(m Network) bool { return m.Index == n.Index })
				continue
			}
			if !ready { // what would make every network fail is found before any does
				if err := s.prepare(ctx, todo); err != nil {
					return fail(err)
				}
				ready = true
			}
			claim, _, err := s.claims.Claim(n.Key, opt.Label)
			if err != nil {
				return fail(err)
			}
			if claim == nil {
				others = true
				continue
			}
			worked = true
			if err := s.one(ctx, n, claim, opt); err != nil {
				return fail(err)
			}
		}
		switch {
		case worked:
			pause = 250 * time.Millisecond
			continue // look at all of them once more
		case !others || !opt.Wait:
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, 4*time.Second)
		}
	}
}

// prepare opens the backend and the data.
func (s *Sweep) prepare(ctx context.Context, networks []Network) error {
	if _, err := s.lab.Backend(); err != nil {
		return err
	}
	for _, n := range networks {
		if _, err := s.lab.Data(ctx, n.Spec.Data); err != nil {
			return err
		}
	}
	return nil
}

// one computes and records a claimed network, unless somebody did so just before the claim, and gives the claim back. Errors
// are those that end the worker.
func (s *Sweep) one(ctx context.Context, n Network, claim *lease.Lease, opt WorkOptions) (err error) {
	defer func() { err = errors.Join(err, claim.Release()) }()
	if row, err := s.row(n); row != nil || err != nil {
		return err
	}
	held, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-claim.Lost():
			cancel(errLost)
		case <-held.Done():
		}
	}()
	opt.Watch.begin(n, claim)
	row := &Row{Network: n.Spec, Run: n.Run}
	if opt.Deaths > 0 && claim.Deaths() >= opt.Deaths {
		row.Status = Failed
		row.Error = fmt.Sprintf("%d workers in a row died of it; is there memory enough? `directions sweep retry` has it tried "+
			"again", claim.Deaths())
	} else {
		s.compute(held, row)
	}
	if held.Err() != nil {
		opt.Watch.end(nil)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil // lost: the row is another's business
	}
	m := s.lab.Manifest(n.Key, map[string]any{"network": n.Spec, "analyses": s.Analyses}, map[string]string{"network": n.Run})
	m.Seconds = row.Seconds.Total()
	row.Backend = m.Backend
	if err := s.lab.Store().Put(n.Key, m, row); err != nil {
		return err
	}
	opt.Watch.end(row)
	return nil
}

// compute fills the row, in the order of what can go wrong.
func (s *Sweep) compute(ctx context.Context, row *Row) {
	fail := func(err error) {
		row.Status, row.Error = Failed, err.Error()
		if errors.Is(err, fit.ErrDiverged) {
			row.Status = Diverged
		}
	}
	defer func() {
		if p := recover(); p != nil { // one network's panic is not the end of the others
			fail(fmt.Errorf("panic: %v", p))
		}
	}()
	run, err := s.lab.Train(ctx, row.Network, "")
	if err != nil {
		fail(err)
		return
	}
	row.Epochs, row.Final, row.Seconds.Training = len(run.History), run.Final, run.Seconds
	if row.BestEpoch, _ = fit.Best(run.History); row.BestEpoch > 0 {
		row.BestAUC = run.History[row.BestEpoch-1].AUC
	}
	if spec := s.Analyses.Ablate; spec != nil {
		a, err := s.lab.Ablate(ctx, run, s.Analyses.On, *spec)
		if err != nil {
			fail(err)
			return
		}
		row.AUC, row.AUCRelative, row.Seconds.Ablation = number(a.AUC), number(a.AUCRelative), a.Seconds.Total
		if len(a.AUCs) > 1 {
			_, sd := stat.MeanSD(a.AUCs)
			row.AUCSD = number(sd)
		}
		if a.Bounded != nil {
			row.AUCHalfWidth = number(a.AUCHalfWidth)
		}
		if on := s.Analyses.Test; on != nil {
			a, err := s.lab.Ablate(ctx, run, *on, *spec)
			if err != nil {
				fail(err)
				return
			}
			row.AUCTest = number(a.AUC)
			row.Seconds.Ablation += a.Seconds.Total
		}
	}
	if spec := s.Analyses.Noise; spec != nil {
		a, err := s.lab.Noise(ctx, run, s.Analyses.On, *spec)
		if err != nil {
			fail(err)
			return
		}
		row.NoiseAUC, row.Seconds.Noise = number(a.AUC()), a.Seconds.Total
	}
	row.Status = Done
}

// number is a number for a row, nil if there is none.
func number(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// Event is what a worker tells of its work. They go from process to process as lines of JSON.
type Event struct {
	What    string  `json:"what"` // begin, progress, note, end
	Network int     `json:"network"`
	Text    string  `json:"text,omitempty"`   // of progress: "training …: 42 % of 60 epochs"; of a note: the note
	Status  string  `json:"status,omitempty"` // of end: that of the row; empty if there is none
	Error   string  `json:"error,omitempty"`
	Test    float64 `json:"test,omitempty"` // of end: accuracy on the test examples, and areas; 0 if there are none
	AUC     float64 `json:"auc,omitempty"`
	Noise   float64 `json:"noise,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Watch connects a worker's lab to whoever follows the work: the lab is opened with Progress and Note of a Watch, the worker
// gets the same Watch. Tell is called with every event, never by two at a time.
type Watch struct {
	Tell func(Event)

	mu    sync.Mutex
	now   *Network
	claim *lease.Lease
}

func (w *Watch) begin(n Network, claim *lease.Lease) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.claim = &n, claim
	w.Tell(Event{What: "begin", Network: n.Index})
}

// end tells of the end of the work on a network. A nil row means that it did not come to an end.
func (w *Watch) end(row *Row) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := Event{What: "end", Network: w.now.Index}
	if row != nil {
		e.Status, e.Error, e.Seconds = row.Status, row.Error, row.Seconds.Total()
		if row.Final != nil {
			e.Test = row.Final.TestAccuracy
		}
		if row.AUC != nil {
			e.AUC = *row.AUC
		}
		if row.NoiseAUC != nil {
			e.Noise = *row.NoiseAUC
		}
	}
	w.now, w.claim = nil, nil
	w.Tell(e)
}

// Note is for lab.Options.
func (w *Watch) Note(text string) { w.say("note", text) }

// Progress is for lab.Options.
func (w *Watch) Progress() lab.Progress {
	return lab.Report(500*time.Millisecond, func() func(lab.State) {
		return func(s lab.State) {
			if !s.Ended {
				w.say("progress", s.String())
			}
		}
	})
}

func (w *Watch) say(what, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := Event{What: what, Network: -1, Text: text}
	if w.now != nil {
		e.Network = w.now.Index
		if what == "progress" {
			w.claim.Note(text)
		}
	}
	w.Tell(e)
}

// TaskLabel names this process by what a scheduler calls it, for WorkOptions.Label: "task 12_3" under Slurm, else "".
func TaskLabel() string {
	job, task := os.Getenv("SLURM_ARRAY_JOB_ID"), os.Getenv("SLURM_ARRAY_TASK_ID")
	if job == "" || task == "" {
		return ""
	}
	return TaskPrefix + job + "_" + task
}

// TaskPrefix begins the label of a worker that is a task of an array job; job and task follow, as in 12_3.
const TaskPrefix = "task "
