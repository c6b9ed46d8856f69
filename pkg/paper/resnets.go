package paper

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// resNetData are the data sets of the figures about residual networks, as Info has them: a network that was given brings its
// own.
var resNetData = []string{"mnist10k", "cifar10"}

// defaultRun is the name of the run that figures about residual networks look for.
const defaultRun = "resnet20"

// howToImport tells what to do if there is none.
const howToImport = "the figure needs a residual network that was trained elsewhere: " +
	"`directions import FILE --net resnet20 --data cifar10 --input imagenet --name " + defaultRun + "` takes in its weights, " +
	"--run NAME names another run"

// given is a network that was not trained for a figure: all that its units depend on, and what it is.
type given struct{ Key, Net, Data, Input string }

// known is a given network with what a plan has to know of its data.
type known struct {
	given
	hash string
	// What a result by name does not tell, and need not: it is not computed.
	classes []string
	many    bool // more test images than preset quick ablates units on
}

// mostImages is how many test images preset quick ablates the units of a given network on: a number for each of thousands of
// feature maps.
const mostImages = 10_000

// find is the run that a figure is about: that of the store, or else that of a result by name, which can be read without it.
func (d design) find(ctx context.Context, l *lab.Lab, opt Options) (known, error) {
	run, err := l.Find(cmp.Or(opt.Run, defaultRun))
	if err == nil {
		of, err := l.Source(ctx, run.Spec.Data)
		return known{given{run.Key, run.Spec.Net, run.Spec.Data, run.Spec.Input}, run.Data, of.Classes, of.Test > mostImages}, err
	}
	if opt.Run == "" && opt.Results != "" && !opt.Recompute {
		file := filepath.Join(opt.Results, FileName(d.ID, opt.Preset, cmp.Or(opt.Data, d.data(opt.Preset))))
		if m, err := result.ReadFile(file, nil); err == nil {
			var s specUnits
			if text, err := json.Marshal(m.Config); err == nil && json.Unmarshal(text, &s) == nil && s.Given != nil {
				return known{given: *s.Given, hash: m.Inputs["data set "+s.Given.Data], many: s.Impact.Examples > 0}, nil
			}
		}
	}
	return known{}, fmt.Errorf("%w; %s", err, howToImport)
}

// ofRuns names the figures that take a run.
func ofRuns() (ids []string) {
	for _, i := range List() {
		if i.Run {
			ids = append(ids, i.ID)
		}
	}
	return ids
}

// resNets are the residual networks of Figures 7d, 7e, A2b, A3a, A4d and A4e. The paper has a ResNet-50 on ImageNet; any
// residual network with labelled images will do, and what it is instead is said (section 6, item 22). Units are the outputs of
// its blocks, after their last ReLU (section 6, items 4 and 20).
func resNets(ablated bool) subjects {
	return subjects{
		trained: func(preset, data string) (specUnits, plan, error) {
			if preset != "smoke" {
				return specUnits{}, plan{}, fmt.Errorf("preset %q has no network of its own: %s", preset, howToImport)
			}
			base := lab.Spec{Data: data, Net: "resnet8", Input: "half", Examples: 500,
				Fit: fit.Spec{Optimizer: "adam", LR: 0.002, Batch: 50, Epochs: 15, Evaluate: 15}}
			s := unitSpec()
			s.Networks = instances(base, 1)
			p := plan{Networks: s.Networks, Seeds: map[string]uint64{"init and order": instanceSeeds[0], "permutations of labels": s.Measure.Seed},
				Narrowing: []string{"a ResNet-8 on " + data + " instead of a ResNet-50 on ImageNet", "500 training images", "15 epochs, of Adam"}}
			if ablated {
				s.Impact = lab.On{Split: "test", Examples: 500}
				p.Narrowing = append(p.Narrowing, "units ablated on the first 500 test images")
			}
			var err error
			p.Passes, err = passesFor(data, base, 16+32+64, s.Impact)
			return s, p, err
		},
		given: func(preset string, k known) (specUnits, plan) {
			s := unitSpec()
			s.Given = &k.given
			p := plan{Seeds: map[string]uint64{"permutations of labels": s.Measure.Seed}}
			if k.Net != "resnet50" || !imageNet(k.classes) {
				p.Narrowing = []string{"a " + k.Net + " on " + shortData(k.Data) + " instead of a ResNet-50 on ImageNet"}
			}
			if ablated {
				s.Impact = lab.On{Split: "test"}
				if preset == "quick" && k.many {
					s.Impact.Examples = mostImages
					p.Narrowing = append(p.Narrowing, "units ablated on the first "+thousands(mostImages)+" test images")
				}
			}
			return s, p
		},
	}
}

// synset is the form of ImageNet's class names: numbers of WordNet.
var synset = regexp.MustCompile(`^n\d{8}$`)

// imageNet tells whether classes are the 1,000 of ImageNet, by their form.
func imageNet(classes []string) bool {
	return len(classes) == 1000 && !slices.ContainsFunc(classes, func(c string) bool { return !synset.MatchString(c) })
}
