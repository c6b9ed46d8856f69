package result

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
)

// Numbers returns the column called name: floats, ints, and bools as 0 and 1; NaN where a cell has no value. A column that
// is not there, and one with text, is an error.
func (t Table) Numbers(name string) ([]float64, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	j, names := -1, []string{}
	for k, c := range t.Columns {
		names = append(names, c.Name)
		if c.Name == name && j < 0 {
			j = k
		}
	}
	if j < 0 {
		return nil, fmt.Errorf("table %q has no column %q; it has %q", t.Title, name, names)
	}
	column := make([]float64, len(t.Rows))
	for i, row := range t.Rows {
		switch x := row[j].(type) {
		case nil:
			column[i] = math.NaN()
		case float64:
			column[i] = x
		case int:
			column[i] = float64(x)
		case bool:
			if x {
				column[i] = 1
			}
		default:
			return nil, fmt.Errorf("table %q, row %d: column %q holds text, %q", t.Title, i, name, x)
		}
	}
	return column, nil
}

// WriteRecordsCSV writes the rows for data-frame libraries, which guess a column's type from its first rows: it is WriteCSV
// with names without units, a decimal point or exponent in every float64 (2.0), and an empty field for NaN as for nil.
func (t Table) WriteRecordsCSV(w io.Writer) error {
	return t.writeCSV(w, func(a Axis) string { return a.Name }, func(cell any) string {
		x, isFloat := cell.(float64)
		switch text := exact(cell); {
		case isFloat && math.IsNaN(x):
			return ""
		case isFloat && !math.IsInf(x, 0) && !strings.ContainsAny(text, ".e"):
			return text + ".0"
		default:
			return text
		}
	})
}

// WriteRecords writes the rows as a JSON list of objects, one a line, with the names of the columns (without units) in their
// order: what data-frame libraries read. A cell without a value, nil or NaN, is null. Infinities and rows that are not as
// Table promises are errors.
func (t Table) WriteRecords(w io.Writer) error {
	if err := t.check(); err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteByte('[')
	for i, row := range t.Rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n{")
		for j, cell := range row {
			if x, ok := cell.(float64); ok && math.IsNaN(x) {
				cell = nil
			}
			name, err := encode(t.Columns[j].Name)
			if err != nil {
				return err
			}
			value, err := encode(cell)
			if err != nil {
				return fmt.Errorf("table %q, row %d, column %q: %w", t.Title, i, t.Columns[j].Name, err)
			}
			if _, ok := cell.(float64); ok && !bytes.ContainsAny(value, ".e") {
				value = append(value, ".0"...) // so that readers take it for a float
			}
			if j > 0 {
				b.WriteByte(',')
			}
			b.Write(append(append(name, ':'), value...))
		}
		b.WriteByte('}')
	}
	b.WriteString("\n]\n")
	_, err := w.Write(b.Bytes())
	return err
}
