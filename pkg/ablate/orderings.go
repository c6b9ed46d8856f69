package ablate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
)

// orderStream separates the draws of Random from other uses of the same seed.
const orderStream = 0x6f72646572

var errNoSites = errors.New("orderings name no sites; the indices are into the units of sites, pooled in their order")

// Orderings are given orders of ablation.
type Orderings struct {
	Sites  []string `json:"sites"`  // whose units are pooled, in this order
	Grid   []int    `json:"grid"`   // numbers of units ablated, ascending; none: Spec.Points evenly spaced ones
	Orders [][]int  `json:"orders"` // indices into the pooled units, counting from 0; what is ablated first comes first
}

// ReadOrderings reads orderings from JSON, for example
//
//	{"sites": ["fc1", "fc2"], "grid": [0, 54, 1024], "orders": [[84, 752, ...], ...]}
//
// The grid may be left out. Unknown fields, nulls and anything after the object are errors, as are a grid that does not
// ascend, an order that names a unit twice or is shorter than the grid's last value, and negative numbers. That units
// exist is checked by Cumulative, which knows the network.
func ReadOrderings(r io.Reader) (*Orderings, error) {
	var raw struct {
		Sites  []*string `json:"sites"`
		Grid   []*int    `json:"grid"`
		Orders [][]*int  `json:"orders"`
	}
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil {
		return nil, fmt.Errorf("orderings: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("orderings: there is more after the JSON object")
	}
	var o Orderings
	var err error
	if o.Sites, err = values("sites", raw.Sites); err != nil {
		return nil, err
	}
	if o.Grid, err = values("grid", raw.Grid); err != nil {
		return nil, err
	}
	for i, order := range raw.Orders {
		checked, err := values(fmt.Sprintf("order %d", i), order)
		if err != nil {
			return nil, err
		}
		o.Orders = append(o.Orders, checked)
	}
	if len(o.Sites) == 0 {
		return nil, errNoSites
	}
	if err := o.check(-1); err != nil {
		return nil, err
	}
	return &o, nil
}

// values refuses nulls, which encoding/json would read as zeros.
func values[T any](what string, pointers []*T) ([]T, error) {
	var list []T
	for i, p := range pointers {
		if p == nil {
			return nil, fmt.Errorf("orderings: %s holds null at position %d", what, i)
		}
		list = append(list, *p)
	}
	return list, nil
}

// check reports what is wrong with grid and orders for so many pooled units; −1 means they are not known yet.
func (o Orderings) check(units int) error {
	if len(o.Orders) == 0 {
		return errors.New("orderings hold no orders")
	}
	largest := 0
	for i, k := range o.Grid {
		if k < 0 || (units >= 0 && k > units) {
			return fmt.Errorf("grid value %d is outside 0..%d, the number of pooled units of %q", k, units, o.Sites)
		}
		if i > 0 && k <= largest {
			return fmt.Errorf("grid must ascend, but %d follows %d", k, largest)
		}
		largest = k
	}
	for i, order := range o.Orders {
		if len(order) < largest {
			return fmt.Errorf("order %d has %d units, too few for the grid, which goes to %d", i, len(order), largest)
		}
		seen := make(map[int]bool, len(order))
		for j, u := range order {
			if u < 0 || (units >= 0 && u >= units) {
				if units < 0 {
					return fmt.Errorf("order %d, position %d: unit %d is negative; units count from 0", i, j, u)
				}
				return fmt.Errorf("order %d, position %d: unit %d is outside 0..%d, the pooled units of %q",
					i, j, u, units-1, o.Sites)
			}
			if seen[u] {
				return fmt.Errorf("order %d names unit %d twice, the second time at position %d", i, u, j)
			}
			seen[u] = true
		}
	}
	return nil
}

// Random returns uniformly random permutations of 0..units−1. Each has a random stream of its own, so the first three of
// ten are the same as three, and every network of the same size meets the same ones. Equal on every platform.
func Random(units, orders int, seed uint64) [][]int {
	all := make([][]int, orders)
	for i := range all {
		all[i] = rand.New(rand.NewPCG(seed, orderStream+uint64(i))).Perm(units)
	}
	return all
}

// Grid returns evenly spaced numbers of units, rounded (halves up), from 0 to units, both included:
//
//	round(i · units / (points − 1)),   i = 0 … points − 1.
//
// With more points than there are numbers, each number comes once; with fewer than two points, the two ends are returned,
// and without units 0 alone.
func Grid(units, points int) []int {
	units = max(units, 0)
	last := max(points, 2) - 1
	last = min(last, units)
	grid := make([]int, last+1)
	for i := 1; i <= last; i++ {
		grid[i] = (2*i*units + last) / (2 * last)
	}
	return slices.Clip(grid)
}
