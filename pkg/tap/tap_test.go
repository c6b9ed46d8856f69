package tap

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

var open = sync.OnceValues(func() (*backend.Backend, error) {
	home, _ := result.Home()
	return backend.Open("", home)
})

// run computes fn() on the backend that GOMLX_BACKEND names, or the best there is.
func run(t testing.TB, fn func(g *graph.Graph) []*graph.Node) []any {
	b, err := open()
	require.NoError(t, err)
	exec, err := graph.NewExec(b.Engine, fn)
	require.NoError(t, err)
	out, err := exec.Call()
	require.NoError(t, err)
	var values []any
	for _, o := range out {
		values = append(values, o.Value())
	}
	return values
}

func ExamplePoint() {
	b, err := backend.Open("go", "")
	if err != nil {
		panic(err)
	}
	net := func(x *graph.Node) *graph.Node {
		h := Point(graph.MulScalar(x, 2), "hidden") // [batch, 3]
		return graph.ReduceSum(h, -1)
	}
	double := graph.MustNewExec(b.Engine, net)
	edited := graph.MustNewExec(b.Engine, func(x *graph.Node) *graph.Node {
		r := Recorder{Edit: func(site string, x *graph.Node) *graph.Node { return graph.AddScalar(x, 100) }}
		r.Attach(x.Graph())
		y := net(x)
		fmt.Println("sites:", r.Sites())
		return y
	})
	x := [][]float32{{1, 2, 3}}
	fmt.Println(double.MustCall1(x).Value(), edited.MustCall1(x).Value())
	// Output:
	// sites: [{hidden [3]}]
	// [12] [312]
}

func TestPointWithoutRecorderIsTheSameNode(t *testing.T) {
	run(t, func(g *graph.Graph) []*graph.Node {
		x := graph.IotaFull(g, shapes.Make(dtypes.Float32, 2, 3))
		require.Same(t, x, Point(x, "a"))
		var r Recorder
		r.Attach(g)
		require.NotSame(t, x, Point(x, "a"))
		Detach(g)
		require.Same(t, x, Point(x, "a"))
		return []*graph.Node{x}
	})
}

func TestRecorderSeesSitesInOrderAndPanicsOnMisuse(t *testing.T) {
	run(t, func(g *graph.Graph) []*graph.Node {
		var r Recorder
		r.Attach(g)
		x := graph.IotaFull(g, shapes.Make(dtypes.Float32, 2, 4, 4, 3))
		y := Point(x, "conv1")
		Point(graph.Reshape(y, 2, -1), "fc1")
		require.Equal(t, []unit.Site{{Name: "conv1", Shape: []int{4, 4, 3}}, {Name: "fc1", Shape: []int{48}}}, r.Sites())
		require.Same(t, y, r.Node("conv1"))
		require.Nil(t, r.Node("conv2"))
		require.Panics(t, func() { Point(x, "conv1") }, "a name twice")
		require.Panics(t, func() { Point(graph.ReduceAllSum(x), "scalar") }, "no unit axis")
		r.Edit = func(_ string, x *graph.Node) *graph.Node { return graph.ReduceSum(x, -1) }
		require.Panics(t, func() { Point(x, "conv2") }, "an edit that changes the shape")
		return []*graph.Node{y}
	})
}

func TestThreefryKnownAnswers(t *testing.T) {
	// Known answers of threefry2x32 with 20 rounds, from the Random123 distribution (kat_vectors).
	for _, c := range []struct{ key, counter, want [2]uint32 }{
		{[2]uint32{0, 0}, [2]uint32{0, 0}, [2]uint32{0x6b200159, 0x99ba4efe}},
		{[2]uint32{0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff}, [2]uint32{0x1cb996fc, 0xbb002be7}},
		{[2]uint32{0x13198a2e, 0x03707344}, [2]uint32{0x243f6a88, 0x85a308d3}, [2]uint32{0xc4923a9c, 0x483df7a0}},
	} {
		got := run(t, func(g *graph.Graph) []*graph.Node {
			w := func(v uint32) *graph.Node { return graph.Scalar(g, dtypes.Uint32, v) }
			a, b := threefry(w(c.key[0]), w(c.key[1]), w(c.counter[0]), w(c.counter[1]))
			return []*graph.Node{a, b}
		})
		require.Equal(t, c.want, [2]uint32{got[0].(uint32), got[1].(uint32)})
	}
}

func TestNormalIsStandardAndIndependentOfTheBatch(t *testing.T) {
	draw := func(first, examples, elements int) [][]float32 {
		return run(t, func(g *graph.Graph) []*graph.Node {
			shape := shapes.Make(dtypes.Uint32, examples, elements)
			key := Key(7, "noise at fc1", 0)
			word := func(v uint32) *graph.Node { return graph.BroadcastToShape(graph.Scalar(g, dtypes.Uint32, v), shape) }
			example := graph.Add(graph.Iota(g, shape, 0), word(uint32(first)))
			return []*graph.Node{Normal(word(key[0]), word(key[1]), example, graph.Iota(g, shape, 1))}
		})[0].([][]float32)
	}
	all := draw(0, 400, 250)
	require.Equal(t, all[100:150], draw(100, 50, 250), "a draw does not depend on the batch it is computed in")

	var n, sum, squares, cubes, fourths float64
	for _, row := range all {
		for _, x := range row {
			v := float64(x)
			n, sum, squares, cubes, fourths = n+1, sum+v, squares+v*v, cubes+v*v*v, fourths+v*v*v*v
		}
	}
	// 100,000 draws: standard errors of the moments of N(0, 1) are sqrt(1, 2, 15, 96)/sqrt(n); allow 4 of them.
	se := 4 / math.Sqrt(n)
	require.InDelta(t, 0, sum/n, se)
	require.InDelta(t, 1, squares/n, se*math.Sqrt(2))
	require.InDelta(t, 0, cubes/n, se*math.Sqrt(15))
	require.InDelta(t, 3, fourths/n, se*math.Sqrt(96))
}

func TestKeysDiffer(t *testing.T) {
	seen := map[[2]uint32]bool{}
	for seed := range uint64(10) {
		for _, stream := range []string{"a", "b", "noise at fc1", "noise at fc2"} {
			for index := range uint64(10) {
				seen[Key(seed, stream, index)] = true
			}
		}
	}
	require.Len(t, seen, 400)
}
