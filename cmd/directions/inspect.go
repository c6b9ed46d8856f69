package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/onnx"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func newInspect() *cobra.Command {
	opt, data, asJSON := onnx.Options{}, "", false
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what an ONNX file holds: input, logits, and the tensors whose units can be ablated",
		Long: "List every tensor of an .onnx file that can be a site, with the operation that gives it, its shape in the file, the\n" +
			"axis on which its units lie (0 is the batch) and their number. Those marked are analysed unless sites are named:\n" +
			"the results of activation functions. Tensors whose axis of units is not plain are left out; --unit-axis says it.",
		Example: "  directions inspect model.onnx\n" +
			"  directions inspect model.onnx --data cifar10 --json",
		Args: one("an .onnx FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bytes, err := onnx.ReadFile(args[0])
			if err != nil {
				return err
			}
			m, err := onnx.Read(bytes, opt)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			var image []int
			if data != "" {
				if image, err = lab.ImageShape(cmd.Context(), data); err != nil {
					return err
				}
			}
			info, err := m.Inspect(image)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				e := json.NewEncoder(os.Stdout)
				e.SetIndent("", "  ")
				return e.Encode(info)
			}
			fmt.Print(describe(args[0], info))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "data set whose images it is for (default: shapes as the file has them)")
	onnxFlags(f, &opt)
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// describe is what inspect prints.
func describe(file string, info onnx.Info) string {
	head := result.Table{Title: file, Columns: []result.Axis{{Name: "quantity"}, {Name: "value"}}}
	add := func(name string, value any) { head.Rows = append(head.Rows, []any{name, value}) }
	shape := func(t onnx.Tensor) string { return fmt.Sprintf("%s %s", t.Name, onnx.Dims(t.Shape)) }
	if info.Producer != "" {
		add("made by", info.Producer)
	}
	add("opset", info.Opset)
	input := shape(info.Input)
	if info.Layout != "" {
		input += " (" + info.Layout + ")"
	}
	add("input", input)
	if info.Batch > 0 {
		add("batch", fmt.Sprintf("%d in the file; any number works", info.Batch))
	}
	add("output", shape(info.Output))
	add("logits", info.Logits)
	add("parameters", info.Params)
	sites := result.Table{Title: fmt.Sprintf("Sites (%d)", len(info.Sites)), Columns: []result.Axis{
		{Name: "tensor"}, {Name: "operation"}, {Name: "shape of one example"}, {Name: "unit axis"}, {Name: "units"}, {Name: "analysed unless sites are named"}}}
	for _, s := range info.Sites {
		yes := ""
		if s.Default {
			yes = "yes"
		}
		sites.Rows = append(sites.Rows, []any{s.Name, s.Op, onnx.Dims(s.Shape), s.Axis, s.Units, yes})
	}
	return strings.TrimRight(head.Text(), "\n") + "\n\n" + sites.Text()
}
