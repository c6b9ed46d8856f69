package lab

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// shared is one trained network for the tests that only read it.
func shared(t *testing.T) (home string, r *Run) {
	l, _ := open(t, t.TempDir(), Options{})
	return l.Store().Dir(), train(t, l, tiny(), "net")
}

func ablation(t *testing.T, l *Lab, r *Run, on On, spec ablate.Spec) ablate.Result {
	res, err := l.Ablate(context.Background(), r, on, spec)
	require.NoError(t, err)
	return res
}

func sweep(t *testing.T, l *Lab, r *Run, on On, spec noise.Spec) noise.Result {
	res, err := l.Noise(context.Background(), r, on, spec)
	require.NoError(t, err)
	return res
}

// resultFiles lists the store's result files.
func resultFiles(t *testing.T, l *Lab) []string {
	files, err := filepath.Glob(filepath.Join(l.Store().Dir(), "results", "*"))
	require.NoError(t, err)
	return files
}

func TestComputeOrLoad(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	spec := ablate.Spec{Orders: 3, Points: 5, Seed: 1}
	first := ablation(t, l, r, On{}, spec)
	require.Equal(t, []string{"fc1", "fc2"}, first.Sites)
	require.Equal(t, []int{0, 3, 6, 8, 11}, first.Grid)
	require.Equal(t, 200, first.Examples)
	require.Len(t, first.Correct, 3)
	require.Equal(t, r.Final.TrainAccuracy, first.Baseline.Accuracy(), "scored on the labels it was trained on")
	require.Positive(t, first.Seconds.Prepare)
	require.Greater(t, first.Seconds.Total, first.Seconds.Evaluate)
	require.Len(t, w.meters, 1)
	require.Equal(t, "ablating net", w.meters[0].title)
	require.Equal(t, (3*3+2)*200, w.meters[0].total)
	require.Equal(t, w.meters[0].total, w.meters[0].done)
	require.True(t, w.meters[0].ended)

	noisy := sweep(t, l, r, On{}, noise.Spec{Scales: []float64{0.1, 1}, Repeats: 2, Seed: 5})
	require.Equal(t, first.Baseline, noisy.Baseline)
	require.Equal(t, (2*2+1)*200, w.meters[1].total)
	require.Equal(t, w.meters[1].total, w.meters[1].done)
	require.Len(t, resultFiles(t, l), 2, "no partial results are left")

	// Read by another lab, which needs neither backend nor data: equal to the last digit, times included.
	l2, w2 := open(t, home, Options{})
	l2.opt.Backend = "none"
	require.Equal(t, first, ablation(t, l2, r, On{Split: "train"}, spec))
	require.Equal(t, noisy, sweep(t, l2, r, On{}, noise.Spec{Scales: []float64{0.1, 1}, Repeats: 2, Seed: 5}))
	require.Empty(t, w2.meters)

	// The manifest tells where it came from.
	m, ok, err := l.Store().Get(keyOf(t, l), nil)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, map[string]string{"network": r.Key, "data": r.Data}, m.Inputs)
	require.Equal(t, "go", m.Backend)
	require.Positive(t, m.Seconds)

	// Recompute finds the same counts, in a new computation.
	l3, w3 := open(t, home, Options{Recompute: true})
	again := ablation(t, l3, r, On{}, spec)
	require.Len(t, w3.meters, 1)
	require.Equal(t, first.Correct, again.Correct)
	require.Equal(t, first.Receipt, again.Receipt)
	require.NotEqual(t, first.Seconds, again.Seconds)

	// Another request is another result.
	require.NotEqual(t, first.Correct, ablation(t, l, r, On{Split: "test"}, spec).Correct)
	require.NotEqual(t, first.Correct, ablation(t, l, r, On{}, ablate.Spec{Orders: 3, Points: 5, Seed: 2}).Correct)
	require.Equal(t, first.Correct[0], ablation(t, l, r, On{}, ablate.Spec{Orders: 1, Points: 5, Seed: 1}).Correct[0])
}

// keyOf is the key of the only result in the store that is an ablation or sweep of any kind: the oldest.
func keyOf(t *testing.T, l *Lab) string {
	entries, err := l.Store().Results()
	require.NoError(t, err)
	return entries[len(entries)-1].Key
}

func TestInterruptedAblation(t *testing.T) {
	home, r := shared(t)
	spec := ablate.Spec{Orders: 4, Points: 4, Seed: 7}
	whole, _ := open(t, t.TempDir(), Options{})
	want := ablation(t, whole, r, On{}, spec)

	ctx, cancel := context.WithCancel(context.Background())
	l, w := open(t, home, Options{})
	w.advance = func(_ string, done int) {
		if done > (2+2*2)*200 { // in the third ordering
			cancel()
		}
	}
	_, err := l.Ablate(ctx, r, On{}, spec)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "ablation of net: cumulative ablation stopped")
	require.ErrorContains(t, err, "with 2 of 4 orderings complete")
	require.True(t, w.meters[0].ended)
	files := resultFiles(t, l)
	require.Len(t, files, 1)
	require.True(t, strings.HasSuffix(files[0], ".partial.json"))

	// A damaged partial result is an error and stays; deleting it, as the error says, starts over.
	good, err := os.ReadFile(files[0])
	require.NoError(t, err)
	for what, text := range map[string]string{
		"truncated": string(good[:len(good)/2]),
		"altered":   strings.Replace(string(good), `"examples": 200`, `"examples": 201`, 1),
		"empty":     "",
	} {
		require.NotEqual(t, string(good), text)
		require.NoError(t, os.WriteFile(files[0], []byte(text), 0o644))
		_, err = l.Ablate(context.Background(), r, On{}, spec)
		require.ErrorContains(t, err, files[0]+" is not usable", what)
		require.ErrorContains(t, err, "delete it", what)
	}
	require.NoError(t, os.WriteFile(files[0], good, 0o644))

	var notes []string
	l, w = open(t, home, Options{Note: func(s string) { notes = append(notes, s) }})
	first := 0
	w.advance = func(_ string, done int) {
		if first == 0 {
			first = done
		}
	}
	got := ablation(t, l, r, On{}, spec)
	require.GreaterOrEqual(t, first, (2+2*2)*200, "orderings that were there are not computed again")
	require.Equal(t, []string{"ablation of net: going on from a partial result"}, notes)
	require.Equal(t, w.meters[0].total, w.meters[0].done, "what was there counts as done")
	want.Seconds, got.Seconds = result.Seconds{}, result.Seconds{}
	require.Equal(t, want.Correct, got.Correct)
	require.Equal(t, want.Receipt.Edits, got.Receipt.Edits)
	want.Receipt, got.Receipt = unit.Receipt{}, unit.Receipt{}
	require.Equal(t, want, got, "an interrupted ablation ends as an uninterrupted one")
	files = resultFiles(t, l)
	require.Len(t, files, 1)
	require.False(t, strings.HasSuffix(files[0], ".partial.json"))
}

func TestInterruptedNoise(t *testing.T) {
	home, r := shared(t)
	spec := noise.Spec{Scales: []float64{0.3, 1, 3}, Repeats: 3, Seed: 7}
	whole, _ := open(t, t.TempDir(), Options{})
	want := sweep(t, whole, r, On{}, spec)
	ctx, cancel := context.WithCancel(context.Background())
	l, w := open(t, home, Options{})
	w.advance = func(_ string, done int) {
		if done > (1+2*3)*200 { // in the third repeat
			cancel()
		}
	}
	_, err := l.Noise(ctx, r, On{}, spec)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "with 2 of 3 repeats complete")
	l, w = open(t, home, Options{})
	first := 0
	w.advance = func(_ string, done int) {
		if first == 0 {
			first = done
		}
	}
	got := sweep(t, l, r, On{}, spec)
	require.GreaterOrEqual(t, first, (1+2*3)*200, "repeats that were there are not computed again")
	require.Equal(t, want.Correct, got.Correct)
	require.Equal(t, want.Mean, got.Mean)
	require.Equal(t, want.SDHash, got.SDHash)
	require.Equal(t, w.meters[0].total, w.meters[0].done)
}

func TestDamagedResult(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{})
	spec := ablate.Spec{Orders: 1, Points: 2}
	want := ablation(t, l, r, On{}, spec)
	file := resultFiles(t, l)[0]
	require.NoError(t, os.Truncate(file, 100))
	_, err := l.Ablate(context.Background(), r, On{}, spec)
	require.ErrorContains(t, err, "ablation of net: result file "+file+" is not usable")
	require.NoError(t, os.Remove(file))
	require.Equal(t, want.Correct, ablation(t, l, r, On{}, spec).Correct)
}

func TestMeanOfTheTrainingSet(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{})
	on := On{Split: "test", Examples: 300}
	got := ablation(t, l, r, on, ablate.Spec{Orders: 2, Points: 5, Seed: 1, To: unit.Mean})

	// The same by hand: values to clamp to from the training set, or (wrong) from the examples scored.
	p, err := l.Probe(context.Background(), r, On{}, nil)
	require.NoError(t, err)
	defer p.Close()
	training, err := p.Moments(context.Background())
	require.NoError(t, err)
	require.Equal(t, 200, training["fc1"].Count)
	counts := func(mean map[string][]float64) [][]int {
		q, err := l.probe(context.Background(), r, on, probe.Options{Mean: mean})
		require.NoError(t, err)
		defer q.Close()
		res, err := ablate.Cumulative(context.Background(), q, ablate.Spec{Orders: 2, Points: 5, Seed: 1, To: unit.Mean}, ablate.Options{})
		require.NoError(t, err)
		return res.Correct
	}
	require.Equal(t, counts(map[string][]float64{"fc1": training["fc1"].Mean, "fc2": training["fc2"].Mean}), got.Correct)
	require.NotEqual(t, counts(nil), got.Correct)
}

func TestElementMeansOfTheTrainingSet(t *testing.T) {
	l, _ := open(t, t.TempDir(), Options{})
	r := train(t, l, Spec{Data: "mnist10k", Examples: 40, Net: "convnet:width=0.03125,layers=2", Fit: fit.Spec{LR: 0.01, Batch: 20, Epochs: 1}}, "")
	on, spec := On{Split: "test", Examples: 30}, ablate.Spec{Orders: 2, Points: 3, Seed: 1, To: unit.ElementMean}
	got := ablation(t, l, r, on, spec)

	p, err := l.Probe(context.Background(), r, On{}, nil)
	require.NoError(t, err)
	defer p.Close()
	training, err := p.ElementMeans(context.Background())
	require.NoError(t, err)
	require.Len(t, training["conv1"], 28*28*2)
	losses := func(opt probe.Options) float64 {
		q, err := l.probe(context.Background(), r, on, opt)
		require.NoError(t, err)
		defer q.Close()
		res, err := ablate.Cumulative(context.Background(), q, spec, ablate.Options{})
		require.NoError(t, err)
		return res.AllAblated.Loss
	}
	want := losses(probe.Options{ElementMean: training})
	require.InDelta(t, want, got.AllAblated.Loss, 1e-6)
	require.NotEqual(t, want, losses(probe.Options{}), "means of the examples scored")
}

func TestNoiseIsScaledByTheTrainingSet(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{})
	spec := noise.Spec{Scales: []float64{1}, Repeats: 1}
	want := sweep(t, l, r, On{}, spec)
	for _, on := range []On{{Examples: 50}, {Split: "test"}, {Split: "test", Examples: 10}} {
		got := sweep(t, l, r, on, spec)
		require.Equal(t, want.SDHash, got.SDHash, "%+v", on)
		require.NotEqual(t, want.Examples, got.Examples)
	}
	// The hash tells standard deviations apart: here those of the 50 examples.
	p, err := l.Probe(context.Background(), r, On{Examples: 50}, nil)
	require.NoError(t, err)
	defer p.Close()
	moments, err := p.Moments(context.Background())
	require.NoError(t, err)
	res, err := noise.Sweep(context.Background(), p, map[string][]float64{"fc1": moments["fc1"].SD, "fc2": moments["fc2"].SD}, spec, noise.Options{})
	require.NoError(t, err)
	require.NotEqual(t, want.SDHash, res.SDHash)
}

func TestRefusedRequestsMeasureNothing(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	for _, c := range []struct {
		on   On
		spec ablate.Spec
		want string
	}{
		{On{Split: "dev"}, ablate.Spec{}, `split "dev" is not one of train, test`},
		{On{Examples: 201}, ablate.Spec{}, "the first 201 examples: want 1 to 200"},
		{On{Examples: -1}, ablate.Spec{To: unit.Mean}, "the first -1 examples: want 1 to 200"},
		{On{Split: "test", Examples: 2001}, ablate.Spec{To: unit.Mean}, "want 1 to 2000"},
		{On{}, ablate.Spec{Sites: []string{"fc3"}}, `no site "fc3", the network has [fc1 fc2]`},
		{On{}, ablate.Spec{Sites: []string{"fc3"}, To: unit.Mean}, `no site "fc3", the network has [fc1 fc2]`},
		{On{}, ablate.Spec{Sites: []string{"fc1", "fc1"}}, "named twice"},
		{On{}, ablate.Spec{Orders: -1}, "orders is -1, at least 1"},
		{On{}, ablate.Spec{Points: 1}, "points is 1, at least 2"},
		{On{}, ablate.Spec{Given: &ablate.Orderings{Sites: []string{"fc2"}, Orders: [][]int{{5}}}}, "order 0"},
		{On{}, ablate.Spec{Given: &ablate.Orderings{Sites: []string{"fc9"}, Orders: [][]int{{5}}}}, `no site "fc9"`},
		{On{}, ablate.Spec{Given: &ablate.Orderings{Sites: []string{"fc2"}, Orders: [][]int{{0}}}, Sites: []string{"fc1"}},
			`the given orderings are of sites ["fc2"], but sites ["fc1"] are asked for`},
	} {
		_, err := l.Ablate(context.Background(), r, c.on, c.spec)
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "ablation of net: ")
	}
	for _, c := range []struct {
		on   On
		spec noise.Spec
		want string
	}{
		{On{Split: "dev"}, noise.Spec{}, `split "dev" is not one of train, test`},
		{On{Split: "test", Examples: 2001}, noise.Spec{}, "want 1 to 2000"},
		{On{}, noise.Spec{Sites: []string{"fc3"}}, `no site "fc3", the network has [fc1 fc2]`},
		{On{}, noise.Spec{Scales: []float64{math.NaN()}}, "scale NaN is not a finite number > 0"},
		{On{}, noise.Spec{Scales: []float64{math.Inf(1)}}, "scale +Inf is not a finite number > 0"},
		{On{}, noise.Spec{Scales: []float64{1, 1}}, "scales must ascend"},
		{On{}, noise.Spec{Repeats: -1}, "repeats is -1"},
	} {
		_, err := l.Noise(context.Background(), r, c.on, c.spec)
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "noise of net: ")
	}
	require.Empty(t, w.meters)
	require.Empty(t, resultFiles(t, l))
}

func TestGivenOrderings(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	random := ablation(t, l, r, On{}, ablate.Spec{Orders: 2, Points: 4, Seed: 9})
	given := ablate.Orderings{Sites: []string{"fc1", "fc2"}, Grid: random.Grid, Orders: ablate.Random(11, 2, 9)}
	same := ablation(t, l, r, On{}, ablate.Spec{Given: &given})
	require.Equal(t, random.Correct, same.Correct)
	require.True(t, same.Given)
	// Grids that leave out the ends, or have as many points as there are units, are counted right.
	given.Grid = []int{2, 5}
	require.Equal(t, []int{2, 5}, ablation(t, l, r, On{}, ablate.Spec{Given: &given}).Grid)
	require.Len(t, ablation(t, l, r, On{}, ablate.Spec{Orders: 1}).Grid, 12)
	require.Len(t, ablation(t, l, r, On{}, ablate.Spec{Orders: 1, Sites: []string{"fc2"}}).Grid, 6)
	require.Len(t, w.meters, 5)
	for _, m := range w.meters {
		require.Equal(t, m.total, m.done)
	}
}

func TestVerifyAll(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{Verify: -1, Memory: 1 << 22})
	res := ablation(t, l, r, On{}, ablate.Spec{Orders: 2, Points: 4})
	require.Zero(t, res.Receipt.Mismatches)
	require.Equal(t, (2*2+1)*200, res.Receipt.Checked, "every prediction under an edit was computed a second time")
}

func TestBackendIsNotReplaced(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{})
	l.opt.Backend = "tpu"
	for range 2 {
		_, err := l.Ablate(context.Background(), r, On{}, ablate.Spec{})
		require.ErrorContains(t, err, `ablation of net: backend "tpu" is not one of`)
	}
	require.Empty(t, l.Manifest("k", nil, nil).Backend)
	_, err := l.Train(context.Background(), Spec{Data: "mnist10k", Net: "mlp:2"}, "")
	require.ErrorContains(t, err, `train: backend "tpu"`)
}

func TestSavingFails(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	results := filepath.Join(home, "results")
	w.advance = func(string, int) { // the folder becomes a file while the ablation runs
		_ = os.RemoveAll(results)
		_ = os.WriteFile(results, nil, 0o644)
	}
	_, err := l.Ablate(context.Background(), r, On{}, ablate.Spec{Orders: 2, Points: 3})
	require.ErrorContains(t, err, "stopped with 1 of 2 orderings complete: cannot write "+results)
	var path *os.PathError
	require.True(t, errors.As(err, &path))
}

// The other tests use the pure-Go backend, as nothing here depends on which it is; this one asks whether that is so.
func TestOtherBackend(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{})
	l.opt.Backend = ""
	b, err := l.Backend()
	require.NoError(t, err)
	if b.Kind == "go" {
		t.Skipf("there is no other backend: %s", b)
	}
	plain, _ := open(t, t.TempDir(), Options{})
	spec := ablate.Spec{Orders: 2, Points: 4, Seed: 1, To: unit.Mean}
	want, got := ablation(t, plain, r, On{}, spec), ablation(t, l, r, On{}, spec)
	require.Equal(t, b.Kind, got.Receipt.Backend)
	require.Equal(t, want.Correct, got.Correct)
	require.Zero(t, got.Receipt.Mismatches)
	want2, got2 := sweep(t, plain, r, On{}, noise.Spec{Scales: []float64{1}, Repeats: 1}), sweep(t, l, r, On{}, noise.Spec{Scales: []float64{1}, Repeats: 1})
	require.Equal(t, want2.Baseline.ByClass, got2.Baseline.ByClass, "losses differ by rounding")
	require.Equal(t, want2.Constant, got2.Constant)

	s := tiny()
	s.Fit.Epochs = 2
	r = train(t, l, s, "")
	require.Equal(t, b.Kind, r.Backend)
	again, w := open(t, home, Options{})
	require.Equal(t, r, train(t, again, s, ""), "a trained network is read, whatever trained it")
	require.Empty(t, w.meters)
}
