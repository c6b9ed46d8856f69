package parquet_test

import (
	"bytes"
	"math"
	"testing"

	reader "github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/parquet"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func columns(names ...string) (c []result.Axis) {
	for _, name := range names {
		c = append(c, result.Axis{Name: name, Unit: "nats"})
	}
	return c
}

func TestWrite(t *testing.T) {
	table := result.Table{
		Title:   "Units",
		Columns: columns("site", "unit", "dead", "selectivity", "class", "mixed", "empty"),
		Rows: [][]any{
			{"fc1", 0, false, 0.25, 3, 1, nil},
			{"fc1", 1, true, math.NaN(), nil, 0.5, nil},
			{"a b", -2, false, math.Inf(1), 0, nil, nil},
		},
	}
	var b bytes.Buffer
	require.NoError(t, parquet.Write(&b, table))
	f, err := reader.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	title, ok := f.Lookup("title")
	require.True(t, ok)
	require.Equal(t, "Units", title)
	var names, types []string
	for _, c := range f.Root().Columns() {
		names = append(names, c.Name())
		types = append(types, c.Type().String())
		require.True(t, c.Optional())
	}
	require.Equal(t, []string{"site", "unit", "dead", "selectivity", "class", "mixed", "empty"}, names)
	require.Equal(t, []string{"STRING", "INT(64,true)", "BOOLEAN", "DOUBLE", "INT(64,true)", "DOUBLE", "DOUBLE"}, types)

	type row struct {
		Site        string   `parquet:"site,optional"`
		Unit        int64    `parquet:"unit,optional"`
		Dead        bool     `parquet:"dead,optional"`
		Selectivity *float64 `parquet:"selectivity,optional"`
		Class       *int64   `parquet:"class,optional"`
		Mixed       *float64 `parquet:"mixed,optional"`
		Empty       *float64 `parquet:"empty,optional"`
	}
	rows, err := reader.Read[row](bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	require.Equal(t, []row{
		{"fc1", 0, false, new(0.25), new(int64(3)), new(1.0), nil},
		{"fc1", 1, true, nil, nil, new(0.5), nil},
		{"a b", -2, false, new(math.Inf(1)), new(int64(0)), nil, nil},
	}, rows)

	b.Reset()
	require.NoError(t, parquet.Write(&b, result.Table{Columns: columns("x")}))
	rows, err = reader.Read[row](bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	require.Empty(t, rows)
}

func TestWriteErrors(t *testing.T) {
	for says, table := range map[string]result.Table{
		"it has no columns":                      {},
		`column 1 is called "x"`:                 {Columns: columns("x", "x")},
		"row 0: 1 cells for 2 columns":           {Columns: columns("x", "y"), Rows: [][]any{{1}}},
		`row 0, column "x": a cell is`:           {Columns: columns("x"), Rows: [][]any{{float32(1)}}},
		`row 1, column "x": string among int64s`: {Columns: columns("x"), Rows: [][]any{{1}, {"a"}}},
		`these columns cannot be written`:        {Columns: columns("x,list")},
	} {
		require.ErrorContains(t, parquet.Write(&bytes.Buffer{}, table), says)
	}
}
