package nets

import (
	"fmt"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// FilterNorms returns the L1 norm of each unit's incoming filter, Σ|w| over the weights that lead to it, and the name of the
// parameter it is taken from (Figure A3; the pruning criterion of Li et al. 2017). Biases and batch normalization do not
// enter.
//
// The parameter is "<site>.weight", or at the output of a residual block, which has none of its own, that of the block's
// last convolution, "<site>.conv2.weight" or "<site>.conv3.weight"; the shortcut is ignored (section 6-20). A site with
// neither, or whose parameter has not one row for each unit, has no norms: nil and "".
func FilterNorms(site unit.Site, weights map[string]Array) (norms []float64, parameter string) {
	parameter = site.Name + ".weight"
	if _, ok := weights[parameter]; !ok {
		for i := 1; ; i++ {
			name := fmt.Sprintf("%s.conv%d.weight", site.Name, i)
			if _, ok := weights[name]; !ok {
				break
			}
			parameter = name
		}
	}
	w, ok := weights[parameter]
	if !ok || len(w.Shape) < 2 || w.Shape[0] != site.Units() || len(w.Data)%w.Shape[0] != 0 {
		return nil, ""
	}
	norms = make([]float64, w.Shape[0])
	inputs := len(w.Data) / len(norms)
	for u := range norms {
		for _, x := range w.Data[u*inputs : (u+1)*inputs] {
			norms[u] += math.Abs(float64(x))
		}
	}
	return norms, parameter
}
