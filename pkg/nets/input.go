package nets

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Input says how pixels become a network's input: (pixel/255 − Mean[c])/SD[c] for channel c. The zero value is pixel/255.
type Input struct {
	Mean, SD []float64 // one each per channel
}

// inputs are those with a name. One number stands for all channels.
var inputs = map[string]Input{
	"half":     {Mean: []float64{0.5}, SD: []float64{0.5}}, // to -1 … 1, as the paper's convolutional network has it
	"imagenet": {Mean: []float64{0.485, 0.456, 0.406}, SD: []float64{0.229, 0.224, 0.225}},
}

const inputForm = `"" (pixel/255), half ((x − 0.5)/0.5), imagenet (mean 0.485,0.456,0.406 and s.d. 0.229,0.224,0.225) ` +
	`or MEAN,…/SD,… with one number for all channels or one for each (for example 0.1307/0.3081)`

// ParseInput reads an input's name, or its numbers as "mean/sd" of each channel: "0.49,0.48,0.45/0.25,0.24,0.26". One
// spelling is accepted for one input, as it enters keys.
func ParseInput(s string, channels int) (Input, error) {
	if s == "" {
		return Input{}, nil
	}
	in, named := inputs[s]
	if !named {
		mean, sd, _ := strings.Cut(s, "/")
		var ok [2]bool
		in.Mean, ok[0] = inputNumbers(mean)
		in.SD, ok[1] = inputNumbers(sd)
		if !ok[0] || !ok[1] || len(in.Mean) != len(in.SD) || slices.Min(in.SD) <= 0 {
			return Input{}, fmt.Errorf("input %q is not known; allowed: %s", s, inputForm)
		}
		if len(in.Mean) > 1 && allEqual(in.Mean) && allEqual(in.SD) {
			return Input{}, fmt.Errorf("input %q: give one number for all channels, as one input must have one name", s)
		}
		for name, known := range inputs {
			if slices.Equal(in.Mean, known.Mean) && slices.Equal(in.SD, known.SD) {
				return Input{}, fmt.Errorf("input %q is called %q, as one input must have one name", s, name)
			}
		}
	}
	switch len(in.Mean) {
	case channels:
		return Input{Mean: slices.Clone(in.Mean), SD: slices.Clone(in.SD)}, nil
	case 1:
		return Input{Mean: slices.Repeat(in.Mean, channels), SD: slices.Repeat(in.SD, channels)}, nil
	}
	return Input{}, fmt.Errorf("input %q is for images with %d channels, these have %d; allowed: %s", s, len(in.Mean), channels, inputForm)
}

func allEqual(x []float64) bool { return slices.Min(x) == slices.Max(x) }

// inputNumbers reads numbers in their shortest spelling.
func inputNumbers(s string) ([]float64, bool) {
	var numbers []float64
	for field := range strings.SplitSeq(s, ",") {
		x, err := strconv.ParseFloat(field, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || field != strconv.FormatFloat(x, 'g', -1, 64) {
			return nil, false
		}
		numbers = append(numbers, x)
	}
	return numbers, true
}

// Pixels turns raw images (Uint8)[batch, height, width, channels] into what the network eats, (Float32), the same bits on
// every backend. Without an Input that is pixel·(1/255): for 126 of the 256 values 1 ulp off the quotient pixel/255 that
// PyTorch computes (XLA turns a division by a constant into this product anyway). With one it is
// (pixel − 255·mean)·(1/(255·sd)): whole pixels lose nothing in the difference, and nothing can be fused into one rounding.
func (n Net) Pixels(images *graph.Node) *graph.Node {
	x := graph.ConvertDType(images, dtypes.Float32)
	if n.Input.Mean == nil {
		return graph.DivScalar(x, 255)
	}
	center, scale := make([]float32, len(n.Input.Mean)), make([]float32, len(n.Input.SD))
	for c := range center {
		center[c], scale[c] = float32(255*n.Input.Mean[c]), float32(1/(255*n.Input.SD[c]))
	}
	spread := func(v []float32) *graph.Node { return graph.ExpandLeftToRank(graph.Const(x.Graph(), v), x.Rank()) }
	return graph.Mul(graph.Sub(x, spread(center)), spread(scale))
}
