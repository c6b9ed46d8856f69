package result

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type keySpec struct {
	Name   string             `json:"name"`
	Sites  []string           `json:"sites"`
	Sigma  []float64          `json:"sigma,omitempty"`
	Seeds  map[string]uint64  `json:"seeds"`
	Rates  map[string]float64 `json:"rates"`
	Worker int                `json:"-"`
}

func aSpec() keySpec {
	return keySpec{
		Name: "a > b & ü", Sites: []string{"fc1", "fc2"}, Sigma: []float64{0.1, 1e-9, 3},
		Seeds: map[string]uint64{"order": math.MaxUint64, "init": 1}, Rates: map[string]float64{"b": 0.5, "a": 1}, Worker: 7,
	}
}

// The expected keys were computed outside Go, by hashlib of Python 3.11, from the JSON that stands beside them:
//
//	hashlib.sha256(text.encode()).hexdigest()[:32]
//
// If this test fails, every key in every store has changed: do not edit the numbers, find out why.
func TestKeyGolden(t *testing.T) {
	for _, c := range []struct {
		want, text string // the key, and the JSON it hashes
		parts      []any
	}{
		{"0eb5b8d6f81bc677da8a08567cc4fa9a", `["a"]`, []any{"a"}},
		{"86f8e49b11a097e0291f82e489a8ff37", `["ablate 1",{"name":"a > b & ü","sites":["fc1","fc2"],` +
			`"sigma":[0.1,1e-9,3],"seeds":{"init":1,"order":18446744073709551615},"rates":{"a":1,"b":0.5}},null,true,-0]`,
			[]any{"ablate 1", aSpec(), nil, true, math.Copysign(0, -1)}},
	} {
		text, err := encode(c.parts)
		require.NoError(t, err)
		require.Equal(t, c.text, string(text))
		key, err := Key(c.parts...)
		require.NoError(t, err)
		require.Equal(t, c.want, key)
	}
}

func TestKeyTellsApart(t *testing.T) {
	changed := aSpec()
	changed.Sigma = []float64{0.1, math.Nextafter(1e-9, 1), 3}
	seen := map[string]int{}
	for i, parts := range [][]any{
		{"x"}, {"x", "x"}, {"xx"}, {[]string{"x"}}, {"x", nil}, {"x", []int{}}, {"x", []int(nil), 0},
		{aSpec()}, {changed}, {1}, {"1"}, {1.5}, {uint64(math.MaxUint64)}, {uint64(math.MaxUint64 - 1)},
	} {
		key, err := Key(parts...)
		require.NoError(t, err)
		require.Regexp(t, "^[0-9a-f]{32}$", key)
		require.NotContains(t, seen, key, "parts %d", i)
		seen[key] = i
	}
}

func TestKeyIgnoresWhatDoesNotMatter(t *testing.T) {
	a, b := aSpec(), aSpec()
	b.Worker = 99 // tagged "-"
	first, err := Key(a)
	require.NoError(t, err)
	second, err := Key(&b)
	require.NoError(t, err)
	require.Equal(t, first, second)

	rapid.Check(t, func(t *rapid.T) { // the order in which a map was filled
		names := rapid.SliceOfDistinct(rapid.String(), rapid.ID).Draw(t, "names")
		forward, backward := map[string]int{}, map[string]int{}
		for i := range names {
			forward[names[i]] = i
			j := len(names) - 1 - i
			backward[names[j]] = j
		}
		first, err := Key(forward)
		require.NoError(t, err)
		second, err := Key(backward)
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

func TestKeyRefuses(t *testing.T) {
	type hidden struct {
		Shown int
		noise float64
	}
	type embedded struct{ keySpec }
	type loop struct{ Next *loop }
	circle := &loop{}
	circle.Next = circle
	bad := aSpec()
	bad.Sigma[2] = math.NaN()
	for _, c := range []struct {
		part any
		says string
	}{
		{bad, "part 1.Sigma[2] is NaN"},
		{&embedded{bad}, "part 1.keySpec.Sigma[2] is NaN"},
		{map[string]any{"a": []any{1, math.Inf(-1)}}, "part 1[a][1] is -Inf"},
		{float32(math.Inf(1)), "part 1 is +Inf"},
		{func() {}, "part 1 is a func()"},
		{struct{ Graph func() }{}, "part 1.Graph is a func()"},
		{make(chan int), "part 1 is a chan int"},
		{1i, "part 1 is a complex128"},
		{hidden{1, 2}, "part 1.noise is unexported"},
		{"\xff", `part 1 is "\xff", not valid UTF-8`},
		{map[string]int{"\xff": 1}, "not valid UTF-8"},
		{map[float64]int{1: 1}, "unsupported type"},
		{circle, "nested more than 100 deep, or contains itself"},
	} {
		_, err := Key("name", c.part)
		require.ErrorContains(t, err, c.says)
		require.ErrorContains(t, err, "key: ")
	}
	_, err := Key()
	require.ErrorContains(t, err, "no parts")

	_, err = Key(time.Unix(0, 0), embedded{aSpec()}) // unexported inside, but writes itself; fields promoted
	require.NoError(t, err)
}

func TestKeyErrorsFitOneLine(t *testing.T) {
	_, err := Key(math.NaN())
	require.False(t, strings.Contains(err.Error(), "\n"))
}
