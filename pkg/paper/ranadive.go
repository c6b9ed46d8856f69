package paper

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Ranadive, Thakurdesai, Morcos, Leavitt, Deny, "On the special role of class-selective neurons in early training" (arXiv
// 2305.17409, TMLR 2023): class selectivity, and what ablating one unit does, over training. Protocol: sections 2.6, 2.7 and 5.

// specRanadive is networks that keep checkpoints, at each of which all units are measured.
type specRanadive struct {
	Networks   []lab.Spec
	On, Impact lab.On // what units are measured on, and what they are ablated on
	Measure    selectivity.Spec
}

func figureRanadive() design {
	return design{
		Info: Info{
			ID:      "ranadive",
			Title:   "Class selectivity and impact of units over training",
			After:   "Ranadive et al. 2023",
			Claim:   "Class selectivity emerges in the first epochs and then recedes; selective units matter early",
			Presets: presets,
			Data:    []string{"mnist10k", "mnist", "fashion-mnist", "cifar10"},
		},
		plan: func(preset, data string) (plan, error) {
			s := specRanadive{On: lab.On{Split: "test"}, Impact: lab.On{Split: "test"}, Measure: unitSpec().Measure}
			base, narrowing, units, err := followedNet(preset, data)
			if err != nil {
				return plan{}, err
			}
			n := 2
			switch preset {
			case "smoke":
				s.On.Examples, s.Impact.Examples, n = 1000, 500, 1
			case "quick":
				s.On.Examples, s.Impact.Examples, n = 2000, 2000, 1
				if data == "cifar10" {
					s.Impact.Examples = 300
				}
			}
			if n == 1 {
				narrowing = append(narrowing, "one network")
			} else {
				narrowing = append(narrowing, fmt.Sprintf("%d networks", n))
			}
			if s.On.Examples > 0 {
				narrowing = append(narrowing, fmt.Sprintf("units measured on %s and ablated on %s test images", thousands(s.On.Examples), thousands(s.Impact.Examples)))
			}
			s.Networks = instances(base, n)
			p := plan{Spec: s, Narrowing: narrowing, Networks: s.Networks, Seeds: map[string]uint64{"permutations of labels": s.Measure.Seed}}
			for i := range n {
				p.Seeds[fmt.Sprintf("init and order, network %d", i+1)] = instanceSeeds[i]
			}
			passes, err := passesFor(data, base, units, s.Impact)
			p.Passes = passes * len(base.Fit.Checkpoints)
			return p, err
		},
		compute: computeRanadive,
		draw:    drawRanadive,
	}
}

// followedNet is the network that is followed over training, with the checkpoints it keeps, and how many units it has.
func followedNet(preset, data string) (base lab.Spec, narrowing []string, units int, err error) {
	base = lab.Spec{Data: data, Net: "mlp:128,128"}
	instead := "an MLP on MNIST instead of a ResNet-50 on ImageNet"
	units = 256
	if data == "cifar10" {
		base.Net, base.Input, units = "convnet", "half", 2816
		instead = "the convolutional network of Figure 5b on CIFAR-10 instead of a ResNet-50 on ImageNet"
	}
	narrowing = []string{instead}
	long := []int{0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}
	switch {
	case preset == "smoke":
		base.Net, base.Input, base.Examples, units = "mlp:32,32", "", 500, 64
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Batch: 50, Epochs: 8, Evaluate: 8, Checkpoints: []int{0, 1, 2, 8}}
		return base, []string{"an MLP instead of a ResNet-50 on ImageNet", "500 training images", "8 epochs"}, units, nil
	case preset == "quick" && data == "cifar10":
		base.Net, base.Examples, units = "convnet:width=0.125", 4000, 352
		base.Fit = fit.Spec{Optimizer: "adam", LR: 0.001, Batch: 50, Epochs: 16, Evaluate: 16, Checkpoints: []int{0, 1, 2, 4, 8, 16}}
		narrowing = append(narrowing, "an eighth of its feature maps", "4,000 training images", "16 epochs, of Adam")
	case preset == "quick":
		base.Examples = 10000
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Batch: 128, Epochs: 32, Checkpoints: []int{0, 1, 2, 4, 8, 16, 32}}
		narrowing = append(narrowing, "10,000 training images", "32 epochs")
	case preset == "paper" && data == "cifar10":
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 100, Checkpoints: append(long, 100)}
	case preset == "paper":
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 120, Checkpoints: append(long, 120)}
	default:
		err = fmt.Errorf("no networks for preset %q", preset)
	}
	return base, narrowing, units, err
}

// moment is what the networks of figure ranadive are at one epoch: numbers of each network.
type moment struct {
	epoch                  int
	median, rho, loss, hit []float64 // median class selectivity of all units; mean over layers of the correlation; impacts
	accuracy               []float64 // on the test images; empty before training
	dead, units            int       // over all networks
}

// meanOfLayers is the mean over layers of the correlations of selectivity and impact at the rows of one checkpoint.
func meanOfLayers(rho []float64) (float64, bool) {
	var of []float64
	for _, x := range rho {
		if x-x == 0 {
			of = append(of, x)
		}
	}
	mean, _ := stat.MeanSD(of)
	return mean, len(of) > 0
}

func computeRanadive(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(specRanadive)
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
	runs, err := trainAll(ctx, l, s.Networks)
	if err != nil {
		return nil, err
	}
	var courses []lab.Course
	for i, run := range runs {
		r.Manifest.Inputs[fmt.Sprintf("network %d", i+1)], r.Manifest.Inputs["data set "+run.Spec.Data] = run.Key, run.Data
		c, err := l.Course(ctx, run, s.On, &s.Impact, s.Measure)
		if err != nil {
			return nil, err
		}
		part(&r.Manifest, run.Backend, run.Seconds+c.Seconds)
		courses = append(courses, c)
	}
	moments, err := momentsOf(courses)
	if err != nil {
		return nil, err
	}
	r.Table = momentsTable(moments)
	for _, of := range []struct {
		column string
		axis   result.Axis
	}{
		{"selectivity", result.Axis{Name: "median class selectivity index"}},
		{"delta_loss", result.Axis{Name: "change of test loss when ablated", Unit: "nats"}},
	} {
		curves, err := meanOverNetworks(courses, of.column, of.axis)
		if err != nil {
			return nil, err
		}
		r.Curves = append(r.Curves, curves...)
	}
	networks := fmt.Sprintf("one network (%s)", runs[0].Spec.Net)
	if len(runs) > 1 {
		networks = fmt.Sprintf("mean over %d networks (%s)", len(runs), runs[0].Spec.Net)
	}
	r.Caption = []string{capital(fmt.Sprintf("%s; class selectivity on %s test images, impact of ablating one unit to zero on %s: mean over the units of a layer. "+
		"The untrained network stands where half an epoch would.", networks, thousands(courses[0].Examples), thousands(courses[0].Ablated)))}
	r.Claims = []result.Claim{emergesAndRecedes(moments), mattersEarly(moments)}
	return r, nil
}

// momentsOf takes from each network's course the rows of all units, and of the layers their correlations.
func momentsOf(courses []lab.Course) ([]moment, error) {
	var all []moment
	for _, c := range courses {
		columns := map[string][]float64{}
		for _, name := range []string{"epoch", "units", "dead", "selectivity", "rho", "delta_loss", "delta_accuracy", "test_accuracy"} {
			x, err := c.Rows.Numbers(name)
			if err != nil {
				return nil, err
			}
			columns[name] = x
		}
		k, first := 0, 0
		for i, row := range c.Rows.Rows {
			if row[1] != "all" {
				continue
			}
			if k == len(all) {
				all = append(all, moment{epoch: int(columns["epoch"][i])})
			}
			m := &all[k]
			m.units += int(columns["units"][i])
			m.dead += int(columns["dead"][i])
			m.median = append(m.median, columns["selectivity"][i])
			m.loss, m.hit = append(m.loss, columns["delta_loss"][i]), append(m.hit, columns["delta_accuracy"][i])
			if x, ok := meanOfLayers(columns["rho"][first:i]); ok {
				m.rho = append(m.rho, x)
			}
			if x := columns["test_accuracy"][i]; x-x == 0 {
				m.accuracy = append(m.accuracy, x)
			}
			k, first = k+1, i+1
		}
	}
	return all, nil
}

func momentsTable(moments []moment) result.Table {
	t := result.Table{Title: "units over training, mean over networks", Columns: []result.Axis{
		{Name: "epochs"}, {Name: "test accuracy", Unit: "fraction"}, {Name: "median class selectivity"}, {Name: "dead units", Unit: "fraction"},
		{Name: "change of test loss when ablated", Unit: "nats"}, {Name: "change of test accuracy when ablated", Unit: "fraction"},
		{Name: "ρ of selectivity and impact, mean of layers"},
	}}
	for _, m := range moments {
		row := []any{m.epoch, nil, nil, float64(m.dead) / float64(m.units), nil, nil, nil}
		for j, x := range map[int][]float64{1: m.accuracy, 2: m.median, 4: m.loss, 5: m.hit, 6: m.rho} {
			if len(x) > 0 {
				row[j], _ = stat.MeanSD(x)
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// meanOverNetworks are the curves of one column of the courses, a curve for each layer, over the networks that have a number there.
func meanOverNetworks(courses []lab.Course, column string, axis result.Axis) ([]result.Curve, error) {
	sums, n := map[string]map[float64]float64{}, map[string]map[float64]float64{}
	var names []string
	var places []float64 // where there is anything, in order
	for _, c := range courses {
		curves, err := c.Curves(column, axis)
		if err != nil {
			return nil, err
		}
		for _, curve := range curves {
			if sums[curve.Name] == nil {
				names = append(names, curve.Name)
				sums[curve.Name], n[curve.Name] = map[float64]float64{}, map[float64]float64{}
			}
			for i, x := range curve.X {
				sums[curve.Name][x] += curve.Y[i]
				n[curve.Name][x]++
			}
			if len(curve.X) > len(places) {
				places = curve.X
			}
		}
	}
	var all []result.Curve
	for _, name := range names {
		c := result.Curve{Name: name, XAxis: result.Axis{Name: "epochs of training"}, YAxis: axis, N: len(courses)}
		for _, x := range places {
			if n[name][x] > 0 {
				c.X, c.Y = append(c.X, x), append(c.Y, sums[name][x]/n[name][x])
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// emergesAndRecedes tests the first finding in each network: the median class selectivity of all units is highest at a checkpoint
// between the first, before training, and the last.
func emergesAndRecedes(moments []moment) result.Claim {
	c := result.Claim{
		Name:   "Class selectivity emerges in the first epochs, and then recedes",
		Test:   "in each network, the median class selectivity of all units is highest in the first half of the checkpoints after the untrained network, and lower at the end",
		Passed: true,
	}
	var found []string
	last := len(moments) - 1
	for i := range moments[0].median {
		peak := 0
		for k, m := range moments {
			if m.median[i] > moments[peak].median[i] {
				peak = k
			}
		}
		found = append(found, fmt.Sprintf("network %d: %.3f before training, highest (%.3f) after %d epochs, %.3f after %d", i+1, moments[0].median[i],
			moments[peak].median[i], moments[peak].epoch, moments[last].median[i], moments[last].epoch))
		c.Passed = c.Passed && peak > 0 && peak <= last/2
	}
	c.Found = strings.Join(found, "; ")
	return c
}

// mattersEarly tests the second finding: early in training the ablation of a selective unit does more than that of others of its
// layer, more so than at the end.
func mattersEarly(moments []moment) result.Claim {
	c := result.Claim{
		Name: "Selective units matter early in training",
		Test: "ρ of class selectivity and impact, mean over layers and networks: > 0 at the first checkpoint after the untrained network, and larger than at the last",
	}
	early, late := moments[min(1, len(moments)-1)], moments[len(moments)-1]
	if len(early.rho) == 0 || len(late.rho) == 0 {
		c.Found = "no ρ at one of them"
		return c
	}
	first, _ := stat.MeanSD(early.rho)
	end, _ := stat.MeanSD(late.rho)
	c.Found = fmt.Sprintf("ρ = %.3f after %d epochs, %.3f after %d (number of networks: %d)", first, early.epoch, end, late.epoch, len(late.rho))
	c.Passed = first > 0 && first > end
	return c
}

// drawRanadive draws class selectivity above impact, by layer.
func drawRanadive(r *Result) (*figure.Figure, error) {
	layers := 0
	for layers < len(r.Curves) && r.Curves[layers].YAxis == r.Curves[0].YAxis {
		layers++
	}
	style := figure.Style{Height: 7.5}
	above, err := figure.Curves(figure.Options{Title: r.heading(), LogX: true, LegendTitle: "layer", Ordered: true, Style: style}, r.Curves[:layers]...)
	if err != nil {
		return nil, err
	}
	below, err := figure.Curves(figure.Options{Caption: r.Caption, LogX: true, LegendTitle: "layer", Ordered: true, Style: style}, r.Curves[layers:]...)
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, above, below)
}
