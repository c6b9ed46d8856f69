package lab

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Meter shows how far one long job is. All methods may be called from several goroutines; after Done they do nothing.
type Meter interface {
	Advance(n int)    // n more pieces are done
	Note(text string) // what is worth knowing now, for example "loss 0.31"; shown beside the numbers at the next refresh
	Done()            // the job has ended, at its total or earlier
}

// Progress makes meters. total counts pieces and what names them ("epochs", "images × edit sets"); a total ≤ 0 means that
// the number of pieces is not known, and then neither a percentage nor a time left is shown.
type Progress interface {
	Start(title string, total int, what string) Meter
}

// State is what a meter knows at one moment.
type State struct {
	Title, What, Note string
	Done, Total       int           // pieces; Total ≤ 0: not known
	Elapsed           time.Duration // since Start
	Left              time.Duration // estimate from the recent rate; 0: not known
	Ended             bool          // Done has been called: this is the last state
}

// Percent is the share of the pieces that are done, rounded down, between 0 and 100; 0 if the total is not known.
func (s State) Percent() int {
	if s.Total <= 0 {
		return 0
	}
	return int(100 * min(float64(s.Done)/float64(s.Total), 1))
}

// Count says how far the job is without saying how long it took: "42 % of 640 epochs", "640 epochs" at the end, or
// "ended at 268 of 640 epochs" where it ended early.
func (s State) Count() string {
	switch {
	case s.Total <= 0 || s.Ended && s.Done >= s.Total:
		return fmt.Sprintf("%d %s", s.Done, s.What)
	case s.Ended:
		return fmt.Sprintf("ended at %d of %d %s", s.Done, s.Total, s.What)
	}
	return fmt.Sprintf("%d %% of %d %s", s.Percent(), s.Total, s.What)
}

// String is one line for people: "training: 42 % of 640 epochs, 12 s, about 17 s left (loss 0.31)".
func (s State) String() string { return s.line(s.Count()) }

// line is String with another count.
func (s State) line(count string) string {
	text := s.Title + ": " + count
	switch {
	case s.Ended:
		text += " in " + Clock(s.Elapsed)
	case s.Elapsed >= time.Second:
		text += ", " + Clock(s.Elapsed)
	}
	text += s.left()
	if s.Note != "" {
		text += " (" + s.Note + ")"
	}
	return text
}

// left is the end of the line that tells the time left, empty if it is not known.
func (s State) left() string {
	if s.Ended || s.Left <= 0 {
		return ""
	}
	return ", about " + Clock(max(s.Left, time.Second)) + " left"
}

// narrow is the line beside a bar, in so many columns. What has no room goes: first the note, then the time so far, the
// count (the bar has the percentage) and the end of the title. The time left stays.
func (s State) narrow(count string, columns int) string {
	for _, drop := range []func(){func() {}, func() { s.Note = "" }, func() { s.Elapsed = 0 }} {
		drop()
		if text := s.line(count); len([]rune(text)) <= columns {
			return text
		}
	}
	left := s.left()
	return clip(clip(s.Title, columns-len([]rune(left)))+left, columns)
}

// Clock writes a duration as a person would: "0.4 s", "12 s", "3 min 20 s", "1 h 05 min".
func Clock(d time.Duration) string {
	switch s := int(d.Round(time.Second) / time.Second); {
	case d < 950*time.Millisecond:
		return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	default:
		return fmt.Sprintf("%d h %02d min", s/3600, s%3600/60)
	}
}

// Report makes a Progress whose meters call back: open is called once for each meter, and the function it returns gets
// the meter's first state, then at most one state per `every`, and in any case the last. Calls for one meter never
// overlap; those for different meters may.
func Report(every time.Duration, open func() (show func(State))) Progress {
	return reporter{every: every, open: open, now: time.Now}
}

// Silent makes meters that show nothing.
func Silent() Progress { return silent{} }

type silent struct{}

func (silent) Start(string, int, string) Meter { return silent{} }
func (silent) Advance(int)                     {}
func (silent) Note(string)                     {}
func (silent) Done()                           {}

type reporter struct {
	every time.Duration
	open  func() (show func(State))
	now   func() time.Time // tests bring their own clock
}

func (r reporter) Start(title string, total int, what string) Meter {
	m := &meter{reporter: r, show: r.open(), begun: r.now()}
	m.state = State{Title: title, Total: max(total, 0), What: what}
	m.pace.add(m.begun, 0)
	m.shown = m.begun
	m.show(m.state)
	return m
}

type meter struct {
	reporter
	show  func(State)
	begun time.Time

	mu    sync.Mutex
	state State
	shown time.Time // when show was last called
	pace  pace
}

func (m *meter) Advance(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Ended {
		return
	}
	m.state.Done += n
	now := m.now()
	if now.Sub(m.begun) < headStart {
		m.pace = pace{}
	}
	m.pace.add(now, m.state.Done)
	m.refresh(now)
}

func (m *meter) Note(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Ended {
		return
	}
	m.state.Note = text
	m.refresh(m.now())
}

func (m *meter) Done() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Ended {
		return
	}
	m.state.Ended = true
	m.refresh(m.now())
}

// refresh shows the state if it is time to, or if it is the last. The caller holds m.mu.
func (m *meter) refresh(now time.Time) {
	if now.Sub(m.shown) < m.every && !m.state.Ended {
		return
	}
	m.shown = now
	m.state.Elapsed = now.Sub(m.begun)
	m.state.Left = 0
	if !m.state.Ended && m.state.Total > 0 {
		m.state.Left = m.pace.left(now, m.state.Total-m.state.Done)
	}
	m.show(m.state)
}

// pace estimates the time left from the rate over the last 30 s, or over the last five reports where those reach further
// back. An average from the start would be wrong for long after a job that finds its first half computed already.
type pace struct {
	at   []time.Time
	done []int
}

const (
	paceWindow  = 30 * time.Second
	paceReports = 5
	headStart   = 50 * time.Millisecond // what is done so soon was done in an earlier session, and tells nothing of the rate
)

func (p *pace) add(now time.Time, done int) {
	// Reports that come thick and fast are merged, so that the memory stays small.
	if n := len(p.at); n > 2 && p.at[n-1].Sub(p.at[n-2]) < paceWindow/100 {
		p.at[n-1], p.done[n-1] = now, done
	} else {
		p.at, p.done = append(p.at, now), append(p.done, done)
	}
	for len(p.at) > paceReports && now.Sub(p.at[1]) >= paceWindow {
		p.at, p.done = p.at[1:], p.done[1:]
	}
}

// left is the time that `pieces` more pieces take at the recent rate, 0 if there is no rate yet.
func (p *pace) left(now time.Time, pieces int) time.Duration {
	last := len(p.at) - 1
	made, took := p.done[last]-p.done[0], now.Sub(p.at[0])
	if made <= 0 || took <= 0 || pieces <= 0 {
		return 0
	}
	return time.Duration(float64(took) * float64(pieces) / float64(made))
}

// Terminal makes meters for a person who watches w. On a terminal the meter is a bar in place, with percentage, elapsed
// time and time left; of several running meters the newest has the bar, and each leaves one line behind when it ends.
// Where w is not a terminal (a log file, a pipe) a meter writes a line when it starts, at most one every ten seconds, and
// one with the total time when it ends.
func Terminal(w io.Writer) Progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return Report(100*time.Millisecond, (&screen{w: w, width: func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return width
		}}).open)
	}
	return plain(w, time.Now)
}

// plain is Terminal for writers that are no terminals.
func plain(w io.Writer, now func() time.Time) Progress {
	var mu sync.Mutex // of w
	return reporter{every: 10 * time.Second, now: now, open: func() func(State) {
		return func(s State) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(w, s)
		}
	}}
}

// screen draws the bar of the newest meter on the last line of a terminal.
type screen struct {
	w     io.Writer
	width func() int // columns

	mu   sync.Mutex
	bars []*bar // of the running meters, newest last
}

type bar struct {
	*progressbar.ProgressBar
}

func (sc *screen) open() func(State) {
	b := &bar{}
	return func(s State) {
		sc.mu.Lock()
		defer sc.mu.Unlock()
		if b.ProgressBar == nil { // the first state
			sc.clear()
			b.ProgressBar = sc.newBar(s.Total)
			sc.bars = append(sc.bars, b)
		}
		if s.Ended {
			sc.clear()
			sc.bars = slices.DeleteFunc(sc.bars, func(other *bar) bool { return other == b })
			fmt.Fprintln(sc.w, s)
			return
		}
		if sc.bars[len(sc.bars)-1] != b {
			return
		}
		count := s.Count()
		if s.Total > 0 {
			count = fmt.Sprintf("%d of %d %s", s.Done, s.Total, s.What) // the bar has the percentage
			// The total itself is never set: the library would take the bar for finished and stop drawing it.
			b.Set(min(s.Done, s.Total-1))
		}
		b.Describe(s.narrow(count, sc.width()-barColumns-1))
	}
}

const (
	barWidth   = 20
	barColumns = barWidth + 10 // the bar, its ends, the percentage and blanks
)

// clear wipes the line of the bar that is drawn now.
func (sc *screen) clear() {
	if n := len(sc.bars); n > 0 {
		sc.bars[n-1].Clear()
	}
}

func (sc *screen) newBar(total int) *progressbar.ProgressBar {
	if total <= 0 {
		total = -1 // the library's word for "not known"
	}
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(sc.w),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetPredictTime(false), // it averages over everything; see pace
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}),
	)
}

// clip cuts a text to a number of columns: a bar that wraps around could not be drawn in place.
func clip(text string, columns int) string {
	runes := []rune(strings.ReplaceAll(text, "\n", " "))
	if len(runes) <= columns {
		return string(runes)
	}
	return string(runes[:max(columns-1, 0)]) + "…"
}
