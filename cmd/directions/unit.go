package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
)

func newUnit(a *app) *cobra.Command {
	t := &target{}
	c := &cobra.Command{
		Use:   "unit RUN SITE INDEX",
		Short: "Look at one unit: what excites it most, how it is tuned to classes, what its ablation breaks",
		Long: "Show one unit: the test pictures on which it is most active, its mean activity on each class, and the share of each\n" +
			"class's right answers that is lost when it is ablated to zero. Units are counted from 0; `directions units RUN` lists them.",
		Example: "  directions unit mine layer3.2 17 --png unit.png",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 3 {
				return fmt.Errorf("unit takes three arguments: %s, a site and the number of a unit, got %d", runArgument, len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := strconv.Atoi(args[2])
			if err != nil {
				return fmt.Errorf("unit %q is not a number; units of a site are counted from 0", args[2])
			}
			if err := t.check(); err != nil {
				return err
			}
			l, r, err := t.open(a, args[0])
			if err != nil {
				return err
			}
			v, err := l.Look(cmd.Context(), r, t.on, args[1], index)
			if err != nil {
				return err
			}
			if t.png != "" {
				fig, err := v.Figure()
				if err != nil {
					return err
				}
				if err := drawing(t.png, fig); err != nil {
					return err
				}
			}
			if t.json != "" {
				return output(t.json, func(w io.Writer) error { return json.NewEncoder(w).Encode(v) })
			}
			if t.png == "" {
				fmt.Print(v.Table().Text())
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&t.net, "net", "", "network of a .safetensors RUN: "+netForms)
	f.StringVar(&t.data, "data", "", "data set of a .safetensors RUN")
	f.StringVar(&t.input, "input", "", "how pixels become the input of a .safetensors RUN: "+inputForms)
	f.StringVar(&t.on.Split, "split", "test", "examples: train or test")
	f.IntVar(&t.on.Examples, "examples", 0, "the first N examples of the split (default all)")
	f.StringVar(&t.png, "png", "", "draw the unit into FILE (.png or .svg)")
	f.StringVar(&t.json, "json", "", "write the numbers as JSON to FILE (- for standard output)")
	return c
}
