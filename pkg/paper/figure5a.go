package paper

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 5a: cumulative ablation of MLPs trained with dropout, on true and on fully permuted labels. Protocol: sections 2.1
// to 2.4 and 3; section 6, item 18.

// dropouts are the probabilities with which hidden units are dropped in training.
var dropouts = []float64{0.1, 0.2, 0.3}

type spec5a struct {
	True, Permuted []lab.Spec // by dropouts
	On             lab.On
	Ablate         ablate.Spec
}

func figure5a() design {
	return design{
		Info: Info{
			ID:      "5a",
			Title:   "Dropout and cumulative ablation of an MLP",
			Claim:   "Dropout makes a memorising network robust up to the fraction of units it dropped, and not beyond",
			Presets: presets,
			Data:    mlpData,
		},
		plan: func(preset, data string) (plan, error) {
			base, narrowing, err := dropoutNet(preset, data)
			if err != nil {
				return plan{}, err
			}
			s := spec5a{Ablate: ablate.Spec{Seed: 1}.WithDefaults()}
			for _, p := range dropouts {
				net := base
				net.Fit.Dropout = p
				s.True = append(s.True, net.WithDefaults())
				net.Corrupt = corrupt.Spec{Fraction: 1, Seed: corruptionSeeds["corruption"]}
				s.Permuted = append(s.Permuted, net.WithDefaults())
			}
			return plan{
				Spec: s, Narrowing: narrowing, Networks: append(append([]lab.Spec{}, s.True...), s.Permuted...),
				Passes: s.Ablate.Orders * s.Ablate.Points,
				Seeds:  with(with(corruptionSeeds, "orderings", s.Ablate.Seed), "dropout", base.Fit.DropoutSeed),
			}, nil
		},
		compute: compute5a,
		draw:    draw5a,
	}
}

// dropoutNet is the network of Figure 5a, but for dropout and labels. The paper trains for 5,000 epochs; with Adam far
// fewer are enough to know permuted labels.
func dropoutNet(preset, data string) (lab.Spec, []string, error) {
	s := lab.Spec{Data: data, Net: "mlp:2048,2048"}
	var narrowing []string
	switch preset {
	case "smoke":
		s.Net, s.Examples = "mlp:256,256", 500
		s.Fit = fit.Spec{Optimizer: "adam", Batch: 50, Epochs: 100, Evaluate: 50}
		narrowing = []string{"256 instead of 2,048 units a layer", "500 training images", "100 epochs, of Adam"}
	case "quick":
		s.Examples = 5000
		s.Fit = fit.Spec{Optimizer: "adam", LR: 0.0005, Schedule: "cosine", Batch: 100, Epochs: 100, Evaluate: 10}
		narrowing = []string{"5,000 training images", "100 epochs, of Adam with a cosine schedule, instead of 5,000"}
	case "paper":
		s.Fit = fit.Spec{LR: 0.1, Batch: 128, Epochs: 5000, Evaluate: 50}
	default:
		return lab.Spec{}, nil, fmt.Errorf("no networks for preset %q", preset)
	}
	s.Fit.InitSeed, s.Fit.OrderSeed, s.Fit.DropoutSeed = corruptionSeeds["init"], corruptionSeeds["order"], 1
	return s, narrowing, nil
}

// name5a is a curve's name: "0.1, permuted labels".
func name5a(dropout float64, permuted bool) string {
	labels := "true"
	if permuted {
		labels = "permuted"
	}
	return fmt.Sprintf("%g, %s labels", dropout, labels)
}

func compute5a(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(spec5a)
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
	r.Table = result.Table{Title: "robustness of networks trained with dropout", Columns: []result.Axis{
		{Name: "dropout", Unit: "fraction of units"}, {Name: "labels"}, {Name: "train accuracy", Unit: "fraction"},
		{Name: "test accuracy", Unit: "fraction"}, {Name: "AUC", Unit: "fraction"}, {Name: "s.d. of AUC over orderings", Unit: "fraction"},
		{Name: "accuracy with the dropout fraction ablated", Unit: "fraction"},
		{Name: "ablated when accuracy has halved", Unit: "fraction of units"},
	}}
	var runs []*lab.Run
	kinds := []struct {
		permuted bool
		specs    []lab.Spec
		found    []ablate.Result
	}{{false, s.True, nil}, {true, s.Permuted, nil}}
	for k := range kinds {
		kind := &kinds[k]
		for i, spec := range kind.specs {
			name := name5a(dropouts[i], kind.permuted)
			run, a, err := ablated(ctx, l, &r.Manifest, "network, dropout "+name, spec, s.On, s.Ablate)
			if err != nil {
				return nil, err
			}
			runs, kind.found = append(runs, run), append(kind.found, a)
			r.Curves = append(r.Curves, a.Curve(name))
			_, sd := stat.MeanSD(a.AUCs)
			_, labels, _ := strings.Cut(name, ", ")
			row := []any{dropouts[i], strings.TrimSuffix(labels, " labels"), run.Final.TrainAccuracy, run.Final.TestAccuracy, a.AUC, sd,
				at(a.Fraction, a.Mean, dropouts[i]), nil}
			if half := halfFall(a); !math.IsNaN(half) {
				row[len(row)-1] = half
			}
			r.Table.Rows = append(r.Table.Rows, row)
		}
	}
	some := kinds[0].found[0]
	r.Caption = []string{fmt.Sprintf("One network (%s) per line; band: ± s.d. over %d random orderings of %s; %s training images, own labels.",
		s.True[0].Net, some.Orders, unitsOf(some, s.Ablate.Sites), thousands(some.Examples))}
	r.Claims = []result.Claim{fitsItsLabels(runs), halvesLaterWithDropout(kinds[1].found), coincide(kinds[0].found)}
	return r, nil
}

// draw5a draws the curves with a dashed line at each dropout fraction, in the colour of the permuted labels' curve.
func draw5a(r *Result) (*figure.Figure, error) {
	var lines []figure.VLine
	for _, p := range dropouts {
		name := name5a(p, true)
		for _, c := range r.Curves {
			if c.Name == name {
				lines = append(lines, figure.VLine{X: p * c.X[len(c.X)-1], Name: "that fraction of the units", Curve: name})
			}
		}
	}
	return figure.Curves(figure.Options{
		Title: r.heading(), Caption: r.Caption, Chance: 0.1, LegendTitle: "dropout", VLines: lines,
	}, r.Curves...)
}

// at is the height of a line at x, interpolated between its points; xs ascend and hold x between them.
func at(xs, ys []float64, x float64) float64 {
	for i := 1; i < len(xs); i++ {
		if x <= xs[i] {
			return ys[i-1] + (ys[i]-ys[i-1])*(x-xs[i-1])/(xs[i]-xs[i-1])
		}
	}
	return ys[len(ys)-1]
}

// halfFall is the fraction of units ablated at which the mean accuracy first is half of what it was, interpolated between
// points; NaN if it never falls so far.
func halfFall(a ablate.Result) float64 {
	half := a.Mean[0] / 2
	for i := 1; i < len(a.Mean); i++ {
		if before := a.Mean[i-1]; a.Mean[i] <= half {
			return a.Fraction[i-1] + (a.Fraction[i]-a.Fraction[i-1])*(before-half)/(before-a.Mean[i])
		}
	}
	return math.NaN()
}

// halvesLaterWithDropout is the first acceptance test of Figure 5a (section 8): the half-fall position of the corrupted
// curve rises with the dropout probability.
func halvesLaterWithDropout(permuted []ablate.Result) result.Claim {
	c := result.Claim{
		Name: "Dropout protects a memorising network up to the fraction that it dropped",
		Test: "permuted labels: the fraction of units whose ablation halves the accuracy rises with the dropout probability",
	}
	var found []string
	c.Passed = true
	for i, a := range permuted {
		half := halfFall(a)
		found = append(found, fmt.Sprintf("%.3f at dropout %g", half, dropouts[i]))
		c.Passed = c.Passed && !math.IsNaN(half) && (i == 0 || half > halfFall(permuted[i-1]))
	}
	c.Found = strings.Join(found, ", ")
	return c
}

// coincide is the second one: the curves of true labels coincide. They count as one where no two AUCs are further apart
// than 3 s.d. of such a difference over orderings.
func coincide(clean []ablate.Result) result.Claim {
	worst, text := 0., ""
	for i, a := range clean {
		for j, b := range clean[:i] {
			_, sa := stat.MeanSD(a.AUCs)
			_, sb := stat.MeanSD(b.AUCs)
			gap := 0.
			if d := math.Abs(a.AUC - b.AUC); d > 0 { // over a spread that may be 0
				gap = d / math.Hypot(sa, sb)
			}
			if gap >= worst {
				worst = gap
				text = fmt.Sprintf("dropout %g and %g: %.4f and %.4f, %.1f s.d. apart (%d orderings)", dropouts[j], dropouts[i], b.AUC, a.AUC, gap, a.Orders)
			}
		}
	}
	return result.Claim{
		Name:   "With true labels, how much dropout there was makes little difference",
		Test:   "true labels: no two AUCs are more than 3 s.d. of such a difference over orderings apart",
		Found:  text,
		Passed: worst <= 3,
	}
}
