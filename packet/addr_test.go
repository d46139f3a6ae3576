package packet_test

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/packet"
)

// TestAddrIsTheAddress takes addresses of both families there and back.
func TestAddrIsTheAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ip := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "IPv6")))
		if rapid.Bool().Draw(t, "IPv4") {
			ip = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4 address")))
		}
		a := packet.AddrFrom(ip)
		if a.Netip() != ip.Unmap() || a.Is4() != ip.Unmap().Is4() || a.String() != ip.Unmap().String() {
			t.Fatalf("%v became %v", ip, a)
		}
		if a.Is4() && packet.AddrFrom4(a.V4()) != a {
			t.Fatalf("%v became %v by way of its 32 bits", a, packet.AddrFrom4(a.V4()))
		}
	})
}

func TestAndMasks(t *testing.T) {
	for _, test := range []struct{ addr, mask, want string }{
		{"192.0.2.77", "::ffff:255.255.255.0", "192.0.2.0"},
		{"192.0.2.77", "::ffff:255.0.0.255", "192.0.0.77"}, // not contiguous
		{"2001:db8:1:2::7", "ffff:ffff:ffff:ffff::", "2001:db8:1:2::"},
	} {
		if got := addr(test.addr).And(addr(test.mask)); got != addr(test.want) {
			t.Errorf("%s and %s is %v, want %s", test.addr, test.mask, got, test.want)
		}
	}
}

func TestReverseIsTheOtherDirection(t *testing.T) {
	want := tuple(vip4, client4, packet.TCP, 80, 1024)
	if got := flowTCP4.Reverse(); got != want || got.Reverse() != flowTCP4 {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := flowTCP6.Source(), netip.MustParseAddrPort("[2001:db8::1]:1024"); got != want {
		t.Errorf("source %v, want %v", got, want)
	}
	if got, want := flowTCP4.Destination(), netip.MustParseAddrPort("203.0.113.10:80"); got != want {
		t.Errorf("destination %v, want %v", got, want)
	}
}
