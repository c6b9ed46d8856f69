package complexity_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/complexity"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// exclusiveOr is a network of 2 inputs, 3 hidden units and 2 classes that knows exclusive or:
//
//	h = relu(x0, x1, x0 + x1 − 1),   logits = (0.5, h0 + h1 − 2 h2).
func exclusiveOr() map[string]complexity.Array {
	return map[string]complexity.Array{
		"fc1.weight":    {Shape: []int{3, 2}, Data: []float32{1, 0, 0, 1, 1, 1}},
		"fc1.bias":      {Shape: []int{3}, Data: []float32{0, 0, -1}},
		"logits.weight": {Shape: []int{2, 3}, Data: []float32{0, 0, 0, 1, 1, -2}},
		"logits.bias":   {Shape: []int{2}, Data: []float32{0.5, 0}},
	}
}

// small is a multilayer perceptron in plain Go.
type small struct {
	parameters map[string]complexity.Array
	inputs     [][]float64
	labels     []int32
	broken     error
}

func (s *small) Labels() []int32 { return s.labels }
func (s *small) Classes() int    { return 2 }
func (s *small) Replace(parameters map[string]complexity.Array) error {
	s.parameters = maps.Clone(parameters)
	return s.broken
}

func (s *small) logits(x []float64) []float64 {
	for _, layer := range []string{"fc1", "logits"} {
		w, b := s.parameters[layer+".weight"], s.parameters[layer+".bias"]
		y := make([]float64, w.Shape[0])
		for o := range y {
			y[o] = float64(b.Data[o])
			for i, v := range x {
				y[o] += v * float64(w.Data[o*len(x)+i])
			}
			if layer == "fc1" {
				y[o] = max(0, y[o])
			}
		}
		x = y
	}
	return x
}

func (s *small) Ones(context.Context) ([]float32, error) {
	var out []float32
	for _, y := range s.logits([]float64{1, 1}) {
		out = append(out, float32(y))
	}
	return out, nil
}

func (s *small) Logits(_ context.Context, each func(first int, logits []float32) error) error {
	for i, x := range s.inputs {
		y := s.logits(x)
		if err := each(i, []float32{float32(y[0]), float32(y[1])}); err != nil {
			return err
		}
	}
	return nil
}

func (s *small) Evaluate(context.Context, [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	score := unit.Score{Examples: len(s.inputs)}
	for i, x := range s.inputs {
		y, own := s.logits(x), s.labels[i]
		if y[own] > y[1-own] {
			score.Correct++
		}
		score.Loss += math.Log(1 + math.Exp(y[1-own]-y[own]))
	}
	return []unit.Score{score}, unit.Receipt{Backend: "none"}, nil
}

func network() *small {
	return &small{parameters: exclusiveOr(), inputs: [][]float64{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, labels: []int32{0, 1, 1, 0}}
}

func TestMeasuresByHand(t *testing.T) {
	n := network()
	r, err := complexity.Of(context.Background(), n, exclusiveOr(), complexity.Spec{Seed: 1})
	require.NoError(t, err)
	require.True(t, r.Complete())
	require.Equal(t, exclusiveOr(), n.parameters, "the network has its own parameters again")
	require.Len(t, r.Layers, 2)
	require.Equal(t, []string{"fc1.weight", "logits.weight"}, []string{r.Layers[0].Name, r.Layers[1].Name})
	// Singular values of fc1: AᵀA = (2 1; 1 2) has 3 and 1. logits has one row that is not zero.
	want := map[string]float64{
		"margin":            0.5, // of all four examples
		"margin / spectral": 0.5 / math.Sqrt(3*6),
		"Frobenius sum":     4 + 6,
		"Frobenius product": math.Log(2 * math.Sqrt(6)),
		"spectral sum":      3 + 6,
		"spectral product":  math.Log(math.Sqrt(3 * 6)),
		// Squared: h = (1, 1, 1 + 1 + 1) of ones, logits 0.25 and 1 + 1 + 4·3.
		"path norm":     math.Sqrt(0.25 + 14),
		"training loss": math.Log1p(math.Exp(-0.5)),
		"flatness":      r.Flatness.Sigma, // below
	}
	require.Len(t, complexity.Measures(), len(want))
	for _, m := range complexity.Measures() {
		require.Contains(t, want, m.Name)
		require.InDelta(t, want[m.Name], m.Of(r), 1e-6, m.Name)
		require.True(t, m.Expected == 1 || m.Expected == -1)
	}
	require.Len(t, r.Table("x").Rows, len(want))
	again, err := complexity.Of(context.Background(), network(), exclusiveOr(), complexity.Spec{Seed: 1})
	require.NoError(t, err)
	again.Seconds = r.Seconds
	require.Equal(t, r, again)
}

func TestMarginPercentile(t *testing.T) {
	n := network()
	// Margins 0.5, −0.5, 0.5, 0.5: the 10th percentile lies 0.3 of the way from the smallest to the next.
	n.labels = []int32{0, 0, 1, 0}
	r, err := complexity.Of(context.Background(), n, exclusiveOr(), complexity.Spec{})
	require.NoError(t, err)
	require.InDelta(t, -0.5+0.3, r.Margin, 1e-7)
}

// one has a single weight; an example is right as long as it is above 0.
type one struct {
	small
	always *bool
}

func (o *one) Evaluate(context.Context, [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	right := o.parameters["w.weight"].Data[0] > 0
	if o.always != nil {
		right = *o.always
	}
	score := unit.Score{Examples: 1}
	if right {
		score.Correct = 1
	}
	return []unit.Score{score}, unit.Receipt{}, nil
}

func TestFlatnessByHand(t *testing.T) {
	f, err := complexity.Fold(map[string]complexity.Array{"w.weight": {Shape: []int{1, 1}, Data: []float32{2}}})
	require.NoError(t, err)
	flat := func(o *one, spec complexity.Spec) complexity.Flatness {
		r, err := complexity.Flat(context.Background(), o, f, 1, spec)
		require.NoError(t, err)
		return r
	}
	// The weight is below 0 if a draw is below −1/σ, whose probability is 0.1 at 1/σ = 1.2816. With 4,000 draws that is known
	// within 0.0047, and σ within 0.016.
	spec := complexity.Spec{Draws: 4000, Seed: 3}
	r := flat(&one{}, spec)
	require.InDelta(t, 1/1.2816, r.Sigma, 4*0.016+0.012)
	require.Zero(t, r.Beyond)
	require.Equal(t, 4000*9, r.Evaluations)
	spec.Fall = 0.3 // at 1/σ = 0.5244; the quantile is 0.0072 off, σ by 1.907² · 0.0072/0.3477
	require.InDelta(t, 1/0.5244, flat(&one{}, spec).Sigma, 4*0.076+0.03)
	require.Equal(t, flat(&one{}, spec), flat(&one{}, spec))
	other := spec
	other.Seed, other.Draws, spec.Draws = 4, 5, 5
	require.NotEqual(t, flat(&one{}, spec).Sigma, flat(&one{}, other).Sigma)

	yes, no := true, false
	require.Equal(t, 1, flat(&one{always: &yes}, complexity.Spec{}).Beyond)
	require.InDelta(t, 4, flat(&one{always: &yes}, complexity.Spec{}).Sigma, 0.05)
	require.Equal(t, -1, flat(&one{always: &no}, complexity.Spec{}).Beyond)
}

func TestErrors(t *testing.T) {
	zero := exclusiveOr()
	zero["fc1.weight"] = complexity.Array{Shape: []int{3, 2}, Data: make([]float32, 6)}
	for says, c := range map[string]struct {
		parameters map[string]complexity.Array
		spec       complexity.Spec
	}{
		"draws -1":                    {exclusiveOr(), complexity.Spec{Draws: -1}},
		"fall NaN":                    {exclusiveOr(), complexity.Spec{Fall: math.NaN()}},
		"\"fc1.weight\" is zero":      {zero, complexity.Spec{}},
		"no weight among":             {map[string]complexity.Array{}, complexity.Spec{}},
		"\"a.weight\" of shape [2]":   {map[string]complexity.Array{"a.weight": {Shape: []int{2}, Data: []float32{1, 2}}}, complexity.Spec{}},
		"\"norm\" has no convolution": {map[string]complexity.Array{"norm.running_var": {}}, complexity.Spec{}},
		"belongs to \"conv2\"":        {map[string]complexity.Array{"bn2.running_var": {}}, complexity.Spec{}},
	} {
		_, err := complexity.Of(context.Background(), network(), c.parameters, c.spec)
		require.ErrorContains(t, err, says)
	}
	n := network()
	n.broken = errors.New("no room")
	_, err := complexity.Of(context.Background(), n, exclusiveOr(), complexity.Spec{})
	require.ErrorIs(t, err, n.broken)
	_, err = complexity.Spectral([]float32{1, 2, 3}, 2, 1)
	require.ErrorContains(t, err, "3 numbers are not a matrix of 2 rows")
	_, err = complexity.Spectral(make([]float32, 4), 2, 1)
	require.ErrorContains(t, err, "not all zero")
}
