package nb

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/paper"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
)

// What a user may set before starting the notebook, or in a cell with %env NAME VALUE.
const (
	PresetVar    = "DIRECTIONS_PRESET"    // preset of Figure: smoke, quick (default) or paper
	RecomputeVar = "DIRECTIONS_RECOMPUTE" // 1: compute results again, even if they are committed or in the store
)

// Results is the folder of committed figure results beside the notebooks.
const Results = "results"

// Lab is the lab that cells work in, with Progress. Declaring it in a notebook's first cell is cheap: it opens data,
// networks and backend only when a cell needs them.
//
//	var l = nb.Lab()
func Lab() *lab.Lab { return open(recompute()) }

func open(recompute bool) *lab.Lab {
	return Must(lab.Open(lab.Options{
		Progress:  Progress(),
		Note:      func(text string) { fmt.Fprintln(os.Stderr, text) },
		Recompute: recompute,
	}))
}

func recompute() bool { return os.Getenv(RecomputeVar) == "1" }

// Figure is a figure of the paper: from the results committed beside the notebook, from the store, or computed now,
// which may take long. DIRECTIONS_PRESET chooses the preset; with DIRECTIONS_RECOMPUTE=1 it is computed in any case, once
// in a notebook's session however many cells show it, and its result is written to the committed ones.
func Figure(id string) *paper.Result {
	preset := os.Getenv(PresetVar)
	if preset == "" {
		preset = "quick"
	}
	mark := recomputed(id, preset)
	anew := recompute()
	if _, err := os.Stat(mark); mark != "" && err == nil {
		anew = false
	}
	r := Must(paper.Compute(Context(), open(anew), id, paper.Options{
		Preset: preset, Results: Results, Recompute: anew, Save: anew,
	}))
	if anew && mark != "" {
		Must0(os.WriteFile(mark, nil, 0o644))
	}
	return r
}

// Unit is one unit of a trained network to look at, on the test examples: the pictures that excite it most, its class tuning
// curve, and what its ablation breaks. run is a name or key; units of a site are counted from 0.
//
//	nb.Show(nb.Unit("mine", "layer3.2", 17))
func Unit(run, site string, index int) lab.View {
	l := Lab()
	return Must(l.Look(Context(), Must(l.Find(run)), lab.On{}, site, index))
}

// OverTraining is what became of the units of a network in the course of its training, measured on the test examples at the
// checkpoints that it kept: their class selectivity by layer, and what ablating one of them does. run is a name or key.
//
//	nb.Show(nb.OverTraining("mine"))
func OverTraining(run string) lab.Course {
	l := Lab()
	return Must(l.Course(Context(), Must(l.Find(run)), lab.On{}, &lab.On{}, selectivity.Spec{Seed: 1}))
}

// recomputed is the file that tells later cells of this notebook's session that a figure was computed anew; the folder is
// the kernel's own and ends with it. Outside a notebook there are no later cells, and no file.
func recomputed(id, preset string) string {
	dir := os.Getenv("GONB_TMP_DIR")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "recomputed-"+id+"-"+preset)
}
