package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/perf/result"
	"github.com/xlvs/xlvs/perf/table"
)

func benchTableCommand() *cli.Command {
	return &cli.Command{
		Name:  "table",
		Usage: "the connection table beside caches and maps: speed, memory, and what is lost (no root)",
		UsageText: `xlvs bench table
xlvs bench table --entries 4096,1048576,8388608 --load 0.5
xlvs bench table --tables xsync.Map,otter --json
xlvs bench table --report DIR`,
		Description: "All tables (" + strings.Join(table.Names(), ", ") + ") get the same clients in the same order,\n" +
			"each set up as its documentation advises; with --json each says how. Times are nanoseconds of\n" +
			"processor time an operation, what a library does in the background included; on all cores\n" +
			"at once, divided by their number.\n" +
			"\"split\" counts clients that opened two connections at once, on two threads, and were\n" +
			"sent to two servers; \"lost\" entries that were put in and not found again. \"x\" is how many times\n" +
			"the time of xlvs a lookup takes, the median of the rounds' ratios.\n" +
			"Eight million entries need some 5 GB of memory in all, for the tables are compared side by side.",
		Flags: append([]cli.Flag{
			&cli.IntSliceFlag{Name: "entries", Usage: "entries, one `NUMBER` or several", Value: cli.NewIntSlice(4096, 1<<20)},
			&cli.Float64Flag{Name: "load", Usage: "entries as a `SHARE` of what the tables are made for", Value: 1},
			&cli.StringSliceFlag{Name: "tables", Usage: "`NAMES` of those to compare with", DefaultText: "all"},
			&cli.IntFlag{Name: "clients", Usage: "`NUMBER` of clients that open two connections at once", Value: 200_000},
			&cli.IntFlag{Name: "cores", Usage: "`NUMBER` that \"all cores\" means", DefaultText: "all"},
			&cli.IntFlag{Name: "repeat", Usage: "`ROUNDS`", Value: 5},
			&cli.DurationFlag{Name: "duration", Usage: "`TIME` for each kind of lookup, each round", Value: 50 * time.Millisecond},
		}, benchOutputFlags()...),
		Action: benchTable,
	}
}

func benchTable(c *cli.Context) error {
	if err := refuseZero(c, "entries", "load", "clients", "repeat", "duration"); err != nil {
		return err
	}
	options := table.Options{
		Entries: c.IntSlice("entries"), Load: c.Float64("load"), Names: c.StringSlice("tables"), Clients: c.Int("clients"),
		Cores: c.Int("cores"), Rounds: c.Int("repeat"), Duration: c.Duration("duration"),
	}
	if err := options.Validate(); err != nil {
		return usage{err}
	}
	o, err := beginBench(c)
	if err != nil {
		return err
	}
	o.printf("%-12s %9s  %29s %6s  %17s  %7s %7s  %8s %8s\n", "", "", "lookup ns", "", "insert ns", "expire", "bytes", "", "")
	o.printf("%-12s %9s  %8s %9s %10s %6s  %8s %8s  %7s %7s  %8s %8s\n",
		"table", "entries", "hit", "miss", "all cores", "x", "one core", "all", "ns", "entry", "split", "lost")
	found, err := table.Run(c.Context, options, o.progress, func(cases []result.TableCase) {
		for i := range cases {
			o.printf("%s", tableLine(&cases[i]))
		}
	})
	if err != nil {
		return err
	}
	for _, one := range found.Tables {
		if one.LookupSingle > 0 {
			o.printf("%s, %d entries: %.1f ns for a lookup that is not staged with others\n", one.Name, one.Entries, one.LookupSingle)
		}
	}
	o.run.Table = found
	return o.end()
}

// tableLine is one table at one size.
func tableLine(one *result.TableCase) string {
	expire, times, noisy := "-", "", ""
	if one.Expire > 0 {
		expire = fmt.Sprintf("%.1f", one.Expire)
	}
	if r, ok := one.Ratios["lookup_ns"]; ok {
		times = fmt.Sprintf("%.1f", r)
	}
	if one.Noisy {
		noisy = "  too noisy to tell"
	}
	return fmt.Sprintf("%-12s %9d  %8.1f %9.1f %10.1f %6s  %8.1f %8.1f  %7s %7.1f  %8d %8d%s\n", one.Name, one.Entries,
		one.Lookup, one.LookupMiss, one.LookupAll, times, one.Insert, one.InsertAll, expire, one.BytesEntry,
		one.SplitClients, one.LostEntries, noisy)
}
