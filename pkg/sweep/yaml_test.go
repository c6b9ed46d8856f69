package sweep

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

func read(t *testing.T, text string) Spec {
	t.Helper()
	s, err := Read(strings.NewReader(text), "file")
	require.NoError(t, err)
	return s
}

func TestReadExample(t *testing.T) {
	s := read(t, Example)
	require.Equal(t, Spec{
		Name: "example",
		Base: lab.Spec{
			Data: "mnist10k", Net: "mlp:128,128", Corrupt: corrupt.Spec{Seed: 1},
			Fit: fit.Spec{Epochs: 30, Momentum: 0.9, InitSeed: 1, OrderSeed: 1, DropoutSeed: 1},
		},
		Grid: []Axis{{"batch", []any{32, 128}}, {"corrupt", []any{0, 0.5}}, {"seed", []any{1, 2}}},
		Random: Random{Networks: 10, Seed: 1, Ranges: []Range{
			{Name: "lr", Low: 0.01, High: 0.3, Log: true}, {Name: "dropout", High: 0.3}, {Name: "optimizer", Choice: []any{"sgd", "adam"}},
		}},
		Analyses: Analyses{
			On:     lab.On{Split: "train", Examples: 2000},
			Ablate: &ablate.Spec{Orders: 10, Points: 20, Seed: 1},
			Noise:  &noise.Spec{Repeats: 5, Seed: 1},
		},
	}, s)
	// adam has no momentum: what the values mean is checked with the networks.
	_, _, err := s.Networks()
	require.ErrorContains(t, err, "momentum is 0.9; allowed: 0 with adam")
	s.Base.Fit.Momentum = 0
	networks, repeated, err := s.Networks()
	require.NoError(t, err)
	require.Len(t, networks, 10*2*2*2)
	require.Zero(t, repeated)
}

func TestReadForms(t *testing.T) {
	s := read(t, `
lr: 0.1
seed: 5
order_seed: 7
corrupt_method: pairflip
stop_at: 1
grid: {init_seed: [1, 2], checkpoints: [[1, 2], [3]]}
`)
	require.Equal(t, "file", s.Name)
	require.Equal(t, Both(), s.Analyses)
	require.Equal(t, fit.Spec{LR: 0.1, InitSeed: 5, StopAt: 1, OrderSeed: 7, DropoutSeed: 5}, s.Base.Fit)
	require.Equal(t, corrupt.PairFlip, s.Base.Corrupt.Method)

	s = read(t, "ablation: {test: all}\nnoise: none\n")
	require.Equal(t, Analyses{Ablate: &ablate.Spec{Seed: 1}, Test: &lab.On{Split: "test"}}, s.Analyses)
	require.Equal(t, &lab.On{Split: "test", Examples: 50}, read(t, "ablation: {test: 50}\n").Analyses.Test)
	s = read(t, "auc_every: 5\nauc_within: 1pt\ngrid: {auc_patience: [2, 4]}")
	networks, _, err := s.Networks()
	require.NoError(t, err)
	require.Len(t, networks, 2)
	require.Equal(t, fit.Reliance{Every: 5, Orders: 3, Points: 10, Seed: 1, Bound: sample.Bound{Within: 0.01, Confidence: 0.95, Seed: 1},
		Patience: 4}, networks[1].Spec.Fit.Reliance, "as directions train --auc-every 5 --auc-within 1pt --auc-patience 4 has it")
	require.Equal(t, "auc_patience 4", networks[1].Label)
	_, _, err = read(t, "auc_patience: 3").Networks()
	require.ErrorContains(t, err, "reliance has settings but every is 0")
	_, _, err = read(t, "auc_every: -3").Networks()
	require.ErrorContains(t, err, "reliance is every -3 epochs")
	_, _, err = read(t, "auc_every: 1\nrandom: {networks: 2, auc_within: {uniform: [1, 2]}}").Networks()
	require.ErrorContains(t, err, "auc_within: it takes no numbers; give a list of values to choose from")

	s = read(t, "ablation: none\nnoise: none\n")
	require.Equal(t, Analyses{}, s.Analyses)
	s = read(t, "ablation: {sites: [fc1], to: 'value:0.5', within: 0.5pt, seed: 3}\nnoise: {scales: [1, 2.5], within: 2pt, confidence: 0.9}")
	require.Equal(t, ablate.Spec{Sites: []string{"fc1"}, To: unit.Value(0.5), Seed: 3,
		Bound: sample.Bound{Within: 0.005, Confidence: 0.95, Seed: 3}}, *s.Analyses.Ablate)
	require.Equal(t, noise.Spec{Scales: []float64{1, 2.5}, Seed: 1,
		Bound: sample.Bound{Within: 0.02, Confidence: 0.9, Seed: 1}}, *s.Analyses.Noise)
}

func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "the file is empty",
		"# nothing":                            "the file is empty",
		"- a":                                  "line 1: the sweep must be keys with values",
		"lr: [":                                "line 1",
		"a: 1\n---\nb: 2":                      "more than one document",
		"lr: 0.1\nlearning_rate: 1":            `line 2: no key "learning_rate" in the sweep; allowed: name, data, examples, net,`,
		"lr: 0.1\nlr: 0.2":                     "line 2: lr stands twice in the sweep",
		"grid:\n  lr: [1]\n  lrr: [2]":         `line 3: no key "lrr" in grid; allowed: data, examples`,
		"grid: {lr: 0.1}":                      "line 1: grid: lr: a list of values must stand here: [a, b]",
		"grid: {lr: []}":                       "a list of values must stand here",
		"grid: {lr: [0.1, fast]}":              "line 1: grid: lr: fast is not a number",
		"grid: {lr: [0]}":                      "lr is 0, it must be greater than 0; leave it out for the default",
		"batch: 0":                             "batch is 0, it must be greater than 0",
		"batch: 1.5":                           "line 1: batch: 1.5 is not a whole number",
		"seed: -1":                             "seed: -1 is not a seed",
		"seed: 18446744073709551615":           "is not a seed: a whole number from 0 to 9223372036854775807",
		"net: 5":                               "net: 5 (int) is not a text",
		"net:":                                 "net: there is no value",
		"net: true":                            "net: true is neither a text nor a number",
		"auc_within: 1":                        "auc_within: 1 (int) is not a text: a number of percentage points with its unit",
		"auc_within: ''":                       "auc_within: there is no value",
		"grid: {auc_within: [1pt, half]}":      `grid: auc_within: within is "half": a number of percentage points with its unit`,
		"auc_every: 1.5":                       "auc_every: 1.5 is not a whole number",
		"lr: {log: [1, 2]}":                    "lr: a value or a list of values must stand here",
		"lr: .nan":                             "lr: NaN is not a number",
		"lr: 0.1\ngrid: {lr: [0.1, 0.2]}":      "lr is varied, but lr is also given for all networks",
		"init_seed: 1\ngrid: {seed: [1, 2]}":   "seed is varied, but init_seed is also given for all networks",
		"seed: 1\ngrid: {seed: [1, 2]}":        "seed is varied, but seed is also given",
		"random: {networks: 2, seed: 1, x: 1}": `no key "x" in random`,
		"random: {lr: {log: [1]}}":             "lr is drawn from a list of values, {log: [LOW, HIGH]} or {uniform: [LOW, HIGH]}",
		"random: {lr: {logs: [1, 2]}}":         `no key "logs" in random: lr; allowed: log, uniform`,
		"random: {lr: 0.1}":                    "random: lr must be keys with values",
		"on: {split: train, first: 3}":         `no key "first" in on; allowed: split, examples`,
		"ablation: {to: one}":                  `target "one" is not one of`,
		"ablation: all":                        "ablation must be keys with values",
		"ablation: {order: 3}":                 `no key "order" in ablation; allowed: sites, orders`,
		"ablation: {test: some}":               "test: some is not a whole number",
		"ablation: {test: 0}":                  "test is 0: so many test examples, at least 1, or all",
		"noise: {within: 5}":                   "within: 5 (int) is not a text",
		"noise: {within: 0.5}":                 "is not a text",
		"noise: {within: half}":                "a number of percentage points with its unit",
		"noise: {within: 0pt}":                 "it must be above 0",
		"noise: {within: 60pt}":                "between 0 and 0.5",
		"noise: {confidence: 0.9}":             "give that too",
		"<<: {lr: 1}":                          `no key "<<" in the sweep`,
	} {
		_, err := Read(strings.NewReader(text), "file")
		require.ErrorContains(t, err, want, "%q", text)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(Example)
	f.Add("a: &x [1]\nb: *x")
	f.Add("grid: {lr: [1, [2, [3]]]}")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read(strings.NewReader(text), "file")
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "sweep: "), err)
			return
		}
		total := max(1, s.Random.Networks)
		for _, a := range s.Grid {
			total *= len(a.Values)
		}
		if total > 0 && total < 100 {
			networks, repeated, err := s.Networks()
			if err == nil {
				require.Equal(t, total, len(networks)+repeated)
			}
		}
	})
}
