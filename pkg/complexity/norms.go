package complexity

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
)

// spectralStream separates the draws of Spectral from other uses of the same seed.
const spectralStream = 0x737065637472616c

// Layer is a weight with its norms.
type Layer struct {
	Name      string  `json:"name"`
	Frobenius float64 `json:"frobenius"` // √Σ w²
	Spectral  float64 `json:"spectral"`  // largest singular value of the matrix [out, rest]
}

// Norms are those of all weights, in order of name. A weight that is zero throughout is an error: products of norms would
// be zero whatever the rest is.
func Norms(f Folded, seed uint64) ([]Layer, error) {
	var layers []Layer
	for _, name := range f.Weights {
		a := f.Arrays[name]
		squares := 0.
		for _, w := range a.Data {
			squares += float64(w) * float64(w)
		}
		if squares == 0 {
			return nil, fmt.Errorf("%q is zero throughout, and has no logarithm of a norm", name)
		}
		largest, err := Spectral(a.Data, a.Shape[0], seed)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		layers = append(layers, Layer{Name: name, Frobenius: math.Sqrt(squares), Spectral: largest})
	}
	return layers, nil
}

// Of Spectral: when a vector counts as the singular one, and when it is given up.
const (
	spectralTolerance = 1e-5
	spectralMost      = 100_000
)

// Spectral is the largest singular value of a matrix A of so many rows, row by row, by power iteration on AᵀA from a random
// vector v of the seed, until
//
//	|AᵀA v − σ² v| ≤ 1e-5 σ²,   σ = |A v|, |v| = 1.
//
// Then some singular value squared is within that of σ², and if it is apart from the others by more, σ² is off by the square
// of it only. For a convolution [out, in, height, width] that is the norm of the weight as a matrix [out, in·height·width], a
// usual stand-in for the norm of the map it makes of images (Yoshida and Miyato 2017). An empty or zero matrix, numbers that
// do not fill the rows, and no convergence in 100,000 steps are errors.
func Spectral(a []float32, rows int, seed uint64) (float64, error) {
	if rows < 1 || len(a) == 0 || len(a)%rows != 0 {
		return 0, fmt.Errorf("%d numbers are not a matrix of %d rows", len(a), rows)
	}
	columns := len(a) / rows
	rng := rand.New(rand.NewPCG(seed, spectralStream))
	v, next := make([]float64, columns), make([]float64, columns)
	size := func(x []float64) (s float64) {
		for _, y := range x {
			s += y * y
		}
		return math.Sqrt(s)
	}
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	length := size(v)
	for i := range v {
		v[i] /= length
	}
	for range spectralMost {
		clear(next)
		squared := 0.
		for r := range rows {
			row, y := a[r*columns:(r+1)*columns], 0.
			for i, w := range row {
				y += float64(w) * v[i]
			}
			squared += y * y
			for i, w := range row {
				next[i] += float64(w) * y
			}
		}
		if squared == 0 || math.IsNaN(squared) || math.IsInf(squared, 0) {
			return 0, fmt.Errorf("a matrix of finite numbers that are not all zero is needed; |A v|² is %v", squared)
		}
		off := 0.
		for i := range v {
			d := next[i] - squared*v[i]
			off += d * d
		}
		if math.Sqrt(off) <= spectralTolerance*squared {
			return math.Sqrt(squared), nil
		}
		length = size(next)
		for i := range v {
			v[i] = next[i] / length
		}
	}
	return 0, fmt.Errorf("the power iteration has not settled in %d steps", spectralMost)
}

// PathNorm is the square root of the sum over all paths from an input to an output of the product of the squared weights on
// the path (Neyshabur, Tomioka, Srebro 2015): the square root of the sum of the outputs for an input of ones everywhere, of
// the network with every weight and bias squared. The network is left with the squared parameters.
func PathNorm(ctx context.Context, n Network, f Folded) (float64, error) {
	squared := map[string]Array{}
	for name, a := range f.Arrays {
		squared[name] = a
	}
	for _, name := range append(append([]string{}, f.Weights...), f.Biases...) {
		a := f.Arrays[name]
		data := make([]float32, len(a.Data))
		for i, w := range a.Data {
			data[i] = w * w
		}
		squared[name] = Array{a.Shape, data}
	}
	if err := n.Replace(squared); err != nil {
		return 0, fmt.Errorf("path norm: %w", err)
	}
	outputs, err := n.Ones(ctx)
	if err != nil {
		return 0, fmt.Errorf("path norm: %w", err)
	}
	sum := 0.
	for _, y := range outputs {
		sum += float64(y)
	}
	if !(sum >= 0) || math.IsInf(sum, 0) {
		return 0, fmt.Errorf("path norm: the outputs with squared weights add up to %v", sum)
	}
	return math.Sqrt(sum), nil
}

// Margins are the logit of each example's own label minus the largest other logit: below 0 for an example that is classified
// wrongly.
func Margins(ctx context.Context, n Network) ([]float64, error) {
	labels, classes := n.Labels(), n.Classes()
	margins := make([]float64, 0, len(labels))
	err := n.Logits(ctx, func(first int, logits []float32) error {
		if first != len(margins) || len(logits)%classes != 0 || first+len(logits)/classes > len(labels) {
			return fmt.Errorf("margins: %d logits of examples from %d on, after those of %d of %d examples", len(logits), first, len(margins), len(labels))
		}
		for i := range len(logits) / classes {
			row, own := logits[i*classes:(i+1)*classes], int(labels[first+i])
			other := math.Inf(-1)
			for c, z := range row {
				if c != own {
					other = max(other, float64(z))
				}
			}
			margins = append(margins, float64(row[own])-other)
		}
		return nil
	})
	if err == nil && len(margins) != len(labels) {
		err = fmt.Errorf("margins: logits of %d of %d examples", len(margins), len(labels))
	}
	return margins, err
}
