package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/pkg/complexity"
)

func newComplexity(a *app) *cobra.Command {
	t := &target{}
	spec := complexity.Spec{}
	c := &cobra.Command{
		Use:   "complexity RUN",
		Short: "What else is said to predict generalization: margin, norms of the weights, path norm, flatness",
		Long: "Measure a network's output margin, Frobenius, spectral and path norms (batch normalization folded into the weights), and\n" +
			"how far its weights can be disturbed, relative to their size, before the accuracy falls by 0.1. All of it on training\n" +
			"examples; definitions are those of Jiang et al., \"Fantastic generalization measures and where to find them\" (ICLR 2020).\n" +
			"The figure \"scoreboard\" compares them with cumulative ablation over many networks.\n" +
			"RUN is a name or key (directions runs list) or a .safetensors file with PyTorch's names and layout.",
		Example: "  directions complexity half --examples 2000\n" +
			"  directions complexity half --draws 10 --json -",
		Args: one(runArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(positive(cmd, "draws", "steps", "fall"), writable("--json", t.json), writable("--csv", t.csv), spec.Check()); err != nil {
				return err
			}
			l, r, err := t.open(a, args[0])
			if err != nil {
				return err
			}
			res, err := l.Complexity(cmd.Context(), r, t.on, spec)
			if err != nil {
				return err
			}
			table := res.Table(fmt.Sprintf("Complexity of %s, on %d %s examples", r.Label(), res.Examples, t.on.Split))
			if t.json == "" && t.csv == "" {
				fmt.Print(table.Text())
				return nil
			}
			if t.json != "" {
				if err := output(t.json, func(w io.Writer) error { return json.NewEncoder(w).Encode(res) }); err != nil {
					return err
				}
			}
			if t.csv != "" {
				return output(t.csv, table.WriteCSV)
			}
			return nil
		},
	}
	f := c.Flags()
	t.where(f, "train")
	f.StringVar(&t.json, "json", "", "write everything as JSON to FILE (- for standard output)")
	f.StringVar(&t.csv, "csv", "", "write the table as CSV to FILE (- for standard output)")
	f.IntVar(&spec.Draws, "draws", 0, "disturbances of the weights that flatness is the mean of (default 3)")
	f.IntVar(&spec.Steps, "steps", 0, "steps of the search for flatness (default 9)")
	f.Float64Var(&spec.Fall, "fall", 0, "fall of the accuracy that flatness is measured by (default 0.1)")
	f.Uint64Var(&spec.Seed, "seed", 1, "seed of the disturbances")
	return c
}
