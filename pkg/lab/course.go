package lab

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Course is what became of the units of a network in the course of its training, as Ranadive et al. (TMLR 2023) follow them:
// how selective they are for classes, and what ablating one of them does.
type Course struct {
	Network string `json:"network"`
	Net     string `json:"net"`
	Split   string `json:"split"`
	// Examples that units were measured on, and ablated on; the latter 0 if they were not ablated.
	Examples int `json:"examples"`
	Ablated  int `json:"ablated,omitempty"`
	// Rows has, for each checkpoint, a row for each layer with units and then one for all units, see CourseColumns.
	Rows result.Table `json:"rows"`

	Seconds float64 `json:"seconds"` // spent on the analyses of the checkpoints, whenever that was
}

// all is the layer in Course.Rows that stands for the units of all layers.
const all = "all"

// CourseColumns are those of Course.Rows:
//
//	epoch, layer             0 is before training; "all" are the units of all layers pooled
//	units, dead              how many there are, and how many of them are 0 on all examples
//	selectivity_lower, selectivity, selectivity_upper
//	                         quartiles and median of the class selectivity index of the units that have one
//	delta_loss, delta_accuracy
//	                         mean change of the loss (nats) and of the accuracy (fraction) when one unit is ablated to zero, over
//	                         all units, the dead ones, which change nothing, included
//	rho                      Spearman's ρ of the units' class selectivity and change of loss
//	train_loss, train_accuracy, test_loss, test_accuracy
//	                         of the network, as its training measured them; the same for all rows of an epoch
//
// A cell is empty (nil) where there is no such number: where all units of a layer are dead, where the index or the change is
// the same for all of them (rho), before training (the last four), and without impact.
func CourseColumns() []string {
	return []string{"epoch", "layer", "units", "dead", "selectivity_lower", "selectivity", "selectivity_upper", "delta_loss",
		"delta_accuracy", "rho", "train_loss", "train_accuracy", "test_loss", "test_accuracy"}
}

// Course measures the units of each checkpoint that a run kept (Spec.Fit.Checkpoints): as Selectivity does, and unless impact is
// nil as Single does, ablating each unit to zero; each on examples of its own (the zero On: all test examples). What the store
// has of it is read. A run without checkpoints is an error; checkpoints after an early end of the training are left out, with a
// note.
func (l *Lab) Course(ctx context.Context, r *Run, on On, impact *On, spec selectivity.Spec) (Course, error) {
	on = onTest(on)
	if _, epoch, ok := atEpoch(r.Name); ok {
		return Course{}, fmt.Errorf("run %s is itself the checkpoint of epoch %d; give the run", r.Label(), epoch)
	}
	if len(r.Spec.Fit.Checkpoints) == 0 {
		return Course{}, fmt.Errorf("run %s kept no checkpoints, so nothing is known of the course of its training; train it with "+
			"Fit.Checkpoints (--checkpoints 0,1,2,4,…)", r.Label())
	}
	c := Course{Network: r.Label(), Net: r.Spec.Net, Split: on.Split}
	for _, name := range CourseColumns() {
		c.Rows.Columns = append(c.Rows.Columns, result.Axis{Name: name})
	}
	for _, epoch := range r.Spec.Fit.Checkpoints {
		if epoch > len(r.History) {
			l.Note("%s: the training ended after %d epochs, so there is no checkpoint of epoch %d", r.Label(), len(r.History), epoch)
			continue
		}
		at, err := l.Checkpoint(r, epoch)
		if err != nil {
			return Course{}, err
		}
		measured, err := l.Selectivity(ctx, at, on, spec)
		if err != nil {
			return Course{}, err
		}
		units := measured.Table
		c.Examples = measured.Examples
		c.Seconds += measured.Seconds.Total
		if impact != nil {
			impacts, err := l.Single(ctx, at, onTest(*impact), ablate.SingleSpec{Sites: spec.Sites})
			if err != nil {
				return Course{}, err
			}
			if units, err = impacts.Join(units); err != nil {
				return Course{}, err
			}
			c.Ablated = impacts.Examples
			c.Seconds += impacts.Seconds.Total
		}
		if err := c.add(epoch, at, units); err != nil {
			return Course{}, err
		}
	}
	return c, nil
}

// add is the rows of a checkpoint with this table of units.
func (c *Course) add(epoch int, at *Run, units result.Table) error {
	index, err := units.Numbers("selectivity")
	if err != nil {
		return err
	}
	loss, accuracy := []float64(nil), []float64(nil) // without impact
	if c.Ablated > 0 {
		if loss, err = units.Numbers("delta_loss"); err != nil {
			return err
		}
		if accuracy, err = units.Numbers("delta_accuracy"); err != nil {
			return err
		}
	}
	var layers []string
	of := map[string][]int{} // rows of units
	for i, row := range units.Rows {
		name := row[0].(string)
		if of[name] == nil {
			layers = append(layers, name)
		}
		of[name], of[all] = append(of[name], i), append(of[all], i)
	}
	dead := slices.IndexFunc(units.Columns, func(a result.Axis) bool { return a.Name == "dead" })
	for _, layer := range append(layers, all) {
		chosen := of[layer]
		row := make([]any, len(c.Rows.Columns))
		row[0], row[1], row[2] = epoch, layer, len(chosen)
		died := 0
		var dLoss, dAccuracy, selective, dSelective []float64 // of all units; index, and change of loss, of those that have one
		for _, i := range chosen {
			if units.Rows[i][dead] == true {
				died++
			}
			if loss != nil {
				dLoss, dAccuracy = append(dLoss, loss[i]), append(dAccuracy, accuracy[i])
			}
			if !math.IsNaN(index[i]) {
				selective = append(selective, index[i])
				if loss != nil {
					dSelective = append(dSelective, loss[i])
				}
			}
		}
		row[3] = died
		for k, p := range []float64{0.25, 0.5, 0.75} {
			if q, err := stat.Quantile(selective, p); err == nil {
				row[4+k] = q
			}
		}
		if loss != nil {
			row[7], _ = stat.MeanSD(dLoss)
			row[8], _ = stat.MeanSD(dAccuracy)
			if rho, err := stat.Spearman(selective, dSelective); err == nil {
				row[9] = rho
			}
		}
		if m := at.Final; m != nil {
			row[10], row[11], row[12], row[13] = m.TrainLoss, m.TrainAccuracy, m.TestLoss, m.TestAccuracy
		}
		c.Rows.Rows = append(c.Rows.Rows, row)
	}
	return nil
}

// Table is the course of the training for reading.
func (c Course) Table() result.Table {
	t := c.Rows
	t.Title = fmt.Sprintf("%s over training, on %d %s examples: class selectivity (quartiles of the units of a layer)", c.Network, c.Examples, c.Split)
	if c.Ablated > 0 {
		t.Title += fmt.Sprintf(", and what ablating one unit does on average, on %d", c.Ablated)
	}
	return t
}

// Layers names the layers of the course, in order, without "all".
func (c Course) Layers() (names []string) {
	for _, row := range c.Rows.Rows {
		if row[1] == all {
			break
		}
		names = append(names, row[1].(string))
	}
	return names
}

// Curves are one of CourseColumns by epoch, a curve for each layer in which there is such a number. The horizontal axis is meant
// to be logarithmic: epoch 0 stands at half of the first one after it, or at a half.
func (c Course) Curves(column string, y result.Axis) ([]result.Curve, error) {
	epochs, err := c.Rows.Numbers("epoch")
	if err != nil {
		return nil, err
	}
	values, err := c.Rows.Numbers(column)
	if err != nil {
		return nil, err
	}
	var curves []result.Curve
	for _, layer := range c.Layers() {
		curve := result.Curve{Name: layer, XAxis: result.Axis{Name: "epochs of training"}, YAxis: y}
		for i, row := range c.Rows.Rows {
			if row[1] == layer && !math.IsNaN(values[i]) {
				curve.X, curve.Y = append(curve.X, epochs[i]), append(curve.Y, values[i])
			}
		}
		if len(curve.X) == 0 {
			continue
		}
		if curve.X[0] == 0 {
			curve.X[0] = 0.5
			if len(curve.X) > 1 {
				curve.X[0] = curve.X[1] / 2
			}
		}
		curves = append(curves, curve)
	}
	return curves, nil
}

// Figure draws the median class selectivity of each layer by epoch, and below, unless it was left out, what ablating one of its
// units does to the loss on average.
func (c Course) Figure() (*figure.Figure, error) {
	caption := fmt.Sprintf("%s (%s), on %d %s examples.", c.Network, c.Net, c.Examples, c.Split)
	if len(c.Rows.Rows) > 0 && c.Rows.Rows[0][0] == 0 {
		caption += " The untrained network stands at half of the first epoch after it."
	}
	selective, err := c.Curves("selectivity", result.Axis{Name: "median class selectivity index"})
	if err != nil {
		return nil, err
	}
	above, err := figure.Curves(figure.Options{Title: "Class selectivity over training", Caption: []string{caption}, LogX: true,
		LegendTitle: "layer", Ordered: true, YMax: 1}, selective...)
	if err != nil || c.Ablated == 0 {
		return above, err
	}
	lost, err := c.Curves("delta_loss", result.Axis{Name: "mean change of the loss", Unit: "nats"})
	if err != nil {
		return nil, err
	}
	below, err := figure.Curves(figure.Options{Title: "Impact of ablating one unit over training", LogX: true, LegendTitle: "layer", Ordered: true,
		Caption: []string{fmt.Sprintf("Mean over all units of a layer, each ablated alone to zero, on %d %s examples.", c.Ablated, c.Split)}}, lost...)
	if err != nil {
		return nil, err
	}
	return figure.Grid(1, above, below)
}
