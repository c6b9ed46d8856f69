package lab

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpen(t *testing.T) {
	home := t.TempDir()
	t.Setenv("DIRECTIONS_HOME", home)
	t.Setenv("DIRECTIONS_DATA", "/one"+string(os.PathListSeparator)+"/two")
	l, err := Open(Options{})
	require.NoError(t, err)
	require.Equal(t, home, l.Store().Dir())
	require.Equal(t, []string{"/one", "/two", filepath.Join(home, "data")}, l.DataDirs())
	l, err = Open(Options{Data: []string{"/three"}})
	require.NoError(t, err)
	require.Equal(t, []string{"/three", filepath.Join(home, "data")}, l.DataDirs(), "folders asked for replace the environment's")

	file := filepath.Join(home, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = Open(Options{Home: file})
	require.ErrorContains(t, err, "set DIRECTIONS_HOME to a folder you may write")
}

func TestData(t *testing.T) {
	l, w := open(t, t.TempDir(), Options{})
	set, err := l.Data(context.Background(), "mnist10k")
	require.NoError(t, err)
	require.Equal(t, 8000, set.Train.Len())
	again, err := l.Data(context.Background(), "mnist10k")
	require.NoError(t, err)
	require.Same(t, set, again, "loaded once")
	require.NoError(t, l.Fetch(context.Background(), "mnist10k"))
	require.Equal(t, w.meters[0].total, w.meters[0].done, "part of the program: nothing to fetch")
	_, err = l.Data(context.Background(), "cifar")
	require.ErrorContains(t, err, `no data set "cifar": there are mnist10k, mnist, fashion-mnist`)
	require.ErrorContains(t, l.Fetch(context.Background(), "cifar"), `no data set "cifar"`)
}

func TestMissingDataAreFetched(t *testing.T) {
	var notes []string
	l, w := open(t, t.TempDir(), Options{Note: func(s string) { notes = append(notes, s) }})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := l.Data(ctx, "mnist")
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "fetching 11.6 MB")
	require.Equal(t, "fetching mnist", w.meters[0].title)
	require.True(t, w.meters[0].ended)

	// A folder that cannot be written: an error of this machine, with the way around the network.
	require.NoError(t, os.RemoveAll(l.Store().DataDir()))
	require.NoError(t, os.WriteFile(l.Store().DataDir(), nil, 0o644))
	err = l.Fetch(context.Background(), "mnist")
	require.ErrorContains(t, err, "not a directory")
	require.ErrorContains(t, err, "set DIRECTIONS_DATA to a folder that has mnist/")
}

func TestDamagedData(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "mnist"), 0o755))
	file := filepath.Join(dir, "mnist", "train-labels-idx1-ubyte.gz")
	require.NoError(t, os.WriteFile(file, []byte("short"), 0o644))
	l, w := open(t, t.TempDir(), Options{})
	l.opt.Data = []string{dir}
	_, err := l.Train(context.Background(), Spec{Data: "mnist", Net: "mlp:2"}, "")
	require.ErrorContains(t, err, file+" has 5 bytes, the published file has 28881")
	require.ErrorContains(t, err, "directions data fetch mnist")
	require.Empty(t, w.meters, "nothing is fetched over a damaged file")
}
