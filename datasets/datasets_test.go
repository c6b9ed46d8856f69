package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// tiny is a set of four 2×2 images in 3 classes, with the bytes of its files. mirrors are base URLs.
func tiny(t *testing.T, mirrors ...string) (Entry, map[string][]byte) {
	t.Helper()
	files := map[string][]byte{
		"train-images": zip(t, idxFile([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 3, 2, 2)),
		"train-labels": zip(t, idxFile([]byte{2, 0, 1}, 3)),
		"test-images":  zip(t, idxFile([]byte{13, 14, 15, 16}, 1, 2, 2)),
		"test-labels":  zip(t, idxFile([]byte{1}, 1)),
	}
	e := Entry{Name: "tiny", Classes: []string{"a", "b", "c"}, Shape: []int{2, 2, 1}, TrainN: 3, TestN: 1,
		division: "as published", read: readIDXFiles}
	for i, name := range []string{"train-images", "train-labels", "test-images", "test-labels"} {
		role := []Role{TrainImages, TrainLabels, TestImages, TestLabels}[i]
		e.Files = append(e.Files, published(name, role, files[name]))
	}
	e.Files = mirrored(e.Files, mirrors...)
	return e, files
}

// published is the catalog's row for a file with these bytes.
func published(name string, role Role, data []byte) File {
	sum := sha256.Sum256(data)
	return File{Name: name, Role: role, Bytes: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

func write(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, data := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
}

func TestHead(t *testing.T) {
	s := Split{Images: []byte{1, 2, 3, 4, 5, 6}, Shape: []int{1, 2, 1}, Labels: []int32{7, 8, 9}}
	require.Equal(t, 3, s.Len())
	head, err := s.Head(2)
	require.NoError(t, err)
	require.Equal(t, Split{Images: []byte{1, 2, 3, 4}, Shape: []int{1, 2, 1}, Labels: []int32{7, 8}}, head)
	all, err := s.Head(3)
	require.NoError(t, err)
	require.Equal(t, s, all)

	_ = append(head.Images, 99) // must not write into the images behind the head
	_ = append(head.Labels, 99)
	require.Equal(t, []byte{1, 2, 3, 4, 5, 6}, s.Images)
	require.Equal(t, []int32{7, 8, 9}, s.Labels)

	for _, n := range []int{0, -1, 4} {
		_, err := s.Head(n)
		require.ErrorContains(t, err, "want 1 to 3")
	}
	_, err = s.Head(4)
	require.ErrorContains(t, err, "first 4 examples")
	_, err = Split{}.Head(1)
	require.Error(t, err)
}

func TestCatalogIsSound(t *testing.T) {
	names, hashes := map[string]bool{}, map[string]bool{}
	for _, e := range Catalog() {
		require.False(t, names[e.Name], "%s twice", e.Name)
		require.False(t, hashes[e.Hash()], "hash of %s twice", e.Name)
		names[e.Name], hashes[e.Hash()] = true, true
		require.NotEmpty(t, e.Title)
		require.NotEmpty(t, e.Licence)
		require.NotEmpty(t, e.Source)
		require.NotEmpty(t, e.division)
		require.NotNil(t, e.read)
		require.Len(t, e.Shape, 3)
		roles := map[Role]bool{}
		files := e.Files
		if e.Archive != nil {
			require.GreaterOrEqual(t, len(e.Archive.URLs), 2)
			files = append(files, *e.Archive)
		}
		for _, f := range files {
			require.False(t, roles[f.Role], "%s has two files for %s", e.Name, f.Role)
			roles[f.Role] = true
			require.Positive(t, f.Bytes)
			sum, err := hex.DecodeString(f.SHA256)
			require.NoError(t, err)
			require.Len(t, sum, sha256.Size)
			require.Equal(t, strings.ToLower(f.SHA256), f.SHA256)
			if e.Archive == nil {
				require.GreaterOrEqual(t, len(f.URLs), 2)
			}
			for _, u := range f.URLs {
				parsed, err := url.Parse(u)
				require.NoError(t, err)
				require.True(t, strings.HasSuffix(parsed.Path, "/"+f.Name), u)
			}
		}
	}
}

// The hashes are in the keys of stored results. They were computed with sha256sum from the lines that the doc of
// Entry.Hash describes; a difference means that every stored result of the set is orphaned.
func TestHashesAreStable(t *testing.T) {
	for name, want := range map[string]string{
		"mnist10k":      "9f2e9f3d3be427c3a30156035dc6696b4cbb625dc54d971bdecf489e44094272",
		"mnist":         "33156129e5c7a1be46e9dbb9c637c336d3f45b2e47c61a6a7e5772f48992c2c4",
		"fashion-mnist": "89b5fcf9bb16754d7bf97cd1a14fb8e971adc0a97fbff8caa9b4026deb196439",
		"cifar10":       "e394a37f2556cdc02bede54d3037fe305b328a4cb2d14f35b2d32cb818bd3b2b",
	} {
		e, err := Lookup(name)
		require.NoError(t, err)
		require.Equal(t, want, e.Hash(), name)
	}
}

func TestHashDependsOnContentAlone(t *testing.T) {
	e, _ := tiny(t)
	hash := e.Hash()
	same := e
	same.Name, same.Title = "other", "Other"
	same.Files = mirrored(append([]File(nil), e.Files...), "https://example.org/")
	require.Equal(t, hash, same.Hash())

	divided := e
	divided.division = "otherwise"
	require.NotEqual(t, hash, divided.Hash())
	changed := e
	changed.Files = append([]File(nil), e.Files...)
	changed.Files[2].SHA256 = strings.Repeat("0", 64)
	require.NotEqual(t, hash, changed.Hash())
}

func TestCatalogBelongsToTheCaller(t *testing.T) {
	c := Catalog()
	c[0].Name, c[0].Classes[0], c[0].Files[0].URLs[0], c[0].Shape[0] = "x", "x", "x", 1
	require.NotContains(t, Catalog()[0].Files[0].URLs, "x")
	require.Equal(t, "0", Catalog()[0].Classes[0])
	require.Equal(t, "0", Catalog()[1].Classes[0])
	require.Equal(t, 28, Catalog()[0].Shape[0])
}

func TestUnknownName(t *testing.T) {
	const want = `no data set "mnits": there are mnist10k, mnist, fashion-mnist, cifar10`
	_, err := Lookup("mnits")
	require.EqualError(t, err, want)
	_, err = Load("mnits")
	require.EqualError(t, err, want)
	_, err = Verify("mnits")
	require.EqualError(t, err, want)
	require.EqualError(t, Fetch(t.Context(), "mnits", t.TempDir(), nil), want)
}

func TestEntryAsJSON(t *testing.T) {
	e, err := Lookup("mnist10k")
	require.NoError(t, err)
	text, err := json.Marshal(e)
	require.NoError(t, err)
	var back map[string]any
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, "mnist10k", back["name"])
	require.EqualValues(t, 8000, back["train"])
	require.Equal(t, true, back["embedded"])
	require.Len(t, back["files"], 2)
}

func TestLoadMNIST10k(t *testing.T) {
	s, err := Load("mnist10k")
	require.NoError(t, err)
	require.Equal(t, 8000, s.Train.Len())
	require.Equal(t, 2000, s.Test.Len())
	require.Len(t, s.Train.Images, 8000*28*28)
	require.Len(t, s.Test.Images, 2000*28*28)
	require.Equal(t, []int{28, 28, 1}, s.Test.Shape)
	// Numbers computed from the two files with Python's gzip module and bytes.count.
	require.Equal(t, []int{773, 905, 834, 803, 788, 723, 756, 813, 787, 818}, histogram(s.Train.Labels))
	require.Equal(t, []int{207, 230, 198, 207, 194, 169, 202, 215, 187, 191}, histogram(s.Test.Labels))
	require.Equal(t, []int32{7, 2, 1, 0, 4}, s.Train.Labels[:5])
	require.Equal(t, []int32{4, 9, 9, 7, 1}, s.Test.Labels[:5])
	require.Equal(t, 18454, sum(s.Train.Images[:784]))
	require.Equal(t, 37689, sum(s.Test.Images[:784]))

	e, err := Lookup("mnist10k")
	require.NoError(t, err)
	require.Equal(t, e.Hash(), s.Hash)
	require.Equal(t, e.Classes, s.Classes)

	other, err := Load("mnist10k")
	require.NoError(t, err)
	s.Train.Images[0] = 77
	require.NotEqual(t, s.Train.Images[0], other.Train.Images[0], "two loads must not share memory")
}

func TestLoadMNIST(t *testing.T) {
	dir := os.Getenv("DIRECTIONS_DATA")
	if dir == "" {
		t.Skip("the full MNIST is not part of the program: run `directions data fetch mnist`, set DIRECTIONS_DATA to " +
			"the folder that contains mnist/, and this test runs")
	}
	s, err := Load("mnist", dir)
	if missing := new(MissingError); errors.As(err, &missing) {
		t.Skipf("DIRECTIONS_DATA is set, but: %v", err)
	}
	require.NoError(t, err)
	require.Equal(t, 60000, s.Train.Len())
	require.Equal(t, 10000, s.Test.Len())
	// The class counts of MNIST's training labels, as widely published.
	require.Equal(t, []int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}, histogram(s.Train.Labels))
	// The mean pixel is the 0.1307 that is commonly used to normalise MNIST; the sum is from Python's gzip and sum.
	require.Equal(t, 1567298545, sum(s.Train.Images))

	// The embedded set is its test set.
	small, err := Load("mnist10k")
	require.NoError(t, err)
	require.Equal(t, s.Test.Labels, append(small.Train.Labels, small.Test.Labels...))
	require.Equal(t, hash(s.Test.Images), hash(append(small.Train.Images, small.Test.Images...)))
}

func TestLoadSearchesInOrder(t *testing.T) {
	e, files := tiny(t)
	first, second := t.TempDir(), t.TempDir()
	write(t, filepath.Join(second, "tiny"), files)
	bad := append([]byte(nil), files["train-labels"]...)
	bad[12] ^= 1
	write(t, filepath.Join(first, "tiny"), map[string][]byte{
		"test-labels": files["test-labels"], "train-labels": bad, "test-images": []byte("short")})

	s, err := e.load([]string{first, "", second})
	require.NoError(t, err)
	require.Equal(t, Split{Images: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, Shape: []int{2, 2, 1},
		Labels: []int32{2, 0, 1}}, s.Train)
	require.Equal(t, Split{Images: []byte{13, 14, 15, 16}, Shape: []int{2, 2, 1}, Labels: []int32{1}}, s.Test)
	require.Equal(t, e.Hash(), s.Hash)

	states := e.verify([]string{first, "", second})
	require.Len(t, states, 4)
	for _, state := range states {
		require.Equal(t, OK, state.State, state.File.Name)
	}
	require.Equal(t, filepath.Join(second, "tiny", "train-labels"), states[1].Path, "the good copy is behind the bad one")
	require.Equal(t, filepath.Join(first, "tiny", "test-labels"), states[3].Path)
}

func TestLoadMissing(t *testing.T) {
	e, files := tiny(t)
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "does", "not", "exist")
	delete(files, "test-labels")
	delete(files, "train-images")
	write(t, filepath.Join(first, "tiny"), files)

	_, err := e.load([]string{first, second})
	var missing *MissingError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, []string{"train-images", "test-labels"}, missing.Files)
	require.Equal(t, []string{filepath.Join(first, "tiny"), filepath.Join(second, "tiny")}, missing.Dirs)
	require.Equal(t, e.Files[0].Bytes+e.Files[3].Bytes, missing.Bytes)
	require.ErrorContains(t, err, "missing train-images, test-labels (searched "+filepath.Join(first, "tiny")+" and ")
	require.ErrorContains(t, err, "`directions data fetch tiny`")

	_, err = Load("mnist")
	require.ErrorContains(t, err, "no data directory was given")
	require.ErrorContains(t, err, "(11.6 MB)") // 9912422 + 28881 + 1648877 + 4542 bytes
}

func TestVerifyAndLoadOfBadFiles(t *testing.T) {
	e, files := tiny(t)
	dir := t.TempDir()
	folder := filepath.Join(dir, "tiny")
	flipped := append([]byte(nil), files["train-labels"]...)
	flipped[15] ^= 0x40
	write(t, folder, map[string][]byte{"train-images": append(files["train-images"], 0), "train-labels": flipped})
	require.NoError(t, os.Mkdir(filepath.Join(folder, "test-images"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(folder, "test-labels"), 0o644)) // opening it would wait for ever

	states := e.verify([]string{t.TempDir(), dir})
	require.Equal(t, WrongSize, states[0].State)
	require.Contains(t, states[0].Note, "the published file has")
	require.Equal(t, WrongChecksum, states[1].State)
	require.Contains(t, states[1].Note, e.Files[1].SHA256)
	require.Equal(t, Unreadable, states[2].State)
	require.Equal(t, Unreadable, states[3].State)
	for i, s := range states {
		require.Equal(t, e.Files[i], s.File)
		require.Equal(t, filepath.Join(folder, s.File.Name), s.Path)
	}
	_, err := e.load([]string{dir})
	for _, s := range states {
		require.ErrorContains(t, err, s.Path+" "+s.Note)
	}
	require.ErrorContains(t, err, "`directions data fetch tiny`")

	second := t.TempDir()
	write(t, filepath.Join(second, "tiny"), map[string][]byte{"train-labels": nil})
	require.Equal(t, states[1], e.verify([]string{dir, second})[1], "the first bad copy is reported")

	for _, s := range e.verify(nil) {
		require.Equal(t, Missing, s.State)
		require.Empty(t, s.Path)
	}
	embedded, err := Verify("mnist10k")
	require.NoError(t, err)
	for _, s := range embedded {
		require.Equal(t, OK, s.State)
	}
}

func TestLoadOfAWrongCatalogRow(t *testing.T) {
	e, files := tiny(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tiny"), files)
	e.TestN = 2
	_, err := e.load([]string{dir})
	require.ErrorContains(t, err, "has 3 training and 1 test images, its catalog entry says 3 and 2")
	e.TrainN, e.TestN = 4, 1
	_, err = e.load([]string{dir})
	require.ErrorContains(t, err, "has 3 training and 1 test images, its catalog entry says 4 and 1")
	e.read = readIDXTestFiles
	e.TrainN = 2
	_, err = e.load([]string{dir})
	require.ErrorContains(t, err, "first 2 examples: want 1 to 1")
}

func TestImportsTheStandardLibraryOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	require.Equal(t, []string{"github.com/seed-ea9a9d67/directions/datasets"}, strings.Fields(string(out)))
}

func histogram(labels []int32) []int {
	counts := make([]int, 10)
	for _, l := range labels {
		counts[l]++
	}
	return counts
}

func sum(data []byte) int {
	total := 0
	for _, b := range data {
		total += int(b)
	}
	return total
}

func hash(data []byte) [sha256.Size]byte { return sha256.Sum256(data) }

func TestSplitCheck(t *testing.T) {
	s := Split{Images: make([]byte, 8), Shape: []int{2, 2, 1}, Labels: []int32{0, 1}}
	require.NoError(t, s.Check())
	s.Images = s.Images[1:]
	require.EqualError(t, s.Check(), "7 bytes of images, but 2 labels and images of shape [2 2 1] need 8")
}
