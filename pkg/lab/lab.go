// Package lab is what a user works in: data sets, a backend, a store of trained networks and results, and progress, in one
// handle. Its verbs are train-or-load and compute-or-load: what the store already has under the same key (specification
// with defaults, content of the data, version of the code) is read, everything else is computed, saved as it goes, and
// continued after an interruption.
package lab

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/datasets/imagefolder"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Options of a Lab. The zero value is what the environment says.
type Options struct {
	Home      string        // the store's folder; "": DIRECTIONS_HOME, or the user's data folder
	Data      []string      // folders with data sets, searched before the store's; nil: those of DIRECTIONS_DATA
	Backend   string        // see backend.Open; "": GOMLX_BACKEND, or the best there is
	Progress  Progress      // nil: Silent()
	Note      func(string)  // told in one line what was loaded, resumed or ignored; nil: nobody
	Recompute bool          // compute results even if the store has them (trained networks are still loaded)
	Memory    int64         // bytes an evaluation pass may use; 0: a quarter of the machine's memory
	Share     int           // this process is one of so many that compute here: without Memory, each may use its share of that quarter
	Verify    int           // see probe.Options
	SaveEvery time.Duration // how often an unfinished training is saved; 0: see fit.Options
	Plan      bool          // Note what an analysis is going to do, and how long it will take, before it does
}

// Lab is safe for concurrent use.
type Lab struct {
	opt   Options
	store *result.Store

	opening sync.Mutex
	b       *backend.Backend // nil until something needs it

	loading sync.Mutex
	sets    map[string]*datasets.Set // loaded before; nobody writes to them

	scanning sync.Mutex
	folders  map[string]*imagefolder.Folder // looked through before
}

// Open opens the store. Data and backend are opened when something needs them, so reading results needs neither.
func Open(opt Options) (*Lab, error) {
	if opt.Data == nil {
		opt.Data = filepath.SplitList(os.Getenv("DIRECTIONS_DATA"))
	}
	if opt.Progress == nil {
		opt.Progress = Silent()
	}
	if opt.Memory == 0 && opt.Share > 1 {
		opt.Memory = probe.PhysicalMemory() / 4 / int64(opt.Share)
	}
	store, err := result.Open(opt.Home)
	if err != nil {
		return nil, err
	}
	return &Lab{opt: opt, store: store, sets: map[string]*datasets.Set{}, folders: map[string]*imagefolder.Folder{}}, nil
}

// Store is where trained networks and results are.
func (l *Lab) Store() *result.Store { return l.store }

// Backend opens the backend, once.
func (l *Lab) Backend() (*backend.Backend, error) {
	l.opening.Lock()
	defer l.opening.Unlock()
	if l.b == nil {
		b, err := backend.Open(l.opt.Backend, l.store.Dir())
		if err != nil {
			return nil, err
		}
		l.b = b
	}
	return l.b, nil
}

// DataDirs lists the folders that are searched for data sets, in order.
func (l *Lab) DataDirs() []string {
	return append(append([]string{}, l.opt.Data...), l.store.DataDir())
}

// Fetch downloads a data set into the store, or what is missing of it.
func (l *Lab) Fetch(ctx context.Context, name string) error {
	e, err := datasets.Lookup(name)
	if err != nil {
		return err
	}
	meter := l.opt.Progress.Start("fetching "+name, int(e.Bytes()), "bytes")
	defer meter.Done()
	err = datasets.Fetch(ctx, name, l.store.DataDir(), meter.Advance)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w\nwithout a network: put the published files into %s, or set DIRECTIONS_DATA to a folder that has %s/",
			err, filepath.Join(l.store.DataDir(), name), name)
	}
	return err
}

// Note tells the user something in one line.
func (l *Lab) Note(format string, args ...any) {
	if l.opt.Note != nil {
		l.opt.Note(fmt.Sprintf(format, args...))
	}
}

// Manifest starts the manifest of something computed here: what is the same for everything this process computes.
func (l *Lab) Manifest(key string, config any, inputs map[string]string) result.Manifest {
	m := result.Manifest{Key: key, Config: config, Inputs: inputs, Versions: result.Versions(), Machine: result.Machine()}
	l.opening.Lock()
	defer l.opening.Unlock()
	if l.b != nil {
		m.Backend = l.b.Kind
	}
	return m
}

// About says what computes here: versions, backend and machine, for the last cell of a notebook.
func (l *Lab) About() (result.Table, error) {
	b, err := l.Backend()
	if err != nil {
		return result.Table{}, err
	}
	t := result.Table{Title: "What computed this", Columns: []result.Axis{{Name: "what"}, {Name: "which"}}}
	versions := result.Versions()
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		t.Rows = append(t.Rows, []any{name, versions[name]})
	}
	t.Rows = append(t.Rows, []any{"backend", b.Kind}, []any{"machine", result.Machine()})
	return t, nil
}
