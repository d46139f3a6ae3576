// Package vip puts virtual addresses on the director's host, or watches whether
// something else does.
//
// A [Manager] is for hosts where xlvs alone is the director (configured to add
// its addresses): it adds them to an interface, announces them on the links of the clients by
// gratuitous ARP (RFC 5227, 2.3; RFC 5944, 4.6) and unsolicited neighbour
// advertisements (RFC 4861, 7.2.6), and removes them on Close, and nothing but
// what it added. Addresses that a killed run left are recognised by a
// mark in the kernel (IFA_PROTO, Linux 5.18) and owned again.
//
// A [Watcher] is for hosts where keepalived or the administrator moves the
// addresses: it only follows them, to say when one is not here.
//
// Where to add an address: Linux answers ARP for any address of the host on
// every interface (as long as arp_ignore is 0), so an IPv4 address may be on lo.
// It answers neighbour discovery only for addresses of the very interface that
// was asked: an IPv6 address belongs on the interface towards the clients.
//
// Package control owns both. Their methods may be called from any goroutine,
// and may block for a few netlink requests. The sockets stay in the network
// namespace of the thread that opened them.
package vip
