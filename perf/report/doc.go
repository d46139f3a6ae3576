// Package report turns the results of benchmarks into what people and programs
// read: lines that benchstat reads, and a folder with a page, plots and the raw
// results. The command line calls it when a run is over. It writes files and
// nothing else.
package report
