package paper

import (
	"context"
	"fmt"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 6: what batch normalization does to the units of convolutional networks: (a) class selectivity falls, (b) mutual
// information with the class rises. Protocol: sections 2.6 and 2.7; section 6, items 9 and 10. The networks are those of
// Figure 5b.

func figure6a() design {
	return figure6(Info{
		ID:    "6a",
		Title: "Class selectivity with and without batch normalization",
		Claim: "Batch normalization decreases the class selectivity of feature maps",
	}, classSelectivity, 0, 1, false)
}

func figure6b() design {
	return figure6(Info{
		ID:    "6b",
		Title: "Mutual information with and without batch normalization",
		Claim: "Batch normalization increases the mutual information of feature maps with the class",
	}, information, math.Inf(-1), math.Inf(1), true)
}

func figure6(info Info, of measure, lo, hi float64, rises bool) design {
	info.Presets, info.Data = presets, convData
	return design{
		Info: info,
		plan: func(preset, data string) (plan, error) {
			s, p, err := convUnits(preset, data, true, false)
			p.Spec = s
			return p, err
		},
		compute: func(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
			return compute6(ctx, l, p.Spec.(specUnits), of, lo, hi, rises)
		},
		draw: func(r *Result) (*figure.Figure, error) {
			return figure.Curves(figure.Options{Title: r.heading(), Caption: r.Caption, LegendTitle: "batch normalization"}, r.Curves...)
		},
	}
}

// convUnits is the plan of a figure about the units of the networks of Figure 5b.
func convUnits(preset, data string, plain, ablated bool) (specUnits, plan, error) {
	base, narrowing, err := convNet(preset, data, false)
	if err != nil {
		return specUnits{}, plan{}, err
	}
	s := unitSpec()
	s.Networks = instances(base, len(instanceSeeds))
	if plain {
		var base lab.Spec
		if base, narrowing, err = convNet(preset, data, true); err != nil {
			return specUnits{}, plan{}, err
		}
		s.Plain = instances(base, len(instanceSeeds))
	}
	units := map[string]int{"smoke": 352, "quick": 704, "paper": 2816}[preset]
	if ablated {
		s.Impact = lab.On{Split: "test"}
		if preset != "paper" {
			s.Impact.Examples = 500
			narrowing = append(narrowing, "units ablated on the first 500 test images")
		}
	}
	p := plan{Narrowing: narrowing, Networks: append(append([]lab.Spec{}, s.Networks...), s.Plain...),
		Seeds: with(seedsOfInstances(0), "permutations of labels", s.Measure.Seed)}
	delete(p.Seeds, "orderings")
	p.Passes, err = passesFor(data, base, units, s.Impact)
	return s, p, err
}

func compute6(ctx context.Context, l *lab.Lab, s specUnits, of measure, lo, hi float64, rises bool) (*Result, error) {
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
	kinds := []struct {
		name  string
		specs []lab.Spec
		population
		byLayer []map[string][]float64 // of each network
		medians []float64              // of each network, over all its layers
	}{{name: "with", specs: s.Networks}, {name: "without", specs: s.Plain}}
	var samples []sample
	var runs []*lab.Run
	for k := range kinds {
		kind := &kinds[k]
		var err error
		if kind.population, err = s.train(ctx, l, kind.specs, " "+kind.name+" batch normalization", &r.Manifest); err != nil {
			return nil, err
		}
		drawn := sample{name: kind.name, band: true}
		for i, t := range kind.tables {
			by, err := of.byLayer(t)
			if err != nil {
				return nil, err
			}
			var all []float64
			for _, name := range layers(t) {
				all = append(all, by[name]...)
			}
			if len(all) == 0 {
				return nil, fmt.Errorf("network %d %s batch normalization has no unit with a %s: all are dead", i+1, kind.name, of.axis.Name)
			}
			kind.byLayer, kind.medians = append(kind.byLayer, by), append(kind.medians, median(all))
			drawn.networks = append(drawn.networks, all)
		}
		samples, runs = append(samples, drawn), append(runs, kind.runs...)
	}
	r.Table = result.Table{Title: "median " + of.axis.Name + " of feature maps", Columns: []result.Axis{
		{Name: "layer"}, {Name: "units with"}, {Name: "left out"}, {Name: "median with", Unit: of.axis.Unit},
		{Name: "units without"}, {Name: "left out"}, {Name: "median without", Unit: of.axis.Unit},
		{Name: "with − without", Unit: of.axis.Unit},
	}}
	for _, layer := range append(layers(kinds[0].tables[0]), "all") {
		row := []any{layer}
		var medians []float64
		for k, kind := range kinds {
			var values []float64
			units := 0
			for i, t := range kind.tables {
				for _, cells := range t.Rows {
					if layer == "all" || cells[0] == layer {
						units++
					}
				}
				values = append(values, kind.byLayer[i][layer]...)
			}
			if layer == "all" {
				values = samples[k].pooled()
			}
			medians = append(medians, median(values))
			row = append(row, len(values), units-len(values), number(medians[k]))
		}
		r.Table.Rows = append(r.Table.Rows, append(row, number(medians[0]-medians[1])))
	}
	var kernel string
	var err error
	if r.Curves, kernel, err = densities(of.axis, lo, hi, samples); err != nil {
		return nil, err
	}
	r.Caption = []string{
		fmt.Sprintf("Feature maps of all layers of %d networks each (%s, %s), %s test images, averaged over positions; %s and %s dead maps left out.",
			len(runs)/2, s.Networks[0].Net, s.Plain[0].Net, thousands(kinds[0].examples),
			thousands(r.Table.Rows[len(r.Table.Rows)-1][2].(int)), thousands(r.Table.Rows[len(r.Table.Rows)-1][5].(int))),
		kernel,
	}
	claim, err := normalizationChanges(of, rises, kinds[0].medians, kinds[1].medians, samples[0].pooled(), samples[1].pooled())
	if err != nil {
		return nil, err
	}
	r.Claims = []result.Claim{fitsItsLabels(runs), claim}
	return r, nil
}

// normalizationChanges is the acceptance test of Figure 6 (section 8): the median over the feature maps of all networks is
// lower, or higher, with batch normalization. The interval and p are of the networks' own medians, in pairs that share their
// seeds.
func normalizationChanges(of measure, rises bool, with, without, allWith, allWithout []float64) (result.Claim, error) {
	d, err := stat.Paired(without, with, 0.95, 10_000, 1)
	if err != nil {
		return result.Claim{}, err
	}
	a, b := median(allWith), median(allWithout)
	name, sign, passed := "Batch normalization decreases the "+of.axis.Name, "<", a < b
	if rises {
		name, sign, passed = "Batch normalization increases the "+of.axis.Name, ">", a > b
	}
	return result.Claim{
		Name: name,
		Test: fmt.Sprintf("median over all feature maps with batch normalization %s median without", sign),
		Found: fmt.Sprintf("%.4f (n = %s) and %.4f (n = %s); difference of a network's median from that of the network with the same seeds "+
			"%.4f (95 %% interval by Student's t %.4f to %.4f, p = %.3g of %d sign flips, n = %d pairs)",
			a, thousands(len(allWith)), b, thousands(len(allWithout)), d.Mean, d.Lo, d.Hi, d.P, d.Flips, d.N),
		Passed: passed,
	}, nil
}
