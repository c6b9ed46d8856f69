package result

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func aTable() Table {
	return Table{
		Title: "AUC by corruption",
		Columns: []Axis{
			{Name: "network"}, {Name: "corrupted", Unit: "fraction"}, {Name: "AUC"}, {Name: "units"}, {Name: "passed"},
		},
		Rows: [][]any{
			{"a, \"quoted\"", 0.0, 0.912345678, 1024, true},
			{"b", 0.25, nil, -7, false},
			{"c", 1.0, 1.5e-7, 0, nil},
		},
	}
}

func TestTableWriteCSV(t *testing.T) {
	var b strings.Builder
	require.NoError(t, aTable().WriteCSV(&b))
	require.Equal(t, `network,corrupted (fraction),AUC,units,passed
"a, ""quoted""",0,0.912345678,1024,true
b,0.25,,-7,false
c,1,1.5e-07,0,
`, b.String())
}

func TestTableRefusesWhatItDoesNotPromise(t *testing.T) {
	for says, row := range map[string][]any{
		`table "t", row 1: 1 cells for 2 columns`:        {1},
		`table "t", row 1: 3 cells for 2 columns`:        {1, 2, 3},
		`row 1, column "y": a cell is a string`:          {1, float32(2)},
		`row 1, column "x": a cell is a string, bool, i`: {[]int{1}, 2},
	} {
		table := Table{Title: "t", Columns: []Axis{{Name: "x"}, {Name: "y"}}, Rows: [][]any{{1, 2}, row}}
		require.ErrorContains(t, table.WriteCSV(&strings.Builder{}), says)
		_, err := json.Marshal(table)
		require.ErrorContains(t, err, says)
		require.NotPanics(t, func() { _ = table.Text() })
	}
	_, err := json.Marshal(Table{Title: "t", Columns: []Axis{{Name: "x"}}, Rows: [][]any{{1.0}, {math.NaN()}}})
	require.ErrorContains(t, err, `row 1, column "x" is NaN`)
}

func TestTableJSONKeepsTypes(t *testing.T) {
	text, err := json.Marshal(aTable())
	require.NoError(t, err)
	require.Contains(t, string(text), `["b",0.25,null,-7,false]`)
	require.Contains(t, string(text), `["c",1.0,1.5e-7,0,null]`)
	var back Table
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, aTable(), back)

	for _, bad := range []string{
		`{"title":"t","columns":[{"name":"x"}],"rows":[[1,2]]}`,
		`{"title":"t","columns":[{"name":"x"}],"rows":[[[1]]]}`,
		`{"title":"t","columns":[{"name":"x"}],"rows":[[99999999999999999999]]}`,
		`{"title":"t","columns":[{"name":"x"}],"rows":[[1e999]]}`,
		`{"title":"t","columns":[{"name":"x"}],"row":[[1]]}`,
	} {
		kept := aTable()
		require.Error(t, json.Unmarshal([]byte(bad), &kept), bad)
		require.Equal(t, aTable(), kept)
	}
}

func TestTableAndCurveJSONRoundTrip(t *testing.T) {
	cell := rapid.OneOf(
		rapid.Just[any](nil), rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Int().AsAny(),
		rapid.Float64().AsAny(), rapid.Float64Range(-2, 2).AsAny(),
		rapid.Map(rapid.IntRange(-9, 9), func(i int) any { return float64(i) }),
	)
	floats := rapid.SliceOfN(rapid.Float64(), 1, 5)
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 4).Draw(t, "width")
		table := Table{Title: rapid.String().Draw(t, "title"), Columns: make([]Axis, width), Rows: [][]any{}}
		for range rapid.IntRange(0, 4).Draw(t, "height") {
			table.Rows = append(table.Rows, rapid.SliceOfN(cell, width, width).Draw(t, "row"))
		}
		text, err := json.Marshal([]any{table})
		require.NoError(t, err)
		back := make([]Table, 1)
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, table, back[0])
		_ = back[0].Text() // must not panic

		curve := Curve{Name: "c", X: floats.Draw(t, "x"), Y: floats.Draw(t, "y"), Lo: floats.Draw(t, "lo"), N: 3}
		text, err = json.Marshal(curve)
		require.NoError(t, err)
		var same Curve
		require.NoError(t, json.Unmarshal(text, &same))
		require.Equal(t, curve, same)
	})
}

func TestWriteCurvesCSV(t *testing.T) {
	var b strings.Builder
	require.NoError(t, WriteCurvesCSV(&b,
		Curve{
			Name: "true labels", X: []float64{0, 0.05}, Y: []float64{0.30000000000000004, math.NaN()},
			Lo: []float64{0, 1}, Hi: []float64{1, 1e-300},
		},
		Curve{Name: "a,b", X: []float64{1}, Y: []float64{-2}},
		Curve{Name: "empty"}))
	require.Equal(t, `curve,x,y,lo,hi
true labels,0,0.30000000000000004,0,1
true labels,0.05,NaN,1,1e-300
"a,b",1,-2,,
`, b.String())

	for _, bad := range []Curve{
		{Name: "short", X: []float64{1}},
		{Name: "short", X: []float64{1}, Y: []float64{1}, Lo: []float64{1}},
		{Name: "short", X: []float64{1}, Y: []float64{1}, Lo: []float64{1}, Hi: []float64{}},
	} {
		require.ErrorContains(t, WriteCurvesCSV(&b, bad), `curve "short"`)
	}
	require.Error(t, WriteCurvesCSV(failingWriter{}, Curve{}))
	require.Error(t, aTable().WriteCSV(failingWriter{}))
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestCSVKeepsAllDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64().Draw(t, "x")
		var b strings.Builder
		require.NoError(t, WriteCurvesCSV(&b, Curve{Name: "c", X: []float64{x}, Y: []float64{-x}}))
		lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
		require.NoError(t, err)
		back, err := strconv.ParseFloat(lines[1][1], 64)
		require.NoError(t, err)
		require.Equal(t, math.Float64bits(x), math.Float64bits(back))
	})
}

func TestTableCellsDigits(t *testing.T) {
	for _, c := range []struct {
		column []any
		want   []string
	}{
		{[]any{0.0, 0.25, 1.0}, []string{"0.00", "0.25", "1.00"}},   // no more decimals than there are
		{[]any{0.0, 1.0}, []string{"0", "1"}},                       // floats without decimals
		{[]any{0.123456789, 0.99996}, []string{"0.1235", "1.0000"}}, // four at most
		{[]any{12.3456789, 0.5}, []string{"12.346", "0.500"}},       // fewer for larger numbers
		{[]any{1000.123, 999.9996}, []string{"1000.1", "1000.0"}},
		{[]any{0.5, 1.234e-6, 0.00123}, []string{"0.5000", "1.23e-06", "0.0012"}},
		{[]any{123456.789, 3.25}, []string{"123457", "3.25"}},
		{[]any{1e15, 2.0}, []string{"1000000000000000", "2"}},
		{[]any{1.23456789e15}, []string{"1234567890000000"}},
		{[]any{math.NaN(), math.Inf(1), 0.5}, []string{"NaN", "+Inf", "0.5"}},
		{[]any{nil, 12345678, true, "a\n b\t"}, []string{"-", "12345678", "true", "a b"}},
	} {
		table := Table{Columns: []Axis{{Name: "x"}}}
		for _, cell := range c.column {
			table.Rows = append(table.Rows, []any{cell})
		}
		_, rows := table.Cells()
		for i, row := range rows {
			require.Equal(t, c.want[i], row[0], "%v", c.column)
		}
	}
}

func TestTableTextOfLittle(t *testing.T) {
	require.Equal(t, "", Table{}.Text())
	require.Equal(t, "title\n", Table{Title: "title"}.Text())
	require.Equal(t, "x (µs)\n------\n", Table{Columns: []Axis{{Name: "x", Unit: "µs"}}}.Text())
}
