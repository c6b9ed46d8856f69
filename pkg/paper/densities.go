package paper

import (
	"fmt"
	"math"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// densityPoints is how many places a density curve is computed at.
const densityPoints = 201

// leastBandwidth, as a share of the axis, keeps curves drawable where nearly all values are the same.
const leastBandwidth = 0.005

// sample is one curve of a density plot: the values of the units of some networks.
type sample struct {
	name     string
	networks [][]float64 // without NaN; a network may have none
	band     bool        // show how far the networks' own densities go apart
}

func (s sample) pooled() (all []float64) {
	for _, values := range s.networks {
		all = append(all, values...)
	}
	return all
}

// densities estimates the probability density of each sample at the same places, from lo to hi if these are finite, else as
// far as the kernels go. Samples without values have no curve. kernel says how it was done.
func densities(axis result.Axis, lo, hi float64, samples []sample) (curves []result.Curve, kernel string, err error) {
	from, to := math.Inf(1), math.Inf(-1)
	for _, s := range samples {
		for _, v := range s.pooled() {
			from, to = min(from, v), max(to, v)
		}
	}
	if from > to {
		return nil, "", fmt.Errorf("%s: no unit has any; all are dead", axis.Name)
	}
	bounded := !math.IsInf(lo, 0) && !math.IsInf(hi, 0)
	if bounded {
		from, to = lo, hi
	}
	least := leastBandwidth * (to - from)
	if least == 0 {
		least = leastBandwidth
	}
	widths := make([]float64, len(samples))
	narrowest, widest := math.Inf(1), 0.0
	for i, s := range samples {
		if all := s.pooled(); len(all) > 0 {
			h, err := stat.Bandwidth(all)
			if err != nil {
				return nil, "", err
			}
			widths[i] = max(h, least)
			narrowest, widest = min(narrowest, widths[i]), max(widest, widths[i])
		}
	}
	if !bounded {
		from, to = from-3*widest, to+3*widest
	}
	at := make([]float64, densityPoints)
	for i := range at {
		at[i] = from + (to-from)*float64(i)/(densityPoints-1)
	}
	at[len(at)-1] = to // not an ulp off
	unit := "per unit of the index"
	if axis.Unit != "" {
		unit = "per " + strings.TrimSuffix(axis.Unit, "s")
	}
	for i, s := range samples {
		if widths[i] == 0 {
			continue
		}
		c := result.Curve{Name: s.name, XAxis: axis, YAxis: result.Axis{Name: "probability density", Unit: unit}, X: at}
		if c.Y, err = stat.Density(s.pooled(), at, widths[i], lo, hi); err != nil {
			return nil, "", err
		}
		if s.band {
			if err := rangeOfNetworks(&c, s, widths[i], lo, hi); err != nil {
				return nil, "", err
			}
		}
		curves = append(curves, c)
	}
	kernel = fmt.Sprintf("Densities: Gaussian kernel with a s.d. of %.3f to %.3f by Silverman's rule (at least %.3f)", narrowest, widest, least)
	if bounded {
		kernel += fmt.Sprintf(", reflected at %g and %g", lo, hi)
	}
	return curves, kernel + ".", nil
}

// rangeOfNetworks gives a curve a band from the smallest to the largest of the networks' own densities.
func rangeOfNetworks(c *result.Curve, s sample, h, lo, hi float64) error {
	for _, values := range s.networks {
		if len(values) == 0 {
			continue
		}
		own, err := stat.Density(values, c.X, h, lo, hi)
		if err != nil {
			return err
		}
		if c.N++; c.N == 1 {
			c.Lo, c.Hi = append([]float64{}, own...), append([]float64{}, own...)
		}
		for i, y := range own {
			c.Lo[i], c.Hi[i] = min(c.Lo[i], y), max(c.Hi[i], y)
		}
	}
	c.Band = fmt.Sprintf("range of the densities of %d networks", c.N)
	if c.N < 2 {
		c.Lo, c.Hi, c.Band = nil, nil, ""
	}
	return nil
}

// median is that of the values, NaN if there are none.
func median(x []float64) float64 {
	m, err := stat.Quantile(x, 0.5)
	if err != nil {
		return math.NaN()
	}
	return m
}

// number is a number in a table: nothing for NaN.
func number(x float64) any {
	if math.IsNaN(x) {
		return nil
	}
	return x
}
