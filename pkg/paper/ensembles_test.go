package paper

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/sweep"
)

// Recorded when figure3-quick and figure4c-quick were computed. A change here means that the committed figures do not belong
// to their presets any more, and that networks in people's stores are trained anew.
func TestEnsembles(t *testing.T) {
	want := map[string]struct {
		networks    int
		first, last string
	}{
		"figure3-smoke":  {8, "", ""},
		"figure3-quick":  {60, "a8aca0131d40edf3b8841a8fd82e8cb1", "1e96e12449454e3b63ecb38e6eff07e8"},
		"figure3-paper":  {200, "", ""},
		"figure4c-smoke": {12, "", ""},
		"figure4c-quick": {48, "0da8f6d155eb33f99ca4ac927ca7f73a", "1f36a85506384991ed0e9a4eb6024f7c"},
		"figure4c-paper": {192, "", ""},
	}
	all := Ensembles()
	require.Len(t, all, len(want))
	for _, s := range all {
		w, ok := want[s.Name]
		require.True(t, ok, s.Name)
		networks, repeated, err := s.Networks()
		require.NoError(t, err)
		require.Zero(t, repeated)
		require.Len(t, networks, w.networks, s.Name)
		if w.first != "" {
			require.Equal(t, []string{w.first, w.last}, []string{networks[0].Key, networks[len(networks)-1].Key}, s.Name)
		}
		for _, n := range networks {
			require.Zero(t, n.Spec.Corrupt.Fraction, "true labels")
			require.False(t, strings.Contains(n.Spec.Net, "nobn"))
		}
	}
	_, p, err := ensemble(ensemble3).plan("paper", "cifar10")
	require.NoError(t, err)
	require.Empty(t, p.Narrowing)
	require.Equal(t, 400, p.Passes, "20 points × 10 orderings × training and test images")
	rates := map[float64]bool{}
	seeds := map[uint64]bool{}
	for _, s := range p.Networks {
		require.Equal(t, []any{"convnet", "half", 0, 100}, []any{s.Net, s.Input, s.Examples, s.Fit.Epochs})
		require.True(t, s.Fit.LR >= 0.002 && s.Fit.LR <= 0.2)
		rates[s.Fit.LR], seeds[s.Fit.InitSeed], seeds[s.Fit.OrderSeed] = true, true, true
	}
	require.Greater(t, len(rates), 190, "rounded to four digits, a few may coincide")
	require.Greater(t, len(seeds), 390)
	_, p, err = ensemble(ensemble4c).plan("paper", "cifar10")
	require.NoError(t, err)
	require.Len(t, settings(fromSpecs(p.Networks)), 96)
	s, _, err := ensemble(ensemble4c).plan("quick", "mnist10k")
	require.NoError(t, err)
	require.Equal(t, "figure4c-quick-mnist10k", s.Sweep.Name, "another name on other data")
}

// fromSpecs are networks without numbers.
func fromSpecs(specs []lab.Spec) (all []member) {
	for i, s := range specs {
		all = append(all, member{place: i + 1, spec: s})
	}
	return all
}

func TestFigure3EndToEnd(t *testing.T) {
	home := t.TempDir()
	l, computed, notes := open(t, home)
	d := figure3a()
	d.plan = func(preset, data string) (plan, error) {
		p, err := small(figure3a()).plan(preset, data)
		if s, ok := p.Spec.(specEnsemble); ok {
			s.Extremes = 2
			p.Spec = s
		}
		return p, err
	}
	r, err := d.result(context.Background(), l, Options{})
	require.NoError(t, err)
	require.Len(t, computed.titles, 7*3, "trained, ablated on training and on test images: %q", computed.titles)
	require.Contains(t, (*notes)[0], "Sweep figure3-smoke: 7 networks: 0 done, 7 missing. The networks can be computed by `directions sweep run figure3-smoke`")
	require.Contains(t, strings.Join(*notes, "\n"), "3 of 7 networks; lr 0.")
	require.Regexp(t, `: done, test accuracy 0\.\d+, AUC 0\.\d+; about .* left for all`, (*notes)[1])

	require.Len(t, r.Curves, 4)
	for i, c := range r.Curves {
		require.NoError(t, c.Check())
		require.Equal(t, []float64{0, 24, 48, 72, 96}, c.X)
		require.Equal(t, "± s.d. over 2 networks × 3 orderings", c.Band)
		require.Contains(t, c.Name, []string{"2 best: ", "2 worst: "}[i%2])
		require.Contains(t, c.YAxis.Name, []string{"training images", "test images"}[i/2])
	}
	require.Len(t, r.Units.Rows, 7)
	require.Len(t, r.Table.Rows, 4)
	require.Len(t, r.Claims, 2)
	require.Contains(t, r.Caption[0], "7 networks (mlp:48,48) that differ in learning rate (")
	require.Contains(t, r.Caption[1], "3 random orderings of the feature maps of fc1 to fc2, the same for all networks, on the first 60 "+
		"training images unless the first 50 test images are named.")
	require.Contains(t, r.Caption[3], "Preset smoke.")
	require.Len(t, r.Manifest.Inputs, 8)
	require.Contains(t, r.Manifest.Seeds, "draws of learning rates and seeds")
	require.Positive(t, r.Manifest.Seconds)
	require.Equal(t, "go", r.Manifest.Backend)

	// The best have the smallest errors, and their curves are those of the lab.
	errors := map[int]float64{}
	test, err := r.Units.Numbers("test accuracy")
	require.NoError(t, err)
	for i, accuracy := range test {
		errors[i+1] = 1 - accuracy
	}
	for _, row := range r.Table.Rows {
		require.Equal(t, errors[row[1].(int)], row[4])
		for place, e := range errors {
			if row[0] == "best" && place != r.Table.Rows[0][1] && place != r.Table.Rows[1][1] {
				require.GreaterOrEqual(t, e, row[4])
			}
		}
	}
	p, err := d.plan("smoke", "mnist10k")
	require.NoError(t, err)
	s := p.Spec.(specEnsemble)
	var both []ablate.Result
	for _, row := range r.Table.Rows[:2] {
		run, err := l.Train(context.Background(), s.Networks[row[1].(int)-1], "")
		require.NoError(t, err)
		a, err := l.Ablate(context.Background(), run, lab.On{Split: "test", Examples: 50}, *s.Analyses.Ablate)
		require.NoError(t, err)
		require.Equal(t, a.AUC, row[7])
		both = append(both, a)
	}
	curve, err := ablate.Pooled(r.Curves[2].Name, both)
	require.NoError(t, err)
	require.Equal(t, curve.Y, r.Curves[2].Y)
	require.Contains(t, svg(t, r), "accuracy on test images (fraction)")

	// Figure 3b needs nothing more, and is the same from the store.
	l, computed, notes = open(t, home)
	b := compute(t, l, figure3b(), Options{})
	require.Empty(t, computed.titles)
	require.Empty(t, *notes)
	require.Equal(t, r.Units, b.Units)
	require.Equal(t, "all", b.Table.Rows[0][0])
	require.Equal(t, 7, b.Table.Rows[0][1])
	auc, err := b.Units.Numbers(aucColumn)
	require.NoError(t, err)
	rho, err := stat.Spearman(auc, test)
	require.NoError(t, err)
	require.InDelta(t, -rho, b.Table.Rows[0][2], 1e-12, "error falls as accuracy grows")
	require.Equal(t, b.Claims[0].Passed, rho > 0)
	picture := svg(t, b)
	require.Contains(t, picture, "generalization error (fraction)")
	text, err := json.Marshal(b)
	require.NoError(t, err)
	var read Result
	require.NoError(t, json.Unmarshal(text, &read))
	require.Equal(t, picture, svg(t, &read))

	// Networks that `directions sweep run` computes are those of the figure.
	spec := s.Sweep
	w, err := sweep.Open(l, spec)
	require.NoError(t, err)
	rows, err := w.Rows()
	require.NoError(t, err)
	require.Equal(t, "7 networks: 7 done", rows.Tally().String())
}

func TestFigure4cEndToEnd(t *testing.T) {
	l, computed, notes := open(t, t.TempDir())
	r := compute(t, l, figure4c(), Options{})
	require.Len(t, computed.titles, 8*3+4, "eight trained and ablated twice, four diverged: %q", computed.titles)
	require.Contains(t, strings.Join(*notes, "\n"), ": diverged: ")
	require.Contains(t, r.Caption[0], "12 networks (mlp:48,48) that differ in learning rate (0.0005 to 0.01) and batch size, 2 of each of 6 "+
		"settings, true labels; 4 diverged and are left out. ")
	require.Contains(t, r.Caption[2], "Selection: 2 settings of 4 at a time, all 6 subsets.")
	require.Len(t, r.Units.Rows, 12)
	require.Equal(t, []any{9, "diverged", 1e30, 10, nil, nil, nil, nil, nil, nil, nil}, r.Units.Rows[8])
	require.Len(t, r.Manifest.Inputs, 9)
	require.Len(t, r.Claims, 4)
	require.Contains(t, r.Claims[0].Found, "over 8 networks")
	require.Contains(t, r.Claims[0].Found, "over 4 settings and the networks of each")
	require.Contains(t, r.Claims[2].Found, "top 1 ")
	require.Contains(t, r.Claims[2].Found, "all 6 subsets of 4 settings")

	// The same numbers from the table of networks.
	auc, err := r.Units.Numbers(aucColumn)
	require.NoError(t, err)
	test, err := r.Units.Numbers("test accuracy")
	require.NoError(t, err)
	rho, err := stat.Spearman(auc[:8], test[:8])
	require.NoError(t, err)
	require.Equal(t, rho, r.Table.Rows[0][3])
	var meanAUC, meanTest []float64
	for i := 0; i < 8; i += 2 {
		meanAUC, meanTest = append(meanAUC, (auc[i]+auc[i+1])/2), append(meanTest, (test[i]+test[i+1])/2)
	}
	chosen, err := stat.Select(meanAUC, meanTest, stat.SelectOptions{Subset: 2, Top: []int{1}})
	require.NoError(t, err)
	require.Equal(t, []any{"all", "picks one of the best 1 of 2 settings", 4}, r.Table.Rows[2][:3])
	require.InDelta(t, chosen.Top[0].Rate, r.Table.Rows[2][3], 1e-12)
	require.InDelta(t, chosen.Shortfall, r.Table.Rows[3][3], 1e-12)
	require.Contains(t, svg(t, r), "test accuracy (fraction)")
	_, err = json.Marshal(r)
	require.NoError(t, err, "no NaN anywhere")
}

// madeUp are networks: test accuracy and AUC of each, all of which know their training images.
func madeUp(tests, aucs []float64) (all []member) {
	for i := range tests {
		all = append(all, member{place: i + 1, train: 1, test: tests[i], auc: aucs[i], relative: aucs[i], aucTest: aucs[i]})
	}
	return all
}

func TestClaimBestAreMoreRobust(t *testing.T) {
	all := madeUp([]float64{0.3, 0.5, 0.2, 0.6}, []float64{0.35, 0.44, 0.33, 0.46})
	best, worst, err := extremes(all, 2)
	require.NoError(t, err)
	require.Equal(t, []int{4, 2, 1, 3}, []int{best[0].place, best[1].place, worst[0].place, worst[1].place})
	c, err := bestAreMoreRobust("claim", best, worst)
	require.NoError(t, err)
	require.True(t, c.Passed)
	// Two groups of two, each 0.02 apart: s.e. √(2 · 0.0001), 2 degrees of freedom, t = 4.3027: 0.11 ± 0.0608.
	require.Equal(t, "0.4500 and 0.3400, difference 0.1100 (95 % interval over networks by Welch's t 0.0492 to 0.1708); errors 0.4500 and 0.7500 "+
		"on average, train − test accuracy 0.4500 and 0.7500", c.Found)
	c, err = bestAreMoreRobust("claim", worst, best)
	require.NoError(t, err)
	require.False(t, c.Passed)
	_, _, err = extremes(all, 3)
	require.ErrorContains(t, err, "4 networks are too few to compare the 3 best with the 3 worst")

	// Networks that have not learned their images are not among those of the second claim.
	all[0].train = 0.98
	c, err = fittedAreMoreRobust(all, 2)
	require.NoError(t, err)
	require.False(t, c.Passed, "three are too few")
	require.Contains(t, c.Found, "3 networks are too few")
	all = append(all, madeUp([]float64{0.1}, []float64{0.9})...)
	c, err = fittedAreMoreRobust(all, 2)
	require.NoError(t, err)
	require.False(t, c.Passed, "the worst is very robust now")
}

func TestClaimFalls(t *testing.T) {
	all := madeUp([]float64{0.1, 0.2, 0.3, 0.4}, []float64{0.1, 0.3, 0.2, 0.4})
	r, err := correlated(all, member.failure, func(m member) float64 { return m.auc })
	require.NoError(t, err)
	c := falls("claim", "all networks", r)
	require.True(t, c.Passed)
	require.Contains(t, c.Found, "ρ = -0.800 (95 % bootstrap interval over networks ")
	require.Contains(t, c.Found, "p = 0.33, n = 4", "exact: 8 of 24 orders are as far from 0")
	r.Spearman.Rho = 0
	require.False(t, falls("claim", "all networks", r).Passed)
	r, err = correlated(nil, member.failure, member.gap)
	require.NoError(t, err)
	c = falls("claim", "those networks", r)
	require.False(t, c.Passed)
	require.Equal(t, "no ρ: there are no such networks (n = 0)", c.Found)
	r, err = correlated(all[:1], member.failure, member.gap)
	require.NoError(t, err)
	require.Contains(t, falls("claim", "it", r).Found, "no ρ: ")
}

func TestClaimsOfSelection(t *testing.T) {
	of := spread{settings: 4, Relation: stat.Relation{N: 8, Spearman: &stat.Correlation{Rho: 0.71}, Interval: &stat.Interval{Lo: 0.5, Hi: 0.9}}}
	c := growsWithTestAccuracy("claim", "all networks", of)
	require.True(t, c.Passed)
	require.Equal(t, "Spearman's ρ of AUC and test accuracy over all networks > 0.7", c.Test)
	require.Equal(t, "ρ = 0.710 over 8 networks (95 % bootstrap interval 0.500 to 0.900, over 4 settings and the networks of each)", c.Found)
	of.Spearman.Rho = 0.7
	require.False(t, growsWithTestAccuracy("claim", "all networks", of).Passed, "more than, not as much as")
	c = growsWithTestAccuracy("claim", "all networks", spread{Relation: stat.Relation{Undefined: "there are none"}})
	require.False(t, c.Passed)
	require.Equal(t, "no ρ: there are none (n = 0)", c.Found)

	s := stat.Selection{Settings: 24, Subset: 12, Draws: 10000, ShortfallP: 0.01, Shortfall: 0.01, ShortfallSD: 0.011, ShortfallChance: 0.05,
		Top: []stat.Top{{K: 1, Rate: 0.2, Chance: 1. / 12, P: 0.2}, {K: 3, Rate: 0.5, Chance: 0.25, P: 0.01}}}
	c = picksWell("claim", spread{selection: &s})
	require.True(t, c.Passed)
	require.Equal(t, "top 1 20 % (chance 8 %, p = 0.2), top 3 50 % (chance 25 %, p = 0.01); shortfall 1.00 ± 1.10 points, mean ± s.d. "+
		"(chance 5.00, p = 0.01); 10,000 random subsets of 24 settings", c.Found)
	s.Top[1].Rate = 0.49
	require.False(t, picksWell("claim", spread{selection: &s}).Passed, "not twice as often")
	s.Top[1].Rate, s.ShortfallP = 0.5, 0.05
	require.False(t, picksWell("claim", spread{selection: &s}).Passed)
	s.ShortfallP, s.Top[1].Chance, s.Top[1].Rate = 0, 0.6, 1-1e-12
	require.True(t, picksWell("claim", spread{selection: &s}).Passed, "certain, but for rounding")

	c = picksWell("claim", spread{candidates: 3})
	require.False(t, c.Passed)
	require.Equal(t, "3 settings are too few to select from", c.Found)

	require.Equal(t, []int{1, 5, 10}, topOf(48), "the paper's")
	require.Equal(t, []int{1, 2, 3}, topOf(12))
	require.Equal(t, []int{1}, topOf(3))
}

func TestGroups(t *testing.T) {
	var all []member
	for _, lr := range []float64{0.1, 0.2, 0.2, 0.4, 0.4, 0.4, 0.8} {
		m := member{}
		m.spec.Fit.LR = lr
		all = append(all, m)
	}
	groups := byRate(all)
	require.Len(t, groups, 3)
	require.Equal(t, []string{"0.1 to 0.2", "0.4", "0.8"}, []string{between(groups[0]), between(groups[1]), between(groups[2])})
	require.Equal(t, []int{3, 3, 1}, []int{len(groups[0]), len(groups[1]), len(groups[2])}, "nobody twice, nobody left out")
	require.Len(t, byRate(all[3:6]), 1, "all the same")
	require.Empty(t, byRate(nil))

	// Those that fall short of 0.99 are told apart from those that do not, by learning rate; the median is 0.4.
	title, names, _ := clouds(all)
	require.Equal(t, []any{"learning rate", 3}, []any{title, len(names)}, "all fall short")
	all[0].train, all[1].train, all[3].train, all[4].train, all[5].train = 1, 1, 0.99, 1, 1
	title, names, groups = clouds(all)
	require.Equal(t, "training accuracy", title)
	require.Equal(t, []string{"≥ 0.99", "< 0.99, learning rate 0.2", "< 0.99, learning rate 0.8"}, names)
	require.Equal(t, []int{5, 1, 1}, []int{len(groups[0]), len(groups[1]), len(groups[2])})

	s := settings(all)
	require.Len(t, s, 4)
	all[1].test, all[2].test = 0.5, 0.7
	require.InDelta(t, 0.6, settings(all)[1].mean(func(m member) float64 { return m.test }), 1e-12)
}

func TestRowWithoutANumber(t *testing.T) {
	r := result.Table{Columns: []result.Axis{{Name: "learning rate"}, {Name: "train accuracy"}, {Name: "test accuracy"}, {Name: aucColumn}},
		Rows: [][]any{{0.1, nil, nil, nil}}}
	_, err := drawMembers(&Result{Units: r}, result.Axis{}, result.Axis{}, func(m member) (x, y float64) { return m.auc, m.test })
	require.Error(t, err, "nothing to draw")
}
