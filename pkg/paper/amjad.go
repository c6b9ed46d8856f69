package paper

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Amjad, Liu, Geiger, "Understanding neural networks and individual neuron importance via information-ordered cumulative
// ablation" (arXiv 1804.06679, TNNLS 2022): cumulative ablation of one layer at a time, in the order of what a unit tells about the
// class. Protocol: sections 2.3, 2.4, 2.7 and 5; section 6, item 23. Units are ranked on training images, and the curves are of
// test images.

// specAmjad is networks whose layers are ablated one by one in the order of some measures.
type specAmjad struct {
	Networks []lab.Spec
	Rank, On lab.On   // what units are ranked on, and what the curves are of
	Columns  []string // of lab.Units, by which they are ranked
	Random   ablate.Spec
}

// ranked are the measures that units are ranked by.
var ranked = []measure{
	information,
	{column: "kl_selectivity", axis: result.Axis{Name: "KL-selectivity", Unit: "bits"}, short: "KL-selectivity"},
	classSelectivity,
}

// directionsOf are the two ways in which units can be ranked.
var directionsOf = []string{"lowest first", "highest first"}

func figureAmjad() design {
	return design{
		Info: Info{
			ID:      "amjad",
			Title:   "Ablation of a layer in the order of what its units tell about the class",
			After:   "Amjad et al. 2022",
			Claim:   "Within a layer, units that tell more about the class matter more",
			Presets: presets,
			Data:    mlpData,
		},
		plan: func(preset, data string) (plan, error) {
			units, p, err := mlpUnits(preset, data)
			if err != nil {
				return plan{}, err
			}
			s := specAmjad{Networks: units.Networks, Rank: lab.On{Split: "train"}, On: lab.On{Split: "test"}, Random: ablate.Spec{Seed: 1}.WithDefaults()}
			for _, m := range ranked {
				s.Columns = append(s.Columns, m.column)
			}
			p.Spec, p.Seeds = s, with(p.Seeds, "random orderings", s.Random.Seed)
			p.Passes = 2 * (2*len(s.Columns) + s.Random.Orders) * s.Random.Points
			return p, nil
		},
		compute: computeAmjad,
		draw:    drawAmjad,
	}
}

// ofLayer are the curves of one layer: of each network the accuracies at the points of the grid in one order, or of random ones
// their means.
type ofLayer struct {
	grid   []int
	curves map[string][][]float64 // by order: orderName, or "random"
	aucs   map[string][]float64
}

// orderName names the order by a measure, from direction 0 or 1 of directionsOf.
func orderName(m measure, direction int) string {
	return strings.TrimSuffix(m.axis.Name, " index") + ", " + directionsOf[direction]
}

const randomOrder = "random"

func computeAmjad(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(specAmjad)
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
	runs, err := trainAll(ctx, l, s.Networks)
	if err != nil {
		return nil, err
	}
	var sites []string
	layersOf := map[string]*ofLayer{}
	var examples, rankedOn int
	for i, run := range runs {
		r.Manifest.Inputs[fmt.Sprintf("network %d", i+1)], r.Manifest.Inputs["data set "+run.Spec.Data] = run.Key, run.Data
		part(&r.Manifest, run.Backend, run.Seconds)
		units, err := l.Selectivity(ctx, run, s.Rank, unitSpec().Measure)
		if err != nil {
			return nil, err
		}
		part(&r.Manifest, run.Backend, units.Seconds.Total)
		rankedOn, sites = units.Examples, layers(units.Table)
		for _, site := range sites {
			orders, names, err := s.orders(units.Table, site)
			if err != nil {
				return nil, err
			}
			found, err := l.Ablate(ctx, run, s.On, ablate.Spec{Given: orders, To: s.Random.To, Points: s.Random.Points})
			if err != nil {
				return nil, err
			}
			part(&r.Manifest, found.Receipt.Backend, found.Seconds.Total)
			examples = found.Examples
			if layersOf[site] == nil {
				layersOf[site] = &ofLayer{grid: found.Grid, curves: map[string][][]float64{}, aucs: map[string][]float64{}}
			}
			layersOf[site].add(found, names)
		}
	}
	for _, site := range sites {
		of := layersOf[site]
		for _, name := range append(drawnOrders(), randomOrder) {
			r.Curves = append(r.Curves, of.curve(site, name))
		}
	}
	r.Table = amjadTable(sites, layersOf)
	r.Caption = []string{fmt.Sprintf("Mean over %d networks (%s); the units of one layer are ablated to zero, ranked on %s training images, accuracy on %s test images; "+
		"random: %d orderings of each network.", len(runs), runs[0].Spec.Net, thousands(rankedOn), thousands(examples), s.Random.Orders)}
	r.Claims = []result.Claim{fitsItsLabels(runs)}
	for _, m := range ranked[:2] {
		r.Claims = append(r.Claims, highestFirstHurts(m, sites, layersOf))
	}
	return r, nil
}

// orders are the orders in which one layer is ablated: by each measure, both ways, then at random. The measures are those of a table
// of all units.
func (s specAmjad) orders(units result.Table, site string) (*ablate.Orderings, []string, error) {
	of := result.Table{Title: units.Title, Columns: units.Columns}
	for _, row := range units.Rows {
		if row[0] == site {
			of.Rows = append(of.Rows, row)
		}
	}
	all := &ablate.Orderings{Sites: []string{site}}
	var names []string
	for k, column := range s.Columns {
		for direction := range directionsOf {
			o, err := ablate.Ranked(of, column, direction == 1)
			if err != nil {
				return nil, nil, err
			}
			all.Orders, names = append(all.Orders, o.Orders[0]), append(names, orderName(ranked[k], direction))
		}
	}
	for _, order := range ablate.Random(len(of.Rows), s.Random.Orders, s.Random.Seed) {
		all.Orders, names = append(all.Orders, order), append(names, randomOrder)
	}
	return all, names, nil
}

// add takes what the ablation of this layer of one network found in orders of these names; those of the same name are averaged.
func (o *ofLayer) add(found ablate.Result, names []string) {
	sums, n := map[string][]float64{}, map[string]float64{}
	auc := map[string]float64{}
	for i, name := range names {
		if sums[name] == nil {
			sums[name] = make([]float64, len(found.Grid))
		}
		for j, c := range found.Correct[i] {
			sums[name][j] += float64(c) / float64(found.Examples)
		}
		n[name]++
		auc[name] += found.AUCs[i]
	}
	for name, sum := range sums {
		for j := range sum {
			sum[j] /= n[name]
		}
		o.curves[name] = append(o.curves[name], sum)
		o.aucs[name] = append(o.aucs[name], auc[name]/n[name])
	}
}

// curve is the mean over networks in one order, with their range as the band.
func (o *ofLayer) curve(site, name string) result.Curve {
	c := result.Curve{Name: site + ": " + name, XAxis: result.Axis{Name: "units ablated"}, YAxis: result.Axis{Name: "test accuracy", Unit: "fraction"},
		N: len(o.curves[name])}
	for j, k := range o.grid {
		var at []float64
		for _, of := range o.curves[name] {
			at = append(at, of[j])
		}
		mean, _ := stat.MeanSD(at)
		c.X, c.Y = append(c.X, float64(k)), append(c.Y, mean)
		if len(at) > 1 {
			c.Lo, c.Hi, c.Band = append(c.Lo, slices.Min(at)), append(c.Hi, slices.Max(at)), fmt.Sprintf("range of %d networks", len(at))
		}
	}
	return c
}

// drawnOrders are those that are drawn, beside random ones: by mutual information and by class selectivity.
func drawnOrders() (names []string) {
	for _, m := range []measure{information, classSelectivity} {
		for direction := range directionsOf {
			names = append(names, orderName(m, direction))
		}
	}
	return names
}

func amjadTable(sites []string, layersOf map[string]*ofLayer) result.Table {
	t := result.Table{Title: "area under the cumulative ablation curve of one layer, mean over networks", Columns: []result.Axis{
		{Name: "layer"}, {Name: "ranked by"}, {Name: directionsOf[0], Unit: "AUC"}, {Name: directionsOf[1], Unit: "AUC"},
		{Name: "at random", Unit: "AUC"}, {Name: "networks where the highest first is lower"},
	}}
	for _, site := range sites {
		of := layersOf[site]
		for _, m := range ranked {
			low, _ := stat.MeanSD(of.aucs[orderName(m, 0)])
			high, _ := stat.MeanSD(of.aucs[orderName(m, 1)])
			random, _ := stat.MeanSD(of.aucs[randomOrder])
			t.Rows = append(t.Rows, []any{site, strings.TrimSuffix(m.axis.Name, " index"), low, high, random,
				fmt.Sprintf("%d of %d", of.falls(m), len(of.aucs[randomOrder]))})
		}
	}
	return t
}

// falls counts the networks that lose more accuracy with the highest units by a measure ablated first.
func (o *ofLayer) falls(m measure) (n int) {
	for i, high := range o.aucs[orderName(m, 1)] {
		if high < o.aucs[orderName(m, 0)][i] {
			n++
		}
	}
	return n
}

// highestFirstHurts tests the finding for one measure: within a layer, units with more of it matter more.
func highestFirstHurts(m measure, sites []string, layersOf map[string]*ofLayer) result.Claim {
	c := result.Claim{
		Name:   "Within a layer, units with more " + strings.TrimSuffix(m.axis.Name, " index") + " matter more",
		Test:   "in each layer and network, AUC(highest first) < AUC(lowest first)",
		Passed: true,
	}
	var found []string
	for _, site := range sites {
		of := layersOf[site]
		n := len(of.aucs[orderName(m, 0)])
		low, _ := stat.MeanSD(of.aucs[orderName(m, 0)])
		high, _ := stat.MeanSD(of.aucs[orderName(m, 1)])
		found = append(found, fmt.Sprintf("%s: in %d of %d networks; means %.4f and %.4f", site, of.falls(m), n, high, low))
		c.Passed = c.Passed && of.falls(m) == n
	}
	c.Found = strings.Join(found, "; ")
	return c
}

// drawAmjad draws a panel for each layer.
func drawAmjad(r *Result) (*figure.Figure, error) {
	var panels []*figure.Figure
	each := len(drawnOrders()) + 1
	for curves := range slices.Chunk(r.Curves, each) {
		var of []result.Curve
		site := ""
		for _, c := range curves {
			site, c.Name, _ = strings.Cut(c.Name, ": ")
			of = append(of, c)
		}
		opt := figure.Options{Title: "Layer " + site, Chance: 0.1, LegendTitle: "order of ablation", Style: figure.Style{Height: 7.5}}
		if len(panels) == 0 {
			opt.Title = r.heading() + ": layer " + site
		}
		if (len(panels)+1)*each == len(r.Curves) {
			opt.Caption = r.Caption
		}
		f, err := figure.Curves(opt, of...)
		if err != nil {
			return nil, err
		}
		panels = append(panels, f)
	}
	return figure.Grid(1, panels...)
}
