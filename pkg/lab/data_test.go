package lab

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
)

// pictures writes a folder of dark and of bright pictures, one of them grey, one of them broken.
func pictures(t *testing.T) (dir string) {
	dir = t.TempDir()
	put := func(path string, img image.Image) {
		var b bytes.Buffer
		if img != nil {
			require.NoError(t, png.Encode(&b, img))
		}
		path = filepath.Join(dir, filepath.FromSlash(path))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
	for i := range 20 {
		img := image.NewNRGBA(image.Rect(0, 0, 5+i%3, 6))
		for k := range img.Pix {
			img.Pix[k] = uint8(10*(i%2) + 200*(i/10) + k%7)
		}
		split := "train"
		if i%10 > 6 {
			split = "test"
		}
		put(fmt.Sprintf("%s/%s/%d.png", split, []string{"dark", "light"}[i/10], i), img)
	}
	grey := image.NewGray(image.Rect(0, 0, 5, 5))
	grey.SetGray(1, 1, color.Gray{200})
	put("train/dark/grey.png", grey)
	put("train/dark/broken.png", nil)
	put("train/dark/notes.txt", nil)
	return dir
}

func TestFolderOfPictures(t *testing.T) {
	dir := pictures(t)
	home := t.TempDir()
	var notes []string
	l, w := open(t, home, Options{Note: func(s string) { notes = append(notes, s) }})
	spec := Spec{Data: "imagefolder:" + dir + "/,strict,size=4", Net: "mlp:6", Fit: fit.Spec{Batch: 4, Epochs: 30, LR: 0.2}}
	_, err := l.Train(context.Background(), spec, "")
	require.ErrorContains(t, err, "1 pictures cannot be read: train/dark/broken.png: is empty")

	spec.Data = "imagefolder:" + dir + "/,size=4"
	r := train(t, l, spec, "pics")
	require.Equal(t, "imagefolder:"+dir+",size=4", r.Spec.Data, "one name for all ways to write it")
	require.Equal(t, 1.0, r.Final.TestAccuracy, "dark and bright are told apart")
	require.Contains(t, notes, dir+": 1 grey pictures among colour ones have become colour")
	require.Contains(t, notes, dir+": 1 files that are no pictures (.jpg, .jpeg, .png) are ignored")
	require.Contains(t, notes, dir+": 1 pictures cannot be read and are left out (the option strict refuses them):\n  train/dark/broken.png: is empty")
	require.Equal(t, "decoding pictures of "+dir, w.meters[0].title)
	require.Equal(t, []int{22, 22}, []int{w.meters[0].total, w.meters[0].done})
	key, err := spec.Key()
	require.NoError(t, err)
	require.Equal(t, r.Key, key)
	shape, err := ImageShape(context.Background(), spec.Data)
	require.NoError(t, err)
	require.Equal(t, []int{4, 4, 3}, shape)

	// Another process, from the store: nothing is decoded.
	l, w = open(t, home, Options{})
	r, err = l.Find("pics")
	require.NoError(t, err)
	res := ablation(t, l, r, On{Split: "test"}, ablate.Spec{Orders: 2, Points: 3, Seed: 1})
	require.Equal(t, 6, res.Baseline.Examples)
	for _, m := range w.meters {
		require.NotContains(t, m.title, "decoding")
	}
	require.Equal(t, 15, ablation(t, l, r, On{}, ablate.Spec{Orders: 2, Points: 3, Seed: 1}).Baseline.Examples, "7 + 7 and the grey one")

	// A folder that has changed is not what the run was made on.
	require.NoError(t, os.Remove(filepath.Join(dir, "train", "dark", "grey.png")))
	l, _ = open(t, home, Options{})
	_, err = l.Ablate(context.Background(), r, On{}, ablate.Spec{Orders: 1, Points: 3, Seed: 1})
	require.ErrorContains(t, err, "run pics: the pictures of imagefolder:"+dir+",size=4 have changed since it was made")
	other, err := spec.Key()
	require.NoError(t, err)
	require.NotEqual(t, r.Key, other)

	spec.Data = "imagefolder:" + dir + "/,sise=4"
	_, err = l.Train(context.Background(), spec, "")
	require.ErrorContains(t, err, "there is no folder "+dir)
	require.True(t, strings.Contains(err.Error(), "[,size=N]"), "what options there are: %v", err)
}
