//go:build vmtest

package guest

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/testnet"
)

// The machine's two virtio NICs are joined by a hub. The director has eth0. eth1 is
// the uplink of a switch that clients and real servers are on, all of them
// namespaces with the kernel's own TCP, on two networks: untagged, and VLAN 100.
//
//	director eth0 ===hub=== eth1 --- br0 ------ client, real servers 1 and 2    10.1.0.0/24
//	                          +- eth1.100 - br100 - the same, other interfaces  10.2.0.0/24
type virtioBed struct {
	director, hub, client *testnet.Namespace
	servers               [2]*testnet.Namespace
	xlvs                  *instance
}

// network is one of the bed's two networks.
type network struct {
	bridge, prefix, vip, device string
	vlan                        int
}

var (
	untagged = network{bridge: "br0", prefix: "10.1.0.", vip: "198.51.100.201", device: "eth0"}
	tagged   = network{bridge: "br100", prefix: "10.2.0.", vip: "198.51.100.202", device: "eth0.100", vlan: 100}
)

func (n network) host(last int) netip.Addr { return address(fmt.Sprint(n.prefix, last)) }

func (n network) leg(last int) netip.Prefix { return netip.PrefixFrom(n.host(last), 24) }

// target is the network's virtual address and the services' port.
func (n network) target() string { return netip.AddrPortFrom(address(n.vip), port).String() }

// The last bytes of the hosts' addresses; real server n is 10+n.
const (
	directorHost = 1
	clientHost   = 100
)

func newVirtioBed(t *testing.T) *virtioBed {
	t.Helper()
	b := &virtioBed{director: namespace(t), hub: namespace(t), client: namespace(t)}
	moveNIC(t, "eth0", b.director)
	moveNIC(t, "eth1", b.hub)
	vlanDevice(t, b.director, "eth0", tagged.device)
	vlanDevice(t, b.hub, "eth1", "eth1.100")
	for i := range b.servers {
		b.servers[i] = namespace(t)
		must(t, b.servers[i].Sysctl("net.ipv4.conf.all.arp_ignore", "1"))
		must(t, b.servers[i].Sysctl("net.ipv4.conf.all.arp_announce", "2"))
	}
	for uplink, n := range map[string]network{"eth1": untagged, "eth1.100": tagged} {
		must(t, b.hub.AddBridge(n.bridge))
		must(t, b.hub.Plug(uplink, n.bridge))
		must(t, b.director.AddAddr(n.device, n.leg(directorHost)))
		vip := netip.PrefixFrom(address(n.vip), 32)
		must(t, b.director.AddAddr("lo", vip))
		b.plug(t, b.client, "client", n, clientHost)
		must(t, b.client.ReplaceRoute(vip, n.host(directorHost)))
		for i, s := range b.servers {
			b.plug(t, s, fmt.Sprint("server", i+1), n, 11+i)
			must(t, s.AddAddr("lo", vip))
		}
	}
	b.xlvs = newInstance(t, b.director)
	return b
}

// plug joins a host to a network's switch by an interface that is named like the bridge.
func (b *virtioBed) plug(t *testing.T, host *testnet.Namespace, name string, n network, last int) {
	t.Helper()
	port := fmt.Sprint(name, "-", n.vlan)
	must(t, testnet.Pair(testnet.Veth{Namespace: host, Name: n.bridge}, testnet.Veth{Namespace: b.hub, Name: port}))
	must(t, host.WireFrames(n.bridge)) // the hub is a wire
	must(t, b.hub.Plug(port, n.bridge))
	must(t, host.AddAddr(n.bridge, n.leg(last)))
}

// moveNIC gives a namespace one of the machine's NICs, which comes back at the end.
func moveNIC(t *testing.T, name string, ns *testnet.Namespace) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetNsFd(link, ns.Fd()))
	must(t, ns.Up(name))
}

func vlanDevice(t *testing.T, ns *testnet.Namespace, parent, name string) {
	t.Helper()
	index, err := ns.Index(parent)
	must(t, err)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, index
	must(t, ns.Netlink().LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: tagged.vlan, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}))
	must(t, ns.Up(name))
}

// port is the one that the bed's services are on.
const port = 7000

// start starts the director in a mode. The mark of the tagged network is by VLAN, and
// is given to both virtual addresses; the untagged network's service is by address.
func (b *virtioBed) start(t *testing.T, mode string) {
	t.Helper()
	b.xlvs.configure(t, fmt.Sprintf("interfaces: [{name: eth0, mode: %s}]\nrings: {frames: 1024, rx: 256, tx: 256, fill: 512, completion: 256}", mode), fmt.Sprintf(`
marks:
  - {mark: 100, match: {protocol: any, destination: [%[1]s, %[2]s], ports: %[3]d, vlan: 100}}
services:
  - {fwmark: 100, scheduler: rr, servers: [{address: 10.2.0.11}, {address: 10.2.0.12}]}
  - {address: %[1]s, protocol: tcp, port: %[3]d, scheduler: rr, servers: [{address: 10.1.0.11}, {address: 10.1.0.12}]}
  - {address: %[1]s, protocol: udp, port: %[3]d, scheduler: rr, servers: [{address: 10.1.0.11}, {address: 10.1.0.12}]}
`, untagged.vip, tagged.vip, port))
	b.xlvs.start(t)
	b.xlvs.reachable(t)
}

// socket is the status of the director's only AF_XDP socket.
func (b *virtioBed) socket(t *testing.T) control.SocketStatus {
	t.Helper()
	sockets := b.xlvs.status(t).Sockets
	if len(sockets) != 1 {
		t.Fatalf("%d sockets, expected 1: %+v", len(sockets), sockets)
	}
	return sockets[0]
}

// serve answers on every real server: TCP says the server's number and echoes,
// UDP echoes behind the number.
func (b *virtioBed) serve(t *testing.T) {
	t.Helper()
	for i, s := range b.servers {
		number := byte(1 + i)
		var l net.Listener
		must(t, s.Do(func() (err error) {
			l, err = net.Listen("tcp4", fmt.Sprint(":", port))
			return err
		}))
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					c.Write([]byte{number})
					io.Copy(c, c)
				}()
			}
		}()
		for _, n := range []network{untagged, tagged} {
			var u net.PacketConn
			must(t, s.Do(func() (err error) { // on the address itself, which then is the answer's
				u, err = net.ListenPacket("udp4", n.target())
				return err
			}))
			t.Cleanup(func() { u.Close() })
			go echo(u, number)
		}
	}
}

func echo(u net.PacketConn, number byte) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := u.ReadFrom(buffer[1:])
		if err != nil {
			return
		}
		buffer[0] = number
		u.WriteTo(buffer[:1+n], from)
	}
}
