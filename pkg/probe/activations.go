package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Labels are the classes of the examples, numbers from 0 to Classes()−1.
func (p *Probe) Labels() []int32 { return slices.Clone(p.labels) }

// Classes is the number of classes the network tells apart.
func (p *Probe) Classes() int { return p.net.Classes }

// Activations runs the unedited network once over all examples, in their order, and hands their activations over in parts:
// values[i] is [examples of the part, units], row by row, at sites[i] (none: all sites), of the examples from first on.
// Feature maps are averaged over positions, on the device (section 2.6). Nothing of a part is kept, so memory does not grow
// with the number of examples.
//
// values belong to each, which must not call the probe. Its error ends the call and is returned, as is ctx's.
func (p *Probe) Activations(ctx context.Context, sites []string, each func(first int, values [][]float32) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.activationsLocked(ctx, sites, each)
}

func (p *Probe) activationsLocked(ctx context.Context, sites []string, each func(first int, values [][]float32) error) error {
	if p.plain == nil {
		return fmt.Errorf("probe: used after Close")
	}
	chosen, err := unit.Select(p.sites, sites)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	var names []string
	for _, s := range chosen {
		names = append(names, s.Name)
	}
	return p.eachChunk(ctx, "activations at "+strings.Join(names, " "), func(r *tap.Recorder, _ *graph.Node) []*graph.Node {
		var out []*graph.Node
		for _, name := range names {
			x := r.Node(name) // [chunk, …, units] → [chunk, units]
			var axes []int
			for i := 1; i < x.Rank()-1; i++ {
				axes = append(axes, i)
			}
			if axes != nil {
				x = graph.ReduceMean(x, axes...)
			}
			out = append(out, x)
		}
		return out
	}, func(seen []int32, flat [][]float32) error {
		for i, s := range chosen {
			flat[i] = flat[i][:len(seen)*s.Units()]
		}
		return each(int(seen[0]), flat)
	})
}

// ClassMeans measures each unit's mean activation over the examples of each class (feature maps are first averaged over
// positions), as the class selectivity index needs them (section 2.6). means[c][u] is NaN for a class without examples;
// counts[c] is the number of examples of class c.
func (p *Probe) ClassMeans(ctx context.Context, site string) (means [][]float64, counts []int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := unit.Find(p.sites, site)
	if err != nil {
		return nil, nil, fmt.Errorf("probe: %w", err)
	}
	counts = make([]int, p.net.Classes)
	means = make([][]float64, p.net.Classes)
	for c := range means {
		means[c] = make([]float64, s.Units())
	}
	n := s.Units()
	err = p.activationsLocked(ctx, []string{site}, func(first int, values [][]float32) error {
		for k, y := range p.labels[first : first+len(values[0])/n] {
			counts[y]++
			for u, x := range values[0][k*n : (k+1)*n] {
				means[y][u] += float64(x)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for c := range means {
		for u := range means[c] {
			means[c][u] /= float64(counts[c]) // 0/0 is NaN: no example, no mean
		}
	}
	return means, counts, nil
}
