package tap

import (
	"hash/fnv"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Random numbers in a graph are a pure function of a key and a counter: Threefry-2x32 with 20 rounds (Salmon, Moraes,
// Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011). So a draw depends on the seed, the example and the
// element, and not on the batch it happens to be computed in, on the backend, or on what was drawn before.

// Key mixes seed, a stream's name and an index into the two words of a Threefry key.
func Key(seed uint64, stream string, index uint64) [2]uint32 {
	h := fnv.New64a()
	h.Write([]byte(stream))
	// splitmix64's finaliser: every bit of the inputs moves every bit of the key
	z := seed ^ h.Sum64() + index*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	z ^= z >> 31
	return [2]uint32{uint32(z), uint32(z >> 32)}
}

// threefry maps key words k0, k1 and counters x0, x1, all (Uint32) and of one shape or scalar, to two random words.
func threefry(k0, k1, x0, x1 *graph.Node) (*graph.Node, *graph.Node) {
	g := x0.Graph()
	word := func(v uint32) *graph.Node { return graph.Scalar(g, dtypes.Uint32, v) }
	rotate := func(x *graph.Node, r uint32) *graph.Node {
		return graph.BitwiseOr(graph.BitwiseShiftLeft(x, word(r)), graph.BitwiseShiftRightLogical(x, word(32-r)))
	}
	k2 := graph.BitwiseXor(graph.BitwiseXor(k0, k1), word(0x1BD11BDA))
	keys := []*graph.Node{k0, k1, k2}
	rotations := [8]uint32{13, 15, 26, 6, 17, 29, 16, 24}
	x0, x1 = graph.Add(x0, k0), graph.Add(x1, k1)
	for round := range 20 {
		x0 = graph.Add(x0, x1)
		x1 = graph.BitwiseXor(rotate(x1, rotations[round%8]), x0)
		if round%4 == 3 {
			s := round/4 + 1
			x0 = graph.Add(x0, keys[s%3])
			x1 = graph.Add(x1, graph.Add(keys[(s+1)%3], word(uint32(s))))
		}
	}
	return x0, x1
}

// uniform turns random words into multiples of 2^-24 in [0, 1), exact in float32.
func uniform(words *graph.Node) *graph.Node {
	top := graph.BitwiseShiftRightLogical(words, graph.Scalar(words.Graph(), dtypes.Uint32, uint32(8)))
	return graph.MulScalar(graph.ConvertDType(top, dtypes.Float32), 1.0/(1<<24))
}

// Uniform draws (Float32) numbers in [0, 1). k0, k1 are the key (scalars or broadcast to the counters' shape); example
// and element, (Uint32) and of one shape, are the counters.
func Uniform(k0, k1, example, element *graph.Node) *graph.Node {
	a, _ := threefry(k0, k1, example, element)
	return uniform(a)
}

// Normal draws (Float32) numbers from N(0, 1) by the Box-Muller transform; arguments as for Uniform. No draw is further
// than 5.8 from 0, where the true distribution has a mass of 7e-9.
func Normal(k0, k1, example, element *graph.Node) *graph.Node {
	a, b := threefry(k0, k1, example, element)
	u := graph.AddScalar(uniform(a), 1.0/(1<<24)) // (0, 1]: its logarithm is finite
	radius := graph.Sqrt(graph.MulScalar(graph.Log(u), -2))
	return graph.Mul(radius, graph.Cos(graph.MulScalar(uniform(b), 2*math.Pi)))
}
