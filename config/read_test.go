package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

func TestPersistenceMasks(t *testing.T) {
	client4, client6 := netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff")
	tests := []struct{ mask, want4, mask6, want6 string }{
		{"0", "0.0.0.0", "0", "::"},
		{"1", "128.0.0.0", "1", "::"},
		{"24", "198.51.100.0", "48", "2001:db8:aaaa::"},
		{"32", "198.51.100.77", "64", "2001:db8:aaaa:bbbb::"},
		{"255.255.0.0", "198.51.0.0", "65", "2001:db8:aaaa:bbbb:8000::"},
		{"255.0.0.255", "198.0.0.77", "128", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"},
		{"0.0.0.3", "0.0.0.1", "127", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:fffe"},
	}
	for _, test := range tests {
		c := mustParse(t, "interfaces: [{name: eth0}]\nservices: [{fwmark: 1, persistence: {mask: "+test.mask+", mask6: "+test.mask6+"}}]")
		p := c.Services[0].Persistence
		if got := packet.AddrFrom(client4).And(p.Mask); got.String() != test.want4 || !got.Is4() {
			t.Errorf("mask %s: %v becomes %v, want %s", test.mask, client4, got, test.want4)
		}
		if got := packet.AddrFrom(client6).And(p.Mask6).String(); got != test.want6 {
			t.Errorf("mask6 %s: %v becomes %v, want %s", test.mask6, client6, got, test.want6)
		}
	}
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	good := map[string]time.Duration{
		"1s": time.Second, "90s": 90 * time.Second, "1m30s": 90 * time.Second, "2h": 2 * time.Hour,
		"1d": day, "31d": 31 * day, "1d12h": 36 * time.Hour, "0d1s": time.Second,
	}
	for text, want := range good {
		got, ok := parseDuration(text)
		if !ok || got != want {
			t.Errorf("%s is %v, %v, want %v", text, got, ok, want)
		}
		if again, ok := parseDuration(span(want)); !ok || again != want {
			t.Errorf("%v is written %s, which is %v", want, span(want), again)
		}
	}
	for _, text := range []string{"", "1", "s", "d", "-1s", "+1s", "1d-1s", "1d+1s", "1w", "1d1d", "-1d", "99999d", "9223372036854775807ns1d"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	good := map[string]int64{"0": 0, "80": 80, "-1": -1, "0x50": 80, "0xffffffff": 1<<32 - 1, "-0x1": -1}
	for text, want := range good {
		if got, ok := parseNumber(text); !ok || got != want {
			t.Errorf("%s is %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "--1", "-+1", "+1", "010", "0o10", "1_000", "0x", "1e3", "1.0", "ten", "٣"} {
		if got, ok := parseNumber(text); ok {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

// TestDSCPNames checks the code points against RFC 2474, 4.2.2, RFC 2597, 6 and
// RFC 3246, written out.
func TestDSCPNames(t *testing.T) {
	want := map[string]uint8{
		"be": 0, "le": 1, "cs0": 0, "cs1": 0b001000, "cs6": 0b110000, "cs7": 0b111000,
		"af11": 0b001010, "af12": 0b001100, "af13": 0b001110, "af21": 0b010010, "af43": 0b100110,
		"va": 0b101100, "ef": 0b101110,
	}
	for name, code := range want {
		if got, ok := dscpNames[name]; !ok || got != code {
			t.Errorf("%s is %d, want %d", name, got, code)
		}
	}
	if len(dscpNames) != 8+12+4 {
		t.Errorf("%d names", len(dscpNames))
	}
}

// TestColons checks that what has colons means the same wherever it stands.
func TestColons(t *testing.T) {
	forms := []string{
		"marks: [{mark: 1, match: {destination: [203.0.113.0/24, %s, ::/0]}}]",
		"marks: [{mark: 1, match: [{destination: [%s, 203.0.113.0/24, ::/0]}]}]",
		"marks:\n  - mark: 1\n    match:\n      destination: [::/0, %s]",
		"marks:\n  - mark: 1\n    match:\n      destination:\n        - %s\n        - ::/0",
		"marks:\n  - {mark: 1, match: {destination: [203.0.113.1,::/0,%s], protocol: tcp}}",
		`{"marks":[{"mark":1,"match":{"destination":["::/0","%s"]}}]}`,
	}
	for _, form := range forms {
		for _, text := range []string{"2001:db8::/32", "2001:db8::10", "::1:2", "2001:db8:1:2:3:4:5:6"} {
			c, err := Parse("colons.yaml", []byte(withInterface(strings.ReplaceAll(form, "%s", text))))
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			want, err := netip.ParsePrefix(text)
			if err != nil {
				want = netip.PrefixFrom(netip.MustParseAddr(text), 128)
			}
			found := map[netip.Prefix]bool{}
			for _, p := range c.Marks[0].Matches[0].Destinations {
				found[p] = true
			}
			if !found[want] || !found[netip.MustParsePrefix("::/0")] {
				t.Errorf("%s in %s is read as %v", text, form, c.Marks[0].Matches[0].Destinations)
			}
		}
	}
}

func withInterface(text string) string {
	if strings.HasPrefix(text, "{") {
		return `{"interfaces":[{"name":"eth0"}],` + text[1:]
	}
	return "interfaces: [{name: eth0}]\n" + text
}

func TestResolved(t *testing.T) {
	c := mustParse(t, "interfaces: [{name: eth0}]\n"+
		"services: [{fwmark: 7, servers: [{address: 10.0.0.1}, {address: '2001:db8::1'}, {address: 10.0.0.2}]},"+
		"{address: 203.0.113.1, protocol: sctp, port: 9, servers: [{address: 10.0.0.1}]}]")
	want := []service.Key{{Mark: 7}, {Mark: 7, IPv6: true}, {Addr: netip.MustParseAddr("203.0.113.1"), Port: 9, Protocol: packet.SCTP}}
	if len(c.Services) != len(want) {
		t.Fatalf("%d services, want %d", len(c.Services), len(want))
	}
	for i, s := range c.Services {
		if s.Key != want[i] {
			t.Errorf("service %d has key %v, want %v", i, s.Key, want[i])
		}
		for _, r := range s.Servers {
			if r.Port != s.Key.Port || r.Weight != 1 || s.Key.Mark != 0 && r.Addr.Is6() != s.Key.IPv6 {
				t.Errorf("service %v has server %+v", s.Key, r)
			}
		}
		if s.Timeouts != defaultTimeouts() {
			t.Errorf("service %v has timeouts %+v", s.Key, s.Timeouts)
		}
	}
}

func TestLoadMissing(t *testing.T) {
	c, err := Load("testdata/no-such-file.yml")
	if c != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("configuration %v, error %v, want fs.ErrNotExist", c, err)
	}
}

func TestErrorsAs(t *testing.T) {
	_, err := Parse("a.yaml", []byte("interfaces: [{name: eth0}]\nservices:\n  - fwmark: 80\n    servers: [{address: 10.0.0.1, weight: -1}]\nlog: {level: loud}\n"))
	var all Errors
	var first Error
	if !errors.As(err, &all) || len(all) != 2 || !errors.As(err, &first) {
		t.Fatalf("error %v", err)
	}
	if first.Path != "services[0].servers[0].weight" || first.File != "a.yaml" || first.Line != 4 || first.Column != 43 {
		t.Errorf("first error %+v", first)
	}
	if want := "a.yaml:4:43: weight -1 is out of range: write a whole number from 0 to 2147483647"; first.Error() != want {
		t.Errorf("first error %q, want %q", first, want)
	}
}
