// Package demo is everything behind "xlvs demo": a network of namespaces with
// the director, three real servers and many clients, real traffic through it,
// and a proof, line by line, of what firewall marks and persistence promise.
//
//	client-a   198.18.1.0/24  2001:db8:1::/64    ──┐
//	client-b   198.18.2.0/24  2001:db8:2::/64    ──┼── router  10.0.0.1, fd00:10::1
//	client-c   198.18.3.0/24  2001:db8:3::/64    ──┤      │
//	newcomers  198.19.0.0/16  2001:db8:f000::/36 ──┘      │
//	                                                      │
//	switch  ════╤══════════════╤══════════════╤═══════════╧══╤════
//	            │              │              │              │
//	        director          one            two           three
//	        10.0.0.2       10.0.0.11      10.0.0.12      10.0.0.13
//	        VIPs on eth0   VIPs on lo     VIPs on lo     VIPs on lo
//
// The virtual addresses (VIPs) are 203.0.113.10 and 2001:db8:113::10. A request
// goes client, router, director, real server; the answer goes from the real
// server to the router straight away, because that is direct routing.
//
// Only cmd/xlvs calls it. It needs root and the kernel, no other program: the
// director is the executable itself, started as "xlvs run", and so are the
// hosts, started as [Serve]. Everything stays within the namespaces that it makes,
// a folder in /run and one on bpffs, and goes with the demo unless it is to be
// kept. It may block, allocate and sleep as it likes: nothing here is on the
// path of a director's packet.
package demo
