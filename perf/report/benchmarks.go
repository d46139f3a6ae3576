package report

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/perf/result"
)

// packagePath is where benchmarks of a kind are said to come from.
const packagePath = "github.com/xlvs/xlvs/perf/"

// WriteBenchmarks prints the results of a run in the Go
// benchmark format, a line for each round, so that benchstat sees the spread.
// https://go.dev/design/14313-benchmark-format
func WriteBenchmarks(w io.Writer, run *result.Run) error {
	var b benchmarks
	if run.Pipeline != nil {
		b.header("pipeline", &run.Machine)
		for i := range run.Pipeline.Cases {
			b.pipeline(&run.Pipeline.Cases[i])
		}
	}
	if run.Table != nil {
		b.header("table", &run.Machine)
		for i := range run.Table.Tables {
			b.table(&run.Table.Tables[i])
		}
	}
	if run.Wire != nil {
		b.header("wire", &run.Machine)
		for i := range run.Wire.Runs {
			b.wire(&run.Wire.Runs[i])
		}
	}
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("write benchmarks: %w", err)
	}
	return nil
}

// benchmarks are lines.
type benchmarks struct{ bytes.Buffer }

// header says what holds for the lines that follow.
func (b *benchmarks) header(kind string, m *result.Machine) {
	for _, c := range [][2]string{
		{"goos", runtime.GOOS}, {"goarch", runtime.GOARCH}, {"pkg", packagePath + kind}, {"cpu", m.CPU},
		{"kernel", m.Kernel}, {"version", m.Version}, {"commit", m.Commit},
	} {
		if c[1] != "" {
			fmt.Fprintf(b, "%s: %s\n", c[0], c[1])
		}
	}
	b.WriteByte('\n')
}

func (b *benchmarks) pipeline(c *result.PipelineCase) {
	for _, ns := range c.Rounds {
		fmt.Fprintf(b, "BenchmarkPipeline/family=%s/method=%s/size=%s/mix=%v/flows=%d 1 %.3f ns/op %.0f packets/s %v B/op %v allocs/op\n",
			c.Family, c.Method, c.Size, c.Mix, c.Flows, ns, 1e9/ns, c.BytesPerPacket, c.AllocsPerPacket)
	}
}

// table writes each figure as a benchmark of its own, and what has no rounds once.
func (b *benchmarks) table(c *result.TableCase) {
	var figures []string
	for figure := range c.Rounds {
		figures = append(figures, figure)
	}
	slices.Sort(figures)
	for _, figure := range figures {
		op, cores := strings.TrimSuffix(figure, "_ns"), 1
		if rest, all := strings.CutSuffix(op, "_all_cores"); all {
			op, cores = rest, c.Cores
		}
		for _, ns := range c.Rounds[figure] {
			fmt.Fprintf(b, "BenchmarkTable/op=%s/table=%s/entries=%d-%d 1 %.3f ns/op\n", op, c.Name, c.Entries, cores, ns)
		}
	}
	fmt.Fprintf(b, "BenchmarkTable/op=keep/table=%s/entries=%d-%d 1 %.2f bytes/entry %d lost %d split\n",
		c.Name, c.Entries, c.Cores, c.BytesEntry, c.LostEntries, c.SplitClients)
}

// wire writes a round's rates in a line, and a line for the latency at each load.
func (b *benchmarks) wire(r *result.WireRun) {
	for i, mpps := range r.Rounds {
		if mpps == 0 {
			continue
		}
		fmt.Fprintf(b, "BenchmarkWire/balancer=%s/size=%d/flows=%d/queues=%d 1 %.2f ns/op %.4f Mpps", r.Name, r.Size, r.Flows, r.Queues, 1e3/mpps, mpps)
		if i < len(r.LossFreeRounds) {
			fmt.Fprintf(b, " %.4f Mpps-loss-free", r.LossFreeRounds[i])
		}
		b.WriteByte('\n')
	}
	for i := range r.Latencies {
		l := &r.Latencies[i]
		name := fmt.Sprintf("BenchmarkWireLatency/balancer=%s/size=%d/flows=%d/queues=%d/load=%v", r.Name, r.Size, r.Flows, r.Queues, l.Load)
		fmt.Fprintf(b, "%s 1 %.1f p50-us %.1f p99-us %.1f max-us\n", name, l.P50, l.P99, l.Max)
		for _, us := range l.P999Rounds {
			fmt.Fprintf(b, "%s 1 %.1f p99.9-us\n", name, us)
		}
	}
}
