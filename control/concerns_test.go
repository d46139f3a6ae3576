package control

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/internal/links"
	"github.com/xlvs/xlvs/service"
)

// record is a log and what was written to it since it was last asked.
type record struct{ bytes.Buffer }

func (l *record) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func (l *record) take() []string {
	text := strings.TrimSpace(l.String())
	l.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func TestConcernsAreToldOnce(t *testing.T) {
	var log record
	c := concerns{log: log.logger()}
	one, two := concern{"one", "it rains: take a coat"}, concern{"two", "it snows: stay in"}
	for _, step := range []struct {
		now  []concern
		want []string
	}{
		{nil, nil},
		{[]concern{one}, []string{`level=WARN msg="it rains: take a coat"`}},
		{[]concern{one}, nil},
		{[]concern{two, one}, []string{`level=WARN msg="it snows: stay in"`}},
		{[]concern{two, {"one", "it pours: take a boat"}}, []string{`level=WARN msg="it pours: take a boat"`}},
		{[]concern{two}, []string{`level=INFO msg="no longer so" what="it pours: take a boat"`}},
		{nil, []string{`level=INFO msg="no longer so" what="it snows: stay in"`}},
	} {
		changed := c.set(step.now)
		if diff := cmp.Diff(step.want, log.take()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", step.now, diff)
		}
		if changed != (step.want != nil) {
			t.Errorf("%v: changed is %t", step.now, changed)
		}
	}
}

func TestConcernsOfAnInterface(t *testing.T) {
	sound := portFacts{name: "eth0", mtu: 1500, fits: 1770}
	with := func(change func(*portFacts)) portFacts {
		f := sound
		change(&f)
		return f
	}
	on := func(names ...string) map[string]bool {
		set := map[string]bool{}
		for _, name := range names {
			set[name] = true
		}
		return set
	}
	for _, test := range []struct {
		name    string
		facts   portFacts
		want    []string // a part of each text
		partial bool
		maybe   bool
	}{
		{name: "nothing", facts: sound},
		{name: "an MTU above the frame", facts: with(func(f *portFacts) { f.mtu = 9000 }),
			want: []string{"interface eth0: its MTU is 9000, but a frame holds packets of 1770 bytes"}},
		{name: "GRO below", facts: with(func(f *portFacts) { f.merging = []string{"nic0", "nic1"} }),
			want: []string{"ethtool -K nic0 gro off", "ethtool -K nic1 gro off"}},
		{name: "tags taken off", facts: with(func(f *portFacts) { f.tagged, f.features = true, on(featureStripTags) }),
			want: []string{"ethtool -K eth0 rxvlan off"}},
		{name: "tags taken off where none matter", facts: with(func(f *portFacts) { f.features = on(featureStripTags) })},
		{name: "tags left", facts: with(func(f *portFacts) { f.tagged = true })},
		{name: "veth with a peer that leaves sums out",
			facts: with(func(f *portFacts) { f.veth, f.peer, f.peerFeatures = true, "peer0", on("tx-checksum-ip-generic") }),
			want:  []string{"frames from its peer (peer0) have no checksums yet"}, partial: true, maybe: true},
		{name: "veth with a sound peer", facts: with(func(f *portFacts) { f.veth, f.peer, f.peerFeatures = true, "peer0", on() })},
		{name: "veth with a peer elsewhere", facts: with(func(f *portFacts) { f.veth = true }), maybe: true},
		{name: "veth with a peer elsewhere that leaves sums out",
			facts: with(func(f *portFacts) { f.veth, f.completed = true, true }),
			want:  []string{"its peer (in another namespace) have no checksums yet"}, partial: true, maybe: true},
		{name: "veth whose peer leaves tags out",
			facts: with(func(f *portFacts) {
				f.veth, f.peer, f.peerFeatures, f.tagged = true, "peer0", on(featureInsertTags), true
			}),
			want: []string{"ethtool -K peer0 txvlan off"}},
		{name: "veth with tags and a peer elsewhere", facts: with(func(f *portFacts) { f.veth, f.tagged = true, true }),
			want: []string{"ethtool -K PEER txvlan off"}, maybe: true},
	} {
		got := test.facts.concerns()
		if len(got) != len(test.want) {
			t.Errorf("%s: %v, want %d", test.name, got, len(test.want))
			continue
		}
		keys := map[string]bool{}
		for i, c := range got {
			if !strings.Contains(c.text, test.want[i]) {
				t.Errorf("%s: %q, want %q in it", test.name, c.text, test.want[i])
			}
			if keys[c.key] {
				t.Errorf("%s: two concerns of key %s", test.name, c.key)
			}
			keys[c.key] = true
		}
		if p, maybe := test.facts.partial(), test.facts.maybePartial(); p != test.partial || maybe != test.maybe {
			t.Errorf("%s: partial sums are %t, maybe %t", test.name, p, maybe)
		}
	}
}

func TestConcernsOfHops(t *testing.T) {
	at := func(server string, mtu int, onLink bool) hopFacts {
		return hopFacts{netip.MustParseAddr(server), service.NextHop{MTU: mtu, OnLink: onLink}}
	}
	ports := []portFacts{{name: "eth0", mtu: 1500}, {name: "eth1", mtu: 9000}}
	for _, test := range []struct {
		name string
		hops []hopFacts
		want []string
	}{
		{"sound", []hopFacts{at("10.0.0.11", 9000, true), at("10.0.0.12", 0, true)}, nil},
		{"one far", []hopFacts{at("10.0.0.11", 9000, false), at("10.0.0.11", 9000, false)},
			[]string{"server 10.0.0.11 is not on link"}},
		{"two far", []hopFacts{at("10.0.0.12", 9000, false), at("10.0.0.11", 9000, false)},
			[]string{"servers 10.0.0.11, 10.0.0.12 are not on link"}},
		{"many far", []hopFacts{at("10.0.0.1", 9000, false), at("10.0.0.2", 9000, false), at("10.0.0.3", 9000, false),
			at("10.0.0.4", 9000, false), at("10.0.0.5", 9000, false), at("10.0.0.6", 9000, false)},
			[]string{"10.0.0.5 and 1 more are not on link"}},
		{"narrow", []hopFacts{at("10.0.0.11", 1500, true), at("10.0.0.12", 9000, true)},
			[]string{"packets of up to 9000 bytes come by eth1, but the way to server 10.0.0.11 takes 1500"}},
	} {
		var got []string
		for _, c := range hopConcerns(test.hops, ports) {
			got = append(got, c.text)
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], test.want[i]) {
				t.Errorf("%s: %q, want %q in it", test.name, got[i], test.want[i])
			}
		}
	}
}

// A flood is told at once, then once a minute, and once when it is over.
func TestFloodsAreTold(t *testing.T) {
	var log record
	w := floodWatch{log: log.logger()}
	now := time.Unix(1000, 0)
	var counts [floodKinds]uint64
	counts[floodTemplates] = 7 // of a former run
	second := func(more uint64) []string {
		now = now.Add(time.Second)
		counts[floodConnections] += more
		w.update(counts, now)
		return log.take()
	}
	if got := second(0); got != nil {
		t.Fatalf("what a former run counted is told: %q", got)
	}
	first := second(3)
	if len(first) != 1 || !strings.Contains(first[0], "level=WARN") || !strings.Contains(first[0], "counter=table_full packets=3 total=3") {
		t.Fatalf("the first second of a flood: %q", first)
	}
	told := 0
	for range 119 {
		told += len(second(2))
	}
	if told != 1 {
		t.Errorf("%d lines in the next two minutes less a second, want 1", told)
	}
	if got := second(2); len(got) != 1 || !strings.Contains(got[0], "packets=120 total=243") {
		t.Errorf("after two minutes: %q", got)
	}
	quiet := 0
	for quiet < 100 {
		quiet++
		if got := second(0); got != nil {
			if len(got) != 1 || !strings.Contains(got[0], `level=INFO msg="over: table_full counts no more" total=243`) {
				t.Errorf("the end: %q", got)
			}
			break
		}
	}
	if want := int(floodOver / time.Second); quiet != want {
		t.Errorf("it is over after %d quiet seconds, want %d", quiet, want)
	}
	for i := range 100 {
		if got := second(0); got != nil {
			t.Fatalf("%d s after the end: %q", i, got)
		}
	}
}

func TestEveryFloodSaysWhatToDo(t *testing.T) {
	for i, f := range floods {
		if what, cure, ok := strings.Cut(f.text, ": "); !ok || what == "" || cure == "" || f.name == "" {
			t.Errorf("flood %d: %q %q", i, f.name, f.text)
		}
	}
}

func TestTaggedPorts(t *testing.T) {
	const text = `
interfaces: [{name: eth0}, {name: eth1}]
marks:
  - {mark: 80, match: {destination: 203.0.113.10%s}}
services:
  - {fwmark: 80, servers: [{address: 10.0.0.11}]}
`
	director := func(match string) *Director {
		d := &Director{config: parse(t, strings.Replace(text, "%s", match, 1))}
		for i, name := range []string{"eth0", "eth1"} {
			d.ports = append(d.ports, &port{config: config.Interface{Name: name}, index: 2 + i})
		}
		return d
	}
	for match, want := range map[string][2]bool{
		"":                           {false, false},
		", vlan: 0":                  {false, false},
		", vlan: [0, 7]":             {true, true},
		", vlan: 7, interface: eth1": {false, true},
	} {
		d := director(match)
		if got := [2]bool{d.asksForVLANs("eth0"), d.asksForVLANs("eth1")}; got != want {
			t.Errorf("rules with %q ask for VLANs: %v, want %v", match, got, want)
		}
	}
	host := links.New(
		map[int]links.Link{2: {Name: "eth0"}, 3: {Name: "eth1"}, 4: {Name: "eth1.7", Below: 3, VLAN: 7}},
		[]links.Address{{Link: 4, Addr: netip.MustParseAddr("203.0.113.10")}, {Link: 2, Addr: netip.MustParseAddr("10.0.0.1")}})
	if got := director("").taggedBy(host, nil); !cmp.Equal(got, map[int]bool{1: true}) {
		t.Errorf("a virtual address on eth1.7: tagged ports are %v", got)
	}
	hops := []hopFacts{{hop: service.NextHop{Interface: 2, VLAN: 9}}, {hop: service.NextHop{Interface: 3}}}
	if got := director("").taggedBy(links.New(nil, nil), hops); !cmp.Equal(got, map[int]bool{0: true}) {
		t.Errorf("a server on eth0.9: tagged ports are %v", got)
	}
}
