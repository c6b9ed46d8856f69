package ablate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// SingleSpec says which units are clamped, each alone. The zero SingleSpec is the paper's protocol.
type SingleSpec struct {
	Sites []string    `json:"sites,omitempty"` // none: every site, in the network's order
	To    unit.Target `json:"to"`              // what units are clamped to
	// Bound, unless it is zero, asks for changes of the accuracy that are known closely enough instead of exactly: each
	// unit is evaluated on as large a random part of the examples as it needs by itself. Most units matter little, and
	// need few.
	Bound sample.Bound `json:"bound,omitzero"`
}

// WithDefaults fills in what a Bound leaves out, so that equal analyses have equal specs.
func (s SingleSpec) WithDefaults() SingleSpec {
	s.Bound = s.Bound.WithDefaults()
	return s
}

// Impact is what clamping one unit alone does to a network. Differences are ablated minus unedited: a unit that matters
// has DeltaLoss > 0 and DeltaAccuracy < 0.
//
// With a bound, Score is of the examples that the unit was evaluated on. DeltaAccuracy is then an estimate for all of
// them, within HalfWidth with the confidence of the bound. DeltaLoss, WorstClass and WorstClassDrop compare with the
// unedited network on the same examples; how close they are to those of all examples is not known.
type Impact struct {
	Site          string     `json:"site"`
	Unit          int        `json:"unit"`
	Score         unit.Score `json:"score"`          // of the network without the unit
	DeltaLoss     float64    `json:"delta_loss"`     // of the mean cross-entropy, in nats: the paper's importance of a unit
	DeltaAccuracy float64    `json:"delta_accuracy"` // fraction of the examples
	// WorstClass is the class that loses the largest share of the examples the unedited network gets right, WorstClassDrop
	// that share (after Zhou et al. 2018; equal to the largest drop of a class's accuracy if the unedited network is right
	// on all of it). Of tied classes the lowest counts. The share is ≤ 0 if no class loses any; the class is −1 and the
	// share 0 if the unedited network is never right.
	WorstClass     int     `json:"worst_class"`
	WorstClassDrop float64 `json:"worst_class_drop"`

	// With a bound only; of the examples that the unit was evaluated on:
	Lost      int     `json:"lost,omitempty"`       // wrong, and right in the unedited network
	Gained    int     `json:"gained,omitempty"`     // right, and wrong in the unedited network
	HalfWidth float64 `json:"half_width,omitempty"` // of the interval of DeltaAccuracy, fraction of the examples; 0: exact
}

// Impacts is a single-unit ablation. It goes to JSON and back exactly.
type Impacts struct {
	Sites    []string     `json:"sites"`
	Units    int          `json:"units"`    // of all sites together
	Examples int          `json:"examples"` // there are; with a bound, each Impact.Score tells how many it has seen
	To       unit.Target  `json:"to"`
	Bound    sample.Bound `json:"bound,omitzero"`
	Baseline unit.Score   `json:"baseline"` // of the unedited network, on all examples
	// Unedited is, with a bound, the score of the unedited network on the examples seen after each look.
	Unedited []unit.Score   `json:"unedited,omitempty"`
	Impacts  []Impact       `json:"impacts"` // by site and unit
	Seconds  result.Seconds `json:"seconds"`
	Receipt  unit.Receipt   `json:"receipt"`
}

// Done is the number of units that are known closely enough; without a bound, exactly.
func (r Impacts) Done() (n int) {
	for _, i := range r.Impacts {
		if i.HalfWidth <= r.Bound.Within {
			n++
		}
	}
	return n
}

// Complete tells whether all units are done.
func (r Impacts) Complete() bool { return r.Units > 0 && r.Done() == r.Units }

// SingleOptions control a long analysis. They do not influence its result.
type SingleOptions struct {
	// Resume is what an interrupted analysis of the same network, examples and spec has found, as in Options.
	Resume *Impacts
	// Done is called after every look of an analysis with a bound, with all there is so far. An error stops the analysis.
	Done func(partial Impacts) error
}

// Single clamps each unit of the named sites (none: every site) alone, and returns the score of the unedited network and
// one impact per unit. Without a bound, all of it is one call of the evaluator, units + 1 sets of edits, and there is no
// partial result.
//
// With a bound the evaluator must be a sample.Evaluator too. After each look, units that are known closely enough are
// done, and the others go on. When ctx ends, the evaluator fails or Done does, what is known after the last look is
// returned with the error.
//
// Unknown sites, sites without units and a bad bound are errors before anything is evaluated.
func Single(ctx context.Context, e Evaluator, spec SingleSpec, opt SingleOptions) (Impacts, error) {
	started := time.Now()
	fail := func(r Impacts, err error) (Impacts, error) { return r, fmt.Errorf("single-unit ablation: %w", err) }
	spec = spec.WithDefaults()
	chosen, err := unit.Select(e.Sites(), spec.Sites)
	if err != nil {
		return fail(Impacts{}, err)
	}
	sampler, err := spec.Bound.Evaluator(e)
	if err != nil {
		return fail(Impacts{}, err)
	}
	r := Impacts{To: spec.To, Bound: spec.Bound}
	var edits []unit.Edit
	for _, s := range chosen {
		r.Sites = append(r.Sites, s.Name)
		for u := range s.Units() {
			edits = append(edits, unit.Ablate(s.Name, spec.To, u))
		}
	}
	if r.Units = len(edits); r.Units == 0 {
		return fail(Impacts{}, errors.New("the network has no units to ablate; name its activations with tap points"))
	}
	if old := opt.Resume; old != nil {
		if !slices.Equal(old.Sites, r.Sites) || old.Units != r.Units || old.To != r.To || old.Bound != r.Bound {
			return fail(Impacts{}, errors.New("the result to resume is of other sites, target or bound; start afresh"))
		}
		r = *old
	}
	earlier := r.Seconds.Total
	clock := func() { r.Seconds.Total = earlier + time.Since(started).Seconds() }
	if sampler == nil {
		err = r.exact(ctx, e, edits)
		clock()
		if err != nil {
			return fail(Impacts{}, err)
		}
		return r, nil
	}
	err = r.byLooks(ctx, sampler, edits, func() error {
		if clock(); opt.Done == nil {
			return nil
		}
		return opt.Done(r)
	})
	if clock(); err != nil {
		return fail(r, fmt.Errorf("stopped after %d looks: %w", len(r.Unedited), err))
	}
	return r, nil
}

// exact evaluates all units on all examples.
func (r *Impacts) exact(ctx context.Context, e Evaluator, edits []unit.Edit) error {
	sets := [][]unit.Edit{nil}
	for _, edit := range edits {
		sets = append(sets, []unit.Edit{edit})
	}
	scores, receipt, err := evaluate(ctx, e, sets, &r.Seconds.Evaluate)
	if err != nil {
		return err
	}
	r.Baseline, r.Examples, r.Receipt, r.Impacts = scores[0], scores[0].Examples, receipt, nil
	for i, edit := range edits {
		impact, err := newImpact(edit, scores[0], scores[1+i])
		if err != nil {
			return err
		}
		r.Impacts = append(r.Impacts, impact)
	}
	return nil
}

// byLooks evaluates the units on more and more examples, until each is known closely enough. On error r has what was known
// after the last look.
func (r *Impacts) byLooks(ctx context.Context, e sample.Evaluator, edits []unit.Edit, done func() error) error {
	s, receipt, err := sample.New(ctx, e, r.Bound)
	if err != nil {
		return err
	}
	if r.Examples == 0 {
		r.Examples, r.Baseline, r.Receipt = s.Scores[0].Examples, s.Scores[0], receipt
	} else if err := r.check(s); err != nil {
		return fmt.Errorf("the result to resume: %w; start afresh", err)
	}
	earlier := r.Seconds.Evaluate
	for look := len(r.Unedited); !r.Complete(); look++ {
		err := r.extend(ctx, s, look, edits)
		if r.Seconds.Evaluate = earlier + s.Seconds; err != nil {
			return err
		}
		if err := done(); err != nil {
			return err
		}
	}
	return nil
}

// check reports what of a partial result cannot be of this sample.
func (r *Impacts) check(s *sample.Sample) error {
	if err := s.Continues(r.Baseline); err != nil {
		return err
	}
	looks := s.Looks()
	if len(r.Unedited) > len(looks) || (len(r.Unedited) == 0) != (len(r.Impacts) == 0) ||
		len(r.Impacts) != 0 && len(r.Impacts) != r.Units {
		return fmt.Errorf("it has %d impacts of %d units after %d looks", len(r.Impacts), r.Units, len(r.Unedited))
	}
	looks = looks[:len(r.Unedited)]
	for _, i := range r.Impacts {
		look := slices.Index(looks, i.Score.Examples)
		if look < 0 || i.HalfWidth > r.Bound.Within && look < len(looks)-1 {
			return fmt.Errorf("unit %d of site %q has seen %d examples, and the looks were at %v", i.Unit, i.Site,
				i.Score.Examples, looks)
		}
	}
	return nil
}

// extend takes the units that are not known closely enough to the next look.
func (r *Impacts) extend(ctx context.Context, s *sample.Sample, look int, edits []unit.Edit) error {
	var open []int
	sets, trials := [][]unit.Edit{nil}, []sample.Trial{{}} // the unedited network, for its loss on the same examples
	if look > 0 {
		trials[0].Score = r.Unedited[look-1]
	}
	impacts := make([]Impact, len(edits))
	copy(impacts, r.Impacts)
	for u, i := range impacts {
		if look == 0 || i.HalfWidth > r.Bound.Within {
			open, sets = append(open, u), append(sets, edits[u:u+1:u+1])
			trials = append(trials, sample.Trial{Score: i.Score, Lost: i.Lost, Gained: i.Gained})
		}
	}
	trials, receipt, err := s.Extend(ctx, look, sets, trials)
	if err != nil {
		return err
	}
	for k, u := range open {
		t := trials[1+k]
		i, err := newImpact(edits[u], trials[0].Score, t.Score)
		if err != nil {
			return err
		}
		i.Lost, i.Gained = t.Lost, t.Gained
		i.DeltaAccuracy, i.HalfWidth = s.Change(look, t)
		impacts[u] = i
	}
	r.Impacts, r.Unedited = impacts, append(slices.Clip(r.Unedited), trials[0].Score)
	r.Receipt = r.Receipt.Add(receipt)
	return nil
}

// newImpact compares the network with an edit to the unedited one, both on the same examples.
func newImpact(edit unit.Edit, unedited, score unit.Score) (Impact, error) {
	if len(score.ByClass) != len(unedited.ByClass) {
		return Impact{}, fmt.Errorf("the evaluator split its scores into %d classes, and into %d for the unedited network",
			len(score.ByClass), len(unedited.ByClass))
	}
	impact := Impact{
		Site: edit.Site, Unit: edit.Units[0], Score: score,
		DeltaLoss:     (score.Loss - unedited.Loss) / float64(unedited.Examples),
		DeltaAccuracy: float64(score.Correct-unedited.Correct) / float64(unedited.Examples),
		WorstClass:    -1,
	}
	for c, right := range unedited.ByClass {
		if right == 0 {
			continue
		}
		drop := float64(right-score.ByClass[c]) / float64(right)
		if impact.WorstClass < 0 || drop > impact.WorstClassDrop {
			impact.WorstClass, impact.WorstClassDrop = c, drop
		}
	}
	return impact, nil
}

// Table lists the units for people, those that raise the loss most first. Of equal ones the first in the network comes
// first.
func (r Impacts) Table(name string) result.Table {
	t := result.Table{
		Title: fmt.Sprintf("Units of %s, each ablated alone: accuracy %.4f without ablation, on %d examples",
			name, r.Baseline.Accuracy(), r.Baseline.Examples),
		Columns: []result.Axis{
			{Name: "site"}, {Name: "unit"}, {Name: "change of loss", Unit: "nats"}, {Name: "change of accuracy", Unit: "fraction"},
			{Name: "worst class"}, {Name: "which loses", Unit: "fraction"},
		},
	}
	if r.Bound != (sample.Bound{}) {
		t.Columns = append(t.Columns, result.Axis{Name: "examples seen"},
			result.Axis{Name: "accuracy ± at " + sample.Percent(r.Bound.Confidence), Unit: "fraction"})
	}
	ranked := slices.Clone(r.Impacts)
	slices.SortStableFunc(ranked, func(a, b Impact) int { return cmp.Compare(b.DeltaLoss, a.DeltaLoss) })
	for _, i := range ranked {
		row := []any{i.Site, i.Unit, i.DeltaLoss, i.DeltaAccuracy, i.WorstClass, i.WorstClassDrop}
		if r.Bound != (sample.Bound{}) {
			row = append(row, i.Score.Examples, i.HalfWidth)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// WriteCSV writes one line per unit, in their order, with the columns site, unit, correct, examples, delta_loss,
// delta_accuracy, worst_class, worst_class_drop, and with a bound half_width, of delta_accuracy on all examples.
func (r Impacts) WriteCSV(w io.Writer) error {
	t := result.Table{Columns: []result.Axis{
		{Name: "site"}, {Name: "unit"}, {Name: "correct"}, {Name: "examples"}, {Name: "delta_loss"}, {Name: "delta_accuracy"},
		{Name: "worst_class"}, {Name: "worst_class_drop"},
	}}
	if r.Bound != (sample.Bound{}) {
		t.Columns = append(t.Columns, result.Axis{Name: "half_width"})
	}
	for _, i := range r.Impacts {
		row := []any{i.Site, i.Unit, i.Score.Correct, i.Score.Examples, i.DeltaLoss, i.DeltaAccuracy, i.WorstClass,
			i.WorstClassDrop}
		if r.Bound != (sample.Bound{}) {
			row = append(row, i.HalfWidth)
		}
		t.Rows = append(t.Rows, row)
	}
	return t.WriteCSV(w)
}
