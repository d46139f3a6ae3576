package report

import (
	"bytes"
	"fmt"
	"image/color"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is a plot with its name, which is its file's, and what it shows.
type figure struct {
	name    string
	caption string
	plot    *plot.Plot
	legend  legend
}

// legend says which colour is what. It is above the plot, in as many lines as it takes.
type legend []key

type key struct {
	name  string
	color color.Color
}

// Measures of the legend.
const (
	legendLine   = 16 * vg.Length(1)
	legendSquare = 10 * vg.Length(1)
)

// draw draws the figure.
func (f *figure) draw(c draw.Canvas) {
	c.FillPolygon(color.White, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
	below := f.legend.draw(c, f.plot.X.Tick.Label)
	f.plot.Draw(draw.Crop(c, 0, 0, 0, -below-legendSquare))
}

// draw draws the legend at the top of the canvas and returns its height.
func (l legend) draw(c draw.Canvas, style text.Style) (height vg.Length) {
	if len(l) == 0 {
		return 0
	}
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	left := c.Min.X + 2*legendSquare
	at := vg.Point{X: left, Y: c.Max.Y - legendLine}
	for _, k := range l {
		width := 1.5*legendSquare + style.Width(k.name)
		if at.X > left && at.X+width > c.Max.X {
			at.X, at.Y = left, at.Y-legendLine
		}
		c.FillPolygon(k.color, []vg.Point{at, {X: at.X + legendSquare, Y: at.Y},
			{X: at.X + legendSquare, Y: at.Y + legendSquare}, {X: at.X, Y: at.Y + legendSquare}})
		c.FillText(style, vg.Point{X: at.X + 1.5*legendSquare, Y: at.Y}, k.name)
		at.X += width + 2*legendSquare
	}
	return c.Max.Y - at.Y + legendSquare
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
