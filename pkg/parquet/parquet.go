// Package parquet writes tables as Parquet files. It stands apart from pkg/result, which uses the standard library only.
package parquet

import (
	"fmt"
	"io"
	"math"
	"reflect"

	"github.com/parquet-go/parquet-go"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Write writes t as one Parquet file. A column is called what its axis is called, without the unit, and has the type of its
// cells: string, boolean, int64 or double; double also if ints and floats mix or no cell has a value. Every column may hold
// nulls: they stand for nil and NaN. The table's title is in the file's metadata under "title".
//
// A row that does not have one cell for each column, a cell of another type, types that do not go together in a column, and
// two columns of one name are errors.
func Write(w io.Writer, t result.Table) error {
	fail := func(err error) error { return fmt.Errorf("parquet: table %q: %w", t.Title, err) }
	if len(t.Columns) == 0 {
		return fail(fmt.Errorf("it has no columns"))
	}
	// A schema made of named fields would be sorted by name; one of a struct keeps the order.
	fields := make([]reflect.StructField, len(t.Columns))
	seen := map[string]bool{}
	for j, column := range t.Columns {
		if seen[column.Name] || column.Name == "" {
			return fail(fmt.Errorf("column %d is called %q; each needs a name of its own", j, column.Name))
		}
		seen[column.Name] = true
		kind, err := typeOf(t, j)
		if err != nil {
			return fail(err)
		}
		fields[j] = reflect.StructField{Name: fmt.Sprintf("C%d", j), Type: reflect.PointerTo(kind)}
	}
	schema, err := schemaOf(fields, t.Columns)
	if err != nil {
		return fail(err)
	}
	rows := make([]parquet.Row, len(t.Rows))
	for i, row := range t.Rows {
		rows[i] = make(parquet.Row, len(row))
		for j, cell := range row {
			if x, isFloat := cell.(float64); cell == nil || isFloat && math.IsNaN(x) {
				rows[i][j] = parquet.NullValue().Level(0, 0, j)
				continue
			}
			rows[i][j] = parquet.ValueOf(reflect.ValueOf(cell).Convert(fields[j].Type.Elem()).Interface()).Level(0, 1, j)
		}
	}
	file := parquet.NewGenericWriter[any](w, schema, parquet.KeyValueMetadata("title", t.Title))
	if _, err := file.WriteRows(rows); err != nil {
		return fail(err)
	}
	if err := file.Close(); err != nil {
		return fail(err)
	}
	return nil
}

// typeOf is the type of column j.
func typeOf(t result.Table, j int) (reflect.Type, error) {
	var found reflect.Type
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return nil, fmt.Errorf("row %d: %d cells for %d columns", i, len(row), len(t.Columns))
		}
		var here reflect.Type
		switch row[j].(type) {
		case nil:
			continue
		case string:
			here = reflect.TypeFor[string]()
		case bool:
			here = reflect.TypeFor[bool]()
		case int:
			here = reflect.TypeFor[int64]()
		case float64:
			here = reflect.TypeFor[float64]()
		default:
			return nil, fmt.Errorf("row %d, column %q: a cell is a string, bool, int, float64 or nil, got %T",
				i, t.Columns[j].Name, row[j])
		}
		switch {
		case found == nil || found == here:
			found = here
		case number(found) && number(here):
			found = reflect.TypeFor[float64]()
		default:
			return nil, fmt.Errorf("row %d, column %q: %s among %ss", i, t.Columns[j].Name, here, found)
		}
	}
	if found == nil {
		found = reflect.TypeFor[float64]()
	}
	return found, nil
}

func number(t reflect.Type) bool { return t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64 }

// schemaOf is the schema of a struct with these fields, called like the columns.
func schemaOf(fields []reflect.StructField, columns []result.Axis) (schema *parquet.Schema, err error) {
	defer func() { // the library panics at names that its tags cannot hold
		if p := recover(); p != nil {
			err = fmt.Errorf("these columns cannot be written: %v", p)
		}
	}()
	for j, c := range columns {
		fields[j].Tag = reflect.StructTag(fmt.Sprintf("parquet:%q", c.Name+",optional"))
	}
	schema = parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface())
	for j, path := range schema.Columns() {
		if len(path) != 1 || path[0] != columns[j].Name {
			return nil, fmt.Errorf("column %q cannot be written under that name; leave out commas", columns[j].Name)
		}
	}
	return schema, nil
}
