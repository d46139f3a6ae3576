package neigh

import (
	"time"

	"github.com/vishvananda/netlink"
)

// How soon a neighbour that does not answer is asked again: after firstRetry,
// then twice as long each time, up to lastRetry. Each time the kernel solicits
// mcast_solicit times (3 by default, a second apart).
const (
	firstRetry = time.Second
	lastRetry  = 16 * time.Second
)

// recheck is when a solicitation is repeated of which nothing was heard. The
// kernel ignores a repetition while its own is under way.
const recheck = 10 * time.Second

// States in which the kernel itself would send to the entry's address.
const nudValid = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE |
	netlink.NUD_PERMANENT | netlink.NUD_NOARP

// nudFixed are the states that no solicitation leads to or from. NTF_USE
// would make a permanent entry an ordinary one: never use it there.
const nudFixed = netlink.NUD_PERMANENT | netlink.NUD_NOARP

// hop is a neighbour that frames are sent to: a real server on the link, or a
// gateway shared by several.
//
//	          valid entry                  valid entry
//	resolving -----------> known --------------------------+
//	    |                    |  ^  stale, gone: solicit,   |
//	    | FAILED             |  |  the MAC stays           |
//	    v                    v  +--                        |
//	  failed <------------ FAILED                          |
//	    |  ^                                               |
//	    +--+ solicit again, 1 s .. 16 s  ------------------+
type hop struct {
	neighbour
	state  int     // of the kernel's entry, as last heard
	mac    [6]byte // valid if known: last known good
	known  bool
	failed bool
	down   bool // its interface cannot send
	ours   bool // the kernel's entry is there because of us

	asked bool          // the outcome of a solicitation is awaited
	due   time.Time     // when to solicit; zero: no need
	retry time.Duration // how long to wait after the next failure; 0: not at all

	refused string // why the kernel would not solicit; "": it did
}

func newHop(n neighbour, now time.Time) *hop {
	return &hop{neighbour: n, due: now, retry: firstRetry}
}

// update takes in what the kernel says of its entry.
func (h *hop) update(e entry, now time.Time) {
	h.state = e.state
	switch {
	case e.state&nudValid != 0 && usable(e.mac):
		h.mac, h.known, h.failed = e.mac, true, false
		h.asked, h.due, h.retry = false, time.Time{}, 0
		if e.state == netlink.NUD_STALE {
			h.due = now
		}
	case e.state&nudFixed != 0: // without an address that can be used
		h.known, h.failed, h.due = false, true, now // due as soon as it is no longer fixed
	case e.state == netlink.NUD_FAILED:
		h.fail(now)
	case e.state == netlink.NUD_NONE: // gone: collected, or flushed by someone
		h.ours = false
		if !h.failed {
			h.due = now
		}
	}
}

// fail forgets the address and has the neighbour asked again: at once if it
// answered until now (it may have another MAC address), later if not. Hearing
// of the same failure again changes nothing.
func (h *hop) fail(now time.Time) {
	if h.failed && !h.asked {
		return
	}
	h.known, h.failed, h.asked = false, true, false
	h.due = now.Add(h.retry)
	h.retry = min(max(2*h.retry, firstRetry), lastRetry)
}

// solicited notes that the kernel was made to solicit.
func (h *hop) solicited(now time.Time) {
	h.asked, h.due = true, now.Add(recheck)
}

// follow takes in whether the hop's interface can send. The kernel flushes an
// interface's neighbours when it goes down or loses carrier, and so do we.
func (h *hop) follow(up bool, now time.Time) {
	switch {
	case !up:
		*h = hop{neighbour: h.neighbour, ours: h.ours, down: true, retry: firstRetry}
	case h.down:
		h.down, h.due = false, now
	}
}

// wants reports whether it is time to solicit.
func (h *hop) wants(now time.Time) bool {
	return !h.down && !h.due.IsZero() && !h.due.After(now) && h.state&nudFixed == 0
}

// usable is false for addresses that no single station has: all zero, which
// stands for none, and broadcast, where frames for one server must never go.
func usable(mac [6]byte) bool {
	return mac != [6]byte{} && mac != [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}
