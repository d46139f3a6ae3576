package wire

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/xlvs/xlvs/perf/result"
)

// WriteTable prints results for people, and what they say about the director.
func WriteTable(w io.Writer, found *result.Wire) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "balancer\tqueues\tMpps\trange\tof xdp-tx\tloss-free\tp50 us\tp99 us\tp99.9 us\tnew/s\tduplicates\t")
	for _, run := range found.Runs {
		if len(run.Rounds) == 0 {
			continue
		}
		noisy := ""
		if run.Noisy {
			noisy = " noisy"
		}
		fmt.Fprintf(t, "%s\t%d\t%.3f\t%.2f-%.2f%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", run.Name, run.Queues,
			run.Mpps, run.Rounds.Min(), run.Rounds.Max(), noisy, figure("%.2f", run.Ratio), figure("%.3f", run.MppsLossFree),
			figure("%.0f", run.Latency.P50), figure("%.0f", run.Latency.P99), figure("%.0f", run.Latency.P999),
			figure("%.0f", run.ConnectionsPerSecond), run.Duplicates)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, run := range found.Runs {
		if run.Skipped != "" {
			fmt.Fprintf(w, "%s (%d queues) skipped: %s\n", run.Name, run.Queues, run.Skipped)
		}
	}
	for _, line := range append(interference(found), comparisons(found)...) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// worthTelling is the share of the time spent waiting for a CPU from which on it shows
// in the 99.9th percentile.
const worthTelling = 0.0005

// interference says which delays other programs have to do with.
func interference(found *result.Wire) []string {
	var lines []string
	for _, run := range found.Runs {
		for _, l := range run.Latencies {
			if sum := l.BalancerWaited + l.GeneratorWaited + l.Stolen; sum >= worthTelling {
				lines = append(lines, fmt.Sprintf("%s (%d queues) at %.3g %% load: the balancer waited %.2f %% of the time for its CPU, the generator %.2f %%, "+
					"while other programs ran there; the hypervisor took %.2f %%: packets waited, too",
					run.Name, run.Queues, 100*l.Load, 100*l.BalancerWaited, 100*l.GeneratorWaited, 100*l.Stolen))
			}
		}
	}
	return lines
}

// figure prints a value, or a dash if it was not measured.
func figure(format string, v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// comparisons say how the first balancer stands against each of the others.
func comparisons(found *result.Wire) []string {
	var lines []string
	for _, of := range found.Runs {
		if of.Name != found.Runs[0].Name || len(of.Rounds) == 0 {
			continue
		}
		for _, to := range found.Runs {
			if to.Name == of.Name || to.Queues != of.Queues || len(to.Rounds) == 0 {
				continue
			}
			ratio := result.Ratio(of.Rounds, to.Rounds)
			lines = append(lines, fmt.Sprintf("%s / %s, %d queues: %.2f (%.2f to %.2f in %d rounds): %s",
				of.Name, to.Name, of.Queues, ratio.Median(), ratio.Min(), ratio.Max(), len(ratio), judge(ratio)))
		}
	}
	return lines
}

// verdict is what a comparison comes to.
type verdict string

const (
	faster     verdict = "faster"
	slower     verdict = "slower"
	equal      verdict = "as fast"
	undecided  verdict = "too noisy to tell"
	tooFew     verdict = "too few rounds to tell"
	leastTurns         = 3
	alike              = 0.05
)

// judge reads the ratios of two balancers, a round each. They are neighbours in
// time, so that what slows the machine down is in both; what is left is luck. One
// is faster if it was in every round, for which luck alone has a chance of one in
// sixteen with five rounds; both are equal if no round says otherwise by more than
// alike. Anything else is too noisy to tell.
func judge(ratios result.Rounds) verdict {
	switch {
	case len(ratios) < leastTurns:
		return tooFew
	case ratios.Min() > 1-alike && ratios.Max() < 1+alike:
		return equal
	case ratios.Min() > 1:
		return faster
	case ratios.Max() < 1:
		return slower
	}
	return undecided
}
