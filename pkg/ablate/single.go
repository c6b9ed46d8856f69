package ablate

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Impact is what clamping one unit alone does to a network. Differences are ablated minus unedited: a unit that matters
// has DeltaLoss > 0 and DeltaAccuracy < 0.
type Impact struct {
	Site          string     `json:"site"`
	Unit          int        `json:"unit"`
	Score         unit.Score `json:"score"`          // of the network without the unit
	DeltaLoss     float64    `json:"delta_loss"`     // of the mean cross-entropy, in nats: the paper's importance of a unit
	DeltaAccuracy float64    `json:"delta_accuracy"` // fraction of the examples
	// WorstClass is the class that loses the largest share of the examples the unedited network gets right, WorstClassDrop
	// that share (after Zhou et al. 2018; equal to the largest drop of a class's accuracy if the unedited network is right
	// on all of it). Of tied classes the lowest counts. The share is ≤ 0 if no class loses any; the class is −1 and the
	// share 0 if the unedited network is never right.
	WorstClass     int     `json:"worst_class"`
	WorstClassDrop float64 `json:"worst_class_drop"`
}

// Single clamps each unit of the named sites (none: every site) alone, and returns the score of the unedited network and
// one impact per unit, ordered by site and unit. All of it is one call of the evaluator: units + 1 sets of edits.
//
// Unknown sites, sites without units and whatever stops the evaluator are errors; there is no partial result.
func Single(
	ctx context.Context, e Evaluator, sites []string, to unit.Target,
) (baseline unit.Score, impacts []Impact, receipt unit.Receipt, err error) {
	fail := func(err error) (unit.Score, []Impact, unit.Receipt, error) {
		return unit.Score{}, nil, unit.Receipt{}, fmt.Errorf("single-unit ablation: %w", err)
	}
	chosen, err := unit.Select(e.Sites(), sites)
	if err != nil {
		return fail(err)
	}
	sets := [][]unit.Edit{nil}
	for _, s := range chosen {
		for u := range s.Units() {
			sets = append(sets, []unit.Edit{unit.Ablate(s.Name, to, u)})
		}
	}
	if len(sets) == 1 {
		return fail(errors.New("the network has no units to ablate; name its activations with tap points"))
	}
	var seconds float64
	scores, receipt, err := evaluate(ctx, e, sets, &seconds)
	if err != nil {
		return fail(err)
	}
	baseline = scores[0]
	for i, score := range scores[1:] {
		if len(score.ByClass) != len(baseline.ByClass) {
			return fail(fmt.Errorf("the evaluator split its scores into %d classes, and into %d for the unedited network",
				len(score.ByClass), len(baseline.ByClass)))
		}
		edit := sets[i+1][0]
		impact := Impact{
			Site: edit.Site, Unit: edit.Units[0], Score: score,
			DeltaLoss:     (score.Loss - baseline.Loss) / float64(baseline.Examples),
			DeltaAccuracy: float64(score.Correct-baseline.Correct) / float64(baseline.Examples),
			WorstClass:    -1,
		}
		for c, right := range baseline.ByClass {
			if right == 0 {
				continue
			}
			drop := float64(right-score.ByClass[c]) / float64(right)
			if impact.WorstClass < 0 || drop > impact.WorstClassDrop {
				impact.WorstClass, impact.WorstClassDrop = c, drop
			}
		}
		impacts = append(impacts, impact)
	}
	return baseline, impacts, receipt, nil
}
