package result_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func ExampleKey() {
	type spec struct {
		Sites  []string
		Orders int
	}
	key, err := result.Key("ablate.Cumulative 1", spec{[]string{"fc1", "fc2"}, 10})
	fmt.Println(key, err)
	again, _ := result.Key("ablate.Cumulative 1", spec{[]string{"fc1", "fc2"}, 11})
	fmt.Println("one more ordering, another key:", again != key)
	// Output:
	// 9f1184f16bd8f155b9a19a83eb19fb52 <nil>
	// one more ordering, another key: true
}

func ExampleStore() {
	folder, _ := os.MkdirTemp("", "store")
	defer os.RemoveAll(folder)
	store, err := result.Open(folder)
	if err != nil {
		fmt.Println(err)
		return
	}
	spec := map[string]any{"orders": 10}
	key, _ := result.Key("example 1", spec)
	for range 2 {
		var curve result.Curve
		_, found, err := store.Get(key, &curve)
		if err != nil {
			fmt.Println(err) // a damaged file is an error, not a reason to compute again
			return
		}
		if found {
			fmt.Println("read", curve.Y)
			continue
		}
		curve = result.Curve{Name: "fc1", X: []float64{0, 0.5, 1}, Y: []float64{0.98, 0.9, 0.1}}
		fmt.Println("computed", curve.Y)
		if err := store.Put(key, result.Manifest{Config: spec, Machine: result.Machine()}, curve); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// computed [0.98 0.9 0.1]
	// read [0.98 0.9 0.1]
}

func ExampleWriteResultFile() {
	folder, _ := os.MkdirTemp("", "results")
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "figure.json")
	curve := result.Curve{
		Name: "true labels", XAxis: result.Axis{Name: "ablated", Unit: "fraction"}, YAxis: result.Axis{Name: "accuracy"},
		X: []float64{0, 0.25, 0.5, 0.75, 1}, Y: []float64{0.9812, 0.9798, 0.9621, 0.7402, 0.0987},
	}
	manifest := result.Manifest{Key: "1a", Seeds: map[string]uint64{"orders": 7}}
	if err := result.WriteResultFile(path, manifest, curve); err != nil {
		fmt.Println(err)
	}
	text, _ := os.ReadFile(path)
	fmt.Print(string(text))
	// Output:
	// {
	//   "format": "directions result 1",
	//   "manifest": {"key":"1a","config":null,"seeds":{"orders":7}},
	//   "value": {
	//     "name": "true labels",
	//     "x_axis": {"name":"ablated","unit":"fraction"},
	//     "y_axis": {"name":"accuracy"},
	//     "x": [0,0.25,0.5,0.75,1],
	//     "y": [0.9812,0.9798,0.9621,0.7402,0.0987]
	//   },
	//   "sha256": "7d14f17c9e4ae3dc8d70a1f9340000518e0c8aab4b0bc9616089ebc92da73cc1"
	// }
}

func ExampleTable_Text() {
	table := result.Table{
		Title:   "Area under the ablation curve",
		Columns: []result.Axis{{Name: "network"}, {Name: "corrupted", Unit: "fraction"}, {Name: "AUC"}, {Name: "units"}},
		Rows:    [][]any{{"mlp 1", 0.0, 0.812345, 1024}, {"mlp 2", 0.5, 0.30001, 1024}, {"mlp 3", 0.75, nil, 512}},
	}
	fmt.Print(table.Text())
	// Output:
	// Area under the ablation curve
	//           corrupted
	// network  (fraction)     AUC  units
	// -------  ----------  ------  -----
	// mlp 1          0.00  0.8123   1024
	// mlp 2          0.50  0.3000   1024
	// mlp 3          0.75       -    512
}

func ExampleWriteCurvesCSV() {
	band := result.Curve{
		Name: "fc1", X: []float64{0, 1}, Y: []float64{0.98, 0.1}, Lo: []float64{0.97, 0.1}, Hi: []float64{0.99, 0.1},
	}
	line := result.Curve{Name: "fc2", X: []float64{0}, Y: []float64{0.98}}
	if err := result.WriteCurvesCSV(os.Stdout, band, line); err != nil {
		fmt.Println(err)
	}
	// Output:
	// curve,x,y,lo,hi
	// fc1,0,0.98,0.97,0.99
	// fc1,1,0.1,0.1,0.1
	// fc2,0,0.98,,
}
