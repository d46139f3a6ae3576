package testnet

import (
	"net"
	"net/netip"
	"testing"
)

func TestPairCarriesTraffic(t *testing.T) {
	a, b := Fresh(t), Fresh(t)
	must(t, Pair(Veth{Namespace: a, Name: "left", Queues: 2}, Veth{Namespace: b, Name: "right"}))
	must(t, a.AddAddr("left", netip.MustParsePrefix("10.9.0.1/24")))
	must(t, b.AddAddr("right", netip.MustParsePrefix("10.9.0.2/24")))
	must(t, b.Sysctl("net.ipv4.conf.right.rp_filter", "0"))
	var listener net.Listener
	must(t, b.Do(func() (err error) {
		listener, err = net.Listen("tcp", "10.9.0.2:0")
		return err
	}))
	defer listener.Close()
	must(t, a.Do(func() error {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err
	}))
}
