// Package selectivity measures, unit by unit, what a network's activity tells about classes: the class selectivity index of
// Morcos et al. 2018 (section 2.6 of the protocol), the mutual information with the class (2.7, 6-10), and the measures that
// later papers set beside them.
//
// A unit's activity on an example is one number: the activation of a neuron, or the mean over all positions of a feature
// map. All measures of a unit come from these numbers and the labels.
//
// Intuition and caveats. The index compares the class that excites a unit most with the mean of the others; it says nothing
// about how reliably a single example can be told. ROC AUC, d′ and precision do. Mutual information also counts what a unit
// tells about several classes. With few examples in a class, the maximum of noisy class means lies too high, and so does
// the index (6-22); the plug-in mutual information is too high as well, which label permutations correct on average.
//
// Nothing here knows a network library: what gives activations is a Source.
package selectivity

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Source gives the activity of a network's units on labelled examples. *probe.Probe is one.
type Source interface {
	Sites() []unit.Site
	// Labels are the classes of the examples, numbers from 0 to Classes()−1.
	Labels() []int32
	Classes() int
	// Activations runs the network over all examples once and hands them over in their order, in parts: values[i] is the
	// activity at sites[i], [examples of this part, units], of the examples from first on. The callee copies what it keeps.
	Activations(ctx context.Context, sites []string, each func(first int, values [][]float32) error) error
}

// Spec says what is measured. The zero Spec is the protocol: our choices where the paper is silent (6-9, 6-10).
type Spec struct {
	Sites        []string `json:"sites,omitempty"` // none: every site, in the network's order
	Bins         int      `json:"bins"`            // of activity, for mutual information and entropy, 2 to 65535; 0: 20
	Permutations int      `json:"permutations"`    // of the labels, for the bias of mutual information; 0: 10, the fewest
	Seed         uint64   `json:"seed"`            // of the permutations; all units share them
	Top          int      `json:"top"`             // examples that precision looks at; 0: 100
	// Epsilon is added to the denominator of the class selectivity index: 1e-7 in Leavitt & Morcos 2021, 1e-6 in Ranadive et
	// al. 2023. Dead units then have an index, 0. The paper has none.
	Epsilon  float64 `json:"epsilon,omitempty"`
	DeadZero bool    `json:"dead_zero,omitempty"` // give dead units the index 0, as some implementations do, not none
}

// WithDefaults fills in what is zero, so that equal analyses have equal specs.
func (s Spec) WithDefaults() Spec {
	if s.Bins == 0 {
		s.Bins = 20
	}
	if s.Permutations == 0 {
		s.Permutations = 10
	}
	if s.Top == 0 {
		s.Top = 100
	}
	return s
}

// Check reports what of a spec, its defaults filled in, cannot be.
func (s Spec) Check() error {
	switch s = s.WithDefaults(); {
	case s.Bins < 2 || s.Bins > math.MaxUint16:
		return fmt.Errorf("bins is %d, it must lie between 2 and %d (0 means 20)", s.Bins, math.MaxUint16)
	case s.Permutations < 10:
		return fmt.Errorf("permutations is %d, at least 10 are needed to correct the bias (0 means 10)", s.Permutations)
	case s.Top < 1:
		return fmt.Errorf("top is %d, at least 1 example is needed (0 means 100)", s.Top)
	case !(s.Epsilon >= 0) || math.IsInf(s.Epsilon, 0):
		return fmt.Errorf("epsilon is %v, it must be a finite number ≥ 0 (0 is the paper's)", s.Epsilon)
	}
	return nil
}

// Options control how it is measured. They do not influence the numbers.
type Options struct {
	// Memory is how many bytes of activity may be held at a time; 0: 256 MiB. See Measure.
	Memory int64
	// L1 gives, by site, the L1 norm of each unit's incoming filter, for the column l1_norm. A site without has none.
	L1 map[string][]float64
	// Progress, if not nil, is told how many examples were passed through the network, over all passes, of how many.
	Progress func(done, total int)
}

// Result is what Measure found. It goes to JSON and back exactly.
type Result struct {
	Spec     Spec           `json:"spec"`
	Sites    []string       `json:"sites"`
	Examples int            `json:"examples"`
	ByClass  []int          `json:"by_class"` // examples of each class
	Dead     int            `json:"dead"`     // units
	Negative int            `json:"negative"` // units that are below 0 on some example, which have no class selectivity index
	Passes   int            `json:"passes"`   // over the examples
	Table    result.Table   `json:"table"`    // a row per unit, see Columns
	Seconds  result.Seconds `json:"seconds"`
}

// Complete tells whether there is a row for each unit.
func (r Result) Complete() bool { return len(r.Table.Rows) > 0 }

// Columns are those of Result.Table, one row for each unit, by site and unit. A cell is empty (nil) where a unit has no such
// number: see Unit, which says when.
func Columns() []string {
	return []string{
		"site", "unit", "dead", "selectivity", "preferred_class", "mutual_information", "mutual_information_plug_in",
		"mutual_information_null", "kl_selectivity", "ccmas", "d_prime", "roc_auc", "precision", "top_class", "sparseness",
		"zero_fraction", "negative_fraction", "entropy", "class_entropy", "mean", "sd", "l1_norm",
	}
}

// row is a unit in the order of Columns.
func (u Unit) row(site string, index int, l1 any) []any {
	return []any{
		site, index, u.Dead, cell(u.Selectivity), class(u.Preferred), cell(u.Information), cell(u.PlugIn),
		cell(u.Null), cell(u.KL), cell(u.CCMAS), cell(u.DPrime), cell(u.ROCAUC), cell(u.Precision), class(u.Top),
		cell(u.Sparseness), u.ZeroFraction, u.NegativeFraction, u.Entropy, cell(u.ClassEntropy), u.Mean, u.SD, l1,
	}
}

// cell is a number in a table: nil for NaN.
func cell(x float64) any {
	if math.IsNaN(x) {
		return nil
	}
	return x
}

// class is a class in a table: nil for none.
func class(c int) any {
	if c < 0 {
		return nil
	}
	return c
}

// defaultMemory holds 6,700 units on 10,000 examples.
const defaultMemory = 256 << 20

// Measure measures every unit of the named sites (none: every site) on all examples of the source.
//
// Memory is bounded and the numbers are exact: quantile bins, ROC AUC and precision need the order of a unit's activity over
// all examples, so the activity of as many units as opt.Memory allows, [units, examples] as float32 (of at least one unit),
// is held at a time, and the network runs over the examples again for the next ones. Beside it each core uses 10 bytes an
// example, and the labels 2 for each permutation. The number of passes is in the result; numbers do not depend on it.
//
// Labels are permuted by spec.Seed. An unknown site, a spec that fails Check, labels that are not classes, an activation
// that is not finite, and norms that are not one for each unit are errors.
func Measure(ctx context.Context, s Source, spec Spec, opt Options) (Result, error) {
	started := time.Now()
	fail := func(err error) (Result, error) { return Result{}, fmt.Errorf("selectivity: %w", err) }
	chosen, err := unit.Select(s.Sites(), spec.Sites)
	if err != nil {
		return fail(err)
	}
	labels := s.Labels()
	study, err := newStudy(labels, s.Classes(), spec)
	if err != nil {
		return fail(err)
	}
	r := Result{Spec: study.spec, Examples: len(labels), ByClass: study.byClass}
	for _, site := range chosen {
		if l1 := opt.L1[site.Name]; l1 != nil && len(l1) != site.Units() {
			return fail(fmt.Errorf("%d L1 norms are given for site %q, which has %d units", len(l1), site.Name, site.Units()))
		}
		r.Sites = append(r.Sites, site.Name)
	}
	if opt.Memory <= 0 {
		opt.Memory = defaultMemory
	}
	passes := plan(chosen, int(max(1, opt.Memory/int64(4*len(labels)))))
	if r.Passes = len(passes); r.Passes == 0 {
		return fail(errors.New("the network has no units to measure; name its activations with tap points"))
	}
	for _, name := range Columns() {
		r.Table.Columns = append(r.Table.Columns, result.Axis{Name: name})
	}
	r.Table.Title = study.title()
	for i, blocks := range passes {
		held := make([][][]float32, len(blocks)) // [block][unit][example]
		names := make([]string, len(blocks))
		for k, b := range blocks {
			names[k] = b.site.Name
			held[k] = make([][]float32, b.to-b.from)
			for u := range held[k] {
				held[k][u] = make([]float32, len(labels))
			}
		}
		seen := 0
		passing := time.Now()
		err := s.Activations(ctx, names, func(first int, values [][]float32) error {
			n, err := take(blocks, held, first, values)
			seen += n
			if err == nil && opt.Progress != nil {
				opt.Progress(i*len(labels)+seen, len(passes)*len(labels))
			}
			return err
		})
		if err == nil && seen != len(labels) {
			err = fmt.Errorf("the source gave activations of %d examples, it has %d labels", seen, len(labels))
		}
		if err != nil {
			return fail(err)
		}
		r.Seconds.Evaluate += time.Since(passing).Seconds()
		units, err := study.measureAll(ctx, blocks, held)
		if err != nil {
			return fail(err)
		}
		for _, b := range blocks {
			for u := b.from; u < b.to; u++ {
				var l1 any
				if norms := opt.L1[b.site.Name]; norms != nil {
					l1 = cell(norms[u])
				}
				r.Table.Rows = append(r.Table.Rows, units[0].row(b.site.Name, u, l1))
				if units[0].Dead {
					r.Dead++
				}
				if units[0].NegativeFraction > 0 {
					r.Negative++
				}
				units = units[1:]
			}
		}
	}
	r.Seconds.Total = time.Since(started).Seconds()
	return r, nil
}

// block is a run of units of one site.
type block struct {
	site     unit.Site
	from, to int
}

// plan divides the units into passes of at most so many, each in the order of sites and units.
func plan(sites []unit.Site, most int) (passes [][]block) {
	room := 0
	for _, s := range sites {
		for from := 0; from < s.Units(); {
			if room == 0 {
				passes, room = append(passes, nil), most
			}
			to := min(from+room, s.Units())
			last := len(passes) - 1
			passes[last] = append(passes[last], block{s, from, to})
			from, room = to, room-(to-from)
		}
	}
	return passes
}

// take copies what the source gives of some examples to where each unit's activity is held, and counts the examples.
func take(blocks []block, held [][][]float32, first int, values [][]float32) (examples int, err error) {
	if len(values) != len(blocks) {
		return 0, fmt.Errorf("the source gave activations of %d sites, asked for %d", len(values), len(blocks))
	}
	for k, b := range blocks {
		width := b.site.Units()
		n := len(values[k]) / width
		if k == 0 {
			examples = n
		}
		if n != examples || n*width != len(values[k]) || first < 0 || first+n > len(held[k][0]) {
			return 0, fmt.Errorf("the source gave %d activations of the %d units of site %q, from example %d of %d on",
				len(values[k]), width, b.site.Name, first, len(held[k][0]))
		}
		for e := range n {
			for u, x := range values[k][e*width+b.from : e*width+b.to] {
				held[k][u][first+e] = x
			}
		}
	}
	return examples, nil
}

// measureAll measures the units of a pass, in their order, on all cores.
func (s *study) measureAll(ctx context.Context, blocks []block, held [][][]float32) ([]Unit, error) {
	type place struct{ block, unit int }
	var places []place
	for k := range blocks {
		for u := range held[k] {
			places = append(places, place{k, u})
		}
	}
	units, errs := make([]Unit, len(places)), make([]error, len(places))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(places)) {
		wait.Go(func() {
			w := s.newScratch()
			for i := int(next.Add(1)) - 1; i < len(places) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				p := places[i]
				var err error
				if units[i], err = s.measure(held[p.block][p.unit], w); err != nil {
					b := blocks[p.block]
					errs[i] = fmt.Errorf("unit %d of site %q: %w", b.from+p.unit, b.site.Name, err)
				}
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	return units, nil
}
