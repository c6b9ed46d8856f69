// Package sweep trains and analyses many networks that differ in a few parameters: the ensembles of Figures 3 and 4c of
// Morcos et al. 2018 (section 3 of the protocol), and whatever else is to be compared. A Spec says which networks; each is
// trained, ablated and disturbed as package lab does it, and becomes one row of a table.
//
// The work is shared out through the store. A worker claims a network (package lease), computes it, records its row and goes
// on to the next; any number of workers, on one machine or on many with one store, may do so at a time, be killed and be
// started again. A row is recorded under the hash of everything that determines it, so networks and results of a changed
// specification never mix with earlier ones, and what two sweeps have in common is computed once.
package sweep

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// rowVersion enters the key of every row. It changes when what is in a row changes.
const rowVersion = 1

// Spec declares the networks of a sweep: every combination of the values in Grid or, with Random, so many random draws; with
// both, every draw at every combination.
type Spec struct {
	Name     string
	Base     lab.Spec // what all networks have in common; see Base
	Grid     []Axis
	Random   Random
	Analyses Analyses
}

// Axis is a parameter (see Parameters) with the values it takes: strings, numbers, or lists of numbers for checkpoints.
type Axis struct {
	Name   string
	Values []any
}

// Random draws networks independently of each other.
type Random struct {
	Networks int    // how many
	Seed     uint64 // a network's values depend on it, the parameter's name and the network's number, not on anything else
	Ranges   []Range
}

// Range is what a parameter is drawn from: the values of Choice, each equally likely, or else the numbers from Low to High,
// uniformly, with Log uniformly in the logarithm. Drawn numbers are rounded to 4 significant digits, those of parameters that
// take whole numbers to the nearest.
type Range struct {
	Name      string
	Choice    []any
	Low, High float64
	Log       bool
}

// Analyses are what is done to each trained network. The zero value is nothing beyond loss and accuracy.
type Analyses struct {
	On     lab.On
	Ablate *ablate.Spec // cumulative ablation; nil: none
	Noise  *noise.Spec  // noise sweep; nil: none
	// Test, unless it is nil, are test examples on which the same ablation is done as well (Row.AUCTest).
	Test *lab.On `json:",omitempty"`
}

// Base is what `directions train` trains without flags.
func Base() lab.Spec {
	s := lab.Spec{Data: "mnist10k", Net: "mlp:512,512"}
	s.Corrupt.Seed = 1
	s.Fit.InitSeed, s.Fit.OrderSeed, s.Fit.DropoutSeed = 1, 1, 1
	return s
}

// Both are the analyses that `directions ablate` and `directions noise` do without flags.
func Both() Analyses {
	return Analyses{Ablate: &ablate.Spec{Seed: 1}, Noise: &noise.Spec{Seed: 1}}
}

// WithDefaults fills in what is zero, so that equal analyses have equal keys.
func (a Analyses) WithDefaults() Analyses {
	if a.On.Split == "" {
		a.On.Split = "train"
	}
	if a.Ablate != nil {
		s := a.Ablate.WithDefaults()
		a.Ablate = &s
	}
	if a.Noise != nil {
		s := a.Noise.WithDefaults()
		a.Noise = &s
	}
	if a.Test != nil {
		a.Test = &lab.On{Split: "test", Examples: a.Test.Examples}
	}
	return a
}

// Network is one network of a sweep.
type Network struct {
	Index int      // its place, from 0
	Label string   // what sets it apart: "lr 0.1, batch 32"
	Spec  lab.Spec // defaults filled in
	Run   string   // key of the trained network in the store
	Key   string   // of its row
}

var nameForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$`)

// Networks expands the sweep: draws in order, for each the grid, its last axis running fastest. Combinations that describe a
// network that came before (the seed of a corruption of nothing, say) are left out; repeated counts them.
//
// It is an error if the name is not 1 to 64 letters, digits, - and _, a parameter is unknown, set twice or without values, or
// a network's specification is not valid.
func (s Spec) Networks() (networks []Network, repeated int, err error) {
	fail := func(err error) ([]Network, int, error) { return nil, 0, fmt.Errorf("sweep %s: %w", s.Name, err) }
	if !nameForm.MatchString(s.Name) {
		return nil, 0, fmt.Errorf("sweep: the name is %q; allowed: 1 to 64 letters, digits, - and _", s.Name)
	}
	if err := s.check(); err != nil {
		return fail(err)
	}
	seen := map[string]bool{}
	for draw := range max(s.Random.Networks, 1) {
		drawn := s.Base
		var labels []string
		for _, r := range s.Random.Ranges {
			p, value := r.value(s.Random.Seed, draw)
			if err := p.set(&drawn, value); err != nil {
				return fail(err)
			}
			labels = append(labels, label(p, value))
		}
		for point := range gridSize(s.Grid) {
			spec, names := drawn, make([]string, len(s.Grid))
			for i, rest := len(s.Grid)-1, point; i >= 0; i-- {
				axis := s.Grid[i]
				value := axis.Values[rest%len(axis.Values)]
				rest /= len(axis.Values)
				p, _ := lookup(axis.Name)
				if err := p.set(&spec, value); err != nil {
					return fail(err)
				}
				names[i] = label(p, value)
			}
			names = append(slices.Clone(labels), names...)
			n, err := network(spec, s.Analyses)
			if err != nil {
				return fail(fmt.Errorf("network with %s: %w", strings.Join(names, ", "), err))
			}
			if seen[n.Key] {
				repeated++
				continue
			}
			seen[n.Key] = true
			n.Index, n.Label = len(networks), strings.Join(names, ", ")
			networks = append(networks, n)
		}
	}
	return networks, repeated, nil
}

// label is a value as it stands in a network's label.
func label(p parameter, value any) string { return fmt.Sprintf("%s %v", p.name, value) }

// network is a network with its keys.
func network(spec lab.Spec, analyses Analyses) (Network, error) {
	n := Network{Spec: spec.WithDefaults()}
	var err error
	if n.Run, err = n.Spec.Key(); err != nil {
		return n, err
	}
	n.Key, err = result.Key("row of a sweep", rowVersion, lab.AnalysisVersion, n.Run, analyses.WithDefaults())
	return n, err
}

func gridSize(grid []Axis) int {
	n := 1
	for _, a := range grid {
		n *= len(a.Values)
	}
	return n
}

// mostNetworks keeps a slip of the pen from filling the memory.
const mostNetworks = 100_000

// check reports what is wrong with the declaration, apart from the networks themselves.
func (s Spec) check() error {
	var before []parameter
	add := func(name string) error {
		p, err := lookup(name)
		if err != nil {
			return err
		}
		for _, b := range before {
			if clash(p, b) {
				if p.name == b.name {
					return fmt.Errorf("%s is varied twice", p.name)
				}
				return fmt.Errorf("%s and %s are both varied, but seed stands for init_seed, order_seed and dropout_seed",
					b.name, p.name)
			}
		}
		before = append(before, p)
		return nil
	}
	total := max(s.Random.Networks, 1)
	for _, axis := range s.Grid {
		if err := add(axis.Name); err != nil {
			return fmt.Errorf("grid: %w", err)
		}
		if len(axis.Values) == 0 {
			return fmt.Errorf("grid: %s has no values", axis.Name)
		}
		if total *= len(axis.Values); total > mostNetworks {
			return fmt.Errorf("more than %d networks", mostNetworks)
		}
	}
	if s.Random.Networks < 0 || s.Random.Networks > mostNetworks {
		return fmt.Errorf("random: networks is %d, at least 1 and at most %d are possible", s.Random.Networks, mostNetworks)
	}
	if (s.Random.Networks == 0) != (len(s.Random.Ranges) == 0) {
		return errors.New("random: it needs networks, how many, and at least one parameter to draw")
	}
	for _, r := range s.Random.Ranges {
		if err := add(r.Name); err != nil {
			return fmt.Errorf("random: %w", err)
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("random: %s: %w", r.Name, err)
		}
	}
	f, c := s.Base.Fit, s.Base.Corrupt
	for _, seed := range []uint64{f.InitSeed, f.OrderSeed, f.DropoutSeed, c.Seed} {
		if seed > math.MaxInt64 {
			return fmt.Errorf("a seed is %d, at most %d is possible here", seed, math.MaxInt64)
		}
	}
	return s.Analyses.check()
}

func (r Range) check() error {
	if len(r.Choice) > 0 {
		if r.Low != 0 || r.High != 0 || r.Log {
			return errors.New("it has values to choose from and a range too; give one of them")
		}
		return nil
	}
	p, err := lookup(r.Name)
	if err != nil {
		return err
	}
	if _, isNumber := p.get(Base()).(float64); !isNumber && !p.integer() {
		return errors.New("it takes no numbers; give a list of values to choose from")
	}
	if !(r.Low < r.High) || math.IsInf(r.Low, 0) || math.IsInf(r.High, 0) {
		return fmt.Errorf("the range is %v to %v; give two numbers, the smaller one first", r.Low, r.High)
	}
	if r.Log && !(r.Low > 0) {
		return fmt.Errorf("the range is %v to %v; with log it must begin above 0", r.Low, r.High)
	}
	return nil
}

// value draws the value of the parameter in draw number i.
func (r Range) value(seed uint64, i int) (parameter, any) {
	p, _ := lookup(r.Name)
	h := fnv.New64a()
	h.Write([]byte(r.Name))
	rng := rand.New(rand.NewPCG(seed^h.Sum64(), uint64(i)))
	if len(r.Choice) > 0 {
		return p, r.Choice[rng.IntN(len(r.Choice))]
	}
	u, x := rng.Float64(), 0.
	if r.Log {
		x = math.Exp(math.Log(r.Low) + u*(math.Log(r.High)-math.Log(r.Low)))
	} else {
		x = r.Low + u*(r.High-r.Low)
	}
	if p.integer() {
		return p, int(math.Round(x))
	}
	// Rounding makes numbers readable, and keys independent of how a platform computes logarithms.
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	return p, x
}

func (a Analyses) check() error {
	if a.On.Split != "" && a.On.Split != "train" && a.On.Split != "test" {
		return fmt.Errorf("split %q is not one of train, test", a.On.Split)
	}
	if a.On.Examples < 0 {
		return fmt.Errorf("the analyses are on %d examples; 0 means all", a.On.Examples)
	}
	if t := a.Test; t != nil {
		switch {
		case a.Ablate == nil:
			return errors.New("an ablation on test examples is asked for, but no ablation")
		case t.Split != "" && t.Split != "test":
			return fmt.Errorf("the ablation on test examples is on split %q", t.Split)
		case t.Examples < 0:
			return fmt.Errorf("the ablation is on %d test examples; 0 means all", t.Examples)
		}
	}
	if s := a.Ablate; s != nil {
		if s.Orders < 0 || s.Points < 0 {
			return fmt.Errorf("ablation: %d orderings × %d points; at least 1 is needed (0 means the default)", s.Orders, s.Points)
		}
		if err := s.Bound.Check(); err != nil {
			return fmt.Errorf("ablation: %w", err)
		}
	}
	if s := a.Noise; s != nil {
		if s.Repeats < 0 {
			return fmt.Errorf("noise: repeats is %d; at least 1 is needed (0 means the default)", s.Repeats)
		}
		if err := s.Bound.Check(); err != nil {
			return fmt.Errorf("noise: %w", err)
		}
	}
	return nil
}
