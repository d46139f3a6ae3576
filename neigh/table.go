package neigh

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/rtnl"
	"github.com/xlvs/xlvs/service"
)

// Options of a Table. The zero Options are usable.
type Options struct {
	// Logger is told when an address is resolved or no longer is. Nil: nobody is.
	Logger *slog.Logger
	// Interfaces are the names of those that xlvs may send by; a route by
	// another one is an error. Names, because an index does not outlive its
	// interface. Empty: any interface.
	Interfaces []string
	// ReceiveBuffer is the size in bytes of the netlink socket's receive
	// buffer; 0 is 1 MiB. When it overflows, everything is read anew.
	ReceiveBuffer int
}

const defaultReceiveBuffer = 1 << 20

// Table keeps the next hops of the wanted addresses. Make one with Open.
type Table struct {
	// Constant.
	log     *slog.Logger
	monitor *rtnl.Monitor
	handle  *netlink.Handle
	changed chan struct{} // capacity 1
	hurry   chan struct{} // capacity 1; ends a pause
	stop    chan struct{}
	done    chan struct{}
	close   sync.Once

	inbox     *inbox
	resolver  resolver // owned by run
	results   atomic.Pointer[map[netip.Addr]result]
	overflows atomic.Int64
}

// groups are the multicast groups that may tell of a moved next hop.
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEXTHOP,
}

// Open follows the current network namespace. It needs CAP_NET_ADMIN to have
// neighbours solicited. Close the Table.
func Open(opt Options) (*Table, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.ReceiveBuffer == 0 {
		opt.ReceiveBuffer = defaultReceiveBuffer
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	t := &Table{
		log:     opt.Logger,
		handle:  handle,
		changed: make(chan struct{}, 1),
		hurry:   make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		inbox:   newInbox(),
	}
	t.resolver = resolver{log: opt.Logger, handle: handle, allowed: make(map[string]bool)}
	for _, name := range opt.Interfaces {
		t.resolver.allowed[name] = true
	}
	t.results.Store(&map[netip.Addr]result{})
	if t.monitor, err = rtnl.Follow(t.inbox, opt.ReceiveBuffer, groups...); err != nil {
		handle.Close()
		return nil, err
	}
	go t.run()
	return t, nil
}

// Want sets the addresses to keep resolved; those of an earlier call that are
// not among them are let go. It returns at once: see Changed.
func (t *Table) Want(addrs []netip.Addr) {
	wanted := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if a.IsValid() {
			wanted = append(wanted, plain(a))
		}
	}
	slices.SortFunc(wanted, netip.Addr.Compare)
	wanted = slices.Compact(wanted)
	t.inbox.put(func(n *news) { n.want, n.wantSet = wanted, true })
	select {
	case t.hurry <- struct{}{}:
	default:
	}
}

// plain is how addresses are keyed: IPv4 unmapped, no zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Changed becomes readable after what Lookup returns has changed for any
// address, once for many changes. It is never closed.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// Lookup returns an address's next hop. The next hop is valid if the Status is
// OK; otherwise it is zero and the Status says why.
func (t *Table) Lookup(addr netip.Addr) (service.NextHop, Status) {
	r := (*t.results.Load())[plain(addr)]
	return r.hop, r.status
}

// Close stops following, and removes the neighbour entries that the Table
// created. Lookup keeps its last answers. More than one call is harmless.
func (t *Table) Close() error {
	t.close.Do(func() {
		t.monitor.Close()
		close(t.stop)
		<-t.done
		t.handle.Close()
	})
	return nil
}

// The shortest and the longest time between two steps when there is news. Bursts
// are gathered in it.
const (
	minPause = 5 * time.Millisecond
	maxPause = 500 * time.Millisecond
)

func (t *Table) run() {
	defer close(t.done)
	defer t.resolver.releaseAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-t.inbox.wake:
		case <-timer.C:
		}
		start := time.Now()
		wake := t.step(start)
		// A storm of events (a routing daemon that learns a full table)
		// takes no more than a tenth of a CPU, unless steps take so long that what is
		// known would grow old: they may have waited for a CPU themselves.
		pause := min(max(minPause, 9*time.Since(start)), maxPause)
		select {
		case <-t.stop:
			return
		case <-t.hurry: // somebody waits for the answer
		case <-time.After(pause):
		}
		timer.Reset(time.Until(wake))
	}
}

func (t *Table) step(now time.Time) (wake time.Time) {
	n := t.inbox.take()
	if n.lost {
		t.overflows.Add(int64(n.overflows))
		t.log.Warn("netlink events were lost, reading everything anew", "times", n.overflows)
	}
	wake, moved := t.resolver.step(n, now)
	if moved {
		t.publish(t.resolver.results())
	}
	return wake
}

// publish shows new results to Lookup and tells of the differences.
func (t *Table) publish(results map[netip.Addr]result) {
	old := *t.results.Load()
	changed := len(old) != len(results)
	for addr, r := range results {
		before, known := old[addr]
		if known && before == r {
			continue
		}
		changed = true
		t.tell(addr, before, r)
	}
	if changed {
		t.results.Store(&results)
		notify(t.changed)
	}
}

func (t *Table) tell(addr netip.Addr, before, now result) {
	switch {
	case now.status.OK() && before.hop != now.hop:
		t.log.Info("next hop", "address", addr, "interface", now.hop.Interface,
			"mac", net.HardwareAddr(now.hop.Dst[:]).String(), "vlan", now.hop.VLAN, "mtu", now.hop.MTU,
			"on_link", now.hop.OnLink, "status", now.status.String())
	case now.status.Reason == Resolving:
		t.log.Debug("next hop unresolved", "address", addr, "status", now.status.String())
	case !now.status.OK():
		t.log.Warn("next hop unresolved: packets for it are dropped", "address", addr, "status", now.status.String())
	}
}
