package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// idxFile writes the IDX form of data, the inverse of ReadIDX.
func idxFile(data []byte, shape ...int) []byte {
	out := []byte{0, 0, 8, byte(len(shape))}
	for _, d := range shape {
		out = binary.BigEndian.AppendUint32(out, uint32(d))
	}
	return append(out, data...)
}

func zip(t require.TestingT, data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestReadIDX(t *testing.T) {
	plain := []byte{0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255}
	want := IDX{Shape: []int{2, 3}, Data: []byte{1, 2, 3, 4, 5, 255}}
	for name, file := range map[string][]byte{"plain": plain, "gzip": zip(t, plain)} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadIDX(bytes.NewReader(file))
			require.NoError(t, err)
			require.Equal(t, want, got)
			got, err = ReadIDX(iotest.OneByteReader(bytes.NewReader(file)))
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestReadIDXErrors(t *testing.T) {
	good := idxFile([]byte{1, 2, 3, 4}, 2, 2)
	zipped := zip(t, good)
	badSum := bytes.Clone(zipped)
	badSum[len(badSum)-8] ^= 1 // the CRC-32 comes 8 bytes before the end (RFC 1952)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":              {nil, "truncated: it ends after 0 of the 4 bytes of its magic number"},
		"one byte":           {[]byte{0}, "truncated: it ends after 1 of the 4 bytes of its magic number"},
		"not IDX":            {[]byte("\x89PNG...."), "not an IDX file: it begins with bytes 89 50 4e 47"},
		"float32":            {[]byte{0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0}, "type 0x0d (float32): only type 0x08"},
		"unknown type":       {[]byte{0, 0, 0x42, 1, 0, 0, 0, 1, 0}, "type 0x42 (unknown)"},
		"no dimension":       {[]byte{0, 0, 8, 0, 1}, "0 dimensions: want 1 to 4"},
		"five dimensions":    {idxFile([]byte{1}, 1, 1, 1, 1, 1), "5 dimensions: want 1 to 4"},
		"cut in the sizes":   {good[:9], "ends after 5 of the 8 bytes of its sizes"},
		"size 0":             {idxFile(nil, 3, 0), "size of 0 in dimension 2 of 2"},
		"no values":          {good[:12], "ends after 0 of the 4 bytes of its values"},
		"cut in the values":  {good[:15], "ends after 3 of the 4 bytes of its values"},
		"trailing byte":      {append(bytes.Clone(good), 9), "after the 4 values of the IDX file: there are more bytes"},
		"more than 1 GiB":    {idxFile(nil, 1<<15, 1<<15, 2), "more than 1073741824 values (dimension 3 of 3 has size 2)"},
		"overflow of uint64": {idxFile(nil, 1<<30, 1<<31, 1<<31, 1<<31), "more than 1073741824 values"},
		"gzip cut":           {zipped[:len(zipped)-9], "after the 4 values of the IDX file: the gzip stream is truncated"},
		"gzip without sum":   {zipped[:len(zipped)-4], "after the 4 values of the IDX file: the gzip stream is truncated"},
		"gzip cut early":     {zipped[:14], "IDX file is truncated"},
		"gzip header":        {zipped[:5], "gzip header is not valid"},
		"gzip checksum":      {badSum, "gzip: invalid checksum"},
		"gzip trailing":      {append(bytes.Clone(zipped), 0), "after the gzip stream: there are more bytes"},
		"two gzip members":   {append(bytes.Clone(zipped), zipped...), "after the gzip stream: there are more bytes"},
		"gzip in gzip":       {zip(t, zipped), "not an IDX file: it begins with bytes 1f 8b"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadIDX(bytes.NewReader(c.file))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestReadIDXReportsReadErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	good := idxFile([]byte{1, 2, 3, 4}, 4)
	for n := range len(good) + 1 {
		r := io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(broken))
		_, err := ReadIDX(r)
		require.ErrorIs(t, err, broken, "after %d bytes", n)
		require.NotContains(t, err.Error(), "truncated")
	}
}

// A header that claims 1 GiB in front of nothing must cost about 1 MiB, not 1 GiB.
func TestReadIDXDoesNotBelieveTheHeader(t *testing.T) {
	file := idxFile(make([]byte, 5000), 1<<15, 1<<15)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ReadIDX(bytes.NewReader(file))
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "ends after 5000 of the 1073741824 bytes of its values")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}

// Files beyond the first allocation come back whole: the buffer is grown several times here.
func TestReadIDXLargerThanFirstAllocation(t *testing.T) {
	data := make([]byte, 5*firstIDXBytes+3)
	for i := range data {
		data[i] = byte(i * 7)
	}
	got, err := ReadIDX(bytes.NewReader(idxFile(data, len(data))))
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got.Data))
	require.Equal(t, len(got.Data), cap(got.Data))
}

func TestReadIDXRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(1, 6), 1, 4).Draw(t, "shape")
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "data")
		file := idxFile(data, shape...)
		cut := rapid.IntRange(0, len(file)-1).Draw(t, "cut")
		_, err := ReadIDX(bytes.NewReader(file[:cut]))
		require.Error(t, err)
		if rapid.Bool().Draw(t, "gzip") {
			file = zip(t, file)
		}
		got, err := ReadIDX(bytes.NewReader(file))
		require.NoError(t, err)
		require.Equal(t, IDX{Shape: shape, Data: data}, got)
	})
}

// FuzzReadIDX: no input makes ReadIDX panic, and what it accepts is consistent and survives a round trip.
func FuzzReadIDX(f *testing.F) {
	good := idxFile([]byte{1, 2, 3, 4, 5, 6}, 3, 2)
	f.Add(good)
	f.Add(zip(f, good))
	f.Add(good[:7])
	f.Add(append(bytes.Clone(good), 0))
	f.Add(idxFile(nil, 1<<31, 1<<31, 1<<31, 4))
	f.Add([]byte{0, 0, 8, 255})
	f.Add([]byte{0x1f, 0x8b, 8})
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := ReadIDX(bytes.NewReader(file))
		if err != nil {
			require.Empty(t, got)
			return
		}
		n := 1
		for _, d := range got.Shape {
			n *= d
		}
		require.Len(t, got.Data, n)
		again, err := ReadIDX(bytes.NewReader(idxFile(got.Data, got.Shape...)))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

// A tiny set of 2×2 images and 3 classes, to read pairs of files that no checksum vouches for.
func TestReadIDXPair(t *testing.T) {
	e := Entry{Shape: []int{2, 2, 1}, Classes: []string{"a", "b", "c"}}
	file := func(path string, data []byte, shape ...int) content { return content{path, idxFile(data, shape...)} }
	images := file("d/images", []byte{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2, 2)
	labels := file("d/labels", []byte{2, 0}, 2)

	got, err := readIDXPair(e, images, labels)
	require.NoError(t, err)
	require.Equal(t, Split{Images: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Shape: []int{2, 2, 1}, Labels: []int32{2, 0}}, got)

	for name, c := range map[string]struct {
		images, labels content
		want           string
	}{
		"label too large": {images, file("d/labels", []byte{2, 3}, 2), "d/labels: label 1 is 3, want 0 to 2"},
		"counts differ":   {images, file("d/labels", []byte{1}, 1), "d/images has 2 images, but d/labels has 1 labels"},
		"image size":      {file("d/images", make([]byte, 12), 2, 2, 3), labels, "d/images: shape [2 2 3], want [N 2 2]"},
		"flat images":     {file("d/images", make([]byte, 8), 2, 4), labels, "d/images: shape [2 4], want [N 2 2]"},
		"labels as array": {images, file("d/labels", []byte{1, 1}, 2, 1), "d/labels: shape [2 1], want [N]"},
		"broken images":   {content{"d/images", []byte("x")}, labels, "d/images: IDX file is truncated"},
		"broken labels":   {images, content{"d/labels", []byte("xxxx")}, "d/labels: not an IDX file"},
		"swapped":         {labels, images, "d/labels: shape [2], want [N 2 2]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readIDXPair(e, c.images, c.labels)
			require.ErrorContains(t, err, c.want)
		})
	}
}
