package paper

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
)

func TestFigure5aEndToEnd(t *testing.T) {
	l, _, _ := open(t, t.TempDir())
	r := compute(t, l, figure5a(), Options{})
	require.Len(t, r.Curves, 6)
	require.Equal(t, "0.1, true labels", r.Curves[0].Name)
	require.Equal(t, "0.3, permuted labels", r.Curves[5].Name)
	require.Len(t, r.Table.Rows, 6)
	require.Equal(t, []any{0.3, "permuted"}, r.Table.Rows[5][:2])
	require.Len(t, r.Claims, 3)
	require.Len(t, r.Manifest.Inputs, 7)
	picture := svg(t, r)
	require.Contains(t, picture, "that fraction of the units")
	f, err := r.Figure()
	require.NoError(t, err)
	for i, p := range dropouts {
		require.Contains(t, f.Alt(), fmt.Sprintf("Dashed vertical line at %.3g: that fraction of the units of %s", 96*p, r.Curves[3+i].Name))
	}
}

func TestClaimsOfDropout(t *testing.T) {
	// Accuracy 1 → 0 along a line that starts to fall at `from`, on the grid 0, ¼, ½, ¾, 1.
	falling := func(means ...float64) ablate.Result {
		return ablate.Result{Fraction: []float64{0, 0.25, 0.5, 0.75, 1}, Mean: means}
	}
	early, late := falling(1, 0.6, 0.2, 0.1, 0), falling(1, 1, 0.8, 0.4, 0)
	require.InDelta(t, 0.25+0.25*0.1/0.4, halfFall(early), 1e-12)
	require.InDelta(t, 0.5+0.25*0.3/0.4, halfFall(late), 1e-12)
	require.True(t, math.IsNaN(halfFall(falling(0.8, 0.8, 0.8, 0.8, 0.5))))
	require.InDelta(t, 0.84, at(early.Fraction, early.Mean, 0.1), 1e-12)
	require.InDelta(t, 0.05, at(early.Fraction, early.Mean, 0.875), 1e-12)

	middle := falling(1, 0.9, 0.5, 0.3, 0)
	c := halvesLaterWithDropout([]ablate.Result{early, middle, late})
	require.True(t, c.Passed)
	require.Equal(t, "0.312 at dropout 0.1, 0.500 at dropout 0.2, 0.688 at dropout 0.3", c.Found)
	require.False(t, halvesLaterWithDropout([]ablate.Result{early, late, middle}).Passed)
	require.False(t, halvesLaterWithDropout([]ablate.Result{early, early, late}).Passed, "equal is not later")
	require.False(t, halvesLaterWithDropout([]ablate.Result{early, middle, falling(1, 1, 1, 1, 0.6)}).Passed, "never falls")

	// Each has s.d. 0.05·√2, a difference of two 0.1.
	auc := func(mean float64) ablate.Result {
		return ablate.Result{AUC: mean, AUCs: []float64{mean - 0.05, mean + 0.05}, Orders: 2}
	}
	c = coincide([]ablate.Result{auc(0.7), auc(0.5), auc(0.6)})
	require.True(t, c.Passed)
	require.Equal(t, "dropout 0.1 and 0.2: 0.7000 and 0.5000, 2.0 s.d. apart (2 orderings)", c.Found)
	require.False(t, coincide([]ablate.Result{auc(0.7), auc(0.39), auc(0.6)}).Passed)
	same := ablate.Result{AUC: 0.5, AUCs: []float64{0.5, 0.5}}
	require.True(t, coincide([]ablate.Result{same, same, same}).Passed, "equal without any spread")
}
