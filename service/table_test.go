package service_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
	"pgregory.net/rapid"
)

func byAddress(p packet.Protocol, addrPort string, persistent bool) *service.VirtualService {
	ap := netip.MustParseAddrPort(addrPort)
	return &service.VirtualService{
		Key:        service.Key{Protocol: p, Addr: ap.Addr(), Port: ap.Port()},
		Persistent: persistent,
	}
}

func byMark(mark uint32, ipv6 bool) *service.VirtualService {
	return &service.VirtualService{Key: service.Key{Mark: mark, IPv6: ipv6}}
}

func tuple(p packet.Protocol, dst string) *packet.Tuple {
	ap := netip.MustParseAddrPort(dst)
	return &packet.Tuple{Dst: packet.AddrFrom(ap.Addr()), DstPort: ap.Port(), Protocol: p}
}

func mustTable(t testing.TB, services ...*service.VirtualService) *service.Table {
	t.Helper()
	table, err := service.NewTable(services)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestLookupOrder(t *testing.T) {
	const tcp, udp = packet.TCP, packet.UDP
	var (
		mark4   = byMark(80, false)
		mark6   = byMark(80, true)
		only4   = byMark(4, false)
		http    = byAddress(tcp, "192.0.2.1:80", false)
		ftp     = byAddress(tcp, "192.0.2.1:21", true)
		all     = byAddress(tcp, "192.0.2.1:0", true)
		plain   = byAddress(tcp, "192.0.2.2:21", false)
		plain0  = byAddress(tcp, "192.0.2.2:0", true)
		dns     = byAddress(udp, "192.0.2.1:53", false)
		http6   = byAddress(tcp, "[2001:db8::1]:80", false)
		exact21 = byAddress(udp, "192.0.2.3:21", true)
	)
	table := mustTable(t, mark4, mark6, only4, http, ftp, all, plain, plain0, dns, http6, exact21)
	for _, c := range []struct {
		what  string
		mark  uint32
		tuple *packet.Tuple
		want  *service.VirtualService
	}{
		{"a mark before an exact address", 80, tuple(tcp, "192.0.2.1:80"), mark4},
		{"a mark has no protocol", 80, tuple(udp, "192.0.2.99:9"), mark4},
		{"a mark's service of the packet's family", 80, tuple(tcp, "[2001:db8::1]:80"), mark6},
		{"a mark without a service of the family", 4, tuple(tcp, "[2001:db8::1]:80"), http6},
		{"a mark without a service", 5, tuple(tcp, "192.0.2.1:80"), http},
		{"the exact address", 0, tuple(tcp, "192.0.2.1:80"), http},
		{"the exact address, UDP", 0, tuple(udp, "192.0.2.1:53"), dns},
		{"FTP control", 0, tuple(tcp, "192.0.2.1:21"), ftp},
		{"FTP passive data", 0, tuple(tcp, "192.0.2.1:1024"), ftp},
		{"FTP active data", 0, tuple(tcp, "192.0.2.1:20"), ftp},
		{"the last privileged port is not FTP data", 0, tuple(tcp, "192.0.2.1:1023"), all},
		{"FTP data is TCP's", 0, tuple(udp, "192.0.2.1:1024"), nil},
		{"all ports", 0, tuple(tcp, "192.0.2.1:443"), all},
		{"FTP without persistence has no data connections", 0, tuple(tcp, "192.0.2.2:5000"), plain0},
		{"UDP port 21 is not FTP", 0, tuple(udp, "192.0.2.3:5000"), nil},
		{"another address", 0, tuple(tcp, "192.0.2.4:80"), nil},
		{"another protocol", 0, tuple(packet.SCTP, "192.0.2.1:80"), nil},
		{"IPv6, another port", 0, tuple(tcp, "[2001:db8::1]:81"), nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := table.Lookup(c.mark, c.tuple); got != c.want {
				t.Errorf("Lookup(%d, %v) = %v, want %v", c.mark, c.tuple.Destination(), name(got), name(c.want))
			}
			if n := testing.AllocsPerRun(100, func() { table.Lookup(c.mark, c.tuple) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func name(s *service.VirtualService) string {
	if s == nil {
		return "no service"
	}
	return s.Key.String()
}

func TestLookupWithoutServices(t *testing.T) {
	var zero service.Table
	for what, table := range map[string]*service.Table{"zero": &zero, "empty": mustTable(t)} {
		for _, tp := range []*packet.Tuple{tuple(packet.TCP, "192.0.2.1:80"), tuple(packet.UDP, "[::]:0")} {
			if s := table.Lookup(7, tp); s != nil {
				t.Errorf("%s table: Lookup(7, %v) = %v", what, tp.Destination(), s.Key)
			}
		}
	}
}

func TestNewTableRefuses(t *testing.T) {
	mapped := byAddress(packet.TCP, "192.0.2.1:80", false)
	mapped.Key.Addr = netip.MustParseAddr("::ffff:192.0.2.1")
	for _, c := range []struct {
		what     string
		services []*service.VirtualService
		want     string
	}{
		{"an address twice", []*service.VirtualService{byAddress(packet.TCP, "192.0.2.1:80", false), byAddress(packet.TCP, "192.0.2.1:80", true)},
			"service 2: tcp 192.0.2.1:80 is there twice"},
		{"an address and its mapped form", []*service.VirtualService{byAddress(packet.TCP, "192.0.2.1:80", false), mapped},
			"service 2: "},
		{"a mark twice", []*service.VirtualService{byMark(80, true), byMark(80, false), byMark(80, true)},
			"service 3: fwmark 80 (IPv6) is there twice"},
		{"no key", []*service.VirtualService{{}}, "service 1: neither a firewall mark nor an address"},
		{"nil", []*service.VirtualService{nil}, "service 1: nil virtual service"},
	} {
		table, err := service.NewTable(c.services)
		if err == nil || table != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: table %v, error %v; want an error with %q", c.what, table, err, c.want)
		}
	}
	// Services that differ in one part of the key only are not the same.
	mustTable(t, byAddress(packet.TCP, "192.0.2.1:80", false), byAddress(packet.UDP, "192.0.2.1:80", false),
		byAddress(packet.TCP, "192.0.2.1:81", false), byAddress(packet.TCP, "192.0.2.2:80", false),
		byAddress(packet.TCP, "[2001:db8::1]:80", false), byMark(80, false), byMark(80, true), byMark(81, false))
}

func TestAllKeepsTheOrder(t *testing.T) {
	services := []*service.VirtualService{byMark(3, false), byAddress(packet.TCP, "192.0.2.1:80", false), byMark(1, true)}
	table := mustTable(t, services...)
	got := table.All()
	if len(got) != len(services) {
		t.Fatalf("All returns %d services, want %d", len(got), len(services))
	}
	for i := range services {
		if got[i] != services[i] {
			t.Errorf("All()[%d] = %v, want %v", i, got[i].Key, services[i].Key)
		}
	}
}

// lookupOracle is ip_vs_service_find over a list of services.
func lookupOracle(services []*service.VirtualService, mark uint32, tp *packet.Tuple) *service.VirtualService {
	find := func(match func(k service.Key) bool) *service.VirtualService {
		for _, s := range services {
			if match(s.Key) {
				return s
			}
		}
		return nil
	}
	dst := tp.Dst.Netip()
	at := func(port uint16) *service.VirtualService {
		return find(func(k service.Key) bool {
			return k.Mark == 0 && k.Addr == dst && k.Protocol == tp.Protocol && k.Port == port
		})
	}
	if s := find(func(k service.Key) bool { return k.Mark != 0 && k.Mark == mark && k.IPv6 == dst.Is6() }); s != nil {
		return s
	}
	if s := at(tp.DstPort); s != nil {
		return s
	}
	if tp.Protocol == packet.TCP && (tp.DstPort == 20 || tp.DstPort >= 1024) {
		if s := at(21); s != nil && s.Persistent {
			return s
		}
	}
	return at(0)
}

func TestLookupAgainstOracle(t *testing.T) {
	addresses := []string{"192.0.2.1", "192.0.2.2", "0.0.0.1", "2001:db8::1", "::", "::1"}
	ports := []uint16{0, 20, 21, 80, 1023, 1024, 65535}
	protocols := []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP}
	rapid.Check(t, func(t *rapid.T) {
		seen := make(map[service.Key]bool)
		var services []*service.VirtualService
		for range rapid.IntRange(0, 40).Draw(t, "services") {
			k := service.Key{Mark: rapid.Uint32Range(0, 3).Draw(t, "mark")}
			if k.Mark != 0 {
				k.IPv6 = rapid.Bool().Draw(t, "ipv6")
			} else {
				k.Addr = netip.MustParseAddr(rapid.SampledFrom(addresses).Draw(t, "address"))
				k.Port = rapid.SampledFrom(ports).Draw(t, "port")
				k.Protocol = rapid.SampledFrom(protocols).Draw(t, "protocol")
			}
			if !seen[k] {
				seen[k] = true
				services = append(services, &service.VirtualService{Key: k, Persistent: rapid.Bool().Draw(t, "persistent")})
			}
		}
		table, err := service.NewTable(services)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			mark := rapid.Uint32Range(0, 4).Draw(t, "packet's mark")
			tp := &packet.Tuple{
				Dst:      packet.AddrFrom(netip.MustParseAddr(rapid.SampledFrom(addresses).Draw(t, "destination"))),
				DstPort:  rapid.SampledFrom(ports).Draw(t, "destination port"),
				Protocol: rapid.SampledFrom(protocols).Draw(t, "packet's protocol"),
			}
			if got, want := table.Lookup(mark, tp), lookupOracle(services, mark, tp); got != want {
				t.Fatalf("Lookup(%d, %d %v) = %v, want %v", mark, tp.Protocol, tp.Destination(), name(got), name(want))
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		services := make([]*service.VirtualService, n)
		hits, misses, marks := make([]packet.Tuple, n), make([]packet.Tuple, n), make([]uint32, n)
		for i := range services {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 4 >> 8), byte(i >> 4)})
			dst := netip.AddrPortFrom(addr, uint16(8000+i&15))
			services[i] = byAddress(packet.TCP, dst.String(), false)
			hits[i] = *tuple(packet.TCP, dst.String())
			misses[i] = *tuple(packet.TCP, netip.AddrPortFrom(addr, uint16(30000+i&15)).String())
			marks[i] = uint32(i + 1)
		}
		withFTP := append(services[:n:n], byAddress(packet.TCP, "10.9.9.9:21", true), byAddress(packet.TCP, "10.9.9.9:0", true))
		byMarks := make([]*service.VirtualService, n)
		for i := range byMarks {
			byMarks[i] = byMark(marks[i], false)
		}
		for _, c := range []struct {
			kind   string
			table  *service.Table
			tuples []packet.Tuple
			marked bool
		}{
			{"hit", mustTable(b, services...), hits, false},
			{"miss", mustTable(b, services...), misses, false},
			{"mark", mustTable(b, byMarks...), hits, true},
			{"miss3", mustTable(b, withFTP...), misses, false}, // all three lookups of an address
		} {
			b.Run(fmt.Sprintf("services=%d/%s", n, c.kind), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					var mark uint32
					if c.marked {
						mark = marks[i]
					}
					sink = c.table.Lookup(mark, &c.tuples[i])
					if i++; i == n {
						i = 0
					}
				}
			})
		}
	}
}

var sink *service.VirtualService
