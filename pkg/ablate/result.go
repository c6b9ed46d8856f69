package ablate

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Result is a cumulative ablation: the counts, and what follows from them. It goes to JSON and back exactly.
//
// With a bound, Correct counts the examples that the ordering was evaluated on (Bounded.Used), and the accuracies, Mean,
// SD and the AUCs are estimates for all Examples. How closely each accuracy is known is in Bounded.HalfWidth; SD holds
// what is left of the error as well as the spread over orderings. Receipt.Examples is what the exact scores saw.
type Result struct {
	Sites      []string    `json:"sites"` // whose units are pooled, in this order
	Units      int         `json:"units"` // pooled
	Examples   int         `json:"examples"`
	To         unit.Target `json:"to"`
	Orders     int         `json:"orders"`          // orderings asked for; there are fewer rows in a partial result
	Seed       uint64      `json:"seed"`            // of the orderings, unless they were given
	Given      bool        `json:"given,omitempty"` // the orderings were given, not drawn
	OrdersHash string      `json:"orders_sha256"`   // equal: the same orderings, so the curves are paired
	// Basis, if not empty, tells that directions of random bases were taken out, and not units, which all counts of units are
	// then counts of; BasisSeed is that of the bases.
	Basis     string `json:"basis,omitempty"`
	BasisSeed uint64 `json:"basis_seed,omitempty"`

	Grid     []int     `json:"grid"`     // numbers k of units ablated
	Fraction []float64 `json:"fraction"` // k / Units
	Correct  [][]int   `json:"correct"`  // [orderings, grid] examples classified as labelled
	Mean     []float64 `json:"mean"`     // [grid] accuracy, mean over orderings; null without orderings
	SD       []float64 `json:"sd"`       // [grid] its sample s.d. over orderings; null with fewer than two

	AUC         float64   `json:"auc"`           // of the mean; see func AUC. 0 without orderings
	AUCs        []float64 `json:"auc_per_order"` // of each ordering
	AUCRelative float64   `json:"auc_relative"`  // AUC / accuracy of the unedited network; 0 if that is 0

	Bounded *sample.Rows `json:"bounded,omitempty"` // of an analysis with a bound: one row per ordering
	// AUCHalfWidth is the area under Bounded.MeanHalfWidth: AUC is within it if the accuracies are within their half-widths.
	// It bounds AUCs less closely, by the area under the row of HalfWidth. See sample.Rows for its confidence.
	AUCHalfWidth float64 `json:"auc_half_width,omitempty"`

	Baseline   unit.Score     `json:"baseline"`              // of the unedited network
	AllAblated *unit.Score    `json:"all_ablated,omitempty"` // with every unit clamped, if the grid goes that far
	Seconds    result.Seconds `json:"seconds"`
	Receipt    unit.Receipt   `json:"receipt"`
}

// Complete tells whether all orderings are done.
func (r Result) Complete() bool { return r.Orders > 0 && len(r.Correct) == r.Orders }

// summarise computes what follows from the counts.
func (r *Result) summarise() (err error) {
	if r.Bounded != nil {
		err = r.estimate()
	} else {
		r.Mean, r.SD, err = stat.MeanSDCounts(r.Correct, r.Examples)
	}
	if err != nil {
		return err
	}
	r.AUCs = make([]float64, len(r.Correct))
	for i := range r.Correct {
		r.AUCs[i] = AUC(r.Fraction, r.accuracies(i))
	}
	r.AUC, r.AUCRelative = AUC(r.Fraction, r.Mean), 0
	if r.Baseline.Correct > 0 {
		r.AUCRelative = r.AUC / r.Baseline.Accuracy()
	}
	return nil
}

// estimate is the part of summarise that a bounded analysis does in its own way.
func (r *Result) estimate() (err error) {
	exact := map[int]unit.Score{}
	for j, k := range r.Grid {
		switch {
		case k == 0:
			exact[j] = r.Baseline
		case k == r.Units && r.AllAblated != nil:
			exact[j] = *r.AllAblated
		}
	}
	if r.Mean, r.SD, err = r.Bounded.Estimate(len(r.Grid), r.Baseline, exact); err != nil {
		return err
	}
	r.Correct, r.AUCHalfWidth = r.Bounded.Correct(), AUC(r.Fraction, r.Bounded.MeanHalfWidth)
	return nil
}

// accuracies are those of an ordering [grid].
func (r Result) accuracies(order int) []float64 {
	if r.Bounded != nil {
		return r.Bounded.Accuracy[order]
	}
	accuracy := make([]float64, len(r.Grid))
	for j, c := range r.Correct[order] {
		accuracy[j] = float64(c) / float64(r.Examples)
	}
	return accuracy
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

// what is ablated.
func (r Result) what() string {
	if r.Basis != "" {
		return "directions"
	}
	return "units"
}

// Curve is the mean accuracy against the number of units ablated, with a band of one s.d. over orderings to both sides
// (none with fewer than two orderings). The band may leave [0, 1]; nothing is clipped. A result without orderings gives
// an empty curve. With a bound, the text of the band says how closely every accuracy is known; a single ordering has the
// intervals as its band.
func (r Result) Curve(name string) result.Curve {
	c := result.Curve{
		Name:  name,
		XAxis: result.Axis{Name: r.what() + " ablated"},
		YAxis: result.Axis{Name: "accuracy", Unit: "fraction"},
		N:     len(r.Correct),
		Y:     append([]float64(nil), r.Mean...),
	}
	for i := range r.Mean {
		c.X = append(c.X, float64(r.Grid[i]))
	}
	r.Bounded.Band(&c, r.SD, "orderings", r.Examples)
	return c
}

// WriteCSV writes one line per ordering and point, with the columns order, k, fraction, correct, examples, accuracy, and
// with a bound half_width, of the accuracy on all examples. Orderings count from 0.
func (r Result) WriteCSV(w io.Writer) error {
	t := result.Table{Columns: []result.Axis{
		{Name: "order"}, {Name: "k"}, {Name: "fraction"}, {Name: "correct"}, {Name: "examples"}, {Name: "accuracy"},
	}}
	if r.Bounded != nil {
		t.Columns = append(t.Columns, result.Axis{Name: "half_width"})
	}
	for i, row := range r.Correct {
		accuracy := r.accuracies(i)
		for j, c := range row {
			cells := []any{i, r.Grid[j], r.Fraction[j], c, r.Examples, accuracy[j]}
			if b := r.Bounded; b != nil {
				cells = []any{i, r.Grid[j], r.Fraction[j], c, b.Used[i], accuracy[j], b.HalfWidth[i][j]}
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	return t.WriteCSV(w)
}

// Pooled is the curve of several networks: the mean accuracy over networks and orderings, with a band of one s.d. over
// all of these. The results must have the same grid, all orderings and no bound, as a mean over unlike things would mean
// nothing.
func Pooled(name string, results []Result) (result.Curve, error) {
	var rows [][]float64
	for i, r := range results {
		switch {
		case !r.Complete():
			return result.Curve{}, fmt.Errorf("result %d of %d has %d of %d orderings; a pooled curve needs all", i+1, len(results),
				len(r.Correct), r.Orders)
		case r.Bounded != nil:
			return result.Curve{}, fmt.Errorf("result %d of %d is known within a bound only; a pooled curve needs exact ones", i+1, len(results))
		case r.Basis != results[0].Basis || r.BasisSeed != results[0].BasisSeed:
			return result.Curve{}, fmt.Errorf("result %d takes out directions of another basis (%q, seed %d) than the first one (%q, seed %d)",
				i+1, r.Basis, r.BasisSeed, results[0].Basis, results[0].BasisSeed)
		case !slices.Equal(r.Grid, results[0].Grid) || r.Units != results[0].Units || r.Orders != results[0].Orders:
			return result.Curve{}, fmt.Errorf("result %d has %d orderings of %d units at %v, the first one %d of %d at %v; "+
				"a pooled curve needs the same", i+1, r.Orders, r.Units, r.Grid, results[0].Orders, results[0].Units, results[0].Grid)
		}
		for o := range r.Correct {
			rows = append(rows, r.accuracies(o))
		}
	}
	if len(rows) == 0 {
		return result.Curve{}, errors.New("a pooled curve needs at least one result")
	}
	c := results[0].Curve(name)
	c.Y, c.Lo, c.Hi, c.N = nil, nil, nil, len(rows)
	c.Band = fmt.Sprintf("± s.d. over %d networks × %d orderings", len(results), results[0].Orders)
	for j := range results[0].Grid {
		column := make([]float64, len(rows))
		for i, row := range rows {
			column[i] = row[j]
		}
		mean, sd := stat.MeanSD(column)
		c.Y, c.Lo, c.Hi = append(c.Y, mean), append(c.Lo, mean-sd), append(c.Hi, mean+sd)
	}
	return c, nil
}
