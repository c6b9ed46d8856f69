package main

import (
	"fmt"
	"log"
	"slices"
)

// Timing is what one side took. Seconds are of the part that was run; Scale is the number of passes of the whole over
// those of the part, so that Scale · min(Seconds) is the time of the whole.
type Timing struct {
	First   float64   `json:"first_call"` // seconds of the first call, in which graphs are compiled
	Seconds []float64 `json:"seconds"`    // of each measured run after it
	Scale   float64   `json:"scale"`      // 1: the whole was run
	Part    string    `json:"part,omitempty"`
}

// Best is the seconds of the whole: those of the fastest run, scaled. The minimum is what the machine can do; what other
// programs take away only adds.
func (t Timing) Best() float64 { return slices.Min(t.Seconds) * t.Scale }

// Spread is how much longer the slowest run took than the fastest, as a fraction.
func (t Timing) Spread() float64 { return slices.Max(t.Seconds)/slices.Min(t.Seconds) - 1 }

// String is the seconds of the whole, with the spread if it was run more than once: "12.3 s (+4 %)".
func (t Timing) String() string {
	text := seconds(t.Best())
	if len(t.Seconds) > 1 {
		text += fmt.Sprintf(" (+%.0f %%)", 100*t.Spread())
	}
	return text
}

// seconds writes a time with three digits.
func seconds(s float64) string {
	switch {
	case s < 0.1:
		return fmt.Sprintf("%.1f ms", 1000*s)
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.0f s", s)
}

// thousands writes 12345 as 12,345.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// side runs its work once and gives the seconds it took.
type side struct {
	name string
	run  func() (float64, error)
}

// long is the seconds from which work is run only once.
const long = 120

// interleave runs the sides in turn, so that a machine that slows down does so for all of them, every other round in the
// opposite order. It gives each side's seconds of each round.
func interleave(rounds int, sides ...side) ([][]float64, error) {
	taken := make([][]float64, len(sides))
	for round := range rounds {
		for i := range sides {
			if round%2 == 1 {
				i = len(sides) - 1 - i
			}
			if round > 0 && taken[i][0] > long {
				continue
			}
			s, err := sides[i].run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
			log.Printf("  %-20s %s", sides[i].name, seconds(s))
			taken[i] = append(taken[i], s)
		}
	}
	return taken, nil
}
