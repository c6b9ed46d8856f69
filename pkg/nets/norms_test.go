package nets

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

func TestFilterNormsByHand(t *testing.T) {
	weights := map[string]Array{
		"fc1.weight":            {Shape: []int{2, 3}, Data: []float32{1, -2, 3, 0, 0.5, 0}},
		"fc1.bias":              {Shape: []int{2}, Data: []float32{9, 9}},
		"layer1.0.conv1.weight": {Shape: []int{2, 1, 1, 1}, Data: []float32{7, 7}},
		"layer1.0.conv2.weight": {Shape: []int{2, 2, 1, 1}, Data: []float32{1, -1, -4, 0}},
	}
	for _, c := range []struct {
		site, from string
		norms      []float64
	}{
		{"fc1", "fc1.weight", []float64{6, 0.5}},
		{"layer1.0", "layer1.0.conv2.weight", []float64{2, 4}},
		{"layer1.0.conv1", "layer1.0.conv1.weight", []float64{7, 7}},
		{"attention", "", nil},
	} {
		norms, from := FilterNorms(unit.Site{Name: c.site, Shape: []int{4, 4, 2}}, weights)
		require.Equal(t, c.norms, norms, c.site)
		require.Equal(t, c.from, from, c.site)
	}
	norms, from := FilterNorms(unit.Site{Name: "fc1", Shape: []int{3}}, weights)
	require.Nil(t, norms, "rows that are not the units")
	require.Empty(t, from)
}

func TestEverySiteOfOurNetworksHasNorms(t *testing.T) {
	for spec, want := range map[string]map[string]string{
		"mlp:3,4":                   {"fc2": "fc2.weight"},
		"convnet:width=0.0625,nobn": {"conv1": "conv1.weight", "conv11": "conv11.weight"},
		"convnet:width=0.0625,fc=5": {"fc1": "fc1.weight"},
		"resnet20":                  {"conv1": "conv1.weight", "layer3.2": "layer3.2.conv2.weight", "layer3.2.conv1": "layer3.2.conv1.weight"},
		"resnet50":                  {"layer1.0": "layer1.0.conv3.weight", "layer1.0.conv2": "layer1.0.conv2.weight"},
	} {
		net := parse(t, spec, []int{32, 32, 3}, 10)
		sites, params, err := net.Sketch(open(t).Engine)
		require.NoError(t, err)
		weights := map[string]Array{}
		for name, shape := range params {
			size, err := shapeElements(shape)
			require.NoError(t, err)
			weights[name] = Array{Shape: shape, Data: make([]float32, size)}
		}
		for _, s := range sites {
			norms, from := FilterNorms(s, weights)
			require.Len(t, norms, s.Units(), "%s %s", spec, s.Name)
			if expected, ok := want[s.Name]; ok {
				require.Equal(t, expected, from)
				delete(want, s.Name)
			}
		}
		require.Empty(t, want, spec)
	}
}
