package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	stallAfter     = time.Minute // without a byte, after which the next mirror is tried
	triesPerMirror = 5           // as long as each brings something new
)

// Fetch downloads to <dir>/<name>/ the files of a data set that are not there as published, and replaces those that
// differ. A set that is part of the program is there already.
//
// A file grows under its name with ".part" added and gets its own name when it is complete, has the published sha256
// and is on the disk, so a file under its own name is whole. After an interruption the next call goes on where this one
// stopped, if the server allows (HTTP Range), or else starts that file again. A part with a wrong checksum is removed.
// The mirrors of a file are tried in turn; a mirror that is silent for a minute counts as failed. Two processes may
// fetch the same set: they write the same bytes to the same places.
//
// advance, if not nil, is called with the number of further bytes that are done, from this goroutine. In a call that
// succeeds the numbers add up to Entry.Bytes, what was already there included.
//
// Errors: an unknown name; a folder that cannot be written; for each mirror why it did not serve. When ctx ends, the
// error is ctx.Err(), wrapped, and what was downloaded is kept.
func Fetch(ctx context.Context, name, dir string, advance func(bytes int)) error {
	e, err := Lookup(name)
	if err != nil {
		return err
	}
	if dir == "" {
		return fmt.Errorf("fetching data set %q: no directory given to write it to", name)
	}
	return e.fetch(ctx, dir, stallAfter, advance)
}

func (e Entry) fetch(ctx context.Context, dir string, stall time.Duration, advance func(bytes int)) error {
	if advance == nil {
		advance = func(int) {}
	}
	if e.Embedded {
		advance(int(e.Bytes()))
		return nil
	}
	folder := filepath.Join(dir, e.Name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("fetching data set %q: %w", e.Name, err)
	}
	files := e.Files
	if e.Archive != nil {
		files = []File{*e.Archive}
		if !slices.ContainsFunc(e.verify([]string{dir}), func(s FileState) bool { return s.State != OK }) {
			advance(int(e.Bytes())) // unpacked, or as the archive
			return nil
		}
	}
	for _, f := range files {
		d := download{file: f, target: filepath.Join(folder, f.Name), stall: stall, advance: advance}
		if err := d.run(ctx); err != nil {
			return fmt.Errorf("fetching data set %q: %w", e.Name, err)
		}
	}
	return nil
}

// download is the work on one file.
type download struct {
	file    File
	target  string
	stall   time.Duration
	advance func(bytes int)
	done    int64 // bytes reported to advance
}

func (d *download) part() string { return d.target + ".part" }

// report says that the file is there up to offset. Bytes that come a second time are not reported again.
func (d *download) report(offset int64) {
	if offset > d.done {
		d.advance(int(offset - d.done))
		d.done = offset
	}
}

func (d *download) run(ctx context.Context) error {
	if d.present() {
		d.report(d.file.Bytes)
		return nil
	}
	var failures []string
	for _, mirror := range d.file.URLs {
		err := d.from(ctx, mirror)
		var local *fs.PathError
		switch {
		case err == nil:
			d.report(d.file.Bytes)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w; what is there is kept, fetch again to go on", d.file.Name, ctx.Err())
		case errors.As(err, &local): // no mirror can help
			return err
		}
		failures = append(failures, fmt.Sprintf("%s: %v", mirror, err))
	}
	return fmt.Errorf("%s could not be had from any mirror:\n\t%s", d.file.Name, strings.Join(failures, "\n\t"))
}

// from downloads and installs the file from one mirror. It tries again as long as that brings new bytes, and once more
// from nothing if the file has a wrong checksum after a resumption: the older part may be to blame.
func (d *download) from(ctx context.Context, mirror string) error {
	for try := 1; ; try++ {
		start, err := d.resumeAt()
		if err != nil {
			return err
		}
		end := start
		if start < d.file.Bytes {
			end, err = d.get(ctx, mirror, start)
		}
		worthwhile := end > start
		if err == nil {
			if err = d.install(); err == nil {
				return nil
			}
			worthwhile = start > 0
		}
		if !worthwhile || try == triesPerMirror || ctx.Err() != nil {
			return err
		}
	}
}

// resumeAt is the size of the part that is there. It may be more than the file's: install will refuse such a part.
func (d *download) resumeAt() (int64, error) {
	info, err := os.Stat(d.part())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// get downloads the rest of the file from offset start, or all of it if the server knows no ranges, and gives back up
// to where the part is good.
func (d *download) get(ctx context.Context, mirror string, start int64) (end int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(d.stall, func() { cancel(fmt.Errorf("no data for %v", d.stall)) })
	defer watch.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, mirror, nil)
	if err != nil {
		return start, err
	}
	req.Header.Set("Accept-Encoding", "identity") // or net/http would unpack what some servers declare as packed
	if start > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", start))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return start, reason(ctx, err)
	}
	defer resp.Body.Close()

	offset := start
	switch resp.StatusCode {
	case http.StatusOK:
		offset = 0
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-", start)
		if got := resp.Header.Get("Content-Range"); !strings.HasPrefix(got, want) {
			return start, fmt.Errorf("asked for bytes from %d, the server sent Content-Range %q", start, got)
		}
	default:
		return start, errors.New("the server answered " + resp.Status)
	}
	if n := resp.ContentLength; n >= 0 && offset+n != d.file.Bytes {
		return start, fmt.Errorf("the server's file has %d bytes, the published one %d", offset+n, d.file.Bytes)
	}
	return d.save(ctx, resp.Body, offset, watch)
}

// save writes body to the part from offset on. It writes at positions and never truncates, so that another process
// that fetches the same file is not disturbed.
func (d *download) save(ctx context.Context, body io.Reader, offset int64, watch *time.Timer) (int64, error) {
	file, err := os.OpenFile(d.part(), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return offset, err
	}
	defer file.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		watch.Reset(d.stall)
		if offset+int64(n) > d.file.Bytes {
			return offset, fmt.Errorf("the server sent more than the %d bytes of the published file", d.file.Bytes)
		}
		if _, err := file.WriteAt(buffer[:n], offset); err != nil {
			return offset, err
		}
		offset += int64(n)
		d.report(offset)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return offset, fmt.Errorf("after %d of %d bytes: %w", offset, d.file.Bytes, reason(ctx, err))
		}
	}
	if offset < d.file.Bytes {
		return offset, fmt.Errorf("the server stopped after %d of %d bytes", offset, d.file.Bytes)
	}
	return offset, file.Close()
}

// install checks the complete part and puts the checked bytes in place, as a copy: another process may put a part of
// its own under the same name at any time. The part is removed, good or bad. It is no error if the file is in place
// already.
func (d *download) install() error {
	data, state := d.read(d.part())
	var err error
	if state.State == OK {
		if err = d.put(data); err != nil {
			return err
		}
	} else {
		err = fmt.Errorf("the downloaded file %s; it was removed", state.Note)
	}
	if removing := os.Remove(d.part()); removing != nil && !errors.Is(removing, fs.ErrNotExist) {
		return removing
	}
	if err != nil && d.present() {
		return nil
	}
	return err
}

// put writes the file under a name of its own, to the disk, and renames it.
func (d *download) put(data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(d.target), d.file.Name+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // fails after the renaming, as it should
	defer temporary.Close()
	if _, err := temporary.Write(data); err != nil {
		return err
	}
	if err := temporary.Chmod(0o644); err != nil {
		return err
	}
	if err := temporary.Sync(); err != nil {
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), d.target)
}

// present says whether the file is in place, as published.
func (d *download) present() bool {
	_, state := d.read(d.target)
	return state.State == OK
}

func (d *download) read(path string) ([]byte, FileState) {
	return d.file.read(os.DirFS(filepath.Dir(path)), filepath.Base(path), path)
}

// reason is why a request with ctx failed, without the URL that the caller names anyway.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
