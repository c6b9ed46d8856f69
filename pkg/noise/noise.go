// Package noise measures how much a network relies on single directions by disturbing all of them at once: Gaussian noise
// of growing size is added to every unit, and the accuracy is followed (section 2.5 of the protocol of Morcos et al. 2018).
//
// In each pass every unit u of every chosen site becomes
//
//	x + scale · sd_u · ε,   ε ~ N(0, 1),
//
// after the non-linearity and without rectifying again; ε is drawn anew for each example and each position of a feature
// map. sd_u is the unit's own standard deviation over the training set, so scale 1 is noise as large as the unit's
// signal. The paper speaks of the empirical variance; we take the noise variance to be scale² times that variance, which
// is the same statement with the root taken.
//
// Units that never vary get no noise. A network evaluated with noise was not trained with it; that would be a
// regulariser and another experiment.
package noise

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// repeatStream separates the seeds of repeats from other uses of the same seed.
const repeatStream = 0x7265706561740000

// Evaluator scores one network, on one set of examples, under many sets of edits. The edits of one set act together; the
// empty set leaves the network as it is. It answers with one score per set, in their order.
type Evaluator interface {
	Sites() []unit.Site
	Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error)
}

// Spec says where noise is added, how much and how often. The zero Spec is the paper's protocol.
type Spec struct {
	Sites   []string  `json:"sites,omitempty"`   // none: every site
	Scales  []float64 `json:"scales,omitempty"`  // in s.d. of the unit, ascending; none: DefaultScales
	Repeats int       `json:"repeats,omitempty"` // 0: 10
	Seed    uint64    `json:"seed,omitempty"`
	// Bound, unless it is zero, asks for accuracies that are known closely enough instead of exactly: a repeat is then
	// evaluated on a random part of the examples, the same at all its scales, as large as its least certain scale needs.
	Bound sample.Bound `json:"bound,omitzero"`
}

// DefaultScales are 15 scales from 10^−1.5 to 10, evenly spaced in their logarithm. They are literals so that keys of
// results do not depend on how a platform rounds powers.
func DefaultScales() []float64 {
	return []float64{
		0.03162277660168379, 0.047705826961439296, 0.07196856730011521, 0.10857111194022043, 0.16378937069540642,
		0.24709112279856046, 0.372759372031494, 0.5623413251903491, 0.848342898244072, 1.2798022139979537,
		1.93069772888325, 2.9126326549087374, 4.393970560760791, 6.628703161826445, 10,
	}
}

// WithDefaults fills in Scales and Repeats. Sites stay empty if they are: only the network knows them.
func (s Spec) WithDefaults() Spec {
	if len(s.Scales) == 0 {
		s.Scales = DefaultScales()
	}
	if s.Repeats == 0 {
		s.Repeats = 10
	}
	s.Bound = s.Bound.WithDefaults()
	return s
}

// Seeds returns the seed of each repeat: the first output of PCG(seed, stream + i) for repeat i, so that it does not
// depend on how many repeats there are. Within a repeat all scales use the same seed, hence the same ε: a curve is one
// disturbance growing, and its points, like those of two networks of one shape, are paired.
func Seeds(seed uint64, repeats int) []uint64 {
	seeds := make([]uint64, repeats)
	for i := range seeds {
		seeds[i] = rand.NewPCG(seed, repeatStream+uint64(i)).Uint64()
	}
	return seeds
}

// Options control a long analysis. They do not influence its result.
type Options struct {
	// Resume is what an interrupted sweep of the same network, examples and Spec has found; it is continued, not changed.
	// A Resume of other sites, scales, seed or standard deviations is an error. Whether network and examples are the same
	// cannot be told from here beyond the number of examples; keep results under keys that include them.
	Resume *Result
	// Done is called after every completed repeat with all there is so far, so that the caller can save it. An error stops
	// the sweep.
	Done func(partial Result) error
}

// Sweep adds noise of every scale to all units of the chosen sites, in several repeats, and returns the accuracies with
// mean and s.d. over repeats. sd holds, for each site, the standard deviation of each of its units [units] over the
// training set (and over the positions of a feature map). It evaluates repeat by repeat; the network without noise is
// scored once.
//
// With a Bound the evaluator must be a sample.Evaluator too; the network without noise is scored on all examples.
//
// When ctx ends, the evaluator fails or Done does, it returns the repeats completed so far as a valid Result (possibly
// with none; not Complete) together with an error that wraps the cause and says how many there are. Errors in the
// request (unknown site, missing or negative s.d., bad scales, another Resume) come with an empty Result before anything
// is evaluated.
func Sweep(ctx context.Context, e Evaluator, sd map[string][]float64, spec Spec, opt Options) (Result, error) {
	started := time.Now()
	p, err := newPlan(e.Sites(), sd, spec)
	if err != nil {
		return Result{}, fmt.Errorf("noise sweep: %w", err)
	}
	next := p.next
	if s, err := spec.Bound.Evaluator(e); err != nil {
		return Result{}, fmt.Errorf("noise sweep: %w", err)
	} else if s != nil {
		next = (&bounded{p, sample.Session{Evaluator: s, Bound: p.bound}}).next
	}
	r := p.empty()
	if opt.Resume != nil {
		if r, err = p.resume(*opt.Resume); err != nil {
			return Result{}, fmt.Errorf("noise sweep: %w", err)
		}
	}
	earlier := r.Seconds
	r.Seconds.Prepare += time.Since(started).Seconds()
	for len(r.Correct) < r.Repeats {
		err := next(ctx, e, &r)
		r.Seconds.Total = earlier.Total + time.Since(started).Seconds()
		if err == nil && opt.Done != nil {
			err = opt.Done(r)
		}
		if err != nil {
			return r, fmt.Errorf("noise sweep stopped with %d of %d repeats complete: %w", len(r.Correct), r.Repeats, err)
		}
	}
	return r, nil
}

// plan is a checked request.
type plan struct {
	sites  []unit.Site
	sd     [][]float64 // [site][unit]
	scales []float64
	seed   uint64
	seeds  []uint64
	bound  sample.Bound
}

func newPlan(sites []unit.Site, sd map[string][]float64, spec Spec) (plan, error) {
	if spec.Repeats < 0 {
		return plan{}, fmt.Errorf("repeats is %d, at least 1 is needed (0 means 10)", spec.Repeats)
	}
	spec = spec.WithDefaults()
	for i, scale := range spec.Scales {
		if !(scale > 0) || math.IsInf(scale, 0) {
			return plan{}, fmt.Errorf("scale %v is not a finite number > 0 (the network without noise is scored anyway)", scale)
		}
		if i > 0 && scale <= spec.Scales[i-1] {
			return plan{}, fmt.Errorf("scales must ascend, but %v follows %v", scale, spec.Scales[i-1])
		}
	}
	chosen, err := unit.Select(sites, spec.Sites)
	if err != nil {
		return plan{}, err
	}
	p := plan{
		sites: chosen, scales: slices.Clone(spec.Scales), seed: spec.Seed, seeds: Seeds(spec.Seed, spec.Repeats),
		bound: spec.Bound,
	}
	for _, s := range chosen {
		values, ok := sd[s.Name]
		if !ok {
			return plan{}, fmt.Errorf("no standard deviations for site %q, there are some for %q",
				s.Name, slices.Sorted(maps.Keys(sd)))
		}
		if len(values) != s.Units() {
			return plan{}, fmt.Errorf("%d standard deviations for site %q, which has %d units", len(values), s.Name, s.Units())
		}
		for u, v := range values {
			if !(v >= 0) || math.IsInf(v, 0) {
				return plan{}, fmt.Errorf("the standard deviation of unit %d of site %q is %v, not a finite number ≥ 0",
					u, s.Name, v)
			}
		}
		p.sd = append(p.sd, values)
	}
	if len(slices.Concat(p.sd...)) == 0 {
		return plan{}, errors.New("the network has no units to add noise to; name its activations with tap points")
	}
	return p, nil
}

// empty is the result without any repeat.
func (p plan) empty() Result {
	r := Result{Repeats: len(p.seeds), Seed: p.seed, Scales: p.scales, SDHash: p.hash(), Correct: [][]int{}}
	if p.bound != (sample.Bound{}) {
		r.Bounded = &sample.Rows{Bound: p.bound}
	}
	for i, s := range p.sites {
		r.Sites, r.Units = append(r.Sites, s.Name), r.Units+s.Units()
		for _, v := range p.sd[i] {
			if v == 0 {
				r.Constant++
			}
		}
	}
	return r
}

// hash identifies the standard deviations.
func (p plan) hash() string {
	var b []byte
	for _, values := range p.sd {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(values)))
		for _, v := range values {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// resume checks that old belongs to this request and returns a copy that can grow.
func (p plan) resume(old Result) (Result, error) {
	r := p.empty()
	if !slices.Equal(old.Sites, r.Sites) || old.Units != r.Units || old.Repeats != r.Repeats || old.Seed != r.Seed ||
		old.SDHash != r.SDHash || !slices.Equal(old.Scales, r.Scales) {
		return Result{}, errors.New("the result to resume is of other sites, scales, seed or standard deviations; start afresh")
	}
	if (old.Bounded == nil) != (r.Bounded == nil) || (r.Bounded != nil && old.Bounded.Bound != p.bound) {
		return Result{}, errors.New("the result to resume is of another bound; start afresh")
	}
	if len(old.Correct) == 0 {
		r.Seconds = old.Seconds
		return r, nil
	}
	if len(old.Correct) > r.Repeats || len(old.Correct[0]) != len(r.Scales) ||
		old.Bounded != nil && len(old.Bounded.Used) != len(old.Correct) {
		return Result{}, errors.New("the result to resume is damaged: its counts do not fit its scales; start afresh")
	}
	r.Examples, r.Baseline, r.Receipt, r.Seconds = old.Examples, old.Baseline, old.Receipt, old.Seconds
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

// sets are the edits of a repeat, one set per scale.
func (p plan) sets(repeat int) (sets [][]unit.Edit) {
	for _, scale := range p.scales {
		var set []unit.Edit
		for i, s := range p.sites {
			sigma := make([]float64, len(p.sd[i]))
			for u, v := range p.sd[i] {
				sigma[u] = v * scale
			}
			if len(sigma) > 0 {
				set = append(set, unit.Noise(s.Name, sigma, p.seeds[repeat]))
			}
		}
		sets = append(sets, set)
	}
	return sets
}

// next evaluates one more repeat and adds it to r. On error r gains nothing but the time spent.
func (p plan) next(ctx context.Context, e Evaluator, r *Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	grown, first := *r, len(r.Correct) == 0
	var sets [][]unit.Edit
	if first {
		sets = append(sets, nil)
	}
	sets = append(sets, p.sets(len(r.Correct))...)
	started := time.Now()
	scores, receipt, err := e.Evaluate(ctx, sets)
	r.Seconds.Evaluate += time.Since(started).Seconds()
	if err != nil {
		if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
			err = fmt.Errorf("%w (%v)", ended, err)
		}
		return err
	}
	if len(scores) != len(sets) {
		return fmt.Errorf("the evaluator gave %d scores for %d sets of edits", len(scores), len(sets))
	}
	if first {
		grown.Examples, grown.Baseline = scores[0].Examples, scores[0]
	}
	row := make([]int, 0, len(p.scales))
	for i, s := range scores {
		if s.Examples < 1 || s.Examples != grown.Examples {
			return fmt.Errorf("the evaluator scored %d examples, the network without noise %d; all must see the same, "+
				"at least one", s.Examples, grown.Examples)
		}
		if !first || i > 0 {
			row = append(row, s.Correct)
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
