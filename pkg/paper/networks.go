package paper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Fractions of corrupted labels in Figures 1 and 2 (section 1).
var fractions = []float64{0, 0.2, 0.4, 0.6, 0.8, 1}

// Data sets on which multilayer perceptrons and convolutional networks can be trained, as Info has them.
var (
	mlpData  = []string{"mnist10k", "mnist", "fashion-mnist"}
	convData = []string{"mnist10k", "cifar10"}
)

var presets = []string{"smoke", "quick", "paper"}

// lastThree are the layers whose feature maps the paper ablates (section 6, item 3).
var lastThree = []string{"conv9", "conv10", "conv11"}

// corruptionSeeds are those of the networks of Figures 1 and 2. All networks start from the same weights and see the
// examples in the same order, so that only the labels differ.
var corruptionSeeds = map[string]uint64{"corruption": 1, "init": 1, "order": 1}

// with is seeds with one more.
func with(seeds map[string]uint64, name string, seed uint64) map[string]uint64 {
	more := maps.Clone(seeds)
	more[name] = seed
	return more
}

// networks are those that a figure needs at a preset, and in what they are smaller than the paper's.
type networks func(preset, data string) (specs []lab.Spec, narrowing []string, err error)

// mlps are the networks of Figures 1a and 2a: one per fraction of corrupted labels (section 3; section 6, item 1).
func mlps(preset, data string) ([]lab.Spec, []string, error) {
	base := lab.Spec{Data: data, Net: "mlp:512,512"}
	var narrowing []string
	switch preset {
	case "smoke":
		base.Net, base.Examples = "mlp:128,128", 2000
		base.Fit = fit.Spec{LR: 0.1, Momentum: 0.9, Schedule: "cosine", Batch: 100, Epochs: 60, Evaluate: 30}
		narrowing = []string{"128 instead of 512 units a layer", "2,000 training images", "60 epochs"}
	case "quick":
		base.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 120}
		narrowing = []string{"120 epochs with a cosine schedule instead of 640"}
	case "paper":
		base.Fit = fit.Spec{LR: 0.1, Batch: 128, Epochs: 640}
	default:
		return nil, nil, fmt.Errorf("no networks for preset %q", preset)
	}
	return corrupted(base), narrowing, nil
}

// corrupted are copies of a network, one per fraction of corrupted labels.
func corrupted(base lab.Spec) (specs []lab.Spec) {
	base.Fit.InitSeed, base.Fit.OrderSeed = corruptionSeeds["init"], corruptionSeeds["order"]
	for _, f := range fractions {
		s := base
		s.Corrupt = corrupt.Spec{Fraction: f, Seed: corruptionSeeds["corruption"]}
		specs = append(specs, s.WithDefaults())
	}
	return specs
}

// byCorruption draws one curve for each fraction of corrupted labels.
func byCorruption(logX bool) func(r *Result) (*figure.Figure, error) {
	return func(r *Result) (*figure.Figure, error) {
		return figure.Curves(figure.Options{
			Title: r.heading(), Caption: r.Caption, LogX: logX, Chance: 0.1, LegendTitle: "labels corrupted", Ordered: true,
		}, r.Curves...)
	}
}

// trainAll trains or loads the networks, in order.
func trainAll(ctx context.Context, l *lab.Lab, specs []lab.Spec) ([]*lab.Run, error) {
	var runs []*lab.Run
	for _, s := range specs {
		r, err := l.Train(ctx, s, "")
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// ablated trains or loads a network and ablates it. Both go into a figure's manifest, the network under a name.
func ablated(ctx context.Context, l *lab.Lab, m *result.Manifest, name string, spec lab.Spec, on lab.On, a ablate.Spec) (
	*lab.Run, ablate.Result, error,
) {
	run, err := l.Train(ctx, spec, "")
	if err != nil {
		return nil, ablate.Result{}, err
	}
	found, err := l.Ablate(ctx, run, on, a)
	if err != nil {
		return nil, ablate.Result{}, err
	}
	part(m, run.Backend, run.Seconds)
	part(m, found.Receipt.Backend, found.Seconds.Total)
	m.Inputs[name], m.Inputs["data set "+run.Spec.Data] = run.Key, run.Data
	return run, found, nil
}

// inputs lists networks and data for the manifest; networks are told apart by their corruption.
func inputs(runs []*lab.Run) map[string]string {
	in := map[string]string{}
	for _, r := range runs {
		in[fmt.Sprintf("network, %s labels corrupted", percent(r.Spec.Corrupt.Fraction))] = r.Key
		in["data set "+r.Spec.Data] = r.Data
	}
	return in
}

// part adds to a figure's manifest that one of its parts was computed by a backend in so many seconds.
func part(m *result.Manifest, backend string, seconds float64) {
	m.Seconds += seconds
	if !slices.Contains(strings.Split(m.Backend, " and "), backend) {
		m.Backend = strings.TrimPrefix(m.Backend+" and "+backend, " and ")
	}
}

func percent(fraction float64) string { return fmt.Sprintf("%.0f %%", 100*fraction) }

// fitsItsLabels is the claim that every network has learned its own labels, without which the rest means little
// (section 3, "validity of a trained model").
func fitsItsLabels(runs []*lab.Run) result.Claim {
	const level = 0.99
	worst := runs[0]
	for _, r := range runs {
		if r.Final.TrainAccuracy < worst.Final.TrainAccuracy {
			worst = r
		}
	}
	return result.Claim{
		Name: "Every network fits the labels it was trained on",
		Test: fmt.Sprintf("smallest training accuracy ≥ %g", level),
		Found: fmt.Sprintf("%.5f, with %s of the labels corrupted; %d networks",
			worst.Final.TrainAccuracy, percent(worst.Spec.Corrupt.Fraction), len(runs)),
		Passed: worst.Final.TrainAccuracy >= level,
	}
}
