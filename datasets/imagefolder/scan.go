package imagefolder

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// decoding is the version of what pixels are made of a picture. It changes when the code changes in a way that changes
// them.
const decoding = 1

// Folder is a folder of pictures that has been looked through, every byte of it, but not decoded.
type Folder struct {
	Spec    Spec     // with Test and Channels as they were found
	Classes []string // by label, sorted
	Shape   []int    // of an example, [H W C]
	Train   int      // pictures, readable or not
	Test    int
	Grey    int    // grey pictures that become colour
	Ignored int    // other files, left alone
	Hash    string // of names, sizes and contents of the pictures, and of all options

	pictures []picture // train, then test, each in the order of examples
}

// picture is one file.
type picture struct {
	path   string // from Dir, with slashes
	label  int32
	order  string // by which examples are sorted
	bytes  int64
	sha256 string
	grey   bool
	bad    string // why it cannot be read; empty: nothing is known against it
}

// Scan lists the pictures of a folder, reads them, and looks at their headers. Class names are sorted; those of train
// and of val or test must agree, and every class needs a picture.
func Scan(ctx context.Context, s Spec) (*Folder, error) {
	f := &Folder{Spec: s}
	fail := func(err error) (*Folder, error) { return nil, fmt.Errorf("data %q: %w", s, err) }
	if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
		return fail(fmt.Errorf("there is no folder %s; want %s", s.Dir, form))
	}
	var err error
	if f.Spec.Test, err = s.test(); err != nil {
		return fail(err)
	}
	var other []string
	for i, split := range []string{"train", f.Spec.Test} {
		classes, err := f.list(split)
		if err != nil {
			return fail(err)
		}
		if i == 0 {
			f.Classes, f.Train = classes, len(f.pictures)
		}
		other = classes
	}
	f.Test = len(f.pictures) - f.Train
	if err := agree(f.Spec.Test, f.Classes, other); err != nil {
		return fail(err)
	}
	if len(f.Classes) < 2 {
		return fail(fmt.Errorf("%s has one class folder, %q; a network needs two classes to tell apart",
			filepath.Join(s.Dir, "train"), f.Classes[0]))
	}
	if err := f.read(ctx); err != nil {
		return fail(err)
	}
	for _, part := range [][]picture{f.pictures[:f.Train], f.pictures[f.Train:]} {
		slices.SortFunc(part, func(a, b picture) int {
			return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.path, b.path))
		})
	}
	f.Shape = []int{s.Size, s.Size, f.Spec.Channels}
	f.Hash = f.hash()
	return f, nil
}

// test is the folder beside train.
func (s Spec) test() (string, error) {
	is := func(name string) bool {
		info, err := os.Stat(filepath.Join(s.Dir, name))
		return err == nil && info.IsDir()
	}
	layout := "want " + s.Dir + "/{train,val|test}/CLASS/*.jpg, *.jpeg or *.png"
	switch {
	case !is("train"):
		return "", fmt.Errorf("there is no folder %s; %s", filepath.Join(s.Dir, "train"), layout)
	case s.Test != "" && !is(s.Test):
		return "", fmt.Errorf("there is no folder %s; %s", filepath.Join(s.Dir, s.Test), layout)
	case s.Test != "":
		return s.Test, nil
	case is("val") && is("test"):
		return "", errors.New("there are both val and test; say which one to test on by test=val or test=test")
	case is("val"):
		return "val", nil
	case is("test"):
		return "test", nil
	}
	return "", fmt.Errorf("beside train there is neither val nor test; %s", layout)
}

// list adds the pictures of a split, and returns the names of its class folders.
func (f *Folder) list(split string) (classes []string, err error) {
	root := filepath.Join(f.Spec.Dir, split)
	entries, err := os.ReadDir(root) // sorted
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(root, e.Name())); err != nil || !info.IsDir() || hidden(e.Name()) {
			f.Ignored++
			continue
		}
		classes = append(classes, e.Name())
	}
	if len(classes) == 0 {
		return nil, fmt.Errorf("%s has no class folders; want %s/CLASS/*.jpg, *.jpeg or *.png", root, root)
	}
	for label, class := range classes {
		before, others := len(f.pictures), f.Ignored
		if err := f.walk(split+"/"+class, int32(label), 0); err != nil {
			return nil, err
		}
		if len(f.pictures) == before {
			return nil, fmt.Errorf("the class folder %s has no pictures (.jpg, .jpeg, .png), %d other files; "+
				"remove it from all splits or put pictures there", filepath.Join(root, class), f.Ignored-others)
		}
	}
	return classes, nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// walk adds the pictures under a class folder, at any depth.
func (f *Folder) walk(path string, label int32, depth int) error {
	if depth > 16 {
		return fmt.Errorf("%s lies more than 16 folders deep; is there a link to a folder above?", path)
	}
	entries, err := os.ReadDir(filepath.Join(f.Spec.Dir, filepath.FromSlash(path)))
	if err != nil {
		return err
	}
	for _, e := range entries {
		p := picture{path: path + "/" + e.Name(), label: label}
		info, err := os.Stat(filepath.Join(f.Spec.Dir, filepath.FromSlash(p.path)))
		suffix := strings.ToLower(filepath.Ext(e.Name()))
		switch {
		case err == nil && info.IsDir() && !hidden(e.Name()):
			if err := f.walk(p.path, label, depth+1); err != nil {
				return err
			}
			continue
		case hidden(e.Name()) || !slices.Contains([]string{".jpg", ".jpeg", ".png"}, suffix):
			f.Ignored++
			continue
		case err != nil:
			p.bad = bare(err).Error()
		case !info.Mode().IsRegular():
			p.bad = "is not a regular file"
		}
		sum := sha256.Sum256([]byte(strings.SplitN(p.path, "/", 2)[1])) // val and test alike
		p.order = hex.EncodeToString(sum[:])
		f.pictures = append(f.pictures, p)
	}
	return nil
}

// agree compares the class folders of train with those of test.
func agree(test string, a, b []string) error {
	missing := func(of, in []string) (names []string) {
		for _, name := range of {
			if !slices.Contains(in, name) {
				names = append(names, name)
			}
		}
		return names
	}
	var found []string
	for _, side := range []struct {
		has, lacks string
		names      []string
	}{{"train", test, missing(a, b)}, {test, "train", missing(b, a)}} {
		if len(side.names) > 0 {
			found = append(found, fmt.Sprintf("%s has %s, which %s lacks", side.has, first(side.names, 10, ", "), side.lacks))
		}
	}
	if found != nil {
		return fmt.Errorf("train and %s need the same class folders: %s", test, strings.Join(found, "; "))
	}
	return nil
}

// first joins the first n of names and counts the others.
func first(names []string, n int, separator string) string {
	if len(names) <= n {
		return strings.Join(names, separator)
	}
	return fmt.Sprintf("%s%sand %d more", strings.Join(names[:n], separator), separator, len(names)-n)
}

// read takes the checksum of every picture and looks at its header.
func (f *Folder) read(ctx context.Context) error {
	err := parallel(ctx, len(f.pictures), func(i int) error {
		p := &f.pictures[i]
		if p.bad != "" {
			return nil
		}
		data, err := f.content(p)
		if err != nil {
			p.bad = err.Error()
			return nil
		}
		sum := sha256.Sum256(data)
		p.bytes, p.sha256 = int64(len(data)), hex.EncodeToString(sum[:])
		if h, err := readHeader(data); err != nil {
			p.bad = err.Error()
		} else {
			p.grey = h.grey
		}
		return nil
	})
	if err != nil {
		return err
	}
	colour := 0
	for _, p := range f.pictures {
		switch {
		case p.bad != "":
		case p.grey:
			f.Grey++
		default:
			colour++
		}
	}
	if f.Spec.Channels == 0 {
		f.Spec.Channels = 3
		if colour == 0 && f.Grey > 0 {
			f.Spec.Channels = 1
		}
	}
	if f.Spec.Channels == 1 {
		f.Grey = 0 // they stay grey
	}
	return nil
}

// maxBytes is the size of file above which none is read.
const maxBytes = 1 << 30

// content reads a file.
func (f *Folder) content(p *picture) ([]byte, error) {
	file, err := os.Open(filepath.Join(f.Spec.Dir, filepath.FromSlash(p.path)))
	if err != nil {
		return nil, bare(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("has %d bytes, at most %d are read", info.Size(), maxBytes)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, bare(err)
	}
	return data, nil
}

// bare is err without operation and path.
func bare(err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// hash is the sha256 of a text that has the options and every picture, in the order of examples.
func (f *Folder) hash() string {
	h := sha256.New()
	s := f.Spec
	fmt.Fprintf(h, "directions image folder %d\nsize=%d resize=%d channels=%d test=%s\n",
		decoding, s.Size, s.Resize, s.Channels, s.Test)
	for _, c := range f.Classes {
		fmt.Fprintf(h, "class %q\n", c)
	}
	for _, p := range f.pictures {
		fmt.Fprintf(h, "%q %d %s\n", p.path, p.bytes, p.sha256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// parallel does work for 0 … n−1, on all processors, until it fails or ctx ends.
func parallel(ctx context.Context, n int, work func(i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := work(i); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
