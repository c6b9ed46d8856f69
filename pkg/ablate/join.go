package ablate

import (
	"fmt"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

// Join adds to a table with the columns site and unit, one row per unit, what ablating the unit alone does: delta_loss (in
// nats), delta_accuracy, worst_class, worst_class_drop (fractions; see Impact), and with a bound half_width, of
// delta_accuracy. worst_class is empty where the unedited network is never right. t stays as it is; a unit without an impact
// is an error.
func (r Impacts) Join(t result.Table) (result.Table, error) {
	column := func(name string) int {
		return slices.IndexFunc(t.Columns, func(c result.Axis) bool { return c.Name == name })
	}
	site, index := column("site"), column("unit")
	if site < 0 || index < 0 {
		return result.Table{}, fmt.Errorf("impacts cannot be joined to table %q: it needs the columns site and unit", t.Title)
	}
	type place struct{ site, unit any }
	byUnit := map[place]Impact{}
	for _, i := range r.Impacts {
		byUnit[place{i.Site, i.Unit}] = i
	}
	bounded := r.Bound != (sample.Bound{})
	joined := result.Table{Title: t.Title, Columns: slices.Clone(t.Columns)}
	for _, name := range []string{"delta_loss", "delta_accuracy", "worst_class", "worst_class_drop"} {
		joined.Columns = append(joined.Columns, result.Axis{Name: name})
	}
	if bounded {
		joined.Columns = append(joined.Columns, result.Axis{Name: "half_width"})
	}
	for k, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return result.Table{}, fmt.Errorf("table %q, row %d: %d cells for %d columns", t.Title, k, len(row), len(t.Columns))
		}
		i, ok := byUnit[place{row[site], row[index]}]
		if !ok {
			return result.Table{}, fmt.Errorf("there is no impact of unit %v of site %v, which table %q has", row[index], row[site], t.Title)
		}
		var worst any
		if i.WorstClass >= 0 {
			worst = i.WorstClass
		}
		row = append(slices.Clone(row), i.DeltaLoss, i.DeltaAccuracy, worst, i.WorstClassDrop)
		if bounded {
			row = append(row, i.HalfWidth)
		}
		joined.Rows = append(joined.Rows, row)
	}
	return joined, nil
}
