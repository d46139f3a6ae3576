package report

import (
	"fmt"
	"html/template"
	"path/filepath"
	"strings"

	"github.com/xlvs/xlvs/perf/result"
)

// section is one run on the page.
type section struct {
	Kind    string
	Title   string
	Lead    string
	Run     *result.Run
	Cards   []card
	Figures []drawn
	Tables  []grid
	Notes   []string // about opponents
	Noise   []string // what tells too little
}

// card is a figure that stands out.
type card struct {
	Value, Unit, Text string
}

// drawn is a plot on the page.
type drawn struct {
	Name    string
	Caption string
	SVG     template.HTML // drawn by this package from numbers and names that it escapes
	figure  figure
}

// grid is a table on the page. The first column is text, the others are numbers.
type grid struct {
	Caption string
	Head    []string
	Rows    [][]string
}

func newSection(kind string, run *result.Run) (*section, error) {
	s := &section{Kind: kind, Run: run}
	var figures []figure
	var err error
	switch kind {
	case "pipeline":
		s.pipeline(run.Pipeline)
		figures, err = pipelineFigures(run.Pipeline)
	case "table":
		s.table(run.Table)
		figures, err = tableFigures(run.Table)
	case "wire":
		s.wire(run.Wire)
		figures, err = wireFigures(run.Wire)
	}
	if err != nil {
		return nil, err
	}
	for _, f := range figures {
		d := drawn{Name: f.name, Caption: f.caption, figure: f}
		text, err := f.svg()
		if err != nil {
			return nil, err
		}
		d.SVG = template.HTML(text)
		s.Figures = append(s.Figures, d)
	}
	return s, nil
}

// writePlots writes each plot as SVG and as PNG.
func (s *section) writePlots(dir string) error {
	for _, f := range s.Figures {
		path := filepath.Join(dir, f.Name)
		text := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + string(f.SVG)
		if err := writeFile(path+".svg", []byte(text)); err != nil {
			return err
		}
		pixels, err := f.figure.png()
		if err != nil {
			return err
		}
		if err := writeFile(path+".png", pixels); err != nil {
			return err
		}
	}
	return nil
}

func (s *section) pipeline(found *result.Pipeline) {
	s.Title = "The balancer’s own work"
	s.Lead = fmt.Sprintf("From the bytes of a frame to its verdict and the rewritten frame, without a network: %s, %s routing, frames of %s bytes, "+
		"%.3g %% of the packets open a connection, batches of %d. Nanoseconds of one thread’s processor time.",
		found.Family, found.Method, found.Size, 100*found.Mix, found.Batch)
	g := grid{Head: []string{"flows", "ns/packet", "fastest", "slowest", "Mpps", "allocs/packet", "GC cycles"}}
	g.Head = append(g.Head, found.StageOrder...)
	for i := range found.Cases {
		c := &found.Cases[i]
		s.Cards = append(s.Cards, card{fmt.Sprintf("%.1f", c.NsPerPacket), "ns", fmt.Sprintf("a packet with %s flows, %.1f Mpps a core", short(float64(c.Flows)), c.PacketsPerSecond/1e6)})
		row := []string{fmt.Sprint(c.Flows), fmt.Sprintf("%.1f", c.NsPerPacket), fmt.Sprintf("%.1f", c.Rounds.Min()), fmt.Sprintf("%.1f", c.Rounds.Max()),
			fmt.Sprintf("%.2f", c.PacketsPerSecond/1e6), fmt.Sprint(c.AllocsPerPacket), fmt.Sprint(c.GCCycles)}
		for _, stage := range c.StageOrder {
			row = append(row, fmt.Sprintf("%.1f", c.Stages[stage]))
		}
		g.Rows = append(g.Rows, row)
		if c.Noisy {
			s.noisy(fmt.Sprintf("%d flows", c.Flows), c.Spread)
		}
	}
	s.Tables = []grid{g}
}

func (s *section) table(found *result.Table) {
	s.Title = "The connection table beside others"
	s.Lead = "The same clients, in the same random order, in every table. Nanoseconds of processor time an operation, " +
		"what a library does in the background included; on all cores at once, divided by their number. “× xlvs” is the median of the rounds’ ratios for a lookup."
	g := grid{Head: []string{"table", "entries", "lookup", "× xlvs", "miss", "all cores", "insert", "all cores", "expire", "bytes/entry", "GC ms", "split clients", "lost entries"}}
	noted := map[string]bool{}
	for i := range found.Tables {
		c := &found.Tables[i]
		g.Rows = append(g.Rows, []string{c.Name, fmt.Sprint(c.Entries), fmt.Sprintf("%.1f", c.Lookup), optional("%.1f", c.Ratios["lookup_ns"]),
			fmt.Sprintf("%.1f", c.LookupMiss), fmt.Sprintf("%.1f", c.LookupAll), fmt.Sprintf("%.1f", c.Insert), fmt.Sprintf("%.1f", c.InsertAll),
			optional("%.1f", c.Expire), fmt.Sprintf("%.1f", c.BytesEntry), fmt.Sprintf("%.1f", c.CollectionNs/1e6),
			fmt.Sprint(c.SplitClients), fmt.Sprint(c.LostEntries)})
		if c.Noisy {
			s.noisy(fmt.Sprintf("%s with %d entries", c.Name, c.Entries), max(c.Rounds["lookup_ns"].Spread(), c.Rounds["insert_ns"].Spread()))
		}
		if !noted[c.Name] {
			noted[c.Name] = true
			s.Notes = append(s.Notes, c.Name+" — "+c.Description+".")
			if c.ExpireNote != "" {
				s.Notes = append(s.Notes, c.Name+": expiry was not timed, "+c.ExpireNote+".")
			}
		}
	}
	s.tableCards(found.Tables)
	s.Tables = []grid{g}
}

// tableCards say, at the largest size, how much slower lookups of the others are,
// and whom they lose.
func (s *section) tableCards(tables []result.TableCase) {
	most := 0
	for i := range tables {
		most = max(most, tables[i].Entries)
	}
	for i := range tables {
		c := &tables[i]
		if c.Entries != most {
			continue
		}
		kept := fmt.Sprintf("%d of %d clients split, %d entries lost", c.SplitClients, c.Clients, c.LostEntries)
		if times, ok := c.Ratios["lookup_all_cores_ns"]; ok {
			s.Cards = append(s.Cards, card{fmt.Sprintf("%.1f", times), "×", fmt.Sprintf("the time of xlvs, all cores, %s: %s", c.Name, kept)})
		} else {
			s.Cards = append(s.Cards, card{fmt.Sprintf("%.0f", c.LookupAll), "ns", fmt.Sprintf("a lookup on all cores among %s, %s: %s", short(float64(most)), c.Name, kept)})
		}
	}
}

func (s *section) wire(found *result.Wire) {
	s.Title = "Frames through a wire"
	s.Lead = "A generator at one end, the balancer at the other, a sink that counts. Balancers take turns, round by round. " +
		"“of limit” is the median of the rounds’ ratios to XDP_TX, which does no work at all."
	g := grid{Head: []string{"balancer", "queues", "Mpps", "slowest", "fastest", "of limit", "loss-free", "p50 µs", "p99 µs", "p99.9 µs", "new/s", "CPU ns", "mode"}}
	for i := range found.Runs {
		r := &found.Runs[i]
		if r.Skipped != "" {
			s.Notes = append(s.Notes, fmt.Sprintf("%s with %s was skipped: %s", r.Name, queuesOf(r.Queues), r.Skipped))
			continue
		}
		g.Rows = append(g.Rows, []string{r.Name, fmt.Sprint(r.Queues), fmt.Sprintf("%.3f", r.Mpps), fmt.Sprintf("%.3f", r.Rounds.Min()), fmt.Sprintf("%.3f", r.Rounds.Max()),
			optional("%.2f", r.Ratio), optional("%.3f", r.MppsLossFree), optional("%.0f", r.Latency.P50), optional("%.0f", r.Latency.P99),
			optional("%.0f", r.Latency.P999), optional("%.0f", r.ConnectionsPerSecond), optional("%.0f", r.CPUNsPerPacket), r.Mode})
		if len(s.Cards) < 6 {
			s.Cards = append(s.Cards, card{fmt.Sprintf("%.2f", r.Mpps), "Mpps", r.Name + ", " + queuesOf(r.Queues)})
		}
		if r.Noisy {
			s.noisy(r.Name+" with "+queuesOf(r.Queues), r.Spread)
		}
		if r.Duplicates > 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("%s with %s sent %d frames twice", r.Name, queuesOf(r.Queues), r.Duplicates))
		}
	}
	s.Tables = []grid{g}
}

// noisy notes that a figure tells too little.
func (s *section) noisy(what string, spread float64) {
	s.Noise = append(s.Noise, fmt.Sprintf("Too noisy to tell: %s, half of the rounds are within %.0f %% of the median.", what, 100*spread))
}

// queuesOf counts queues in words.
func queuesOf(n int) string {
	if n == 1 {
		return "1 queue"
	}
	return fmt.Sprintf("%d queues", n)
}

// optional prints a number, or a dash if it was not measured.
func optional(format string, v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// Facts are what the run depends on, in pairs.
func (s *section) Facts() [][2]string {
	m := &s.Run.Machine
	cpu := fmt.Sprintf("%s, %d cores", m.CPU, m.Cores)
	if m.Hypervisor {
		cpu += ", virtual machine"
	}
	facts := [][2]string{
		{"processor", cpu}, {"caches", m.Caches}, {"memory", fmt.Sprintf("%.1f GiB", float64(m.MemoryMB)/1024)}, {"governor", m.Governor},
		{"kernel", m.Kernel}, {"huge pages", m.HugePages}, {"load before", m.Load}, {"xlvs", m.Version}, {"commit", m.Commit}, {"Go", strings.TrimPrefix(m.GoVersion, "go")},
	}
	for _, i := range m.Interfaces {
		facts = append(facts, [2]string{i.Name, fmt.Sprintf("%s, %d queues, MTU %d, XDP %s, %s", i.Driver, i.Queues, i.MTU, i.XDP, i.Mode)})
	}
	kept := facts[:0]
	for _, f := range facts {
		if f[1] != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// Began is when the run began.
func (s *section) Began() string { return s.Run.Started.UTC().Format("2 January 2006, 15:04 UTC") }

// Took is how long it took.
func (s *section) Took() string { return fmt.Sprintf("%.0f s", s.Run.Seconds) }
