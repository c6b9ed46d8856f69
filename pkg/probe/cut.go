package probe

import "github.com/gomlx/gomlx/core/graph"

// cut splits a graph at edited activations. downstream lists, in order, the nodes that the logits (or a later edit) need
// and an edit can reach. frontier lists the nodes that depend on the images, that no edit reaches, and that downstream nodes (or the
// logits themselves) read: computed once, they make the rest independent of the images. Edited activations that lie
// behind no other edit belong to the frontier, so skip connections around them come out right: whatever else the rest
// reads is in the frontier too.
func cut(images *graph.Node, edited []*graph.Node, logits *graph.Node) (frontier, downstream []*graph.Node) {
	isEdited := map[graph.NodeId]bool{}
	for _, n := range edited {
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
	needed := map[graph.NodeId]bool{logits.Id(): true}
	for _, n := range edited {
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
	add := func(n *graph.Node) {
		if !reached[n.Id()] && fromImages[n.Id()] && !seen[n.Id()] {
			seen[n.Id()] = true
			frontier = append(frontier, n)
		}
	}
	for _, n := range nodes {
		if reached[n.Id()] && needed[n.Id()] {
			downstream = append(downstream, n)
			for _, in := range n.Inputs() {
				add(in)
			}
		}
	}
	for _, n := range edited {
		add(n)
	}
	add(logits) // only when no edit reaches it
	return frontier, downstream
}
