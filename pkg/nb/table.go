package nb

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// grid is a table as text: cells formatted, columns of numbers known. A row that is too short is filled up, one that is
// too long keeps its cells, under columns without a name.
type grid struct {
	head    []string
	numbers []bool // columns to align to the right
	rows    [][]string
}

func format(t result.Table) grid {
	columns := len(t.Columns)
	for _, row := range t.Rows {
		columns = max(columns, len(row))
	}
	g := grid{head: make([]string, columns), numbers: make([]bool, columns), rows: make([][]string, len(t.Rows))}
	for i, a := range t.Columns {
		g.head[i] = a.Name
		if a.Unit != "" {
			g.head[i] += " (" + a.Unit + ")"
		}
	}
	for i := range g.rows {
		g.rows[i] = make([]string, columns)
	}
	for col := range columns {
		cells := make([]any, len(t.Rows))
		for i, row := range t.Rows {
			if col < len(row) {
				cells[i] = row[col]
			}
		}
		var texts []string
		texts, g.numbers[col] = formatColumn(cells)
		for i, text := range texts {
			g.rows[i][col] = text
		}
	}
	return g
}

// formatColumn writes the cells of one column, and says whether all that have a value are numbers.
func formatColumn(cells []any) (texts []string, numbers bool) {
	float := floatFormat(cells)
	numeric, other := 0, 0
	for _, cell := range cells {
		text := ""
		switch x := cell.(type) {
		case nil:
			text = "–"
		case bool:
			text = "no"
			if x {
				text = "yes"
			}
			other++
		case float64:
			text = float(x)
			numeric++
		case int:
			text = sign(strconv.Itoa(x))
			numeric++
		default:
			text = strings.ReplaceAll(fmt.Sprint(x), "\n", " ")
			other++
		}
		texts = append(texts, text)
	}
	return texts, numeric > 0 && other == 0
}

// floatFormat chooses how the float64 of a column are written, all alike: with as many decimals as give the largest four
// significant digits, or fewer if those show every value exactly. Where the column spans so much that the smallest value
// would lose all but one of its digits, each is written on its own with three significant digits.
func floatFormat(cells []any) func(float64) string {
	var values []float64
	largest, smallest := 0., math.Inf(1)
	for _, cell := range cells {
		if x, ok := cell.(float64); ok && x != 0 && !math.IsNaN(x) && !math.IsInf(x, 0) {
			values = append(values, x)
			largest, smallest = max(largest, math.Abs(x)), min(smallest, math.Abs(x))
		}
	}
	decimals := 0
	if largest > 0 {
		decimals = max(0, 3-int(math.Floor(math.Log10(largest))))
	}
	exact := func(decimals int) bool {
		for _, x := range values {
			if scaled := x * math.Pow10(decimals); math.Abs(scaled-math.Round(scaled)) > 1e-9*math.Abs(scaled) {
				return false
			}
		}
		return true
	}
	if largest >= 1e9 || decimals > 6 || !exact(decimals) && smallest < 5*math.Pow10(-decimals) {
		return func(x float64) string { return sign(strconv.FormatFloat(x, 'g', 3, 64)) }
	}
	for decimals > 0 && exact(decimals-1) {
		decimals--
	}
	return func(x float64) string {
		if x == 0 {
			x = 0 // not −0
		}
		return sign(strconv.FormatFloat(x, 'f', decimals, 64))
	}
}

// sign writes a number with a typographic minus and without zeros at the front of an exponent.
func sign(number string) string {
	return strings.NewReplacer("e-0", "e−", "e+0", "e", "e+", "e", "-", "−").Replace(number)
}

// tableText writes a table with aligned columns, for terminals and as the text alternative.
func tableText(t result.Table) string {
	g := format(t)
	widths := make([]int, len(g.head))
	for _, row := range append([][]string{g.head}, g.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString(t.Title + "\n")
	}
	line := func(row []string) {
		var cells []string
		for i, cell := range row {
			fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if g.numbers[i] {
				cells = append(cells, fill+cell)
			} else {
				cells = append(cells, cell+fill)
			}
		}
		b.WriteString(strings.TrimRight(strings.Join(cells, "  "), " ") + "\n")
	}
	line(g.head)
	var rules []string
	for _, w := range widths {
		rules = append(rules, strings.Repeat("─", w))
	}
	line(rules)
	for _, row := range g.rows {
		line(row)
	}
	return b.String()
}

// tableHTML writes a table that reads well where style sheets are stripped as well as in JupyterLab, whose own put every
// cell to the right: hence alignment both as attribute and as style.
func tableHTML(t result.Table) string {
	g := format(t)
	align := func(col int) string {
		side := "left"
		if g.numbers[col] {
			side = "right"
		}
		return fmt.Sprintf(` align="%s" style="text-align:%s"`, side, side)
	}
	var b strings.Builder
	b.WriteString("<table>\n")
	if t.Title != "" {
		b.WriteString(`<caption style="text-align:left"><b>` + html.EscapeString(t.Title) + "</b></caption>\n")
	}
	b.WriteString("<thead><tr>")
	for i, name := range g.head {
		fmt.Fprintf(&b, `<th scope="col"%s>%s</th>`, align(i), html.EscapeString(name))
	}
	b.WriteString("</tr></thead>\n<tbody>\n")
	for _, row := range g.rows {
		b.WriteString("<tr>")
		for i, cell := range row {
			fmt.Fprintf(&b, "<td%s>%s</td>", align(i), html.EscapeString(cell))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody>\n</table>\n")
	return b.String()
}
