package imagefolder

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
)

// put writes files into a folder, by path.
func put(t *testing.T, dir string, files map[string][]byte) {
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}
}

// plain is a PNG of one colour.
func plain(w, h int, c color.Color) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.Set(i%w, i/w, c)
	}
	return encoded(img)
}

func encoded(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// grey is a grey PNG.
func grey(w, h int, v uint8) []byte {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = v
	}
	return encoded(img)
}

func red(v uint8) color.Color { return color.NRGBA{v, 1, 2, 255} }

func photo(w, h int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = byte(i*7) | 3
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// two are folders of two classes.
func two() map[string][]byte {
	return map[string][]byte{
		"train/cat/1.png": plain(9, 9, red(10)), "train/cat/2.png": plain(9, 12, red(20)), "train/dog/1.png": plain(20, 9, red(30)),
		"train/dog/deep/er/2.PNG": plain(2, 2, red(40)), "val/cat/9.png": plain(9, 9, red(50)), "val/dog/9.jpeg": photo(30, 30),
	}
}

func scan(t *testing.T, dir, options string) *Folder {
	f, err := try(dir, options)
	require.NoError(t, err)
	return f
}

func try(dir, options string) (*Folder, error) {
	s, err := Parse("imagefolder:" + dir + options)
	if err != nil {
		return nil, err
	}
	return Scan(context.Background(), s)
}

func load(t *testing.T, f *Folder, cache string) (*datasets.Set, []Unreadable) {
	set, bad, err := f.Load(context.Background(), cache, nil)
	require.NoError(t, err)
	return set, bad
}

func TestFolderByHand(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	put(t, dir, two())
	put(t, dir, map[string][]byte{"train/notes.txt": nil, "train/cat/.DS_Store": nil, "train/cat/cat.txt": nil, "val/.git/x.png": nil})
	f := scan(t, dir, ",size=4,resize=5")
	require.Equal(t, []string{"cat", "dog"}, f.Classes)
	require.Equal(t, []int{4, 4, 3}, f.Shape)
	require.Equal(t, []int{4, 2, 0, 4}, []int{f.Train, f.Test, f.Grey, f.Ignored})
	require.Equal(t, "val", f.Spec.Test)

	done := 0
	set, bad, err := f.Load(context.Background(), cache, func(n int) { done += n })
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Equal(t, 6, done)
	require.Equal(t, f.Hash, set.Hash)
	require.NoError(t, set.Train.Check())
	require.NoError(t, set.Test.Check())
	byRed := map[byte]int32{10: 0, 20: 0, 30: 1, 40: 1}
	var order []byte
	for i, y := range set.Train.Labels {
		x := set.Train.Images[i*48 : (i+1)*48]
		require.Equal(t, byRed[x[0]], y)
		require.Equal(t, bytes.Repeat([]byte{x[0], 1, 2}, 16), x, "a plain picture stays plain")
		order = append(order, x[0])
	}
	slices.Sort(order)
	require.Equal(t, []byte{10, 20, 30, 40}, order)

	// Decoded once: the second time nothing is.
	again, _, err := scan(t, dir, ",size=4,resize=5").Load(context.Background(), cache, func(int) { t.Error("decoded again") })
	require.NoError(t, err)
	require.Equal(t, set, again)
}

// The order is that of sha256 of class and name, so that it neither depends on other pictures nor goes by class.
func TestOrderIsMixedAndStable(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{"val/a/x.png": grey(3, 3, 1), "val/b/x.png": grey(3, 3, 1)}
	for i := range 100 {
		files[fmt.Sprintf("train/%c/%d.png", 'a'+i%2, i)] = grey(2, 2, uint8(i))
	}
	put(t, dir, files)
	f := scan(t, dir, "")
	paths := func(f *Folder) (paths []string) {
		for _, p := range f.pictures[:f.Train] {
			paths = append(paths, p.path)
		}
		return paths
	}
	before := paths(f)
	first := 0
	for _, p := range before[:50] {
		if strings.HasPrefix(p, "train/a/") {
			first++
		}
	}
	require.InDelta(t, 25, first, 12, "of 50 of the 100 pictures, half are of the first class; 12 is 5 s.d.")
	put(t, dir, map[string][]byte{"train/a/new.png": grey(3, 3, 1)})
	after := paths(scan(t, dir, ""))
	require.Equal(t, before, slices.DeleteFunc(after, func(p string) bool { return p == "train/a/new.png" }))
}

func TestHashCoversEverything(t *testing.T) {
	make := func(change func(dir string), options string) string {
		dir := t.TempDir()
		put(t, dir, two())
		change(dir)
		return scan(t, dir, options).Hash
	}
	nothing := func(string) {}
	rename := func(from, to string) func(string) {
		return func(dir string) { require.NoError(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to))) }
	}
	same := make(nothing, "")
	require.Equal(t, same, make(nothing, ",size=32,resize=32"), "where the folder lies, and how defaults are written, does not matter")
	require.Equal(t, same, make(nothing, ",test=val,channels=3"))
	require.Equal(t, same, make(func(dir string) { put(t, dir, map[string][]byte{"train/cat/x.txt": nil}) }, ""), "another file")
	hashes := map[string]string{same: "as it is"}
	for name, other := range map[string]string{
		"size": make(nothing, ",size=16"), "resize": make(nothing, ",resize=40"), "channels": make(nothing, ",channels=1"),
		"name":    make(rename("train/cat/1.png", "train/cat/3.png"), ""),
		"class":   make(func(dir string) { rename("train/cat", "train/car")(dir); rename("val/cat", "val/car")(dir) }, ""),
		"swap":    make(func(dir string) { rename("train/cat/1.png", "train/dog/3.png")(dir) }, ""),
		"test":    make(rename("val", "test"), ""),
		"content": make(func(dir string) { put(t, dir, map[string][]byte{"train/cat/1.png": plain(9, 9, red(11))}) }, ""),
		"more":    make(func(dir string) { put(t, dir, map[string][]byte{"val/cat/1.png": plain(9, 9, red(11))}) }, ""),
	} {
		require.Empty(t, hashes[other], name)
		hashes[other] = name
	}
}

func TestGreyAmongColourAndAlone(t *testing.T) {
	dir := t.TempDir()
	files := two()
	files["train/cat/grey.png"] = grey(9, 9, 77)
	put(t, dir, files)
	f := scan(t, dir, ",size=1")
	require.Equal(t, 1, f.Grey)
	set, _ := load(t, f, t.TempDir())
	require.True(t, bytes.Contains(set.Train.Images, []byte{77, 77, 77}))

	f = scan(t, dir, ",size=1,channels=1")
	require.Zero(t, f.Grey)
	set, _ = load(t, f, t.TempDir())
	require.Equal(t, []int{1, 1, 1}, set.Train.Shape)
	require.Contains(t, set.Train.Images, byte(77))
	require.Contains(t, set.Train.Images, byte(4), "0.299·10 + 0.587·1 + 0.114·2 = 3.8")

	dir = t.TempDir()
	put(t, dir, map[string][]byte{"train/a/1.png": grey(3, 3, 5), "train/b/1.png": grey(3, 3, 6), "test/a/1.png": grey(3, 3, 7), "test/b/1.png": grey(3, 3, 8)})
	f = scan(t, dir, "")
	require.Equal(t, []int{32, 32, 1}, f.Shape)
	f = scan(t, dir, ",channels=3")
	require.Equal(t, []int{32, 32, 3}, f.Shape)
	require.Equal(t, 4, f.Grey)
}

// bomb is a PNG whose header promises so many pixels.
func bomb(w, h uint32) []byte {
	chunk := []byte("IHDR")
	chunk = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(chunk, w), h)
	chunk = append(chunk, 8, 2, 0, 0, 0)
	data := binary.BigEndian.AppendUint32([]byte(pngSignature), 13)
	return binary.BigEndian.AppendUint32(append(data, chunk...), crc32.ChecksumIEEE(chunk))
}

func TestUnreadablePicturesAreLeftOutAndListed(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	put(t, dir, two())
	whole := photo(40, 40)
	put(t, dir, map[string][]byte{
		"train/cat/truncated.jpg": whole[:len(whole)/2], "train/cat/empty.png": nil, "train/dog/text.jpg": []byte("no picture"),
		"train/dog/bomb.png": bomb(30000, 30000), "val/dog/short.png": plain(5, 5, red(1))[:60],
	})
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "train/cat/pipe.png"), 0o644))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "train/cat/link.png")))
	f := scan(t, dir, ",size=4")
	require.Equal(t, 10, f.Train)
	reasons := map[string]string{
		"train/cat/truncated.jpg": "invalid JPEG format: short Huffman data",
		"train/cat/empty.png":     "is empty",
		"train/cat/pipe.png":      "is not a regular file",
		"train/cat/link.png":      "no such file or directory",
		"train/dog/text.jpg":      "is neither a JPEG nor a PNG file",
		"train/dog/bomb.png":      "has 30000 × 30000 pixels, at most 178956970 pixels are decoded",
		"val/dog/short.png":       "unexpected EOF",
	}
	for range 2 { // decoded, and from the cache
		set, bad := load(t, f, cache)
		require.Equal(t, 4, set.Train.Len())
		require.Equal(t, 2, set.Test.Len())
		require.Len(t, bad, len(reasons))
		for _, b := range bad {
			require.Contains(t, b.Reason, reasons[b.Path], b.Path)
			require.NotEmpty(t, reasons[b.Path], b.Path)
		}
		f = scan(t, dir, ",size=4")
	}
	_, _, err := scan(t, dir, ",size=4,strict").Load(context.Background(), cache, nil)
	require.ErrorContains(t, err, "7 pictures cannot be read: ")
	require.ErrorContains(t, err, "train/dog/text.jpg: is neither a JPEG nor a PNG file")

	// A class of which nothing is left.
	require.NoError(t, os.Remove(filepath.Join(dir, "val/dog/9.jpeg")))
	_, _, err = scan(t, dir, ",size=4").Load(context.Background(), cache, nil)
	require.ErrorContains(t, err, "none of the pictures of "+filepath.Join(dir, "val/dog")+" can be read")
}

func TestErrorsOfLayout(t *testing.T) {
	colour := plain(3, 3, red(1))
	for _, c := range []struct {
		files   []string
		options string
		want    string
	}{
		{nil, "", "/nothing; want imagefolder:DIR"},
		{[]string{"train/a/1.png"}, "", "beside train there is neither val nor test; want"},
		{[]string{"val/a/1.png"}, "", "there is no folder DIR/train; want DIR/{train,val|test}/CLASS/*.jpg"},
		{[]string{"train/1.png", "val/a/1.png"}, "", "DIR/train has no class folders; want DIR/train/CLASS/*.jpg, *.jpeg or *.png"},
		{[]string{"train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png", "test/a/1.png"}, "", "both val and test; say which one to test on by test=val or test=test"},
		{[]string{"train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"}, ",test=test", "there is no folder DIR/test"},
		{[]string{"train/a/1.png", "train/b/1.txt", "train/b/2.txt", "val/a/1.png", "val/b/1.png"}, "",
			"the class folder DIR/train/b has no pictures (.jpg, .jpeg, .png), 2 other files"},
		{[]string{"train/a/1.png", "train/b/1.png", "train/c/1.png", "val/b/1.png", "val/d/1.png"}, "",
			"train and val need the same class folders: train has a, c, which val lacks; val has d, which train lacks"},
		{[]string{"train/a/1.png", "val/a/1.png"}, "", `DIR/train has one class folder, "a"; a network needs two`},
	} {
		dir := t.TempDir()
		for _, name := range c.files {
			put(t, dir, map[string][]byte{name: colour})
		}
		at := dir
		if c.files == nil {
			at = filepath.Join(dir, "nothing")
		}
		_, err := try(at, c.options)
		require.ErrorContains(t, err, strings.ReplaceAll(c.want, "DIR/", dir+"/"))
		require.ErrorContains(t, err, "imagefolder:"+at)
	}
}

func TestDamagedCache(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	put(t, dir, two())
	f := scan(t, dir, ",size=4")
	load(t, f, cache)
	path := filepath.Join(cache, f.Hash+".pixels")
	pixels, err := os.ReadFile(path)
	require.NoError(t, err)
	pixels[7]++
	for want, data := range map[string][]byte{"another checksum": pixels, "has 5 bytes, it was written with 288": pixels[:5]} {
		require.NoError(t, os.WriteFile(path, data, 0o644))
		_, _, err = f.Load(context.Background(), cache, nil)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "delete it to decode the pictures again")
	}
}

func TestAChangeBetweenScanAndLoadIsSeen(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, two())
	f := scan(t, dir, ",size=4")
	put(t, dir, map[string][]byte{"train/cat/1.png": plain(9, 9, red(11))})
	_, _, err := f.Load(context.Background(), t.TempDir(), nil)
	require.ErrorContains(t, err, "train/cat/1.png has changed while the folder was read")
	stopped, stop := context.WithCancel(context.Background())
	stop()
	_, err = Scan(stopped, f.Spec)
	require.ErrorIs(t, err, context.Canceled)
}

func TestParse(t *testing.T) {
	here, err := filepath.Abs("pets")
	require.NoError(t, err)
	for text, want := range map[string]Spec{
		"imagefolder:pets":                                    {Dir: here, Size: 32, Resize: 32},
		"imagefolder:/a/b,size=64":                            {Dir: "/a/b", Size: 64, Resize: 64},
		"imagefolder:/a,b,c/,size=224,resize=256,strict":      {Dir: "/a,b,c", Size: 224, Resize: 256, Strict: true},
		"imagefolder:/a,strict,test=val,channels=1,resize=40": {Dir: "/a", Size: 32, Resize: 40, Channels: 1, Test: "val", Strict: true},
	} {
		require.True(t, Is(text))
		got, err := Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
	require.False(t, Is("cifar10"))
	for text, want := range map[string]string{
		"imagefolder:":                   "there is no folder",
		"imagefolder:,size=3":            "there is no folder",
		"imagefolder:a,size=0":           `size is "0", a number from 1 to 4096 is allowed`,
		"imagefolder:a,size=big":         `size is "big"`,
		"imagefolder:a,size=32,size=3":   "size is given twice",
		"imagefolder:a,channels=2":       "channels is 2, it may be 1 (grey) or 3 (colour)",
		"imagefolder:a,test=dev":         `test is "dev", it may be val or test`,
		"imagefolder:a,strict=1":         `strict takes no value, "1" was given`,
		"imagefolder:a,size=40,resize=9": "the shorter side is resized to 9, less than the size 40",
		"cifar10":                        `it does not begin with "imagefolder:"`,
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "want imagefolder:DIR[,size=N]")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("imagefolder:a,size=3,resize=4,channels=1,test=val,strict")
	f.Add("imagefolder:,,=,strict")
	f.Add("imagefolder:/a,size=3/")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || again != s {
			t.Fatalf("%q → %+v → %q → %+v, %v", text, s, s.String(), again, err)
		}
	})
}

// Whatever the bytes are, an example comes out or an error.
func FuzzExample(f *testing.F) {
	for _, data := range [][]byte{photo(9, 5), grey(3, 3, 4), plain(4, 9, red(5)), bomb(9, 9)} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := readHeader(data); err == nil && h.width*h.height > 1<<20 {
			t.Skip("large, which is slow and no use here")
		}
		x, err := Spec{Size: 4, Resize: 5, Channels: 3}.example(data)
		if err == nil && len(x) != 48 {
			t.Fatalf("%d bytes", len(x))
		}
	})
}
