package neigh

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/internal/testnet"
)

// Whatever the kernel says and in whatever order, a hop has the last good MAC
// address that was not disproved since, and never stops asking for one.
func TestHopModel(t *testing.T) {
	t.Parallel()
	states := []int{
		netlink.NUD_NONE, netlink.NUD_INCOMPLETE, netlink.NUD_REACHABLE, netlink.NUD_STALE, netlink.NUD_DELAY,
		netlink.NUD_PROBE, netlink.NUD_FAILED, netlink.NUD_NOARP, netlink.NUD_PERMANENT,
	}
	macs := [][6]byte{{}, {2, 1}, {2, 2}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1, 0)
		h := newHop(neighbour{link: 1, ip: server4}, now)
		var good [6]byte // the model; zero: none
		t.Repeat(map[string]func(*rapid.T){
			"kernel": func(t *rapid.T) {
				e := entry{rapid.SampledFrom(states).Draw(t, "state"), rapid.SampledFrom(macs).Draw(t, "mac")}
				h.update(e, now)
				switch valid := e.state&nudValid != 0; {
				case valid && usable(e.mac):
					good = e.mac
				case e.state == netlink.NUD_FAILED, e.state == netlink.NUD_NOARP, e.state == netlink.NUD_PERMANENT:
					good = [6]byte{}
				}
			},
			"link": func(t *rapid.T) {
				up := rapid.Bool().Draw(t, "up")
				h.follow(up, now)
				if !up {
					good = [6]byte{}
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 20000).Draw(t, "ms")) * time.Millisecond)
				if h.wants(now) {
					h.solicited(now)
				}
			},
			"": func(t *rapid.T) {
				if h.known != (good != [6]byte{}) || h.known && h.mac != good {
					t.Fatalf("has %x (%v), want %x", h.mac, h.known, good)
				}
				if h.wants(now) && (h.down || h.state&nudFixed != 0) {
					t.Fatalf("solicits in state %#x, down %v", h.state, h.down)
				}
				if h.known && h.failed {
					t.Fatal("both known and failed")
				}
				asks := !h.due.IsZero() && !h.due.After(now.Add(lastRetry))
				if !h.known && !h.down && h.state&nudFixed == 0 && !asks {
					t.Fatalf("gave up: due %v at %v", h.due, now)
				}
			},
		})
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	failed := entry{state: netlink.NUD_FAILED}
	h := newHop(neighbour{link: 1, ip: server4}, now)
	h.update(entry{netlink.NUD_REACHABLE, [6]byte{2}}, now)
	if h.wants(now.Add(time.Hour)) {
		t.Error("a reachable neighbour is solicited")
	}
	// It falls silent: it is asked at once, for it may have another MAC address.
	for _, want := range []time.Duration{0, 1, 2, 4, 8, 16, 16, 16} {
		h.update(failed, now)
		h.update(failed, now) // the same failure, told twice
		if got := h.due.Sub(now); got != want*time.Second {
			t.Fatalf("asked again after %v, want %v s", got, want)
		}
		now = h.due
		if !h.wants(now) {
			t.Fatal("its time has come, and it is not solicited")
		}
		h.solicited(now)
	}
	h.update(entry{netlink.NUD_REACHABLE, [6]byte{2}}, now)
	h.update(failed, now)
	if h.due != now {
		t.Error("an answer does not end the backing off")
	}
}

// What the kernel refuses (no privilege, table full, no such interface) is
// told, and tried again.
func TestRefusalIsTold(t *testing.T) {
	t.Parallel()
	ns := testnet.Fresh(t)
	now := time.Unix(1, 0)
	h := newHop(neighbour{link: 9999, ip: server4}, now)
	r := resolver{handle: ns.Netlink(), hops: map[neighbour]*hop{h.neighbour: h}}
	if !r.solicit(now) {
		t.Fatal("not solicited")
	}
	want := "the kernel does not ask for 10.0.0.9 on eth0: " + unix.ENODEV.Error()
	if s := h.status("eth0"); s.Reason != NoAnswer || s.String() != want {
		t.Errorf("%v: %q, want %q", s.Reason, s, want)
	}
	if h.ours || !h.wants(now.Add(firstRetry)) {
		t.Errorf("not tried again: %+v", h)
	}
}

func TestReasonNames(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for r := Unknown; r <= UnsupportedTag; r++ {
		if name := r.String(); name == "" || name == "invalid" || seen[name] {
			t.Errorf("reason %d is called %q", r, name)
		} else {
			seen[name] = true
		}
	}
	if (UnsupportedTag + 1).String() != "invalid" {
		t.Error("a reason without a name")
	}
}
