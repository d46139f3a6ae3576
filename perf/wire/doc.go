// Package wire measures balancers on the wire: a generator and a sink at one
// end of a veth pair, the balancer at the other. `xlvs bench wire` and `xlvs
// bench generate` call it; it needs root.
//
//	  near                              far
//	+-----------------------------+   +------------------+
//	| generate -> near0 ==========|===|=> far0 -> balancer|
//	| sink     <- near0 <=========|===|== far0 <-         |
//	+-----------------------------+   +------------------+
//
// Generator and sink are XDP programs (wire.c). The generator is run by
// BPF_PROG_RUN with live frames and sends as fast as a core can, or at a rate;
// the sink counts, ticks off numbers and measures delays where the frame arrives,
// so that neither costs what a socket costs. The balancers take turns, round by
// round, each in a pair of namespaces made for it: what slows the machine down
// for a while slows all of them down.
//
// A balancer is a process of its own, or the kernel. The package starts it, owns
// everything it makes, and takes it away again when Run returns, also when its
// context ends early. If the program is killed, so are its children, and the
// kernel removes the namespaces with them.
//
// # Loss-free
//
// The loss-free rate is searched for as RFC 2544, section 26.1 has it: by halving
// the interval between a rate that was carried and one that was not. Two things
// differ. A trial takes a second, not sixty, unless Options say otherwise; and a
// trial passes if no more than [Options.Tolerance] of its frames are lost, by
// default one in ten thousand, and is repeated once if it does not: a virtual
// machine that is stopped for some milliseconds loses frames whatever balances
// in it.
package wire
