package fit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// StateFile is the name of an unfinished run's state in its folder: parameters and optimizer memories as safetensors,
// the rest as JSON in the file's metadata, with a checksum of it all.
const StateFile = "state.safetensors"

// progress is the part of a state that is not an array.
type progress struct {
	Key     string  `json:"key"`
	Backend string  `json:"backend"`
	Step    int     `json:"step"`
	Loss    float64 `json:"loss"`
	Correct int     `json:"correct"`
	History []Epoch `json:"history"`
	Seconds float64 `json:"seconds"`
}

func slotName(slot, param string) string { return "optimizer." + slot + "." + param }

// arrays names everything in the store that a state holds.
func (t *trainer) arrays() []string {
	names := slices.Clone(t.params)
	for _, slot := range t.spec.slots() {
		for _, p := range t.trained {
			names = append(names, slotName(slot, p))
		}
	}
	return names
}

// save writes the state, whole or not at all.
func (t *trainer) save() error {
	t.saved = time.Now()
	if t.opt.Dir == "" {
		return nil
	}
	text, err := json.Marshal(progress{t.opt.Key, t.backend.Kind, t.step, t.loss, t.correct, t.history, t.seconds()})
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	arrays, err := nets.FromStore(t.store, t.arrays())
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	return t.write(StateFile, arrays, map[string]string{"progress": string(text), "sha256": checksum(string(text), arrays)})
}

// checksum is the hash of a state: of its progress, and of the names and elements of its arrays in order of name.
func checksum(progress string, arrays map[string]nets.Array) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", progress)
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		fmt.Fprintf(h, "%s\n", name)
		_ = binary.Write(h, binary.LittleEndian, arrays[name].Data) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// checkpoint keeps the weights after an epoch.
func (t *trainer) checkpoint(epoch int) error {
	weights, err := nets.FromStore(t.store, t.params)
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	return t.write(CheckpointFile(epoch), weights, map[string]string{"epoch": fmt.Sprint(epoch)})
}

// CheckpointFile is the name of the file with the weights after an epoch.
func CheckpointFile(epoch int) string { return fmt.Sprintf("epoch-%04d.safetensors", epoch) }

func (t *trainer) write(name string, arrays map[string]nets.Array, metadata map[string]string) error {
	err := result.WriteFile(filepath.Join(t.opt.Dir, name), func(w io.Writer) error {
		return nets.WriteSafetensors(w, arrays, metadata)
	})
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	return nil
}

// resume goes on from a saved state, if there is one for this run and backend. A state of another backend cannot give
// the same bits: it is left aside, with a note, and the training starts over.
func (t *trainer) resume() error {
	if t.opt.Dir == "" {
		return nil
	}
	path := filepath.Join(t.opt.Dir, StateFile)
	weights, metadata, err := nets.LoadSafetensors(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var p progress
	if err == nil && metadata["sha256"] != checksum(metadata["progress"], weights) {
		err = errors.New("its content does not match its checksum")
	}
	if err == nil {
		err = json.Unmarshal([]byte(metadata["progress"]), &p)
	}
	if err != nil {
		return fmt.Errorf("training: the saved state %s cannot be read: %w; delete it to start over", path, err)
	}
	if p.Key != t.opt.Key {
		return fmt.Errorf("training: %s is the state of another run (key %q, wanted %q); delete it to start over", path, p.Key, t.opt.Key)
	}
	if p.Backend != t.backend.Kind {
		t.note("starting over: the saved state was computed by %s, this is %s, and bits differ between them", p.Backend, t.backend.Kind)
		return nil
	}
	if first := len(p.History) * t.perEpoch; p.Step < first || p.Step > first+t.perEpoch {
		return fmt.Errorf("training: %s has done %d epochs of %d steps, but stands at step %d; delete it to start over",
			path, len(p.History), t.perEpoch, p.Step)
	}
	for _, name := range t.arrays() {
		v := t.store.GetVariable(nets.ParamPath(name))
		a, ok := weights[name]
		if !ok || !slices.Equal(a.Shape, v.Shape().Dimensions) {
			return fmt.Errorf("training: %s has no %q of shape %v; delete it to start over", path, name, v.Shape().Dimensions)
		}
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(a.Data, a.Shape...)); err != nil {
			return fmt.Errorf("training: %w", err)
		}
	}
	t.step, t.loss, t.correct, t.history, t.before = p.Step, p.Loss, p.Correct, p.History, p.Seconds
	t.note("going on in epoch %d (step %d)", len(t.history)+1, t.step)
	return nil
}

func (t *trainer) note(format string, args ...any) {
	if t.opt.Note != nil {
		t.opt.Note(fmt.Sprintf(format, args...))
	}
}
