package ablate

import (
	"fmt"
	"io"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Result is a cumulative ablation: the counts, and what follows from them. It goes to JSON and back exactly.
type Result struct {
	Sites      []string    `json:"sites"` // whose units are pooled, in this order
	Units      int         `json:"units"` // pooled
	Examples   int         `json:"examples"`
	To         unit.Target `json:"to"`
	Orders     int         `json:"orders"`          // orderings asked for; there are fewer rows in a partial result
	Seed       uint64      `json:"seed"`            // of the orderings, unless they were given
	Given      bool        `json:"given,omitempty"` // the orderings were given, not drawn
	OrdersHash string      `json:"orders_sha256"`   // equal: the same orderings, so the curves are paired

	Grid     []int     `json:"grid"`     // numbers k of units ablated
	Fraction []float64 `json:"fraction"` // k / Units
	Correct  [][]int   `json:"correct"`  // [orderings, grid] examples classified as labelled
	Mean     []float64 `json:"mean"`     // [grid] accuracy, mean over orderings; null without orderings
	SD       []float64 `json:"sd"`       // [grid] its sample s.d. over orderings; null with fewer than two

	AUC         float64   `json:"auc"`           // of the mean; see func AUC. 0 without orderings
	AUCs        []float64 `json:"auc_per_order"` // of each ordering
	AUCRelative float64   `json:"auc_relative"`  // AUC / accuracy of the unedited network; 0 if that is 0

	Baseline   unit.Score     `json:"baseline"`              // of the unedited network
	AllAblated *unit.Score    `json:"all_ablated,omitempty"` // with every unit clamped, if the grid goes that far
	Seconds    result.Seconds `json:"seconds"`
	Receipt    unit.Receipt   `json:"receipt"`
}

// Complete tells whether all orderings are done.
func (r Result) Complete() bool { return r.Orders > 0 && len(r.Correct) == r.Orders }

// summarise computes what follows from the counts.
func (r *Result) summarise() (err error) {
	if r.Mean, r.SD, err = stat.MeanSDCounts(r.Correct, r.Examples); err != nil {
		return err
	}
	r.AUCs = make([]float64, len(r.Correct))
	for i := range r.Correct {
		accuracy, _, err := stat.MeanSDCounts(r.Correct[i:i+1], r.Examples)
		if err != nil {
			return err
		}
		r.AUCs[i] = AUC(r.Fraction, accuracy)
	}
	r.AUC, r.AUCRelative = AUC(r.Fraction, r.Mean), 0
	if r.Baseline.Correct > 0 {
		r.AUCRelative = r.AUC / r.Baseline.Accuracy()
	}
	return nil
}

// AUC is the normalised area under a curve of accuracy against the fraction of units ablated: the trapezoid rule divided
// by the range of fractions, that is, the mean height of the curve. Between 0 and 1; a constant curve gives the constant
// (up to rounding), so a curve at chance among C balanced classes gives 1/C. One point gives its accuracy. NaN if there
// are no points, the lengths differ, the fractions do not ascend strictly or a number is not finite.
func AUC(fraction, accuracy []float64) float64 {
	if len(fraction) == 1 && len(accuracy) == 1 {
		return accuracy[0]
	}
	area, err := stat.Trapezoid(fraction, accuracy)
	if err != nil {
		return math.NaN()
	}
	return area / (fraction[len(fraction)-1] - fraction[0])
}

// Curve is the mean accuracy against the number of units ablated, with a band of one s.d. over orderings to both sides
// (none with fewer than two orderings). The band may leave [0, 1]; nothing is clipped. A result without orderings gives
// an empty curve.
func (r Result) Curve(name string) result.Curve {
	c := result.Curve{
		Name:  name,
		XAxis: result.Axis{Name: "units ablated"},
		YAxis: result.Axis{Name: "accuracy", Unit: "fraction"},
		N:     len(r.Correct),
		Y:     append([]float64(nil), r.Mean...),
	}
	for i := range r.Mean {
		c.X = append(c.X, float64(r.Grid[i]))
	}
	for i, sd := range r.SD {
		c.Lo, c.Hi = append(c.Lo, r.Mean[i]-sd), append(c.Hi, r.Mean[i]+sd)
		c.Band = fmt.Sprintf("± s.d. over %d orderings", c.N)
	}
	return c
}

// WriteCSV writes one line per ordering and point, with the columns order, k, fraction, correct, examples, accuracy.
// Orderings count from 0.
func (r Result) WriteCSV(w io.Writer) error {
	t := result.Table{Columns: []result.Axis{
		{Name: "order"}, {Name: "k"}, {Name: "fraction"}, {Name: "correct"}, {Name: "examples"}, {Name: "accuracy"},
	}}
	for i, row := range r.Correct {
		for j, c := range row {
			t.Rows = append(t.Rows, []any{i, r.Grid[j], r.Fraction[j], c, r.Examples, float64(c) / float64(r.Examples)})
		}
	}
	return t.WriteCSV(w)
}
