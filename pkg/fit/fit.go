// Package fit trains networks: the part of the protocol (section 3) that comes before any ablation.
//
// Data stay on the device, and steps run in a compiled loop. Everything random comes from three
// seeds (initial weights, order of examples, dropout), so a specification determines the weights on one backend. Training
// that was interrupted or killed goes on from its last saved state and ends with the same bits as an uninterrupted one.
package fit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Epoch is a line of the training history. Loss, which is cross-entropy whatever else the training minimizes, and Accuracy
// are means over the epoch's training batches, each batch taken before its own update; Measured is there for the epochs after which the whole of both splits was evaluated.
type Epoch struct {
	Epoch    int       `json:"epoch"` // epochs done: the first line has 1
	LR       float64   `json:"lr"`    // learning rate of the epoch's last step
	Loss     float64   `json:"loss"`
	Accuracy float64   `json:"accuracy"`
	Measured *Measured `json:"measured,omitempty"`
	// AUC is that of Spec.Reliance after the epochs that it asks for; AUCHalfWidth how closely it is known, 0 if exactly.
	AUC          *float64 `json:"auc,omitempty"`
	AUCHalfWidth float64  `json:"auc_half_width,omitempty"`
}

// Measured is a network's performance on all of its data, in inference mode; losses in nats per example.
type Measured struct {
	TrainLoss     float64 `json:"train_loss"`
	TrainAccuracy float64 `json:"train_accuracy"`
	TestLoss      float64 `json:"test_loss"`
	TestAccuracy  float64 `json:"test_accuracy"`
}

// Result is a trained network.
type Result struct {
	Weights map[string]nets.Array
	History []Epoch
	Best    int     // epoch after which the weights were so, if it is not the last one (Spec.Reliance.Patience); else 0
	Seconds float64 // spent training, over all sessions
}

// Final is the last measurement of the history, or that of epoch Best.
func (r Result) Final() Measured {
	if r.Best > 0 {
		return *r.History[r.Best-1].Measured
	}
	for _, e := range slices.Backward(r.History) {
		if e.Measured != nil {
			return *e.Measured
		}
	}
	return Measured{TrainLoss: math.NaN(), TrainAccuracy: math.NaN(), TestLoss: math.NaN(), TestAccuracy: math.NaN()}
}

// Options of a training run; none of them changes its result.
type Options struct {
	// Dir is where the state of an unfinished run is saved (every SaveEvery, and when interrupted), found again, and where
	// checkpoints go, as epoch-0010.safetensors. Empty: nothing is saved, and Spec.Checkpoints must be empty.
	Dir       string
	Key       string            // identifies net, specification and data; needed with Dir: a saved state with another key is an error
	SaveEvery time.Duration     // default 30 s
	Advance   func(epochs int)  // told of every epoch done, those of earlier sessions included
	OnEpoch   func(Epoch) error // told of every epoch of this session; an error ends the training
	Note      func(text string) // told what a user should know, such as where a run goes on; nil: nobody
}

// ErrDiverged is wrapped by the error of a training whose loss, on a batch or measured, is no longer finite.
var ErrDiverged = errors.New("the loss is not finite any more")

// Train trains net on train and returns its final weights and history. test is only measured. Both carry the labels to be
// used, corrupted or not. When ctx ends, the state is saved and an error wrapping its cause is returned; the same call
// later goes on from there. With an error, the Result has no weights, but the history of the epochs that were done.
func Train(ctx context.Context, b *backend.Backend, net nets.Net, train, test datasets.Split, spec Spec, opt Options) (Result, error) {
	spec = spec.WithDefaults()
	if err := spec.Check(); err != nil {
		return Result{}, err
	}
	if len(spec.Checkpoints) > 0 && opt.Dir == "" {
		return Result{}, fmt.Errorf("training: checkpoints %v are asked for, but there is no folder to keep them in (Options.Dir)", spec.Checkpoints)
	}
	if opt.Dir != "" {
		if opt.Key == "" {
			return Result{}, errors.New("training: Options.Dir without Options.Key: a saved state could be taken for another run's; " +
				"give a key that identifies net, specification and data")
		}
		if err := os.MkdirAll(opt.Dir, 0o755); err != nil {
			return Result{}, fmt.Errorf("training: %w", err)
		}
	}
	if spec.Reliance.Patience > 0 && opt.Dir == "" {
		return Result{}, errors.New("training: reliance has patience, but there is no folder to keep the best weights in (Options.Dir)")
	}
	t, err := newTrainer(b, net, train, test, spec, opt)
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	return t.run(ctx)
}

// run trains from the saved state, or from the start, to the end.
func (t *trainer) run(ctx context.Context) (Result, error) {
	if err := t.resume(); err != nil {
		return Result{}, err
	}
	if t.opt.Advance != nil {
		t.opt.Advance(len(t.history))
	}
	if t.step == 0 && slices.Contains(t.spec.Checkpoints, 0) {
		if err := t.checkpoint(0); err != nil {
			return Result{}, err
		}
	}
	for !t.done() {
		if err := t.epoch(ctx); err != nil {
			r := Result{History: t.history, Seconds: t.seconds()}
			if ctx.Err() == nil || errors.Is(err, ErrDiverged) {
				return r, err
			}
			if saveErr := t.save(); saveErr != nil {
				return r, errors.Join(err, saveErr)
			}
			return r, fmt.Errorf("training stopped in epoch %d of at most %d: %w", len(t.history)+1, t.spec.Epochs, context.Cause(ctx))
		}
		if t.opt.Advance != nil {
			t.opt.Advance(1)
		}
	}
	if epoch, _ := Best(t.history); t.spec.Reliance.Patience > 0 && epoch > 0 && epoch < len(t.history) {
		weights, err := t.takeBest(epoch)
		return Result{Weights: weights, History: t.history, Best: epoch, Seconds: t.seconds()}, err
	}
	weights, err := nets.FromStore(t.store, t.params)
	if err != nil {
		return Result{}, fmt.Errorf("training: %w", err)
	}
	return Result{Weights: weights, History: t.history, Seconds: t.seconds()}, nil
}

type trainer struct {
	backend *backend.Backend
	net     nets.Net
	spec    Spec
	opt     Options
	params  []string // names, sorted
	trained []string // those that gradients change; the network itself sets the others in training
	store   *model.Store
	exec    *model.Exec
	images  *tensors.Tensor
	labels  *tensors.Tensor
	train   *probe.Probe
	test    *probe.Probe

	n        int // training examples
	batch    int
	perEpoch int           // steps
	room     int           // for steps of one call
	steps    int           // of the next call
	callTime time.Duration // about how long a call should take: the training looks for an interruption before each

	// what resume brings back
	step    int // steps done
	loss    float64
	correct int // sums over the current epoch's steps done
	history []Epoch
	before  float64 // seconds of earlier sessions

	began, saved time.Time
}

func newTrainer(b *backend.Backend, net nets.Net, train, test datasets.Split, spec Spec, opt Options) (*trainer, error) {
	weights, err := net.Init(b.Engine, spec.InitSeed)
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	if spec.SelectivityAlpha != 0 {
		if sites, _, err := net.Sketch(b.Engine); err != nil {
			return nil, fmt.Errorf("training: %w", err)
		} else if len(sites) == 0 {
			return nil, fmt.Errorf("training: selectivity_alpha is %v, but net %s names no activations (tap.Point) whose class "+
				"selectivity there could be", spec.SelectivityAlpha, net.Name)
		}
	}
	now := time.Now()
	t := &trainer{backend: b, net: net, spec: spec, opt: opt, params: slices.Sorted(maps.Keys(weights)), n: train.Len(), began: now, saved: now}
	if t.opt.SaveEvery == 0 {
		t.opt.SaveEvery = 30 * time.Second
	}
	if t.n == 0 {
		return nil, errors.New("training: no examples")
	}
	t.batch = min(spec.Batch, t.n)
	t.perEpoch = t.n / t.batch // what is left over after whole batches is another part of the data in each epoch
	t.steps, t.callTime = 1, 200*time.Millisecond
	for _, name := range t.params {
		if nets.Trained(name) {
			t.trained = append(t.trained, name)
		}
	}
	for _, slot := range spec.slots() {
		for _, name := range t.trained {
			a := weights[name]
			weights[slotName(slot, name)] = nets.Array{Shape: a.Shape, Data: make([]float32, len(a.Data))}
		}
	}
	if t.store, err = nets.NewStore(weights); err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	if t.train, err = probe.NewOnStore(b, net, t.store, train, probe.Options{}); err != nil {
		return nil, fmt.Errorf("training: training examples: %w", err)
	}
	if t.test, err = probe.NewOnStore(b, net, t.store, test, probe.Options{}); err != nil {
		return nil, fmt.Errorf("training: test examples: %w", err)
	}
	t.images = tensors.FromFlatDataAndDimensions(train.Images, append([]int{t.n}, train.Shape...)...)
	t.labels = tensors.FromFlatDataAndDimensions(train.Labels, t.n)
	t.room = roomOf(t)
	if t.exec, err = newStep(t); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *trainer) close() {
	t.exec.Finalize()
	t.train.Close()
	t.test.Close()
	_ = t.images.FinalizeAll()
	_ = t.labels.FinalizeAll()
	t.store.Finalize()
}

func (t *trainer) seconds() float64 { return t.before + time.Since(t.began).Seconds() }

// done reports whether the last epoch was the last one.
func (t *trainer) done() bool {
	last := len(t.history) - 1
	if last < 0 {
		return false
	}
	if patience := t.spec.Reliance.Patience; patience > 0 {
		if _, since := Best(t.history); since >= patience {
			return true
		}
	}
	m := t.history[last].Measured
	return len(t.history) >= t.spec.Epochs || t.spec.StopAt > 0 && m != nil && m.TrainAccuracy >= t.spec.StopAt
}

// epoch brings the current epoch to its end, from wherever it stands, and adds it to the history.
func (t *trainer) epoch(ctx context.Context) error {
	index := len(t.history)
	order := t.spec.permutation(index, t.n)
	for at := t.step - index*t.perEpoch; at < t.perEpoch; at = t.step - index*t.perEpoch {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		began := time.Now()
		if err := t.call(order[at*t.batch : min(at+t.steps, t.perEpoch)*t.batch]); err != nil {
			return err
		}
		t.pace(time.Since(began))
		if math.IsNaN(t.loss) || math.IsInf(t.loss, 0) {
			return fmt.Errorf("training: %w by step %d (epoch %d, learning rate %g): lower lr", ErrDiverged, t.step, index+1,
				t.spec.lr(t.step-1, t.spec.Epochs*t.perEpoch))
		}
		if time.Since(t.saved) >= t.opt.SaveEvery {
			if err := t.save(); err != nil {
				return err
			}
		}
	}
	seen := float64(t.perEpoch * t.batch)
	e := Epoch{Epoch: index + 1, LR: t.spec.lr(t.step-1, t.spec.Epochs*t.perEpoch), Loss: t.loss / seen, Accuracy: float64(t.correct) / seen}
	keep := slices.Contains(t.spec.Checkpoints, e.Epoch)
	// Near its goal a training is measured after every epoch: the running accuracy lags behind the true one.
	near := t.spec.StopAt > 0 && e.Accuracy >= t.spec.StopAt-0.02
	follow := t.spec.Reliance.Every > 0 && (e.Epoch%t.spec.Reliance.Every == 0 || e.Epoch == t.spec.Epochs)
	if near || keep || follow || e.Epoch%t.spec.Evaluate == 0 || e.Epoch == t.spec.Epochs {
		m, err := t.measure(ctx)
		if errors.Is(err, probe.ErrNotFinite) { // the epoch's last update did it
			return fmt.Errorf("training: %w by step %d (epoch %d, learning rate %g): lower lr", ErrDiverged, t.step, e.Epoch, e.LR)
		}
		if err != nil {
			return fmt.Errorf("training: measuring after step %d (epoch %d, learning rate %g): %w", t.step, e.Epoch, e.LR, err)
		}
		e.Measured = &m
	}
	if follow {
		auc, half, err := t.reliance(ctx)
		if err != nil {
			return fmt.Errorf("training: reliance after epoch %d: %w", e.Epoch, err)
		}
		e.AUC, e.AUCHalfWidth = &auc, half
	}
	if keep {
		if err := t.checkpoint(e.Epoch); err != nil {
			return err
		}
	}
	if follow && t.spec.Reliance.Patience > 0 {
		if err := t.keepBest(append(slices.Clip(t.history), e)); err != nil {
			return err
		}
	}
	t.history = append(t.history, e)
	t.loss, t.correct = 0, 0
	if t.opt.OnEpoch != nil {
		return t.opt.OnEpoch(e)
	}
	return nil
}

func (t *trainer) measure(ctx context.Context) (m Measured, err error) {
	score := func(p *probe.Probe) (unit.Score, error) {
		s, _, err := p.Evaluate(ctx, [][]unit.Edit{nil})
		if err != nil {
			return unit.Score{}, err
		}
		return s[0], nil
	}
	train, err := score(t.train)
	if err != nil {
		return m, err
	}
	test, err := score(t.test)
	return Measured{train.MeanLoss(), train.Accuracy(), test.MeanLoss(), test.Accuracy()}, err
}

// permutation is the order in which an epoch (counted from 0) sees n examples.
func (s Spec) permutation(epoch, n int) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	rng := rand.New(rand.NewPCG(s.OrderSeed, uint64(epoch)))
	rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}
