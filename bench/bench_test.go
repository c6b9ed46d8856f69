package main

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// small is a bench of tiny sizes without Python: its peers answer what a plain evaluation gives, with wrong(i) added to
// the count of set i, and say that each set has so many near-ties.
func small(t *testing.T, wrong func(i int) int, nearTies int) (*bench, network) {
	home, err := lab.Open(lab.Options{Home: t.TempDir()})
	require.NoError(t, err)
	engine, err := backend.Open("", home.Store().Dir())
	require.NoError(t, err)
	b := &bench{
		ctx: t.Context(), opt: options{repeats: 2}, lab: home, backend: engine, threads: 1,
		work: t.TempDir(), written: map[string]bool{},
	}
	set, err := datasets.Load("mnist10k")
	require.NoError(t, err)
	n, err := b.initial(source{spec: "mlp:6,5", set: set, part: "train"})
	require.NoError(t, err)
	b.ask = func(script string, r request) (answer, error) {
		require.Equal(t, n.file, r.Weights)
		require.FileExists(t, filepath.Join(b.work, r.Weights))
		require.FileExists(t, filepath.Join(b.work, r.Data+"-images.npy"))
		switch script + " " + r.Kind {
		case "hooks.py tune":
			require.Equal(t, []bool{false}, r.Formats) // memory formats are for convolutions
			return answer{Settings: Settings{Batch: r.Batches[0]}}, nil
		case "hooks.py near":
			near := make([]int, len(r.Sets))
			for i := range near {
				near[i] = nearTies
			}
			return answer{Near: near}, nil
		case "hooks.py ablate":
			require.NotZero(t, r.Batch)
			counts, err := b.correct(n, r.Examples, r.Sets)
			for i := range counts {
				counts[i] += wrong(i)
			}
			return answer{Correct: counts, Seconds: 8}, err
		case "layers.py impact":
			impact := map[string][]int{}
			for _, site := range r.Sites {
				s, err := unit.Find([]unit.Site{{Name: "fc1", Shape: []int{6}}, {Name: "fc2", Shape: []int{5}}}, site)
				require.NoError(t, err)
				counts, err := b.correct(n, r.Examples, impactSets([]unit.Site{s}, 1)[1:])
				require.NoError(t, err)
				impact[site] = counts
			}
			// The second of the two settings tried is the faster one, by image.
			return answer{Impact: impact, Seconds: 1 + float64(r.Batch)/float64(r.PerEval)}, nil
		}
		t.Fatalf("unexpected request %s to %s", r.Kind, script)
		return answer{}, nil
	}
	return b, n
}

func right(int) int { return 0 }

func TestCurveAgainstAPlainPeer(t *testing.T) {
	b, n := small(t, right, 0)
	c := curveWork{network: n, examples: 90, sites: []string{"fc1", "fc2"}, orders: 3, points: 5, batches: []int{40}}
	w, err := b.curve(c)
	require.NoError(t, err)
	require.Equal(t, Agreement{OK: true, Text: "11 counts equal", Counts: 11}, w.Answers) // 2 + 3 · (5 − 2)
	require.Equal(t, 11.0, w.Passes)
	require.Equal(t, Timing{Seconds: []float64{8, 8}, Scale: 1, First: w.Theirs.First}, w.Theirs)
	require.Len(t, w.Ours.Seconds, 2)
	require.Equal(t, "PyTorch hooks, batch 40", w.Peer)

	// 2 of 3 orderings are 8 of 11 passes, on 60 of 90 images.
	c.part = part{orders: 2, examples: 60}
	w, err = b.curve(c)
	require.NoError(t, err)
	require.Equal(t, "8 counts equal", w.Answers.Text)
	require.InDelta(t, 11./8*90/60, w.Theirs.Scale, 1e-12)
	require.InDelta(t, 8*11./8*90/60, w.Theirs.Best(), 1e-12)
	require.Equal(t, "2 of 3 orderings, 60 of 90 images", w.Theirs.Part)
}

func TestAWrongAnswerFails(t *testing.T) {
	wrong := func(i int) int {
		if i == 4 {
			return -2
		}
		return 0
	}
	b, n := small(t, wrong, 1)
	c := curveWork{network: n, examples: 90, sites: []string{"fc1", "fc2"}, orders: 3, points: 5, batches: []int{40}}
	w, err := b.curve(c)
	require.NoError(t, err)
	require.False(t, w.Answers.OK)
	require.Contains(t, w.Answers.Text, "but only 1 near-ties; 1 of 11 counts differ")
	r := &Report{}
	w.ID = "1"
	r.add(w)
	require.Len(t, r.disagreements(), 1)
	require.Contains(t, r.workloadTable(), "**differ**")
}

func TestCompareCounts(t *testing.T) {
	near := func(n ...int) func([]int) ([]int, error) {
		return func(sets []int) ([]int, error) {
			require.Equal(t, []int{1, 3}, sets, "only sets that differ are asked about")
			return n, nil
		}
	}
	ours, theirs := []int{5, 6, 7, 8}, []int{5, 7, 7, 6}
	a, err := compareCounts(ours, theirs, near(1, 4))
	require.NoError(t, err)
	text := "2 of 4 counts equal, the others off by 3 predictions, all near-ties of float32"
	require.Equal(t, Agreement{OK: true, Text: text, Counts: 4, Differ: 2, Predictions: 3, NearTies: 5}, a)
	a, err = compareCounts(ours, theirs, near(4, 1))
	require.NoError(t, err)
	require.False(t, a.OK, "near-ties of one set do not excuse another")
	_, err = compareCounts(ours, theirs, near(4))
	require.Error(t, err)
	_, err = compareCounts(ours, theirs[:3], near())
	require.Error(t, err)
}

func TestImpactAgainstPlainPeers(t *testing.T) {
	b, n := small(t, right, 0)
	c := impactWork{
		network: n, examples: 90, sites: []string{"fc1", "fc2"}, hooks: part{every: 4}, batches: []int{40},
		captum: part{examples: 30}, perEval: []Settings{{Batch: 20, PerEval: 1}, {Batch: 50, PerEval: 8}},
		bound: sample.Bound{Within: 0.2, Confidence: 0.9},
	}
	lines, err := b.impact(c)
	require.NoError(t, err)
	require.Len(t, lines, 3)
	w, v, u := lines[0], lines[1], lines[2]
	// Units 0, 4, 8 of 11, and no unit.
	require.Equal(t, "4 counts equal", w.Answers.Text)
	require.InDelta(t, 12./4, w.Theirs.Scale, 1e-12)
	require.Equal(t, "3 of 11 units", w.Theirs.Part)
	require.Equal(t, "11 counts equal", v.Answers.Text)
	require.InDelta(t, 90./30, v.Theirs.Scale, 1e-12)
	require.Equal(t, "Captum LayerFeatureAblation, batch 30, perturbations_per_eval 8", v.Peer)
	require.Equal(t, w.Ours, v.Ours)
	require.Equal(t, w.Theirs, u.Theirs)
	require.True(t, u.Answers.OK, u.Answers.Text)
	require.Contains(t, u.Answers.Text, "of 11 intervals hold")
}

func TestCompareBound(t *testing.T) {
	impacts := func(examples int, half float64, deltas ...float64) ablate.Impacts {
		r := ablate.Impacts{Examples: 100, Bound: sample.Bound{Within: 0.02, Confidence: 0.75}}
		for _, d := range deltas {
			seen := unit.Score{Examples: examples}
			r.Impacts = append(r.Impacts, ablate.Impact{DeltaAccuracy: d, HalfWidth: half, Score: seen})
		}
		return r
	}
	exact := impacts(100, 0, -0.1, 0, 0, 0)
	a := compareBound(exact, impacts(25, 0.02, -0.12, 0, 0.01, 0.03))
	text := "3 of 4 intervals hold the exact change, which is at most 3.00 percentage points away; 25 % of the images seen"
	require.Equal(t, Agreement{OK: true, Counts: 4, Text: text}, a)
	a = compareBound(exact, impacts(25, 0.02, -0.13, 0, 0.01, 0.03))
	require.False(t, a.OK, "2 of 4 are fewer than the confidence")
	require.False(t, compareBound(exact, impacts(25, 0.02, -0.1)).OK)
}

func TestCurveSets(t *testing.T) {
	sites := []unit.Site{{Name: "a", Shape: []int{2}}, {Name: "b", Shape: []int{4, 4, 2}}}
	sets := curveSets(sites, []int{0, 1, 3, 4}, [][]int{{2, 0, 3, 1}})
	require.Equal(t, [][]unit.Edit{
		{},
		{unit.Ablate("a", unit.Zero), unit.Ablate("b", unit.Zero)},
		{unit.Ablate("b", unit.Zero, 0)},
		{unit.Ablate("a", unit.Zero, 0), unit.Ablate("b", unit.Zero, 0, 1)},
	}, sets)
	r := ablate.Result{
		Baseline: unit.Score{Correct: 9}, AllAblated: &unit.Score{Correct: 1},
		Correct: [][]int{{9, 7, 6, 1}, {9, 8, 5, 1}},
	}
	require.Equal(t, []int{9, 1, 7, 6, 8, 5}, curveCounts(r))
}

func TestTiming(t *testing.T) {
	timing := Timing{Seconds: []float64{4, 2, 3}, Scale: 2.5}
	require.Equal(t, 5.0, timing.Best())
	require.Equal(t, 1.0, timing.Spread())
	require.Equal(t, "5.00 s (+100 %)", timing.String())
	require.Equal(t, "123 s", Timing{Seconds: []float64{123.4}, Scale: 1}.String())
	for n, want := range map[int]string{7: "7", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		require.Equal(t, want, thousands(n))
	}
}

func TestInterleave(t *testing.T) {
	var order string
	run := func(name string, s float64) side {
		return side{name, func() (float64, error) { order += name; return s, nil }}
	}
	taken, err := interleave(3, run("a", 1), run("b", 2), run("c", long+1))
	require.NoError(t, err)
	require.Equal(t, "abc"+"ba"+"ab", order) // c takes too long to be run again
	require.Equal(t, [][]float64{{1, 1, 1}, {2, 2, 2}, {long + 1}}, taken)
	_, err = interleave(1, side{"d", func() (float64, error) { return 0, context.Canceled }})
	require.ErrorIs(t, err, context.Canceled)
}

func TestCompareSweeps(t *testing.T) {
	// Accuracies 0.5 and 0.5 + d of 2 × 100 examples each: the standard error is √(0.25/100 · (1/2 + 1/2)) = 0.05.
	near := [][]int{{50}, {74}} // 0.62
	far := [][]int{{80}, {72}}  // 0.76: (m(1−m) = 0.63 · 0.37, so 5 standard errors are 0.241)
	half := [][]int{{50}, {50}}
	a, err := compareSweeps(half, near, 100)
	require.NoError(t, err)
	require.True(t, a.OK, a.Text)
	a, err = compareSweeps(half, far, 100)
	require.NoError(t, err)
	require.False(t, a.OK, a.Text)
	_, err = compareSweeps(half, [][]int{{1, 2}}, 100)
	require.Error(t, err)
}

func TestCompareLosses(t *testing.T) {
	for _, test := range []struct {
		ours []float64
		ok   bool
	}{
		{[]float64{1.0009, 0.5}, true},
		{[]float64{1.0011, 0.5}, false},
		{[]float64{1, 0.499}, false},
		{[]float64{math.NaN(), 0.5}, false},
	} {
		a, err := compareLosses("loss", test.ours, []float64{1, 0.5}, 1e-3)
		require.NoError(t, err)
		require.Equal(t, test.ok, a.OK, a.Text)
	}
	_, err := compareLosses("loss", []float64{1}, []float64{1, 0.5}, 1e-3)
	require.Error(t, err)
}

func TestFlopsAfter(t *testing.T) {
	array := func(shape ...int) nets.Array {
		size := 1
		for _, d := range shape {
			size *= d
		}
		return nets.Array{Shape: shape, Data: make([]float32, size)}
	}
	sites := []unit.Site{{Name: "conv1", Shape: []int{8, 8, 4}}, {Name: "conv2", Shape: []int{4, 4, 6}}}
	weights := map[string]nets.Array{
		"conv1.weight": array(4, 3, 3, 3), "conv2.weight": array(6, 4, 3, 3), "logits.weight": array(10, 96),
	}
	flops, err := flopsAfter(sites, weights, "conv1")
	require.NoError(t, err)
	require.Equal(t, float64(2*(6*4*3*3*4*4+10*96)), flops)
	flops, err = flopsAfter(sites, weights, "conv2")
	require.NoError(t, err)
	require.Equal(t, float64(2*10*96), flops)
	_, err = flopsAfter(sites, weights, "fc1")
	require.ErrorContains(t, err, `no site "fc1"`)
}

func TestWriteNumpy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.npy")
	require.NoError(t, writeNumpy(path, "<i4", []int{2, 3}, []int32{1, 2, 3, 4, 5, -1}))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	// The bytes that numpy 2.4 writes for np.array([[1, 2, 3], [4, 5, -1]], "<i4"), but for the spelling of the shape.
	header := "\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': (2,3,)}"
	require.Equal(t, header, string(text[:len(header)]))
	require.Len(t, text, 128+6*4)
	require.Equal(t, "\n\x01\x00\x00\x00\x02\x00\x00\x00", string(text[127:136]))
	require.Equal(t, "\xff\xff\xff\xff", string(text[148:]))
}

func TestReportKeepsProseAndOldResults(t *testing.T) {
	dir := t.TempDir()
	page := "# Title\n<!-- begin machine -->\nold\n<!-- end machine -->\nprose\n" +
		"<!-- begin workloads -->\n<!-- end workloads -->\n" +
		"<!-- begin growth -->\n<!-- end growth -->\n<!-- begin peak -->\n<!-- end peak -->\nlast words\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte(page), 0o644))
	whole := func(s float64) Timing { return Timing{Seconds: []float64{s}, Scale: 1} }
	line := func(id string, ours float64) Workload {
		return Workload{
			ID: id, What: "work " + id, Peer: "peer", Target: 5, Answers: Agreement{OK: true, Text: "equal"},
			Ours: whole(ours), Theirs: Timing{Seconds: []float64{4}, Scale: 2, Part: "half"},
		}
	}
	first := &Report{Date: "2026-01-01", Commit: "aaa", Threads: 2, Versions: map[string]string{"torch": "1"}}
	first.add(line("2", 1))
	first.add(line("1", 4))
	first.addGrowth(Growth{What: "images", Base: "base", Rows: []GrowthRow{
		{Size: 1000, Ours: whole(1), Theirs: whole(2), Answers: Agreement{OK: true}},
		{Size: 2000, Ours: whole(3), Theirs: whole(4), Answers: Agreement{OK: true}},
	}})
	require.NoError(t, first.write(dir))

	old, err := readReport(filepath.Join(dir, "results.json"))
	require.NoError(t, err)
	require.Equal(t, first, old)
	second := &Report{Date: "2026-01-02", Commit: "bbb", Threads: 2, Versions: map[string]string{"torch": "1"}}
	second.keep(old)
	second.add(line("1", 1))
	require.NoError(t, second.write(dir))
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	for _, want := range []string{
		"# Title\n", "\nprose\n", "\nlast words\n", "2026-01-02, commit bbb.",
		"| 1 | work 1 | peer | 8.00 s<br>measured on half, × 2 | 1.00 s | 8.0 × | ≥ 5 × | pass |",
		"equal (measured 2026-01-01, commit aaa) |", // line 2
		"| 2,000 | 4.00 s | 3.00 s | × 2.00 | × 3.00 | 1.3 × |",
	} {
		require.Contains(t, string(text), want)
	}
	require.NotContains(t, string(text), "old\n")
	require.Contains(t, first.workloadTable(), "| 2.0 × | ≥ 5 × | **fail** |")

	other := &Report{Threads: 1, Versions: map[string]string{"torch": "1"}}
	other.keep(old)
	require.Empty(t, other.Workloads, "results of another machine are not mixed in")

	_, err = replaceBetween(page, "nothing", "")
	require.ErrorContains(t, err, "<!-- begin nothing -->")
}

func TestOptions(t *testing.T) {
	opt, err := parseOptions([]string{"-only", "1,growth", "-dir", "x"})
	require.NoError(t, err)
	require.Equal(t, []string{"1", "growth"}, opt.only)
	require.Equal(t, filepath.Join("x", ".venv", "bin", "python"), opt.python)
	_, err = parseOptions([]string{"-only", "7"})
	require.ErrorContains(t, err, `no section "7"; choose from 1,2,3,4,5,6,growth,peak`)
	_, err = parseOptions([]string{"-repeats", "-1"})
	require.ErrorContains(t, err, "at least 1")
}

// The committed page has the places that the tables go to.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, copyPage(".", dir))
	require.NoError(t, (&Report{}).write(dir))
}
