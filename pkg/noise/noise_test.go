package noise_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// linear is a network whose margin is 1 plus the sum of all its units' noise, so that with noise of s.d. σ_u it is right
// on an example with probability Φ(1 / sqrt(Σ σ_u²)). Its draws are a function of seed, site and example, as unit.Edit
// demands.
type linear struct {
	names    []string
	units    []int
	examples int

	calls  int
	sets   [][]unit.Edit
	before func(call int) error
	broken func([]unit.Score) []unit.Score
}

// small has two units in one site and one in another; with the s.d. of spread, the noise on its margin has s.d. scale.
func small() *linear { return &linear{names: []string{"a", "b"}, units: []int{2, 1}, examples: 400} }

func spread() map[string][]float64 { return map[string][]float64{"a": {0.6, 0}, "b": {0.8}} }

func (n *linear) Sites() []unit.Site {
	var sites []unit.Site
	for i, name := range n.names {
		sites = append(sites, unit.Site{Name: name, Shape: []int{n.units[i]}})
	}
	return sites
}

func (n *linear) Examples() int { return n.examples }

func (n *linear) Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	all := make([]int, n.examples)
	for x := range all {
		all[x] = x
	}
	scores, _, receipt, err := n.EvaluateOn(ctx, all, sets)
	return scores, receipt, err
}

func (n *linear) EvaluateOn(ctx context.Context, examples []int, sets [][]unit.Edit) (
	[]unit.Score, [][]bool, unit.Receipt, error,
) {
	n.calls++
	if n.before != nil {
		if err := n.before(n.calls); err != nil {
			return nil, nil, unit.Receipt{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, unit.Receipt{}, err
	}
	if err := unit.Check(n.Sites(), sets); err != nil {
		return nil, nil, unit.Receipt{}, err
	}
	n.sets = append(n.sets, sets...)
	receipt := unit.Receipt{Plan: "margin", Backend: "none", Sets: len(sets), Examples: len(examples)}
	scores, right := make([]unit.Score, len(sets)), make([][]bool, len(sets))
	for i, set := range sets {
		score := unit.Score{Examples: len(examples), ByClass: make([]int, 1)}
		receipt.Edits += len(set)
		for _, x := range examples {
			margin := 1.0
			for _, e := range set {
				rng := rand.New(rand.NewPCG(e.Seed, uint64(x)<<8|uint64(slices.Index(n.names, e.Site))))
				for _, sigma := range e.Sigma {
					margin += sigma * rng.NormFloat64()
				}
			}
			if margin > 0 {
				score.Correct++
			}
			right[i] = append(right[i], margin > 0)
		}
		score.ByClass[0] = score.Correct
		scores[i] = score
	}
	if n.broken != nil {
		scores = n.broken(scores)
	}
	return scores, right, receipt, nil
}

// inBatches asks its network for at most so many sets at a time.
type inBatches struct {
	*linear
	size int
}

func (b inBatches) Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	var scores []unit.Score
	var receipt unit.Receipt
	for len(sets) > 0 {
		n := min(b.size, len(sets))
		s, r, err := b.linear.Evaluate(ctx, sets[:n])
		if err != nil {
			return nil, unit.Receipt{}, err
		}
		scores, receipt, sets = append(scores, s...), receipt.Add(r), sets[n:]
	}
	return scores, receipt, nil
}

func withoutSeconds(t *testing.T, e noise.Evaluator, spec noise.Spec, opt noise.Options) noise.Result {
	t.Helper()
	r, err := noise.Sweep(t.Context(), e, spread(), spec, opt)
	require.NoError(t, err)
	r.Seconds = result.Seconds{}
	return r
}

func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

func TestSweepFollowsTheNormalDistribution(t *testing.T) {
	n := small()
	n.examples = 2000
	r, err := noise.Sweep(t.Context(), n, spread(), noise.Spec{Seed: 5}, noise.Options{})
	require.NoError(t, err)
	require.True(t, r.Complete())
	require.Len(t, r.Correct, 10)
	for i, scale := range r.Scales {
		p := normal(1 / scale)
		require.InDelta(t, p, r.Mean[i], 4*math.Sqrt(p*(1-p)/20_000)+1e-9, "scale %v", scale)
		// The s.d. over repeats of a fraction of 2000; its own standard error with 10 repeats is 24 %.
		want := math.Sqrt(p * (1 - p) / 2000)
		require.InDelta(t, want, r.SD[i], want+1e-9, "scale %v", scale)
	}
	for i, row := range r.Correct {
		require.True(t, slices.IsSortedFunc(row, func(a, b int) int { return b - a }),
			"repeat %d uses one draw for all scales, so the margin falls steadily: %v", i, row)
	}
	require.Equal(t, 2000, r.Baseline.Correct)
	require.Equal(t, [4]int{3, 1, 2000, 10}, [4]int{r.Units, r.Constant, r.Examples, r.Repeats})
	require.Equal(t, 1+10*15, r.Receipt.Sets)

	at, err := r.ScaleAt(0.9)
	require.NoError(t, err)
	require.InDelta(t, 1/1.2815515655446004, at, 0.02) // scipy 1.17.1 stats.norm.ppf(0.9)
	back, err := r.At(at)
	require.NoError(t, err)
	require.InDelta(t, 0.9, back, 1e-12)
}

func TestEdits(t *testing.T) {
	n := small()
	spec := noise.Spec{Scales: []float64{0.5, 2}, Repeats: 2, Seed: 1}
	r, err := noise.Sweep(t.Context(), n, spread(), spec, noise.Options{})
	require.NoError(t, err)
	seeds := noise.Seeds(1, 2)
	pass := func(seed uint64, scale float64) []unit.Edit {
		return []unit.Edit{
			{Site: "a", To: unit.Itself, Sigma: []float64{0.6 * scale, 0}, Seed: seed},
			{Site: "b", To: unit.Itself, Sigma: []float64{0.8 * scale}, Seed: seed},
		}
	}
	require.Equal(t, [][]unit.Edit{
		nil, pass(seeds[0], 0.5), pass(seeds[0], 2), pass(seeds[1], 0.5), pass(seeds[1], 2),
	}, n.sets)
	require.Equal(t, 2, n.calls)
	require.NotEqual(t, r.Correct[0], r.Correct[1])

	n = small()
	r, err = noise.Sweep(t.Context(), n, spread(), noise.Spec{Sites: []string{"b"}, Scales: []float64{1}}, noise.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, r.Sites)
	require.Equal(t, []unit.Edit{unit.Noise("b", []float64{0.8}, noise.Seeds(0, 1)[0])}, n.sets[1])
}

func TestSeeds(t *testing.T) {
	// An independent implementation of PCG-DXSM in Python integers.
	require.Equal(t, []uint64{0x28e831a0433d0d19, 0x938772a2dab84806, 0x33af56b5458a023d}, noise.Seeds(1, 3))
	require.Equal(t, []uint64{0xe65b9d41d666a8db, 0x7d89a95678bd22e0, 0xc3bb29585bbf58af}, noise.Seeds(math.MaxUint64, 3))
	require.Equal(t, noise.Seeds(7, 10)[:5], noise.Seeds(7, 5))
}

func TestDefaults(t *testing.T) {
	spec := noise.Spec{}.WithDefaults()
	require.Equal(t, 10, spec.Repeats)
	require.Len(t, spec.Scales, 15)
	for i, scale := range spec.Scales {
		require.InEpsilon(t, math.Pow(10, -1.5+2.5*float64(i)/14), scale, 1e-14)
	}
	noise.DefaultScales()[0] = 7
	require.Less(t, noise.DefaultScales()[0], 1.0)
}

func TestBatchesDoNotMatter(t *testing.T) {
	spec := noise.Spec{Repeats: 3}
	want := withoutSeconds(t, small(), spec, noise.Options{})
	for size := 1; size <= 3; size++ {
		require.Equal(t, want, withoutSeconds(t, inBatches{small(), size}, spec, noise.Options{}))
	}
}

func TestResumeEqualsUninterrupted(t *testing.T) {
	spec := noise.Spec{Repeats: 4, Scales: []float64{0.1, 1, 3}, Seed: 9}
	want, err := json.Marshal(withoutSeconds(t, small(), spec, noise.Options{}))
	require.NoError(t, err)
	for stop := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		n := small()
		n.before = func(call int) error {
			if call > stop {
				cancel()
			}
			return nil
		}
		saved := []byte("null")
		partial, err := noise.Sweep(ctx, n, spread(), spec, noise.Options{Done: func(r noise.Result) (err error) {
			saved, err = json.Marshal(r)
			return err
		}})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, fmt.Sprintf("stopped with %d of 4 repeats complete", stop))
		require.Len(t, partial.Correct, stop)
		require.False(t, partial.Complete())
		require.Equal(t, stop > 1, partial.SD != nil)

		var resume *noise.Result // as another process reads it
		require.NoError(t, json.Unmarshal(saved, &resume))
		rest := small()
		got, err := json.Marshal(withoutSeconds(t, rest, spec, noise.Options{Resume: resume}))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "stopped after %d", stop)
		require.Equal(t, 1+4*3, len(n.sets)+len(rest.sets), "nothing is evaluated twice")

		got, err = json.Marshal(withoutSeconds(t, small(), spec, noise.Options{Resume: &partial}))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

func TestResumeOfSomethingElse(t *testing.T) {
	spec := noise.Spec{Repeats: 2, Scales: []float64{0.1, 1}}
	whole := withoutSeconds(t, small(), spec, noise.Options{})
	n := small()
	for _, other := range []noise.Spec{
		{Repeats: 3, Scales: spec.Scales}, {Repeats: 2, Scales: []float64{0.1, 2}}, {Repeats: 2, Scales: spec.Scales, Seed: 1},
		{Repeats: 2, Scales: spec.Scales, Sites: []string{"b", "a"}},
	} {
		_, err := noise.Sweep(t.Context(), n, spread(), other, noise.Options{Resume: &whole})
		require.ErrorContains(t, err, "the result to resume is of other")
	}
	sd := spread()
	sd["b"][0] = 0.81
	_, err := noise.Sweep(t.Context(), n, sd, spec, noise.Options{Resume: &whole})
	require.ErrorContains(t, err, "or standard deviations")
	for _, damage := range []func(*noise.Result){
		func(r *noise.Result) { r.Correct = [][]int{{1}} },
		func(r *noise.Result) { r.Correct = [][]int{{1, 2}, {1}} },
		func(r *noise.Result) { r.Correct = append(slices.Clone(r.Correct), []int{1, 2}) },
		func(r *noise.Result) { r.Examples = 10 },
	} {
		broken := whole
		damage(&broken)
		_, err := noise.Sweep(t.Context(), n, spread(), spec, noise.Options{Resume: &broken})
		require.ErrorContains(t, err, "the result to resume is damaged")
	}
	require.Zero(t, n.calls)
	part := whole
	part.Correct = whole.Correct[:1]
	n.examples = 399
	_, err = noise.Sweep(t.Context(), n, spread(), spec, noise.Options{Resume: &part})
	require.ErrorContains(t, err, "scored 399 examples, the network without noise 400")
}

func TestSecondsAddUpOverSessions(t *testing.T) {
	partial, err := noise.Sweep(t.Context(), small(), spread(), noise.Spec{}, noise.Options{
		Done: func(noise.Result) error { return errors.New("disk full") },
	})
	require.ErrorContains(t, err, "stopped with 1 of 10 repeats complete: disk full")
	partial.Seconds = result.Seconds{Prepare: 100, Evaluate: 200, Total: 300}
	r, err := noise.Sweep(t.Context(), small(), spread(), noise.Spec{}, noise.Options{Resume: &partial})
	require.NoError(t, err)
	require.Greater(t, r.Seconds.Prepare, 100.0)
	require.Greater(t, r.Seconds.Evaluate, 200.0)
	require.Greater(t, r.Seconds.Total, 300.0)
}

func TestStops(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n := small()
	r, err := noise.Sweep(ended, n, spread(), noise.Spec{}, noise.Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n.calls)
	require.NoError(t, r.Curve("none").Check())
	require.Zero(t, r.Curve("none").Len())
	_, err = r.At(1)
	require.ErrorContains(t, err, "no complete repeat")
	_, err = r.ScaleAt(0.5)
	require.ErrorContains(t, err, "no complete repeat")

	ctx, cancel := context.WithCancel(t.Context())
	n.before = func(int) error { cancel(); return errors.New("execution aborted") }
	_, err = noise.Sweep(ctx, n, spread(), noise.Spec{}, noise.Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "execution aborted")

	n.calls, n.before = 0, func(call int) error {
		if call == 3 {
			return os.ErrPermission
		}
		return nil
	}
	r, err = noise.Sweep(t.Context(), n, spread(), noise.Spec{}, noise.Options{})
	require.ErrorIs(t, err, os.ErrPermission)
	require.Len(t, r.Correct, 2)
}

func TestRequestErrors(t *testing.T) {
	twoSites := func(a, b []float64) map[string][]float64 { return map[string][]float64{"a": a, "b": b} }
	for says, bad := range map[string]struct {
		spec noise.Spec
		sd   map[string][]float64
	}{
		"repeats is -1":                          {noise.Spec{Repeats: -1}, spread()},
		"scale 0 is not a finite number > 0":     {noise.Spec{Scales: []float64{0, 1}}, spread()},
		"scale NaN":                              {noise.Spec{Scales: []float64{math.NaN()}}, spread()},
		"scale +Inf":                             {noise.Spec{Scales: []float64{1, math.Inf(1)}}, spread()},
		"scales must ascend, but 1 follows 1":    {noise.Spec{Scales: []float64{1, 1}}, spread()},
		`no site "fc9", the network has [a b]`:   {noise.Spec{Sites: []string{"fc9"}}, spread()},
		`for site "b", there are some for ["a"]`: {noise.Spec{}, map[string][]float64{"a": {1, 1}}},
		`1 standard deviations for site "a"`:     {noise.Spec{}, twoSites([]float64{1}, []float64{1})},
		`unit 1 of site "a" is -1`:               {noise.Spec{}, twoSites([]float64{1, -1}, []float64{1})},
		`unit 0 of site "b" is NaN`:              {noise.Spec{}, twoSites([]float64{1, 1}, []float64{math.NaN()})},
	} {
		n := small()
		r, err := noise.Sweep(t.Context(), n, bad.sd, bad.spec, noise.Options{})
		require.ErrorContains(t, err, says)
		require.Empty(t, r.Sites)
		require.Zero(t, n.calls)
	}
	_, err := noise.Sweep(t.Context(), &linear{}, nil, noise.Spec{}, noise.Options{})
	require.ErrorContains(t, err, "no units to add noise to")
	// Finite numbers whose product is not are caught by whoever checks edits.
	_, err = noise.Sweep(t.Context(), small(), map[string][]float64{"a": {1e308, 0}, "b": {1}},
		noise.Spec{Scales: []float64{1e10}}, noise.Options{})
	require.ErrorContains(t, err, "noise s.d. +Inf")
}

func TestBrokenEvaluators(t *testing.T) {
	for says, broken := range map[string]func([]unit.Score) []unit.Score{
		"gave 15 scores for 16":  func(s []unit.Score) []unit.Score { return s[:15] },
		"scored 1 examples, the": func(s []unit.Score) []unit.Score { s[1].Examples = 1; return s },
		"scored 0 examples, the": func(s []unit.Score) []unit.Score { return make([]unit.Score, len(s)) },
		"count 401 (repeat 0, ":  func(s []unit.Score) []unit.Score { s[1].Correct = 401; return s },
	} {
		n := small()
		n.broken = broken
		r, err := noise.Sweep(t.Context(), n, spread(), noise.Spec{}, noise.Options{})
		require.ErrorContains(t, err, says)
		require.Empty(t, r.Correct, "nothing wrong is kept")
		require.Zero(t, r.Examples)
	}
}

// drawn is a result with these means at scales 0.1, 1 and 10, from one repeat of 100 examples.
func drawn(correct ...int) noise.Result {
	r := noise.Result{Scales: []float64{0.1, 1, 10}, Examples: 100, Correct: [][]int{correct}}
	for _, c := range correct {
		r.Mean = append(r.Mean, float64(c)/100)
	}
	r.Baseline = unit.Score{Examples: 100, Correct: 100}
	return r
}

func TestAUC(t *testing.T) {
	// Over the decades 0.1 to 1 to 10: (1 + 0.5)/2 and (0.5 + 0.1)/2, each half of the range.
	r := noise.Result{Scales: []float64{0.1, 1, 10}, Mean: []float64{1, 0.5, 0.1}}
	require.InDelta(t, (0.75+0.3)/2, r.AUC(), 1e-12)
	require.InDelta(t, 0.4, noise.Result{Scales: noise.DefaultScales(), Mean: slices.Repeat([]float64{0.4}, 15)}.AUC(), 1e-12)
	require.Equal(t, 0.7, noise.Result{Scales: []float64{2}, Mean: []float64{0.7}}.AUC())
	require.True(t, math.IsNaN(noise.Result{Scales: []float64{2, 3}}.AUC()))
	// Uneven steps count by their width on the logarithmic axis: 2 of 3 decades are at 0.2.
	require.InDelta(t, (0.2*2+(0.2+0.8)/2)/3, noise.Result{Scales: []float64{0.01, 1, 10}, Mean: []float64{0.2, 0.2, 0.8}}.AUC(), 1e-12)
}

func TestAt(t *testing.T) {
	r := drawn(100, 80, 20)
	for scale, want := range map[float64]float64{
		0.1: 1, 1: 0.8, 10: 0.2, math.Sqrt(0.1): 0.9, math.Sqrt(10): 0.5, math.Pow(10, 0.25): 0.65,
	} {
		got, err := r.At(scale)
		require.NoError(t, err)
		require.InDelta(t, want, got, 1e-14, "scale %v", scale)
	}
	for _, outside := range []float64{0.09, 10.1, 0, -1, math.NaN()} {
		_, err := r.At(outside)
		require.ErrorContains(t, err, "outside the sweep, which goes from 0.1 to 10")
	}
}

func TestScaleAt(t *testing.T) {
	r := drawn(100, 80, 20)
	for level, want := range map[float64]float64{
		1: 0.1, 0.9: math.Sqrt(0.1), 0.8: 1, 0.5: math.Sqrt(10), 0.2: 10,
	} {
		got, err := r.ScaleAt(level)
		require.NoError(t, err)
		require.InEpsilon(t, want, got, 1e-14, "level %v", level)
	}
	first, err := drawn(90, 40, 60).ScaleAt(0.5)
	require.NoError(t, err)
	require.InEpsilon(t, math.Pow(10, -0.2), first, 1e-14, "the first crossing counts")

	_, err = r.ScaleAt(0.1)
	require.ErrorContains(t, err, "never falls to 0.1: it is 0.2 at the largest noise scale, 10; add larger scales")
	_, err = drawn(30, 20, 10).ScaleAt(0.9)
	require.ErrorContains(t, err, "below 0.9 at the smallest noise scale already (0.3 at scale 0.1, 1 without noise)")
	_, err = r.ScaleAt(math.NaN())
	require.ErrorContains(t, err, "NaN")

	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.IntRange(0, 100), 3, 3).Draw(t, "counts")
		slices.SortFunc(counts, func(a, b int) int { return b - a })
		r := drawn(counts...)
		level := rapid.Float64Range(r.Mean[2], r.Mean[0]).Draw(t, "level")
		scale, err := r.ScaleAt(level)
		require.NoError(t, err)
		got, err := r.At(min(10, max(0.1, scale)))
		require.NoError(t, err)
		require.InDelta(t, level, got, 1e-12, "At undoes ScaleAt")
	})
}

func TestJSONCurveCSV(t *testing.T) {
	r, err := noise.Sweep(t.Context(), small(), spread(),
		noise.Spec{Repeats: 2, Scales: []float64{0.5, 2}, Seed: math.MaxUint64}, noise.Options{})
	require.NoError(t, err)
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var read noise.Result
	require.NoError(t, json.Unmarshal(text, &read))
	require.Equal(t, r, read)

	c := r.Curve("clean")
	require.NoError(t, c.Check())
	require.Equal(t, result.Curve{
		Name: "clean", N: 2, Band: "± s.d. over 2 repeats",
		XAxis: result.Axis{Name: "noise scale", Unit: "s.d. of the unit"},
		YAxis: result.Axis{Name: "accuracy", Unit: "fraction"},
		X:     []float64{0.5, 2}, Y: r.Mean,
		Lo: []float64{r.Mean[0] - r.SD[0], r.Mean[1] - r.SD[1]},
		Hi: []float64{r.Mean[0] + r.SD[0], r.Mean[1] + r.SD[1]},
	}, c)

	r.Correct, r.Examples = [][]int{{390, 280}, {392, 300}}, 400
	var b bytes.Buffer
	require.NoError(t, r.WriteCSV(&b))
	require.Equal(t, `repeat,scale,correct,examples,accuracy
0,0.5,390,400,0.975
0,2,280,400,0.7
1,0.5,392,400,0.98
1,2,300,400,0.75
`, b.String())

	one := withoutSeconds(t, small(), noise.Spec{Repeats: 1}, noise.Options{})
	require.Nil(t, one.SD)
	require.Nil(t, one.Curve("one").Lo)
	require.NoError(t, one.Curve("one").Check())
	_, err = json.Marshal(one)
	require.NoError(t, err)
}

// small() stands in for a trained network: it is right on an example unless the noise on its margin of 1 exceeds it.
func ExampleSweep() {
	sd := map[string][]float64{"a": {0.6, 0}, "b": {0.8}} // of each unit over the training set
	spec := noise.Spec{Scales: []float64{0.1, 1, 10}, Repeats: 5, Seed: 1}
	r, err := noise.Sweep(context.Background(), small(), sd, spec, noise.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, scale := range r.Scales {
		fmt.Printf("noise of %4v s.d.: accuracy %.2f ± %.2f\n", scale, r.Mean[i], r.SD[i])
	}
	level, _ := r.ScaleAt(0.9)
	fmt.Printf("down to 0.9 at %.2f s.d.\n", level)
	// Output:
	// noise of  0.1 s.d.: accuracy 1.00 ± 0.00
	// noise of    1 s.d.: accuracy 0.84 ± 0.01
	// noise of   10 s.d.: accuracy 0.57 ± 0.03
	// down to 0.9 at 0.43 s.d.
}
