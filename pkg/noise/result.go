package noise

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Result is a noise sweep: the counts, and what follows from them. It goes to JSON and back exactly.
//
// With a bound, Correct counts the examples that the repeat was evaluated on (Bounded.Used), and Mean and SD are of
// accuracies estimated for all Examples. How closely each is known is in Bounded.HalfWidth; SD holds what is left of the
// error as well as the spread over repeats.
type Result struct {
	Sites    []string `json:"sites"`
	Units    int      `json:"units"`          // of all sites together
	Constant int      `json:"constant_units"` // of these, units with s.d. 0, which got no noise
	Examples int      `json:"examples"`
	Repeats  int      `json:"repeats"` // asked for; there are fewer rows in a partial result
	Seed     uint64   `json:"seed"`
	SDHash   string   `json:"unit_sd_sha256"` // identifies the standard deviations of the units

	Scales  []float64 `json:"scales"`  // s.d. of the noise in s.d. of the unit
	Correct [][]int   `json:"correct"` // [repeats, scales] examples classified as labelled
	Mean    []float64 `json:"mean"`    // [scales] accuracy, mean over repeats; null without repeats
	SD      []float64 `json:"sd"`      // [scales] its sample s.d. over repeats; null with fewer than two

	Bounded *sample.Rows `json:"bounded,omitempty"` // of a sweep with a bound: one row per repeat

	Baseline unit.Score     `json:"baseline"` // of the network without noise
	Seconds  result.Seconds `json:"seconds"`
	Receipt  unit.Receipt   `json:"receipt"`
}

// Complete tells whether all repeats are done.
func (r Result) Complete() bool { return r.Repeats > 0 && len(r.Correct) == r.Repeats }

// summarise computes what follows from the counts.
func (r *Result) summarise() (err error) {
	if r.Bounded != nil {
		if r.Mean, r.SD, err = r.Bounded.Estimate(len(r.Scales), r.Baseline, nil); err == nil {
			r.Correct = r.Bounded.Correct()
		}
		return err
	}
	r.Mean, r.SD, err = stat.MeanSDCounts(r.Correct, r.Examples)
	return err
}

var errNoRepeats = errors.New("the noise sweep has no complete repeat")

// AUC is the normalised area under the mean accuracy against the logarithm of the noise scale: the trapezoid rule divided
// by the range of logarithms, that is, the mean height of the curve between the smallest and the largest scale. Between 0
// and 1; a network that no noise disturbs has its accuracy, up to rounding. One scale gives the accuracy there, a result
// without repeats NaN. It depends on the scales: compare results that have the same.
func (r Result) AUC() float64 {
	if len(r.Mean) == 0 {
		return math.NaN()
	}
	if len(r.Mean) == 1 {
		return r.Mean[0]
	}
	logs := make([]float64, len(r.Mean))
	for i := range logs {
		logs[i] = math.Log(r.Scales[i])
	}
	area, err := stat.Trapezoid(logs, r.Mean)
	if err != nil {
		return math.NaN()
	}
	return area / (logs[len(logs)-1] - logs[0])
}

// At returns the mean accuracy at a noise scale between the smallest and the largest of the sweep, interpolated linearly
// in the logarithm of the scale. A scale outside is an error, and so is a result without repeats.
func (r Result) At(scale float64) (float64, error) {
	if len(r.Mean) == 0 {
		return 0, errNoRepeats
	}
	last := len(r.Scales) - 1
	if !(scale >= r.Scales[0] && scale <= r.Scales[last]) {
		return 0, fmt.Errorf("noise scale %v is outside the sweep, which goes from %v to %v",
			scale, r.Scales[0], r.Scales[last])
	}
	for i, s := range r.Scales {
		switch {
		case scale == s:
			return r.Mean[i], nil
		case scale < s:
			part := math.Log(scale/r.Scales[i-1]) / math.Log(s/r.Scales[i-1])
			return r.Mean[i-1] + part*(r.Mean[i]-r.Mean[i-1]), nil
		}
	}
	return r.Mean[last], nil
}

// ScaleAt returns the noise scale at which the mean accuracy first falls to a level, interpolated linearly in the
// logarithm of the scale. If the accuracy is at or below the level at the smallest scale already (then the crossing is
// not bracketed, unless it is exactly there), or never falls to it, the error says so and how to extend the sweep.
func (r Result) ScaleAt(accuracy float64) (float64, error) {
	if len(r.Mean) == 0 {
		return 0, errNoRepeats
	}
	if math.IsNaN(accuracy) {
		return 0, errors.New("accuracy is NaN, it must be a number from 0 to 1")
	}
	if r.Mean[0] < accuracy {
		return 0, fmt.Errorf("accuracy is below %v at the smallest noise scale already (%v at scale %v, %v without noise); "+
			"add smaller scales", accuracy, r.Mean[0], r.Scales[0], r.Baseline.Accuracy())
	}
	for i, mean := range r.Mean {
		if mean > accuracy {
			continue
		}
		if mean == accuracy {
			return r.Scales[i], nil
		}
		// i > 0, and the accuracy before was above the level.
		part := (r.Mean[i-1] - accuracy) / (r.Mean[i-1] - mean)
		return r.Scales[i-1] * math.Pow(r.Scales[i]/r.Scales[i-1], part), nil
	}
	last := len(r.Scales) - 1
	return 0, fmt.Errorf("accuracy never falls to %v: it is %v at the largest noise scale, %v; add larger scales",
		accuracy, r.Mean[last], r.Scales[last])
}

// Curve is the mean accuracy against the noise scale, with a band of one s.d. over repeats to both sides (none with fewer
// than two repeats). The band may leave [0, 1]; nothing is clipped. A result without repeats gives an empty curve. With
// a bound, the text of the band says how closely every accuracy is known; a single repeat has the intervals as its band.
// Draw it on a logarithmic axis.
func (r Result) Curve(name string) result.Curve {
	c := result.Curve{
		Name:  name,
		XAxis: result.Axis{Name: "noise scale", Unit: "s.d. of the unit"},
		YAxis: result.Axis{Name: "accuracy", Unit: "fraction"},
		N:     len(r.Correct),
		Y:     append([]float64(nil), r.Mean...),
	}
	c.X = append(c.X, r.Scales[:len(r.Mean)]...)
	r.Bounded.Band(&c, r.SD, "repeats", r.Examples)
	return c
}

// WriteCSV writes one line per repeat and scale, with the columns repeat, scale, correct, examples, accuracy, and with a
// bound half_width, of the accuracy on all examples. Repeats count from 0.
func (r Result) WriteCSV(w io.Writer) error {
	t := result.Table{Columns: []result.Axis{
		{Name: "repeat"}, {Name: "scale"}, {Name: "correct"}, {Name: "examples"}, {Name: "accuracy"},
	}}
	if r.Bounded != nil {
		t.Columns = append(t.Columns, result.Axis{Name: "half_width"})
	}
	for i, row := range r.Correct {
		for j, c := range row {
			cells := []any{i, r.Scales[j], c, r.Examples, float64(c) / float64(r.Examples)}
			if b := r.Bounded; b != nil {
				cells = []any{i, r.Scales[j], c, b.Used[i], b.Accuracy[i][j], b.HalfWidth[i][j]}
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	return t.WriteCSV(w)
}
