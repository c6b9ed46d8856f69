package ablate

import (
	"hash/fnv"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// RandomDirections is the Spec.Basis that ablates directions of random bases instead of units. What a network loses with a
// direction that no unit stands for tells whether units are special: in a network that relies on units, random directions
// should be missed differently from as many units.
const RandomDirections = "random"

// basisStream separates the draws of RandomBasis from other uses of the same seed.
const basisStream = 0x6261736973

// RandomBasis draws an orthonormal basis of a site's units from the Haar measure: every basis is as likely as any other one.
// It is Q of the QR decomposition of a matrix of N(0, 1) draws, with the signs that make the diagonal of R positive (Mezzadri,
// "How to generate random matrices from the classical compact groups", Notices of the AMS 54, 2007). Each site and each
// ordering has a stream of its own, so networks of one shape meet the same bases; equal on every platform up to rounding.
func RandomBasis(site unit.Site, seed uint64, order int) *unit.Basis {
	n := site.Units()
	h := fnv.New64a()
	h.Write([]byte(site.Name))
	rng := rand.New(rand.NewPCG(seed^h.Sum64(), basisStream+uint64(order)))
	draws := make([]float64, n*n)
	for i := range draws {
		draws[i] = rng.NormFloat64()
	}
	var qr mat.QR
	qr.Factorize(mat.NewDense(n, n, draws))
	var q, r mat.Dense
	qr.QTo(&q)
	qr.RTo(&r)
	vectors := make([]float64, n*n)
	for d := range n { // column d of Q is direction d
		sign := 1.
		if r.At(d, d) < 0 {
			sign = -1
		}
		for u := range n {
			vectors[d*n+u] = sign * q.At(u, d)
		}
	}
	return &unit.Basis{Vectors: vectors} // orthonormal up to rounding by construction; NewBasis would take as long again
}
