// Package result is what the benchmarks find, in the shapes that
// `xlvs bench --json` prints and `xlvs bench --report` draws.
//
// The benchmarks fill these types, perf/report and the command line read them.
// They are plain values: nothing here measures, blocks or keeps what it is given.
// Fields may be added; none changes its name or its meaning, for results are kept
// and compared over years.
//
// A figure that stands alone (ns_per_packet, mpps) is the median of the rounds of a
// run. The rounds themselves are kept beside it, because on a machine that has
// other things to do only ratios between neighbours in time hold, see [Ratio].
package result
