package paper

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/complexity"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/sweep"
)

// The scoreboard is not a figure of the paper: on the networks of Figure 4c it sets the area under the ablation curve beside
// what else is said to predict generalization without held-out images (package complexity), beside noise, beside the ablation
// of random directions instead of units, and beside what is known before training.

func scoreboard() design {
	return design{
		Info: Info{
			ID:      "scoreboard",
			After:   "Scoreboard after Jiang et al. 2020",
			Title:   "What predicts generalization without held-out images",
			Claim:   "The area under the ablation curve ranks networks by test accuracy; so may other measures",
			Presets: presets,
			Data:    convData,
		},
		plan: planScoreboard,
		compute: func(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
			r := new(Result)
			err := computeScoreboard(ctx, l, p.Spec.(specScoreboard), r)
			return r, err
		},
		draw: drawScoreboard,
	}
}

type specScoreboard struct {
	Ensemble   specEnsemble
	Directions ablate.Spec // of random bases, as many as units
	Noise      noise.Spec  // at the same sites
	Complexity complexity.Spec
	Resamples  int // of intervals
	Shuffles   int // of what conditional information there is by chance
	Most       int // hyperparameters it is conditioned on
	Seed       uint64
}

// scoreboardNetworks are those of Figure 4c, but at preset smoke small multilayer perceptrons.
func scoreboardNetworks(preset, data string) (sweep.Spec, []string, error) {
	if preset != "smoke" {
		return ensemble4c(preset, data)
	}
	s := sweep.Spec{
		Name: "scoreboard-smoke",
		Base: lab.Spec{Data: data, Net: "mlp:32,32", Examples: 500, Fit: fit.Spec{Momentum: 0.9, Schedule: "cosine", Epochs: 25, Evaluate: 25}},
		Grid: []sweep.Axis{
			{Name: "lr", Values: []any{0.005, 0.02, 0.08}}, {Name: "batch", Values: []any{10, 40}}, {Name: "seed", Values: []any{1, 2}},
		},
		Analyses: sweep.Analyses{Ablate: &ablate.Spec{Seed: 1}, Test: &lab.On{Examples: 500}},
	}
	if data != convData[0] {
		s.Name += "-" + data
	}
	return s, []string{"small multilayer perceptrons instead of convolutional networks", "500 training images", "25 epochs",
		"6 instead of 96 settings"}, nil
}

func planScoreboard(preset, data string) (plan, error) {
	of, p, err := ensemble(scoreboardNetworks).plan(preset, data)
	if err != nil {
		return p, err
	}
	s := specScoreboard{Ensemble: of, Directions: *of.Analyses.Ablate, Noise: noise.Spec{Sites: of.Analyses.Ablate.Sites, Seed: 1},
		Complexity: complexity.Spec{Seed: 1}, Resamples: 2000, Shuffles: 500, Most: 2, Seed: 1}
	s.Directions.Basis, s.Directions.BasisSeed = ablate.RandomDirections, 1
	if preset == "paper" {
		s.Complexity.Draws = 10
	} else {
		s.Noise.Repeats = 3
		p.Narrowing = append(p.Narrowing, "3 instead of 10 draws of noise on units", "3 instead of 10 disturbances of weights")
	}
	s.Directions, s.Noise, s.Complexity = s.Directions.WithDefaults(), s.Noise.WithDefaults(), s.Complexity.WithDefaults()
	p.Spec = s
	p.Passes += s.Directions.Orders*s.Directions.Points + s.Noise.Repeats*len(s.Noise.Scales) + s.Complexity.Draws*s.Complexity.Steps + 2
	for name, seed := range map[string]uint64{"bases": s.Directions.BasisSeed, "noise": s.Noise.Seed, "disturbances of weights": s.Complexity.Seed,
		"resamples and shuffles": s.Seed, "init and order, first of each setting": 1, "init and order, second": 2} {
		p.Seeds[name] = seed
	}
	return p, nil
}

// candidate is a network with all that is measured of it.
type candidate struct {
	member
	directions ablate.Result
	noise      noise.Result
	complexity complexity.Result
}

// rival is a measure of the scoreboard.
type rival struct {
	name     string
	expected int // 1: the larger, the better it should generalize; −1: the smaller
	of       func(c candidate) float64
}

// rivals lists the measures. The last two are no measures, but what a measure can be no better than: hyperparameters, which
// are known before training. Large rates and small batches are said to generalize (Keskar et al. 2017, Smith and Le 2018).
func rivals() []rival {
	all := []rival{
		{unitsAUC, 1, func(c candidate) float64 { return c.auc }},
		{"AUC, units / accuracy unablated", 1, func(c candidate) float64 { return c.relative }},
		{"AUC, random directions", 1, func(c candidate) float64 { return c.directions.AUC }},
		{"AUC, noise on units", 1, func(c candidate) float64 { return c.noise.AUC() }},
	}
	for _, m := range complexity.Measures() {
		all = append(all, rival{m.Name, m.Expected, func(c candidate) float64 { return m.Of(c.complexity) }})
	}
	return append(all,
		rival{"training accuracy", 1, func(c candidate) float64 { return c.train }},
		rival{"learning rate (set)", 1, func(c candidate) float64 { return c.spec.Fit.LR }},
		rival{"batch size (set)", -1, func(c candidate) float64 { return float64(c.spec.Fit.Batch) }},
	)
}

const unitsAUC = "AUC, units ablated"

// candidates computes or loads what is measured of the networks of an ensemble; each measure of each network is kept by itself.
func (s specScoreboard) candidates(ctx context.Context, l *lab.Lab, r *Result) (members, []candidate, error) {
	m, err := s.Ensemble.members(ctx, l, r)
	if err != nil {
		return m, nil, err
	}
	on := s.Ensemble.Analyses.On
	var all []candidate
	for i, x := range m.all {
		run, err := l.Train(ctx, x.spec, "") // which is there
		if err != nil {
			return m, nil, err
		}
		c := candidate{member: x}
		if c.directions, err = l.Ablate(ctx, run, on, s.Directions); err != nil {
			return m, nil, err
		}
		if c.noise, err = l.Noise(ctx, run, on, s.Noise); err != nil {
			return m, nil, err
		}
		if c.complexity, err = l.Complexity(ctx, run, on, s.Complexity); err != nil {
			return m, nil, err
		}
		part(&r.Manifest, c.directions.Receipt.Backend, c.directions.Seconds.Total)
		part(&r.Manifest, c.noise.Receipt.Backend, c.noise.Seconds.Total)
		part(&r.Manifest, c.complexity.Receipt.Backend, c.complexity.Seconds.Total)
		all = append(all, c)
		l.Note("%d of %d networks measured: learning rate %g, batch %d: test accuracy %.4f, AUC of units %.4f, of random directions %.4f",
			i+1, len(m.all), x.spec.Fit.LR, x.spec.Fit.Batch, x.test, x.auc, c.directions.AUC)
	}
	return m, all, nil
}

// standing is how well a measure predicts an outcome over some networks. All but networks is nil if there is no correlation.
type standing struct {
	networks    int
	rho         *stat.Interval
	tau         float64
	information stat.ConditionalInformation
}

// stands compares a measure, turned as expected, with an outcome. The interval is over settings and the networks of each, which
// have more in common than others.
func (s specScoreboard) stands(of []candidate, r rival, outcome func(candidate) float64) (standing, error) {
	found := standing{networks: len(of)}
	var x, y []float64
	var pairs [][]stat.Pair
	rate, batch := stat.Setting{Name: "learning rate"}, stat.Setting{Name: "batch size"}
	place := map[[2]float64]int{}
	for _, c := range of {
		p := stat.Pair{X: float64(r.expected) * r.of(c), Y: outcome(c)}
		x, y = append(x, p.X), append(y, p.Y)
		lr, size := c.spec.Fit.LR, float64(c.spec.Fit.Batch)
		rate.Values, batch.Values = append(rate.Values, lr), append(batch.Values, size)
		k, known := place[[2]float64{lr, size}]
		if !known {
			k = len(pairs)
			place[[2]float64{lr, size}], pairs = k, append(pairs, nil)
		}
		pairs[k] = append(pairs[k], p)
	}
	if len(pairs) < 3 || slices.Min(x) == slices.Max(x) || slices.Min(y) == slices.Max(y) {
		return found, nil
	}
	interval, err := stat.SpearmanInterval(pairs, 0.95, s.Resamples, s.Seed)
	if err != nil {
		return found, fmt.Errorf("%s: %w", r.name, err)
	}
	if found.tau, err = stat.Kendall(x, y); err != nil {
		return found, fmt.Errorf("%s: %w", r.name, err)
	}
	found.information, err = stat.Conditional(x, y, []stat.Setting{rate, batch}, s.Most, s.Shuffles, s.Seed)
	if err != nil {
		return found, fmt.Errorf("%s: %w", r.name, err)
	}
	found.rho = &interval
	return found, nil
}

// line is a row of the scoreboard.
type line struct {
	rival
	test, gap, fitting standing
}

// value is the correlation with test accuracy, by which the scoreboard is ordered; without one a measure comes last.
func (l line) value() float64 {
	if l.test.rho == nil {
		return math.Inf(-1)
	}
	return l.test.rho.Estimate
}

func computeScoreboard(ctx context.Context, l *lab.Lab, s specScoreboard, r *Result) error {
	m, all, err := s.candidates(ctx, l, r)
	if err != nil {
		return err
	}
	var fitting []candidate
	for _, c := range all {
		if c.fits() {
			fitting = append(fitting, c)
		}
	}
	test := func(c candidate) float64 { return c.test }
	var lines []line
	for _, of := range rivals() {
		one := line{rival: of}
		if one.test, err = s.stands(all, of, test); err != nil {
			return err
		}
		if one.gap, err = s.stands(all, of, func(c candidate) float64 { return -c.gap() }); err != nil {
			return err
		}
		if one.fitting, err = s.stands(fitting, of, test); err != nil {
			return err
		}
		lines = append(lines, one)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(b.value(), a.value()) })
	r.Table = scoreboardTable(lines)
	addMeasures(&r.Units, all)
	a := s.Ensemble.Analyses
	units := "all hidden units"
	if len(a.Ablate.Sites) > 0 {
		units = fmt.Sprintf("the feature maps of %s to %s", a.Ablate.Sites[0], a.Ablate.Sites[len(a.Ablate.Sites)-1])
	}
	r.Caption = []string{
		m.describe(fmt.Sprintf("learning rate (%s) and batch size, %d settings", between(m.all), len(settings(m.all))))[0],
		"ρ: Spearman's, each measure turned so that ρ > 0 is what is said of it (table, column expected). Learning rate and batch size are " +
			"no measures: they are set before training, and what a measure should know more than.",
		fmt.Sprintf("AUCs: %s; %d orderings, %d draws of noise. All measures on %s training images; norms, margin / spectral and flatness "+
			"with batch normalization folded into the weights.", units, a.Ablate.Orders, s.Noise.Repeats, thousands(all[0].complexity.Examples)),
	}
	r.Claims = []result.Claim{ablationRanks(lines)}
	return nil
}

// Columns of the scoreboard that are drawn.
const (
	rhoColumn     = "ρ, test accuracy"
	fittingColumn = "ρ, fitting networks"
)

// scoreboardTable has a row for each measure, in the order given.
func scoreboardTable(lines []line) result.Table {
	t := result.Table{Title: "measures by how they rank networks by test accuracy"}
	for _, name := range []string{"measure", "expected", rhoColumn, "from", "to", "τ", "CMI", "given", "by chance", "networks",
		"ρ, gap", "gap from", "gap to", "τ, gap", "CMI, gap", fittingColumn, "fitting from", "fitting to", "fitting"} {
		t.Columns = append(t.Columns, result.Axis{Name: name})
	}
	for _, one := range lines {
		row := []any{one.name, map[int]string{1: "+", -1: "−"}[one.expected]}
		cells := func(s standing, parts int) {
			values := []any{nil, nil, nil, nil, nil, nil, nil}
			if s.rho != nil {
				given := cmp.Or(strings.Join(s.information.Least(), ", "), "nothing")
				values = []any{s.rho.Estimate, s.rho.Lo, s.rho.Hi, s.tau, s.information.Score, given, s.information.Chance}
			}
			row = append(row, values[:parts]...)
		}
		cells(one.test, 7)
		row = append(row, one.test.networks)
		cells(one.gap, 5)
		cells(one.fitting, 3)
		t.Rows = append(t.Rows, append(row, one.fitting.networks))
	}
	return t
}

// addMeasures adds to the table of networks what was measured of each, but what is in it already.
func addMeasures(t *result.Table, all []candidate) {
	byPlace := map[int]candidate{}
	for _, c := range all {
		byPlace[c.place] = c
	}
	for _, of := range rivals() {
		if slices.Contains([]string{unitsAUC, "AUC, units / accuracy unablated", "training accuracy", "learning rate (set)", "batch size (set)"}, of.name) {
			continue
		}
		t.Columns = append(t.Columns, result.Axis{Name: of.name})
		for i, row := range t.Rows {
			var cell any
			if c, ok := byPlace[i+1]; ok {
				cell = of.of(c)
			}
			t.Rows[i] = append(row, cell)
		}
	}
}

// ablationRanks is the claim that is tested: the interval of ρ of the AUC of units lies above 0. Whether others rank the networks
// better is no part of it, and said with it.
func ablationRanks(lines []line) result.Claim {
	c := result.Claim{
		Name: "The AUC of unit ablation ranks networks by test accuracy better than chance",
		Test: "the 95 % interval of Spearman's ρ of AUC and test accuracy lies above 0",
	}
	at := slices.IndexFunc(lines, func(l line) bool { return l.name == unitsAUC })
	own := lines[at]
	if own.test.rho == nil {
		c.Found = fmt.Sprintf("no ρ over %d networks", own.test.networks)
		return c
	}
	c.Passed = own.test.rho.Lo > 0
	c.Found = fmt.Sprintf("ρ = %.3f (%.3f to %.3f), τ = %.3f, CMI %.1f (%.1f by chance) over %d networks; place %d of %d",
		own.test.rho.Estimate, own.test.rho.Lo, own.test.rho.Hi, own.test.tau, own.test.information.Score, own.test.information.Chance,
		own.test.networks, at+1, len(lines))
	if own.fitting.rho != nil {
		c.Found += fmt.Sprintf("; over the %d that fit their labels, ρ = %.3f (%.3f to %.3f)", own.fitting.networks,
			own.fitting.rho.Estimate, own.fitting.rho.Lo, own.fitting.rho.Hi)
	}
	var better []string
	for _, l := range lines[:at] {
		better = append(better, fmt.Sprintf("%s %.3f", l.name, l.value()))
	}
	if len(better) > 0 {
		c.Found += "; before it: " + strings.Join(better, ", ")
	}
	return c
}

// drawScoreboard draws the measures in the order of the table: over all networks, and over those that fit.
func drawScoreboard(r *Result) (*figure.Figure, error) {
	panel := func(title, rho, from, to, n string, style figure.Style, caption ...string) (*figure.Figure, error) {
		columns := map[string][]float64{}
		for _, name := range []string{rho, from, to, n} {
			var err error
			if columns[name], err = r.Table.Numbers(name); err != nil {
				return nil, err
			}
		}
		var all []figure.Estimate
		for i, row := range r.Table.Rows {
			all = append(all, figure.Estimate{Name: fmt.Sprint(row[0]), Value: columns[rho][i], Lo: columns[from][i], Hi: columns[to][i],
				Missing: math.IsNaN(columns[rho][i])})
		}
		return figure.Estimates(figure.EstimateOptions{
			Title: fmt.Sprintf(title, int(columns[n][0])), Caption: caption, Sideways: true, YMin: -1, YMax: 1,
			Y: result.Axis{Name: "Spearman's ρ of measure and test accuracy"}, Style: style,
			Band: "95 % bootstrap interval over settings and the networks of each",
		}, all...)
	}
	style := figure.Style{Height: 1 + .55*float64(len(r.Table.Rows))}
	a, err := panel(r.heading()+": all %d networks", rhoColumn, "from", "to", "networks", style)
	if err != nil {
		return nil, err
	}
	b, err := panel("The %d networks with a training accuracy of at least "+fmt.Sprint(fitted), fittingColumn, "fitting from", "fitting to",
		"fitting", style, r.Caption...)
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, a, b)
}
