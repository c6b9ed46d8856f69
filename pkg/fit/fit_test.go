package fit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

var openBackend = sync.OnceValues(func() (*backend.Backend, error) {
	home, _ := result.Home()
	return backend.Open("", home)
})

// open gives the backend that GOMLX_BACKEND names, or the best there is.
func open(t require.TestingT) *backend.Backend {
	b, err := openBackend()
	require.NoError(t, err)
	return b
}

// toy is a small network and data it can learn: random pixels, labelled by which of the first three is the brightest. In
// batches of 2 the 88 training examples are 44 steps an epoch.
func toy() (net nets.Net, train, test datasets.Split) {
	net, err := nets.Parse("mlp:8", []int{2, 2, 1}, 3)
	if err != nil {
		panic(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(n int) datasets.Split {
		s := datasets.Split{Images: make([]byte, 4*n), Labels: make([]int32, n), Shape: []int{2, 2, 1}}
		for i := range s.Images {
			s.Images[i] = byte(rng.IntN(256))
		}
		for i := range s.Labels {
			rgb := s.Images[4*i : 4*i+3]
			s.Labels[i] = int32(slices.Index(rgb, slices.Max(rgb)))
		}
		return s
	}
	return net, draw(88), draw(20)
}

func sgd() Spec {
	return Spec{LR: 0.05, Momentum: 0.9, WeightDecay: 1e-3, Schedule: "cosine", Batch: 2, Epochs: 4, Dropout: 0.3, Evaluate: 2,
		InitSeed: 1, OrderSeed: 2, DropoutSeed: 3}
}

func adam() Spec {
	return Spec{Optimizer: "adam", LR: 0.01, WeightDecay: 0.01, Schedule: "linear", Batch: 2, Epochs: 3, Dropout: 0.2, Evaluate: 2,
		InitSeed: 4, OrderSeed: 5, DropoutSeed: 6}
}

// trainers are what train keeps compiled for other tests.
var trainers = map[string]*trainer{}

// train is Train of toy. Where a compilation takes seconds, trainings that differ only in what compiled graphs do not
// contain (learning rates, epochs, seeds of weights and order) share one trainer.
func train(t *testing.T, ctx context.Context, spec Spec, opt Options) (Result, error) {
	net, data, test := toy()
	b := open(t)
	if b.Kind == "go" {
		return Train(ctx, b, net, data, test, spec, opt)
	}
	spec = spec.WithDefaults()
	require.NoError(t, spec.Check())
	id := fmt.Sprint(spec.Optimizer, spec.Momentum, spec.WeightDecay, spec.Batch, spec.Dropout, spec.DropoutSeed, spec.SelectivityAlpha)
	if trainers[id] == nil {
		made, err := newTrainer(b, net, data, test, spec, Options{})
		require.NoError(t, err)
		trainers[id] = made
	}
	made := trainers[id]
	weights, err := net.Init(b.Engine, spec.InitSeed)
	require.NoError(t, err)
	for _, name := range made.arrays() {
		v := made.store.GetVariable(nets.ParamPath(name))
		a, ok := weights[name]
		if !ok {
			a.Data = make([]float32, v.Shape().Size())
		}
		require.NoError(t, v.SetValue(tensors.FromFlatDataAndDimensions(a.Data, v.Shape().Dimensions...)))
	}
	if opt.SaveEvery == 0 {
		opt.SaveEvery = 30 * time.Second
	}
	made.spec, made.opt = spec, opt
	made.steps, made.callTime = 1, time.Hour // calls of 1, 2, 4, … steps, however slow this machine is
	made.step, made.loss, made.correct, made.history, made.before = 0, 0, 0, nil, 0
	made.began, made.saved = time.Now(), time.Now()
	return made.run(ctx)
}

func mustTrain(t *testing.T, spec Spec, opt Options) Result {
	r, err := train(t, context.Background(), spec, opt)
	require.NoError(t, err)
	return r
}

func sameBits(a, b map[string]nets.Array) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d and %d arrays", len(a), len(b))
	}
	for name := range a {
		if !slices.Equal(a[name].Shape, b[name].Shape) {
			return fmt.Errorf("%s has shapes %v and %v", name, a[name].Shape, b[name].Shape)
		}
		for i, x := range a[name].Data {
			if y := b[name].Data[i]; math.Float32bits(x) != math.Float32bits(y) {
				return fmt.Errorf("%s[%d] is %v and %v", name, i, x, y)
			}
		}
	}
	return nil
}

func requireSame(t *testing.T, want, got Result, args ...any) {
	require.NoError(t, sameBits(want.Weights, got.Weights), args...)
	require.Equal(t, want.History, got.History, args...)
}

func TestSameSpecSameBytes(t *testing.T) {
	net, data, test := toy()
	first := mustTrain(t, sgd(), Options{})
	second, err := Train(context.Background(), open(t), net, data, test, sgd(), Options{})
	require.NoError(t, err)
	requireSame(t, first, second)
	require.Len(t, first.History, 4)
	require.Positive(t, first.Seconds)

	for name, change := range map[string]func(s *Spec){
		"init":    func(s *Spec) { s.InitSeed++ },
		"order":   func(s *Spec) { s.OrderSeed++ },
		"dropout": func(s *Spec) { s.DropoutSeed++ },
		"rate":    func(s *Spec) { s.LR *= 1.0001 },
	} {
		if name == "dropout" && open(t).Kind != "go" {
			continue // compiled in: would take seconds here; TestDropout has it for every backend
		}
		spec := sgd()
		change(&spec)
		other := mustTrain(t, spec, Options{})
		require.Error(t, sameBits(first.Weights, other.Weights), "another %s seed, other weights", name)
		require.NotEqual(t, first.History, other.History, name)
	}
}

func TestTrainingStartsFromInit(t *testing.T) {
	net, _, _ := toy()
	dir := t.TempDir()
	spec := sgd()
	spec.Checkpoints = []int{0}
	mustTrain(t, spec, Options{Dir: dir, Key: "k"})
	start, metadata, err := nets.LoadSafetensors(filepath.Join(dir, "epoch-0000.safetensors"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"epoch": "0"}, metadata)
	want, err := net.Init(open(t).Engine, spec.InitSeed) // drawn on the host: the same on every backend
	require.NoError(t, err)
	require.NoError(t, sameBits(want, start))
}

func TestCheckpointsAreWhatAShorterRunEndsWith(t *testing.T) {
	dir := t.TempDir()
	long := sgd()
	long.Schedule, long.Epochs, long.Evaluate, long.Checkpoints = "constant", 5, 100, []int{3, 1, 5, 3}
	all := mustTrain(t, long, Options{Dir: dir, Key: "k"})
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{"epoch-0001.safetensors", "epoch-0003.safetensors", "epoch-0005.safetensors"}, base(files))
	for _, epoch := range []int{1, 3, 5} {
		short := long
		short.Epochs, short.Checkpoints = epoch, nil
		want := mustTrain(t, short, Options{})
		got, _, err := nets.LoadSafetensors(filepath.Join(dir, CheckpointFile(epoch)))
		require.NoError(t, err)
		require.NoError(t, sameBits(want.Weights, got), epoch)
		require.Equal(t, want.Final(), *all.History[epoch-1].Measured, "a checkpoint is measured")
	}
	require.Nil(t, all.History[1].Measured)
	// With a schedule, the length of a run changes its rates, and so all of its weights.
	long.Schedule, long.Checkpoints = "cosine", []int{1}
	mustTrain(t, long, Options{Dir: dir, Key: "k"})
	short := long
	short.Epochs, short.Checkpoints = 1, nil
	got, _, err := nets.LoadSafetensors(filepath.Join(dir, CheckpointFile(1)))
	require.NoError(t, err)
	require.Error(t, sameBits(mustTrain(t, short, Options{}).Weights, got))
}

func base(paths []string) []string {
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

func TestHistory(t *testing.T) {
	spec := sgd()
	spec.Epochs, spec.Evaluate = 7, 3
	var told []Epoch
	done := 0
	r := mustTrain(t, spec, Options{
		OnEpoch: func(e Epoch) error { told = append(told, e); return nil },
		Advance: func(n int) { done += n },
	})
	require.Equal(t, r.History, told)
	require.Equal(t, 7, done)
	for i, e := range r.History {
		require.Equal(t, i+1, e.Epoch)
		require.Equal(t, e.Epoch == 3 || e.Epoch == 6 || e.Epoch == 7, e.Measured != nil, "epoch %d", e.Epoch)
		require.Equal(t, spec.lr(44*(i+1)-1, 44*7), e.LR)
		require.InDelta(t, math.Round(e.Accuracy*88), e.Accuracy*88, 1e-9)
		require.Positive(t, e.Loss)
	}
	require.Equal(t, *r.History[6].Measured, r.Final())
	none := Result{History: []Epoch{{Epoch: 1}}}.Final()
	require.True(t, math.IsNaN(none.TrainLoss) && math.IsNaN(none.TestAccuracy))
}

func TestStopAt(t *testing.T) {
	spec := sgd()
	spec.LR, spec.Schedule, spec.Epochs, spec.Evaluate, spec.StopAt = 0.005, "constant", 40, 35, 0.75
	r := mustTrain(t, spec, Options{})
	require.Less(t, len(r.History), 40)
	for i, e := range r.History {
		if e.Accuracy >= spec.StopAt-0.02 {
			require.NotNil(t, e.Measured, "near the goal every epoch is measured")
		}
		if e.Measured != nil {
			require.Equal(t, i == len(r.History)-1, e.Measured.TrainAccuracy >= spec.StopAt, "epoch %d", e.Epoch)
		}
	}
	require.GreaterOrEqual(t, r.Final().TrainAccuracy, spec.StopAt)
	// What ends early is otherwise the same training.
	spec.StopAt, spec.Epochs = 0, len(r.History)
	require.NoError(t, sameBits(mustTrain(t, spec, Options{}).Weights, r.Weights))
}

// logits computes the toy network in float64.
func logits(w map[string]nets.Array, image []byte) []float64 {
	x := make([]float64, len(image))
	for i, p := range image {
		x[i] = float64(p) / 255
	}
	for _, layer := range []string{"fc1", "logits"} {
		weight, bias := w[layer+".weight"], w[layer+".bias"]
		y := make([]float64, len(bias.Data))
		for o := range y {
			y[o] = float64(bias.Data[o])
			for i := range x {
				y[o] += float64(weight.Data[o*len(x)+i]) * x[i]
			}
			if layer == "fc1" {
				y[o] = max(0, y[o])
			}
		}
		x = y
	}
	return x
}

// What is measured is the network without dropout, on all examples, under the weights after the epoch.
func TestMeasurementAgainstTheDefinition(t *testing.T) {
	r := mustTrain(t, sgd(), Options{})
	_, data, test := toy()
	score := func(s datasets.Split) (loss, accuracy float64) {
		for i, y := range s.Labels {
			z := logits(r.Weights, s.Images[4*i:4*i+4])
			top, sum := slices.Max(z), 0.0
			for _, v := range z {
				sum += math.Exp(v - top)
			}
			loss += (math.Log(sum) + top - z[y]) / float64(s.Len())
			if slices.Index(z, top) == int(y) {
				accuracy += 1 / float64(s.Len())
			}
		}
		return loss, accuracy
	}
	loss, accuracy := score(data)
	require.InDelta(t, loss, r.Final().TrainLoss, 1e-6)
	require.InDelta(t, accuracy, r.Final().TrainAccuracy, 1e-9)
	loss, accuracy = score(test)
	require.InDelta(t, loss, r.Final().TestLoss, 1e-6)
	require.InDelta(t, accuracy, r.Final().TestAccuracy, 1e-9)
}

func TestDivergence(t *testing.T) {
	dir := t.TempDir()
	// Far too large a rate: weights grow for some epochs until logits are beyond float32.
	spec := sgd()
	spec.LR, spec.Schedule, spec.Epochs, spec.Evaluate, spec.Checkpoints = 50, "constant", 30, 100, []int{0, 1}
	opt := Options{Dir: dir, Key: "k", SaveEvery: -1}
	var told []Epoch
	opt.OnEpoch = func(e Epoch) error { told = append(told, e); return nil }
	r, err := train(t, context.Background(), spec, opt)
	require.ErrorIs(t, err, ErrDiverged)
	require.Regexp(t, `^training: the loss is not finite any more by step \d+ \(epoch \d, learning rate 50\): lower lr$`, err.Error())
	var step, epoch int
	_, scanErr := fmt.Sscanf(err.Error(), "training: the loss is not finite any more by step %d (epoch %d,", &step, &epoch)
	require.NoError(t, scanErr)
	require.Equal(t, (step-1)/44+1, epoch)
	require.Greater(t, epoch, 1, "this training is meant to survive its first epoch")

	// The epochs before are not lost, and nothing that is not finite was written.
	require.Nil(t, r.Weights)
	require.Len(t, r.History, epoch-1)
	require.Equal(t, told, r.History)
	files, globErr := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, globErr)
	require.Equal(t, []string{CheckpointFile(0), CheckpointFile(1), StateFile}, base(files))
	for _, f := range files {
		arrays, _, err := nets.LoadSafetensors(f)
		require.NoError(t, err)
		if filepath.Base(f) != StateFile { // its weights are those after the last finite loss: they may be what made it overflow
			net, _, _ := toy()
			require.NoError(t, net.Check(open(t).Engine, arrays))
		}
	}
	hidden, err2 := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	require.NoError(t, err2)
	require.Empty(t, hidden)

	// The same call again goes on from the last state and says the same.
	again, err3 := train(t, context.Background(), spec, opt)
	require.EqualError(t, err3, err.Error())
	require.Equal(t, r.History, again.History)
}

// No step comes after the last update of an epoch: the measurement finds out, before a checkpoint is written.
func TestDivergenceInTheLastUpdate(t *testing.T) {
	net, data, test := toy()
	dir := t.TempDir()
	spec := Spec{LR: 1e38, Epochs: 1, Batch: 88, Checkpoints: []int{1}}
	r, err := Train(context.Background(), open(t), net, data, test, spec, Options{Dir: dir, Key: "k"})
	require.ErrorIs(t, err, ErrDiverged)
	require.ErrorContains(t, err, "by step 1 (epoch 1, learning rate 1e+38): lower lr")
	require.Nil(t, r.Weights)
	require.Empty(t, r.History)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, files, "no checkpoint of weights that are not finite")
}

func TestOneExample(t *testing.T) {
	net, data, test := toy()
	one, err := data.Head(1)
	require.NoError(t, err)
	r, err := Train(context.Background(), open(t), net, one, test, Spec{Epochs: 20, Batch: 128}, Options{})
	require.NoError(t, err)
	require.Len(t, r.History, 20)
	require.Equal(t, 1.0, r.Final().TrainAccuracy)
	require.Less(t, r.Final().TrainLoss, 0.1)
	require.Greater(t, r.History[0].Loss, r.History[19].Loss)
}

func TestBatches(t *testing.T) {
	net, data, test := toy()
	for _, c := range []struct{ n, ask, batch, perEpoch int }{
		{88, 2, 2, 44}, {88, 88, 88, 1}, {88, 89, 88, 1}, {88, 0, 88, 1}, {88, 87, 87, 1}, {88, 45, 45, 1}, {88, 44, 44, 2},
		{5, 2, 2, 2}, {1, 1, 1, 1},
	} {
		some, err := data.Head(c.n)
		require.NoError(t, err)
		made, err := newTrainer(open(t), net, some, test, Spec{Batch: c.ask}.WithDefaults(), Options{})
		require.NoError(t, err)
		require.Equal(t, []int{c.batch, c.perEpoch}, []int{made.batch, made.perEpoch}, "%+v", c)
		made.close()
	}
}

func TestTrainErrors(t *testing.T) {
	net, data, test := toy()
	run := func(net nets.Net, train, test datasets.Split, spec Spec, opt Options) error {
		_, err := Train(context.Background(), open(t), net, train, test, spec, opt)
		return err
	}
	with := func(change func(s *datasets.Split)) datasets.Split {
		s := data
		s.Labels = slices.Clone(s.Labels)
		change(&s)
		return s
	}
	ok := Spec{Epochs: 1, Batch: 88}
	require.EqualError(t, run(net, data, test, Spec{Batch: -1}, Options{}), "training: batch is -1; allowed: at least 1")
	require.EqualError(t, run(net, data, test, Spec{Checkpoints: []int{2}}, Options{}),
		"training: checkpoints [2] are asked for, but there is no folder to keep them in (Options.Dir)")
	require.ErrorContains(t, run(net, data, test, ok, Options{Dir: t.TempDir()}), "Options.Dir without Options.Key")
	require.EqualError(t, run(net, datasets.Split{Shape: data.Shape}, test, ok, Options{}), "training: no examples")
	require.ErrorContains(t, run(net, data, datasets.Split{Shape: data.Shape}, ok, Options{}),
		"training: test examples: probe: no examples")
	require.ErrorContains(t, run(net, with(func(s *datasets.Split) { s.Labels[3] = 3 }), test, ok, Options{}),
		"training examples: probe: label 3 of example 3 is outside 0..2")
	require.ErrorContains(t, run(net, data, with(func(s *datasets.Split) { s.Labels[0] = -1 }), ok, Options{}),
		"test examples: probe: label -1")
	require.ErrorContains(t, run(net, with(func(s *datasets.Split) { s.Shape = []int{4, 1, 1} }), test, ok, Options{}),
		"images have shape [4 1 1]")
	require.EqualError(t, run(net, with(func(s *datasets.Split) { s.Images = s.Images[1:] }), test, ok, Options{}),
		"training: training examples: probe: 351 bytes of images, but 88 labels and images of shape [2 2 1] need 352")
	require.ErrorContains(t, run(net, data, with(func(s *datasets.Split) { s.Labels = s.Labels[1:] }), ok, Options{}),
		"training: test examples: probe: 352 bytes")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.ErrorContains(t, run(net, data, test, ok, Options{Dir: file, Key: "k"}), file)
}

func TestOnEpochEndsTraining(t *testing.T) {
	enough := errors.New("enough")
	r, err := train(t, context.Background(), sgd(), Options{OnEpoch: func(e Epoch) error {
		if e.Epoch == 2 {
			return enough
		}
		return nil
	}})
	require.ErrorIs(t, err, enough)
	require.Len(t, r.History, 2)
	require.Nil(t, r.Weights)
}

// A network can learn 200 images of digits with random labels by heart.
func TestLearnsRandomLabels(t *testing.T) {
	set, err := datasets.Load("mnist10k")
	require.NoError(t, err)
	data, err := set.Train.Head(200)
	require.NoError(t, err)
	test, err := set.Test.Head(200)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	data.Labels = make([]int32, 200)
	for i := range data.Labels {
		data.Labels[i] = int32(rng.IntN(10))
	}
	net, err := nets.Parse("mlp:128", set.Train.Shape, 10)
	require.NoError(t, err)
	spec := Spec{Optimizer: "adam", LR: 0.01, Batch: 50, Epochs: 300, StopAt: 1, Evaluate: 1000}
	r, err := Train(context.Background(), open(t), net, data, test, spec, Options{})
	require.NoError(t, err)
	t.Logf("%s: %d epochs, %.1f s, %+v", open(t).Kind, len(r.History), r.Seconds, r.Final())
	require.Equal(t, 1.0, r.Final().TrainAccuracy)
	require.Less(t, len(r.History), 300)
	require.Less(t, r.History[0].Accuracy, 0.3)
	require.Less(t, r.Final().TestAccuracy, 0.3, "what it learned says nothing about true labels: chance is 0.1")
}
