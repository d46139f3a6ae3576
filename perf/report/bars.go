package report

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/xlvs/xlvs/perf/result"
)

// bars are groups of bars side by side, one colour a series. A value of 0 is left out.
type bars struct {
	groups []string
	series []series
	format string // of the number above a bar
}

// series is one colour of bars, a bar for each group.
type series struct {
	name  string
	color color.Color
	bars  []bar
}

// bar is a median, with its extremes where it is of several rounds.
type bar struct {
	value, low, high float64
	noisy            bool
}

// barOf is the bar of a figure and the rounds that it is of.
func barOf(value float64, rounds result.Rounds) bar {
	if len(rounds) == 0 {
		return bar{value: value, low: value, high: value}
	}
	return bar{value, rounds.Min(), rounds.Max(), rounds.Noisy()}
}

// addTo draws the bars and returns their legend.
func (b *bars) addTo(p *plot.Plot) (legend, error) {
	var keys legend
	p.Add(newGrid(false))
	width := vg.Points(min(40, 440/float64(len(b.groups)*(len(b.series)+1))))
	for i, s := range b.series {
		offset := width * vg.Length(float64(i)-float64(len(b.series)-1)/2)
		values := make(plotter.Values, len(s.bars))
		var at plotter.XYs
		var texts []string
		for group, bar := range s.bars {
			values[group] = bar.value
			if bar.value != 0 {
				at = append(at, plotter.XY{X: float64(group), Y: max(bar.value, bar.high)})
				texts = append(texts, mark(bar.noisy)+fmt.Sprintf(b.format, bar.value))
			}
		}
		chart, err := plotter.NewBarChart(values, width-vg.Points(1))
		if err != nil {
			return nil, fmt.Errorf("bars of %s: %w", s.name, err)
		}
		chart.Color, chart.LineStyle.Width, chart.Offset = s.color, 0, offset
		p.Add(chart, whiskers{s.bars, offset})
		if len(at) > 0 {
			l := labels(at, texts, faint)
			l.Offset.X = offset
			p.Add(l)
		}
		keys = append(keys, key{s.name, s.color})
	}
	p.NominalX(b.groups...)
	p.X.Tick.Length = 0
	p.X.Min, p.X.Max = -0.5, float64(len(b.groups))-0.5
	p.Y.Min = 0
	p.Y.Max *= 1.1 // room for the numbers
	return keys, nil
}

// whiskers are lines from the lowest to the highest round of each bar.
type whiskers struct {
	bars   []bar
	offset vg.Length
}

// Plot draws them.
func (w whiskers) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for group, b := range w.bars {
		if b.value == 0 || b.low == b.high {
			continue
		}
		at := x(float64(group)) + w.offset
		c.StrokeLine2(draw.LineStyle{Color: ink, Width: vg.Points(0.75)}, at, y(b.low), at, y(b.high))
	}
}

// DataRange lets the plot reach up to the highest.
func (w whiskers) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, b := range w.bars {
		ymax = max(ymax, b.high)
	}
	return 0, float64(len(w.bars) - 1), 0, ymax
}
