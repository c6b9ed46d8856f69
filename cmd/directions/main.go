// Command directions trains networks, measures how much they rely on single directions of their activation space, and
// draws the figures of Morcos et al. 2018. Results go to standard output, everything else to standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "directions:", err)
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "What was finished is saved; the same command goes on from there.")
		os.Exit(130)
	}
	os.Exit(1)
}

// app holds the flags that all commands share.
type app struct {
	home, backend string
	data          []string
	memory        int64
	quiet         bool
	recompute     bool
	verify        string
	plan          bool // of the commands that analyse

	// Of a worker of a sweep, whose progress goes elsewhere, and which is one of share.
	progress lab.Progress
	note     func(string)
	share    int
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "directions",
		Short: "How much does a network rely on single directions of its activation space?",
		Long: "Directions trains networks, ablates and perturbs their units, and draws the figures of\n" +
			"Morcos, Barrett, Rabinowitz, Botvinick: On the importance of single directions for generalization (ICLR 2018).",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          subcommands,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; `%s --help` lists the flags", err, c.CommandPath())
	})
	f := root.PersistentFlags()
	f.StringVar(&a.home, "home", "", "folder of trained networks and results (default DIRECTIONS_HOME, or the user's data folder)")
	f.StringVar(&a.backend, "backend", "", "go, xla:cpu, xla:cuda or xla:/path/to/plugin.so (default GOMLX_BACKEND, or the best there is)")
	f.StringSliceVar(&a.data, "data-dir", nil, "folders with data sets (default DIRECTIONS_DATA)")
	f.Int64Var(&a.memory, "memory", 0, "MiB an evaluation pass may use (default a quarter of the machine's memory)")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notes")
	f.BoolVar(&a.recompute, "recompute", false, "compute results even if they are in the store")
	f.StringVar(&a.verify, "verify", "sample", "how much is computed a second time on the plain path: sample, or all")
	root.AddCommand(
		newTrain(a), newImport(a), newInspect(), newAblate(a), newNoise(a), newUnits(a), newUnit(a), newComplexity(a), newSweep(a), newFigure(a), newDemo(a), newRuns(a), newData(a), newDoctor(a),
	)
	return root
}

// open opens the lab as the shared flags say.
func (a *app) open() (*lab.Lab, error) {
	opt := lab.Options{Home: a.home, Backend: a.backend, Data: a.data, Memory: a.memory << 20, Recompute: a.recompute, Plan: a.plan,
		Share: a.share}
	switch a.verify {
	case "sample":
	case "all":
		opt.Verify = -1
	default:
		return nil, fmt.Errorf("--verify %q is not one of sample, all", a.verify)
	}
	if a.memory < 0 || a.memory > 1<<40 {
		return nil, fmt.Errorf("--memory %d: a number of MiB, at least 1 (0 means a quarter of the machine's memory)", a.memory)
	}
	if a.progress != nil {
		opt.Progress, opt.Note = a.progress, a.note
	} else if !a.quiet {
		opt.Progress = lab.Terminal(os.Stderr)
		opt.Note = func(text string) { fmt.Fprintln(os.Stderr, text) }
	}
	return lab.Open(opt)
}

// subcommands is what a command does that only has commands below it.
func subcommands(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	c.SuggestionsMinimumDistance = 2 // letters
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("no command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("no command %q; `%s --help` lists the commands", args[0], c.CommandPath())
}

// none, one and some say how many arguments a command takes, and what they are.
func none(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, but %q was given; `%s --help` lists its flags", c.Name(), args[0], c.CommandPath())
	}
	return nil
}

func one(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s takes one argument, %s; %d were given", c.Name(), what, len(args))
		}
		return nil
	}
}

func some(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s takes at least one argument, %s", c.Name(), what)
		}
		return nil
	}
}

const (
	runArgument    = "a RUN: a name or key from `directions runs list`, or a .safetensors or .onnx file"
	storedArgument = "a RUN: a name or key from `directions runs list`"
	dataArgument   = "the NAME of a data set (`directions data list`)"
)

// positive refuses a 0 that was asked for, which further down would mean the default, and what is less.
func positive(c *cobra.Command, names ...string) error {
	for _, name := range names {
		f := c.Flags().Lookup(name)
		if x, err := strconv.ParseFloat(f.Value.String(), 64); f.Changed && (err != nil || !(x > 0)) {
			return fmt.Errorf("--%s is %s, it must be greater than 0; leave it out for the default", name, f.Value)
		}
	}
	return nil
}
