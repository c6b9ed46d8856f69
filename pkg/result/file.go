package result

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
)

// WriteFile replaces the file at path by what write writes, or leaves it as it is: no reader, in this process or another
// one, ever sees a part, even if this process is killed in between. It writes a temporary file in the same folder (its
// name, ".<name>.<random>.tmp", is new in each call), flushes, sets mode 0644, fsyncs, closes, renames it onto path and
// fsyncs the folder.
//
// After an error of write, or of any step up to the rename, the temporary file is gone and the old file is intact. An
// error of the last step means that the new file is in place and whole, but might not survive a loss of power. A process
// that is killed leaves its temporary file behind (see Store.Sweep).
func WriteFile(path string, write func(w io.Writer) error) (err error) {
	folder, name := filepath.Split(path)
	if folder == "" {
		folder = "."
	}
	f, err := os.CreateTemp(folder, "."+name+".*.tmp")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	renamed := false
	defer func() {
		if !renamed { // also when write panics
			f.Close()
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriterSize(f, 1<<16)
	if err := write(b); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := errors.Join(b.Flush(), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	renamed = true
	if err := syncFolder(folder); err != nil {
		return fmt.Errorf("%s is written, but its folder cannot be synced: %w", path, err)
	}
	return nil
}

// The two kinds of result file. The number goes up when the layout of the file changes.
const (
	formatResult  = "directions result 1"
	formatPartial = "directions partial result 1"
)

// envelope is a result file. SHA256 is the hash of format, manifest and value, the latter two as compact JSON, each
// followed by a newline: white space may change, nothing else.
type envelope struct {
	Format   string          `json:"format"`
	Manifest json.RawMessage `json:"manifest"`
	Value    json.RawMessage `json:"value"`
	SHA256   string          `json:"sha256"`
}

func (e envelope) sum() (string, error) {
	var b bytes.Buffer
	b.WriteString(e.Format + "\n")
	for _, part := range []json.RawMessage{e.Manifest, e.Value} {
		if err := json.Compact(&b, part); err != nil {
			return "", err
		}
		b.WriteByte('\n')
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:]), nil
}

// WriteResultFile writes value with its manifest to path, in the format and as atomically as Store.Put, for results that
// are kept outside a store: beside a notebook, in a repository. The file is laid out for small diffs: one line for each
// field, each row of a table and each list of numbers. NaN and infinities are an error that says where they are.
func WriteResultFile(path string, manifest Manifest, value any) error {
	return writeEnvelope(path, formatResult, manifest, value)
}

func writeEnvelope(path, format string, manifest Manifest, value any) (err error) {
	e := envelope{Format: format}
	if e.Manifest, err = encodeChecked("the manifest", manifest); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if e.Value, err = encodeChecked("the value", value); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if e.SHA256, err = e.sum(); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	text, err := encode(e)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	text = append(layout(nil, text, ""), '\n')
	return WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// encodeChecked is encode with an error that says where in v the trouble is.
func encodeChecked(what string, v any) ([]byte, error) {
	text, err := encode(v)
	if err == nil {
		return text, nil
	}
	if where := (checker{}).check(reflect.ValueOf(v), what, 0); where != nil {
		return nil, where
	}
	return nil, fmt.Errorf("%s: %w", what, err)
}

// ReadFile reads what WriteResultFile wrote. value is a pointer to the type that was written, or nil to read the manifest
// only (the checksum covers all in either case). What value points to is replaced as a whole, and only if nothing is wrong.
//
// A file that is missing, truncated, altered, of another format, or whose value has fields that value does not know, is an
// error that names the file; errors.Is(err, fs.ErrNotExist) tells the first case.
func ReadFile(path string, value any) (Manifest, error) {
	return readEnvelope(path, formatResult, value, func(Manifest) error { return nil })
}

func readEnvelope(path, format string, value any, accept func(Manifest) error) (Manifest, error) {
	var target reflect.Value
	if value != nil {
		target = reflect.ValueOf(value)
		if target.Kind() != reflect.Pointer || target.IsNil() {
			return Manifest{}, fmt.Errorf("reading %s: value is a %T, want a pointer to what was written", path, value)
		}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, err // names the path
	} else if err != nil {
		return Manifest{}, fmt.Errorf("cannot read a result: %w; make the file readable, or delete it to compute it again", err)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return Manifest{}, damaged(path, "it is not a whole JSON file: %w", err)
	}
	if e.Format != format {
		return Manifest{}, damaged(path, "its format is %q, expected %q", e.Format, format)
	}
	if e.Manifest == nil || e.Value == nil || e.SHA256 == "" {
		return Manifest{}, damaged(path, "it lacks its manifest, value or sha256")
	}
	sum, err := e.sum()
	if err != nil {
		return Manifest{}, damaged(path, "%w", err)
	}
	if sum != e.SHA256 {
		return Manifest{}, damaged(path, "its content has sha256 %.12s…, but the file says %.12s…", sum, e.SHA256)
	}
	var m Manifest
	if err := json.Unmarshal(e.Manifest, &m); err != nil {
		return Manifest{}, damaged(path, "its manifest does not read: %w", err)
	}
	if err := accept(m); err != nil {
		return Manifest{}, damaged(path, "%w", err)
	}
	if value == nil {
		return m, nil
	}
	fresh := reflect.New(target.Type().Elem())
	d := json.NewDecoder(bytes.NewReader(e.Value))
	d.DisallowUnknownFields() // a renamed field must not come back as zero
	if err := d.Decode(fresh.Interface()); err != nil {
		return Manifest{}, damaged(path, "its value does not fit a %s, another version may have written it: %w",
			target.Type().Elem(), err)
	}
	target.Elem().Set(fresh.Elem())
	return m, nil
}

// damaged is the error for a result file that cannot be believed. Nothing recomputes behind the user's back.
func damaged(path, format string, args ...any) error {
	return fmt.Errorf("result file %s is not usable: %w; delete it to compute it again, or restore it if it is under "+
		"version control", path, fmt.Errorf(format, args...))
}

// UnmarshalJSON reads a manifest. Config becomes a json.RawMessage (nil if it is null), so that it can be shown, decoded
// into the specification's own type or written again without losing digits of large integers.
func (m *Manifest) UnmarshalJSON(text []byte) error {
	type plain Manifest
	var read struct {
		plain
		Config json.RawMessage `json:"config"` // takes precedence over plain.Config
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*m = Manifest(read.plain)
	if len(read.Config) > 0 && string(read.Config) != "null" {
		m.Config = read.Config
	}
	return nil
}

// layout appends src, which is compact JSON, broken into lines. A list of plain values stays on one line however long,
// and so does everything that fits into 100 bytes; other lists and objects get one line for each element. Nothing but
// white space is added.
func layout(dst, src []byte, indent string) []byte {
	if len(src) <= 100-len(indent) || (src[0] != '[' && src[0] != '{') {
		return append(dst, src...)
	}
	elements := split(src[1 : len(src)-1])
	if src[0] == '[' {
		nested := false
		for _, e := range elements {
			nested = nested || e[0] == '[' || e[0] == '{'
		}
		if !nested {
			return append(dst, src...)
		}
	}
	dst = append(dst, src[0])
	inner := indent + "  "
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, '\n'), inner...)
		if src[0] == '{' {
			colon := 1 + stringEnd(e)
			dst = append(append(dst, e[:colon]...), ": "...)
			e = e[colon+1:]
		}
		dst = layout(dst, e, inner)
	}
	dst = append(append(dst, '\n'), indent...)
	return append(dst, src[len(src)-1])
}

// split cuts the inside of a compact JSON list or object at its own commas.
func split(body []byte) (elements [][]byte) {
	depth, start := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i += stringEnd(body[i:])
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				elements = append(elements, body[start:i])
				start = i + 1
			}
		}
	}
	return append(elements, body[start:])
}

// stringEnd is the index of the quote that ends the JSON string at the beginning of text.
func stringEnd(text []byte) int {
	i := 1
	for ; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
