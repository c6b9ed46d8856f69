package nets

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Array is a tensor in memory: Data holds the elements in row-major order, as many as the product of Shape says (1 for
// the empty shape of a scalar).
type Array struct {
	Shape []int
	Data  []float32
}

// The safetensors format, as its reference implementation has it (github.com/huggingface/safetensors, version 0.8):
//
//	8 bytes   N, the length of the header, little-endian
//	N bytes   the header, a JSON object: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
//	          and optionally "__metadata__": {"key": "text", ...}; spaces may follow
//	the rest  the data, little-endian; offsets count from here, and the tensors cover it without holes or overlap
const (
	safetensorsMaxHeader = 100_000_000 // the reference's limit
	safetensorsMetadata  = "__metadata__"
)

// safetensorsSize gives the bytes of one element, for the dtypes that become float32.
func safetensorsSize(dtype string) (bytes int, ok bool) {
	switch dtype {
	case "U8", "I8":
		return 1, true
	case "F16", "BF16", "U16", "I16":
		return 2, true
	case "F32", "U32", "I32":
		return 4, true
	case "F64", "U64", "I64":
		return 8, true
	}
	return 0, false
}

// safetensor is one entry of the header.
type safetensor struct {
	name       string
	dtype      string
	shape      []int
	elements   int
	begin, end uint64
}

// LoadSafetensors reads the safetensors file at path; see ReadSafetensors.
func LoadSafetensors(path string) (map[string]Array, map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read weights: %w", err)
	}
	defer f.Close()
	arrays, metadata, err := ReadSafetensors(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return arrays, metadata, nil
}

// ReadSafetensors reads a whole safetensors file: the tensors by name, and the metadata (nil if there is none).
//
// Elements become float32: F32 with their bits, NaN payloads included; F16 and BF16 exactly; F64 rounded to nearest, which
// is an error only if a finite number becomes infinite; U8, I8, U16, I16, U32, I32, U64 and I64 if the number is exactly a
// float32, else it is an error. Other dtypes are errors. NaN and infinities are passed on.
//
// The reader is strict. A header longer than the file or than 100 MB, a header that is not one JSON object in UTF-8,
// repeated or unknown keys, shapes with negative or fractional sizes or an overflowing product, offsets that do not match
// dtype and shape, that overlap, leave holes or run backwards, data that end early or go on after the last tensor: each is
// an error that names the tensor. Memory grows with what has been read, not with what a header promises.
func ReadSafetensors(r io.Reader) (map[string]Array, map[string]string, error) {
	header, err := readSafetensorsHeader(r)
	if err != nil {
		return nil, nil, fmt.Errorf("not a valid safetensors file: %w", err)
	}
	tensors, metadata, err := parseSafetensorsHeader(header)
	if err != nil {
		return nil, nil, fmt.Errorf("not a valid safetensors file: %w", err)
	}
	if err := checkSafetensorsOffsets(tensors); err != nil {
		return nil, nil, fmt.Errorf("not a valid safetensors file: %w", err)
	}
	arrays := make(map[string]Array, len(tensors))
	for _, t := range tensors {
		data, err := readSafetensor(r, t)
		if err != nil {
			return nil, nil, fmt.Errorf("safetensors file, tensor %q: %w", t.name, err)
		}
		arrays[t.name] = Array{Shape: t.shape, Data: data}
	}
	var one [1]byte
	if _, err := io.ReadFull(r, one[:]); err == nil {
		after := "the header of a file without tensors"
		if len(tensors) > 0 {
			after = fmt.Sprintf("the last tensor, %q", tensors[len(tensors)-1].name)
		}
		return nil, nil, fmt.Errorf("not a valid safetensors file: there are bytes after %s", after)
	} else if err != io.EOF {
		return nil, nil, fmt.Errorf("reading a safetensors file: %w", err)
	}
	return arrays, metadata, nil
}

func readSafetensorsHeader(r io.Reader) ([]byte, error) {
	var prefix [8]byte
	if n, err := io.ReadFull(r, prefix[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("it has only %d bytes, the length of the header alone takes 8", n)
	} else if err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint64(prefix[:])
	if size > safetensorsMaxHeader {
		return nil, fmt.Errorf("it says that its header has %d bytes, the limit is %d: is it another kind of file?",
			size, safetensorsMaxHeader)
	}
	var header bytes.Buffer // grows with what is really there
	if n, err := io.CopyN(&header, r, int64(size)); err == io.EOF {
		return nil, fmt.Errorf("it says that its header has %d bytes, but ends after %d of them", size, n)
	} else if err != nil {
		return nil, err
	}
	return header.Bytes(), nil
}

func parseSafetensorsHeader(header []byte) ([]safetensor, map[string]string, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("its header does not begin with {")
	}
	if !utf8.Valid(header) {
		return nil, nil, errors.New("its header is not valid UTF-8")
	}
	// The whole header must be one JSON value; the pass over its tokens then finds what encoding/json is lenient about.
	var whole json.RawMessage
	if err := json.Unmarshal(header, &whole); err != nil {
		return nil, nil, fmt.Errorf("its header is not JSON: %w", err)
	}
	if rest := header[bytes.LastIndexByte(header, '}')+1:]; len(bytes.Trim(rest, " ")) > 0 {
		return nil, nil, errors.New("its header is followed by something else than spaces")
	}
	d := json.NewDecoder(bytes.NewReader(header))
	d.UseNumber()
	p := safetensorsParser{d}
	var tensors []safetensor
	var metadata map[string]string
	err := p.object("the header", func(name string) (err error) {
		if name == safetensorsMetadata {
			metadata = map[string]string{}
			return p.object(safetensorsMetadata, func(key string) (err error) {
				metadata[key], err = p.text(fmt.Sprintf("%s %q", safetensorsMetadata, key))
				return err
			})
		}
		t, err := p.tensor(name)
		tensors = append(tensors, t)
		return err
	})
	return tensors, metadata, err
}

// safetensorsParser walks the tokens of a header that is known to be valid JSON.
type safetensorsParser struct{ *json.Decoder }

// object reads an object, calling member after each key, which reads the value. A repeated key is an error.
func (p safetensorsParser) object(what string, member func(key string) error) error {
	if token, err := p.Token(); err != nil {
		return err
	} else if token != json.Delim('{') {
		return fmt.Errorf("%s is not an object", what)
	}
	seen := map[string]bool{}
	for p.More() {
		token, err := p.Token()
		if err != nil {
			return err
		}
		key := token.(string) // the decoder lets nothing else through
		if seen[key] {
			return fmt.Errorf("%s has the key %q twice", what, key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	_, err := p.Token()
	return err
}

func (p safetensorsParser) text(what string) (string, error) {
	token, err := p.Token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%s is not a string", what)
	}
	return text, nil
}

// numbers reads a list of integers from 0 to 2^bits - 1.
func (p safetensorsParser) numbers(what string, bits int) ([]uint64, error) {
	if token, err := p.Token(); err != nil {
		return nil, err
	} else if token != json.Delim('[') {
		return nil, fmt.Errorf("%s is not a list", what)
	}
	numbers := []uint64{}
	for p.More() {
		token, err := p.Token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		n, err := strconv.ParseUint(string(number), 10, bits)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s holds %.40q, want integers from 0 to 2^%d-1", what, fmt.Sprint(token), bits)
		}
		numbers = append(numbers, n)
	}
	_, err := p.Token()
	return numbers, err
}

// tensor reads what the header says of one tensor and checks that it fits together.
func (p safetensorsParser) tensor(name string) (safetensor, error) {
	t := safetensor{name: name}
	what := fmt.Sprintf("tensor %q", name)
	var offsets []uint64
	err := p.object(what, func(key string) (err error) {
		switch key {
		case "dtype":
			t.dtype, err = p.text(what + ": dtype")
		case "shape":
			var sizes []uint64
			sizes, err = p.numbers(what+": shape", strconv.IntSize-1)
			t.shape = make([]int, len(sizes))
			for i, size := range sizes {
				t.shape[i] = int(size)
			}
		case "data_offsets":
			offsets, err = p.numbers(what+": data_offsets", 64)
		default:
			err = fmt.Errorf("%s has the unknown key %q, want dtype, shape, data_offsets", what, key)
		}
		return err
	})
	if err != nil {
		return t, err
	}
	if t.dtype == "" || t.shape == nil || offsets == nil {
		return t, fmt.Errorf("%s lacks its dtype, shape or data_offsets", what)
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return t, fmt.Errorf("%s: data_offsets are %d, want [begin, end] with begin ≤ end", what, offsets)
	}
	t.begin, t.end = offsets[0], offsets[1]
	size, ok := safetensorsSize(t.dtype)
	if !ok {
		return t, fmt.Errorf("%s has dtype %q; F32, F16, BF16, F64 and the integers I8 to I64, U8 to U64 can be read",
			what, t.dtype)
	}
	if t.elements, err = shapeElements(t.shape); err != nil {
		return t, fmt.Errorf("%s: %w", what, err)
	}
	if over, want := bits.Mul64(uint64(t.elements), uint64(size)); over != 0 || want > math.MaxInt || want != t.end-t.begin {
		return t, fmt.Errorf("%s: %s%v does not fill data_offsets [%d, %d], which are %d bytes",
			what, t.dtype, t.shape, t.begin, t.end, t.end-t.begin)
	}
	return t, nil
}

// shapeElements is the product of shape. Negative sizes and a product that overflows an int are errors.
func shapeElements(shape []int) (int, error) {
	product := uint64(1)
	for _, size := range shape {
		if size < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", shape)
		}
		over, low := bits.Mul64(product, uint64(size))
		if over != 0 || low > math.MaxInt {
			return 0, fmt.Errorf("shape %v has too many elements", shape)
		}
		product = low
	}
	return int(product), nil
}

// checkSafetensorsOffsets sorts tensors by their place in the file and checks that they cover the data.
func checkSafetensorsOffsets(tensors []safetensor) error {
	slices.SortFunc(tensors, func(a, b safetensor) int {
		if a.begin != b.begin {
			return cmp.Compare(a.begin, b.begin)
		}
		return cmp.Compare(a.end, b.end) // empty tensors come before the one that begins at the same place
	})
	at, before := uint64(0), "the beginning of the data"
	for _, t := range tensors {
		switch {
		case t.begin < at:
			return fmt.Errorf("tensor %q begins at byte %d and overlaps %s, which ends at %d", t.name, t.begin, before, at)
		case t.begin > at:
			return fmt.Errorf("tensor %q begins at byte %d, a hole after %s, which ends at %d", t.name, t.begin, before, at)
		}
		at, before = t.end, fmt.Sprintf("tensor %q", t.name)
	}
	return nil
}

// readSafetensor reads and converts the data of one tensor. The slice grows as data arrive and ends with no room to spare.
func readSafetensor(r io.Reader, t safetensor) ([]float32, error) {
	size, _ := safetensorsSize(t.dtype)
	buffer := make([]byte, min(t.elements*size, 1<<16)) // no element lies across two fillings
	data := make([]float32, 0, len(buffer)/size)
	for len(data) < t.elements {
		part := buffer[:min(len(buffer), (t.elements-len(data))*size)]
		if n, err := io.ReadFull(r, part); err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("%s%v needs %d bytes, the file ends after %d of them",
				t.dtype, t.shape, t.end-t.begin, len(data)*size+n)
		} else if err != nil {
			return nil, err
		}
		if room := len(data) + len(part)/size; room > cap(data) {
			grown := make([]float32, len(data), min(max(2*cap(data), room), t.elements))
			copy(grown, data)
			data = grown
		}
		for ; len(part) > 0; part = part[size:] {
			x, err := safetensorsElement(t.dtype, part)
			if err != nil {
				return nil, fmt.Errorf("element %d: %w", len(data), err)
			}
			data = append(data, x)
		}
	}
	return data, nil
}

// safetensorsElement decodes the element at the beginning of b.
func safetensorsElement(dtype string, b []byte) (float32, error) {
	little := binary.LittleEndian
	switch dtype {
	case "F32":
		return math.Float32frombits(little.Uint32(b)), nil
	case "F16":
		return float16(little.Uint16(b)), nil
	case "BF16":
		return math.Float32frombits(uint32(little.Uint16(b)) << 16), nil
	case "F64":
		x := math.Float64frombits(little.Uint64(b))
		y := float32(x)
		if math.IsInf(float64(y), 0) && !math.IsInf(x, 0) {
			return 0, fmt.Errorf("%v is beyond the range of float32", x)
		}
		return y, nil
	case "U8":
		return float32(b[0]), nil
	case "I8":
		return float32(int8(b[0])), nil
	case "U16":
		return float32(little.Uint16(b)), nil
	case "I16":
		return float32(int16(little.Uint16(b))), nil
	case "U32":
		return exactUint(uint64(little.Uint32(b)))
	case "I32":
		return exactInt(int64(int32(little.Uint32(b))))
	case "U64":
		return exactUint(little.Uint64(b))
	case "I64":
		return exactInt(int64(little.Uint64(b)))
	}
	return 0, fmt.Errorf("dtype %q cannot be read", dtype)
}

// exactUint converts n if float32 holds it exactly: if its bits from the first to the last 1 are at most 24.
func exactUint(n uint64) (float32, error) {
	if bits.Len64(n)-bits.TrailingZeros64(n) > 24 {
		return 0, fmt.Errorf("%d is not exactly a float32", n)
	}
	return float32(n), nil
}

func exactInt(n int64) (float32, error) {
	if n >= 0 {
		return exactUint(uint64(n))
	}
	x, err := exactUint(-uint64(n)) // the magnitude, of the smallest int64 too
	if err != nil {
		return 0, fmt.Errorf("%d is not exactly a float32", n)
	}
	return -x, nil
}

// float16 converts the IEEE 754 half-precision number with bits h: 1 sign, 5 exponent and 10 fraction bits.
func float16(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent, fraction := uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0: // zero or subnormal: fraction · 2^-24
		x := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(x))
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// WriteSafetensors writes arrays as F32 tensors, with their bits. The bytes depend on the content only: tensors and
// metadata keys are sorted by name, and the header is padded with spaces so that the data begin at a multiple of 8 bytes,
// as the reference does. metadata may be nil.
//
// It is an error, before anything is written, if an array has another number of elements than its shape says or a negative
// size, if a name is "__metadata__", or if a name or metadata text is not valid UTF-8.
func WriteSafetensors(w io.Writer, arrays map[string]Array, metadata map[string]string) error {
	header, err := safetensorsHeader(arrays, metadata)
	if err != nil {
		return fmt.Errorf("cannot write safetensors: %w", err)
	}
	b := bufio.NewWriterSize(w, 1<<16)
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header))))
	b.Write(header)
	var element [4]byte
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		for _, x := range arrays[name].Data {
			binary.LittleEndian.PutUint32(element[:], math.Float32bits(x))
			b.Write(element[:])
		}
	}
	if err := b.Flush(); err != nil { // holds the first error of any Write
		return fmt.Errorf("cannot write safetensors: %w", err)
	}
	return nil
}

func safetensorsHeader(arrays map[string]Array, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	member := func(key string, value any) error { // ,"key":value
		if !utf8.ValidString(key) {
			return fmt.Errorf("the name %q is not valid UTF-8", key)
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		for _, part := range []any{key, value} {
			if err := e.Encode(part); err != nil {
				return err
			}
			b.Bytes()[b.Len()-1] = ':' // Encode ends with a newline
		}
		b.Truncate(b.Len() - 1)
		return nil
	}
	b.WriteByte('{')
	if len(metadata) > 0 {
		for key, text := range metadata {
			if !utf8.ValidString(key) || !utf8.ValidString(text) {
				return nil, fmt.Errorf("metadata %q: %q is not valid UTF-8", key, text)
			}
		}
		if err := member(safetensorsMetadata, metadata); err != nil {
			return nil, err
		}
	}
	type entry struct {
		Dtype   string    `json:"dtype"`
		Shape   []int     `json:"shape"`
		Offsets [2]uint64 `json:"data_offsets"`
	}
	at := uint64(0)
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		a := arrays[name]
		elements, err := shapeElements(a.Shape)
		if err != nil {
			return nil, fmt.Errorf("array %q: %w", name, err)
		}
		if elements != len(a.Data) {
			return nil, fmt.Errorf("array %q: shape %v has %d elements, but there are %d", name, a.Shape, elements, len(a.Data))
		}
		if name == safetensorsMetadata {
			return nil, fmt.Errorf("%q cannot be the name of an array", name)
		}
		end := at + 4*uint64(elements)
		if err := member(name, entry{"F32", append([]int{}, a.Shape...), [2]uint64{at, end}}); err != nil {
			return nil, err
		}
		at = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > safetensorsMaxHeader {
		return nil, fmt.Errorf("names and metadata take %d bytes, the format allows %d", b.Len(), safetensorsMaxHeader)
	}
	return b.Bytes(), nil
}
