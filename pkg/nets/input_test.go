package nets

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/stretchr/testify/require"
)

func TestParseInput(t *testing.T) {
	for _, c := range []struct {
		s        string
		channels int
		want     Input
	}{
		{"", 3, Input{}},
		{"half", 1, Input{[]float64{0.5}, []float64{0.5}}},
		{"half", 3, Input{[]float64{0.5, 0.5, 0.5}, []float64{0.5, 0.5, 0.5}}},
		{"imagenet", 3, Input{[]float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}}},
		{"0.1307/0.3081", 1, Input{[]float64{0.1307}, []float64{0.3081}}},
		{"-1,0/2,1e-05", 2, Input{[]float64{-1, 0}, []float64{2, 1e-5}}},
	} {
		got, err := ParseInput(c.s, c.channels)
		require.NoError(t, err, c.s)
		require.Equal(t, c.want, got, c.s)
	}
	for s, says := range map[string]string{
		"imagnet":             `input "imagnet" is not known; allowed: "" (pixel/255), half`,
		"Half":                `input "Half" is not known`,
		"0.5":                 "is not known",
		"0.5/":                "is not known",
		"/0.5":                "is not known",
		"0.5/0":               "is not known",
		"0.5/-1":              "is not known",
		"NaN/1":               "is not known",
		"0.5/Inf":             "is not known",
		"0.50/1":              "is not known",
		"0.5,0.5/1":           "is not known",
		"0.5/1/1":             "is not known",
		"0.5, 0.5/1,1":        "is not known",
		"0.5/0.5":             `input "0.5/0.5" is called "half"`,
		"0.1,0.1,0.1/1,1,1":   `input "0.1,0.1,0.1/1,1,1": give one number for all channels`,
		"0.1,0.2/1,1":         `input "0.1,0.2/1,1" is for images with 2 channels, these have 3; allowed:`,
		"0.1,0.2,0,0/1,1,1,1": "is for images with 4 channels, these have 3",
	} {
		_, err := ParseInput(s, 3)
		require.ErrorContains(t, err, says, "%q", s)
	}
	_, err := ParseInput("imagenet", 1)
	require.ErrorContains(t, err, `input "imagenet" is for images with 3 channels, these have 1`)
}

// What is computed is as close to (pixel/255 − mean)/sd in float64 as two float32 roundings allow, and it is the same on
// every backend: the product of two float32 numbers, rounded, which Go computes here too.
func TestPixelsWithInput(t *testing.T) {
	in, err := ParseInput("imagenet", 3)
	require.NoError(t, err)
	images := make([]byte, 256*3)
	for i := range images {
		images[i] = byte(i / 3)
	}
	exec, err := graph.NewExec(open(t).Engine, Net{Input: in}.Pixels)
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(images, 1, 16, 16, 3))
	require.NoError(t, err)
	got, err := tensors.CopyFlatData[float32](out[0])
	require.NoError(t, err)
	for i, x := range got {
		c := i % 3
		require.InDelta(t, (float64(i/3)/255-in.Mean[c])/in.SD[c], x, 3e-7)
		center, scale := float32(255*in.Mean[c]), float32(1/(255*in.SD[c]))
		require.Equal(t, (float32(i/3)-center)*scale, x)
	}
	half, err := ParseInput("half", 3)
	require.NoError(t, err)
	exec, err = graph.NewExec(open(t).Engine, Net{Input: half}.Pixels)
	require.NoError(t, err)
	defer exec.Finalize()
	out, err = exec.Call(tensors.FromFlatDataAndDimensions([]byte{0, 255, 51}, 1, 1, 1, 3))
	require.NoError(t, err)
	require.Equal(t, [][][][]float32{{{{-1, 1, -0.6}}}}, out[0].Value())
}
