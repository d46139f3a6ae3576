package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of every plot, and the resolution of its PNG.
const (
	plotWidth  = 8 * vg.Inch
	plotHeight = 4 * vg.Inch
	plotDPI    = 144
)

// Colours. The first of palette is always xlvs; the palette is Okabe and Ito's, which
// people with any kind of colour vision tell apart.
var (
	ink     = color.RGBA{0x22, 0x2b, 0x36, 0xff}
	faint   = color.RGBA{0x6b, 0x76, 0x84, 0xff}
	rule    = color.RGBA{0xe3, 0xe7, 0xec, 0xff}
	palette = []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
		color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
		color.RGBA{0x8c, 0x8c, 0x8c, 0xff}, color.RGBA{0xb8, 0xa8, 0x00, 0xff},
	}
)

func paint(i int) color.Color { return palette[i%len(palette)] }

// newPlot is an empty plot in the house style: no frame, little ink.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		styleText(&axis.Label.TextStyle, 11, faint)
		styleText(&axis.Tick.Label, 10, ink)
		axis.LineStyle.Color, axis.LineStyle.Width = rule, vg.Points(1)
		axis.Tick.LineStyle.Color, axis.Tick.Length = rule, vg.Points(4)
		axis.Label.Padding, axis.Padding = vg.Points(6), vg.Points(4)
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = evenTicks{}, evenTicks{}
	p.Y.LineStyle.Width = 0
	p.Y.Tick.Length = 0
	return p
}

// newGrid is faint lines along one axis.
func newGrid(upright bool) *plotter.Grid {
	grid := plotter.NewGrid()
	line := &grid.Horizontal
	if upright {
		line = &grid.Vertical
	}
	grid.Horizontal.Width, grid.Vertical.Width = 0, 0
	line.Color, line.Width = rule, vg.Points(0.75)
	return grid
}

func styleText(style *text.Style, size float64, c color.Color) {
	style.Font.Variant, style.Font.Size, style.Color = "Sans", vg.Points(size), c
}

// labels writes texts above points.
func labels(points plotter.XYs, texts []string, c color.Color) *plotter.Labels {
	l, err := plotter.NewLabels(plotter.XYLabels{XYs: points, Labels: texts})
	if err != nil {
		return &plotter.Labels{} // points that are no numbers; there is nothing to label then
	}
	for i := range l.TextStyle {
		styleText(&l.TextStyle[i], 9, c)
		l.TextStyle[i].XAlign = draw.XCenter
	}
	l.Offset = vg.Point{Y: vg.Points(4)}
	return l
}

// bars are groups of bars side by side, one colour a series. A value of 0 is left out.
type bars struct {
	groups []string
	series []series
	format string // of the number above a bar
}

// series is one colour of bars, a value for each group.
type series struct {
	name   string
	values []float64
}

// addTo draws the bars and returns their legend.
func (b *bars) addTo(p *plot.Plot) (legend, error) {
	var keys legend
	p.Add(newGrid(false))
	width := vg.Points(min(40, 440/float64(len(b.groups)*(len(b.series)+1))))
	for i, s := range b.series {
		offset := width * vg.Length(float64(i)-float64(len(b.series)-1)/2)
		chart, err := plotter.NewBarChart(plotter.Values(s.values), width-vg.Points(1))
		if err != nil {
			return nil, fmt.Errorf("bars of %s: %w", s.name, err)
		}
		chart.Color, chart.LineStyle.Width, chart.Offset = paint(i), 0, offset
		var at plotter.XYs
		var texts []string
		for group, v := range s.values {
			if v != 0 {
				at = append(at, plotter.XY{X: float64(group), Y: v})
				texts = append(texts, fmt.Sprintf(b.format, v))
			}
		}
		p.Add(chart)
		if len(at) > 0 {
			l := labels(at, texts, faint)
			l.Offset.X = offset
			p.Add(l)
		}
		keys = append(keys, key{s.name, paint(i)})
	}
	p.NominalX(b.groups...)
	p.X.Tick.Length = 0
	p.X.Min, p.X.Max = -0.5, float64(len(b.groups))-0.5
	p.Y.Min = 0
	p.Y.Max *= 1.1 // room for the numbers
	return keys, nil
}

// ticksAt are ticks at the values that there are.
type ticksAt []float64

// Ticks marks the values with their numbers in short.
func (t ticksAt) Ticks(_, _ float64) []plot.Tick {
	ticks := make([]plot.Tick, len(t))
	for i, v := range t {
		ticks[i] = plot.Tick{Value: v, Label: short(v)}
	}
	return ticks
}

// evenTicks marks some five round values.
type evenTicks struct{}

// Ticks marks multiples of 1, 2 or 5 of a power of ten.
func (evenTicks) Ticks(low, high float64) []plot.Tick {
	const about = 5
	step := math.Pow(10, math.Floor(math.Log10((high-low)/about)))
	for _, factor := range []float64{2, 2.5, 2} {
		if (high-low)/step > 1.6*about {
			step *= factor
		}
	}
	var ticks []plot.Tick
	for n := math.Ceil(low / step); n*step <= high && len(ticks) < 4*about; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step, 'g', 6, 64)})
	}
	return ticks
}

// short writes a number with a unit: 4096 as 4 Ki, 1500000 as 1.5 M.
func short(v float64) string {
	n := int64(v)
	switch {
	case v != float64(n) || n < 1000:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d Mi", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d Ki", n>>10)
	case n >= 1e6:
		return strconv.FormatFloat(math.Round(v/1e4)/100, 'g', 4, 64) + " M"
	}
	return strconv.FormatFloat(math.Round(v/10)/100, 'g', 4, 64) + " k"
}

// figure is a plot with its name, which is its file's, and what it shows.
type figure struct {
	name    string
	caption string
	plot    *plot.Plot
	legend  legend
}

// legend says which colour is what. It has a line of its own above the plot.
type legend []key

type key struct {
	name  string
	color color.Color
}

// Measures of the legend.
const (
	legendHeight = 26 * vg.Length(1)
	legendSquare = 10 * vg.Length(1)
)

// draw draws the figure.
func (f *figure) draw(c draw.Canvas) {
	c.FillPolygon(color.White, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
	if len(f.legend) == 0 {
		f.plot.Draw(draw.Crop(c, 0, 0, 0, -legendSquare))
		return
	}
	style := f.plot.X.Tick.Label
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	at := vg.Point{X: c.Min.X + 2*legendSquare, Y: c.Max.Y - legendHeight + legendSquare}
	for _, k := range f.legend {
		c.FillPolygon(k.color, []vg.Point{at, {X: at.X + legendSquare, Y: at.Y},
			{X: at.X + legendSquare, Y: at.Y + legendSquare}, {X: at.X, Y: at.Y + legendSquare}})
		at.X += 1.5 * legendSquare
		c.FillText(style, at, k.name)
		at.X += style.Width(k.name) + 2*legendSquare
	}
	f.plot.Draw(draw.Crop(c, 0, 0, 0, -legendHeight-legendSquare))
}

// svg draws a figure as SVG, without what only a file of its own needs.
func (f *figure) svg() (string, error) {
	canvas := vgsvg.New(plotWidth, plotHeight)
	f.draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", fmt.Errorf("draw SVG: %w", err)
	}
	_, body, ok := strings.Cut(b.String(), "<svg ")
	if !ok {
		return "", fmt.Errorf("draw SVG: there is no svg element in it")
	}
	// Arial has the measures of Liberation Sans, and Helvetica those of Arial.
	return "<svg " + strings.ReplaceAll(body, "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif"), nil
}

// png draws a figure as PNG.
func (f *figure) png() ([]byte, error) {
	canvas := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI))}
	f.draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("draw PNG: %w", err)
	}
	return b.Bytes(), nil
}
