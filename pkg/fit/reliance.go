package fit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

// Reliance follows, while a network trains, how much it relies on single directions: the AUC of a cumulative ablation (to
// zero) of the training examples with the labels trained on, as Figure 4a does (section 3). The zero value follows nothing.
// Following does not change the training; with Patience, its end does.
type Reliance struct {
	Every    int          `json:"every"`              // epochs between measurements; 0: never
	Sites    []string     `json:"sites,omitempty"`    // none: those that the network's analyses take by default
	Orders   int          `json:"orders,omitempty"`   // random orderings; default 3
	Points   int          `json:"points,omitempty"`   // of the curve; default 10
	Seed     uint64       `json:"seed,omitempty"`     // of the orderings
	Bound    sample.Bound `json:"bound,omitzero"`     // how closely each accuracy is to be known; zero: exactly
	Patience int          `json:"patience,omitempty"` // end, with the weights of the highest AUC, once so many have not exceeded it
}

func (r Reliance) zero() bool {
	return r.Every == 0 && r.Sites == nil && r.Orders == 0 && r.Points == 0 && r.Seed == 0 && r.Bound == (sample.Bound{}) && r.Patience == 0
}

func (r Reliance) withDefaults() Reliance {
	if r.Every == 0 {
		return r
	}
	if r.Orders == 0 {
		r.Orders = 3
	}
	if r.Points == 0 {
		r.Points = 10
	}
	if len(r.Sites) == 0 {
		r.Sites = nil
	}
	r.Bound = r.Bound.WithDefaults()
	return r
}

func (r Reliance) check() error {
	switch {
	case r.Every == 0 && !r.zero():
		return errors.New("training: reliance has settings but every is 0: say after how many epochs it is measured")
	case r.Every < 0 || r.Orders < 0 || r.Patience < 0 || r.Points < 0 || r.Points == 1:
		return fmt.Errorf("training: reliance is every %d epochs, %d orderings × %d points, patience %d; allowed: none negative, "+
			"at least 2 points", r.Every, r.Orders, r.Points, r.Patience)
	}
	if err := r.Bound.Check(); err != nil {
		return fmt.Errorf("training: reliance: %w", err)
	}
	return nil
}

// reliance measures the AUC of the network as it is now. half is how closely it is known, 0 if exactly.
func (t *trainer) reliance(ctx context.Context) (auc, half float64, err error) {
	r := t.spec.Reliance
	spec := ablate.Spec{Sites: r.Sites, Orders: r.Orders, Points: r.Points, Seed: r.Seed, Bound: r.Bound}
	if len(spec.Sites) == 0 {
		spec.Sites = t.net.Default
	}
	a, err := ablate.Cumulative(ctx, t.train, spec, ablate.Options{})
	return a.AUC, a.AUCHalfWidth, err
}

// Best is the epoch of the history with the highest AUC, the first of equal ones, and how many were measured after it; 0 if
// none was measured.
func Best(history []Epoch) (epoch, since int) {
	highest := 0.
	for _, e := range history {
		switch {
		case e.AUC == nil:
		case epoch == 0 || *e.AUC > highest:
			epoch, since, highest = e.Epoch, 0, *e.AUC
		default:
			since++
		}
	}
	return epoch, since
}

// keepBest keeps the weights after the newest epoch of history if its AUC is the highest so far, in place of the ones before.
func (t *trainer) keepBest(history []Epoch) error {
	newest := history[len(history)-1].Epoch
	if epoch, _ := Best(history); epoch != newest {
		return nil
	}
	if err := t.checkpoint(newest); err != nil {
		return err
	}
	before, _ := Best(history[:len(history)-1])
	if before == 0 || slices.Contains(t.spec.Checkpoints, before) {
		return nil
	}
	// A training that is killed now comes to this epoch again, and removes the other file then.
	if err := os.Remove(filepath.Join(t.opt.Dir, CheckpointFile(before))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("training: %w", err)
	}
	return nil
}

// takeBest reads the weights of the epoch with the highest AUC.
func (t *trainer) takeBest(epoch int) (map[string]nets.Array, error) {
	path := filepath.Join(t.opt.Dir, CheckpointFile(epoch))
	weights, _, err := nets.LoadSafetensors(path)
	if err != nil {
		return nil, fmt.Errorf("training: the weights of epoch %d, which has the highest AUC: %w", epoch, err)
	}
	return weights, nil
}
