package stat

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Row is one unit with two of its numbers, such as selectivity and impact.
type Row struct {
	Network int    // which network the unit is of, counted from 0; the unit of replication
	Layer   string // its site
	X, Y    float64
}

// Relation is how X and Y go together in one layer, or pooled over all.
type Relation struct {
	Layer string `json:"layer,omitempty"` // empty: pooled
	// Networks and N count those that have pairs, and the pairs; LeftOut the rows with a number that is not finite, such as
	// the selectivity of dead units.
	Networks int `json:"networks"`
	N        int `json:"n"`
	LeftOut  int `json:"left_out"`
	// Undefined says why there is no correlation: fewer than two pairs, or a constant. Spearman, Interval and Line are then
	// nil, and Pearson is 0.
	Undefined string       `json:"undefined,omitempty"`
	Spearman  *Correlation `json:"spearman,omitempty"`
	Interval  *Interval    `json:"interval,omitempty"` // of Spearman's ρ
	Pearson   float64      `json:"pearson"`
	Line      *Line        `json:"line,omitempty"` // for drawing (section 2.7)
}

// Relations has both views of the same rows, as the sign can differ between them (section 6-23): every layer by itself, in
// the order in which they first occur, and all rows pooled.
type Relations struct {
	Layers []Relation `json:"layers"`
	Pooled Relation   `json:"pooled"`
}

// RelateOptions say how closely. The zero value is usual.
type RelateOptions struct {
	Permutations int     // of SpearmanTest; 0: 10000
	Level        float64 // of the interval; 0: 0.95
	Resamples    int     // of the interval; 0: 2000; negative: no interval
	Seed         uint64
}

// Relate correlates X with Y per layer and pooled: Spearman's ρ with its permutation p-value and bootstrap interval,
// Pearson's r, and the least-squares line. Rows with a number that is not finite are left out and counted. A layer without
// a correlation says why; it does not keep the others from theirs.
//
// The interval is SpearmanInterval: it resamples networks, and units within them, or units alone if there is one network. The
// p-value is of units as if they were independent; with several networks go by the interval. No rows at all is an error.
func Relate(rows []Row, opt RelateOptions) (Relations, error) {
	if len(rows) == 0 {
		return Relations{}, errors.New("there are no rows to relate")
	}
	if opt.Permutations == 0 {
		opt.Permutations = 10_000
	}
	if opt.Level == 0 {
		opt.Level = 0.95
	}
	if opt.Resamples == 0 {
		opt.Resamples = 2000
	}
	var r Relations
	var err error
	byLayer := map[string][]Row{}
	var layers []string
	for _, row := range rows {
		if _, ok := byLayer[row.Layer]; !ok {
			layers = append(layers, row.Layer)
		}
		byLayer[row.Layer] = append(byLayer[row.Layer], row)
	}
	for _, layer := range layers {
		relation, err := relate(byLayer[layer], opt)
		if err != nil {
			return Relations{}, fmt.Errorf("layer %q: %w", layer, err)
		}
		relation.Layer = layer
		r.Layers = append(r.Layers, relation)
	}
	if r.Pooled, err = relate(rows, opt); err != nil {
		return Relations{}, fmt.Errorf("pooled: %w", err)
	}
	return r, nil
}

func relate(rows []Row, opt RelateOptions) (Relation, error) {
	var r Relation
	var x, y []float64
	at := map[int]int{} // network → its place in networks
	var networks [][]Pair
	for _, row := range rows {
		if row.X-row.X != 0 || row.Y-row.Y != 0 {
			r.LeftOut++
			continue
		}
		x, y = append(x, row.X), append(y, row.Y)
		if _, ok := at[row.Network]; !ok {
			at[row.Network] = len(networks)
			networks = append(networks, nil)
		}
		k := at[row.Network]
		networks[k] = append(networks[k], Pair{row.X, row.Y})
	}
	r.N, r.Networks = len(x), len(networks)
	if err := varying(x, y); err != nil {
		r.Undefined = err.Error()
		return r, nil
	}
	rho, err := SpearmanTest(x, y, opt.Permutations, opt.Seed)
	if err != nil {
		return r, err
	}
	line, err := OLS(x, y)
	if err != nil {
		return r, err
	}
	r.Spearman, r.Line, r.Pearson = &rho, &line, line.R
	if opt.Resamples > 0 {
		interval, err := SpearmanInterval(networks, opt.Level, opt.Resamples, opt.Seed)
		if err != nil {
			return r, err
		}
		r.Interval = &interval
	}
	return r, nil
}

// Pair is two numbers of one unit.
type Pair struct{ X, Y float64 }

// SpearmanInterval is the bootstrap interval of the rank correlation of all pairs pooled, networks[i] holding those of
// network i. It resamples networks, then pairs within each (see Bootstrap). With one network it resamples its pairs: that
// interval is about other units of the same network, not about other networks. Resamples in which x or y is constant are
// left out and counted. Errors: as Spearman and Bootstrap.
func SpearmanInterval(networks [][]Pair, level float64, resamples int, seed uint64) (Interval, error) {
	if len(networks) == 1 {
		var units [][]Pair
		for _, p := range networks[0] {
			units = append(units, []Pair{p})
		}
		networks = units
	}
	var x, y []float64
	collect := func(sample [][]Pair) {
		x, y = x[:0], y[:0]
		for _, pairs := range sample {
			for _, p := range pairs {
				x, y = append(x, p.X), append(y, p.Y)
			}
		}
	}
	collect(networks)
	if _, err := Spearman(x, y); err != nil { // here, where the reason is known
		return Interval{}, err
	}
	return Bootstrap(networks, func(sample [][]Pair) float64 {
		collect(sample)
		if slices.Min(x) == slices.Max(x) || slices.Min(y) == slices.Max(y) {
			return math.NaN()
		}
		rho, err := Spearman(x, y)
		if err != nil {
			return math.NaN()
		}
		return rho
	}, level, resamples, seed)
}
