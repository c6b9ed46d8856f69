package selectivity

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Tuning is what excites one unit: its class tuning curve, and the examples on which it is most active.
type Tuning struct {
	Site     string          `json:"site"`
	Unit     int             `json:"unit"`
	Examples int             `json:"examples"`
	Classes  []ClassActivity `json:"classes"`
	Top      []Seen          `json:"top"` // the most active first; of equal ones the earlier example
}

// ClassActivity is the activity of a unit on the examples of one class.
type ClassActivity struct {
	N    int     `json:"n"` // examples; of none, Mean and SD are 0
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"` // divided by n
}

// Seen is the activity of a unit on one example.
type Seen struct {
	Example  int     `json:"example"` // its number in the data
	Label    int     `json:"label"`
	Activity float64 `json:"activity"`
}

// Tune finds what excites one unit of a site, in one pass over the examples, and keeps the top most active ones (all if there
// are fewer). The activity of a feature map is its mean over positions. A dead unit has top examples too, with activity 0.
//
// An unknown site or unit, top < 0, and an activity that is not finite are errors.
func Tune(ctx context.Context, s Source, site string, index, top int) (Tuning, error) {
	fail := func(err error) (Tuning, error) {
		return Tuning{}, fmt.Errorf("tuning of unit %d of site %q: %w", index, site, err)
	}
	of, err := unit.Find(s.Sites(), site)
	if err != nil {
		return fail(err)
	}
	if index < 0 || index >= of.Units() {
		return fail(fmt.Errorf("the site has the units 0 to %d", of.Units()-1))
	}
	if top < 0 {
		return fail(fmt.Errorf("top is %d, it must be at least 0", top))
	}
	labels := s.Labels()
	t := Tuning{Site: site, Unit: index, Examples: len(labels), Classes: make([]ClassActivity, s.Classes())}
	activity := make([]float64, len(labels))
	seen := 0
	err = s.Activations(ctx, []string{site}, func(first int, values [][]float32) error {
		n := len(values[0]) / of.Units()
		if first < 0 || first+n > len(labels) {
			return fmt.Errorf("the source gave activations of examples %d to %d, it has %d labels", first, first+n-1, len(labels))
		}
		for e := range n {
			x := float64(values[0][e*of.Units()+index])
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("its activity on example %d is %v; it must be finite", first+e, x)
			}
			activity[first+e] = x
		}
		seen += n
		return nil
	})
	if err == nil && seen != len(labels) {
		err = fmt.Errorf("the source gave activations of %d examples, it has %d labels", seen, len(labels))
	}
	if err != nil {
		return fail(err)
	}
	for i, x := range activity {
		if labels[i] < 0 || int(labels[i]) >= len(t.Classes) {
			return fail(fmt.Errorf("label %d of example %d is outside 0..%d", labels[i], i, len(t.Classes)-1))
		}
		c := &t.Classes[labels[i]]
		c.N++
		c.Mean += x
	}
	for k := range t.Classes {
		t.Classes[k].Mean /= float64(max(1, t.Classes[k].N))
	}
	for i, x := range activity {
		c := &t.Classes[labels[i]]
		c.SD += (x - c.Mean) * (x - c.Mean)
		t.Top = append(t.Top, Seen{Example: i, Label: int(labels[i]), Activity: x})
	}
	for k := range t.Classes {
		t.Classes[k].SD = math.Sqrt(t.Classes[k].SD / float64(max(1, t.Classes[k].N)))
	}
	slices.SortStableFunc(t.Top, func(a, b Seen) int { return cmp.Compare(b.Activity, a.Activity) })
	t.Top = slices.Clone(t.Top[:min(top, len(t.Top))])
	return t, nil
}
