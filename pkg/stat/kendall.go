package stat

import "math"

// Kendall returns the rank correlation τ-b of x and y,
//
//	τ = (C − D) / √((C + D + X)(C + D + Y)),
//
// with C pairs of points ordered alike by x and y, D ordered the other way round, X tied in y only and Y tied in x only; pairs
// tied in both count for nothing (Kendall 1945). Without ties it is the share of pairs ordered alike minus that of the
// others. Fewer than two points, a constant x or y, and numbers that are not finite are errors. It looks at every pair.
func Kendall(x, y []float64) (float64, error) {
	if err := varying(x, y); err != nil {
		return 0, err
	}
	var concordant, discordant, tiedX, tiedY int
	for i := range x {
		for j := range i {
			switch a, b := sign(x[i], x[j]), sign(y[i], y[j]); {
			case a == 0 && b == 0:
			case a == 0:
				tiedX++
			case b == 0:
				tiedY++
			case a == b:
				concordant++
			default:
				discordant++
			}
		}
	}
	both := concordant + discordant
	if tiedX == tiedY { // no root, so that τ of equal orders is 1 exactly
		return float64(concordant-discordant) / float64(both+tiedX), nil
	}
	return float64(concordant-discordant) / (math.Sqrt(float64(both+tiedX)) * math.Sqrt(float64(both+tiedY))), nil
}

// sign is that of a − b.
func sign(a, b float64) int {
	switch {
	case a > b:
		return 1
	case a < b:
		return -1
	}
	return 0
}
