package result

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Store keeps what was computed in one folder, under keys (see Key) that hash everything a result depends on:
//
//	data/                      data sets that were fetched
//	runs/<key>/                trained networks; what is in there is the business of who trains
//	runs/<key>.lock            while a process works on <key>
//	results/<key>.json         a result with its manifest and checksum
//	results/<key>.partial.json what an interrupted job had so far
//	sweeps/                    sweeps and who works on them; the business of package sweep
//
// Many processes may use one store at a time: files appear whole or not at all. A file that cannot be believed is an
// error, never computed again silently.
type Store struct{ dir string }

const setHome = "set DIRECTIONS_HOME to a folder you may write"

// Home is the folder of the user's store: $DIRECTIONS_HOME, else $XDG_DATA_HOME/directions, else
// ~/.local/share/directions, on all systems. A relative XDG_DATA_HOME is ignored, as its specification wants.
func Home() (string, error) {
	if dir := os.Getenv("DIRECTIONS_HOME"); dir != "" {
		if dir == "~" || strings.HasPrefix(dir, "~/") {
			return "", fmt.Errorf("DIRECTIONS_HOME is %q, and ~ means nothing here: write the folder's full path", dir)
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("DIRECTIONS_HOME is %q: %w; write the folder's full path", dir, err)
		}
		return abs, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "directions"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the store: %w; %s", err, setHome)
	}
	return filepath.Join(home, ".local", "share", "directions"), nil
}

// Open opens the store in dir, or in Home() if dir is empty, creating what is missing. It is an error, which says which
// folder and why, if data/, runs/ or results/ cannot be created or written.
func Open(dir string) (*Store, error) {
	if dir == "" {
		var err error
		if dir, err = Home(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the store: %w; %s", err, setHome)
	}
	s := &Store{dir: dir}
	for _, folder := range []string{s.DataDir(), s.runs(), s.results()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("cannot create the store's folder %s: %w; %s", folder, err, setHome)
		}
		probe, err := os.CreateTemp(folder, ".writable.*.tmp")
		if err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
		if err != nil {
			return nil, fmt.Errorf("the store's folder %s is not writable: %w; %s", folder, err, setHome)
		}
	}
	return s, nil
}

// Dir is the store's folder, as an absolute path.
func (s *Store) Dir() string { return s.dir }

// DataDir is the folder of fetched data sets.
func (s *Store) DataDir() string { return filepath.Join(s.dir, "data") }

// RunDir is the folder of the run with that key; it need not exist. key is one that Key made or Runs listed.
func (s *Store) RunDir(key string) string { return filepath.Join(s.runs(), key) }

func (s *Store) runs() string    { return filepath.Join(s.dir, "runs") }
func (s *Store) results() string { return filepath.Join(s.dir, "results") }

func (s *Store) resultFile(key string) string { return filepath.Join(s.results(), key+".json") }
func (s *Store) partialFile(key string) string {
	return filepath.Join(s.results(), key+".partial.json")
}

var keyForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$`)

// checkKey keeps keys from being paths, and from being confused with the endings of files.
func checkKey(key string) error {
	if !keyForm.MatchString(key) {
		return fmt.Errorf("%q is not a key: 1 to 128 letters, digits, - and _ (Key makes one)", key)
	}
	return nil
}

// Put stores value under key, replacing what was there. manifest.Key may be empty, else it must be key. Values go through
// encoding/json: NaN and infinities are an error that says where they are, unexported fields are not stored.
func (s *Store) Put(key string, manifest Manifest, value any) error {
	return s.put(s.resultFile(key), formatResult, key, manifest, value)
}

// PutPartial stores what an interrupted job has so far; it is kept apart from results, with the same checks.
func (s *Store) PutPartial(key string, manifest Manifest, value any) error {
	return s.put(s.partialFile(key), formatPartial, key, manifest, value)
}

func (s *Store) put(path, format, key string, manifest Manifest, value any) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if manifest.Key == "" {
		manifest.Key = key
	}
	if manifest.Key != key {
		return fmt.Errorf("the manifest is of key %s, it cannot be stored under key %s", manifest.Key, key)
	}
	return writeEnvelope(path, format, manifest, value)
}

// Get reads the result of key into value, a pointer to the type that was stored (nil reads the manifest only). Without
// such a result it returns false and no error. A file that is there but unreadable, truncated, altered, of another key or
// of another type is an error that names the file and says to delete it; value is then untouched.
func (s *Store) Get(key string, value any) (Manifest, bool, error) {
	return s.get(s.resultFile(key), formatResult, key, value)
}

// GetPartial reads what PutPartial stored, like Get.
func (s *Store) GetPartial(key string, value any) (Manifest, bool, error) {
	return s.get(s.partialFile(key), formatPartial, key, value)
}

func (s *Store) get(path, format, key string, value any) (Manifest, bool, error) {
	if err := checkKey(key); err != nil {
		return Manifest{}, false, err
	}
	m, err := readEnvelope(path, format, value, func(m Manifest) error {
		if m.Key != key {
			return fmt.Errorf("it is the result of key %s", m.Key)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, false, nil
	}
	return m, err == nil, err
}

// DropPartial removes what PutPartial stored, if anything.
func (s *Store) DropPartial(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := os.Remove(s.partialFile(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove a partial result: %w", err)
	}
	return nil
}

// Entry is one run or result in a store.
type Entry struct {
	Key     string
	Bytes   int64     // of all its files
	Changed time.Time // when the newest of its files was written
	Partial bool      // a result of which there is only what an interrupted job left; false for runs
}

// Runs lists the runs, the newest first.
func (s *Store) Runs() ([]Entry, error) {
	names, err := os.ReadDir(s.runs())
	if err != nil {
		return nil, fmt.Errorf("cannot list runs: %w", err)
	}
	var runs []Entry
	for _, d := range names {
		if !d.IsDir() || checkKey(d.Name()) != nil {
			continue
		}
		e := Entry{Key: d.Name()}
		err := eachFile(s.RunDir(e.Key), func(_ string, info fs.FileInfo) error {
			e.add(info)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list runs: %w", err)
		}
		if e.Changed.IsZero() { // an empty folder
			if info, err := d.Info(); err == nil {
				e.Changed = info.ModTime()
			}
		}
		runs = append(runs, e)
	}
	newestFirst(runs)
	return runs, nil
}

// Results lists the results, the newest first. All files results/<key>.* belong to the result of <key>.
func (s *Store) Results() ([]Entry, error) {
	names, err := os.ReadDir(s.results())
	if err != nil {
		return nil, fmt.Errorf("cannot list results: %w", err)
	}
	var results []Entry
	at := map[string]int{} // key → index in results
	for _, d := range names {
		key, ending, _ := strings.Cut(d.Name(), ".")
		if d.IsDir() || checkKey(key) != nil {
			continue
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		} else if err != nil {
			return nil, fmt.Errorf("cannot list results: %w", err)
		}
		i, known := at[key]
		if !known {
			i = len(results)
			at[key] = i
			results = append(results, Entry{Key: key, Partial: true})
		}
		results[i].add(info)
		results[i].Partial = results[i].Partial && ending == "partial.json"
	}
	newestFirst(results)
	return results, nil
}

func (e *Entry) add(info fs.FileInfo) {
	e.Bytes += info.Size()
	if info.ModTime().After(e.Changed) {
		e.Changed = info.ModTime()
	}
}

func newestFirst(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int {
		if order := b.Changed.Compare(a.Changed); order != 0 {
			return order
		}
		return strings.Compare(a.Key, b.Key)
	})
}

// eachFile calls visit for every regular file under root. Files that other processes remove meanwhile are no error.
func eachFile(root string, visit func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				err = visit(path, info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Size is the number of bytes in all files of the store, data sets included.
func (s *Store) Size() (int64, error) {
	var bytes int64
	err := eachFile(s.dir, func(_ string, info fs.FileInfo) error {
		bytes += info.Size()
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("cannot measure the store: %w", err)
	}
	return bytes, nil
}

// removedPrefix begins the names of folders in runs/ that hold a run on its way out.
const removedPrefix = ".removed-"

// Remove deletes the run and the result of key, partial results included. It is an error if there is neither, or if a
// process holds the key's lock. A run disappears at once, so that no one takes a half-deleted one for whole.
func (s *Store) Remove(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	lock, holder, err := s.tryLock(key)
	if err != nil {
		return err
	}
	if lock == nil {
		return fmt.Errorf("%s is in use by %s, not removed", key, holder)
	}
	defer s.unlock(key, lock)
	files, err := filepath.Glob(filepath.Join(globEscape(s.results()), key+".*"))
	if err != nil {
		return err
	}
	found := len(files) > 0
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove a result: %w", err)
		}
	}
	if _, err := os.Lstat(s.RunDir(key)); err == nil {
		found = true
		away, err := os.MkdirTemp(s.runs(), removedPrefix)
		if err == nil {
			err = errors.Join(os.Rename(s.RunDir(key), filepath.Join(away, key)), os.RemoveAll(away))
		}
		if err != nil {
			return fmt.Errorf("cannot remove a run: %w", err)
		}
	}
	if !found {
		return fmt.Errorf("no run and no result %s in %s", key, s.dir)
	}
	return nil
}

// globEscape makes path match only itself in a glob pattern.
func globEscape(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// Sweep deletes what killed processes left in runs/ and results/: locks that nobody holds, and temporary files and
// half-removed runs that nobody has touched for age (an hour is long, WriteFile takes seconds). It returns how many bytes
// the latter two freed.
func (s *Store) Sweep(age time.Duration) (int64, error) {
	var freed int64
	before := time.Now().Add(-age)
	add := func(_ string, info fs.FileInfo) error {
		freed += info.Size()
		return nil
	}
	temporary := func(path string, info fs.FileInfo) error {
		name := info.Name()
		if !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".tmp") || info.ModTime().After(before) {
			return nil
		}
		freed += info.Size()
		return os.Remove(path)
	}
	entries, err := os.ReadDir(s.runs())
	for _, d := range entries {
		info, gone := d.Info()
		if err != nil || gone != nil {
			continue
		}
		if strings.HasPrefix(d.Name(), removedPrefix) && info.ModTime().Before(before) {
			away := filepath.Join(s.runs(), d.Name())
			err = errors.Join(eachFile(away, add), os.RemoveAll(away))
		} else if key, ok := strings.CutSuffix(d.Name(), ".lock"); ok && checkKey(key) == nil {
			var lock *os.File
			if lock, _, err = s.tryLock(key); lock != nil {
				s.unlock(key, lock)
			}
		}
	}
	if err = errors.Join(err, eachFile(s.runs(), temporary), eachFile(s.results(), temporary)); err != nil {
		return freed, fmt.Errorf("cannot clean up: %w", err)
	}
	return freed, nil
}

// Lock waits until no other process, nor another part of this one, holds the lock of key, and takes it: so that two
// processes do not train the same network at the same time. unlock gives it back; the end of the process does too, however
// it ends. If somebody else holds the lock, the functions in waiting are called once with who that is, for example
// "process 4711 on host7 since 2026-01-31 12:00:00 UTC". Lock gives up with an error when ctx ends.
//
// The lock is advisory (flock on runs/<key>.lock): it binds those who ask for it. On systems without flock, such as
// Windows, Lock returns at once and locks nothing; files stay whole there too, but work may be done twice.
func (s *Store) Lock(ctx context.Context, key string, waiting ...func(holder string)) (unlock func(), err error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	told := false
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("waiting for the lock of %s: %w", key, context.Cause(ctx))
		}
		lock, holder, err := s.tryLock(key)
		if err != nil {
			return nil, err
		}
		if lock != nil {
			return sync.OnceFunc(func() { s.unlock(key, lock) }), nil
		}
		if !told {
			told = true
			for _, tell := range waiting {
				tell(holder)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (s *Store) lockFile(key string) string { return filepath.Join(s.runs(), key+".lock") }

// tryLock returns the open lock file, or nil and who holds the lock.
func (s *Store) tryLock(key string) (lock *os.File, holder string, err error) {
	path := s.lockFile(key)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, "", fmt.Errorf("cannot lock %s: %w", key, err)
		}
		got, err := flock(f)
		if err != nil {
			f.Close()
			return nil, "", fmt.Errorf("cannot lock %s: flock on %s: %w; put the store on a file system with locks (%s)",
				key, path, err, setHome)
		}
		if !got {
			text := make([]byte, 200)
			n, _ := f.ReadAt(text, 0)
			f.Close()
			if n == 0 {
				return nil, "another process", nil // between its flock and its line
			}
			return nil, strings.TrimSpace(string(text[:n])), nil
		}
		// Who unlocks deletes the file: what we have locked may be no longer the file at path.
		ours, err1 := f.Stat()
		there, err2 := os.Stat(path)
		if err1 != nil || err2 != nil || !os.SameFile(ours, there) {
			f.Close()
			continue
		}
		host, err := os.Hostname()
		if err != nil {
			host = "this host"
		}
		line := fmt.Sprintf("process %d on %s since %s\n", os.Getpid(), host, time.Now().UTC().Format("2006-01-02 15:04:05 UTC"))
		f.Truncate(0) // the line only informs: errors do not matter
		f.WriteAt([]byte(line), 0)
		return f, "", nil
	}
}

// unlock deletes the lock file before it lets go of it: the other way round it might delete the next holder's.
func (s *Store) unlock(key string, lock *os.File) {
	os.Remove(s.lockFile(key))
	lock.Close()
}
