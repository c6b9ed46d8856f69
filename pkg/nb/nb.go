// Package nb shows results inside a notebook cell, and does the sensible thing outside one.
//
// In a cell of a GoNB kernel figures appear as PNG with a text alternative, tables as HTML with one, strings as Markdown;
// every function returns only once the kernel has what was sent, because a cell's program ends right after its last line.
// The same program run by hand writes figures to files and prints their paths, tables and text on standard output.
//
// Cells are short because of Must and Show:
//
//	nb.Show(figure.Curves(figure.Options{Title: "Figure 1a"}, curves...))
//	data := nb.Must(datasets.Load(...))
//
// Both panic on an error, which ends the cell with the message; programs other than cells should handle errors instead.
package nb

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// failure is an error as one line, so that it reads well at the end of a cell.
type failure struct{ error }

func (f failure) Error() string { return strings.Join(strings.Fields(f.error.Error()), " ") }
func (f failure) Unwrap() error { return f.error }

// Must returns v, or panics with the error as one line.
func Must[T any](v T, err error) T {
	Must0(err)
	return v
}

// Must0 is Must for functions that return an error only.
func Must0(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// Context is cancelled when the cell is interrupted (the square button, which sends SIGINT) or the program is asked to end
// (SIGTERM): long jobs that get it save what they have and return. A second signal ends the program at once. GoNB kills a
// cell that is still there five seconds after an interrupt.
func Context() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal finds the default behaviour
	return ctx
}
