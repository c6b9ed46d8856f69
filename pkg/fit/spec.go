package fit

import (
	"fmt"
	"math"
	"slices"
)

// Spec says how a network is trained: everything that determines the weights, apart from the network, the data and their
// labels. The zero value of each field means the default given with it.
type Spec struct {
	Optimizer   string  `json:"optimizer"`    // "sgd" (default; with Momentum if asked) or "adam" (Kingma & Ba 2015, β = 0.9, 0.999)
	LR          float64 `json:"lr"`           // learning rate at the start; default 0.1 for sgd, 0.001 for adam
	Momentum    float64 `json:"momentum"`     // of sgd, as PyTorch defines it: v ← momentum·v + gradient, w ← w − lr·v
	WeightDecay float64 `json:"weight_decay"` // λ added to the gradient as λ·w (sgd); decoupled, w ← w − lr·λ·w, for adam (AdamW)
	Schedule    string  `json:"schedule"`     // of the learning rate over Epochs: "constant" (default), "linear" or "cosine", to zero
	Batch       int     `json:"batch"`        // examples per step; default 128, at most the number of examples
	Epochs      int     `json:"epochs"`       // at most so many; default 100
	Dropout     float64 `json:"dropout"`      // probability that a hidden unit is dropped in a training step (inverted dropout at every site)
	StopAt      float64 `json:"stop_at"`      // end once this accuracy on the training labels is reached; default 0: never
	Evaluate    int     `json:"evaluate"`     // measure loss and accuracy on both splits every so many epochs; default 10
	Checkpoints []int   `json:"checkpoints"`  // epochs after which the weights are kept; 0 means before training
	InitSeed    uint64  `json:"init_seed"`    // of the initial weights
	OrderSeed   uint64  `json:"order_seed"`   // of the order of examples
	DropoutSeed uint64  `json:"dropout_seed"` // of what dropout drops

	// SelectivityAlpha α makes the loss cross-entropy − α·SI, with SI the class selectivity of the hidden layers in the batch
	// (Leavitt & Morcos, ICLR 2021): α < 0 discourages class selectivity, α > 0 encourages it. Default 0: cross-entropy alone.
	// See selectivityIndex for what exactly SI is.
	SelectivityAlpha float64 `json:"selectivity_alpha,omitempty"`

	Reliance Reliance `json:"reliance,omitzero"` // measure the AUC of a cumulative ablation during training; default: not
}

// WithDefaults fills in what is zero.
func (s Spec) WithDefaults() Spec {
	if s.Optimizer == "" {
		s.Optimizer = "sgd"
	}
	if s.LR == 0 {
		s.LR = 0.1
		if s.Optimizer == "adam" {
			s.LR = 0.001
		}
	}
	if s.Schedule == "" {
		s.Schedule = "constant"
	}
	if s.Batch == 0 {
		s.Batch = 128
	}
	if s.Epochs == 0 {
		s.Epochs = 100
	}
	if s.Evaluate == 0 {
		s.Evaluate = 10
	}
	s.Reliance = s.Reliance.withDefaults()
	s.Checkpoints = slices.Clone(s.Checkpoints)
	slices.Sort(s.Checkpoints)
	s.Checkpoints = slices.Compact(s.Checkpoints)
	return s
}

// Check reports the first field whose value is not allowed. It expects the defaults filled in.
func (s Spec) Check() error {
	bad := func(field string, given any, allowed string) error {
		return fmt.Errorf("training: %s is %v; allowed: %s", field, given, allowed)
	}
	finite := func(x, low, high float64) bool { return x >= low && x <= high && !math.IsInf(x, 0) }
	switch {
	case s.Optimizer != "sgd" && s.Optimizer != "adam":
		return bad("optimizer", fmt.Sprintf("%q", s.Optimizer), "sgd, adam")
	case !finite(s.LR, 0, math.MaxFloat32) || s.LR == 0:
		return bad("lr", s.LR, "a finite number > 0")
	case !finite(s.Momentum, 0, 1) || s.Momentum == 1:
		return bad("momentum", s.Momentum, "0 ≤ momentum < 1")
	case s.Optimizer == "adam" && s.Momentum != 0:
		return bad("momentum", s.Momentum, "0 with adam, which has moments of its own")
	case !finite(s.WeightDecay, 0, math.MaxFloat32):
		return bad("weight_decay", s.WeightDecay, "a finite number ≥ 0")
	case !slices.Contains([]string{"constant", "linear", "cosine"}, s.Schedule):
		return bad("schedule", fmt.Sprintf("%q", s.Schedule), "constant, linear, cosine")
	case s.Batch < 1:
		return bad("batch", s.Batch, "at least 1")
	case s.Epochs < 1:
		return bad("epochs", s.Epochs, "at least 1")
	case !finite(s.Dropout, 0, 1) || s.Dropout == 1:
		return bad("dropout", s.Dropout, "0 ≤ dropout < 1")
	case !finite(s.SelectivityAlpha, -math.MaxFloat32, math.MaxFloat32):
		return bad("selectivity_alpha", s.SelectivityAlpha, "a finite number (< 0 discourages class selectivity, > 0 encourages it, 0: neither)")
	case !finite(s.StopAt, 0, 1):
		return bad("stop_at", s.StopAt, "an accuracy between 0 and 1 (0: never stop early)")
	case s.Evaluate < 1:
		return bad("evaluate", s.Evaluate, "at least 1")
	case len(s.Checkpoints) > 0 && (s.Checkpoints[0] < 0 || s.Checkpoints[len(s.Checkpoints)-1] > s.Epochs):
		return bad("checkpoints", s.Checkpoints, fmt.Sprintf("epochs between 0 and %d", s.Epochs))
	}
	return s.Reliance.check()
}

// lr is the learning rate of a step, counted from 0, of total.
func (s Spec) lr(step, total int) float64 {
	t := float64(step) / float64(total)
	switch s.Schedule {
	case "linear":
		return s.LR * (1 - t)
	case "cosine":
		return s.LR * (1 + math.Cos(math.Pi*t)) / 2
	}
	return s.LR
}
