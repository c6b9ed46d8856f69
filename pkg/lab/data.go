package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/datasets/imagefolder"
)

// Source is what is known of a data set before its examples are read. Of a folder of pictures some may turn out to be
// unreadable.
type Source struct {
	Hash    string   // of the content
	Classes []string // by label
	Shape   []int    // of one image, [H W C]
	Train   int      // images
	Test    int
}

// sourceOf describes a data set: from the catalog, or of a folder of pictures, by looking through it.
func sourceOf(ctx context.Context, data string) (Source, *imagefolder.Folder, error) {
	if imagefolder.Is(data) {
		spec, err := imagefolder.Parse(data)
		if err != nil {
			return Source{}, nil, err
		}
		f, err := imagefolder.Scan(ctx, spec)
		if err != nil {
			return Source{}, nil, err
		}
		return picturesSource(f), f, nil
	}
	e, err := datasets.Lookup(data)
	return Source{e.Hash(), e.Classes, e.Shape, e.TrainN, e.TestN}, nil, err
}

func picturesSource(f *imagefolder.Folder) Source {
	return Source{f.Hash, f.Classes, f.Shape, f.Train, f.Test}
}

// ImageShape is the shape [H W C] of one image of a data set.
func ImageShape(ctx context.Context, data string) ([]int, error) {
	s, _, err := sourceOf(ctx, data)
	return s.Shape, err
}

// Source describes a data set: from the catalog, or of a folder of pictures, by looking through it, once.
func (l *Lab) Source(ctx context.Context, data string) (Source, error) {
	if !imagefolder.Is(data) {
		s, _, err := sourceOf(ctx, data)
		return s, err
	}
	f, err := l.folder(ctx, data)
	if err != nil {
		return Source{}, err
	}
	return picturesSource(f), nil
}

func (l *Lab) folder(ctx context.Context, data string) (*imagefolder.Folder, error) {
	l.scanning.Lock()
	defer l.scanning.Unlock()
	if f := l.folders[data]; f != nil {
		return f, nil
	}
	_, f, err := sourceOf(ctx, data)
	if err != nil {
		return nil, err
	}
	l.folders[data] = f
	return f, nil
}

// Data loads a data set, once; one that is not on this machine is fetched into the store. The set is shared: do not
// write to it.
func (l *Lab) Data(ctx context.Context, name string) (*datasets.Set, error) {
	l.loading.Lock()
	defer l.loading.Unlock()
	if set := l.sets[name]; set != nil {
		return set, nil
	}
	load := l.published
	if imagefolder.Is(name) {
		load = l.pictures
	}
	set, err := load(ctx, name)
	if err != nil {
		return nil, err
	}
	l.sets[name] = set
	return set, nil
}

// published loads a data set of the catalog.
func (l *Lab) published(ctx context.Context, name string) (*datasets.Set, error) {
	set, err := datasets.Load(name, l.DataDirs()...)
	var missing *datasets.MissingError
	if errors.As(err, &missing) {
		l.Note("data set %s is not in %v; fetching %.1f MB", name, l.DataDirs(), float64(missing.Bytes)/1e6)
		if err := l.Fetch(ctx, name); err != nil {
			return nil, err
		}
		set, err = datasets.Load(name, l.DataDirs()...)
	}
	if err != nil {
		return nil, err
	}
	if set.Note != "" {
		l.Note("data set %s is not quite as published: %s", name, set.Note)
	}
	return set, nil
}

// pictures loads a folder of pictures, and tells what is special about it.
func (l *Lab) pictures(ctx context.Context, name string) (*datasets.Set, error) {
	f, err := l.folder(ctx, name)
	if err != nil {
		return nil, err
	}
	var meter Meter // none if they have been decoded before
	set, unreadable, err := f.Load(ctx, filepath.Join(l.store.DataDir(), "imagefolder"), func(n int) {
		if meter == nil {
			meter = l.opt.Progress.Start("decoding pictures of "+f.Spec.Dir, f.Train+f.Test, "pictures")
		}
		meter.Advance(n)
	})
	if meter != nil {
		meter.Done()
	}
	if err != nil {
		return nil, err
	}
	if f.Grey > 0 {
		l.Note("%s: %d grey pictures among colour ones have become colour", f.Spec.Dir, f.Grey)
	}
	if f.Ignored > 0 {
		l.Note("%s: %d files that are no pictures (.jpg, .jpeg, .png) are ignored", f.Spec.Dir, f.Ignored)
	}
	if len(unreadable) > 0 {
		var lines []string
		for _, u := range unreadable {
			lines = append(lines, "\n  "+u.Path+": "+u.Reason)
		}
		l.Note("%s: %d pictures cannot be read and are left out (the option strict refuses them):%s",
			f.Spec.Dir, len(lines), strings.Join(lines, ""))
	}
	return set, nil
}

// canonical is a data set's name in one form.
func canonical(data string) string {
	if s, err := imagefolder.Parse(data); err == nil {
		return s.String()
	}
	return data
}

// sameData reports a folder of pictures that is not any more as it was when a run was made.
func (r *Run) sameData(hash string) error {
	if r.Data != hash {
		return fmt.Errorf("run %s: the pictures of %s have changed since it was made; put them back, or train or import it anew",
			r.Label(), r.Spec.Data)
	}
	return nil
}
