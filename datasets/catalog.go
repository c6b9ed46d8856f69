package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Role says what a file of a data set is for.
type Role string

// The roles of the files of a set in IDX form.
const (
	TrainImages Role = "train images"
	TrainLabels Role = "train labels"
	TestImages  Role = "test images"
	TestLabels  Role = "test labels"
)

// File is one published file of a data set.
type File struct {
	Name   string   `json:"name"`
	Role   Role     `json:"role"` // no two files of a set have the same
	Bytes  int64    `json:"bytes"`
	SHA256 string   `json:"sha256"` // lower-case hexadecimal
	URLs   []string `json:"urls"`   // mirrors, tried in this order; none if the file comes in the set's archive
	Also   []Copy   `json:"also,omitempty"`
}

// Copy is another content that is taken for a published file, because it differs from it by little. Whoever loads it is
// told so. It has no hash of its own in Entry.Hash: results that differ by as little share a key.
type Copy struct {
	SHA256 string `json:"sha256"`
	Note   string `json:"note"` // how it differs
}

// Entry is one row of the catalog: all there is to know about a data set without reading it.
type Entry struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Licence  string   `json:"licence"`
	Source   string   `json:"source"` // where its authors describe it
	Classes  []string `json:"classes"`
	Shape    []int    `json:"shape"` // of one image, [H W C]
	TrainN   int      `json:"train"`
	TestN    int      `json:"test"`
	Files    []File   `json:"files"`
	Embedded bool     `json:"embedded"` // the files are part of the program
	// Archive is a tar.gz file that has the files, if they are published in one. Each file may then lie beside it unpacked,
	// also with ".gz" added; the sizes and checksums of Files are those of the unpacked files.
	Archive *File `json:"archive,omitempty"`

	division string // how train and test are made from the files, in words; enters Hash, so it never changes silently
	read     reader
}

// content is a verified file in memory.
type content struct {
	path string // for messages
	data []byte
}

// reader makes the two splits from the files of a set, which have the published checksums. To add a format to the
// package, write a reader and name it in the catalog.
type reader func(e Entry, files map[Role]content) (train, test Split, err error)

// Bytes is the size of all files together: what Fetch downloads and reports at most.
func (e Entry) Bytes() int64 {
	if e.Archive != nil {
		return e.Archive.Bytes
	}
	var sum int64
	for _, f := range e.Files {
		sum += f.Bytes
	}
	return sum
}

// Hash identifies what Load gives back. It is the sha256, in hexadecimal, of the lines
//
//	directions data set 1
//	division: <how the files are divided into train and test>
//	<role>: sha256:<checksum>        one line for each file, in the order of the catalog
//
// each ended by a newline. Name, title and mirrors do not enter it.
func (e Entry) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "directions data set 1\ndivision: %s\n", e.division)
	for _, f := range e.Files {
		fmt.Fprintf(h, "%s: sha256:%s\n", f.Role, f.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Lookup finds an entry of the catalog by its name. The error for an unknown name lists the known ones.
func Lookup(name string) (Entry, error) {
	var names []string
	for _, e := range Catalog() {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Entry{}, fmt.Errorf("no data set %q: there are %s", name, strings.Join(names, ", "))
}

// Catalog lists the data sets, the embedded one first. The caller owns the result.
func Catalog() []Entry {
	digits := func() []string { return strings.Fields("0 1 2 3 4 5 6 7 8 9") }
	return []Entry{
		{
			Name:     "mnist10k",
			Title:    "MNIST digits, the 10,000 test images: 8,000 to train, 2,000 to test",
			Licence:  "CC BY-SA 3.0, LeCun, Cortes, Burges",
			Source:   "http://yann.lecun.com/exdb/mnist/",
			Classes:  digits(),
			Shape:    []int{28, 28, 1},
			TrainN:   8000,
			TestN:    2000,
			Files:    mnistFiles()[2:],
			Embedded: true,
			division: "first 8000 of the test files train, the rest test",
			read:     readIDXTestFiles,
		},
		{
			Name:     "mnist",
			Title:    "MNIST handwritten digits",
			Licence:  "CC BY-SA 3.0, LeCun, Cortes, Burges",
			Source:   "http://yann.lecun.com/exdb/mnist/",
			Classes:  digits(),
			Shape:    []int{28, 28, 1},
			TrainN:   60000,
			TestN:    10000,
			Files:    mnistFiles(),
			division: "as published",
			read:     readIDXFiles,
		},
		{
			Name:    "fashion-mnist",
			Title:   "Fashion-MNIST, Zalando's article images",
			Licence: "MIT, Zalando SE",
			Source:  "https://github.com/zalandoresearch/fashion-mnist",
			Classes: []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
				"Ankle boot"},
			Shape:    []int{28, 28, 1},
			TrainN:   60000,
			TestN:    10000,
			Files:    fashionFiles(),
			division: "as published",
			read:     readIDXFiles,
		},
		{
			Name:     "cifar10",
			Title:    "CIFAR-10 colour images of 10 kinds of things",
			Licence:  "none stated; cite Krizhevsky 2009",
			Source:   "https://www.cs.toronto.edu/~kriz/cifar.html",
			Classes:  strings.Fields("airplane automobile bird cat deer dog frog horse ship truck"),
			Shape:    []int{32, 32, 3},
			TrainN:   50000,
			TestN:    10000,
			Files:    cifarFiles(),
			Archive:  cifarArchive(),
			division: "as published",
			read:     readCIFARFiles,
		},
	}
}

// mnistFiles are the four files of MNIST. Their authors' site serves them no longer; both mirrors have the same bytes.
func mnistFiles() []File {
	return mirrored([]File{
		{Name: "train-images-idx3-ubyte.gz", Role: TrainImages, Bytes: 9912422,
			SHA256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
		{Name: "train-labels-idx1-ubyte.gz", Role: TrainLabels, Bytes: 28881,
			SHA256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
		{Name: "t10k-images-idx3-ubyte.gz", Role: TestImages, Bytes: 1648877,
			SHA256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
		{Name: "t10k-labels-idx1-ubyte.gz", Role: TestLabels, Bytes: 4542,
			SHA256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"},
	},
		"https://ossci-datasets.s3.amazonaws.com/mnist/",
		"https://storage.googleapis.com/cvdf-datasets/mnist/",
	)
}

// fashionFiles are the four files of Fashion-MNIST, sizes and checksums as in tensorflow/datasets
// (url_checksums/fashion_mnist.txt). The authors publish MD5 sums.
func fashionFiles() []File {
	return mirrored([]File{
		{Name: "train-images-idx3-ubyte.gz", Role: TrainImages, Bytes: 26421880,
			SHA256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
		{Name: "train-labels-idx1-ubyte.gz", Role: TrainLabels, Bytes: 29515,
			SHA256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
		{Name: "t10k-images-idx3-ubyte.gz", Role: TestImages, Bytes: 4422102,
			SHA256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
		{Name: "t10k-labels-idx1-ubyte.gz", Role: TestLabels, Bytes: 5148,
			SHA256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"},
	},
		"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
		"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
	)
}

// mirrored gives each file one URL for each base.
func mirrored(files []File, bases ...string) []File {
	for i := range files {
		for _, base := range bases {
			files[i].URLs = append(files[i].URLs, base+files[i].Name)
		}
	}
	return files
}
