package paper

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Figure A1: cumulative ablation to zero and to the empirical mean of each element of a feature map, of the networks with
// batch normalization of Figure 5b. The mean of a whole map is a variant that the paper does not have.
// Protocol: section 2.3; section 6, item 16.

type specA1 struct {
	Networks []lab.Spec
	On       lab.On
	Ablate   []ablate.Spec // by target, in the order of targetsA1
}

// targetsA1 are what units are clamped to, as the legend has it.
var targetsA1 = []struct {
	to   unit.Target
	name string
}{{unit.Zero, "zero"}, {unit.ElementMean, "mean of each element"}, {unit.Mean, "mean of the map (variant)"}}

func figureA1() design {
	return design{
		Info: Info{
			ID:      "A1",
			Title:   "Ablation to zero and to the empirical mean",
			Claim:   "Clamping feature maps to zero is less damaging than to their empirical mean",
			Presets: presets,
			Data:    convData,
		},
		plan: func(preset, data string) (plan, error) {
			base, narrowing, err := convNet(preset, data, false)
			if err != nil {
				return plan{}, err
			}
			s := specA1{Networks: instances(base, len(instanceSeeds))}
			p := plan{Narrowing: narrowing, Networks: s.Networks, Seeds: seedsOfInstances(1)}
			for _, target := range targetsA1 {
				a := ablate.Spec{Sites: lastThree, To: target.to, Seed: 1}.WithDefaults()
				s.Ablate, p.Passes = append(s.Ablate, a), p.Passes+a.Orders*a.Points
			}
			p.Spec = s
			return p, nil
		},
		compute: computeA1,
		draw: func(r *Result) (*figure.Figure, error) {
			return figure.Curves(figure.Options{
				Title: r.heading(), Caption: r.Caption, Chance: 0.1, LegendTitle: "feature maps clamped to",
			}, r.Curves...)
		},
	}
}

func computeA1(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(specA1)
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
	r.Table = result.Table{Title: "area under the cumulative ablation curve, training images", Columns: []result.Axis{
		{Name: "network"}, {Name: "feature maps clamped to"}, {Name: "train accuracy", Unit: "fraction"},
		{Name: "AUC", Unit: "fraction"},
		{Name: "s.d. of AUC over orderings", Unit: "fraction"}, {Name: "AUC / accuracy unablated"},
	}}
	runs, err := trainAll(ctx, l, s.Networks)
	if err != nil {
		return nil, err
	}
	found := make([][]ablate.Result, len(targetsA1)) // by target and network
	for i, run := range runs {
		part(&r.Manifest, run.Backend, run.Seconds)
		r.Manifest.Inputs[fmt.Sprintf("network %d", i+1)] = run.Key
		r.Manifest.Inputs["data set "+run.Spec.Data] = run.Data
		for k, target := range targetsA1 {
			a, err := l.Ablate(ctx, run, s.On, s.Ablate[k])
			if err != nil {
				return nil, err
			}
			part(&r.Manifest, a.Receipt.Backend, a.Seconds.Total)
			found[k] = append(found[k], a)
			_, sd := stat.MeanSD(a.AUCs)
			r.Table.Rows = append(r.Table.Rows, []any{i + 1, target.name, run.Final.TrainAccuracy, a.AUC, sd, a.AUCRelative})
		}
	}
	for k, target := range targetsA1 {
		curve, err := ablate.Pooled(target.name, found[k])
		if err != nil {
			return nil, err
		}
		r.Curves = append(r.Curves, curve)
	}
	some := found[0][0]
	r.Caption = []string{fmt.Sprintf("Mean over %d networks (%s) × %d random orderings of %s; %s training images, true labels; means are those over "+
		"them.", len(runs), s.Networks[0].Net, some.Orders, unitsOf(some, s.Ablate[0].Sites), thousands(some.Examples))}
	r.Claims = []result.Claim{fitsItsLabels(runs), zeroIsLessDamaging(found[0], found[1])}
	return r, nil
}

// zeroIsLessDamaging is the acceptance test of Figure A1 (section 8): AUC(zero) > AUC(mean), here in each network.
func zeroIsLessDamaging(zero, mean []ablate.Result) result.Claim {
	won := 0
	var each []string
	for i := range zero {
		if zero[i].AUC > mean[i].AUC {
			won++
		}
		each = append(each, fmt.Sprintf("%.4f and %.4f", zero[i].AUC, mean[i].AUC))
	}
	return result.Claim{
		Name:   "Ablation to zero is less damaging than to the mean of each element",
		Test:   fmt.Sprintf("AUC(zero) > AUC(mean of each element) in each of %d networks", len(zero)),
		Found:  fmt.Sprintf("in %d of %d: %s", won, len(zero), strings.Join(each, ", ")),
		Passed: won == len(zero),
	}
}
