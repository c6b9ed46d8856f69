package paper

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 4c: AUC and test accuracy of networks that differ in learning rate and batch size, and how well AUC, which needs no
// held-out images, picks settings that generalize. Protocol: section 2.8; section 6, items 7 and 13.

func figure4c() design {
	return design{
		Info: Info{
			ID:      "4c",
			Title:   "Robustness to ablation and test accuracy over hyperparameters",
			Claim:   "The area under the ablation curve picks hyperparameters that generalize",
			Presets: presets,
			Data:    convData,
		},
		plan: func(preset, data string) (plan, error) {
			s, p, err := ensemble(ensemble4c).plan(preset, data)
			if err != nil {
				return p, err
			}
			s.Selection = &stat.SelectOptions{Draws: 10_000, Permutations: 1000, Seed: 1}
			p.Seeds["init and order, first of each setting"], p.Seeds["init and order, second"] = 1, 2
			p.Seeds["sub-selections"] = s.Selection.Seed
			p.Spec = s
			return p, nil
		},
		compute: func(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
			r := new(Result)
			err := compute4c(ctx, l, p.Spec.(specEnsemble), r)
			return r, err
		},
		draw: func(r *Result) (*figure.Figure, error) {
			return drawMembers(r, result.Axis{Name: aucColumn, Unit: "fraction"}, result.Axis{Name: "test accuracy", Unit: "fraction"},
				func(m member) (x, y float64) { return m.auc, m.test })
		},
	}
}

// setting is hyperparameters with the networks that have them.
type setting struct {
	lr    float64
	batch int
	of    []member
}

// mean is the mean of one number over the networks of a setting.
func (s setting) mean(of func(member) float64) float64 {
	mean, _ := stat.MeanSD(numbers(s.of, of))
	return mean
}

// settings groups networks by their hyperparameters, in their order.
func settings(all []member) (groups []setting) {
	for _, m := range all {
		i := slices.IndexFunc(groups, func(s setting) bool { return s.lr == m.spec.Fit.LR && s.batch == m.spec.Fit.Batch })
		if i < 0 {
			i, groups = len(groups), append(groups, setting{lr: m.spec.Fit.LR, batch: m.spec.Fit.Batch})
		}
		groups[i].of = append(groups[i].of, m)
	}
	return groups
}

// topOf scales the paper's 1, 5 and 10 of 48 settings to subsets of another size, rounded up.
func topOf(subset int) (top []int) {
	for _, k := range []int{1, 5, 10} {
		top = append(top, (k*subset+47)/48)
	}
	return slices.Compact(top)
}

func compute4c(ctx context.Context, l *lab.Lab, s specEnsemble, r *Result) error {
	m, err := s.members(ctx, l, r)
	if err != nil {
		return err
	}
	groups := settings(m.all)
	both := 0 // networks of a setting of which none was lost
	for _, g := range groups {
		both = max(both, len(g.of))
	}
	all, err := overSettings(m.all, both, *s.Selection)
	if err != nil {
		return err
	}
	if all.Spearman == nil {
		return fmt.Errorf("AUC and test accuracy of the %d networks have no correlation: %s", len(m.all), all.Undefined)
	}
	fit, err := overSettings(those(m.all, member.fits), both, *s.Selection)
	if err != nil {
		return err
	}
	accuracy := func(m member) float64 { return m.test }
	more := []relationRow{
		{"all, AUC on test images", m.all, func(m member) float64 { return m.aucTest }, accuracy},
		{"all, AUC / accuracy unablated", m.all, func(m member) float64 { return m.relative }, accuracy},
	}
	if err := table4c(r, all, fit, more); err != nil {
		return err
	}
	r.Caption = append(m.describe(fmt.Sprintf("learning rate (%s) and batch size, %d of each of %d settings", between(m.all), both, m.lost.Networks/both)),
		"One dot per network.")
	if all.selection != nil {
		r.Caption[2] += fmt.Sprintf(" Selection: %d settings of %d at a time, %s.", all.selection.Subset, all.selection.Settings, subsets(*all.selection))
	}
	fits := fmt.Sprintf("networks with a training accuracy of at least %g", fitted)
	r.Claims = []result.Claim{
		growsWithTestAccuracy("AUC is the larger the larger the test accuracy", "all networks", all),
		growsWithTestAccuracy("So it is among "+fits, "those networks", fit),
		picksWell("AUC picks settings that generalize", all),
		picksWell("So it does among settings of only such networks", fit),
	}
	return nil
}

// spread is how AUC and test accuracy go together over some networks of a grid, and how well AUC picks a setting.
type spread struct {
	stat.Relation                 // over networks; its interval resamples settings, and the networks of each
	settings      int             // that have networks here
	averaged      stat.Relation   // over the means of those settings of which no network was lost or left out
	selection     *stat.Selection // among those; nil if there are too few
	candidates    int             // how many those are
}

// overSettings correlates and selects. Settings with fewer than `whole` networks are no candidates for selection.
func overSettings(all []member, whole int, opt stat.SelectOptions) (spread, error) {
	area, accuracy := func(m member) float64 { return m.auc }, func(m member) float64 { return m.test }
	var s spread
	var err error
	if s.Relation, err = correlated(all, area, accuracy); err != nil {
		return s, err
	}
	groups := settings(all)
	s.settings = len(groups)
	if s.Spearman != nil {
		var pairs [][]stat.Pair
		for _, g := range groups {
			var of []stat.Pair
			for _, x := range g.of {
				of = append(of, stat.Pair{X: x.auc, Y: x.test})
			}
			pairs = append(pairs, of)
		}
		i, err := stat.SpearmanInterval(pairs, 0.95, 2000, relateOptions.Seed)
		if err != nil {
			return s, err
		}
		s.Interval = &i
	}
	var means []member
	for _, g := range groups {
		if len(g.of) == whole {
			means = append(means, member{spec: g.of[0].spec, auc: g.mean(area), test: g.mean(accuracy)})
		}
	}
	s.candidates = len(means)
	if s.averaged, err = correlated(means, area, accuracy); err != nil {
		return s, err
	}
	const fewest = 4 // to choose one of two from
	if len(means) < fewest {
		return s, nil
	}
	opt.Subset = len(means) / 2
	opt.Top = topOf(opt.Subset)
	chosen, err := stat.Select(numbers(means, area), numbers(means, accuracy), opt)
	if err != nil {
		return s, fmt.Errorf("selection among %d settings: %w", len(means), err)
	}
	s.selection = &chosen
	return s, nil
}

// subsets says over which subsets a selection was repeated.
func subsets(s stat.Selection) string {
	if s.Exact {
		return fmt.Sprintf("all %s subsets", thousands(s.Draws))
	}
	return fmt.Sprintf("%s random subsets", thousands(s.Draws))
}

// table4c lists the correlations, and how well AUC picks settings.
func table4c(r *Result, all, fit spread, more []relationRow) error {
	r.Table = result.Table{Title: "AUC and test accuracy, and selection by AUC", Columns: []result.Axis{
		{Name: "networks"}, {Name: "what"}, {Name: "n"}, {Name: "found"}, {Name: "s.d."}, {Name: "95 % interval, from"}, {Name: "to"},
		{Name: "by chance"}, {Name: "p, permutations"},
	}}
	add := func(cells ...any) { r.Table.Rows = append(r.Table.Rows, cells) }
	relation := func(which, what string, one stat.Relation, n int, p any) {
		row := []any{which, what, n, nil, nil, nil, nil, nil, nil}
		if one.Spearman != nil {
			row[3], row[5], row[6], row[8] = one.Spearman.Rho, one.Interval.Lo, one.Interval.Hi, p
		}
		add(row...)
	}
	p := func(one stat.Relation) any {
		if one.Spearman == nil {
			return nil
		}
		return one.Spearman.P
	}
	for k, s := range []spread{all, fit} {
		which := []string{"all", fmt.Sprintf("train accuracy ≥ %g", fitted)}[k]
		relation(which, "ρ over networks, interval over settings", s.Relation, s.N, nil) // networks of a setting are not independent
		relation(which, "ρ over settings, averaged", s.averaged, s.candidates, p(s.averaged))
		if s.selection == nil {
			continue
		}
		for _, top := range s.selection.Top {
			add(which, fmt.Sprintf("picks one of the best %d of %d settings", top.K, s.selection.Subset), s.selection.Settings, top.Rate, nil, nil,
				nil, top.Chance, top.P)
		}
		add(which, "falls short of the best in test accuracy by", s.selection.Settings, s.selection.Shortfall, s.selection.ShortfallSD, nil, nil,
			s.selection.ShortfallChance, s.selection.ShortfallP)
	}
	for _, k := range more {
		one, err := correlated(k.of, k.x, k.y)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		relation(k.name, "ρ over networks, interval over networks", one, one.N, nil)
	}
	return nil
}

// growsWithTestAccuracy is the first acceptance test of Figure 4c (section 8): ρ > 0.7.
func growsWithTestAccuracy(name, which string, s spread) result.Claim {
	const level = 0.7
	c := result.Claim{Name: name, Test: fmt.Sprintf("Spearman's ρ of AUC and test accuracy over %s > %g", which, level)}
	if s.Spearman == nil {
		c.Found = fmt.Sprintf("no ρ: %s (n = %d)", s.Undefined, s.N)
		return c
	}
	c.Found = fmt.Sprintf("ρ = %.3f over %d networks (95 %% bootstrap interval %.3f to %.3f, over %d settings and the networks of each)",
		s.Spearman.Rho, s.N, s.Interval.Lo, s.Interval.Hi, s.settings)
	if a := s.averaged; a.Spearman != nil {
		c.Found += fmt.Sprintf("; over %d whole settings, averaged, ρ = %.3f, p = %.2g", a.N, a.Spearman.Rho, a.Spearman.P)
	}
	c.Passed = s.Spearman.Rho > level
	return c
}

// picksWell is the second acceptance test of Figure 4c (section 8): hit rates far above chance. Far is twice as often, and a
// shortfall that permuted AUCs seldom reach. Where chance is above ½ twice as often cannot be, and the rate must be 1.
func picksWell(name string, of spread) result.Claim {
	const often, seldom = 2, 0.05
	c := result.Claim{Name: name}
	rule := func(settings string) string {
		return fmt.Sprintf("among the best k of %s settings at least %d times as often as by chance for every k, and a shortfall in test "+
			"accuracy that permuted AUCs reach with p < %g", settings, often, seldom)
	}
	if of.selection == nil {
		c.Test, c.Found = rule("half of the"), fmt.Sprintf("%d settings are too few to select from", of.candidates)
		return c
	}
	s := *of.selection
	c.Test, c.Passed = rule(fmt.Sprint(s.Subset)), s.ShortfallP < seldom
	var parts []string
	for _, top := range s.Top {
		parts = append(parts, fmt.Sprintf("top %d %.0f %% (chance %.0f %%, p = %.2g)", top.K, 100*top.Rate, 100*top.Chance, top.P))
		if top.Rate < min(1, often*top.Chance)-1e-9 { // but for rounding
			c.Passed = false
		}
	}
	c.Found = fmt.Sprintf("%s; shortfall %.2f ± %.2f points, mean ± s.d. (chance %.2f, p = %.2g); %s of %d settings",
		strings.Join(parts, ", "), 100*s.Shortfall, 100*s.ShortfallSD, 100*s.ShortfallChance, s.ShortfallP, subsets(s), s.Settings)
	return c
}
