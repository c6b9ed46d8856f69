package probe

import (
	"slices"

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
	upstream   []*graph.Node // what else they need, in order
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
		if needed[n.Id()] && !reached[n.Id()] {
			s.upstream = append(s.upstream, n)
		}
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
