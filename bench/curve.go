package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// curveWork is a cumulative ablation, and what part of it the peer is measured on.
type curveWork struct {
	network
	examples       int
	sites          []string
	orders, points int
	part           part
	batches        []int // that the peer tries out
}

// part is what a peer runs of work that would take it too long. Zero: all.
type part struct {
	orders   int // the first ones
	every    int // every so many-th unit of all sites together, so that all layers are there in proportion
	examples int // the first ones
}

// of is "3 of 10 orderings", or nothing if it is all of them.
func of(some, all int, what string) string {
	if some == all {
		return ""
	}
	return fmt.Sprintf("%s of %s %s", thousands(some), thousands(all), what)
}

// join is the texts that are there.
func join(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), ", ")
}

// curve measures a cumulative ablation against PyTorch with hooks.
func (b *bench) curve(c curveWork) (Workload, error) {
	w := Workload{}
	spec := ablate.Spec{Sites: c.sites, Orders: c.orders, Points: c.points, Seed: 1}

	started := time.Now()
	p, err := b.probe(c.network, c.examples)
	if err != nil {
		return w, err
	}
	defer p.Close()
	small := spec
	small.Orders = min(2, c.orders) // the first ordering has two points more than the others
	if _, err := ablate.Cumulative(b.ctx, p, small, ablate.Options{}); err != nil {
		return w, err
	}
	w.Ours.First = time.Since(started).Seconds()

	sites, err := unit.Select(p.Sites(), c.sites)
	if err != nil {
		return w, err
	}
	units := 0
	for _, s := range sites {
		units += s.Units()
	}
	grid, orders := ablate.Grid(units, c.points), ablate.Random(units, c.orders, spec.Seed)
	whole := curveSets(sites, grid, orders)
	partOrders, partExamples := cmp.Or(c.part.orders, c.orders), cmp.Or(c.part.examples, c.examples)
	some := curveSets(sites, grid, orders[:partOrders])
	w.Passes = float64(len(whole))
	w.Theirs.Scale = float64(len(whole)) / float64(len(some)) * float64(c.examples) / float64(partExamples)
	w.Theirs.Part = join(of(partOrders, c.orders, "orderings"), of(partExamples, c.examples, "images"))
	w.Ours.Scale = 1

	settings, first, err := b.prepareHooks(c.network, some[:1], partExamples, c.batches)
	if err != nil {
		return w, err
	}
	w.Theirs.First, w.Peer = first, "PyTorch hooks, "+settings.String()
	var ours ablate.Result
	var theirs []int
	taken, err := interleave(b.opt.repeats, side{"ours", func() (float64, error) {
		started := time.Now()
		var err error
		ours, err = ablate.Cumulative(b.ctx, p, spec, ablate.Options{})
		return time.Since(started).Seconds(), err
	}}, b.hooksSide(c.network, partExamples, settings, some, &theirs))
	if err != nil {
		return w, err
	}
	w.Ours.Seconds, w.Theirs.Seconds, w.Plan = taken[0], taken[1], ours.Receipt.Plan

	counts := curveCounts(ours)[:len(some)]
	if partExamples != c.examples {
		if counts, err = b.correct(c.network, partExamples, some); err != nil {
			return w, err
		}
	}
	w.Answers, err = compareCounts(counts, theirs, b.near(c.network, partExamples, settings, some))
	return w, err
}

// curveSets are the sets of edits behind a cumulative ablation: what is the same for all orderings once, nothing and
// everything, then ordering by ordering the points in between.
func curveSets(sites []unit.Site, grid []int, orders [][]int) [][]unit.Edit {
	var home, local []int
	all := []unit.Edit{}
	for i, s := range sites {
		all = append(all, unit.Ablate(s.Name, unit.Zero))
		for u := range s.Units() {
			home, local = append(home, i), append(local, u)
		}
	}
	sets := [][]unit.Edit{{}, all}
	for _, order := range orders {
		for _, k := range grid[1 : len(grid)-1] {
			units := make([][]int, len(sites))
			for _, u := range order[:k] {
				units[home[u]] = append(units[home[u]], local[u])
			}
			set := []unit.Edit{}
			for i, s := range sites {
				if len(units[i]) > 0 {
					set = append(set, unit.Ablate(s.Name, unit.Zero, units[i]...))
				}
			}
			sets = append(sets, set)
		}
	}
	return sets
}

// curveCounts are the right predictions of a cumulative ablation, in the order of curveSets.
func curveCounts(r ablate.Result) []int {
	counts := []int{r.Baseline.Correct, r.AllAblated.Correct}
	for _, row := range r.Correct {
		counts = append(counts, row[1:len(row)-1]...)
	}
	return counts
}

// prepareHooks lets the hooks peer load a network and its data, measures that and a first call, and tunes it.
func (b *bench) prepareHooks(n network, sets [][]unit.Edit, examples int, batches []int) (Settings, float64, error) {
	started := time.Now()
	r := n.request("ablate", min(examples, batches[0]))
	r.Sets, r.Settings = sets, Settings{Batch: batches[0]}
	if _, err := b.ask(hooks, r); err != nil {
		return Settings{}, 0, err
	}
	first := time.Since(started).Seconds()
	settings, err := b.tune(n, examples, batches)
	return settings, first, err
}

// hooksSide is the hooks peer, scoring sets of edits on the first examples; the counts go to *answer.
func (b *bench) hooksSide(n network, examples int, settings Settings, sets [][]unit.Edit, answer *[]int) side {
	return side{"PyTorch hooks", func() (float64, error) {
		r := n.request("ablate", examples)
		r.Sets, r.Settings = sets, settings
		a, err := b.ask(hooks, r)
		*answer = a.Correct
		return a.Seconds, err
	}}
}

// batchesMLP and batchesConv are what the peers try out.
var (
	batchesMLP  = []int{500, 1000, 2500, 5000, 10000, 30000}
	batchesConv = []int{50, 100, 250, 500, 1000}
)

// few is what is tried out: in a self-test, one.
func (b *bench) few(batches []int) []int { return batches[:b.size(len(batches), 1)] }

// addCurve measures a cumulative ablation and reports it.
func (b *bench) addCurve(report *Report, c curveWork, id, sites string, target float64) error {
	w, err := b.curve(c)
	if err != nil {
		return err
	}
	w.ID, w.Target = id, target
	w.What = fmt.Sprintf("%s, cumulative ablation of %s together, %d orderings × %d points, %s images",
		c.net.Name, sites, c.orders, c.points, thousands(c.examples))
	report.add(w)
	return nil
}
