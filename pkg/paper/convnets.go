package paper

import (
	"fmt"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

// convNet is the paper's convolutional network (section 3; section 6, items 1 and 19) as a preset has it, with or without
// batch normalization. Inputs are centred, labels true; seeds are the caller's business.
func convNet(preset, data string, plain bool) (lab.Spec, []string, error) {
	s := lab.Spec{Data: data, Input: "half"}
	var options, narrowing []string
	switch preset {
	case "smoke":
		options, s.Examples = []string{"width=0.125"}, 200
		s.Fit = fit.Spec{Optimizer: "adam", LR: 0.001, Batch: 20, Epochs: 40, Evaluate: 20}
		narrowing = []string{"an eighth of the feature maps", "200 training images", "40 epochs, of Adam"}
	case "quick":
		options, s.Examples = []string{"width=0.25"}, 2000
		// SGD at 0.05 with momentum 0.9 knew 13 % of fully permuted labels after 35 epochs, Adam all of them after 40.
		s.Fit = fit.Spec{Optimizer: "adam", LR: 0.001, Batch: 50, Epochs: 40, Evaluate: 20}
		narrowing = []string{"a quarter of the feature maps", "2,000 training images", "40 epochs, of Adam"}
	case "paper":
		s.Fit = fit.Spec{LR: 0.05, Momentum: 0.9, Schedule: "cosine", Batch: 128, Epochs: 100}
	default:
		return lab.Spec{}, nil, fmt.Errorf("no networks for preset %q", preset)
	}
	if plain {
		options = append(options, "nobn")
		switch preset {
		case "quick": // at a constant rate one of four networks ended at 0.977 on its training images
			s.Fit.Schedule = "cosine"
			narrowing[len(narrowing)-1] += " (without batch normalization with a cosine schedule)"
		case "paper": // without batch normalization eleven layers do not train at the rate above
			s.Fit.LR = 0.01
		}
	}
	s.Net = "convnet"
	if len(options) > 0 {
		s.Net += ":" + strings.Join(options, ",")
	}
	return s, narrowing, nil
}

// corruptedConvNets are the networks of Figures 1b and 2b: one per fraction of corrupted labels.
func corruptedConvNets(preset, data string) ([]lab.Spec, []string, error) {
	s, narrowing, err := convNet(preset, data, false)
	if err != nil {
		return nil, nil, err
	}
	return corrupted(s), narrowing, nil
}

// instances are so many networks with true labels that differ in their initial weights and in the order of examples.
func instances(base lab.Spec, n int) (specs []lab.Spec) {
	for i := range n {
		s := base
		s.Fit.InitSeed, s.Fit.OrderSeed = instanceSeeds[i], instanceSeeds[i]
		specs = append(specs, s.WithDefaults())
	}
	return specs
}

// instanceSeeds are those of the networks of Figures 5b and A1.
var instanceSeeds = []uint64{1, 2, 3, 4}
