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
	Noise   []string // what tells too little; "~" marks it in tables and plots
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

// noisy notes that a figure tells too little. It is the one of the tables and plots that
// has the mark.
func (s *section) noisy(what string, spread float64) {
	s.Noise = append(s.Noise, fmt.Sprintf("%s Too noisy to tell: %s. The middle half of the rounds spans %.0f %% of the median.", mark(true), what, 100*spread))
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
	if s.Run.Wire != nil {
		for _, i := range s.Run.Wire.Interfaces {
			facts = append(facts, [2]string{i.Name, fmt.Sprintf("%s, %s, MTU %d", i.Driver, queuesOf(i.Queues), i.MTU)})
		}
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
