package nets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The files in testdata were written by the reference implementation, the Python package safetensors 0.8.0 with numpy
// 2.4.6 and ml_dtypes 0.6.0 (function safetensors.numpy.save_file), from the values that stand here.

var float32Inf = float32(math.Inf(1))

func float32File() (map[string]Array, map[string]string) {
	third := float32(1) / 3
	return map[string]Array{
		"fc1.weight": {[]int{2, 3}, []float32{0, 1, -2.5, math.SmallestNonzeroFloat32 * 2, math.MaxFloat32, third}},
		"fc1.bias":   {[]int{2}, []float32{float32Inf, float32(math.Copysign(0, -1))}},
		"scale":      {[]int{}, []float32{7}},
		"empty":      {[]int{0, 3}, []float32{}},
		"ü<&>":       {[]int{1}, []float32{1}},
	}, map[string]string{"net": `mlp:2 "<ü>"`}
}

func requireSameBits(t require.TestingT, want, got map[string]Array) {
	require.Len(t, got, len(want))
	for name, w := range want {
		g := got[name]
		require.Equal(t, w.Shape, g.Shape, name)
		require.Len(t, g.Data, len(w.Data), name)
		for i := range w.Data {
			require.Equal(t, math.Float32bits(w.Data[i]), math.Float32bits(g.Data[i]), "%s[%d]", name, i)
		}
	}
}

func TestSafetensorsReadsTheReference(t *testing.T) {
	want, wantMetadata := float32File()
	got, metadata, err := LoadSafetensors("testdata/float32.safetensors")
	require.NoError(t, err)
	require.Equal(t, wantMetadata, metadata)
	requireSameBits(t, want, got)

	got, metadata, err = LoadSafetensors("testdata/mixed.safetensors")
	require.NoError(t, err)
	require.Nil(t, metadata)
	require.True(t, math.IsNaN(float64(got["f16"].Data[9])))
	got["f16"].Data[9] = 0
	requireSameBits(t, map[string]Array{
		"f16": {[]int{11}, []float32{0, float32(math.Copysign(0, -1)), 1, -2.5, 65504, 1.0 / (1 << 14), 1.0 / (1 << 24),
			float32Inf, -float32Inf, 0, 0.333251953125}},
		"bf16": {[]int{2, 2}, []float32{1, -2.5, math.Float32frombits(1 << 16), float32Inf}},
		"f64":  {[]int{3}, []float32{0.1, 0, -2}},
		"f32":  {[]int{1}, []float32{0.1}},
		"i64":  {[]int{}, []float32{-1 << 63}},
		"u64":  {[]int{2}, []float32{1 << 63, 16777215}},
		"i32":  {[]int{2}, []float32{-16777216, 7}},
		"u32":  {[]int{1}, []float32{4294967040}},
		"i16":  {[]int{2}, []float32{-32768, 32767}},
		"u16":  {[]int{1}, []float32{65535}},
		"i8":   {[]int{3}, []float32{-128, 0, 127}},
		"u8":   {[]int{1, 1}, []float32{255}},
	}, got)
}

// For F32 our bytes are those of the reference, so what reads its files reads ours.
func TestSafetensorsWritesAsTheReference(t *testing.T) {
	arrays, metadata := float32File()
	var b bytes.Buffer
	require.NoError(t, WriteSafetensors(&b, arrays, metadata))
	want, err := os.ReadFile("testdata/float32.safetensors")
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func TestFloat16MatchesItsDefinition(t *testing.T) {
	for h := range 1 << 16 {
		sign, exponent, fraction := 1-2*float64(h>>15), h>>10&31, float64(h&1023)
		got := float64(float16(uint16(h)))
		switch {
		case exponent == 31 && fraction == 0:
			require.Equal(t, math.Inf(int(sign)), got)
		case exponent == 31:
			require.True(t, math.IsNaN(got))
		case exponent == 0:
			require.Equal(t, sign*fraction*math.Pow(2, -24), got)
			require.Equal(t, sign < 0, math.Signbit(got))
		default:
			require.Equal(t, sign*(1+fraction/1024)*math.Pow(2, float64(exponent-15)), got)
		}
	}
}

func TestSafetensorsRoundTrip(t *testing.T) {
	array := rapid.Custom(func(t *rapid.T) Array {
		a := Array{Shape: rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "shape")}
		n, err := shapeElements(a.Shape)
		require.NoError(t, err)
		a.Data = make([]float32, n)
		for i, bits := range rapid.SliceOfN(rapid.Uint32(), n, n).Draw(t, "bits") { // NaNs with payload too
			a.Data[i] = math.Float32frombits(bits)
		}
		return a
	})
	rapid.Check(t, func(t *rapid.T) {
		arrays := rapid.MapOfN(rapid.String(), array, 0, 5).Draw(t, "arrays")
		metadata := rapid.MapOfN(rapid.String(), rapid.String(), 1, 3).Draw(t, "metadata")
		delete(arrays, "__metadata__")
		var first, second bytes.Buffer
		require.NoError(t, WriteSafetensors(&first, arrays, metadata))
		require.NoError(t, WriteSafetensors(&second, arrays, metadata))
		require.Equal(t, first.Bytes(), second.Bytes())
		require.Zero(t, binary.LittleEndian.Uint64(first.Bytes())%8)
		got, gotMetadata, err := ReadSafetensors(iotest.OneByteReader(&first))
		require.NoError(t, err)
		require.Equal(t, metadata, gotMetadata)
		requireSameBits(t, arrays, got)
	})
}

func TestSafetensorsManyElements(t *testing.T) {
	data := make([]float32, 100_003) // several fillings of the buffer
	for i := range data {
		data[i] = float32(i)
	}
	want := map[string]Array{"a": {[]int{100_003}, data}, "b": {[]int{1}, []float32{-1}}}
	path := filepath.Join(t.TempDir(), "w.safetensors")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, WriteSafetensors(f, want, nil))
	require.NoError(t, f.Close())
	got, _, err := LoadSafetensors(path)
	require.NoError(t, err)
	requireSameBits(t, want, got)
	require.Equal(t, len(data), cap(got["a"].Data))
}

// safetensorsFile makes a safetensors file of a header and data.
func safetensorsFile(header string, data ...byte) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + string(data)
}

func safetensorsEntry(dtype, shape, offsets string) string {
	return fmt.Sprintf(`"w":{"dtype":"%s","shape":%s,"data_offsets":%s}`, dtype, shape, offsets)
}

func TestReadSafetensorsHostile(t *testing.T) {
	file := safetensorsFile
	one := safetensorsEntry("F32", "[1]", "[0,4]")
	four := []byte{0, 0, 0x80, 0x3f}
	good, _, err := ReadSafetensors(strings.NewReader(file("{"+one+"}  ", four...)))
	require.NoError(t, err)
	require.Equal(t, map[string]Array{"w": {[]int{1}, []float32{1}}}, good)
	none, metadata, err := ReadSafetensors(strings.NewReader(file(`{"__metadata__":{}}`)))
	require.NoError(t, err)
	require.Empty(t, none)
	require.Empty(t, metadata)

	w := func(dtype, shape, offsets string, data ...byte) string {
		return file("{"+safetensorsEntry(dtype, shape, offsets)+"}", data...)
	}
	i64 := func(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }
	second := func(offsets string) string {
		return `{"v":{"dtype":"U8","shape":[2],"data_offsets":` + offsets + `},` + one + `}`
	}
	for name, c := range map[string]struct{ text, says string }{
		"empty":        {"", "only 0 bytes"},
		"short prefix": {"\x02\x00\x00", "only 3 bytes"},
		"header over the limit": {
			"\x01\xe1\xf5\x05\x00\x00\x00\x00{}",
			"header has 100000001 bytes, the limit is 100000000",
		},
		"header of 2^64-1": {strings.Repeat("\xff", 8) + "{}", "18446744073709551615 bytes"},
		"a zip archive":    {"PK\x03\x04\x00\x00\x08\x08\x00\x00", "another kind of file"},
		"header beyond the end": {
			"\x00\xe1\xf5\x05\x00\x00\x00\x00{}",
			"header has 100000000 bytes, but ends after 2",
		},
		"no header":          {file(""), "does not begin with {"},
		"space first":        {file(" {}"), "does not begin with {"},
		"list":               {file("[]"), "does not begin with {"},
		"broken JSON":        {file(`{"w":`), "not JSON"},
		"comma at the end":   {file("{" + one + ",}"), "not JSON"},
		"two objects":        {file("{}{}"), "not JSON"},
		"newline after":      {file("{}\n"), "something else than spaces"},
		"zero byte after":    {file("{}\x00"), "not JSON"},
		"bad UTF-8":          {file("{\"\xff\":1}"), "not valid UTF-8"},
		"deep":               {file(`{"w":` + strings.Repeat("[", 100_000)), "not JSON"},
		"tensor is a number": {file(`{"w":1}`), `tensor "w" is not an object`},
		"tensor is null":     {file(`{"w":null}`), `tensor "w" is not an object`},
		"tensor twice":       {file("{"+one+","+one+"}", four...), `the header has the key "w" twice`},
		"twice, escaped": {
			file("{"+one+","+strings.Replace(one, `"w"`, `"\u0077"`, 1)+"}", four...),
			`key "w" twice`,
		},
		"dtype twice": {
			file(`{"w":{"dtype":"F32","dtype":"F16"}}`),
			`tensor "w" has the key "dtype" twice`,
		},
		"unknown key": {
			file(`{"w":{"dtype":"F32","Shape":[1]}}`),
			`tensor "w" has the unknown key "Shape"`,
		},
		"no offsets":          {file(`{"w":{"dtype":"F32","shape":[1]}}`), `tensor "w" lacks`},
		"no dtype":            {file(`{"w":{"shape":[1],"data_offsets":[0,4]}}`), `tensor "w" lacks`},
		"metadata twice":      {file(`{"__metadata__":{},"__metadata__":{}}`), `key "__metadata__" twice`},
		"metadata key twice":  {file(`{"__metadata__":{"a":"","a":""}}`), `__metadata__ has the key "a" twice`},
		"metadata number":     {file(`{"__metadata__":{"a":1}}`), `__metadata__ "a" is not a string`},
		"metadata list":       {file(`{"__metadata__":[]}`), `__metadata__ is not an object`},
		"dtype number":        {file(`{"w":{"dtype":1}}`), `tensor "w": dtype is not a string`},
		"dtype BOOL":          {w("BOOL", "[1]", "[0,1]", 1), `tensor "w" has dtype "BOOL"; F32`},
		"dtype F8":            {w("F8_E4M3", "[1]", "[0,1]", 1), `tensor "w" has dtype "F8_E4M3"`},
		"dtype f32":           {w("f32", "[1]", "[0,4]", four...), `tensor "w" has dtype "f32"`},
		"shape is a number":   {w("F32", "1", "[0,4]"), `tensor "w": shape is not a list`},
		"shape of lists":      {w("F32", "[[1]]", "[0,4]"), `tensor "w": shape holds "["`},
		"shape negative":      {w("F32", "[-1]", "[0,4]"), `tensor "w": shape holds "-1"`},
		"shape both negative": {w("F32", "[-1,-1]", "[0,4]", four...), `tensor "w": shape holds "-1"`},
		"shape fractional":    {w("F32", "[1.0]", "[0,4]"), `tensor "w": shape holds "1.0"`},
		"shape exponent":      {w("F32", "[1e0]", "[0,4]"), `tensor "w": shape holds "1e0"`},
		"shape text":          {w("F32", `["1"]`, "[0,4]"), `tensor "w": shape holds "1"`},
		"shape 2^63":          {w("F32", "[9223372036854775808]", "[0,4]"), `tensor "w": shape holds`},
		"product overflows": {
			w("U8", "[4294967296,4294967296]", "[0,0]"),
			`tensor "w": shape [4294967296 4294967296] has too many`,
		},
		"product over int": {w("U8", "[4294967296,2147483648]", "[0,0]"), `too many elements`},
		"bytes overflow": {
			w("F32", "[4611686018427387904]", "[0,0]"),
			`tensor "w": F32[4611686018427387904] does not fill`,
		},
		"bytes over int":    {w("F32", "[2305843009213693952]", "[0,9223372036854775808]"), `does not fill`},
		"offsets negative":  {w("F32", "[1]", "[-4,0]"), `tensor "w": data_offsets holds "-4"`},
		"offsets backwards": {w("F32", "[1]", "[4,0]"), `tensor "w": data_offsets are [4 0]`},
		"offsets three":     {w("F32", "[1]", "[0,4,4]"), `tensor "w": data_offsets are [0 4 4]`},
		"offsets none":      {w("F32", "[1]", "[]"), `tensor "w": data_offsets are []`},
		"offsets short": {
			w("F32", "[1]", "[0,3]", four...),
			`tensor "w": F32[1] does not fill data_offsets [0, 3]`,
		},
		"offsets long": {
			w("F16", "[1]", "[0,4]", four...),
			`tensor "w": F16[1] does not fill data_offsets [0, 4]`,
		},
		"hole at the beginning": {
			w("F32", "[1]", "[4,8]", 0, 0, 0, 0, 0, 0, 0, 0),
			`tensor "w" begins at byte 4, a hole after the beginning`,
		},
		"hole": {
			file(second("[5,7]"), make([]byte, 7)...),
			`tensor "v" begins at byte 5, a hole after tensor "w"`,
		},
		"overlap": {
			file(second("[3,5]"), make([]byte, 5)...),
			`tensor "v" begins at byte 3 and overlaps tensor "w"`,
		},
		"same place": {
			file(second("[0,2]"), make([]byte, 4)...),
			`tensor "w" begins at byte 0 and overlaps tensor "v"`,
		},
		"truncated": {
			file("{"+one+"}", 0, 0, 0),
			`tensor "w": F32[1] needs 4 bytes, the file ends after 3`,
		},
		"no data": {file("{" + one + "}"), `tensor "w": F32[1] needs 4 bytes, the file ends after 0`},
		"second truncated": {
			file(second("[4,6]"), make([]byte, 5)...),
			`tensor "v": U8[2] needs 2 bytes, the file ends after 1`,
		},
		"huge tensor": {
			w("F32", "[2305843009213693951]", "[0,9223372036854775804]", 1, 2),
			`tensor "w": F32[2305843009213693951] needs 9223372036854775804 bytes, the file ends after 2`,
		},
		"trailing byte":        {file("{"+one+"}", 0, 0, 0, 0, 0), `bytes after the last tensor, "w"`},
		"trailing, no tensors": {file("{}", 0), `bytes after the header`},
		"I64 not exact": {
			w("I64", "[2]", "[0,16]", append(i64(0), i64(-16777217)...)...),
			`tensor "w": element 1: -16777217 is not exactly a float32`,
		},
		"I64 almost least": {
			w("I64", "[1]", "[0,8]", i64(math.MinInt64+1)...),
			`-9223372036854775807 is not exactly`,
		},
		"U64 not exact": {
			w("U64", "[1]", "[0,8]", i64(-1)...),
			`18446744073709551615 is not exactly a float32`,
		},
		"U32 not exact": {
			w("U32", "[1]", "[0,4]", 255, 255, 255, 255),
			`4294967295 is not exactly a float32`,
		},
		"I32 not exact": {w("I32", "[1]", "[0,4]", 1, 0, 0, 128), `-2147483647 is not exactly a float32`},
		"F64 too large": {
			w("F64", "[1]", "[0,8]", i64(int64(math.Float64bits(1e39)))...),
			`tensor "w": element 0: 1e+39 is beyond`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.text), iotest.HalfReader(strings.NewReader(c.text))} {
				arrays, metadata, err := ReadSafetensors(r)
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "safetensors file")
				require.Nil(t, arrays)
				require.Nil(t, metadata)
			}
		})
	}
}

// What a header promises costs no memory: only what is there does.
func TestReadSafetensorsAllocatesWhatItReads(t *testing.T) {
	text := safetensorsFile("{" + safetensorsEntry("F32", "[1000000000]", "[0,4000000000]") + "}")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, hostile := range []string{text, "\x00\xe1\xf5\x05\x00\x00\x00\x00{}"} {
		_, _, err := ReadSafetensors(strings.NewReader(hostile))
		require.Error(t, err)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
}

func TestReadSafetensorsPassesErrorsOn(t *testing.T) {
	whole, err := os.ReadFile("testdata/float32.safetensors")
	require.NoError(t, err)
	broken := errors.New("broken disk")
	for n := range whole {
		_, _, err := ReadSafetensors(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken, n)
		_, _, err = ReadSafetensors(bytes.NewReader(whole[:n]))
		require.Error(t, err, n)
	}
	_, _, err = ReadSafetensors(io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	_, _, err = LoadSafetensors("testdata/missing.safetensors")
	require.ErrorIs(t, err, os.ErrNotExist)
	path := filepath.Join(t.TempDir(), "cut.safetensors")
	require.NoError(t, os.WriteFile(path, whole[:len(whole)-1], 0o644))
	_, _, err = LoadSafetensors(path)
	require.ErrorContains(t, err, path)
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	for says, arrays := range map[string]map[string]Array{
		`array "w": shape [2 3] has 6 elements, but there are 5`: {"w": {[]int{2, 3}, make([]float32, 5)}},
		`array "w": shape [] has 1 elements, but there are 0`:    {"w": {}},
		`array "w": shape [-1] has a negative size`:              {"w": {[]int{-1}, nil}},
		`has too many elements`:                                  {"w": {[]int{math.MaxInt, 3}, nil}},
		`"__metadata__" cannot be the name`:                      {"__metadata__": {[]int{0}, nil}},
		`the name "\xff" is not valid UTF-8`:                     {"\xff": {[]int{0}, nil}},
	} {
		var b bytes.Buffer
		require.ErrorContains(t, WriteSafetensors(&b, arrays, nil), says)
		require.Zero(t, b.Len())
	}
	require.ErrorContains(t, WriteSafetensors(io.Discard, nil, map[string]string{"a": "\xff"}), "not valid UTF-8")
	arrays, _ := float32File()
	r, w := io.Pipe()
	broken := errors.New("broken disk")
	r.CloseWithError(broken)
	require.ErrorIs(t, WriteSafetensors(w, arrays, nil), broken)
}

func FuzzReadSafetensors(f *testing.F) {
	for _, name := range []string{"testdata/float32.safetensors", "testdata/mixed.safetensors"} {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(safetensorsFile("{"+safetensorsEntry("F32", "[1]", "[0,4]")+"}", 0, 0, 0, 0)))
	f.Add([]byte(safetensorsFile(`{"__metadata__":{"a":"b"}}  `)))
	f.Add([]byte(safetensorsFile("{" + safetensorsEntry("F32", "[2305843009213693952]", "[0,9223372036854775808]") + "}")))
	f.Fuzz(func(t *testing.T, text []byte) {
		arrays, metadata, err := ReadSafetensors(bytes.NewReader(text))
		if err != nil {
			return
		}
		elements := 0
		for _, a := range arrays {
			n, err := shapeElements(a.Shape)
			require.NoError(t, err)
			require.Len(t, a.Data, n)
			elements += n
		}
		require.LessOrEqual(t, elements, len(text)) // an element takes at least a byte
		var b bytes.Buffer
		require.NoError(t, WriteSafetensors(&b, arrays, metadata))
		again, sameMetadata, err := ReadSafetensors(&b)
		require.NoError(t, err)
		requireSameBits(t, arrays, again)
		require.Len(t, sameMetadata, len(metadata))
	})
}

func ExampleWriteSafetensors() {
	weights := map[string]Array{
		"fc1.weight": {Shape: []int{2, 2}, Data: []float32{1, 2, 3, 4}},
		"fc1.bias":   {Shape: []int{2}, Data: []float32{0.5, -0.5}},
	}
	var b bytes.Buffer
	if err := WriteSafetensors(&b, weights, map[string]string{"net": "mlp:2"}); err != nil {
		fmt.Println(err)
	}
	arrays, metadata, err := ReadSafetensors(&b)
	fmt.Println(arrays["fc1.weight"], arrays["fc1.bias"], metadata, err)
	// Output:
	// {[2 2] [1 2 3 4]} {[2] [0.5 -0.5]} map[net:mlp:2] <nil>
}
