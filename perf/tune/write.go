package tune

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/internal/nic"
)

// Evidence is where and how an outcome was found.
type Evidence struct {
	When  time.Time `json:"when"`
	Where string    `json:"where"` // the machine
	Load  string    `json:"load"`  // what was measured, and under which load
	// LeftOut is what was not tried, and why.
	LeftOut []LeftOut `json:"left_out,omitempty"`
	*Outcome
}

// Table writes what was measured for people.
func (e *Evidence) Table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", e.Where, e.Load)
	for _, r := range e.Races {
		fmt.Fprintf(&b, "\n%s: %s\n", r.Parameter, r.Because)
		for i, c := range r.Candidates {
			fmt.Fprintf(&b, "  %s %-40s %s\n", mark(i == r.Won), c.Label, c.result(i))
		}
	}
	for i, l := range e.LeftOut {
		if i == 0 {
			b.WriteString("\nnot tried\n")
		}
		fmt.Fprintf(&b, "  %v\n", l)
	}
	fmt.Fprintf(&b, "\n%s\n", e.verdict())
	_, err := io.WriteString(w, b.String())
	return err
}

func mark(won bool) string {
	if won {
		return "*"
	}
	return " "
}

// result is a candidate's median score and its gain over the first.
func (c *Candidate) result(number int) string {
	if len(c.Samples) == 0 {
		return "not to be had: " + strings.ReplaceAll(c.Refused, "\n", "; ")
	}
	var scores []float64
	for _, s := range c.Samples {
		scores = append(scores, s.Score)
	}
	slices.Sort(scores)
	text := fmt.Sprintf("%10.4g in %d rounds", scores[len(scores)/2], len(scores))
	if number > 0 && c.Gain != nil {
		text += "  " + c.Gain.String()
	}
	return text
}

func (e *Evidence) verdict() string {
	switch {
	case len(e.Races) > 0 && e.Races[len(e.Races)-1].Because == unfinished:
		return fmt.Sprintf("the search was not finished: nothing is known for certain after %d measurements", e.Measurements)
	case e.Confirmed:
		return fmt.Sprintf("%s is better than %s: %v, with a confidence of 98 %%, in %d measurements",
			strings.Join(e.Winner, " "), strings.Join(e.Start, " "), e.Gain, e.Measurements)
	case e.Gain != nil:
		return fmt.Sprintf("no settings are better than those at the start for certain: the best of the races came to %v", e.Gain)
	}
	return fmt.Sprintf("no settings are better than those at the start, in %d measurements", e.Measurements)
}

// Configuration is the outcome as a file, the evidence in its comments: the base
// with the settings that won, or, without a base, the sections that they are in.
func (e *Evidence) Configuration(base *config.Config) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Found by xlvs tune search, %s.\n#\n", e.When.UTC().Format(time.RFC3339))
	var table bytes.Buffer
	if err := e.Table(&table); err != nil {
		return nil, err
	}
	for line := range strings.Lines(table.String()) {
		b.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
	p, err := e.found()
	if err != nil {
		return nil, err
	}
	if commands := p.ethtool(); len(commands) > 0 {
		b.WriteString("#\n# Interrupt coalescing has no key here. Where the host sets up its network:\n")
		for _, command := range commands {
			b.WriteString("#   " + command + "\n")
		}
	}
	if base == nil {
		b.WriteString("\n# A part of a configuration: these keys go into the sections of the same names.\n")
		b.WriteString(p.yaml(&p.Settings))
		return b.Bytes(), nil
	}
	c := *base
	p.into(&c)
	b.WriteByte('\n')
	b.Write(c.Marshal())
	if _, err := config.Parse("the configuration that won", b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// found is the settings that won, but for CPUs and coalescing that did not change:
// those of a bench are its own, and the host's are not the file's.
func (e *Evidence) found() (*plan, error) {
	start, err := parsePlan(e.Start)
	if err != nil {
		return nil, err
	}
	p, err := parsePlan(e.Winner)
	if err != nil {
		return nil, err
	}
	if slices.Equal(value(start.CPUs), value(p.CPUs)) {
		p.CPUs = nil
	}
	maps.DeleteFunc(p.Coalescing, func(name string, c nic.Coalescing) bool { return reflect.DeepEqual(c, start.Coalescing[name]) })
	return p, nil
}

// WriteFile writes a file that is not there yet, or, with force, whatever is.
func WriteFile(path string, data []byte, force bool) error {
	flags := os.O_CREATE | os.O_WRONLY | os.O_EXCL
	if force {
		flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: another name, or --force", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
