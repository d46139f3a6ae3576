package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/xlvs/xlvs/perf/result"
)

// wireFigures are throughput against queues, and the latency's distribution at
// each load.
func wireFigures(found *result.Wire) ([]figure, error) {
	var figures []figure
	for _, f := range []struct {
		name, caption string
		value         func(*result.WireRun) float64
	}{
		{"wire-throughput", "Throughput at the sink against queues, with more offered than can be taken.",
			func(r *result.WireRun) float64 { return r.Mpps }},
		{"wire-loss-free", "The highest rate without loss (RFC 2544), against queues.",
			func(r *result.WireRun) float64 { return r.MppsLossFree }},
	} {
		b := wireBars(found.Runs, f.value)
		if len(b.series) == 0 {
			continue
		}
		p := newPlot("queues", "million packets a second")
		keys, err := b.addTo(p)
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{f.name, f.caption, p, keys})
	}
	latency, err := latencyFigures(found.Runs)
	return append(figures, latency...), err
}

// wireBars groups a figure by queues, a series a balancer. Balancers of which there is no
// figure are left out.
func wireBars(runs []result.WireRun, value func(*result.WireRun) float64) *bars {
	b := &bars{format: "%.2f"}
	var queues []int
	var names []string
	for i := range runs {
		if value(&runs[i]) == 0 {
			continue
		}
		if !slices.Contains(queues, runs[i].Queues) {
			queues = append(queues, runs[i].Queues)
		}
		if !slices.Contains(names, runs[i].Name) {
			names = append(names, runs[i].Name)
		}
	}
	slices.Sort(queues)
	for _, n := range queues {
		b.groups = append(b.groups, fmt.Sprint(n))
	}
	for _, name := range names {
		s := series{name, make([]float64, len(queues))}
		for i := range runs {
			if at := slices.Index(queues, runs[i].Queues); runs[i].Name == name && at >= 0 {
				s.values[at] = value(&runs[i])
			}
		}
		b.series = append(b.series, s)
	}
	return b
}

// latencyFigures are a plot for each load, a line a balancer; with the fewest queues if
// there are several.
func latencyFigures(runs []result.WireRun) ([]figure, error) {
	var loads []float64
	fewest := math.MaxInt
	for _, r := range runs {
		for _, l := range r.Latencies {
			if len(l.CDF) < 2 {
				continue
			}
			fewest = min(fewest, r.Queues)
			if !slices.Contains(loads, l.Load) {
				loads = append(loads, l.Load)
			}
		}
	}
	slices.Sort(loads)
	var figures []figure
	for _, load := range loads {
		p, keys, err := latencyPlot(runs, load, fewest)
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{
			fmt.Sprintf("wire-latency-%.0f", 100*load),
			fmt.Sprintf("How long packets take at %.0f %% of the load, %s: the share that took at most so long. "+
				"Each line of the scale is ten times rarer.", 100*load, queuesOf(fewest)), p, keys})
	}
	return figures, nil
}

func latencyPlot(runs []result.WireRun, load float64, queues int) (*plot.Plot, legend, error) {
	var keys legend
	p := newPlot("microseconds", "share of packets")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Tick.Marker = ninesTicks{}
	p.Add(newGrid(false))
	for _, r := range runs {
		for _, l := range r.Latencies {
			if l.Load != load || r.Queues != queues || len(l.CDF) < 2 {
				continue
			}
			line, err := plotter.NewLine(ninesOf(&l))
			if err != nil {
				return nil, nil, fmt.Errorf("plot latency of %s: %w", r.Name, err)
			}
			line.Color, line.Width = paint(len(keys)), vg.Points(1.75)
			p.Add(line)
			keys = append(keys, key{r.Name, line.Color})
		}
	}
	p.Y.Min = 0
	return p, keys, nil
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
		points = append(points, plotter.XY{X: max(at.Us, 0.1), Y: nines})
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
