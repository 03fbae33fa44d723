package report

import (
	"image/color"
	"slices"
	"strconv"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Colours that can be told apart by everybody (Okabe and Ito).
var (
	blue    = color.NRGBA{0, 114, 178, 255}
	orange  = color.NRGBA{230, 159, 0, 255}
	red     = color.NRGBA{213, 94, 0, 255}
	green   = color.NRGBA{0, 158, 115, 255}
	purple  = color.NRGBA{204, 121, 167, 255}
	sky     = color.NRGBA{86, 180, 233, 255}
	grey    = color.NRGBA{150, 150, 150, 255}
	palette = []color.NRGBA{
		sky, orange, green, purple, {240, 228, 66, 255}, blue, red, grey,
	}
)

// clear returns a colour that what is behind it shines through.
func clear(c color.NRGBA, alpha uint8) color.Color {
	c.A = alpha
	return c
}

// The sorts of faults, by their colours.
var faultKeys = []key{{"killed", red}, {"network", blue}, {"paused", orange}, {"disk", purple}, {"planned", green}, {"machine", grey}}

// inkOf returns the colour of a fault.
func inkOf(v script.Verb) color.NRGBA {
	switch {
	case isNetwork(v):
		return blue
	case v == script.Disk:
		return purple
	case v == script.Pause || v == script.Clock:
		return orange
	case v == script.Join || v == script.Leave || v == script.Drain || v == script.Heal || v == script.Calm:
		return green
	case v == workload.Stall:
		return grey
	}
	return red
}

// shade draws faults as bands behind a plot.
type shade struct{ bands []workload.Band }

// Plot draws the bands.
func (s *shade) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for _, b := range s.bands {
		if b.End <= b.Begin {
			continue
		}
		c.FillPolygon(clear(inkOf(b.Verb), 28), box(x(b.Begin.Seconds()), c.Min.Y, x(b.End.Seconds()), c.Max.Y))
	}
}

func box(x1, y1, x2, y2 vg.Length) []vg.Point {
	return []vg.Point{{X: x1, Y: y1}, {X: x2, Y: y1}, {X: x2, Y: y2}, {X: x1, Y: y2}}
}

// mark draws a line at a time.
type mark struct{ at float64 }

// Plot draws the line.
func (m *mark) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	style := draw.LineStyle{Color: grey, Width: 0.8, Dashes: []vg.Length{4, 3}}
	c.StrokeLine2(style, x(m.at), c.Min.Y, x(m.at), c.Max.Y)
}

const (
	maxLabelBytes   = 44  // of a fault's text are its label
	maxFindingBytes = 180 // of the first finding are in the head
)

func clip(s string, limit int) string {
	if len(s) > limit {
		return s[:limit-2] + ".."
	}
	return s
}

// gantt draws each fault as a bar with its name, in its lane.
type gantt struct {
	bands []workload.Band
	lanes []int
	text  text.Style
}

// Plot draws the bars, the first lane on top.
func (g *gantt) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := g.text
	style.Font.Size, style.XAlign, style.YAlign, style.Color = 8, draw.XLeft, draw.YCenter, color.Black
	for i, b := range g.bands {
		top := p.Y.Max - float64(g.lanes[i])
		if top < 1 {
			continue
		}
		from, to := x(b.Begin.Seconds()), x(b.End.Seconds())
		ink := inkOf(b.Verb)
		c.FillPolygon(clear(ink, 110), box(from, y(top-0.92), max(to, from+1.5), y(top-0.08)))
		c.FillPolygon(ink, box(from, y(top-0.92), from+1.5, y(top-0.08)))
		label := clip(b.Text, maxLabelBytes)
		at := vg.Point{X: from + 4, Y: y(top - 0.5)}
		if over := at.X + style.Width(label) - c.Max.X; over > 0 {
			at.X -= over
		}
		c.FillText(style, at, label)
	}
}

// strips draws who owned which slot.
type strips struct {
	stays []stay
	rows  []int
	ink   map[string]color.NRGBA
	text  text.Style
}

// Plot draws a strip for each stay, from its first answer to its last, which is pale
// where none came.
func (s *strips) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := s.text
	style.Font.Size, style.XAlign, style.YAlign, style.Color = 7, draw.XLeft, draw.YCenter, color.Black
	for i, t := range s.stays {
		low := float64(s.rows[i])
		from, to := x(t.first().Seconds()), x(t.last().Seconds())
		ink, known := s.ink[t.owner]
		if !known {
			ink = grey
		}
		c.FillPolygon(clear(ink, 60), box(from, y(low+0.1), to, y(low+0.9)))
		for _, p := range t.spans {
			begin := x(p.begin.Seconds())
			c.FillPolygon(ink, box(begin, y(low+0.1), max(x(p.end.Seconds()), begin+1.5), y(low+0.9)))
		}
		c.StrokeLine2(draw.LineStyle{Color: color.Black, Width: 0.8}, from, y(low+0.1), from, y(low+0.9))
		label := strconv.FormatUint(t.epoch, 10)
		if to-from > style.Width(label)+4 {
			c.FillText(style, vg.Point{X: from + 2.5, Y: y(low + 0.5)}, label)
		}
	}
}

// key is an entry of a legend.
type key struct {
	name string
	ink  color.NRGBA
}

// heading draws a panel's title on the left above it, and its legend on the right.
type heading struct {
	title string
	keys  []key
	text  text.Style
}

// Plot draws the heading.
func (h *heading) Plot(c draw.Canvas, _ *plot.Plot) {
	const above, swatch, apart = 5, 10, 14
	style := h.text
	style.Font.Size, style.XAlign, style.YAlign, style.Color = 10, draw.XLeft, draw.YBottom, color.Black
	style.Font.Weight = 2 // bold
	c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y + above}, h.title)
	style.Font.Weight, style.Font.Size = 0, 9
	right := c.Max.X
	for _, k := range slices.Backward(h.keys) {
		right -= style.Width(k.name)
		c.FillText(style, vg.Point{X: right, Y: c.Max.Y + above}, k.name)
		c.FillPolygon(k.ink, box(right-swatch-3, c.Max.Y+above, right-3, c.Max.Y+above+7))
		right -= swatch + 3 + apart
	}
}
