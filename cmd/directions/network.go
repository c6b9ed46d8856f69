package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/onnx"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

const (
	netForms   = "mlp:WIDTH,WIDTH,…, convnet[:width=W,layers=N,nobn,fc=UNITS], resnet20, …"
	inputForms = "half, imagenet or MEAN,…/SD,… per channel (default pixel/255)"
)

func newTrain(a *app) *cobra.Command {
	spec := lab.Spec{}
	name, method, follow := "", "", &target{confidence: 0.95}
	c := &cobra.Command{
		Use:   "train",
		Short: "Train a network, or find it among those trained before",
		Example: "  directions train --data mnist10k --net mlp:128,128 --corrupt 0.5 --epochs 60 --name half\n" +
			"  directions train --data mnist --net mlp:512,512 --lr 0.05 --momentum 0.9 --schedule cosine",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := positive(cmd, "lr", "batch", "epochs", "evaluate", "auc-every", "auc-patience"); err != nil {
				return err
			}
			spec.Corrupt.Method = corrupt.Method(method)
			if spec.Fit.Reliance.Every == 0 && (spec.Fit.Reliance.Patience > 0 || follow.within != "") {
				return errors.New("--auc-patience and --auc-within go with --auc-every N: say after how many epochs the AUC is measured")
			}
			if spec.Fit.Reliance.Every > 0 {
				spec.Fit.Reliance.Seed = 1
				var err error
				if spec.Fit.Reliance.Bound, err = follow.bound(cmd, 1); err != nil {
					return fmt.Errorf("--auc-within: %w", err)
				}
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			r, err := l.Train(cmd.Context(), spec, name)
			if err != nil {
				return err
			}
			fmt.Print(r.Table().Text())
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&spec.Data, "data", "mnist10k", "data set (directions data list), or imagefolder:DIR[,size=N,…] with DIR/{train,val|test}/CLASS/*.jpg")
	f.IntVar(&spec.Examples, "examples", 0, "train on the first N examples (default all)")
	f.StringVar(&spec.Net, "net", "mlp:512,512", "network: "+netForms)
	f.StringVar(&spec.Input, "input", "", "how pixels become its input: "+inputForms)
	f.Float64Var(&spec.Corrupt.Fraction, "corrupt", 0, "fraction of training labels to corrupt, 0 to 1")
	f.StringVar(&method, "corrupt-method", "", fmt.Sprintf("how: %v (default permute)", corrupt.Methods()))
	f.Uint64Var(&spec.Corrupt.Seed, "corrupt-seed", 1, "seed of the corruption")
	f.StringVar(&spec.Fit.Optimizer, "optimizer", "", "sgd or adam (default sgd)")
	f.Float64Var(&spec.Fit.LR, "lr", 0, "learning rate (default 0.1 for sgd, 0.001 for adam)")
	f.Float64Var(&spec.Fit.Momentum, "momentum", 0, "momentum of sgd")
	f.Float64Var(&spec.Fit.WeightDecay, "weight-decay", 0, "weight decay")
	f.StringVar(&spec.Fit.Schedule, "schedule", "", "of the learning rate: constant, linear, cosine (default constant)")
	f.IntVar(&spec.Fit.Batch, "batch", 0, "examples per step (default 128)")
	f.IntVar(&spec.Fit.Epochs, "epochs", 0, "at most so many epochs (default 100)")
	f.Float64Var(&spec.Fit.Dropout, "dropout", 0, "probability of dropping a hidden unit in training")
	f.Float64Var(&spec.Fit.SelectivityAlpha, "selectivity-alpha", 0, "minimize cross-entropy - A x class selectivity of the hidden layers: negative numbers\n"+
		"discourage selectivity, positive ones encourage it")
	f.Float64Var(&spec.Fit.StopAt, "stop-at", 0, "end once this training accuracy is reached (default never)")
	f.IntVar(&spec.Fit.Evaluate, "evaluate", 0, "measure both splits every N epochs (default 10)")
	f.IntSliceVar(&spec.Fit.Checkpoints, "checkpoints", nil, "epochs after which the weights are kept")
	f.Uint64Var(&spec.Fit.InitSeed, "init-seed", 1, "seed of the initial weights")
	f.Uint64Var(&spec.Fit.OrderSeed, "order-seed", 1, "seed of the order of examples")
	f.Uint64Var(&spec.Fit.DropoutSeed, "dropout-seed", 1, "seed of dropout")
	f.IntVar(&spec.Fit.Reliance.Every, "auc-every", 0, "measure the AUC of a cumulative ablation (3 orderings × 10 points)\n"+
		"after every N epochs")
	f.StringVar(&follow.within, "auc-within", "", "of that, look at as few examples as it takes to know each accuracy so closely: 1pt")
	f.IntVar(&spec.Fit.Reliance.Patience, "auc-patience", 0, "end, with the weights of the highest AUC, once N have not exceeded it")
	f.StringVar(&name, "name", "", "name for the network")
	return c
}

// elsewhere are the flags that say what a file holds that was not trained here.
type elsewhere struct {
	net, data, input string
	onnx             onnx.Options
}

func (e *elsewhere) flags(f *pflag.FlagSet, what string) {
	f.StringVar(&e.net, "net", "", "network of a .safetensors "+what+": "+netForms)
	f.StringVar(&e.data, "data", "", "data set of a .safetensors or .onnx "+what+" (directions data list)")
	f.StringVar(&e.input, "input", "", "how pixels become its input: "+inputForms)
	onnxFlags(f, &e.onnx)
}

func onnxFlags(f *pflag.FlagSet, o *onnx.Options) {
	f.IntVar(&o.UnitAxis, "unit-axis", 0, "of an .onnx file: axis of the units of tensors with more than two axes, -1: the last (default found)")
	f.StringVar(&o.Layout, "layout", "", "of an .onnx file: how images lie in its input, nchw or nhwc (default found)")
	f.StringVar(&o.Output, "output", "", "of an .onnx file: tensor that has the logits (default found)")
}

// read makes a run of a file.
func (e *elsewhere) read(l *lab.Lab, file string) (*lab.Run, error) {
	isONNX := strings.HasSuffix(file, ".onnx")
	switch {
	case isONNX && e.net != "":
		return nil, fmt.Errorf("--net %s: %s has its network itself; leave --net out", e.net, file)
	case isONNX && e.data == "":
		return nil, fmt.Errorf("%s: an ONNX file needs --data, for example --data cifar10", file)
	case isONNX:
		return l.Import(file, e.onnx.String(), e.data, e.input)
	case e.onnx != onnx.Options{}:
		return nil, fmt.Errorf("--unit-axis, --layout and --output are for an .onnx file; %s is none", file)
	case e.net == "" || e.data == "":
		return nil, fmt.Errorf("%s: a file of weights needs --net and --data, for example --net mlp:512,512 --data mnist", file)
	}
	return l.Import(file, e.net, e.data, e.input)
}

// target is what an analysis works on and where its answer goes: the flags that ablate and noise share.
type target struct {
	elsewhere
	sites          []string
	on             lab.On
	within         string
	confidence     float64
	json, csv, png string
}

func (t *target) flags(c *cobra.Command, a *app) {
	f := c.Flags()
	f.BoolVar(&a.plan, "plan", false, "print what will be done, the work, time and memory it takes, before it is done")
	t.where(f, "train")
	t.bounds(f, "")
	f.StringVar(&t.json, "json", "", "write the result as JSON to FILE (- for standard output)")
	f.StringVar(&t.csv, "csv", "", "write the counts as CSV to FILE (- for standard output)")
	f.StringVar(&t.png, "png", "", "draw the curve into FILE (.png or .svg)")
}

// bounds adds the flags of bound; what is said before the first one's usage.
func (t *target) bounds(f *pflag.FlagSet, what string) {
	f.StringVar(&t.within, "within", "", what+"look at as few examples as it takes to know each accuracy so closely: 0.5pt (points)")
	f.Float64Var(&t.confidence, "confidence", 0.95, "confidence of each such interval")
}

// where adds the flags that say what is analysed, on which examples.
func (t *target) where(f *pflag.FlagSet, split string) {
	t.elsewhere.flags(f, "RUN")
	f.StringSliceVar(&t.sites, "sites", nil, "sites whose units are analysed, in this order (default all)")
	f.StringVar(&t.on.Split, "split", split, "examples: train (with the labels the network was trained on) or test")
	f.IntVar(&t.on.Examples, "examples", 0, "the first N examples of the split (default all)")
}

// check finds what could keep the result from being written, before it is computed.
func (t *target) check() error {
	if t.json == "-" && t.csv == "-" {
		return errors.New("--json - and --csv -: standard output can take one of them; give the other a file")
	}
	if t.png != "" {
		if _, err := picture(t.png); err != nil {
			return fmt.Errorf("--png: %w", err)
		}
	}
	return cmp.Or(writable("--json", t.json), writable("--csv", t.csv), writable("--png", t.png))
}

// bound is how closely an accuracy is to be known, by the flags; examples are drawn by the seed.
func (t *target) bound(c *cobra.Command, seed uint64) (sample.Bound, error) {
	if t.within == "" {
		if c.Flags().Changed("confidence") {
			return sample.Bound{}, errors.New("--confidence says how sure --within is to be; give that too, for example --within 0.5pt")
		}
		return sample.Bound{}, nil
	}
	number, ok := strings.CutSuffix(t.within, "pt")
	points, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(points > 0 && points < 50) {
		return sample.Bound{}, fmt.Errorf("--within %q: a number of percentage points with its unit, above 0 and below 50, for "+
			"example 0.5pt, which is 0.005 of the examples", t.within)
	}
	if !(t.confidence >= 0.5 && t.confidence < 1) {
		return sample.Bound{}, fmt.Errorf("--confidence %v: a probability of at least 0.5 and below 1, for example 0.95", t.confidence)
	}
	return sample.Bound{Within: points / 100, Confidence: t.confidence, Seed: seed}, nil
}

// closeness adds to a table of accuracies, one row per point, how closely they are known. An exact analysis has no rows.
func closeness(table *result.Table, rows *sample.Rows, all int) {
	if rows == nil {
		return
	}
	table.Title += "; each accuracy " + rows.Note(all)
	table.Columns = append(table.Columns, result.Axis{Name: "mean ± at " + sample.Percent(rows.Confidence), Unit: "fraction"})
	for i, half := range rows.MeanHalfWidth {
		table.Rows[i] = append(table.Rows[i], half)
	}
}

// open opens the lab and finds the network that RUN names.
func (t *target) open(a *app, name string) (*lab.Lab, *lab.Run, error) {
	l, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	r, err := t.run(l, name)
	return l, r, err
}

// run finds the network: a name, a key, or a file of weights.
func (t *target) run(l *lab.Lab, name string) (*lab.Run, error) {
	if strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".onnx") {
		return t.read(l, name)
	}
	if t.elsewhere != (elsewhere{}) {
		return nil, fmt.Errorf("--net, --data, --input, --unit-axis, --layout and --output are for a .safetensors or .onnx file; "+
			"%q is a run, which has its own", name)
	}
	return l.Find(name)
}

// write puts a result where the flags say; without any it goes to standard output as a table. What has no curve has no
// --png.
func (t *target) write(value any, csv func(io.Writer) error, table result.Table, curve result.Curve, opt figure.Options) error {
	if t.json == "" && t.csv == "" && t.png == "" {
		fmt.Print(table.Text())
		return nil
	}
	if t.json != "" {
		if err := output(t.json, func(w io.Writer) error { return json.NewEncoder(w).Encode(value) }); err != nil {
			return err
		}
	}
	if t.csv != "" {
		if err := output(t.csv, csv); err != nil {
			return err
		}
	}
	if t.png == "" {
		return nil
	}
	fig, err := figure.Curves(opt, curve)
	if err != nil {
		return err
	}
	return drawing(t.png, fig)
}

// planned tells, if the plan was asked for, what a result was made by: it may come from the store.
func (a *app) planned(l *lab.Lab, r unit.Receipt) {
	if a.plan {
		l.Note("plan of this result: %s; %d of %d predictions checked again differ", r.Plan, r.Mismatches, r.Checked)
	}
}

func newAblate(a *app) *cobra.Command {
	t := &target{}
	spec := ablate.Spec{}
	to, orders, each := "", "", false
	by := ranking{}
	c := &cobra.Command{
		Use:   "ablate RUN",
		Short: "Cumulative ablation: accuracy as more and more units are clamped; or each unit alone",
		Long: "Clamp growing sets of units, in several random orderings, and score the network after each; with --each,\n" +
			"clamp every unit alone, and list first what raises the loss most.\n" +
			"With --within, only as many examples are looked at as it takes: the same ones for all points of an ordering,\n" +
			"and as many as it needs by itself for each unit of --each. The interval is printed with the numbers. It is one\n" +
			"of accuracies; the loss is then an estimate without one.\n" +
			"With --basis random, directions of random orthonormal bases are taken out instead of units, as many of each site.\n" +
			"With --rank, units are clamped in the order of a column of `directions units`, ranked on the other split.\n" +
			"RUN is a name or key (directions runs list), a .safetensors file with PyTorch's names and layout,\n" +
			"or an .onnx file with a classifier.",
		Example: "  directions ablate half --rank selectivity --descending --split test\n" +
			"  directions ablate half --orders 10 --points 20 --json -\n" +
			"  directions ablate half --within 0.5pt --confidence 0.95\n" +
			"  directions ablate half --each --within 0.2pt --csv units.csv\n" +
			"  directions ablate half --basis random --basis-seed 1\n" +
			"  directions ablate mynet.safetensors --net mlp:512,512 --data mnist --png curve.png",
		Args: one(runArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(positive(cmd, "orders", "points"), t.check()); err != nil {
				return err
			}
			var err error
			if spec.To, err = unit.ParseTarget(to); err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			if spec.To == unit.Itself {
				return errors.New("--to itself would change nothing; it is one of zero, mean, element-mean, value:NUMBER")
			}
			if orders != "" {
				if spec.Given, err = readOrderings(orders); err != nil {
					return err
				}
				for _, name := range []string{"orders", "seed", "points"} {
					taken := name == "orders" || name == "points" && len(spec.Given.Grid) > 0 || name == "seed" && t.within == ""
					if taken && cmd.Flags().Changed(name) {
						return fmt.Errorf("--%s and --orders-file: the file decides that; leave --%s out", name, name)
					}
				}
			}
			if err := by.check(cmd, t, each); err != nil {
				return err
			}
			if spec.Basis == "" && cmd.Flags().Changed("basis-seed") {
				return errors.New("--basis-seed is of random bases; give --basis random too")
			}
			if spec.Basis != "" && by.column != "" {
				return errors.New("--basis and --rank: the ranking is one of units, not of directions; leave --rank out")
			}
			if each {
				for _, name := range []string{"orders", "points", "orders-file", "png", "seed", "basis"} {
					if cmd.Flags().Changed(name) && (name != "seed" || t.within == "") {
						return fmt.Errorf("--%s and --each: single units have no orderings and no curve; leave --%s out", name, name)
					}
				}
			}
			if spec.Bound, err = t.bound(cmd, spec.Seed); err != nil {
				return err
			}
			spec.Sites = t.sites
			l, r, err := t.open(a, args[0])
			if err != nil {
				return err
			}
			if each {
				res, err := l.Single(cmd.Context(), r, t.on, ablate.SingleSpec{Sites: spec.Sites, To: spec.To, Bound: spec.Bound})
				if err != nil {
					return err
				}
				a.planned(l, res.Receipt)
				return t.write(res, res.WriteCSV, res.Table(r.Label()), result.Curve{}, figure.Options{})
			}
			if by.column != "" {
				if spec.Given, err = l.Ranked(cmd.Context(), r, by.on, spec.Sites, by.column, by.descending); err != nil {
					return err
				}
				spec.Sites = nil
			}
			res, err := l.Ablate(cmd.Context(), r, t.on, spec)
			if err != nil {
				return err
			}
			a.planned(l, res.Receipt)
			auc := fmt.Sprintf("%.4f", res.AUC)
			if res.Bounded != nil {
				auc += fmt.Sprintf(" ± %.4f", math.Ceil(res.AUCHalfWidth*1e4)/1e4)
			}
			curve := res.Curve(r.Label())
			table := result.Table{
				Title:   fmt.Sprintf("Cumulative ablation of %s: AUC %s, relative %.4f", r.Label(), auc, res.AUCRelative),
				Columns: []result.Axis{{Name: curve.XAxis.Name}, {Name: "fraction"}, {Name: "accuracy", Unit: "fraction"}, {Name: "s.d. over orderings"}},
			}
			for i, k := range res.Grid {
				row := []any{k, res.Fraction[i], res.Mean[i], nil}
				if res.SD != nil {
					row[3] = res.SD[i]
				}
				table.Rows = append(table.Rows, row)
			}
			closeness(&table, res.Bounded, res.Examples)
			return t.write(res, res.WriteCSV, table, curve, figure.Options{
				Title: "Cumulative ablation of " + r.Label(), Chance: 1 / float64(len(res.Baseline.ByClass))})
		},
	}
	t.flags(c, a)
	f := c.Flags()
	f.IntVar(&spec.Orders, "orders", 0, "random orderings (default 10)")
	f.IntVar(&spec.Points, "points", 0, "points of the curve, from 0 to all units (default 20)")
	f.BoolVar(&each, "each", false, "clamp each unit alone, and list the units by what they do to the loss")
	f.Uint64Var(&spec.Seed, "seed", 1, "seed of the orderings, and of the examples looked at with --within")
	f.StringVar(&to, "to", "zero", "clamp units to: zero, mean, element-mean (each element of a feature map to its own mean), value:NUMBER")
	f.StringVar(&spec.Basis, "basis", "", "take out directions of a basis instead of units: random (default: units)")
	f.Uint64Var(&spec.BasisSeed, "basis-seed", 1, "with --basis random: seed of the bases, one for each ordering and site")
	f.StringVar(&by.column, "rank", "", "clamp units in the order of this column of directions units, the smallest first")
	f.BoolVar(&by.descending, "descending", false, "with --rank: the largest first")
	f.StringVar(&by.on.Split, "rank-on", "", "with --rank: the split that units are ranked on (default the one that is not --split)")
	f.StringVar(&orders, "orders-file", "", "JSON file with given orderings: {\"sites\": […], \"grid\": […], \"orders\": [[…], …]}")
	return c
}

// ranking is an order of units by one of their numbers.
type ranking struct {
	column     string
	descending bool
	on         lab.On
}

// check completes the ranking, or reports flags that do not go together.
func (b *ranking) check(c *cobra.Command, t *target, each bool) error {
	if b.column == "" {
		for _, name := range []string{"descending", "rank-on"} {
			if c.Flags().Changed(name) {
				return fmt.Errorf("--%s says how to rank units; give --rank COLUMN too, for example --rank selectivity", name)
			}
		}
		return nil
	}
	if each {
		return errors.New("--rank and --each: single units have no order; leave --rank out")
	}
	for _, name := range []string{"orders", "orders-file"} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--rank and --%s: the ranking is the order; leave --%s out", name, name)
		}
	}
	if b.on.Split == "" {
		b.on.Split = map[string]string{"train": "test", "test": "train"}[t.on.Split]
	}
	return nil
}

func readOrderings(path string) (*ablate.Orderings, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--orders-file: %w", err)
	}
	defer f.Close()
	o, err := ablate.ReadOrderings(f)
	if errors.Is(err, io.EOF) {
		err = errors.New("the file is empty; see `directions ablate --help` for what it should hold")
	}
	if err != nil {
		return nil, fmt.Errorf("--orders-file %s: %w", path, err)
	}
	return o, nil
}

func newImport(a *app) *cobra.Command {
	e, name := elsewhere{}, ""
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Take a network trained elsewhere into the store, and measure it",
		Long: "Check a .safetensors file with PyTorch's names and layout against a network, or read a classifier from an .onnx file\n" +
			"(directions inspect shows what is in it), measure its loss and accuracy on both splits of a data set, and keep it\n" +
			"among the trained networks.",
		Example: "  directions import cifar10-resnet20.safetensors --net resnet20 --data cifar10 --input imagenet --name resnet\n" +
			"  directions import model.onnx --data cifar10 --input imagenet --name mine",
		Args: one("a .safetensors or .onnx FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			r, err := e.read(l, args[0])
			if err != nil {
				return err
			}
			if r, err = l.Keep(cmd.Context(), r, name); err != nil {
				return err
			}
			fmt.Print(r.Table().Text())
			return nil
		},
	}
	f := c.Flags()
	e.flags(f, "FILE")
	f.StringVar(&name, "name", "", "name for the network")
	return c
}

func newNoise(a *app) *cobra.Command {
	t := &target{}
	spec := noise.Spec{}
	c := &cobra.Command{
		Use:   "noise RUN",
		Short: "Noise sweep: accuracy as growing noise is added to all units",
		Long: "Add Gaussian noise to every unit, scaled by the unit's own standard deviation over the training set.\n" +
			"RUN is a name or key (directions runs list), a .safetensors file with PyTorch's names and layout,\n" +
			"or an .onnx file with a classifier.",
		Example: "  directions noise half --repeats 5 --png noise.png",
		Args:    one(runArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(positive(cmd, "repeats"), t.check()); err != nil {
				return err
			}
			spec.Sites = t.sites
			var err error
			if spec.Bound, err = t.bound(cmd, spec.Seed); err != nil {
				return err
			}
			l, r, err := t.open(a, args[0])
			if err != nil {
				return err
			}
			res, err := l.Noise(cmd.Context(), r, t.on, spec)
			if err != nil {
				return err
			}
			a.planned(l, res.Receipt)
			table := result.Table{
				Title:   "Noise sweep of " + r.Label(),
				Columns: []result.Axis{{Name: "noise", Unit: "s.d. of the unit"}, {Name: "accuracy", Unit: "fraction"}, {Name: "s.d. over draws"}},
			}
			for i, scale := range res.Scales {
				row := []any{scale, res.Mean[i], nil}
				if res.SD != nil {
					row[2] = res.SD[i]
				}
				table.Rows = append(table.Rows, row)
			}
			closeness(&table, res.Bounded, res.Examples)
			return t.write(res, res.WriteCSV, table, res.Curve(r.Label()), figure.Options{
				Title: "Noise on the units of " + r.Label(), LogX: true, Chance: 1 / float64(len(res.Baseline.ByClass))})
		},
	}
	t.flags(c, a)
	f := c.Flags()
	f.Float64SliceVar(&spec.Scales, "scales", nil, "noise scales in s.d. of the unit (default 15 from 10^-1.5 to 10)")
	f.IntVar(&spec.Repeats, "repeats", 0, "noise draws (default 10)")
	f.Uint64Var(&spec.Seed, "seed", 1, "seed of the noise, and of the examples looked at with --within")
	return c
}
