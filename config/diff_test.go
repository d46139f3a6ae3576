package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const before = `
interfaces: [{name: eth0}, {name: eth1, queues: 0-1}]
marks:
  - {mark: 80, match: {destination: 203.0.113.10, ports: [80, 443]}}
  - {mark: 21, match: {destination: 203.0.113.10, ports: 21}}
services:
  - fwmark: 80
    name: shop
    scheduler: wrr
    persistence: {timeout: 6m, mask: 24}
    servers: [{address: 10.0.0.11, weight: 2}, {address: 10.0.0.12}]
  - fwmark: 21
    servers: [{address: 10.0.0.11}]
  - address: 2001:db8::53
    protocol: udp
    port: 53
    servers: [{address: 2001:db8:1::1}]
`

func TestDiff(t *testing.T) {
	tests := []struct {
		name     string
		old, new string // in the text before
		want     []string
		restart  []string
	}{
		{name: "nothing"},
		{name: "only the form", old: "weight: 2", new: `weight: "0x2"`},
		{name: "server added", old: "{address: 10.0.0.12}]", new: "{address: 10.0.0.12}, {address: 10.0.0.13, weight: 2}]",
			want: []string{"service fwmark 80: server 10.0.0.13 added, weight 2"}},
		{name: "server removed", old: ", {address: 10.0.0.12}]", new: "]",
			want: []string{"service fwmark 80: server 10.0.0.12 removed"}},
		{name: "server drained", old: "weight: 2", new: "weight: 0",
			want: []string{"service fwmark 80: server 10.0.0.11: weight now 0; was 2"}},
		{name: "servers in another order", old: "[{address: 10.0.0.11, weight: 2}, {address: 10.0.0.12}]", new: "[{address: 10.0.0.12}, {address: 10.0.0.11, weight: 2}]",
			want: []string{"service fwmark 80: the servers' order changed"}},
		{name: "persistence changed", old: "timeout: 6m", new: "timeout: 10m",
			want: []string{"service fwmark 80: persistence now {timeout: 10m, mask: 24, mask6: 128, refresh: connection}; was {timeout: 6m, mask: 24, mask6: 128, refresh: connection}"}},
		{name: "persistence removed", old: "    persistence: {timeout: 6m, mask: 24}\n", new: "",
			want: []string{"service fwmark 80: persistence now not set; was {timeout: 6m, mask: 24, mask6: 128, refresh: connection}"}},
		{name: "renamed", old: "name: shop", new: "name: store",
			want: []string{`service fwmark 80: name now store; was shop`}},
		{name: "service removed and added", old: "    port: 53", new: "    port: 5353",
			want: []string{"service udp [2001:db8::53]:5353: added, scheduler wlc, 1 server", "service udp [2001:db8::53]:53: removed"}},
		{name: "rules changed", old: "ports: [80, 443]", new: "ports: 80",
			want: []string{"mark 80: matches changed, 1 now"}},
		{name: "rules swapped",
			old:  "  - {mark: 80, match: {destination: 203.0.113.10, ports: [80, 443]}}\n  - {mark: 21, match: {destination: 203.0.113.10, ports: 21}}",
			new:  "  - {mark: 21, match: {destination: 203.0.113.10, ports: 21}}\n  - {mark: 80, match: {destination: 203.0.113.10, ports: [80, 443]}}",
			want: []string{"marks: the rules' order changed"}},
		{name: "mark replaced", old: "mark: 21", new: "mark: 22",
			want: []string{"mark 22: added, 1 match", "mark 21: removed"}},
		{name: "interfaces", old: "{name: eth1, queues: 0-1}", new: "{name: eth1}, {name: eth2}",
			want:    []string{"interface eth1: now queues: all, mode: auto; was queues: [0, 1], mode: auto", "interface eth2: added, queues: all, mode: auto"},
			restart: []string{"interface eth1", "interface eth2"}},
		{name: "interface removed", old: ", {name: eth1, queues: 0-1}", new: "",
			want: []string{"interface eth1: removed"}, restart: []string{"interface eth1"}},
		{name: "rings and tables", old: "services:", new: "rings: {batch: 32, rx: 1024, busy_poll: {enabled: true}}\nworkers: {spin: off}\ntables: {servers: 10}\nsteering: {pin: /sys/fs/bpf/a, fallback: pass}\nservices:",
			want: []string{"rings.rx: now 1024; was 2048", "rings.batch: now 32; was 64",
				"rings.busy_poll: now {enabled: true, microseconds: 20, budget: 64, defer_hard_irqs: 2, gro_flush_timeout: 200000}; " +
					"was {enabled: false, microseconds: 20, budget: 64, defer_hard_irqs: 2, gro_flush_timeout: 200000}",
				"workers.spin: now off; was adaptive", "steering.fallback: now pass; was drop",
				`steering.pin: now "/sys/fs/bpf/a"; was "/sys/fs/bpf/xlvs"`, "tables.servers: now 10; was 16384"},
			restart: []string{"rings.rx", "steering.pin", "tables.servers"}},
		{name: "macs", old: "{name: eth0}", new: `{name: eth0, macs: ["00:00:5e:00:01:33"]}`,
			want: []string{`interface eth0: macs now ["00:00:5e:00:01:33"]; was []`}},
		{name: "refuse and unreachable", old: "    name: shop", new: "    name: shop\n    refuse: drop\n    unreachable: keep\n    too_big: answer",
			want: []string{"service fwmark 80: refuse now drop; was answer",
				"service fwmark 80: unreachable now keep; was skip",
				"service fwmark 80: too_big now answer; was fragment"}},
		{name: "refuse everywhere but one", old: "services:\n  - fwmark: 80", new: "defaults: {refuse: drop}\nservices:\n  - fwmark: 80\n    refuse: answer",
			want: []string{"defaults.refuse: now drop; was answer", "service fwmark 21: refuse now drop; was answer",
				"service udp [2001:db8::53]:53: refuse now drop; was answer"}},
		{name: "log", old: "services:", new: "log: {level: debug, format: json}\nservices:",
			want: []string{"log.level: now debug; was info", "log.format: now json; was text"}, restart: []string{"log.format"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(before, test.old) {
				t.Fatalf("%q is not in the text", test.old)
			}
			old, new := mustParse(t, before), mustParse(t, strings.Replace(before, test.old, test.new, 1))
			var got []string
			for _, c := range Diff(old, new) {
				got = append(got, c.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Diff (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.restart, RestartNeeded(old, new)); diff != "" {
				t.Errorf("RestartNeeded (-want +got):\n%s", diff)
			}
			if Equal(old, new) != (len(test.want) == 0) {
				t.Errorf("Equal is %v", Equal(old, new))
			}
		})
	}
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMutations changes each token of a file that has every key, to values of all
// sorts, and removes each line. Whatever comes of it obeys FuzzParse's
// rules, and Diff tells of every change that makes a difference.
func TestMutations(t *testing.T) {
	data, err := os.ReadFile("testdata/everything.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	old := mustParse(t, string(data))
	good := 0
	try := func(text string) {
		new, err := Parse("mutation.yaml", []byte(text))
		if (new == nil) == (err == nil) {
			t.Fatalf("configuration %v, error %v for:\n%s", new, err, text)
		}
		if err != nil {
			checkErrors(t, err.(Errors), []byte(text))
			return
		}
		good++
		checkRoundTrip(t, new)
		if changes := Diff(old, new); len(changes) == 0 && !Equal(old, new) {
			t.Errorf("no difference told between the file and:\n%s", text)
		}
	}
	for i, at := range scalars(string(data)) {
		for j, value := range []string{"", "~", "0", "1", "-1", "64", "99999999999999999999", "true", "x", `""`, "[]", "{}", "1s", "10.0.0.99", "'2001:db8::99'", "[1, 2]", "{a: 1}", "ipv4", "tcp", "rr", "&a b", "*a", "!t"} {
			if (i+j)%7 != 0 {
				continue // a seventh of all pairs is enough to meet each value and each place
			}
			try(string(data[:at[0]]) + value + string(data[at[1]:]))
		}
	}
	lines := strings.SplitAfter(string(data), "\n")
	for i := range lines {
		try(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), ""))
	}
	if good < 100 {
		t.Errorf("only %d mutations are good configurations: they prove little", good)
	}
}

// scalars are where in the text something begins and ends that has none of
// YAML's own characters.
func scalars(text string) (found [][2]int) {
	const special = " \n,[]{}#\"'"
	for i := 0; i < len(text); {
		if strings.IndexByte(special, text[i]) >= 0 {
			i++
			continue
		}
		end := i + strings.IndexAny(text[i:], special)
		found = append(found, [2]int{i, end})
		i = end
	}
	return found
}
