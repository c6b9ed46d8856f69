package lab

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// topPictures is how many pictures Look shows: two rows.
const topPictures = 16

// View is one unit to look at: the pictures that excite it most, its class tuning curve, and what its ablation breaks.
type View struct {
	Network  string             `json:"network"`
	Net      string             `json:"net"`
	Split    string             `json:"split"`
	Tuning   selectivity.Tuning `json:"tuning"`
	Unedited unit.Score         `json:"unedited"` // of the network as it is
	Ablated  unit.Score         `json:"ablated"`  // with the unit at zero
	Names    []string           `json:"names"`    // of the classes

	shape    []int
	pictures [][]byte // of Tuning.Top
}

// Look measures one unit of a run: two passes over the examples (the zero On: all test examples), and one with the unit ablated
// to zero. The numbers are kept in the store.
func (l *Lab) Look(ctx context.Context, r *Run, on On, site string, index int) (View, error) {
	on = onTest(on)
	config := map[string]any{"run": r.Spec, "on": on, "site": site, "unit": index, "top": topPictures}
	v, err := compute(ctx, l, r, "view", []any{on, site, index, topPictures}, config,
		func(_ *View, _ func(View) error) (View, error) {
			p, err := l.Probe(ctx, r, on, nil)
			if err != nil {
				return View{}, err
			}
			defer p.Close()
			v := View{Net: r.Spec.Net, Split: on.Split}
			if v.Tuning, err = selectivity.Tune(ctx, p, site, index, topPictures); err != nil {
				return View{}, err
			}
			scores, _, err := p.Evaluate(ctx, [][]unit.Edit{nil, {unit.Ablate(site, unit.Target{}, index)}})
			if err != nil {
				return View{}, err
			}
			v.Unedited, v.Ablated = scores[0], scores[1]
			return v, nil
		}, func(v View) bool { return v.Tuning.Examples > 0 })
	if err != nil {
		return View{}, err
	}
	data, names, err := l.split(ctx, r, on)
	if err != nil {
		return View{}, err
	}
	v.Network, v.Names, v.shape = r.Label(), names, data.Shape
	size := len(data.Images) / data.Len()
	for _, seen := range v.Tuning.Top {
		v.pictures = append(v.pictures, data.Images[seen.Example*size:(seen.Example+1)*size])
	}
	return v, nil
}

// damage is the share of the examples of class c that the network is right on which it loses with the unit ablated (Zhou et
// al. 2018); false if it is never right on that class.
func (v View) damage(c int) (float64, bool) {
	right := v.Unedited.ByClass[c]
	if right == 0 {
		return 0, false
	}
	return float64(right-v.Ablated.ByClass[c]) / float64(right), true
}

// Table lists the classes: how active the unit is on them, and what its ablation does to them.
func (v View) Table() result.Table {
	t := result.Table{
		Title: fmt.Sprintf("Unit %d of %s of %s by class, on %d %s examples: accuracy %.4f, %.4f without the unit; loss %.4f and %.4f nats",
			v.Tuning.Unit, v.Tuning.Site, v.Network, v.Tuning.Examples, v.Split, v.Unedited.Accuracy(), v.Ablated.Accuracy(),
			v.Unedited.MeanLoss(), v.Ablated.MeanLoss()),
		Columns: []result.Axis{{Name: "class"}, {Name: "examples"}, {Name: "mean activity"}, {Name: "s.d."}, {Name: "right"},
			{Name: "right without the unit"}, {Name: "which loses", Unit: "fraction"}},
	}
	for c, a := range v.Tuning.Classes {
		row := []any{v.Names[c], a.N, nil, nil, v.Unedited.ByClass[c], v.Ablated.ByClass[c], nil}
		if a.N > 0 {
			row[2], row[3] = a.Mean, a.SD
		}
		if lost, ok := v.damage(c); ok {
			row[6] = lost
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Figure draws the contact sheet, the tuning curve and the damage by class, as panels a, b and c.
func (v View) Figure() (*figure.Figure, error) {
	if len(v.pictures) == 0 {
		return nil, errors.New("the view has no pictures: it does not come from Lab.Look")
	}
	var pictures []figure.Picture
	for i, seen := range v.Tuning.Top {
		pictures = append(pictures, figure.Picture{Shape: v.shape, Pixels: v.pictures[i],
			Name: fmt.Sprintf("%s %.3g", v.Names[seen.Label], seen.Activity)})
	}
	what := fmt.Sprintf("Unit %d of %s, %s", v.Tuning.Unit, v.Tuning.Site, v.Network)
	a, err := figure.Pictures(figure.PictureOptions{
		Title: what + ": what excites it most", Caption: []string{fmt.Sprintf("The %d of %d %s examples with the highest activity, each with its "+
			"class and activity; the activity of a feature map is its mean over positions.", len(pictures), v.Tuning.Examples, v.Split)},
	}, pictures...)
	if err != nil {
		return nil, err
	}
	var tuning, damage []figure.Estimate
	for c, activity := range v.Tuning.Classes {
		tuning = append(tuning, figure.Estimate{Name: v.Names[c], Value: activity.Mean, Lo: activity.Mean - activity.SD,
			Hi: activity.Mean + activity.SD, Missing: activity.N == 0})
		lost, ok := v.damage(c)
		damage = append(damage, figure.Estimate{Name: v.Names[c], Value: lost, Missing: !ok})
	}
	style := figure.Style{Height: 6}
	b, err := figure.Estimates(figure.EstimateOptions{Title: "Class tuning curve", X: "Class", Style: style,
		Y: result.Axis{Name: "Mean activity"}, Band: "± s.d. over the examples of the class"}, tuning...)
	if err != nil {
		return nil, err
	}
	c, err := figure.Estimates(figure.EstimateOptions{Title: "What its ablation breaks", X: "Class", Style: style,
		Y: result.Axis{Name: "Right answers lost", Unit: "fraction"},
		Caption: []string{fmt.Sprintf("Of the examples of a class that the network is right on. Accuracy %.4f, without the unit %.4f; loss %.4f and %.4f nats.",
			v.Unedited.Accuracy(), v.Ablated.Accuracy(), v.Unedited.MeanLoss(), v.Ablated.MeanLoss())}}, damage...)
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, a, b, c)
}
