package nb

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Show shows items one below the other. An item is
//
//   - a *figure.Figure: a picture with its text alternative; outside a notebook a file <slug of the title>.png in the
//     folder that DIRECTIONS_OUT names, or out, whose path is printed;
//   - a result.Table: numbers to the right, a column's numbers with the same digits;
//   - a result.Claim or []result.Claim: a table that says in words whether each claim holds;
//   - a result.Manifest: a table of what determined the result;
//   - a string: Markdown;
//   - a value with the method Figure() (*figure.Figure, error) or Table() result.Table, or with both: its figure, then its
//     table;
//   - an error that is nil, so that Show(f()) works for f that returns (value, error).
//
// Show panics, as Must does, if an item is an error, cannot be drawn or written, or is something else.
func Show(items ...any) {
	for i, item := range items {
		Must0(showOne(screen(), item, i > 0))
	}
}

type (
	drawer interface {
		Figure() (*figure.Figure, error)
	}
	tabler interface{ Table() result.Table }
)

// output is where Show's items go: a notebook or a terminal.
type output interface {
	figure(f *figure.Figure) error
	table(t result.Table) error
	markdown(s string) error
}

func screen() output {
	if gonbui.IsNotebook {
		return notebook{}
	}
	return terminal{os.Stdout}
}

func showOne(out output, item any, nilAllowed bool) error {
	if v := reflect.ValueOf(item); v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("nb.Show: got a nil %T; was the error that came with it looked at?", item)
	}
	switch x := item.(type) {
	case nil:
		if nilAllowed {
			return nil
		}
	case error:
		return x
	case *figure.Figure:
		return out.figure(x)
	case result.Table:
		return out.table(x)
	case result.Claim:
		return out.table(claims([]result.Claim{x}))
	case []result.Claim:
		return out.table(claims(x))
	case result.Manifest:
		return out.table(manifest(x))
	case string:
		return out.markdown(x)
	}
	d, drawable := item.(drawer)
	t, tabular := item.(tabler)
	if !drawable && !tabular {
		return fmt.Errorf("nb.Show: cannot show a %T; it shows *figure.Figure, result.Table, result.Claim, []result.Claim, "+
			"result.Manifest, string, and values with a method Figure() (*figure.Figure, error) or Table() result.Table", item)
	}
	if drawable {
		f, err := d.Figure()
		if err != nil {
			return err
		}
		if err := out.figure(f); err != nil {
			return err
		}
	}
	if tabular {
		return out.table(t.Table())
	}
	return nil
}

// longConfig is how much of a configuration a manifest's table shows, in bytes.
const longConfig = 400

// mostInputs is how many of the inputs of a manifest are shown: figures of ensembles have one for each network.
const mostInputs = 12

// claims makes a table of claims.
func claims(cs []result.Claim) result.Table {
	t := result.Table{Columns: []result.Axis{{Name: "Claim"}, {Name: "Test"}, {Name: "Found"}, {Name: "Holds"}}}
	for _, c := range cs {
		verdict := "✗ no"
		if c.Passed {
			verdict = "✓ yes"
		}
		t.Rows = append(t.Rows, []any{c.Name, c.Test, c.Found, verdict})
	}
	return t
}

// manifest makes a table of a manifest, maps in the order of their keys.
func manifest(m result.Manifest) result.Table {
	t := result.Table{Title: "How this result came about", Columns: []result.Axis{{Name: "What"}, {Name: "Value"}}}
	row := func(what, value string) {
		if value != "" {
			t.Rows = append(t.Rows, []any{what, value})
		}
	}
	row("key", m.Key)
	if m.Config != nil {
		text, err := json.Marshal(m.Config)
		if err != nil {
			text = fmt.Appendf(nil, "%+v", m.Config)
		}
		if len(text) > longConfig {
			text = append(text[:longConfig:longConfig], " … (the whole is in the result's file)"...)
		}
		row("configuration", string(text))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Seeds)) {
		row("seed of "+name, fmt.Sprint(m.Seeds[name]))
	}
	for i, name := range slices.Sorted(maps.Keys(m.Inputs)) {
		if i == mostInputs {
			row("inputs", fmt.Sprintf("%d more (all are in the result's file)", len(m.Inputs)-mostInputs))
			break
		}
		row("input "+name, m.Inputs[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		row("version of "+name, m.Versions[name])
	}
	row("backend", m.Backend)
	row("machine", m.Machine)
	if m.Seconds > 0 {
		row("computed in", fmt.Sprintf("%.1f s", m.Seconds))
	}
	row("narrower than the paper", strings.Join(m.Narrowing, "; "))
	return t
}

// notebook sends items to the kernel.
type notebook struct{}

// pixelsPerCm is the CSS resolution: a figure is shown at its true size, with twice the pixels that takes.
const pixelsPerCm = 96 / 2.54

func (notebook) figure(f *figure.Figure) error {
	var png bytes.Buffer
	if err := f.WritePNG(&png); err != nil {
		return err
	}
	width, _ := f.Size()
	meta := map[string]any{"width": int(width*pixelsPerCm + 0.5), "alt": f.Alt()}
	return send(protocol.DisplayData{
		Data:     map[protocol.MIMEType]any{protocol.MIMEImagePNG: png.Bytes(), protocol.MIMETextPlain: f.Alt()},
		Metadata: map[string]any{string(protocol.MIMEImagePNG): meta},
	})
}

func (notebook) table(t result.Table) error {
	return send(protocol.DisplayData{Data: map[protocol.MIMEType]any{
		protocol.MIMETextHTML: tableHTML(t), protocol.MIMETextPlain: tableText(t),
	}})
}

func (notebook) markdown(s string) error {
	return send(protocol.DisplayData{Data: map[protocol.MIMEType]any{
		protocol.MIMETextMarkdown: s, protocol.MIMETextPlain: s,
	}})
}

// send gives data to the kernel and waits until it has them: what is still on its way when a cell's program ends is lost.
func send(data protocol.DisplayData) error {
	gob.Register(map[string]any{}) // nested metadata cross the kernel's pipe as gob
	gonbui.SendData(&data)
	gonbui.Sync()
	if err := gonbui.Error(); err != nil {
		return fmt.Errorf("nb.Show: the notebook kernel cannot be reached: %w", err)
	}
	return nil
}

// terminal prints items, and writes figures to files.
type terminal struct{ w io.Writer }

func (o terminal) figure(f *figure.Figure) error {
	dir := os.Getenv("DIRECTIONS_OUT")
	if dir == "" {
		dir = "out"
	}
	path := filepath.Join(dir, slug(f.Title())+".png")
	if err := writeFigure(f, path); err != nil {
		return fmt.Errorf("nb.Show: cannot write the figure (DIRECTIONS_OUT names another folder): %w", err)
	}
	_, err := fmt.Fprintln(o.w, path)
	return err
}

// writeFigure replaces the file as a whole, so that a viewer never sees half a picture.
func writeFigure(f *figure.Figure, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".figure-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	err = f.WritePNG(file)
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(file.Name(), 0o644); err != nil { // temporary files are private
		return err
	}
	return os.Rename(file.Name(), path)
}

func (o terminal) table(t result.Table) error {
	_, err := io.WriteString(o.w, tableText(t))
	return err
}

func (o terminal) markdown(s string) error {
	_, err := fmt.Fprintln(o.w, s)
	return err
}

// slug turns a title into a file name: letters and digits in lower case, everything else one hyphen, at most 80 characters.
func slug(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	name := []rune(strings.Join(words, "-"))
	if len(name) == 0 {
		return "figure"
	}
	return strings.TrimRight(string(name[:min(len(name), 80)]), "-")
}
