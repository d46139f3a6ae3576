package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/xlvs/xlvs/perf/pipeline"
	"github.com/xlvs/xlvs/perf/result"
)

func benchPipelineCommand() *cli.Command {
	return &cli.Command{
		Name:  "pipeline",
		Usage: "the balancer's own work, from a frame's bytes to its verdict (no root, no network)",
		UsageText: `xlvs bench pipeline
xlvs bench pipeline --flows 4096,1048576,8388608
xlvs bench pipeline --family ipv6 --size imix --mix 0.1
xlvs bench pipeline --mix 1                              every packet opens a connection
xlvs bench pipeline --benchfmt >new && benchstat old new`,
		Description: "Frames in memory go through the forwarder that the workers run, with a marked and\n" +
			"persistent service of eight real servers. Times are nanoseconds of one thread's processor\n" +
			"time a packet; writing the frames is not part of them. A stage costs what the pipeline up\n" +
			"to it takes more than the one up to the stage before; stages overlap in the processor, so\n" +
			"one of them may seem to cost next to nothing.",
		Flags: append([]cli.Flag{
			&cli.IntSliceFlag{Name: "flows", Usage: "known connections, one `NUMBER` or several", Value: cli.NewIntSlice(4096, 1<<20)},
			&cli.StringFlag{Name: "method", Usage: "forwarding `METHOD`: direct", Value: "direct"},
			&cli.StringFlag{Name: "family", Usage: "`FAMILY` of the packets: ipv4 or ipv6", Value: "ipv4"},
			&cli.Float64Flag{Name: "mix", Usage: "`SHARE` of packets that open a connection, 0 to 1"},
			&cli.StringFlag{Name: "size", Usage: "`BYTES` of a frame, 64 to 1514, or imix", Value: "64"},
			&cli.IntFlag{Name: "batch", Usage: "`FRAMES` a call", Value: 64},
			&cli.IntFlag{Name: "repeat", Usage: "`ROUNDS`", Value: 5},
			&cli.DurationFlag{Name: "duration", Usage: "`TIME` of a round", Value: 400 * time.Millisecond},
		}, benchOutputFlags()...),
		Action: benchPipeline,
	}
}

func benchPipeline(c *cli.Context) error {
	if err := refuseZero(c, "flows", "batch", "repeat", "duration"); err != nil {
		return err
	}
	options, err := pipelineOptions(c)
	if err != nil {
		return usage{err}
	}
	o, err := beginBench(c)
	if err != nil {
		return err
	}
	found := &result.Pipeline{}
	for i, flows := range c.IntSlice("flows") {
		options.Flows = flows
		step := func(rounds int) {
			o.progress(fmt.Sprintf("%d flows", flows), i*options.Rounds+rounds, len(c.IntSlice("flows"))*options.Rounds)
		}
		step(0)
		one, err := pipeline.Run(c.Context, options, step)
		if err != nil {
			return err
		}
		if i == 0 {
			found.PipelineCase = *one
			o.printf("%s, %s, frames of %s bytes, %v of the packets new, batches of %d\n",
				one.Family, one.Method, one.Size, one.Mix, one.Batch)
			o.printf("%10s  %9s  %6s  %-6s  %6s  %3s  %s\n", "flows", "ns/packet", "Mpps", "spread", "allocs", "GC", pipelineStages(one, true))
		}
		o.printf("%10d  %9.1f  %6.2f  %-6s  %6v  %3d  %s\n", one.Flows, one.NsPerPacket, one.PacketsPerSecond/1e6,
			percent(one.Spread, one.Noisy), one.AllocsPerPacket, one.GCCycles, pipelineStages(one, false))
		found.Cases = append(found.Cases, *one)
	}
	o.run.Pipeline = found
	return o.end()
}

// pipelineStages is the stages' columns: their names or what they cost.
func pipelineStages(one *result.PipelineCase, header bool) string {
	var columns strings.Builder
	for _, name := range one.StageOrder {
		text := name
		if !header {
			text = strconv.FormatFloat(one.Stages[name], 'f', 1, 64)
		}
		fmt.Fprintf(&columns, "%8s", text)
	}
	return columns.String()
}

// pipelineOptions are the flags as options, but for the flows.
func pipelineOptions(c *cli.Context) (pipeline.Options, error) {
	o := pipeline.Options{
		Mix: c.Float64("mix"), Batch: c.Int("batch"), Rounds: c.Int("repeat"), Duration: c.Duration("duration"),
	}
	var err error
	if o.Size, err = pipeline.ParseSize(c.String("size")); err != nil {
		return o, err
	}
	switch family := c.String("family"); family {
	case "ipv4":
	case "ipv6":
		o.IPv6 = true
	default:
		return o, fmt.Errorf("family %q: want ipv4 or ipv6", family)
	}
	switch method := c.String("method"); method {
	case "direct":
	case "nat", "tunnel":
		return o, fmt.Errorf("method %s: this director forwards by direct routing only", method)
	default:
		return o, fmt.Errorf("method %q: want direct", method)
	}
	for _, flows := range c.IntSlice("flows") {
		o.Flows = flows
		if err := o.Validate(); err != nil {
			return o, err
		}
	}
	return o, nil
}
