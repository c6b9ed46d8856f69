package onnx

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// sample is what testdata/export.py recorded of a network: see there for the versions.
type sample struct {
	Image   []int
	Images  [][]float32
	Logits  [][]float64
	Ablated map[string][][][]float64 // by site, unit and image
}

func samples(t *testing.T) (all map[string]sample) {
	text, err := os.ReadFile("testdata/expected.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &all))
	require.Len(t, all, 12)
	return all
}

func open(t *testing.T, name string, opt Options) *Model {
	data, err := ReadFile(filepath.Join("testdata", name+".onnx"))
	require.NoError(t, err)
	m, err := Read(data, opt)
	require.NoError(t, err)
	return m
}

// runner runs a network with one unit of one site set to zero; of site "" nothing.
type runner struct {
	exec *model.Exec
	net  nets.Net
}

func (s sample) runner(t *testing.T, m *Model, b *backend.Backend, edited string) runner {
	net, err := m.Net(s.Image, len(s.Logits[0]))
	require.NoError(t, err)
	require.NoError(t, net.Check(b.Engine, m.Weights()))
	store, err := nets.NewStore(m.Weights())
	require.NoError(t, err)
	exec, err := model.NewExec(b.Engine, store, func(scope *model.Scope, in []*graph.Node) *graph.Node {
		if edited != "" {
			r := tap.Recorder{Edit: func(site string, x *graph.Node) *graph.Node {
				if site != edited {
					return x
				}
				units := x.Shape().Dimensions[x.Rank()-1]
				keep := graph.NotEqual(graph.Iota(x.Graph(), shapes.Make(dtypes.Int32, units), 0), in[1])
				return graph.Mul(x, graph.ExpandLeftToRank(graph.ConvertDType(keep, x.DType()), x.Rank()))
			}}
			r.Attach(in[0].Graph())
		}
		return net.Graph(scope, net.Pixels(in[0]))
	})
	require.NoError(t, err)
	return runner{exec, net}
}

func (r runner) logits(t *testing.T, s sample, unit int) (rows [][]float64) {
	var bytes []uint8
	for _, image := range s.Images {
		for _, p := range image {
			bytes = append(bytes, uint8(p))
		}
	}
	x := tensors.FromFlatDataAndDimensions(bytes, append([]int{len(s.Images)}, s.Image...)...)
	out, err := r.exec.Exec(x, tensors.FromScalar(int32(unit)))
	require.NoError(t, err)
	flat, err := tensors.CopyFlatData[float32](out[0])
	require.NoError(t, err)
	for row := range slices.Chunk(flat, r.net.Classes) {
		var d []float64
		for _, y := range row {
			d = append(d, float64(y))
		}
		rows = append(rows, d)
	}
	return rows
}

// alike compares up to a constant of each row, which neither loss nor accuracy sees: the logits of a network whose file
// ends in probabilities are recorded as their logarithms. The tolerance is 2e-5, absolute, for logits of a size of about 1.
func alike(t *testing.T, want, got [][]float64, message ...any) {
	require.Len(t, got, len(want), message...)
	for i := range want {
		shift := 0.0
		for k := range want[i] {
			shift += (want[i][k] - got[i][k]) / float64(len(want[i]))
		}
		for k := range want[i] {
			require.InDelta(t, want[i][k], got[i][k]+shift, 2e-5, message...)
		}
	}
}

func TestLogitsAndAblationsAgainstTheOriginals(t *testing.T) {
	b, err := backend.Open("", "")
	require.NoError(t, err)
	for name, s := range samples(t) {
		t.Run(name, func(t *testing.T) {
			m := open(t, name, Options{})
			r := s.runner(t, m, b, "")
			got := r.logits(t, s, 0)
			alike(t, s.Logits, got)
			if !slices.Contains([]string{"softmax", "sklearn", "pipeline", "binary", "keras", "logsoftmax"}, name) {
				for i := range got { // the logits themselves
					require.InDeltaSlice(t, s.Logits[i], got[i], 2e-5)
				}
			}
			sites := []string{}
			for site := range s.Ablated {
				sites = append(sites, site)
			}
			if len(sites) > 0 {
				require.ElementsMatch(t, r.net.Default, sites)
			}
			moved := 0.0
			for site, units := range s.Ablated {
				r := s.runner(t, m, b, site)
				for u, want := range units {
					now := r.logits(t, s, u)
					alike(t, want, now, "unit %d of %s", u, site)
					for i := range now {
						for k := range now[i] {
							moved = max(moved, math.Abs(now[i][k]-got[i][k]))
						}
					}
				}
			}
			if len(sites) > 0 {
				require.Greater(t, moved, 0.01, "a test that could fail")
			}
		})
	}
}
