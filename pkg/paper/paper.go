// Package paper reproduces the figures of Morcos, Barrett, Rabinowitz and Botvinick, "On the importance of single
// directions for generalization" (ICLR 2018). Each figure is one file: what is trained and measured at which preset, the
// curves and the table that come out, and the paper's claims as tests on our numbers, passed or failed. What four follow-up
// papers found (section 5) stands in figures of their own: zhou, amjad, ranadive and leavitt.
//
// Presets: "smoke" runs in seconds (convolutional networks in minutes) on data that are part of the program; "quick" keeps
// the paper's analysis, and its network and data as far as two cores can go in an hour; "paper" is the paper's protocol.
// In what a preset is smaller than the paper stands under the figure and in the manifest.
package paper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/datasets/imagefolder"
	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// version enters every figure's key. It changes when curves, tables or claims change for the same networks.
const version = 1

// Result is a figure in numbers, ready to be drawn.
type Result struct {
	ID     string         `json:"figure"` // "1a"
	Title  string         `json:"title"`
	Preset string         `json:"preset"`
	Data   string         `json:"data"`
	Curves []result.Curve `json:"curves"`
	Table  result.Table   `json:"table"`
	// Of figures that draw units or networks: one row each; of units, how two of their numbers go together per layer and pooled.
	Units     result.Table    `json:"units,omitzero"`
	Relations *stat.Relations `json:"relations,omitempty"`

	Claims  []result.Claim `json:"claims"`
	Caption []string       `json:"caption"`

	Manifest result.Manifest `json:"-"` // travels beside the result
}

// Figure draws the result.
func (r *Result) Figure() (*figure.Figure, error) {
	f, err := lookup(r.ID)
	if err != nil {
		return nil, err
	}
	return f.draw(r)
}

// heading is the title above the drawing.
func (r *Result) heading() string {
	return called(r.ID) + ". " + r.Title + " (" + shortData(r.Data) + ")"
}

// called is what a figure goes by: its number in the paper, or the follow-up whose finding it is about.
func called(id string) string {
	if d, err := lookup(id); err == nil && d.After != "" {
		return d.After
	}
	return "Figure " + id
}

// shortData is what a data set is called where there is little room: a folder of pictures by the folder's own name.
func shortData(data string) string {
	if s, err := imagefolder.Parse(data); err == nil {
		return filepath.Base(s.Dir)
	}
	return data
}

// Passed reports whether every claim holds.
func (r *Result) Passed() bool {
	return !slices.ContainsFunc(r.Claims, func(c result.Claim) bool { return !c.Passed })
}

// Info describes a figure that can be computed.
type Info struct {
	ID      string
	Title   string
	After   string   // for what a follow-up paper found, that paper: "Zhou et al. 2018"; else it is a figure of the paper
	Claim   string   // what the paper says it shows
	Presets []string // from the cheapest to the paper's own
	Data    []string // data sets it can be drawn for: first that of smoke, then that of the other presets, then more
	// Run tells that presets other than smoke are about a network that was trained elsewhere and imported (Options.Run), and
	// about its data.
	Run bool
}

// data is the data set of a preset if none is asked for.
func (i Info) data(preset string) string {
	if preset == "smoke" {
		return i.Data[0]
	}
	return i.Data[1]
}

// design is what a figure's file provides.
type design struct {
	Info
	plan    func(preset, data string) (plan, error)
	given   func(preset string, k known) plan // if Info.Run: the plan for presets other than smoke
	compute func(ctx context.Context, l *lab.Lab, p plan) (*Result, error)
	draw    func(r *Result) (*figure.Figure, error)
}

// plan is everything that determines a figure, in the form its key is made of, and what a preset leaves out.
type plan struct {
	Spec      any      // the part that is hashed
	Narrowing []string // in what it is smaller than the paper
	Seeds     map[string]uint64
	Networks  []lab.Spec // all of Spec's
	Passes    int        // over a network's training examples that the analyses of one network take, without shortcuts
}

func designs() []design {
	return []design{
		figure1a(), figure1b(), figure2a(), figure2b(), figure3a(), figure3b(), figure4a(), figure4b(), figure4bConvNet(), figure4c(),
		figure5a(), figure5b(), figure6a(), figure6b(), figure7a(), figure7b(), figure7c(), figure7d(), figure7e(),
		figureA1(), figureA2a(), figureA2b(), figureA3a(), figureA3b(), figureA4a(), figureA4b(), figureA4c(), figureA4d(), figureA4e(),
		figureZhou(), figureAmjad(), figureRanadive(), figureLeavitt(), scoreboard(),
	}
}

// List names all figures.
func List() []Info {
	var infos []Info
	for _, d := range designs() {
		infos = append(infos, d.Info)
	}
	return infos
}

func lookup(id string) (design, error) {
	var ids []string
	for _, d := range designs() {
		if d.ID == id {
			return d, nil
		}
		ids = append(ids, d.ID)
	}
	return design{}, fmt.Errorf("figure %q is not one of %v", id, ids)
}

// Options of Compute. The zero value is the smoke preset on its own data.
type Options struct {
	Preset string // "": "smoke", or with a Run "quick"
	Data   string // "": for smoke data that are part of the program, else the paper's, or the run's
	Run    string // for figures with Info.Run: a run's name or key, of whatever data; "": resnet20
	// Results is a folder of results by name, such as those committed beside the notebooks: a result there that has the
	// right key is read instead of computed. "" means none.
	Results   string
	Save      bool // write the result to Results
	Recompute bool // do not read results, neither there nor in the store
}

// FileName is the name of a figure's result in a folder of results. That of a folder of pictures has the folder's own name,
// with - for what file names had better not have, and digits that tell it from others of that name.
func FileName(id, preset, data string) string {
	if s, err := imagefolder.Parse(data); err == nil {
		sum := sha256.Sum256([]byte(s.String()))
		data = "imagefolder-" + unsafeInNames.ReplaceAllString(filepath.Base(s.Dir), "-") + "-" + hex.EncodeToString(sum[:4])
	}
	return fmt.Sprintf("figure-%s-%s-%s.json", id, preset, data)
}

var unsafeInNames = regexp.MustCompile(`[^0-9A-Za-z._-]+`)

// Compute returns a figure's result, from Options.Results, from the lab's store, or computed now.
func Compute(ctx context.Context, l *lab.Lab, id string, opt Options) (*Result, error) {
	d, err := lookup(id)
	if err != nil {
		return nil, err
	}
	r, err := d.result(ctx, l, opt)
	if err != nil {
		return nil, fmt.Errorf("figure %s: %w", id, err)
	}
	return r, nil
}

func (d design) result(ctx context.Context, l *lab.Lab, opt Options) (*Result, error) {
	if opt.Preset == "" && opt.Run != "" {
		opt.Preset = "quick"
	}
	if opt.Preset == "" {
		opt.Preset = "smoke"
	}
	if !slices.Contains(d.Presets, opt.Preset) {
		return nil, fmt.Errorf("preset %q is not one of %v", opt.Preset, d.Presets)
	}
	if opt.Save && opt.Results == "" {
		return nil, errors.New("the result is to be saved, but there is no folder for it (Options.Results, --results)")
	}
	p, data, err := d.planned(ctx, l, opt)
	if err != nil {
		return nil, err
	}
	opt.Data = data.name
	key, err := result.Key("figure", version, d.ID, data.hash, p.Spec)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(opt.Results, FileName(d.ID, opt.Preset, opt.Data))
	r := new(Result)
	if !opt.Recompute {
		if opt.Results != "" {
			m, err := result.ReadFile(file, r)
			switch {
			case err == nil && m.Key == key:
				r.Manifest = m
				return r, nil
			case err == nil:
				l.Note("%s belongs to another version of figure %s; computing it anew", file, d.ID)
			case !errors.Is(err, fs.ErrNotExist):
				return nil, err
			}
		}
		r = new(Result)
		m, ok, err := l.Store().Get(key, r)
		if err != nil {
			return nil, err
		}
		if ok {
			r.Manifest = m
			return r, save(r, file, opt)
		}
	}
	if opt.Preset == "paper" && len(p.Networks) > 0 {
		if err := announce(ctx, l, p); err != nil {
			return nil, err
		}
	}
	if r, err = d.compute(ctx, l, p); err != nil {
		return nil, err
	}
	r.ID, r.Title, r.Preset, r.Data = d.ID, d.Title, opt.Preset, opt.Data
	r.Table.Title = called(d.ID) + ": " + r.Table.Title
	r.Caption = append(r.Caption, caption(opt.Preset, p.Narrowing))
	parts := r.Manifest // backend and seconds are those of the parts, which may have been computed long ago
	r.Manifest = l.Manifest(key, p.Spec, parts.Inputs)
	r.Manifest.Backend, r.Manifest.Seconds = parts.Backend, parts.Seconds
	r.Manifest.Seeds, r.Manifest.Narrowing = p.Seeds, p.Narrowing
	if err := l.Store().Put(key, r.Manifest, r); err != nil {
		return nil, err
	}
	return r, save(r, file, opt)
}

// contents names a data set and tells it from others of that name.
type contents struct{ name, hash string }

// planned is the plan for some options, and the data set it is for.
func (d design) planned(ctx context.Context, l *lab.Lab, opt Options) (plan, contents, error) {
	fail := func(err error) (plan, contents, error) { return plan{}, contents{}, err }
	if d.Run && opt.Preset != "smoke" {
		opt.Data = lab.Spec{Data: opt.Data}.WithDefaults().Data // a folder has one name only
		k, err := d.find(ctx, l, opt)
		if err != nil {
			return fail(err)
		}
		if opt.Data != "" && opt.Data != k.Data {
			return fail(fmt.Errorf("data set %q: the run is of %s; leave the data set out", opt.Data, k.Data))
		}
		return d.given(opt.Preset, k), contents{k.Data, k.hash}, nil
	}
	if opt.Run != "" {
		if d.Run {
			return fail(fmt.Errorf("run %q: preset smoke trains a network of its own; presets quick and paper take a run", opt.Run))
		}
		return fail(fmt.Errorf("run %q: this figure trains its own networks; %v take a run", opt.Run, ofRuns()))
	}
	if opt.Data == "" {
		opt.Data = d.data(opt.Preset)
	}
	e, err := datasets.Lookup(opt.Data)
	if err != nil {
		return fail(err)
	}
	if !slices.Contains(d.Data, opt.Data) {
		return fail(fmt.Errorf("data set %q is not one of %v", opt.Data, d.Data))
	}
	p, err := d.plan(opt.Preset, opt.Data)
	return p, contents{opt.Data, e.Hash()}, err
}

func save(r *Result, file string, opt Options) error {
	if !opt.Save {
		return nil
	}
	if err := os.MkdirAll(opt.Results, 0o755); err != nil {
		return err
	}
	return result.WriteResultFile(file, r.Manifest, r)
}

func caption(preset string, narrowing []string) string {
	text := "Preset " + preset + "."
	for i, n := range narrowing {
		if i == 0 {
			text += " Smaller than the paper: "
		} else {
			text += "; "
		}
		text += n
	}
	if len(narrowing) > 0 {
		text += "."
	}
	return text
}
