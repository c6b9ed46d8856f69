package nb

import (
	"encoding/xml"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func TestFormatColumn(t *testing.T) {
	for _, c := range []struct {
		cells   []any
		want    string
		numbers bool
	}{
		{[]any{.98765, .1, 0.}, "0.9877 0.1000 0.0000", true},
		{[]any{12.3456, 1.5}, "12.35 1.50", true},
		{[]any{0., .2, 1.}, "0.0 0.2 1.0", true},
		{[]any{60000., 123.}, "60000 123", true},
		{[]any{1.5e-5, .5}, "1.5e−5 0.5", true}, // four decimals would show the first as 0
		{[]any{.0123, .011}, "0.0123 0.0110", true},
		{[]any{-.5, math.Copysign(0, -1)}, "−0.5 0.0", true},
		{[]any{math.NaN(), 1.}, "NaN 1", true},
		{[]any{2.5e12}, "2.5e12", true},
		{[]any{3, -4, nil}, "3 −4 –", true},
		{[]any{nil, nil}, "– –", false},
		{[]any{true, false}, "yes no", false},
		{[]any{"a\nb", 1}, "a b 1", false},
		{nil, "", false},
	} {
		texts, numbers := formatColumn(c.cells)
		require.Equal(t, c.want, strings.Join(texts, " "))
		require.Equal(t, c.numbers, numbers, "%v", c.cells)
	}
}

func TestTableHTML(t *testing.T) {
	got := tableHTML(result.Table{
		Title:   "A & B",
		Columns: []result.Axis{{Name: "Name"}, {Name: "Loss", Unit: "nats"}},
		Rows:    [][]any{{"<i>x</i>", 1.25}},
	})
	require.Equal(t, `<table>
<caption style="text-align:left"><b>A &amp; B</b></caption>
<thead><tr><th scope="col" align="left" style="text-align:left">Name</th>`+
		`<th scope="col" align="right" style="text-align:right">Loss (nats)</th></tr></thead>
<tbody>
<tr><td align="left" style="text-align:left">&lt;i&gt;x&lt;/i&gt;</td><td align="right" style="text-align:right">1.25</td></tr>
</tbody>
</table>
`, got)
}

func TestTablesOfAnyShape(t *testing.T) {
	cell := rapid.OneOf(rapid.Float64().AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.StringMatching(`[a-z<&é ]{0,6}`).AsAny(),
		rapid.Just(any(nil)))
	rapid.Check(t, func(t *rapid.T) {
		table := result.Table{Rows: rapid.SliceOfN(rapid.SliceOfN(cell, 0, 4), 0, 5).Draw(t, "rows")}
		for range rapid.IntRange(0, 4).Draw(t, "columns") {
			table.Columns = append(table.Columns, result.Axis{Name: rapid.StringMatching(`[A-Z]{0,5}`).Draw(t, "name")})
		}
		lines := strings.Split(strings.TrimSuffix(tableText(table), "\n"), "\n")
		require.Len(t, lines, 2+len(table.Rows))
		for _, line := range lines {
			require.LessOrEqual(t, utf8.RuneCountInString(line), utf8.RuneCountInString(lines[1]), "as wide as the rule at most")
		}
		var doc struct {
			Rows []struct {
				Cells []string `xml:"td"`
			} `xml:"tbody>tr"`
		}
		require.NoError(t, xml.Unmarshal([]byte(tableHTML(table)), &doc), "well-formed")
		require.Len(t, doc.Rows, len(table.Rows))
	})
}
