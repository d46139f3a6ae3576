package config

import (
	"net/netip"
	"strings"
	"time"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// defaultPersistence is keepalived's timeout; ipvsadm's is 5 minutes.
const defaultPersistence = 6 * time.Minute

// refreshes are the values of refresh by their names in the file.
var refreshes = []struct {
	name    string
	refresh service.Refresh
}{
	{"connection", service.RefreshConnection},
	{"packet", service.RefreshPacket},
	{"none", service.RefreshNone},
}

func readPersistence(v value) service.Persistence {
	f := v.fields("persistence", "timeout", "mask", "mask6", "refresh")
	p := service.Persistence{
		Timeout: f.timeout("timeout", defaultPersistence),
		Mask:    mask4(32),
		Mask6:   mask6(int(f.number("mask6", 128, 0, 128))),
	}
	if m, ok := f.at("mask").mask(); ok {
		p.Mask = m
	}
	name := f.word("refresh", refreshes[0].name, refreshes[0].name, refreshes[1].name, refreshes[2].name)
	for _, r := range refreshes {
		if r.name == name {
			p.Refresh = r.refresh
		}
	}
	return p
}

// mask reads an IPv4 mask: a length, or four bytes that need not be contiguous.
func (v value) mask() (packet.Addr, bool) {
	s, ok := v.text()
	if !ok {
		return packet.Addr{}, false
	}
	if strings.ContainsRune(s, '.') {
		ip, err := netip.ParseAddr(s)
		if err != nil || !ip.Is4() {
			v.errorf("%s %s is not an IPv4 mask: write 0 to 32, or four bytes such as 255.255.255.0", v.subject(), quote(s))
			return packet.Addr{}, false
		}
		return dotted(packet.AddrFrom(ip).V4()), true
	}
	n, ok := v.number(0, 32)
	return mask4(int(n)), ok
}

// mask4 is the mask of an IPv4 prefix length.
func mask4(length int) packet.Addr { return dotted(^uint32(0) << (32 - length)) }

// dotted is an IPv4 mask; the bits of the mapped prefix stay.
func dotted(mask uint32) packet.Addr {
	return packet.Addr{Hi: ^uint64(0), Lo: 0xffffffff<<32 | uint64(mask)}
}

// mask6 is the mask of an IPv6 prefix length.
func mask6(length int) packet.Addr {
	return packet.Addr{Hi: ^(^uint64(0) >> min(64, length)), Lo: ^(^uint64(0) >> max(0, length-64))}
}
