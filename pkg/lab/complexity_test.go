package lab

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/complexity"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Margin, loss and path norm against PyTorch in double precision; pkg/complexity/testdata/oracles.py wrote the numbers.
func TestComplexityAgainstPyTorch(t *testing.T) {
	text, err := os.ReadFile("../complexity/testdata/oracles.json")
	require.NoError(t, err)
	var file struct {
		Classes  int
		Shape    []int
		Images   []int
		Labels   []int32
		Networks []struct {
			Net                string
			Weights            map[string]nets.Array
			Margin, Loss       float64
			PathNorm           float64 `json:"path_norm"`
			Spectral           map[string]float64
			Frobenius, Ignored map[string]float64
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	data := datasets.Split{Shape: file.Shape, Labels: file.Labels}
	for _, x := range file.Images {
		data.Images = append(data.Images, byte(x))
	}
	l, _ := open(t, t.TempDir(), Options{})
	b, err := l.Backend()
	require.NoError(t, err)
	require.Len(t, file.Networks, 2)
	for _, o := range file.Networks {
		net, err := nets.Parse(o.Net, file.Shape, file.Classes)
		require.NoError(t, err)
		p, err := probe.New(b, net, o.Weights, data, probe.Options{Chunk: 7})
		require.NoError(t, err)
		defer p.Close()
		site := p.Sites()[0].Name
		sets := [][]unit.Edit{{unit.Ablate(site, unit.Mean, 0)}, {unit.Ablate(site, unit.Zero, 1, 2)}}
		before, _, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		r, err := complexity.Of(context.Background(), alterable{p}, arrays[complexity.Array](o.Weights), complexity.Spec{Seed: 1})
		require.NoError(t, err)
		require.Equal(t, 30, r.Examples)
		require.InDelta(t, o.Margin, r.Margin, 1e-5, o.Net)
		require.InDelta(t, o.Loss, r.Baseline.MeanLoss(), 1e-5, o.Net)
		require.InDelta(t, o.Loss, r.FoldedLoss, 1e-5, o.Net)
		require.InEpsilon(t, o.PathNorm, r.PathNorm, 1e-5, o.Net)
		require.Equal(t, 27, r.Flatness.Evaluations)
		// The probe has its own parameters again, and nothing of the disturbed ones is left in means or kept frontiers.
		after, _, err := p.Evaluate(context.Background(), sets)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
}

func TestComplexityComputeOrLoad(t *testing.T) {
	home, r := shared(t)
	l, w := open(t, home, Options{})
	spec := complexity.Spec{Seed: 1, Draws: 2, Steps: 4}
	first, err := l.Complexity(context.Background(), r, On{}, spec)
	require.NoError(t, err)
	require.Equal(t, 200, first.Examples)
	require.Equal(t, r.Final.TrainAccuracy, first.Baseline.Accuracy())
	require.InDelta(t, r.Final.TrainLoss, first.Baseline.MeanLoss(), 1e-5)
	require.Len(t, first.Layers, 3)
	require.Len(t, w.meters, 1)
	require.Equal(t, (2+2*4)*200, w.meters[0].done)
	files := len(resultFiles(t, l))
	again, err := l.Complexity(context.Background(), r, On{}, spec)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Len(t, resultFiles(t, l), files)
	spec.Seed = 2
	other, err := l.Complexity(context.Background(), r, On{}, spec)
	require.NoError(t, err)
	require.InEpsilonSlice(t, []float64{first.PathNorm, first.Layers[0].Spectral}, []float64{other.PathNorm, other.Layers[0].Spectral}, 1e-6)
	require.Greater(t, len(resultFiles(t, l)), files)
	_, err = l.Complexity(context.Background(), r, On{}, complexity.Spec{Fall: math.NaN()})
	require.ErrorContains(t, err, "fall NaN")
}

func TestDirectionsOfARun(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{})
	units := ablation(t, l, r, On{}, ablate.Spec{Orders: 2, Points: 5, Seed: 1})
	turned := ablation(t, l, r, On{}, ablate.Spec{Orders: 2, Points: 5, Seed: 1, Basis: "random", BasisSeed: 1})
	require.Equal(t, "random", turned.Basis)
	require.Equal(t, units.Baseline.Correct, turned.Baseline.Correct)
	require.Equal(t, units.AllAblated.ByClass, turned.AllAblated.ByClass)
	require.Equal(t, units.OrdersHash, turned.OrdersHash)
	require.NotEqual(t, units.Correct, turned.Correct)
	require.Zero(t, turned.Receipt.Mismatches)
	require.Positive(t, turned.Receipt.Checked)
	require.Equal(t, turned, ablation(t, l, r, On{}, ablate.Spec{Orders: 2, Points: 5, Seed: 1, Basis: "random", BasisSeed: 1}))
}
