package paper

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 3: networks of one topology, trained on the same images with true labels: do those that generalize better rely less
// on single directions? (a) Cumulative ablation of the best and the worst, (b) generalization error and AUC of all. Protocol:
// sections 2.3 and 2.4; section 6, items 7, 14 and 15.

func figure3a() design {
	return figure3(Info{
		ID:    "3a",
		Title: "Cumulative ablation of networks that generalize well and badly",
		Claim: "Networks that generalize better are more robust to ablation",
	}, compute3a, draw3a)
}

func figure3b() design {
	return figure3(Info{
		ID:    "3b",
		Title: "Generalization error and robustness to ablation",
		Claim: "The area under the ablation curve is the larger the smaller the generalization error",
	}, compute3b, func(r *Result) (*figure.Figure, error) {
		return drawMembers(r, result.Axis{Name: "generalization error", Unit: "fraction"}, result.Axis{Name: aucColumn, Unit: "fraction"},
			func(m member) (x, y float64) { return m.failure(), m.auc })
	})
}

func figure3(
	info Info, compute func(ctx context.Context, l *lab.Lab, s specEnsemble, r *Result) error, draw func(r *Result) (*figure.Figure, error),
) design {
	info.Presets, info.Data = presets, convData
	return design{
		Info: info,
		plan: func(preset, data string) (plan, error) {
			s, p, err := ensemble(ensemble3).plan(preset, data)
			if err != nil {
				return p, err
			}
			p.Seeds["draws of learning rates and seeds"] = s.Sweep.Random.Seed
			if info.ID == "3a" {
				s.Extremes = 5
				if preset == "smoke" {
					s.Extremes = 3
					p.Narrowing = append(p.Narrowing, "the 3 best and the 3 worst instead of 5 each")
				}
			}
			p.Spec = s
			return p, nil
		},
		compute: func(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
			r := new(Result)
			err := compute(ctx, l, p.Spec.(specEnsemble), r)
			return r, err
		},
		draw: draw,
	}
}

// what3 is what the networks of Figure 3 differ in.
func what3(m members) string {
	return "learning rate (" + between(m.all) + "), initial weights and order of examples"
}

func compute3a(ctx context.Context, l *lab.Lab, s specEnsemble, r *Result) error {
	m, err := s.members(ctx, l, r)
	if err != nil {
		return err
	}
	best, worst, err := extremes(m.all, s.Extremes)
	if err != nil {
		return err
	}
	r.Table = result.Table{Title: "the networks that generalize best and worst", Columns: []result.Axis{
		{Name: "networks"}, {Name: "network"}, {Name: "learning rate"}, {Name: "train accuracy", Unit: "fraction"},
		{Name: "generalization error", Unit: "fraction"}, {Name: "train − test accuracy", Unit: "fraction"},
		{Name: "AUC, training images", Unit: "fraction"}, {Name: "AUC, test images", Unit: "fraction"},
	}}
	axes := []result.Axis{{Name: "accuracy on training images", Unit: "fraction"}, {Name: "accuracy on test images", Unit: "fraction"}}
	for split, on := range []lab.On{s.Analyses.On, *s.Analyses.Test} {
		for k, group := range [][]member{best, worst} {
			var ablations []ablate.Result
			for _, x := range group {
				run, err := l.Train(ctx, x.spec, "")
				if err != nil {
					return err
				}
				a, err := l.Ablate(ctx, run, on, *s.Analyses.Ablate)
				if err != nil {
					return err
				}
				ablations = append(ablations, a)
			}
			errors := numbers(group, member.failure)
			curve, err := ablate.Pooled(fmt.Sprintf("%d %s: %.3f to %.3f", len(group), []string{"best", "worst"}[k],
				slices.Min(errors), slices.Max(errors)), ablations)
			if err != nil {
				return err
			}
			curve.YAxis = axes[split]
			r.Curves = append(r.Curves, curve)
		}
	}
	for k, group := range [][]member{best, worst} {
		for _, x := range group {
			r.Table.Rows = append(r.Table.Rows, []any{[]string{"best", "worst"}[k], x.place, x.spec.Fit.LR, x.train, x.failure(), x.gap(),
				x.auc, x.aucTest})
		}
	}
	r.Caption = append(m.describe(what3(m)), fmt.Sprintf("The %d networks with the smallest and the %d with the largest generalization "+
		"error (1 − test accuracy), %d orderings each.", len(best), len(worst), s.Analyses.Ablate.Orders))
	all, err := bestAreMoreRobust("Networks that generalize better are more robust to ablation", best, worst)
	if err != nil {
		return err
	}
	above := 0
	for j, y := range r.Curves[0].Y {
		if y > r.Curves[1].Y[j] {
			above++
		}
	}
	all.Found += fmt.Sprintf("; the mean curve of the best is above that of the worst at %d of %d points", above, len(r.Curves[0].Y))
	r.Claims = []result.Claim{all}
	fit, err := fittedAreMoreRobust(m.all, s.Extremes)
	r.Claims = append(r.Claims, fit)
	return err
}

// extremes are the k networks with the smallest and the k with the largest generalization error.
func extremes(all []member, k int) (best, worst []member, err error) {
	if len(all) < 2*k {
		return nil, nil, fmt.Errorf("%d networks are too few to compare the %d best with the %d worst", len(all), k, k)
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b member) int { return cmp.Compare(a.failure(), b.failure()) })
	return sorted[:k], sorted[len(sorted)-k:], nil
}

// bestAreMoreRobust is the acceptance test of Figure 3a (section 8): the mean curve of the best networks lies above that of the
// worst. Its area is the mean of their AUCs.
func bestAreMoreRobust(name string, best, worst []member) (result.Claim, error) {
	area := func(m member) float64 { return m.auc }
	c, err := stat.Unpaired(numbers(worst, area), numbers(best, area), 0.95)
	if err != nil {
		return result.Claim{}, err
	}
	mean := func(x []float64) float64 { m, _ := stat.MeanSD(x); return m }
	return result.Claim{
		Name: name,
		Test: fmt.Sprintf("area under the mean curve of the %d best by generalization error > that of the %d worst", len(best), len(worst)),
		Found: fmt.Sprintf("%.4f and %.4f, difference %.4f (95 %% interval over networks by Welch's t %.4f to %.4f); errors %.4f and %.4f on "+
			"average, train − test accuracy %.4f and %.4f", mean(numbers(best, area)), mean(numbers(worst, area)), c.Difference, c.Lo, c.Hi,
			mean(numbers(best, member.failure)), mean(numbers(worst, member.failure)), mean(numbers(best, member.gap)),
			mean(numbers(worst, member.gap))),
		Passed: c.Difference > 0,
	}, nil
}

// fittedAreMoreRobust is the same among the networks that have learned their training images: of others the curve begins
// lower, whatever they rely on.
func fittedAreMoreRobust(all []member, k int) (result.Claim, error) {
	name := fmt.Sprintf("So are they among networks with a training accuracy of at least %g", fitted)
	best, worst, err := extremes(those(all, member.fits), k)
	if err != nil { // too few: not shown
		return result.Claim{Name: name, Test: fmt.Sprintf("the same of the %d best and the %d worst of those", k, k), Found: err.Error()}, nil
	}
	return bestAreMoreRobust(name, best, worst)
}

// draw3a draws the curves on training images above those on test images.
func draw3a(r *Result) (*figure.Figure, error) {
	const legend = "generalization error"
	train, err := figure.Curves(figure.Options{Title: r.heading(), Chance: 0.1, LegendTitle: legend}, r.Curves[:2]...)
	if err != nil {
		return nil, err
	}
	test, err := figure.Curves(figure.Options{Caption: r.Caption, Chance: 0.1, LegendTitle: legend}, r.Curves[2:]...)
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, train, test)
}

func compute3b(ctx context.Context, l *lab.Lab, s specEnsemble, r *Result) error {
	m, err := s.members(ctx, l, r)
	if err != nil {
		return err
	}
	area := func(m member) float64 { return m.auc }
	middle := median(numbers(m.all, member.failure))
	kinds := []relationRow{
		{"all", m.all, member.failure, area},
		{fmt.Sprintf("train accuracy ≥ %g", fitted), those(m.all, member.fits), member.failure, area},
		{"smaller errors, half of all", those(m.all, func(x member) bool { return x.failure() <= middle }), member.failure, area},
		{"larger errors, half of all", those(m.all, func(x member) bool { return x.failure() > middle }), member.failure, area},
	}
	for _, group := range byRate(m.all) {
		kinds = append(kinds, relationRow{"learning rate " + between(group), group, member.failure, area})
	}
	kinds = append(kinds,
		relationRow{"all; train − test accuracy for error", m.all, member.gap, area},
		relationRow{"all; AUC on test images", m.all, member.failure, func(m member) float64 { return m.aucTest }},
		relationRow{"all; AUC / accuracy unablated", m.all, member.failure, func(m member) float64 { return m.relative }},
	)
	found, err := relationRows(&r.Table, "rank correlation of generalization error and AUC", kinds)
	if err != nil {
		return err
	}
	r.Caption = append(m.describe(what3(m)), "One dot per network; generalization error is 1 − test accuracy.")
	r.Claims = []result.Claim{
		falls("AUC is the larger the smaller the generalization error", "all networks", found[0]),
		falls(fmt.Sprintf("So it is among networks with a training accuracy of at least %g", fitted), "those networks", found[1]),
	}
	return nil
}

// relationRow is a correlation over some networks, as a row of a table.
type relationRow struct {
	name string
	of   []member
	x, y func(member) float64
}

// relationRows computes correlations and lists them in a table.
func relationRows(t *result.Table, title string, kinds []relationRow) (found []stat.Relation, err error) {
	*t = result.Table{Title: title, Columns: []result.Axis{
		{Name: "networks"}, {Name: "n"}, {Name: "Spearman's ρ"}, {Name: "95 % interval, from"}, {Name: "to"}, {Name: "p, permutations"},
	}}
	for _, k := range kinds {
		r, err := correlated(k.of, k.x, k.y)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		row := []any{k.name, len(k.of), nil, nil, nil, nil}
		if r.Spearman != nil {
			row[2], row[3], row[4], row[5] = r.Spearman.Rho, r.Interval.Lo, r.Interval.Hi, r.Spearman.P
		}
		found, t.Rows = append(found, r), append(t.Rows, row)
	}
	return found, nil
}

// falls is the acceptance test of Figure 3b (section 8): ρ(AUC, test error) < 0.
func falls(name, which string, r stat.Relation) result.Claim {
	c := result.Claim{Name: name, Test: "Spearman's ρ of AUC and generalization error over " + which + " < 0"}
	if r.Spearman == nil {
		c.Found = fmt.Sprintf("no ρ: %s (n = %d)", r.Undefined, r.N)
		return c
	}
	c.Found = fmt.Sprintf("ρ = %.3f (95 %% bootstrap interval over networks %.3f to %.3f), p = %.2g, n = %d", r.Spearman.Rho, r.Interval.Lo,
		r.Interval.Hi, r.Spearman.P, r.N)
	c.Passed = r.Spearman.Rho < 0
	return c
}
