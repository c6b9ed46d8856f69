package nb

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func TestMust(t *testing.T) {
	require.Equal(t, 3, Must(3, nil))
	cause := errors.New("data set \"mnits\":\n  not one of mnist, mnist10k")
	defer func() {
		err, ok := recover().(error)
		require.True(t, ok)
		require.EqualError(t, err, `data set "mnits": not one of mnist, mnist10k`, "one line")
		require.ErrorIs(t, err, cause)
	}()
	Must(0, cause)
}

func TestContextEndsOnInterrupt(t *testing.T) {
	ctx := Context()
	require.NoError(t, ctx.Err())
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT))
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the interrupt did not arrive")
	}
}

func drawing(t testing.TB, title string) *figure.Figure {
	f, err := figure.Curves(figure.Options{Title: title, Style: figure.Style{Width: 8, Height: 5}}, result.Curve{
		XAxis: result.Axis{Name: "Epoch"}, YAxis: result.Axis{Name: "Loss", Unit: "nats"},
		X: []float64{1, 2, 3}, Y: []float64{2.3, 1.1, 0.4},
	})
	require.NoError(t, err)
	return f
}

// both has a figure and a table, as the result of an experiment does.
type both struct {
	f   *figure.Figure
	err error
}

func (b both) Figure() (*figure.Figure, error) { return b.f, b.err }
func (b both) Table() result.Table {
	return result.Table{Columns: []result.Axis{{Name: "AUC"}}, Rows: [][]any{{.5}}}
}

func TestFiguresOutsideANotebookAreFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	t.Setenv("DIRECTIONS_OUT", dir)
	var out bytes.Buffer
	require.NoError(t, showOne(terminal{&out}, drawing(t, "Figure 1a: 100 % corrupted"), false))
	path := filepath.Join(dir, "figure-1a-100-corrupted.png")
	require.Equal(t, path+"\n", out.String())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(b, []byte("\x89PNG\r\n")))

	// Shown again, the file is replaced and nothing else is left.
	out.Reset()
	require.NoError(t, showOne(terminal{&out}, both{f: drawing(t, "Figure 1a: 100 % corrupted")}, false))
	require.Equal(t, path+"\nAUC\n───\n0.5\n", out.String(), "figure, then table")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := files[0].Info()
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode())

	// Without the variable the folder is out, below the working folder.
	t.Setenv("DIRECTIONS_OUT", "")
	t.Chdir(t.TempDir())
	out.Reset()
	require.NoError(t, showOne(terminal{&out}, drawing(t, ""), false))
	require.Equal(t, filepath.Join("out", "figure.png")+"\n", out.String())

	require.NoError(t, os.WriteFile("file", nil, 0o644))
	t.Setenv("DIRECTIONS_OUT", "file")
	require.ErrorContains(t, showOne(terminal{&out}, drawing(t, ""), false), "DIRECTIONS_OUT names another folder")
}

func TestShowRefusesWhatItCannotShow(t *testing.T) {
	cause := errors.New("no data")
	var none *figure.Figure
	for want, item := range map[string]any{
		"cannot show a int; it shows *figure.Figure": 7,
		"no data":                      cause,
		"got a nil *figure.Figure":     none,
		"cannot show a <nil>":          nil,
		"cannot show a []result.Curve": []result.Curve{},
	} {
		require.ErrorContains(t, showOne(terminal{&bytes.Buffer{}}, item, false), want)
	}
	require.NoError(t, showOne(terminal{&bytes.Buffer{}}, nil, true), "the nil error after a value")
	require.ErrorIs(t, showOne(terminal{&bytes.Buffer{}}, both{err: cause}, false), cause)
	require.PanicsWithError(t, "no data", func() { Show("text", cause) })
	require.Panics(t, func() { Show(nil) })
}

func TestSlug(t *testing.T) {
	for title, want := range map[string]string{
		"":                        "figure",
		"../../etc/passwd":        "etc-passwd",
		"— % —":                   "figure",
		"Ablation of 2 × 512 (σ)": "ablation-of-2-512-σ",
		strings.Repeat("ab ", 50): strings.Repeat("ab-", 26) + "ab",
	} {
		require.Equal(t, want, slug(title), title)
	}
}

func TestManifestTable(t *testing.T) {
	m := result.Manifest{
		Key: "ab12", Config: map[string]any{"widths": []int{512, 512}}, Seeds: map[string]uint64{"order": 2, "init": 1},
		Inputs: map[string]string{"mnist": "sha256:77"}, Versions: map[string]string{"go": "1.26"}, Backend: "xla:cpu",
		Seconds: 12.34, Narrowing: []string{"one seed", "10 orderings"},
	}
	require.Equal(t, [][]any{
		{"key", "ab12"}, {"configuration", `{"widths":[512,512]}`}, {"seed of init", "1"}, {"seed of order", "2"},
		{"input mnist", "sha256:77"}, {"version of go", "1.26"}, {"backend", "xla:cpu"}, {"computed in", "12.3 s"},
		{"narrower than the paper", "one seed; 10 orderings"},
	}, manifest(m).Rows)
	many := result.Manifest{Inputs: map[string]string{}}
	for i := range 20 {
		many.Inputs[fmt.Sprintf("network %02d", i)] = "k"
	}
	rows := manifest(many).Rows
	require.Len(t, rows, mostInputs+1)
	require.Equal(t, []any{"inputs", "8 more (all are in the result's file)"}, rows[mostInputs])

	long := manifest(result.Manifest{Config: strings.Repeat("x", 1000)}).Rows[0][1].(string)
	require.Less(t, len(long), 500)
	require.Contains(t, long, "the whole is in the result's file")
	require.Equal(t, "{Channel:<nil>}", manifest(result.Manifest{Config: struct{ Channel chan int }{}}).Rows[0][1])
}

func TestProgressOutsideANotebookIsTheTerminal(t *testing.T) {
	require.IsType(t, lab.Terminal(os.Stderr), Progress())
}

func TestProgressHTML(t *testing.T) {
	s := lab.State{Title: "training <f = 0>", What: "epochs", Done: 160, Total: 640, Elapsed: 4 * time.Second, Left: 12 * time.Second}
	require.Equal(t, `<div><progress value="25" max="100" style="width:16em;vertical-align:middle"></progress> `+
		`training &lt;f = 0&gt;: 25 % of 640 epochs, 4 s, about 12 s left</div>`, progressHTML(s))
	s.Total = 0
	require.Contains(t, progressHTML(s), "<progress style")
	s.Total, s.Ended = 640, true
	require.Equal(t, "<div>training &lt;f = 0&gt;: ended at 160 of 640 epochs</div>", progressHTML(s))
	s.Done = 640
	require.Equal(t, "<div>training &lt;f = 0&gt;: done</div>", progressHTML(s), "no time that would differ between runs")
}

func ExampleShow() {
	Show("Normalised **AUC** per share of corrupted labels:")
	Show(result.Table{
		Columns: []result.Axis{{Name: "Labels corrupted", Unit: "fraction"}, {Name: "AUC"}, {Name: "Units"}, {Name: "Memorised"}},
		Rows:    [][]any{{0.0, 0.71234, 1024, true}, {0.5, 0.41, 1024, true}, {1.0, nil, 1024, false}},
	})
	Show([]result.Claim{
		{Name: "1a: memorising networks fall faster", Test: "AUC(0) − max AUC > 3 s.d.", Found: "0.30 > 0.04", Passed: true},
	})
	// Output:
	// Normalised **AUC** per share of corrupted labels:
	// Labels corrupted (fraction)     AUC  Units  Memorised
	// ───────────────────────────  ──────  ─────  ─────────
	//                         0.0  0.7123   1024  yes
	//                         0.5  0.4100   1024  yes
	//                         1.0       –   1024  no
	// Claim                                Test                       Found        Holds
	// ───────────────────────────────────  ─────────────────────────  ───────────  ─────
	// 1a: memorising networks fall faster  AUC(0) − max AUC > 3 s.d.  0.30 > 0.04  ✓ yes
}

func ExampleMust() {
	half := func(n int) (int, error) {
		if n%2 != 0 {
			return 0, fmt.Errorf("%d is odd", n)
		}
		return n / 2, nil
	}
	fmt.Println(Must(half(8)))
	// Output: 4
}
