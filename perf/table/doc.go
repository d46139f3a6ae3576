// Package table measures the director's connection table beside what else a program
// in Go could remember its clients in: ristretto and otter, which are caches, and
// xsync.Map and sync.Map, which are maps. It measures speed, memory, and whether what
// was put in is found again.
//
// # What is compared
//
// A client is an address and a source port of its own, and goes to one of eight real
// servers. All tables get the same clients in the same random order, and each is set up
// as its documentation advises for a known number of entries (each file says how):
//
//   - xlvs has the whole key of a connection, addresses, ports and protocol, made from
//     a tuple at each call, and works in batches of 64 as the workers do.
//   - xsync.Map has the whole key, too, in two words. Beside it, and to all others,
//     the client's address and port are given packed into a uint64: ristretto takes
//     nothing longer without an allocation, and it is the key that is cheapest for
//     them. A balancer of more than one service could not use it.
//   - All but xlvs take one key a call; none has a call for more.
//   - Every table also remembers when an entry is over, as a balancer must. The caches
//     do it by themselves; for the maps it is part of the value.
//
// # How
//
// Insertion, memory, expiry and the correctness of each table are measured with
// nothing else in memory, for a collector of garbage that walks through one table makes the
// others slower. Then all tables are filled, and lookups take turns, one
// slice of time each, round by round, starting with another table each round.
//
// The clock is the processor time of the whole process, so that work that a library
// does in other goroutines, and collecting its garbage, is part of its cost, and other
// programs are not. On all cores it is divided by their number: the time that passes if
// nothing else runs, and what go test -bench prints then.
package table
