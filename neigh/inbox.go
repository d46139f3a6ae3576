package neigh

import (
	"net/netip"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inbox gathers what happened since the resolver last looked, merged, so that
// a burst of events costs the resolver one step and the netlink reader never
// waits for it.
type inbox struct {
	wake chan struct{} // capacity 1: there is news

	mu   sync.Mutex
	news news // guarded by mu
}

// news is everything that may move a next hop.
type news struct {
	want      []netip.Addr // valid if wantSet
	wantSet   bool
	entries   map[neighbour]entry // the last word on each neighbour; a state of 0: it is gone
	topology  bool                // links, addresses, routes or rules changed
	lost      bool                // some events were missed
	overflows int                 // how many times
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1)}
}

// take empties the inbox.
func (b *inbox) take() news {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.news
	b.news = news{}
	return n
}

// put changes the news by f and wakes the resolver.
func (b *inbox) put(f func(*news)) {
	b.mu.Lock()
	f(&b.news)
	b.mu.Unlock()
	notify(b.wake)
}

// notify makes a channel of capacity 1 readable.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Messages implements rtnl.Handler.
func (b *inbox) Messages(messages []syscall.NetlinkMessage) {
	b.put(func(n *news) {
		for _, m := range messages {
			switch m.Header.Type {
			case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
				n.neighbour(m)
			default:
				n.topology = true
			}
		}
	})
}

// Lost implements rtnl.Handler.
func (b *inbox) Lost() {
	b.put(func(n *news) {
		n.lost = true
		n.overflows++
	})
}

func (n *news) neighbour(m syscall.NetlinkMessage) {
	if len(m.Data) < unix.SizeofNdMsg {
		return
	}
	kernel, err := netlink.NeighDeserialize(m.Data)
	if err != nil {
		n.lost = true // unreadable: a dump will tell
		return
	}
	key, e, ok := entryOf(kernel)
	if !ok {
		return
	}
	if m.Header.Type == unix.RTM_DELNEIGH {
		e = entry{}
	}
	if n.entries == nil {
		n.entries = make(map[neighbour]entry)
	}
	n.entries[key] = e
}

// neighbour names a neighbour entry of the kernel.
type neighbour struct {
	link int // interface index
	ip   netip.Addr
}

// entry is the part of a neighbour entry that matters here.
type entry struct {
	state int // NUD_*; 0 (NUD_NONE) if there is no entry
	mac   [6]byte
}

// entryOf reads an entry as the library has it. It is not ok for those of
// other families (bridge forwarding entries) and proxy entries.
func entryOf(n *netlink.Neigh) (neighbour, entry, bool) {
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok || n.Family != unix.AF_INET && n.Family != unix.AF_INET6 || n.Flags&netlink.NTF_PROXY != 0 {
		return neighbour{}, entry{}, false
	}
	e := entry{state: n.State}
	if len(n.HardwareAddr) == len(e.mac) {
		e.mac = [6]byte(n.HardwareAddr)
	}
	return neighbour{link: n.LinkIndex, ip: ip.Unmap()}, e, true
}
