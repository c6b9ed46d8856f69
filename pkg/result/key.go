package result

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"
)

// Key is the content address of whatever parts determine: the first 32 hexadecimal digits of
//
//	sha256(JSON([part 0, part 1, ...])).
//
// The JSON is canonical: struct fields in the order of their declaration, map keys sorted, no white space. Types do not
// enter, so the first part should name what is computed and the version of the code that computes it:
//
//	Key("ablate.Cumulative 1", spec, dataHash)
//
// A nil slice and an empty one are different (null, []) unless the field is tagged omitempty. Fields tagged `json:"-"`
// are left out; they must not influence the result. Everything else that JSON would lose or refuse is an error that says
// where it is: NaN, infinities, functions, channels, complex numbers, unexported fields, text that is not valid UTF-8,
// nesting deeper than 100. No parts at all is an error too.
func Key(parts ...any) (string, error) {
	if len(parts) == 0 {
		return "", errors.New("key: no parts given, give everything that determines the result")
	}
	for i, part := range parts {
		c := checker{everyField: true}
		if err := c.check(reflect.ValueOf(part), fmt.Sprintf("part %d", i), 0); err != nil {
			return "", fmt.Errorf("key: %w", err)
		}
	}
	text, err := encode(parts)
	if err != nil {
		return "", fmt.Errorf("key: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// encode is json.Marshal without the escapes that only HTML needs: "≥ 0.9" and "a > b" stay readable in files.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// checker finds what a value would lose on its way through JSON. encoding/json itself drops unexported fields silently,
// replaces bad UTF-8 silently, and of a NaN does not say where it is.
type checker struct {
	everyField bool // unexported fields and bad UTF-8 are errors
}

func (c checker) check(v reflect.Value, path string, depth int) error {
	if !v.IsValid() {
		return nil // a nil interface: null
	}
	if depth > 100 {
		return fmt.Errorf("%s is nested more than 100 deep, or contains itself", path)
	}
	t := v.Type()
	if t.Implements(jsonMarshaler) || t.Implements(textMarshaler) {
		return nil // the type writes itself and answers for that
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%s is %v, which JSON cannot hold: give a finite number, or null where there is none", path, x)
		}
	case reflect.Complex64, reflect.Complex128, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return fmt.Errorf("%s is a %s, which JSON cannot hold: leave it out, a field by the tag `json:\"-\"`", path, t)
	case reflect.String:
		if c.everyField && !utf8.ValidString(v.String()) {
			return fmt.Errorf("%s is %q, not valid UTF-8", path, v.String())
		}
	case reflect.Pointer, reflect.Interface:
		return c.check(v.Elem(), path, depth+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := c.check(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			where := fmt.Sprintf("%s[%v]", path, entries.Key())
			if err := c.check(entries.Key(), "the key of "+where, depth+1); err != nil {
				return err
			}
			if err := c.check(entries.Value(), where, depth+1); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Name == "_" || f.Tag.Get("json") == "-" {
				continue
			}
			where := path + "." + f.Name
			if !f.IsExported() && !embedsStruct(f) {
				if !c.everyField {
					continue
				}
				return fmt.Errorf("%s is unexported, so JSON would leave it out: export it, or tag it `json:\"-\"` if it does "+
					"not influence the result", where)
			}
			if err := c.check(v.Field(i), where, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// embedsStruct tells whether f is an embedded struct, whose exported fields JSON writes even if its type is unexported.
func embedsStruct(f reflect.StructField) bool {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return f.Anonymous && t.Kind() == reflect.Struct
}
