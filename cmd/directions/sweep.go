package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/paper"
	"github.com/seed-ea9a9d67/directions/pkg/parquet"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sweep"
)

const specArgument = "a SPEC: a .yaml file (`directions sweep example` shows one), a preset or a sweep in the store " +
	"(`directions sweep list`)"

func newSweep(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "sweep",
		Short: "Many networks that differ in a few parameters: run, status, missing, retry, export, list, example",
		Long: "Train and analyse every network of a grid or a random sample. SPEC is a YAML file (`directions sweep example`\n" +
			"prints one), a preset, or the name of a sweep that is in the store already. Interrupted or killed at any\n" +
			"moment, the same command goes on from there; networks of a changed SPEC never mix with those of the old one.",
		RunE: subcommands,
	}
	c.AddCommand(
		newSweepRun(a), newSweepWork(a), newSweepStatus(a), newSweepMissing(a), newSweepRetry(a), newSweepExport(a), newSweepList(a),
		&cobra.Command{
			Use:   "example",
			Short: "Print an example of a SPEC file",
			Args:  none,
			Run:   func(*cobra.Command, []string) { fmt.Print(sweep.Example) },
		},
	)
	return c
}

// sweep opens the lab and the sweep that SPEC names.
func (a *app) sweep(name string) (*sweep.Sweep, error) {
	l, err := a.open()
	if err != nil {
		return nil, err
	}
	return openSweep(l, name)
}

// sweepPresets are the sweeps that need no file: those of package sweep, and the networks of Figures 3 and 4c.
func sweepPresets() []sweep.Spec { return append(sweep.Presets(), paper.Ensembles()...) }

// openSweep finds the sweep that SPEC names.
func openSweep(l *lab.Lab, name string) (*sweep.Sweep, error) {
	ending := strings.ToLower(filepath.Ext(name))
	if ending == ".yaml" || ending == ".yml" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		spec, err := sweep.Read(f, strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return sweep.Open(l, spec)
	}
	for _, spec := range sweepPresets() {
		if spec.Name == name {
			return sweep.Open(l, spec)
		}
	}
	return sweep.Find(l, name)
}

// shard is a flag: i/n.
type shard struct{ sweep.Shard }

func (s *shard) Type() string { return "i/n" }

func (s *shard) String() string {
	if s.Shard == (sweep.Shard{}) {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Part, s.Of)
}

func (s *shard) Set(text string) error {
	var read sweep.Shard
	if n, err := fmt.Sscanf(text+"\n", "%d/%d\n", &read.Part, &read.Of); n != 2 || err != nil || read == (sweep.Shard{}) {
		return errors.New("part i of n is written i/n, with i from 1 to n, for example 1/4")
	}
	s.Shard = read
	return read.Check()
}

func newSweepRun(a *app) *cobra.Command {
	workers, part, batch := 1, shard{}, &slurmFlags{}
	c := &cobra.Command{
		Use:   "run SPEC",
		Short: "Compute what is missing of a sweep",
		Long: "Train and analyse the networks that have no row yet, in worker processes on this machine. Any number of these\n" +
			"commands may run at a time on one store, on several machines: each network is computed by one of them, and taken\n" +
			"over by another if its worker dies. With --slurm the tasks of an array job are the workers: nobody coordinates\n" +
			"them, and they may be requeued or lost. With --shard only every n-th network is looked at, for other schedulers.",
		Example: "  directions sweep run smoke\n  directions sweep run lr-batch.yaml --workers 4\n" +
			"  directions sweep run lr-batch.yaml --slurm --partition short --time 2:00:00 --array-size 16",
		Args: one(specArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cmp.Or(positive(cmd, "workers"), batch.check()); err != nil {
				return err
			}
			if a.recompute {
				return errors.New("--recompute is for single results; `directions sweep retry` has failed networks " +
					"computed again")
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			s, err := openSweep(l, args[0])
			if err != nil {
				return err
			}
			if s.Repeated > 0 {
				l.Note("%d combinations describe a network that is in the sweep already; they are left out", s.Repeated)
			}
			if batch.on {
				return a.runSlurm(cmd.Context(), s, batch)
			}
			return a.runLocal(cmd.Context(), s, workers, part.Shard)
		},
	}
	f := c.Flags()
	f.IntVar(&workers, "workers", 1, "processes that compute at a time; XLA uses all cores in each, so more than one pays\n"+
		"for small networks")
	f.Var(&part, "shard", "look at every n-th network only, beginning with the i-th: 1/8, …, 8/8")
	batch.flags(c)
	return c
}

// runLocal has workers on this machine compute a sweep, shows how they are doing, and prints the table.
func (a *app) runLocal(ctx context.Context, s *sweep.Sweep, workers int, part sweep.Shard) error {
	rows, err := s.Rows()
	if err != nil {
		return err
	}
	if rows.Tally().Missing() > 0 {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		var w io.Writer = os.Stderr
		if a.quiet {
			w = io.Discard
		}
		v := newSweepView(w, s, workers)
		err = s.Local(ctx, sweep.LocalOptions{
			Workers: workers, Shard: part, Tell: v.tell,
			Command: func() *exec.Cmd { return exec.Command(self, a.workArguments(s, workers, part)...) },
		})
		v.close()
		if err != nil {
			return err
		}
		if rows, err = s.Rows(); err != nil {
			return err
		}
	}
	fmt.Print(rows.Main().Text())
	return failures(s, rows)
}

// failures tells how a sweep ended; it is an error if networks failed.
func failures(s *sweep.Sweep, rows sweep.Rows) error {
	fmt.Fprintln(os.Stderr, rows.Tally())
	if n := rows.Tally().Failed; n > 0 {
		return fmt.Errorf("%d networks of sweep %s failed; `directions sweep status %s` says why, "+
			"`directions sweep retry %s` has them tried again", n, s.Name, s.ID, s.ID)
	}
	return nil
}

// workArguments are those of a worker process: the sweep by its ID, and the shared flags as they are here.
func (a *app) workArguments(s *sweep.Sweep, share int, part sweep.Shard) []string {
	args := a.sharedArguments(s)
	args = append(args, "--share", fmt.Sprint(share), "--events", "--wait")
	if part != (sweep.Shard{}) {
		args = append(args, "--shard", (&shard{part}).String())
	}
	return args
}

// sharedArguments begin the command line of every worker; folders in it do not depend on where it runs.
func (a *app) sharedArguments(s *sweep.Sweep) []string {
	args := []string{"sweep", "work", s.ID, "--home", filepath.Dir(filepath.Dir(s.Dir())), "--verify", a.verify}
	if a.backend != "" {
		args = append(args, "--backend", a.backend)
	}
	for _, dir := range a.data {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
		args = append(args, "--data-dir", dir)
	}
	if a.memory > 0 {
		args = append(args, "--memory", fmt.Sprint(a.memory))
	}
	return args
}

func newSweepWork(a *app) *cobra.Command {
	opt, part, events, share := sweep.WorkOptions{}, shard{}, false, 0
	c := &cobra.Command{
		Use:   "work SPEC",
		Short: "Be one worker of a sweep",
		Long: "Claim one network after another and compute it in this process, until there is none left to claim: what\n" +
			"`directions sweep run` starts several of, and what a task of any scheduler may run.",
		Args: one(specArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			// A scheduler tells every process of a task to end, and the script of the task tells this one again: the second
			// time must not end it before it has saved. Nobody needs to read the channel for that.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM)
			ctx, watch := cmd.Context(), &sweep.Watch{}
			if events {
				watch.Tell = sweep.EventWriter(os.NewFile(3, "events"))
				a.progress, a.note = watch.Progress(), watch.Note
				// Whoever started this process holds its standard input open for as long as it is to work.
				var cancel context.CancelCauseFunc
				ctx, cancel = context.WithCancelCause(ctx)
				go func() {
					_, _ = io.Copy(io.Discard, os.Stdin)
					cancel(fmt.Errorf("the command that started this worker has ended: %w", context.Canceled))
				}()
			} else {
				v := &workView{quiet: a.quiet}
				watch.Tell = v.tell
				a.progress, a.note = watch.Progress(), watch.Note
			}
			a.share = share
			if a.memory == 0 { // what Slurm gives a task, in MiB, may be far less than the machine has
				if given, err := strconv.ParseInt(os.Getenv("SLURM_MEM_PER_NODE"), 10, 64); err == nil && given > 0 {
					a.memory = max(given/4, 1)
				}
			}
			s, err := a.sweep(args[0])
			if err != nil {
				return err
			}
			opt.Shard, opt.Label, opt.Watch = part.Shard, sweep.TaskLabel(), watch
			return s.Work(ctx, opt)
		},
	}
	f := c.Flags()
	f.Var(&part, "shard", "look at every n-th network only, beginning with the i-th: 1/8, …, 8/8")
	f.BoolVar(&opt.Wait, "wait", false, "stay until all networks have a row, to take over those of workers that die")
	f.IntVar(&share, "share", 1, "this is one of so many processes that share the machine's memory")
	f.BoolVar(&events, "events", false, "write events to file descriptor 3, and end with standard input")
	_ = f.MarkHidden("events")
	return c
}

func newSweepStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status SPEC",
		Short: "How far a sweep is, who works on what, and what went wrong",
		Args:  one(specArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.sweep(args[0])
			if err != nil {
				return err
			}
			return status(cmd.Context(), s)
		},
	}
}

func columns(names ...string) (axes []result.Axis) {
	for _, name := range names {
		axes = append(axes, result.Axis{Name: name})
	}
	return axes
}

// status prints how far a sweep is.
func status(ctx context.Context, s *sweep.Sweep) error {
	rows, err := s.Rows()
	if err != nil {
		return err
	}
	holders, err := s.Workers()
	if err != nil {
		return err
	}
	all, note, err := tasks(ctx, s)
	if err != nil {
		return err
	}
	state, networks := map[string]string{}, map[string][]string{} // by task
	for _, t := range all {
		state[t.ID] = t.State
	}
	working := result.Table{Title: "In work", Columns: columns("network", "which", "worker", "what")}
	bad := result.Table{Title: "Not done", Columns: columns("network", "which", "status", "error")}
	for i, n := range s.Networks {
		if row := rows.Rows[i]; row != nil {
			if row.Status != sweep.Done {
				bad.Rows = append(bad.Rows, []any{n.Index, n.Label, row.Status, row.Error})
			}
			continue
		}
		h, ok := holders[n.Index]
		if !ok {
			continue
		}
		what := h.Note
		task := strings.TrimPrefix(h.Label, sweep.TaskPrefix)
		if h.Alive {
			networks[task] = append(networks[task], fmt.Sprint(n.Index))
		} else {
			what = fmt.Sprintf("no sign of life for %s; will be taken over", lab.Clock(h.Silent))
		}
		if state[task] != "" {
			what = strings.TrimSuffix(state[task]+"; "+what, "; ")
		}
		working.Rows = append(working.Rows, []any{n.Index, n.Label, h.String(), what})
	}
	fmt.Printf("Sweep %s: %s\n", s.ID, rows.Tally())
	for _, t := range []result.Table{working, bad, taskTable(all, networks)} {
		if len(t.Rows) > 0 {
			fmt.Printf("\n%s", t.Text())
		}
	}
	if note != "" {
		fmt.Println("\n" + note)
	}
	return nil
}

func newSweepMissing(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "missing SPEC",
		Short: "List the networks that have no row yet, one a line: number, key, what sets it apart",
		Args:  one(specArgument),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.sweep(args[0])
			if err != nil {
				return err
			}
			rows, err := s.Rows()
			if err != nil {
				return err
			}
			for i, n := range s.Networks {
				if rows.Rows[i] == nil {
					fmt.Printf("%d\t%s\t%s\n", n.Index, n.Run, n.Label)
				}
			}
			return nil
		},
	}
}

func newSweepRetry(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "retry SPEC",
		Short: "Forget what networks failed with, so that run computes them again",
		Args:  one(specArgument),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.sweep(args[0])
			if err != nil {
				return err
			}
			n, err := s.Retry()
			if err != nil {
				return err
			}
			fmt.Printf("%d networks failed; `directions sweep run %s` computes them again\n", n, args[0])
			return nil
		},
	}
}

func newSweepExport(a *app) *cobra.Command {
	csvFile, parquetFile, jsonFile := "", "", ""
	c := &cobra.Command{
		Use:   "export SPEC",
		Short: "Write the table of a sweep: one row for each network",
		Long: "One row for each network, computed or not: status, parameters, loss (nats) and accuracy (fraction) on the\n" +
			"training examples with their own labels and on the test examples, AUC of the cumulative ablation with its s.d.\n" +
			"over orderings, AUC of the noise sweep, seconds. A field is empty where there is no number. Without a file, the\n" +
			"main columns are printed.",
		Example: "  directions sweep export smoke --parquet smoke.parquet\n  directions sweep export smoke --csv -",
		Args:    one(specArgument),
		RunE: func(_ *cobra.Command, args []string) error {
			files := []string{csvFile, parquetFile, jsonFile}
			if len(slices.DeleteFunc(slices.Clone(files), func(f string) bool { return f != "-" })) > 1 {
				return errors.New("standard output (-) can take one of --csv, --parquet and --json; give the others a file")
			}
			err := cmp.Or(writable("--csv", csvFile), writable("--parquet", parquetFile), writable("--json", jsonFile))
			if err != nil {
				return err
			}
			s, err := a.sweep(args[0])
			if err != nil {
				return err
			}
			rows, err := s.Rows()
			if err != nil {
				return err
			}
			if strings.Join(files, "") == "" {
				fmt.Print(rows.Main().Text())
				return nil
			}
			table := rows.Table()
			for i, write := range []func(io.Writer) error{
				table.WriteRecordsCSV, func(w io.Writer) error { return parquet.Write(w, table) }, table.WriteRecords,
			} {
				if files[i] == "" {
					continue
				}
				if err := output(files[i], write); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&csvFile, "csv", "", "write the table as CSV to FILE (- for standard output)")
	f.StringVar(&parquetFile, "parquet", "", "write the table as Parquet to FILE (- for standard output)")
	f.StringVar(&jsonFile, "json", "", "write the table as a JSON list of records to FILE (- for standard output)")
	return c
}

func newSweepList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the sweeps in the store, the newest first, and the presets",
		Args:  none,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.open()
			if err != nil {
				return err
			}
			ids, err := sweep.IDs(l)
			if err != nil {
				return err
			}
			var bad []error
			t := result.Table{Title: "Sweeps in " + l.Store().Dir(),
				Columns: columns("sweep", "networks", "done", "diverged", "failed", "missing")}
			for _, id := range ids {
				s, err := sweep.Find(l, id)
				if err == nil {
					var rows sweep.Rows
					if rows, err = s.Rows(); err == nil {
						n := rows.Tally()
						t.Rows = append(t.Rows, []any{id, n.Networks, n.Done, n.Diverged, n.Failed, n.Missing()})
					}
				}
				bad = append(bad, err)
			}
			fmt.Print(t.Text())
			presets := result.Table{Title: "Presets", Columns: columns("preset", "networks", "net", "data", "varied")}
			for _, p := range sweepPresets() {
				networks, _, err := p.Networks()
				if err != nil {
					return err
				}
				var varied []string
				for _, axis := range p.Grid {
					varied = append(varied, axis.Name)
				}
				for _, r := range p.Random.Ranges {
					varied = append(varied, r.Name)
				}
				cells := []any{p.Name, len(networks), p.Base.Net, p.Base.Data, strings.Join(varied, ", ")}
				presets.Rows = append(presets.Rows, cells)
			}
			fmt.Printf("\n%s", presets.Text())
			return errors.Join(bad...)
		},
	}
}
