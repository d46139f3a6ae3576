package report

import (
	"fmt"
	"image/color"
	"slices"

	"github.com/xlvs/xlvs/perf/result"
)

// wireFigures are throughput against queues, and how long packets take at each load.
func wireFigures(found *result.Wire) ([]figure, error) {
	var figures []figure
	colors := wireColors(found.Runs)
	for _, f := range []struct {
		name, caption string
		bar           func(*result.WireRun) bar
	}{
		{"wire-throughput", "Throughput against queues, with more offered than can be taken: median, slowest and fastest round.",
			func(r *result.WireRun) bar { return barOf(r.Mpps, r.Rounds) }},
		{"wire-loss-free", "The highest rate without loss (RFC 2544) against queues: median, slowest and fastest round.",
			func(r *result.WireRun) bar { return barOf(r.MppsLossFree, r.LossFreeRounds) }},
	} {
		b := wireBars(found.Runs, colors, f.bar)
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
	latency, err := latencyFigures(found.Runs, colors)
	return append(figures, latency...), err
}

// wireColors are the balancers' colours.
func wireColors(runs []result.WireRun) map[string]color.Color {
	colors := map[string]color.Color{}
	for i := range runs {
		if _, ok := colors[runs[i].Name]; !ok {
			colors[runs[i].Name] = paint(len(colors))
		}
	}
	return colors
}

// wireBars groups a figure by queues, a series a balancer. Balancers of which there is no
// figure are left out.
func wireBars(runs []result.WireRun, colors map[string]color.Color, value func(*result.WireRun) bar) *bars {
	b := &bars{format: "%.2f"}
	var queues []int
	var names []string
	for i := range runs {
		if value(&runs[i]).value == 0 {
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
		s := series{name, colors[name], make([]bar, len(queues))}
		for i := range runs {
			if at := slices.Index(queues, runs[i].Queues); runs[i].Name == name && at >= 0 {
				s.bars[at] = value(&runs[i])
			}
		}
		b.series = append(b.series, s)
	}
	return b
}
