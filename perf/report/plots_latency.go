package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/xlvs/xlvs/perf/result"
)

// timed is a balancer's latency at the load of a figure.
type timed struct {
	name  string
	color color.Color
	*result.Latency
}

// latencyFigures are two plots for each load, the distribution and its tail, with a line
// a balancer; with the fewest queues if there are several.
func latencyFigures(runs []result.WireRun, colors map[string]color.Color) ([]figure, error) {
	loads, queues := loadsOf(runs)
	var figures []figure
	for _, load := range loads {
		var lines []timed
		for i := range runs {
			for j := range runs[i].Latencies {
				if l := &runs[i].Latencies[j]; l.Load == load && runs[i].Queues == queues && len(l.CDF) > 1 {
					lines = append(lines, timed{runs[i].Name, colors[runs[i].Name], l})
				}
			}
		}
		if len(lines) == 0 {
			continue
		}
		at := fmt.Sprintf("%.3f Mpps, %.0f %% of what the reference carries, %s", lines[0].OfferedMpps, 100*load, queuesOf(queues))
		name := fmt.Sprintf("wire-latency-%.4g", 100*load)
		cdf, err := distributionFigure(name, at, lines)
		if err != nil {
			return nil, err
		}
		tail, err := tailFigure(name+"-tail", at, lines)
		if err != nil {
			return nil, err
		}
		figures = append(append(figures, cdf), tail...)
	}
	return figures, nil
}

// loadsOf are the loads that there are distributions of, and the fewest queues.
func loadsOf(runs []result.WireRun) (loads []float64, queues int) {
	queues = math.MaxInt
	for _, r := range runs {
		for _, l := range r.Latencies {
			if len(l.CDF) < 2 {
				continue
			}
			queues = min(queues, r.Queues)
			if !slices.Contains(loads, l.Load) {
				loads = append(loads, l.Load)
			}
		}
	}
	slices.Sort(loads)
	return loads, queues
}

func distributionFigure(name, at string, lines []timed) (figure, error) {
	p := newPlot("delay", "share of packets")
	p.Y.Tick.Marker = ninesTicks{}
	p.Add(newGrid(false))
	keys, err := delayLines(p, lines, plotter.NoStep, func(l *result.Latency) plotter.XYs { return ninesOf(l) })
	p.Y.Min = 0
	return figure{name, "How long packets take at " + at + ": the share that took at most so long. " +
		"Each line of the scale is ten times rarer.", p, keys}, err
}

// tailFigure is none for results that have no tail.
func tailFigure(name, at string, lines []timed) ([]figure, error) {
	lines = slices.DeleteFunc(slices.Clone(lines), func(l timed) bool { return len(l.Tail) == 0 })
	if len(lines) == 0 {
		return nil, nil
	}
	p := newPlot("delay", "packets")
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades(short)
	p.Add(newGrid(false), newGrid(true))
	for i := range lines {
		lines[i].name += ", slowest " + lasting(lines[i].Max)
	}
	keys, err := delayLines(p, lines, plotter.PreStep, tailPoints)
	p.Y.Min = 0.7 // under the one that took longest
	return []figure{{name, "The same packets, counted from the slowest: how many of all rounds took at least so long. " +
		"A pause of the balancer's is a step: the packets that wait for its end.", p, keys}}, err
}

// delayLines draws a line for each balancer over a scale of delays.
func delayLines(p *plot.Plot, lines []timed, step plotter.StepKind, points func(*result.Latency) plotter.XYs) (legend, error) {
	var keys legend
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades(lasting)
	for _, l := range lines {
		line, err := plotter.NewLine(points(l.Latency))
		if err != nil {
			return nil, fmt.Errorf("plot latency of %s: %w", l.name, err)
		}
		line.Color, line.Width, line.StepStyle = l.color, vg.Points(1.75), step
		p.Add(line)
		keys = append(keys, key{l.name, l.color})
	}
	p.X.Max *= 1.1 // the slowest is not on the edge
	return keys, nil
}

// leastDelay, in microseconds, is where the scale of delays begins: it has no zero.
const leastDelay = 0.1

func tailPoints(l *result.Latency) plotter.XYs {
	var points plotter.XYs
	for _, s := range l.Tail {
		points = append(points, plotter.XY{X: max(s.Us, leastDelay), Y: float64(max(s.Frames, 1))})
	}
	return points
}

// mostNines is where the scale of shares ends: one in a million.
const mostNines = 6

// ninesOf puts a distribution on a scale on which 0.9 is 1, 0.99 is 2, and so on. The
// slowest of n packets stands where one in n does.
func ninesOf(l *result.Latency) plotter.XYs {
	most := float64(mostNines)
	if l.Samples > 1 {
		most = min(most, math.Log10(float64(l.Samples)))
	}
	var points plotter.XYs
	for _, at := range l.CDF {
		nines := most
		if at.Share < 1 {
			nines = min(most, -math.Log10(1-at.Share))
		}
		points = append(points, plotter.XY{X: max(at.Us, leastDelay), Y: nines})
	}
	return points
}

// ninesTicks are the ticks of that scale.
type ninesTicks struct{}

// Ticks marks 0, 50 %, 90 %, 99 % and so on.
func (ninesTicks) Ticks(_, _ float64) []plot.Tick {
	return []plot.Tick{
		{Value: 0, Label: "0"}, {Value: math.Log10(2), Label: "50 %"}, {Value: 1, Label: "90 %"}, {Value: 2, Label: "99 %"},
		{Value: 3, Label: "99.9 %"}, {Value: 4, Label: "99.99 %"}, {Value: 5, Label: "99.999 %"}, {Value: 6, Label: "99.9999 %"},
	}
}
