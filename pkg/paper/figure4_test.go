package paper

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func TestFigures4aAnd4bEndToEnd(t *testing.T) {
	l, computed, _ := open(t, t.TempDir())
	r := compute(t, l, figure4a(), Options{})
	require.Len(t, computed.titles, 4, "trained once, ablated at three epochs: %q", computed.titles)
	require.Len(t, r.Table.Rows, 3)
	require.Equal(t, 4, r.Table.Rows[2][0])
	require.Len(t, r.Curves, 3)
	for _, c := range r.Curves {
		require.NoError(t, c.Check())
		require.Equal(t, []float64{1, 2, 4}, c.X)
	}
	require.Greater(t, r.Curves[0].Y[0], r.Curves[0].Y[2], "the network learns")
	picture := svg(t, r)
	require.Contains(t, picture, "loss (nats)")
	require.Contains(t, picture, "AUC (fraction)")

	b := compute(t, l, figure4b(), Options{})
	require.Len(t, computed.titles, 4, "all of it was there")
	require.Equal(t, r.Table.Rows, b.Table.Rows)
	require.Contains(t, svg(t, b), "test loss (nats)")
}

func TestFigure4bOfAConvNet(t *testing.T) {
	l, computed, _ := open(t, t.TempDir())
	r := compute(t, l, figure4bConvNet(), Options{})
	require.Len(t, computed.titles, 3, "trained once, ablated at two epochs: %q", computed.titles)
	require.Len(t, r.Table.Rows, 2)
	require.Contains(t, r.Caption[0], "One network (convnet:width=0.03125); AUC over 3 random orderings of the 48 feature maps of conv9 to conv11, "+
		"on 40 training images.")
	require.Contains(t, svg(t, r), "Figure 4b-convnet. ")
}

func TestCheckpointsOfThePresets(t *testing.T) {
	net, _, err := longMLP("smoke", "mnist10k")
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}, net.Fit.Checkpoints)
	mlp, _, err := longMLP("paper", "mnist")
	require.NoError(t, err)
	require.Equal(t, 640, mlp.Fit.Checkpoints[len(mlp.Fit.Checkpoints)-1])
	require.Equal(t, "mlp:2048,2048", mlp.Net)
	net, narrowing, err := longConvNet("quick", "cifar10")
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32}, net.Fit.Checkpoints)
	require.Equal(t, []string{"an eighth of the feature maps", "4,000 training images", "32 epochs, of Adam"}, narrowing)
	require.Equal(t, []any{"convnet:width=0.125", 4000, 32}, []any{net.Net, net.Examples, net.Fit.Epochs})
	net, narrowing, err = longConvNet("paper", "cifar10")
	require.NoError(t, err)
	require.Empty(t, narrowing)
	require.Equal(t, []any{"convnet", 0, 100}, []any{net.Net, net.Examples, net.Fit.Epochs})
	p, err := figure4b().plan("paper", "mnist")
	require.NoError(t, err)
	require.Equal(t, spec4{Network: mlp, Ablate: ablate.Spec{Orders: 10, Points: 20, Seed: 1}}, p.Spec, "all units, all training images")
	p, err = figure4bConvNet().plan("quick", "cifar10")
	require.NoError(t, err)
	require.Equal(t, lastThree, p.Spec.(spec4).Ablate.Sites)
}

func TestClaimsDuringTraining(t *testing.T) {
	table := func(losses, aucs []float64) result.Table {
		t := result.Table{Columns: []result.Axis{{Name: epochColumn}, {Name: testLossColumn}, {Name: aucColumn}}}
		for i := range losses {
			t.Rows = append(t.Rows, []any{1 << i, losses[i], aucs[i]})
		}
		return t
	}
	loss := []float64{2, 1, 0.5, 0.6, 0.7, 0.8}
	c, err := turnsWithTheTestLoss(table(loss, []float64{0.3, 0.5, 0.6, 0.7, 0.65, 0.6}))
	require.NoError(t, err)
	require.True(t, c.Passed)
	require.Equal(t, "largest AUC (0.7000) at epoch 8, smallest test loss (0.5000 nats) at epoch 4, 1 of 6 checkpoints apart; "+
		"AUC ends at 0.6000", c.Found)
	c, err = turnsWithTheTestLoss(table(loss, []float64{0.3, 0.5, 0.6, 0.65, 0.66, 0.7}))
	require.NoError(t, err)
	require.False(t, c.Passed, "AUC never falls")
	c, err = turnsWithTheTestLoss(table([]float64{0.1, 1, 2, 3, 4, 5}, []float64{0.3, 0.4, 0.5, 0.6, 0.7, 0.2}))
	require.NoError(t, err)
	require.False(t, c.Passed, "four checkpoints apart")

	// Ranks of AUC 1 2 3 against those of the loss 3 2 1: ρ = −1, as extreme as 2 of the 6 pairings.
	c, err = fallsWithTheTestLoss(table([]float64{2, 1, 0.5}, []float64{0.3, 0.5, 0.6}))
	require.NoError(t, err)
	require.True(t, c.Passed)
	require.Contains(t, c.Found, "ρ = -1.000 over 3 checkpoints")
	require.Contains(t, c.Found, "p = 0.33")
	c, err = fallsWithTheTestLoss(table([]float64{0.5, 1, 2}, []float64{0.3, 0.5, 0.6}))
	require.NoError(t, err)
	require.False(t, c.Passed)
	_, err = fallsWithTheTestLoss(result.Table{})
	require.ErrorContains(t, err, "no column")
}
