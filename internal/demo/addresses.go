package demo

import (
	"net/netip"
)

// The virtual service's two addresses, and the ports behind them.
var (
	vip4 = netip.MustParseAddr("203.0.113.10")
	vip6 = netip.MustParseAddr("2001:db8:113::10")
)

const (
	portFTP   = 21
	portSSH   = 22 // the director's own, no service
	portEcho  = 7  // UDP
	portHTTP  = 80
	portHTTPS = 443
	portShort = 8080 // HTTP under a mark of its own with a short persistence

	passiveFirst, passiveLast = 10000, 10199 // FTP data connections
)

// The firewall marks of the director's configuration. Each has one service a family.
const (
	markFTP   = 21
	markWeb   = 80
	markShort = 8080
)

// The one Ethernet segment of router, director and real servers.
var (
	segment4 = netip.MustParsePrefix("10.0.0.0/24")
	segment6 = netip.MustParsePrefix("fd00:10::/64")

	routerLeg   = leg{segment4, segment6, 1}
	directorLeg = leg{segment4, segment6, 2}
)

// leg is a host's pair of addresses on a segment: the same number in both families.
type leg struct {
	prefix4, prefix6 netip.Prefix
	number           byte
}

func (l leg) addr4() netip.Addr { return host(l.prefix4, l.number) }
func (l leg) addr6() netip.Addr { return host(l.prefix6, l.number) }

// prefixes is the addresses with the lengths of their segment, as an interface has them.
func (l leg) prefixes() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(l.addr4(), l.prefix4.Bits()),
		netip.PrefixFrom(l.addr6(), l.prefix6.Bits()),
	}
}

// host is the address with the given last byte in a prefix.
func host(p netip.Prefix, number byte) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-1] = number
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// server is a real server.
type server struct {
	name   string
	leg    leg
	weight int // under the web mark
}

var servers = []server{
	{"one", leg{segment4, segment6, 11}, 2},
	{"two", leg{segment4, segment6, 12}, 1},
	{"three", leg{segment4, segment6, 13}, 1},
}

// network is a client network: one /24 and one /64 on a wire behind the router.
type network struct {
	name  string // of its namespace
	wire  leg    // the router's own leg in it
	hosts []byte // the clients' numbers, in both families
}

var networks = []network{
	{"client-a", clientWire(1), []byte{10, 11, 12}},
	{"client-b", clientWire(2), []byte{10, 11, 12}},
	{"client-c", clientWire(3), []byte{10, 11, 12}},
}

func clientWire(n byte) leg {
	return leg{
		prefix4: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, n, 0}), 24),
		prefix6: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, n}), 64),
		number:  1,
	}
}

// Newcomers are clients that each come from a network of their own: one
// namespace owns these whole prefixes.
const newcomersName = "newcomers"

var (
	newcomers4 = netip.MustParsePrefix("198.19.0.0/16")
	newcomers6 = netip.MustParsePrefix("2001:db8:f000::/36")

	newcomersWire = leg{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("fd00:11::/64"), 1}
)

// newcomer is the client address of the nth network of its own.
func newcomer(n byte, six bool) netip.Addr {
	if six {
		b := newcomers6.Addr().As16()
		b[5], b[15] = n, 1
		return netip.AddrFrom16(b)
	}
	b := newcomers4.Addr().As4()
	b[2], b[3] = n, 1
	return netip.AddrFrom4(b)
}

// vipFor is the virtual address of a client's family.
func vipFor(client netip.Addr) netip.Addr {
	if client.Is4() {
		return vip4
	}
	return vip6
}

// maskBits4 and maskBits6 are the persistence masks of every mark.
const maskBits4, maskBits6 = 24, 64

// networkOf is a client's address under the persistence mask.
func networkOf(client netip.Addr) netip.Prefix {
	bits := maskBits6
	if client.Is4() {
		bits = maskBits4
	}
	return netip.PrefixFrom(client, bits).Masked()
}
