// Package corrupt breaks the link between examples and labels on purpose, for a known fraction of a training set
// (section 2.1 of the protocol of Morcos et al. 2018, after Zhang et al. 2017). A network that still fits such labels has
// memorised them.
//
// The paper's way is to permute the labels within a random subset: every class keeps exactly as many labels as before,
// so the network cannot notice the corruption in the class frequencies. Some labels of the subset stay right by chance;
// with ten equally frequent classes about one in ten. The manifest therefore tells the realised rate next to the nominal
// one, and which labels were what. Test labels are never corrupted.
//
// The result depends on labels, number of classes and Spec only, and is the same on every platform.
package corrupt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Method says what happens to the labels of the chosen examples.
type Method string

const (
	// Permute chooses exactly round(Fraction·N) examples and permutes their labels among them, uniformly; fixed points
	// are allowed. Class frequencies stay exactly as they were. The expected share of labels that really change is
	// Fraction·(1 − Σ p_c²), p_c being the class frequencies. The paper's method.
	Permute Method = "permute"
	// Resample chooses each example independently with probability Fraction and gives the chosen ones labels drawn
	// independently and uniformly from all classes, their own included. Class frequencies drift towards uniform. The
	// expected share of labels that change is Fraction·(1 − 1/C).
	Resample Method = "resample"
	// PairFlip chooses exactly round(Fraction·N) examples and turns each label c into c+1, the last class into 0: noise
	// with a structure that can be learned. Every chosen label changes.
	PairFlip Method = "pairflip"
)

// Methods lists the methods there are.
func Methods() []Method { return []Method{Permute, Resample, PairFlip} }

// Streams separate the draws of this package from other uses of the same seed, and who is chosen from what they get.
const (
	chooseStream  = 0x63686f6f7365
	relabelStream = 0x72656c6162656c
)

// Spec says how labels are corrupted. The zero Spec leaves them as they are.
type Spec struct {
	Fraction float64 `json:"fraction"`         // of the examples, 0 to 1
	Method   Method  `json:"method,omitempty"` // none: Permute
	Seed     uint64  `json:"seed,omitempty"`   // any value, 0 too
}

// WithDefaults fills in the method.
func (s Spec) WithDefaults() Spec {
	if s.Method == "" {
		s.Method = Permute
	}
	return s
}

// Manifest records what was done to the labels of one training set. It is stored with every network trained on them.
type Manifest struct {
	Spec             // defaults filled in; Fraction is the nominal rate
	Classes  int     `json:"classes"`
	Examples int     `json:"examples"`
	Changed  int     `json:"changed"`  // labels that differ from before
	Realised float64 `json:"realised"` // Changed / Examples
	Indices  []int32 `json:"indices"`  // the chosen examples, ascending
	Old      []int32 `json:"old"`      // their labels before
	New      []int32 `json:"new"`      // and after; some may be equal
}

// Labels returns a corrupted copy of labels, which lie in 0..classes−1, with the manifest of what was done.
//
// With equal labels, method and seed, the examples chosen at a smaller fraction are among those chosen at a larger one.
//
// Errors: a fraction outside [0, 1], an unknown method, fewer than two classes, no labels, a label out of range.
func Labels(labels []int32, classes int, spec Spec) ([]int32, Manifest, error) {
	spec = spec.WithDefaults()
	if err := check(labels, classes, spec); err != nil {
		return nil, Manifest{}, err
	}
	m := Manifest{Spec: spec, Classes: classes, Examples: len(labels)}
	relabel := rand.New(rand.NewPCG(spec.Seed, relabelStream))
	switch spec.Method {
	case Permute:
		m.choose(labels, exactly(len(labels), spec))
		m.New = slices.Clone(m.Old)
		relabel.Shuffle(len(m.New), func(i, j int) { m.New[i], m.New[j] = m.New[j], m.New[i] })
	case PairFlip:
		m.choose(labels, exactly(len(labels), spec))
		m.New = make([]int32, len(m.Old))
		for i, c := range m.Old {
			m.New[i] = (c + 1) % int32(classes)
		}
	case Resample:
		chooser := rand.New(rand.NewPCG(spec.Seed, chooseStream))
		indices := []int32{}
		m.New = []int32{}
		for i := range labels {
			// Both are drawn for every example, so that neither depends on the fraction.
			u, c := chooser.Float64(), relabel.Int32N(int32(classes))
			if u < spec.Fraction {
				indices, m.New = append(indices, int32(i)), append(m.New, c)
			}
		}
		m.choose(labels, indices)
	}
	corrupted := slices.Clone(labels)
	for i, index := range m.Indices {
		corrupted[index] = m.New[i]
		if m.New[i] != m.Old[i] {
			m.Changed++
		}
	}
	m.Realised = float64(m.Changed) / float64(m.Examples)
	return corrupted, m, nil
}

func check(labels []int32, classes int, spec Spec) error {
	if !(spec.Fraction >= 0 && spec.Fraction <= 1) {
		return fmt.Errorf("corruption fraction is %v, it must lie between 0 and 1", spec.Fraction)
	}
	if !slices.Contains(Methods(), spec.Method) {
		return fmt.Errorf("no corruption method %q, there are %q", spec.Method, Methods())
	}
	if classes < 2 || classes > math.MaxInt32 {
		return fmt.Errorf("%d classes: corrupting labels needs at least 2", classes)
	}
	if len(labels) == 0 || len(labels) > math.MaxInt32 {
		return fmt.Errorf("%d labels: corrupting needs at least 1, and at most 2³¹−1", len(labels))
	}
	for i, c := range labels {
		if c < 0 || int(c) >= classes {
			return fmt.Errorf("label %d of example %d is outside 0..%d", c, i, classes-1)
		}
	}
	return nil
}

// exactly draws round(Fraction·n) of n examples without replacement and returns them in ascending order.
func exactly(n int, spec Spec) []int32 {
	order := rand.New(rand.NewPCG(spec.Seed, chooseStream)).Perm(n)
	indices := make([]int32, int(math.Round(spec.Fraction*float64(n))))
	for i := range indices {
		indices[i] = int32(order[i])
	}
	slices.Sort(indices)
	return indices
}

// choose records the chosen examples and their labels.
func (m *Manifest) choose(labels, indices []int32) {
	m.Indices, m.Old = indices, make([]int32, len(indices))
	for i, index := range indices {
		m.Old[i] = labels[index]
	}
}

// Apply repeats a recorded corruption on the original labels and returns a corrupted copy. It is an error if the labels
// are not those the manifest was made from, as far as the manifest can tell: their number and the old labels must match.
func (m Manifest) Apply(labels []int32) ([]int32, error) {
	if len(labels) != m.Examples {
		return nil, fmt.Errorf("%d labels, the manifest is of %d; it belongs to another training set", len(labels), m.Examples)
	}
	if len(m.Old) != len(m.Indices) || len(m.New) != len(m.Indices) {
		return nil, fmt.Errorf("damaged manifest: %d indices, %d old and %d new labels", len(m.Indices), len(m.Old), len(m.New))
	}
	corrupted := slices.Clone(labels)
	for i, index := range m.Indices {
		if index < 0 || int(index) >= len(labels) || m.New[i] < 0 || int(m.New[i]) >= m.Classes {
			return nil, fmt.Errorf("damaged manifest: label %d for example %d, with %d examples of %d classes",
				m.New[i], index, m.Examples, m.Classes)
		}
		if labels[index] != m.Old[i] {
			return nil, fmt.Errorf("example %d has label %d, the manifest says %d; it belongs to another training set",
				index, labels[index], m.Old[i])
		}
		corrupted[index] = m.New[i]
	}
	return corrupted, nil
}

// Summary is the manifest in one line.
func (m Manifest) Summary() string {
	return fmt.Sprintf("%d of %d labels chosen (nominal rate %.4g, %s, seed %d), %d changed (realised rate %.4f)",
		len(m.Indices), m.Examples, m.Fraction, m.Method, m.Seed, m.Changed, m.Realised)
}

// Table is the manifest as a table of one row; see the function Table for several.
func (m Manifest) Table() result.Table { return Table(m) }

// Table lists nominal and realised rates, one row per manifest.
func Table(manifests ...Manifest) result.Table {
	t := result.Table{
		Title: "Corrupted labels",
		Columns: []result.Axis{
			{Name: "nominal rate", Unit: "fraction"}, {Name: "method"}, {Name: "seed"}, {Name: "examples"},
			{Name: "chosen"}, {Name: "changed"}, {Name: "realised rate", Unit: "fraction"},
		},
	}
	for _, m := range manifests {
		// The seed is text: a table's integers are ints, and half of all seeds do not fit one.
		t.Rows = append(t.Rows, []any{m.Fraction, string(m.Method), fmt.Sprint(m.Seed), m.Examples,
			len(m.Indices), m.Changed, m.Realised})
	}
	return t
}
