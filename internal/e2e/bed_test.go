package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/internal/testnet"
)

// bed is a director between clients and servers that are frames on packet
// sockets, one a veth pair. Clients may be on any wire. The servers of wire i are
// 10.i.0.11 to 10.i.0.99 and fd00:i::11 to fd00:i::99; their MAC addresses end
// with the last number of their address, which is how a server is named here.
//
//	 outside                          inside
//	+------------------+             +------------------------+
//	| packet socket    | wire0  eth0 | 10.0.0.1  fd00:0::1    |
//	|  answers ARP for |=============|                        |
//	|  10.0.0.11 ...   |             |   the director         |
//	| packet socket    | wire1  eth1 |                        |
//	|  answers ARP for |=============| 10.1.0.1  fd00:1::1    |
//	|  10.1.0.11 ...   |             |                        |
//	+------------------+             +------------------------+
type bed struct {
	*director
	inside, outside *testnet.Namespace
	queues          []int // of each wire
	wires           []*wire

	// of the configuration
	interfaces string // a YAML list; default all, in order
	tables     string // a YAML map
}

const (
	vip  = "203.0.113.10"
	vip6 = "2001:db8:113::10"
)

// newBed makes a bed with one wire for each number of queues.
func newBed(t testing.TB, queues ...int) *bed {
	t.Helper()
	b := &bed{
		inside: testnet.Fresh(t), outside: testnet.Fresh(t), queues: queues,
		tables: "{connections: 65536, connections6: 4096, templates: 16384, templates6: 4096, servers: 256}",
	}
	var names []string
	for i := range queues {
		names = append(names, fmt.Sprintf("{name: eth%d}", i))
		b.wires = append(b.wires, nil)
		b.plug(t, i)
	}
	b.interfaces = "[" + strings.Join(names, ", ") + "]"
	b.director = newDirector(t, b.inside)
	t.Cleanup(func() {
		for _, w := range b.wires {
			w.close()
		}
	})
	return b
}

// plug makes wire i anew.
func (b *bed) plug(t testing.TB, i int) {
	t.Helper()
	eth, far := fmt.Sprintf("eth%d", i), fmt.Sprintf("wire%d", i)
	must(t, testnet.Pair(
		testnet.Veth{Namespace: b.inside, Name: eth, Queues: b.queues[i]},
		testnet.Veth{Namespace: b.outside, Name: far, Queues: b.queues[i]}))
	must(t, b.outside.Sysctl("net/ipv6/conf/"+far+"/disable_ipv6", "1"))
	must(t, b.inside.AddAddr(eth, netip.MustParsePrefix(fmt.Sprintf("10.%d.0.1/24", i))))
	must(t, b.inside.AddAddr(eth, netip.MustParsePrefix(fmt.Sprintf("fd00:%d::1/64", i))))
	b.neighbours6(t, i)
	if b.wires[i] != nil {
		b.wires[i].close()
	}
	mac, err := b.inside.MAC(eth)
	must(t, err)
	b.wires[i] = newWire(t, b.outside, far, packettest.MAC(mac))
}

// neighbours6 says where IPv6 servers are: the wire answers ARP, not neighbour
// discovery.
func (b *bed) neighbours6(t testing.TB, i int) {
	t.Helper()
	index, err := b.inside.Index(fmt.Sprintf("eth%d", i))
	must(t, err)
	for server := 11; server < 16; server++ {
		mac := serverMAC(byte(server))
		must(t, b.inside.Netlink().NeighSet(&netlink.Neigh{
			LinkIndex: index, State: netlink.NUD_PERMANENT,
			IP: netip.MustParseAddr(fmt.Sprintf("fd00:%d::%d", i, server)).AsSlice(), HardwareAddr: mac[:],
		}))
	}
}

// serverMAC is the address of a server, by the last number of its IP address.
func serverMAC(server byte) packettest.MAC { return packettest.MAC{2, 0, 0, 0, 1, server} }

// config is a configuration with these marks and services.
func (b *bed) config(policy string) string {
	return fmt.Sprintf(`
interfaces: %s
tables: %s
steering: {pin: %s}
control: {socket: %s}
%s`, b.interfaces, b.tables, b.pin, b.socket(), policy)
}

// flow is a client's port talking to a virtual address and port.
type flow struct{ client, virtual netip.AddrPort }

// flowOf has clients of 198.18.0.0/15 or 2001:db8:2::/48, by number.
func flowOf(client, port int, virtual netip.AddrPort) flow {
	addr := netip.AddrFrom4([4]byte{198, 18 | byte(client>>16), byte(client >> 8), byte(client)})
	if virtual.Addr().Is6() {
		a := netip.MustParseAddr("2001:db8:2::").As16()
		binary.BigEndian.PutUint16(a[6:], uint16(client>>8)) // of the /64's prefix
		a[15] = byte(client)
		addr = netip.AddrFrom16(a)
	}
	return flow{netip.AddrPortFrom(addr, uint16(port)), virtual}
}

func udpTo(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(vip), port) }

// udp is a datagram of the flow with a number in it.
func (f flow) udp(number uint32) packettest.Packet {
	return packettest.IP(f.client.Addr(), f.virtual.Addr()).
		UDP(f.client.Port(), f.virtual.Port()).Data(numbered(number))
}

// tcp is a segment of the flow with a number in it.
func (f flow) tcp(number uint32) packettest.Packet {
	return packettest.IP(f.client.Addr(), f.virtual.Addr()).
		TCP(f.client.Port(), f.virtual.Port()).Data(numbered(number))
}

// numberMagic is before the number in a payload.
const numberMagic = "xlvs"

func numbered(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte(numberMagic), n) }
