package paper

import (
	"context"
	"fmt"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 1: cumulative ablation of networks trained with 0 to 100 % of the labels permuted: (a) of all hidden units of
// MLPs on MNIST, (b) of the last three layers of convolutional networks on CIFAR-10. Protocol: sections 2.1 to 2.4.

type spec1 struct {
	Networks []lab.Spec
	On       lab.On
	Ablate   ablate.Spec
}

func figure1a() design {
	return figure1(Info{
		ID:    "1a",
		Title: "Cumulative ablation of an MLP",
		Claim: "Networks that have memorised corrupted labels fall much faster as units are ablated",
		Data:  mlpData,
	}, mlps, nil)
}

func figure1b() design {
	return figure1(Info{
		ID:    "1b",
		Title: "Cumulative ablation of a convolutional network's last three layers",
		Claim: "Networks that have memorised corrupted labels fall much faster as feature maps are ablated",
		Data:  convData,
	}, corruptedConvNets, lastThree)
}

func figure1(info Info, networks networks, sites []string) design {
	info.Presets = presets
	return design{
		Info: info,
		plan: func(preset, data string) (plan, error) {
			nets, narrowing, err := networks(preset, data)
			if err != nil {
				return plan{}, err
			}
			s := spec1{Networks: nets, Ablate: ablate.Spec{Sites: sites, Seed: 1}.WithDefaults()}
			return plan{
				Spec: s, Narrowing: narrowing, Networks: nets, Passes: s.Ablate.Orders * s.Ablate.Points,
				Seeds: with(corruptionSeeds, "orderings", s.Ablate.Seed),
			}, nil
		},
		compute: compute1,
		draw:    byCorruption(false),
	}
}

func compute1(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(spec1)
	runs, err := trainAll(ctx, l, s.Networks)
	if err != nil {
		return nil, err
	}
	r := &Result{Manifest: result.Manifest{Inputs: inputs(runs)}}
	r.Table = result.Table{Title: "area under the cumulative ablation curve", Columns: []result.Axis{
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
	r.Caption = []string{fmt.Sprintf("One network (%s) per line; band: ± s.d. over %d random orderings of %s; %s training images, own labels.",
		s.Networks[0].Net, all[0].Orders, unitsOf(all[0], s.Ablate.Sites), thousands(all[0].Examples))}
	r.Claims = []result.Claim{fitsItsLabels(runs), constantAtTheEnd(all), memorisersFallFaster(runs, all, sd)}
	return r, nil
}

// unitsOf says which units an ablation pools, asked being the sites that were asked for.
func unitsOf(a ablate.Result, asked []string) string {
	if len(asked) == 0 {
		return fmt.Sprintf("its %d hidden units", a.Units)
	}
	return fmt.Sprintf("the %s feature maps of %s to %s", thousands(a.Units), a.Sites[0], a.Sites[len(a.Sites)-1])
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
