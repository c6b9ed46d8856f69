package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
)

// answer is what `directions ablate --json` promises to its readers.
type answer struct {
	Sites       []string  `json:"sites"`
	Units       int       `json:"units"`
	Examples    int       `json:"examples"`
	Grid        []int     `json:"grid"`
	Fraction    []float64 `json:"fraction"`
	Correct     [][]int   `json:"correct"`
	Mean        []float64 `json:"mean"`
	SD          []float64 `json:"sd"`
	AUC         float64   `json:"auc"`
	AUCRelative float64   `json:"auc_relative"`
	Seconds     struct {
		Prepare  float64 `json:"prepare"`
		Evaluate float64 `json:"evaluate"`
		Total    float64 `json:"total"`
	} `json:"seconds"`
	Receipt map[string]any `json:"receipt"`

	// Beside what was promised.
	To         string         `json:"to"`
	Orders     int            `json:"orders"`
	Seed       uint64         `json:"seed"`
	Given      bool           `json:"given"`
	OrdersHash string         `json:"orders_sha256"`
	AUCs       []float64      `json:"auc_per_order"`
	Baseline   map[string]any `json:"baseline"`
	AllAblated map[string]any `json:"all_ablated"`
}

// parse reads standard output that must be one JSON object on one line, and no more.
func parse(t *testing.T, out string) (a answer) {
	require.Equal(t, 1, strings.Count(out, "\n"))
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&a))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(out), &fields))
	for _, name := range []string{"sites", "units", "examples", "grid", "fraction", "correct", "mean", "sd", "auc", "auc_relative", "seconds", "receipt"} {
		require.Contains(t, fields, name)
	}
	return a
}

func TestAblate(t *testing.T) {
	s := newShell(t)
	s.net()
	out, progress := s.ok("ablate", "net", "--sites", "fc1,fc2", "--orders", "3", "--points", "6", "--split", "train", "--examples", "150",
		"--to", "zero", "--json", "-", "--csv", "curve.csv", "--png", "curve.png")
	require.Regexp(t, `^ablating net: 0 % of 2100 examples × edits\nablating net: 2100 examples × edits in .*\n$`, progress)
	a := parse(t, out)
	require.Equal(t, []string{"fc1", "fc2"}, a.Sites)
	require.Equal(t, 20, a.Units)
	require.Equal(t, 150, a.Examples)
	require.Equal(t, []int{0, 4, 8, 12, 16, 20}, a.Grid)
	require.InDeltaSlice(t, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}, a.Fraction, 1e-12)
	require.Len(t, a.Correct, 3)
	area := 0.0
	for i := range a.Grid {
		var sum float64
		for _, row := range a.Correct {
			require.Len(t, row, 6)
			sum += float64(row[i]) / 150
		}
		require.InDelta(t, sum/3, a.Mean[i], 1e-12)
		if i > 0 {
			area += (a.Mean[i] + a.Mean[i-1]) / 2 / 5
		}
	}
	require.Len(t, a.SD, 6)
	require.Zero(t, a.SD[0])
	require.InDelta(t, area, a.AUC, 1e-12)
	require.InDelta(t, area/a.Mean[0], a.AUCRelative, 1e-12)
	require.Positive(t, a.Seconds.Evaluate)
	require.Greater(t, a.Seconds.Total, a.Seconds.Evaluate)
	require.EqualValues(t, 0, a.Receipt["mismatches"])
	require.EqualValues(t, 150, a.Receipt["examples"])

	f, err := os.Open(s.path("curve.csv"))
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"order", "k", "fraction", "correct", "examples", "accuracy"}, rows[0])
	require.Len(t, rows, 1+3*6)
	require.Equal(t, fmt.Sprint(a.Correct[2][3]), rows[1+2*6+3][3])
	isPNG(t, s.path("curve.png"))

	// Again, from the store: the same answer, to other files, in silence.
	again, progress := s.ok("ablate", "net", "--orders", "3", "--points", "6", "--examples", "150", "--sites", "fc1,fc2", "--json", "a.json", "--png", "curve.svg")
	require.Empty(t, progress)
	require.Empty(t, again)
	text, err := os.ReadFile(s.path("a.json"))
	require.NoError(t, err)
	require.Equal(t, out, string(text))
	isSVG(t, s.path("curve.svg"))

	table, _ := s.ok("ablate", "net", "--orders", "3", "--points", "6", "--examples", "150", "--sites", "fc1,fc2")
	require.Contains(t, table, fmt.Sprintf("Cumulative ablation of net: AUC %.4f", a.AUC))
	require.Equal(t, 10, strings.Count(table, "\n"))

	for want, flags := range map[string][]string{
		"ablation of net: cumulative ablation: no site \"fc9\", the network has [fc1 fc2]": {"--sites", "fc9"},
		"points is 1, at least 2 are needed":                                               {"--points", "1"},
		"the first 201 examples: want 1 to 200":                                            {"--examples", "201"},
		`split "dev" is not one of train, test`:                                            {"--split", "dev"},
	} {
		message := s.fails(append([]string{"ablate", "net"}, flags...)...)
		require.Contains(t, message, want)
		require.Equal(t, 1, strings.Count(message, "\n"), "one message and no progress: %s", message)
	}
	s.write("site.json", `{"sites": ["fc1"], "grid": [0, 1], "orders": [[12]]}`)
	require.Contains(t, s.fails("ablate", "net", "--orders-file", "site.json"), "order 0, position 0: unit 12 is outside 0..11")
	require.Contains(t, s.fails("ablate", "net", "--orders-file", "site.json", "--sites", "fc2"), `sites ["fc2"] are asked for`)
}

func TestNoise(t *testing.T) {
	s := newShell(t)
	s.net()
	out, progress := s.ok("noise", "net", "--scales", "0.1,1,10", "--repeats", "2", "--json", "-", "--png", "noise.svg")
	require.Contains(t, progress, "adding noise to net: 1400 examples × edits in ")
	var a struct {
		Scales   []float64
		Correct  [][]int
		Mean, SD []float64
		Constant *int `json:"constant_units"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &a))
	require.Equal(t, []float64{0.1, 1, 10}, a.Scales)
	require.Len(t, a.Correct, 2)
	require.Len(t, a.SD, 3)
	require.NotNil(t, a.Constant)
	require.Greater(t, a.Mean[0], a.Mean[2])
	isSVG(t, s.path("noise.svg"))
	out, _ = s.ok("noise", "net", "--scales", "0.1,1,10", "--repeats", "2", "--csv", "-")
	require.True(t, strings.HasPrefix(out, "repeat,scale,correct,examples,accuracy\n0,0.1,"))
	require.Contains(t, s.fails("noise", "net", "--scales", "NaN"), "scale NaN is not a finite number > 0")
	require.Contains(t, s.fails("noise", "net", "--sites", "fc3"), `no site "fc3", the network has [fc1 fc2]`)
}

// layer is a fully connected layer in float64, weights [out][in].
type layer struct {
	weights [][]float64
	bias    []float64
}

func (l layer) apply(x []float64) []float64 {
	y := slices.Clone(l.bias)
	for o, row := range l.weights {
		for i, w := range row {
			y[o] += w * x[i]
		}
	}
	return y
}

func double(xs []float32) (ys []float64) {
	for _, x := range xs {
		ys = append(ys, float64(x))
	}
	return ys
}

// TestOthersNetworks ablates a file of weights in given orders, and compares every count with a network written here, in
// other words and another precision.
func TestOthersNetworks(t *testing.T) {
	widths, examples := []int{12, 8}, 300
	set, err := datasets.Load("mnist10k")
	require.NoError(t, err)
	s := newShell(t)
	s.net()
	out, _ := s.ok("runs", "show", "net")
	weights, err := os.ReadFile(strings.TrimSpace(out[strings.Index(out, "weights: ")+len("weights: "):]))
	require.NoError(t, err)
	s.write("theirs.safetensors", string(weights))
	arrays, _, err := nets.LoadSafetensors(s.path("theirs.safetensors"))
	require.NoError(t, err)
	var layers []layer
	for _, name := range []string{"fc1", "fc2", "logits"} {
		var l layer
		w := arrays[name+".weight"]
		for row := range slices.Chunk(w.Data, w.Shape[1]) {
			l.weights = append(l.weights, double(row))
		}
		l.bias = double(arrays[name+".bias"].Data)
		layers = append(layers, l)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	units := widths[0] + widths[1]
	grid := []int{0, 1, 5, 11, units}
	var orders [][]int
	for range 3 {
		orders = append(orders, rng.Perm(units))
	}
	predict := func(image []byte, gone map[int]bool) int {
		x := make([]float64, len(image))
		for i, p := range image {
			x[i] = float64(p) / 255
		}
		first := 0 // pooled index of the layer's first unit
		for _, l := range layers[:2] {
			x = l.apply(x)
			for u := range x {
				if x[u] < 0 || gone[first+u] {
					x[u] = 0
				}
			}
			first += len(x)
		}
		logits := layers[2].apply(x)
		return slices.Index(logits, slices.Max(logits))
	}
	want := make([][]int, len(orders))
	for i, order := range orders {
		for _, k := range grid {
			gone, correct := map[int]bool{}, 0
			for _, u := range order[:k] {
				gone[u] = true
			}
			for e := range examples {
				if predict(set.Test.Images[e*784:(e+1)*784], gone) == int(set.Test.Labels[e]) {
					correct++
				}
			}
			want[i] = append(want[i], correct)
		}
	}

	text, err := json.Marshal(map[string]any{"sites": []string{"fc1", "fc2"}, "grid": grid, "orders": orders})
	require.NoError(t, err)
	s.write("orders.json", string(text))
	args := []string{"ablate", "theirs.safetensors", "--net", "mlp:12,8", "--data", "mnist10k", "--split", "test", "--examples", "300",
		"--orders-file", "orders.json", "--json", "-"}
	out, progress := s.ok(args...)
	a := parse(t, out)
	require.Equal(t, want, a.Correct)
	require.Equal(t, grid, a.Grid)
	require.True(t, a.Given)
	require.Contains(t, progress, "ablating theirs.safetensors: ")
	varied := map[int]bool{}
	for _, row := range want {
		for _, n := range row {
			varied[n] = true
		}
	}
	require.Greater(t, len(varied), 5, "a test that could fail")

	// The result of the file is stored under its content; the same indices in another order of sites are other units.
	_, progress = s.ok(args...)
	require.Empty(t, progress)
	s.write("orders.json", strings.Replace(string(text), `["fc1","fc2"]`, `["fc2","fc1"]`, 1))
	out, _ = s.ok(args...)
	require.NotEqual(t, want, parse(t, out).Correct)
}

func TestInterruptedAblation(t *testing.T) {
	s := newShell(t)
	s.net()
	args := []string{"ablate", "net", "--orders", "100", "--points", "6", "--json", "-"}
	c, stderr := s.start("ablating net: 0 %", args...)
	partial := func() bool {
		files, err := filepath.Glob(filepath.Join(s.home(), "results", "*.partial.json"))
		return err == nil && len(files) == 1
	}
	require.Eventually(t, partial, time.Minute, time.Millisecond)
	require.NoError(t, c.Process.Signal(os.Interrupt))
	require.Error(t, c.Wait())
	require.Equal(t, 130, c.ProcessState.ExitCode())
	require.Empty(t, c.Stdout.(*bytes.Buffer).String())
	require.Contains(t, stderr(), "of 100 orderings complete: ")
	require.Contains(t, stderr(), "the same command goes on from there")

	c, _ = s.start("going on from a partial result", args...)
	require.NoError(t, c.Process.Kill())
	require.Error(t, c.Wait())

	out, progress := s.ok(args...)
	require.Contains(t, progress, "ablation of net: going on from a partial result\n")
	got := parse(t, out)
	require.Len(t, got.Correct, 100)
	require.False(t, partial())
	out, _ = s.ok("--recompute", "ablate", "net", "--orders", "100", "--points", "6", "--json", "-")
	require.Equal(t, got.Correct, parse(t, out).Correct)
}

func TestPlan(t *testing.T) {
	s := newShell(t)
	s.net()
	args := []string{"ablate", "net", "--orders", "3", "--points", "9", "--plan"}
	table, progress := s.ok(args...)
	require.Contains(t, table, "Cumulative ablation of net")
	lines := regexp.MustCompile(`plan: cut at fc1\+fc2, .*
plan: 3 × \d+ passes, 3 × \S+ [MG]FLOP instead of \S+ [MG]FLOP
plan: at most \d+ MiB; about \d+\.\d s, timed on a part of the examples, and \d+\.\d s for compiling
`)
	require.Regexp(t, lines, progress, "before it is done")
	require.Less(t, lines.FindStringIndex(progress)[0], strings.Index(progress, "ablating net: "))
	done := "plan of this result: cut at fc1+fc2, "
	require.Contains(t, progress, done)

	again, progress := s.ok(args...)
	require.Equal(t, table, again)
	require.NotContains(t, progress, "plan: ", "nothing is done for what the store has")
	require.Contains(t, progress, done)

	_, progress = s.ok("ablate", "net", "--each", "--plan")
	require.Contains(t, progress, "plan: cut at fc2, ")
	_, progress = s.ok("noise", "net", "--repeats", "2", "--plan")
	require.Contains(t, progress, "plan: 2 × ")
}

func TestEach(t *testing.T) {
	s := newShell(t)
	s.net()
	out, progress := s.ok("ablate", "net", "--each", "--examples", "150", "--csv", "units.csv", "--json", "-")
	require.Contains(t, progress, "ablating single units of net: 3150 examples × edits in ")
	var a struct {
		Units, Examples int
		Impacts         []struct {
			Site      string
			Unit      int
			DeltaLoss float64 `json:"delta_loss"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &a))
	require.Equal(t, [2]int{20, 150}, [2]int{a.Units, a.Examples})
	require.Len(t, a.Impacts, 20)
	f, err := os.Open(s.path("units.csv"))
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 21)
	require.Equal(t, "site,unit,correct,examples,delta_loss,delta_accuracy,worst_class,worst_class_drop", strings.Join(rows[0], ","))
	worst := a.Impacts[0]
	for i, impact := range a.Impacts {
		require.Equal(t, []string{impact.Site, fmt.Sprint(impact.Unit)}, rows[1+i][:2])
		if impact.DeltaLoss > worst.DeltaLoss {
			worst = impact
		}
	}
	table, progress := s.ok("ablate", "net", "--each", "--examples", "150")
	require.Empty(t, progress, "from the store")
	require.Contains(t, table, "Units of net, each ablated alone: accuracy ")
	require.Regexp(t, fmt.Sprintf(`(?m)^----.*\n%s +%d `, worst.Site, worst.Unit), table, "what matters most comes first")
}

func TestWithin(t *testing.T) {
	s := newShell(t)
	s.net()
	for want, flags := range map[string]string{
		`--within "0.005": a number of percentage points with its unit`:  "--within 0.005",
		`--within "0.5%": a number of percentage points`:                 "--within 0.5%",
		`--within "pt": a number of percentage points`:                   "--within pt",
		`--within "0pt": a number of percentage points`:                  "--within 0pt",
		`--within "NaNpt": a number of percentage points`:                "--within NaNpt",
		`--within "50pt": a number of percentage points`:                 "--within 50pt",
		"--confidence says how sure --within is to be; give that too":    "--confidence 0.9",
		"--confidence 95: a probability of at least 0.5 and below 1":     "--within 1pt --confidence 95",
		"--confidence NaN: a probability of at least 0.5 and below":      "--within 1pt --confidence NaN",
		"--png and --each: single units have no orderings and no curve":  "--each --png x.png",
		"--orders and --each: single units have no orderings":            "--each --orders 2",
		"--points and --each: single units have no orderings":            "--each --points 2",
		"--seed and --each: single units have no orderings and no curve": "--each --seed 2",
	} {
		require.Contains(t, s.fails(append([]string{"ablate", "net"}, strings.Fields(flags)...)...), want)
	}
	require.Contains(t, s.fails("noise", "net", "--within", "1"), `--within "1": a number of percentage points`)

	on := []string{"--split", "test", "--within", "10pt", "--confidence", "0.9"}
	ablate := append([]string{"ablate", "net", "--orders", "2", "--points", "4"}, on...)
	table, _ := s.ok(append(ablate, "--png", "curve.svg", "--csv", "-")...)
	require.True(t, strings.HasPrefix(table, "order,k,fraction,correct,examples,accuracy,half_width\n"))
	text, err := os.ReadFile(s.path("curve.svg"))
	require.NoError(t, err)
	require.Regexp(t, `± s.d. over 2 orderings; each accuracy ± \S+ points at 90 % \(n = \d+( to \d+)? of 2000 examples\)`, string(text))
	table, progress := s.ok(ablate...)
	require.Empty(t, progress)
	require.Regexp(t, `AUC 0\.\d{4} ± 0\.\d{4}, relative 0\.\d{4}; each accuracy ± \S+ points at 90 %`, table)
	require.Contains(t, table, "mean ± at 90 %")
	out, _ := s.ok(append(ablate, "--json", "-")...)
	var a struct {
		Bounded struct {
			Within, Confidence float64
			Seed               uint64
			Used               []int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &a))
	require.Equal(t, [2]float64{.1, .9}, [2]float64{a.Bounded.Within, a.Bounded.Confidence})
	require.EqualValues(t, 1, a.Bounded.Seed)
	require.Less(t, slices.Max(a.Bounded.Used), 2000)

	table, _ = s.ok(append([]string{"ablate", "net", "--each", "--seed", "4"}, on...)...)
	require.Contains(t, table, "examples seen")
	table, _ = s.ok(append([]string{"noise", "net", "--repeats", "2", "--scales", "0.3,1"}, on...)...)
	require.Regexp(t, `Noise sweep of net; each accuracy ± \S+ points at 90 %`, table)
}

func TestTrainFollowsTheAUC(t *testing.T) {
	s := newShell(t)
	args := []string{"train", "--examples", "1000", "--net", "mlp:8", "--epochs", "6", "--batch", "50", "-q"}
	out, _ := s.ok(append(args, "--auc-every", "2", "--auc-within", "20pt")...)
	require.Regexp(t, `AUC of cumulative ablation, followed in training \(epoch 6\) +0\.\d+`, out)
	history, err := filepath.Glob(filepath.Join(s.home(), "runs", "*", "history.csv"))
	require.NoError(t, err)
	text, err := os.ReadFile(history[0])
	require.NoError(t, err)
	require.Regexp(t, `(?m)^1,.*,,$`, string(text))
	require.Regexp(t, `(?m)^2,.*,0\.\d+,0\.\d+$`, string(text))
	require.Contains(t, s.fails(append(args, "--auc-patience", "2")...), "go with --auc-every N")
	require.Contains(t, s.fails(append(args, "--auc-every", "2", "--auc-within", "half")...), `--auc-within: --within "half": a number of`)
	require.Contains(t, s.fails(append(args, "--auc-every", "0")...), "--auc-every is 0")
}
