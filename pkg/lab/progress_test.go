package lab

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// clock is a time that moves only when told to.
type clock struct{ t time.Time }

func newClock() *clock                { return &clock{time.Date(2018, 3, 19, 0, 0, 0, 0, time.UTC)} }
func (c *clock) now() time.Time       { return c.t }
func (c *clock) pass(d time.Duration) { c.t = c.t.Add(d) }

func TestTerminalWithoutATerminalWritesFewLines(t *testing.T) {
	var out bytes.Buffer
	c := newClock()
	m := plain(&out, c.now).Start("training", 640, "epochs")
	for range 320 { // 160 s at two epochs a second
		c.pass(500 * time.Millisecond)
		m.Advance(1)
	}
	m.Note("loss 0.31")
	for range 320 { // then 320 s at one a second
		c.pass(time.Second)
		m.Advance(1)
	}
	m.Done()
	m.Done()
	m.Advance(1)
	m.Note("after the end")

	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 1+48+1, "the start, one every 10 s of 480 s, and the end")
	require.Equal(t, "training: 0 % of 640 epochs", lines[0])
	require.Equal(t, "training: 3 % of 640 epochs, 10 s, about 5 min 10 s left", lines[1], "620 epochs at 2 a second")
	require.Equal(t, "training: 50 % of 640 epochs, 2 min 40 s, about 2 min 40 s left", lines[16])
	// 240 s in, 80 epochs at the lower rate are done: the old rate is out of the window.
	require.Equal(t, "training: 62 % of 640 epochs, 4 min 00 s, about 4 min 00 s left (loss 0.31)", lines[24])
	require.Equal(t, "training: 640 epochs in 8 min 00 s (loss 0.31)", lines[49])
}

func TestEstimateForgetsAHeadStart(t *testing.T) {
	// 100 of 200 pieces come from a store in no time; the others take 1 s each. The mean rate would promise far too little.
	c := newClock()
	var last State
	r := reporter{now: c.now, open: func() func(State) { return func(s State) { last = s } }}
	m := r.Start("figure 1a", 200, "networks")
	c.pass(10 * time.Millisecond)
	m.Advance(100)
	for range 40 {
		c.pass(time.Second)
		m.Advance(1)
	}
	require.Equal(t, 140, last.Done)
	require.InDelta(t, 60, last.Left.Seconds(), 1)
	m.Done()
	require.Zero(t, last.Left)
	require.Equal(t, "figure 1a: ended at 140 of 200 networks in 40 s", last.String())
}

func TestEstimateOfSlowPieces(t *testing.T) {
	// Pieces of three minutes each: the window of 30 s is empty, the last reports still give the rate.
	c := newClock()
	var p pace
	p.add(c.now(), 0)
	require.Zero(t, p.left(c.now(), 6), "nothing done: no rate")
	for i := 1; i <= 4; i++ {
		c.pass(3 * time.Minute)
		p.add(c.now(), i)
	}
	require.Equal(t, 6*time.Minute, p.left(c.now(), 2))
	require.Zero(t, p.left(c.now(), 0))
	// While a piece is late, the estimate grows smoothly.
	c.pass(3 * time.Minute)
	require.Equal(t, 7*time.Minute+30*time.Second, p.left(c.now(), 2))
}

func TestEstimateKeepsLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		var p pace
		p.add(c.now(), 0)
		done := 0
		for range rapid.IntRange(1, 2000).Draw(t, "reports") {
			c.pass(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			done++
			p.add(c.now(), done)
		}
		require.LessOrEqual(t, len(p.at), 2*110, "at most two reports for each hundredth of the window")
		require.GreaterOrEqual(t, p.left(c.now(), 10), time.Duration(0))
	})
}

func TestCounts(t *testing.T) {
	require.Equal(t, "7 images", State{What: "images", Done: 7}.Count(), "the total is not known")
	require.Equal(t, "99 % of 1000 images", State{What: "images", Done: 999, Total: 1000}.Count(), "100 % only when all are done")
	require.Equal(t, "100 % of 10 images", State{What: "images", Done: 12, Total: 10}.Count())
	require.Equal(t, "12 images", State{What: "images", Done: 12, Total: 10, Ended: true}.Count())
}

func TestClockText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "0.0 s",
		-time.Second:             "0.0 s",
		440 * time.Millisecond:   "0.4 s",
		949 * time.Millisecond:   "0.9 s",
		950 * time.Millisecond:   "1 s",
		59499 * time.Millisecond: "59 s",
		59500 * time.Millisecond: "1 min 00 s",
		200 * time.Second:        "3 min 20 s",
		3599 * time.Second:       "59 min 59 s",
		3900 * time.Second:       "1 h 05 min",
		30 * time.Hour:           "30 h 00 min",
	} {
		require.Equal(t, want, Clock(d), "%v", d)
	}
}

func TestReportCallsBackAtMostOncePerInterval(t *testing.T) {
	c := newClock()
	var states []State
	r := reporter{every: time.Second, now: c.now, open: func() func(State) {
		return func(s State) { states = append(states, s) }
	}}
	m := r.Start("noise", 100, "runs")
	for range 100 {
		c.pass(100 * time.Millisecond)
		m.Advance(1)
	}
	m.Done()
	require.Len(t, states, 1+10+1)
	require.True(t, states[11].Ended)
	require.Equal(t, 100, states[11].Done)
	require.Equal(t, 10*time.Second, states[11].Elapsed)
}

func TestMetersAreSafeForConcurrentUse(t *testing.T) {
	var out, bars bytes.Buffer
	for _, p := range []Progress{
		plain(&out, time.Now), Silent(), Report(0, (&screen{w: &bars, width: func() int { return 80 }}).open),
	} {
		var all sync.WaitGroup
		shared := p.Start("shared", 400, "pieces")
		for i := range 4 {
			all.Go(func() {
				own := p.Start(fmt.Sprint("own ", i), 100, "pieces")
				for range 100 {
					own.Advance(1)
					shared.Advance(1)
					shared.Note("busy")
				}
				own.Done()
			})
		}
		all.Wait()
		shared.Done()
	}
	require.Contains(t, out.String(), "shared: 400 pieces in ")
	require.Equal(t, 10, strings.Count(out.String(), "\n"), "five meters, a first and a last line each")
	require.Equal(t, 5, strings.Count(bars.String(), "\n"), "each bar leaves one line")
}

// screenful plays what was written to a terminal: it knows line feed, carriage return and the two ways to erase a line.
func screenful(written string) []string {
	var lines []string
	var line []rune
	at := 0
	erase := map[string]func(){
		"\033[2K": func() { line = blanks(len(line)) },
		"\033[0K": func() { line = line[:min(at, len(line))] },
	}
	for written != "" {
		if len(written) >= 4 && erase[written[:4]] != nil {
			erase[written[:4]]()
			written = written[4:]
			continue
		}
		r := []rune(written)[0]
		written = strings.TrimPrefix(written, string(r))
		switch r {
		case '\n':
			lines, line, at = append(lines, strings.TrimRight(string(line), " ")), nil, 0
		case '\r':
			at = 0
		default:
			for len(line) <= at {
				line = append(line, ' ')
			}
			line[at] = r
			at++
		}
	}
	return append(lines, strings.TrimRight(string(line), " "))
}

func blanks(n int) []rune { return []rune(strings.Repeat(" ", n)) }

func TestBarsOfNestedMeters(t *testing.T) {
	var out bytes.Buffer
	c := newClock()
	columns := 72
	p := reporter{now: c.now, open: (&screen{w: &out, width: func() int { return columns }}).open}
	outer := p.Start("figure 1a", 6, "networks")
	require.Equal(t, []string{"   0% ░░░░░░░░░░░░░░░░░░░░  figure 1a: 0 of 6 networks"}, screenful(out.String()))
	inner := p.Start("training", 100, "epochs")
	c.pass(30 * time.Second)
	inner.Advance(50)
	require.Equal(t, []string{"  50% ██████████░░░░░░░░░░  training, about 30 s left"}, screenful(out.String()))
	columns = 120
	c.pass(30 * time.Second)
	inner.Advance(50)
	inner.Done()
	require.Equal(t, []string{"training: 100 epochs in 1 min 00 s", ""}, screenful(out.String()))
	outer.Advance(3)
	require.Equal(t, "  50% ██████████░░░░░░░░░░  figure 1a: 3 of 6 networks, 1 min 00 s, about 1 min 00 s left",
		screenful(out.String())[1])
	outer.Done()
	require.Equal(t, []string{
		"training: 100 epochs in 1 min 00 s",
		"figure 1a: ended at 3 of 6 networks in 1 min 00 s",
		"",
	}, screenful(out.String()))
}

func TestBarOfUnknownLength(t *testing.T) {
	var out bytes.Buffer
	c := newClock()
	p := reporter{now: c.now, open: (&screen{w: &out, width: func() int { return 80 }}).open}
	m := p.Start("reading", 0, "files")
	c.pass(2 * time.Second)
	m.Advance(7)
	lines := screenful(out.String())
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "reading: 7 files, 2 s")
	m.Done()
	require.Equal(t, []string{"reading: 7 files in 2 s", ""}, screenful(out.String()))
}

func TestNarrowLinesKeepTheTimeLeft(t *testing.T) {
	s := State{
		Title: "training mlp:512,512 on mnist, 20 % labels corrupted", What: "epochs", Note: "loss 0.31", Done: 29, Total: 120,
		Elapsed: 154 * time.Second, Left: 310 * time.Second,
	}
	for columns, want := range map[int]string{
		120: "training mlp:512,512 on mnist, 20 % labels corrupted: 29 of 120 epochs, 2 min 34 s, about 5 min 10 s left (loss 0.31)",
		110: "training mlp:512,512 on mnist, 20 % labels corrupted: 29 of 120 epochs, 2 min 34 s, about 5 min 10 s left",
		100: "training mlp:512,512 on mnist, 20 % labels corrupted: 29 of 120 epochs, about 5 min 10 s left",
		80:  "training mlp:512,512 on mnist, 20 % labels corrupted, about 5 min 10 s left",
		49:  "training mlp:512,512 on m…, about 5 min 10 s left", // beside the bar, in 80 columns
		24:  "…, about 5 min 10 s left",
		10:  "…, about …",
		0:   "…",
	} {
		got := s.narrow("29 of 120 epochs", columns)
		require.Equal(t, want, got, "%d columns", columns)
		require.LessOrEqual(t, len([]rune(got)), max(columns, 1))
	}
	s.Left = 0
	require.Equal(t, "training…", s.narrow("29 of 120 epochs", 9), "not known yet")
}

func TestEstimateOfAResumedJob(t *testing.T) {
	// 16 of 60 epochs come from an earlier session, at once; then each takes 5 s.
	c := newClock()
	var last State
	m := reporter{now: c.now, open: func() func(State) { return func(s State) { last = s } }}.Start("training", 60, "epochs")
	m.Advance(16)
	require.Zero(t, last.Left)
	c.pass(5 * time.Second)
	m.Advance(1)
	require.Equal(t, 43*5*time.Second, last.Left)
}

func TestFit(t *testing.T) {
	require.Equal(t, "abc", clip("abc", 3))
	require.Equal(t, "a×…", clip("a×bc", 3))
	require.Equal(t, "…", clip("abc", -4))
	require.Equal(t, "a b", clip("a\nb", 9))
}

func ExampleTerminal() {
	meter := Terminal(os.Stdout).Start("ablation", 0, "images") // standard output is a pipe here, so lines are written
	meter.Advance(1000)
	// Output: ablation: 0 images
}

func ExampleReport() {
	progress := Report(0, func() func(State) {
		return func(s State) { fmt.Println(s.Title, s.Count()) }
	})
	meter := progress.Start("training", 4, "epochs")
	meter.Advance(1)
	meter.Advance(2)
	meter.Advance(1)
	meter.Done()
	// Output:
	// training 0 % of 4 epochs
	// training 25 % of 4 epochs
	// training 75 % of 4 epochs
	// training 100 % of 4 epochs
	// training 4 epochs
}
