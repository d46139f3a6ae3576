package testnet

import (
	"net"
	"net/netip"
	"testing"
)

func TestPairCarriesTraffic(t *testing.T) {
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := Pair(Veth{Namespace: a, Name: "left", Queues: 2}, Veth{Namespace: b, Name: "right"}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []error{
		a.AddAddr("left", netip.MustParsePrefix("10.9.0.1/24")),
		b.AddAddr("right", netip.MustParsePrefix("10.9.0.2/24")),
		b.Sysctl("net.ipv4.conf.right.rp_filter", "0"),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	var listener net.Listener
	if err := b.Do(func() (err error) {
		listener, err = net.Listen("tcp", "10.9.0.2:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := a.Do(func() error {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
