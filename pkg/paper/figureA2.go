package paper

import (
	"fmt"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure A2: class selectivity by depth: (a) of the layers of convolutional networks, (b) of the blocks of a residual
// network. Protocol: section 2.6; section 6, items 4 and 20.

func figureA2a() design {
	return depthFigure(Info{
		ID:    "A2a",
		Title: "Class selectivity by layer of a convolutional network",
		Claim: "Class selectivity increases with depth",
		Data:  convData,
	}, normalizedConvNets(false))
}

func figureA2b() design {
	return depthFigure(Info{
		ID:    "A2b",
		Title: "Class selectivity by block of a residual network",
		Claim: "Class selectivity increases with depth",
		Data:  resNetData,
	}, resNets(false))
}

func depthFigure(info Info, networks subjects) design {
	d := unitFigure(info, networks, byDepth)
	d.draw = func(r *Result) (*figure.Figure, error) {
		return figure.Curves(figure.Options{Title: r.heading(), Caption: r.Caption, LegendTitle: "layer", Ordered: true}, r.Curves...)
	}
	return d
}

func byDepth(r *Result, units population) ([]result.Claim, error) {
	of := classSelectivity
	r.Table = result.Table{Title: of.axis.Name + " by layer", Columns: []result.Axis{
		{Name: "layer"}, {Name: "units"}, {Name: "dead"}, {Name: "lower quartile"}, {Name: "median"}, {Name: "upper quartile"},
	}}
	names := layers(units.tables[0])
	samples := make([]sample, len(names))
	rows, dead := make([]stat.Row, 0, 1024), 0
	for k, name := range names {
		samples[k] = sample{name: name}
	}
	for i, t := range units.tables {
		by, err := of.byLayer(t)
		if err != nil {
			return nil, err
		}
		for k, name := range names {
			samples[k].networks = append(samples[k].networks, by[name])
			for _, x := range by[name] {
				rows = append(rows, stat.Row{Network: i, X: float64(k + 1), Y: x})
			}
		}
	}
	for k, name := range names {
		all, units := samples[k].pooled(), countOf(units, name)
		row := []any{name, len(all), units - len(all), nil, nil, nil}
		dead += units - len(all)
		for q, p := range []float64{0.25, 0.5, 0.75} {
			if x, err := stat.Quantile(all, p); err == nil {
				row[3+q] = x
			}
		}
		r.Table.Rows = append(r.Table.Rows, row)
	}
	var kernel string
	var err error
	if r.Curves, kernel, err = densities(of.axis, 0, 1, samples); err != nil {
		return nil, err
	}
	relations, err := stat.Relate(rows, relateOptions)
	if err != nil {
		return nil, err
	}
	r.Caption = []string{
		capital(fmt.Sprintf("%s, %s test images, averaged over positions; %s.", units.describe(), thousands(units.examples), leftOut(dead))),
		kernel,
	}
	return []result.Claim{increasesWithDepth(r.Table, relations.Pooled)}, nil
}

// countOf is how many units a layer has in all networks.
func countOf(units population, layer string) (n int) {
	for _, t := range units.tables {
		for _, row := range t.Rows {
			if row[0] == layer {
				n++
			}
		}
	}
	return n
}

// increasesWithDepth is the acceptance test of Figure A2 (section 8): the median increases with depth. It need not increase at
// every layer.
func increasesWithDepth(t result.Table, unitsByDepth stat.Relation) result.Claim {
	var depth, medians []float64
	var listed []string
	for k, row := range t.Rows {
		if m, ok := row[4].(float64); ok {
			depth, medians = append(depth, float64(k+1)), append(medians, m)
			listed = append(listed, fmt.Sprintf("%s %.3f", row[0], m))
		}
	}
	c := result.Claim{
		Name: "Class selectivity increases with depth",
		Test: "Spearman's ρ of a layer's depth and its median class selectivity > 0, and the last layer's median above the first one's",
	}
	found, err := stat.SpearmanTest(depth, medians, 10_000, relateOptions.Seed)
	if err != nil {
		c.Found = "no ρ: " + err.Error()
		return c
	}
	c.Passed = found.Rho > 0 && medians[len(medians)-1] > medians[0]
	c.Found = fmt.Sprintf("ρ = %.3f, p = %.2g, n = %d layers; medians %s; depth and class selectivity of single units: %s",
		found.Rho, found.P, found.N, strings.Join(listed, ", "), rho(unitsByDepth))
	return c
}
