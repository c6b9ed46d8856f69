package figure

import (
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// frame is what every figure with two axes has: title above, caption below, legend to the right, axes, and in the middle
// the data, which paint draws. It implements the layout of drawing.
type frame struct {
	style       Style
	heading     string
	caption     []string
	x, y        axis
	legendTitle string
	legend      []entry
	notes       []string // small print under the legend
	paint       func(c draw.Canvas, x, y func(float64) vg.Length)
}

// axis is one axis with its label and its ticks, which lie between lo and hi.
type axis struct {
	label  string
	lo, hi float64
	log    bool
	ticks  []plot.Tick
}

// entry is one line of the legend: sample draws a small piece of what the name stands for.
type entry struct {
	name   string
	sample func(c draw.Canvas)
}

// Lengths in points, for a font size of 10; they grow with it.
const (
	margin      = 7
	gap         = 6
	sampleWidth = 24
	legendShare = 0.36 // of the width: longer names are wrapped
	legendFloor = 100  // the notes under a narrow legend may be this wide
)

// layout is where everything goes, in a canvas whose lower left corner is (0, 0).
type layout struct {
	width, height vg.Length
	title         []string
	titleX        vg.Length
	caption       []string
	legend        [][]string // for each entry its lines
	legendTitle   []string
	notes         []string
	legendX       vg.Length
	body          vg.Rectangle // axes and data
	data          vg.Rectangle
	captionTop    vg.Length

	titleFace, textFace, boldFace, smallFace letters
}

func (f *frame) unit() vg.Length { return vg.Length(f.style.FontSize) / 10 }

func (f *frame) arrange(letter string) layout {
	u := f.unit()
	size := vg.Length(f.style.FontSize)
	l := layout{
		width:     vg.Length(f.style.Width) * vg.Centimeter,
		titleFace: face(size, ink, true),
		textFace:  face(.9*size, ink, false),
		boldFace:  face(.9*size, ink, true),
		smallFace: face(.8*size, fine, false),
	}
	room := l.width - 2*margin*u
	l.titleX = margin * u
	if letter != "" {
		l.titleX += l.titleFace.Width(letter) + 1.5*gap*u
	}
	l.title = l.titleFace.wrap(f.heading, l.width-margin*u-l.titleX)
	for _, line := range f.caption {
		l.caption = append(l.caption, l.smallFace.wrap(line, room)...)
	}

	// The legend is as wide as it needs to be, up to its share.
	limit := legendShare * l.width
	names := limit - (sampleWidth+gap)*u
	var widest vg.Length
	for _, e := range f.legend {
		lines := l.textFace.wrap(e.name, names)
		l.legend = append(l.legend, lines)
		for _, line := range lines {
			widest = max(widest, (sampleWidth+gap)*u+l.textFace.Width(line))
		}
	}
	l.legendTitle = l.boldFace.wrap(f.legendTitle, limit)
	for _, line := range l.legendTitle {
		widest = max(widest, l.boldFace.Width(line))
	}
	if len(f.notes) > 0 {
		noteWidth := min(limit, max(widest, legendFloor*u))
		for _, note := range f.notes {
			l.notes = append(l.notes, l.smallFace.wrap(note, noteWidth)...)
		}
		for _, line := range l.notes {
			widest = max(widest, l.smallFace.Width(line))
		}
	}

	headHeight := margin * u
	if len(l.title) > 0 || letter != "" {
		headHeight += vg.Length(max(len(l.title), 1))*l.titleFace.lineHeight() + gap*u
	}
	footHeight := margin * u
	if n := len(l.caption); n > 0 {
		footHeight += gap*u + vg.Length(n)*l.smallFace.lineHeight()
	}
	bodyHeight := max(vg.Length(f.style.Height)*vg.Centimeter, f.legendHeight(l)+4*margin*u)
	l.height = headHeight + bodyHeight + footHeight
	l.captionTop = footHeight - gap*u
	l.body = vg.Rectangle{
		Min: vg.Point{X: margin * u, Y: footHeight},
		Max: vg.Point{X: l.width - margin*u, Y: footHeight + bodyHeight},
	}
	if widest > 0 {
		l.legendX = l.body.Max.X - widest
		l.body.Max.X = l.legendX - 2*gap*u
	}
	l.data = f.axes(l).DataCanvas(draw.Canvas{Rectangle: l.body}).Rectangle
	return l
}

func (f *frame) legendHeight(l layout) vg.Length {
	h := vg.Length(len(l.legendTitle)) * l.boldFace.lineHeight()
	for _, lines := range l.legend {
		h += vg.Length(len(lines))*l.textFace.lineHeight() + f.entryGap()
	}
	if len(l.notes) > 0 {
		h += gap*f.unit() + vg.Length(len(l.notes))*l.smallFace.lineHeight()
	}
	return h
}

func (f *frame) entryGap() vg.Length { return 2 * f.unit() }

func (f *frame) size(letter string) (width, height vg.Length) {
	l := f.arrange(letter)
	return l.width, l.height
}

func (f *frame) title() string { return f.heading }

// axes makes the gonum plot that draws axes, grid and data.
func (f *frame) axes(l layout) *plot.Plot {
	u := f.unit()
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []struct {
		to   *plot.Axis
		from axis
	}{{&p.X, f.x}, {&p.Y, f.y}} {
		a.to.Min, a.to.Max = a.from.lo, a.from.hi
		if a.from.log {
			a.to.Scale = plot.LogScale{}
		}
		a.to.Label.Text = a.from.label
		a.to.Label.TextStyle = face(vg.Length(f.style.FontSize), ink, false).axisText(draw.XCenter, draw.YBottom)
		a.to.Label.Padding = 3 * u
		a.to.Tick.Marker = plot.ConstantTicks(a.from.ticks)
		a.to.Tick.Length = 4 * u
		a.to.Tick.LineStyle = draw.LineStyle{Color: ink, Width: .6 * u}
		a.to.LineStyle = draw.LineStyle{Color: ink, Width: .6 * u}
		a.to.Padding = 3 * u
	}
	p.X.Tick.Label = l.textFace.axisText(draw.XCenter, draw.YTop)
	p.Y.Tick.Label = l.textFace.axisText(draw.XRight, draw.YCenter)
	p.Add(painter{f})
	return p
}

// painter draws the grid and the data into the data area of a plot.
type painter struct{ *frame }

func (f painter) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	grid := draw.LineStyle{Color: gridGrey, Width: .6 * f.unit()}
	for _, t := range f.x.ticks {
		if !t.IsMinor() {
			c.StrokeLine2(grid, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
		}
	}
	for _, t := range f.y.ticks {
		if !t.IsMinor() {
			c.StrokeLine2(grid, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
	f.paint(c, x, y)
}

// draw puts the frame into the upper left corner of c.
func (f *frame) draw(c draw.Canvas, letter string) {
	l := f.arrange(letter)
	u := f.unit()
	c.Push()
	defer c.Pop()
	c.Translate(vg.Point{X: c.Min.X, Y: c.Max.Y - l.height})
	page := draw.NewCanvas(c.Canvas, l.width, l.height)

	top := l.height - margin*u
	if letter != "" {
		l.titleFace.write(page, vg.Point{X: margin * u, Y: top}, letter)
	}
	l.titleFace.write(page, vg.Point{X: l.titleX, Y: top}, l.title...)
	l.smallFace.write(page, vg.Point{X: margin * u, Y: l.captionTop}, l.caption...)
	f.axes(l).Draw(draw.Canvas{Canvas: page.Canvas, Rectangle: l.body})

	at := vg.Point{X: l.legendX, Y: l.data.Max.Y}
	l.boldFace.write(page, at, l.legendTitle...)
	at.Y -= vg.Length(len(l.legendTitle)) * l.boldFace.lineHeight()
	for i, lines := range l.legend {
		at.Y -= f.entryGap()
		base, capital := at.Y-l.textFace.Extents().Ascent, .73*l.textFace.Font.Size
		f.legend[i].sample(draw.Canvas{Canvas: page.Canvas, Rectangle: vg.Rectangle{ // centred on the capital letters
			Min: vg.Point{X: at.X, Y: base - u},
			Max: vg.Point{X: at.X + sampleWidth*u, Y: base + capital + u},
		}})
		l.textFace.write(page, at.Add(vg.Point{X: (sampleWidth + gap) * u}), lines...)
		at.Y -= vg.Length(len(lines)) * l.textFace.lineHeight()
	}
	at.Y -= gap * u
	l.smallFace.write(page, at, l.notes...)
}

// sentence joins parts of a text alternative: each part ends with one full stop.
func sentence(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, strings.TrimSuffix(p, ".")+".")
		}
	}
	return strings.Join(out, " ")
}
