package directions_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/seed-ea9a9d67/directions/"

// imports lists, by package of this module, everything it imports directly or indirectly (tests aside), and directly.
func imports(t *testing.T) (all, direct map[string][]string) {
	text, err := exec.Command("go", "list", "-f", "{{.ImportPath}}|{{join .Deps \" \"}}|{{join .Imports \" \"}}", "./...").Output()
	require.NoError(t, err)
	all, direct = map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		name := strings.TrimPrefix(f[0], module)
		all[name], direct[name] = strings.Fields(f[1]), strings.Fields(f[2])
	}
	require.Greater(t, len(all), 15)
	return all, direct
}

func TestImportsRunOneWay(t *testing.T) {
	all, direct := imports(t)
	pure := []string{"pkg/unit", "pkg/result", "pkg/corrupt", "pkg/ablate", "pkg/noise", "pkg/sample", "pkg/stat", "pkg/figure", "pkg/selectivity", "pkg/complexity", "pkg/parquet", "pkg/lease", "pkg/slurm", "datasets", "datasets/imagefolder"}
	for _, name := range pure {
		require.Contains(t, all, name)
		for _, dep := range all[name] {
			require.NotContains(t, dep, "gomlx", "%s must not know GoMLX", name)
		}
	}
	for _, name := range []string{"pkg/unit", "pkg/result", "pkg/lease", "pkg/slurm", "datasets", "datasets/imagefolder"} {
		for _, dep := range all[name] {
			if name == "datasets/imagefolder" && dep == module+"datasets" {
				continue
			}
			require.NotContains(t, strings.Split(dep, "/")[0], ".", "%s uses the standard library only, not %s", name, dep)
		}
	}
	// Each layer, and what it may import of this module beside the pure packages.
	layers := map[string]string{
		"pkg/backend": "", "pkg/tap": "", "pkg/nets": "tap", "pkg/onnx": "nets tap", "pkg/probe": "backend nets tap", "pkg/fit": "backend nets tap probe",
		"pkg/lab": "backend nets onnx probe fit", "pkg/paper": "lab fit sweep", "pkg/sweep": "lab fit", "pkg/nb": "lab paper",
		"cmd/directions": "lab onnx paper sweep fit backend",
	}
	for name, allowed := range layers {
		for _, dep := range direct[name] {
			short, ours := strings.CutPrefix(dep, module)
			if !ours || slices.Contains(pure, short) {
				continue
			}
			require.Contains(t, strings.Fields(allowed), strings.TrimPrefix(short, "pkg/"), "%s must not import %s", name, dep)
		}
	}
	for name, deps := range direct {
		for _, dep := range deps {
			if strings.Contains(dep, "gonbui") {
				require.Equal(t, "pkg/nb", name, "only nb speaks to GoNB")
			}
			if strings.Contains(dep, "go-xla") || strings.Contains(dep, "gobackend") {
				require.Equal(t, "pkg/backend", name, "only backend knows the engines")
			}
		}
	}
}
