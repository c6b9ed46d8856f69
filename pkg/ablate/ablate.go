// Package ablate measures how much a network relies on single directions of its activation space: it clamps more and
// more units to a fixed value and follows the accuracy (Cumulative), or clamps each unit alone (Single). Sections 2.2 to
// 2.4 and 2.7 of the protocol of Morcos et al. 2018.
//
// The intuition: a network that has found structure shared by many examples spreads it over many units and survives the
// loss of most of them; one that has memorised its examples does not. The summary is the area under the curve of accuracy
// against the fraction of units ablated (AUC).
//
// Units of all chosen sites are pooled: they are numbered through in the order of the sites, and one ordering runs over
// all of them. The paper takes both hidden layers of an MLP, and the last three layers of a convolutional network. The
// sets are nested, each ordering uses one set per point for the whole evaluation, and equal seeds give equal orderings
// to all networks of one shape, so curves of two networks are paired. Examples and labels are the evaluator's; for
// networks trained on corrupted labels the paper scores the labels they were trained on.
//
// Two cautions. Where activations are far from zero (no ReLU, or after mean-shifting layers) clamping to zero is not the
// mildest ablation. And the s.d. over orderings is not the spread over networks: for that, train several.
package ablate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Evaluator scores one network, on one set of examples, under many sets of edits. The edits of one set act together; the
// empty set leaves the network as it is. It answers with one score per set, in their order.
type Evaluator interface {
	Sites() []unit.Site
	Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error)
}

// Spec says what is ablated and how often. The zero Spec is the paper's protocol.
type Spec struct {
	Sites  []string    `json:"sites,omitempty"`  // none: every site, in the network's order
	Orders int         `json:"orders,omitempty"` // random orderings; 0: 10
	Points int         `json:"points,omitempty"` // evenly spaced numbers of units from 0 to all, both included; 0: 20
	To     unit.Target `json:"to"`               // what units are clamped to
	Seed   uint64      `json:"seed,omitempty"`   // of the orderings
	// Given are explicit orderings instead of random ones. Orders, Points (if Given has a grid) and Seed are then of no
	// account; Sites must be empty or those of Given.
	Given *Orderings `json:"given,omitempty"`
	// Basis says what is taken out: "" units, or "random" directions of a random orthonormal basis of the units of each site,
	// another one for each ordering (see RandomBasis). Directions are pooled and ordered as units are, so that after k steps
	// each site has lost as many of them as it would have lost units. To must then be zero.
	Basis     string `json:"basis,omitempty"`
	BasisSeed uint64 `json:"basis_seed,omitempty"` // of the bases
	// Bound, unless it is zero, asks for accuracies that are known closely enough instead of exactly: an ordering is then
	// evaluated on a random part of the examples, the same at all its points, as large as its least certain point needs.
	Bound sample.Bound `json:"bound,omitzero"`
}

// WithDefaults fills in Orders and Points, and clears or overrides what Given decides, so that equal analyses have equal
// specs. Sites stay empty if they are: only the network knows them.
func (s Spec) WithDefaults() Spec {
	if s.Given != nil {
		s.Sites, s.Orders, s.Seed = nil, len(s.Given.Orders), 0
		if len(s.Given.Grid) > 0 {
			s.Points = len(s.Given.Grid)
		}
	}
	if s.Basis == "" {
		s.BasisSeed = 0
	}
	if s.Orders == 0 {
		s.Orders = 10
	}
	if s.Points == 0 {
		s.Points = 20
	}
	s.Bound = s.Bound.WithDefaults()
	return s
}

// Options control a long analysis. They do not influence its result.
type Options struct {
	// Resume is what an interrupted analysis of the same network, examples and Spec has found; it is continued, not
	// changed. A Resume of other sites, orderings or target is an error. Whether network and examples are the same cannot
	// be told from here beyond the number of examples; keep results under keys that include them.
	Resume *Result
	// Done is called after every completed ordering with all there is so far, so that the caller can save it. An error
	// stops the analysis.
	Done func(partial Result) error
}

// Cumulative ablates growing sets of pooled units, in each of several orderings, and returns the accuracies with mean,
// s.d. over orderings and normalised AUC. It evaluates ordering by ordering; no units and all units, the same for every
// ordering, are evaluated once.
//
// With a Bound the evaluator must be a sample.Evaluator too; no units and all units are evaluated on all examples.
//
// When ctx ends, the evaluator fails or Done does, it returns the orderings completed so far as a valid Result (possibly
// with none; not Complete) together with an error that wraps the cause and says how many there are. Errors in the
// request (unknown site, bad grid or orderings, another Resume) come with an empty Result before anything is evaluated.
func Cumulative(ctx context.Context, e Evaluator, spec Spec, opt Options) (Result, error) {
	started := time.Now()
	p, err := newPlan(e.Sites(), spec)
	if err != nil {
		return Result{}, fmt.Errorf("cumulative ablation: %w", err)
	}
	next := p.next
	if s, err := spec.Bound.Evaluator(e); err != nil {
		return Result{}, fmt.Errorf("cumulative ablation: %w", err)
	} else if s != nil {
		next = (&bounded{p, sample.Session{Evaluator: s, Bound: p.bound}}).next
	}
	r := p.empty()
	if opt.Resume != nil {
		if r, err = p.resume(*opt.Resume); err != nil {
			return Result{}, fmt.Errorf("cumulative ablation: %w", err)
		}
	}
	earlier := r.Seconds
	r.Seconds.Prepare += time.Since(started).Seconds()
	for len(r.Correct) < r.Orders {
		err := next(ctx, e, &r)
		r.Seconds.Total = earlier.Total + time.Since(started).Seconds()
		if err == nil && opt.Done != nil {
			err = opt.Done(r)
		}
		if err != nil {
			return r, fmt.Errorf("cumulative ablation stopped with %d of %d orderings complete: %w",
				len(r.Correct), r.Orders, err)
		}
	}
	return r, nil
}

// plan is a checked request: the pooled units, the grid and the orderings.
type plan struct {
	pool
	to     unit.Target
	seed   uint64
	given  bool
	grid   []int
	orders [][]int
	bound  sample.Bound
	basis  string // "": units
	turn   uint64 // seed of the bases
}

func newPlan(sites []unit.Site, spec Spec) (plan, error) {
	names := spec.Sites
	if spec.Given != nil {
		if len(names) > 0 && !slices.Equal(names, spec.Given.Sites) {
			return plan{}, fmt.Errorf("the given orderings are of sites %q, but sites %q are asked for; leave sites out",
				spec.Given.Sites, names)
		}
		if names = spec.Given.Sites; len(names) == 0 {
			return plan{}, errNoSites
		}
	}
	if spec.Orders < 0 {
		return plan{}, fmt.Errorf("orders is %d, at least 1 is needed (0 means 10)", spec.Orders)
	}
	if spec.Points < 0 || spec.Points == 1 {
		return plan{}, fmt.Errorf("points is %d, at least 2 are needed for a curve (0 means 20)", spec.Points)
	}
	switch {
	case spec.Basis != "" && spec.Basis != RandomDirections:
		return plan{}, fmt.Errorf("basis is %q; allowed: %q, or nothing for units", spec.Basis, RandomDirections)
	case spec.Basis != "" && spec.To != unit.Zero:
		return plan{}, fmt.Errorf("directions of a basis are taken out, which leaves zero of them; they cannot be clamped to %s", spec.To)
	}
	spec = spec.WithDefaults()
	chosen, err := unit.Select(sites, names)
	if err != nil {
		return plan{}, err
	}
	p := plan{pool: newPool(chosen), to: spec.To, seed: spec.Seed, bound: spec.Bound, basis: spec.Basis, turn: spec.BasisSeed}
	if p.units == 0 {
		return plan{}, errors.New("the network has no units to ablate; name its activations with tap points")
	}
	if spec.Given == nil {
		p.grid, p.orders = Grid(p.units, spec.Points), Random(p.units, spec.Orders, spec.Seed)
		return p, nil
	}
	given := *spec.Given
	if len(given.Grid) == 0 {
		given.Grid = Grid(p.units, spec.Points)
	}
	if err := given.check(p.units); err != nil {
		return plan{}, err
	}
	p.given, p.grid, p.orders = true, slices.Clone(given.Grid), given.Orders
	return p, nil
}

// empty is the result without any ordering.
func (p plan) empty() Result {
	r := Result{
		Units: p.units, To: p.to, Orders: len(p.orders), Seed: p.seed, Given: p.given, OrdersHash: p.hash(),
		Grid: p.grid, Correct: [][]int{}, Basis: p.basis, BasisSeed: p.turn,
	}
	if p.bound != (sample.Bound{}) {
		r.Bounded = &sample.Rows{Bound: p.bound}
	}
	for _, s := range p.sites {
		r.Sites = append(r.Sites, s.Name)
	}
	for _, k := range p.grid {
		r.Fraction = append(r.Fraction, float64(k)/float64(p.units))
	}
	return r
}

// hash identifies the orderings.
func (p plan) hash() string {
	h := sha256.New()
	for _, order := range p.orders {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(order)))
		for _, u := range order {
			b = binary.LittleEndian.AppendUint64(b, uint64(u))
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// resume checks that old belongs to this request and returns a copy that can grow.
func (p plan) resume(old Result) (Result, error) {
	r := p.empty()
	if !slices.Equal(old.Sites, r.Sites) || old.Units != r.Units || old.To != r.To || old.Orders != r.Orders ||
		old.OrdersHash != r.OrdersHash || !slices.Equal(old.Grid, r.Grid) || old.Basis != r.Basis || old.BasisSeed != r.BasisSeed {
		return Result{}, errors.New("the result to resume is of other sites, orderings, grid, target or basis; start afresh")
	}
	if (old.Bounded == nil) != (r.Bounded == nil) || (r.Bounded != nil && old.Bounded.Bound != p.bound) {
		return Result{}, errors.New("the result to resume is of another bound; start afresh")
	}
	if len(old.Correct) == 0 {
		r.Seconds = old.Seconds
		return r, nil
	}
	if len(old.Correct) > r.Orders || len(old.Correct[0]) != len(r.Grid) || (old.AllAblated == nil) == p.hasAll() ||
		old.Bounded != nil && len(old.Bounded.Used) != len(old.Correct) {
		return Result{}, errors.New("the result to resume is damaged: its counts do not fit its grid; start afresh")
	}
	r.Examples, r.Baseline, r.AllAblated = old.Examples, old.Baseline, old.AllAblated
	r.Receipt, r.Seconds = old.Receipt, old.Seconds
	r.Correct = slices.Clone(old.Correct)
	if old.Bounded != nil {
		rows := *old.Bounded
		r.Bounded = &rows
	}
	if err := r.summarise(); err != nil {
		return Result{}, fmt.Errorf("the result to resume is damaged: %w; start afresh", err)
	}
	return r, nil
}

func (p plan) hasAll() bool { return p.grid[len(p.grid)-1] == p.units }

// next evaluates one more ordering and adds it to r. On error r gains nothing but the time spent.
func (p plan) next(ctx context.Context, e Evaluator, r *Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	grown, first := *r, len(r.Correct) == 0
	var ks []int // what this call evaluates
	for _, k := range p.grid {
		if k > 0 && k < p.units {
			ks = append(ks, k)
		}
	}
	if first {
		// The unedited network is scored even if the grid leaves it out: auc_relative needs it.
		ks = append([]int{0}, ks...)
		if p.hasAll() {
			ks = append(ks, p.units)
		}
	}
	scores, receipt, err := evaluate(ctx, e, p.sets(len(r.Correct), ks), &r.Seconds.Evaluate)
	if err != nil {
		return err
	}
	if first {
		grown.Examples, grown.Baseline = scores[0].Examples, scores[0]
		if p.hasAll() {
			all := scores[len(scores)-1]
			grown.AllAblated = &all
		}
		scores = scores[1:]
	} else if len(scores) > 0 && scores[0].Examples != r.Examples {
		return fmt.Errorf("the evaluator scored %d examples, earlier orderings saw %d", scores[0].Examples, r.Examples)
	}
	row := make([]int, len(p.grid))
	for i, k := range p.grid {
		switch k {
		case 0:
			row[i] = grown.Baseline.Correct
		case p.units:
			row[i] = grown.AllAblated.Correct
		default:
			row[i], scores = scores[0].Correct, scores[1:]
		}
	}
	grown.Correct = append(grown.Correct, row)
	grown.Receipt = r.Receipt.Add(receipt)
	grown.Seconds = r.Seconds
	if err := grown.summarise(); err != nil {
		return fmt.Errorf("the evaluator's scores: %w", err)
	}
	*r = grown
	return nil
}

// evaluate asks the evaluator and checks that the answer is one: a score for each set, all on the same examples. The
// time goes to *seconds. No sets need no evaluator.
func evaluate(
	ctx context.Context, e Evaluator, sets [][]unit.Edit, seconds *float64,
) ([]unit.Score, unit.Receipt, error) {
	if len(sets) == 0 {
		return nil, unit.Receipt{}, nil
	}
	started := time.Now()
	scores, receipt, err := e.Evaluate(ctx, sets)
	*seconds += time.Since(started).Seconds()
	if err != nil {
		if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
			err = fmt.Errorf("%w (%v)", ended, err)
		}
		return nil, unit.Receipt{}, err
	}
	if len(scores) != len(sets) {
		return nil, unit.Receipt{}, fmt.Errorf("the evaluator gave %d scores for %d sets of edits", len(scores), len(sets))
	}
	for i, s := range scores {
		if s.Examples < 1 || s.Examples != scores[0].Examples {
			return nil, unit.Receipt{}, fmt.Errorf("the evaluator scored set %d on %d examples and set 0 on %d; all sets must "+
				"see the same examples, at least one", i, s.Examples, scores[0].Examples)
		}
	}
	return scores, receipt, nil
}

// sets are the edits of an ordering, for each k of ascending ks.
func (p plan) sets(order int, ks []int) [][]unit.Edit {
	sets := p.nested(p.orders[order], ks, p.to)
	if p.basis == "" {
		return sets
	}
	bases := map[string]*unit.Basis{}
	for _, s := range p.sites {
		bases[s.Name] = RandomBasis(s, p.turn, order)
	}
	for _, set := range sets {
		for i, e := range set {
			if e.Units != nil { // all directions of a basis are all units, the same for every ordering
				set[i].Basis = bases[e.Site]
			}
		}
	}
	return sets
}

// pool numbers the units of several sites through.
type pool struct {
	sites []unit.Site
	units int
	home  []int // pooled unit → site
	local []int // pooled unit → unit of that site
}

func newPool(sites []unit.Site) pool {
	p := pool{sites: sites}
	for i, s := range sites {
		for u := range s.Units() {
			p.home, p.local = append(p.home, i), append(p.local, u)
		}
	}
	p.units = len(p.home)
	return p
}

// nested returns, for each k of ascending ks, the edits that clamp the pooled units order[:k]: one edit per site, its
// units in the order of their ablation. All units are one edit per site without a list, the same for every order.
func (p pool) nested(order, ks []int, to unit.Target) [][]unit.Edit {
	sets := make([][]unit.Edit, 0, len(ks))
	members := make([][]int, len(p.sites))
	placed := 0
	for _, k := range ks {
		var set []unit.Edit
		for _, u := range order[placed:k] {
			members[p.home[u]] = append(members[p.home[u]], p.local[u])
		}
		placed = k
		for i, s := range p.sites {
			switch n := len(members[i]); {
			case k == p.units && s.Units() > 0:
				set = append(set, unit.Ablate(s.Name, to))
			case n > 0:
				set = append(set, unit.Ablate(s.Name, to, members[i][:n:n]...))
			}
		}
		sets = append(sets, set)
	}
	return sets
}
