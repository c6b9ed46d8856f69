package datasets

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tinyCIFAR is a set of 1×2 images of 3 channels in two training batches and a test batch, with the bytes of its files
// and of its archive, whose name is tiny.tar.gz.
func tinyCIFAR(t *testing.T, mirrors ...string) (Entry, map[string][]byte, []byte) {
	files := map[string][]byte{ // label, two red, two green, two blue
		"a.bin":    {1, 10, 11, 20, 21, 30, 31, 0, 12, 13, 22, 23, 32, 33},
		"b.bin":    {2, 40, 41, 50, 51, 60, 61},
		"test.bin": {0, 70, 71, 80, 81, 90, 91},
	}
	var archive bytes.Buffer
	z := gzip.NewWriter(&archive)
	w := tar.NewWriter(z)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "batches/", Typeflag: tar.TypeDir, Mode: 0o755}))
	for _, name := range []string{"test.bin", "readme.html", "a.bin", "b.bin"} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "batches/" + name, Size: int64(len(files[name])), Mode: 0o644}))
		_, err := w.Write(files[name])
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(w.Close(), z.Close()))
	e := Entry{Name: "tiny", Classes: []string{"x", "y", "z"}, Shape: []int{1, 2, 3}, TrainN: 3, TestN: 1, division: "as published",
		read: readCIFARFiles}
	for _, name := range []string{"a.bin", "b.bin", "test.bin"} {
		e.Files = append(e.Files, published(name, Role(name), files[name]))
	}
	e.Archive = &mirrored([]File{published("tiny.tar.gz", "archive", archive.Bytes())}, mirrors...)[0]
	return e, files, archive.Bytes()
}

func requireTinyCIFAR(t *testing.T, e Entry, dirs ...string) *Set {
	t.Helper()
	s, err := e.load(dirs)
	require.NoError(t, err)
	require.Equal(t, Split{Shape: []int{1, 2, 3}, Labels: []int32{1, 0, 2}, Images: []byte{
		10, 20, 30, 11, 21, 31, 12, 22, 32, 13, 23, 33, 40, 50, 60, 41, 51, 61}}, s.Train)
	require.Equal(t, Split{Shape: []int{1, 2, 3}, Labels: []int32{0}, Images: []byte{70, 80, 90, 71, 81, 91}}, s.Test)
	return s
}

func TestCIFARInAllForms(t *testing.T) {
	e, files, archive := tinyCIFAR(t)
	root := t.TempDir()
	write(t, filepath.Join(root, "plain", "tiny"), files)
	write(t, filepath.Join(root, "archive", "tiny"), map[string][]byte{"tiny.tar.gz": archive})
	write(t, filepath.Join(root, "mixed", "tiny"), map[string][]byte{
		"a.bin.gz": zip(t, files["a.bin"]), "b.bin": files["b.bin"], "tiny.tar.gz": archive})
	write(t, filepath.Join(root, "packed", "tiny"), map[string][]byte{
		"a.bin.gz": zip(t, files["a.bin"]), "b.bin.gz": zip(t, files["b.bin"]), "test.bin.gz": zip(t, files["test.bin"])})
	for _, form := range []string{"plain", "archive", "mixed", "packed"} {
		require.Empty(t, requireTinyCIFAR(t, e, filepath.Join(root, form)).Note)
	}
	states := e.verify([]string{filepath.Join(root, "mixed")})
	require.Equal(t, filepath.Join(root, "mixed", "tiny", "a.bin.gz"), states[0].Path)
	require.Equal(t, filepath.Join(root, "mixed", "tiny", "b.bin"), states[1].Path)
	require.Equal(t, filepath.Join(root, "mixed", "tiny", "tiny.tar.gz", "test.bin"), states[2].Path)

	_, err := e.load([]string{t.TempDir()})
	var missing *MissingError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, e.Archive.Bytes, missing.Bytes, "the archive is what would be fetched")
}

func TestCIFARBadFiles(t *testing.T) {
	e, files, archive := tinyCIFAR(t)
	long := zip(t, bytes.Repeat([]byte("no two the same "), 100))
	for name, c := range map[string]struct {
		file  string
		data  []byte
		state State
		says  string
	}{
		"plain, truncated":       {"a.bin", files["a.bin"][:13], WrongSize, "a.bin has 13 bytes, the published file has 14"},
		"plain, altered":         {"a.bin", bytes.ToUpper([]byte("abcdefghijklmn")), WrongChecksum, "a.bin has sha256"},
		"packed, short":          {"a.bin.gz", zip(t, files["a.bin"][:7]), WrongSize, "a.bin.gz is truncated: it unpacks to 7 bytes, the published file has 14"},
		"packed, truncated":      {"a.bin.gz", zip(t, files["a.bin"])[:20], WrongSize, "a.bin.gz is truncated: it unpacks to "},
		"packed, too long":       {"a.bin.gz", long, WrongSize, "a.bin.gz unpacks to more than 14 bytes"},
		"packed, altered":        {"a.bin.gz", zip(t, make([]byte, 14)), WrongChecksum, "a.bin.gz has sha256"},
		"packed, no gzip":        {"a.bin.gz", files["a.bin"], Unreadable, "a.bin.gz is not a gzip file"},
		"archive, truncated":     {"tiny.tar.gz", archive[:len(archive)-1], WrongSize, "tiny.tar.gz has"},
		"archive, altered":       {"tiny.tar.gz", append([]byte{1}, archive[1:]...), WrongChecksum, "tiny.tar.gz has sha256"},
		"packed, empty file":     {"a.bin.gz", nil, Unreadable, "a.bin.gz is not a gzip file"},
		"packed, wrong checksum": {"a.bin.gz", append(zip(t, files["a.bin"])[:20], make([]byte, 22)...), Unreadable, "a.bin.gz cannot be unpacked"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "tiny"), map[string][]byte{c.file: c.data})
			require.Equal(t, c.state, e.verify([]string{dir})[0].State)
			_, err := e.load([]string{dir})
			require.ErrorContains(t, err, filepath.Join(dir, "tiny")+string(os.PathSeparator)+c.says)
			good := t.TempDir()
			write(t, filepath.Join(good, "tiny"), map[string][]byte{"tiny.tar.gz": archive})
			requireTinyCIFAR(t, e, dir, good)
		})
	}

	// The archive is named once, though six files are in it.
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tiny"), map[string][]byte{"tiny.tar.gz": archive[:9]})
	_, err := e.load([]string{dir})
	require.EqualError(t, err, `data set "tiny": `+filepath.Join(dir, "tiny", "tiny.tar.gz")+" "+
		e.verify([]string{dir})[0].Note+"; get a good copy with `directions data fetch tiny`")

	// An archive that has its published checksum, but not what the catalog says.
	write(t, filepath.Join(dir, "tiny"), map[string][]byte{"tiny.tar.gz": archive})
	e.Files[1].Name = "c.bin"
	_, err = e.load([]string{dir})
	require.ErrorContains(t, err, "tiny.tar.gz has no file c.bin")
}

func TestCIFARRecords(t *testing.T) {
	e, _, _ := tinyCIFAR(t)
	const records = " bytes are not a whole number of records of 7 bytes (a label and 6 pixels)"
	for says, data := range map[string][]byte{
		"d/a: 0" + records:               {},
		"d/a: 6" + records:               {1, 2, 3, 4, 5, 6},
		"d/a: 8" + records:               {1, 2, 3, 4, 5, 6, 7, 8},
		"d/a: label 1 is 3, want 0 to 2": {2, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0},
	} {
		_, err := readCIFARBatch(e, content{"d/a", data})
		require.EqualError(t, err, says)
	}
}

func TestCopyIsLoadedWithANote(t *testing.T) {
	e, files, _ := tinyCIFAR(t)
	dir := t.TempDir()
	other := bytes.Clone(files["b.bin"])
	other[3]++
	e.Files[1].Also = []Copy{{SHA256: published("b.bin", "", other).SHA256, Note: "one pixel is off"}}
	files["b.bin"] = other
	write(t, filepath.Join(dir, "tiny"), files)
	s, err := e.load([]string{dir})
	require.NoError(t, err)
	require.Equal(t, "b.bin: one pixel is off", s.Note)
	require.Equal(t, byte(51), s.Train.Images[2*6+1])
	state := e.verify([]string{dir})[1]
	require.Equal(t, OK, state.State)
	require.Equal(t, "one pixel is off", state.Note)
}

func TestFetchArchive(t *testing.T) {
	s := newSite(t, nil)
	e, files, archive := tinyCIFAR(t, s.URL+"/a/")
	s.files = map[string][]byte{"tiny.tar.gz": archive}
	dir := t.TempDir()
	for range 2 { // the second time there is nothing to do
		var c counter
		require.NoError(t, e.fetch(t.Context(), dir, time.Minute, c.advance))
		require.EqualValues(t, len(archive), c.total)
		require.Equal(t, []string{"tiny.tar.gz"}, s.asked())
		requireTinyCIFAR(t, e, dir)
	}
	unpacked := t.TempDir()
	write(t, filepath.Join(unpacked, "tiny"), files)
	require.NoError(t, e.fetch(t.Context(), unpacked, time.Minute, nil))
	require.Len(t, s.asked(), 1, "the files are there")
}

func TestLoadCIFAR10(t *testing.T) {
	dir := os.Getenv("DIRECTIONS_DATA")
	if dir == "" {
		t.Skip("CIFAR-10 is not part of the program: run `directions data fetch cifar10`, set DIRECTIONS_DATA to the folder " +
			"that contains cifar10/, and this test runs")
	}
	s, err := Load("cifar10", filepath.SplitList(dir)...)
	if missing := new(MissingError); errors.As(err, &missing) {
		t.Skipf("DIRECTIONS_DATA is set, but: %v", err)
	}
	require.NoError(t, err)
	for _, split := range []Split{s.Train, s.Test} {
		require.NoError(t, split.Check())
		require.Equal(t, []int{32, 32, 3}, split.Shape)
		n := split.Len() / 10 // every class has as many images
		require.Equal(t, []int{n, n, n, n, n, n, n, n, n, n}, histogram(split.Labels))
	}
	require.Equal(t, 50000, s.Train.Len())
	// The means of the training images by channel are widely used: 0.4914, 0.4822, 0.4465.
	var sums [3]int
	for i, p := range s.Train.Images {
		sums[i%3] += int(p)
	}
	for c, want := range []float64{0.4914, 0.4822, 0.4465} {
		require.InDelta(t, want, float64(sums[c])/255/(50000*1024), 5e-5)
	}
	// The first labels of the first batch and of the test batch: frog, truck, truck, deer; cat, ship, ship, airplane.
	require.Equal(t, []int32{6, 9, 9, 4}, s.Train.Labels[:4])
	require.Equal(t, []int32{3, 8, 8, 0}, s.Test.Labels[:4])
	require.Equal(t, "frog", s.Classes[6])
}
