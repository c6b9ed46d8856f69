package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestComplexity(t *testing.T) {
	s := newShell(t)
	s.net()
	out, progress := s.ok("complexity", "net", "--examples", "100", "--draws", "1", "--steps", "3")
	require.Contains(t, progress, "disturbing the weights of net")
	require.Contains(t, out, "Complexity of net, on 100 train examples")
	for _, measure := range []string{"margin", "path norm", "flatness", "spectral product"} {
		require.Contains(t, out, measure)
	}
	out, _ = s.ok("complexity", "net", "--examples", "100", "--draws", "1", "--steps", "3", "--json", "-")
	var r struct {
		Examples int
		PathNorm float64 `json:"path_norm"`
		Layers   []struct{ Frobenius, Spectral float64 }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, 100, r.Examples)
	require.Positive(t, r.PathNorm)
	for _, l := range r.Layers {
		require.LessOrEqual(t, l.Spectral, l.Frobenius*(1+1e-9))
	}
	for want, flags := range map[string][]string{
		"--draws is 0": {"--draws", "0"}, "fall 1.5": {"--fall", "1.5"}, "1000000": {"--examples", "1000000"},
	} {
		require.Contains(t, s.fails(append([]string{"complexity", "net"}, flags...)...), want)
	}
}

func TestAblateDirections(t *testing.T) {
	s := newShell(t)
	s.net()
	curve := func(flags ...string) (r struct {
		Correct   [][]int
		Basis     string
		BasisSeed uint64 `json:"basis_seed"`
	}) {
		out, _ := s.ok(append([]string{"ablate", "net", "--examples", "100", "--orders", "2", "--points", "5", "--json", "-"}, flags...)...)
		require.NoError(t, json.Unmarshal([]byte(out), &r))
		return r
	}
	units, turned, other := curve(), curve("--basis", "random"), curve("--basis", "random", "--basis-seed", "2")
	require.Equal(t, []string{"", "random", "random"}, []string{units.Basis, turned.Basis, other.Basis})
	require.Equal(t, []uint64{0, 1, 2}, []uint64{units.BasisSeed, turned.BasisSeed, other.BasisSeed})
	for i := range units.Correct {
		for _, end := range []int{0, 4} {
			require.Equal(t, units.Correct[i][end], turned.Correct[i][end], "no and all directions are no and all units")
		}
	}
	require.NotEqual(t, units.Correct, turned.Correct)
	require.NotEqual(t, other.Correct, turned.Correct)
	out, _ := s.ok("ablate", "net", "--examples", "100", "--orders", "2", "--points", "5", "--basis", "random")
	require.Contains(t, out, "\ndirections ", "a column of directions ablated")

	for want, flags := range map[string][]string{
		`basis is "pca"; allowed: "random"`: {"--basis", "pca"},
		"cannot be clamped to mean":         {"--basis", "random", "--to", "mean"},
		"give --basis random too":           {"--basis-seed", "3"},
		"--basis and --each":                {"--basis", "random", "--each"},
		"--basis and --rank":                {"--basis", "random", "--rank", "selectivity"},
	} {
		require.Contains(t, s.fails(append([]string{"ablate", "net"}, flags...)...), want)
	}
}
