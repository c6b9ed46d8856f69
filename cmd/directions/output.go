package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// output writes a file whole or not at all, or to standard output.
func output(path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(os.Stdout)
	}
	return result.WriteFile(path, write)
}

// writable tells, before a long computation, that its result could not be written to the file that a flag names.
func writable(flag, path string) error {
	if path == "" || path == "-" {
		return nil
	}
	// What is written replaces what is there: that must not be a folder, a device, or the link /dev/stdout.
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("%s %s: that is there and is not a regular file; choose another, or - for standard output", flag, path)
	}
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, ".writable.*.tmp")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("%s %s: cannot write into the folder %s: %w; make it, or choose another", flag, path, folder, bare(err))
	}
	return nil
}

// writableFolder is writable for a folder, which it makes.
func writableFolder(flag, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("%s %s: cannot make that folder: %w; choose another", flag, folder, bare(err))
	}
	return writable(flag, filepath.Join(folder, ".writable"))
}

// bare is err without operation and path.
func bare(err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// picture returns how to draw into a file with that name.
func picture(path string) (func(*figure.Figure, io.Writer) error, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png":
		return (*figure.Figure).WritePNG, nil
	case ".svg":
		return (*figure.Figure).WriteSVG, nil
	}
	return nil, fmt.Errorf("cannot draw into %q: the name must end in .png or .svg", path)
}

func drawing(path string, fig *figure.Figure) error {
	draw, err := picture(path)
	if err != nil {
		return err
	}
	return output(path, func(w io.Writer) error { return draw(fig, w) })
}
