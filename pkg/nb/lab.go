package nb

import (
	"fmt"
	"os"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/paper"
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
func Lab() *lab.Lab {
	return Must(lab.Open(lab.Options{
		Progress:  Progress(),
		Note:      func(text string) { fmt.Fprintln(os.Stderr, text) },
		Recompute: recompute(),
	}))
}

func recompute() bool { return os.Getenv(RecomputeVar) == "1" }

// Figure is a figure of the paper: from the results committed beside the notebook, from the store, or computed now,
// which may take long. DIRECTIONS_PRESET chooses the preset; with DIRECTIONS_RECOMPUTE=1 it is computed in any case and
// its result written to the committed ones.
func Figure(id string) *paper.Result {
	preset := os.Getenv(PresetVar)
	if preset == "" {
		preset = "quick"
	}
	return Must(paper.Compute(Context(), Lab(), id, paper.Options{
		Preset: preset, Results: Results, Recompute: recompute(), Save: recompute(),
	}))
}
