// Command bench measures this toolkit side by side with what its users would take instead: PyTorch with forward hooks,
// and Captum. Both sides get the same weights, images, labels, edits and number of threads, on the same machine in the
// same run, turn by turn; their answers are compared, and an answer that differs by more than rounding can explain fails
// the benchmark. bench/README.md says what is measured and how, and holds the tables that this command writes.
//
//	make bench                  everything, in an hour or so
//	make bench ONLY=1,2,growth  some of it; the rest of the tables stays
//	make bench QUICK=1          a self-test of the benchmark, in a minute; the tables go to bench/.work/quick
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetFlags(0)
	if err := run(ctx, os.Args[1:]); err != nil {
		log.Fatalf("bench: %v", err)
	}
}

// bench is a run of the benchmark.
type bench struct {
	ctx     context.Context
	opt     options
	lab     *lab.Lab
	backend *backend.Backend
	threads int             // of both sides
	work    string          // folder that both sides read: weights, images, labels, orders
	written map[string]bool // names of the data in it
	peers   map[string]*peer

	// ask sends a request to a script: process, but in tests.
	ask func(script string, r request) (answer, error)
}

type options struct {
	only     []string
	quick    bool
	repeats  int
	dir      string // this folder
	out      string // folder of the tables and results
	python   string
	weights  string // of the MLP
	resnet20 string
}

// sections are what -only selects from, in their order.
var sections = []struct {
	name string
	run  func(*bench, *Report) error
}{
	{"1", (*bench).mlpCurve},
	{"2", (*bench).mlpImpact},
	{"3", (*bench).resnetImpact},
	{"4", (*bench).convCurve},
	{"5", (*bench).mlpNoise},
	{"6", (*bench).training},
	{"growth", (*bench).growth},
	{"peak", (*bench).peak},
}

func sectionNames() []string {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

func parseOptions(args []string) (options, error) {
	var opt options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "what to measure, of "+strings.Join(sectionNames(), ",")+" (default all)")
	flags.BoolVar(&opt.quick, "quick", false, "tiny sizes: a self-test, not a measurement")
	flags.IntVar(&opt.repeats, "repeats", 0,
		"measured runs of each side, 3 by default and 2 with -quick; work of over two minutes is run once")
	flags.StringVar(&opt.dir, "dir", "bench", "the benchmark's folder")
	flags.StringVar(&opt.out, "out", "",
		"folder for README.md and results.json (default DIR, with -quick DIR/.work/quick)")
	flags.StringVar(&opt.python, "python", "",
		"the Python that has the packages of requirements.txt (default DIR/.venv/bin/python)")
	flags.StringVar(&opt.weights, "weights", "", "safetensors file of a trained mlp:512,512 (default: trained here)")
	flags.StringVar(&opt.resnet20, "resnet20", "",
		"safetensors file of a trained resnet20 (default "+resnet20File+" in the folders of DIRECTIONS_DATA)")
	if err := flags.Parse(args); err != nil {
		return opt, err
	}
	if flags.NArg() > 0 {
		return opt, fmt.Errorf("unknown argument %q; see -help", flags.Arg(0))
	}
	if opt.repeats < 0 {
		return opt, fmt.Errorf("repeats is %d, at least 1 is needed", opt.repeats)
	}
	if opt.repeats == 0 {
		opt.repeats = 3
		if opt.quick {
			opt.repeats = 2
		}
	}
	opt.only = sectionNames()
	if *only != "" {
		opt.only = strings.Split(*only, ",")
	}
	for _, name := range opt.only {
		if !slices.Contains(sectionNames(), name) {
			return opt, fmt.Errorf("-only: no section %q; choose from %s", name, strings.Join(sectionNames(), ","))
		}
	}
	if opt.out == "" && opt.quick {
		opt.out = filepath.Join(opt.dir, ".work", "quick")
	}
	if opt.out == "" {
		opt.out = opt.dir
	}
	if opt.python == "" {
		opt.python = filepath.Join(opt.dir, ".venv", "bin", "python")
	}
	return opt, nil
}

func run(ctx context.Context, args []string) error {
	opt, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(opt.python); err != nil {
		return fmt.Errorf("no Python for the peers: %w; make bench sets it up", err)
	}
	b, err := open(ctx, opt)
	if err != nil {
		return err
	}
	defer b.close()
	if err := copyPage(opt.dir, opt.out); err != nil {
		return err
	}
	old, err := readReport(filepath.Join(opt.out, "results.json"))
	if err != nil {
		return err
	}
	report := &Report{
		Quick: opt.quick, Date: time.Now().UTC().Format(time.DateOnly), Commit: commit(opt.dir),
		Machine: machine(), Threads: b.threads,
	}
	if report.Versions, err = b.versions(); err != nil {
		return err
	}
	report.keep(old)
	began := time.Now()
	for _, s := range sections {
		if !slices.Contains(opt.only, s.name) {
			continue
		}
		log.Printf("== %s (after %.0f s)", s.name, time.Since(began).Seconds())
		if err := s.run(b, report); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := report.write(opt.out); err != nil { // what is measured is kept, whatever comes
			return err
		}
	}
	fmt.Println(report.workloadTable())
	fmt.Printf("tables and raw seconds: README.md and results.json in %s\n", opt.out)
	if bad := report.disagreements(); len(bad) > 0 {
		return fmt.Errorf("answers differ by more than rounding: %s", strings.Join(bad, "; "))
	}
	return nil
}

func open(ctx context.Context, opt options) (*bench, error) {
	l, err := lab.Open(lab.Options{Note: func(text string) { log.Print(text) }})
	if err != nil {
		return nil, err
	}
	engine, err := l.Backend()
	if err != nil {
		return nil, err
	}
	log.Printf("%s, %d threads", engine, runtime.NumCPU())
	b := &bench{
		ctx: ctx, opt: opt, lab: l, backend: engine, threads: runtime.NumCPU(), work: filepath.Join(opt.dir, ".work"),
		peers: map[string]*peer{}, written: map[string]bool{},
	}
	b.ask = b.process
	return b, os.MkdirAll(b.work, 0o755)
}

func (b *bench) close() {
	for _, p := range b.peers {
		p.close()
	}
}

// size is full, or tiny in a self-test.
func (b *bench) size(full, tiny int) int {
	if b.opt.quick {
		return tiny
	}
	return full
}
