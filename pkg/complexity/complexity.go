// Package complexity measures what is said to predict how well a trained network generalizes, from its parameters and its
// training examples alone: output margin, norms of the weights, path norm, and how far the weights can be disturbed. They are
// what the area under an ablation curve (package ablate) competes with, as measures of reliance on single directions.
//
// Definitions follow Jiang, Neyshabur, Mobahi, Krishnan and Bengio, "Fantastic generalization measures and where to find them"
// (ICLR 2020, appendix C). As there, batch normalization is folded into the convolution before it first (Fold), because the
// scale of weights in front of a normalization means nothing.
//
// Measures say something about networks of one architecture that were trained on the same number of examples; between
// architectures norms are not comparable. Each has a direction in which it is expected to go (Measures); whether it does is
// for the data to say.
package complexity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Network is a trained network with labelled examples, whose parameters can be replaced.
type Network interface {
	// Logits hands over the logits of all examples, in their order and in parts: [examples of the part, classes], row by row,
	// of the examples from first on.
	Logits(ctx context.Context, each func(first int, logits []float32) error) error
	Labels() []int32
	Classes() int
	// Replace gives the network other parameters, of the same names and shapes.
	Replace(parameters map[string]Array) error
	// Evaluate scores it on all examples; see probe.Probe.
	Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error)
	// Ones are the logits of one example whose input is 1 everywhere.
	Ones(ctx context.Context) ([]float32, error)
}

// Spec says how what is drawn or searched for is. The zero Spec has the values of the papers, but fewer draws.
type Spec struct {
	Seed  uint64  `json:"seed,omitempty"`
	Draws int     `json:"draws,omitempty"` // disturbances that flatness is the mean of; 0: 3
	Steps int     `json:"steps,omitempty"` // of the search for it; 0: 9, which leave an interval of 1.5 %
	Fall  float64 `json:"fall,omitempty"`  // of the accuracy that a flatness is measured by; 0: 0.1
}

// WithDefaults fills in what is zero.
func (s Spec) WithDefaults() Spec {
	if s.Draws == 0 {
		s.Draws = 3
	}
	if s.Steps == 0 {
		s.Steps = 9
	}
	if s.Fall == 0 {
		s.Fall = 0.1
	}
	return s
}

// Check reports numbers that mean nothing.
func (s Spec) Check() error {
	if s.Draws < 0 || s.Steps < 0 || !(s.Fall >= 0 && s.Fall < 1) {
		return fmt.Errorf("draws %d, steps %d, fall %v: draws and steps must be at least 1, and the fall of the accuracy between 0 and 1 "+
			"(0 means the default)", s.Draws, s.Steps, s.Fall)
	}
	return nil
}

// Result is what was measured of one network.
type Result struct {
	Examples int        `json:"examples"`
	Layers   []Layer    `json:"layers"`    // weights, by name
	PathNorm float64    `json:"path_norm"` // see PathNorm
	Margin   float64    `json:"margin"`    // 10th percentile over the examples; see Margins
	Flatness Flatness   `json:"flatness"`  //
	Baseline unit.Score `json:"baseline"`  // of the network as it is
	// FoldedLoss is the mean loss after Fold: that of Baseline up to rounding, or folding went wrong.
	FoldedLoss float64        `json:"folded_loss"`
	Receipt    unit.Receipt   `json:"receipt"` // of Baseline
	Seconds    result.Seconds `json:"seconds"`
}

// Complete tells whether the network was measured.
func (r Result) Complete() bool { return r.Examples > 0 }

// marginQuantile is that of the competition "Predicting generalization in deep learning" (NeurIPS 2020) and of Jiang et al.
const marginQuantile = 0.1

// Of computes all measures of a network with the given parameters. The network is left with them.
func Of(ctx context.Context, n Network, parameters map[string]Array, spec Spec) (r Result, err error) {
	started := time.Now()
	if err := spec.Check(); err != nil {
		return r, fmt.Errorf("complexity: %w", err)
	}
	spec = spec.WithDefaults()
	folded, err := Fold(parameters)
	if err != nil {
		return r, fmt.Errorf("complexity: %w", err)
	}
	defer func() { err = errors.Join(err, n.Replace(parameters)) }()
	fail := func(err error) (Result, error) { return Result{}, fmt.Errorf("complexity: %w", err) }
	if r.Layers, err = Norms(folded, spec.Seed); err != nil {
		return fail(err)
	}
	score := func() (unit.Score, unit.Receipt, error) {
		scores, receipt, err := n.Evaluate(ctx, [][]unit.Edit{nil})
		if err == nil && (len(scores) != 1 || scores[0].Examples < 1) {
			err = errors.New("the network gave no score")
		}
		if err != nil {
			return unit.Score{}, receipt, err
		}
		return scores[0], receipt, nil
	}
	if r.Baseline, r.Receipt, err = score(); err != nil {
		return fail(err)
	}
	margins, err := Margins(ctx, n)
	if err != nil {
		return fail(err)
	}
	if r.Margin, err = stat.Quantile(margins, marginQuantile); err != nil {
		return fail(fmt.Errorf("margin: %w", err))
	}
	if err := n.Replace(folded.Arrays); err != nil {
		return fail(err)
	}
	again, _, err := score()
	if err != nil {
		return fail(err)
	}
	if r.FoldedLoss = again.MeanLoss(); math.Abs(r.FoldedLoss-r.Baseline.MeanLoss()) > 1e-3*(1+r.Baseline.MeanLoss()) {
		return fail(fmt.Errorf("with batch normalization folded into the weights the loss is %.6g nats, and it was %.6g; this is a defect",
			r.FoldedLoss, r.Baseline.MeanLoss()))
	}
	if r.PathNorm, err = PathNorm(ctx, n, folded); err != nil {
		return fail(err)
	}
	if r.Flatness, err = Flat(ctx, n, folded, r.Baseline.Accuracy(), spec); err != nil {
		return fail(err)
	}
	r.Examples = r.Baseline.Examples
	r.Seconds.Total = time.Since(started).Seconds()
	return r, nil
}

// Measure is one number of a Result, and in which direction it is expected to go with generalization.
type Measure struct {
	Name     string // as it stands in tables
	Expected int    // 1: the larger, the better a network should generalize; −1: the smaller
	Of       func(r Result) float64
}

// Measures lists the numbers of a Result. With weights W_l of layers l, ‖·‖_F the Frobenius norm and ‖·‖₂ the largest singular
// value of a weight as a matrix [out, rest]:
//
//	margin                10th percentile of the output margin (logits)
//	margin / spectral     that over Π ‖W_l‖₂ (Bartlett, Foster, Telgarsky 2017)
//	Frobenius sum         Σ ‖W_l‖_F² (parameter norm)
//	Frobenius product     Σ log ‖W_l‖_F, the logarithm of the product
//	spectral sum          Σ ‖W_l‖₂²
//	spectral product      Σ log ‖W_l‖₂
//	path norm             see PathNorm
//	flatness              see Flat: large where the loss is flat, 1/sharpness
//	training loss         mean cross-entropy (nats)
func Measures() []Measure {
	sum := func(f func(l Layer) float64) func(Result) float64 {
		return func(r Result) (s float64) {
			for _, l := range r.Layers {
				s += f(l)
			}
			return s
		}
	}
	spectral := sum(func(l Layer) float64 { return math.Log(l.Spectral) })
	return []Measure{
		{"margin", 1, func(r Result) float64 { return r.Margin }},
		{"margin / spectral", 1, func(r Result) float64 { return r.Margin * math.Exp(-spectral(r)) }},
		{"Frobenius sum", -1, sum(func(l Layer) float64 { return l.Frobenius * l.Frobenius })},
		{"Frobenius product", -1, sum(func(l Layer) float64 { return math.Log(l.Frobenius) })},
		{"spectral sum", -1, sum(func(l Layer) float64 { return l.Spectral * l.Spectral })},
		{"spectral product", -1, spectral},
		{"path norm", -1, func(r Result) float64 { return r.PathNorm }},
		{"flatness", 1, func(r Result) float64 { return r.Flatness.Sigma }},
		{"training loss", -1, func(r Result) float64 { return r.Baseline.MeanLoss() }},
	}
}

// Table lists the measures.
func (r Result) Table(title string) result.Table {
	t := result.Table{Title: title, Columns: []result.Axis{{Name: "measure"}, {Name: "value"}, {Name: "expected with generalization"}}}
	for _, m := range Measures() {
		t.Rows = append(t.Rows, []any{m.Name, m.Of(r), map[int]string{1: "larger", -1: "smaller"}[m.Expected]})
	}
	return t
}
