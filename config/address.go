package config

import (
	"fmt"
	"net/netip"
)

// address reads a unicast address that frames can be sent to.
func (v value) address() (netip.Addr, bool) {
	s, ok := v.text()
	if !ok {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		v.errorf("%s %s is not an IP address: %s", v.subject(), quote(s), addressAdvice(s))
		return netip.Addr{}, false
	}
	if why := unusable(ip); why != "" {
		v.errorf("%s %s %s", v.subject(), s, why)
		return netip.Addr{}, false
	}
	return ip, true
}

func addressAdvice(s string) string {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return fmt.Sprintf("write %s alone, the port %d has its own key", ap.Addr(), ap.Port())
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return fmt.Sprintf("write one address without a length, such as %s", p.Addr())
	}
	return "write one such as 203.0.113.10 or 2001:db8::10; host names are not looked up"
}

// unusable says why an address cannot be a virtual or real server's, and what
// to do; empty if it can.
func unusable(ip netip.Addr) string {
	switch {
	case ip.Zone() != "":
		return "has a zone: write an address that is valid on every link"
	case ip.Is4In6():
		return fmt.Sprintf("is an IPv4 address in IPv6 form: write %s", ip.Unmap())
	case ip.IsUnspecified():
		return "is the unspecified address: write the address of a host"
	case ip.IsMulticast():
		return "is a multicast address: write the address of a host"
	case ip.IsLoopback():
		return "is a loopback address: write one that others can reach"
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address: write the address of a host"
	case ip.IsLinkLocalUnicast() && ip.Is6():
		return "is valid on one link only: write a global or unique local address"
	}
	return ""
}

// prefixes reads prefixes; an address alone is the prefix of its full length.
func (v value) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, item := range v.oneOrMore() {
		if p, ok := item.prefix(); ok {
			all = append(all, p)
		}
	}
	return all
}

func (v value) prefix() (netip.Prefix, bool) {
	s, ok := v.text()
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	if ip, err2 := netip.ParseAddr(s); err2 == nil && ip.Zone() == "" {
		p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	switch {
	case err != nil:
		v.errorf("%s %s is neither an address nor a prefix: write one such as 203.0.113.10, 203.0.113.0/24 or \"2001:db8::/64\"", v.subject(), quote(s))
	case p.Addr().Is4In6():
		v.errorf("%s %s is IPv4 in IPv6 form: write it as IPv4", v.subject(), s)
	case p != p.Masked():
		v.errorf("%s %s has bits beyond its length: write %s, or %s for the one address", v.subject(), s, p.Masked(), p.Addr())
	default:
		return p, true
	}
	return netip.Prefix{}, false
}
