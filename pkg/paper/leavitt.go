package paper

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Leavitt & Morcos, "Selectivity considered harmful: evaluating the causal impact of class selectivity in DNNs" (arXiv 2003.01262,
// ICLR 2021): networks trained with a regulariser of class selectivity, for or against it. Protocol: sections 2.6 and 5;
// fit.Spec.SelectivityAlpha.

// specLeavitt is networks trained alike but for α, of several seeds each.
type specLeavitt struct {
	Alphas   []float64
	Networks [][]lab.Spec // [α, seed]
	On       lab.On
	Measure  selectivity.Spec
}

func figureLeavitt() design {
	return design{
		Info: Info{
			ID:      "leavitt",
			Title:   "Networks trained for or against class selectivity",
			After:   "Leavitt & Morcos 2021",
			Claim:   "Less class selectivity costs little, up to a point; more of it always hurts",
			Presets: presets,
			Data:    []string{"mnist10k", "cifar10", "mnist", "fashion-mnist"},
		},
		plan: func(preset, data string) (plan, error) {
			s := specLeavitt{On: lab.On{Split: "test"}, Measure: unitSpec().Measure}
			base, narrowing, units, err := regularisedNet(preset, data)
			if err != nil {
				return plan{}, err
			}
			n := 3
			switch preset {
			case "smoke":
				s.Alphas, s.On.Examples, n = []float64{-5, 0, 1}, 1000, 1
			case "quick":
				s.Alphas, s.On.Examples = []float64{-20, -5, -1, 0, 1}, 2000
				if data == "cifar10" {
					n = 1
				}
			default:
				s.Alphas = []float64{-100, -50, -20, -10, -5, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2, 5}
			}
			each := "one network of each"
			if n > 1 {
				each = fmt.Sprintf("%d networks of each", n)
			}
			narrowing = append(narrowing, fmt.Sprintf("%d values of α, %s", len(s.Alphas), each))
			if s.On.Examples > 0 {
				narrowing = append(narrowing, fmt.Sprintf("units measured on %s test images", thousands(s.On.Examples)))
			}
			p := plan{Narrowing: narrowing, Seeds: map[string]uint64{"permutations of labels": s.Measure.Seed}}
			for i := range n {
				p.Seeds[fmt.Sprintf("init and order, network %d", i+1)] = instanceSeeds[i]
			}
			for _, alpha := range s.Alphas {
				base.Fit.SelectivityAlpha = alpha
				s.Networks = append(s.Networks, instances(base, n))
				p.Networks = append(p.Networks, instances(base, n)...)
			}
			p.Spec = s
			p.Passes, err = passesFor(data, base, units, lab.On{})
			return p, err
		},
		compute: computeLeavitt,
		draw:    drawLeavitt,
	}
}

// regularisedNet is the network that is trained with different α, and how many units it has.
func regularisedNet(preset, data string) (base lab.Spec, narrowing []string, units int, err error) {
	base = lab.Spec{Data: data, Net: "mlp:128,128"}
	instead := "an MLP on MNIST instead of a ResNet-20 on CIFAR-10"
	units = 256
	if data == "cifar10" {
		base.Net, base.Input, units = "convnet", "half", 2816
		instead = "the convolutional network of Figure 5b instead of a ResNet-20"
	}
	narrowing = []string{instead}
	switch {
	case preset == "smoke":
		base.Net, base.Input, base.Examples, units = "mlp:32,32", "", 500, 64
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Batch: 50, Epochs: 10, Evaluate: 10}
		return base, []string{"an MLP instead of a ResNet-20", "500 training images", "10 epochs"}, units, nil
	case preset == "quick" && data == "cifar10":
		base.Net, base.Examples, units = "convnet:width=0.125", 5000, 352
		base.Fit = fit.Spec{Optimizer: "adam", LR: 0.001, Schedule: "cosine", Batch: 50, Epochs: 8, Evaluate: 8}
		narrowing = append(narrowing, "an eighth of its feature maps", "5,000 training images", "8 epochs, of Adam with a cosine schedule")
	case preset == "quick":
		base.Examples = 10000
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 20}
		narrowing = append(narrowing, "10,000 training images", "20 epochs")
	case preset == "paper" && data == "cifar10":
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 100}
	case preset == "paper":
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 120}
	default:
		err = fmt.Errorf("no networks for preset %q", preset)
	}
	return base, narrowing, units, err
}

// regularised is what networks trained with one α are: a number for each network.
type regularised struct {
	alpha       float64
	index       []float64   // mean over layers of the mean class selectivity of their units, without dead ones
	byLayer     [][]float64 // [layer] the latter, of the networks in which the layer has units that are not dead
	test, train []float64   // accuracy
	dead, units int         // over all networks
}

func computeLeavitt(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(specLeavitt)
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
	var all []regularised
	var names []string
	var examples int
	for i, alpha := range s.Alphas {
		runs, err := trainAll(ctx, l, s.Networks[i])
		if err != nil {
			return nil, err
		}
		of := regularised{alpha: alpha}
		for k, run := range runs {
			r.Manifest.Inputs[fmt.Sprintf("network %d, α %g", k+1, alpha)], r.Manifest.Inputs["data set "+run.Spec.Data] = run.Key, run.Data
			measured, err := l.Selectivity(ctx, run, s.On, s.Measure)
			if err != nil {
				return nil, err
			}
			part(&r.Manifest, run.Backend, run.Seconds+measured.Seconds.Total)
			examples, names = measured.Examples, layers(measured.Table)
			by, err := classSelectivity.byLayer(measured.Table)
			if err != nil {
				return nil, err
			}
			of.add(run, by, names, measured.Dead, len(measured.Table.Rows))
		}
		all = append(all, of)
	}
	r.Table = leavittTable(all)
	r.Units = result.Table{Title: "networks", Columns: []result.Axis{{Name: "α"}, {Name: "network"}, regularisedAxis, testAxis}}
	for _, of := range all {
		c := result.Curve{Name: fmt.Sprint(of.alpha), XAxis: result.Axis{Name: "layer"}, YAxis: regularisedAxis, N: len(of.index)}
		for k := range names {
			if len(of.byLayer[k]) > 0 {
				mean, _ := stat.MeanSD(of.byLayer[k])
				c.X, c.Y = append(c.X, float64(k+1)), append(c.Y, mean)
			}
		}
		r.Curves = append(r.Curves, c)
		for k := range of.index {
			r.Units.Rows = append(r.Units.Rows, []any{of.alpha, k + 1, of.index[k], of.test[k]})
		}
	}
	r.Caption = []string{fmt.Sprintf("Networks (%s) trained on cross-entropy − α · class selectivity, so many of each α: %d; class selectivity on %s test images: mean over a layer's units, "+
		"without dead ones, then over layers. Layers %s to %s.", s.Networks[0][0].Net, len(s.Networks[0]), thousands(examples), names[0], names[len(names)-1])}
	r.Claims = []result.Claim{alphaMoves(all), lessCostsLittle(all), moreHurts(all)}
	return r, nil
}

var (
	regularisedAxis = result.Axis{Name: "mean class selectivity index"}
	testAxis        = result.Axis{Name: "test accuracy", Unit: "fraction"}
)

// add takes a network whose units have these indices by layer.
func (of *regularised) add(run *lab.Run, by map[string][]float64, names []string, dead, units int) {
	of.test, of.train = append(of.test, run.Final.TestAccuracy), append(of.train, run.Final.TrainAccuracy)
	of.dead, of.units = of.dead+dead, of.units+units
	if of.byLayer == nil {
		of.byLayer = make([][]float64, len(names))
	}
	var means []float64
	for k, name := range names {
		if len(by[name]) > 0 {
			mean, _ := stat.MeanSD(by[name])
			means, of.byLayer[k] = append(means, mean), append(of.byLayer[k], mean)
		}
	}
	mean, _ := stat.MeanSD(means)
	of.index = append(of.index, mean)
}

func leavittTable(all []regularised) result.Table {
	t := result.Table{Title: "networks trained with a regulariser of class selectivity, mean over networks", Columns: []result.Axis{
		{Name: "α"}, {Name: "networks"}, {Name: "mean class selectivity"}, {Name: "dead units", Unit: "fraction"}, {Name: "train accuracy", Unit: "fraction"},
		{Name: "test accuracy", Unit: "fraction"}, {Name: "lowest", Unit: "fraction"}, {Name: "highest", Unit: "fraction"},
	}}
	for _, of := range all {
		index, _ := stat.MeanSD(of.index)
		train, _ := stat.MeanSD(of.train)
		test, _ := stat.MeanSD(of.test)
		t.Rows = append(t.Rows, []any{of.alpha, len(of.index), index, float64(of.dead) / float64(of.units), train, test, slices.Min(of.test), slices.Max(of.test)})
	}
	return t
}

// without is the place of α = 0, which every preset has.
func without(all []regularised) regularised {
	return all[slices.IndexFunc(all, func(r regularised) bool { return r.alpha == 0 })]
}

// alphaMoves tests that the regulariser does what it is for.
func alphaMoves(all []regularised) result.Claim {
	c := result.Claim{Name: "α moves class selectivity", Test: "the mean class selectivity rises with every step of α", Passed: true}
	var found []string
	before := -1.0
	for _, of := range all {
		mean, _ := stat.MeanSD(of.index)
		found = append(found, fmt.Sprintf("%.3f at α = %g", mean, of.alpha))
		c.Passed = c.Passed && mean > before
		before = mean
	}
	c.Found = strings.Join(found, ", ")
	return c
}

// lessCostsLittle tests the finding on reducing selectivity: by their factor, at no more than the cost that they found for nearly
// none at all.
func lessCostsLittle(all []regularised) result.Claim {
	const factor, cost = 2.5, 0.02
	c := result.Claim{
		Name: "Class selectivity can be reduced at little cost",
		Test: fmt.Sprintf("with some α < 0 the mean class selectivity is at most 1/%g of that with α = 0, and the mean test accuracy at most %g lower", factor, cost),
	}
	plain := without(all)
	index, _ := stat.MeanSD(plain.index)
	accuracy, _ := stat.MeanSD(plain.test)
	found := []string{fmt.Sprintf("α = 0: selectivity %.3f, test accuracy %.4f", index, accuracy)}
	for _, of := range all {
		if of.alpha >= 0 {
			continue
		}
		i, _ := stat.MeanSD(of.index)
		a, _ := stat.MeanSD(of.test)
		found = append(found, fmt.Sprintf("α = %g: %.3f, %+.4f", of.alpha, i, a-accuracy))
		c.Passed = c.Passed || i <= index/factor && a >= accuracy-cost
	}
	c.Found = strings.Join(found, "; ") + fmt.Sprintf("; networks of each: %d", len(plain.test))
	return c
}

// moreHurts tests the finding on increasing selectivity.
func moreHurts(all []regularised) result.Claim {
	c := result.Claim{Name: "Increasing class selectivity hurts", Test: "with every α > 0 the mean test accuracy is below that with α = 0", Passed: true}
	accuracy, _ := stat.MeanSD(without(all).test)
	found := []string{fmt.Sprintf("α = 0: %.4f (%.4f to %.4f)", accuracy, slices.Min(without(all).test), slices.Max(without(all).test))}
	for _, of := range all {
		if of.alpha <= 0 {
			continue
		}
		a, _ := stat.MeanSD(of.test)
		found = append(found, fmt.Sprintf("α = %g: %.4f (%.4f to %.4f)", of.alpha, a, slices.Min(of.test), slices.Max(of.test)))
		c.Passed = c.Passed && a < accuracy
	}
	c.Found = strings.Join(found, "; ")
	return c
}

// drawLeavitt draws test accuracy against class selectivity, a point for each network, above class selectivity by layer.
func drawLeavitt(r *Result) (*figure.Figure, error) {
	var clouds []figure.Cloud
	for _, row := range r.Units.Rows {
		name := fmt.Sprint(row[0])
		if n := len(clouds); n == 0 || clouds[n-1].Name != name {
			clouds = append(clouds, figure.Cloud{Name: name})
		}
		c := &clouds[len(clouds)-1]
		c.X, c.Y = append(c.X, row[2].(float64)), append(c.Y, row[3].(float64))
	}
	style := figure.Style{Height: 7.5}
	above, err := figure.Scatter(figure.ScatterOptions{Title: r.heading(), LegendTitle: "α", X: regularisedAxis, Y: testAxis, Style: style}, clouds...)
	if err != nil {
		return nil, err
	}
	below, err := figure.Curves(figure.Options{Caption: r.Caption, LegendTitle: "α", Ordered: true, Style: style}, r.Curves...)
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, above, below)
}
