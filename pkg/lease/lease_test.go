package lease

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func open(t *testing.T, dir string, expire time.Duration) *Folder {
	f, err := Open(dir, expire)
	require.NoError(t, err)
	return f
}

// die ends a lease as the death of its process would.
func (l *Lease) die() {
	l.ending.Do(func() {
		close(l.stop)
		l.begun.Wait()
	})
}

func files(t *testing.T, dir, name string) (names []string) {
	entries, err := os.ReadDir(filepath.Join(dir, name))
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestClaimAndRelease(t *testing.T) {
	dir := t.TempDir()
	f, g := open(t, dir, time.Minute), open(t, dir, time.Minute)
	l, me, err := f.Claim("net", "first")
	require.NoError(t, err)
	require.NotNil(t, l)
	require.Equal(t, []any{os.Getpid(), "first", 0}, []any{me.PID, me.Label, l.Deaths()})

	l.Note("half way")
	require.NoError(t, l.beat())
	other, held, err := g.Claim("net", "second")
	require.NoError(t, err)
	require.Nil(t, other)
	require.Equal(t, []any{"first", "half way", true}, []any{held.Label, held.Note, held.Alive})
	require.Contains(t, held.String(), fmt.Sprintf("process %d on ", os.Getpid()))
	all, err := g.Holders()
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.True(t, all["net"].Alive)

	// A name given back is free at once, and its holder did not die. Two names have nothing to do with each other.
	require.NoError(t, l.Release())
	require.NoError(t, l.Release(), "twice is no harm")
	all, err = g.Holders()
	require.NoError(t, err)
	require.Empty(t, all)
	other, _, err = g.Claim("net", "second")
	require.NoError(t, err)
	require.NotNil(t, other)
	require.Zero(t, other.Deaths())
	third, _, err := f.Claim("net2", "")
	require.NoError(t, err)
	require.NotNil(t, third)
	require.Len(t, files(t, dir, "net"), 1, "the first claim's file is gone")

	require.NoError(t, other.Release())
	require.NoError(t, third.Release())
}

func TestSilentHolderIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 200*time.Millisecond)
	l, _, err := f.Claim("net", "a")
	require.NoError(t, err)
	// A holder that shows signs of life keeps its claim far beyond the time after which it would be void.
	for range 8 {
		time.Sleep(100 * time.Millisecond)
		other, held, err := f.Claim("net", "b")
		require.NoError(t, err)
		require.Nil(t, other)
		require.Less(t, held.Silent, 200*time.Millisecond)
	}
	l.die()
	var deaths []int
	for range 3 {
		var next *Lease
		require.Eventually(t, func() bool {
			next, _, err = f.Claim("net", "b")
			return err == nil && next != nil
		}, 5*time.Second, 10*time.Millisecond)
		deaths = append(deaths, next.Deaths())
		next.die()
	}
	require.Equal(t, []int{1, 2, 3}, deaths)

	// The late first holder does not disturb the present one, whatever it does.
	next, _, err := open(t, dir, time.Hour).Claim("net", "c")
	for next == nil && err == nil {
		time.Sleep(10 * time.Millisecond)
		next, _, err = f.Claim("net", "c")
	}
	require.NoError(t, err)
	l.ending = sync.Once{}
	l.stop = make(chan struct{})
	require.NoError(t, l.Release())
	require.Error(t, l.beat(), "its file is gone")
	_, held, err := f.Claim("net", "d")
	require.NoError(t, err)
	require.Equal(t, "c", held.Label)
	require.NoError(t, next.Release())
}

func TestLost(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, 200*time.Millisecond)
	l, _, err := f.Claim("net", "")
	require.NoError(t, err)
	select {
	case <-l.Lost():
		t.Fatal("nobody took it")
	case <-time.After(150 * time.Millisecond):
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "net", fileName(7)), []byte("{}"), 0o644))
	select {
	case <-l.Lost():
	case <-time.After(5 * time.Second):
		t.Fatal("the loss went unnoticed")
	}
	require.NoError(t, l.Release())
	require.Contains(t, files(t, dir, "net"), fileName(7))
}

// A process that is gone needs no time to be recognised on its own machine; one on another machine does.
func TestDeadProcess(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, time.Hour)
	c := exec.Command("true")
	require.NoError(t, c.Run())
	l, _, err := f.Claim("net", "")
	require.NoError(t, err)
	l.mu.Lock()
	l.me.PID = c.Process.Pid
	l.mu.Unlock()
	require.NoError(t, l.beat())
	l.die()
	if f.kernel == "" {
		t.Skip("this system does not tell which processes belong to it (Linux does)")
	}
	far := open(t, dir, time.Hour)
	far.kernel = "another machine"
	next, held, err := far.Claim("net", "")
	require.NoError(t, err)
	require.Nil(t, next)
	require.True(t, held.Alive)
	next, _, err = f.Claim("net", "")
	require.NoError(t, err)
	require.NotNil(t, next)
	require.Equal(t, 1, next.Deaths())
	require.NoError(t, next.Release())
}

// Whatever is in a claim's file, it is void once it is old, and not before.
func TestDamagedClaim(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, time.Hour)
	for i, text := range []string{"", "{", `{"pid": "x"}`, "\x00\x00"} {
		name := fmt.Sprintf("net%d", i)
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		path := filepath.Join(dir, name, fileName(3))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		l, held, err := f.Claim(name, "")
		require.NoError(t, err)
		require.Nil(t, l)
		require.True(t, held.Alive)
		old := time.Now().Add(-2 * time.Hour)
		require.NoError(t, os.Chtimes(path, old, old))
		l, _, err = f.Claim(name, "")
		require.NoError(t, err)
		require.NotNil(t, l)
		require.Equal(t, []string{fileName(4)}, files(t, dir, name))
		require.NoError(t, l.Release())
	}
	for _, name := range []string{"", "a/b", "..", ".x", "a b"} {
		_, _, err := f.Claim(name, "")
		require.ErrorContains(t, err, "is not a name")
	}
	_, err := Open(dir, time.Millisecond)
	require.ErrorContains(t, err, "at least 100 ms")
}

// Many claim few names, release them or die with them: never do two hold one name, and every name is obtained again.
func TestOneHolderAtATime(t *testing.T) {
	dir := t.TempDir()
	const expire, workers, names = 400 * time.Millisecond, 8, 2
	var holding [names]atomic.Int32
	var got, died atomic.Int32
	var workersDone sync.WaitGroup
	deadline := time.Now().Add(2 * time.Second)
	for w := range workers {
		workersDone.Add(1)
		go func() {
			defer workersDone.Done()
			f, err := Open(dir, expire)
			if err != nil {
				t.Error(err)
				return
			}
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for time.Now().Before(deadline) {
				n := rng.IntN(names)
				l, _, err := f.Claim(fmt.Sprintf("net%d", n), fmt.Sprint(w))
				if err != nil {
					t.Error(err)
					return
				}
				if l == nil {
					continue
				}
				got.Add(1)
				if now := holding[n].Add(1); now != 1 {
					t.Errorf("%d hold name %d", now, n)
				}
				time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
				holding[n].Add(-1)
				switch rng.IntN(10) {
				case 0:
					died.Add(1)
					l.die()
				default:
					err = l.Release()
				}
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	workersDone.Wait()
	require.Greater(t, died.Load(), int32(3))
	require.Greater(t, got.Load(), 4*died.Load())
}

// Of many who find a claim void at the same moment, one takes it over.
func TestOneTakesOver(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, time.Hour)
	for round := range 50 {
		name := fmt.Sprintf("net%d", round)
		l, _, err := f.Claim(name, "")
		require.NoError(t, err)
		l.die()
		old := time.Now().Add(-2 * time.Hour)
		require.NoError(t, os.Chtimes(l.file(), old, old))
		var winners atomic.Int32
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 8 {
			all.Add(1)
			go func() {
				defer all.Done()
				<-start
				l, _, err := f.Claim(name, "")
				if err != nil {
					t.Error(err)
				}
				if l != nil {
					winners.Add(1)
					defer l.die()
				}
			}()
		}
		close(start)
		all.Wait()
		require.Equal(t, int32(1), winners.Load())
	}
}
