// Package guest is tests that run inside the virtual machine of internal/vm, as
// root of a system of their own. They are built with the tag vmtest only, into a
// static program; internal/vm/run boots them.
//
// Kernel IPVS is the oracle. A [wire] stands in for clients and real servers: it
// puts frames on a director's interface and sees by the destination MAC address
// of what comes out which real server was chosen. Two directors, kernel IPVS
// (ipvs) and the real xlvs program (instance), each in a namespace with a wire,
// are shown the same packets and the same changes of configuration by a [play],
// and are compared after each: what comes out, bit by bit, what the client is
// answered, and what they list.
//
// Where xlvs deliberately differs from IPVS, the play says so at that step, with
// what each of the two does, and names the heading of docs/ipvs.md that says why.
// Each heading there must be shown by a play.
//
// The benchmarks run here too, with IPVS among the balancers and a director in
// zero copy. They are checked for working; under emulation their figures say little
// of speed.
package guest
