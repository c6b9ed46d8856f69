package sweep

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Example is a sweep as a file, with everything that can stand in one.
const Example = `name: example           # default: the name of the file
data: mnist10k          # what all networks have in common, named like the flags of directions train, with _ for -
net: mlp:128,128
epochs: 30
momentum: 0.9
# auc_every: 5, auc_within: 1pt and auc_patience: 3, a line each, follow the AUC in training, as those flags do
grid:                   # every combination
  batch: [32, 128]
  corrupt: [0, 0.5]
  seed: [1, 2]          # of initial weights, order of examples and dropout at once
random:                 # so many draws, each at every combination of the grid
  networks: 10
  seed: 1
  lr: {log: [0.01, 0.3]}        # uniform in the logarithm
  dropout: {uniform: [0, 0.3]}
  optimizer: [sgd, adam]        # one of these
on: {split: train, examples: 2000}                    # what the analyses look at; default: all training examples
ablation: {orders: 10, points: 20, to: zero, seed: 1} # also sites, within: 0.5pt, confidence; test: 2000 (or all) repeats it
                                                      # on so many test examples; "none" leaves it out
noise: {repeats: 5, seed: 1}                          # also sites, scales, within, confidence; "none" leaves it out
`

// Read reads a sweep from YAML; Example shows the form. Seeds that are not given are 1 and the analyses are those of the
// commands, as for `directions train`, `ablate` and `noise` without flags. name is the sweep's name if the file gives none.
//
// A key that is not known, stands twice or has a value of the wrong kind is an error that says where it is and what may
// stand there. What the values mean is checked by Spec.Networks.
func Read(r io.Reader, name string) (Spec, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return Spec{}, fmt.Errorf("sweep: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return Spec{}, errors.New("sweep: the file is empty; `directions sweep example` shows what may stand in it")
		}
		return Spec{}, fmt.Errorf("sweep: %w", err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return Spec{}, errors.New("sweep: the file holds more than one document; leave out the lines that are ---")
	}
	s := Spec{Name: name, Base: Base(), Analyses: Both()}
	if err := s.read(document.Content[0]); err != nil {
		return Spec{}, fmt.Errorf("sweep: %w", err)
	}
	return s, nil
}

// field is a key of a mapping with what reads its value.
type field struct {
	name string
	read func(*yaml.Node) error
}

// fields reads a mapping whose keys must be among those allowed, in the order of the file.
func fields(n *yaml.Node, where string, allowed []field) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s must be keys with values (key: value)", n.Line, where)
	}
	var names, seen []string
	for _, f := range allowed {
		names = append(names, f.name)
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := slices.Index(names, key.Value)
		if at < 0 {
			return fmt.Errorf("line %d: no key %q in %s; allowed: %s", key.Line, key.Value, where, strings.Join(names, ", "))
		}
		if slices.Contains(seen, key.Value) {
			return fmt.Errorf("line %d: %s stands twice in %s", key.Line, key.Value, where)
		}
		seen = append(seen, key.Value)
		if err := allowed[at].read(value); err != nil {
			if strings.HasPrefix(err.Error(), "line ") {
				return err
			}
			return fmt.Errorf("line %d: %w", value.Line, err)
		}
	}
	return nil
}

// into reads a value of the variable's type.
func into(name string, variable any) field {
	return field{name, func(n *yaml.Node) error {
		value, err := plain(n)
		if err == nil {
			err = assign(variable, value)
		}
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", n.Line, name, err)
		}
		return nil
	}}
}

// list reads a list of values of one type.
func list[T any](name string, variable *[]T) field {
	return field{name, func(n *yaml.Node) error {
		values, err := several(n)
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", n.Line, name, err)
		}
		*variable = make([]T, len(values))
		for i, v := range values {
			if err := assign(&(*variable)[i], v); err != nil {
				return fmt.Errorf("line %d: %s: %w", n.Line, name, err)
			}
		}
		return nil
	}}
}

// plain is a text, a number or a list of them.
func plain(n *yaml.Node) (any, error) {
	if n.Kind != yaml.ScalarNode && n.Kind != yaml.SequenceNode {
		return nil, errors.New("a value or a list of values must stand here")
	}
	if n.Kind == yaml.SequenceNode {
		return several(n)
	}
	var value any
	if err := n.Decode(&value); err != nil {
		return nil, err
	}
	switch value.(type) {
	case string, int, uint64, float64:
		return value, nil
	case nil:
		return nil, errors.New("there is no value")
	}
	return nil, fmt.Errorf("%s is neither a text nor a number", n.Value)
}

func several(n *yaml.Node) (values []any, err error) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return nil, errors.New("a list of values must stand here: [a, b]")
	}
	for _, item := range n.Content {
		if item.Kind == yaml.SequenceNode && len(item.Content) > 0 && item.Content[0].Kind == yaml.SequenceNode {
			return nil, errors.New("lists in lists in lists mean nothing here")
		}
		value, err := plain(item)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

func (s *Spec) read(n *yaml.Node) error {
	common := map[string]any{}
	allowed := []field{into("name", &s.Name)}
	for _, p := range parameters() {
		allowed = append(allowed, field{p.name, func(n *yaml.Node) error {
			value, err := plain(n)
			if err == nil {
				err = p.set(&lab.Spec{}, value)
			} else {
				err = fmt.Errorf("%s: %w", p.name, err)
			}
			common[p.name] = value
			return err
		}})
	}
	allowed = append(allowed,
		field{"grid", s.readGrid}, field{"random", s.readRandom},
		field{"on", func(n *yaml.Node) error {
			return fields(n, "on", []field{into("split", &s.Analyses.On.Split), into("examples", &s.Analyses.On.Examples)})
		}},
		field{"ablation", s.readAblation}, field{"noise", s.readNoise},
	)
	if err := fields(n, "the sweep", allowed); err != nil {
		return err
	}
	var varied []parameter
	for _, a := range s.Grid {
		p, _ := lookup(a.Name)
		varied = append(varied, p)
	}
	for _, r := range s.Random.Ranges {
		p, _ := lookup(r.Name)
		varied = append(varied, p)
	}
	// seed comes before the seeds that it stands for, so that these can differ from it.
	for _, p := range parameters() {
		value, given := common[p.name]
		if !given {
			continue
		}
		for _, v := range varied {
			if clash(p, v) && (p.name != "seed" || v.name == "seed") {
				return fmt.Errorf("%s is varied, but %s is also given for all networks; leave one out", v.name, p.name)
			}
		}
		if err := p.set(&s.Base, value); err != nil {
			return err
		}
	}
	return nil
}

// choices are the values that a parameter may take.
func choices(p parameter, n *yaml.Node) ([]any, error) {
	values, err := several(n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	for _, v := range values {
		if err := p.set(&lab.Spec{}, v); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (s *Spec) readGrid(n *yaml.Node) error {
	var allowed []field
	for _, p := range parameters() {
		allowed = append(allowed, field{p.name, func(n *yaml.Node) error {
			values, err := choices(p, n)
			if err != nil {
				return fmt.Errorf("grid: %w", err)
			}
			s.Grid = append(s.Grid, Axis{p.name, values})
			return nil
		}})
	}
	return fields(n, "grid", allowed)
}

func (s *Spec) readRandom(n *yaml.Node) error {
	s.Random.Seed = 1
	allowed := []field{into("networks", &s.Random.Networks), into("seed", &s.Random.Seed)}
	for _, p := range parameters() {
		if p.name == "seed" { // in here it is that of the draws
			continue
		}
		allowed = append(allowed, field{p.name, func(n *yaml.Node) error {
			r := Range{Name: p.name}
			if n.Kind == yaml.SequenceNode {
				var err error
				if r.Choice, err = choices(p, n); err != nil {
					return fmt.Errorf("random: %w", err)
				}
			} else if err := r.read(n); err != nil {
				return err
			}
			s.Random.Ranges = append(s.Random.Ranges, r)
			return nil
		}})
	}
	return fields(n, "random", allowed)
}

func (r *Range) read(n *yaml.Node) error {
	var log, uniform []float64
	err := fields(n, "random: "+r.Name, []field{list("log", &log), list("uniform", &uniform)})
	if err != nil {
		return err
	}
	ends := log
	if r.Log = log != nil; !r.Log {
		ends = uniform
	}
	if len(ends) != 2 || log != nil && uniform != nil {
		return fmt.Errorf("line %d: random: %s is drawn from a list of values, {log: [LOW, HIGH]} or {uniform: [LOW, HIGH]}",
			n.Line, r.Name)
	}
	r.Low, r.High = ends[0], ends[1]
	return nil
}

// none tells whether "none" stands for an analysis.
func none(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Value == "none" }

func (s *Spec) readAblation(n *yaml.Node) error {
	if none(n) {
		s.Analyses.Ablate, s.Analyses.Test = nil, nil
		return nil
	}
	a, to, within := ablate.Spec{Seed: 1}, "", ""
	confidence := 0.
	s.Analyses.Test = nil
	err := fields(n, "ablation", []field{
		list("sites", &a.Sites), into("orders", &a.Orders), into("points", &a.Points), into("to", &to), into("seed", &a.Seed),
		into("within", &within), into("confidence", &confidence), {"test", s.readTest},
	})
	if err != nil {
		return err
	}
	if a.To, err = unit.ParseTarget(to); err != nil {
		return fmt.Errorf("ablation: %w", err)
	}
	if a.Bound, err = bound(within, confidence, a.Seed); err != nil {
		return fmt.Errorf("ablation: %w", err)
	}
	s.Analyses.Ablate = &a
	return nil
}

// readTest reads on how many test examples the ablation is repeated: a number or all.
func (s *Spec) readTest(n *yaml.Node) error {
	s.Analyses.Test = &lab.On{Split: "test"}
	if n.Kind == yaml.ScalarNode && n.Value == "all" {
		return nil
	}
	if err := into("test", &s.Analyses.Test.Examples).read(n); err != nil {
		return err
	}
	if s.Analyses.Test.Examples < 1 {
		return fmt.Errorf("test is %d: so many test examples, at least 1, or all", s.Analyses.Test.Examples)
	}
	return nil
}

func (s *Spec) readNoise(n *yaml.Node) error {
	if none(n) {
		s.Analyses.Noise = nil
		return nil
	}
	a, within := noise.Spec{Seed: 1}, ""
	confidence := 0.
	err := fields(n, "noise", []field{
		list("sites", &a.Sites), list("scales", &a.Scales), into("repeats", &a.Repeats), into("seed", &a.Seed),
		into("within", &within), into("confidence", &confidence),
	})
	if err != nil {
		return err
	}
	if a.Bound, err = bound(within, confidence, a.Seed); err != nil {
		return fmt.Errorf("noise: %w", err)
	}
	s.Analyses.Noise = &a
	return nil
}

// bound is how closely accuracies are to be known: within is in points, with their unit.
func bound(within string, confidence float64, seed uint64) (sample.Bound, error) {
	if within == "" {
		if confidence != 0 {
			return sample.Bound{}, errors.New("confidence says how sure within is to be; give that too, for example within: 0.5pt")
		}
		return sample.Bound{}, nil
	}
	number, ok := strings.CutSuffix(within, "pt")
	points, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return sample.Bound{}, fmt.Errorf("within is %q: a number of percentage points with its unit, for example 0.5pt", within)
	}
	b := sample.Bound{Within: points / 100, Confidence: confidence, Seed: seed}.WithDefaults()
	if b.Within == 0 {
		return sample.Bound{}, fmt.Errorf("within is %q, it must be above 0", within)
	}
	return b, b.Check()
}
