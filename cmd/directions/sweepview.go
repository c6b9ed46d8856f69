package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/sweep"
)

// sweepView shows how a sweep is doing. On a terminal, a block of lines in place: one for each worker, one for the whole;
// elsewhere, a line for each network that ends and every half minute one for each that runs.
type sweepView struct {
	w      io.Writer
	sweep  *sweep.Sweep
	width  func() int // columns; nil: not a terminal
	jobs   []job      // by worker
	drawn  int        // lines of the block that stands there now
	begun  time.Time
	redraw time.Time

	mu    sync.Mutex
	tally sweep.Tally
}

// job is what a worker is doing.
type job struct {
	network int // -1: nothing
	since   time.Time
	text    string
	told    time.Time
}

func newSweepView(w io.Writer, s *sweep.Sweep, workers int) *sweepView {
	v := &sweepView{w: w, sweep: s, begun: time.Now(), jobs: make([]job, workers)}
	for i := range v.jobs {
		v.jobs[i].network = -1
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		v.width = func() int {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil {
				return width
			}
			return 80
		}
	}
	v.count()
	v.line(v.whole())
	return v
}

// count reads from the store how far the sweep is: others may be working on it too.
func (v *sweepView) count() {
	if rows, err := v.sweep.Rows(); err == nil {
		v.tally = rows.Tally()
	}
}

func (v *sweepView) tell(worker int, e sweep.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	j := &v.jobs[worker]
	now := time.Now()
	switch e.What {
	case "begin":
		*j = job{network: e.Network, since: now, told: now}
	case "progress":
		j.text = e.Text
		if v.width == nil && now.Sub(j.told) >= 30*time.Second {
			j.told = now
			v.line(v.named(j.network) + ": " + j.text)
		}
	case "note":
		v.line(strings.TrimPrefix(v.named(e.Network)+": ", ": ") + e.Text)
	case "end":
		*j = job{network: -1}
		if e.Status != "" {
			v.count()
			v.line(v.ended(e))
		}
	}
	if v.width != nil && (now.Sub(v.redraw) > 200*time.Millisecond || e.What != "progress") {
		v.redraw = now
		v.draw()
	}
}

// named is a network by its number and what sets it apart.
func (v *sweepView) named(network int) string {
	if network < 0 {
		return ""
	}
	text := fmt.Sprintf("network %d", network)
	if label := v.sweep.Networks[network].Label; label != "" {
		text += " (" + label + ")"
	}
	return text
}

// ended is the line of a network that came to its end, with how far the whole is.
func (v *sweepView) ended(e sweep.Event) string {
	text := v.named(e.Network) + ": " + e.Status
	if e.Status == sweep.Done {
		text += fmt.Sprintf(", test accuracy %.4f", e.Test)
		if e.AUC > 0 {
			text += fmt.Sprintf(", AUC %.4f", e.AUC)
		}
		if e.Noise > 0 {
			text += fmt.Sprintf(", noise AUC %.4f", e.Noise)
		}
	} else {
		text += ": " + e.Error
	}
	if v.width == nil {
		text += " | " + v.whole()
	}
	return text
}

// whole says how far the sweep is, and how long it will take.
func (v *sweepView) whole() string {
	t := v.tally
	text := fmt.Sprintf("sweep %s: %d of %d networks", v.sweep.Name, t.Networks-t.Missing(), t.Networks)
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	elapsed := time.Since(v.begun)
	if elapsed >= time.Second {
		text += ", " + lab.Clock(elapsed)
	}
	var running []time.Duration
	for _, j := range v.jobs {
		if j.network >= 0 {
			running = append(running, time.Since(j.since))
		}
	}
	if left := t.Left(len(v.jobs), running); left > 0 {
		text += fmt.Sprintf(", about %s left", lab.Clock(max(left, time.Second)))
	}
	return text
}

// line writes a line that stays, above the block.
func (v *sweepView) line(text string) {
	v.wipe()
	fmt.Fprintln(v.w, strings.ReplaceAll(text, "\n", " "))
}

// wipe removes the block.
func (v *sweepView) wipe() {
	if v.drawn > 0 {
		fmt.Fprintf(v.w, "\x1b[%dA\x1b[J", v.drawn)
		v.drawn = 0
	}
}

// draw draws the block anew.
func (v *sweepView) draw() {
	v.wipe()
	lines := []string{v.whole()}
	for _, j := range v.jobs {
		if j.network >= 0 {
			lines = append(lines, "  "+strings.TrimSuffix(v.named(j.network)+": "+j.text, ": "))
		}
	}
	for _, text := range lines {
		runes := []rune(text)
		if room := v.width() - 1; len(runes) > room {
			runes = append(runes[:max(room-1, 0)], '…')
		}
		fmt.Fprintln(v.w, string(runes))
	}
	v.drawn = len(lines)
}

func (v *sweepView) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
}

// workView shows what a single worker does, as lines for a log.
type workView struct {
	quiet bool
	told  time.Time
}

func (v *workView) tell(e sweep.Event) {
	if v.quiet {
		return
	}
	now := time.Now()
	switch e.What {
	case "begin":
		v.told = now
		fmt.Fprintf(os.Stderr, "network %d: begun\n", e.Network)
	case "progress":
		if now.Sub(v.told) >= 30*time.Second {
			v.told = now
			fmt.Fprintf(os.Stderr, "network %d: %s\n", e.Network, e.Text)
		}
	case "note":
		fmt.Fprintln(os.Stderr, e.Text)
	case "end":
		status := e.Status
		if status == "" {
			status = "interrupted; goes on from there"
		}
		fmt.Fprintf(os.Stderr, "network %d: %s\n", e.Network, strings.TrimSuffix(status+": "+e.Error, ": "))
	}
}
