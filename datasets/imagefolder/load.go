package imagefolder

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/seed-ea9a9d67/directions/datasets"
)

// Unreadable is a picture that was left out.
type Unreadable struct {
	Path   string `json:"path"` // from the folder
	Reason string `json:"reason"`
}

// decoded describes a file of pixels.
type decoded struct {
	Unreadable []Unreadable `json:"unreadable"`
	Bytes      int64        `json:"bytes"`
	SHA256     string       `json:"sha256"`
}

// Load gives the examples. Their pixels are decoded once, and kept in the folder cache, in a file that carries the
// folder's hash; from there they are mapped into memory: do not write to them. advance, if not nil, is told how many
// pictures have been decoded.
//
// It also returns the pictures that could not be read. Where Spec.Strict is set, or of a class none is left, they are
// an error.
func (f *Folder) Load(ctx context.Context, cache string, advance func(n int)) (*datasets.Set, []Unreadable, error) {
	fail := func(err error) (*datasets.Set, []Unreadable, error) {
		return nil, nil, fmt.Errorf("data %q: %w", f.Spec, err)
	}
	base := filepath.Join(cache, f.Hash)
	var d decoded
	text, err := os.ReadFile(base + ".json")
	switch {
	case err == nil:
		err = json.Unmarshal(text, &d)
	case errors.Is(err, fs.ErrNotExist):
		d, err = f.decode(ctx, base, advance)
	}
	if err != nil {
		return fail(err)
	}
	out := map[string]bool{}
	var lines []string
	for _, u := range d.Unreadable {
		out[u.Path] = true
		lines = append(lines, u.Path+": "+u.Reason)
	}
	if f.Spec.Strict && lines != nil {
		return fail(fmt.Errorf("%d pictures cannot be read: %s; mend or remove them, or leave out strict",
			len(lines), first(lines, 10, "; ")))
	}
	set := &datasets.Set{Name: f.Spec.String(), Title: "pictures of " + f.Spec.Dir, Hash: f.Hash, Classes: f.Classes}
	for i, p := range f.pictures {
		if out[p.path] {
			continue
		}
		s := &set.Train
		if i >= f.Train {
			s = &set.Test
		}
		s.Labels = append(s.Labels, p.label)
	}
	if err := f.complete(set, lines); err != nil {
		return fail(err)
	}
	pixels, err := mapped(base+".pixels", d)
	if err != nil {
		return fail(fmt.Errorf("%w; delete it to decode the pictures again", err))
	}
	cut := set.Train.Len() * f.Shape[0] * f.Shape[1] * f.Shape[2]
	if cut > len(pixels) {
		return fail(fmt.Errorf("%s has too few bytes; delete it to decode the pictures again", base+".pixels"))
	}
	set.Train.Images, set.Train.Shape = pixels[:cut:cut], f.Shape
	set.Test.Images, set.Test.Shape = pixels[cut:], f.Shape
	if err := errors.Join(set.Train.Check(), set.Test.Check()); err != nil {
		return fail(fmt.Errorf("%s: %w; delete it to decode the pictures again", base+".pixels", err))
	}
	return set, d.Unreadable, nil
}

// complete reports a class of which no picture could be read.
func (f *Folder) complete(set *datasets.Set, unreadable []string) error {
	for split, labels := range map[string][]int32{"train": set.Train.Labels, f.Spec.Test: set.Test.Labels} {
		left := make([]int, len(f.Classes))
		for _, y := range labels {
			left[y]++
		}
		for y, n := range left {
			if n == 0 {
				return fmt.Errorf("none of the pictures of %s can be read: %s",
					filepath.Join(f.Spec.Dir, split, f.Classes[y]), first(unreadable, 10, "; "))
			}
		}
	}
	return nil
}

// A block of pictures is decoded at the same time and then written: so many bytes of examples. Large pictures are
// decoded one after the other.
const (
	blockBytes = 32 << 20
	large      = 16 << 20 // bytes of the file, or pixels
)

// decode writes the examples of all readable pictures to base.pixels, and base.json last.
func (f *Folder) decode(ctx context.Context, base string, advance func(n int)) (d decoded, err error) {
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return d, err
	}
	sum := sha256.New()
	var alone sync.Mutex
	block := max(1, blockBytes/(f.Shape[0]*f.Shape[1]*f.Shape[2]))
	err = write(base+".pixels", func(w io.Writer) error {
		w = io.MultiWriter(w, sum)
		for from := 0; from < len(f.pictures); from += block {
			part := f.pictures[from:min(from+block, len(f.pictures))]
			examples := make([][]byte, len(part))
			err := parallel(ctx, len(part), func(i int) (err error) {
				examples[i], err = f.example(&part[i], &alone)
				return err
			})
			if err != nil {
				return err
			}
			for i, x := range examples {
				if part[i].bad != "" {
					d.Unreadable = append(d.Unreadable, Unreadable{part[i].path, part[i].bad})
					continue
				}
				if _, err := w.Write(x); err != nil {
					return err
				}
				d.Bytes += int64(len(x))
			}
			if advance != nil {
				advance(len(part))
			}
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	d.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return d, write(base+".json", func(w io.Writer) error { return json.NewEncoder(w).Encode(d) })
}

// example reads and decodes a picture, and notes in it what is wrong with it. Only a picture that has changed is an
// error.
func (f *Folder) example(p *picture, alone *sync.Mutex) ([]byte, error) {
	if p.bad != "" {
		return nil, nil
	}
	data, err := f.content(p)
	if got := sha256.Sum256(data); err != nil || hex.EncodeToString(got[:]) != p.sha256 {
		return nil, fmt.Errorf("%s has changed while the folder was read", p.path)
	}
	if h, err := readHeader(data); err == nil && (len(data) > large || h.width*h.height > large) {
		alone.Lock()
		defer alone.Unlock()
	}
	x, err := f.Spec.example(data)
	if err != nil {
		p.bad = strings.TrimSpace(err.Error())
		return nil, nil
	}
	return x, nil
}

// write writes a file beside its place and renames it.
func write(path string, content func(w io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	w := bufio.NewWriterSize(file, 1<<20)
	err = errors.Join(content(w), w.Flush(), file.Sync(), file.Chmod(0o644), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// mapped maps a file of pixels into memory, if it is as it was written.
func mapped(path string, d decoded) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != d.Bytes || d.Bytes == 0 {
		return nil, fmt.Errorf("%s has %d bytes, it was written with %d", path, info.Size(), d.Bytes)
	}
	pixels, err := memoryMap(file, int(d.Bytes))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be mapped into memory: %w", path, err)
	}
	if got := sha256.Sum256(pixels); hex.EncodeToString(got[:]) != d.SHA256 {
		return nil, fmt.Errorf("%s has another checksum than when it was written", path)
	}
	return pixels, nil
}
