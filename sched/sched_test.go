package sched

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// servers returns real servers 10.0.0.11:80, 10.0.0.12:80 and so on.
func servers(weights ...int32) []*service.RealServer {
	reals := make([]*service.RealServer, len(weights))
	first := packet.AddrFrom(netip.MustParseAddr("10.0.0.11"))
	for i, w := range weights {
		addr := first
		addr.Lo += uint64(i)
		reals[i] = &service.RealServer{
			ID:         service.MakeID(uint32(i+1), 1),
			Addr:       addr.Netip(),
			Port:       80,
			Weight:     w,
			LastWeight: w,
			Counts:     new(service.Counts),
		}
	}
	return reals
}

// reweighted returns another version of servers, as after a reload: the same servers, the
// same counts, other weights.
func reweighted(reals []*service.RealServer, weights ...int32) []*service.RealServer {
	next := make([]*service.RealServer, len(reals))
	for i, r := range reals {
		v := *r
		if v.Weight = weights[i]; v.Weight > 0 {
			v.LastWeight = v.Weight
		}
		next[i] = &v
	}
	return next
}

// load sets a server's active and inactive connections.
func load(r *service.RealServer, active, inactive int64) {
	r.Counts.Active.Store(active)
	r.Counts.Inactive.Store(inactive)
}

func mustNew(t testing.TB, name string, reals []*service.RealServer, opt Options) service.Scheduler {
	t.Helper()
	s, err := New(name, reals, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// from is the request of a client for 192.0.2.1:80.
func from(addrPort string) *service.Request { return request(addrPort, "192.0.2.1:80") }

func request(src, dst string) *service.Request {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	return &service.Request{Tuple: packet.Tuple{
		Src: packet.AddrFrom(s.Addr()), SrcPort: s.Port(),
		Dst: packet.AddrFrom(d.Addr()), DstPort: d.Port(),
		Protocol: packet.TCP,
	}}
}

// picks returns the last bytes of the addresses of the next n servers chosen, 0 for none.
func picks(s service.Scheduler, n int) []int {
	got := make([]int, n)
	for i := range got {
		got[i] = lastByte(s.Schedule(from("198.51.100.1:4000")))
	}
	return got
}

func lastByte(r *service.RealServer) int {
	if r == nil {
		return 0
	}
	return int(r.Addr.AsSlice()[3])
}

func TestNames(t *testing.T) {
	want := []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"}
	if diff := cmp.Diff(want, Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
}

func TestEverySchedulerWithoutAvailableServers(t *testing.T) {
	overloaded := servers(1, 2)
	for _, r := range overloaded {
		r.Counts.Overloaded.Store(true)
	}
	unreachable := servers(1, 2)
	for _, r := range unreachable {
		r.Counts.Unreachable.Store(true)
	}
	for _, name := range Names() {
		for what, reals := range map[string][]*service.RealServer{
			"no servers":             nil,
			"servers never weighted": servers(0, 0),
			"quiesced servers":       reweighted(servers(1, 2), 0, 0),
			"overloaded servers":     overloaded,
			"unreachable servers":    unreachable,
		} {
			for _, flags := range [][]string{nil, {"flag-1", "flag-2", "flag-3"}} {
				s := mustNew(t, name, reals, Options{Flags: flags})
				for i := range 3 {
					if r := s.Schedule(from("198.51.100.1:4000")); r != nil {
						t.Errorf("%s %v with %s: pick %d is %v", name, flags, what, i, r.Addr)
					}
				}
			}
		}
	}
}

// A server that cannot be reached gets nobody, whatever a scheduler remembers of it or
// hashes to it, until it is reachable again.
func TestNoSchedulerPicksUnreachableServers(t *testing.T) {
	for _, name := range Names() {
		choices := [][]string{nil}
		if name == "sh" || name == "mh" {
			choices = append(choices, []string{name + "-fallback"})
		}
		for _, flags := range choices {
			reals := servers(3, 1, 2)
			s := mustNew(t, name, reals, Options{Flags: flags})
			clients := func() (met map[*service.RealServer]int) {
				met = map[*service.RealServer]int{}
				for i := range 1000 {
					src := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
					dst := netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
					r := request(netip.AddrPortFrom(src, 4000).String(), netip.AddrPortFrom(dst, 80).String())
					r.Now = uint32(i)
					met[s.Schedule(r)]++
				}
				return met
			}
			clients() // caches and rounds have met all servers
			reals[0].Counts.Unreachable.Store(true)
			reals[1].Counts.Unreachable.Store(true)
			met := clients()
			if met[reals[0]]+met[reals[1]] > 0 || met[reals[2]] == 0 {
				t.Errorf("%s %v: unreachable servers got %d and %d of 1000 clients, the other one %d",
					name, flags, met[reals[0]], met[reals[1]], met[reals[2]])
			}
			reals[0].Counts.Unreachable.Store(false)
			reals[2].Counts.Unreachable.Store(true)
			if clients()[reals[0]] == 0 {
				t.Errorf("%s %v: a server that is back gets nobody", name, flags)
			}
		}
	}
}

func TestEverySchedulerWithOneServer(t *testing.T) {
	for _, name := range Names() {
		reals := servers(0, 1<<31-1, 0)
		load(reals[1], 1<<31-1, 1<<40)
		s := mustNew(t, name, reals, Options{Flags: []string{"flag-1"}})
		if name == "dh" { // the only one that leaves some clients without a server
			reals = reals[1:2]
			s = mustNew(t, name, reals, Options{})
		}
		for range 3 {
			if r := s.Schedule(from("198.51.100.1:4000")); lastByte(r) != 12 {
				t.Errorf("%s chose %v, want the only server", name, r)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	noCounts, negative := servers(1), servers(-1)
	noCounts[0].Counts = nil
	sameID := servers(1, 1)
	sameID[1].ID = sameID[0].ID
	for _, c := range []struct {
		name  string
		reals []*service.RealServer
		opt   Options
		want  string
	}{
		{"wrrr", nil, Options{}, `no scheduler "wrrr": use one of [rr wrr`},
		{"", nil, Options{}, `no scheduler ""`},
		{"rr", []*service.RealServer{nil}, Options{}, "scheduler rr: server 1: nil real server"},
		{"rr", noCounts, Options{}, "server 1: 10.0.0.11 has no counts"},
		{"rr", negative, Options{}, "10.0.0.11 has weight -1: use 0 to 2147483647"},
		{"wrr", nil, Options{Flags: []string{"sh-port"}}, `scheduler wrr does not take the flag "sh-port": use any of flag-1, flag-2, flag-3`},
		{"mh", nil, Options{MaglevIndex: 7}, "maglev index 7: use 8 to 17"},
		{"mh", nil, Options{MaglevIndex: 18}, "maglev index 18: use 8 to 17"},
		{"mh", servers(make([]int32, 252)...), Options{MaglevIndex: 8}, "252 servers for a table of 251 slots"},
		{"lblc", sameID, Options{}, "have the same ID"},
		{"lblcr", sameID, Options{}, "have the same ID"},
		{"lblc", nil, Options{Expiration: 1}, "expiration 1ns: use 1s or more"},
		{"lblc", nil, Options{CacheSize: -1}, "cache size -1"},
	} {
		s, err := New(c.name, c.reals, c.opt)
		if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%q, %+v) = %v, %v; want an error with %q", c.name, c.opt, s, err, c.want)
		}
	}
}

func TestNewKeepsItsOwnList(t *testing.T) {
	for _, name := range Names() {
		reals := servers(1)
		s := mustNew(t, name, reals, Options{})
		reals[0] = nil
		if got := lastByte(s.Schedule(from("198.51.100.1:4000"))); got != 11 {
			t.Errorf("%s: chose %d after the caller changed his slice", name, got)
		}
	}
}

func TestValidateFlags(t *testing.T) {
	own := map[string][]string{"sh": {"sh-fallback", "sh-port"}, "mh": {"mh-fallback", "mh-port"}}
	for _, name := range Names() {
		for _, flag := range []string{"sh-fallback", "sh-port", "mh-fallback", "mh-port", "flag-1", "flag-2", "flag-3", "flag-4", "ops", ""} {
			valid := slices.Contains(own[name], flag) || slices.Contains([]string{"flag-1", "flag-2", "flag-3"}, flag)
			if err := ValidateFlags(name, []string{"flag-3", flag}); (err == nil) != valid {
				t.Errorf("ValidateFlags(%s, %q) = %v, want valid: %v", name, flag, err, valid)
			}
		}
	}
	if err := ValidateFlags("none", nil); err == nil {
		t.Error("ValidateFlags takes the scheduler none")
	}
}

// Every alias must be the same flag: it decides for the same clients.
func TestFlagAliases(t *testing.T) {
	for _, name := range []string{"sh", "mh"} {
		reals := servers(1, 1, 1, 1)
		reals = reweighted(reals, 1, 0, 1, 1)
		for flag, alias := range map[string]string{name + "-fallback": "flag-1", name + "-port": "flag-2"} {
			long := mustNew(t, name, reals, Options{Flags: []string{flag}})
			short := mustNew(t, name, reals, Options{Flags: []string{alias}})
			plain := mustNew(t, name, reals, Options{})
			differ := 0
			for i := range 1000 {
				r := from("198.51.100.1:4000")
				r.Tuple.SrcPort, r.Tuple.Src.Lo = uint16(i), r.Tuple.Src.Lo+uint64(i)
				if a, b := long.Schedule(r), short.Schedule(r); a != b {
					t.Fatalf("%s and %s choose %v and %v", flag, alias, a, b)
				}
				if long.Schedule(r) != plain.Schedule(r) {
					differ++
				}
			}
			if differ == 0 {
				t.Errorf("%s changes nothing", flag)
			}
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	_, err := New("lblc", nil, Options{CacheSize: 1 << 30})
	if err == nil || strings.Contains(err.Error(), "\n") || errors.Unwrap(err) == nil {
		t.Errorf("error %q: want one line that wraps its cause", err)
	}
}
