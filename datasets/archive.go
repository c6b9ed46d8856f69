package datasets

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
)

// packed reads the copy of f in dir that was packed with gzip, under its name with ".gz" added.
func (f File) packed(dir string) ([]byte, FileState) {
	name := f.Name + ".gz"
	where := filepath.Join(dir, name)
	file, _, state := f.open(os.DirFS(dir), name, where)
	if file == nil {
		return nil, state
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return nil, f.bad(where, Unreadable, "is not a gzip file: %v", bare(err))
	}
	return f.unpack(z, where)
}

// unpack reads f from a stream that should hold nothing else, and never more than a little of what is too much.
func (f File) unpack(r io.Reader, where string) ([]byte, FileState) {
	data := bytes.NewBuffer(make([]byte, 0, f.Bytes+bytes.MinRead))
	n, err := io.Copy(data, io.LimitReader(r, f.Bytes+1))
	switch {
	case n > f.Bytes:
		return nil, f.bad(where, WrongSize, "unpacks to more than %d bytes, the size of the published file", f.Bytes)
	case errors.Is(err, io.ErrUnexpectedEOF) || err == nil && n < f.Bytes:
		return nil, f.bad(where, WrongSize, "is truncated: it unpacks to %d bytes, the published file has %d", n, f.Bytes)
	case err != nil:
		return nil, f.bad(where, Unreadable, "cannot be unpacked: %v", bare(err))
	}
	return f.judge(data.Bytes(), where)
}

// unpacked is what an archive holds, or the state of one that cannot be used.
type unpacked struct {
	files map[string][]byte // by name without folder
	state FileState
}

// archived reads the copy of f in the set's archive in dir.
func (s *search) archived(f File, dir string) ([]byte, FileState) {
	a := s.archives[dir]
	if a == nil {
		a = s.entry.open(dir)
		s.archives[dir] = a
	}
	if a.state.State != OK {
		a.state.File = f
		return nil, a.state
	}
	data, ok := a.files[f.Name]
	if !ok {
		return nil, f.bad(a.state.Path, Unreadable, "has no file %s", f.Name)
	}
	return f.judge(data, a.state.Path+"/"+f.Name)
}

// open reads the archive in dir. What is unpacked has the published checksum, so it is not checked for hostile sizes.
func (e Entry) open(dir string) *unpacked {
	data, state := e.Archive.plain(dir)
	a := &unpacked{state: state, files: map[string][]byte{}}
	if state.State != OK {
		return a
	}
	failed := func(err error) *unpacked {
		a.state = e.Archive.bad(state.Path, Unreadable, "cannot be unpacked: %v", err)
		return a
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return failed(err)
	}
	for t := tar.NewReader(z); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return a
		}
		if err != nil {
			return failed(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if a.files[path.Base(header.Name)], err = io.ReadAll(t); err != nil {
			return failed(err)
		}
	}
}
