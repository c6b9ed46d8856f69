package probe

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// section is a network's graph, cut at edited activations. Building it twice gives the same nodes in the same order, by
// which the graphs before and behind the cut agree.
type section struct {
	edited     []*graph.Node // the named activations that are edited, in the network's order
	frontier   []*graph.Node // depend on the images, are reached by no edit, and are read behind the cut
	constant   []*graph.Node // computed from parameters alone and read behind the cut, such as a transposed weight
	downstream []*graph.Node // what the logits (or a later edit) need and an edit can reach, in order
	logits     *graph.Node
}

// build builds the network on images (Float32)[rows, …] and cuts it at sites.
func (p *Probe) build(scope *model.Scope, images *graph.Node, sites []string) section {
	var r tap.Recorder
	r.Attach(images.Graph())
	s := section{logits: p.net.Graph(scope, images)}
	for _, site := range sites {
		s.edited = append(s.edited, r.Node(site))
	}
	s.cut(images)
	return s
}

// cut finds what lies before, behind and beside the edits. Edited activations that lie behind no other edit belong to
// the frontier, so skip connections around them come out right: whatever else the rest reads is in the frontier too.
func (s *section) cut(images *graph.Node) {
	isEdited := map[graph.NodeId]bool{}
	for _, n := range s.edited {
		isEdited[n.Id()] = true
	}
	nodes := images.Graph().Nodes()
	fromImages := map[graph.NodeId]bool{images.Id(): true}
	reached := map[graph.NodeId]bool{} // by an edit upstream of the node
	for _, n := range nodes {
		for _, in := range n.Inputs() {
			fromImages[n.Id()] = fromImages[n.Id()] || fromImages[in.Id()]
			reached[n.Id()] = reached[n.Id()] || reached[in.Id()] || isEdited[in.Id()]
		}
	}
	needed := map[graph.NodeId]bool{s.logits.Id(): true}
	for _, n := range s.edited {
		needed[n.Id()] = true // even if the logits do not read it: what an edit changes there is counted
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		if needed[nodes[i].Id()] {
			for _, in := range nodes[i].Inputs() {
				needed[in.Id()] = true
			}
		}
	}
	seen := map[graph.NodeId]bool{}
	add := func(list *[]*graph.Node, n *graph.Node) {
		if !seen[n.Id()] {
			seen[n.Id()] = true
			*list = append(*list, n)
		}
	}
	read := func(n *graph.Node) {
		switch {
		case reached[n.Id()]:
		case fromImages[n.Id()]:
			add(&s.frontier, n)
		default:
			s.hoist(n, add)
		}
	}
	for _, n := range nodes {
		if reached[n.Id()] && needed[n.Id()] {
			s.downstream = append(s.downstream, n)
			for _, in := range n.Inputs() {
				read(in)
			}
		}
	}
	for _, n := range s.edited {
		read(n)
	}
	read(s.logits) // only when no edit reaches it
}

// hoist makes n, which does not depend on the images, a constant of the section if that saves work: if it is computed
// from parameters and not larger than they are. What is larger, such as a bias spread over the batch, is left to
// the pass, and its inputs are looked at instead.
func (s *section) hoist(n *graph.Node, add func(list *[]*graph.Node, n *graph.Node)) {
	if len(n.Inputs()) == 0 {
		return
	}
	parameters := 0
	seen := map[graph.NodeId]bool{}
	var visit func(n *graph.Node)
	visit = func(n *graph.Node) {
		if seen[n.Id()] {
			return
		}
		seen[n.Id()] = true
		if n.Type() == graph.NodeTypeParameter {
			parameters += n.Shape().Size()
		}
		for _, in := range n.Inputs() {
			visit(in)
		}
	}
	visit(n)
	if parameters > 0 && n.Shape().Size() <= parameters {
		add(&s.constant, n)
		return
	}
	for _, in := range n.Inputs() {
		s.hoist(in, add)
	}
}

// linear is an op behind the cut that reads the first edited activation itself and is linear in its units: a product with
// a weight, dense or convolution. The contribution of a few units is the same op on a slice of both.
type linear struct {
	at     int // index in section.downstream
	data   int // which input is the activation; the other one is the weight
	axis   int // of the weight: the units
	dense  bool
	result []int // shape of the result of one example
}

// linears finds the linear ops: those that accept a slice of the units together with the same slice of one axis of
// the weight, and still give a result of the same shape. Only a sketch of the network should be asked: the
// attempts leave nodes in the graph.
func (s *section) linears() (found []linear) {
	x := s.edited[0]
	units := x.Shape().Dimensions[x.Rank()-1]
	if units < 2 {
		return nil
	}
	reached := map[graph.NodeId]bool{x.Id(): true}
	for _, n := range s.downstream {
		reached[n.Id()] = true
	}
	for i, n := range s.downstream {
		if t := n.Type(); (t != graph.NodeTypeDotGeneral && t != graph.NodeTypeConvGeneral) || len(n.Inputs()) != 2 {
			continue
		}
		data := slices.IndexFunc(n.Inputs(), func(in *graph.Node) bool { return in.Id() == x.Id() })
		if data < 0 || slices.Contains(s.frontier, n.Inputs()[1-data]) || reached[n.Inputs()[1-data].Id()] {
			continue
		}
		weight := n.Inputs()[1-data]
		for axis, size := range weight.Shape().Dimensions {
			if size != units {
				continue
			}
			one := graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, 1), 0)
			var y *graph.Node
			err := exceptions.TryCatch[error](func() {
				y = applyLinear(n, data, take(x, one, x.Rank()-1), take(weight, one, axis))
			})
			if err == nil && y.Shape().Equal(n.Shape()) {
				found = append(found, linear{at: i, data: data, axis: axis,
					dense: x.Rank() == 2 && n.Rank() == 2, result: n.Shape().Dimensions[1:]})
				break
			}
		}
	}
	return found
}

// applyLinear is the op n on other data and another weight.
func applyLinear(n *graph.Node, data int, x, weight *graph.Node) *graph.Node {
	inputs := []*graph.Node{weight, weight}
	inputs[data] = x
	return n.CloneWithInputs(inputs...)
}

// take gathers the entries ids (Int32)[n] of one axis of x.
func take(x, ids *graph.Node, axis int) *graph.Node {
	front := []int{axis} // the axis first, the others in order
	for a := range x.Rank() {
		if a != axis {
			front = append(front, a)
		}
	}
	back := make([]int, len(front))
	for to, from := range front {
		back[from] = to
	}
	picked := graph.Gather(graph.TransposeAllAxes(x, front...), graph.InsertAxes(ids, -1))
	return graph.TransposeAllAxes(picked, back...)
}

// anatomy is what planning knows of a section, per example or row, from a sketch of its graph.
type anatomy struct {
	units    int      // of the first edited site
	first    int      // its index in the frontier
	linears  []linear // see section.linears
	only     bool     // the linear ops are all that reads the first edited site
	prefix   float64  // multiply-adds before the cut
	suffix   float64  // multiply-adds behind it
	direct   float64  // of these, in the linear ops
	elements float64  // activations behind the cut
	frontier int64    // bytes of the frontier
	edited   int64    // bytes of the first edited activation
	largest  int64    // bytes of the largest activation behind the cut
	live     int64    // bytes of activations alive at the same time behind the cut, at most
}

// anatomy builds a sketch of the network and measures its section at sites; once.
func (p *Probe) anatomy(sites []string) (a anatomy, err error) {
	id := strings.Join(sites, "+")
	if a, ok := p.anatomies[id]; ok {
		return a, nil
	}
	err = exceptions.TryCatch[error](func() {
		g := graph.NewGraph(p.backend.Engine, "sketch of "+p.net.Name)
		defer g.Finalize()
		store := model.NewStore()
		model.SetStore(g, store)
		const rows = 2
		images := graph.Parameter(g, "images", shapes.Make(dtypes.Float32, append([]int{rows}, p.net.Image...)...))
		s := p.build(store.RootScope(), images, sites)
		bytes := func(n *graph.Node) int64 { return int64(n.Shape().ByteSize()) / rows }
		for _, n := range s.frontier {
			a.frontier += bytes(n)
		}
		behind := map[graph.NodeId]bool{}
		for _, n := range s.downstream {
			behind[n.Id()] = true
			a.suffix += multiplyAdds(n) / rows
			a.elements += float64(n.Shape().Size()) / rows
			a.largest = max(a.largest, bytes(n))
		}
		for _, n := range g.Nodes() {
			if !behind[n.Id()] {
				a.prefix += multiplyAdds(n) / rows // counts the few that nobody needs, too
			}
		}
		a.live = s.live(bytes)
		if len(sites) == 0 {
			return
		}
		x := s.edited[0]
		a.units, a.edited, a.first = x.Shape().Dimensions[x.Rank()-1], bytes(x), slices.Index(s.frontier, x)
		a.linears = s.linears()
		a.only = true
		for i, n := range s.downstream {
			reads := slices.ContainsFunc(n.Inputs(), func(in *graph.Node) bool { return in.Id() == x.Id() })
			direct := slices.ContainsFunc(a.linears, func(l linear) bool { return l.at == i })
			if direct {
				a.direct += multiplyAdds(n) / rows
			}
			a.only = a.only && reads == direct
		}
	})
	if err != nil {
		return a, fmt.Errorf("probe: %w", err)
	}
	p.anatomies[id] = a
	return a, nil
}

// live adds up what is alive at the same time when the nodes behind the cut are computed in order.
func (s *section) live(bytes func(*graph.Node) int64) int64 {
	last := map[graph.NodeId]int{}
	for i, n := range s.downstream {
		for _, in := range n.Inputs() {
			last[in.Id()] = i
		}
	}
	var now, most int64
	for _, n := range s.frontier {
		now += bytes(n)
	}
	for i, n := range s.downstream {
		now += bytes(n)
		most = max(most, now)
		for _, in := range slices.Compact(slices.Clone(n.Inputs())) {
			if last[in.Id()] == i && (slices.Contains(s.downstream, in) || slices.Contains(s.frontier, in)) {
				now -= bytes(in)
			}
		}
	}
	return max(most, now)
}

// multiplyAdds counts the multiplications of a product or convolution; of anything else, none.
func multiplyAdds(n *graph.Node) float64 {
	if len(n.Inputs()) < 2 {
		return 0
	}
	a, b, out := n.Inputs()[0].Shape(), n.Inputs()[1].Shape(), n.Shape()
	switch n.Type() {
	case graph.NodeTypeDotGeneral:
		// lhs [M, K], rhs [K, N], out [M, N]: (M·K·N)² = |lhs|·|rhs|·|out|
		return math.Sqrt(float64(a.Size()) * float64(b.Size()) * float64(out.Size()))
	case graph.NodeTypeConvGeneral:
		// Each result adds up a kernel's worth of products: all of the kernel but its axis of output channels, which is
		// the last one of a kernel [height, width, in, out] and the first one of [out, in, height, width].
		channels := b.Dimensions[b.Rank()-1]
		if channels != out.Dimensions[out.Rank()-1] {
			channels = b.Dimensions[0]
		}
		return float64(out.Size()) * float64(b.Size()) / float64(channels)
	}
	return 0
}
