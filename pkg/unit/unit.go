// Package unit holds the plain data that analyses and networks exchange: where units are (Site), what is done to them
// (Edit), and how well the edited network does (Score, Receipt).
//
// A unit is one neuron of a fully connected layer or one whole feature map of a convolution: one index on the last axis
// of a named activation (section 2.2 of the protocol of Morcos et al. 2018). An edit acts on activations after the
// non-linearity, never on weights. Nothing here knows a network library.
package unit

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Site is one named activation of a network.
type Site struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"` // of one example; units lie on the last axis: [512], or [4, 4, 512] for feature maps
}

// Units is the number of units of the site.
func (s Site) Units() int {
	if len(s.Shape) == 0 {
		return 0
	}
	return s.Shape[len(s.Shape)-1]
}

// Kind says how a Target makes its value.
type Kind uint8

const (
	KindZero   Kind = iota // 0, the paper's ablation
	KindMean               // the unit's own mean activation over all examples (and positions of a feature map)
	KindValue              // Target.Value
	KindItself             // the unmodified activation: what an edit that only adds noise starts from
	// KindElementMean is, for each element of a feature map, its own mean over all examples (section 6, item 16). Where a
	// unit is a single activation, it is the unit's mean.
	KindElementMean
)

// Target is the value units are clamped to. The zero Target clamps to zero.
type Target struct {
	Kind  Kind
	Value float64 // used by KindValue only
}

// Zero, Mean, ElementMean and Itself are the targets without a parameter.
var (
	Zero        = Target{}
	Mean        = Target{Kind: KindMean}
	ElementMean = Target{Kind: KindElementMean}
	Itself      = Target{Kind: KindItself}
)

// Value is the target that clamps to v.
func Value(v float64) Target { return Target{Kind: KindValue, Value: v} }

// String gives "zero", "mean", "element-mean", "itself" or "value:0.5", the form ParseTarget reads.
func (t Target) String() string {
	switch t.Kind {
	case KindZero:
		return "zero"
	case KindMean:
		return "mean"
	case KindElementMean:
		return "element-mean"
	case KindItself:
		return "itself"
	case KindValue:
		return "value:" + strconv.FormatFloat(t.Value, 'g', -1, 64)
	}
	return fmt.Sprintf("unknown target %d", t.Kind)
}

// ParseTarget reads what Target.String writes. The empty string is "zero".
func ParseTarget(s string) (Target, error) {
	switch s {
	case "", "zero":
		return Zero, nil
	case "mean":
		return Mean, nil
	case "element-mean":
		return ElementMean, nil
	case "itself":
		return Itself, nil
	}
	if number, ok := strings.CutPrefix(s, "value:"); ok {
		v, err := strconv.ParseFloat(number, 64)
		if err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			return Value(v), nil
		}
	}
	return Target{}, fmt.Errorf("target %q is not one of zero, mean, element-mean, value:NUMBER (for example value:0.5)", s)
}

// MarshalText and UnmarshalText make a Target a string in JSON.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the form of String.
func (t *Target) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTarget(string(b))
	return err
}

// Edit replaces the activation x of some units of one site by
//
//	To(x) + Sigma[u] · ε,   ε ~ N(0, 1), drawn anew for every example and every position of a feature map.
//
// The draw is a pure function of Seed, the site, the example's index in its data set and the element: it does not depend
// on batches, on the machine or on what else is evaluated.
type Edit struct {
	Site  string    `json:"site"`
	Units []int     `json:"units,omitzero"` // nil: every unit of the site
	To    Target    `json:"to"`
	Sigma []float64 `json:"sigma,omitzero"` // s.d. of the added noise, one per edited unit; nil: no noise
	Seed  uint64    `json:"seed,omitempty"` // of the noise
	// Basis, if not nil, makes Units directions of it, which are taken out of the activation: see Project. To is then Zero,
	// there is no noise, and the set has no other edit of the site.
	Basis *Basis `json:"basis,omitempty"`
}

// Ablate is the edit that clamps units of a site; no units given means all of them.
func Ablate(site string, to Target, units ...int) Edit { return Edit{Site: site, Units: units, To: to} }

// Noise is the edit that adds Gaussian noise to every unit of a site, sigma[u] being unit u's standard deviation.
func Noise(site string, sigma []float64, seed uint64) Edit {
	return Edit{Site: site, To: Itself, Sigma: sigma, Seed: seed}
}

// Score is how well a network does under one set of edits, as counts and sums so that scores of parts add up exactly.
type Score struct {
	Examples int     `json:"examples"`
	Correct  int     `json:"correct"`  // examples whose label has the largest logit; of tied logits the lowest class counts
	Ties     int     `json:"ties"`     // examples whose largest logit is shared by several classes
	Loss     float64 `json:"loss"`     // sum of the cross-entropy over examples, in nats
	ByClass  []int   `json:"by_class"` // Correct, split by label
}

// Accuracy is the fraction of examples classified as labelled, NaN without examples.
func (s Score) Accuracy() float64 { return float64(s.Correct) / float64(s.Examples) }

// MeanLoss is the mean cross-entropy per example in nats, NaN without examples.
func (s Score) MeanLoss() float64 { return s.Loss / float64(s.Examples) }

// Add returns the score of the union of two disjoint sets of examples.
func (s Score) Add(t Score) Score {
	sum := Score{Examples: s.Examples + t.Examples, Correct: s.Correct + t.Correct, Ties: s.Ties + t.Ties, Loss: s.Loss + t.Loss}
	sum.ByClass = make([]int, max(len(s.ByClass), len(t.ByClass)))
	for i, n := range s.ByClass {
		sum.ByClass[i] += n
	}
	for i, n := range t.ByClass {
		sum.ByClass[i] += n
	}
	return sum
}

// Receipt tells what an evaluation really did, so that nobody has to believe it.
type Receipt struct {
	Plan       string `json:"plan"`       // how the passes were organised, in words
	Backend    string `json:"backend"`    // what computed
	Sets       int    `json:"sets"`       // sets of edits evaluated
	Edits      int    `json:"edits"`      // edits in them
	Examples   int    `json:"examples"`   // examples each set saw
	Changed    int64  `json:"changed"`    // activations an edit really changed (to a mean: by more than rounding), over all
	NoEffect   int    `json:"no_effect"`  // sets that have edits but changed no activation at all
	Ties       int    `json:"ties"`       // tied largest logits met
	Checked    int    `json:"checked"`    // predictions recomputed on the plain path
	Mismatches int    `json:"mismatches"` // of these, how many differed: 0, or the evaluation is an error
	NearTies   int    `json:"near_ties"`  // how many differed only because two logits are equal up to rounding
	// NearTieGap is the widest gap between the two largest logits of a near-tie, relative to 1 + the largest in size.
	NearTieGap float64 `json:"near_tie_gap,omitempty"`
}

// Add combines the receipts of two parts of one job; plan and backend are those of the first part that has them.
func (r Receipt) Add(q Receipt) Receipt {
	if r.Plan == "" {
		r.Plan, r.Backend, r.Examples = q.Plan, q.Backend, q.Examples
	}
	r.Sets += q.Sets
	r.Edits += q.Edits
	r.Changed += q.Changed
	r.NoEffect += q.NoEffect
	r.Ties += q.Ties
	r.Checked += q.Checked
	r.Mismatches += q.Mismatches
	r.NearTies += q.NearTies
	r.NearTieGap = max(r.NearTieGap, q.NearTieGap)
	return r
}

// Find returns the site called name, or an error that lists the sites there are.
func Find(sites []Site, name string) (Site, error) {
	if i := slices.IndexFunc(sites, func(s Site) bool { return s.Name == name }); i >= 0 {
		return sites[i], nil
	}
	names := make([]string, len(sites))
	for i, s := range sites {
		names[i] = s.Name
	}
	return Site{}, fmt.Errorf("no site %q, the network has %v", name, names)
}

// Select returns the named sites in the order given, each once; no names means all sites.
func Select(sites []Site, names []string) ([]Site, error) {
	if len(names) == 0 {
		return sites, nil
	}
	var chosen []Site
	for _, name := range names {
		s, err := Find(sites, name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(chosen, func(c Site) bool { return c.Name == name }) {
			return nil, fmt.Errorf("site %q is named twice", name)
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

// Check reports the first edit that names an unknown site or unit, a unit edited twice in its set, or numbers that are
// not finite.
func Check(sites []Site, sets [][]Edit) error {
	seen := map[string][]int{} // site → for each unit, 1 + the last set that edited it
	noisy := map[string]int{}  // site → 1 + the last set that added noise there
	// Of sites where directions of a basis are edited: site → 1 + the last set that edited it at all, and that did so there.
	edited, turned := map[string]int{}, map[string]int{}
	for i, set := range sets {
		for _, e := range set {
			s, err := Find(sites, e.Site)
			if err != nil {
				return fmt.Errorf("edit set %d: %w", i, err)
			}
			if e.Basis != nil {
				if n := s.Units(); len(e.Basis.Vectors) != n*n {
					return fmt.Errorf("edit set %d: a basis of the %d units of site %q has %d numbers, got %d", i, n, s.Name, n*n, len(e.Basis.Vectors))
				}
				if e.To != Zero || e.Sigma != nil {
					return fmt.Errorf("edit set %d, site %q: directions of a basis can be taken out only (target zero, no noise)", i, s.Name)
				}
			}
			if edited[s.Name] == i+1 && (e.Basis != nil || turned[s.Name] == i+1) {
				return fmt.Errorf("edit set %d takes directions of a basis out of site %q and edits it otherwise too", i, s.Name)
			}
			if edited[s.Name] = i + 1; e.Basis != nil {
				turned[s.Name] = i + 1
			}
			if e.Sigma != nil {
				if noisy[s.Name] == i+1 {
					return fmt.Errorf("edit set %d has two edits that add noise at site %q; join them into one", i, s.Name)
				}
				noisy[s.Name] = i + 1
			}
			if seen[s.Name] == nil {
				seen[s.Name] = make([]int, s.Units())
			}
			mark := func(u int) error {
				if u < 0 || u >= s.Units() {
					return fmt.Errorf("edit set %d: site %q has %d units, got unit %d (units count from 0)", i, s.Name, s.Units(), u)
				}
				if seen[s.Name][u] == i+1 {
					return fmt.Errorf("edit set %d edits unit %d of site %q twice", i, u, s.Name)
				}
				seen[s.Name][u] = i + 1
				return nil
			}
			n := len(e.Units)
			if e.Units == nil {
				n = s.Units()
			}
			for j := range n {
				u := j
				if e.Units != nil {
					u = e.Units[j]
				}
				if err := mark(u); err != nil {
					return err
				}
			}
			if e.Sigma != nil && len(e.Sigma) != n {
				return fmt.Errorf("edit set %d, site %q: %d noise s.d. for %d units", i, s.Name, len(e.Sigma), n)
			}
			for _, x := range e.Sigma {
				if !(x >= 0) || math.IsInf(x, 0) {
					return fmt.Errorf("edit set %d, site %q: noise s.d. %v is not a finite number ≥ 0", i, s.Name, x)
				}
			}
			if math.IsNaN(e.To.Value) || math.IsInf(e.To.Value, 0) {
				return fmt.Errorf("edit set %d, site %q: target value %v is not finite", i, s.Name, e.To.Value)
			}
		}
	}
	return nil
}
