package ablate_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
)

// The orders and hashes come from an independent implementation in Python integers: PCG-DXSM, Lemire's bounded draw,
// Fisher-Yates. They must not move between releases or platforms: published curves rest on them.
func TestRandomIsGolden(t *testing.T) {
	require.Equal(t, [][]int{{6, 4, 2, 5, 7, 0, 3, 1}, {7, 4, 5, 2, 1, 3, 6, 0}}, ablate.Random(8, 2, 1))
	for _, c := range []struct {
		units int
		seed  uint64
		hash  string
	}{
		{1024, 1, "793763853f04e24482a6ffc023be5454"},
		{1536, math.MaxUint64, "719b6cf183b0d4cf661dd7f594921f09"},
	} {
		var b []byte
		for _, order := range ablate.Random(c.units, 10, c.seed) {
			b = binary.LittleEndian.AppendUint64(b, uint64(len(order)))
			for _, u := range order {
				b = binary.LittleEndian.AppendUint64(b, uint64(u))
			}
		}
		sum := sha256.Sum256(b)
		require.Equal(t, c.hash, hex.EncodeToString(sum[:16]))
	}
	// And the hash in a result is this one.
	n := &additive{names: []string{"fc"}, cost: [][]int{make([]int, 1024)}, right: []int{1}, examples: 1}
	r, err := ablate.Cumulative(t.Context(), n, ablate.Spec{Points: 2, Seed: 1}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, "793763853f04e24482a6ffc023be5454", r.OrdersHash)
}

func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.IntRange(0, 50).Draw(t, "units")
		seed := rapid.Uint64().Draw(t, "seed")
		ten := ablate.Random(units, 10, seed)
		for _, order := range ten {
			sorted := slices.Clone(order)
			slices.Sort(sorted)
			for i, u := range sorted {
				require.Equal(t, i, u)
			}
			require.Len(t, order, units)
		}
		require.Equal(t, ten[:3], ablate.Random(units, 3, seed), "an order does not depend on how many there are")
	})
}

func TestRandomOrdersAreIndependent(t *testing.T) {
	// Two independent permutations agree at 1 position on average, whatever their length: over 500 neighbours, 500 ± 22.
	orders := ablate.Random(40, 501, 0)
	agree := 0
	for i := range 500 {
		for j := range 40 {
			if orders[i][j] == orders[i+1][j] {
				agree++
			}
		}
	}
	require.InDelta(t, 500, agree, 5*math.Sqrt(500))
	// Each unit is as likely to come first: 501 orders, 40 units.
	first := make([]float64, 40)
	for _, order := range orders {
		first[order[0]]++
	}
	chi := 0.0
	for _, n := range first {
		chi += (n - 501.0/40) * (n - 501.0/40) / (501.0 / 40)
	}
	require.Less(t, chi, 72.1) // scipy 1.17.1 stats.chi2.ppf(0.999, 39) = 72.05
}

func TestGrid(t *testing.T) {
	// numpy 2.4.6 rint(linspace(0, units, 20))
	require.Equal(t, []int{0, 54, 108, 162, 216, 269, 323, 377, 431, 485, 539, 593, 647, 701, 755, 808, 862, 916, 970,
		1024}, ablate.Grid(1024, 20))
	require.Equal(t, []int{0, 81, 162, 243, 323, 404, 485, 566, 647, 728, 808, 889, 970, 1051, 1132, 1213, 1293, 1374,
		1455, 1536}, ablate.Grid(1536, 20))
	require.Equal(t, []int{0, 1, 2, 3}, ablate.Grid(3, 20))
	require.Equal(t, []int{0, 3, 5}, ablate.Grid(5, 3), "halves go up")
	require.Equal(t, []int{0, 9}, ablate.Grid(9, 1))
	require.Equal(t, []int{0}, ablate.Grid(0, 20))
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.IntRange(1, 5000).Draw(t, "units")
		points := rapid.IntRange(2, 200).Draw(t, "points")
		grid := ablate.Grid(units, points)
		require.Len(t, grid, min(points, units+1))
		require.Equal(t, [2]int{0, units}, [2]int{grid[0], grid[len(grid)-1]})
		step := float64(units) / float64(len(grid)-1)
		for i, k := range grid {
			require.InDelta(t, step*float64(i), k, 0.5+1e-9)
			require.True(t, i == 0 || grid[i-1] < k)
		}
	})
}

func TestReadOrderings(t *testing.T) {
	o, err := ablate.ReadOrderings(strings.NewReader(
		`{"sites": ["a","b"], "grid": [0,2,5], "orders": [[0,1,2,3,4],[4,3,2,1,0]]}` + "\n"))
	require.NoError(t, err)
	require.Equal(t, forthAndBack(), o)

	o, err = ablate.ReadOrderings(strings.NewReader(`{"sites": ["b"], "orders": [[2,0,1]]}`))
	require.NoError(t, err)
	r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{Given: o, Points: 2}, ablate.Options{})
	require.NoError(t, err)
	require.Equal(t, []int{0, 3}, r.Grid, "without a grid, Points says")

	for text, says := range map[string]string{
		``:                                       "EOF",
		`{`:                                      "unexpected EOF",
		`[]`:                                     "cannot unmarshal array",
		`null`:                                   "name no sites",
		`{"orders": [[0]]}`:                      "name no sites",
		`{"sites": ["a"]}`:                       "hold no orders",
		`{"sites": ["a"], "orders": []}`:         "hold no orders",
		`{"sites": ["a"], "order": [[0]]}`:       `unknown field "order"`,
		`{"sites": ["a"], "orders": [[0]]} 1`:    "more after the JSON object",
		`{"sites": ["a"], "orders": [[0]]} }`:    "more after the JSON object",
		`{"sites": [null], "orders": [[0]]}`:     "sites holds null at position 0",
		`{"sites": ["a"], "orders": [[0,null]]}`: "order 0 holds null at position 1",
		`{"sites": ["a"], "orders": [[0.5]]}`:    "cannot unmarshal number",
		`{"sites": ["a"], "orders": [[0,0]]}`:    "order 0 names unit 0 twice",
		`{"sites": ["a"], "orders": [[-1]]}`:     "unit -1 is negative",
		`{"sites": ["a"], "grid": [0,2], "orders": [[0,1],[0]]}`: "order 1 has 1 units, too few for the grid",
		`{"sites": ["a"], "grid": [2,1], "orders": [[0,1]]}`:     "grid must ascend, but 1 follows 2",
		`{"sites": ["a"], "grid": [-2], "orders": [[0,1]]}`:      "grid value -2",
	} {
		_, err := ablate.ReadOrderings(strings.NewReader(text))
		require.ErrorContains(t, err, says, text)
	}
}

func FuzzReadOrderings(f *testing.F) {
	f.Add(`{"sites": ["a","b"], "grid": [0,2,5], "orders": [[0,1,2,3,4],[4,3,2,1,0]]}`)
	f.Add(`{"sites": ["b"], "orders": [[2,0,1],[]]}`)
	f.Add(`{"sites": ["a"], "grid": [], "orders": [null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ablate.ReadOrderings(strings.NewReader(text))
		if err != nil {
			require.Nil(t, o)
			return
		}
		again, err := json.Marshal(o)
		require.NoError(t, err)
		require.NotEmpty(t, o.Sites)
		require.NotEmpty(t, o.Orders)
		for _, order := range o.Orders {
			for _, k := range o.Grid {
				require.True(t, k >= 0 && k <= len(order))
			}
		}
		reread, err := ablate.ReadOrderings(strings.NewReader(string(again)))
		require.NoError(t, err)
		require.Equal(t, o, reread)
		// Whatever was read, a small network either runs it or says what is wrong.
		r, err := ablate.Cumulative(t.Context(), small(), ablate.Spec{Given: o, Points: 3}, ablate.Options{})
		if err == nil {
			require.Len(t, r.Correct, len(o.Orders))
		}
	})
}
