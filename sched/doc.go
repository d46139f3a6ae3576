// Package sched has the schedulers of IPVS: which real server a new client goes to.
//
// The Director builds one scheduler for each virtual service with [New], and a new one
// whenever the service's servers or their weights change; a scheduler's servers never
// change under it. Workers call Schedule from many threads at once, for the first packet of
// a connection or of a persistent client. Schedule takes no lock, does not allocate and
// reads no clock: the time is in the request.
//
// The kernel's net/netfilter/ipvs/ip_vs_*.c is the model, down to the order in which
// servers are looked at, so that a director of kernel IPVS and one of xlvs that stand by
// for each other decide alike: sh, dh and mh choose the same server for the same client and
// the same list of servers. IPVS puts each server that is added in front of its list
// (__ip_vs_update_dest), and so looks at the last one configured first; so does this
// package.
//
// What is not as in IPVS, and why:
//
//   - lblc does not send a new connection to a server over its upper
//     threshold only because it is in its cache; ip_vs_lblc.c forgets to look.
//   - lblcr keeps at most 16 servers for one destination, and both caches are of
//     a fixed size: a destination that finds no room takes that of the one unused for longest.
//   - twos draws fairly; ip_vs_twos.c gives the first server one ticket too many, which
//     sends it two thirds of the draws between two servers of weight 1.
//   - loads are compared without the overflow of a 32-bit product (ip_vs_sed.c,
//     ip_vs_nq.c, ip_vs_twos.c).
//   - wrr does not move its cursor when no server is to be had, and takes up
//     where it was after a reload instead of starting from the first server.
package sched
