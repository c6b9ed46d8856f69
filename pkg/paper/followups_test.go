package paper

import (
	"math"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

func TestFiguresZhouAndAmjadEndToEnd(t *testing.T) {
	l, computed, _ := open(t, t.TempDir())
	z := compute(t, l, figureZhou(), Options{})
	require.Len(t, z.Table.Rows, 3)
	require.Equal(t, "Zhou et al. 2018: what ablating one unit costs", z.Table.Title)
	require.Len(t, z.Units.Rows, 2*96)
	lost, err := z.Units.Numbers("accuracy lost")
	require.NoError(t, err)
	worst, err := z.Units.Numbers("lost in the worst class")
	require.NoError(t, err)
	// The table is what the units say.
	sum, sumWorst := 0.0, 0.0
	for i, row := range z.Units.Rows {
		if row[1] == "fc2" {
			sum += lost[i] / 96
			sumWorst += worst[i] / 96
		}
	}
	require.InDelta(t, sum, z.Table.Rows[1][2], 1e-12)
	require.InDelta(t, sumWorst, z.Table.Rows[1][4], 1e-12)
	require.Equal(t, largest(worst), z.Table.Rows[2][5])
	require.Equal(t, z.Relations.Layers[0].Spearman.Rho, z.Table.Rows[0][7])
	require.Len(t, z.Claims, 4)
	picture := svg(t, z)
	require.Contains(t, picture, "Zhou et al. 2018. What ablating one unit costs")
	require.Equal(t, picture, svg(t, reread(t, z)))

	n := len(computed.titles)
	a := compute(t, l, figureAmjad(), Options{})
	for _, title := range computed.titles[n:] {
		require.NotContains(t, title, "training", "the networks are those of figure zhou")
	}
	require.Len(t, computed.titles, n+2*(1+2), "units measured on training images, and two layers ablated")
	require.Len(t, a.Curves, 2*5)
	for i, c := range a.Curves {
		require.NoError(t, c.Check())
		require.Equal(t, []float64{0, 12, 24, 36, 48}, c.X)
		require.Equal(t, "range of 2 networks", c.Band)
		require.Equal(t, a.Curves[i/5*5].Y[0], c.Y[0], "no units")
		require.InDelta(t, a.Curves[i/5*5].Y[4], c.Y[4], 1e-12, "all units of the layer")
	}
	require.Len(t, a.Table.Rows, 2*3)
	picture = svg(t, a)
	require.Contains(t, picture, "layer fc1")
	require.Contains(t, picture, "Layer fc2")
	require.Equal(t, picture, svg(t, reread(t, a)))

	// By hand: the first order of the first network is that of the lowest mutual information on training images.
	s := func() specAmjad { p, _ := small(figureAmjad()).plan("smoke", "mnist10k"); return p.Spec.(specAmjad) }()
	run, err := l.Train(t.Context(), s.Networks[0], "")
	require.NoError(t, err)
	order, err := l.Ranked(t.Context(), run, s.Rank, []string{"fc2"}, "mutual_information", false)
	require.NoError(t, err)
	alone, err := l.Ablate(t.Context(), run, s.On, ablate.Spec{Given: order, Points: 5})
	require.NoError(t, err)
	run, err = l.Train(t.Context(), s.Networks[1], "")
	require.NoError(t, err)
	order, err = l.Ranked(t.Context(), run, s.Rank, []string{"fc2"}, "mutual_information", false)
	require.NoError(t, err)
	other, err := l.Ablate(t.Context(), run, s.On, ablate.Spec{Given: order, Points: 5})
	require.NoError(t, err)
	require.Equal(t, "fc2: mutual information with the class, lowest first", a.Curves[5].Name)
	for j := range alone.Mean {
		require.InDelta(t, (alone.Mean[j]+other.Mean[j])/2, a.Curves[5].Y[j], 1e-12)
	}
	require.InDelta(t, (alone.AUC+other.AUC)/2, a.Table.Rows[3][2], 1e-12)
}

func TestFigureRanadiveEndToEnd(t *testing.T) {
	l, _, _ := open(t, t.TempDir())
	r := compute(t, l, figureRanadive(), Options{})
	require.Len(t, r.Table.Rows, 4)
	require.Equal(t, []any{0, 1, 2, 8}, []any{r.Table.Rows[0][0], r.Table.Rows[1][0], r.Table.Rows[2][0], r.Table.Rows[3][0]})
	require.Nil(t, r.Table.Rows[0][1], "nothing was measured before training")
	require.Len(t, r.Curves, 4)
	require.Equal(t, []float64{0.5, 1, 2, 8}, r.Curves[0].X)
	p, err := small(figureRanadive()).plan("smoke", "mnist10k")
	require.NoError(t, err)
	run, err := l.Train(t.Context(), p.Spec.(specRanadive).Networks[0], "")
	require.NoError(t, err)
	c, err := l.Course(t.Context(), run, lab.On{Examples: 60}, &lab.On{Examples: 30}, unitSpec().Measure)
	require.NoError(t, err)
	median, err := c.Rows.Numbers("selectivity")
	require.NoError(t, err)
	require.Equal(t, median[2], r.Table.Rows[0][2], "all units before training")
	require.Equal(t, median[9], r.Curves[0].Y[3], "fc1 after 8 epochs")
	rho, err := c.Rows.Numbers("rho")
	require.NoError(t, err)
	require.InDelta(t, (rho[3]+rho[4])/2, r.Table.Rows[1][6], 1e-12, "mean of both layers after 1 epoch")
	require.Equal(t, svg(t, r), svg(t, reread(t, r)))
}

func TestFigureLeavittEndToEnd(t *testing.T) {
	l, _, _ := open(t, t.TempDir())
	r := compute(t, l, figureLeavitt(), Options{})
	require.Len(t, r.Table.Rows, 3)
	require.Equal(t, []string{"-5", "0", "1"}, []string{r.Curves[0].Name, r.Curves[1].Name, r.Curves[2].Name})
	for i, c := range r.Curves {
		require.InDelta(t, (c.Y[0]+c.Y[1])/2, r.Table.Rows[i][2], 1e-12, "mean of the layers")
		require.InDelta(t, r.Table.Rows[i][2], r.Units.Rows[i][2], 1e-12)
		require.Equal(t, r.Table.Rows[i][5], r.Units.Rows[i][3])
	}
	require.Less(t, r.Curves[0].Y[0], r.Curves[1].Y[0], "α = −5 makes units of fc1 less selective")
	require.Less(t, r.Curves[0].Y[1], r.Curves[1].Y[1])
	require.Len(t, r.Claims, 3)
	require.Equal(t, svg(t, r), svg(t, reread(t, r)))
}

// layersRelated is a made-up correlation of each of two layers and of all.
func layersRelated(first, second float64) stat.Relations {
	one := func(layer string, rho float64) stat.Relation {
		r := stat.Relation{Layer: layer, N: 5, Networks: 1}
		if !math.IsNaN(rho) {
			r.Spearman = &stat.Correlation{Rho: rho, P: 0.5, N: 5}
		}
		return r
	}
	return stat.Relations{Layers: []stat.Relation{one("fc1", first), one("fc2", second)}, Pooled: one("", (first+second)/2)}
}

func TestClaimsOfPerClassDamage(t *testing.T) {
	c := damagesOneClass([]float64{0, 0.01, 0.005}, []float64{0.03, 0.06, 0.06})
	require.True(t, c.Passed)
	require.Equal(t, "mean accuracy lost 0.0050 (largest 0.0100), mean loss of the worst class 0.0500 (largest 0.0600), 10.0 times as much; n = 3 units", c.Found)
	require.False(t, damagesOneClass([]float64{0.02, 0.02}, []float64{0.2, 0.2}).Passed, "accuracy moves")
	require.False(t, damagesOneClass([]float64{0.005, 0.005}, []float64{0.01, 0.01}).Passed, "all classes alike")
	require.False(t, damagesOneClass([]float64{0, 0}, []float64{0, 0}).Passed, "nothing")

	c = predicts(layersRelated(0.1, -0.05), layersRelated(-0.4, 0.2))
	require.True(t, c.Passed)
	require.Contains(t, c.Found, "fc1 -0.400, with accuracy lost 0.100; fc2 0.200, with accuracy lost -0.050; pooled ρ = -0.100")
	require.False(t, predicts(layersRelated(0.1, -0.3), layersRelated(-0.4, 0.2)).Passed)
	require.False(t, predicts(layersRelated(0.1, math.NaN()), layersRelated(-0.4, 0.2)).Passed)
	require.True(t, moreSelectiveMoreDamage(layersRelated(0.1, 0.2)).Passed)
	require.False(t, moreSelectiveMoreDamage(layersRelated(0.1, -0.2)).Passed)
	require.False(t, moreSelectiveMoreDamage(layersRelated(0.1, math.NaN())).Passed)
}

func TestClaimHighestFirstHurts(t *testing.T) {
	of := func(low, high []float64) map[string]*ofLayer {
		return map[string]*ofLayer{"fc1": {aucs: map[string][]float64{orderName(information, 0): low, orderName(information, 1): high}}}
	}
	c := highestFirstHurts(information, []string{"fc1"}, of([]float64{0.8, 0.7}, []float64{0.6, 0.5}))
	require.True(t, c.Passed)
	require.Equal(t, "fc1: in 2 of 2 networks; means 0.5500 and 0.7500", c.Found)
	require.False(t, highestFirstHurts(information, []string{"fc1"}, of([]float64{0.8, 0.5}, []float64{0.6, 0.5})).Passed, "equal is not lower")
}

func TestClaimsOverTraining(t *testing.T) {
	moments := func(rho [2]float64, medians ...float64) (all []moment) {
		for i, m := range medians {
			all = append(all, moment{epoch: i, median: []float64{m}, rho: []float64{rho[min(1, i/2)]}})
		}
		return all
	}
	c := emergesAndRecedes(moments([2]float64{0.2, 0.1}, 0.2, 0.5, 0.6, 0.4, 0.3))
	require.True(t, c.Passed)
	require.Equal(t, "network 1: 0.200 before training, highest (0.600) after 2 epochs, 0.300 after 4", c.Found)
	require.False(t, emergesAndRecedes(moments([2]float64{}, 0.2, 0.3, 0.4, 0.6, 0.3)).Passed, "too late")
	require.False(t, emergesAndRecedes(moments([2]float64{}, 0.7, 0.5, 0.6, 0.4, 0.3)).Passed, "falls from the beginning")
	require.False(t, emergesAndRecedes(moments([2]float64{}, 0.2, 0.3, 0.4, 0.6, 0.7)).Passed, "never recedes")
	require.True(t, mattersEarly(moments([2]float64{0.2, 0.1}, 1, 1, 1)).Passed)
	require.False(t, mattersEarly(moments([2]float64{-0.1, -0.2}, 1, 1, 1)).Passed)
	require.False(t, mattersEarly(moments([2]float64{0.1, 0.2}, 1, 1, 1)).Passed)
	none := moments([2]float64{}, 1, 1, 1)
	none[1].rho = nil
	require.Equal(t, "no ρ at one of them", mattersEarly(none).Found)
}

func TestClaimsOfRegularisedNetworks(t *testing.T) {
	made := func(values ...[3]float64) (all []regularised) { // α, selectivity, test accuracy
		for _, v := range values {
			all = append(all, regularised{alpha: v[0], index: []float64{v[1]}, test: []float64{v[2]}})
		}
		return all
	}
	all := made([3]float64{-5, 0.1, 0.6}, [3]float64{-1, 0.2, 0.69}, [3]float64{0, 0.5, 0.7}, [3]float64{1, 0.6, 0.65})
	require.True(t, alphaMoves(all).Passed)
	c := lessCostsLittle(all)
	require.True(t, c.Passed)
	require.Equal(t, "α = 0: selectivity 0.500, test accuracy 0.7000; α = -5: 0.100, -0.1000; α = -1: 0.200, -0.0100; networks of each: 1", c.Found)
	require.True(t, moreHurts(all).Passed)
	all[1].test[0] = 0.67
	require.False(t, lessCostsLittle(all).Passed, "0.03 lower")
	all[1].test[0], all[1].index[0] = 0.7, 0.21
	require.False(t, lessCostsLittle(all).Passed, "not by the factor")
	all[3].test[0] = 0.7
	require.False(t, moreHurts(all).Passed, "equal is not below")
	all[3].index[0] = 0.5
	require.False(t, alphaMoves(all).Passed)
}

// ofThePaper is what figures of the paper go by.
var ofThePaper = regexp.MustCompile(`^(\d[a-e]|A\d)`)

func TestPresetsOfFollowUps(t *testing.T) {
	seven, err := figure7a().plan("quick", "mnist")
	require.NoError(t, err)
	z, err := figureZhou().plan("quick", "mnist")
	require.NoError(t, err)
	require.Equal(t, seven.Spec, z.Spec, "the units of Figure 7a")
	a, err := figureAmjad().plan("quick", "mnist")
	require.NoError(t, err)
	require.Equal(t, seven.Networks, a.Spec.(specAmjad).Networks)
	require.NotEqual(t, a.Spec.(specAmjad).Rank.Split, a.Spec.(specAmjad).On.Split)
	for i := range 2 * len(presets) {
		preset, data := presets[i/2], []string{"mnist", "cifar10"}[i%2]
		p, err := figureLeavitt().plan(preset, data)
		require.NoError(t, err)
		s := p.Spec.(specLeavitt)
		require.Equal(t, len(p.Networks), len(s.Alphas)*len(s.Networks[0]))
		keys := map[string]bool{}
		for k, alpha := range s.Alphas {
			for _, n := range s.Networks[k] {
				require.Equal(t, alpha, n.Fit.SelectivityAlpha)
				key, err := n.Key()
				require.NoError(t, err)
				keys[key] = true
			}
		}
		require.Len(t, keys, len(p.Networks))
		require.Contains(t, s.Alphas, 0.)
		p, err = figureRanadive().plan(preset, data)
		require.NoError(t, err)
		for _, n := range p.Networks {
			kept := n.Fit.Checkpoints
			require.Equal(t, []int{0, n.Fit.Epochs}, []int{kept[0], kept[len(kept)-1]})
			_, err := n.Key()
			require.NoError(t, err)
		}
	}
	for _, d := range designs() {
		require.Equal(t, d.After == "", ofThePaper.MatchString(d.ID), d.ID)
	}
	require.Equal(t, "Figure 7a", called("7a"))
	require.Equal(t, "Amjad et al. 2022", called("amjad"))
}
