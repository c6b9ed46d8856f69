// Package lease lets workers on any number of machines share out work through one folder, without a coordinator: a worker
// claims a name, shows signs of life, and whoever finds the signs gone for too long takes the name over.
//
// A claim is a file <folder>/<name>/<number>, made so that only one maker succeeds (O_CREAT with O_EXCL, which network file
// systems honour as well). Whoever takes over does not touch the file that is there but makes the next number, so of all
// who want to, exactly one succeeds. The file with the highest number counts, and it alone is never removed, not even when
// the name is given back. The age of a sign of life is told by the clock of the file system, not by those of the machines.
//
// What this cannot give: a holder that was suspended learns of its loss a moment late (Lost). Work under a lease must do no
// harm if it is done twice, as what goes into the content-addressed store does none.
package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Expire is how long a holder may be silent before its claim is void, if Open is given none. It gives a sign of life four
// times as often, and network file systems may show that to others up to a few seconds later.
const Expire = time.Minute

// Folder is a folder of claims, safe for concurrent use.
type Folder struct {
	dir    string
	expire time.Duration
	kernel string
	host   string
}

// Open opens, or makes, a folder of claims. All who use it must give the same expire; 0 is Expire.
func Open(dir string, expire time.Duration) (*Folder, error) {
	if expire == 0 {
		expire = Expire
	}
	if expire < 100*time.Millisecond {
		return nil, fmt.Errorf("claims in %s: they expire after %v, at least 100 ms is needed (0 means %v)", dir, expire, Expire)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Folder{dir: dir, expire: expire, kernel: kernel(), host: host}, nil
}

// kernel names what process numbers mean something in: this boot of this machine, and the name space in it. It is empty
// where it cannot be told; a dead holder is then recognised by its silence only.
func kernel() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + space
}

// Holder is who claimed a name, as its file tells.
type Holder struct {
	Host   string    `json:"host"`
	PID    int       `json:"pid"`
	Label  string    `json:"label,omitempty"`  // what Claim was given
	Kernel string    `json:"kernel,omitempty"` // in which PID is a number
	Since  time.Time `json:"since"`
	Deaths int       `json:"deaths,omitempty"` // holders just before this one that ended without giving the name back
	Note   string    `json:"note,omitempty"`   // what the holder last said of its work

	Alive  bool          `json:"-"` // its claim is good
	Silent time.Duration `json:"-"` // since its last sign of life
}

// String names the holder: "process 4711 on host7", with its label if it has one.
func (h Holder) String() string {
	text := fmt.Sprintf("process %d on %s", h.PID, h.Host)
	if h.Label != "" {
		text += " (" + h.Label + ")"
	}
	return text
}

var nameForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$`)

// Claim claims a name. If somebody alive holds it, the lease is nil and the holder is told; that is no error. Holder.Deaths
// of the lease's own holder counts those before it that died with the name in hand. label is kept for others to read.
func (f *Folder) Claim(name, label string) (*Lease, Holder, error) {
	if !nameForm.MatchString(name) {
		return nil, Holder{}, fmt.Errorf("claim: %q is not a name: 1 to 128 letters, digits, - and _", name)
	}
	for {
		l, held, again, err := f.try(name, label)
		if err != nil {
			return nil, Holder{}, fmt.Errorf("claim of %s: %w", name, err)
		}
		if !again {
			return l, held, nil
		}
	}
}

// try is one attempt of Claim; again means that somebody else was faster, and that one has to look once more.
func (f *Folder) try(name, label string) (l *Lease, held Holder, again bool, err error) {
	folder := filepath.Join(f.dir, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, Holder{}, false, err
	}
	last, err := highest(folder)
	if err != nil {
		return nil, Holder{}, false, err
	}
	me := Holder{Host: f.host, PID: os.Getpid(), Label: label, Kernel: f.kernel, Since: time.Now().UTC()}
	if last > 0 {
		before, released, err := f.read(folder, last)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, Holder{}, true, nil
		}
		if err != nil || before.Alive {
			return nil, before, false, err
		}
		if !released {
			me.Deaths = before.Deaths + 1
		}
	}
	l = &Lease{folder: f, name: name, path: folder, number: last + 1, me: me}
	l.lost, l.stop = make(chan struct{}), make(chan struct{})
	file, err := os.OpenFile(l.file(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, Holder{}, true, nil
	}
	if err != nil {
		return nil, Holder{}, false, err
	}
	if err := errors.Join(l.write(file), file.Close()); err != nil {
		os.Remove(l.file())
		return nil, Holder{}, false, err
	}
	// The list of files that last came from may have been an old one, on a network file system.
	if now, err := highest(folder); err != nil || now != l.number {
		os.Remove(l.file())
		return nil, Holder{}, err == nil, err
	}
	for number := last; number > 0; number-- {
		if os.Remove(filepath.Join(folder, fileName(number))) != nil {
			break // removed by whoever took over before
		}
	}
	l.begun.Add(1)
	go l.live()
	return l, me, false, nil
}

func fileName(number int) string { return fmt.Sprintf("%09d", number) }

// highest is the highest number of a file in a folder, 0 if there is none, or no folder.
func highest(folder string) (int, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	top := 0
	for _, e := range entries {
		if number, err := strconv.Atoi(e.Name()); err == nil {
			top = max(top, number)
		}
	}
	return top, nil
}

// read reads a claim. released tells that its holder has given it back.
func (f *Folder) read(folder string, number int) (h Holder, released bool, err error) {
	file, err := os.Open(filepath.Join(folder, fileName(number))) // opening makes a network file system ask for news
	if err != nil {
		return Holder{}, false, err
	}
	defer file.Close()
	text := make([]byte, fileSize)
	n, _ := file.ReadAt(text, 0)
	// What cannot be read was just being written, or its writer was killed before it could: nobody known holds it.
	if err := json.Unmarshal(text[:n], &h); err != nil {
		h = Holder{Host: "unknown"}
	}
	info, err := file.Stat()
	if err != nil {
		return Holder{}, false, err
	}
	if !info.ModTime().After(givenBack.Add(time.Hour)) {
		return h, true, nil
	}
	now, err := f.now()
	if err != nil {
		return Holder{}, false, err
	}
	h.Silent = max(now.Sub(info.ModTime()), 0)
	h.Alive = h.Silent < f.expire && !(h.Kernel != "" && h.Kernel == f.kernel && gone(h.PID))
	return h, false, nil
}

// now is the time by the clock of the file system.
func (f *Folder) now() (time.Time, error) {
	path := filepath.Join(f.dir, ".clock")
	if err := os.WriteFile(path, []byte("now"), 0o644); err != nil { // closing it brings it to the server
		return time.Time{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// gone reports that a process of this machine has ended.
func gone(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH)
}

// Holders lists the names that somebody claimed and did not give back, with who that is; those that are not Alive will be
// taken over by whoever claims them next.
func (f *Folder) Holders() (map[string]Holder, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	holders := map[string]Holder{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		folder := filepath.Join(f.dir, e.Name())
		last, err := highest(folder)
		if err != nil {
			return nil, fmt.Errorf("claims: %w", err)
		}
		if last == 0 {
			continue
		}
		h, released, err := f.read(folder, last)
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken over meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("claims: %w", err)
		}
		if !released {
			holders[e.Name()] = h
		}
	}
	return holders, nil
}

// fileSize is that of every claim's file: one write of one size, so that who reads finds the old or the new text.
const fileSize = 1024

// givenBack is the time of last change of a claim whose holder has given it back.
var givenBack = time.Unix(0, 0)

// Lease is a claim that this process holds.
type Lease struct {
	folder *Folder
	name   string
	path   string // folder of the name
	number int
	lost   chan struct{}
	stop   chan struct{}
	begun  sync.WaitGroup // the goroutine that shows signs of life
	ending sync.Once

	mu sync.Mutex
	me Holder
}

func (l *Lease) file() string { return filepath.Join(l.path, fileName(l.number)) }

// Deaths is how many holders just before this one ended without giving the name back.
func (l *Lease) Deaths() int { return l.me.Deaths }

// Lost is closed when the lease is found taken over by another, or could not be renewed for as long as leases last.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Note says how the work is going, for others to read with the next sign of life.
func (l *Lease) Note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.me.Note = text
}

// write writes the holder in the size of a claim's file.
func (l *Lease) write(file *os.File) error {
	l.mu.Lock()
	h := l.me
	l.mu.Unlock()
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if len(text) > fileSize {
		h.Note = ""
		if text, err = json.Marshal(h); err != nil {
			return err
		}
	}
	if len(text) > fileSize {
		return fmt.Errorf("the holder's names take %d bytes, there is room for %d: give a shorter label", len(text), fileSize)
	}
	_, err = file.WriteAt(append(text, strings.Repeat(" ", fileSize-len(text))...), 0)
	return err
}

// live shows signs of life until the lease ends or is lost.
func (l *Lease) live() {
	defer l.begun.Done()
	tick := time.NewTicker(l.folder.expire / 4)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		top, err := highest(l.path)
		if err == nil && top != l.number {
			close(l.lost)
			return
		}
		if err == nil {
			err = l.beat()
		}
		switch {
		case err == nil:
			last = time.Now()
		case time.Since(last) > l.folder.expire:
			close(l.lost)
			return
		}
	}
}

func (l *Lease) beat() error {
	file, err := os.OpenFile(l.file(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(l.write(file), file.Close())
}

// Release gives the name back: it can be claimed at once, and the holder is not counted as dead. A lease that is lost or
// has ended before is left as it is.
func (l *Lease) Release() error {
	return l.end(func() error { return os.Chtimes(l.file(), givenBack, givenBack) })
}

func (l *Lease) end(how func() error) (err error) {
	l.ending.Do(func() {
		close(l.stop)
		l.begun.Wait()
		if top, e := highest(l.path); e != nil || top != l.number {
			return // somebody else's
		}
		if e := os.Chtimes(l.file(), givenBack, givenBack); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = fmt.Errorf("giving back the claim of %s: %w", l.name, e)
		}
	})
	return err
}
