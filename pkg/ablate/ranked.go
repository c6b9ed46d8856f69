package ablate

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Ranked orders units by a column of a table with a row per unit, as selectivity.Measure and Impacts.Join make them (Amjad et
// al. 2022): the smallest value first, or with descending the largest. Units without a value, such as the selectivity of dead
// ones, come last either way; of equal units the earlier row comes first. Rank on other examples than those on which the curve
// is reported: what a unit does on the same ones by chance would count twice.
//
// The table needs the columns site and unit, all units of each site in their order. A column that is not there or holds text
// is an error.
func Ranked(t result.Table, column string, descending bool) (*Orderings, error) {
	values, err := t.Numbers(column)
	if err != nil {
		return nil, fmt.Errorf("ranking of units: %w", err)
	}
	index, err := t.Numbers("unit")
	if err != nil {
		return nil, fmt.Errorf("ranking of units: %w", err)
	}
	site := slices.IndexFunc(t.Columns, func(c result.Axis) bool { return c.Name == "site" })
	if site < 0 {
		return nil, fmt.Errorf("ranking of units: table %q has no column site", t.Title)
	}
	o := &Orderings{}
	order := make([]int, len(values))
	next := 0
	for i, row := range t.Rows {
		order[i] = i
		name, ok := row[site].(string)
		if last := len(o.Sites) - 1; last < 0 || o.Sites[last] != name {
			if slices.Contains(o.Sites, name) {
				ok = false
			}
			o.Sites, next = append(o.Sites, name), 0
		}
		if !ok || index[i] != float64(next) {
			return nil, fmt.Errorf("ranking of units: row %d of table %q is unit %v of site %v; it must have all units of each site in their order",
				i, t.Title, row[slices.IndexFunc(t.Columns, func(c result.Axis) bool { return c.Name == "unit" })], row[site])
		}
		next++
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := values[a], values[b]
		switch {
		case math.IsNaN(x) || math.IsNaN(y):
			return cmp.Compare(rank(x), rank(y))
		case descending:
			return cmp.Compare(y, x)
		}
		return cmp.Compare(x, y)
	})
	o.Orders = [][]int{order}
	return o, nil
}

// rank is 1 for NaN, which comes after 0, all numbers.
func rank(x float64) int {
	if math.IsNaN(x) {
		return 1
	}
	return 0
}
