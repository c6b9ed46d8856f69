package selectivity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// measured measures one unit with the default spec.
func measured(t require.TestingT, values []float32, labels []int32, classes int) selectivity.Unit {
	u, err := selectivity.Of(values, labels, classes, selectivity.Spec{})
	require.NoError(t, err)
	return u
}

// tenOf has n examples of each of 10 classes, and a unit whose activity is that of its class.
func tenOf(n int, activity func(class int) float32) (values []float32, labels []int32) {
	for range n {
		for c := range 10 {
			values, labels = append(values, activity(c)), append(labels, int32(c))
		}
	}
	return values, labels
}

func TestOneHotUnit(t *testing.T) {
	values, labels := tenOf(20, func(c int) float32 {
		if c == 3 {
			return 0.7
		}
		return 0
	})
	u := measured(t, values, labels, 10)
	require.Equal(t, 1.0, u.Selectivity)
	require.Equal(t, 1.0, u.CCMAS)
	require.Equal(t, 1.0, u.ROCAUC)
	require.Equal(t, 3, u.Preferred)
	require.Equal(t, 3, u.Top)
	require.InDelta(t, 0.2, u.Precision, 1e-15) // 20 of the top 100; 180 tie for the other 80 places, 20 of each class
	require.True(t, math.IsNaN(u.DPrime), "both variances are 0")
	require.Equal(t, 0.9, u.ZeroFraction)
	require.Equal(t, 0.0, u.ClassEntropy)
	h := 0.1*math.Log2(10) + 0.9*math.Log2(1/0.9) // of "class 3 or not"
	require.InDelta(t, h, u.PlugIn, 1e-12)
	require.InDelta(t, h, u.Entropy, 1e-12)
	require.InDelta(t, math.Log2(10), u.KL, 1e-12)
	require.InDelta(t, 0.9/(1-1.0/200), u.Sparseness, 1e-7) // a = 0.1
}

func TestUniformUnit(t *testing.T) {
	// Every class sees the same four values: it tells nothing.
	var values []float32
	var labels []int32
	for c := range 10 {
		for i := range 4 {
			values, labels = append(values, 0.1+0.3*float32(i)), append(labels, int32(c))
		}
	}
	u := measured(t, values, labels, 10)
	require.Equal(t, 0.0, u.Selectivity)
	require.Equal(t, 0, u.Preferred)
	require.InDelta(t, 0, u.CCMAS, 1e-15)
	require.Equal(t, 0.0, u.PlugIn)
	require.Equal(t, 0.5, u.ROCAUC)
	require.InDelta(t, 0, u.DPrime, 1e-12)
	require.InDelta(t, math.Log2(10), u.ClassEntropy, 1e-12)
	require.InDelta(t, 2, u.Entropy, 1e-12)
	require.InDelta(t, 0.1, u.Precision, 1e-12)
	require.Positive(t, u.Null)
	require.Equal(t, -u.Null, u.Information, "not clipped")
}

func TestPerfectUnit(t *testing.T) {
	for _, first := range []float32{0, 1} { // class 0 in the bin of zeros, or not
		values, labels := tenOf(30, func(c int) float32 { return first + float32(c*c) })
		for _, bins := range []int{10, 20, 50} {
			u, err := selectivity.Of(values, labels, 10, selectivity.Spec{Bins: bins})
			require.NoError(t, err)
			require.InDelta(t, math.Log2(10), u.PlugIn, 1e-12, "%d bins", bins)
			require.InDelta(t, math.Log2(10), u.Entropy, 1e-12)
			require.Less(t, u.Information, u.PlugIn)
			require.Equal(t, 9, u.Preferred)
			require.Equal(t, 1.0, u.ROCAUC)
		}
	}
}

func TestSmallUnitByHand(t *testing.T) {
	// Class 0: 1 3; class 1: 2 4 0; class 2 has no example.
	values, labels := []float32{1, 2, 3, 4, 0}, []int32{0, 1, 0, 1, 1}
	u, err := selectivity.Of(values, labels, 3, selectivity.Spec{Bins: 3, Top: 2})
	require.NoError(t, err)
	// Both class means are 2.
	require.Equal(t, 0, u.Preferred)
	require.Equal(t, 0.0, u.Selectivity)
	// Pairs of class 0 against class 1: 1 beats 0; 3 beats 2 and 0: 3 of 6.
	require.Equal(t, 0.5, u.ROCAUC)
	require.Equal(t, 0.0, u.DPrime)
	// 4 and 3 are on top, one of each class.
	require.Equal(t, 0.5, u.Precision)
	require.Equal(t, 0, u.Top)
	// Bins {0}, {1, 2}, {3, 4} hold classes 1; 0 1; 0 1. H(bin) = 0.2 log2 5 + 0.8 log2 2.5, H(bin|class) is 1 for class 0
	// (1, 3 apart) and log2 3 for class 1.
	h := 0.2*math.Log2(5) + 0.8*math.Log2(2.5)
	require.InDelta(t, h, u.Entropy, 1e-12)
	require.InDelta(t, h-0.4-0.6*math.Log2(3), u.PlugIn, 1e-12)
	// D(p(b|0) || p(b)) = log2(0.5/0.4).
	require.InDelta(t, max(math.Log2(1.25), (2*math.Log2(1/1.2)+math.Log2(1/0.6))/3), u.KL, 1e-12)
	require.Equal(t, 1.0, u.ClassEntropy)
	require.Equal(t, 2.0, u.Mean)
	require.InDelta(t, math.Sqrt2, u.SD, 1e-12)
	// a = 4/6.
	require.InDelta(t, (1-4.0/6)/(1-0.2), u.Sparseness, 1e-12)
}

func TestDeadUnit(t *testing.T) {
	values, labels := tenOf(3, func(int) float32 { return 0 })
	values[4] = float32(math.Copysign(0, -1))
	u := measured(t, values, labels, 10)
	require.True(t, u.Dead)
	require.Equal(t, 1.0, u.ZeroFraction)
	require.Equal(t, []int{-1, -1}, []int{u.Preferred, u.Top})
	for _, x := range []float64{u.Selectivity, u.CCMAS, u.DPrime, u.ROCAUC, u.Precision, u.Sparseness, u.ClassEntropy} {
		require.True(t, math.IsNaN(x))
	}
	for _, x := range []float64{u.Information, u.PlugIn, u.Null, u.KL, u.Entropy, u.Mean, u.SD, u.NegativeFraction} {
		require.Equal(t, 0.0, x)
	}
	for _, spec := range []selectivity.Spec{{Epsilon: 1e-7}, {DeadZero: true}} {
		u, err := selectivity.Of(values, labels, 10, spec)
		require.NoError(t, err)
		require.True(t, u.Dead)
		require.Equal(t, 0.0, u.Selectivity)
		require.Equal(t, -1, u.Preferred)
	}
}

func TestConstantUnit(t *testing.T) {
	values, labels := tenOf(3, func(int) float32 { return 0.3 })
	u := measured(t, values, labels, 10)
	require.False(t, u.Dead)
	require.Equal(t, []float64{0, 0, 0, 0, 0, 0, 0.5, 0.1, 0},
		[]float64{u.Selectivity, u.CCMAS, u.PlugIn, u.Null, u.KL, u.Entropy, u.ROCAUC, u.Precision, u.Sparseness})
	require.True(t, math.IsNaN(u.DPrime))
	require.Equal(t, []int{0, 0}, []int{u.Preferred, u.Top})
}

func TestClassWithoutExamples(t *testing.T) {
	// Class 1 of 3 has none: the index is that of the two others, 4 and 2.
	u := measured(t, []float32{4, 4, 2, 2}, []int32{2, 2, 0, 0}, 3)
	require.InDelta(t, 1.0/3, u.Selectivity, 1e-12)
	require.Equal(t, 2, u.Preferred)
	require.InDelta(t, 1, u.PlugIn, 1e-12)
	// One class only: nothing to compare with.
	u = measured(t, []float32{4, 2}, []int32{2, 2}, 3)
	for _, x := range []float64{u.Selectivity, u.CCMAS, u.DPrime, u.ROCAUC} {
		require.True(t, math.IsNaN(x))
	}
	require.Equal(t, 0.0, u.PlugIn)
	require.Equal(t, 2, u.Preferred)
	require.Equal(t, 1.0, u.Precision)
}

func TestNegativeActivity(t *testing.T) {
	values, labels := []float32{-1, 5, 2, 0}, []int32{0, 0, 1, 1}
	u := measured(t, values, labels, 2)
	for _, x := range []float64{u.Selectivity, u.CCMAS, u.Sparseness, u.ClassEntropy} {
		require.True(t, math.IsNaN(x))
	}
	require.Equal(t, 0.25, u.NegativeFraction)
	require.Equal(t, 0, u.Preferred)
	require.Equal(t, 0.5, u.ROCAUC) // 5 beats 2 and 0, −1 neither
	require.InDelta(t, (2.0-1)/math.Sqrt((9.0+1)/2), u.DPrime, 1e-12)
	require.InDelta(t, 1, u.PlugIn, 1e-12) // every example has a bin of its own
}

func TestEpsilon(t *testing.T) {
	index, preferred := selectivity.Index([]float64{1, 3, math.NaN()}, 1)
	require.InDelta(t, 2.0/5, index, 1e-15)
	require.Equal(t, 1, preferred)
	index, preferred = selectivity.Index([]float64{1, -3, 0}, 0)
	require.True(t, math.IsNaN(index))
	require.Equal(t, 0, preferred)
	index, preferred = selectivity.Index(nil, 0)
	require.True(t, math.IsNaN(index))
	require.Equal(t, -1, preferred)
}

func TestBadInput(t *testing.T) {
	ok := []float32{1, 2}
	for says, c := range map[string]struct {
		values  []float32
		labels  []int32
		classes int
		spec    selectivity.Spec
	}{
		"2 values and 1 labels":                {ok, []int32{0}, 2, selectivity.Spec{}},
		"no examples":                          {nil, nil, 2, selectivity.Spec{}},
		"1 classes":                            {ok, []int32{0, 0}, 1, selectivity.Spec{}},
		"label 2 of example 1 is outside 0..1": {ok, []int32{0, 2}, 2, selectivity.Spec{}},
		"activity is NaN on example 1":         {[]float32{1, float32(math.NaN())}, []int32{0, 1}, 2, selectivity.Spec{}},
		"activity is -Inf on example 0":        {[]float32{float32(math.Inf(-1)), 0}, []int32{0, 1}, 2, selectivity.Spec{}},
		"bins is 1":                            {ok, []int32{0, 1}, 2, selectivity.Spec{Bins: 1}},
		"permutations is 9, at least 10":       {ok, []int32{0, 1}, 2, selectivity.Spec{Permutations: 9}},
		"top is -1":                            {ok, []int32{0, 1}, 2, selectivity.Spec{Top: -1}},
		"epsilon is -1":                        {ok, []int32{0, 1}, 2, selectivity.Spec{Epsilon: -1}},
	} {
		_, err := selectivity.Of(c.values, c.labels, c.classes, c.spec)
		require.ErrorContains(t, err, says)
	}
}

// draw is any unit on any examples.
func draw(t *rapid.T) (values []float32, labels []int32, classes int, spec selectivity.Spec) {
	n := rapid.IntRange(1, 80).Draw(t, "n")
	classes = rapid.IntRange(2, 6).Draw(t, "classes")
	spec = selectivity.Spec{Bins: rapid.IntRange(2, 30).Draw(t, "bins"), Top: rapid.IntRange(1, 100).Draw(t, "top"), Seed: 7}
	value := rapid.OneOf(rapid.Just(float32(0)), rapid.Float32Range(0, 3), rapid.SampledFrom([]float32{0.5, 1, 2}))
	values = rapid.SliceOfN(value, n, n).Draw(t, "values")
	labels = rapid.SliceOfN(rapid.Int32Range(0, int32(classes-1)), n, n).Draw(t, "labels")
	return values, labels, classes, spec
}

func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values, labels, classes, spec := draw(t)
		before := slices.Clone(values)
		u, err := selectivity.Of(values, labels, classes, spec)
		require.NoError(t, err)
		require.Equal(t, before, values)
		in := func(name string, x, lo, hi float64) {
			if !math.IsNaN(x) {
				require.True(t, x >= lo && x <= hi, "%s is %v", name, x)
			}
		}
		in("selectivity", u.Selectivity, 0, 1)
		in("plug-in", u.PlugIn, 0, math.Log2(float64(classes))+1e-12)
		in("plug-in", u.PlugIn, 0, u.Entropy+1e-12)
		in("null", u.Null, 0, math.Log2(float64(classes))+1e-12)
		in("kl", u.KL, u.PlugIn-1e-12, math.Inf(1)) // the maximum of what plug-in is the mean of
		in("roc auc", u.ROCAUC, 0, 1)
		in("precision", u.Precision, 1/float64(classes)-1e-12, 1)
		in("sparseness", u.Sparseness, 0, 1+1e-12)
		in("entropy", u.Entropy, 0, math.Log2(float64(spec.Bins))+1e-12)
		in("class entropy", u.ClassEntropy, 0, math.Log2(float64(classes))+1e-12)

		// A growing map that keeps 0 changes nothing that rests on ranks.
		grown := make([]float32, len(values))
		for i, x := range values {
			grown[i] = 8 * x
		}
		v, err := selectivity.Of(grown, labels, classes, spec)
		require.NoError(t, err)
		require.Equal(t, [6]any{u.PlugIn, u.Null, u.KL, u.Entropy, u.Top, u.ZeroFraction},
			[6]any{v.PlugIn, v.Null, v.KL, v.Entropy, v.Top, v.ZeroFraction})
		require.Equal(t, u.Preferred, v.Preferred)
		same(t, u.ROCAUC, v.ROCAUC, 0)
		same(t, u.Selectivity, v.Selectivity, 1e-12)
		same(t, u.DPrime, v.DPrime, 1e-9)
		for i, x := range values {
			grown[i] = float32(math.Cbrt(float64(x))) // may change class means, and with them the preferred class
		}
		if distinct(grown) == distinct(values) {
			v, err = selectivity.Of(grown, labels, classes, spec)
			require.NoError(t, err)
			require.Equal(t, [3]float64{u.PlugIn, u.Null, u.KL}, [3]float64{v.PlugIn, v.Null, v.KL})
			same(t, u.Precision, v.Precision, 0)
		}

		// Neither does another order of the examples, but for the permutations of labels.
		rng := rand.New(rand.NewPCG(1, 2))
		x, y := make([]float32, len(values)), make([]int32, len(values))
		for i, j := range rng.Perm(len(values)) {
			x[i], y[i] = values[j], labels[j]
		}
		v, err = selectivity.Of(x, y, classes, spec)
		require.NoError(t, err)
		require.Equal(t, [2]float64{u.PlugIn, u.Entropy}, [2]float64{v.PlugIn, v.Entropy})
		require.Equal(t, u.Top, v.Top)
		same(t, u.Precision, v.Precision, 0)
		same(t, u.Selectivity, v.Selectivity, 1e-12)
	})
}

func same(t require.TestingT, a, b, within float64) {
	if math.IsNaN(a) {
		require.True(t, math.IsNaN(b))
		return
	}
	require.InDelta(t, a, b, within)
}

func distinct(x []float32) int {
	x = slices.Clone(x)
	slices.Sort(x)
	return len(slices.Compact(x))
}

// stored is a source that has its activity in memory, [site][example][unit].
type stored struct {
	sites  []unit.Site
	labels []int32
	values map[string][][]float32
	part   int // examples handed over at a time
	passes int
	asked  [][]string
	fails  error
}

func (s *stored) Sites() []unit.Site { return s.sites }
func (s *stored) Labels() []int32    { return s.labels }
func (s *stored) Classes() int       { return 3 }

func (s *stored) Activations(ctx context.Context, sites []string, each func(first int, values [][]float32) error) error {
	s.passes++
	s.asked = append(s.asked, sites)
	for first := 0; first < len(s.labels); first += s.part {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		values := make([][]float32, len(sites))
		for i, name := range sites {
			for _, row := range s.values[name][first:min(first+s.part, len(s.labels))] {
				values[i] = append(values[i], row...)
			}
		}
		if err := each(first, values); err != nil {
			return err
		}
	}
	return s.fails
}

// source has sites a, with 5 units, and b, with 2 feature maps, the second of which is dead.
func source() *stored {
	s := &stored{
		sites:  []unit.Site{{Name: "a", Shape: []int{5}}, {Name: "b", Shape: []int{4, 4, 2}}},
		values: map[string][][]float32{}, part: 7,
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		s.labels = append(s.labels, int32(rng.IntN(3)))
		for _, site := range s.sites {
			row := make([]float32, site.Units())
			for u := range row {
				row[u] = max(0, float32(rng.NormFloat64()))
			}
			if site.Name == "b" {
				row[1] = 0
			}
			s.values[site.Name] = append(s.values[site.Name], row)
		}
	}
	return s
}

func TestMeasure(t *testing.T) {
	s := source()
	l1 := map[string][]float64{"a": {1, 2, 3, 4, 5}}
	var progress []string
	r, err := selectivity.Measure(context.Background(), s, selectivity.Spec{}, selectivity.Options{L1: l1,
		Progress: func(done, total int) { progress = append(progress, fmt.Sprint(done, "/", total)) }})
	require.NoError(t, err)
	require.Equal(t, []string{"7/40", "14/40", "21/40", "28/40", "35/40", "40/40"}, progress)
	require.Equal(t, selectivity.Spec{Bins: 20, Permutations: 10, Top: 100}, r.Spec)
	require.Equal(t, []string{"a", "b"}, r.Sites)
	require.Equal(t, []int{40, 1, 0, 1}, []int{r.Examples, r.Dead, r.Negative, r.Passes})
	require.Equal(t, 40, r.ByClass[0]+r.ByClass[1]+r.ByClass[2])
	require.True(t, r.Complete())
	require.Contains(t, r.Table.Title, "20 bins of equal probability with zero apart, corrected by 10 permutations; precision of the top 40")
	var names []string
	for _, c := range r.Table.Columns {
		names = append(names, c.Name)
		require.Empty(t, c.Unit)
	}
	require.Equal(t, selectivity.Columns(), names)
	require.Equal(t, []string{"site", "unit", "dead", "selectivity", "preferred_class", "mutual_information"}, names[:6])
	require.Len(t, r.Table.Rows, 7)

	// Each row is what Of says of the unit.
	i := 0
	for _, site := range s.sites {
		for u := range site.Units() {
			var x []float32
			for _, row := range s.values[site.Name] {
				x = append(x, row[u])
			}
			want := measured(t, x, s.labels, 3)
			row := map[string]any{}
			for j, cell := range r.Table.Rows[i] {
				row[names[j]] = cell
			}
			require.Equal(t, []any{site.Name, u, want.Dead, want.Information, want.Entropy, want.Mean},
				[]any{row["site"], row["unit"], row["dead"], row["mutual_information"], row["entropy"], row["mean"]})
			if i++; i == 7 {
				for _, name := range []string{"selectivity", "preferred_class", "d_prime", "roc_auc", "precision", "top_class", "l1_norm"} {
					require.Nil(t, row[name], name)
				}
				continue
			}
			require.Equal(t, []any{want.Selectivity, want.Preferred, want.ROCAUC, want.CCMAS, want.DPrime, want.Precision, want.Top, want.Sparseness, want.ClassEntropy},
				[]any{row["selectivity"], row["preferred_class"], row["roc_auc"], row["ccmas"], row["d_prime"], row["precision"], row["top_class"], row["sparseness"], row["class_entropy"]})
			if site.Name == "a" {
				require.Equal(t, float64(u+1), row["l1_norm"])
			} else {
				require.Nil(t, row["l1_norm"])
			}
		}
	}

	text, err := json.Marshal(r)
	require.NoError(t, err)
	var back selectivity.Result
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, r, back)

	// Any memory and any parts give the same numbers; what differs is the number of passes.
	for memory, passes := range map[int64]int{1: 7, 2 * 160: 4, 3 * 160: 3, 6*160 + 159: 2, 7 * 160: 1} {
		s := source()
		s.part = int(memory%11) + 1
		got, err := selectivity.Measure(context.Background(), s, selectivity.Spec{}, selectivity.Options{Memory: memory, L1: l1})
		require.NoError(t, err)
		require.Equal(t, r.Table, got.Table)
		require.Equal(t, passes, got.Passes)
		require.Equal(t, passes, s.passes)
	}

	// Sites in another order, and fewer: the rows of the units move with them.
	b, err := selectivity.Measure(context.Background(), source(), selectivity.Spec{Sites: []string{"b", "a"}}, selectivity.Options{L1: l1})
	require.NoError(t, err)
	require.Equal(t, append(slices.Clone(r.Table.Rows[5:]), r.Table.Rows[:5]...), b.Table.Rows)
}

func TestMeasureErrors(t *testing.T) {
	ctx := context.Background()
	check := func(says string, s *stored, spec selectivity.Spec, opt selectivity.Options) {
		t.Helper()
		_, err := selectivity.Measure(ctx, s, spec, opt)
		require.ErrorContains(t, err, says)
	}
	check(`no site "c", the network has [a b]`, source(), selectivity.Spec{Sites: []string{"c"}}, selectivity.Options{})
	check("bins is 1", source(), selectivity.Spec{Bins: 1}, selectivity.Options{})
	check(`2 L1 norms are given for site "a", which has 5 units`, source(), selectivity.Spec{}, selectivity.Options{L1: map[string][]float64{"a": {1, 2}}})
	s := source()
	s.sites = nil
	check("no units to measure", s, selectivity.Spec{}, selectivity.Options{})
	s = source()
	s.values["b"][12][0] = float32(math.NaN())
	check(`unit 0 of site "b": activity is NaN on example 12`, s, selectivity.Spec{}, selectivity.Options{})
	s = source()
	s.fails = errors.New("no power")
	check("no power", s, selectivity.Spec{}, selectivity.Options{})
	s = source()
	s.labels = append(s.labels, 0)
	s.values["a"] = append(s.values["a"], make([]float32, 5)) // b has one example less
	check(`the source gave`, s, selectivity.Spec{}, selectivity.Options{})

	stopped, stop := context.WithCancelCause(ctx)
	s = source()
	_, err := selectivity.Measure(stopped, s, selectivity.Spec{}, selectivity.Options{Memory: 1, Progress: func(done, _ int) {
		if done == 40 { // after the first of seven passes
			stop(errors.New("enough"))
		}
	}})
	require.ErrorContains(t, err, "enough")
	require.Equal(t, 1, s.passes)
}

func ExampleIndex() {
	// A unit's mean activity over the examples of three classes.
	index, preferred := selectivity.Index([]float64{0.5, 2.5, 0.5}, 0)
	fmt.Printf("class %d, index %.3f\n", preferred, index)
	// Output: class 1, index 0.667
}
