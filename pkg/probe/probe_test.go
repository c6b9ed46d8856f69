package probe

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

var openBackend = sync.OnceValues(func() (*backend.Backend, error) {
	home, _ := result.Home()
	return backend.Open("", home)
})

// drawFewer lets rapid draw fewer cases where most of them cost a compilation. Not in a TestMain: what is read from the
// environment before the tests start does not count for the go command, which would give the pure-Go backend's cached results for XLA.
func drawFewer(t require.TestingT) {
	if open(t).Kind != "go" {
		require.NoError(t, flag.Set("rapid.checks", "12"))
	}
}

func open(t require.TestingT) *backend.Backend {
	b, err := openBackend()
	require.NoError(t, err)
	return b
}

// tiny is a network whose answers are computed by hand below: 2 inputs (pixels 0 or 255, so 0 or 1), hidden units
// h = relu(x), relu(1-ish combinations), 2 classes.
//
//	h0 = x0, h1 = x1, h2 = relu(x0 + x1 - 1) (and)
//	logit0 = 0.5, logit1 = h0 + h1 - 2·h2 (exclusive or)
func tiny() (nets.Net, map[string]nets.Array, datasets.Split) {
	net, _ := nets.Parse("mlp:3", []int{1, 2, 1}, 2)
	weights := map[string]nets.Array{
		"fc1.weight":    {Shape: []int{3, 2}, Data: []float32{1, 0, 0, 1, 1, 1}},
		"fc1.bias":      {Shape: []int{3}, Data: []float32{0, 0, -1}},
		"logits.weight": {Shape: []int{2, 3}, Data: []float32{0, 0, 0, 1, 1, -2}},
		"logits.bias":   {Shape: []int{2}, Data: []float32{0.5, 0}},
	}
	data := datasets.Split{
		Images: []byte{0, 0, 0, 255, 255, 0, 255, 255},
		Shape:  []int{1, 2, 1},
		Labels: []int32{0, 1, 1, 0},
	}
	return net, weights, data
}

func TestTinyNetworkByHand(t *testing.T) {
	net, weights, data := tiny()
	sets := [][]unit.Edit{
		nil,
		{unit.Ablate("fc1", unit.Zero, 2)},        // no "and": 1,1 becomes class 1
		{unit.Ablate("fc1", unit.Zero, 0)},        // only x1 counts: 0,1 → 1, 1,0 → 0, 1,1: 1-2 → 0
		{unit.Ablate("fc1", unit.Zero)},           // logit1 = 0: all class 0
		{unit.Ablate("fc1", unit.Value(0.5))},     // logit1 = 0.5+0.5-1 = 0: all class 0
		{unit.Ablate("fc1", unit.Value(0.25), 2)}, // logit1 = x0+x1-0.5; tie with logit0 at x0+x1 = 1, lowest class wins; 1,1 → 1
		{unit.Ablate("fc1", unit.Mean, 0)},        // mean of x0 is 0.5: 0,0: .5 ties → 0; 0,1: 1.5; 1,0: .5 ties → 0; 1,1: -0.5
		{unit.Ablate("fc1", unit.Itself)},         // changes nothing
	}
	correct := []int{4, 3, 3, 2, 2, 1, 3, 4}
	ties := []int{0, 0, 0, 0, 0, 2, 2, 0}
	for _, o := range []Options{{}, {Widen: 1, Chunk: 1}, {Widen: 2, Chunk: 3}, {Widen: 3}, {Widen: 8, Chunk: 2}} {
		o.Verify = -1
		p, err := New(open(t), net, weights, data, o)
		require.NoError(t, err)
		scores, receipt, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		for i, s := range scores {
			require.Equal(t, 4, s.Examples)
			require.Equal(t, correct[i], s.Correct, "set %d, %+v", i, o)
			require.Equal(t, ties[i], s.Ties, "set %d, %+v", i, o)
		}
		require.Equal(t, []int{2, 2}, scores[0].ByClass)
		require.Equal(t, []int{2, 0}, scores[3].ByClass)
		// cross-entropy of logits (0.5, 0) for labels 0, 1, 1, 0
		require.InDelta(t, 2*math.Log1p(math.Exp(-0.5))+2*math.Log1p(math.Exp(0.5)), scores[3].Loss, 1e-5)
		require.Equal(t, unit.Receipt{
			Plan: receipt.Plan, Backend: open(t).Kind, Sets: 8, Edits: 7, Examples: 4, Ties: 4,
			// set 1: h2 is on once; set 2: h0 twice; set 3: 2+2+1; set 4: all 12; set 5: all 4; set 6: all 4; set 7: none
			Changed: 1 + 2 + 5 + 12 + 4 + 4, NoEffect: 1,
			Checked: 7 * 4,
		}, receipt)
		p.Close()
	}
}

func TestErrorsNameTheChoices(t *testing.T) {
	net, weights, data := tiny()
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	for want, set := range map[string][]unit.Edit{
		`no site "fc9", the network has [fc1]`:  {unit.Ablate("fc9", unit.Zero)},
		`site "fc1" has 3 units, got unit 99`:   {unit.Ablate("fc1", unit.Zero, 99)},
		`got unit -1`:                           {unit.Ablate("fc1", unit.Zero, -1)},
		`edits unit 1 of site "fc1" twice`:      {unit.Ablate("fc1", unit.Zero, 1), unit.Ablate("fc1", unit.Mean, 1)},
		`noise s.d. NaN is not a finite number`: {unit.Noise("fc1", []float64{1, math.NaN(), 1}, 1)},
		`2 noise s.d. for 3 units`:              {unit.Noise("fc1", []float64{1, 1}, 1)},
		`target value +Inf is not finite`:       {unit.Ablate("fc1", unit.Value(math.Inf(1)))},
	} {
		_, _, err := p.Evaluate(context.Background(), [][]unit.Edit{nil, set})
		require.ErrorContains(t, err, want)
	}

	data.Labels = []int32{0, 1, 1, 2}
	_, err = New(open(t), net, weights, data, Options{})
	require.ErrorContains(t, err, "label 2 of example 3 is outside 0..1")
	data.Shape = []int{2, 1, 1}
	_, err = New(open(t), net, weights, data, Options{})
	require.ErrorContains(t, err, "images have shape [2 1 1], net mlp:3 takes [1 2 1]")
	delete(weights, "fc1.bias")
	_, err = New(open(t), net, weights, data, Options{})
	require.ErrorContains(t, err, `the weights have no "fc1.bias" [3]`)
}

func TestNetworkThatIsNotFinite(t *testing.T) {
	net, weights, data := tiny()
	weights["fc1.bias"].Data[0] = float32(math.NaN())
	_, err := New(open(t), net, weights, data, Options{})
	require.ErrorContains(t, err, "weights must be finite")
	weights["fc1.bias"].Data[0] = math.MaxFloat32
	weights["logits.weight"].Data[3] = math.MaxFloat32
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	_, _, err = p.Evaluate(context.Background(), [][]unit.Edit{nil})
	require.ErrorContains(t, err, "not finite")
}

// random is an MLP with random weights on random images.
func random(t require.TestingT, spec string, n int, seed uint64) (nets.Net, map[string]nets.Array, datasets.Split) {
	net, err := nets.Parse(spec, []int{4, 4, 1}, 5)
	require.NoError(t, err)
	weights, err := net.Init(open(t).Engine, seed)
	require.NoError(t, err)
	return net, weights, images(n, net, seed)
}

func images(n int, net nets.Net, seed uint64) datasets.Split {
	rng := rand.New(rand.NewPCG(seed, 99))
	size := 1
	for _, d := range net.Image {
		size *= d
	}
	data := datasets.Split{Images: make([]byte, n*size), Labels: make([]int32, n), Shape: net.Image}
	for i := range data.Images {
		data.Images[i] = byte(rng.IntN(256))
	}
	for i := range data.Labels {
		data.Labels[i] = int32(rng.IntN(net.Classes))
	}
	return data
}

func TestNoiseIsAFunctionOfSeedAndExample(t *testing.T) {
	net, weights, data := random(t, "mlp:8,6", 50, 1)
	ones := func(n int) []float64 { return slices.Repeat([]float64{1}, n) }
	set := func(seed uint64) []unit.Edit {
		return []unit.Edit{unit.Noise("fc1", ones(8), seed), unit.Noise("fc2", ones(6), seed)}
	}
	sets := [][]unit.Edit{set(1), set(2), set(1), {unit.Noise("fc2", ones(6), 1)}, {unit.Ablate("fc1", unit.Zero, 3)}}
	var first []unit.Score
	for _, o := range []Options{{}, {Chunk: 7, Widen: 2}, {Chunk: 50, Widen: 1}, {Chunk: 13, Widen: 5}} {
		o.Verify = -1
		p, err := New(open(t), net, weights, data, o)
		require.NoError(t, err)
		scores, receipt, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		require.Zero(t, receipt.NoEffect)
		p.Close()
		require.InDelta(t, scores[0].Loss, scores[2].Loss, 1e-4, "the same seed, the same noise")
		require.NotEqual(t, scores[0].Loss, scores[1].Loss, "another seed, other noise")
		if first == nil {
			first = scores
		}
		for i := range scores {
			require.Equal(t, first[i].ByClass, scores[i].ByClass)
			require.InDelta(t, first[i].Loss, scores[i].Loss, 1e-3)
		}
	}
}

func TestNoiseHasTheAskedSize(t *testing.T) {
	// A linear read-out of one hidden unit: x = 0 everywhere, so the logit is the noise itself.
	net, _ := nets.Parse("mlp:1", []int{1, 1, 1}, 2)
	weights := map[string]nets.Array{
		"fc1.weight": {Shape: []int{1, 1}, Data: []float32{0}}, "fc1.bias": {Shape: []int{1}, Data: []float32{0}},
		"logits.weight": {Shape: []int{2, 1}, Data: []float32{0, 1}}, "logits.bias": {Shape: []int{2}, Data: []float32{3, 0}},
	}
	const n = 20000
	data := datasets.Split{Images: make([]byte, n), Labels: make([]int32, n), Shape: []int{1, 1, 1}}
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	scores, _, err := p.Evaluate(context.Background(), [][]unit.Edit{{unit.Noise("fc1", []float64{3}, 5)}})
	require.NoError(t, err)
	// right unless 3·ε > 3: P(ε ≤ 1) = 0.8413; standard error 0.0026
	require.InDelta(t, 0.8413, scores[0].Accuracy(), 4*0.0026)
}

func TestMomentsAndClassMeansAgainstTwoPasses(t *testing.T) {
	net, weights, data := random(t, "mlp:8,6", 53, 3)
	p, err := New(open(t), net, weights, data, Options{Chunk: 10}) // the last chunk overlaps the one before
	require.NoError(t, err)
	defer p.Close()
	got, err := p.Moments(context.Background())
	require.NoError(t, err)
	h := map[string][][]float64{"fc1": hidden(weights, data, 1), "fc2": hidden(weights, data, 2)}
	for site, rows := range h {
		require.Equal(t, 53, got[site].Count)
		means, counts, err := p.ClassMeans(context.Background(), site)
		require.NoError(t, err)
		for u := range rows[0] {
			var mean, ss float64
			byClass, n := make([]float64, 5), make([]int, 5)
			for e, r := range rows {
				mean += r[u] / 53
				byClass[data.Labels[e]] += r[u]
				n[data.Labels[e]]++
			}
			for _, r := range rows {
				ss += (r[u] - mean) * (r[u] - mean)
			}
			require.InDelta(t, mean, got[site].Mean[u], 1e-5)
			require.InDelta(t, math.Sqrt(ss/53), got[site].SD[u], 1e-5)
			require.Equal(t, n, counts)
			for c := range n {
				require.InDelta(t, byClass[c]/float64(n[c]), means[c][u], 1e-5)
			}
		}
	}
	_, err = p.Moments(context.Background(), "fc3")
	require.ErrorContains(t, err, `no site "fc3"`)
}

func TestActivationsComeInOrderAndAveraged(t *testing.T) {
	net, weights, data := random(t, "mlp:8,6", 53, 3)
	p, err := New(open(t), net, weights, data, Options{Chunk: 10})
	require.NoError(t, err)
	defer p.Close()
	require.Equal(t, data.Labels, p.Labels())
	require.Equal(t, 5, p.Classes())
	h := [][][]float64{hidden(weights, data, 2), hidden(weights, data, 1)}
	next := 0
	read := func(first int, values [][]float32) error {
		require.Equal(t, next, first)
		require.Len(t, values, 2)
		next += len(values[0]) / 6
		for i, units := range []int{6, 8} {
			require.Len(t, values[i], (next-first)*units)
			for k, x := range values[i] {
				require.InDelta(t, h[i][first+k/units][k%units], x, 1e-5)
			}
		}
		return nil
	}
	require.NoError(t, p.Activations(context.Background(), []string{"fc2", "fc1"}, read))
	require.Equal(t, 53, next)
	next = 0
	require.NoError(t, p.Activations(context.Background(), []string{"fc2", "fc1"}, read), "and once more")

	full := errors.New("full")
	calls := 0
	err = p.Activations(context.Background(), nil, func(int, [][]float32) error { calls++; return full })
	require.ErrorIs(t, err, full)
	require.Equal(t, 1, calls)
	err = p.Activations(context.Background(), []string{"fc3"}, read)
	require.ErrorContains(t, err, `no site "fc3", the network has [fc1 fc2]`)
	stopped, stop := context.WithCancel(context.Background())
	stop()
	require.ErrorIs(t, p.Activations(stopped, nil, read), context.Canceled)
	p.Close()
	require.ErrorContains(t, p.Activations(context.Background(), nil, read), "used after Close")
}

func TestFeatureMapsAreAveraged(t *testing.T) {
	p := skipProbe(t, 12, Options{Chunk: 5})
	moments, err := p.Moments(context.Background())
	require.NoError(t, err)
	maps := 0
	for _, s := range p.Sites() {
		sums := make([]float64, s.Units())
		require.NoError(t, p.Activations(context.Background(), []string{s.Name}, func(_ int, values [][]float32) error {
			for k, x := range values[0] {
				sums[k%s.Units()] += float64(x) / 12
			}
			return nil
		}))
		require.InDeltaSlice(t, moments[s.Name].Mean, sums, 1e-5)
		if len(s.Shape) == 3 {
			maps++
		}
	}
	require.Positive(t, maps)
}

func TestClassWithoutExampleHasNoMean(t *testing.T) {
	net, weights, data := tiny()
	data.Labels = []int32{0, 0, 0, 0}
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	means, counts, err := p.ClassMeans(context.Background(), "fc1")
	require.NoError(t, err)
	require.Equal(t, []int{4, 0}, counts)
	require.InDeltaSlice(t, []float64{0.5, 0.5, 0.25}, means[0], 1e-6)
	require.True(t, math.IsNaN(means[1][0]))
}

// hidden computes activations of an MLP in float64, layer by layer.
func hidden(weights map[string]nets.Array, data datasets.Split, layer int) [][]float64 {
	size := len(data.Images) / len(data.Labels)
	var out [][]float64
	for e := range data.Labels {
		x := make([]float64, size)
		for i := range x {
			x[i] = float64(data.Images[e*size+i]) / 255
		}
		for l := 1; l <= layer; l++ {
			w, b := weights[fmt.Sprintf("fc%d.weight", l)], weights[fmt.Sprintf("fc%d.bias", l)]
			y := make([]float64, w.Shape[0])
			for o := range y {
				y[o] = float64(b.Data[o])
				for i := range x {
					y[o] += float64(w.Data[o*w.Shape[1]+i]) * x[i]
				}
				y[o] = max(0, y[o])
			}
			x = y
		}
		out = append(out, x)
	}
	return out
}

// skipNet has a skip connection around one site, a concatenation of two, a convolution, and a site on a branch that the
// logits do not use.
func skipNet() nets.Net {
	return nets.Net{Name: "skip", Image: []int{4, 4, 1}, Classes: 5, Graph: func(s *model.Scope, x *graph.Node) *graph.Node {
		conv := func(name string, x *graph.Node, c int) *graph.Node {
			y := layers.Convolution(s.In("%s", name), x).Channels(c).KernelSize(3).PadSame().Done()
			return graph.Max(y, graph.ZerosLike(y))
		}
		dense := func(name string, x *graph.Node, n int) *graph.Node { return layers.Dense(s.In("%s", name), x, true, n) }
		before := conv("a", x, 3)
		a := tap.Point(before, "a")
		b := tap.Point(conv("b", a, 3), "b")
		c := tap.Point(graph.Add(conv("c", b, 3), before), "c") // reads a as it was before the edit
		unused := tap.Point(graph.Reshape(conv("u", a, 2), x.Shape().Dimensions[0], -1), "unused")
		_ = unused
		flat := graph.Concatenate([]*graph.Node{graph.Reshape(b, x.Shape().Dimensions[0], -1), graph.Reshape(c, x.Shape().Dimensions[0], -1)}, -1)
		d := dense("d", flat, 6)
		d = tap.Point(graph.Max(d, graph.ZerosLike(d)), "d")
		return dense("out", d, 5)
	}}
}

func skipProbe(t require.TestingT, n int, o Options) *Probe {
	net := skipNet()
	weights, err := net.Init(open(t).Engine, 4)
	require.NoError(t, err)
	p, err := New(open(t), net, weights, images(n, net, 4), o)
	require.NoError(t, err)
	return p
}

func TestFastPathEqualsPlainPathOnRandomEdits(t *testing.T) {
	drawFewer(t)
	p := skipProbe(t, 23, Options{Verify: -1})
	defer p.Close()
	rapid.Check(t, func(t *rapid.T) {
		var sets [][]unit.Edit
		for range rapid.IntRange(1, 6).Draw(t, "sets") {
			var set []unit.Edit
			for _, s := range p.Sites() {
				switch rapid.IntRange(0, 3).Draw(t, "kind at "+s.Name) {
				case 0:
					set = append(set, unit.Ablate(s.Name, unit.Zero))
				case 1:
					units := rapid.SliceOfDistinct(rapid.IntRange(0, s.Units()-1), rapid.ID).Draw(t, "units")
					to := rapid.SampledFrom([]unit.Target{unit.Zero, unit.Mean, unit.ElementMean, unit.Value(0.7)}).Draw(t, "to")
					set = append(set, unit.Edit{Site: s.Name, Units: units, To: to})
				case 2:
					set = append(set, unit.Noise(s.Name, slices.Repeat([]float64{0.3}, s.Units()), rapid.Uint64().Draw(t, "seed")))
				}
			}
			sets = append(sets, set)
		}
		scores, receipt, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err) // Verify is -1: every prediction was compared with the plain path
		require.Zero(t, receipt.Mismatches)
		require.Len(t, scores, len(sets))
	})
}

func TestLossesEqualThePlainPath(t *testing.T) {
	p := skipProbe(t, 23, Options{})
	defer p.Close()
	var sets [][]unit.Edit
	for _, s := range p.Sites() {
		for u := range s.Units() {
			if s.Name == "unused" && u > 2 {
				break
			}
			sets = append(sets, []unit.Edit{unit.Ablate(s.Name, unit.Zero, u)})
		}
	}
	fast, receipt, err := p.Evaluate(context.Background(), sets)
	require.NoError(t, err)
	for i := range sets {
		var loss float64
		o, err := p.callPlain(chunks(p.everything(), 23)[0], sets, i)
		require.NoError(t, err)
		for _, l := range o.loss {
			loss += float64(l)
		}
		require.InDelta(t, loss, fast[i].Loss, 1e-4, "%v", sets[i])
	}
	require.Contains(t, receipt.Plan, "cut at a,")
	require.Contains(t, receipt.Plan, "cut at d,")
}

func TestAnEditThatCannotMatterIsReported(t *testing.T) {
	p := skipProbe(t, 10, Options{Verify: -1})
	defer p.Close()
	scores, receipt, err := p.Evaluate(context.Background(), [][]unit.Edit{nil, {unit.Ablate("d", unit.Itself)}})
	require.NoError(t, err)
	require.Equal(t, scores[0].ByClass, scores[1].ByClass)
	require.Equal(t, 1, receipt.NoEffect)
	require.Zero(t, receipt.Changed)
}

func TestUnitPermutation(t *testing.T) {
	net, weights, data := random(t, "mlp:8", 40, 6)
	perm := rand.New(rand.NewPCG(1, 1)).Perm(8)
	permuted := map[string]nets.Array{}
	for name, a := range weights {
		permuted[name] = nets.Array{Shape: a.Shape, Data: slices.Clone(a.Data)}
	}
	for to, from := range perm {
		copy(permuted["fc1.weight"].Data[to*16:(to+1)*16], weights["fc1.weight"].Data[from*16:(from+1)*16])
		permuted["fc1.bias"].Data[to] = weights["fc1.bias"].Data[from]
		for c := range 5 {
			permuted["logits.weight"].Data[c*8+to] = weights["logits.weight"].Data[c*8+from]
		}
	}
	var sets, moved [][]unit.Edit
	for to, from := range perm {
		sets = append(sets, []unit.Edit{unit.Ablate("fc1", unit.Zero, from)})
		moved = append(moved, []unit.Edit{unit.Ablate("fc1", unit.Zero, to)})
	}
	evaluate := func(w map[string]nets.Array, sets [][]unit.Edit) []unit.Score {
		p, err := New(open(t), net, w, data, Options{})
		require.NoError(t, err)
		defer p.Close()
		s, _, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		return s
	}
	a, b := evaluate(weights, sets), evaluate(permuted, moved)
	for i := range a {
		require.Equal(t, a[i].ByClass, b[i].ByClass)
		require.InDelta(t, a[i].Loss, b[i].Loss, 1e-4)
	}
}

func TestCancelledAndClosed(t *testing.T) {
	net, weights, data := tiny()
	p, err := New(open(t), net, weights, data, Options{Chunk: 1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := 0
	p.opt.Advance = func(n int) {
		if done += n; done == 2 {
			cancel()
		}
	}
	_, _, err = p.Evaluate(ctx, [][]unit.Edit{{unit.Ablate("fc1", unit.Zero, 1)}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 2, done, "it stops within one pass")
	p.Close()
	_, _, err = p.Evaluate(context.Background(), [][]unit.Edit{nil})
	require.ErrorContains(t, err, "after Close")
}

func TestProgressAddsUp(t *testing.T) {
	net, weights, data := random(t, "mlp:8,6", 53, 3)
	total := 0
	p, err := New(open(t), net, weights, data, Options{Chunk: 10, Widen: 2, Advance: func(n int) { total += n }})
	require.NoError(t, err)
	defer p.Close()
	_, _, err = p.Evaluate(context.Background(), [][]unit.Edit{nil, {unit.Ablate("fc1", unit.Zero, 1)}, {unit.Ablate("fc2", unit.Zero, 1)}, {unit.Ablate("fc2", unit.Zero)}})
	require.NoError(t, err)
	require.Equal(t, 4*53, total)
}

func TestConcurrentCalls(t *testing.T) {
	p := skipProbe(t, 20, Options{})
	defer p.Close()
	sets := [][]unit.Edit{nil, {unit.Ablate("a", unit.Zero, 1)}, {unit.Ablate("d", unit.Mean, 2)}}
	want, _, err := p.Evaluate(context.Background(), sets)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, _, err := p.Evaluate(context.Background(), sets)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
	wg.Wait()
}

func TestManyCallsCompileOnceAndKeepMemory(t *testing.T) {
	net, weights, data := random(t, "mlp:8,6", 20, 3)
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	built := 0
	inner := p.net.Graph
	p.net.Graph = func(s *model.Scope, x *graph.Node) *graph.Node {
		built++
		return inner(s, x)
	}
	calls := 10000
	if testing.Short() {
		calls = 1000
	}
	ones := slices.Repeat([]float64{1}, 6)
	call := func(k int) { // all methods in turn
		sets := [][]unit.Edit{nil, {unit.Ablate("fc1", unit.Zero, k%8), unit.Ablate("fc2", unit.Zero, k%6)}}
		switch k % 4 {
		case 1:
			sets = [][]unit.Edit{nil, {unit.Ablate("fc1", unit.Mean, k%8)}}
		case 2:
			sets = [][]unit.Edit{{unit.Noise("fc2", ones, uint64(k))}}
		case 3:
			sets = nil
			for n := range 9 {
				sets = append(sets, []unit.Edit{{Site: "fc1", Units: []int{0, 1, 2, 3, 4, 5, 6, 7}[:n]}})
			}
		}
		_, _, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
	}
	for k := range calls / 10 {
		call(k)
	}
	once, before := built, residentMemory(t)
	for k := range calls {
		call(k)
	}
	require.Equal(t, once, built, "the model is not built again for other edits")
	require.Less(t, residentMemory(t)-before, 8<<20, "%d calls keep less than 8 MiB, the device's memory included", calls)
}

// residentMemory is what the process holds in memory, in bytes: Go's heap and, with XLA on the CPU, the device's.
func residentMemory(t *testing.T) int {
	runtime.GC()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("this system does not tell a process's memory in /proc; runs on Linux")
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

func TestRoundWidth(t *testing.T) {
	widths := map[int]bool{}
	for w := 1; w <= 256; w++ {
		r := roundWidth(w)
		require.GreaterOrEqual(t, r, w)
		require.LessOrEqual(t, 4*r, 5*w+4, "at most a quarter is wasted: %d → %d", w, r)
		widths[r] = true
	}
	require.LessOrEqual(t, len(widths), 32, "an executor keeps 32 graphs")
}

func ExampleProbe_Evaluate() {
	net, weights, data := tiny() // exclusive or, with hidden units x0, x1 and "both"
	b, err := backend.Open("go", "")
	if err != nil {
		panic(err)
	}
	p, err := New(b, net, weights, data, Options{})
	if err != nil {
		panic(err)
	}
	defer p.Close()
	scores, receipt, err := p.Evaluate(context.Background(), [][]unit.Edit{
		nil,
		{unit.Ablate("fc1", unit.Zero, 2)},
		{unit.Ablate("fc1", unit.Zero)},
	})
	if err != nil {
		panic(err)
	}
	for _, s := range scores {
		fmt.Printf("%d of %d right\n", s.Correct, s.Examples)
	}
	fmt.Println("activations changed:", receipt.Changed, "mismatches:", receipt.Mismatches)
	// Output:
	// 4 of 4 right
	// 3 of 4 right
	// 2 of 4 right
	// activations changed: 6 mismatches: 0
}
