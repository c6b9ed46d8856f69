package main

import "fmt"

// growth measures how the seconds of a cumulative ablation grow with each of its sizes.
func (b *bench) growth(report *Report) error {
	set, err := b.lab.Data(b.ctx, b.pick("mnist", "mnist10k"))
	if err != nil {
		return err
	}
	width, examples, orders, points := b.size(256, 16), b.size(5000, 250), 2, b.size(10, 4)
	times := func(base int, factors ...int) []int {
		var sizes []int
		for _, f := range factors {
			sizes = append(sizes, base*f)
		}
		return sizes
	}
	for _, dimension := range []struct {
		what  string
		sizes []int
		size  *int
	}{
		{"images", times(examples, 1, 2, 4), &examples},
		{"orderings", []int{1, 2, 4, 8}, &orders},
		{"points", times(b.size(5, 4), 1, 2, 4, 8), &points},
		{"units in each hidden layer", times(b.size(128, 8), 1, 2, 4, 8), &width},
	} {
		before := *dimension.size
		g := Growth{What: dimension.what}
		for _, size := range dimension.sizes {
			*dimension.size = size
			s := source{spec: fmt.Sprintf("mlp:%d,%d", width, width), set: set, part: "train"}
			n, err := b.trained(s, b.size(5000, 250), 1)
			if err != nil {
				return err
			}
			w, err := b.curve(curveWork{
				network: n, examples: examples, sites: []string{"fc1", "fc2"}, orders: orders, points: points,
				batches: b.few(batchesMLP),
			})
			if err != nil {
				return err
			}
			g.Rows = append(g.Rows, GrowthRow{Size: size, Ours: w.Ours, Theirs: w.Theirs, Answers: w.Answers})
		}
		*dimension.size = before
		g.Base = fmt.Sprintf("mlp:%d,%d, %s images, %d orderings, %d points, but for what grows",
			width, width, thousands(examples), orders, points)
		report.addGrowth(g)
	}
	return nil
}
