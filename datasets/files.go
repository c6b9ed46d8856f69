package datasets

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// embedded is the files of the sets that are part of the program, at <name>/<file>. Their licences lie beside them.
//
//go:embed mnist10k/*.gz
var embedded embed.FS

// State says how a file on disk compares with the published one.
type State string

// The states of a file.
const (
	OK            State = "ok"
	Missing       State = "missing"
	WrongSize     State = "wrong size"
	WrongChecksum State = "wrong checksum"
	Unreadable    State = "unreadable" // not a regular file, or an error of the file system
)

// FileState is what Verify found out about one file.
type FileState struct {
	File  File   `json:"file"`
	State State  `json:"state"`
	Path  string `json:"path,omitempty"` // of the copy that State is about; empty if there is none
	Note  string `json:"note,omitempty"` // what is wrong, in words
}

// Verify compares size and sha256 of each file of a data set with the published ones. It looks where Load looks, and a
// file is OK if Load would find a good copy of it. Only an unknown name is an error.
func Verify(name string, dirs ...string) ([]FileState, error) {
	e, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	return e.verify(dirs), nil
}

func (e Entry) verify(dirs []string) []FileState {
	states := make([]FileState, 0, len(e.Files))
	look := newSearch(e, dirs)
	for _, f := range e.Files {
		_, state := look.find(f)
		states = append(states, state)
	}
	return states
}

// search looks for the files of one set, and unpacks an archive only once.
type search struct {
	entry    Entry
	dirs     []string
	archives map[string]*unpacked // by folder
}

func newSearch(e Entry, dirs []string) *search {
	return &search{entry: e, dirs: dirs, archives: map[string]*unpacked{}}
}

// find reads the first good copy of f. If there is none, the state is that of the first bad copy.
func (s *search) find(f File) ([]byte, FileState) {
	e := s.entry
	if e.Embedded {
		return f.read(embedded, e.Name+"/"+f.Name, "embedded "+e.Name+"/"+f.Name)
	}
	found := FileState{File: f, State: Missing, Note: "is missing"}
	for _, dir := range places(e.Name, s.dirs) {
		forms := []func(File, string) ([]byte, FileState){File.plain}
		if e.Archive != nil {
			forms = append(forms, File.packed, s.archived)
		}
		for _, form := range forms {
			data, state := form(f, dir)
			if state.State == OK {
				return data, state
			}
			if found.State == Missing && state.State != Missing {
				found = state
			}
		}
	}
	return nil, found
}

// places are the folders where a set with that name may be.
func places(name string, dirs []string) []string {
	var out []string
	for _, dir := range dirs {
		if dir != "" {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}

// plain reads the copy of f in dir that is as published.
func (f File) plain(dir string) ([]byte, FileState) {
	return f.read(os.DirFS(dir), f.Name, filepath.Join(dir, f.Name))
}

// read reads a copy of f and compares it with the published file; path is for messages. The data are nil unless the
// state is OK.
func (f File) read(fsys fs.FS, name, path string) ([]byte, FileState) {
	file, size, state := f.open(fsys, name, path)
	if file == nil {
		return nil, state
	}
	defer file.Close()
	if size != f.Bytes {
		return nil, f.bad(path, WrongSize, "has %d bytes, the published file has %d", size, f.Bytes)
	}
	data := make([]byte, f.Bytes)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, f.bad(path, Unreadable, "cannot be read: %v", bare(err))
	}
	return f.judge(data, path)
}

// open opens a regular file; if it cannot, the file is nil and the state says why.
func (f File) open(fsys fs.FS, name, path string) (fs.File, int64, FileState) {
	info, err := fs.Stat(fsys, name) // before opening, which would wait for ever on a named pipe
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, f.bad(path, Missing, "is missing")
	case err != nil:
		return nil, 0, f.bad(path, Unreadable, "cannot be read: %v", bare(err))
	case !info.Mode().IsRegular():
		return nil, 0, f.bad(path, Unreadable, "is not a regular file")
	}
	file, err := fsys.Open(name)
	if err != nil {
		return nil, 0, f.bad(path, Unreadable, "cannot be read: %v", bare(err))
	}
	return file, info.Size(), FileState{}
}

// judge compares the data of a copy with the published checksum, and with those of other copies that will do.
func (f File) judge(data []byte, path string) ([]byte, FileState) {
	sum := sha256.Sum256(data)
	got := hex.EncodeToString(sum[:])
	if got == f.SHA256 {
		return data, FileState{File: f, State: OK, Path: path}
	}
	for _, c := range f.Also {
		if got == c.SHA256 {
			return data, FileState{File: f, State: OK, Path: path, Note: c.Note}
		}
	}
	return nil, f.bad(path, WrongChecksum, "has sha256 %s, the published file has %s", got, f.SHA256)
}

func (f File) bad(path string, state State, format string, args ...any) FileState {
	return FileState{File: f, State: state, Path: path, Note: fmt.Sprintf(format, args...)}
}

// bare is err without operation and path.
func bare(err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// MissingError is the error of Load for a data set that is not on disk, or not all of it.
type MissingError struct {
	Name  string   // of the data set
	Files []string // that are missing
	Dirs  []string // that were searched
	Bytes int64    // size of the missing files
}

func (m *MissingError) Error() string {
	where := "no data directory was given"
	if len(m.Dirs) > 0 {
		where = "searched " + strings.Join(m.Dirs, " and ")
	}
	return fmt.Sprintf("data set %q: missing %s (%s); get it with `directions data fetch %s` (%.1f MB)",
		m.Name, strings.Join(m.Files, ", "), where, m.Name, float64(m.Bytes)/1e6)
}

// complain makes an error of the files that cannot be used. Bad copies come before missing ones: they need a decision.
func (e Entry) complain(states []FileState, dirs []string) error {
	var bad []string
	missing := &MissingError{Name: e.Name, Dirs: places(e.Name, dirs)}
	for _, s := range states {
		switch s.State {
		case OK:
		case Missing:
			missing.Files = append(missing.Files, s.File.Name)
			missing.Bytes += s.File.Bytes
		default:
			bad = append(bad, s.Path+" "+s.Note)
		}
	}
	bad = slices.Compact(bad) // an archive is the copy of every file in it
	if e.Archive != nil {
		missing.Bytes = e.Archive.Bytes
	}
	if len(bad) > 0 {
		return fmt.Errorf("data set %q: %s; get a good copy with `directions data fetch %s`",
			e.Name, strings.Join(bad, "; "), e.Name)
	}
	if len(missing.Files) > 0 {
		return missing
	}
	return nil
}
