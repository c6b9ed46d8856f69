package selectivity_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
)

// oracle is a unit with what scipy and scikit-learn say of it: roc_auc_score, mutual_info_score, stats.entropy and numpy's
// moments. testdata/oracles.py made it.
type oracle struct {
	Classes, Bins, Top int
	Values             []float32
	Labels             []int32

	Selectivity, KL, CCMAS, Precision, Sparseness, Entropy, Mean, SD float64
	PlugIn                                                           float64 `json:"plug_in"`
	DPrime                                                           float64 `json:"d_prime"`
	ROCAUC                                                           float64 `json:"roc_auc"`
	ClassEntropy                                                     float64 `json:"class_entropy"`
	Preferred                                                        int
	TopClass                                                         int `json:"top_class"`
}

func oracles(t testing.TB) []oracle {
	text, err := os.ReadFile("testdata/oracles.json")
	require.NoError(t, err)
	var file struct{ Cases []oracle }
	require.NoError(t, json.Unmarshal(text, &file))
	require.Len(t, file.Cases, 4)
	return file.Cases
}

func TestAgainstScipyAndScikitLearn(t *testing.T) {
	for _, o := range oracles(t) {
		u, err := selectivity.Of(o.Values, o.Labels, o.Classes, selectivity.Spec{Bins: o.Bins, Top: o.Top})
		require.NoError(t, err)
		require.Equal(t, o.Preferred, u.Preferred)
		require.Equal(t, o.TopClass, u.Top)
		for name, pair := range map[string][2]float64{
			"selectivity": {o.Selectivity, u.Selectivity}, "plug-in": {o.PlugIn, u.PlugIn}, "kl": {o.KL, u.KL},
			"ccmas": {o.CCMAS, u.CCMAS}, "d'": {o.DPrime, u.DPrime}, "roc auc": {o.ROCAUC, u.ROCAUC},
			"precision": {o.Precision, u.Precision}, "sparseness": {o.Sparseness, u.Sparseness},
			"entropy": {o.Entropy, u.Entropy}, "class entropy": {o.ClassEntropy, u.ClassEntropy},
			"mean": {o.Mean, u.Mean}, "sd": {o.SD, u.SD},
		} {
			require.InDelta(t, pair[0], pair[1], 1e-12, "%s, %d bins", name, o.Bins)
		}
		require.Equal(t, u.PlugIn-u.Null, u.Information)
	}
}
