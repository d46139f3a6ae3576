package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/perf/measure"
	"github.com/xlvs/xlvs/perf/report"
	"github.com/xlvs/xlvs/perf/result"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "measure what this box can do, and how xlvs stands beside others",
		UsageText: `xlvs bench pipeline             the balancer's own work, ns per packet and per stage
xlvs bench table                the connection table beside caches and maps
xlvs bench wire                 frames through a wire, beside other balancers (root)
xlvs bench generate             the same from this box, for a balancer on another one (root)
xlvs bench flood                spoofed frames beside real clients (root)
xlvs bench table --report DIR   a page with plots; further runs add to it`,
		Description: "Results are medians of rounds in which all opponents take their turn, with their spread;\n" +
			"what was too noisy to tell says so. On a machine that has other things to do, trust\n" +
			"ratios within a run more than figures, and give the run precedence: nice -n -20.",
		Subcommands: []*cli.Command{benchPipelineCommand(), benchTableCommand(), benchWireCommand(), benchGenerateCommand(),
			benchFloodCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage{fmt.Errorf("no benchmark %q; see xlvs bench --help", c.Args().First())}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// benchOutputFlags choose what becomes of results.
func benchOutputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print results as JSON"},
		&cli.BoolFlag{Name: "benchfmt", Usage: "print results as benchstat reads them"},
		reportFlag(),
	}
}

func reportFlag() cli.Flag {
	return &cli.StringFlag{Name: "report", Usage: "write a page with plots to `DIR`, beside what other runs left there"}
}

// benchOutput is where a run's results go.
type benchOutput struct {
	run    result.Run
	format string // json, benchfmt or, empty, a table as it comes
	dir    string // of the report, empty if none is wanted
	out    io.Writer
	err    io.Writer
	bar    *progressbar.ProgressBar
}

// beginBench notes what a run is and when it began.
func beginBench(c *cli.Context) (*benchOutput, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	format, err := oneOf(c, "json", "benchfmt")
	if err != nil {
		return nil, err
	}
	o := &benchOutput{format: format, dir: c.String("report"), out: c.App.Writer, err: c.App.ErrWriter}
	o.run = result.Run{Command: commandLine(), Started: time.Now(), Machine: measure.Machine(control.Version)}
	o.bar = progressbar.NewOptions(1, progressbar.OptionSetWriter(o.err), progressbar.OptionSetVisibility(isTerminal(o.err)),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
	return o, nil
}

// refuseZero refuses a 0 for flags where 0 asks the package behind for its default.
func refuseZero(c *cli.Context, names ...string) error {
	for _, name := range names {
		zero := slices.Contains(c.IntSlice(name), 0)
		switch v := c.Value(name).(type) {
		case int:
			zero = v == 0
		case float64:
			zero = v == 0
		case time.Duration:
			zero = v == 0
		}
		if zero {
			return usage{fmt.Errorf("--%s 0: want more", name)}
		}
	}
	return nil
}

// commandLine is how the program was called, without the path to it.
func commandLine() string { return strings.Join(append([]string{"xlvs"}, os.Args[1:]...), " ") }

// progress shows what is being done. It prints nothing unless on a terminal.
func (o *benchOutput) progress(what string, done, total int) {
	o.bar.ChangeMax(total)
	o.bar.Describe(what)
	_ = o.bar.Set(done) // a bar that cannot be drawn is no reason to stop
}

// printf prints a part of the table, which only a run without another format has.
func (o *benchOutput) printf(format string, args ...any) {
	if o.format == "" {
		_ = o.bar.Clear()
		fmt.Fprintf(o.out, format, args...)
	}
}

// object is a run's results in JSON, with what they depend on beside them.
type object[T any] struct {
	found   *T
	machine *result.Machine
}

// MarshalJSON puts the machine into the object of the results.
func (o object[T]) MarshalJSON() ([]byte, error) {
	found, err := json.Marshal(o.found)
	if err != nil {
		return nil, err
	}
	machine, err := json.Marshal(o.machine)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `%s,"machine":%s}`, found[:len(found)-1], machine), nil
}

// end prints what the format wants, and writes the report.
func (o *benchOutput) end() error {
	_ = o.bar.Finish()
	o.run.Seconds = time.Since(o.run.Started).Seconds()
	if err := o.print(); err != nil {
		return fmt.Errorf("print results: %w", err)
	}
	if o.dir == "" {
		return nil
	}
	page, err := report.Write(o.dir, &o.run)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.err, "report: %s\n", page)
	return nil
}

func (o *benchOutput) print() error {
	switch o.format {
	case "benchfmt":
		return report.WriteBenchmarks(o.out, &o.run)
	case "json":
		e := json.NewEncoder(o.out)
		e.SetIndent("", "  ")
		switch {
		case o.run.Pipeline != nil:
			return e.Encode(object[result.Pipeline]{o.run.Pipeline, &o.run.Machine})
		case o.run.Wire != nil:
			return e.Encode(object[result.Wire]{o.run.Wire, &o.run.Machine})
		case o.run.Flood != nil:
			return e.Encode(object[result.Flood]{o.run.Flood, &o.run.Machine})
		}
		return e.Encode(object[result.Table]{o.run.Table, &o.run.Machine})
	}
	return nil
}

// percent writes a share, and that it is too wide to tell.
func percent(spread float64, noisy bool) string {
	text := fmt.Sprintf("±%.0f%%", 100*spread)
	if noisy {
		text += " too noisy to tell"
	}
	return text
}
