package figure

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Grid sets finished figures side by side in rows of cols, as panels a, b, c, … with their letters. Each panel keeps its
// size; a column is as wide as its widest panel and a row as high as its highest. It needs 1 to 26 panels, and a panel
// cannot be a grid itself.
func Grid(cols int, panels ...*Figure) (*Figure, error) {
	if cols < 1 {
		return nil, fmt.Errorf("figure grid: %d columns, at least one is needed", cols)
	}
	if len(panels) < 1 || len(panels) > 26 {
		return nil, fmt.Errorf("figure grid: %d panels, between 1 and 26 can be named by letters", len(panels))
	}
	for i, p := range panels {
		if p == nil {
			return nil, fmt.Errorf("figure grid: panel %d is nil (was the error that came with it looked at?)", i)
		}
		if _, isGrid := p.drawing.(*grid); isGrid {
			return nil, fmt.Errorf("figure grid: panel %d is a grid itself: give its panels one by one", i)
		}
	}
	return &Figure{&grid{cols: min(cols, len(panels)), panels: slices.Clone(panels)}}, nil
}

type grid struct {
	cols   int
	panels []*Figure
}

func (g *grid) letter(i int) string { return string(rune('a' + i)) }

// tracks gives the widths of the columns and the heights of the rows.
func (g *grid) tracks() (widths, heights []vg.Length) {
	widths = make([]vg.Length, g.cols)
	heights = make([]vg.Length, (len(g.panels)+g.cols-1)/g.cols)
	for i, p := range g.panels {
		w, h := p.drawing.size(g.letter(i))
		widths[i%g.cols], heights[i/g.cols] = max(widths[i%g.cols], w), max(heights[i/g.cols], h)
	}
	return widths, heights
}

func sum(lengths []vg.Length) (total vg.Length) {
	for _, l := range lengths {
		total += l
	}
	return total
}

func (g *grid) size(string) (width, height vg.Length) {
	widths, heights := g.tracks()
	return sum(widths), sum(heights)
}

func (g *grid) draw(c draw.Canvas, _ string) {
	widths, heights := g.tracks()
	for i, p := range g.panels {
		cell := c
		cell.Min.X += sum(widths[:i%g.cols])
		cell.Max.Y -= sum(heights[:i/g.cols])
		p.drawing.draw(cell, g.letter(i))
	}
}

func (g *grid) title() string {
	for _, p := range g.panels {
		if t := p.Title(); t != "" {
			return t
		}
	}
	return ""
}

func (g *grid) alt() string {
	parts := []string{fmt.Sprintf("Figure with %d panels", len(g.panels))}
	for i, p := range g.panels {
		parts = append(parts, "Panel "+g.letter(i)+": "+p.Alt())
	}
	return sentence(parts...)
}
