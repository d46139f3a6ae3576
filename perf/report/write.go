package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/xlvs/xlvs/perf/result"
)

// kinds of run, in the order of the page. Each has a file of its raw results.
var kinds = []string{"pipeline", "table", "wire"}

// kindOf is the kind of a run.
func kindOf(run *result.Run) (string, error) {
	switch {
	case run.Pipeline != nil && len(run.Pipeline.Cases) > 0:
		return "pipeline", nil
	case run.Table != nil && len(run.Table.Tables) > 0:
		return "table", nil
	case run.Wire != nil && len(run.Wire.Runs) > 0:
		return "wire", nil
	}
	return "", errors.New("the run found nothing to report")
}

// Write adds a run to the report in dir, which it makes if it is missing, and returns
// the path of the page. A run replaces the one of its kind that was there. Beside
// index.html, which needs nothing else, there are for each run its results as
// KIND.json, its benchmark lines as KIND.txt, and its plots as SVG and PNG; those of the
// run that was there go.
func Write(dir string, run *result.Run) (page string, err error) {
	kind, err := kindOf(run)
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	if err := removePlots(dir, kind); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	if err := writeRun(dir, kind, run); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	var sections []*section
	for _, k := range kinds {
		run, err := readRun(dir, k)
		if err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
		if run == nil {
			continue
		}
		s, err := newSection(k, run)
		if err != nil {
			return "", fmt.Errorf("report: %s: %w", k, err)
		}
		if k == kind { // the others' are there
			err = s.writePlots(dir)
		}
		if err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
		sections = append(sections, s)
	}
	html, err := render(sections)
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	page = filepath.Join(dir, "index.html")
	if err := writeFile(page, html); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return page, nil
}

// writeRun keeps a run's results and its benchmark lines.
func writeRun(dir, kind string, run *result.Run) error {
	raw, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, kind+".json"), append(raw, '\n')); err != nil {
		return err
	}
	var lines bytes.Buffer
	if err := WriteBenchmarks(&lines, run); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, kind+".txt"), lines.Bytes())
}

// removePlots removes the plots of the run of a kind that is in dir. Those of a run that
// cannot be read stay: only what it drew is ours.
func removePlots(dir, kind string) error {
	run, err := readRun(dir, kind)
	if err != nil || run == nil {
		return nil
	}
	s, err := newSection(kind, run)
	if err != nil {
		return nil
	}
	for _, f := range s.Figures {
		for _, ending := range []string{".svg", ".png"} {
			if err := os.Remove(filepath.Join(dir, f.Name+ending)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// readRun returns the run of a kind that is in dir, nil if there is none.
func readRun(dir, kind string) (*result.Run, error) {
	path := filepath.Join(dir, kind+".json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	run := &result.Run{}
	if err := json.Unmarshal(raw, run); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to go on without", path, err)
	}
	if have, err := kindOf(run); err != nil || have != kind {
		return nil, fmt.Errorf("%s has no results of bench %s; remove it to go on without", path, kind)
	}
	return run, nil
}

// writeFile replaces a file as a whole: a reader sees the old one or the new one.
func writeFile(path string, content []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
