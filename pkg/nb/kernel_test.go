//go:build unix

package nb

import (
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/janpfeifer/gonb/gonbui/protocol"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// TestMain runs cell instead of the tests in the process that inKernel starts.
func TestMain(m *testing.M) {
	if os.Getenv("NB_TEST_CELL") != "" {
		cell()
		os.Exit(0) // at once, as a cell's program may
	}
	os.Exit(m.Run())
}

// cell is what a notebook's cell does.
func cell() {
	meter := Progress().Start("training", 2, "epochs")
	meter.Advance(2)
	meter.Done()
	Show(drawing(cellTest{}, "Loss"), nil)
	Show(result.Table{Title: "AUC", Columns: []result.Axis{{Name: "AUC"}}, Rows: [][]any{{.5}}}, "some *text*")
}

// cellTest is the testing.TB of the cell's process: it ends it.
type cellTest struct{ testing.TB }

func (cellTest) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (cellTest) FailNow()                          { panic("failed") }
func (cellTest) Helper()                           {}

// inKernel runs cell as a kernel does, with pipes for its output, and returns what it sent. Each message must be
// acknowledged before the cell goes on; a message after which it does not wait would show as one too few.
func inKernel(t *testing.T) (shown []protocol.DisplayData) {
	t.Helper()
	there, back := filepath.Join(t.TempDir(), "there"), filepath.Join(t.TempDir(), "back")
	require.NoError(t, syscall.Mkfifo(there, 0o600))
	require.NoError(t, syscall.Mkfifo(back, 0o600))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NB_TEST_CELL=1", protocol.GONB_PIPE_ENV+"="+there, protocol.GONB_PIPE_BACK_ENV+"="+back)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	watchdog := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer watchdog.Stop()

	gob.Register(map[string]any{})
	in, err := os.Open(there)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(back, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer out.Close()
	dec, enc := gob.NewDecoder(in), gob.NewEncoder(out)
	var waiting []protocol.DisplayData
	for {
		var data protocol.DisplayData
		if err := dec.Decode(&data); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
		sync, ok := data.Data[protocol.MIMECommValue].(protocol.CommValue)
		if !ok {
			waiting = append(waiting, data)
			continue
		}
		require.Len(t, waiting, 1, "one acknowledgement for each output")
		shown, waiting = append(shown, waiting...), nil
		require.NoError(t, enc.Encode(protocol.CommValue{Address: protocol.GonbuiSyncAckAddress, Value: sync.Value}))
	}
	require.Empty(t, waiting, "the cell ended before the kernel had everything")
	require.NoError(t, cmd.Wait())
	return shown
}

func TestInsideANotebook(t *testing.T) {
	t.Setenv("DIRECTIONS_OUT", filepath.Join(t.TempDir(), "never"))
	shown := inKernel(t)
	require.Len(t, shown, 5)

	// The meter: its first and its last state, in one element.
	require.Equal(t, `<div><progress value="0" max="100" style="width:16em;vertical-align:middle"></progress> `+
		`training: 0 % of 2 epochs</div>`, shown[0].Data[protocol.MIMETextHTML])
	require.Equal(t, "<div>training: done</div>", shown[1].Data[protocol.MIMETextHTML])
	require.NotEmpty(t, shown[0].DisplayID)
	require.Equal(t, shown[0].DisplayID, shown[1].DisplayID)

	// The figure, at its size in CSS pixels: 8 cm are 302.4 of them.
	f := drawing(t, "Loss")
	require.Equal(t, f.Alt(), shown[2].Data[protocol.MIMETextPlain])
	require.Equal(t, map[string]any{"image/png": map[string]any{"width": 302, "alt": f.Alt()}}, shown[2].Metadata)
	require.Equal(t, "\x89PNG", string(shown[2].Data[protocol.MIMEImagePNG].([]byte)[:4]))

	require.Contains(t, shown[3].Data[protocol.MIMETextHTML], "<td")
	require.Equal(t, "AUC\nAUC\n───\n0.5\n", shown[3].Data[protocol.MIMETextPlain])
	require.Equal(t, "some *text*", shown[4].Data[protocol.MIMETextMarkdown])
	require.NoDirExists(t, os.Getenv("DIRECTIONS_OUT"), "no files from a notebook")
}
