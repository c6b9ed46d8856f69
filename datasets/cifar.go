package datasets

import (
	"fmt"
	"strings"
)

// The binary form of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): records of a label and the three colour
// planes of an image, each plane row by row.

// readCIFARFiles joins the training batches, in the order of the catalog, and reads the test batch, which comes last.
func readCIFARFiles(e Entry, files map[Role]content) (train, test Split, err error) {
	last := len(e.Files) - 1
	for i, f := range e.Files {
		s, err := readCIFARBatch(e, files[f.Role])
		if err != nil {
			return Split{}, Split{}, err
		}
		if i == last {
			return train, s, nil
		}
		train.Shape = s.Shape
		train.Images = append(train.Images, s.Images...)
		train.Labels = append(train.Labels, s.Labels...)
	}
	return Split{}, Split{}, fmt.Errorf("no files")
}

func readCIFARBatch(e Entry, batch content) (Split, error) {
	s := Split{Shape: append([]int{}, e.Shape...)}
	size, channels := s.imageSize(), e.Shape[2]
	n := len(batch.data) / (1 + size)
	if n == 0 || len(batch.data)%(1+size) != 0 {
		return Split{}, fmt.Errorf("%s: %d bytes are not a whole number of records of %d bytes (a label and %d pixels)",
			batch.path, len(batch.data), 1+size, size)
	}
	s.Images, s.Labels = make([]byte, n*size), make([]int32, n)
	plane := size / channels
	for i := range n {
		record := batch.data[i*(1+size) : (i+1)*(1+size)]
		if int(record[0]) >= len(e.Classes) {
			return Split{}, fmt.Errorf("%s: label %d is %d, want 0 to %d", batch.path, i, record[0], len(e.Classes)-1)
		}
		s.Labels[i] = int32(record[0])
		image := s.Images[i*size : (i+1)*size]
		for c := range channels {
			for p, v := range record[1+c*plane : 1+(c+1)*plane] {
				image[p*channels+c] = v
			}
		}
	}
	return s, nil
}

// cifarFiles are the batches of CIFAR-10, unpacked; checksums as in torchvision-ruby. There is a copy about that its
// makers could rebuild from losslessly stored images but for 104, which are decoded JPEGs.
func cifarFiles() []File {
	var files []File
	for _, f := range []struct {
		name, sha256, copied string
		jpegs                int
	}{
		{"data_batch_1", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
			"84e93ca40237e2aa4b6faaf639847344d53858eaf323deb736dd2cac02ead308", 10},
		{"data_batch_2", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
			"0626a793a1e6cfcbbaedfaf53830176b11b366093f0264b364e4561afbac5132", 4},
		{"data_batch_3", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
			"0c2ce587be766d002ec34568ef7bfbfc0a084e96f945d678faab37bb9bea3cb5", 10},
		{"data_batch_4", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
			"0fb2d2186758a9ea3b938f62142eb3739039785d232cfd205bc25f86bff86a57", 30},
		{"data_batch_5", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
			"31f14dff49fa849aabc59b6afa17e6b3360300e133bd27effbb47940fbe4f806", 27},
		{"test_batch", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
			"fddf5f2c13d59e45c0618238bc32c040e96991c02e1ec7fd60a555a4d53d27db", 23},
	} {
		files = append(files, File{
			Name: f.name + ".bin", Role: Role(strings.ReplaceAll(f.name, "_", " ")), Bytes: 10000 * 3073, SHA256: f.sha256,
			Also: []Copy{{SHA256: f.copied,
				Note: fmt.Sprintf("%d of 10,000 images are decoded JPEGs, not the published pixels", f.jpegs)}},
		})
	}
	return files
}

// cifarArchive is what the authors publish; size and checksum as in tensorflow/datasets (url_checksums/cifar10.txt).
func cifarArchive() *File {
	return &mirrored([]File{{Name: "cifar-10-binary.tar.gz", Role: "archive", Bytes: 170052171,
		SHA256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}},
		"https://www.cs.toronto.edu/~kriz/",
		"https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
	)[0]
}
