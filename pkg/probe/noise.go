package probe

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Noise is drawn by a graph of its own, once for all sets that share a seed: a sweep needs the same draws at every noise
// scale. Inside the pass the compiler would fuse the drawing with its use and repeat it for every set.

// seedOf is the seed of the noise that a set adds at a site.
func seedOf(set []unit.Edit, site string) (seed uint64, ok bool) {
	for _, e := range set {
		if e.Site == site && e.Sigma != nil {
			return e.Seed, true
		}
	}
	return 0, false
}

// shareSeeds reports whether no two of the sets that add noise at a site differ in its seed, at any of the sites.
func shareSeeds(sets [][]unit.Edit, which []int, sites []string) bool {
	for _, site := range sites {
		var first *uint64
		for _, i := range which {
			seed, ok := seedOf(sets[i], site)
			if ok && first == nil {
				first = &seed
			}
			if ok && seed != *first {
				return false
			}
		}
	}
	return true
}

// keys gives, for each site of a job, the random keys of a block's sets (Uint32)[widen, 2], flat, or of all sets
// [1, 2] where they share their seeds.
func (j job) keys(sets [][]unit.Edit, block []int) [][]uint32 {
	var keys [][]uint32
	for _, site := range j.sites {
		stream := "noise at " + site
		var flat []uint32
		if j.shared {
			flat = make([]uint32, 2)
			for _, i := range j.sets {
				if seed, ok := seedOf(sets[i], site); ok {
					words := tap.Key(seed, stream, 0)
					copy(flat, words[:])
					break
				}
			}
		} else {
			flat = make([]uint32, 2*j.widen)
			for row, i := range block {
				if seed, ok := seedOf(sets[i], site); ok {
					words := tap.Key(seed, stream, 0)
					copy(flat[2*row:], words[:])
				}
			}
		}
		keys = append(keys, flat)
	}
	return keys
}

// draw makes the noise of a chunk at each of the sites: N(0, 1) draws (Float32)[keys, chunk, …, units].
func (p *Probe) draw(sites []string, keys [][]uint32, ids *tensors.Tensor) (draws []*tensors.Tensor, err error) {
	for i, site := range sites {
		exec := p.draws[site]
		if exec == nil {
			s, _ := unit.Find(p.sites, site)
			exec, err = model.NewExec(p.backend.Engine, p.store, func(_ *model.Scope, key, ids *graph.Node) *graph.Node {
				return drawGraph(key, ids, s.Shape)
			})
			if err != nil {
				return nil, fmt.Errorf("probe: %w", err)
			}
			p.draws[site] = exec.WithName("probe noise at " + site)
		}
		key := tensors.FromFlatDataAndDimensions(keys[i], len(keys[i])/2, 2)
		out, err := call(p.draws[site], key, ids)
		free([]*tensors.Tensor{key})
		if err != nil {
			free(draws)
			return nil, err
		}
		draws = append(draws, out[0])
	}
	return draws, nil
}

// drawGraph draws for each key (Uint32)[keys, 2] the noise of the examples ids (Int32)[chunk] at a site of the given
// shape. Example and element are the counters, so a draw depends on nothing else.
func drawGraph(key, ids *graph.Node, shape []int) *graph.Node {
	g, keys, chunk, size := key.Graph(), key.Shape().Dimensions[0], ids.Shape().Dimensions[0], 1
	for _, d := range shape {
		size *= d
	}
	flat := shapes.Make(dtypes.Uint32, keys, chunk, size)
	word := func(i int) *graph.Node {
		column := graph.Slice(key, graph.AxisRange(), graph.AxisElem(i))
		return graph.BroadcastToShape(graph.Reshape(column, keys, 1, 1), flat)
	}
	example := graph.BroadcastToShape(graph.Reshape(graph.ConvertDType(ids, dtypes.Uint32), 1, chunk, 1), flat)
	draws := tap.Normal(word(0), word(1), example, graph.Iota(g, flat, 2))
	return graph.Reshape(draws, slices.Concat([]int{keys, chunk}, shape)...)
}
