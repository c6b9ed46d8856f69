package stat_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

func TestQuantile(t *testing.T) {
	before := slices.Clone(tiedX)
	for p, want := range map[float64]float64{0: 1, .1: 1.9, .25: 2.25, .5: 6.5, .9: 13.8, 1: 21} { // numpy 2.4.6 quantile
		got, err := stat.Quantile(tiedX, p)
		require.NoError(t, err)
		require.InDelta(t, want, got, 1e-14)
	}
	reversed := slices.Clone(tiedX)
	slices.Reverse(reversed)
	got, err := stat.Quantile(reversed, .25)
	require.NoError(t, err)
	require.Equal(t, 2.25, got)
	require.Equal(t, before, tiedX)

	_, err = stat.Quantile(nil, .5)
	require.ErrorContains(t, err, "no values")
	_, err = stat.Quantile([]float64{1, math.NaN()}, .5)
	require.ErrorContains(t, err, "value 1 is NaN")
	_, err = stat.Quantile([]float64{1}, 50)
	require.ErrorContains(t, err, "p is 50")
}

func TestBandwidth(t *testing.T) {
	h, err := stat.Bandwidth(tiedX)
	require.NoError(t, err)
	require.InDelta(t, 2.4367195952873133, h, 1e-14) // 0.9·min(std(ddof=1), IQR/1.34)·10^−0.2 in numpy 2.4.6: the IQR decides
	h, err = stat.Bandwidth([]float64{0, 1, 1, 1, 1, 1, 1, 2})
	require.NoError(t, err)
	require.InDelta(t, .9*math.Sqrt(2./7)*math.Pow(8, -.2), h, 1e-15, "an interquartile range of 0 does not count")
	for _, constant := range [][]float64{{3}, {3, 3, 3}} {
		h, err = stat.Bandwidth(constant)
		require.NoError(t, err)
		require.Zero(t, h)
	}
	_, err = stat.Bandwidth(nil)
	require.ErrorContains(t, err, "no values")
}

func TestDensity(t *testing.T) {
	none := math.Inf(1)
	// scipy 1.17.1 gaussian_kde(x, bw_method=1.5/std), and for the bound of x and −x together, doubled.
	f, err := stat.Density(tiedX, []float64{0, 4, 8, 25}, 1.5, -none, none)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{0.046866813151626094, 0.07033967273714369, 0.08361183148049793, 0.0007597324015868378}, f, 1e-15)
	f, err = stat.Density(tiedX, []float64{0, 4}, 1.5, 0, none)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float64{0.09373362630325216, 0.07046083217511633}, f, 1e-15)

	_, err = stat.Density(tiedX, nil, 0, -none, none)
	require.ErrorContains(t, err, "width is 0")
	_, err = stat.Density(tiedX, nil, 1, 2, none)
	require.ErrorContains(t, err, "values go from 1 to 21, beyond the bounds 2 to +Inf")
	_, err = stat.Density(nil, nil, 1, 0, 1)
	require.ErrorContains(t, err, "no values")
}

func TestDensityIntegratesToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 30).Draw(t, "x")
		h := rapid.Float64Range(.02, .2).Draw(t, "h")
		at := make([]float64, 1001)
		for i := range at {
			at[i] = float64(i) / 1000
		}
		f, err := stat.Density(x, at, h, 0, 1)
		require.NoError(t, err)
		area, err := stat.Trapezoid(at, f)
		require.NoError(t, err)
		require.InDelta(t, 1, area, 1e-5)
	})
}
