package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Report is all that was measured, results.json. Machine, versions, date and commit are those of the last run; a record
// that stems from an earlier one carries its own date and commit.
type Report struct {
	Quick     bool              `json:"quick,omitempty"` // tiny sizes: not a measurement
	Date      string            `json:"date"`
	Commit    string            `json:"commit"`
	Machine   Machine           `json:"machine"`
	Threads   int               `json:"threads"` // of both sides
	Versions  map[string]string `json:"versions"`
	Workloads []Workload        `json:"workloads"`
	Growth    []Growth          `json:"growth"`
	Peak      *Peak             `json:"peak,omitempty"`
}

// Workload is a line of the table: the same work done by this toolkit and by a peer.
type Workload struct {
	ID      string    `json:"id"` // sorts the lines: "1", "2", "2 captum", …
	What    string    `json:"what"`
	Peer    string    `json:"peer"`   // the peer, with its settings
	Passes  float64   `json:"passes"` // whole sets of edits or epochs, over all examples
	Ours    Timing    `json:"ours"`
	Theirs  Timing    `json:"theirs"`
	Target  float64   `json:"target"`   // how many times faster ours should be
	Plan    string    `json:"our_plan"` // what our side says it did
	Answers Agreement `json:"answers"`
	Date    string    `json:"date"`
	Commit  string    `json:"commit"`
}

// Ratio is how many times as long the peer takes.
func (w Workload) Ratio() float64 { return w.Theirs.Best() / w.Ours.Best() }

// Growth is how the seconds grow with one size of the work, the others staying as they are.
type Growth struct {
	What   string      `json:"what"`
	Base   string      `json:"base"` // the other sizes
	Rows   []GrowthRow `json:"rows"`
	Date   string      `json:"date"`
	Commit string      `json:"commit"`
}

// GrowthRow is one size.
type GrowthRow struct {
	Size    int       `json:"size"`
	Ours    Timing    `json:"ours"`
	Theirs  Timing    `json:"theirs"`
	Answers Agreement `json:"answers"`
}

// Peak is the fastest matrix product through XLA, and what the workloads reach of it.
type Peak struct {
	Size   int             `json:"size"`   // of the square float32 matrices of the fastest product
	GFlops float64         `json:"gflops"` // 10⁹ floating-point operations a second: 2·Size³ for each product
	Tried  map[int]float64 `json:"tried"`  // by size
	Shares []Share         `json:"shares"`
	Date   string          `json:"date"`
	Commit string          `json:"commit"`
}

// Share is the useful work of a workload: what its passes cost from the first edited layer on, done plainly.
type Share struct {
	Workload string  `json:"workload"`
	Suffix   string  `json:"suffix"`
	Flops    float64 `json:"flops_per_example"` // of the suffix
	GFlops   float64 `json:"gflops"`            // useful 10⁹ operations a second
	OfPeak   float64 `json:"of_peak"`           // fraction
}

func (r *Report) add(w Workload) {
	w.Date, w.Commit = r.Date, r.Commit
	r.Workloads = slices.DeleteFunc(r.Workloads, func(old Workload) bool { return old.ID == w.ID })
	r.Workloads = append(r.Workloads, w)
	slices.SortFunc(r.Workloads, func(a, b Workload) int { return strings.Compare(a.ID, b.ID) })
	status := "answers agree: "
	if !w.Answers.OK {
		status = "ANSWERS DIFFER: "
	}
	log.Printf("  %s: ours %s, theirs %s, ratio %.1f; %s%s", w.ID, w.Ours, w.Theirs, w.Ratio(), status, w.Answers.Text)
}

func (r *Report) addGrowth(g Growth) {
	g.Date, g.Commit = r.Date, r.Commit
	at := slices.IndexFunc(r.Growth, func(old Growth) bool { return old.What == g.What })
	if at < 0 {
		r.Growth = append(r.Growth, g)
		return
	}
	r.Growth[at] = g
}

// workload finds a line by its ID.
func (r *Report) workload(id string) (Workload, bool) {
	at := slices.IndexFunc(r.Workloads, func(w Workload) bool { return w.ID == id })
	if at < 0 {
		return Workload{}, false
	}
	return r.Workloads[at], true
}

// keep takes over what an earlier run on the same machine, with the same versions, measured.
func (r *Report) keep(old *Report) {
	if old == nil {
		return
	}
	if old.Machine != r.Machine || old.Threads != r.Threads || !maps.Equal(old.Versions, r.Versions) {
		log.Print("the earlier results are of another machine or other versions: dropped, not mixed with new ones")
		return
	}
	r.Workloads, r.Growth, r.Peak = old.Workloads, old.Growth, old.Peak
}

// disagreements says where answers differ by more than rounding.
func (r *Report) disagreements() []string {
	var bad []string
	for _, w := range r.Workloads {
		if !w.Answers.OK {
			bad = append(bad, w.ID+": "+w.Answers.Text)
		}
	}
	for _, g := range r.Growth {
		for _, row := range g.Rows {
			if !row.Answers.OK {
				bad = append(bad, fmt.Sprintf("growth of %s at %d: %s", g.What, row.Size, row.Answers.Text))
			}
		}
	}
	return bad
}

func readReport(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to start afresh", path, err)
	}
	return &r, nil
}

// write puts results.json and the tables of README.md into a folder.
func (r *Report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	err = result.WriteFile(filepath.Join(dir, "results.json"), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "README.md")
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	filled := string(page)
	for name, table := range map[string]string{
		"machine": r.machineText(), "workloads": r.workloadTable(), "growth": r.growthTables(), "peak": r.peakTable(),
	} {
		if filled, err = replaceBetween(filled, name, table); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return result.WriteFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, filled)
		return err
	})
}

// replaceBetween replaces what stands between the lines "<!-- begin NAME -->" and "<!-- end NAME -->".
func replaceBetween(page, name, text string) (string, error) {
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
	before, rest, ok := strings.Cut(page, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("it has no lines %q and %q, between which the table goes", strings.TrimSpace(begin), end)
	}
	return before + begin + text + end + after, nil
}

// copyPage copies README.md to the folder that the tables go to.
func copyPage(from, to string) error {
	if from == to {
		return nil
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	page, err := os.ReadFile(filepath.Join(from, "README.md"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "README.md"), page, 0o644)
}

// ---- the tables ------------------------------------------------------------------------------------------------------

func (r *Report) machineText() string {
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		versions = append(versions, name+" "+r.Versions[name])
	}
	note := ""
	if r.Quick {
		note = "**A self-test at tiny sizes, not a measurement.** "
	}
	return fmt.Sprintf("%s%s; %d threads on each side. %s. %s, commit %s.\n",
		note, r.Machine, r.Threads, strings.Join(versions, ", "), r.Date, r.Commit)
}

func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

func (r *Report) workloadTable() string {
	var rows [][]string
	for _, w := range r.Workloads {
		theirs := w.Theirs.String()
		if w.Theirs.Part != "" {
			theirs += fmt.Sprintf("<br>measured on %s, × %.4g", w.Theirs.Part, w.Theirs.Scale)
		}
		verdict := "pass"
		if w.Ratio() < w.Target {
			verdict = "**fail**"
		}
		answers := w.Answers.Text
		if !w.Answers.OK {
			answers, verdict = "**differ**: "+answers, "**fail**"
		}
		if w.Commit != r.Commit || w.Date != r.Date {
			answers += fmt.Sprintf(" (measured %s, commit %s)", w.Date, w.Commit)
		}
		rows = append(rows, []string{
			w.ID, w.What, w.Peer, theirs, w.Ours.String(),
			fmt.Sprintf("%.1f ×", w.Ratio()), fmt.Sprintf("≥ %g ×", w.Target), verdict,
			seconds(w.Ours.First) + " / " + seconds(w.Theirs.First), answers,
		})
	}
	head := []string{
		"", "workload", "against", "theirs", "ours", "ratio", "target", "", "first call, ours / theirs", "answers",
	}
	return table(head, rows)
}

func (r *Report) growthTables() string {
	var b strings.Builder
	for _, g := range r.Growth {
		fmt.Fprintf(&b, "**%s** (%s)\n\n", g.What, g.Base)
		var rows [][]string
		for i, row := range g.Rows {
			times := func(a, b Timing) string { return fmt.Sprintf("× %.2f", a.Best()/b.Best()) }
			theirs, ours := "", ""
			if i > 0 {
				theirs, ours = times(row.Theirs, g.Rows[i-1].Theirs), times(row.Ours, g.Rows[i-1].Ours)
			}
			ratio := fmt.Sprintf("%.1f ×", row.Theirs.Best()/row.Ours.Best())
			rows = append(rows, []string{
				thousands(row.Size), row.Theirs.String(), row.Ours.String(), theirs, ours, ratio,
			})
		}
		b.WriteString(table([]string{g.What, "theirs", "ours", "theirs grows", "ours grows", "ratio"}, rows) + "\n")
	}
	return b.String()
}

func (r *Report) peakTable() string {
	if r.Peak == nil {
		return ""
	}
	var b strings.Builder
	size := thousands(r.Peak.Size)
	fmt.Fprintf(&b, "Peak: %.0f GFLOP/s, a product of two %s × %s matrices.\n\n", r.Peak.GFlops, size, size)
	var rows [][]string
	for _, s := range r.Peak.Shares {
		rows = append(rows, []string{
			s.Workload, s.Suffix, fmt.Sprintf("%.2f", s.Flops/1e6), fmt.Sprintf("%.1f", s.GFlops),
			fmt.Sprintf("%.0f %%", 100*s.OfPeak),
		})
	}
	b.WriteString(table([]string{"workload", "suffix", "MFLOP an example", "useful GFLOP/s", "of the peak"}, rows))
	return b.String()
}
