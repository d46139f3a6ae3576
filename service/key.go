package service

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/xlvs/xlvs/packet"
)

// String names the service as an administrator would: "fwmark 80", "fwmark 80 (IPv6)", "tcp
// 192.0.2.1:80", "udp [2001:db8::1]:53". All ports of an address are "tcp 192.0.2.1:0".
func (k Key) String() string {
	if k.Mark != 0 {
		if k.IPv6 {
			return fmt.Sprintf("fwmark %d (IPv6)", k.Mark)
		}
		return fmt.Sprintf("fwmark %d", k.Mark)
	}
	return protocolName(k.Protocol) + " " + netip.AddrPortFrom(k.Addr, k.Port).String()
}

func protocolName(p packet.Protocol) string {
	switch p {
	case packet.TCP:
		return "tcp"
	case packet.UDP:
		return "udp"
	case packet.SCTP:
		return "sctp"
	}
	return "protocol " + strconv.Itoa(int(p))
}
