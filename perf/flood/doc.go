// Package flood measures what an attack costs the clients that are not part of it.
// `xlvs bench flood` calls it; it needs root.
//
//	clients ---+                        +--- server 1
//	           +--- switch --- director +--- server 2    (all at the switch)
//	attacker --+ or a link of its own   +--- server 3
//
// Clients are real TCP stacks: some keep connections open and talk, others come
// anew and check that they meet the server that they know. The attacker sends
// frames from invented addresses through an AF_XDP socket, at a rate or as fast
// as a core can. The director is a process of its own, with its default tables
// unless the options say otherwise.
//
// The package makes namespaces of its own and takes them away again. If the
// program is killed, the kernel removes them with it.
package flood
