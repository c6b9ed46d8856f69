package complexity

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Array is a parameter as PyTorch stores it: "fc1.weight" is [out, in], "conv1.weight" is [out, in, height, width].
type Array struct {
	Shape []int
	Data  []float32
}

// normEpsilon is what PyTorch's BatchNorm2d, and ours, adds to the variance.
const normEpsilon = 1e-5

// Folded are the parameters of a network whose batch normalizations do nothing but add their bias: of the same names and
// shapes, and of the same function in inference.
type Folded struct {
	Arrays  map[string]Array
	Weights []string // those of layers, in order of name: what has norms
	Biases  []string // of layers without batch normalization, and of the normalizations, which are then those of their layers
}

// Fold moves what a batch normalization multiplies by into the weight before it:
//
//	W' = W γ/√(v + 1e-5),   β' = β − m γ/√(v + 1e-5),
//
// and leaves scale 1, mean 0 and a variance by which √(v + 1e-5) is 1, up to rounding in float32. The convolution of a
// normalization is the one that PyTorch's names pair with it: conv3 of bn3, downsample.0 of downsample.1. It is an error if
// there is none, if it has a bias of its own, or if shapes do not fit. The parameters stay as they are.
func Fold(parameters map[string]Array) (Folded, error) {
	f := Folded{Arrays: maps.Clone(parameters)}
	normalized := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		norm, ok := strings.CutSuffix(name, ".running_var")
		if !ok {
			continue
		}
		conv, err := convolutionOf(norm)
		if err != nil {
			return Folded{}, err
		}
		weight, found := parameters[conv+".weight"]
		if !found || len(weight.Shape) < 2 {
			return Folded{}, fmt.Errorf("batch normalization %q belongs to %q, which has no weight", norm, conv)
		}
		if _, has := parameters[conv+".bias"]; has {
			return Folded{}, fmt.Errorf("%q has a bias in front of a batch normalization, which no network here has", conv)
		}
		out := weight.Shape[0]
		var of [4][]float32
		for i, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			of[i] = parameters[norm+part].Data
			if len(of[i]) != out {
				return Folded{}, fmt.Errorf("%q has %d numbers, and %q has %d channels", norm+part, len(of[i]), conv, out)
			}
		}
		folded, bias := slices.Clone(weight.Data), make([]float32, out)
		each := len(folded) / out
		for c := range out {
			scale := float64(of[0][c]) / math.Sqrt(float64(of[3][c])+normEpsilon)
			for i := range folded[c*each : (c+1)*each] {
				folded[c*each+i] = float32(float64(weight.Data[c*each+i]) * scale)
			}
			bias[c] = float32(float64(of[1][c]) - float64(of[2][c])*scale)
		}
		same := func(x float32) []float32 { return slices.Repeat([]float32{x}, out) }
		f.Arrays[conv+".weight"] = Array{weight.Shape, folded}
		for part, data := range map[string][]float32{
			".weight": same(1), ".bias": bias, ".running_mean": same(0), ".running_var": same(1 - normEpsilon),
		} {
			f.Arrays[norm+part] = Array{[]int{out}, data}
		}
		normalized[norm] = true
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		switch {
		case strings.HasSuffix(name, ".bias"):
			f.Biases = append(f.Biases, name)
		case strings.HasSuffix(name, ".weight") && !normalized[strings.TrimSuffix(name, ".weight")]:
			if len(parameters[name].Shape) < 2 {
				return Folded{}, fmt.Errorf("%q of shape %v is not the weight of a layer", name, parameters[name].Shape)
			}
			f.Weights = append(f.Weights, name)
		}
	}
	if len(f.Weights) == 0 {
		return Folded{}, fmt.Errorf("there is no weight among %v", slices.Sorted(maps.Keys(parameters)))
	}
	return f, nil
}

// convolutionOf names the convolution before a batch normalization.
func convolutionOf(norm string) (string, error) {
	at := strings.LastIndex(norm, ".") + 1
	path, last := norm[:at], norm[at:]
	if number, ok := strings.CutPrefix(last, "bn"); ok {
		return path + "conv" + number, nil
	}
	if strings.HasSuffix(path, "downsample.") && last == "1" {
		return path + "0", nil
	}
	return "", fmt.Errorf("batch normalization %q has no convolution by its name (bn3 has conv3, downsample.1 has downsample.0)", norm)
}
