package probe

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// layout is which inputs describe to a graph what sets of edits do at a site. A mask (Bool)[widen, units] and values
// (Float32)[widen, units] come first, always.
type layout struct {
	// Some units are clamped to means: how far from its value an activation counts as equal (Float32)[widen, units].
	means bool
	// At feature maps: which units are clamped element by element (Bool)[widen, units], to what, and how far from that
	// counts as equal, (Float32)[…, units] each.
	elements bool
	// S.d. (Float32)[widen, units] and draws (Float32)[1 or widen, chunk, …, units].
	noise bool
	// Sites where directions of a basis are taken out, each followed by a space, in order of name: which directions stay
	// (Float32)[widen, units] and the basis (Float32)[1 or widen, units, units], a direction a row.
	turned string
}

// add takes in what an edit needs.
func (l *layout) add(e unit.Edit, s unit.Site) {
	l.noise = l.noise || e.Sigma != nil
	l.means = l.means || e.To.Kind == unit.KindMean || e.To.Kind == unit.KindElementMean
	l.elements = l.elements || byElement(e.To, s)
	if e.Basis != nil && !l.turns(s.Name) {
		names := append(strings.Fields(l.turned), s.Name)
		slices.Sort(names)
		l.turned = strings.Join(names, " ") + " "
	}
}

// turns tells whether directions of a basis are taken out at a site.
func (l layout) turns(site string) bool { return strings.Contains(" "+l.turned, " "+site+" ") }

// layoutOf is what the sets need, at any site.
func (p *Probe) layoutOf(sets [][]unit.Edit, which ...int) (l layout) {
	for _, i := range which {
		for _, e := range sets[i] {
			s, _ := unit.Find(p.sites, e.Site)
			l.add(e, s)
		}
	}
	return l
}

// at is the layout of one site: where a unit is one activation, it has no elements.
func (l layout) at(s unit.Site) layout {
	l.elements = l.elements && len(s.Shape) > 1
	if !l.turns(s.Name) {
		l.turned = ""
	}
	return l
}

func (l layout) String() (text string) {
	if l.means {
		text += " to means"
	}
	if l.elements {
		text += " of elements"
	}
	if l.noise {
		text += " with noise"
	}
	if l.turned != "" {
		text += " without directions at " + strings.TrimSpace(l.turned)
	}
	return text
}

// split takes the inputs that describe the edits at sites off a graph's inputs.
func (p *Probe) split(l layout, sites []string, in []*graph.Node) (bySite [][]*graph.Node, rest []*graph.Node) {
	for _, name := range sites {
		s, _ := unit.Find(p.sites, name)
		n := 2
		for _, more := range []struct {
			is     bool
			inputs int
		}{{l.means, 1}, {l.at(s).elements, 3}, {l.noise, 2}, {l.turns(name), 2}} {
			if more.is {
				n += more.inputs
			}
		}
		bySite, in = append(bySite, in[:n]), in[n:]
	}
	return bySite, in
}

// editWide applies widen sets of edits to x [widen·chunk, …, units], in the layout of its site, and counts how many
// activations of each row they change: (Int32)[widen·chunk].
func editWide(x *graph.Node, l layout, in []*graph.Node) (y, changed *graph.Node) {
	flat := x.Shape().Dimensions
	widen := in[0].Shape().Dimensions[0]
	dims := append([]int{widen, flat[0] / widen}, flat[1:]...) // [widen, chunk, …, units]
	lift := func(n *graph.Node) *graph.Node {                  // [widen, units] → dims
		for n.Rank() < len(dims) {
			n = graph.InsertAxes(n, 1)
		}
		return graph.BroadcastToDims(n, dims...)
	}
	mask, value, in := lift(in[0]), lift(in[1]), in[2:]
	var slack *graph.Node
	if l.means {
		slack, in = lift(in[0]), in[1:]
	}
	if l.elements && len(flat) > 2 {
		chosen := lift(in[0])
		spread := func(n *graph.Node) *graph.Node {
			return graph.BroadcastToDims(graph.ExpandLeftToRank(n, len(dims)), dims...)
		}
		value, slack, in = graph.Where(chosen, spread(in[1]), value), graph.Where(chosen, spread(in[2]), slack), in[3:]
	}
	y = graph.Reshape(x, dims...)
	if l.turned != "" {
		own := in[len(in)-2:]
		kept, rounding := project(y, own[0], own[1])
		y, in = kept, in[:len(in)-2]
		if slack == nil {
			slack = graph.ZerosLike(y)
		}
		slack = graph.Add(slack, rounding)
	}
	y = graph.Where(mask, value, y)
	if l.noise {
		y = graph.Add(y, graph.Mul(lift(in[0]), graph.BroadcastToDims(in[1], dims...)))
	}
	y = graph.Reshape(y, flat...)
	if slack == nil {
		return y, countTrue(graph.NotEqual(x, y))
	}
	return y, countTrue(graph.GreaterThan(graph.Abs(graph.Sub(x, y)), graph.Reshape(slack, flat...)))
}

// project leaves of x [widen, chunk, …, units] the part along the directions that stay:
//
//	Σ_d stay_d q_d (q_d · x),
//
// with stay (Float32)[widen, units], 1 for those and else 0, and basis (Float32)[1 or widen, units, units]. Adding up what
// stays, and not taking away what goes, leaves exactly zero without any direction. Where all stay, x is untouched. slack is
// how far from x a result counts as equal: the products round.
func project(x, stay, basis *graph.Node) (y, slack *graph.Node) {
	dims := x.Shape().Dimensions
	units, widen, bases := dims[len(dims)-1], dims[0], basis.Shape().Dimensions[0]
	lift := func(n *graph.Node) *graph.Node {
		for n.Rank() < len(dims) {
			n = graph.InsertAxes(n, 1)
		}
		return graph.BroadcastToDims(n, dims...)
	}
	there, back := "bnu,bdu->bnd", "bnd,bdu->bnu" // as many products as there are bases
	rows := func(n *graph.Node) *graph.Node { return graph.Reshape(n, bases, -1, units) }
	if bases == 1 { // one product
		there, back, basis = "nu,du->nd", "nd,du->nu", graph.Reshape(basis, units, units)
		rows = func(n *graph.Node) *graph.Node { return graph.Reshape(n, -1, units) }
	}
	along := graph.Reshape(graph.Einsum(there, rows(x), basis), dims...)
	along = graph.Mul(along, lift(stay))
	y = graph.Reshape(graph.Einsum(back, rows(along), basis), dims...)
	gone := graph.LessThan(graph.ReduceMin(stay, -1), graph.ScalarOne(x.Graph(), stay.DType())) // [widen]
	gone = lift(graph.BroadcastToDims(graph.InsertAxes(gone, -1), widen, units))
	most := graph.BroadcastToDims(graph.InsertAxes(graph.ReduceMax(graph.Abs(x), -1), -1), dims...)
	return graph.Where(gone, y, x), graph.Where(gone, graph.MulScalar(most, 1e-5), graph.ZerosLike(x))
}

// inputs gives the graph inputs that describe what the sets of block do at one site, in the layout editWide reads;
// noise needs draws, and directions bases. A block shorter than widen, or −1 in place of a set, is filled up with empty sets. own are those
// of them that the caller is to free.
func (p *Probe) inputs(site string, l layout, widen int, sets [][]unit.Edit, block []int, draws, bases *tensors.Tensor) (
	all, own []*tensors.Tensor,
) {
	s, _ := unit.Find(p.sites, site)
	l = l.at(s)
	n := s.Units()
	mask, value := make([]bool, widen*n), make([]float32, widen*n)
	var slack, sigma, stay []float32
	var chosen []bool
	if l.means {
		slack = make([]float32, widen*n)
	}
	if l.elements {
		chosen = make([]bool, widen*n)
	}
	if l.noise {
		sigma = make([]float32, widen*n)
	}
	if l.turned != "" {
		stay = slices.Repeat([]float32{1}, widen*n)
	}
	for row, i := range block {
		if i < 0 {
			continue // a step that scores no set
		}
		for _, e := range sets[i] {
			if e.Site != site {
				continue
			}
			var byUnit, near []float32
			if !byElement(e.To, s) {
				byUnit, near = p.target(e.To, s)
			}
			for k, u := range unitsOf(e, n) {
				at := row*n + u
				if e.Basis != nil {
					stay[at] = 0
					continue
				}
				mask[at] = e.To.Kind != unit.KindItself
				if byUnit != nil {
					value[at] = byUnit[u]
				}
				if near != nil {
					slack[at] = near[u]
				}
				if byElement(e.To, s) {
					chosen[at] = true
				}
				if e.Sigma != nil {
					sigma[at] = float32(e.Sigma[k])
				}
			}
		}
	}
	own = []*tensors.Tensor{tensors.FromFlatDataAndDimensions(mask, widen, n), tensors.FromFlatDataAndDimensions(value, widen, n)}
	if l.means {
		own = append(own, tensors.FromFlatDataAndDimensions(slack, widen, n))
	}
	all = own
	if l.elements {
		which := tensors.FromFlatDataAndDimensions(chosen, widen, n)
		own = append(own, which)
		all = append(append(all[:3:3], which), p.elementsOnDevice(s)...)
	}
	if l.noise {
		sd := tensors.FromFlatDataAndDimensions(sigma, widen, n)
		own = append(own, sd)
		all = append(all[:len(all):len(all)], sd, draws)
	}
	if l.turned != "" {
		which := tensors.FromFlatDataAndDimensions(stay, widen, n)
		own = append(own, which)
		all = append(all[:len(all):len(all)], which, bases)
	}
	return all, own
}

// basisOf is the basis whose directions a set takes out of a site, nil if it does not.
func basisOf(set []unit.Edit, site string) *unit.Basis {
	for _, e := range set {
		if e.Site == site && e.Basis != nil {
			return e.Basis
		}
	}
	return nil
}

// sharedBasis is the one basis that all of the sets use at a site, if they use one; −1 in place of a set counts for nothing.
func sharedBasis(sets [][]unit.Edit, which []int, site string) (one *unit.Basis, ok bool) {
	for _, i := range which {
		if i < 0 {
			continue
		}
		b := basisOf(sets[i], site)
		if b != nil && one != nil && b != one {
			return nil, false
		}
		if b != nil {
			one = b
		}
	}
	return one, one != nil
}

// bases are those whose directions a block of sets takes out of a site: (Float32)[1, units, units] if they share one, else
// [widen, units, units], with zeros for sets without one.
func (p *Probe) bases(site string, widen int, sets [][]unit.Edit, block []int, shared *unit.Basis) *tensors.Tensor {
	s, _ := unit.Find(p.sites, site)
	n := s.Units()
	if shared != nil {
		widen = 1
	}
	flat := make([]float32, widen*n*n)
	fill := func(row int, b *unit.Basis) {
		if b != nil {
			for k, x := range b.Vectors {
				flat[row*n*n+k] = float32(x)
			}
		}
	}
	if shared != nil {
		fill(0, shared)
	} else {
		for row, i := range block {
			if i >= 0 {
				fill(row, basisOf(sets[i], site))
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, widen, n, n)
}

// unitsOf yields the units of an edit, numbered.
func unitsOf(e unit.Edit, all int) func(yield func(k, u int) bool) {
	return func(yield func(k, u int) bool) {
		if e.Units == nil {
			for u := range all {
				if !yield(u, u) {
					return
				}
			}
			return
		}
		for k, u := range e.Units {
			if !yield(k, u) {
				return
			}
		}
	}
}

// byElement tells whether a target has a value for each element of a unit, and not just one.
func byElement(to unit.Target, s unit.Site) bool {
	return to.Kind == unit.KindElementMean && len(s.Shape) > 1
}

// target is what units of a site are clamped to (nil: to themselves): a value for each unit, or for each element
// […, units] of byElement. near, of means only, is how far from it an activation counts as equal.
func (p *Probe) target(to unit.Target, s unit.Site) (value, near []float32) {
	mean := func(of []float64) (value, near []float32) {
		value = make([]float32, len(of))
		for i, x := range of {
			value[i] = float32(x)
		}
		return value, slack(of)
	}
	value = make([]float32, s.Units())
	switch to.Kind {
	case unit.KindItself:
		return nil, nil
	case unit.KindMean:
		return mean(p.mean(s.Name))
	case unit.KindElementMean:
		return mean(p.elementMean(s))
	case unit.KindValue:
		for u := range value {
			value[u] = float32(to.Value)
		}
	}
	return value, nil
}

// slack is how far from the means of a site an activation counts as equal: a mean is known up to rounding only, and so
// is an activation that is the same on all examples. That is 1e-5 of the mean, and 1e-6 of the site's largest, below
// which sums over the site do not resolve it.
func slack(means []float64) []float32 {
	largest := 0.0
	for _, x := range means {
		largest = max(largest, math.Abs(x))
	}
	near := make([]float32, len(means))
	for i, x := range means {
		near[i] = float32(1e-5*math.Abs(x) + 1e-6*largest)
	}
	return near
}

// onDevice puts target on the device: (Float32)[units] or [elements…, units].
func (p *Probe) onDevice(to unit.Target, site string) (value, near *tensors.Tensor) {
	s, _ := unit.Find(p.sites, site)
	dims := s.Shape
	if !byElement(to, s) {
		dims = []int{s.Units()}
	}
	v, n := p.target(to, s)
	if n == nil {
		n = make([]float32, len(v))
	}
	return tensors.FromFlatDataAndDimensions(v, dims...), tensors.FromFlatDataAndDimensions(n, dims...)
}

// elementsOnDevice are a site's element means and how far from them counts as equal, kept for all calls. Zeros stand
// for means that nobody asked for.
func (p *Probe) elementsOnDevice(s unit.Site) []*tensors.Tensor {
	if ts := p.elementTensors[s.Name]; ts != nil {
		return ts
	}
	if p.elementMean(s) == nil {
		zeros := func() *tensors.Tensor {
			return tensors.FromFlatDataAndDimensions(make([]float32, elements(s)), s.Shape...)
		}
		p.elementTensors[s.Name] = []*tensors.Tensor{zeros(), zeros()}
		return p.elementTensors[s.Name]
	}
	value, near := p.onDevice(unit.ElementMean, s.Name)
	p.elementTensors[s.Name] = []*tensors.Tensor{value, near}
	return p.elementTensors[s.Name]
}

// elements is the number of activations of one example at a site.
func elements(s unit.Site) int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// prepareMeans makes sure that mean and elementMean have values for every site that an edit clamps to them.
func (p *Probe) prepareMeans(ctx context.Context, sets [][]unit.Edit) error {
	given := func(option string, of map[string][]float64, s unit.Site, want int) (bool, error) {
		values, ok := of[s.Name]
		if ok && len(values) != want {
			return false, fmt.Errorf("probe: Options.%s has %d values for site %q, want %d (%v, units last)",
				option, len(values), s.Name, want, s.Shape)
		}
		return ok, nil
	}
	for _, set := range sets {
		for _, e := range set {
			if e.To.Kind != unit.KindMean && e.To.Kind != unit.KindElementMean {
				continue
			}
			s, _ := unit.Find(p.sites, e.Site)
			var ok bool
			var err error
			if e.To.Kind == unit.KindElementMean {
				ok, err = given("ElementMean", p.opt.ElementMean, s, elements(s))
			}
			if !ok && err == nil && !byElement(e.To, s) {
				ok, err = given("Mean", p.opt.Mean, s, s.Units())
			}
			if !ok && err == nil {
				if byElement(e.To, s) {
					_, err = p.elementMeansLocked(ctx, []string{s.Name})
				} else {
					_, err = p.momentsLocked(ctx, []string{s.Name})
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Probe) mean(site string) []float64 {
	if given, ok := p.opt.Mean[site]; ok {
		return given
	}
	return p.moments[site].Mean
}

// elementMean is nil for a feature map whose means are neither given nor measured.
func (p *Probe) elementMean(s unit.Site) []float64 {
	if given, ok := p.opt.ElementMean[s.Name]; ok {
		return given
	}
	if len(s.Shape) == 1 {
		return p.mean(s.Name)
	}
	return p.elementMeans[s.Name]
}

// ElementMeans measures the mean of every single activation of the named sites (none: all sites) over all examples: by
// site, in the order of Site.Shape, units last. Where a unit is one activation, that is its mean by Moments. Chunks are
// summed on the device and joined in float64; memory does not grow with the number of examples.
func (p *Probe) ElementMeans(ctx context.Context, sites ...string) (map[string][]float64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.elementMeansLocked(ctx, sites)
}

func (p *Probe) elementMeansLocked(ctx context.Context, names []string) (map[string][]float64, error) {
	if p.plain == nil {
		return nil, fmt.Errorf("probe: used after Close")
	}
	chosen, err := unit.Select(p.sites, names)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	measured := map[string][]float64{}
	var todo []unit.Site
	var single, title []string
	for _, s := range chosen {
		switch {
		case len(s.Shape) == 1:
			single = append(single, s.Name)
		case p.elementMeans[s.Name] == nil:
			todo, title = append(todo, s), append(title, s.Name)
		default:
			measured[s.Name] = p.elementMeans[s.Name]
		}
	}
	if single != nil {
		moments, err := p.momentsLocked(ctx, single)
		if err != nil {
			return nil, err
		}
		for site, m := range moments {
			measured[site] = m.Mean
		}
	}
	if todo == nil {
		return measured, nil
	}
	means := make([][]float64, len(todo))
	for i, s := range todo {
		means[i] = make([]float64, elements(s))
	}
	seen := 0.0
	err = p.eachChunk(ctx, "element means at "+strings.Join(title, " "), func(r *tap.Recorder, counts *graph.Node) []*graph.Node {
		var out []*graph.Node
		for _, s := range todo {
			x := r.Node(s.Name)
			dims := x.Shape().Dimensions
			weight := graph.Div(counts, graph.BroadcastToShape(graph.ReduceAllSum(counts), counts.Shape()))
			for weight.Rank() < len(dims) {
				weight = graph.InsertAxes(weight, -1)
			}
			weight = graph.BroadcastToDims(weight, dims...)
			mean := graph.ReduceSum(graph.Mul(x, weight), 0)
			// What rounding left out: an activation that is always the same is its own mean.
			rest := graph.Sub(x, graph.BroadcastToDims(graph.ExpandLeftToRank(mean, len(dims)), dims...))
			out = append(out, graph.Add(mean, graph.ReduceSum(graph.Mul(rest, weight), 0)))
		}
		return out
	}, func(ids []int32, flat [][]float32) error {
		part := float64(len(ids)) / (seen + float64(len(ids)))
		for i := range means {
			for k, x := range flat[i] {
				means[i][k] += (float64(x) - means[i][k]) * part
			}
		}
		seen += float64(len(ids))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, s := range todo {
		p.elementMeans[s.Name], measured[s.Name] = means[i], means[i]
		free(p.elementTensors[s.Name]) // zeros, if any
		delete(p.elementTensors, s.Name)
	}
	return measured, nil
}
