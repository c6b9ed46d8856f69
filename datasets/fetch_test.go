package datasets

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// site serves files by name and records what was asked of it. change, if set, may answer a request itself.
type site struct {
	*httptest.Server
	files  map[string][]byte
	change func(w http.ResponseWriter, r *http.Request) (answered bool)

	mu       sync.Mutex
	requests []string // "name" or "name bytes=3-"
}

func newSite(t *testing.T, files map[string][]byte) *site {
	s := &site{files: files}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := filepath.Base(r.URL.Path)
	asked := name
	if byteRange := r.Header.Get("Range"); byteRange != "" {
		asked += " " + byteRange
	}
	s.mu.Lock()
	s.requests = append(s.requests, asked)
	s.mu.Unlock()
	if s.change != nil && s.change(w, r) {
		return
	}
	data, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data)) // knows ranges
}

func (s *site) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// single is a set of one file of n bytes, so that requests can be counted. It cannot be loaded.
func single(n int, mirrors ...string) (Entry, []byte) {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*31 + i>>8)
	}
	return Entry{Name: "single", Files: mirrored([]File{published("file", TestImages, data)}, mirrors...)}, data
}

// counter adds up what advance is told.
type counter struct{ total, least int }

func (c *counter) advance(n int) {
	c.total += n
	c.least = min(c.least, n) // stays 0 unless bytes are taken back
}

// requireOnly checks that the folder has one file, under its own name and with these bytes: no .part is left.
func requireOnly(t *testing.T, folder string, data []byte) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "file", entries[0].Name())
	got, err := os.ReadFile(filepath.Join(folder, "file"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
}

// requireNone checks that nothing is in the folder.
func requireNone(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestFetchThenLoad(t *testing.T) {
	s := newSite(t, nil)
	e, files := tiny(t, s.URL+"/a/")
	s.files = files
	dir := t.TempDir()
	var c counter
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, c.advance))
	require.EqualValues(t, e.Bytes(), c.total)
	require.Len(t, s.asked(), 4)
	set, err := e.load([]string{dir})
	require.NoError(t, err)
	require.Equal(t, []int32{2, 0, 1}, set.Train.Labels)

	// The second time there is nothing to do, and only a damaged file is replaced.
	c = counter{}
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, c.advance))
	require.EqualValues(t, e.Bytes(), c.total)
	require.Len(t, s.asked(), 4)
	write(t, filepath.Join(dir, "tiny"), map[string][]byte{"test-labels": []byte("damaged")})
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, nil))
	require.Equal(t, "test-labels", s.asked()[4])
	require.Len(t, s.asked(), 5)
	_, err = e.load([]string{dir})
	require.NoError(t, err)
}

func TestFetchEmbedded(t *testing.T) {
	dir := t.TempDir()
	var c counter
	require.NoError(t, Fetch(t.Context(), "mnist10k", dir, c.advance))
	require.Equal(t, 1648877+4542, c.total)
	requireNone(t, dir)
}

func TestFetchResumes(t *testing.T) {
	s := newSite(t, nil)
	e, data := single(100_000, s.URL+"/")
	s.files = map[string][]byte{"file": data}
	for name, c := range map[string]struct {
		part []byte
		want []string
	}{
		"part":              {data[:40_000], []string{"file bytes=40000-"}},
		"empty part":        {nil, []string{"file"}},
		"all there":         {data, nil}, // stopped between the last byte and the renaming
		"longer than whole": {append(bytes.Clone(data), 1), []string{"file"}},
		"wrong part":        {make([]byte, 40_000), []string{"file bytes=40000-", "file"}},
		"wrong whole":       {make([]byte, 100_000), []string{"file"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.requests = nil
			dir := t.TempDir()
			write(t, filepath.Join(dir, "single"), map[string][]byte{"file.part": c.part})
			var done counter
			require.NoError(t, e.fetch(t.Context(), dir, time.Minute, done.advance))
			require.Equal(t, c.want, s.asked())
			require.Equal(t, counter{total: 100_000}, done)
			requireOnly(t, filepath.Join(dir, "single"), data)
		})
	}
}

func TestFetchWithoutRanges(t *testing.T) {
	s := newSite(t, nil)
	e, data := single(100_000, s.URL+"/")
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		w.Write(data)
		return true
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "single"), map[string][]byte{"file.part": data[:70_000]})
	var done counter
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, done.advance))
	require.Equal(t, []string{"file bytes=70000-"}, s.asked(), "the answer from the beginning is used")
	require.Equal(t, counter{total: 100_000}, done)
	requireOnly(t, filepath.Join(dir, "single"), data)
}

func TestFetchTriesMirrorsInTurn(t *testing.T) {
	empty, good, unused := newSite(t, nil), newSite(t, nil), newSite(t, nil)
	gone := httptest.NewServer(nil)
	gone.Close()
	e, data := single(1000, gone.URL+"/", empty.URL+"/", good.URL+"/", unused.URL+"/")
	good.files = map[string][]byte{"file": data}
	dir := t.TempDir()
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, nil))
	require.Equal(t, []string{"file"}, empty.asked(), "404 is not worth a second try")
	require.Equal(t, []string{"file"}, good.asked())
	require.Empty(t, unused.asked())
	requireOnly(t, filepath.Join(dir, "single"), data)
}

func TestFetchWrongChecksum(t *testing.T) {
	bad, good := newSite(t, nil), newSite(t, nil)
	e, data := single(1000, bad.URL+"/", good.URL+"/")
	forged := bytes.Clone(data)
	forged[500]++
	bad.files = map[string][]byte{"file": forged}
	dir := t.TempDir()

	err := e.fetch(t.Context(), dir, time.Minute, nil)
	require.ErrorContains(t, err, "file could not be had from any mirror")
	require.ErrorContains(t, err, bad.URL+"/file: the downloaded file has sha256 ")
	require.ErrorContains(t, err, good.URL+"/file: the server answered 404 Not Found")
	require.Equal(t, []string{"file"}, bad.asked(), "the same bytes would come again")
	requireNone(t, filepath.Join(dir, "single"))

	good.files = map[string][]byte{"file": data}
	var done counter
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, done.advance))
	require.Equal(t, counter{total: 1000}, done, "bytes that come twice count once")
	requireOnly(t, filepath.Join(dir, "single"), data)
}

func TestFetchRefusesOtherSizes(t *testing.T) {
	s := newSite(t, nil)
	e, data := single(1000, s.URL+"/")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
	}{
		"declared": {func(w http.ResponseWriter) { w.Write([]byte("<html>please log in</html>")) },
			"the server's file has 26 bytes, the published one 1000"},
		"too long, not declared": {func(w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			w.Write(data)
			w.Write([]byte("more"))
		}, "the server sent more than the 1000 bytes"},
		"another range": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 0-999/1000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(data)
		}, `asked for bytes from 10, the server sent Content-Range "bytes 0-999/1000"`},
		"range beyond its end": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
			"the server answered 416"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(dir, "single"), map[string][]byte{"file.part": data[:10]})
			s.change = func(w http.ResponseWriter, r *http.Request) bool { c.answer(w); return true }
			err := e.fetch(t.Context(), dir, time.Minute, nil)
			require.ErrorContains(t, err, c.want)
			require.NoFileExists(t, filepath.Join(dir, "single", "file"))
		})
	}
}

// A connection that breaks is taken up again where it broke, at the same mirror, as long as something new comes.
func TestFetchTruncatedBody(t *testing.T) {
	s := newSite(t, nil)
	e, data := single(100_000, s.URL+"/")
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(data[from:min(from+40_000, len(data))]) // then the server closes: fewer bytes than it declared
		return true
	}
	dir := t.TempDir()
	var done counter
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, done.advance))
	require.Equal(t, []string{"file", "file bytes=40000-", "file bytes=80000-"}, s.asked())
	require.Equal(t, 100_000, done.total)
	requireOnly(t, filepath.Join(dir, "single"), data)

	t.Run("nothing new", func(t *testing.T) {
		s.requests = nil
		s.change = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "100000")
			w.Write(data[:40_000]) // knows no ranges and always breaks at the same place
			return true
		}
		dir := t.TempDir()
		err := e.fetch(t.Context(), dir, time.Minute, nil)
		require.ErrorContains(t, err, "after 40000 of 100000 bytes: unexpected EOF")
		require.Equal(t, []string{"file", "file bytes=40000-"}, s.asked())
		part, err := os.ReadFile(filepath.Join(dir, "single", "file.part"))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data[:40_000], part), "kept for another mirror or another day")
	})
	t.Run("no declared length", func(t *testing.T) {
		s.change = func(w http.ResponseWriter, r *http.Request) bool {
			w.(http.Flusher).Flush()
			w.Write(data[:30_000])
			return true
		}
		err := e.fetch(t.Context(), t.TempDir(), time.Minute, nil)
		require.ErrorContains(t, err, "the server stopped after 30000 of 100000 bytes")
	})
}

// stuckAfter answers with the first n bytes and then waits until the client goes away.
func stuckAfter(data []byte, n int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:n])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
}

func TestFetchCancelledThenResumed(t *testing.T) {
	s := newSite(t, nil)
	second := newSite(t, nil)
	e, data := single(100_000, s.URL+"/", second.URL+"/")
	s.files = map[string][]byte{"file": data}
	s.change = stuckAfter(data, 65_536)
	dir := t.TempDir()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done counter
	err := e.fetch(ctx, dir, time.Minute, func(n int) {
		if done.advance(n); done.total == 65_536 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "fetch again to go on")
	require.Empty(t, second.asked(), "no other mirror after a cancellation")
	require.NoFileExists(t, filepath.Join(dir, "single", "file"))
	part, err := os.ReadFile(filepath.Join(dir, "single", "file.part"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(data[:65_536], part))

	s.change, done = nil, counter{}
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, done.advance))
	require.Equal(t, []string{"file", "file bytes=65536-"}, s.asked())
	require.Equal(t, 100_000, done.total)
	requireOnly(t, filepath.Join(dir, "single"), data)

	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	require.ErrorIs(t, e.fetch(ctx, t.TempDir(), time.Minute, nil), context.DeadlineExceeded)
}

func TestFetchLeavesASilentMirror(t *testing.T) {
	s, second := newSite(t, nil), newSite(t, nil)
	e, data := single(100_000, s.URL+"/", second.URL+"/")
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") != "" { // the second try: not even a header comes
			<-r.Context().Done()
			return true
		}
		return stuckAfter(data, 1000)(w, r)
	}
	second.files = map[string][]byte{"file": data}
	dir := t.TempDir()
	require.NoError(t, e.fetch(t.Context(), dir, 50*time.Millisecond, nil))
	require.Equal(t, []string{"file", "file bytes=1000-"}, s.asked())
	require.Equal(t, []string{"file bytes=1000-"}, second.asked())
	requireOnly(t, filepath.Join(dir, "single"), data)

	require.NoError(t, os.RemoveAll(filepath.Join(dir, "single")))
	second.files = nil
	err := e.fetch(t.Context(), dir, 50*time.Millisecond, nil)
	require.ErrorContains(t, err, "no data for 50ms")
	require.NotErrorIs(t, err, context.Canceled)
}

// Some servers declare .gz files as a packed form of something else; the file must arrive packed.
func TestFetchDoesNotUnpack(t *testing.T) {
	s := newSite(t, nil)
	data := zip(t, bytes.Repeat([]byte("abc"), 1000))
	e := Entry{Name: "single", Files: mirrored([]File{published("file", TestImages, data)}, s.URL+"/")}
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		assert.Equal(t, "identity", r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(data)
		return true
	}
	dir := t.TempDir()
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, nil))
	requireOnly(t, filepath.Join(dir, "single"), data)
}

// A slow mirror is not a silent one: ten bytes, one every 50 s of fake time, with a limit of 60 s.
func TestSlowIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, data := single(10)
		d := download{file: e.Files[0], target: filepath.Join(t.TempDir(), "file"), stall: time.Minute,
			advance: func(int) { time.Sleep(50 * time.Second) }}
		var silent atomic.Bool
		watch := time.AfterFunc(d.stall, func() { silent.Store(true) })
		end, err := d.save(t.Context(), iotest.OneByteReader(bytes.NewReader(data)), 0, watch)
		require.NoError(t, err)
		require.EqualValues(t, 10, end)
		require.False(t, silent.Load())
		time.Sleep(2 * time.Minute)
		require.True(t, silent.Load())
	})
}

// While this process downloads, another one puts the file in place and takes the part away.
func TestFetchWhenAnotherProcessIsQuicker(t *testing.T) {
	s := newSite(t, nil)
	e, data := single(1000, s.URL+"/")
	dir := t.TempDir()
	folder := filepath.Join(dir, "single")
	s.files = map[string][]byte{"file": data}
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		assert.NoError(t, os.Remove(filepath.Join(folder, "file.part")))
		assert.NoError(t, os.WriteFile(filepath.Join(folder, "file"), data, 0o644))
		return false
	}
	write(t, folder, map[string][]byte{"file.part": data[:500]}) // will be written anew, from 500 on: with a hole
	require.NoError(t, e.fetch(t.Context(), dir, time.Minute, nil))
	require.Equal(t, []string{"file bytes=500-"}, s.asked())
	requireOnly(t, folder, data)
}

func TestFetchByManyProcesses(t *testing.T) {
	s := newSite(t, nil)
	e, data := single(1_000_000, s.URL+"/")
	s.files = map[string][]byte{"file": data}
	dir := t.TempDir()
	var wg sync.WaitGroup
	failures := make([]error, 8)
	for i := range failures {
		wg.Go(func() { failures[i] = e.fetch(t.Context(), dir, time.Minute, nil) })
	}
	wg.Wait()
	for _, err := range failures {
		require.NoError(t, err)
	}
	requireOnly(t, filepath.Join(dir, "single"), data)
}

func TestFetchWhereNothingCanBeWritten(t *testing.T) {
	s := newSite(t, nil)
	e, data := single(1000, s.URL+"/a/", s.URL+"/b/")
	s.files = map[string][]byte{"file": data}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "single"), nil, 0o644)) // a file where the folder should be
	require.ErrorContains(t, e.fetch(t.Context(), dir, time.Minute, nil), "not a directory")
	require.Empty(t, s.asked())

	dir = t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "single", "file.part", "x"), 0o755))
	err := e.fetch(t.Context(), dir, time.Minute, nil)
	require.ErrorContains(t, err, "file.part")
	require.NotContains(t, err.Error(), "any mirror", "no mirror helps against the own disk")

	require.ErrorContains(t, Fetch(t.Context(), "mnist", "", nil), "no directory given")
}
