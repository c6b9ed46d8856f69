package probe

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// method is a way to evaluate sets of edits.
type method int

const (
	plain  method = iota // the whole network for every set (receipt.go)
	grid                 // all pairs of set and example (grid.go)
	chain                // grid, nested sets sharing the first linear op (chain.go)
	pairs                // only those pairs in which the edit changes something (pairs.go)
	single               // pairs, one unit a set, into a dense layer (pairs.go)
)

// job is a part of an evaluation that shares one cut: sets of edits (by index) whose earliest edited site is the same.
type job struct {
	sets  []int
	sites []string // edited by any of the sets, in the network's order
	layout
	shared bool        // with noise: all its sets can use the same draws
	to     unit.Target // what all sets clamp units of the first site to, where the method needs to know
	method method
	n      int // examples in all
	chunk  int // examples in a pass; of methods pairs and single, examples from which rows are taken
	widen  int // sets in a pass; of method chain, steps
	rows   int // in a pass

	chains     [][]step       // method chain
	clamped    map[int][]bool // method chain: by set, which units of the first site are clamped
	block      int            // method chain: units a step adds back
	unitsOfSet [][]int        // methods pairs and single: by set, the units of the first site it clamps

	work, plainWork float64 // multiply-adds, predicted; of pairs and single, at most
	bytes           int64   // a pass may use, predicted
}

// key names what is compiled for the job.
func (j job) key() string {
	return fmt.Sprintf("%s at %s%s", [...]string{"plain", "grid", "chain", "pairs", "single"}[j.method], strings.Join(j.sites, "+"), j.layout)
}

// A pass aims for activations of targetBytes behind the cut, but at most targetRows rows: enough to keep a matrix product
// busy, few enough to stay in the processor's caches. Measured with a 784-512-512-10 MLP on XLA and 2 cores: 4.6 µs a
// row in passes of 4 × 1,000, 5.5 to 6 µs in passes of 6 × 2,000.
const (
	targetBytes = 8 << 20
	targetRows  = 32 << 10
)

// targetSteps is how many steps of a chain a pass takes about: they are unrolled, so more take longer to compile.
const targetSteps = 10

// plan groups the sets by their earliest edited site, so that sets that edit late layers only are cut late, and chooses
// for each group the method and the shapes of its passes. Unedited sets ride with the first group, or alone on the
// plain path.
func (p *Probe) plan(sets [][]unit.Edit, examples int) ([]job, error) {
	position := func(site string) int {
		return slices.IndexFunc(p.sites, func(s unit.Site) bool { return s.Name == site })
	}
	groups := map[int]*job{}
	edited := map[int]map[int]bool{}
	var unedited []int
	for i, set := range sets {
		first := len(p.sites)
		for _, e := range set {
			first = min(first, position(e.Site))
		}
		if len(set) == 0 {
			unedited = append(unedited, i)
			continue
		}
		if groups[first] == nil {
			groups[first], edited[first] = &job{n: examples}, map[int]bool{}
		}
		groups[first].sets = append(groups[first].sets, i)
		for _, e := range set {
			groups[first].add(e, p.sites[position(e.Site)])
			edited[first][position(e.Site)] = true
		}
	}
	var jobs []job
	for first := range p.sites {
		if j := groups[first]; j != nil {
			for at, s := range p.sites {
				if edited[first][at] {
					j.sites = append(j.sites, s.Name)
				}
			}
			j.shared = j.noise && shareSeeds(sets, j.sets, j.sites)
			jobs = append(jobs, *j)
		}
	}
	if len(unedited) > 0 {
		if len(jobs) == 0 {
			jobs = append(jobs, job{n: examples})
		}
		jobs[0].sets = append(jobs[0].sets, unedited...)
	}
	for i := range jobs {
		if err := p.choose(&jobs[i], sets); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

// choose fixes a job's method and shapes.
func (p *Probe) choose(j *job, sets [][]unit.Edit) error {
	if len(j.sites) == 0 {
		a, err := p.anatomy(nil)
		if err != nil {
			return err
		}
		j.method, j.chunk, j.widen = plain, p.plainChunk(j.n), 1
		j.rows = j.chunk
		j.work = float64(len(j.sets)) * float64(j.n) * a.prefix
		j.plainWork = j.work
		return nil
	}
	a, err := p.anatomy(j.sites)
	if err != nil {
		return err
	}
	j.method = grid
	// Directions of a basis are taken out by method grid alone: the others know of units only.
	if to, ok := sameTarget(sets, j.sets, j.sites[0]); ok && !j.noise && j.turned == "" {
		j.to = to
		if !p.few(j, a, sets) && !p.avoid[chain] {
			p.nest(j, a, sets)
		}
	}
	for _, s := range p.sites {
		if j.turns(s.Name) { // there and back
			a.suffix += 2 * float64(elements(s)) * float64(s.Units())
		}
	}
	p.size(j, a)
	examples := float64(j.n)
	j.plainWork = float64(len(j.sets)) * examples * (a.prefix + a.suffix)
	j.work = examples * a.prefix
	switch j.method {
	case chain:
		j.work += examples * float64(stepsOf(j.chains)) * (a.suffix - a.direct*(1-float64(j.block)/float64(a.units)))
	case single:
		j.work += examples * float64(len(j.sets)) * (a.suffix - a.direct*(1-1/float64(a.units)))
	default:
		j.work += examples * float64(len(j.sets)) * a.suffix
	}
	return nil
}

// sameTarget tells what all of the sets clamp units of a site to, if it is one thing.
func sameTarget(sets [][]unit.Edit, which []int, site string) (to unit.Target, ok bool) {
	for _, i := range which {
		for _, e := range sets[i] {
			if e.Site != site || e.To.Kind == unit.KindItself {
				continue
			}
			if ok && e.To != to {
				return to, false
			}
			to, ok = e.To, true
		}
	}
	return to, ok
}

// few makes the job one of pairs if its sets clamp few units of the first site and nothing else.
func (p *Probe) few(j *job, a anatomy, sets [][]unit.Edit) bool {
	if len(j.sites) != 1 || a.first < 0 || p.avoid[pairs] {
		return false
	}
	of, all, most := make([][]int, len(sets)), 0, 0
	for _, i := range j.sets {
		for _, e := range sets[i] {
			if e.To.Kind != unit.KindItself {
				for _, u := range unitsOf(e, a.units) {
					of[i] = append(of[i], u)
				}
			}
		}
		all, most = all+len(of[i]), max(most, len(of[i]))
	}
	if len(j.sets) < 2 || all*8 > len(j.sets)*a.units && most > 1 {
		return false
	}
	j.method, j.unitsOfSet = pairs, of
	dense := !slices.ContainsFunc(a.linears, func(l linear) bool { return !l.dense })
	if most == 1 && !p.avoid[single] && len(a.linears) > 0 && a.only && dense {
		j.method = single
	}
	return true
}

// elementwise is what computing one activation behind the cut costs besides products, in multiply-adds.
const elementwise = 10

// nest makes the job one of chains if that is predicted to save at least a fifth.
func (p *Probe) nest(j *job, a anatomy, sets [][]unit.Edit) {
	// From zero or a mean, sums grow about as in any product. A given value may be so large that they would cancel.
	if len(a.linears) == 0 || a.first < 0 || j.to.Kind == unit.KindValue {
		return
	}
	lists, clamped := nested(sets, j.sets, j.sites[0], a.units)
	ps := p.passes[job{sites: j.sites, layout: j.layout, method: chain}.key()]
	rest := a.suffix - a.direct + elementwise*a.elements
	best, cost := 0, 0.8*float64(len(j.sets))*(rest+a.direct)
	if p.eager {
		cost = math.Inf(1)
	}
	unit := 1
	if a.units >= 64 {
		unit = 8
	}
	price := func(width int) float64 {
		n := 0
		for _, c := range lists {
			n += len(steps(c, clamped, a.units, width))
		}
		return float64(n) * (rest + a.direct*float64(width)/float64(a.units))
	}
	for width := unit; width <= a.units; width += unit {
		if c := price(width); c < cost {
			best, cost = width, c
		}
	}
	if best == 0 {
		return
	}
	if ps != nil && ps.lastBlock > 0 && price(ps.lastBlock) < 1.1*cost {
		best = ps.lastBlock // compiled already
	}
	j.method, j.block, j.clamped = chain, best, clamped
	for _, c := range lists {
		j.chains = append(j.chains, steps(c, clamped, a.units, best))
	}
	waste := func(widen int) (all int) {
		for _, c := range j.chains {
			all += ceilDiv(len(c), widen) * widen
		}
		return all
	}
	j.widen = min(targetSteps, longest(j.chains))
	for w := j.widen - 1; w > targetSteps/2; w-- {
		if waste(w) < waste(j.widen) {
			j.widen = w
		}
	}
	if ps != nil && ps.lastSteps > 0 && 8*waste(ps.lastSteps) < 9*waste(j.widen) {
		j.widen = ps.lastSteps // compiled already
	}
}

func stepsOf(chains [][]step) (n int) {
	for _, c := range chains {
		n += len(c)
	}
	return n
}

func longest(chains [][]step) (n int) {
	for _, c := range chains {
		n = max(n, len(c))
	}
	return n
}

// size fixes how many examples and sets go through one pass.
func (p *Probe) size(j *job, a anatomy) {
	largest := a.largest
	if j.method != single {
		largest = max(largest, a.edited) // the edited activation itself is laid out over the rows
	}
	budget := p.memory() / 2 // the other half is for frontiers that stay
	rows := int(min(targetRows, targetBytes/max(1, largest), budget/max(1, a.live)))
	rows = max(1, rows)
	most := max(1, int(budget/max(1, a.frontier))) // examples whose frontier fits
	equal := func(chunk int) int { return p.equalChunks(min(chunk, most), j.n) }
	switch j.method {
	case chain:
		j.widen = cmp.Or(p.opt.Widen, j.widen)
		j.chunk = equal(rows * 5 / 8 / targetSteps) // the steps' sums need room in the caches, too
		j.rows = j.widen * j.chunk
	case pairs, single:
		j.chunk = equal(rows)
		if j.method == single {
			j.chunk = equal(4096)
		}
		j.rows = rows
		for j.rows > 4*j.chunk*(1+len(j.sets)) { // more than can be needed: a quarter, so that there are few shapes
			j.rows /= 4
		}
		j.widen = 1
	default:
		j.chunk = equal(rows / min(4, len(j.sets)))
		j.widen = max(1, min(len(j.sets), rows/j.chunk, 256))
		j.widen = ceilDiv(len(j.sets), ceilDiv(len(j.sets), j.widen))
		j.widen = cmp.Or(p.opt.Widen, roundWidth(j.widen))
		j.rows = j.widen * j.chunk
	}
	if p.opt.Chunk > 0 {
		j.chunk = p.opt.Chunk
		if j.method != pairs && j.method != single {
			j.rows = j.widen * j.chunk
		}
	}
	j.bytes = int64(j.chunk)*a.frontier + int64(j.rows)*a.live
	if p.fixed {
		j.bytes += min(int64(j.n)*a.frontier, p.memory()/2)
	}
}

// plainChunk is how many examples a pass of the whole network takes.
func (p *Probe) plainChunk(n int) int {
	if p.opt.Chunk > 0 {
		return p.opt.Chunk
	}
	largest := int64(1)
	for _, s := range p.sites {
		size := int64(4)
		for _, d := range s.Shape {
			size *= int64(d)
		}
		largest = max(largest, size)
	}
	return p.equalChunks(int(min(1024, targetBytes/largest, p.memory()/(8*largest))), n)
}

// equalChunks is a size of about most by which all examples split into equal chunks, which wastes least on the last one.
// If only n examples are asked for, it is halved as long as they fit: few sizes mean few compilations.
func (p *Probe) equalChunks(most, n int) int {
	all := len(p.labels)
	most = max(1, min(most, all))
	size := ceilDiv(all, ceilDiv(all, most))
	for size >= 2*n && size > 1 {
		size = ceilDiv(size, 2)
	}
	return size
}

// roundWidth rounds w up to one of few widths, each at most a quarter above the next smaller one, so that calls that
// differ in their number of sets share compiled graphs: an executor keeps 32 of them.
func roundWidth(w int) int {
	if w <= 8 {
		return w
	}
	step := 2
	for step*8 < w {
		step *= 2
	}
	return ceilDiv(w, step) * step
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// memory is the budget of one pass in bytes.
func (p *Probe) memory() int64 {
	if p.opt.Memory > 0 {
		return p.opt.Memory
	}
	return PhysicalMemory() / 4
}
