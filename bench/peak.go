package main

import (
	"fmt"
	"log"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// peak measures the fastest matrix product, and what the workloads with a known suffix reach of it.
func (b *bench) peak(report *Report) error {
	p := &Peak{Tried: map[int]float64{}, Date: report.Date, Commit: report.Commit}
	sizes := []int{1024, 2048, 4096}
	if b.opt.quick {
		sizes = []int{128, 256}
	}
	for _, size := range sizes {
		s, err := b.product(size)
		if err != nil {
			return err
		}
		n := float64(size)
		p.Tried[size] = 2 * n * n * n / s / 1e9
		log.Printf("  product of %d × %d: %.0f GFLOP/s", size, size, p.Tried[size])
		if p.Tried[size] > p.GFlops {
			p.Size, p.GFlops = size, p.Tried[size]
		}
	}
	for _, line := range []struct {
		id, cut string
		open    func() (curveWork, error)
	}{{"1", "fc1", b.curve1}, {"4", "conv9", b.curve4}} {
		w, ok := report.workload(line.id)
		if !ok {
			log.Printf("  workload %s is not measured yet, so neither is its distance from the peak", line.id)
			continue
		}
		c, err := line.open()
		if err != nil {
			return err
		}
		sites, _, err := c.net.Sketch(b.backend.Engine)
		if err != nil {
			return err
		}
		flops, err := flopsAfter(sites, c.weights, line.cut)
		if err != nil {
			return err
		}
		gflops := w.Passes * float64(c.examples) * flops / w.Ours.Best() / 1e9
		p.Shares = append(p.Shares, Share{
			Workload: line.id, Suffix: fmt.Sprintf("%s, after %s", c.net.Name, line.cut),
			Flops: flops, GFlops: gflops, OfPeak: gflops / p.GFlops,
		})
	}
	report.Peak = p
	return nil
}

// product is the seconds of the fastest product of two square float32 matrices.
func (b *bench) product(size int) (float64, error) {
	// The largest element is read back: it depends on all of the product, and no compiler knows a shorter way to it.
	exec, err := graph.NewExec(b.backend.Engine, func(x, y *graph.Node) *graph.Node {
		return graph.ReduceAllMax(graph.Dot(x, y).MatMul())
	})
	if err != nil {
		return 0, err
	}
	defer exec.Finalize()
	matrix := func(seed float64) *tensors.Tensor {
		data := make([]float32, size*size)
		for i := range data {
			data[i] = float32(math.Sin(seed + float64(i)))
		}
		return tensors.FromFlatDataAndDimensions(data, size, size)
	}
	x, y := matrix(0), matrix(1)
	defer func() { _, _ = x.FinalizeAll(), y.FinalizeAll() }()
	best := math.Inf(1)
	for round := range 6 {
		started := time.Now()
		out, err := exec.Call(x, y)
		if err != nil {
			return 0, err
		}
		_ = tensors.ToScalar[float32](out[0])
		if s := time.Since(started).Seconds(); round > 0 { // the first one compiles
			best = math.Min(best, s)
		}
		_ = out[0].FinalizeAll()
	}
	return best, b.ctx.Err()
}

// flopsAfter is the number of multiplications and additions for one example in the layers after a site, of a network
// that is a chain of layers named like their sites, and logits: 2 for each weight and position. What is not a product of
// weights (biases, normalization, ReLU) is left out, as is usual.
func flopsAfter(sites []unit.Site, weights map[string]nets.Array, site string) (float64, error) {
	at := slices.IndexFunc(sites, func(s unit.Site) bool { return s.Name == site })
	if at < 0 {
		return 0, fmt.Errorf("no site %q", site)
	}
	positions := map[string]int{"logits": 1}
	layers := []string{"logits"}
	for _, s := range sites[at+1:] {
		layers = append(layers, s.Name)
		positions[s.Name] = 1
		for _, d := range s.Shape[:len(s.Shape)-1] {
			positions[s.Name] *= d
		}
	}
	flops := 0.0
	for _, layer := range layers {
		weight, ok := weights[layer+".weight"]
		if !ok {
			return 0, fmt.Errorf("no weights of layer %q; there are %s", layer, strings.Join(layers, ", "))
		}
		flops += 2 * float64(len(weight.Data)) * float64(positions[layer])
	}
	return flops, nil
}
