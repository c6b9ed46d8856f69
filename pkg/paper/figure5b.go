package paper

import (
	"context"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 5b: cumulative ablation of convolutional networks with and without batch normalization, trained on true labels.
// Protocol: section 2.3; section 6, items 3 and 7.

type spec5b struct {
	With, Without []lab.Spec // batch normalization
	On, Test      lab.On     // what the curves are drawn on, and what stands beside them in the table
	Ablate        ablate.Spec
}

func figure5b() design {
	return design{
		Info: Info{
			ID:      "5b",
			Title:   "Batch normalization and cumulative ablation",
			Claim:   "Networks trained with batch normalization rely less on single directions",
			Presets: presets,
			Data:    convData,
		},
		plan: func(preset, data string) (plan, error) {
			normalized, _, err := convNet(preset, data, false)
			if err != nil {
				return plan{}, err
			}
			plain, narrowing, err := convNet(preset, data, true)
			if err != nil {
				return plan{}, err
			}
			s := spec5b{
				With: instances(normalized, len(instanceSeeds)), Without: instances(plain, len(instanceSeeds)),
				Test:   lab.On{Split: "test", Examples: normalized.Examples}, // as many as for training
				Ablate: ablate.Spec{Sites: lastThree, Seed: 1}.WithDefaults(),
			}
			return plan{
				Spec: s, Narrowing: narrowing, Networks: append(append([]lab.Spec{}, s.With...), s.Without...),
				Passes: 2 * s.Ablate.Orders * s.Ablate.Points, Seeds: seedsOfInstances(s.Ablate.Seed),
			}, nil
		},
		compute: compute5b,
		draw: func(r *Result) (*figure.Figure, error) {
			return figure.Curves(figure.Options{
				Title: r.heading(), Caption: r.Caption, Chance: 0.1, LegendTitle: "batch normalization",
			}, r.Curves...)
		},
	}
}

func seedsOfInstances(orderings uint64) map[string]uint64 {
	seeds := map[string]uint64{"orderings": orderings}
	for i, s := range instanceSeeds {
		seeds[fmt.Sprintf("init and order, network %d", i+1)] = s
	}
	return seeds
}

func compute5b(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(spec5b)
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
	r.Table = result.Table{Title: "area under the cumulative ablation curve", Columns: []result.Axis{
		{Name: "batch normalization"}, {Name: "network"}, {Name: "train accuracy", Unit: "fraction"}, {Name: "test accuracy", Unit: "fraction"},
		{Name: "AUC, training images", Unit: "fraction"}, {Name: "s.d. of AUC over orderings", Unit: "fraction"},
		{Name: "AUC, test images", Unit: "fraction"}, {Name: "AUC / accuracy unablated, test images"},
	}}
	var runs []*lab.Run
	kinds := []struct {
		name  string
		specs []lab.Spec
		train []ablate.Result
	}{{name: "with", specs: s.With}, {name: "without", specs: s.Without}}
	for k := range kinds {
		kind := &kinds[k]
		for i, spec := range kind.specs {
			name := fmt.Sprintf("network %d %s batch normalization", i+1, kind.name)
			run, train, err := ablated(ctx, l, &r.Manifest, name, spec, s.On, s.Ablate)
			if err != nil {
				return nil, err
			}
			test, err := l.Ablate(ctx, run, s.Test, s.Ablate)
			if err != nil {
				return nil, err
			}
			part(&r.Manifest, test.Receipt.Backend, test.Seconds.Total)
			runs, kind.train = append(runs, run), append(kind.train, train)
			_, sd := stat.MeanSD(train.AUCs)
			r.Table.Rows = append(r.Table.Rows, []any{kind.name, i + 1, run.Final.TrainAccuracy, run.Final.TestAccuracy,
				train.AUC, sd, test.AUC, test.AUCRelative})
		}
		curve, err := ablate.Pooled(kind.name, kind.train)
		if err != nil {
			return nil, err
		}
		r.Curves = append(r.Curves, curve)
	}
	some := kinds[0].train[0]
	r.Caption = []string{fmt.Sprintf("Mean over %d networks (%s, %s) × %d random orderings of %s; %s training images, true labels.",
		len(s.With), s.With[0].Net, s.Without[0].Net, some.Orders, unitsOf(some, s.Ablate.Sites), thousands(some.Examples))}
	r.Claims = []result.Claim{fitsItsLabels(runs), normalizedIsMoreRobust(kinds[0].train, kinds[1].train)}
	return r, nil
}

// normalizedIsMoreRobust is the acceptance test of Figure 5b (section 8): AUC(BN) > AUC(no BN) in all 4 × 4 pairs.
func normalizedIsMoreRobust(with, without []ablate.Result) result.Claim {
	won, low, high := 0, with[0].AUC, without[0].AUC
	for _, a := range with {
		low = min(low, a.AUC)
		for _, b := range without {
			high = max(high, b.AUC)
			if a.AUC > b.AUC {
				won++
			}
		}
	}
	pairs := len(with) * len(without)
	return result.Claim{
		Name:   "Networks with batch normalization are more robust to ablation",
		Test:   fmt.Sprintf("AUC(with) > AUC(without) in all %d × %d pairs of networks", len(with), len(without)),
		Found:  fmt.Sprintf("in %d of %d; smallest AUC with %.4f, largest without %.4f", won, pairs, low, high),
		Passed: won == pairs,
	}
}
