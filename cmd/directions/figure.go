package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/pkg/paper"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func newFigure(a *app) *cobra.Command {
	opt := paper.Options{}
	out, jsonTo := "", ""
	c := &cobra.Command{
		Use:   "figure ID",
		Short: "Compute and draw a figure of the paper, and test its claims",
		Long: "Compute a figure (or read it from the store), draw it as PNG and SVG, and print its table and the paper's claims\n" +
			"with our numbers. `directions figure list` names the figures.",
		Example: "  directions figure 1a --preset smoke\n  directions figure 1a --preset quick --data mnist\n" +
			"  directions figure 7d --run resnet20",
		Args: one("the ID of a figure (`directions figure list`)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := writable("--json", jsonTo); err != nil {
				return err
			}
			if jsonTo != "-" {
				if err := writableFolder("--out", out); err != nil {
					return err
				}
			}
			if opt.Save && opt.Results != "" {
				if err := writableFolder("--results", opt.Results); err != nil {
					return err
				}
			}
			opt.Recompute = a.recompute
			if opt.Run != "" && !cmd.Flags().Changed("preset") {
				opt.Preset = "" // that for runs
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			r, err := paper.Compute(cmd.Context(), l, args[0], opt)
			if err != nil {
				return err
			}
			if jsonTo != "" {
				err := output(jsonTo, func(w io.Writer) error { return json.NewEncoder(w).Encode(r) })
				if err != nil {
					return err
				}
				if jsonTo == "-" {
					return nil
				}
			}
			return report(r, out)
		},
	}
	f := c.Flags()
	f.StringVar(&opt.Preset, "preset", "smoke", "smoke, quick or paper")
	f.StringVar(&opt.Data, "data", "", "data set (default: mnist10k for smoke, else the paper's; see figure list)")
	f.StringVar(&opt.Run, "run", "", "for figures about a residual network, at presets quick and paper: the name or key of a run,\n"+
		"on whatever data (default: resnet20; directions import makes one)")
	f.StringVar(&out, "out", "out", "folder for the pictures")
	f.StringVar(&jsonTo, "json", "", "write the result as JSON to FILE (- for standard output, and nothing else)")
	f.StringVar(&opt.Results, "results", "", "folder of results by name: read from it if the key fits")
	f.BoolVar(&opt.Save, "save", false, "write the result into --results")
	c.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "Name the figures and their presets",
		Args:  none,
		RunE: func(*cobra.Command, []string) error {
			t := result.Table{Title: "Figures", Columns: []result.Axis{{Name: "figure"}, {Name: "title"}, {Name: "presets"}, {Name: "data"}}}
			for _, i := range paper.List() {
				t.Rows = append(t.Rows, []any{i.ID, i.Title, strings.Join(i.Presets, ", "), strings.Join(i.Data, ", ")})
			}
			fmt.Print(t.Text())
			return nil
		},
	})
	return c
}

// report draws a figure into a folder and prints its table and claims.
func report(r *paper.Result, out string) error {
	fig, err := r.Figure()
	if err != nil {
		return err
	}
	base := filepath.Join(out, strings.TrimSuffix(paper.FileName(r.ID, r.Preset, r.Data), ".json"))
	for _, ext := range []string{".png", ".svg"} {
		if err := drawing(base+ext, fig); err != nil {
			return err
		}
	}
	fmt.Println(r.Table.Text())
	fmt.Println(claims(r.Claims))
	fmt.Printf("Pictures: %s.png, %s.svg\n", base, base)
	return nil
}

// claims prints each claim with its test and what was found.
func claims(cs []result.Claim) string {
	var b strings.Builder
	for _, c := range cs {
		mark := "FAILED"
		if c.Passed {
			mark = "passed"
		}
		fmt.Fprintf(&b, "%s  %s\n        test:  %s\n        found: %s\n", mark, c.Name, c.Test, c.Found)
	}
	return b.String()
}

func newDemo(a *app) *cobra.Command {
	out := ""
	c := &cobra.Command{
		Use:   "demo",
		Short: "Figures 1a and 2a on the data that come with the program, in about a minute",
		Args:  none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := writableFolder("--out", out); err != nil {
				return err
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			b, err := l.Backend()
			if err != nil {
				return err
			}
			l.Note("Computing with %s", b)
			for _, id := range []string{"1a", "2a"} {
				r, err := paper.Compute(cmd.Context(), l, id, paper.Options{Preset: "smoke", Recompute: a.recompute})
				if err != nil {
					return err
				}
				if err := report(r, out); err != nil {
					return err
				}
			}
			fmt.Println("This is far smaller than the paper, and not every claim holds at this size.\n" +
				"At the paper's size they do: notebooks/01_memorisation.ipynb and notebooks/02_noise.ipynb.")
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "out", "folder for the pictures")
	return c
}
