package probe

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Moments of the units of one site over all examples and, for feature maps, all positions.
type Moments struct {
	Count int       // activations behind each number: examples × positions
	Mean  []float64 // by unit
	SD    []float64 // population standard deviation (divided by Count) by unit
}

// Moments measures mean and standard deviation of every unit of the named sites (none: all sites) over all examples.
// Each chunk is reduced on the device about its own mean; chunks are joined in float64 (Chan, Golub, LeVeque 1979).
func (p *Probe) Moments(ctx context.Context, sites ...string) (map[string]Moments, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.momentsLocked(ctx, sites)
}

func (p *Probe) momentsLocked(ctx context.Context, sites []string) (map[string]Moments, error) {
	if p.plain == nil {
		return nil, fmt.Errorf("probe: used after Close")
	}
	chosen, err := unit.Select(p.sites, sites)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	measured := make(map[string]Moments, len(chosen))
	if !slices.ContainsFunc(chosen, func(s unit.Site) bool { _, ok := p.moments[s.Name]; return !ok }) {
		for _, s := range chosen {
			measured[s.Name] = p.moments[s.Name]
		}
		return measured, nil
	}
	sums := make([]Moments, len(p.sites))
	err = p.eachChunk(ctx, "moments", func(r *tap.Recorder, counts *graph.Node) []*graph.Node {
		var out []*graph.Node
		for _, s := range p.sites {
			x := r.Node(s.Name)
			dims := x.Shape().Dimensions
			units := dims[len(dims)-1]
			positions := x.Shape().Size() / dims[0] / units
			// By example first: a sum of a million equal numbers in one go is wrong by a hundredth in float32.
			sum := func(x *graph.Node) *graph.Node { // → [units]
				each := graph.ReduceSum(graph.Reshape(x, dims[0], positions, units), 1)
				weight := graph.BroadcastToDims(graph.InsertAxes(counts, -1), dims[0], units)
				return graph.ReduceSum(graph.Mul(each, weight), 0)
			}
			count := graph.MulScalar(graph.ReduceAllSum(counts), float64(positions))
			mean := graph.Div(sum(x), count)
			d := graph.Sub(x, graph.BroadcastToDims(graph.ExpandLeftToRank(mean, len(dims)), dims...))
			// What rounding left out of the mean.
			rest := graph.Div(sum(d), count)
			squares := graph.Sub(sum(graph.Mul(d, d)), graph.Mul(graph.Mul(rest, rest), count))
			out = append(out, graph.Add(mean, rest), graph.Max(squares, graph.ZerosLike(squares)))
		}
		return out
	}, func(seen []int32, flat [][]float32) error {
		for i, s := range p.sites {
			m := &sums[i]
			if m.Mean == nil {
				m.Mean, m.SD = make([]float64, s.Units()), make([]float64, s.Units()) // SD holds the sum of squares for now
			}
			n := len(seen)
			for _, d := range s.Shape[:len(s.Shape)-1] {
				n *= d
			}
			a, b := float64(m.Count), float64(n)
			for u := range m.Mean {
				d := float64(flat[2*i][u]) - m.Mean[u]
				m.Mean[u] += d * b / (a + b)
				m.SD[u] += float64(flat[2*i+1][u]) + d*d*a*b/(a+b)
			}
			m.Count += n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, s := range p.sites {
		for u, ss := range sums[i].SD {
			sums[i].SD[u] = math.Sqrt(ss / float64(sums[i].Count))
		}
		p.moments[s.Name] = sums[i]
	}
	for _, s := range chosen {
		measured[s.Name] = p.moments[s.Name]
	}
	return measured, nil
}

// eachChunk runs the unedited network over all examples. reduce turns the recorded activations of a chunk into outputs;
// its second argument (Float32)[chunk] is 1 for examples that count, else 0. add receives the indices of those examples
// (the first ones of the chunk) and the outputs, flat.
func (p *Probe) eachChunk(ctx context.Context, name string, reduce func(r *tap.Recorder, counts *graph.Node) []*graph.Node,
	add func(seen []int32, flat [][]float32) error) error {
	exec, err := p.measuring(name, func(scope *model.Scope, in []*graph.Node) []*graph.Node {
		images, ids, counts := in[0], in[1], in[2]
		var r tap.Recorder
		r.Attach(images.Graph())
		p.net.Graph(scope, p.net.Pixels(rowsOf(images, ids)))
		return last(reduce(&r, counts))
	})
	if err != nil {
		return err
	}
	for _, c := range chunks(p.everything(), p.plainChunk(len(p.labels))) {
		if ctx.Err() != nil {
			return fmt.Errorf("probe: %w", context.Cause(ctx))
		}
		given := []*tensors.Tensor{c.tensor(), c.counts()}
		out, err := call(exec, p.images, given[0], given[1])
		free(given)
		if err != nil {
			return err
		}
		flat := make([][]float32, len(out))
		for i, t := range out {
			if flat[i], err = copyOut[float32](t); err != nil {
				free(out)
				return err
			}
		}
		free(out)
		if err := add(c.ids[:c.fresh], flat); err != nil {
			return err
		}
	}
	return nil
}
