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
	area, accuracy := func(m member) float64 { return m.auc }, func(m member) float64 { return m.test }
	groups := settings(m.all)
	pairs, both := make([][]stat.Pair, len(groups)), 0
	for i, g := range groups {
		for _, x := range g.of {
			pairs[i] = append(pairs[i], stat.Pair{X: x.auc, Y: x.test})
		}
		both = max(both, len(g.of))
	}
	single, err := correlated(m.all, area, accuracy)
	if err != nil {
		return err
	}
	if single.Spearman == nil {
		return fmt.Errorf("AUC and test accuracy of the %d networks have no correlation: %s", len(m.all), single.Undefined)
	}
	interval, err := stat.SpearmanInterval(pairs, 0.95, 2000, relateOptions.Seed)
	if err != nil {
		return err
	}
	// A setting of which one network was lost is no candidate.
	whole := slices.DeleteFunc(slices.Clone(groups), func(g setting) bool { return len(g.of) < both })
	var means []member
	for _, g := range whole {
		means = append(means, member{spec: g.of[0].spec, auc: g.mean(area), test: g.mean(accuracy)})
	}
	opt := *s.Selection
	opt.Subset = len(whole) / 2
	opt.Top = topOf(opt.Subset)
	chosen, err := stat.Select(numbers(means, area), numbers(means, accuracy), opt)
	if err != nil {
		return fmt.Errorf("selection among %d settings: %w", len(whole), err)
	}
	kinds := []relationRow{
		{"ρ over settings, their networks averaged", means, area, accuracy},
		{fmt.Sprintf("ρ over networks with train accuracy ≥ %g", fitted), those(m.all, member.fits), area, accuracy},
		{"ρ over networks; AUC on test images", m.all, func(m member) float64 { return m.aucTest }, accuracy},
		{"ρ over networks; AUC / accuracy unablated", m.all, func(m member) float64 { return m.relative }, accuracy},
	}
	found := make([]stat.Relation, len(kinds))
	for i, k := range kinds {
		if found[i], err = correlated(k.of, k.x, k.y); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	table4c(r, m, len(groups), single.Spearman.Rho, interval, kinds, found, chosen)
	r.Caption = append(m.describe(fmt.Sprintf("learning rate (%s) and batch size, %d of each of %d settings", between(m.all), both, len(groups))),
		fmt.Sprintf("One dot per network. Selection: %s settings of %d at a time, %s.", thousands(chosen.Subset), chosen.Settings, subsets(chosen)))
	r.Claims = []result.Claim{
		growsWithTestAccuracy(single.Spearman.Rho, len(m.all), len(groups), interval, found[0], found[1]),
		picksWell(chosen),
	}
	return nil
}

// subsets says over which subsets a selection was repeated.
func subsets(s stat.Selection) string {
	if s.Exact {
		return fmt.Sprintf("all %s subsets", thousands(s.Draws))
	}
	return fmt.Sprintf("%s random subsets", thousands(s.Draws))
}

// table4c lists the correlations, and how well AUC picks settings.
func table4c(
	r *Result, m members, settings int, rho float64, i stat.Interval, kinds []relationRow, found []stat.Relation, s stat.Selection,
) {
	r.Table = result.Table{Title: "AUC and test accuracy, and selection by AUC", Columns: []result.Axis{
		{Name: "what"}, {Name: "n"}, {Name: "found"}, {Name: "s.d."}, {Name: "95 % interval, from"}, {Name: "to"}, {Name: "by chance"},
		{Name: "p, permutations"},
	}}
	add := func(cells ...any) { r.Table.Rows = append(r.Table.Rows, cells) }
	add("ρ over networks, interval over settings", len(m.all), rho, nil, i.Lo, i.Hi, nil, nil)
	for k, one := range found {
		row := []any{kinds[k].name, len(kinds[k].of), nil, nil, nil, nil, nil, nil}
		if one.Spearman != nil {
			row[2], row[4], row[5], row[7] = one.Spearman.Rho, one.Interval.Lo, one.Interval.Hi, one.Spearman.P
		}
		add(row...)
	}
	for _, top := range s.Top {
		add(fmt.Sprintf("picks one of the best %d of %d settings", top.K, s.Subset), s.Settings, top.Rate, nil, nil, nil, top.Chance, top.P)
	}
	add("falls short of the best in test accuracy by", s.Settings, s.Shortfall, s.ShortfallSD, nil, nil, s.ShortfallChance, s.ShortfallP)
}

// growsWithTestAccuracy is the first acceptance test of Figure 4c (section 8): ρ > 0.7.
func growsWithTestAccuracy(rho float64, networks, settings int, i stat.Interval, averaged, fitting stat.Relation) result.Claim {
	const level = 0.7
	c := result.Claim{
		Name: "AUC is the larger the larger the test accuracy",
		Test: fmt.Sprintf("Spearman's ρ of AUC and test accuracy over networks > %g", level),
		Found: fmt.Sprintf("ρ = %.3f over %d networks (95 %% bootstrap interval %.3f to %.3f, over %d settings and the networks of each)",
			rho, networks, i.Lo, i.Hi, settings),
		Passed: rho > level,
	}
	if averaged.Spearman != nil {
		c.Found += fmt.Sprintf("; over settings, averaged, ρ = %.3f, p = %.2g", averaged.Spearman.Rho, averaged.Spearman.P)
	}
	if fitting.Spearman != nil {
		c.Found += fmt.Sprintf("; over the %d networks with a training accuracy of at least %g, ρ = %.3f", fitting.N, fitted, fitting.Spearman.Rho)
	}
	return c
}

// picksWell is the second acceptance test of Figure 4c (section 8): hit rates far above chance. Far is twice as often, and a
// shortfall that permuted AUCs seldom reach. Where chance is above ½ twice as often cannot be, and the rate must be 1.
func picksWell(s stat.Selection) result.Claim {
	const often, seldom = 2, 0.05
	c := result.Claim{
		Name: "AUC picks settings that generalize",
		Test: fmt.Sprintf("among the best k of %d settings at least %d times as often as by chance for every k, and a shortfall in test "+
			"accuracy that permuted AUCs reach with p < %g", s.Subset, often, seldom),
		Passed: s.ShortfallP < seldom,
	}
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
