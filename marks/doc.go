// Package marks gives packets their firewall mark: ordered rules over a packet's
// addresses, ports, protocol, input interface, VLAN and DSCP, the first that
// matches wins. It is what `iptables -t mangle -j MARK` is to IPVS.
//
// The configuration's rules are compiled once, by [Compile], into [Rules]. Those
// are immutable, part of a snapshot, and read by all workers at once: Match
// takes no lock, allocates nothing, and costs about the same for a thousand
// rules as for one.
package marks
