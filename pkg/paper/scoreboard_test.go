package paper

import (
	"bytes"
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/sweep"
)

// tinyScoreboard has eight networks of 16 + 16 units, two of which diverge, measured with few of everything.
func tinyScoreboard(resamples int) design {
	d := scoreboard()
	whole := d.plan
	d.plan = func(preset, data string) (plan, error) {
		p, err := whole(preset, data)
		if err != nil {
			return p, err
		}
		s := p.Spec.(specScoreboard)
		of := &s.Ensemble.Sweep
		of.Base.Net, of.Base.Examples, of.Base.Fit.Epochs, of.Base.Fit.Evaluate = "mlp:16,16", 100, 6, 6
		of.Grid = []sweep.Axis{{Name: "lr", Values: []any{0.003, 0.02, 0.1, 1e9}}, {Name: "batch", Values: []any{20}}, {Name: "seed", Values: []any{1, 2}}}
		of.Analyses.Ablate.Orders, of.Analyses.Ablate.Points, of.Analyses.Test.Examples = 2, 4, 50
		s.Ensemble.Analyses, s.Ensemble.Networks = of.Analyses.WithDefaults(), nil
		networks, _, err := of.Networks()
		if err != nil {
			return p, err
		}
		for _, n := range networks {
			s.Ensemble.Networks = append(s.Ensemble.Networks, n.Spec)
		}
		s.Directions.Orders, s.Directions.Points, s.Noise.Repeats, s.Noise.Scales = 2, 4, 1, []float64{0.1, 1, 10}
		s.Complexity.Draws, s.Complexity.Steps, s.Resamples, s.Shuffles = 1, 4, resamples, 10
		p.Spec = s
		return p, nil
	}
	return d
}

func TestScoreboard(t *testing.T) {
	home := t.TempDir()
	l, computed, _ := open(t, home)
	r, err := tinyScoreboard(50).result(context.Background(), l, Options{})
	require.NoError(t, err)
	require.NotEmpty(t, computed.titles)
	require.Len(t, r.Table.Rows, len(rivals()))
	column := func(name string) []float64 {
		x, err := r.Table.Numbers(name)
		require.NoError(t, err)
		return x
	}
	rho, tau, score := column(rhoColumn), column("τ"), column("CMI")
	from, to := column("from"), column("to")
	for i := range rho {
		require.EqualValues(t, 6, column("networks")[i])
		if math.IsNaN(rho[i]) {
			require.Equal(t, "batch size (set)", r.Table.Rows[i][0], "which all networks share")
			require.Equal(t, len(rho)-1, i, "what has no ρ comes last")
			continue
		}
		require.LessOrEqual(t, from[i], rho[i])
		require.GreaterOrEqual(t, to[i], rho[i])
		require.True(t, tau[i] >= -1 && tau[i] <= 1 && score[i] >= 0 && score[i] <= 100)
		if i > 0 {
			require.GreaterOrEqual(t, rho[i-1], rho[i], "the best first")
		}
	}
	require.Len(t, r.Units.Rows, 8)
	require.Equal(t, sweep.Diverged, r.Units.Rows[7][1])
	test, err := r.Units.Numbers("test accuracy")
	require.NoError(t, err)
	// ρ of the table is that of the columns of the table of networks, turned as expected.
	for i, row := range r.Table.Rows {
		for _, name := range []string{"path norm", "margin", "AUC, random directions"} {
			if row[0] != name {
				continue
			}
			x, err := r.Units.Numbers(name)
			require.NoError(t, err)
			require.True(t, math.IsNaN(x[6]) && math.IsNaN(x[7]))
			want, err := stat.Spearman(x[:6], test[:6])
			require.NoError(t, err)
			if name == "path norm" {
				want = -want
			}
			require.InDelta(t, want, rho[i], 1e-12, name)
		}
	}
	require.Contains(t, r.Caption[0], "8 networks (mlp:16,16)")
	require.Contains(t, r.Caption[0], "2 diverged and are left out")
	require.Len(t, r.Claims, 1)
	require.Contains(t, r.Claims[0].Found, "of 16")

	f, err := r.Figure()
	require.NoError(t, err)
	require.Contains(t, f.Alt(), "all 6 networks")
	var png bytes.Buffer
	require.NoError(t, f.WritePNG(&png))

	// Everything of every network is in the store: with other statistics, nothing is measured again.
	l, computed, _ = open(t, home)
	again, err := tinyScoreboard(60).result(context.Background(), l, Options{})
	require.NoError(t, err)
	require.Empty(t, computed.titles)
	require.NotEqual(t, r.Manifest.Key, again.Manifest.Key)
	require.Equal(t, r.Units, again.Units)
}

func TestScoreboardStandings(t *testing.T) {
	s := specScoreboard{Resamples: 200, Shuffles: 20, Most: 2, Seed: 1}
	var all []candidate
	for i := range 12 {
		c := candidate{member: member{place: i + 1, train: 1, test: 0.3 + 0.01*float64(i*i), auc: 1 - 0.05*float64(i)}}
		c.spec = lab.Spec{}
		c.spec.Fit.LR, c.spec.Fit.Batch = []float64{0.1, 0.2, 0.3}[i%3], []int{10, 20}[i/3%2]
		all = append(all, c)
	}
	test := func(c candidate) float64 { return c.test }
	falling := rival{"falling", -1, func(c candidate) float64 { return c.auc }}
	found, err := s.stands(all, falling, test)
	require.NoError(t, err)
	require.Equal(t, 12, found.networks)
	require.Equal(t, 1., found.rho.Estimate, "expected to fall, and it does")
	require.Equal(t, 1., found.tau)
	require.InDelta(t, 100, found.information.Score, 1e-9)
	found, err = s.stands(all, rival{"rate", 1, func(c candidate) float64 { return c.spec.Fit.LR }}, test)
	require.NoError(t, err)
	require.InDelta(t, 0, found.information.Score, 1e-9, "what is set tells nothing beyond what is set")
	found, err = s.stands(all, rival{"constant", 1, func(candidate) float64 { return 1 }}, test)
	require.NoError(t, err)
	require.Nil(t, found.rho)
	found, err = s.stands(all[:2], falling, test)
	require.NoError(t, err)
	require.Nil(t, found.rho, "two settings are too few")
}

func TestScoreboardClaim(t *testing.T) {
	of := func(name string, rho, lo, hi float64) line {
		s := standing{networks: 10, rho: &stat.Interval{Estimate: rho, Lo: lo, Hi: hi}, tau: 0.5}
		return line{rival: rival{name: name, expected: 1}, test: s}
	}
	c := ablationRanks([]line{of("margin", 0.9, 0.8, 0.95), of(unitsAUC, 0.5, 0.1, 0.8)})
	require.True(t, c.Passed)
	require.Contains(t, c.Found, "ρ = 0.500 (0.100 to 0.800)")
	require.Contains(t, c.Found, "place 2 of 2")
	require.Contains(t, c.Found, "before it: margin 0.900", "what is better is said")
	require.False(t, ablationRanks([]line{of(unitsAUC, 0.5, -0.1, 0.8)}).Passed)
	require.False(t, ablationRanks([]line{{rival: rival{name: unitsAUC}}}).Passed)
}
