package testnet

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Three hosts on a switch; the third owns a whole prefix by one route.
func TestBridgeJoinsHosts(t *testing.T) {
	sw := Fresh(t)
	must(t, sw.AddBridge("br0"))
	hosts := make([]*Namespace, 3)
	for i := range hosts {
		hosts[i] = Fresh(t)
		port := string(rune('a' + i))
		must(t, Pair(Veth{Namespace: sw, Name: port}, Veth{Namespace: hosts[i], Name: "eth0"}))
		must(t, sw.Plug(port, "br0"))
		must(t, hosts[i].AddAddr("eth0", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(1 + i)}), 24)))
	}
	anyIP := netip.MustParsePrefix("198.51.100.0/24")
	must(t, hosts[2].AddLocalRoute(anyIP))
	must(t, hosts[1].AddRoute(anyIP, netip.MustParseAddr("10.9.0.3")))
	must(t, hosts[0].AddLinkRoute(anyIP, "eth0")) // answered: the kernel replies to ARP for its own addresses

	var listener net.Listener
	must(t, hosts[2].Do(func() (err error) {
		listener, err = net.Listen("tcp", "198.51.100.77:0")
		return err
	}))
	defer listener.Close()
	for _, host := range hosts[:2] {
		must(t, host.Do(func() error {
			conn, err := net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		}))
	}
}

func TestReleaseLeavesTheName(t *testing.T) {
	name := "xlvs-testnet-" + time.Now().Format("150405.000000")
	ns, err := NewNamed(name)
	must(t, err)
	must(t, ns.Release())
	if _, err := os.Stat(filepath.Join(namesDir, name)); err != nil {
		t.Errorf("the name went with the descriptor: %v", err)
	}
	must(t, Remove(name))
	if _, err := os.Stat(filepath.Join(namesDir, name)); err == nil {
		t.Error("the name is still there")
	}
	must(t, Remove(name)) // twice is fine
}
