package control

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/service"
)

const webShop = `
interfaces: [{name: eth0}]
marks:
  - mark: 80
    match:
      - {protocol: tcp, destination: 203.0.113.10, ports: [80, 443]}
      - {protocol: udp, destination: 203.0.113.10, ports: [443], interface: eth0}
  - mark: 81
    match: {destination: [203.0.113.11, "2001:db8::11"], source: 192.0.2.0/24}
services:
  - fwmark: 80
    scheduler: mh
    persistence: {timeout: 6m, mask: 24}
    servers: [{address: 10.0.0.11, weight: 2}, {address: 10.0.0.12, upper_threshold: 100, lower_threshold: 50}]
  - {address: 203.0.113.10, protocol: tcp, port: 21, persistence: {}, servers: [{address: 10.0.0.11}]}
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func newBuilder(t *testing.T) *builder {
	t.Helper()
	geometry := affinity.Config{Connections4: 64, Templates4: 64, Servers: 16}
	tables, err := affinity.Format(make([]byte, geometry.Size()), geometry)
	if err != nil {
		t.Fatal(err)
	}
	return &builder{tables: tables}
}

func build(t *testing.T, b *builder, text string) *policy {
	t.Helper()
	p, err := b.build(parse(t, text), map[string]int{"eth0": 7})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuildSteersWhatServicesClaim(t *testing.T) {
	p := build(t, newBuilder(t), webShop)
	prefix := netip.MustParsePrefix
	want := []bpf.Rule{
		{Protocols: bpf.TCP, Destinations: []netip.Prefix{prefix("203.0.113.10/32")},
			DestinationPorts: []bpf.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}, Claimed: true},
		{Protocols: bpf.UDP, Destinations: []netip.Prefix{prefix("203.0.113.10/32")},
			DestinationPorts: []bpf.PortRange{{First: 443, Last: 443}}, Interfaces: []int{7}, Claimed: true},
		{Destinations: []netip.Prefix{prefix("203.0.113.11/32")}, Sources: []netip.Prefix{prefix("192.0.2.0/24")}},
	}
	// The IPv6 half of the last rule is not there: no source of that family matches it.
	if diff := cmp.Diff(want, p.steerRules, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	services := []bpf.Service{{Protocol: bpf.TCP, Addr: netip.MustParseAddr("203.0.113.10"), Port: 21, FTP: true}}
	if !slices.Equal(services, p.steerServices) {
		t.Errorf("services %v, want %v", p.steerServices, services)
	}
}

func TestServersKeepTheirNumbersOverAReload(t *testing.T) {
	b := newBuilder(t)
	first := build(t, b, webShop)
	b.previous = first.services
	b.bound(first.services)
	second := build(t, b, `
interfaces: [{name: eth0}]
marks: [{mark: 80, match: {protocol: tcp, destination: 203.0.113.10, ports: [80]}}]
services:
  - {fwmark: 80, scheduler: mh, servers: [{address: 10.0.0.12}, {address: 10.0.0.13}, {address: 10.0.0.11, weight: 0}]}
`)
	ids := map[netip.Addr]service.ID{}
	for _, r := range first.services.All()[0].Servers {
		ids[r.Addr] = r.ID
	}
	seen := map[service.ID]bool{}
	for _, r := range second.services.All()[0].Servers {
		if was, ok := ids[r.Addr]; ok && was != r.ID {
			t.Errorf("%s: ID %x, was %x", r.Addr, r.ID, was)
		}
		if seen[r.ID] {
			t.Errorf("ID %x twice", r.ID)
		}
		seen[r.ID] = true
		if r.Addr == netip.MustParseAddr("10.0.0.11") && (r.Weight != 0 || r.LastWeight != 2) {
			t.Errorf("quiesced server: weight %d, last weight %d, want 0 and 2", r.Weight, r.LastWeight)
		}
	}
	ftp := first.services.All()[1].Servers[0].ID
	b.bound(second.services)
	b.release(second.services)
	if s, ok := b.tables.Server(ftp); !ok || !s.Released {
		t.Errorf("server of the removed service: %+v, %v, want released", s, ok)
	}
}

func TestThresholdsComeInForceWithThePolicyOnly(t *testing.T) {
	b := newBuilder(t)
	p := build(t, b, webShop)
	limited := p.services.All()[0].Servers[1]
	limited.Counts.Active.Store(150)
	if limited.Counts.Overloaded.Load() {
		t.Error("overloaded before the policy is in force")
	}
	b.bound(p.services)
	if !limited.Counts.Overloaded.Load() {
		t.Error("150 connections, upper threshold 100: not overloaded")
	}
}

func TestFragmentsAreExpectedOfUDP(t *testing.T) {
	const text = `
interfaces: [{name: eth0}]
marks: [{mark: 80, match: {%s}}]
services:
  - {fwmark: 80, servers: [{address: 10.0.0.11}]}
  - {address: 203.0.113.11, protocol: %s, port: 53, servers: [{address: 10.0.0.11}]}
`
	for _, test := range []struct {
		match, protocol string
		want            []string
	}{
		{"protocol: tcp, destination: 203.0.113.10", "tcp", []string{}},
		{"destination: 203.0.113.10", "tcp", []string{"udp4"}},
		{"protocol: [tcp, udp], destination: '2001:db8::10'", "tcp", []string{"udp6"}},
		{"protocol: sctp, destination: '2001:db8::10'", "udp", []string{"udp4"}},
		{"destination: ['2001:db8::10', 203.0.113.10]", "udp", []string{"udp4", "udp6"}},
	} {
		if got := fragmented(parse(t, fmt.Sprintf(text, test.match, test.protocol))); !cmp.Equal(got, test.want) {
			t.Errorf("{%s} and %s: fragments are expected of %v, want %v", test.match, test.protocol, got, test.want)
		}
	}
}
