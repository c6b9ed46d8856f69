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
)

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
		for _, n := range s.downstream {
			a.suffix += multiplyAdds(n) / rows
			a.elements += float64(n.Shape().Size()) / rows
			a.largest = max(a.largest, bytes(n))
		}
		for _, n := range s.upstream { // and not what is built and not used, of which ONNX files have as much again
			a.prefix += multiplyAdds(n) / rows
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
