package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/parquet"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
)

func newUnits(a *app) *cobra.Command {
	t := &target{}
	spec := selectivity.Spec{}
	parquetFile, noImpact, overTraining := "", false, false
	c := &cobra.Command{
		Use:   "units RUN",
		Short: "Each unit: how selective it is for classes, what it tells about them, what ablating it does",
		Long: "Measure every unit, one row each: class selectivity index, mutual information with the class (bits), d', ROC AUC,\n" +
			"precision, sparseness, entropy and the L1 norm of its incoming filter; then ablate each alone.\n" +
			"Feature maps are averaged over positions. A field is empty where a unit has no such number: dead units have no\n" +
			"selectivity, nor has a unit that is negative on some example. CSV, Parquet and JSON (a list of records) open in pandas,\n" +
			"polars and DuckDB as they are. Without a file, the main columns are printed.\n" +
			"With --within, each unit is ablated on as few examples as it takes to know the change of the accuracy that closely; its\n" +
			"half-width is one more column. The change of the loss is then an estimate from these examples.\n" +
			"With --over-training, one row for each layer (and all) at each checkpoint of RUN: quartiles of class selectivity, dead\n" +
			"units, and the mean change of loss and accuracy when one unit is ablated.\n" +
			"RUN is a name or key (directions runs list), a .safetensors file with PyTorch's names and layout,\n" +
			"or an .onnx file with a classifier.",
		Example: "  directions units resnet --split test --parquet units.parquet\n" +
			"  directions units resnet --within 1pt --csv units.csv\n" +
			"  directions units half --sites fc1 --no-impact --bins 50 --csv -\n" +
			"  directions units early --over-training --png early.png",
		Args: one(runArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			toStdout := 0
			for _, file := range []string{t.csv, parquetFile, t.json} {
				if file == "-" {
					toStdout++
				}
			}
			if toStdout > 1 {
				return errors.New("standard output (-) can take one of --csv, --parquet and --json; give the others a file")
			}
			if err := cmp.Or(positive(cmd, "bins", "permutations", "top"), writable("--json", t.json),
				writable("--csv", t.csv), writable("--parquet", parquetFile), writable("--png", t.png)); err != nil {
				return err
			}
			if t.png != "" && !overTraining {
				return errors.New("--png draws what --over-training measures; `directions unit` draws one unit")
			}
			if t.png != "" {
				if _, err := picture(t.png); err != nil {
					return fmt.Errorf("--png: %w", err)
				}
			}
			if err := spec.Check(); err != nil {
				return fmt.Errorf("units: %w", err)
			}
			bound, err := t.bound(cmd, spec.Seed)
			if err != nil {
				return err
			}
			if bound != (sample.Bound{}) && (noImpact || overTraining) {
				return errors.New("--within says how closely the impact is to be known; it goes with neither --no-impact nor --over-training")
			}
			spec.Sites = t.sites
			l, r, err := t.open(a, args[0])
			if err != nil {
				return err
			}
			if overTraining {
				impact := &t.on
				if noImpact {
					impact = nil
				}
				course, err := l.Course(cmd.Context(), r, t.on, impact, spec)
				if err != nil {
					return err
				}
				if t.png != "" {
					fig, err := course.Figure()
					if err != nil {
						return err
					}
					if err := drawing(t.png, fig); err != nil {
						return err
					}
				}
				if t.csv == "" && parquetFile == "" && t.json == "" && t.png == "" {
					fmt.Print(course.Table().Text())
					return nil
				}
				return t.records(course.Rows, parquetFile)
			}
			var u lab.Units
			if bound != (sample.Bound{}) {
				u, err = l.UnitsWithin(cmd.Context(), r, t.on, spec, bound)
			} else {
				u, err = l.Units(cmd.Context(), r, t.on, spec, !noImpact)
			}
			if err != nil {
				return err
			}
			if u.Impacts != nil {
				a.planned(l, u.Impacts.Receipt)
			}
			if u.Selectivity.Negative > 0 {
				l.Note("%d of %d units are negative on some example: the class selectivity index, CCMAS, sparseness and class "+
					"entropy are for activity ≥ 0, and empty there", u.Selectivity.Negative, len(u.Table.Rows))
			}
			if t.csv == "" && parquetFile == "" && t.json == "" {
				fmt.Print(mainColumns(u.Table, r.Label(), u.Selectivity.Dead).Text())
				return nil
			}
			return t.records(u.Table, parquetFile)
		},
	}
	f := c.Flags()
	f.BoolVar(&a.plan, "plan", false, "print how units will be ablated, the work, time and memory it takes, before it is done")
	t.where(f, "test")
	t.bounds(f, "ablate each unit: ")
	f.StringVar(&t.csv, "csv", "", "write the table as CSV to FILE (- for standard output)")
	f.StringVar(&parquetFile, "parquet", "", "write the table as Parquet to FILE (- for standard output)")
	f.StringVar(&t.json, "json", "", "write the table as a JSON list of records to FILE (- for standard output)")
	f.BoolVar(&overTraining, "over-training", false, "what becomes of the units over training: analyse the checkpoints that RUN kept (train --checkpoints)")
	f.StringVar(&t.png, "png", "", "with --over-training, draw it into FILE (.png or .svg)")
	f.BoolVar(&noImpact, "no-impact", false, "leave out what ablating each unit does")
	f.IntVar(&spec.Bins, "bins", 0, "bins of activity, for mutual information and entropy (default 20)")
	f.IntVar(&spec.Permutations, "permutations", 0, "of the labels, to correct mutual information (default 10)")
	f.Uint64Var(&spec.Seed, "seed", 1, "seed of the permutations, and of the examples looked at with --within")
	f.IntVar(&spec.Top, "top", 0, "examples that precision looks at (default 100)")
	f.Float64Var(&spec.Epsilon, "epsilon", 0, "added to the denominator of the selectivity index (later papers: 1e-7 or 1e-6)")
	f.BoolVar(&spec.DeadZero, "dead-zero", false, "give dead units the selectivity 0, as some implementations do, instead of none")
	return c
}

// records writes a table into the files that the flags name.
func (t *target) records(table result.Table, parquetFile string) error {
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{t.csv, table.WriteRecordsCSV}, {t.json, table.WriteRecords},
		{parquetFile, func(w io.Writer) error { return parquet.Write(w, table) }},
	} {
		if file.path == "" {
			continue
		}
		if err := output(file.path, file.write); err != nil {
			return err
		}
	}
	return nil
}

// mainColumns is what of a table of units fits a terminal.
func mainColumns(t result.Table, name string, dead int) result.Table {
	main := result.Table{Title: fmt.Sprintf("%s: %s. %d of %d units are dead", name, t.Title, dead, len(t.Rows))}
	var chosen []int
	for j, c := range t.Columns {
		if slices.Contains([]string{"site", "unit", "dead", "selectivity", "preferred_class", "mutual_information", "d_prime",
			"roc_auc", "delta_loss", "delta_accuracy", "half_width", "worst_class", "worst_class_drop"}, c.Name) {
			chosen, main.Columns = append(chosen, j), append(main.Columns, c)
		}
	}
	for _, row := range t.Rows {
		var cells []any
		for _, j := range chosen {
			cells = append(cells, row[j])
		}
		main.Rows = append(main.Rows, cells)
	}
	return main
}
