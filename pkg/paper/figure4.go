package paper

import (
	"context"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 4, panels a and b: cumulative ablation of one network at moments of its training, beside its loss. Protocol:
// sections 2.3, 2.4 and 2.8. The paper's 4a is of an MLP; its 4b may be of that or of a convolutional network, so there are
// both (section 6, item 12).

// spec4 is a network that keeps checkpoints, each of which is ablated.
type spec4 struct {
	Network lab.Spec
	On      lab.On
	Ablate  ablate.Spec
}

func figure4a() design {
	return figure4(Info{
		ID:    "4a",
		Title: "Loss and robustness to ablation during training",
		Claim: "The area under the ablation curve starts to fall when the test loss starts to rise",
		Data:  mlpData,
	}, ofMLP, turnsWithTheTestLoss, draw4a)
}

func figure4b() design {
	return figure4(Info{
		ID:    "4b",
		Title: "Robustness to ablation and test loss during training",
		Claim: "The area under the ablation curve is the larger the smaller the test loss",
		Data:  mlpData,
	}, ofMLP, fallsWithTheTestLoss, draw4b)
}

func figure4bConvNet() design {
	return figure4(Info{
		ID:    "4b-convnet",
		Title: "Robustness to ablation and test loss while a convolutional network trains",
		Claim: "The area under the ablation curve is the larger the smaller the test loss",
		Data:  convData,
	}, ofConvNet, fallsWithTheTestLoss, draw4b)
}

func figure4(info Info, of func(preset, data string) (spec4, []string, error), claim func(t result.Table) (result.Claim, error),
	draw func(r *Result) (*figure.Figure, error),
) design {
	info.Presets = presets
	return design{
		Info: info,
		plan: func(preset, data string) (plan, error) {
			s, narrowing, err := of(preset, data)
			if err != nil {
				return plan{}, err
			}
			net := s.Network
			return plan{
				Spec: s, Narrowing: narrowing, Networks: []lab.Spec{net},
				Passes: len(net.Fit.Checkpoints) * s.Ablate.Orders * s.Ablate.Points,
				Seeds:  map[string]uint64{"init": net.Fit.InitSeed, "order": net.Fit.OrderSeed, "orderings": s.Ablate.Seed},
			}, nil
		},
		compute: func(ctx context.Context, l *lab.Lab, p plan) (*Result, error) { return compute4(ctx, l, p, claim) },
		draw:    draw,
	}
}

func ofMLP(preset, data string) (spec4, []string, error) {
	net, narrowing, err := longMLP(preset, data)
	return spec4{Network: net, Ablate: ablate.Spec{Seed: 1}.WithDefaults()}, narrowing, err
}

// ofConvNet ablates the last three layers, as Figure 1b does.
func ofConvNet(preset, data string) (spec4, []string, error) {
	net, narrowing, err := longConvNet(preset, data)
	return spec4{Network: net, Ablate: ablate.Spec{Sites: lastThree, Seed: 1}.WithDefaults()}, narrowing, err
}

// longMLP is the MLP of Figures 4a and 4b (section 3), trained for longer than is good for it.
func longMLP(preset, data string) (lab.Spec, []string, error) {
	s := lab.Spec{Data: data, Net: "mlp:2048,2048"}
	s.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Batch: 128}
	var narrowing []string
	switch preset {
	case "smoke":
		s.Net, s.Examples = "mlp:128,128", 1000
		s.Fit.Batch, s.Fit.Epochs = 50, 64
		narrowing = []string{"128 instead of 2,048 units a layer", "1,000 training images", "64 epochs"}
	case "quick":
		s.Examples, s.Fit.Epochs = 10000, 128
		narrowing = []string{"10,000 training images", "128 epochs"}
	case "paper":
		s.Fit = fit.Spec{LR: 0.1, Batch: 128, Epochs: 640}
	default:
		return lab.Spec{}, nil, fmt.Errorf("no networks for preset %q", preset)
	}
	return followed(s), narrowing, nil
}

// longConvNet is the convolutional network of Figure 4b. On few images it is trained for longer than is good for it, too.
func longConvNet(preset, data string) (lab.Spec, []string, error) {
	s, narrowing, err := convNet(preset, data, false)
	if err != nil {
		return lab.Spec{}, nil, err
	}
	if preset == "quick" { // more images than for other figures, and fewer feature maps
		s.Net, s.Examples, s.Fit.Epochs = "convnet:width=0.125", 4000, 32
		narrowing = []string{"an eighth of the feature maps", "4,000 training images", "32 epochs, of Adam"}
	}
	return followed(s), narrowing, nil
}

// followed is a network whose training keeps checkpoints. They are about evenly spaced on a logarithmic scale: most happens
// early.
func followed(s lab.Spec) lab.Spec {
	for step := 1; step < s.Fit.Epochs; step *= 2 {
		for _, epoch := range []int{step, step * 3 / 2} {
			if epoch < s.Fit.Epochs {
				s.Fit.Checkpoints = append(s.Fit.Checkpoints, epoch)
			}
		}
	}
	s.Fit.Checkpoints = append(s.Fit.Checkpoints, s.Fit.Epochs)
	s.Fit.InitSeed, s.Fit.OrderSeed = 1, 1
	return s.WithDefaults()
}

// Columns of the table of Figures 4a and 4b.
const (
	epochColumn     = "epoch"
	trainLossColumn = "train loss"
	testLossColumn  = "test loss"
	aucColumn       = "AUC"
)

func compute4(ctx context.Context, l *lab.Lab, p plan, claim func(t result.Table) (result.Claim, error)) (*Result, error) {
	s := p.Spec.(spec4)
	run, err := l.Train(ctx, s.Network, "")
	if err != nil {
		return nil, err
	}
	r := &Result{Manifest: result.Manifest{Inputs: map[string]string{"network": run.Key, "data set " + run.Spec.Data: run.Data}}}
	part(&r.Manifest, run.Backend, run.Seconds)
	r.Table = result.Table{Title: "loss and area under the cumulative ablation curve during training", Columns: []result.Axis{
		{Name: epochColumn}, {Name: trainLossColumn, Unit: "nats"}, {Name: testLossColumn, Unit: "nats"}, {Name: "train accuracy", Unit: "fraction"},
		{Name: "test accuracy", Unit: "fraction"}, {Name: aucColumn, Unit: "fraction"}, {Name: "s.d. of AUC over orderings", Unit: "fraction"},
	}}
	axis := result.Axis{Name: "epochs of training"}
	train := result.Curve{Name: trainLossColumn, XAxis: axis, YAxis: result.Axis{Name: "loss", Unit: "nats"}}
	test, auc := train, result.Curve{Name: aucColumn, XAxis: axis, YAxis: result.Axis{Name: aucColumn, Unit: "fraction"}}
	test.Name = testLossColumn
	var last ablate.Result
	for _, epoch := range s.Network.Fit.Checkpoints {
		c, err := l.Checkpoint(run, epoch)
		if err != nil {
			return nil, err
		}
		a, err := l.Ablate(ctx, c, s.On, s.Ablate)
		if err != nil {
			return nil, err
		}
		part(&r.Manifest, a.Receipt.Backend, a.Seconds.Total)
		_, sd := stat.MeanSD(a.AUCs)
		m, x := c.Final, float64(epoch)
		train.X, train.Y = append(train.X, x), append(train.Y, m.TrainLoss)
		test.X, test.Y = append(test.X, x), append(test.Y, m.TestLoss)
		auc.X, auc.Y = append(auc.X, x), append(auc.Y, a.AUC)
		auc.Lo, auc.Hi = append(auc.Lo, a.AUC-sd), append(auc.Hi, a.AUC+sd)
		auc.N, auc.Band = a.Orders, fmt.Sprintf("± s.d. over %d orderings", a.Orders)
		r.Table.Rows = append(r.Table.Rows, []any{epoch, m.TrainLoss, m.TestLoss, m.TrainAccuracy, m.TestAccuracy, a.AUC, sd})
		last = a
	}
	r.Curves = []result.Curve{train, test, auc}
	r.Caption = []string{fmt.Sprintf("One network (%s); AUC over %d random orderings of %s, on %s training images.",
		run.Spec.Net, last.Orders, unitsOf(last, s.Ablate.Sites), thousands(last.Examples))}
	tested, err := claim(r.Table)
	r.Claims = []result.Claim{tested}
	return r, err
}

// turnsWithTheTestLoss is the acceptance test of Figure 4a (section 8): the epoch of the AUC maximum lies within a few
// evaluation points of the test-loss minimum.
func turnsWithTheTestLoss(t result.Table) (result.Claim, error) {
	const few = 3
	epochs, err := t.Numbers(epochColumn)
	if err != nil {
		return result.Claim{}, err
	}
	loss, err := t.Numbers(testLossColumn)
	if err != nil {
		return result.Claim{}, err
	}
	auc, err := t.Numbers(aucColumn)
	if err != nil {
		return result.Claim{}, err
	}
	lowest, highest := 0, 0
	for i := range epochs {
		if loss[i] < loss[lowest] {
			lowest = i
		}
		if auc[i] > auc[highest] {
			highest = i
		}
	}
	apart := max(highest-lowest, lowest-highest)
	return result.Claim{
		Name: "AUC starts to fall when the test loss starts to rise",
		Test: fmt.Sprintf("the largest AUC is at most %d checkpoints from the smallest test loss, and AUC falls after it", few),
		Found: fmt.Sprintf("largest AUC (%.4f) at epoch %g, smallest test loss (%.4f nats) at epoch %g, %d of %d checkpoints apart; AUC ends at %.4f",
			auc[highest], epochs[highest], loss[lowest], epochs[lowest], apart, len(epochs), auc[len(auc)-1]),
		Passed: apart <= few && auc[len(auc)-1] < auc[highest],
	}, nil
}

// fallsWithTheTestLoss is the acceptance test of Figure 4b (section 8): ρ < 0.
func fallsWithTheTestLoss(t result.Table) (result.Claim, error) {
	c := result.Claim{Name: "AUC is the larger the smaller the test loss", Test: "Spearman's ρ of AUC and test loss over checkpoints < 0"}
	loss, err := t.Numbers(testLossColumn)
	if err != nil {
		return c, err
	}
	auc, err := t.Numbers(aucColumn)
	if err != nil {
		return c, err
	}
	found, err := stat.SpearmanTest(auc, loss, 10000, 1)
	if err != nil {
		return c, err
	}
	c.Found = fmt.Sprintf("ρ = %.3f over %d checkpoints of one network, which are not independent (permutation p = %.2g as if they were)",
		found.Rho, found.N, found.P)
	c.Passed = found.Rho < 0
	return c, nil
}

// draw4a draws the losses above the AUC, over the same epochs.
func draw4a(r *Result) (*figure.Figure, error) {
	losses, err := figure.Curves(figure.Options{Title: r.heading(), LogX: true}, r.Curves[:2]...)
	if err != nil {
		return nil, err
	}
	auc, err := figure.Curves(figure.Options{Caption: r.Caption, LogX: true}, r.Curves[2])
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, losses, auc)
}

// draw4b draws AUC against test loss, a point for each checkpoint, in two colours: until the smallest test loss, and after.
func draw4b(r *Result) (*figure.Figure, error) {
	test, auc := r.Curves[1], r.Curves[2]
	lowest := 0
	for i, loss := range test.Y {
		if loss < test.Y[lowest] {
			lowest = i
		}
	}
	line, err := stat.OLS(auc.Y, test.Y)
	if err != nil {
		return nil, err
	}
	return figure.Scatter(figure.ScatterOptions{
		Title: r.heading(), Caption: r.Caption, LegendTitle: "checkpoints", X: auc.YAxis, Y: result.Axis{Name: testLossColumn, Unit: "nats"},
		Pooled: &figure.Straight{Slope: line.Slope, Intercept: line.Intercept},
	},
		figure.Cloud{Name: fmt.Sprintf("to epoch %g", test.X[lowest]), X: auc.Y[:lowest+1], Y: test.Y[:lowest+1]},
		figure.Cloud{Name: "after it", X: auc.Y[lowest+1:], Y: test.Y[lowest+1:]},
	)
}
