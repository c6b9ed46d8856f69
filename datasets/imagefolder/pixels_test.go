package imagefolder

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Pillow 13.0.0 by testdata/pil.py. PNGs are equal to the last bit, but for pictures more than twice as high as wide,
// of which this Pillow, unlike earlier ones, shrinks the columns first. JPEGs are decoded by another implementation than
// libjpeg, whose cosine transform rounds differently.
func TestPixelsOfPIL(t *testing.T) {
	text, err := os.ReadFile("testdata/pil.json")
	require.NoError(t, err)
	var oracle struct {
		Cases []struct {
			Name                   string
			File, Pixels           []byte
			Resize, Size, Channels int
		}
	}
	require.NoError(t, json.Unmarshal(text, &oracle))
	require.Equal(t, 26, len(oracle.Cases))
	tolerances := []struct {
		name        string
		worst, mean float64 // of 255
	}{
		{"tall", 1, 0.5}, {"jpeg", 2, 0.25}, {"", 0, 0},
	}
	for _, c := range oracle.Cases {
		t.Run(fmt.Sprintf("%s %d %d %d", c.Name, c.Resize, c.Size, c.Channels), func(t *testing.T) {
			got, err := Spec{Resize: c.Resize, Size: c.Size, Channels: c.Channels}.example(c.File)
			require.NoError(t, err)
			require.Len(t, got, c.Size*c.Size*c.Channels)
			worst, sum := 0.0, 0.0
			for i := range got {
				d := math.Abs(float64(got[i]) - float64(c.Pixels[i]))
				worst, sum = max(worst, d), sum+d
			}
			t.Logf("largest difference %v, mean %.3f", worst, sum/float64(len(got)))
			for _, tol := range tolerances {
				if strings.HasPrefix(c.Name, tol.name) {
					require.LessOrEqual(t, worst, tol.worst)
					require.LessOrEqual(t, sum/float64(len(got)), tol.mean)
					break
				}
			}
		})
	}
}
