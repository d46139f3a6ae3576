// Package neigh finds how frames reach the real servers on the link. For each
// address that it is asked to [Table.Want] it keeps a service.NextHop: the
// interface by which the kernel's routes leave for it, the MAC addresses
// of that interface and of the server, or of the gateway before it, the VLAN tag
// that frames need, and the longest packet that fits.
//
// The kernel does not resolve neighbours for AF_XDP: no packet of ours passes
// through its routing. So the Table asks it to, without sending data: it uses
// the neighbour entry by netlink (NTF_USE), which makes the kernel solicit by
// ARP (RFC 826) or neighbour discovery (RFC 4861, 7.3) as if a packet had been
// sent. It does so when an entry is missing, has failed or turns stale, and
// follows what comes of it. Links, addresses, routes and rules are followed
// too, and everything is read anew when the netlink socket overflows.
//
// NTF_USE leaves ordinary entries, which the kernel ages and collects as its
// own: a crash leaves nothing that lasts (entries with NTF_EXT_MANAGED would be
// probed for ever). Close removes the entries that the Table created.
//
// The Director (package control) owns the Table and calls it. All methods may be called from any
// goroutine. Lookup and Want return at once; Open and Close do a few netlink
// requests. One goroutine resolves, another reads netlink; both end with
// Close. The sockets stay in the network namespace of the thread that called Open.
package neigh
