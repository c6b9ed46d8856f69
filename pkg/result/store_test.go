package result

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestMain lets this test binary be the other process: with RESULT_PROCESS set it does one thing and exits.
func TestMain(m *testing.M) {
	args := strings.Split(os.Getenv("RESULT_PROCESS"), "\n")
	if args[0] == "" {
		os.Exit(m.Run())
	}
	if err := otherProcess(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func otherProcess(args []string) error {
	switch args[0] {
	case "write": // FILE: rewrites it for ever, in many small pieces
		for i := 0; ; i++ {
			if err := WriteFile(args[1], func(w io.Writer) error { return pieces(w, byte('a'+i%26)) }); err != nil {
				return err
			}
			if i == 0 {
				fmt.Println("ready")
			}
		}
	case "hold": // STORE KEY: takes the lock and keeps it until killed
		s, err := Open(args[1])
		if err != nil {
			return err
		}
		unlock, err := s.Lock(context.Background(), args[2])
		if err != nil {
			return err
		}
		defer unlock()
		fmt.Println("ready")
		io.Copy(io.Discard, os.Stdin)
		return nil
	case "count": // STORE N: adds 1 to a counter N times under a lock, and writes and reads results beside others
		s, err := Open(args[1])
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		for range n {
			if err := addOne(s); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("unknown %q", args[0])
}

const pieceCount, pieceSize = 64, 4096

func pieces(w io.Writer, letter byte) error {
	for range pieceCount {
		if _, err := w.Write(bytes.Repeat([]byte{letter}, pieceSize)); err != nil {
			return err
		}
	}
	return nil
}

func addOne(s *Store) error {
	unlock, err := s.Lock(context.Background(), "counter")
	if err != nil {
		return err
	}
	defer unlock()
	var n int
	if _, _, err := s.Get("counter", &n); err != nil {
		return err
	}
	return s.Put("counter", Manifest{}, n+1)
}

func process(t *testing.T, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "RESULT_PROCESS="+strings.Join(args, "\n"))
	cmd.Stderr = os.Stderr
	return cmd
}

// startReady starts the process and waits for its first line. It ends with the test at the latest.
func startReady(t *testing.T, args ...string) *exec.Cmd {
	cmd := process(t, args...)
	_, err := cmd.StdinPipe() // open until the process ends
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return cmd
}

func names(t *testing.T, folder string) (list []string) {
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	put := func(text string) error {
		return WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	}
	requireText := func(want string) {
		t.Helper()
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.Equal(t, []string{"file"}, names(t, dir)) // no temporary file is left
	}
	require.NoError(t, put("old"))
	requireText("old")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode())

	broken := errors.New("broken")
	for _, before := range []int{0, 1, 1 << 20} { // bytes written before it breaks: none, buffered, on disk
		err := WriteFile(path, func(w io.Writer) error {
			w.Write(make([]byte, before))
			return broken
		})
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, path)
		requireText("old")
	}
	require.Panics(t, func() { WriteFile(path, func(io.Writer) error { panic("in write") }) })
	requireText("old")
	require.NoError(t, put("new"))
	requireText("new")

	require.ErrorIs(t, WriteFile(filepath.Join(dir, "no", "file"), func(io.Writer) error { return nil }), fs.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	require.ErrorContains(t, WriteFile(filepath.Join(dir, "folder"), func(io.Writer) error { return nil }), "cannot write")
	require.Equal(t, []string{"file", "folder"}, names(t, dir))
}

func TestWriteFileInTheCurrentFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, WriteFile("plain", func(io.Writer) error { return nil }))
	require.Equal(t, []string{"plain"}, names(t, "."))
}

// A process that is killed while it writes never leaves a part under the file's name.
func TestWriteFileKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes; runs without -short")
	}
	path := filepath.Join(t.TempDir(), "file")
	rng := rand.New(rand.NewPCG(1, 1))
	for range 12 {
		cmd := startReady(t, "write", path)
		deadline := time.Now().Add(time.Duration(rng.IntN(20_000)) * time.Microsecond)
		for killed := false; ; {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Len(t, text, pieceCount*pieceSize)
			require.Equal(t, len(text), bytes.Count(text, text[:1]), "pieces of two writes in one file")
			if killed {
				break
			}
			if time.Now().After(deadline) {
				require.NoError(t, cmd.Process.Kill())
				cmd.Wait()
				killed = true // read once more
			}
		}
	}
}

func openStore(t *testing.T) *Store {
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	return s
}

type finding struct {
	Curves []Curve
	Table  Table
	Best   *float64
}

func aFinding() finding {
	return finding{
		Curves: []Curve{{Name: "c", X: []float64{0, 0.1, 1}, Y: []float64{1, 0.30000000000000004, 1e-300}, N: 3}},
		Table:  aTable(),
	}
}

func aManifest() Manifest {
	seeds := map[string]uint64{"init": math.MaxUint64}
	return Manifest{Config: aSpec(), Seeds: seeds, Machine: Machine(), Versions: Versions()}
}

func TestStoreRoundTrip(t *testing.T) {
	s := openStore(t)
	var got finding
	_, found, err := s.Get("k", &got)
	require.NoError(t, err)
	require.False(t, found)

	require.NoError(t, s.Put("k", aManifest(), aFinding()))
	m, found, err := s.Get("k", &got)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, aFinding(), got)
	want := aManifest()
	want.Key = "k"
	want.Config = m.Config
	require.Equal(t, want, m)
	var spec keySpec // the configuration comes back as JSON that decodes into its own type
	require.NoError(t, json.Unmarshal(m.Config.(json.RawMessage), &spec))
	spec.Worker = aSpec().Worker
	require.Equal(t, aSpec(), spec)

	again, found, err := s.Get("k", nil)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, m, again)

	before, err := os.ReadFile(s.resultFile("k"))
	require.NoError(t, err)
	require.NoError(t, s.Put("k", m, got)) // what was read can be written again: same bytes
	after, err := os.ReadFile(s.resultFile("k"))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))

	// A value that holds something already is replaced, not mixed.
	stale := finding{Best: new(float64), Curves: make([]Curve, 9)}
	_, _, err = s.Get("k", &stale)
	require.NoError(t, err)
	require.Equal(t, aFinding(), stale)
}

func TestStorePartial(t *testing.T) {
	s := openStore(t)
	require.NoError(t, s.DropPartial("k"))
	require.NoError(t, s.PutPartial("k", Manifest{}, []int{1, 2}))
	var part []int
	_, found, err := s.Get("k", &part)
	require.NoError(t, err)
	require.False(t, found)
	m, found, err := s.GetPartial("k", &part)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "k", m.Key)
	require.Equal(t, []int{1, 2}, part)

	require.NoError(t, os.Rename(s.partialFile("k"), s.resultFile("k"))) // passing a part for the whole
	_, _, err = s.Get("k", &part)
	require.ErrorContains(t, err, "format is")
	require.NoError(t, os.Rename(s.resultFile("k"), s.partialFile("k")))
	require.NoError(t, s.DropPartial("k"))
	_, found, err = s.GetPartial("k", &part)
	require.NoError(t, err)
	require.False(t, found)
}

func TestStoreRefusesToStore(t *testing.T) {
	s := openStore(t)
	for _, key := range []string{"", ".", "..", "../x", "a/b", "a.partial", "-x", "a b", strings.Repeat("a", 129)} {
		require.ErrorContains(t, s.Put(key, Manifest{}, 1), "is not a key")
		_, _, err := s.Get(key, nil)
		require.ErrorContains(t, err, "is not a key")
		_, err = s.Lock(t.Context(), key)
		require.ErrorContains(t, err, "is not a key")
		require.ErrorContains(t, s.Remove(key), "is not a key")
		require.ErrorContains(t, s.DropPartial(key), "is not a key")
	}
	require.ErrorContains(t, s.Put("k", Manifest{Key: "other"}, 1), "manifest is of key other")
	bad := aFinding()
	bad.Curves[0].Y[1] = math.NaN()
	require.ErrorContains(t, s.Put("k", Manifest{}, bad), "the value.Curves[0].Y[1] is NaN")
	require.ErrorContains(t, s.Put("k", Manifest{Seconds: math.Inf(1)}, 1), "the manifest.Seconds is +Inf")
	bad = aFinding()
	bad.Table.Rows[0][1] = math.NaN()
	require.ErrorContains(t, s.Put("k", Manifest{}, bad), `column "corrupted" is NaN`)
	require.Empty(t, names(t, s.results()))
}

// Whatever happens to a stored file, reading it gives the value that was stored or an error: never something else.
func TestStoreGetDamaged(t *testing.T) {
	s := openStore(t)
	require.NoError(t, s.Put("k", Manifest{Config: "c", Seconds: 1.5}, map[string][]float64{"y": {0.25, 0.5}}))
	path := s.resultFile("k")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	want, _, err := s.Get("k", nil)
	require.NoError(t, err)

	check := func(text []byte) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, text, 0o644))
		got := map[string][]float64{"untouched": nil}
		m, found, err := s.Get("k", &got)
		if err == nil { // white space and repeated members are harmless
			require.Equal(t, map[string][]float64{"y": {0.25, 0.5}}, got)
			require.Equal(t, want, m)
			return
		}
		require.False(t, found)
		require.Equal(t, Manifest{}, m)
		require.Equal(t, map[string][]float64{"untouched": nil}, got)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "delete it")
	}
	for n := range whole { // truncated
		check(whole[:n])
	}
	for i := range whole { // one byte altered
		text := bytes.Clone(whole)
		text[i] ^= 1
		check(text)
	}
	fails := func(says string) {
		t.Helper()
		_, _, err := s.Get("k", new(map[string][]float64))
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "delete it")
	}
	require.NoError(t, os.WriteFile(path, append(bytes.Clone(whole), "{}"...), 0o644))
	fails("not a whole JSON file")
	require.NoError(t, os.WriteFile(path, []byte(`{"format":"directions result 1"}`), 0o644))
	fails("lacks its manifest")
	require.NoError(t, os.WriteFile(path, bytes.Replace(whole, []byte("0.25"), []byte("0.26"), 1), 0o644))
	fails("sha256")
	require.NoError(t, os.WriteFile(path, bytes.Replace(whole, []byte("1.5"), []byte("1.6"), 1), 0o644))
	fails("sha256") // the manifest is covered too
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	fails("cannot read")
	require.NoError(t, os.Remove(path))

	require.NoError(t, s.Put("other", Manifest{}, map[string][]float64{}))
	require.NoError(t, os.Rename(s.resultFile("other"), path))
	fails("key other")

	type renamed struct{ Z []float64 } // a field of the stored value that the type no longer has
	require.NoError(t, s.Put("k", Manifest{}, map[string][]float64{"y": {0.25}}))
	_, _, err = s.Get("k", new(renamed))
	require.ErrorContains(t, err, `unknown field "y"`)
	require.ErrorContains(t, err, "delete it")

	for _, notPointer := range []any{map[string]int{}, (*int)(nil)} {
		_, _, err = s.Get("k", notPointer)
		require.ErrorContains(t, err, "want a pointer")
	}
}

func TestResultFileOutsideTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figure.json")
	_, err := ReadFile(path, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, path)

	require.NoError(t, WriteResultFile(path, Manifest{Key: "k"}, aFinding()))
	var got finding
	m, err := ReadFile(path, &got)
	require.NoError(t, err)
	require.Equal(t, "k", m.Key)
	require.Equal(t, aFinding(), got)

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), 0o644))
	_, err = ReadFile(path, &got) // as a checkout with other line ends leaves it
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte("0.3000"), []byte("0.4000"), 1), 0o644))
	_, err = ReadFile(path, &got)
	require.ErrorContains(t, err, "restore it")
}

// layout adds white space only, and puts long lists of numbers on one line.
func TestLayout(t *testing.T) {
	require.Equal(t, `{
  "config": {"a":[1,2]},
  "numbers": [`+strings.Repeat("0.5,", 100)+`1],
  "rows": [
    ["`+strings.Repeat("long ", 20)+`",1],
    ["quoted \" , ] and \\",2]
  ],
  "empty": []
}`, string(layout(nil, []byte(`{"config":{"a":[1,2]},"numbers":[`+strings.Repeat("0.5,", 100)+`1],"rows":[["`+
		strings.Repeat("long ", 20)+`",1],["quoted \" , ] and \\",2]],"empty":[]}`), "")))

	leaf := rapid.OneOf(rapid.String().AsAny(), rapid.Float64().AsAny(), rapid.Just[any](nil))
	list := rapid.SliceOfN(leaf, 0, 20).AsAny()
	object := rapid.MapOfN(rapid.String(), rapid.OneOf(leaf, list), 0, 9).AsAny()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOfN(rapid.OneOf(leaf, list, object, rapid.SliceOf(object).AsAny()), 0, 9).Draw(t, "value")
		src, err := encode(value)
		require.NoError(t, err)
		var b bytes.Buffer
		require.NoError(t, json.Compact(&b, layout(nil, src, "")))
		require.Equal(t, string(src), b.String())
	})
}

func TestStoreListsAndRemoves(t *testing.T) {
	s := openStore(t)
	write := func(n int, age time.Duration, path ...string) {
		file := filepath.Join(path...)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, make([]byte, n), 0o644))
		then := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(file, then, then))
	}
	write(10, 3*time.Hour, s.RunDir("old"), "spec.json")
	write(20, 2*time.Hour, s.RunDir("old"), "deep", "weights")
	write(5, time.Hour, s.RunDir("young"), "spec.json")
	write(1, 0, s.runs(), ".removed-1", "gone", "done") // not runs: on its way out, a lock, a stray file
	write(1, 0, s.runs(), "old.lock")
	write(100, time.Hour, s.results(), "r1.json")
	write(11, 2*time.Hour, s.results(), "r1.csv")
	write(7, 2*time.Hour, s.results(), "r2.partial.json")
	write(9, 2*time.Hour, s.results(), ".r2.json.123.tmp")
	write(1000, 0, s.DataDir(), "mnist", "images")

	short := func(entries []Entry) (list []string) {
		for _, e := range entries {
			list = append(list, fmt.Sprintf("%s %d %.0fh %v", e.Key, e.Bytes, time.Since(e.Changed).Hours(), e.Partial))
		}
		return list
	}
	runs, err := s.Runs()
	require.NoError(t, err)
	require.Equal(t, []string{"young 5 1h false", "old 30 2h false"}, short(runs))
	results, err := s.Results()
	require.NoError(t, err)
	require.Equal(t, []string{"r1 111 1h false", "r2 7 2h true"}, short(results))
	size, err := s.Size()
	require.NoError(t, err)
	require.EqualValues(t, 1000+30+5+2+111+7+9, size)

	require.NoError(t, s.Remove("old"))
	require.NoError(t, s.Remove("r1"))
	require.NoError(t, s.Remove("r2"))
	require.ErrorContains(t, s.Remove("r2"), "no run and no result r2")
	require.Equal(t, []string{".removed-1", "young"}, names(t, s.runs()))
	require.Equal(t, []string{".r2.json.123.tmp"}, names(t, s.results()))

	unlock, err := s.Lock(t.Context(), "young")
	require.NoError(t, err)
	require.ErrorContains(t, s.Remove("young"), "in use by process "+strconv.Itoa(os.Getpid()))
	write(4, 0, s.runs(), "dead.lock")
	write(6, 2*time.Hour, s.RunDir("young"), ".weights.1.tmp")
	write(8, 0, s.RunDir("young"), ".weights.2.tmp") // somebody may be writing it
	freed, err := s.Sweep(time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 9+6, freed)
	require.Equal(t, []string{".removed-1", "young", "young.lock"}, names(t, s.runs()))
	require.Equal(t, []string{".weights.2.tmp", "spec.json"}, names(t, s.RunDir("young")))
	unlock()
	freed, err = s.Sweep(-time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 1+8, freed)
	require.Equal(t, []string{"young"}, names(t, s.runs()))
	require.NoError(t, s.Remove("young"))
	require.Empty(t, names(t, s.runs()))
}

func TestRemoveInAFolderWithPatternSigns(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "a[b]*?"))
	require.NoError(t, err)
	require.NoError(t, s.Put("k", Manifest{}, 1))
	require.NoError(t, s.Put("kk", Manifest{}, 1))
	require.NoError(t, s.Remove("k"))
	require.Equal(t, []string{"kk.json"}, names(t, s.results()))
}

func TestHome(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("DIRECTIONS_HOME", "")
	home := func() string {
		dir, err := Home()
		require.NoError(t, err)
		return dir
	}
	require.Equal(t, "/home/me/.local/share/directions", home())
	t.Setenv("XDG_DATA_HOME", "relative")
	require.Equal(t, "/home/me/.local/share/directions", home())
	t.Setenv("XDG_DATA_HOME", "/xdg")
	require.Equal(t, "/xdg/directions", home())
	t.Setenv("DIRECTIONS_HOME", "/mine")
	require.Equal(t, "/mine", home())
	dir := t.TempDir()
	t.Chdir(dir)
	here, err := os.Getwd()
	require.NoError(t, err)
	t.Setenv("DIRECTIONS_HOME", "store")
	require.Equal(t, filepath.Join(here, "store"), home())
	s, err := Open("")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(here, "store"), s.Dir())
	require.Equal(t, []string{"data", "results", "runs"}, names(t, s.Dir()))
	t.Setenv("DIRECTIONS_HOME", "~/store")
	_, err = Open("")
	require.ErrorContains(t, err, "full path")
	t.Setenv("DIRECTIONS_HOME", "")
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", "")
	_, err = Home()
	require.ErrorContains(t, err, "set DIRECTIONS_HOME to a folder you may write")
}

func TestOpenWhereItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := Open(filepath.Join(file, "store"))
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, "not a directory")
	require.ErrorContains(t, err, setHome)

	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere; the rest runs as another user")
	}
	s := openStore(t)
	require.NoError(t, os.Chmod(s.results(), 0o555))
	_, err = Open(s.Dir())
	require.ErrorContains(t, err, s.results()+" is not writable")
	require.ErrorContains(t, err, setHome)
}

func TestLockInOneProcess(t *testing.T) {
	s := openStore(t)
	var wg sync.WaitGroup
	inside, most := 0, 0
	var guard sync.Mutex
	for range 5 {
		wg.Go(func() {
			unlock, err := s.Lock(context.Background(), "k")
			if err != nil {
				t.Error(err)
				return
			}
			guard.Lock()
			inside++
			most = max(most, inside)
			guard.Unlock()
			time.Sleep(time.Millisecond)
			guard.Lock()
			inside--
			guard.Unlock()
			unlock()
			unlock() // a second time does nothing
		})
	}
	wg.Wait()
	require.Equal(t, 1, most)
	require.Empty(t, names(t, s.runs()))
}

// Unlocking deletes the file that others may have open already: of two who lock different files one must not get through.
func TestLockWhileTheFileIsReplaced(t *testing.T) {
	s := openStore(t)
	var inside, most atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for taken := 0; taken < 60; {
				lock, _, err := s.tryLock("k")
				if err != nil {
					t.Error(err)
					return
				}
				if lock == nil {
					runtime.Gosched()
					continue
				}
				taken++
				most.Store(max(most.Load(), inside.Add(1)))
				runtime.Gosched()
				inside.Add(-1)
				s.unlock("k", lock)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, most.Load())
}

func TestLockTellsAndGivesUp(t *testing.T) {
	s := openStore(t)
	unlock, err := s.Lock(t.Context(), "k")
	require.NoError(t, err)
	free, err := s.Lock(t.Context(), "other") // another key is free
	require.NoError(t, err)
	free()

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var told []string
	_, err = s.Lock(ctx, "k", func(holder string) { told = append(told, holder) })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Len(t, told, 1)
	require.Regexp(t, fmt.Sprintf(`^process %d on .+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$`, os.Getpid()), told[0])
	unlock()
	_, err = s.Lock(ctx, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded) // ended before it began

	require.NoError(t, os.RemoveAll(s.runs()))
	_, err = s.Lock(t.Context(), "k")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestLockEndsWithItsProcess(t *testing.T) {
	s := openStore(t)
	cmd := startReady(t, "hold", s.Dir(), "k")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	told := 0
	unlock, err := s.Lock(ctx, "k", func(holder string) {
		told++
		require.Contains(t, holder, fmt.Sprintf("process %d on", cmd.Process.Pid))
		require.NoError(t, cmd.Process.Kill())
	})
	require.NoError(t, err)
	require.Equal(t, 1, told)
	unlock()
}

// Four processes and four goroutines count together; every step reads and replaces one file of the store.
func TestManyProcesses(t *testing.T) {
	s := openStore(t)
	var processes []*exec.Cmd
	for range 4 {
		cmd := process(t, "count", s.Dir(), "6")
		require.NoError(t, cmd.Start())
		processes = append(processes, cmd)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				if err := addOne(s); err != nil {
					t.Error(err)
				}
				var n int
				if _, found, err := s.Get("counter", &n); err != nil || !found || n < 1 { // without the lock
					t.Error(n, found, err)
				}
			}
		})
	}
	wg.Wait()
	for _, cmd := range processes {
		require.NoError(t, cmd.Wait())
	}
	var n int
	_, _, err := s.Get("counter", &n)
	require.NoError(t, err)
	require.Equal(t, 4*6+4*3, n)
	require.Equal(t, []string{"counter.json"}, names(t, s.results()))
	require.Empty(t, names(t, s.runs()))
}

func TestMachineAndVersions(t *testing.T) {
	require.Regexp(t, `^[a-z0-9]+/[a-z0-9]+, (1 core|\d+ cores), Go \S.*$`, Machine())
	got := Versions()
	require.Len(t, got, 5)
	for name, version := range got {
		require.NotEmpty(t, version, name)
	}

	require.Equal(t, map[string]string{"directions": "unknown", "gomlx": "unknown", "compute": "unknown", "go-xla": "unknown",
		"go": goVersion()}, versions(nil))
	clone := &debug.BuildInfo{
		Main: debug.Module{Path: "github.com/seed-ea9a9d67/directions", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "github.com/gomlx/gomlx", Version: "v0.28.8"}, {Path: "github.com/gomlx/gomlx/x", Version: "v9"},
		},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}},
	}
	require.Equal(t, map[string]string{"directions": "abc+dirty", "gomlx": "v0.28.8", "compute": "unknown",
		"go-xla": "unknown", "go": goVersion()}, versions(clone))
	notebook := &debug.BuildInfo{
		Main: debug.Module{Path: "github.com/seed-ea9a9d67/directions/gonb", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "github.com/seed-ea9a9d67/directions", Version: "v0.0.0", Replace: &debug.Module{Path: "../.."}},
			{Path: "github.com/gomlx/compute", Version: "v0.1.6", Replace: &debug.Module{Path: "fork", Version: "v0.1.7"}},
		},
	}
	require.Equal(t, map[string]string{"directions": "local copy", "gomlx": "unknown", "compute": "v0.1.7",
		"go-xla": "unknown", "go": goVersion()}, versions(notebook))
	clone.Settings, clone.Main.Version = nil, ""
	require.Equal(t, "unknown", versions(clone)["directions"])
	clone.Main.Version = "v1.2.3"
	require.Equal(t, "v1.2.3", versions(clone)["directions"])
}
