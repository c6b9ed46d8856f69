package result_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func units() result.Table {
	return result.Table{
		Title:   "Units",
		Columns: []result.Axis{{Name: "site"}, {Name: "unit"}, {Name: "dead"}, {Name: "loss", Unit: "nats"}},
		Rows:    [][]any{{"a<b", 0, false, 2.0}, {"c", 1, true, nil}, {"c", 2, false, math.NaN()}},
	}
}

func TestWriteRecords(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, units().WriteRecords(&b))
	require.Equal(t, `[
{"site":"a<b","unit":0,"dead":false,"loss":2.0},
{"site":"c","unit":1,"dead":true,"loss":null},
{"site":"c","unit":2,"dead":false,"loss":null}
]
`, b.String())
	require.True(t, json.Valid(b.Bytes()))

	b.Reset()
	require.NoError(t, result.Table{}.WriteRecords(&b))
	require.JSONEq(t, "[]", b.String())

	endless := units()
	endless.Rows[0][3] = math.Inf(1)
	require.ErrorContains(t, endless.WriteRecords(&b), `row 0, column "loss"`)
	endless.Rows[0] = endless.Rows[0][:3]
	require.ErrorContains(t, endless.WriteRecords(&b), "3 cells for 4 columns")
}

func TestWriteRecordsCSV(t *testing.T) {
	var b bytes.Buffer
	table := units()
	table.Rows = append(table.Rows, []any{"x,y", 3, false, 1e300}, []any{"z", 4, false, math.Inf(-1)})
	require.NoError(t, table.WriteRecordsCSV(&b))
	require.Equal(t, "site,unit,dead,loss\na<b,0,false,2.0\nc,1,true,\nc,2,false,\n\"x,y\",3,false,1e+300\nz,4,false,-Inf\n", b.String())
	table.Rows[0] = table.Rows[0][:3]
	require.ErrorContains(t, table.WriteRecordsCSV(&b), "3 cells for 4 columns")
}

func TestNumbers(t *testing.T) {
	table := units()
	loss, err := table.Numbers("loss")
	require.NoError(t, err)
	require.Equal(t, 2.0, loss[0])
	require.True(t, math.IsNaN(loss[1]) && math.IsNaN(loss[2]))
	dead, err := table.Numbers("dead")
	require.NoError(t, err)
	require.Equal(t, []float64{0, 1, 0}, dead)
	unit, err := table.Numbers("unit")
	require.NoError(t, err)
	require.Equal(t, []float64{0, 1, 2}, unit)

	_, err = table.Numbers("gain")
	require.ErrorContains(t, err, `no column "gain"; it has ["site" "unit" "dead" "loss"]`)
	_, err = table.Numbers("site")
	require.ErrorContains(t, err, `column "site" holds text`)
}
