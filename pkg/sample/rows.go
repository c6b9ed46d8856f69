package sample

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Rows is what a bounded analysis found, row by row (an ordering, a repeat): all points of a row were met by the same
// examples. It goes to JSON and back exactly.
type Rows struct {
	Bound
	Used      []int       `json:"used"`       // [rows] examples seen
	UsedRight []int       `json:"used_right"` // [rows] of these, classified as labelled by the unedited network
	Lost      [][]int     `json:"lost"`       // [rows, points] of these, the number wrong with the edits
	Gained    [][]int     `json:"gained"`     // [rows, points] of the others seen, the number right with the edits
	Accuracy  [][]float64 `json:"accuracy"`   // [rows, points] on all examples, estimated
	HalfWidth [][]float64 `json:"half_width"` // [rows, points] of its interval; 0 where it is exact
	// MeanHalfWidth is the mean of HalfWidth over rows [points]. The mean accuracy is within it if every accuracy is within
	// its own. The standard error of a mean is at most the mean of the standard errors, however the rows depend on each
	// other: where errors are about normal, it has the confidence of a single interval.
	MeanHalfWidth []float64 `json:"mean_half_width"`
}

// Add appends a row of trials after a look.
func (r *Rows) Add(s *Sample, look int, trials []Trial) {
	var lost, gained []int
	for _, t := range trials {
		lost, gained = append(lost, t.Lost), append(gained, t.Gained)
	}
	// Clipped, so that a partial result handed out earlier keeps its own.
	r.Used, r.UsedRight = append(slices.Clip(r.Used), s.looks[look]), append(slices.Clip(r.UsedRight), s.usedRight[look])
	r.Lost, r.Gained = append(slices.Clip(r.Lost), lost), append(slices.Clip(r.Gained), gained)
}

// Correct are the numbers of examples classified as labelled, of those seen [rows, points].
func (r Rows) Correct() [][]int {
	correct := make([][]int, len(r.Used))
	for i := range correct {
		for j := range r.Lost[i] {
			correct[i] = append(correct[i], r.UsedRight[i]-r.Lost[i][j]+r.Gained[i][j])
		}
	}
	return correct
}

// Estimate computes from the counts of so many points what follows from them, and returns for each point the mean over
// rows and the s.d. (nil with fewer than two rows). unedited is the score of the unedited network on all examples; exact,
// by point, those known from all examples (nil: none). Counts that cannot be are errors.
func (r *Rows) Estimate(points int, unedited unit.Score, exact map[int]unit.Score) (mean, sd []float64, err error) {
	rows := len(r.Used)
	if len(r.UsedRight) != rows || len(r.Lost) != rows || len(r.Gained) != rows {
		return nil, nil, errors.New("its lists of rows are not of one length")
	}
	d := r.Bound.design(unedited.Examples, unedited.Correct)
	r.Accuracy, r.HalfWidth, r.MeanHalfWidth = make([][]float64, rows), make([][]float64, rows), nil
	all := float64(d.all)
	counts := make([][]float64, points) // by point and row: estimates of the correct among all; integers where exact
	if rows == 0 {
		return nil, nil, nil
	}
	for i, used := range r.Used {
		right, wrong := r.UsedRight[i], used-r.UsedRight[i]
		if !slices.Contains(d.looks, used) || right < 0 || right > d.right || wrong < 0 || wrong > d.all-d.right ||
			len(r.Lost[i]) != points || len(r.Gained[i]) != points {
			return nil, nil, fmt.Errorf("row %d has %d examples with %d right and %d and %d points, which does not fit "+
				"looks at %v of %d examples with %d right and %d points", i, used, right, len(r.Lost[i]), len(r.Gained[i]),
				d.looks, d.all, d.right, points)
		}
		for j := range points {
			lost, gained := r.Lost[i][j], r.Gained[i][j]
			if lost < 0 || lost > right || gained < 0 || gained > wrong {
				return nil, nil, fmt.Errorf("row %d, point %d: %d lost of %d and %d gained of %d", i, j, lost, right, gained, wrong)
			}
			accuracy, half := d.accuracy(used, right, lost, gained)
			if score, ok := exact[j]; ok {
				accuracy, half = float64(score.Correct), 0
			}
			counts[j] = append(counts[j], accuracy)
			r.Accuracy[i], r.HalfWidth[i] = append(r.Accuracy[i], accuracy/all), append(r.HalfWidth[i], half/all)
		}
	}
	for j := range counts {
		m, s := stat.MeanSD(counts[j])
		mean = append(mean, m/all)
		if rows > 1 {
			sd = append(sd, s/all)
		}
		half := 0.
		for i := range rows {
			half += r.HalfWidth[i][j] / float64(rows)
		}
		r.MeanHalfWidth = append(r.MeanHalfWidth, half)
	}
	return mean, sd, nil
}

// Note says how closely every accuracy is known, and from how many of all examples:
// "± 0.43 points at 95 % (n = 3750 of 60000 examples)".
func (r Rows) Note(all int) string {
	if len(r.Used) == 0 {
		return ""
	}
	half := 0.
	for _, row := range r.HalfWidth {
		half = max(half, slices.Max(row))
	}
	n := fmt.Sprint(slices.Min(r.Used))
	if most := slices.Max(r.Used); fmt.Sprint(most) != n {
		n += fmt.Sprintf(" to %d", most)
	}
	return fmt.Sprintf("± %s at %s (n = %s of %d examples)", Points(half), Percent(r.Confidence), n, all)
}

// Band gives a curve its band: one s.d. over so many things to both sides, as in every analysis, and what Note says; nil
// Rows, those of an exact analysis, say nothing. With a single row, which has no s.d., the band is the intervals.
func (r *Rows) Band(c *result.Curve, sd []float64, over string, all int) {
	half := sd
	if sd != nil {
		c.Band = fmt.Sprintf("± s.d. over %d %s", c.N, over)
	}
	if r != nil && len(r.Used) > 0 {
		if sd == nil {
			half, c.Band = r.MeanHalfWidth, "interval of the accuracy, at most "+r.Note(all)
		} else {
			c.Band += "; each accuracy " + r.Note(all)
		}
	}
	for i, h := range half {
		c.Lo, c.Hi = append(c.Lo, c.Y[i]-h), append(c.Hi, c.Y[i]+h)
	}
}

// Points writes a half-width for people, in percentage points, rounded up: "0.43 points".
func Points(half float64) string {
	if half > 0 {
		digits := math.Pow10(1 - int(math.Floor(math.Log10(100*half)))) // two that count
		half = math.Ceil(100*half*digits*(1-1e-9)) / digits
	}
	return strconv.FormatFloat(half, 'g', 2, 64) + " points"
}

// Percent writes a confidence for people: "95 %".
func Percent(confidence float64) string {
	return strconv.FormatFloat(100*confidence, 'g', 6, 64) + " %"
}
