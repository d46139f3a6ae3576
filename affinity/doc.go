// Package affinity remembers who goes where and since when: one table of
// connection entries and one of persistence templates, for all workers of the
// director and for an XDP program beside them.
//
// The tables are exact. Two workers that meet the first two packets of one
// client at the same moment agree on its real server, because insertion is
// insert-if-absent; what was inserted is found until it expires, is deleted, or
// makes room under the rules below. Nothing of a table is sampled, batched or
// dropped in silence.
//
// # Who calls it
//
// Workers call [Conns] and [Templates] for every packet, from any number of
// threads. Lookup never blocks, never retries and never writes. Insert and Delete
// take the lock bit of one bucket for some tens of nanoseconds; a reader never
// waits for it. Stage loads beforehand what a batch of lookups will look at. None of them allocates or reads a clock: the caller passes
// its time as a [Tick], read once per batch.
//
// The Director calls Format or Attach, the directory of servers and the
// thresholds, and one goroutine of its own calls Sweep. These may take a mutex
// and allocate. Listings use Range, which neither locks nor stalls anybody.
//
// # Who owns what
//
// The entries live in memory that the caller provides: an anonymous mapping, or
// a memory-mapped BPF array that an XDP program reads and that outlives the
// process. It is flat and position independent; layout.go describes it to
// the bit. What can be recounted (live entries, connections per server)
// is in process memory and is counted afresh by [Attach], which also mends
// whatever a process that was killed at any instruction left half done.
//
// # Making room
//
// A table holds as many entries as it was configured for. An insertion that
// finds it full displaces, among the places where the new entry may live, an
// expired entry, or else one that is not assured (nothing but its first packet
// was seen), soonest expiry first. An assured entry is never displaced, and
// neither is a template that a connection holds. If nothing can go, the
// insertion ends in [Full]. So a flood of first packets from invented addresses
// displaces itself, and costs no assured client its server.
package affinity
