package result

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// String is the axis as it is written on figures and over columns: "accuracy (fraction)", or the name alone.
func (a Axis) String() string {
	if a.Unit == "" {
		return a.Name
	}
	return a.Name + " (" + a.Unit + ")"
}

// WriteCSV writes a header line with the column's names and units, then one line for each row. Numbers keep all their
// digits (the shortest text that reads back as the same float64), nil is an empty field, NaN is written as NaN.
// A row that does not have one cell for each column, or a cell that is not a string, bool, int, float64 or nil, is an
// error.
func (t Table) WriteCSV(w io.Writer) error { return t.writeCSV(w, Axis.String, exact) }

// writeCSV writes the names of the columns and the rows as name and cell put them.
func (t Table) writeCSV(w io.Writer, name func(Axis) string, cell func(any) string) error {
	if err := t.check(); err != nil {
		return err
	}
	c := csv.NewWriter(w)
	record := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		record[i] = name(column)
	}
	if err := c.Write(record); err != nil {
		return err
	}
	for _, row := range t.Rows {
		for i, x := range row {
			record[i] = cell(x)
		}
		if err := c.Write(record); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// exact is a cell with all its digits, "" for nil.
func exact(cell any) string {
	switch x := cell.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return fmt.Sprint(cell)
}

// check reports the first row or cell that is not as Table promises.
func (t Table) check() error {
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return fmt.Errorf("table %q, row %d: %d cells for %d columns", t.Title, i, len(row), len(t.Columns))
		}
		for j, cell := range row {
			switch cell.(type) {
			case nil, string, bool, int, float64:
			default:
				return fmt.Errorf("table %q, row %d, column %q: a cell is a string, bool, int, float64 or nil, got %T",
					t.Title, i, t.Columns[j].Name, cell)
			}
		}
	}
	return nil
}

// MarshalJSON writes an int without and a float64 always with a decimal point or exponent (2 and 2.0), so that reading
// gives back the same types and, for float64, the same bits. NaN and infinities are an error that names the cell: a cell
// without a value is nil.
func (t Table) MarshalJSON() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	var rows [][]json.RawMessage // stays nil, null in JSON, if Rows is nil
	if t.Rows != nil {
		rows = make([][]json.RawMessage, len(t.Rows))
	}
	for i, row := range t.Rows {
		rows[i] = make([]json.RawMessage, len(row))
		for j, cell := range row {
			x, isFloat := cell.(float64)
			if isFloat && (math.IsNaN(x) || math.IsInf(x, 0)) {
				return nil, fmt.Errorf("table %q, row %d, column %q is %v, which JSON cannot hold: use nil where there is no value",
					t.Title, i, t.Columns[j].Name, x)
			}
			text, err := encode(cell)
			if err != nil {
				return nil, err
			}
			if isFloat && !bytes.ContainsAny(text, ".e") {
				text = append(text, ".0"...)
			}
			rows[i][j] = text
		}
	}
	return encode(struct {
		Title   string              `json:"title"`
		Columns []Axis              `json:"columns"`
		Rows    [][]json.RawMessage `json:"rows"`
	}{t.Title, t.Columns, rows})
}

// UnmarshalJSON reads what MarshalJSON writes. A number with a decimal point or exponent becomes a float64, another one
// an int; rows of the wrong length and cells that are lists or objects are errors.
func (t *Table) UnmarshalJSON(text []byte) error {
	type plain Table
	var read plain
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		return err
	}
	for i, row := range read.Rows {
		for j, cell := range row {
			number, ok := cell.(json.Number)
			if !ok {
				continue
			}
			var err error
			if strings.ContainsAny(number.String(), ".eE") {
				row[j], err = number.Float64()
			} else {
				row[j], err = strconv.Atoi(number.String())
			}
			if err != nil {
				return fmt.Errorf("table %q, row %d, cell %d: %w", read.Title, i, j, err)
			}
		}
	}
	if err := Table(read).check(); err != nil {
		return err
	}
	*t = Table(read)
	return nil
}

// Cells gives the table as text for people: the column's names with units, then a row of cells for each row. In a column,
// floats share a number of decimals: at most 4 (fewer as the numbers grow beyond 10), and no more than the numbers have.
// A number too small to show two digits that way is written like 3.21e-06. nil is "-". Cells are one line each.
func (t Table) Cells() (head []string, rows [][]string) {
	for _, column := range t.Columns {
		head = append(head, oneLine(column.String()))
	}
	rows = make([][]string, len(t.Rows))
	for i := range rows {
		rows[i] = make([]string, len(t.Columns))
	}
	for j := range t.Columns {
		decimals := t.decimals(j)
		for i, row := range t.Rows {
			if j < len(row) {
				rows[i][j] = shortened(row[j], decimals)
			}
		}
	}
	return head, rows
}

// decimals is the number of decimals for the floats of column j.
func (t Table) decimals(j int) int {
	most, have := 0.0, 0
	for _, row := range t.Rows {
		if j >= len(row) {
			continue
		}
		if x, ok := row[j].(float64); ok && !math.IsNaN(x) && !math.IsInf(x, 0) {
			most = max(most, math.Abs(x))
			if _, after, ok := strings.Cut(strconv.FormatFloat(x, 'f', -1, 64), "."); ok {
				have = max(have, len(after))
			}
		}
	}
	decimals := min(4, have)
	for top := 4; top > 0 && most >= 10; most /= 10 {
		top--
		decimals = min(decimals, top)
	}
	return decimals
}

func shortened(cell any, decimals int) string {
	switch x := cell.(type) {
	case nil:
		return "-"
	case float64:
		text := strconv.FormatFloat(x, 'f', decimals, 64)
		if size := math.Abs(x); size >= 1e12 || size < 10*math.Pow10(-decimals) {
			if shown, err := strconv.ParseFloat(text, 64); err != nil || shown != x {
				return strconv.FormatFloat(x, 'g', 3, 64)
			}
		}
		return text
	}
	return oneLine(fmt.Sprint(cell))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Text is the table for a terminal: the title, the head, a rule and the rows of Cells; columns that hold text are aligned
// left, others right. It never fails; a missing cell is blank.
func (t Table) Text() string {
	head, rows := t.Cells()
	width := make([]int, len(head))
	left := make([]bool, len(head))
	titles := make([][]string, len(head)) // lines of the heads, which may be far wider than the numbers below
	height := 0
	for j := range head {
		for i, row := range rows {
			width[j] = max(width[j], utf8.RuneCountInString(row[j]))
			if j < len(t.Rows[i]) {
				_, isText := t.Rows[i][j].(string)
				left[j] = left[j] || isText
			}
		}
		titles[j] = wrap(head[j], max(width[j], headWidth))
		for _, line := range titles[j] {
			width[j] = max(width[j], utf8.RuneCountInString(line))
		}
		height = max(height, len(titles[j]))
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString(oneLine(t.Title) + "\n")
	}
	if len(head) == 0 {
		return b.String()
	}
	write := func(cell func(j int) string) {
		line := ""
		for j := range head {
			fill := strings.Repeat(" ", width[j]-utf8.RuneCountInString(cell(j)))
			if j > 0 {
				line += "  "
			}
			if left[j] {
				line += cell(j) + fill
			} else {
				line += fill + cell(j)
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for i := range height {
		write(func(j int) string { // heads stand on the rule
			if k := i - (height - len(titles[j])); k >= 0 {
				return titles[j][k]
			}
			return ""
		})
	}
	write(func(j int) string { return strings.Repeat("-", width[j]) })
	for _, row := range rows {
		write(func(j int) string { return row[j] })
	}
	return b.String()
}

// headWidth is the width from which a head is broken into lines, in characters.
const headWidth = 16

// wrap breaks a text between words into lines of at most width characters, where its words allow.
func wrap(text string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// Check reports a curve whose lists do not belong together: Y must be as long as X, and Lo and Hi either both nil or both
// as long.
func (c Curve) Check() error {
	if len(c.Y) != len(c.X) {
		return fmt.Errorf("curve %q: %d values of x but %d of y", c.Name, len(c.X), len(c.Y))
	}
	if (c.Lo == nil) != (c.Hi == nil) || (c.Lo != nil && (len(c.Lo) != len(c.X) || len(c.Hi) != len(c.X))) {
		return fmt.Errorf("curve %q: %d points, but the band has %d lower and %d upper bounds (both nil: no band)",
			c.Name, len(c.X), len(c.Lo), len(c.Hi))
	}
	return nil
}

// WriteCurvesCSV writes curves in long format, a line for each point under the head "curve,x,y,lo,hi"; lo and hi are empty
// for a curve without a band. Numbers keep all their digits. A curve that fails Check is an error.
func WriteCurvesCSV(w io.Writer, curves ...Curve) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"curve", "x", "y", "lo", "hi"}); err != nil {
		return err
	}
	for _, c := range curves {
		if err := c.Check(); err != nil {
			return err
		}
		for i := range c.X {
			record := []string{c.Name, exact(c.X[i]), exact(c.Y[i]), "", ""}
			if c.Lo != nil {
				record[3], record[4] = exact(c.Lo[i]), exact(c.Hi[i])
			}
			if err := out.Write(record); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}
