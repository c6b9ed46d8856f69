// Package imagefolder makes a labelled data set of a folder of pictures, DIR/{train,val|test}/CLASS/*.{jpg,jpeg,png},
// the layout of torchvision's ImageFolder. Pixels come out as there: resized by its transform Resize (bilinear with
// antialiasing, as PIL computes it) and cut out of the middle by CenterCrop; a PNG gives the same bytes, a JPEG nearly
// (±2 of 255), because decoders round differently. What ImageFolder does not tell: orientation noted in EXIF is
// ignored, and the alpha channel is dropped, not composed on a background.
//
// The order of examples is fixed, and mixed: a picture's place depends on a hash of its path, so that the first N
// examples hold all classes. The hash of a folder covers the names, sizes and contents of its pictures and all options.
// Pixels are decoded once, in parallel, some 32 MiB of examples at a time, into a file in a cache folder, which is then
// mapped into memory.
//
// Unreadable pictures are left out and listed, unless Spec.Strict refuses them.
package imagefolder

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// prefix of the name of such a data set.
const prefix = "imagefolder:"

// form is what Parse reads, for messages.
const form = "imagefolder:DIR[,size=N][,resize=N][,channels=1|3][,test=val|test][,strict]"

// Spec says which folder, and how pictures become examples.
type Spec struct {
	Dir      string
	Size     int    // height and width of examples; 0: 32
	Resize   int    // shorter side before the middle is cut out; 0: Size
	Channels int    // 1: grey, 3: colour; 0: grey if all pictures are
	Test     string // the folder beside train: "val" or "test"; "": the one there is
	Strict   bool   // unreadable pictures are an error
}

// Is reports whether the name of a data set is that of a folder of pictures.
func Is(name string) bool { return strings.HasPrefix(name, prefix) }

// Parse reads "imagefolder:DIR,size=32,…". Options stand behind the folder, which may contain commas itself. A relative
// folder is made absolute, so that the name means the same everywhere.
func Parse(name string) (Spec, error) {
	s := Spec{}
	rest, ok := strings.CutPrefix(name, prefix)
	fail := func(format string, args ...any) (Spec, error) {
		return Spec{}, fmt.Errorf("data %q: %s; want %s", name, fmt.Sprintf(format, args...), form)
	}
	if !ok {
		return fail("it does not begin with %q", prefix)
	}
	seen := map[string]bool{}
	for {
		at := strings.LastIndex(rest, ",")
		if at < 0 {
			break
		}
		key, value, _ := strings.Cut(rest[at+1:], "=")
		number := func(least, most int) (int, error) {
			n, err := strconv.Atoi(value)
			if err != nil || n < least || n > most {
				return 0, fmt.Errorf("%s is %q, a number from %d to %d is allowed", key, value, least, most)
			}
			return n, nil
		}
		var err error
		switch key {
		case "size":
			s.Size, err = number(1, 4096)
		case "resize":
			s.Resize, err = number(1, 4096)
		case "channels":
			if s.Channels, err = number(1, 3); s.Channels == 2 {
				err = fmt.Errorf("channels is 2, it may be 1 (grey) or 3 (colour)")
			}
		case "test":
			if s.Test = value; value != "val" && value != "test" {
				err = fmt.Errorf("test is %q, it may be val or test", value)
			}
		case "strict":
			if s.Strict = true; value != "" {
				err = fmt.Errorf("strict takes no value, %q was given", value)
			}
		default:
			key = "" // the comma belongs to the folder
		}
		if err != nil {
			return fail("%v", err)
		}
		if key == "" {
			break
		}
		if seen[key] {
			return fail("%s is given twice", key)
		}
		seen[key] = true
		rest = rest[:at]
	}
	if rest == "" {
		return fail("there is no folder")
	}
	if s.Size == 0 {
		s.Size = 32
	}
	if s.Resize == 0 {
		s.Resize = s.Size
	}
	if s.Resize < s.Size {
		return fail("the shorter side is resized to %d, less than the size %d that is cut out", s.Resize, s.Size)
	}
	var err error
	if s.Dir, err = filepath.Abs(rest); err != nil {
		return fail("%v", err)
	}
	return s, nil
}

// String is the name of the data set, in one form for all ways to write it.
func (s Spec) String() string {
	dir := s.Dir
	if strings.Contains(filepath.Base(dir), ",") {
		dir += "/" // what follows a comma in its name might look like an option
	}
	text := fmt.Sprintf("%s%s,size=%d", prefix, dir, s.Size)
	if s.Resize != s.Size {
		text += fmt.Sprintf(",resize=%d", s.Resize)
	}
	if s.Channels != 0 {
		text += fmt.Sprintf(",channels=%d", s.Channels)
	}
	if s.Test != "" {
		text += ",test=" + s.Test
	}
	if s.Strict {
		text += ",strict"
	}
	return text
}
