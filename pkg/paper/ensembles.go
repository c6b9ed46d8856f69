package paper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/sweep"
)

// The ensembles of Figures 3 and 4c (section 3; section 6, items 1, 13 and 15), declared here only: the figures and
// `directions sweep run figure3-paper` compute the same rows of the same store, so networks can be spread over machines
// beforehand.

// Ensembles are the sweeps behind Figures 3 and 4c at each preset on its own data: figure3-smoke, figure4c-smoke and so on.
func Ensembles() []sweep.Spec {
	var all []sweep.Spec
	for _, of := range []ensemble{ensemble3, ensemble4c} {
		for _, preset := range presets {
			data := convData[1]
			if preset == "smoke" {
				data = convData[0]
			}
			s, _, err := of(preset, data)
			if err != nil { // of a preset that there is
				panic(err)
			}
			all = append(all, s)
		}
	}
	return all
}

// ensemble is a sweep whose networks a figure compares, and in what it is smaller than the paper's.
type ensemble func(preset, data string) (sweep.Spec, []string, error)

// ensembleBase is what networks of an ensemble have in common: batch normalization, centred inputs, true labels. They are
// ablated on training images, and on test images too. Those of smoke are multilayer perceptrons: many of them, and in seconds.
func ensembleBase(name, preset, data string) (sweep.Spec, []string, error) {
	s := sweep.Spec{Name: name + "-" + preset, Base: lab.Spec{Data: data, Net: "convnet", Input: "half"}}
	if (data == convData[0]) != (preset == "smoke") {
		s.Name += "-" + data
	}
	s.Analyses = sweep.Analyses{Ablate: &ablate.Spec{Sites: lastThree, Seed: 1}, Test: &lab.On{}}
	var narrowing []string
	switch preset {
	case "smoke":
		s.Base.Net, s.Base.Input, s.Base.Examples = "mlp:32,32", "", 500
		s.Base.Fit = fit.Spec{Momentum: 0.9, Schedule: "cosine", Batch: 20, Epochs: 25, Evaluate: 25}
		s.Analyses.Ablate.Sites, s.Analyses.Test.Examples = nil, 500
		narrowing = []string{"small multilayer perceptrons instead of convolutional networks", "500 training images", "25 epochs"}
	case "quick":
		s.Base.Net, s.Base.Examples = "convnet:width=0.125", 2000
		s.Base.Fit = fit.Spec{Optimizer: "adam", Schedule: "cosine", Batch: 25, Epochs: 10, Evaluate: 10}
		s.Analyses.On.Examples, s.Analyses.Test.Examples = 1000, 1000
		narrowing = []string{"an eighth of the feature maps", "2,000 training images", "10 epochs, of Adam",
			"ablation on the first 1,000 training images"}
	case "paper":
		s.Base.Fit = fit.Spec{Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 100}
	default:
		return sweep.Spec{}, nil, fmt.Errorf("no networks for preset %q", preset)
	}
	return s, narrowing, nil
}

// ensemble3 are networks that differ in learning rate, initial weights and order of examples.
func ensemble3(preset, data string) (sweep.Spec, []string, error) {
	s, narrowing, err := ensembleBase("figure3", preset, data)
	if err != nil {
		return s, nil, err
	}
	lr := sweep.Range{Name: "lr", Log: true}
	switch preset {
	case "smoke":
		s.Random.Networks, lr.Low, lr.High = 8, 0.002, 0.2
		narrowing = append(narrowing, "8 instead of 200 networks")
	case "quick":
		s.Random.Networks, lr.Low, lr.High = 60, 0.0004, 0.01
		narrowing = append(narrowing, "60 instead of 200 networks")
	case "paper":
		s.Random.Networks, lr.Low, lr.High = 200, 0.002, 0.2
	}
	const anySeed = 999_999 // two networks of 200 that share both seeds and the learning rate would be one, and are not drawn
	s.Random.Seed = 1
	s.Random.Ranges = []sweep.Range{lr, {Name: "init_seed", Low: 1, High: anySeed}, {Name: "order_seed", Low: 1, High: anySeed}}
	return s, narrowing, nil
}

// ensemble4c is a grid of learning rates and batch sizes, with two networks for each setting.
func ensemble4c(preset, data string) (sweep.Spec, []string, error) {
	s, narrowing, err := ensembleBase("figure4c", preset, data)
	if err != nil {
		return s, nil, err
	}
	var rates, batches []any
	switch preset {
	case "smoke":
		rates, batches = []any{0.005, 0.02, 0.08}, []any{10, 40}
		narrowing = append(narrowing, "6 instead of 96 settings")
	case "quick":
		rates, batches = []any{0.0004, 0.0008, 0.0015, 0.003, 0.006, 0.012}, []any{10, 20, 40, 80}
		narrowing = append(narrowing, "24 instead of 96 settings")
	case "paper": // about evenly spaced logarithms
		rates = []any{0.0001, 0.00022, 0.00047, 0.001, 0.0022, 0.0048, 0.01, 0.023, 0.049, 0.11, 0.23, 0.5}
		batches = []any{16, 32, 64, 128, 256, 512, 1024, 2048}
	}
	s.Base.Fit.Batch = 0 // varied
	s.Grid = []sweep.Axis{{Name: "lr", Values: rates}, {Name: "batch", Values: batches}, {Name: "seed", Values: []any{1, 2}}}
	return s, narrowing, nil
}

// specEnsemble is an ensemble and what a figure makes of it.
type specEnsemble struct {
	Sweep     sweep.Spec          `json:"-"` // says the same as the following
	Networks  []lab.Spec          // all
	Analyses  sweep.Analyses      // of each
	Extremes  int                 `json:",omitempty"` // so many of the best are compared with as many of the worst
	Selection *stat.SelectOptions `json:",omitempty"` // how settings are selected; subsets and K follow from their number
}

// plan is the plan of a figure about an ensemble.
func (of ensemble) plan(preset, data string) (specEnsemble, plan, error) {
	s := specEnsemble{}
	var p plan
	var err error
	if s.Sweep, p.Narrowing, err = of(preset, data); err != nil {
		return s, p, err
	}
	networks, _, err := s.Sweep.Networks()
	if err != nil {
		return s, p, err
	}
	for _, n := range networks {
		s.Networks = append(s.Networks, n.Spec)
	}
	s.Analyses = s.Sweep.Analyses.WithDefaults()
	p.Networks = s.Networks
	p.Passes = 2 * s.Analyses.Ablate.Orders * s.Analyses.Ablate.Points // training and test images
	p.Seeds = map[string]uint64{"orderings": s.Analyses.Ablate.Seed}
	return s, p, nil
}

// member is a network of an ensemble with its numbers.
type member struct {
	place                               int // in the ensemble, from 1
	spec                                lab.Spec
	train, test, auc, relative, aucTest float64 // accuracies and areas
}

// failure is the generalization error (section 6, item 14).
func (m member) failure() float64 { return 1 - m.test }

// gap is the difference of both accuracies, which is close to the error where the training images are known by heart.
func (m member) gap() float64 { return m.train - m.test }

// fitted is the training accuracy that makes a network valid (section 3).
const fitted = 0.99

func (m member) fits() bool { return m.train >= fitted }

// members are the networks of an ensemble that have numbers.
type members struct {
	of   specEnsemble
	all  []member
	lost sweep.Tally // counts all, those without numbers too
}

// members computes or loads the rows of an ensemble. They go into a figure: a row each into r.Units, their keys and times into
// its manifest.
func (s specEnsemble) members(ctx context.Context, l *lab.Lab, r *Result) (members, error) {
	m := members{of: s}
	w, err := sweep.Open(l, s.Sweep)
	if err != nil {
		return m, err
	}
	rows, err := w.Rows()
	if err != nil {
		return m, err
	}
	if rows.Tally().Missing() > 0 {
		if rows, err = work(ctx, l, w); err != nil {
			return m, err
		}
	}
	m.lost = rows.Tally()
	if n := m.lost.Failed; n > 0 {
		l.Note("%d networks failed and are left out; `directions sweep status %s` says why, `directions sweep retry %s` has them tried "+
			"again, and the figure needs --recompute then", n, w.Name, w.Name)
	}
	r.Manifest.Inputs = map[string]string{}
	r.Units = result.Table{Title: "networks", Columns: []result.Axis{
		{Name: "network"}, {Name: "status"}, {Name: "learning rate"}, {Name: "batch"}, {Name: "train accuracy", Unit: "fraction"},
		{Name: "test accuracy", Unit: "fraction"}, {Name: "train − test accuracy", Unit: "fraction"}, {Name: aucColumn, Unit: "fraction"},
		{Name: "s.d. of AUC over orderings", Unit: "fraction"}, {Name: "AUC / accuracy unablated"}, {Name: "AUC, test images", Unit: "fraction"},
	}}
	for i, row := range rows.Rows {
		n := rows.Networks[i]
		cells := []any{i + 1, row.Status, n.Spec.Fit.LR, n.Spec.Fit.Batch, nil, nil, nil, nil, nil, nil, nil}
		if row.Status == sweep.Done {
			if row.Final == nil || row.AUC == nil || row.AUCSD == nil || row.AUCRelative == nil || row.AUCTest == nil {
				return m, fmt.Errorf("network %d (%s) is done, but its row lacks a number", i+1, n.Label)
			}
			x := member{i + 1, n.Spec, row.Final.TrainAccuracy, row.Final.TestAccuracy, *row.AUC, *row.AUCRelative, *row.AUCTest}
			m.all = append(m.all, x)
			copy(cells[4:], []any{x.train, x.test, x.gap(), x.auc, *row.AUCSD, x.relative, x.aucTest})
			part(&r.Manifest, row.Backend, row.Seconds.Total())
			r.Manifest.Inputs[fmt.Sprintf("network %d", i+1)] = row.Run
		}
		r.Units.Rows = append(r.Units.Rows, cells)
	}
	if len(m.all) < 4 {
		return m, fmt.Errorf("only %d of %s have numbers: nothing to compare", len(m.all), m.lost)
	}
	run, err := l.Train(ctx, m.all[0].spec, "") // which is there
	if err != nil {
		return m, err
	}
	r.Manifest.Inputs["data set "+run.Spec.Data] = run.Data
	return m, nil
}

// work computes what is missing of a sweep, beside whoever else works on it, and tells after each network how far it is.
func work(ctx context.Context, l *lab.Lab, w *sweep.Sweep) (sweep.Rows, error) {
	var bad error
	rows, err := w.Rows()
	if err != nil {
		return rows, err
	}
	l.Note("Sweep %s: %s. The networks can be computed by `directions sweep run %s`, too, on several machines", w.Name, rows.Tally(), w.Name)
	tell := func(e sweep.Event) {
		if e.What != "end" || e.Status == "" {
			return
		}
		rows, err := w.Rows()
		if err != nil {
			bad = errors.Join(bad, err)
			return
		}
		t := rows.Tally()
		text := fmt.Sprintf("%d of %d networks; %s: %s", t.Networks-t.Missing(), t.Networks, w.Networks[e.Network].Label, e.Status)
		if e.Status == sweep.Done {
			text += fmt.Sprintf(", test accuracy %.4f, AUC %.4f", e.Test, e.AUC)
		} else {
			text += ": " + e.Error
		}
		if left := t.Left(1, nil); left > 0 {
			text += fmt.Sprintf("; about %s left for all", lab.Clock(left))
		}
		l.Note("%s", text)
	}
	if err := w.Work(ctx, sweep.WorkOptions{Wait: true, Watch: &sweep.Watch{Tell: tell}}); err != nil {
		return rows, err
	}
	if bad != nil {
		return rows, bad
	}
	return w.Rows()
}

// describe says which networks there are, and how many of them are not what they should be.
func (m members) describe(differ string) []string {
	a := m.of.Analyses
	text := fmt.Sprintf("%d networks (%s) that differ in %s, true labels", m.lost.Networks, m.all[0].spec.Net, differ)
	if n := m.lost.Diverged; n > 0 {
		text += fmt.Sprintf("; %d diverged and are left out", n)
	}
	if n := m.lost.Failed; n > 0 {
		text += fmt.Sprintf("; %d failed to be computed and are left out", n)
	}
	short, least := 0, m.all[0].train
	for _, x := range m.all {
		least = min(least, x.train)
		if !x.fits() {
			short++
		}
	}
	text += fmt.Sprintf(". %d of %d fall short of an accuracy of %g on their training images (smallest %.4f).", short, len(m.all), fitted, least)
	on := "all training images"
	if n := a.On.Examples; n > 0 {
		on = fmt.Sprintf("the first %s training images", thousands(n))
	}
	test := "all test images"
	if n := a.Test.Examples; n > 0 {
		test = fmt.Sprintf("the first %s test images", thousands(n))
	}
	units := "all hidden units"
	if sites := a.Ablate.Sites; len(sites) > 0 {
		units = fmt.Sprintf("the feature maps of %s to %s", sites[0], sites[len(sites)-1])
	}
	return []string{text, fmt.Sprintf("AUC: %d random orderings of %s, the same for all networks, on %s unless %s are named.",
		a.Ablate.Orders, units, on, test)}
}

// those are the networks that meet a condition.
func those(all []member, keep func(member) bool) (some []member) {
	for _, x := range all {
		if keep(x) {
			some = append(some, x)
		}
	}
	return some
}

// numbers are one number of each network.
func numbers(all []member, of func(member) float64) (x []float64) {
	for _, m := range all {
		x = append(x, of(m))
	}
	return x
}

// correlated is the rank correlation of two numbers of some networks.
func correlated(all []member, x, y func(member) float64) (stat.Relation, error) {
	var rows []stat.Row
	for i, m := range all {
		rows = append(rows, stat.Row{Network: i, X: x(m), Y: y(m)})
	}
	if len(rows) == 0 {
		return stat.Relation{Undefined: "there are no such networks"}, nil
	}
	r, err := stat.Relate(rows, relateOptions)
	return r.Pooled, err
}

// between writes a range of learning rates.
func between(all []member) string {
	rates := numbers(all, func(m member) float64 { return m.spec.Fit.LR })
	lo, hi := slices.Min(rates), slices.Max(rates)
	if lo == hi {
		return fmt.Sprintf("%.2g", lo)
	}
	return fmt.Sprintf("%.2g to %.2g", lo, hi)
}

// byRate divides networks into three groups of about equal size by their learning rate; those that share one stay together.
func byRate(all []member) (groups [][]member) {
	if len(all) == 0 {
		return nil
	}
	rate := func(m member) float64 { return m.spec.Fit.LR }
	rates := numbers(all, rate)
	slices.Sort(rates)
	low := math.Inf(-1)
	for i := range 3 {
		high := rates[((i+1)*len(rates)+2)/3-1]
		if some := those(all, func(m member) bool { return rate(m) > low && rate(m) <= high }); len(some) > 0 {
			groups = append(groups, some)
		}
		low = high
	}
	return groups
}

// clouds are networks as a scatter plot tells them apart: those that know their training images, and those that do not, with a
// learning rate below or above the median of all. If all know them, their learning rate alone tells them apart.
func clouds(all []member) (title string, names []string, groups [][]member) {
	short := those(all, func(m member) bool { return !m.fits() })
	if len(short) == 0 || len(short) == len(all) {
		for _, group := range byRate(all) {
			names, groups = append(names, between(group)), append(groups, group)
		}
		return "learning rate", names, groups
	}
	middle := median(numbers(all, func(m member) float64 { return m.spec.Fit.LR }))
	names, groups = []string{fmt.Sprintf("≥ %g", fitted)}, [][]member{those(all, member.fits)}
	for _, high := range []bool{false, true} {
		if some := those(short, func(m member) bool { return m.spec.Fit.LR > middle == high }); len(some) > 0 {
			names, groups = append(names, fmt.Sprintf("< %g, learning rate %s", fitted, between(some))), append(groups, some)
		}
	}
	return "training accuracy", names, groups
}

// drawMembers draws two columns of the table of networks against each other, without those that have no numbers.
func drawMembers(r *Result, x, y result.Axis, of func(m member) (x, y float64)) (*figure.Figure, error) {
	columns := map[string][]float64{}
	for _, name := range []string{"learning rate", "train accuracy", "test accuracy", aucColumn} {
		var err error
		if columns[name], err = r.Units.Numbers(name); err != nil {
			return nil, err
		}
	}
	var all []member
	for i, auc := range columns[aucColumn] {
		if !math.IsNaN(auc) {
			m := member{train: columns["train accuracy"][i], test: columns["test accuracy"][i], auc: auc}
			m.spec.Fit.LR = columns["learning rate"][i]
			all = append(all, m)
		}
	}
	opt := figure.ScatterOptions{Title: r.heading(), Caption: r.Caption, X: x, Y: y}
	title, names, groups := clouds(all)
	opt.LegendTitle = title
	var drawn []figure.Cloud
	for i, group := range groups {
		c := figure.Cloud{Name: names[i]}
		for _, m := range group {
			px, py := of(m)
			c.X, c.Y = append(c.X, px), append(c.Y, py)
		}
		drawn = append(drawn, c)
	}
	return figure.Scatter(opt, drawn...)
}
