// Package pipeline measures the balancer's own work: from the bytes of a frame to
// its verdict and the rewritten frame, through the forwarder that the workers run,
// with real tables, marks, scheduler, state and counters. There is no network and no
// root in it.
//
// # What is measured, and how
//
// Frames lie in a UMEM's layout, 2048 bytes apart. Before each batch the harness writes
// the next flows into them, as a network card would, in random order, so that each packet
// needs another line of the tables. Then [dataplane.Forwarder.Forward] takes the batch.
//
// A stage cannot be timed on its own, for stages overlap in the processor and last
// some nanoseconds. So the harness runs prefixes of the pipeline, made of the same exported
// functions in the same order, which a test holds to the forwarder's source: writing
// frames alone; with parsing; with hashing, and so on; and the whole. They take turns, a
// thousand packets each, on packets that have not been seen for long. A stage costs what
// its prefix takes more than the one before, and the whole what it takes more than
// writing frames alone.
//
// Time is processor time of the one thread that works, so that other programs on the
// machine count only by what they do to the caches. Each round gives one figure a
// stage; results are medians of rounds.
package pipeline
