package probe

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// turnedBy is the plane rotation by an angle of units 0 and 1, of n.
func turnedBy(t *testing.T, n int, angle float64) *unit.Basis {
	v := unit.StandardBasis(n).Vectors
	v[0], v[1], v[n], v[n+1] = math.Cos(angle), math.Sin(angle), -math.Sin(angle), math.Cos(angle)
	b, err := unit.NewBasis(n, v)
	require.NoError(t, err)
	return b
}

// anyBasis is an orthonormal basis by Gram and Schmidt, twice.
func anyBasis(t *testing.T, n int, seed uint64) *unit.Basis {
	rng := rand.New(rand.NewPCG(seed, 5))
	v := make([]float64, n*n)
	for i := range n {
		a := v[i*n : (i+1)*n]
		for k := range a {
			a[k] = rng.NormFloat64()
		}
		for range 2 {
			for j := range i {
				dot := 0.
				for k, x := range v[j*n : (j+1)*n] {
					dot += x * a[k]
				}
				for k, x := range v[j*n : (j+1)*n] {
					a[k] -= dot * x
				}
			}
			size := 0.
			for _, x := range a {
				size += x * x
			}
			for k := range a {
				a[k] /= math.Sqrt(size)
			}
		}
	}
	b, err := unit.NewBasis(n, v)
	require.NoError(t, err)
	return b
}

func TestDirectionsByHand(t *testing.T) {
	net, weights, data := tiny()
	// Turned by 45°, direction 0 of (h0, h1) is (1, 1)/√2. Without it h = ((x0−x1)/2, (x1−x0)/2), so h0 + h1 = 0, and
	// logit1 = −2 h2: never above 0.5, all are class 0. Without direction 1, (−1, 1)/√2, h = ((x0+x1)/2, (x0+x1)/2), whose
	// sum is as before: nothing changes for the logits, but 0,1 and 1,0 have both h0 and h1 changed.
	b := turnedBy(t, 3, math.Pi/4)
	sets := [][]unit.Edit{
		{unit.Project("fc1", b, 0)},
		{unit.Project("fc1", b, 1)},
		{unit.Project("fc1", b)},
		{unit.Project("fc1", b, []int{}...)},
		nil,
	}
	sets[3][0].Units = []int{}
	for _, o := range []Options{{}, {Widen: 2, Chunk: 3}} {
		o.Verify = -1
		p, err := New(open(t), net, weights, data, o)
		require.NoError(t, err)
		scores, receipt, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		for i, want := range []int{2, 4, 2, 4, 4} {
			require.Equal(t, want, scores[i].Correct, "set %d, %+v", i, o)
		}
		// 0,1: −1/2 for h1 and the new h0, 1,0 alike; 1,1: both to 0. Then 2 + 2; then all that is not 0: 2 + 2 + 1.
		require.EqualValues(t, 6+4+5, receipt.Changed)
		require.Equal(t, 1, receipt.NoEffect, "no direction was taken out")
		require.InDelta(t, 2*math.Log1p(math.Exp(-0.5))+2*math.Log1p(math.Exp(0.5)), scores[2].Loss, 1e-5)
		p.Close()
	}
}

func TestDirectionsAreRefusedWhereTheyMeanNothing(t *testing.T) {
	net, weights, data := tiny()
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	b := unit.StandardBasis(3)
	noisy, mean := unit.Project("fc1", b), unit.Project("fc1", b)
	noisy.Sigma, mean.To = []float64{1, 1, 1}, unit.Mean
	for want, set := range map[string][]unit.Edit{
		"a basis of the 3 units of site \"fc1\" has 9 numbers, got 4": {unit.Project("fc1", unit.StandardBasis(2))},
		"can be taken out only (target zero, no noise)":               {noisy},
		"taken out only":                     {mean},
		"and edits it otherwise too":         {unit.Project("fc1", b, 0), unit.Ablate("fc1", unit.Zero, 1)},
		"otherwise too":                      {unit.Ablate("fc1", unit.Zero, 1), unit.Project("fc1", b, 0)},
		"got unit 3":                         {unit.Project("fc1", b, 3)},
		"edits unit 1 of site \"fc1\" twice": {unit.Project("fc1", b, 1, 1)},
	} {
		_, _, err := p.Evaluate(context.Background(), [][]unit.Edit{nil, set})
		require.ErrorContains(t, err, want)
	}
	_, err = unit.NewBasis(2, []float64{1, 0, 0.1, 1})
	require.ErrorContains(t, err, "the product of directions 1 and 0 is 0.1, it should be 0")
	_, err = unit.NewBasis(2, []float64{1, 0, 0, 2})
	require.ErrorContains(t, err, "directions 1 and 1 is 4, it should be 1")
	_, err = unit.NewBasis(2, []float64{1, 0, 0})
	require.ErrorContains(t, err, "2 × 2 numbers, got 3")
}

// The standard basis is what ordinary ablation edits; no and all directions are the same in every basis; what stays of an
// activation is what float64 says; and how sets are grouped does not matter.
func TestDirectionsOfAnyNetwork(t *testing.T) {
	for _, spec := range []string{"mlp:8,6", "convnet:width=0.0625,layers=2"} {
		t.Run(spec, func(t *testing.T) {
			net, err := nets.Parse(spec, []int{8, 8, 1}, 5)
			require.NoError(t, err)
			weights, err := net.Init(open(t).Engine, 3)
			require.NoError(t, err)
			data := images(40, net, 4)
			sites, _, err := net.Sketch(open(t).Engine)
			require.NoError(t, err)
			last, before := sites[len(sites)-1], sites[len(sites)-2]
			b, other := anyBasis(t, last.Units(), 1), anyBasis(t, last.Units(), 2)
			lower := anyBasis(t, before.Units(), 3)
			standard := unit.StandardBasis(last.Units())
			sets := [][]unit.Edit{
				nil,
				{unit.Ablate(last.Name, unit.Zero, 0, 2, 3)},
				{unit.Project(last.Name, standard, 0, 2, 3)},
				{unit.Ablate(last.Name, unit.Zero)},
				{unit.Project(last.Name, b)},
				{unit.Project(last.Name, other)},
				{unit.Project(last.Name, b, 1, 2)},
				{unit.Project(last.Name, other, 1, 2)},
				{unit.Project(before.Name, lower, 0, 1), unit.Project(last.Name, b, 3)},
				{unit.Project(before.Name, lower), unit.Project(last.Name, b)},
				{unit.Ablate(before.Name, unit.Zero), unit.Ablate(last.Name, unit.Zero)},
				{unit.Project(before.Name, lower, 2), unit.Ablate(last.Name, unit.Mean, 1)},
			}
			var first []unit.Score
			for _, o := range []Options{{}, {Widen: 5, Chunk: 7}} {
				o.Verify = -1
				p, err := New(open(t), net, weights, data, o)
				require.NoError(t, err)
				scores, receipt, err := p.Evaluate(context.Background(), sets)
				require.NoError(t, err)
				require.Zero(t, receipt.Mismatches)
				require.Contains(t, receipt.Plan, "cut at")
				require.NotContains(t, receipt.Plan, "add back", "other methods know of units only")
				if first == nil {
					first = scores
					// Only sets of one basis: the product with one matrix.
					alone, _, err := p.Evaluate(context.Background(), [][]unit.Edit{sets[4], sets[6], nil})
					require.NoError(t, err)
					for i, k := range []int{4, 6, 0} {
						require.Equal(t, scores[k].ByClass, alone[i].ByClass)
						require.InDelta(t, scores[k].Loss, alone[i].Loss, 1e-4*(1+scores[k].Loss))
					}
				}
				for i := range scores {
					require.Equal(t, first[i].ByClass, scores[i].ByClass, "set %d, %+v", i, o)
					require.InDelta(t, first[i].Loss, scores[i].Loss, 1e-4*(1+first[i].Loss))
				}
				same := func(i, k int) {
					require.Equal(t, scores[i].ByClass, scores[k].ByClass)
					require.InDelta(t, scores[i].Loss, scores[k].Loss, 1e-5*(1+scores[i].Loss))
				}
				same(1, 2)
				same(3, 4)
				same(3, 5)
				same(9, 10)
				require.NotEqual(t, scores[6].Loss, scores[7].Loss, "another basis, other directions")
				p.Close()
			}
		})
	}
}

// The logits of an MLP with directions taken out, in float64.
func TestDirectionsAgainstFloat64(t *testing.T) {
	net, weights, data := random(t, "mlp:8,6", 30, 1)
	b := anyBasis(t, 6, 7)
	p, err := New(open(t), net, weights, data, Options{})
	require.NoError(t, err)
	defer p.Close()
	scores, _, err := p.Evaluate(context.Background(), [][]unit.Edit{{unit.Project("fc2", b, 0, 4, 5)}})
	require.NoError(t, err)
	want := 0.
	for e, h := range hidden(weights, data, 2) {
		y := append([]float64{}, h...)
		for _, d := range []int{0, 4, 5} {
			q, dot := b.Vectors[d*6:(d+1)*6], 0.
			for k, x := range q {
				dot += x * h[k]
			}
			for k, x := range q {
				y[k] -= dot * x
			}
		}
		w, bias := weights["logits.weight"], weights["logits.bias"]
		sum, own := 0., 0.
		for c := range 5 {
			z := float64(bias.Data[c])
			for k, x := range y {
				z += x * float64(w.Data[c*6+k])
			}
			sum += math.Exp(z)
			if int32(c) == data.Labels[e] {
				own = z
			}
		}
		want += math.Log(sum) - own
	}
	require.InDelta(t, want, scores[0].Loss, 1e-4)
}
