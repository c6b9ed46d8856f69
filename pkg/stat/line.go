package stat

import (
	"math"

	gonum "gonum.org/v1/gonum/stat"
)

// Line is a least-squares line y = Intercept + Slope · x.
type Line struct {
	Slope     float64 `json:"slope"`
	Intercept float64 `json:"intercept"`
	SlopeSE   float64 `json:"slope_se"` // standard error of Slope; 0 with two points, which leave nothing over
	R         float64 `json:"r"`        // Pearson's correlation
	N         int     `json:"n"`        // points
}

// OLS fits a line to the points (x_i, y_i) by least squares in y. Fewer than two points, a constant x, and numbers that are
// not finite are errors. Of a constant y the line is flat, and R is 0.
func OLS(x, y []float64) (Line, error) {
	if err := paired(x, y); err != nil {
		return Line{}, err
	}
	if err := notConstant("x", x, "no line can be fitted over a single x"); err != nil {
		return Line{}, err
	}
	line := Line{N: len(x)}
	line.Intercept, line.Slope = gonum.LinearRegression(x, y, nil, false)
	meanX := gonum.Mean(x, nil)
	var spread, residual float64
	for i := range x {
		d := x[i] - meanX
		spread += d * d
		e := y[i] - line.Intercept - line.Slope*x[i]
		residual += e * e
	}
	if len(x) > 2 {
		line.SlopeSE = math.Sqrt(residual / float64(len(x)-2) / spread)
	}
	if r, err := Pearson(x, y); err == nil {
		line.R = r
	}
	return line, nil
}
