package lab

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/onnx"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// trainingVersion is the newest version of training. It changes when the code changes in a way that changes trained
// weights: with 2, those of Adam on XLA do not depend any more on how steps share a call.
const trainingVersion = 2

// version enters a run's key: the version that last changed the weights of such a network.
func (s Spec) version() int {
	if s.Fit.Optimizer == "adam" {
		return trainingVersion
	}
	return 1
}

// Spec says what a network is and how it came to be: all that determines its weights, on one backend.
type Spec struct {
	Data     string       `json:"data"`            // name of a data set, or a folder of pictures: see imagefolder.Parse
	Examples int          `json:"examples"`        // train on the first so many examples; 0: all
	Net      string       `json:"net"`             // see nets.Parse: "mlp:512,512"
	Input    string       `json:"input,omitempty"` // see nets.ParseInput: "" is pixel/255
	Corrupt  corrupt.Spec `json:"corrupt"`         // of the training labels; the test labels stay as they are
	Fit      fit.Spec     `json:"fit"`
}

// WithDefaults fills in what is zero, so that equal networks have equal specs.
func (s Spec) WithDefaults() Spec {
	s.Fit = s.Fit.WithDefaults()
	if s.Corrupt.Fraction == 0 {
		s.Corrupt = corrupt.Spec{} // nothing is drawn, so seed and method do not matter
	} else {
		s.Corrupt = s.Corrupt.WithDefaults()
	}
	s.Data = canonical(s.Data)
	if e, err := datasets.Lookup(s.Data); err == nil && s.Examples == e.TrainN {
		s.Examples = 0
	}
	return s
}

// Key identifies the network that s describes. A folder of pictures is read for it.
func (s Spec) Key() (string, error) {
	s = s.WithDefaults()
	of, _, err := sourceOf(context.Background(), s.Data)
	if err != nil {
		return "", err
	}
	return s.key(of)
}

// key is Key of a spec with its defaults.
func (s Spec) key(of Source) (string, error) {
	if s.Examples < 0 || s.Examples > of.Train {
		return "", fmt.Errorf("examples is %d; data set %s has %d training examples (0 means all)", s.Examples, s.Data, of.Train)
	}
	if _, _, err := corrupt.Labels([]int32{0}, 2, s.Corrupt); err != nil { // checks the spec; any label will do
		return "", err
	}
	if err := s.Fit.Check(); err != nil {
		return "", err
	}
	if _, err := s.network(of.Shape, len(of.Classes)); err != nil {
		return "", err
	}
	return result.Key("run", s.version(), of.Hash, s)
}

// network is the net that s names, for images of this shape, with its input.
func (s Spec) network(image []int, classes int) (nets.Net, error) {
	net, err := nets.Parse(s.Net, image, classes)
	if err != nil {
		return nets.Net{}, err
	}
	net.Input, err = nets.ParseInput(s.Input, image[2])
	return net, err
}

// Run is a trained network with its origin.
type Run struct {
	Key      string            `json:"key"`
	Name     string            `json:"name,omitempty"` // given by the user, unique in the store
	Spec     Spec              `json:"spec"`
	Data     string            `json:"data_hash"`        // content hash of the data set
	Source   string            `json:"source,omitempty"` // file the weights came from, if they were not trained here
	Backend  string            `json:"backend,omitempty"`
	Versions map[string]string `json:"versions,omitempty"`
	Machine  string            `json:"machine,omitempty"`
	Seconds  float64           `json:"seconds"` // spent training
	Final    *fit.Measured     `json:"final,omitempty"`
	Best     int               `json:"best,omitempty"` // epoch that the weights are of, if not the last; see fit.Reliance
	Weights  string            `json:"weights_sha256"`

	History []fit.Epoch           `json:"-"`
	Arrays  map[string]nets.Array `json:"-"`

	file  []byte      // that Import read
	model *onnx.Model // of a network from an ONNX file
}

// network is the net of the run, for images of this shape, with its input.
func (r *Run) network(image []int, classes int) (net nets.Net, err error) {
	if r.model == nil {
		return r.Spec.network(image, classes)
	}
	if net, err = r.model.Net(image, classes); err != nil {
		return nets.Net{}, fmt.Errorf("%s: %w", r.Label(), err)
	}
	net.Input, err = nets.ParseInput(r.Spec.Input, image[2])
	return net, err
}

// Files of a run's folder. The run is whole once doneFile is there: it is written last.
const (
	specFile    = "spec.json"
	weightsFile = "weights.safetensors"
	modelFile   = "model.onnx" // instead of that
	historyFile = "history.csv"
	labelsFile  = "labels.json" // manifest of the label corruption
	doneFile    = "done"
)

// WeightsPath is the file with the weights of a finished run.
func (l *Lab) WeightsPath(key string) string {
	for _, name := range []string{modelFile, weightsFile} {
		if path := filepath.Join(l.store.RunDir(key), name); exists(path) {
			return path
		}
	}
	return filepath.Join(l.store.RunDir(key), weightsFile)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// weights names the file with the weights.
func (r *Run) weights() string {
	if isONNX(r.Spec.Net) {
		return modelFile
	}
	return weightsFile
}

// isONNX tells whether a net is that of an ONNX file.
func isONNX(net string) bool { return net == "onnx" || strings.HasPrefix(net, "onnx:") }

// saveRun writes a finished run, the file `done` last.
func (l *Lab) saveRun(r *Run, labels *corrupt.Manifest) error {
	dir := l.store.RunDir(r.Key)
	h := sha256.New()
	err := result.WriteFile(filepath.Join(dir, r.weights()), func(w io.Writer) error {
		w = io.MultiWriter(w, h)
		if r.Source != "" { // byte by byte: the key is that of the file
			_, err := w.Write(r.file)
			return err
		}
		return nets.WriteSafetensors(w, r.Arrays, map[string]string{"net": r.Spec.Net, "key": r.Key})
	})
	if err != nil {
		return err
	}
	r.Weights = hex.EncodeToString(h.Sum(nil))
	if err := result.WriteFile(filepath.Join(dir, historyFile), func(w io.Writer) error { return WriteHistory(w, r.History) }); err != nil {
		return err
	}
	if labels != nil {
		if err := writeJSON(filepath.Join(dir, labelsFile), labels); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(dir, specFile), r); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, doneFile), r.Weights); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, fit.StateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func writeJSON(path string, v any) error {
	return result.WriteFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}

// loadRun reads a finished run; absent or unfinished is fs.ErrNotExist, damaged is an error that says what to do.
func (l *Lab) loadRun(key string) (*Run, error) {
	dir := l.store.RunDir(key)
	done, err := os.ReadFile(filepath.Join(dir, doneFile))
	if err != nil {
		return nil, err
	}
	r, err := readRun(dir, done)
	if err == nil && r.Key != key {
		err = fmt.Errorf("it says that its key is %q", r.Key)
	}
	if err != nil {
		// Not %w: a file missing from a finished run must not look like a run that is not there.
		return nil, fmt.Errorf("the run in %s is damaged: %v; delete that folder to train it again", dir, err)
	}
	return r, nil
}

func readRun(dir string, done []byte) (*Run, error) {
	text, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return nil, err
	}
	var r Run
	var raw struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := errors.Join(json.Unmarshal(text, &r), json.Unmarshal(text, &raw)); err != nil {
		return nil, fmt.Errorf("%s: %w", specFile, err)
	}
	fits := isKeyOf(r.Key, r.Data, raw.Spec)
	if r.Source != "" {
		key, err := importKey(&r)
		fits = err == nil && key == r.Key
	}
	if r.Final == nil || !fits {
		return nil, fmt.Errorf("%s is not as it was written: its key does not fit its specification", specFile)
	}
	var sum string
	if err := json.Unmarshal(done, &sum); err != nil || sum != r.Weights {
		return nil, fmt.Errorf("%s does not fit %s", doneFile, specFile)
	}
	data, err := os.ReadFile(filepath.Join(dir, r.weights()))
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != r.Weights {
		return nil, fmt.Errorf("%s has another checksum than when it was written", r.weights())
	}
	if _, err := r.readWeights(data); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, historyFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if r.History, err = ReadHistory(f); err != nil {
		return nil, err
	}
	return &r, nil
}

// isKeyOf reports whether a specification has that key, under this or an earlier version of training. It hashes the text
// of the file, so that a run stays readable when Spec gains fields.
func isKeyOf(key, data string, spec json.RawMessage) bool {
	for version := trainingVersion; version > 0; version-- {
		if k, err := result.Key("run", version, data, spec); err == nil && k == key {
			return true
		}
	}
	return false
}

// Finished reports whether the store has the trained network of that key, whole or damaged later, and not only what an
// interrupted training left.
func (l *Lab) Finished(key string) bool {
	return exists(filepath.Join(l.store.RunDir(key), doneFile))
}

// Runs lists the finished runs of the store, the newest first. Runs that cannot be read are in the error, which does not
// keep the others from being listed.
func (l *Lab) Runs() ([]*Run, error) {
	entries, err := l.store.Runs()
	if err != nil {
		return nil, err
	}
	var runs []*Run
	var bad []error
	for _, e := range entries {
		r, err := l.loadRun(e.Key)
		switch {
		case errors.Is(err, fs.ErrNotExist): // not finished
		case err != nil:
			bad = append(bad, err)
		default:
			runs = append(runs, r)
		}
	}
	return runs, errors.Join(bad...)
}

// Find returns the finished run with this name, key or beginning of a key (at least 4 digits), or with "@" and an epoch
// behind it a checkpoint of that run.
func (l *Lab) Find(name string) (*Run, error) {
	runs, err := l.Runs()
	var found []*Run
	for _, r := range runs {
		if r.Key == name || r.Name == name && name != "" {
			return r, nil
		}
		if len(name) >= 4 && strings.HasPrefix(r.Key, name) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if run, epoch, ok := atEpoch(name); ok {
			r, err := l.Find(run)
			if err != nil {
				return nil, err
			}
			return l.Checkpoint(r, epoch)
		}
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("no run %q in %s; `directions runs list` shows those there are, `directions train` makes one", name, l.store.Dir())
	}
	return nil, fmt.Errorf("%d runs have keys that begin with %q; give more digits", len(found), name)
}

// The last two are there only if the AUC was followed (fit.Reliance).
var historyColumns = []string{"epoch", "lr", "loss", "accuracy", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
	"auc", "auc_half_width"}

const plainColumns = 8

// WriteHistory writes a training history as CSV; epochs that were not measured leave the columns of both
// splits empty. If the AUC was followed, there are two more, empty where it was not measured.
func WriteHistory(w io.Writer, history []fit.Epoch) error {
	c := csv.NewWriter(w)
	columns := plainColumns
	if slices.ContainsFunc(history, func(e fit.Epoch) bool { return e.AUC != nil }) {
		columns = len(historyColumns)
	}
	if err := c.Write(historyColumns[:columns]); err != nil {
		return err
	}
	for _, e := range history {
		row := append([]string{strconv.Itoa(e.Epoch), number(e.LR), number(e.Loss), number(e.Accuracy)}, make([]string, columns-4)...)
		if e.AUC != nil {
			copy(row[plainColumns:], []string{number(*e.AUC), number(e.AUCHalfWidth)})
		}
		if m := e.Measured; m != nil {
			copy(row[4:], []string{number(m.TrainLoss), number(m.TrainAccuracy), number(m.TestLoss), number(m.TestAccuracy)})
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// ReadHistory reads what WriteHistory writes.
func ReadHistory(r io.Reader) ([]fit.Epoch, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", historyFile, err)
	}
	if len(rows) == 0 || !slices.Equal(rows[0], historyColumns) && !slices.Equal(rows[0], historyColumns[:plainColumns]) {
		return nil, fmt.Errorf("%s does not have the columns %v, of which the last two may be missing", historyFile, historyColumns)
	}
	var history []fit.Epoch
	for i, row := range rows[1:] {
		if row[0] != strconv.Itoa(i+1) {
			return nil, fmt.Errorf("%s, line %d: epoch is %q, expected %d", historyFile, i+2, row[0], i+1)
		}
		measured, followed := strings.Join(row[4:plainColumns], "") != "", strings.Join(row[plainColumns:], "") != ""
		var x [10]float64
		for k, field := range row {
			if k >= 4 && k < plainColumns && !measured || k >= plainColumns && !followed {
				continue
			}
			if x[k], err = strconv.ParseFloat(field, 64); err != nil {
				return nil, fmt.Errorf("%s, line %d: %s: %w", historyFile, i+2, historyColumns[k], err)
			}
		}
		e := fit.Epoch{Epoch: i + 1, LR: x[1], Loss: x[2], Accuracy: x[3]}
		if measured {
			e.Measured = &fit.Measured{TrainLoss: x[4], TrainAccuracy: x[5], TestLoss: x[6], TestAccuracy: x[7]}
		}
		if followed {
			e.AUC, e.AUCHalfWidth = &x[8], x[9]
		}
		history = append(history, e)
	}
	return history, nil
}

// Table is the run in numbers.
func (r *Run) Table() result.Table {
	t := result.Table{Title: "Network " + r.Label(), Columns: []result.Axis{{Name: "quantity"}, {Name: "value"}}}
	add := func(name string, value any) { t.Rows = append(t.Rows, []any{name, value}) }
	add("key", r.Key)
	add("net", r.Spec.Net)
	if r.Spec.Input != "" {
		add("input", r.Spec.Input)
	}
	add("data", r.Spec.Data)
	if r.Spec.Examples > 0 {
		add("training examples", r.Spec.Examples)
	}
	if r.Source != "" {
		add("imported from", r.Source)
	}
	add("labels corrupted (fraction)", r.Spec.Corrupt.Fraction)
	if alpha := r.Spec.Fit.SelectivityAlpha; alpha != 0 {
		add("class selectivity regularised, with α", alpha)
	}
	if len(r.History) > 0 {
		add("epochs", len(r.History))
	}
	if r.Best > 0 {
		add("weights are those after epoch", r.Best)
	}
	for i := len(r.History) - 1; i >= 0; i-- {
		if e := r.History[i]; e.AUC != nil && (r.Best == 0 || e.Epoch == r.Best) {
			add(fmt.Sprintf("AUC of cumulative ablation, followed in training (epoch %d)", e.Epoch), *e.AUC)
			break
		}
	}
	if m := r.Final; m != nil {
		add("train accuracy (fraction, on its own labels)", m.TrainAccuracy)
		add("train loss (nats)", m.TrainLoss)
		add("test accuracy (fraction)", m.TestAccuracy)
		add("test loss (nats)", m.TestLoss)
	}
	return t
}

// Label is what people call the run: its name, the file it came from, or the beginning of its key.
func (r *Run) Label() string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Source != "":
		return filepath.Base(r.Source)
	}
	return r.Key[:8]
}
