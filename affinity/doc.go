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
// waits for it. Stage loads beforehand what a batch of lookups will look at. None of them
// allocates or reads a clock: the caller passes its time as a [Tick], read once per batch.
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
// # How well an entry is known
//
// Each entry has a grade. A first packet makes an unassured one: its sender may be
// invented. The packet that shows a client assures it. From then on the grade rises
// with the time for which the connection is heard, by chance, see [Conns.Update]: some 15
// seconds make it [Lasting].
//
// A persistence template begins unassured, too, and no first packet's connection holds it. The
// packet that assures a connection looks the template up by key: [Templates.Assure] and
// [Conns.Hold] if it has the connection's server, Insert first if it is gone. One that has
// another server by now stands, and the connection does without.
//
// # Making room
//
// A table holds as many entries as it was configured for. An insertion that
// finds it full displaces an expired entry, or else the one of the lowest grade that was idle
// longest, among some that are near. Lasting connections are never displaced, and
// neither is a template that is assured or held. If nothing can go, the insertion
// ends in [Full]. So a flood displaces itself, and costs no client that was heard for longer
// its server.
//
// All connections of one client port (address, port, protocol) have one home, and no more than
// 62 places. At most 8 of them are unassured: the next first packet displaces the
// one that was idle longest. Where all places are taken, an unassured entry gives way, or one of
// the same client port that is not lasting; else the insertion ends in [PortFull].
package affinity
