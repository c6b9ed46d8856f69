// Package tap names activations inside plain GoMLX model functions, so that analyses can address them.
//
// A model calls Point(x, "fc1") after a non-linearity. On an ordinary graph Point returns x itself, the same node:
// training pays nothing and the model function stays plain. Where a Recorder was attached to the graph first, Point
// records the activation and lets the recorder replace it. All state lives on one graph and dies with it; a model object
// never carries a hook that someone has to remove.
//
// Units lie on the last axis (a feature map is one unit), the batch on the first.
package tap

import (
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

type stateKey struct{}

// Recorder sees the named activations of one graph while it is built. Make one inside each graph function: an executor
// may build several graphs at the same time.
type Recorder struct {
	// Edit, if not nil, replaces each named activation by what it returns, which must have the same shape.
	Edit func(site string, x *graph.Node) *graph.Node

	sites []unit.Site
	nodes map[string]*graph.Node
}

// Attach makes r the recorder of g. Call it before the model function; a later Attach replaces an earlier one.
func (r *Recorder) Attach(g *graph.Graph) {
	r.sites, r.nodes = nil, map[string]*graph.Node{}
	g.AttachState(stateKey{}, r)
}

// Detach leaves g without a recorder.
func Detach(g *graph.Graph) { g.AttachState(stateKey{}, (*Recorder)(nil)) }

// Recording tells whether a Recorder is attached to g. Only where naming an activation costs something does a model need
// to know.
func Recording(g *graph.Graph) bool {
	r, _ := g.State(stateKey{}).(*Recorder)
	return r != nil
}

// Sites lists the activations met so far, in the order of the model function.
func (r *Recorder) Sites() []unit.Site { return slices.Clone(r.sites) }

// Node is the activation named site as the rest of the model sees it (edited, where Edit did so), nil if not met.
func (r *Recorder) Node(site string) *graph.Node { return r.nodes[site] }

// Point marks x, shaped [batch, ..., units], as the activation called name and returns what the model goes on with: x
// itself on a graph without a recorder. A name used twice in one graph, an activation without a unit axis and an edit
// that changes the shape panic, as graph functions do.
func Point(x *graph.Node, name string) *graph.Node {
	r, _ := x.Graph().State(stateKey{}).(*Recorder)
	if r == nil {
		return x
	}
	if _, used := r.nodes[name]; used {
		exceptions.Panicf("tap.Point: the name %q is used twice in one graph", name)
	}
	if x.Rank() < 2 {
		exceptions.Panicf("tap.Point(%q): shape %s has no batch and unit axes", name, x.Shape())
	}
	r.sites = append(r.sites, unit.Site{Name: name, Shape: slices.Clone(x.Shape().Dimensions[1:])})
	// A node of its own separates those who use the activation after this point from those who took it before.
	var y *graph.Node
	if r.Edit == nil {
		y = graph.Identity(x)
	} else if y = r.Edit(name, x); !y.Shape().Equal(x.Shape()) {
		exceptions.Panicf("tap.Point(%q): the edit changed the shape from %s to %s", name, x.Shape(), y.Shape())
	}
	r.nodes[name] = y
	return y
}
