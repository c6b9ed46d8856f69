package sweep

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// LocalOptions are those of workers on this machine.
type LocalOptions struct {
	Workers int // processes at a time; at least 1
	Shard   Shard
	Deaths  int // 0: Deaths; less than 0: no limit
	// Command makes the command of a worker: a process that calls Sweep.Work with this shard and Wait, writes its events, as
	// EventWriter does, to file descriptor 3, and ends when its standard input does.
	Command func() *exec.Cmd
	// Tell is called with the events of all workers, never by two at a time; may be nil.
	Tell func(worker int, e Event)
}

// Local has workers on this machine compute the networks of a sweep, each in a process of its own, so that no network can
// take the others down. A worker that is killed is replaced. When ctx ends, the workers save what they have and end.
func (s *Sweep) Local(ctx context.Context, opt LocalOptions) error {
	if opt.Workers < 1 {
		return fmt.Errorf("sweep %s: %d workers; at least 1 is needed", s.Name, opt.Workers)
	}
	if err := opt.Shard.Check(); err != nil {
		return fmt.Errorf("sweep %s: %w", s.Name, err)
	}
	if err := s.Keep(); err != nil {
		return err
	}
	g := &gang{sweep: s, opt: opt}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for i := range opt.Workers {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := g.worker(ctx, i); err != nil {
				cancel(err)
			}
		}()
	}
	all.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("sweep %s: %w", s.Name, context.Cause(ctx))
	}
	return nil
}

// gang is the workers of Local.
type gang struct {
	sweep *Sweep
	opt   LocalOptions

	mu     sync.Mutex
	deaths int // since a network last came to its end
}

func (g *gang) tell(worker int, e Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.What == "end" && e.Status != "" {
		g.deaths = 0
	}
	if g.opt.Tell != nil {
		g.opt.Tell(worker, e)
	}
}

// worker keeps one worker running until it finds nothing more to do.
func (g *gang) worker(ctx context.Context, i int) error {
	for {
		last, err := g.process(ctx, i)
		var exit *exec.ExitError
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case !errors.As(err, &exit) || exit.Exited(): // it could not be started, or has said what is wrong
			return fmt.Errorf("a worker ended with %w: %s", err, last)
		}
		text := fmt.Sprintf("worker %d was killed (%v) and is started again", i, err)
		g.tell(i, Event{What: "note", Network: -1, Text: text})
		g.mu.Lock()
		g.deaths++
		tooMany := g.deaths
		g.mu.Unlock()
		limit := g.opt.Deaths
		if limit == 0 {
			limit = Deaths
		}
		if limit > 0 && tooMany > limit*(g.opt.Workers+1) {
			return fmt.Errorf("%d workers in a row were killed (the last one: %w) and no network came to its end: %s",
				tooMany, err, last)
		}
	}
}

// process runs one process to its end. last is the end of what it wrote to standard error.
func (g *gang) process(ctx context.Context, i int) (last string, err error) {
	c := g.opt.Command()
	events, theirs, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer events.Close()
	tail := &ending{size: 2000}
	c.Stdout, c.Stderr, c.ExtraFiles = io.Discard, tail, []*os.File{theirs}
	stdin, err := c.StdinPipe()
	if err != nil {
		theirs.Close()
		return "", err
	}
	err = c.Start()
	theirs.Close()
	if err != nil {
		return "", err
	}
	// A closed standard input tells the worker to save and end; the end of this process closes it as well.
	stop := context.AfterFunc(ctx, func() { stdin.Close() })
	defer stop()
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	working := -1
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // the last words of one that was killed
		}
		switch e.What {
		case "begin":
			working = e.Network
		case "end":
			working = -1
		}
		g.tell(i, e)
	}
	err = c.Wait()
	if working >= 0 { // it did not say so itself
		g.tell(i, Event{What: "end", Network: working})
	}
	return tail.String(), err
}

// ending keeps the end of what is written.
type ending struct {
	size int
	mu   sync.Mutex
	text []byte
}

func (e *ending) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text = append(e.text, p...)
	if over := len(e.text) - e.size; over > 0 {
		e.text = append(e.text[:0], e.text[over:]...)
	}
	return len(p), nil
}

func (e *ending) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(bytes.TrimSpace(e.text))
}

// EventWriter returns a function for Watch.Tell that writes events to w. It does not mind if nobody reads them.
func EventWriter(w io.Writer) func(Event) {
	encoder := json.NewEncoder(w)
	return func(e Event) { _ = encoder.Encode(e) }
}

// Left estimates how long so many workers take for what is left, from the mean time of the networks done and from how long
// the running ones have been running; 0 if there is nothing to estimate from.
func (t Tally) Left(workers int, running []time.Duration) time.Duration {
	seconds := float64(t.Missing()) * t.Seconds
	for _, d := range running {
		seconds -= min(d.Seconds(), 0.9*t.Seconds)
	}
	return time.Duration(seconds / float64(max(min(workers, t.Missing()), 1)) * float64(time.Second))
}
