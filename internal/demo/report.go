package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// reporter tells people what goes on. On a terminal a bar shows what is at work;
// elsewhere every line stands for itself. It may be used from any goroutine.
type reporter struct {
	out   io.Writer
	color bool
	width int // of a line, in characters

	mu    sync.Mutex // guards what is written, and all that follows
	bar   *progressbar.ProgressBar
	stop  chan struct{} // ends the bar's goroutine
	busy  []string      // what is at work, in the order of its begin
	start time.Time
}

// newReporter reports to out; steps is what the bar counts, counts a word on
// how far things are.
func newReporter(out io.Writer, steps int, counts func() string) *reporter {
	r := &reporter{out: out, width: logWidth, start: time.Now(), stop: make(chan struct{})}
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return r
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		r.width = min(width, logWidth)
	}
	r.color = os.Getenv("NO_COLOR") == ""
	r.bar = progressbar.NewOptions(steps,
		progressbar.OptionSetWriter(out), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(barWidth), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false))
	go r.animate(counts)
	return r
}

const (
	logWidth  = 106 // of a line that is no terminal's
	barWidth  = 20
	barExtras = 12 // what the bar puts around itself: percents, borders
	indent    = 6  // of what was seen below its check
)

// animate redraws the bar a few times a second, so that a long step is seen to live.
func (r *reporter) animate(counts func() string) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-ticker.C:
			r.mu.Lock()
			what := ""
			if len(r.busy) > 0 {
				what = r.busy[len(r.busy)-1]
			}
			text := fmt.Sprintf("%2.0f s  %s  %s", time.Since(r.start).Seconds(), counts(), what)
			r.bar.Describe(cut(text, r.width-barWidth-barExtras))
			r.mu.Unlock()
		}
	}
}

// cut shortens text to a number of characters.
func cut(text string, most int) string {
	chars := []rune(text)
	if len(chars) <= most {
		return text
	}
	return string(chars[:max(0, most-1)]) + "…"
}

// begin says what is at work now; the returned function says that it is done.
func (r *reporter) begin(what string) (done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = append(r.busy, what)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, b := range r.busy {
			if b == what {
				r.busy = append(r.busy[:i], r.busy[i+1:]...)
				break
			}
		}
		if r.bar != nil {
			r.bar.Add(1)
		}
	}
}

// printf writes above the bar.
func (r *reporter) printf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar != nil {
		r.bar.Clear()
	}
	fmt.Fprintf(r.out, format, args...)
}

// close takes the bar away.
func (r *reporter) close() {
	close(r.stop)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bar != nil {
		r.bar.Clear()
		r.bar = nil
	}
}

// The colours of a terminal.
const (
	green = "\x1b[32m"
	red   = "\x1b[1;31m"
	faint = "\x1b[2m"
	plain = "\x1b[0m"
)

// paint colours text, if colours are wanted.
func (r *reporter) paint(color, text string) string {
	if !r.color {
		return text
	}
	return color + text + plain
}

// check prints a check's line, and below it what was seen.
func (r *reporter) check(c Check, took time.Duration) {
	verdict := r.paint(green, "ok  ")
	if !c.OK {
		verdict = r.paint(red, "FAIL")
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s  %s  %s\n", verdict, c.Name, r.paint(faint, fmt.Sprintf("%.1f s", took.Seconds())))
	for _, line := range wrap(c.Detail, r.width-indent) {
		fmt.Fprintf(&text, "%*s%s\n", indent, "", line)
	}
	r.printf("%s", text.String())
}

// wrap breaks text between words into lines of at most width characters where
// words allow it. Line ends in the text stay.
func wrap(text string, width int) []string {
	var lines []string
	for paragraph := range strings.Lines(text) {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
				lines = append(lines, line)
				line = ""
			}
			if line != "" {
				line += " "
			}
			line += word
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// writeJSON prints the result as one object.
func writeJSON(out io.Writer, r Result) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
