package unit

import (
	"fmt"
	"math"
)

// Basis is an orthonormal basis of a site's activation space. An Edit with a Basis takes directions of it away where one
// without takes units: directions are numbered from 0, like units, which are the directions of the standard basis.
type Basis struct {
	Vectors []float64 `json:"vectors"` // [units, units]: one direction after the other
}

// NewBasis checks that the vectors, n of n numbers, one after the other, are orthonormal within 1e-6.
func NewBasis(n int, vectors []float64) (*Basis, error) {
	if n < 1 || len(vectors) != n*n {
		return nil, fmt.Errorf("a basis of %d units has %d × %d numbers, got %d", n, n, n, len(vectors))
	}
	const allowed = 1e-6
	for i := range n {
		a := vectors[i*n : (i+1)*n]
		for j := range i + 1 {
			b, want := vectors[j*n:(j+1)*n], 0.
			if i == j {
				want = 1
			}
			dot := 0.
			for k, x := range a {
				dot += x * b[k]
			}
			if !(math.Abs(dot-want) <= allowed) {
				return nil, fmt.Errorf("a basis must be orthonormal: the product of directions %d and %d is %.6g, it should be %g", i, j, dot, want)
			}
		}
	}
	return &Basis{Vectors: vectors}, nil
}

// StandardBasis has the n units themselves as its directions.
func StandardBasis(n int) *Basis {
	b := &Basis{Vectors: make([]float64, n*n)}
	for i := range n {
		b.Vectors[i*n+i] = 1
	}
	return b
}

// Project is the edit that takes directions of a basis of the site's units out of the activation x (at every position of a
// feature map), so that nothing of them is left:
//
//	x − Σ_d q_d (q_d · x),   d over the given directions.
//
// No directions given means all of them, which leaves zero. In the standard basis it is Ablate to Zero.
func Project(site string, basis *Basis, directions ...int) Edit {
	return Edit{Site: site, Units: directions, Basis: basis}
}
