package corrupt_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
)

// cycle gives n labels 0, 1, …, classes−1, 0, …
func cycle(n, classes int) []int32 {
	labels := make([]int32, n)
	for i := range labels {
		labels[i] = int32(i % classes)
	}
	return labels
}

func counts(labels []int32, classes int) []int {
	n := make([]int, classes)
	for _, c := range labels {
		n[c]++
	}
	return n
}

func hash(labels []int32) string {
	h := sha256.New()
	for _, c := range labels {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], uint32(c))
		h.Write(b[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// The numbers come from an independent implementation in Python integers: PCG-DXSM, Lemire's bounded draw, Fisher-Yates.
// They must not move between releases or platforms, because stored networks and published figures rest on them.
func TestGolden(t *testing.T) {
	labels := cycle(60_000, 10)
	for _, c := range []struct {
		spec    corrupt.Spec
		changed int
		hash    string
	}{
		{corrupt.Spec{Fraction: 0.2, Seed: 1}, 10755, "8c1ae1793ae7cc16"},
		{corrupt.Spec{Fraction: 1}, 53970, "cef804cdc60acc7e"},
		{corrupt.Spec{Fraction: 0.4, Method: corrupt.Resample, Seed: math.MaxUint64}, 21543, "fbd63b47ff685246"},
		{corrupt.Spec{Fraction: 0.05, Method: corrupt.PairFlip, Seed: 3}, 3000, "a1353ebecc19f0e8"},
	} {
		got, m, err := corrupt.Labels(labels, 10, c.spec)
		require.NoError(t, err)
		require.Equal(t, c.hash, hash(got), "%+v", c.spec)
		require.Equal(t, c.changed, m.Changed, "%+v", c.spec)
	}
}

// draw makes labels and a spec of any method.
func draw(t *rapid.T) (labels []int32, classes int, spec corrupt.Spec) {
	classes = rapid.IntRange(2, 12).Draw(t, "classes")
	labels = rapid.SliceOfN(rapid.Int32Range(0, int32(classes-1)), 1, 200).Draw(t, "labels")
	return labels, classes, corrupt.Spec{
		Fraction: rapid.Float64Range(0, 1).Draw(t, "fraction"),
		Method:   rapid.SampledFrom(append(corrupt.Methods(), "")).Draw(t, "method"),
		Seed:     rapid.Uint64().Draw(t, "seed"),
	}
}

func TestManifestTellsTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels, classes, spec := draw(t)
		before := slices.Clone(labels)
		got, m, err := corrupt.Labels(labels, classes, spec)
		require.NoError(t, err)
		require.Equal(t, before, labels, "the argument stays as it is")
		require.Len(t, got, len(labels))

		require.Equal(t, spec.WithDefaults(), m.Spec)
		require.Equal(t, [2]int{classes, len(labels)}, [2]int{m.Classes, m.Examples})
		chosen, changed := map[int32]bool{}, 0
		for i, index := range m.Indices {
			require.True(t, i == 0 || m.Indices[i-1] < index, "ascending, each once")
			require.Equal(t, labels[index], m.Old[i])
			require.Equal(t, got[index], m.New[i])
			chosen[index] = true
		}
		for i := range labels {
			if labels[i] != got[i] {
				changed++
				require.True(t, chosen[int32(i)], "example %d changed without being chosen", i)
			}
		}
		require.Equal(t, changed, m.Changed)
		require.Equal(t, float64(changed)/float64(len(labels)), m.Realised)

		again, same, err := corrupt.Labels(labels, classes, spec)
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Equal(t, m, same)

		text, err := json.Marshal(m)
		require.NoError(t, err)
		var read corrupt.Manifest
		require.NoError(t, json.Unmarshal(text, &read))
		require.Equal(t, m, read)
		applied, err := read.Apply(labels)
		require.NoError(t, err)
		require.Equal(t, got, applied)
	})
}

func TestMethods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels, classes, spec := draw(t)
		got, m, err := corrupt.Labels(labels, classes, spec)
		require.NoError(t, err)
		exact := int(math.Round(spec.Fraction * float64(len(labels))))
		switch m.Method {
		case corrupt.Permute:
			require.Len(t, m.Indices, exact)
			require.Equal(t, counts(labels, classes), counts(got, classes), "class frequencies are exact")
		case corrupt.PairFlip:
			require.Len(t, m.Indices, exact)
			for i, c := range m.Old {
				require.Equal(t, (c+1)%int32(classes), m.New[i])
			}
			require.Equal(t, exact, m.Changed)
		case corrupt.Resample:
			for _, c := range m.New {
				require.True(t, c >= 0 && int(c) < classes)
			}
		}
	})
}

func TestSmallerFractionsAreNested(t *testing.T) {
	labels := cycle(1000, 10)
	for _, method := range corrupt.Methods() {
		var smaller []int32
		for _, f := range []float64{0, 0.2, 0.4, 0.6, 0.8, 1} {
			_, m, err := corrupt.Labels(labels, 10, corrupt.Spec{Fraction: f, Method: method, Seed: 5})
			require.NoError(t, err)
			for _, i := range smaller {
				if _, found := slices.BinarySearch(m.Indices, i); !found {
					t.Fatalf("%s at %v: example %d is no longer chosen", method, f, i)
				}
			}
			require.GreaterOrEqual(t, len(m.Indices), len(smaller))
			smaller = m.Indices
		}
		require.Len(t, smaller, 1000, "all examples at fraction 1")
	}
}

func TestRealisedRate(t *testing.T) {
	// Frequencies ½, ¼, ¼: Σ p² = 0.375. N = 200,000, so the standard error of the realised rate is below 0.0012.
	pattern := []int32{0, 1, 0, 2}
	labels := make([]int32, 200_000)
	for i := range labels {
		labels[i] = pattern[i%4]
	}
	for method, expected := range map[corrupt.Method]float64{
		corrupt.Permute:  0.6 * (1 - 0.375),
		corrupt.Resample: 0.6 * (1 - 1.0/3),
		corrupt.PairFlip: 0.6,
	} {
		got, m, err := corrupt.Labels(labels, 3, corrupt.Spec{Fraction: 0.6, Method: method, Seed: 11})
		require.NoError(t, err)
		require.InDelta(t, expected, m.Realised, 0.006, string(method))
		require.InDelta(t, 0.6, float64(len(m.Indices))/200_000, 0.006, string(method))
		if method == corrupt.Resample {
			// The chosen 60 % become uniform: class 0 from ½ to 0.4·½ + 0.6/3.
			require.InDelta(t, 0.4, float64(counts(got, 3)[0])/200_000, 0.006)
		}
	}
}

func TestEveryExampleIsAsLikely(t *testing.T) {
	// Over 2000 seeds each of 20 examples is chosen at rate 0.3: standard error 0.0102; 5 of them.
	labels := cycle(20, 2)
	for _, method := range corrupt.Methods() {
		chosen := make([]float64, 20)
		for seed := range uint64(2000) {
			_, m, err := corrupt.Labels(labels, 2, corrupt.Spec{Fraction: 0.3, Method: method, Seed: seed})
			require.NoError(t, err)
			for _, i := range m.Indices {
				chosen[i] += 1.0 / 2000
			}
		}
		for i, rate := range chosen {
			require.InDelta(t, 0.3, rate, 0.052, "%s, example %d", method, i)
		}
	}
}

func TestErrors(t *testing.T) {
	good := []int32{0, 1, 2}
	for _, bad := range []struct {
		labels  []int32
		classes int
		spec    corrupt.Spec
		says    string
	}{
		{good, 3, corrupt.Spec{Fraction: 1.5}, "fraction is 1.5, it must lie between 0 and 1"},
		{good, 3, corrupt.Spec{Fraction: -0.1}, "fraction is -0.1"},
		{good, 3, corrupt.Spec{Fraction: math.NaN()}, "fraction is NaN"},
		{good, 3, corrupt.Spec{Method: "shuffle"}, `no corruption method "shuffle", there are ["permute" "resample" "pairflip"]`},
		{good, 1, corrupt.Spec{}, "1 classes"},
		{good, 2, corrupt.Spec{}, "label 2 of example 2 is outside 0..1"},
		{[]int32{0, -1}, 2, corrupt.Spec{}, "label -1 of example 1"},
		{nil, 2, corrupt.Spec{}, "0 labels"},
	} {
		_, _, err := corrupt.Labels(bad.labels, bad.classes, bad.spec)
		require.ErrorContains(t, err, bad.says)
	}
}

func TestApplyErrors(t *testing.T) {
	labels := cycle(10, 2)
	_, m, err := corrupt.Labels(labels, 2, corrupt.Spec{Fraction: 1, Method: corrupt.PairFlip})
	require.NoError(t, err)
	_, err = m.Apply(labels[1:])
	require.ErrorContains(t, err, "9 labels, the manifest is of 10")
	other := slices.Clone(labels)
	other[3] = 0
	_, err = m.Apply(other)
	require.ErrorContains(t, err, "example 3 has label 0, the manifest says 1")
	broken := m
	broken.New = m.New[1:]
	_, err = broken.Apply(labels)
	require.ErrorContains(t, err, "damaged manifest")
	broken.New = slices.Repeat([]int32{2}, 10)
	_, err = broken.Apply(labels)
	require.ErrorContains(t, err, "damaged manifest")
}

func TestTable(t *testing.T) {
	labels := cycle(10, 2)
	_, clean, err := corrupt.Labels(labels, 2, corrupt.Spec{})
	require.NoError(t, err)
	_, flipped, err := corrupt.Labels(labels, 2, corrupt.Spec{Fraction: 0.5, Method: corrupt.PairFlip, Seed: math.MaxUint64})
	require.NoError(t, err)
	table := corrupt.Table(clean, flipped)
	require.Equal(t, [][]any{
		{0.0, "permute", "0", 10, 0, 0, 0.0},
		{0.5, "pairflip", "18446744073709551615", 10, 5, 5, 0.5},
	}, table.Rows)
	require.Len(t, table.Columns, 7)
}

func ExampleLabels() {
	labels := make([]int32, 50_000) // five thousand of each of ten classes
	for i := range labels {
		labels[i] = int32(i % 10)
	}
	corrupted, manifest, err := corrupt.Labels(labels, 10, corrupt.Spec{Fraction: 0.4, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(corrupted), "labels")
	fmt.Println(manifest.Summary())
	// Output:
	// 50000 labels
	// 20000 of 50000 labels chosen (nominal rate 0.4, permute, seed 1), 17962 changed (realised rate 0.3592)
}
