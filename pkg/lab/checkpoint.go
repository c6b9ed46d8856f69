package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Checkpoint returns a run as it was after an epoch of its training, one of Spec.Fit.Checkpoints (0: before training): for
// every analysis a network like any other, with a key of its own, called as its run is, with "@" and the epoch. Its
// History ends there, and Final is nil at epoch 0, where nothing was measured.
func (l *Lab) Checkpoint(r *Run, epoch int) (*Run, error) {
	if kept := r.Spec.Fit.Checkpoints; !slices.Contains(kept, epoch) {
		return nil, fmt.Errorf("run %s has no checkpoint of epoch %d; it kept those of epochs %v, as Fit.Checkpoints (--checkpoints) "+
			"asked for when it was trained", r.Label(), epoch, kept)
	}
	if epoch > len(r.History) {
		return nil, fmt.Errorf("run %s has no checkpoint of epoch %d: its training ended after %d epochs", r.Label(), epoch, len(r.History))
	}
	key, err := result.Key("checkpoint", r.Key, epoch)
	if err != nil {
		return nil, err
	}
	c := *r
	c.Key, c.Name = key, fmt.Sprintf("%s@%d", r.Label(), epoch)
	c.History, c.Final, c.Best, c.file, c.Weights = slices.Clip(r.History[:epoch]), nil, 0, nil, ""
	if epoch > 0 {
		c.Final = r.History[epoch-1].Measured
	}
	path := filepath.Join(l.store.RunDir(r.Key), fit.CheckpointFile(epoch))
	data, err := os.ReadFile(path)
	if err == nil {
		c.Arrays, _, err = nets.ReadSafetensors(bytes.NewReader(data))
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint of epoch %d of run %s: %w; delete the run (`directions runs rm`) to train it again", epoch, r.Label(), err)
	}
	return &c, nil
}

// atEpoch splits "name@20" into the run's name and the epoch.
func atEpoch(name string) (run string, epoch int, ok bool) {
	run, digits, ok := strings.Cut(name, "@")
	if !ok || run == "" {
		return "", 0, false
	}
	epoch, err := strconv.Atoi(digits)
	return run, epoch, err == nil && epoch >= 0
}
