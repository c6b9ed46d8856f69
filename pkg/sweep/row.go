package sweep

import (
	"fmt"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// What can have become of a network. Missing stands in tables only: there is no row.
const (
	Done     = "done"
	Diverged = "diverged" // the loss of its training became infinite or not a number: a result, but without numbers
	Failed   = "failed"   // something went wrong, see Row.Error; Retry has it computed again
	Missing  = "missing"
)

// Row is what a sweep knows of one network. Numbers that there are not, for want of the analysis or because something went
// wrong before, are nil.
type Row struct {
	Network lab.Spec      `json:"network"`
	Run     string        `json:"run"` // key of the trained network in the store
	Status  string        `json:"status"`
	Error   string        `json:"error,omitempty"`
	Backend string        `json:"backend,omitempty"`
	Epochs  int           `json:"epochs,omitempty"` // trained; fewer than asked for if StopAt was reached
	Final   *fit.Measured `json:"final,omitempty"`
	// Of a training that follows the AUC (fit.Reliance): the highest there was, and the epoch after which it was so.
	BestAUC   *float64 `json:"best_auc,omitempty"`
	BestEpoch int      `json:"best_epoch,omitempty"`

	AUC          *float64 `json:"auc,omitempty"`            // of the cumulative ablation, mean over orderings
	AUCSD        *float64 `json:"auc_sd,omitempty"`         // its sample s.d. over orderings, if there are two
	AUCRelative  *float64 `json:"auc_relative,omitempty"`   // to the accuracy of the unedited network
	AUCHalfWidth *float64 `json:"auc_half_width,omitempty"` // of an analysis with a bound; see ablate.Result
	AUCTest      *float64 `json:"auc_test,omitempty"`       // of the same ablation on test examples; see Analyses.Test
	NoiseAUC     *float64 `json:"noise_auc,omitempty"`      // see noise.Result.AUC

	Seconds Seconds `json:"seconds"`
}

// Seconds is the wall time that went into a network, over all sessions.
type Seconds struct {
	Training float64 `json:"training"`
	Ablation float64 `json:"ablation"`
	Noise    float64 `json:"noise"`
}

// Total is all of it.
func (s Seconds) Total() float64 { return s.Training + s.Ablation + s.Noise }

// Rows are the networks of a sweep with what is known of them, one row each; nil where there is none yet.
type Rows struct {
	Name     string
	Networks []Network
	Rows     []*Row
}

// Table has one row for each network of the sweep, computed or not, in their order: its number (from 0), what became of it,
// its parameters, loss (nats) and accuracy (fraction) on the training examples with the labels that it was trained on and on
// the test examples, its areas under curves, and the highest AUC during its training. Cells without a value are nil.
func (r Rows) Table() result.Table {
	t := result.Table{Title: "Sweep " + r.Name}
	add := func(names ...string) {
		for _, name := range names {
			t.Columns = append(t.Columns, result.Axis{Name: name})
		}
	}
	add("network", "status")
	var shown []parameter
	for _, p := range parameters() {
		if p.name != "seed" {
			shown = append(shown, p)
			add(p.name)
		}
	}
	add("epochs_trained", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "auc", "auc_sd", "auc_relative",
		"auc_half_width", "auc_test", "noise_auc", "best_auc", "best_epoch", "seconds_training", "seconds_ablation", "seconds_noise", "backend", "run", "error")
	for i, n := range r.Networks {
		row := r.Rows[i]
		if row == nil {
			row = &Row{Status: Missing}
		}
		cells := []any{n.Index, row.Status}
		for _, p := range shown {
			if p.name == "corrupt_seed" && n.Spec.Corrupt.Fraction == 0 {
				cells = append(cells, nil) // nothing was drawn
				continue
			}
			cells = append(cells, p.get(n.Spec))
		}
		cells = append(cells, orNil(row.Epochs))
		if m := row.Final; m != nil {
			cells = append(cells, m.TrainLoss, m.TrainAccuracy, m.TestLoss, m.TestAccuracy)
		} else {
			cells = append(cells, nil, nil, nil, nil)
		}
		for _, x := range []*float64{row.AUC, row.AUCSD, row.AUCRelative, row.AUCHalfWidth, row.AUCTest, row.NoiseAUC, row.BestAUC} {
			if x == nil {
				cells = append(cells, nil)
			} else {
				cells = append(cells, *x)
			}
		}
		cells = append(cells, orNil(row.BestEpoch), orNil(row.Seconds.Training), orNil(row.Seconds.Ablation), orNil(row.Seconds.Noise),
			orNil(row.Backend), n.Run, orNil(row.Error))
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// orNil is nil for a zero.
func orNil[T comparable](x T) any {
	var zero T
	if x == zero {
		return nil
	}
	return x
}

// Main is what of Table fits a terminal: what sets each network apart, what became of it, and the main numbers.
func (r Rows) Main() result.Table {
	all := r.Table()
	main := result.Table{Title: all.Title, Columns: []result.Axis{{Name: "network"}, {Name: "which"}}}
	for _, n := range r.Networks {
		main.Rows = append(main.Rows, []any{n.Index, n.Label})
	}
	for j, c := range all.Columns {
		if !slices.Contains([]string{"status", "train_accuracy", "test_accuracy", "auc", "noise_auc"}, c.Name) {
			continue
		}
		main.Columns = append(main.Columns, c)
		for i, row := range all.Rows {
			main.Rows[i] = append(main.Rows[i], row[j])
		}
	}
	return main
}

// Tally counts the networks of a sweep by what became of them.
type Tally struct {
	Networks, Done, Diverged, Failed int
	Seconds                          float64 // mean wall time of those done, 0 if there are none
}

// Missing counts the networks without a row.
func (t Tally) Missing() int { return t.Networks - t.Done - t.Diverged - t.Failed }

// String is the tally in words: "24 networks: 20 done, 1 diverged, 3 missing".
func (t Tally) String() string {
	text := fmt.Sprintf("%d networks: %d done", t.Networks, t.Done)
	for _, part := range []struct {
		n    int
		what string
	}{{t.Diverged, Diverged}, {t.Failed, Failed}, {t.Missing(), Missing}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}

// Tally counts.
func (r Rows) Tally() Tally {
	t := Tally{Networks: len(r.Networks)}
	seconds := 0.
	for _, row := range r.Rows {
		switch {
		case row == nil:
		case row.Status == Done:
			t.Done++
			seconds += row.Seconds.Total()
		case row.Status == Diverged:
			t.Diverged++
		default:
			t.Failed++
		}
	}
	if t.Done > 0 {
		t.Seconds = seconds / float64(t.Done)
	}
	return t
}
