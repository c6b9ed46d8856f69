package nb

import (
	"fmt"
	"html"
	"os"
	"time"

	"github.com/janpfeifer/gonb/gonbui"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

// Progress makes meters for long jobs. In a notebook a meter is one element that changes in place, about four times a
// second; at its end it says what was done but not how long it took, so that a notebook executed twice is the same file.
// Elsewhere it is lab.Terminal on standard error.
func Progress() lab.Progress {
	if !gonbui.IsNotebook {
		return lab.Terminal(os.Stderr)
	}
	return lab.Report(250*time.Millisecond, func() func(lab.State) {
		id := "progress-" + gonbui.UniqueId()
		return func(s lab.State) {
			gonbui.UpdateHTML(id, progressHTML(s))
			gonbui.Sync()
		}
	})
}

// progressHTML is one state of a meter: a bar with a line of text, at the end the line alone.
func progressHTML(s lab.State) string {
	if s.Ended {
		text := s.Title + ": done"
		if s.Total > 0 && s.Done < s.Total {
			text = s.Title + ": " + s.Count()
		}
		return "<div>" + html.EscapeString(text) + "</div>"
	}
	value := "" // without a value the bar shows activity only
	if s.Total > 0 {
		value = fmt.Sprintf(` value="%d" max="100"`, s.Percent())
	}
	return fmt.Sprintf(`<div><progress%s style="width:16em;vertical-align:middle"></progress> %s</div>`,
		value, html.EscapeString(s.String()))
}
