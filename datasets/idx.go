package datasets

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// IDX is an array of unsigned bytes from an IDX file, the format of MNIST.
type IDX struct {
	Shape []int  // 1 to 4 sizes, each at least 1: [60000 28 28]
	Data  []byte // row major, as many as the product of Shape
}

const (
	maxIDXDims  = 4
	maxIDXBytes = 1 << 30 // 20 times MNIST's training images
	// firstIDXBytes is what is allocated on the word of a header alone; beyond it memory grows with what is read.
	firstIDXBytes = 1 << 20
)

// ReadIDX reads one IDX file, compressed with gzip or not:
//
//	0x00 0x00 type dims | dims sizes, uint32 big endian | values, row major
//
// Only type 0x08 (unsigned byte) is read, with 1 to 4 dimensions, none of them 0, and at most 1 GiB of values. Memory
// grows with the bytes that are really there, so a header cannot claim gigabytes. Anything else is an error that says
// what was found: another magic number or type, a truncated header or body, a damaged gzip stream, bytes after the end.
func ReadIDX(r io.Reader) (IDX, error) {
	outer := bufio.NewReader(r)
	start, err := outer.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return IDX{}, fmt.Errorf("reading IDX: %w", err)
	}
	if !bytes.Equal(start, []byte{0x1f, 0x8b}) {
		return readPlainIDX(outer)
	}
	zipped, err := gzip.NewReader(outer)
	if err != nil {
		return IDX{}, fmt.Errorf("IDX file begins like gzip, but its gzip header is not valid: %w", err)
	}
	zipped.Multistream(false) // a second gzip member would be trailing bytes
	idx, err := readPlainIDX(zipped)
	if err != nil {
		return IDX{}, err
	}
	if err := wantEnd(outer); err != nil {
		return IDX{}, fmt.Errorf("after the gzip stream: %w", err)
	}
	return idx, nil
}

func readPlainIDX(r io.Reader) (IDX, error) {
	var magic [4]byte
	if n, err := io.ReadFull(r, magic[:]); err != nil {
		return IDX{}, truncated("magic number", int64(n), 4, err)
	}
	if magic[0] != 0 || magic[1] != 0 {
		return IDX{}, fmt.Errorf("not an IDX file: it begins with bytes % x, want 00 00, a type and a number of dimensions",
			magic)
	}
	if magic[2] != 0x08 {
		names := map[byte]string{0x09: "signed byte", 0x0b: "int16", 0x0c: "int32", 0x0d: "float32", 0x0e: "float64"}
		return IDX{}, fmt.Errorf("IDX values of type 0x%02x (%s): only type 0x08 (unsigned byte) is read",
			magic[2], cmp.Or(names[magic[2]], "unknown"))
	}
	dims := int(magic[3])
	if dims < 1 || dims > maxIDXDims {
		return IDX{}, fmt.Errorf("IDX file with %d dimensions: want 1 to %d", dims, maxIDXDims)
	}
	header := make([]byte, 4*dims)
	if n, err := io.ReadFull(r, header); err != nil {
		return IDX{}, truncated("sizes", int64(n), int64(len(header)), err)
	}
	sizes := make([]uint32, dims)
	total := uint64(1) // ≤ 2³⁰ before each product with a size < 2³²: never overflows
	for i := range sizes {
		sizes[i] = binary.BigEndian.Uint32(header[4*i:])
		if sizes[i] == 0 {
			return IDX{}, fmt.Errorf("IDX file with a size of 0 in dimension %d of %d", i+1, dims)
		}
		if total *= uint64(sizes[i]); total > maxIDXBytes {
			return IDX{}, fmt.Errorf("IDX header claims more than %d values (dimension %d of %d has size %d): "+
				"refused as damaged", maxIDXBytes, i+1, dims, sizes[i])
		}
	}
	data, err := readGrowing(r, int(total))
	if err != nil {
		return IDX{}, truncated("values", int64(len(data)), int64(total), err)
	}
	if err := wantEnd(r); err != nil {
		return IDX{}, fmt.Errorf("after the %d values of the IDX file: %w", total, err)
	}
	shape := make([]int, dims)
	for i, s := range sizes {
		shape[i] = int(s)
	}
	return IDX{Shape: shape, Data: data}, nil
}

// readGrowing reads exactly total bytes. The buffer at most doubles whenever it has been filled by real data. On an
// error it gives back what there was.
func readGrowing(r io.Reader, total int) ([]byte, error) {
	data := make([]byte, 0, min(total, firstIDXBytes))
	for len(data) < total {
		if len(data) == cap(data) {
			larger := make([]byte, len(data), min(2*cap(data), total))
			copy(larger, data)
			data = larger
		}
		n, err := io.ReadFull(r, data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err != nil {
			return data, err
		}
	}
	return data, nil
}

// wantEnd is nil if r has nothing more. Reading to the end also makes gzip check its own checksum.
func wantEnd(r io.Reader) error {
	var one [1]byte
	switch _, err := io.ReadFull(r, one[:]); {
	case err == nil:
		return errors.New("there are more bytes, want none")
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF): // of fewer than 2 bytes, so it is gzip's word
		return errors.New("the gzip stream is truncated")
	default:
		return err
	}
}

// truncated tells an early end of the file from another failure to read it.
func truncated(what string, got, want int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("IDX file is truncated: it ends after %d of the %d bytes of its %s", got, want, what)
	}
	return fmt.Errorf("reading the %s of an IDX file, after %d of %d bytes: %w", what, got, want, err)
}

// readIDXFiles reads a set of four IDX files, divided as they are published.
func readIDXFiles(e Entry, files map[Role]content) (train, test Split, err error) {
	if train, err = readIDXPair(e, files[TrainImages], files[TrainLabels]); err != nil {
		return Split{}, Split{}, err
	}
	if test, err = readIDXPair(e, files[TestImages], files[TestLabels]); err != nil {
		return Split{}, Split{}, err
	}
	return train, test, nil
}

// readIDXTestFiles reads a pair of IDX files and divides it: the first e.TrainN are for training, the rest for testing.
func readIDXTestFiles(e Entry, files map[Role]content) (train, test Split, err error) {
	all, err := readIDXPair(e, files[TestImages], files[TestLabels])
	if err != nil {
		return Split{}, Split{}, err
	}
	if train, err = all.Head(e.TrainN); err != nil {
		return Split{}, Split{}, err
	}
	return train, all.tail(e.TrainN), nil
}

// readIDXPair joins images [N H W] of one channel with labels [N].
func readIDXPair(e Entry, images, labels content) (Split, error) {
	x, err := ReadIDX(bytes.NewReader(images.data))
	if err != nil {
		return Split{}, fmt.Errorf("%s: %w", images.path, err)
	}
	y, err := ReadIDX(bytes.NewReader(labels.data))
	if err != nil {
		return Split{}, fmt.Errorf("%s: %w", labels.path, err)
	}
	if len(x.Shape) != 3 || !slices.Equal(append(x.Shape[1:3:3], 1), e.Shape) {
		return Split{}, fmt.Errorf("%s: shape %v, want [N %d %d]: N images of one channel",
			images.path, x.Shape, e.Shape[0], e.Shape[1])
	}
	if len(y.Shape) != 1 {
		return Split{}, fmt.Errorf("%s: shape %v, want [N]: one label for each image", labels.path, y.Shape)
	}
	if x.Shape[0] != y.Shape[0] {
		return Split{}, fmt.Errorf("%s has %d images, but %s has %d labels",
			images.path, x.Shape[0], labels.path, y.Shape[0])
	}
	out := Split{Images: x.Data, Shape: slices.Clone(e.Shape), Labels: make([]int32, len(y.Data))}
	for i, label := range y.Data {
		if int(label) >= len(e.Classes) {
			return Split{}, fmt.Errorf("%s: label %d is %d, want 0 to %d", labels.path, i, label, len(e.Classes)-1)
		}
		out.Labels[i] = int32(label)
	}
	return out, nil
}
