package paper

import (
	"fmt"
	"math"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Zhou, Sun, Bau, Torralba 2018, "Revisiting the importance of individual units in CNNs via ablation" (arXiv 1806.02891): what
// the ablation of one unit does to the accuracy overall, and to the class that it hits hardest. Protocol: sections 2.6, 2.7 and
// 5; section 6, items 9 and 11.

func figureZhou() design {
	d := unitFigure(Info{
		ID:    "zhou",
		Title: "What ablating one unit costs, overall and in the class hit hardest",
		After: "Zhou et al. 2018",
		Claim: "Ablating a unit hardly moves overall accuracy but damages specific classes, which its selectivity predicts",
		Data:  mlpData,
	}, smallMLPs(), perClassDamage)
	d.draw = drawZhou
	return d
}

// Columns of the table of figure zhou.
const (
	overallColumn     = "accuracy lost, mean"
	worstColumn       = "lost in the worst class, mean"
	rhoOverallColumn  = "ρ of selectivity and accuracy lost"
	rhoWorstColumn    = "ρ of selectivity and loss of the worst class"
	normOverallColumn = "ρ of L1 norm and accuracy lost"
	normWorstColumn   = "ρ of L1 norm and loss of the worst class"
)

func perClassDamage(r *Result, units population) ([]result.Claim, error) {
	r.Table = result.Table{Title: "what ablating one unit costs", Columns: []result.Axis{
		{Name: "layer"}, {Name: "units"}, {Name: overallColumn, Unit: "fraction"}, {Name: "accuracy lost, largest", Unit: "fraction"},
		{Name: worstColumn, Unit: "fraction"}, {Name: "lost in the worst class, largest", Unit: "fraction"}, {Name: rhoOverallColumn},
		{Name: rhoWorstColumn}, {Name: normOverallColumn}, {Name: normWorstColumn},
	}}
	var related []stat.Relations // in the order of the last four columns
	for _, x := range []measure{classSelectivity, filterNorm} {
		for _, y := range []measure{accuracyLost, worstClassLost} {
			pairs, err := units.pairs(x, y)
			if err != nil {
				return nil, err
			}
			found, err := stat.Relate(pairs, relateOptions)
			if err != nil {
				return nil, err
			}
			related = append(related, found)
		}
	}
	overall, worst := map[string][]float64{}, map[string][]float64{}
	for _, t := range units.tables {
		a, err := accuracyLost.values(t)
		if err != nil {
			return nil, err
		}
		b, err := worstClassLost.values(t)
		if err != nil {
			return nil, err
		}
		for i, row := range t.Rows {
			for _, layer := range []string{row[0].(string), "all"} {
				overall[layer], worst[layer] = append(overall[layer], a[i]), append(worst[layer], b[i])
			}
		}
	}
	for k, layer := range append(layers(units.tables[0]), "all") {
		a, b := overall[layer], worst[layer]
		row := []any{layer, len(a), nil, largest(a), nil, largest(b), nil, nil, nil, nil}
		row[2], _ = stat.MeanSD(a)
		row[4], _ = stat.MeanSD(b)
		for i, found := range related {
			one := found.Pooled
			if k < len(found.Layers) {
				one = found.Layers[k]
			}
			if one.Spearman != nil {
				row[6+i] = one.Spearman.Rho
			}
		}
		r.Table.Rows = append(r.Table.Rows, row)
	}
	r.Relations = &related[1]
	var err error
	if r.Units, err = units.unitTable(classSelectivity, accuracyLost, worstClassLost); err != nil {
		return nil, err
	}
	r.Caption = []string{capital(fmt.Sprintf("%s; each hidden unit alone is ablated to zero, %s test images; %s.", units.describe(), thousands(units.ablated),
		leftOut(related[1].Pooled.LeftOut))),
		"Accuracy lost is of all images, the loss of the worst class a share of its right answers."}
	return []result.Claim{damagesOneClass(overall["all"], worst["all"]), predicts(related[0], related[1]),
		moreSelectiveMoreDamage(related[1])}, nil
}

func largest(x []float64) float64 {
	most := math.Inf(-1)
	for _, v := range x {
		most = max(most, v)
	}
	return most
}

// damagesOneClass tests the first finding. How much "hardly" and "badly" are is ours, as the spread over units is what their paper
// shows: a class of ten that alone loses something loses ten times as much as the network, one of ten that lose alike as much.
func damagesOneClass(overall, worst []float64) result.Claim {
	const hardly, times = 0.01, 3.0
	a, _ := stat.MeanSD(overall)
	b, _ := stat.MeanSD(worst)
	return result.Claim{
		Name: "Ablating a unit hardly moves overall accuracy, but damages one class",
		Test: fmt.Sprintf("mean over units: accuracy lost ≤ %g, and the worst class loses at least %g times as much", hardly, times),
		Found: fmt.Sprintf("mean accuracy lost %.4f (largest %.4f), mean loss of the worst class %.4f (largest %.4f), %.1f times as much; n = %s units",
			a, largest(overall), b, largest(worst), b/a, thousands(len(overall))),
		Passed: a <= hardly && b >= times*max(a, 0) && b > 0,
	}
}

// predicts tests the second finding, within layers: selectivity says more about the loss of the worst class than about that of
// accuracy.
func predicts(overall, worst stat.Relations) result.Claim {
	c := result.Claim{
		Name:   "Class selectivity predicts the damage to the worst class better than that to overall accuracy",
		Test:   "in each layer, Spearman's ρ of selectivity and the loss of the worst class is further from 0 than that of selectivity and accuracy lost",
		Passed: true,
	}
	var found []string
	for k, one := range worst.Layers {
		other := overall.Layers[k]
		if one.Spearman == nil || other.Spearman == nil {
			c.Passed = false
			found = append(found, one.Layer+" no ρ")
			continue
		}
		c.Passed = c.Passed && math.Abs(one.Spearman.Rho) > math.Abs(other.Spearman.Rho)
		found = append(found, fmt.Sprintf("%s %.3f, with accuracy lost %.3f", one.Layer, one.Spearman.Rho, other.Spearman.Rho))
	}
	found = append(found, "pooled "+rho(worst.Pooled)+", with accuracy lost "+rho(overall.Pooled))
	c.Found = strings.Join(found, "; ")
	return c
}

// moreSelectiveMoreDamage tests its sign.
func moreSelectiveMoreDamage(worst stat.Relations) result.Claim {
	c := result.Claim{
		Name:   "The more selective a unit, the more its ablation damages one class",
		Test:   "in each layer, Spearman's ρ of selectivity and the loss of the worst class > 0",
		Passed: true,
	}
	var found []string
	for _, one := range worst.Layers {
		c.Passed = c.Passed && one.Spearman != nil && one.Spearman.Rho > 0
		found = append(found, one.Layer+" "+rho(one))
	}
	c.Found = strings.Join(found, "; ")
	return c
}

// drawZhou draws what a unit costs overall above what it costs in its worst class, on axes of their own.
func drawZhou(r *Result) (*figure.Figure, error) {
	xs, err := r.Units.Numbers(classSelectivity.axis.Name)
	if err != nil {
		return nil, err
	}
	panel := func(y measure, opt figure.ScatterOptions) (*figure.Figure, error) {
		ys, err := r.Units.Numbers(y.axis.Name)
		if err != nil {
			return nil, err
		}
		opt.LegendTitle, opt.X, opt.Y = "layer", classSelectivity.axis, y.axis
		var clouds []figure.Cloud
		for _, one := range r.Relations.Layers {
			c := figure.Cloud{Name: one.Layer}
			for i, row := range r.Units.Rows {
				if row[1] == one.Layer && !math.IsNaN(xs[i]) && !math.IsNaN(ys[i]) {
					c.X, c.Y = append(c.X, xs[i]), append(c.Y, ys[i])
				}
			}
			if line, err := stat.OLS(c.X, c.Y); err == nil {
				c.Line = &figure.Straight{Slope: line.Slope, Intercept: line.Intercept}
			}
			clouds = append(clouds, c)
		}
		return figure.Scatter(opt, clouds...)
	}
	style := figure.Style{Height: 7}
	above, err := panel(accuracyLost, figure.ScatterOptions{Title: r.heading(), Style: style})
	if err != nil {
		return nil, err
	}
	below, err := panel(worstClassLost, figure.ScatterOptions{Caption: append([]string{"Lines: least squares in each layer."}, r.Caption...), Style: style})
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, above, below)
}
