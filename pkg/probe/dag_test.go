package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/layers"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// op is one layer of a random network: it reads the a-th activation so far, and for sums and concatenations the b-th.
type op struct {
	kind  string
	a, b  int
	width int
	point bool // its result is a site
}

// drawNet draws a small network: convolutions, dense layers, batch normalization as at inference, skip connections, concatenations,
// sites read by several layers, sites that nothing reads.
func drawNet(t *rapid.T) nets.Net {
	shapesSoFar := [][]int{{4, 4, 1}}
	var ops []op
	add := func(o op, shape []int) { ops, shapesSoFar = append(ops, o), append(shapesSoFar, shape) }
	for i := range rapid.IntRange(3, 7).Draw(t, "layers") {
		a := rapid.IntRange(max(0, len(shapesSoFar)-3), len(shapesSoFar)-1).Draw(t, "reads")
		s := shapesSoFar[a]
		width := rapid.IntRange(2, 5).Draw(t, "width")
		point := rapid.IntRange(0, 3).Draw(t, "point") > 0 || i == 0
		kinds := []string{"relu", "scale"}
		if len(s) == 3 {
			kinds = append(kinds, "conv", "conv", "conv", "flatten", "pool")
		} else {
			kinds = append(kinds, "dense", "dense", "dense")
		}
		for b, other := range shapesSoFar {
			if b != a && slices.Equal(other, s) {
				kinds = append(kinds, fmt.Sprintf("add %d", b))
			}
			if b != a && len(other) == len(s) && slices.Equal(other[:len(s)-1], s[:len(s)-1]) {
				kinds = append(kinds, fmt.Sprintf("concat %d", b))
			}
		}
		o := op{kind: rapid.SampledFrom(kinds).Draw(t, "kind"), a: a, width: width, point: point}
		_, _ = fmt.Sscanf(o.kind, "add %d", &o.b)
		_, _ = fmt.Sscanf(o.kind, "concat %d", &o.b)
		out := slices.Clone(s)
		switch {
		case o.kind == "conv" || o.kind == "dense":
			out[len(out)-1] = width
		case o.kind == "flatten":
			out = []int{s[0] * s[1] * s[2]}
		case o.kind == "pool":
			out = s[2:]
		case o.kind[0] == 'c': // concat
			out[len(out)-1] += shapesSoFar[o.b][len(s)-1]
		}
		add(o, out)
	}
	return nets.Net{Name: fmt.Sprint(ops), Image: []int{4, 4, 1}, Classes: 3, Graph: func(scope *model.Scope, x *graph.Node) *graph.Node {
		acts := []*graph.Node{x}
		for i, o := range ops {
			s := scope.In("op%d", i)
			x := acts[o.a]
			var y *graph.Node
			switch {
			case o.kind == "relu":
				y = graph.Max(x, graph.ZerosLike(x))
			case o.kind == "scale":
				c := x.Shape().Dimensions[x.Rank()-1]
				param := func(name string) *graph.Node {
					v := s.VariableWithShape(name, shapes.Make(dtypes.Float32, 1, c)).NodeValue(x.Graph())
					return graph.ExpandLeftToRank(graph.Reshape(v, c), x.Rank())
				}
				y = graph.Add(graph.Mul(x, graph.Rsqrt(graph.AddScalar(graph.Square(param("var")), 1e-1))), param("shift"))
			case o.kind == "conv":
				y = layers.Convolution(s, x).Channels(o.width).KernelSize(3).PadSame().Done()
			case o.kind == "dense":
				y = layers.Dense(s, x, true, o.width)
			case o.kind == "flatten":
				y = graph.Reshape(x, x.Shape().Dimensions[0], -1)
			case o.kind == "pool":
				y = graph.ReduceMean(x, 1, 2)
			case o.kind[0] == 'a':
				y = graph.Add(x, acts[o.b])
			default:
				y = graph.Concatenate([]*graph.Node{x, acts[o.b]}, -1)
			}
			if o.point {
				y = tap.Point(y, fmt.Sprintf("op%d", i))
			}
			acts = append(acts, y)
		}
		end := acts[len(acts)-1]
		return layers.Dense(scope.In("out"), graph.Reshape(end, end.Shape().Dimensions[0], -1), true, 3)
	}}
}

// drawSets draws sets of edits of three kinds: every unit of a site alone, a cumulative curve over several sites, and
// anything at all.
func drawSets(t *rapid.T, sites []unit.Site) (sets [][]unit.Edit) {
	target := rapid.SampledFrom([]unit.Target{unit.Zero, unit.Value(0.7)})
	if rapid.Bool().Draw(t, "means") { // or none, for fewer kinds of graphs to compile
		target = rapid.SampledFrom([]unit.Target{unit.Zero, unit.Mean, unit.ElementMean})
	}
	switch rapid.IntRange(0, 3).Draw(t, "kind of sets") {
	case 0:
		s, to := rapid.SampledFrom(sites).Draw(t, "site"), target.Draw(t, "to")
		for u := range s.Units() {
			sets = append(sets, []unit.Edit{unit.Ablate(s.Name, to, u)})
		}
	case 1, 2:
		var names []string
		for _, s := range sites {
			if rapid.Bool().Draw(t, s.Name) {
				names = append(names, s.Name)
			}
		}
		spec := ablate.Spec{Sites: names, Orders: 1, Points: rapid.IntRange(3, 9).Draw(t, "points"),
			To: target.Draw(t, "to"), Seed: rapid.Uint64().Draw(t, "seed")}
		asked := &asked{sites: sites}
		_, _ = ablate.Cumulative(context.Background(), asked, spec, ablate.Options{})
		return asked.sets
	default:
		for range rapid.IntRange(1, 4).Draw(t, "sets") {
			var set []unit.Edit
			for _, s := range sites {
				switch rapid.IntRange(0, 3).Draw(t, "edit at "+s.Name) {
				case 0:
					set = append(set, unit.Ablate(s.Name, target.Draw(t, "to")))
				case 1:
					units := rapid.SliceOfDistinct(rapid.IntRange(0, s.Units()-1), rapid.ID).Draw(t, "units")
					set = append(set, unit.Edit{Site: s.Name, Units: units, To: target.Draw(t, "to")})
				case 2:
					set = append(set, unit.Noise(s.Name, slices.Repeat([]float64{0.3}, s.Units()), rapid.Uint64().Draw(t, "seed")))
				}
			}
			sets = append(sets, set)
		}
	}
	return append(sets, nil)
}

// asked is an evaluator that only notes what it is asked.
type asked struct {
	sites []unit.Site
	sets  [][]unit.Edit
}

func (a *asked) Sites() []unit.Site { return a.sites }
func (a *asked) Evaluate(_ context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	a.sets = sets
	return nil, unit.Receipt{}, context.Canceled
}

// Every method must give what the plain path gives: predictions, losses, and the number of activations changed.
func TestRandomNetworksOnRandomEdits(t *testing.T) {
	drawFewer(t)
	used := map[method]int{}
	rapid.Check(t, func(t *rapid.T) {
		net := drawNet(t)
		weights, err := net.Init(open(t).Engine, rapid.Uint64().Draw(t, "weights"))
		require.NoError(t, err)
		n := rapid.IntRange(1, 23).Draw(t, "examples")
		p, err := New(open(t), net, weights, images(n, net, 1), Options{Verify: -1, Chunk: rapid.SampledFrom([]int{0, 0, 5}).Draw(t, "chunk")})
		require.NoError(t, err)
		defer p.Close()
		p.eager = rapid.Bool().Draw(t, "eager")
		for range 2 {
			sets := drawSets(t, p.Sites())
			require.NoError(t, p.prepareMeans(context.Background(), sets))
			jobs, err := p.plan(sets, n)
			require.NoError(t, err)
			for _, j := range jobs {
				used[j.method]++
			}
			scores, receipt, err := p.Evaluate(context.Background(), sets) // with every prediction compared
			require.NoError(t, err)
			require.Zero(t, receipt.Mismatches)
			equalsPlain(t, p, sets, scores, receipt)
		}
	})
	t.Logf("methods used (plain, grid, chain, pairs, single): %v", used)
}

// equalsPlain compares losses and changes with the plain path's.
func equalsPlain(t require.TestingT, p *Probe, sets [][]unit.Edit, scores []unit.Score, receipt unit.Receipt) {
	all := chunks(p.everything(), len(p.labels))[0]
	var changed int64
	for i, set := range sets {
		o, err := p.callPlain(all, sets, i)
		require.NoError(t, err)
		var loss float64
		for e := range p.labels {
			loss += float64(o.loss[e])
			changed += int64(o.changed[e])
		}
		require.InDelta(t, loss, scores[i].Loss, 1e-4*(1+loss), "%v", set)
	}
	require.Equal(t, changed, receipt.Changed)
}

func TestEveryMethodIsUsedAndEqual(t *testing.T) {
	net, weights, data := random(t, "mlp:24,16", 37, 5)
	curve := &asked{}
	p, err := New(open(t), net, weights, data, Options{Verify: -1})
	require.NoError(t, err)
	defer p.Close()
	curve.sites = p.Sites()
	_, err = ablate.Cumulative(context.Background(), curve, ablate.Spec{Points: 12, Orders: 1}, ablate.Options{})
	require.ErrorIs(t, err, context.Canceled)
	each := [][]unit.Edit{nil}
	for u := range 24 {
		each = append(each, []unit.Edit{unit.Ablate("fc1", unit.Mean, u)})
	}
	twos := [][]unit.Edit{nil}
	for u := range 23 {
		twos = append(twos, []unit.Edit{unit.Ablate("fc1", unit.Zero, u, u+1)})
	}
	mixed := [][]unit.Edit{{unit.Ablate("fc1", unit.Zero, 1, 2, 3, 4), unit.Ablate("fc2", unit.Value(2), 1)}, {unit.Ablate("fc1", unit.Mean)}}
	for _, c := range []struct {
		method method
		sets   [][]unit.Edit
		plan   string
	}{
		{chain, curve.sets, "nested sets add back"},
		{single, each, "one row of the next weight a unit"},
		{pairs, twos, "examples an edit does not change skipped"},
		{grid, mixed, "2 sets × 37 examples"},
		{plain, [][]unit.Edit{nil}, "plain path"},
	} {
		jobs, err := p.plan(c.sets, 37)
		require.NoError(t, err)
		require.Equal(t, c.method, jobs[0].method, c.plan)
		scores, receipt, err := p.Evaluate(context.Background(), c.sets)
		require.NoError(t, err)
		require.Contains(t, receipt.Plan, c.plan)
		equalsPlain(t, p, c.sets, scores, receipt)
	}
}

// Chains of sets that are not one curve: two curves at once, gaps wider than a step, sets that repeat.
func TestNestedSetsByHand(t *testing.T) {
	ablate := func(units ...int) []unit.Edit { return []unit.Edit{unit.Ablate("s", unit.Zero, units...)} }
	sets := [][]unit.Edit{ablate(0), ablate(0, 1, 2), nil, ablate(3), ablate(3, 4), ablate(0)}
	chains, clamped := nested(sets, []int{0, 1, 2, 3, 4, 5}, "s", 5)
	require.Equal(t, [][]int{{1, 0, 5, 2}, {4, 3}}, chains)
	require.Equal(t, []step{
		{[]int32{3, 4}, 1}, {[]int32{1, 2}, 0}, {nil, 5}, {[]int32{0}, 2},
	}, steps(chains[0], clamped, 5, 2))
	require.Equal(t, []step{
		{[]int32{0, 1}, -1}, {[]int32{2}, 4}, {[]int32{4}, 3},
	}, steps(chains[1], clamped, 5, 2))
}

// One unit makes up nearly all of the next layer's input: taken off in float32, it would leave little but rounding.
func TestADominantUnitIsNotTakenOff(t *testing.T) {
	net, weights, data := random(t, "mlp:24,16", 300, 5)
	for i := range 16 {
		weights["fc1.weight"].Data[i] = 1e6 // of unit 0
	}
	for _, o := range []Options{{Verify: -1}, {Verify: -1, Chunk: 70}} {
		p, err := New(open(t), net, weights, data, o)
		require.NoError(t, err)
		sets := [][]unit.Edit{nil}
		for u := range 24 {
			sets = append(sets, []unit.Edit{unit.Ablate("fc1", unit.Zero, u)})
		}
		scores, receipt, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		require.Contains(t, receipt.Plan, "one row of the next weight a unit")
		equalsPlain(t, p, sets, scores, receipt)
		p.Close()
	}
}

func TestPlanByHand(t *testing.T) {
	net, weights, data := random(t, "mlp:24,16", 37, 5) // 16·24, 24·16 and 16·5 multiplications an image
	told := 0
	p, err := New(open(t), net, weights, data, Options{Advance: func(n int) { told += n }})
	require.NoError(t, err)
	defer p.Close()
	each := [][]unit.Edit{nil}
	for u := range 24 {
		each = append(each, []unit.Edit{unit.Ablate("fc1", unit.Zero, u)})
	}
	plan, err := p.Plan(each)
	require.NoError(t, err)
	require.InDelta(t, 2*25*37*(384+384+80), plan.PlainFLOPs, 1e-6)
	// Once to fc1; then for each set one of fc2's 24 rows, and the logits.
	require.InDelta(t, 2*37*(384+25*(384/24+80)), plan.FLOPs, 1e-6)
	require.Len(t, plan.Parts, 1)
	require.Greater(t, plan.Bytes, int64(37*24*4))

	_, receipt, err := p.Evaluate(context.Background(), each)
	require.NoError(t, err)
	require.Equal(t, plan.String(), receipt.Plan, "what was planned is what was done")
	require.Contains(t, receipt.Plan, "0.206 MFLOP instead of 1.57 MFLOP")

	told = 0
	_, rest, err := p.Time(context.Background(), each)
	require.NoError(t, err)
	require.Positive(t, rest)
	require.Zero(t, told, "the timing is not told as work done")
	_, err = p.Plan([][]unit.Edit{{unit.Ablate("fc9", unit.Zero)}})
	require.ErrorContains(t, err, `no site "fc9", the network has [fc1 fc2]`)
}

// A bounded analysis asks for more and more of the examples and for fewer and fewer sets: few graphs should serve it.
func TestFewShapesServeAllParts(t *testing.T) {
	net, weights, data := random(t, "mlp:24,16", 1000, 5)
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	shapes := map[[2]int]bool{}
	for n := 1; n <= 1000; n++ {
		for _, sets := range []int{2, 5, 24} {
			var each [][]unit.Edit
			for u := range sets {
				each = append(each, []unit.Edit{unit.Ablate("fc1", unit.Zero, u)})
			}
			jobs, err := p.plan(each, n)
			require.NoError(t, err)
			require.GreaterOrEqual(t, jobs[0].rows, min(jobs[0].chunk, 8), "%+v", jobs[0])
			require.Less(t, jobs[0].chunk, 2*n+2, "at most half is filling")
			shapes[[2]int{jobs[0].chunk, jobs[0].rows}] = true
		}
	}
	require.LessOrEqual(t, len(shapes), 32, "an executor keeps 32 graphs")
}

func TestEvaluateOnSomeExamples(t *testing.T) {
	net, weights, data := random(t, "mlp:24,16", 37, 5)
	p, err := New(open(t), net, weights, data, Options{Verify: -1})
	require.NoError(t, err)
	defer p.Close()
	sets := [][]unit.Edit{nil, {unit.Ablate("fc1", unit.Zero, 1, 2)}, {unit.Noise("fc2", slices.Repeat([]float64{1}, 16), 3)}}
	whole, every, _, err := p.EvaluateOn(context.Background(), rand.New(rand.NewPCG(1, 1)).Perm(37), sets)
	require.NoError(t, err)
	all, _, err := p.Evaluate(context.Background(), sets)
	require.NoError(t, err)
	for i := range sets {
		require.Equal(t, all[i].ByClass, whole[i].ByClass)
		require.InDelta(t, all[i].Loss, whole[i].Loss, 1e-4)
	}
	some := []int{30, 2, 11}
	scores, right, receipt, err := p.EvaluateOn(context.Background(), some, sets)
	require.NoError(t, err)
	require.Equal(t, 3, receipt.Examples)
	perm := rand.New(rand.NewPCG(1, 1)).Perm(37)
	for i := range sets {
		n := 0
		for k, e := range some {
			require.Equal(t, every[i][slices.Index(perm, e)], right[i][k])
			if right[i][k] {
				n++
			}
		}
		require.Equal(t, n, scores[i].Correct)
	}
	for want, bad := range map[string][]int{"example 37 is outside 0..36": {1, 37}, "example 5 is given twice": {5, 5}, "no examples": nil} {
		_, _, _, err := p.EvaluateOn(context.Background(), bad, sets)
		require.ErrorContains(t, err, want)
	}
}

// By hand: two maps of 1 × 2, the pixels themselves and twice them, on three images; logit 0 adds all up, so that it shows
// what each element was clamped to.
func TestElementMeansByHand(t *testing.T) {
	net := nets.Net{Name: "maps", Image: []int{1, 2, 1}, Classes: 2, Graph: func(scope *model.Scope, x *graph.Node) *graph.Node {
		maps := tap.Point(graph.Concatenate([]*graph.Node{x, graph.MulScalar(x, 2)}, -1), "maps") // [n, 1, 2, 2]
		flat := tap.Point(graph.Reshape(maps, x.Shape().Dimensions[0], -1), "flat")
		sum := graph.ReduceAndKeep(flat, graph.ReduceSum, 1)
		// A parameter, because networks have some.
		bias := scope.VariableWithShape("bias", shapes.Make(dtypes.Float32, 1)).NodeValue(x.Graph())
		return graph.Concatenate([]*graph.Node{graph.Add(sum, graph.BroadcastToShape(graph.InsertAxes(bias, 0), sum.Shape())), graph.ZerosLike(sum)}, -1)
	}}
	data := datasets.Split{Images: []byte{0, 255, 0, 0, 51, 255}, Shape: []int{1, 2, 1}, Labels: []int32{0, 0, 0}}
	weights := map[string]nets.Array{"bias": {Shape: []int{1}, Data: []float32{-1}}}
	sets := [][]unit.Edit{
		{unit.Ablate("maps", unit.ElementMean)},
		{unit.Ablate("maps", unit.ElementMean, 1)},
		{unit.Ablate("maps", unit.Mean)},
		{unit.Ablate("flat", unit.ElementMean, 1, 3)}, // the elements of position 1 are units 2 and 3 there
	}
	// Pixels (0, 1), (0, 0), (0.2, 1); element means (1, 10)/15; unit means 11/30 and 22/30.
	x := [][2]float64{{0, 1}, {0, 0}, {0.2, 1}}
	logit := func(set, e int) float64 {
		a, b := x[e][0], x[e][1]
		return [...]float64{3 * 11. / 15, a + b + 2*11./15, 6 * 11. / 30, a + 2./15 + b + 20./15}[set] - 1
	}
	for _, o := range []Options{{Verify: -1}, {Verify: -1, Chunk: 1}, {Verify: -1, Chunk: 2}} {
		p, err := New(open(t), net, weights, data, o)
		require.NoError(t, err)
		means, err := p.ElementMeans(context.Background())
		require.NoError(t, err)
		require.InDeltaSlice(t, []float64{1. / 15, 2. / 15, 10. / 15, 20. / 15}, means["maps"], 1e-6)
		require.InDeltaSlice(t, means["maps"], means["flat"], 1e-6)
		scores, receipt, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		for i := range sets {
			want := 0.0
			for e := range x {
				want += math.Log1p(math.Exp(-logit(i, e)))
			}
			require.InDelta(t, want, scores[i].Loss, 1e-5, "set %d", i)
		}
		// All elements of all images differ from their means; of flat, two on each image.
		require.EqualValues(t, 12+6+12+6, receipt.Changed)
		equalsPlain(t, p, sets, scores, receipt)
		p.Close()
	}
}

// Where a unit is one activation, the mean of an element is that of the unit: to the last bit, and by the same fast paths.
func TestElementMeanOfADenseSiteIsTheUnitMean(t *testing.T) {
	net, weights, data := random(t, "mlp:24,16", 37, 5)
	p, err := New(open(t), net, weights, data, Options{Verify: -1})
	require.NoError(t, err)
	defer p.Close()
	evaluate := func(to unit.Target) ([]unit.Score, unit.Receipt) {
		curve := &asked{sites: p.Sites()}
		_, err = ablate.Cumulative(context.Background(), curve, ablate.Spec{Points: 12, Orders: 1, To: to}, ablate.Options{})
		require.ErrorIs(t, err, context.Canceled)
		for u := range 16 {
			curve.sets = append(curve.sets, []unit.Edit{unit.Ablate("fc2", to, u)})
		}
		scores, receipt, err := p.Evaluate(context.Background(), curve.sets)
		require.NoError(t, err)
		return scores, receipt
	}
	scores, receipt := evaluate(unit.Mean)
	again, same := evaluate(unit.ElementMean)
	require.Equal(t, scores, again)
	receipt.Checked, same.Checked = 0, 0
	require.Equal(t, receipt, same)
	require.Contains(t, receipt.Plan, "nested sets add back")
	require.Contains(t, receipt.Plan, "one row of the next weight a unit")
}

// Feature maps clamped element by element, by each method that can be chosen for them.
func TestElementMeansByEveryMethod(t *testing.T) {
	p := skipProbe(t, 12, Options{Verify: -1})
	defer p.Close()
	p.eager = true
	curve := &asked{sites: p.Sites()}
	_, err := ablate.Cumulative(context.Background(), curve, ablate.Spec{Sites: []string{"b", "c"}, Points: 5, Orders: 1, To: unit.ElementMean}, ablate.Options{})
	require.ErrorIs(t, err, context.Canceled)
	var each [][]unit.Edit
	for u := range 3 {
		each = append(each, []unit.Edit{unit.Ablate("b", unit.ElementMean, u)})
	}
	mixed := [][]unit.Edit{{unit.Ablate("a", unit.ElementMean, 0, 2), unit.Ablate("b", unit.Mean), unit.Noise("d", slices.Repeat([]float64{1}, 6), 3)},
		{unit.Ablate("a", unit.Zero, 1), unit.Ablate("c", unit.ElementMean)}}
	for _, c := range []struct {
		method method
		sets   [][]unit.Edit
	}{{chain, curve.sets}, {pairs, each}, {grid, mixed}} {
		jobs, err := p.plan(c.sets, 12)
		require.NoError(t, err)
		require.Equal(t, c.method, jobs[0].method)
		scores, receipt, err := p.Evaluate(context.Background(), c.sets)
		require.NoError(t, err)
		equalsPlain(t, p, c.sets, scores, receipt)
	}
}

// A feature map that is the same on all images, and everywhere, is its own mean, whatever the rounding: nothing changes.
func TestRoundingIsNoChange(t *testing.T) {
	net := nets.Net{Name: "constant", Image: []int{4, 4, 1}, Classes: 3, Graph: func(scope *model.Scope, x *graph.Node) *graph.Node {
		dark := graph.Add(graph.MulScalar(x, 0), graph.ExpandLeftToRank(
			scope.VariableWithShape("bias", shapes.Make(dtypes.Float32, 2)).NodeValue(x.Graph()), 4)) // [n, 4, 4, 2]
		y := tap.Point(graph.Concatenate([]*graph.Node{dark, x}, -1), "maps")
		y = tap.Point(graph.Reshape(y, x.Shape().Dimensions[0], -1), "flat")
		return layers.Dense(scope.In("logits"), y, true, 3)
	}}
	weights, err := net.Init(open(t).Engine, 3)
	require.NoError(t, err)
	weights["bias"] = nets.Array{Shape: []int{2}, Data: []float32{0.1, 1234.567}}
	p, err := New(open(t), net, weights, images(1001, net, 1), Options{Verify: -1, Chunk: 143})
	require.NoError(t, err)
	defer p.Close()
	for _, to := range []unit.Target{unit.Mean, unit.ElementMean} {
		sets := [][]unit.Edit{{unit.Ablate("maps", to, 0)}, {unit.Ablate("maps", to, 0, 1)}, {unit.Ablate("flat", to, 0, 1)}, {unit.Ablate("flat", to, 0)}}
		_, receipt, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		require.Zero(t, receipt.Changed, "%v", to)
		require.Equal(t, 4, receipt.NoEffect)
		_, receipt, err = p.Evaluate(context.Background(), [][]unit.Edit{{unit.Ablate("maps", to)}})
		require.NoError(t, err)
		require.Greater(t, receipt.Changed, int64(1001*16*9/10), "the third map does change")
	}
}

// A million equal activations: their mean is what they are, up to a few roundings, and they have no spread.
func TestMomentsOfManyEqualActivations(t *testing.T) {
	net := nets.Net{Name: "constant", Image: []int{32, 32, 1}, Classes: 2, Graph: func(scope *model.Scope, x *graph.Node) *graph.Node {
		y := graph.Add(graph.MulScalar(x, 0), graph.ExpandLeftToRank(
			scope.VariableWithShape("bias", shapes.Make(dtypes.Float32, 2)).NodeValue(x.Graph()), 4))
		return graph.ReduceMean(tap.Point(y, "maps"), 1, 2)
	}}
	weights := map[string]nets.Array{"bias": {Shape: []int{2}, Data: []float32{0.1, 1234.567}}}
	p, err := New(open(t), net, weights, images(1000, net, 1), Options{})
	require.NoError(t, err)
	defer p.Close()
	got, err := p.Moments(context.Background())
	require.NoError(t, err)
	for u, x := range weights["bias"].Data {
		require.InEpsilon(t, float64(x), got["maps"].Mean[u], 2e-7)
		require.Less(t, got["maps"].SD[u], 1e-4*float64(x))
	}
}

func TestGivenElementMeans(t *testing.T) {
	p := skipProbe(t, 12, Options{Verify: -1})
	defer p.Close()
	all := func() (means map[string][]float64) {
		means, err := p.ElementMeans(context.Background())
		require.NoError(t, err)
		return means
	}()
	sets := [][]unit.Edit{{unit.Ablate("b", unit.ElementMean)}, {unit.Ablate("c", unit.ElementMean, 1), unit.Ablate("d", unit.ElementMean, 2)}}
	want, _, err := p.Evaluate(context.Background(), sets)
	require.NoError(t, err)
	q := skipProbe(t, 12, Options{Verify: -1, ElementMean: all})
	defer q.Close()
	got, _, err := q.Evaluate(context.Background(), sets)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Empty(t, q.elementMeans, "nothing was measured")
	q.opt.ElementMean["c"] = all["c"][:5]
	_, _, err = q.Evaluate(context.Background(), sets)
	require.ErrorContains(t, err, `Options.ElementMean has 5 values for site "c", want 48 ([4 4 3], units last)`)
	_, err = q.ElementMeans(context.Background(), "e")
	require.ErrorContains(t, err, `no site "e"`)
}
