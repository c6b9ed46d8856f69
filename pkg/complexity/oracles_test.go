package complexity_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/complexity"
)

// Norms of folded weights against numpy.linalg.norm and svd, after PyTorch's fuse_conv_bn_eval; testdata/oracles.py wrote
// them. What needs the network (margin, path norm) is compared where there is one, in package lab.
func TestNormsAgainstPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/oracles.json")
	require.NoError(t, err)
	var file struct {
		Networks []struct {
			Weights             map[string]complexity.Array
			Frobenius, Spectral map[string]float64
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	require.Len(t, file.Networks, 2)
	for _, n := range file.Networks {
		folded, err := complexity.Fold(n.Weights)
		require.NoError(t, err)
		for _, seed := range []uint64{1, 2} {
			layers, err := complexity.Norms(folded, seed)
			require.NoError(t, err)
			require.Len(t, layers, len(n.Spectral))
			for _, l := range layers {
				require.InEpsilon(t, n.Frobenius[l.Name], l.Frobenius, 1e-7, l.Name)
				require.InEpsilon(t, n.Spectral[l.Name], l.Spectral, 1e-7, l.Name)
			}
		}
	}
}
