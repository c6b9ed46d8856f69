package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// watch is a Progress that remembers its meters and may interfere.
type watch struct {
	mu      sync.Mutex
	meters  []*watched
	advance func(title string, done int) // called after each advance
}

type watched struct {
	*watch
	title       string
	total, done int
	ended       bool
}

func (w *watch) Start(title string, total int, _ string) Meter {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := &watched{watch: w, title: title, total: total}
	w.meters = append(w.meters, m)
	return m
}

func (m *watched) Advance(n int) {
	m.mu.Lock()
	m.done += n
	done := m.done
	m.mu.Unlock()
	if m.advance != nil {
		m.advance(m.title, done)
	}
}
func (m *watched) Note(string) {}
func (m *watched) Done()       { m.ended = true }

// open opens a lab on the pure-Go backend in a folder.
func open(t testing.TB, home string, opt Options) (*Lab, *watch) {
	if underRace {
		t.Skip("the pure-Go backend does not pass the pointer checks that come with -race; -gcflags=all=-d=checkptr=0 leaves them out, " +
			"then underRace may be false")
	}
	w := &watch{}
	opt.Home, opt.Backend, opt.Data = home, "go", []string{}
	if opt.Progress == nil {
		opt.Progress = w
	}
	l, err := Open(opt)
	require.NoError(t, err)
	return l, w
}

// tiny trains in a tenth of a second, to something that depends on its units.
func tiny() Spec {
	return Spec{
		Data: "mnist10k", Examples: 200, Net: "mlp:6,5", Corrupt: corrupt.Spec{Fraction: 0.2, Seed: 3},
		Fit: fit.Spec{Optimizer: "adam", LR: 0.01, Batch: 5, Epochs: 3, InitSeed: 1, OrderSeed: 2},
	}
}

func train(t testing.TB, l *Lab, spec Spec, name string) *Run {
	r, err := l.Train(context.Background(), spec, name)
	require.NoError(t, err)
	return r
}

func TestKeysAreStable(t *testing.T) {
	// Recorded when trainingVersion was 1, and those with Adam when it was 2. A change here makes everybody train everything
	// again; if that is meant, trainingVersion goes up.
	full := Spec{
		Data: "mnist", Examples: 1000, Net: "mlp:7", Corrupt: corrupt.Spec{Fraction: 0.25, Method: corrupt.Resample, Seed: 1 << 63},
		Fit: fit.Spec{
			Optimizer: "adam", LR: 0.003, WeightDecay: 1e-4, Schedule: "linear", Batch: 64, Epochs: 12, Dropout: 0.1, StopAt: 0.99,
			Evaluate: 2, Checkpoints: []int{0, 5}, InitSeed: 11, OrderSeed: 12, DropoutSeed: 13,
		},
	}
	for want, spec := range map[string]Spec{
		"6777e1d781c83761a001d672a40e657d": {Data: "mnist10k", Net: "mlp:512,512"},
		"22a9dd1695da2d4809058792986dc8c7": {Data: "fashion-mnist", Net: "mlp:512,512"},
		"b3d9174df01561fb8710c15d1750f169": tiny(),
		"49f1d38eb4c244276e803b569b7b07a7": full,
	} {
		key, err := spec.Key()
		require.NoError(t, err)
		require.Equal(t, want, key, "%+v", spec)
	}
}

func TestEqualNetworksHaveEqualKeys(t *testing.T) {
	key := func(change func(*Spec)) string {
		s := tiny()
		s.Corrupt.Fraction = 0
		change(&s)
		k, err := s.Key()
		require.NoError(t, err)
		return k
	}
	base := key(func(*Spec) {})
	for what, change := range map[string]func(*Spec){
		"seed of no corruption":   func(s *Spec) { s.Corrupt.Seed = 99 },
		"method of no corruption": func(s *Spec) { s.Corrupt.Method = corrupt.PairFlip },
		"defaults written out":    func(s *Spec) { *s = s.WithDefaults() },
		"no checkpoints":          func(s *Spec) { s.Fit.Checkpoints = nil },
	} {
		require.Equal(t, base, key(change), what)
	}
	all := key(func(s *Spec) { s.Examples = 0 })
	require.NotEqual(t, base, all)
	require.Equal(t, all, key(func(s *Spec) { s.Examples = 8000 }), "all of mnist10k's training examples")

	some := key(func(s *Spec) { s.Corrupt = corrupt.Spec{Fraction: 0.1} })
	require.Equal(t, some, key(func(s *Spec) { s.Corrupt = corrupt.Spec{Fraction: 0.1, Method: corrupt.Permute} }))
	require.Equal(t, key(func(s *Spec) { s.Fit.Checkpoints = []int{1, 3} }), key(func(s *Spec) { s.Fit.Checkpoints = []int{3, 1, 3} }))

	seen := map[string]string{base: "base", all: "all", some: "some"}
	for what, change := range map[string]func(*Spec){
		"data":        func(s *Spec) { s.Data = "mnist" },
		"net":         func(s *Spec) { s.Net = "mlp:5,6" },
		"input":       func(s *Spec) { s.Input = "half" },
		"examples":    func(s *Spec) { s.Examples = 201 },
		"fraction":    func(s *Spec) { s.Corrupt = corrupt.Spec{Fraction: 0.2} },
		"seed":        func(s *Spec) { s.Corrupt = corrupt.Spec{Fraction: 0.1, Seed: 1} },
		"method":      func(s *Spec) { s.Corrupt = corrupt.Spec{Fraction: 0.1, Method: corrupt.Resample} },
		"optimizer":   func(s *Spec) { s.Fit.Optimizer = "sgd" },
		"lr":          func(s *Spec) { s.Fit.LR = 0.06 },
		"momentum":    func(s *Spec) { s.Fit.Optimizer, s.Fit.Momentum = "sgd", 0.8 },
		"decay":       func(s *Spec) { s.Fit.WeightDecay = 1e-3 },
		"schedule":    func(s *Spec) { s.Fit.Schedule = "cosine" },
		"batch":       func(s *Spec) { s.Fit.Batch = 11 },
		"epochs":      func(s *Spec) { s.Fit.Epochs = 4 },
		"dropout":     func(s *Spec) { s.Fit.Dropout = 0.2 },
		"selectivity": func(s *Spec) { s.Fit.SelectivityAlpha = -1 },
		"stop":        func(s *Spec) { s.Fit.StopAt = 0.9 },
		"evaluate":    func(s *Spec) { s.Fit.Evaluate = 1 },
		"checkpoints": func(s *Spec) { s.Fit.Checkpoints = []int{0} },
		"init":        func(s *Spec) { s.Fit.InitSeed = 9 },
		"order":       func(s *Spec) { s.Fit.OrderSeed = 9 },
		"drop":        func(s *Spec) { s.Fit.DropoutSeed = 9 },
	} {
		k := key(change)
		require.NotContains(t, seen, k, "%s and %s", what, seen[k])
		seen[k] = what
	}
}

func TestDefaultsOfAnySpec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Spec{
			Data:     rapid.SampledFrom([]string{"mnist10k", "mnist", "fashion-mnist"}).Draw(t, "data"),
			Examples: rapid.SampledFrom([]int{0, 1, 100, 8000}).Draw(t, "examples"),
			Net:      rapid.SampledFrom([]string{"mlp:3", "mlp:512,512"}).Draw(t, "net"),
			Corrupt: corrupt.Spec{
				Fraction: rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "fraction"),
				Method:   rapid.SampledFrom([]corrupt.Method{"", corrupt.Permute, corrupt.Resample}).Draw(t, "method"),
				Seed:     rapid.Uint64().Draw(t, "seed"),
			},
			Fit: fit.Spec{
				LR: rapid.SampledFrom([]float64{0, 0.1, 0.2}).Draw(t, "lr"), Batch: rapid.SampledFrom([]int{0, 128, 7}).Draw(t, "batch"),
				Epochs:      rapid.SampledFrom([]int{0, 100}).Draw(t, "epochs"),
				Checkpoints: rapid.SampledFrom([][]int{nil, {3, 1}, {0}}).Draw(t, "checkpoints"), InitSeed: rapid.Uint64().Draw(t, "init"),
			},
		}
		full := s.WithDefaults()
		require.Equal(t, full, full.WithDefaults())
		a, err := s.Key()
		require.NoError(t, err)
		b, err := full.Key()
		require.NoError(t, err)
		require.Equal(t, a, b)
		// What is written to spec.json is recognised there.
		text, err := json.MarshalIndent(full, "", "  ")
		require.NoError(t, err)
		var raw json.RawMessage
		require.NoError(t, json.Unmarshal(text, &raw))
		e, err := datasets.Lookup(s.Data)
		require.NoError(t, err)
		require.True(t, isKeyOf(a, e.Hash(), raw))
		full.Fit.OrderSeed++
		text, err = json.Marshal(full)
		require.NoError(t, err)
		require.False(t, isKeyOf(a, e.Hash(), text))
	})
}

func TestSpecErrors(t *testing.T) {
	for want, change := range map[string]func(*Spec){
		`no data set "cifar"`:                               func(s *Spec) { s.Data = "cifar" },
		"examples is -1; data set":                          func(s *Spec) { s.Examples = -1 },
		"mnist10k has 8000 training examples (0 means all)": func(s *Spec) { s.Examples = 8001 },
		`net "mlp": layer width ""`:                         func(s *Spec) { s.Net = "mlp" },
		`net "cnn" is not known`:                            func(s *Spec) { s.Net = "cnn" },
		"corruption fraction is 1.5":                        func(s *Spec) { s.Corrupt.Fraction = 1.5 },
		"corruption fraction is -0.1":                       func(s *Spec) { s.Corrupt.Fraction = -0.1 },
		"fraction is NaN, it must lie":                      func(s *Spec) { s.Corrupt.Fraction = math.NaN() },
		`no corruption method "swap"`:                       func(s *Spec) { s.Corrupt.Method = "swap" },
		"lr is NaN; allowed: a finite":                      func(s *Spec) { s.Fit.LR = math.NaN() },
		"checkpoints is [4]; allowed":                       func(s *Spec) { s.Fit.Checkpoints = []int{4} },
		"batch is -1; allowed: at least 1":                  func(s *Spec) { s.Fit.Batch = -1 },
		`optimizer is "lbfgs"; allowed: sgd`:                func(s *Spec) { s.Fit.Optimizer = "lbfgs" },
	} {
		s := tiny()
		change(&s)
		_, err := s.Key()
		require.ErrorContains(t, err, want)
		l, w := open(t, t.TempDir(), Options{})
		_, err = l.Train(context.Background(), s, "")
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "train: ")
		require.Empty(t, w.meters)
		entries, err := os.ReadDir(filepath.Join(l.Store().Dir(), "runs"))
		require.NoError(t, err)
		require.Empty(t, entries, "nothing is left of a refused training")
	}
}

func TestTrainOrLoad(t *testing.T) {
	home := t.TempDir()
	l, w := open(t, home, Options{})
	r := train(t, l, tiny(), "")
	require.Len(t, w.meters, 1)
	require.Equal(t, "training mlp:6,5 on mnist10k, 20 % labels corrupted", w.meters[0].title)
	require.Equal(t, []any{3, 3, true}, []any{w.meters[0].total, w.meters[0].done, w.meters[0].ended})
	key, err := tiny().Key()
	require.NoError(t, err)
	require.Equal(t, key, r.Key)
	require.Equal(t, tiny().WithDefaults(), r.Spec)
	require.Equal(t, "go", r.Backend)
	require.Len(t, r.History, 3)
	require.Equal(t, r.History[2].Measured, r.Final)
	require.Equal(t, []int{6, 784}, r.Arrays["fc1.weight"].Shape)

	files, err := os.ReadDir(filepath.Join(home, "runs", key))
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	require.Equal(t, []string{"done", "history.csv", "labels.json", "spec.json", "weights.safetensors"}, names)
	require.Equal(t, filepath.Join(home, "runs", key, "weights.safetensors"), l.WeightsPath(key))

	// A defaults-written-out spec, in another lab, is the same network: read, not trained.
	l2, w2 := open(t, home, Options{Recompute: true})
	again := train(t, l2, tiny().WithDefaults(), "")
	require.Empty(t, w2.meters)
	require.Equal(t, r, again)

	// Another network with the same seeds, in a store of its own, has the same bits.
	l3, _ := open(t, t.TempDir(), Options{})
	elsewhere := train(t, l3, tiny(), "")
	require.Equal(t, r.Weights, elsewhere.Weights)
	require.Equal(t, r.Arrays, elsewhere.Arrays)

	table := r.Table().Text()
	require.Contains(t, table, key)
	require.Contains(t, table, "training examples")
	require.Equal(t, key[:8], r.Label())
}

func TestLabelsAreThoseTrainedOn(t *testing.T) {
	l, _ := open(t, t.TempDir(), Options{})
	want, err := l.Labels(context.Background(), tiny())
	require.NoError(t, err)
	require.Len(t, want.Indices, 40)
	require.Equal(t, 200, want.Examples)
	r := train(t, l, tiny(), "")
	text, err := os.ReadFile(filepath.Join(l.Store().RunDir(r.Key), "labels.json"))
	require.NoError(t, err)
	var got corrupt.Manifest
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, want, got)

	set, err := l.Data(context.Background(), "mnist10k")
	require.NoError(t, err)
	head, err := set.Train.Head(200)
	require.NoError(t, err)
	labels, err := got.Apply(head.Labels)
	require.NoError(t, err)
	split, _, err := l.split(context.Background(), r, On{Split: "train"})
	require.NoError(t, err)
	require.Equal(t, labels, split.Labels)
	require.Equal(t, head.Images, split.Images)
	require.Equal(t, head.Labels, set.Train.Labels[:200], "the data set itself stays as it is")
	require.NotEqual(t, labels, head.Labels)
	test, _, err := l.split(context.Background(), r, On{Split: "test", Examples: 7})
	require.NoError(t, err)
	require.Equal(t, set.Test.Labels[:7], test.Labels, "test labels are never corrupted")
}

func TestNamesAndFind(t *testing.T) {
	l, w := open(t, t.TempDir(), Options{})
	_, err := l.Find("first")
	require.ErrorContains(t, err, `no run "first" in `+l.Store().Dir())
	require.ErrorContains(t, err, "directions train")

	one := train(t, l, tiny(), "first")
	other := tiny()
	other.Fit.Epochs = 1
	_, err = l.Train(context.Background(), other, "first")
	require.ErrorContains(t, err, `name "first" is that of run `+one.Key[:8])
	require.Len(t, w.meters, 1, "refused before training")
	two := train(t, l, other, "")
	for _, name := range []string{"first", one.Key, one.Key[:8]} {
		got, err := l.Find(name)
		require.NoError(t, err)
		require.Equal(t, one, got)
	}
	for _, name := range []string{"", "firs", two.Key[:3], "FIRST", two.Key + "0"} {
		_, err = l.Find(name)
		require.ErrorContains(t, err, "no run", "%q", name)
	}

	// A second training of the same network under another name renames it, without training.
	renamed := train(t, l, tiny(), "second")
	require.Len(t, w.meters, 2)
	require.Equal(t, "second", renamed.Label())
	require.Equal(t, one.Weights, renamed.Weights)
	got, err := l.Find("second")
	require.NoError(t, err)
	require.Equal(t, renamed, got)
	_, err = l.Find("first")
	require.ErrorContains(t, err, "no run")
	require.Equal(t, "second", train(t, l, tiny(), "").Name, "no name leaves the name")
	require.FileExists(t, filepath.Join(l.Store().RunDir(one.Key), "labels.json"))

	// Two keys with the same beginning.
	a, b := copyRun(t, l, one.Key, "abcd0000"), copyRun(t, l, one.Key, "abcd1111")
	runs, err := l.Runs()
	require.ErrorContains(t, err, a, "copies under other keys are damaged")
	require.ErrorContains(t, err, b)
	require.Len(t, runs, 2)
}

// copyRun copies a run's folder to another key.
func copyRun(t *testing.T, l *Lab, from, to string) string {
	require.NoError(t, os.CopyFS(l.Store().RunDir(to), os.DirFS(l.Store().RunDir(from))))
	return to
}

func TestFindAmbiguous(t *testing.T) {
	l, _ := open(t, t.TempDir(), Options{})
	s := tiny()
	s.Fit.Epochs, s.Examples, s.Net = 1, 20, "mlp:2"
	seen := map[string]uint64{} // by the first four digits of the key; two of some 300 are equal
	first := false
	for !first {
		s.Fit.InitSeed++
		key, err := s.Key()
		require.NoError(t, err)
		if _, first = seen[key[:4]]; !first {
			seen[key[:4]] = s.Fit.InitSeed
		}
	}
	two := train(t, l, s, "")
	s.Fit.InitSeed = seen[two.Key[:4]]
	one := train(t, l, s, "")
	require.Equal(t, one.Key[:4], two.Key[:4])
	_, err := l.Find(one.Key[:4])
	require.EqualError(t, err, fmt.Sprintf(`2 runs have keys that begin with %q; give more digits`, one.Key[:4]))
	got, err := l.Find(one.Key[:9])
	require.NoError(t, err)
	require.Equal(t, one.Key, got.Key)
}

func TestDamagedRuns(t *testing.T) {
	l, _ := open(t, t.TempDir(), Options{})
	r := train(t, l, tiny(), "hurt")
	other := tiny()
	other.Fit.Epochs = 1
	train(t, l, other, "healthy")
	dir := l.Store().RunDir(r.Key)
	replace := func(old, new string) func(string) string {
		return func(s string) string {
			require.Contains(t, s, old)
			return strings.Replace(s, old, new, 1)
		}
	}
	for _, c := range []struct {
		what, file string
		change     func(string) string // nil: the file is deleted
		want       string
	}{
		{"truncated weights", weightsFile, func(s string) string { return s[:len(s)-1] }, "weights.safetensors has another checksum"},
		{"altered weights", weightsFile, func(s string) string { return s[:len(s)-1] + "\x01" }, "another checksum"},
		{"no weights", weightsFile, nil, "weights.safetensors: no such file"},
		{"other labels", specFile, replace(`"fraction": 0.2`, `"fraction": 0.3`), "its key does not fit its specification"},
		{"other data", specFile, replace(`"data": "mnist10k"`, `"data": "mnist"`), "its key does not fit its specification"},
		{"other content", specFile, replace(`"data_hash": "`, `"data_hash": "0`), "its key does not fit its specification"},
		{"another sum", specFile, replace(`"weights_sha256": "`, `"weights_sha256": "0`), "done does not fit spec.json"},
		{"no numbers", specFile, replace(`"final"`, `"final_"`), "not as it was written"},
		{"no JSON", specFile, func(s string) string { return s[:len(s)/2] }, "spec.json: unexpected end of JSON"},
		{"no spec", specFile, nil, "spec.json: no such file"},
		{"no history", historyFile, nil, "history.csv: no such file"},
		{"half a history", historyFile, func(s string) string { return s[:len(s)-20] }, "history.csv"},
		{"empty done", doneFile, func(string) string { return "" }, "done does not fit"},
	} {
		path := filepath.Join(dir, c.file)
		good, err := os.ReadFile(path)
		require.NoError(t, err)
		if c.change == nil {
			require.NoError(t, os.Remove(path))
		} else {
			require.NoError(t, os.WriteFile(path, []byte(c.change(string(good))), 0o644))
		}
		check := func(err error) {
			require.ErrorContains(t, err, c.want, c.what)
			require.ErrorContains(t, err, "the run in "+dir+" is damaged", c.what)
			require.ErrorContains(t, err, "delete that folder", c.what)
			require.NotErrorIs(t, err, os.ErrNotExist, c.what)
		}
		_, err = l.Train(context.Background(), tiny(), "")
		check(err)
		_, err = l.Find("hurt")
		check(err)
		runs, err := l.Runs()
		check(err)
		require.Len(t, runs, 1, "the other run is listed all the same")
		_, err = l.Find("healthy")
		require.NoError(t, err)
		require.True(t, l.Finished(r.Key))
		require.NoError(t, os.WriteFile(path, good, 0o644))
	}
	got, err := l.Find("hurt")
	require.NoError(t, err)
	require.Equal(t, r.Weights, got.Weights)
}

func TestInterruptedTraining(t *testing.T) {
	whole, _ := open(t, t.TempDir(), Options{})
	want := train(t, whole, tiny(), "")

	ctx, cancel := context.WithCancel(context.Background())
	l, w := open(t, t.TempDir(), Options{})
	w.advance = func(_ string, done int) {
		if done == 1 {
			cancel()
		}
	}
	_, err := l.Train(ctx, tiny(), "later")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "epoch 2 of at most 3")
	runs, err := l.Runs()
	require.NoError(t, err)
	require.Empty(t, runs, "an unfinished run is not listed")
	_, err = l.Find(want.Key)
	require.ErrorContains(t, err, "no run")
	require.FileExists(t, filepath.Join(l.Store().RunDir(want.Key), fit.StateFile))
	require.False(t, l.Finished(want.Key))

	var notes []string
	l, w = open(t, l.Store().Dir(), Options{Note: func(s string) { notes = append(notes, s) }})
	got := train(t, l, tiny(), "later")
	require.Equal(t, want.Arrays, got.Arrays, "an interrupted training ends with the same bits")
	require.Equal(t, want.History, got.History)
	require.Equal(t, 3, w.meters[0].done)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "going on in epoch 2")
	require.NoFileExists(t, filepath.Join(l.Store().RunDir(want.Key), fit.StateFile))
	require.Equal(t, "later", got.Name)
}

func TestTwoTrainTheSame(t *testing.T) {
	home := t.TempDir()
	var wait sync.WaitGroup
	var mu sync.Mutex
	var runs []*Run
	var meters int
	for range 3 {
		l, w := open(t, home, Options{})
		wait.Go(func() {
			r, err := l.Train(context.Background(), tiny(), "")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				runs, meters = append(runs, r), meters+len(w.meters)
			}
		})
	}
	wait.Wait()
	require.Len(t, runs, 3)
	require.Equal(t, 1, meters, "one trains, the others read")
	require.Equal(t, runs[0].Arrays, runs[1].Arrays)
	require.Equal(t, runs[0].Arrays, runs[2].Arrays)
}

func TestWaitingForAnother(t *testing.T) {
	var unlock func()
	var notes []string
	l, w := open(t, t.TempDir(), Options{Note: func(s string) {
		notes = append(notes, s)
		unlock()
	}})
	key, err := tiny().Key()
	require.NoError(t, err)
	unlock, err = l.store.Lock(context.Background(), key)
	require.NoError(t, err)
	train(t, l, tiny(), "")
	require.Len(t, w.meters, 1)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "waiting for process")
	require.Contains(t, notes[0], "which trains the same network")

	ctx, cancel := context.WithCancel(context.Background())
	unlock, err = l.store.Lock(context.Background(), key)
	require.NoError(t, err)
	defer unlock()
	l.opt.Note = func(string) { cancel() }
	_, err = l.Train(ctx, tiny(), "")
	require.ErrorIs(t, err, context.Canceled)
}

func TestImport(t *testing.T) {
	l, _ := open(t, t.TempDir(), Options{})
	r := train(t, l, tiny(), "")
	dir := t.TempDir()
	file := func(name string, change func(map[string]nets.Array)) string {
		arrays := map[string]nets.Array{}
		for k, a := range r.Arrays {
			arrays[k] = nets.Array{Shape: slices.Clone(a.Shape), Data: slices.Clone(a.Data)}
		}
		change(arrays)
		path := filepath.Join(dir, name)
		require.NoError(t, result.WriteFile(path, func(w io.Writer) error { return nets.WriteSafetensors(w, arrays, nil) }))
		return path
	}
	good := file("net.safetensors", func(map[string]nets.Array) {})
	got, err := l.Import(good, "mlp:6,5", "mnist10k", "")
	require.NoError(t, err)
	require.Equal(t, r.Arrays, got.Arrays)
	require.Equal(t, "net.safetensors", got.Label())
	require.Equal(t, r.Data, got.Data)
	require.NotEqual(t, r.Key, got.Key)
	require.Nil(t, got.Final)
	require.NotContains(t, got.Table().Text(), "accuracy")
	runs, err := l.Runs()
	require.NoError(t, err)
	require.Len(t, runs, 1, "an imported network is not stored")

	same := file("copy.safetensors", func(map[string]nets.Array) {})
	again, err := l.Import(same, "mlp:6,5", "mnist10k", "")
	require.NoError(t, err)
	require.Equal(t, got.Key, again.Key, "the content counts, not the name")
	changed := file("changed.safetensors", func(a map[string]nets.Array) { a["fc1.bias"].Data[0]++ })
	again, err = l.Import(changed, "mlp:6,5", "mnist10k", "")
	require.NoError(t, err)
	require.NotEqual(t, got.Key, again.Key)
	again, err = l.Import(good, "mlp:6,5", "mnist", "")
	require.NoError(t, err, "the data set is not read yet")
	require.NotEqual(t, got.Key, again.Key)

	text, err := os.ReadFile(good)
	require.NoError(t, err)
	short := filepath.Join(dir, "short.safetensors")
	require.NoError(t, os.WriteFile(short, text[:len(text)-4], 0o644))
	for _, c := range []struct{ path, net, data, want string }{
		{good, "mlp:7,5", "mnist10k", `"fc1.bias" has shape [6] in the weights, the network needs [7]`},
		{good, "mlp:6,4", "mnist10k", `"fc2.bias" has shape [5] in the weights, the network needs [4]`},
		{good, "mlp:6", "mnist10k", `"logits.weight" has shape [10 5] in the weights, the network needs [10 6]`},
		{good, "mlp:6,5,5", "mnist10k", `the weights have no "fc3.bias" [5]`},
		{good, "lenet", "mnist10k", `net "lenet" is not known`},
		{good, "mlp:6,5", "imagenet", `no data set "imagenet"`},
		{short, "mlp:6,5", "mnist10k", "short.safetensors: safetensors file, tensor"},
		{filepath.Join(dir, "none.safetensors"), "mlp:6,5", "mnist10k", "none.safetensors: no such file"},
		{dir, "mlp:6,5", "mnist10k", "is a directory"},
		{file("nan", func(a map[string]nets.Array) { a["fc2.weight"].Data[3] = float32(math.NaN()) }), "mlp:6,5", "mnist10k",
			`"fc2.weight"[3] is NaN; weights must be finite`},
		{file("inf", func(a map[string]nets.Array) { a["fc2.weight"].Data[0] = float32(math.Inf(-1)) }), "mlp:6,5", "mnist10k",
			`"fc2.weight"[0] is -Inf`},
		{file("extra", func(a map[string]nets.Array) { a["bn.gamma"] = a["fc1.bias"] }), "mlp:6,5", "mnist10k", `has no parameter "bn.gamma"`},
		{file("flat", func(a map[string]nets.Array) {
			w := a["fc2.weight"]
			a["fc2.weight"] = nets.Array{Shape: []int{6, 5}, Data: w.Data}
		}), "mlp:6,5", "mnist10k", `"fc2.weight" has shape [6 5] in the weights, the network needs [5 6]`},
	} {
		_, err := l.Import(c.path, c.net, c.data, "")
		require.ErrorContains(t, err, c.want)
	}
}

func TestHistoryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []fit.Epoch
		number := rapid.Float64()
		for i := range rapid.IntRange(0, 5).Draw(t, "epochs") {
			e := fit.Epoch{Epoch: i + 1, LR: number.Draw(t, "lr"), Loss: number.Draw(t, "loss"), Accuracy: number.Draw(t, "accuracy")}
			if rapid.Bool().Draw(t, "measured") {
				e.Measured = &fit.Measured{
					TrainLoss: number.Draw(t, "train loss"), TrainAccuracy: number.Draw(t, "train accuracy"),
					TestLoss: number.Draw(t, "test loss"), TestAccuracy: number.Draw(t, "test accuracy"),
				}
			}
			want = append(want, e)
		}
		var b bytes.Buffer
		require.NoError(t, WriteHistory(&b, want))
		got, err := ReadHistory(&b)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

const historyHead = "epoch,lr,loss,accuracy,train_loss,train_accuracy,test_loss,test_accuracy\n"

func TestBadHistories(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "does not have the columns",
		"epoch,loss\n1,2\n":                      "does not have the columns",
		historyHead + "1,2,3\n":                  "wrong number of fields",
		historyHead + "1,0.1,1,x,,,,\n":          "line 2: accuracy: ",
		historyHead + "1,0.1,,1,,,,\n":           "line 2: loss: ",
		historyHead + "1,0.1,1,1,,,0.5,\n":       "line 2: train_loss: ",
		historyHead + "1,0.1,1,1,1,1,0.5,\n":     "line 2: test_accuracy: ",
		historyHead + "2,0.1,1,1,,,,\n":          `line 2: epoch is "2", expected 1`,
		historyHead + "1.5,0.1,1,1,,,,\n":        `epoch is "1.5"`,
		historyHead + "1,1,1,1,,,,\n\"":          "history.csv: ",
		historyHead + "1,1e999,1,1,,,,\n":        "line 2: lr: ",
		historyHead + "1,1,1,1,,,,\n3,1,1,1,,,,": "line 3",
	} {
		_, err := ReadHistory(strings.NewReader(text))
		require.ErrorContains(t, err, want, "%q", text)
		require.ErrorContains(t, err, historyFile)
	}
	got, err := ReadHistory(strings.NewReader(historyHead))
	require.NoError(t, err)
	require.Empty(t, got)
}

func FuzzReadHistory(f *testing.F) {
	f.Add(historyHead + "1,0.1,2.3,0.1,,,,\n2,0.05,1.5,0.5,1.4,0.6,1.6,0.4\n")
	f.Add(historyHead)
	f.Add("epoch")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ReadHistory(strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		require.NoError(t, WriteHistory(&b, h))
		written := b.String()
		again, err := ReadHistory(&b)
		require.NoError(t, err)
		var c bytes.Buffer
		require.NoError(t, WriteHistory(&c, again))
		require.Equal(t, written, c.String(), "compared as text, as NaN is not equal to itself")
	})
}
