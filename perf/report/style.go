package report

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Size of every plot, and the resolution of its PNG.
const (
	plotWidth  = 8 * vg.Inch
	plotHeight = 4 * vg.Inch
	plotDPI    = 144
)

// Colours. Each balancer or table has the same one in all plots of a run. The palette
// is Okabe and Ito's, which people with any kind of colour vision tell apart, and two more.
var (
	ink     = color.RGBA{0x22, 0x2b, 0x36, 0xff}
	faint   = color.RGBA{0x6b, 0x76, 0x84, 0xff}
	rule    = color.RGBA{0xe3, 0xe7, 0xec, 0xff}
	palette = []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
		color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
		color.RGBA{0x8c, 0x8c, 0x8c, 0xff}, color.RGBA{0xb8, 0xa8, 0x00, 0xff},
		color.RGBA{0x22, 0x2b, 0x36, 0xff},
	}
)

func paint(i int) color.Color { return palette[i%len(palette)] }

// mark is in front of a figure that tells too little.
func mark(noisy bool) string {
	if noisy {
		return "~"
	}
	return ""
}

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
