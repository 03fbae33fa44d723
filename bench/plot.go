package bench

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a picture.
const (
	plotWidth  = 8 * vg.Inch
	plotHeight = 5 * vg.Inch
	plotDPI    = 96
)

// Colours that can be told apart by everybody (Okabe and Ito), one a system in each
// picture. The last is of those beyond it.
var plotColours = []color.Color{
	color.NRGBA{0, 114, 178, 255}, color.NRGBA{86, 180, 233, 255}, color.NRGBA{0, 158, 115, 255},
	color.NRGBA{204, 121, 167, 255}, color.NRGBA{213, 94, 0, 255}, color.NRGBA{230, 159, 0, 255},
	color.NRGBA{120, 120, 120, 255}, color.NRGBA{180, 180, 180, 255}, color.Black,
}

// WritePlots draws each workload in dir, as SVG and as PNG: latency against
// throughput, with a curve for each system; throughput against the number of
// clients; and what a call costs. A workload that was measured under one load
// only has no curves, and so no pictures. The names are returned.
func (r *Report) WritePlots(dir string) (names []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, w := range Workloads() {
		curves := r.curves(w)
		if !slices.ContainsFunc(curves, func(c curve) bool { return len(c.results) > 1 }) {
			continue
		}
		for name, pic := range map[string]picture{
			"latency": {"p99 against throughput, " + string(w), "calls/s", "p99, ms", rate, p99ms},
			"scaling": {"throughput against clients, " + string(w), "clients", "calls/s", nil, rate},
			"cost":    {"CPU of a call against throughput, " + string(w), "calls/s", "µs of CPU for a call, nodes and clients", rate, cpuMicros},
		} {
			image := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI), vgimg.UseBackgroundColor(color.White))}
			for ext, canvas := range map[string]vg.CanvasWriterTo{".png": image, ".svg": vgsvg.New(plotWidth, plotHeight)} {
				file := filepath.Join(dir, string(w)+"-"+name+ext)
				if err := pic.write(file, canvas, curves); err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
				names = append(names, file)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

func p99ms(s *Sample) float64     { return s.P99us / 1e3 }
func cpuMicros(s *Sample) float64 { return 1e3 * allCPU(s) }

// curve is one system's results of one workload, by load.
type curve struct {
	label   string
	colour  color.Color
	results []Result
}

// curves returns those of a workload. A system has the same colour in all
// pictures of a report.
func (r *Report) curves(w Workload) []curve {
	colours := r.colours()
	var curves []curve
	for _, result := range r.sorted() {
		if result.Workload != w {
			continue
		}
		label := result.Label()
		i := slices.IndexFunc(curves, func(c curve) bool { return c.label == label })
		if i < 0 {
			i = len(curves)
			curves = append(curves, curve{label: label, colour: plotColours[colours[label]]})
		}
		curves[i].results = append(curves[i].results, result)
	}
	return curves
}

// colours gives each system the first colour that no other has with which it is in
// a picture.
func (r *Report) colours() map[string]int {
	labels := map[Workload][]string{}
	for _, result := range r.sorted() {
		labels[result.Workload] = append(labels[result.Workload], result.Label())
	}
	colours := map[string]int{}
	for _, result := range r.sorted() {
		label := result.Label()
		if _, done := colours[label]; done {
			continue
		}
		taken := map[int]bool{}
		for _, together := range labels {
			if !slices.Contains(together, label) {
				continue
			}
			for _, other := range together {
				if c, done := colours[other]; done {
					taken[c] = true
				}
			}
		}
		c := 0
		for c < len(plotColours)-1 && taken[c] {
			c++
		}
		colours[label] = c
	}
	return colours
}

// picture is two quantities against each other, on logarithmic scales, because
// systems differ by factors.
type picture struct {
	title, xLabel, yLabel string
	x, y                  func(*Sample) float64 // x is nil for the number of clients
}

func (p *picture) write(file string, canvas vg.CanvasWriterTo, curves []curve) (err error) {
	plt := plot.New()
	plt.Title.Text, plt.X.Label.Text, plt.Y.Label.Text = p.title, p.xLabel, p.yLabel
	plt.BackgroundColor = color.White
	plt.X.Scale, plt.Y.Scale = plot.LogScale{}, plot.LogScale{}
	plt.X.Tick.Marker, plt.Y.Tick.Marker = scale{}, scale{}
	plt.Legend.Top, plt.Legend.Left = true, true
	plt.Legend.Padding = 2
	plt.Add(plotter.NewGrid())
	for _, c := range curves {
		points := p.points(c)
		if len(points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = c.colour, 2
		dots.Color, dots.Shape, dots.Radius = c.colour, draw.CircleGlyph{}, 3
		if strings.HasSuffix(c.label, "/bare") {
			line.Dashes = []vg.Length{4, 3} // a limit, not a peer
		}
		plt.Add(line, dots)
		plt.Legend.Add(c.label, line, dots)
	}
	// The legend is beside the curves, not over them.
	whole := draw.NewCanvas(canvas, plotWidth, plotHeight)
	legend := plt.Legend
	plt.Legend = plot.NewLegend()
	side := legend.Rectangle(whole).Size().X + 3*legend.Padding + 20
	plt.Draw(draw.Crop(whole, 8, -side, 8, -8))
	legend.Draw(draw.Crop(whole, plotWidth-side+4, 0, 0, -30))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = canvas.WriteTo(f)
	return err
}

// points returns the medians of a curve that a logarithmic scale has a place for.
func (p *picture) points(c curve) plotter.XYs {
	var points plotter.XYs
	for i := range c.results {
		r := &c.results[i]
		x := float64(r.Clients)
		if p.x != nil {
			x = r.Spread(p.x).Median
		}
		if y := r.Spread(p.y).Median; x > 0 && y > 0 {
			points = append(points, plotter.XY{X: x, Y: y})
		}
	}
	return points
}

// scale has marks at 1, 2 and 5 of each power of ten.
type scale struct{}

// Ticks implements plot.Ticker.
func (scale) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := 1e-6; power < 1e9; power *= 10 {
		for _, step := range []float64{1, 2, 5} {
			if v := power * step; v >= 0.999*low && v <= 1.001*high {
				ticks = append(ticks, plot.Tick{Value: v, Label: showTick(v)})
			}
		}
	}
	return ticks
}

// showTick shows a number without an exponent.
func showTick(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.3gk", v/1000)
	}
	return fmt.Sprintf("%.3g", v)
}
