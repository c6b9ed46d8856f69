package paper

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// What Figures 6, 7, A2, A3 and A4 share: a table with a row per unit of each network, measured once and kept in the store,
// whichever figure asks for it first.

// measure is a number of a unit: the column of lab.Units that holds it, and what it is called on a figure.
type measure struct {
	column  string
	axis    result.Axis
	short   string
	negated bool // the measure is −1 times the column
}

var (
	classSelectivity = measure{column: "selectivity", axis: result.Axis{Name: "class selectivity index"}, short: "selectivity"}
	information      = measure{column: "mutual_information", axis: result.Axis{Name: "mutual information with the class", Unit: "bits"}, short: "information"}
	impact           = measure{column: "delta_loss", axis: result.Axis{Name: "change of test loss when ablated", Unit: "nats"}, short: "impact"}
	accuracyLost     = measure{column: "delta_accuracy", axis: result.Axis{Name: "accuracy lost", Unit: "fraction"}, short: "accuracy lost", negated: true}
	worstClassLost   = measure{column: "worst_class_drop", axis: result.Axis{Name: "lost in the worst class", Unit: "fraction"}, short: "loss of the worst class"}
	filterNorm       = measure{column: "l1_norm", axis: result.Axis{Name: "L1 norm of the incoming filter"}, short: "L1 norm"}
)

// specUnits says which units are measured and how.
type specUnits struct {
	Networks []lab.Spec       `json:",omitempty"` // with batch normalization, where there are others without
	Plain    []lab.Spec       `json:",omitempty"` // the same without
	Given    *given           `json:",omitempty"` // a run of the store, instead of Networks
	On       lab.On           // what units are measured on: test examples (sections 2.6 and 2.7)
	Impact   lab.On           `json:",omitzero"` // what they are ablated on; zero: they are not
	Measure  selectivity.Spec // the same for all figures, which share the tables
}

// unitSpec is the protocol, apart from the networks.
func unitSpec() specUnits {
	return specUnits{On: lab.On{Split: "test"}, Measure: selectivity.Spec{Seed: 1}.WithDefaults()}
}

// relateOptions are those of all correlations: 10,000 permutations, 2,000 resamples, intervals of 95 %.
var relateOptions = stat.RelateOptions{Seed: 1}

// population is networks of one kind with all their units.
type population struct {
	runs   []*lab.Run
	tables []result.Table // of each network, a row per unit
	// Examples that units were measured on, and that they were ablated on.
	examples, ablated int
}

// units measures all units of some networks, or loads what the store has of them.
func (s specUnits) units(ctx context.Context, l *lab.Lab, runs []*lab.Run, m *result.Manifest) (population, error) {
	p := population{runs: runs}
	for _, run := range runs {
		measured, err := l.Selectivity(ctx, run, s.On, s.Measure)
		if err != nil {
			return p, err
		}
		p.examples = measured.Examples
		part(m, run.Backend, run.Seconds+measured.Seconds.Total)
		table := measured.Table
		if s.Impact != (lab.On{}) {
			impacts, err := l.Single(ctx, run, s.Impact, ablate.SingleSpec{})
			if err != nil {
				return p, err
			}
			p.ablated = impacts.Examples
			part(m, impacts.Receipt.Backend, impacts.Seconds.Total)
			if table, err = impacts.Join(table); err != nil {
				return p, err
			}
		}
		p.tables = append(p.tables, table)
	}
	return p, nil
}

// all trains or loads the networks of the spec, or finds the run that was given, and measures their units.
func (s specUnits) all(ctx context.Context, l *lab.Lab, m *result.Manifest) (population, error) {
	if s.Given == nil {
		return s.train(ctx, l, s.Networks, "", m)
	}
	run, err := l.Find(s.Given.Key)
	if err != nil {
		return population{}, fmt.Errorf("%w; %s", err, howToImport)
	}
	m.Inputs["network "+run.Label()], m.Inputs["data set "+run.Spec.Data] = run.Key, run.Data
	return s.units(ctx, l, []*lab.Run{run}, m)
}

// train trains or loads networks and measures their units. name tells the networks apart in the manifest.
func (s specUnits) train(ctx context.Context, l *lab.Lab, specs []lab.Spec, name string, m *result.Manifest) (population, error) {
	runs, err := trainAll(ctx, l, specs)
	if err != nil {
		return population{}, err
	}
	for i, run := range runs {
		m.Inputs[fmt.Sprintf("network %d%s", i+1, name)] = run.Key
		m.Inputs["data set "+run.Spec.Data] = run.Data
	}
	return s.units(ctx, l, runs, m)
}

// layers names the sites of a network, in order.
func layers(t result.Table) (names []string) {
	for _, row := range t.Rows {
		if name := row[0].(string); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// values is one measure of all units of a network, NaN where a unit has none.
func (m measure) values(t result.Table) ([]float64, error) {
	x, err := t.Numbers(m.column)
	if m.negated {
		for i := range x {
			x[i] = 0 - x[i] // not −0
		}
	}
	return x, err
}

// byLayer is one measure of a network's units by layer, without the units that have none.
func (m measure) byLayer(t result.Table) (map[string][]float64, error) {
	all, err := m.values(t)
	if err != nil {
		return nil, err
	}
	by := map[string][]float64{}
	for i, x := range all {
		if !math.IsNaN(x) {
			name := t.Rows[i][0].(string)
			by[name] = append(by[name], x)
		}
	}
	return by, nil
}

// pairs are two measures of all units, ready to be correlated.
func (p population) pairs(x, y measure) ([]stat.Row, error) {
	var rows []stat.Row
	for i, t := range p.tables {
		xs, err := x.values(t)
		if err != nil {
			return nil, err
		}
		ys, err := y.values(t)
		if err != nil {
			return nil, err
		}
		for k, row := range t.Rows {
			rows = append(rows, stat.Row{Network: i, Layer: row[0].(string), X: xs[k], Y: ys[k]})
		}
	}
	return rows, nil
}

// unitTable lists all units with some of their measures: what is drawn, one row per unit.
func (p population) unitTable(measures ...measure) (result.Table, error) {
	t := result.Table{Title: "units", Columns: []result.Axis{{Name: "network"}, {Name: "layer"}, {Name: "unit"}}}
	for _, m := range measures {
		t.Columns = append(t.Columns, m.axis)
	}
	for i, of := range p.tables {
		columns := make([][]float64, len(measures))
		for k, m := range measures {
			var err error
			if columns[k], err = m.values(of); err != nil {
				return t, err
			}
		}
		for j, row := range of.Rows {
			cells := []any{i + 1, row[0], row[1]}
			for k := range measures {
				if x := columns[k][j]; math.IsNaN(x) {
					cells = append(cells, nil)
				} else {
					cells = append(cells, x)
				}
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	return t, nil
}

// describe says how many networks of which kind there are.
func (p population) describe() string {
	net := p.runs[0].Spec.Net
	if len(p.runs) == 1 {
		return fmt.Sprintf("one network (%s, test accuracy %.4f)", net, p.runs[0].Final.TestAccuracy)
	}
	return fmt.Sprintf("%d networks (%s)", len(p.runs), net)
}

// rho writes a correlation with all that belongs to it.
func rho(r stat.Relation) string {
	if r.Spearman == nil {
		return fmt.Sprintf("no ρ: %s (n = %s units)", r.Undefined, thousands(r.N))
	}
	text := fmt.Sprintf("ρ = %.3f", r.Spearman.Rho)
	if i := r.Interval; i != nil {
		text += fmt.Sprintf(" (%.0f %% interval %.3f to %.3f)", 100*i.Level, i.Lo, i.Hi)
	}
	of := ""
	if r.Networks > 1 {
		of = fmt.Sprintf(" of %d networks", r.Networks)
	}
	return text + fmt.Sprintf(", p = %.2g, n = %s units%s", r.Spearman.P, thousands(r.N), of)
}

// relationTable has one row per layer and one for all pooled.
func relationTable(r stat.Relations, x, y measure) result.Table {
	t := result.Table{Title: fmt.Sprintf("rank correlation of %s and %s", x.axis.Name, y.axis.Name), Columns: []result.Axis{
		{Name: "layer"}, {Name: "units"}, {Name: "left out"}, {Name: "Spearman's ρ"}, {Name: "95 % interval, from"}, {Name: "to"},
		{Name: "p, permutations"}, {Name: "Pearson's r"}, {Name: "slope of the line"},
	}}
	for _, one := range append(slices.Clone(r.Layers), r.Pooled) {
		name := one.Layer
		if name == "" {
			name = "all"
		}
		row := []any{name, one.N, one.LeftOut, nil, nil, nil, nil, nil, nil}
		if one.Spearman != nil {
			row[3], row[6], row[7], row[8] = one.Spearman.Rho, one.Spearman.P, one.Pearson, one.Line.Slope
			if one.Interval != nil {
				row[4], row[5] = one.Interval.Lo, one.Interval.Hi
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// perLayer lists the correlations of all layers.
func perLayer(r stat.Relations) string {
	var parts []string
	for _, one := range r.Layers {
		if one.Spearman == nil {
			parts = append(parts, one.Layer+" none")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %.2f", one.Layer, one.Spearman.Rho))
	}
	return strings.Join(parts, ", ")
}

// thirds are the first and the last third of some layers, at least one each.
func thirds[T any](layers []T) (early, late []T) {
	n := max(1, len(layers)/3)
	return layers[:n], layers[len(layers)-n:]
}

// meanRho is the mean of the layers' correlations, over those that have one.
func meanRho(layers []stat.Relation) (mean float64, of int) {
	var sum float64
	for _, one := range layers {
		if one.Spearman != nil {
			sum += one.Spearman.Rho
			of++
		}
	}
	return sum / float64(of), of
}

// passesFor says how many passes over the training examples it is worth to measure so many units on test examples, and if
// impact is not zero to ablate each alone.
func passesFor(data string, base lab.Spec, units int, impact lab.On) (int, error) {
	e, err := datasets.Lookup(data)
	if err != nil {
		return 0, err
	}
	train := cmp.Or(base.Examples, e.TrainN)
	work := e.TestN
	if impact != (lab.On{}) {
		work += (1 + units) * cmp.Or(impact.Examples, e.TestN)
	}
	return (work + train - 1) / train, nil
}
