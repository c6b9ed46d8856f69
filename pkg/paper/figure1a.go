package paper

import (
	"context"
	"fmt"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 1a: cumulative ablation of all hidden units of MLPs trained on MNIST with 0 to 100 % of the labels permuted.
// Protocol: sections 2.1 to 2.4.

type spec1a struct {
	Networks []lab.Spec
	On       lab.On
	Ablate   ablate.Spec
}

func figure1a() design {
	return design{
		Info: Info{
			ID:      "1a",
			Title:   "Cumulative ablation of an MLP",
			Claim:   "Networks that have memorised corrupted labels fall much faster as units are ablated",
			Presets: presets,
			Data:    mlpData,
		},
		plan: func(preset, data string) (plan, error) {
			nets, narrowing, err := mlps(preset, data)
			if err != nil {
				return plan{}, err
			}
			seeds := map[string]uint64{"orderings": 1}
			for k, v := range mlpSeeds {
				seeds[k] = v
			}
			s := spec1a{Networks: nets, Ablate: ablate.Spec{Seed: seeds["orderings"]}.WithDefaults()}
			return plan{Spec: s, Narrowing: narrowing, Seeds: seeds}, nil
		},
		compute: compute1a,
		draw: func(r *Result) (*figure.Figure, error) {
			return figure.Curves(figure.Options{
				Title: "Figure 1a. " + r.Title + " (" + r.Data + ")", Caption: r.Caption, Chance: 0.1, LegendTitle: "labels corrupted", Ordered: true,
			}, r.Curves...)
		},
	}
}

func compute1a(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(spec1a)
	runs, err := trainAll(ctx, l, s.Networks)
	if err != nil {
		return nil, err
	}
	r := &Result{Manifest: result.Manifest{Inputs: inputs(runs)}}
	r.Table = result.Table{Title: "Figure 1a: area under the cumulative ablation curve", Columns: []result.Axis{
		{Name: "labels corrupted", Unit: "fraction"}, {Name: "train accuracy", Unit: "fraction"}, {Name: "test accuracy", Unit: "fraction"},
		{Name: "AUC", Unit: "fraction"}, {Name: "s.d. of AUC over orderings", Unit: "fraction"}, {Name: "AUC / accuracy unablated"},
	}}
	var all []ablate.Result
	var sd []float64
	for _, run := range runs {
		a, err := l.Ablate(ctx, run, s.On, s.Ablate)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
		part(&r.Manifest, run.Backend, run.Seconds)
		part(&r.Manifest, a.Receipt.Backend, a.Seconds.Total)
		f := run.Spec.Corrupt.Fraction
		r.Curves = append(r.Curves, a.Curve(percent(f)))
		_, d := stat.MeanSD(a.AUCs)
		sd = append(sd, d)
		r.Table.Rows = append(r.Table.Rows, []any{f, run.Final.TrainAccuracy, run.Final.TestAccuracy, a.AUC, d, a.AUCRelative})
	}
	r.Caption = []string{fmt.Sprintf("One network (%s) per line; band: ± s.d. over %d random orderings of its %d hidden units; %s training images, own labels.",
		s.Networks[0].Net, all[0].Orders, all[0].Units, thousands(all[0].Examples))}
	r.Claims = []result.Claim{fitsItsLabels(runs), constantAtTheEnd(all), memorisersFallFaster(runs, all, sd)}
	return r, nil
}

// memorisersFallFaster is the acceptance test of Figure 1a (section 8): AUC(0) − max AUC(f ≥ 0.2) > 3 s.d. The s.d. is that
// of a difference of two such AUCs over orderings.
func memorisersFallFaster(runs []*lab.Run, all []ablate.Result, sd []float64) result.Claim {
	best := 1
	for i := range all[1:] {
		if all[i+1].AUC > all[best].AUC {
			best = i + 1
		}
	}
	gap := all[0].AUC - all[best].AUC
	unit := math.Hypot(sd[0], sd[best])
	return result.Claim{
		Name: "Networks that memorised corrupted labels fall faster",
		Test: "AUC(no corruption) − largest AUC(corrupted) > 3 s.d. of such a difference over orderings",
		Found: fmt.Sprintf("%.4f − %.4f (%s corrupted) = %.4f = %.1f s.d. (s.d. %.4f, %d orderings)", all[0].AUC, all[best].AUC,
			percent(runs[best].Spec.Corrupt.Fraction), gap, gap/unit, unit, all[0].Orders),
		Passed: gap > 3*unit,
	}
}

// constantAtTheEnd is the sanity check of section 2.3: a network without hidden units gives every image the same class.
func constantAtTheEnd(all []ablate.Result) result.Claim {
	passed, low, high := true, 1.0, 0.0
	for _, a := range all {
		classes := 0
		for _, n := range a.AllAblated.ByClass {
			if n > 0 {
				classes++
			}
		}
		passed = passed && classes == 1
		low, high = min(low, a.AllAblated.Accuracy()), max(high, a.AllAblated.Accuracy())
	}
	return result.Claim{
		Name:   "With every unit ablated a network is a constant",
		Test:   "it is right on the examples of exactly one class",
		Found:  fmt.Sprintf("accuracy %.4f to %.4f over %d networks", low, high, len(all)),
		Passed: passed,
	}
}

// thousands writes 60000 as "60,000".
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
