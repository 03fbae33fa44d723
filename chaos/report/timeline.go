package report

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a timeline. Faults and owners take as much height as they need.
const (
	width         = vg.Length(1100)
	rateHeight    = vg.Length(170)
	laneHeight    = vg.Length(13)
	slotHeight    = vg.Length(11)
	frameHeight   = vg.Length(44) // of a panel's title and axis
	margin        = vg.Length(10)
	gap           = vg.Length(8)
	titleHeight   = vg.Length(26)
	findingHeight = vg.Length(18)
	dpi           = 96
	maxLanes      = 30
	maxSlots      = 32
)

// panel is one part of the picture.
type panel struct {
	plot   *plot.Plot
	height vg.Length
}

// SVG writes the timeline as SVG.
func (r *Report) SVG(w io.Writer) error {
	panels, height, err := r.panels()
	if err != nil {
		return err
	}
	c := vgsvg.New(width, height)
	r.draw(draw.New(c), panels)
	_, err = c.WriteTo(w)
	return err
}

// PNG writes the timeline as PNG.
func (r *Report) PNG(w io.Writer) error {
	panels, height, err := r.panels()
	if err != nil {
		return err
	}
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(color.White))
	r.draw(draw.New(c), panels)
	_, err = vgimg.PngCanvas{Canvas: c}.WriteTo(w)
	return err
}

// draw draws the panels below each other, with their times one above the other.
func (r *Report) draw(c draw.Canvas, panels []panel) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	word, ink := "PASS", green
	if !r.Passed() {
		word, ink = fmt.Sprintf("FAIL (%d findings)", len(r.Findings)), red
	}
	style := panels[0].plot.Title.TextStyle
	style.Font.Size, style.Color, style.XAlign, style.YAlign = 14, ink, draw.XLeft, draw.YTop
	c.FillText(style, vg.Point{X: c.Min.X + margin, Y: c.Max.Y - margin}, word)
	style.Color = color.Black
	shift := style.Width(word + "   ")
	c.FillText(style, vg.Point{X: c.Min.X + margin + shift, Y: c.Max.Y - margin},
		fmt.Sprintf("%s on %v, seed %d", r.Name, r.Engine, r.Run.Plan.Seed))

	if !r.Passed() {
		style.Font.Size, style.Color = 10, red
		first := strings.Join(strings.Fields(r.Findings[0].String()), " ")
		c.FillText(style, vg.Point{X: c.Min.X + margin, Y: c.Max.Y - margin - titleHeight}, clip(first, maxFindingBytes))
	}
	top := c.Max.Y - margin - r.headHeight()
	var left, right vg.Length
	for _, p := range panels {
		in := p.plot.DataCanvas(part(c, top, p.height))
		left = max(left, in.Min.X-c.Min.X)
		right = max(right, c.Max.X-in.Max.X)
	}
	for _, p := range panels {
		area := part(c, top, p.height)
		in := p.plot.DataCanvas(area)
		p.plot.Draw(draw.Crop(area, left-(in.Min.X-c.Min.X), -(right - (c.Max.X - in.Max.X)), 0, 0))
		top -= p.height + gap
	}
}

// headHeight returns what the head takes: a title, and what was found first.
func (r *Report) headHeight() vg.Length {
	if r.Passed() {
		return titleHeight
	}
	return titleHeight + findingHeight
}

// part returns a strip of the canvas.
func part(c draw.Canvas, top, height vg.Length) draw.Canvas {
	c.Rectangle = vg.Rectangle{Min: vg.Point{X: c.Min.X + margin, Y: top - height}, Max: vg.Point{X: c.Max.X - margin, Y: top}}
	return c
}

func (r *Report) panels() ([]panel, vg.Length, error) {
	calls, err := r.callsPanel()
	if err != nil {
		return nil, 0, err
	}
	latency, err := r.latencyPanel()
	if err != nil {
		return nil, 0, err
	}
	panels := []panel{calls, latency, r.faultsPanel(), r.ownersPanel()}
	height := 2*margin + r.headHeight()
	for _, p := range panels {
		height += p.height + gap
	}
	return panels, height, nil
}

// newPlot returns a plot of the run's time, with its faults as bands behind.
func (r *Report) newPlot(title string, shaded bool, keys ...key) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.Title.Padding = " ", 4 // room for the heading
	for _, style := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Size, style.Font.Variant = 9, "Sans"
	}
	p.X.Min, p.X.Max = 0, r.Run.Plan.Length().Seconds()
	p.X.Tick.Marker = plot.TickerFunc(secondTicks)
	p.X.Padding, p.Y.Padding = 0, 0
	if shaded {
		p.Add(&shade{r.Run.Bands})
	}
	p.Add(&mark{r.Run.Plan.Time.Seconds()}, &heading{title, keys, p.Title.TextStyle})
	return p
}

// secondTicks marks a scale of seconds.
func secondTicks(low, high float64) []plot.Tick {
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 20, 60, 120, 300, 600} {
		if step = s; (high-low)/s <= 16 {
			break
		}
	}
	var ticks []plot.Tick
	for at := 0.0; at <= high; at += step {
		ticks = append(ticks, plot.Tick{Value: at, Label: strconv.Itoa(int(at)) + " s"})
	}
	return ticks
}

func (r *Report) callsPanel() (panel, error) {
	keys := []key{{"answered", blue}, {"refused", orange}, {"unknown", red}}
	p := r.newPlot("calls a second, by how they ended (square-root axis)", true, keys...)
	length := r.Run.Plan.Length()
	bin := binOf(length)
	series := rates(r.Run.History, length, bin)
	last := 0 // bin in which a call ended
	for i := range r.Run.History {
		last = max(last, clampBin(r.Run.History[i].End, bin, len(series[0])))
	}
	for i, k := range keys {
		var points plotter.XYs
		for at, rate := range series[i][:min(last+1, len(series[i]))] {
			points = append(points, plotter.XY{X: (time.Duration(at)*bin + bin/2).Seconds(), Y: rate})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return panel{}, err
		}
		line.Color, line.Width = k.ink, 1.4
		p.Add(line)
	}
	p.Y.Min = 0
	p.Y.Max = max(1, p.Y.Max*1.1)
	p.Y.Scale, p.Y.Tick.Marker = rootScale{}, plot.TickerFunc(rootTicks)
	return panel{p, rateHeight}, nil
}

// rootScale is a scale of square roots: where clients catch up after an outage, the
// few calls that went wrong in it still show.
type rootScale struct{}

// Normalize implements plot.Normalizer.
func (rootScale) Normalize(low, high, x float64) float64 {
	return math.Sqrt(max(0, x-low) / (high - low))
}

// rootTicks marks a scale of square roots from 0.
func rootTicks(_, high float64) []plot.Tick {
	ticks := []plot.Tick{{Label: "0"}}
	last := 0.0
	for decade := 1.0; decade <= high; decade *= 10 {
		for _, v := range []float64{1, 2, 5} {
			if at := math.Sqrt(v * decade / high); at <= 1 && at-last > 0.1 {
				ticks = append(ticks, plot.Tick{Value: v * decade, Label: strconv.FormatFloat(v*decade, 'f', -1, 64)})
				last = at
			}
		}
	}
	return ticks
}

// floorLatency is the least that the scale of latencies shows.
const floorLatency = 0.1 // ms

func (r *Report) latencyPanel() (panel, error) {
	keys := []key{{"median", blue}, {"90 %", purple}, {"slowest", grey}}
	p := r.newPlot("latency of answers, ms", true, keys...)
	length := r.Run.Plan.Length()
	bin := binOf(length)
	all := latencies(r.Run.History, length, bin)
	highest := 1.0
	for i, k := range slices.Backward(keys) {
		var points plotter.XYs
		for at, q := range all {
			if q[len(q)-1] > 0 {
				ms := max(floorLatency, float64(q[i])/float64(time.Millisecond))
				highest = max(highest, ms)
				points = append(points, plotter.XY{X: (time.Duration(at)*bin + bin/2).Seconds(), Y: ms})
			}
		}
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return panel{}, err
		}
		dots.Shape, dots.Color, dots.Radius = draw.CircleGlyph{}, k.ink, 1.6
		p.Add(dots)
	}
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(decadeTicks)
	p.Y.Min, p.Y.Max = floorLatency, math.Pow(10, math.Ceil(math.Log10(highest*1.5)))
	return panel{p, rateHeight}, nil
}

// decadeTicks marks powers of ten.
func decadeTicks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for v := low; v <= high*1.001; v = math.Round(v*100) / 10 {
		ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', -1, 64)})
	}
	return ticks
}

func (r *Report) faultsPanel() panel {
	var keys []key
	for _, k := range faultKeys {
		if slices.ContainsFunc(r.Run.Bands, func(b workload.Band) bool { return inkOf(b.Verb) == k.ink }) {
			keys = append(keys, k)
		}
	}
	p := r.newPlot("faults", false, keys...)
	length := r.Run.Plan.Length()
	perByte := time.Duration(float64(length) * 4.6 / float64(width)) // of a label
	of, n := lanes(r.Run.Bands, func(b workload.Band) time.Duration {
		return time.Duration(len(clip(b.Text, maxLabelBytes))+2) * perByte
	})
	n = max(1, min(n, maxLanes))
	p.Add(&gantt{r.Run.Bands, of, p.X.Tick.Label})
	p.Y.Min, p.Y.Max = 0, float64(n)
	p.Y.Tick.Marker = plot.ConstantTicks(nil)
	return panel{p, frameHeight + vg.Length(n)*laneHeight}
}

func (r *Report) ownersPanel() panel {
	all := busiest(stays(r.Run))
	ink := map[string]color.NRGBA{}
	var keys []key
	for i, name := range r.Run.Plan.Names() {
		ink[name] = palette[i%len(palette)]
		if slices.ContainsFunc(all, func(s stay) bool { return s.owner == name }) {
			keys = append(keys, key{name, ink[name]})
		}
	}
	p := r.newPlot("owners of slots, with their epochs", false, keys...)
	var ticks plot.ConstantTicks
	row := -1
	strip := &strips{rows: make([]int, len(all)), stays: all, text: p.X.Tick.Label, ink: ink}
	for i, s := range all {
		if i == 0 || all[i-1].slot != s.slot {
			row++
			ticks = append(ticks, plot.Tick{Label: fmt.Sprintf("slot %d", s.slot)})
		}
		strip.rows[i] = row
	}
	for i := range strip.rows { // the first slot is on top
		strip.rows[i] = row - strip.rows[i]
	}
	for i := range ticks {
		ticks[i].Value = float64(row-i) + 0.5
	}
	p.Add(strip)
	p.Y.Min, p.Y.Max = 0, float64(max(1, row+1))
	p.Y.Tick.Marker = ticks
	p.X.Label.Text = fmt.Sprintf("there are no faults after %v s", r.Run.Plan.Time.Seconds())
	return panel{p, frameHeight + 20 + vg.Length(max(1, row+1))*slotHeight}
}

// busiest returns the stays of the slots that moved most, if there are too many.
func busiest(all []stay) []stay {
	moves := map[int]int{}
	for _, s := range all {
		moves[int(s.slot)]++
	}
	if len(moves) <= maxSlots {
		return all
	}
	slots := make([]int, 0, len(moves))
	for slot := range moves {
		slots = append(slots, slot)
	}
	slices.SortFunc(slots, func(a, b int) int {
		if moves[a] != moves[b] {
			return moves[b] - moves[a]
		}
		return a - b
	})
	keep := slots[:maxSlots]
	return slices.DeleteFunc(slices.Clone(all), func(s stay) bool { return !slices.Contains(keep, int(s.slot)) })
}

// isNetwork reports whether a fault is between nodes.
func isNetwork(v script.Verb) bool {
	switch v {
	case script.Cut, script.CutOneWay, script.Bridge, script.Ring, script.LinkFault, script.Gossip:
		return true
	}
	return false
}
