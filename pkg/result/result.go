// Package result holds what an analysis found: curves, tables, claims and the manifest that says how they came about.
// Results are plain values that go to JSON and CSV and back exactly; a result with its manifest is all a figure needs.
// The package also keeps the content-addressed store in which results and trained networks live.
package result

// Axis names a quantity and its unit, as it stands on a figure's axis or over a table's column.
type Axis struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"` // "fraction", "nats", "units"; empty for names and counts that need none
}

// Curve is one line of a figure with its band. Lo and Hi are the band's bounds at each X (nil: no band).
type Curve struct {
	Name  string    `json:"name"`
	XAxis Axis      `json:"x_axis"`
	YAxis Axis      `json:"y_axis"`
	X     []float64 `json:"x"`
	Y     []float64 `json:"y"`
	Lo    []float64 `json:"lo,omitempty"`
	Hi    []float64 `json:"hi,omitempty"`
	Band  string    `json:"band,omitempty"` // what the band is: "± s.d. over 10 orderings"
	N     int       `json:"n,omitempty"`    // how many orderings, repeats or networks stand behind each Y
}

// Len is the number of points.
func (c Curve) Len() int { return len(c.X) }

// XY returns point i; with Len it makes a Curve drawable.
func (c Curve) XY(i int) (x, y float64) { return c.X[i], c.Y[i] }

// Table is a list of records: a cell is a string, a bool, an int or a float64 (nil where there is no value).
type Table struct {
	Title   string  `json:"title"`
	Columns []Axis  `json:"columns"`
	Rows    [][]any `json:"rows"`
}

// Claim is one statement of the paper, tested on our numbers.
type Claim struct {
	Name   string `json:"name"`   // "1a: memorising networks fall faster"
	Test   string `json:"test"`   // the rule, with its threshold
	Found  string `json:"found"`  // our numbers
	Passed bool   `json:"passed"` // whether they satisfy the rule
}

// Manifest says how a result came about.
type Manifest struct {
	Key       string            `json:"key"`                 // hash of everything that determines the result
	Config    any               `json:"config"`              // the specification, defaults filled in
	Seeds     map[string]uint64 `json:"seeds,omitempty"`     // by what they seed
	Inputs    map[string]string `json:"inputs,omitempty"`    // data sets and networks: name → content hash or key
	Versions  map[string]string `json:"versions,omitempty"`  // directions, gomlx, go
	Backend   string            `json:"backend,omitempty"`   // what computed
	Machine   string            `json:"machine,omitempty"`   // operating system, architecture, cores
	Seconds   float64           `json:"seconds,omitempty"`   // wall time of the computation
	Narrowing []string          `json:"narrowing,omitempty"` // in what the preset is smaller than the paper's protocol
}
