// Package datasets holds the catalog of image data sets, finds and downloads their files, checks every byte of them and
// gives back labelled images as published: unsigned bytes, nothing scaled, nothing shuffled.
//
// Figures 1a and 2a of Morcos et al. 2018 use MNIST; Fashion-MNIST is the usual drop-in to repeat them on. The set
// "mnist10k" is MNIST's own test files, embedded in the program, so that there is always something to work on.
//
// A set's content hash (Entry.Hash) is known from the catalog alone. It may enter the key of a result before any file
// is read, because Load gives back nothing whose checksum does not match.
//
// The package uses the standard library only and nothing else of this module.
package datasets

import (
	"fmt"
	"slices"
	"strings"
)

// Split is labelled images, in the order they were published.
type Split struct {
	Images []byte  // N×H×W×C: row major, channels last, 0..255
	Shape  []int   // of one image, [H W C]: [28 28 1]
	Labels []int32 // N; 0 ≤ label < number of classes
}

// Len is the number of images.
func (s Split) Len() int { return len(s.Labels) }

// Check reports images that do not fit the number of labels: every image takes the product of Shape bytes.
func (s Split) Check() error {
	if want := s.Len() * s.imageSize(); len(s.Images) != want {
		return fmt.Errorf("%d bytes of images, but %d labels and images of shape %v need %d", len(s.Images), s.Len(), s.Shape, want)
	}
	return nil
}

// Head is the first n examples, 1 ≤ n ≤ s.Len(). It shares memory with s.
func (s Split) Head(n int) (Split, error) {
	if n <= 0 || n > s.Len() {
		return Split{}, fmt.Errorf("cannot take the first %d examples: want 1 to %d, the size of the split", n, s.Len())
	}
	size := s.imageSize()
	return Split{
		Images: s.Images[: n*size : n*size],
		Shape:  slices.Clone(s.Shape),
		Labels: s.Labels[:n:n],
	}, nil
}

// tail is the examples from number n on, 0 ≤ n ≤ s.Len(). It shares memory with s.
func (s Split) tail(n int) Split {
	return Split{Images: s.Images[n*s.imageSize():], Shape: slices.Clone(s.Shape), Labels: s.Labels[n:]}
}

// imageSize is H·W·C, the number of bytes of one image.
func (s Split) imageSize() int {
	size := 1
	for _, d := range s.Shape {
		size *= d
	}
	return size
}

// Set is a data set in memory.
type Set struct {
	Name    string
	Title   string
	Hash    string   // Entry.Hash: identifies the content, and how it is split
	Classes []string // by label
	Train   Split
	Test    Split
	Note    string // how the content differs from what was published; usually empty (see Copy)
}

// Load reads the data set with that name. Each file of it is looked for in <dir>/<name>/ for each of dirs in turn, for a set
// with an Archive also packed and in the archive; the first copy whose size and sha256 are the published ones, or those of
// a Copy of it, is used. An empty string among dirs is skipped. A set that is part of the program (mnist10k) needs no dirs.
// The result shares memory with nothing outside it.
//
// Errors: an unknown name lists the known ones; missing files give a *MissingError; a file that is there but not as
// published is named, with what is wrong with it. Nothing is downloaded here, see Fetch.
func Load(name string, dirs ...string) (*Set, error) {
	e, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	return e.load(dirs)
}

func (e Entry) load(dirs []string) (*Set, error) {
	contents := make(map[Role]content, len(e.Files))
	var states []FileState
	var notes []string
	look := newSearch(e, dirs)
	for _, f := range e.Files {
		data, state := look.find(f)
		if state.State == OK && state.Note != "" {
			notes = append(notes, f.Name+": "+state.Note)
		}
		contents[f.Role] = content{state.Path, data}
		states = append(states, state)
	}
	if err := e.complain(states, dirs); err != nil {
		return nil, err
	}
	train, test, err := e.read(e, contents)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", e.Name, err)
	}
	// The checksums match, so a difference here is a wrong row of the catalog, not a wrong file.
	if train.Len() != e.TrainN || test.Len() != e.TestN {
		return nil, fmt.Errorf("data set %q has %d training and %d test images, its catalog entry says %d and %d",
			e.Name, train.Len(), test.Len(), e.TrainN, e.TestN)
	}
	return &Set{Name: e.Name, Title: e.Title, Hash: e.Hash(), Classes: e.Classes, Train: train, Test: test,
		Note: strings.Join(notes, "; ")}, nil
}
