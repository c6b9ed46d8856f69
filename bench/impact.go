package main

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// impactWork is the ablation of every single unit of some sites, and what parts of it the peers are measured on.
type impactWork struct {
	network
	examples int
	sites    []string
	first    int // units of each site in our first call, which is not measured; 0: all of them
	hooks    part
	batches  []int // that the hooks peer tries out
	captum   part
	perEval  []Settings   // that the Captum peer tries out, on the last site
	bound    sample.Bound // of a further line in which our side looks at as few images as it may; zero: none
}

// impact measures single-unit ablation against PyTorch with hooks, against Captum and, with a bound, against PyTorch
// again.
func (b *bench) impact(c impactWork) ([]Workload, error) {
	started := time.Now()
	p, err := b.probe(c.network, c.examples)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	sites, err := unit.Select(p.Sites(), c.sites)
	if err != nil {
		return nil, err
	}
	few := [][]unit.Edit{{}}
	for _, s := range sites {
		for u := range min(cmp.Or(c.first, s.Units()), s.Units()) {
			few = append(few, []unit.Edit{unit.Ablate(s.Name, unit.Zero, u)})
		}
	}
	if _, _, err := p.Evaluate(b.ctx, few); err != nil {
		return nil, err
	}
	first := time.Since(started).Seconds()

	whole := impactSets(sites, 1)
	var exact ablate.Impacts
	own := side{"ours", func() (float64, error) {
		started := time.Now()
		var err error
		exact, err = ablate.Single(b.ctx, p, ablate.SingleSpec{Sites: c.sites}, ablate.SingleOptions{})
		return time.Since(started).Seconds(), err
	}}

	// Hooks: every so many-th unit.
	n := cmp.Or(c.hooks.examples, c.examples)
	every := cmp.Or(c.hooks.every, 1)
	some := impactSets(sites, every)
	settings, hooksFirst, err := b.prepareHooks(c.network, some[:1], n, c.batches)
	if err != nil {
		return nil, err
	}
	var theirs []int
	hooksSide := b.hooksSide(c.network, n, settings, some, &theirs)

	// Captum: all units, on fewer images.
	m := cmp.Or(c.captum.examples, c.examples)
	captum, captumFirst, err := b.tuneCaptum(c, m)
	if err != nil {
		return nil, err
	}
	var attributed map[string][]int
	captumSide := side{"Captum", func() (float64, error) {
		r := c.request("impact", m)
		r.Sites, r.Settings = c.sites, captum
		a, err := b.ask(layers, r)
		attributed = a.Impact
		return a.Seconds, err
	}}

	sides := []side{own, hooksSide, captumSide}
	var within bounded
	if c.bound != (sample.Bound{}) {
		if within, err = b.boundedSide(c, p); err != nil {
			return nil, err
		}
		sides = append(sides, within.side)
	}
	taken, err := interleave(b.opt.repeats, sides...)
	if err != nil {
		return nil, err
	}
	w := Workload{
		Passes: float64(len(whole)), Plan: exact.Receipt.Plan, Peer: "PyTorch hooks, " + settings.String(),
		Ours: Timing{First: first, Seconds: taken[0], Scale: 1},
		Theirs: Timing{First: hooksFirst, Seconds: taken[1],
			Scale: float64(len(whole)) / float64(len(some)) * float64(c.examples) / float64(n)},
	}
	w.Theirs.Part = join(of(len(some)-1, len(whole)-1, "units"), of(n, c.examples, "images"))
	ours := []int{exact.Baseline.Correct}
	for _, i := range exact.Impacts {
		ours = append(ours, i.Score.Correct)
	}
	var counts []int
	for i := range whole {
		if i == 0 || (i-1)%every == 0 {
			counts = append(counts, ours[i])
		}
	}
	if n != c.examples {
		if counts, err = b.correct(c.network, n, some); err != nil {
			return nil, err
		}
	}
	if w.Answers, err = compareCounts(counts, theirs, b.near(c.network, n, settings, some)); err != nil {
		return nil, err
	}

	v := w
	v.Peer = "Captum LayerFeatureAblation, " + captum.String()
	v.Theirs = Timing{First: captumFirst, Seconds: taken[2], Scale: float64(c.examples) / float64(m)}
	v.Theirs.Part = of(m, c.examples, "images")
	theirs = nil
	for _, s := range sites {
		theirs = append(theirs, attributed[s.Name]...)
	}
	counts = ours[1:]
	if m != c.examples {
		if counts, err = b.correct(c.network, m, whole[1:]); err != nil {
			return nil, err
		}
	}
	if v.Answers, err = compareCounts(counts, theirs, b.near(c.network, m, settings, whole[1:])); err != nil {
		return nil, err
	}
	lines := []Workload{w, v}
	if c.bound != (sample.Bound{}) {
		u := w
		u.Ours = Timing{First: within.first, Seconds: taken[3], Scale: 1}
		u.Plan = within.found.Receipt.Plan
		u.Answers = compareBound(exact, *within.found)
		lines = append(lines, u)
	}
	return lines, nil
}

// impactSets are the sets of edits behind single-unit ablation: nothing, then every so many-th unit of all sites
// together.
func impactSets(sites []unit.Site, every int) [][]unit.Edit {
	sets := [][]unit.Edit{{}}
	i := 0
	for _, s := range sites {
		for u := range s.Units() {
			if i%every == 0 {
				sets = append(sets, []unit.Edit{unit.Ablate(s.Name, unit.Zero, u)})
			}
			i++
		}
	}
	return sets
}

// tuneCaptum tries out the Captum peer's settings on the units of the last site and as many images as one batch has, and
// measures its first call.
func (b *bench) tuneCaptum(c impactWork, examples int) (best Settings, first float64, err error) {
	fastest := math.Inf(1)
	for i, s := range c.perEval[:b.size(len(c.perEval), 1)] {
		s.Batch = min(s.Batch, examples)
		r := c.request("impact", s.Batch)
		r.Sites, r.Settings = c.sites[len(c.sites)-1:], s
		started := time.Now()
		a, err := b.ask(layers, r)
		if err != nil {
			return best, 0, err
		}
		if i == 0 {
			first = time.Since(started).Seconds()
		}
		if each := a.Seconds / float64(s.Batch); each < fastest {
			fastest, best = each, s
		}
	}
	return best, first, nil
}

// addImpact measures single-unit ablation and reports it: a line for each peer and, with a bound, one for that, each
// with its target.
func (b *bench) addImpact(report *Report, c impactWork, id, units string, targets ...float64) error {
	lines, err := b.impact(c)
	if err != nil {
		return err
	}
	for i, line := range lines {
		line.ID = id + []string{"", " captum", " bound"}[i]
		line.Target = targets[i]
		line.What = fmt.Sprintf("%s, impact of each of %s %s, %s images",
			c.net.Name, thousands(int(line.Passes)-1), units, thousands(c.examples))
		if i == 2 {
			line.What += fmt.Sprintf(", known within %g percentage points at %g %% confidence",
				100*c.bound.Within, 100*c.bound.Confidence)
		}
		report.add(line)
	}
	return nil
}
