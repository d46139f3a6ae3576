package report

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/xlvs/xlvs/perf/result"
)

// pipelineFigures are ns per packet against flows, and the stages.
func pipelineFigures(found *result.Pipeline) ([]figure, error) {
	flows, err := pipelineFlows(found.Cases)
	if err != nil {
		return nil, err
	}
	stages, keys, err := pipelineStages(found.Cases)
	if err != nil {
		return nil, err
	}
	return []figure{
		{"pipeline-flows", "Nanoseconds a packet against the number of flows: median of the rounds, and the fastest and slowest round.", flows, nil},
		{"pipeline-stages", "Where a packet's time goes. A stage is what the pipeline up to it takes more than up to the one before.", stages, keys},
	}, nil
}

// spreads are medians with their extremes.
type spreads struct {
	plotter.XYs
	plotter.YErrors
}

func pipelineFlows(cases []result.PipelineCase) (*plot.Plot, error) {
	p := newPlot("flows", "ns per packet")
	p.X.Scale = plot.LogScale{}
	points, tops, texts, at := spreads{}, plotter.XYs{}, []string{}, ticksAt{}
	for _, c := range cases {
		if c.Flows < 1 {
			return nil, fmt.Errorf("plot flows: a case has %d of them", c.Flows)
		}
		points.XYs = append(points.XYs, plotter.XY{X: float64(c.Flows), Y: c.NsPerPacket})
		low, high := c.NsPerPacket-c.Rounds.Min(), c.Rounds.Max()-c.NsPerPacket
		points.YErrors = append(points.YErrors, struct{ Low, High float64 }{low, high})
		tops = append(tops, plotter.XY{X: float64(c.Flows), Y: max(c.NsPerPacket, c.Rounds.Max())})
		texts = append(texts, mark(c.Noisy)+fmt.Sprintf("%.1f", c.NsPerPacket))
		at = append(at, float64(c.Flows))
	}
	line, dots, err := plotter.NewLinePoints(points.XYs)
	if err != nil {
		return nil, fmt.Errorf("plot flows: %w", err)
	}
	line.Color, line.Width = paint(0), vg.Points(2)
	dots.Color, dots.Radius, dots.Shape = paint(0), vg.Points(4), draw.CircleGlyph{}
	whiskers, err := plotter.NewYErrorBars(points)
	if err != nil {
		return nil, fmt.Errorf("plot flows: %w", err)
	}
	whiskers.Color, whiskers.Width = paint(0), vg.Points(1)
	p.Add(newGrid(false), line, whiskers, dots, labels(tops, texts, ink))
	p.X.Tick.Marker = at
	p.X.Min, p.X.Max = at[0]/2, at[0]*2
	for _, flows := range at {
		p.X.Min, p.X.Max = min(p.X.Min, flows/2), max(p.X.Max, flows*2)
	}
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.15
	return p, nil
}

// pipelineStages stacks what stages cost, a bar for each number of flows.
func pipelineStages(cases []result.PipelineCase) (*plot.Plot, legend, error) {
	var keys legend
	p := newPlot("ns per packet", "")
	p.Add(newGrid(true))
	var below *plotter.BarChart
	names := make([]string, len(cases))
	width := vg.Points(min(48, 180/float64(len(cases))))
	for i, stage := range cases[0].StageOrder {
		values := make(plotter.Values, len(cases))
		for j, c := range cases {
			values[len(cases)-1-j] = max(0, c.Stages[stage]) // the first on top
			names[len(cases)-1-j] = short(float64(c.Flows)) + " flows"
		}
		chart, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, nil, fmt.Errorf("plot stages: %w", err)
		}
		chart.Color, chart.LineStyle.Width, chart.Horizontal = paint(i), 0, true
		if below != nil {
			chart.StackOn(below)
		}
		below = chart
		p.Add(chart)
		keys = append(keys, key{stage, paint(i)})
	}
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	p.X.Min, p.X.Max = 0, 1.03*p.X.Max
	return p, keys, nil
}

// tableFigures compare tables by their lookups, insertions and memory.
func tableFigures(found *result.Table) ([]figure, error) {
	var figures []figure
	for _, f := range []struct {
		name, caption, y, format string
		bar                      func(*result.TableCase) bar
	}{
		{"table-lookup", "A lookup of a random entry on one core. Shorter is better.", "ns", "%.0f",
			func(c *result.TableCase) bar { return barOf(c.Lookup, c.Rounds["lookup_ns"]) }},
		{"table-lookup-all", "A lookup of a random entry on all cores at once: processor time over the number of cores.", "ns", "%.0f",
			func(c *result.TableCase) bar { return barOf(c.LookupAll, c.Rounds["lookup_all_cores_ns"]) }},
		{"table-insert", "An insertion on one core, with what a library does for it in the background.", "ns", "%.0f",
			func(c *result.TableCase) bar { return barOf(c.Insert, c.Rounds["insert_ns"]) }},
		{"table-memory", "Memory an entry.", "bytes", "%.0f",
			func(c *result.TableCase) bar { return barOf(c.BytesEntry, nil) }},
	} {
		p := newPlot("entries", f.y)
		b := tableBars(found.Tables, f.bar)
		b.format = f.format
		keys, err := b.addTo(p)
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{f.name, f.caption, p, keys})
	}
	return figures, nil
}

// tableBars groups a figure by entries, a series a table.
func tableBars(tables []result.TableCase, value func(*result.TableCase) bar) *bars {
	b := &bars{}
	place, group := map[string]int{}, map[int]int{}
	for i := range tables {
		t := &tables[i]
		if _, ok := group[t.Entries]; !ok {
			group[t.Entries] = len(b.groups)
			b.groups = append(b.groups, short(float64(t.Entries)))
		}
		if _, ok := place[t.Name]; !ok {
			place[t.Name] = len(b.series)
			b.series = append(b.series, series{name: t.Name, color: paint(len(b.series))})
		}
	}
	for i := range b.series {
		b.series[i].bars = make([]bar, len(b.groups))
	}
	for i := range tables {
		t := &tables[i]
		b.series[place[t.Name]].bars[group[t.Entries]] = value(t)
	}
	return b
}
