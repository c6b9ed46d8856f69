package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The part of the ONNX format that a network's inference needs, with the field numbers of onnx.proto (IR version 12). What
// is read here is checked here, so that the rest of the package, and the library that turns nodes into GoMLX, meet no
// tensor whose size differs from its data. Names follow onnx.proto.

// file is a ModelProto.
type file struct {
	producer string
	opset    int64 // of the default domain
	graph    graphProto
}

// graphProto is a GraphProto.
type graphProto struct {
	nodes   []*node
	tensors []*tensor // initializers
	inputs  []value
	outputs []value
	shapes  map[string][]int // of tensors between operations, where the file has them
}

// node is a NodeProto: one operation.
type node struct {
	op, domain, name string
	in, out          []string // "" is an input that is left out
	attrs            []attr

	label  string // what the file called the operation, where the one here is part of it
	hidden bool   // its output is not in the file
	source string // what the whole of it is a function of, element by element
}

// attr is an AttributeProto. kind says which of the values it has.
type attr struct {
	name string
	kind int64
	f    float32
	i    int64
	s    []byte
	t    *tensor
	fs   []float32
	is   []int64
	ss   [][]byte
}

// Kinds of attributes, from AttributeProto.AttributeType.
const (
	attrFloat   = 1
	attrInt     = 2
	attrString  = 3
	attrTensor  = 4
	attrGraph   = 5
	attrFloats  = 6
	attrInts    = 7
	attrStrings = 8
)

// tensor is a TensorProto whose data is in raw: little-endian elements in row-major order, as many as dims say.
type tensor struct {
	name     string
	dims     []int64
	kind     int64
	raw      []byte
	strings  bool // text, which has no raw
	external *external
}

// external says where in which file, beside the model, the data of a tensor lies.
type external struct {
	location       string
	offset, length int64 // length -1: to the end
}

// Element types, from TensorProto.DataType.
const (
	kindFloat  = 1
	kindInt32  = 6
	kindInt64  = 7
	kindString = 8
	kindDouble = 11
)

// kinds are the element types by number, with the bytes of an element.
var kinds = map[int64]struct {
	name  string
	bytes int64
}{
	1: {"float32", 4}, 2: {"uint8", 1}, 3: {"int8", 1}, 4: {"uint16", 2}, 5: {"int16", 2}, 6: {"int32", 4}, 7: {"int64", 8},
	8: {"string", 0}, 9: {"bool", 1}, 10: {"float16", 2}, 11: {"float64", 8}, 12: {"uint32", 4},
	13: {"uint64", 8}, 16: {"bfloat16", 2},
}

func kindName(kind int64) string {
	if k, ok := kinds[kind]; ok {
		return k.name
	}
	return fmt.Sprintf("type %d", kind)
}

// value is a ValueInfoProto of a tensor; of a sequence or map only the name is known.
type value struct {
	name  string
	kind  int64 // 0: not a tensor
	shape []int // -1: not fixed in the file
	known bool  // there is a shape
}

// errCut is the error of bytes that are not a protocol buffer.
var errCut = errors.New("the file is cut short or damaged, or not an ONNX model")

// fields calls f for each field of a protocol buffer message. Of a varint or fixed number, n has the bits; of anything
// else, text has the bytes.
func fields(b []byte, f func(num protowire.Number, n uint64, text []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errCut
		}
		b = b[n:]
		var bits uint64
		var text []byte
		switch typ {
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(b)
			bits = uint64(x)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errCut
		}
		b = b[n:]
		if err := f(num, bits, text); err != nil {
			return err
		}
	}
	return nil
}

// varints appends a repeated integer: one, or many packed.
func varints(to []int64, n uint64, packed []byte) ([]int64, error) {
	if packed == nil {
		return append(to, int64(n)), nil
	}
	for len(packed) > 0 {
		x, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return nil, errCut
		}
		to, packed = append(to, int64(x)), packed[n:]
	}
	return to, nil
}

// fixed appends a repeated fixed number of so many bytes as its bytes: one, or many packed.
func fixed(to []byte, bytes int, n uint64, packed []byte) []byte {
	if packed != nil {
		return append(to, packed...)
	}
	return append(to, binary.LittleEndian.AppendUint64(nil, n)[:bytes]...)
}

func decode(data []byte) (*file, error) {
	f := &file{}
	graphs := 0
	err := fields(data, func(num protowire.Number, n uint64, text []byte) (err error) {
		switch num {
		case 2:
			f.producer = string(text)
		case 7:
			graphs++
			f.graph, err = decodeGraph(text)
		case 8:
			domain, version := "", int64(0)
			err = fields(text, func(num protowire.Number, n uint64, text []byte) error {
				switch num {
				case 1:
					domain = string(text)
				case 2:
					version = int64(n)
				}
				return nil
			})
			if isDefault(domain) {
				f.opset = version
			}
		case 25:
			err = errors.New("it defines functions of its own; export it with them written out (onnx.inliner does that)")
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case graphs != 1 || len(f.graph.outputs) == 0:
		return nil, fmt.Errorf("it has no graph with an output: %w", errCut)
	case f.opset < 7 || f.opset > 30:
		return nil, fmt.Errorf("its operator set is version %d; 7 to 30 can be read (onnx.version_converter changes it)", f.opset)
	}
	return f, nil
}

func isDefault(domain string) bool { return domain == "" || domain == "ai.onnx" }

func decodeGraph(b []byte) (g graphProto, err error) {
	g.shapes = map[string][]int{}
	err = fields(b, func(num protowire.Number, _ uint64, text []byte) error {
		switch num {
		case 1:
			n, err := decodeNode(text)
			if err != nil {
				return fmt.Errorf("operation %d: %w", len(g.nodes), err)
			}
			g.nodes = append(g.nodes, n)
		case 5:
			t, err := decodeTensor(text)
			if err != nil {
				return err
			}
			g.tensors = append(g.tensors, t)
		case 11, 12, 13:
			v, err := decodeValue(text)
			if err != nil {
				return err
			}
			switch num {
			case 11:
				g.inputs = append(g.inputs, v)
			case 12:
				g.outputs = append(g.outputs, v)
			case 13:
				if v.known {
					g.shapes[v.name] = v.shape
				}
			}
		case 15:
			return errors.New("it has sparse initializers, which are not supported; export it with dense ones")
		}
		return nil
	})
	return g, err
}

func decodeNode(b []byte) (*node, error) {
	n := &node{}
	err := fields(b, func(num protowire.Number, _ uint64, text []byte) error {
		switch num {
		case 1:
			n.in = append(n.in, string(text))
		case 2:
			n.out = append(n.out, string(text))
		case 3:
			n.name = string(text)
		case 4:
			n.op = string(text)
		case 5:
			a, err := decodeAttr(text)
			if err != nil {
				return fmt.Errorf("%s %q: %w", n.op, n.name, err)
			}
			n.attrs = append(n.attrs, a)
		case 7:
			n.domain = string(text)
		case 8:
			return fmt.Errorf("%s %q is an overloaded function, which is not supported", n.op, n.name)
		}
		return nil
	})
	return n, err
}

func decodeAttr(b []byte) (a attr, err error) {
	var has int64
	var fs []byte
	err = fields(b, func(num protowire.Number, n uint64, text []byte) (err error) {
		seen := map[protowire.Number]int64{2: attrFloat, 3: attrInt, 4: attrString, 5: attrTensor, 6: attrGraph, 7: attrFloats,
			8: attrInts, 9: attrStrings, 11: attrGraph}[num]
		if seen != 0 {
			has = seen
		}
		switch num {
		case 1:
			a.name = string(text)
		case 2:
			a.f = math.Float32frombits(uint32(n))
		case 3:
			a.i = int64(n)
		case 4:
			a.s = text
		case 5:
			a.t, err = decodeTensor(text)
		case 7:
			fs = fixed(fs, 4, n, text)
		case 8:
			a.is, err = varints(a.is, n, text)
		case 9:
			a.ss = append(a.ss, text)
		case 20:
			a.kind = int64(n)
		case 21:
			err = fmt.Errorf("attribute %q refers to one of a function", a.name)
		}
		return err
	})
	if err != nil {
		return a, err
	}
	if a.kind == 0 {
		a.kind = has // written before types were
	}
	if a.kind == attrTensor && a.t == nil {
		return a, fmt.Errorf("attribute %q should be a tensor and has none", a.name)
	}
	if a.fs, err = floats(fs); err != nil {
		return a, fmt.Errorf("attribute %q: %w", a.name, err)
	}
	return a, nil
}

func floats(raw []byte) ([]float32, error) {
	if len(raw)%4 != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of float32", len(raw))
	}
	x := make([]float32, len(raw)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return x, nil
}

func decodeTensor(b []byte) (*tensor, error) {
	t := &tensor{}
	var ints, uints []int64     // int32_data and int64_data; uint64_data
	var singles, doubles []byte // float_data, double_data
	hasRaw, isExternal, segment := false, false, false
	ext := external{length: -1}
	err := fields(b, func(num protowire.Number, n uint64, text []byte) (err error) {
		switch num {
		case 1:
			t.dims, err = varints(t.dims, n, text)
		case 2:
			t.kind = int64(n)
		case 3:
			segment = true
		case 4:
			singles = fixed(singles, 4, n, text)
		case 5, 7:
			ints, err = varints(ints, n, text)
		case 8:
			t.name = string(text)
		case 9:
			t.raw, hasRaw = text, true
		case 10:
			doubles = fixed(doubles, 8, n, text)
		case 11:
			uints, err = varints(uints, n, text)
		case 13:
			err = ext.entry(text)
		case 14:
			isExternal = n == 1
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.name, err)
	}
	if segment {
		return nil, fmt.Errorf("tensor %q is stored in segments, which is not supported", t.name)
	}
	kind, ok := kinds[t.kind]
	if !ok {
		return nil, fmt.Errorf("tensor %q has elements of %s, which is not supported; export the model in float32",
			t.name, kindName(t.kind))
	}
	if t.kind == kindString {
		t.strings = true
		return t, nil
	}
	if isExternal {
		t.external = &ext
		return t, nil
	}
	switch {
	case hasRaw:
	case singles != nil:
		t.raw = singles
	case doubles != nil:
		t.raw = doubles
	default:
		for _, x := range append(ints, uints...) {
			t.raw = append(t.raw, binary.LittleEndian.AppendUint64(nil, uint64(x))[:kind.bytes]...)
		}
	}
	return t, t.check()
}

// entry reads one key and value of external_data.
func (e *external) entry(b []byte) error {
	var key, value string
	if err := fields(b, func(num protowire.Number, _ uint64, text []byte) error {
		switch num {
		case 1:
			key = string(text)
		case 2:
			value = string(text)
		}
		return nil
	}); err != nil {
		return err
	}
	switch key {
	case "location":
		e.location = value
	case "offset", "length":
		var n int64
		if _, err := fmt.Sscanf(value, "%d", &n); err != nil || n < 0 {
			return fmt.Errorf("%s %q of its external data is not a number ≥ 0", key, value)
		}
		if key == "offset" {
			e.offset = n
		} else {
			e.length = n
		}
	}
	return nil
}

// check compares the size that dims say with the data there is.
func (t *tensor) check() error {
	want := kinds[t.kind].bytes
	for _, d := range t.dims {
		if d < 0 || d > 0 && want > (1<<40)/d {
			return fmt.Errorf("tensor %q: shape %v is not possible", t.name, t.dims)
		}
		want *= d
	}
	if want != int64(len(t.raw)) {
		return fmt.Errorf("tensor %q: shape %v of %s takes %d bytes, the file has %d: it is cut short or damaged",
			t.name, t.dims, kindName(t.kind), want, len(t.raw))
	}
	return nil
}

// size is the number of elements.
func (t *tensor) size() int64 {
	if t.strings {
		return 0
	}
	return int64(len(t.raw)) / kinds[t.kind].bytes
}

// ints are the elements of a tensor of int32 or int64.
func (t *tensor) ints() ([]int64, bool) {
	x := make([]int64, t.size())
	for i := range x {
		switch t.kind {
		case kindInt64:
			x[i] = int64(binary.LittleEndian.Uint64(t.raw[8*i:]))
		case kindInt32:
			x[i] = int64(int32(binary.LittleEndian.Uint32(t.raw[4*i:])))
		default:
			return nil, false
		}
	}
	return x, true
}

func intTensor(name string, x ...int64) *tensor {
	t := &tensor{name: name, dims: []int64{int64(len(x))}, kind: kindInt64}
	for _, v := range x {
		t.raw = binary.LittleEndian.AppendUint64(t.raw, uint64(v))
	}
	return t
}

// floatTensor has the given shape; without one it is a scalar.
func floatTensor(name string, x []float32, dims ...int64) *tensor {
	t := &tensor{name: name, dims: dims, kind: kindFloat}
	for _, v := range x {
		t.raw = binary.LittleEndian.AppendUint32(t.raw, math.Float32bits(v))
	}
	return t
}

func decodeValue(b []byte) (v value, err error) {
	err = fields(b, func(num protowire.Number, _ uint64, text []byte) error {
		switch num {
		case 1:
			v.name = string(text)
		case 2:
			return fields(text, func(num protowire.Number, _ uint64, text []byte) error {
				if num != 1 {
					return nil
				}
				return v.decodeType(text)
			})
		}
		return nil
	})
	return v, err
}

func (v *value) decodeType(b []byte) error {
	return fields(b, func(num protowire.Number, n uint64, text []byte) error {
		switch num {
		case 1:
			v.kind = int64(n)
		case 2:
			v.known, v.shape = true, nil
			return fields(text, func(num protowire.Number, _ uint64, text []byte) error {
				if num != 1 {
					return nil
				}
				d := -1
				err := fields(text, func(num protowire.Number, n uint64, _ []byte) error {
					if num == 1 && n > 0 && n <= math.MaxInt32 {
						d = int(n)
					}
					return nil
				})
				v.shape = append(v.shape, d)
				return err
			})
		}
		return nil
	})
}

// encode writes a file that decode reads as f. What decode leaves out is not in it.
func (f *file) encode() []byte {
	b := number(nil, 1, 10) // IR version
	b = text(b, 2, f.producer)
	b = bytes(b, 8, number(nil, 2, f.opset))
	return bytes(b, 7, f.graph.encode())
}

func number(b []byte, num protowire.Number, n int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(n))
}

func bytes(b []byte, num protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), data)
}

func text(b []byte, num protowire.Number, s string) []byte { return bytes(b, num, []byte(s)) }

func float(b []byte, num protowire.Number, x float32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(x))
}

func (g graphProto) encode() (b []byte) {
	for _, n := range g.nodes {
		b = bytes(b, 1, n.encode())
	}
	b = text(b, 2, "graph")
	for _, t := range g.tensors {
		b = bytes(b, 5, t.encode())
	}
	for _, v := range g.inputs {
		b = bytes(b, 11, v.encode())
	}
	for _, v := range g.outputs {
		b = bytes(b, 12, v.encode())
	}
	return b
}

func (n *node) encode() (b []byte) {
	for _, s := range n.in {
		b = text(b, 1, s)
	}
	for _, s := range n.out {
		b = text(b, 2, s)
	}
	b = text(text(b, 3, n.name), 4, n.op)
	for _, a := range n.attrs {
		b = bytes(b, 5, a.encode())
	}
	return text(b, 7, n.domain)
}

func (a attr) encode() []byte {
	b := number(text(nil, 1, a.name), 20, a.kind)
	switch a.kind {
	case attrFloat:
		b = float(b, 2, a.f)
	case attrInt:
		b = number(b, 3, a.i)
	case attrString:
		b = bytes(b, 4, a.s)
	case attrTensor:
		b = bytes(b, 5, a.t.encode())
	case attrFloats:
		for _, x := range a.fs {
			b = float(b, 7, x)
		}
	case attrInts:
		for _, x := range a.is {
			b = number(b, 8, x)
		}
	case attrStrings:
		for _, s := range a.ss {
			b = bytes(b, 9, s)
		}
	}
	return b
}

func (t *tensor) encode() (b []byte) {
	for _, d := range t.dims {
		b = number(b, 1, d)
	}
	b = text(number(b, 2, t.kind), 8, t.name)
	if t.strings {
		return b
	}
	return bytes(b, 9, t.raw)
}

func (v value) encode() []byte {
	b := text(nil, 1, v.name)
	if v.kind == 0 {
		return b
	}
	typ := number(nil, 1, v.kind)
	if v.known {
		var shape []byte
		for _, d := range v.shape {
			var dim []byte
			if d > 0 {
				dim = number(nil, 1, int64(d))
			}
			shape = bytes(shape, 1, dim)
		}
		typ = bytes(typ, 2, shape)
	}
	return bytes(b, 2, bytes(nil, 1, typ))
}

// attr returns the attribute of that name, nil if there is none.
func (n *node) attr(name string) *attr {
	i := slices.IndexFunc(n.attrs, func(a attr) bool { return a.name == name })
	if i < 0 {
		return nil
	}
	return &n.attrs[i]
}

// int is an integer attribute, or what stands for it when it is left out.
func (n *node) int(name string, otherwise int64) int64 {
	if a := n.attr(name); a != nil && a.kind == attrInt {
		return a.i
	}
	return otherwise
}

func (n *node) float(name string, otherwise float32) float32 {
	if a := n.attr(name); a != nil && a.kind == attrFloat {
		return a.f
	}
	return otherwise
}

func (n *node) ints(name string) []int64 {
	if a := n.attr(name); a != nil && a.kind == attrInts {
		return a.is
	}
	return nil
}

func (n *node) drop(names ...string) {
	n.attrs = slices.DeleteFunc(n.attrs, func(a attr) bool { return slices.Contains(names, a.name) })
}

func (n *node) setInts(name string, x []int64) {
	n.drop(name)
	n.attrs = append(n.attrs, attr{name: name, kind: attrInts, is: x})
}

// String names the operation for people.
func (n *node) String() string {
	op := n.op
	if n.label != "" {
		op = n.label
	}
	if !isDefault(n.domain) {
		op = n.domain + "." + op
	}
	if n.name != "" {
		return fmt.Sprintf("%s %q", op, n.name)
	}
	if len(n.out) > 0 {
		return fmt.Sprintf("%s that gives %q", op, n.out[0])
	}
	return op
}
