package neigh

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/service"
)

const (
	// audit is how often everything is read anew even if nothing was heard:
	// the kernel does not announce every change (IPv6 routes that vanish with
	// an interface, for one).
	audit = time.Minute
	// syncRetry is when a dump is tried again that failed.
	syncRetry = time.Second
)

// resolver is the state behind a Table. One goroutine owns it.
type resolver struct {
	// Constant.
	log     *slog.Logger
	handle  *netlink.Handle
	allowed map[string]bool // xlvs's interfaces; empty: any

	links   links
	targets map[netip.Addr]*target
	hops    map[neighbour]*hop
	synced  time.Time // when everything is to be read again
}

// target is a wanted address, and where its route leads.
type target struct {
	hop   *hop   // nil: route says why
	route Status // OK if there is a hop
	mtu   int    // that the route itself has, or 0
	via   string // name of the interface that its last route left by
}

// result is what Lookup returns.
type result struct {
	hop    service.NextHop
	status Status
}

// step takes in the news, solicits whom it must, and returns when it wants to
// be called again without news, and whether results may have changed.
func (r *resolver) step(n news, now time.Time) (wake time.Time, moved bool) {
	full := n.lost || !now.Before(r.synced)
	if n.wantSet {
		r.want(n.want)
	}
	for key, e := range n.entries {
		if h := r.hops[key]; h != nil {
			h.update(e, now)
			moved = true
		}
	}
	if full || n.topology || n.wantSet {
		moved = true
		if err := r.sync(full, now); err != nil {
			r.log.Warn("reading links and neighbours; trying again", "error", err, "after", syncRetry)
			r.synced = now.Add(syncRetry)
		} else if full {
			r.synced = now.Add(audit)
		}
	}
	solicited := r.solicit(now)
	return r.nextStep(), moved || solicited
}

func (r *resolver) want(addrs []netip.Addr) {
	targets := make(map[netip.Addr]*target, len(addrs))
	for _, a := range addrs {
		if t := r.targets[a]; t != nil {
			targets[a] = t
		} else {
			targets[a] = &target{}
		}
	}
	r.targets = targets
}

// sync reads links and routes, and the neighbours if a hop is new or all is
// to be read.
func (r *resolver) sync(full bool, now time.Time) error {
	listed, err := dump(r.handle.LinkList)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	r.links = make(links, len(listed))
	for _, l := range listed {
		r.links[l.Attrs().Index] = linkOf(l)
	}
	fresh := r.reroute(now)
	for _, h := range r.hops {
		_, status := r.out(h)
		h.follow(status.OK(), now)
	}
	if full || fresh {
		return r.readNeighbours(now)
	}
	return nil
}

// reroute finds each target's hop again, and lets go of hops that none uses.
// It reports whether there are new ones.
func (r *resolver) reroute(now time.Time) (fresh bool) {
	used := make(map[neighbour]*hop, len(r.hops))
	for addr, t := range r.targets {
		found, status := route(r.handle, addr)
		t.hop, t.route, t.mtu = nil, status, found.mtu
		if !status.OK() {
			continue
		}
		key := found.neighbour
		h := used[key]
		if h == nil {
			h = r.hops[key]
		}
		if h == nil {
			h, fresh = newHop(key, now), true
		}
		used[key], t.hop, t.via = h, h, r.links[key.link].name
	}
	for key, h := range r.hops {
		if used[key] == nil {
			r.release(h)
		}
	}
	r.hops = used
	return fresh
}

// readNeighbours brings all hops up to date with the kernel's entries.
func (r *resolver) readNeighbours(now time.Time) error {
	found := make(map[neighbour]entry)
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		listed, err := dump(func() ([]netlink.Neigh, error) { return r.handle.NeighList(0, family) })
		if err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		for i := range listed {
			if key, e, ok := entryOf(&listed[i]); ok {
				found[key] = e
			}
		}
	}
	for key, h := range r.hops {
		if e := found[key]; e != (entry{}) || h.state != netlink.NUD_NONE {
			h.update(e, now)
		}
	}
	return nil
}

// dump repeats a dump that the kernel says a change has interrupted.
func dump[T any](list func() ([]T, error)) (items []T, err error) {
	for range 5 {
		if items, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return items, err
}

// solicit makes the kernel ask the neighbours whose time has come.
func (r *resolver) solicit(now time.Time) (any bool) {
	for _, h := range r.hops {
		if !h.wants(now) {
			continue
		}
		any, h.refused = true, ""
		if err := r.use(h, now); err != nil {
			h.refused, h.due = err.Error(), now.Add(firstRetry)
		}
	}
	return any
}

// use uses the neighbour's entry as a packet would, without sending one.
func (r *resolver) use(h *hop, now time.Time) error {
	h.solicited(now) // whatever comes of it, not again at once
	request := netlink.Neigh{LinkIndex: h.link, IP: h.ip.AsSlice(), Flags: netlink.NTF_USE}
	if h.state == netlink.NUD_NONE {
		err := r.handle.NeighAdd(&request)
		if !errors.Is(err, unix.EEXIST) {
			h.ours = err == nil
			return err
		}
		// Somebody else's, of which we have not heard yet. It may need
		// nothing, and must not be touched if it is permanent.
		if err := r.readNeighbours(now); err != nil {
			return err
		}
		if h.known || h.state&nudFixed != 0 {
			return nil
		}
	}
	return r.handle.NeighSet(&request)
}

// release lets go of a neighbour: the kernel's entry is removed if it is ours
// and nobody has made it permanent since.
func (r *resolver) release(h *hop) {
	if !h.ours || h.state&nudFixed != 0 {
		return
	}
	err := r.handle.NeighDel(&netlink.Neigh{LinkIndex: h.link, IP: h.ip.AsSlice()})
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		r.log.Warn("removing a neighbour entry", "address", h.ip, "interface", r.links[h.link].name, "error", err)
	}
}

// releaseAll leaves the kernel as it was found.
func (r *resolver) releaseAll() {
	for _, h := range r.hops {
		r.release(h)
	}
	clear(r.hops)
}

func (r *resolver) nextStep() time.Time {
	next := r.synced
	for h := range maps.Values(r.hops) {
		if !h.down && !h.due.IsZero() && h.state&nudFixed == 0 && h.due.Before(next) {
			next = h.due
		}
	}
	return next
}

// results is what Lookup shall answer from now on.
func (r *resolver) results() map[netip.Addr]result {
	m := make(map[netip.Addr]result, len(r.targets))
	for addr, t := range r.targets {
		m[addr] = r.result(addr, t)
	}
	return m
}

func (r *resolver) result(addr netip.Addr, t *target) result {
	if t.hop == nil {
		return result{status: r.explain(t)}
	}
	out, status := r.out(t.hop)
	if status.OK() {
		status = t.hop.status(r.links[out.link].name)
	}
	if !status.OK() {
		return result{status: status}
	}
	mtu := out.mtu
	if t.mtu != 0 {
		mtu = min(mtu, t.mtu)
	}
	return result{
		hop: service.NextHop{
			Interface: out.link, Dst: t.hop.mac, Src: r.links[t.hop.link].mac,
			VLAN: out.vlan, MTU: mtu, OnLink: t.hop.ip == addr,
		},
		status: status,
	}
}

// out is the way that frames for a hop leave by, and whether they can.
func (r *resolver) out(h *hop) (out egress, status Status) {
	out = r.links.egress(h.link, r.allowed)
	if status = r.links[out.link].check(r.allowed); status.OK() {
		// With a VLAN device, both it and the interface below must be up.
		status = r.links[h.link].check(nil)
	}
	if status.OK() {
		status = out.check(r.links[h.link].name)
	}
	return out, status
}

// explain is why a target has no route. When the interface that its route left
// by until now is down or gone, that is the better answer.
func (r *resolver) explain(t *target) Status {
	if t.via == "" || t.route.Reason != NoRoute {
		return t.route
	}
	for _, l := range r.links {
		if l.name == t.via {
			if !l.running {
				return l.check(nil)
			}
			return t.route
		}
	}
	return Status{LinkDown, fmt.Sprintf("interface %s is gone", t.via)}
}

func (h *hop) status(out string) Status {
	if h.known {
		return Status{Resolved, fmt.Sprintf("%s is resolved on %s", h.ip, out)}
	}
	protocol := "ARP"
	if h.ip.Is6() {
		protocol = "neighbour discovery"
	}
	switch {
	case h.refused != "": // no privilege, or the kernel's neighbour table is full
		return Status{NoAnswer, fmt.Sprintf("the kernel does not ask for %s on %s: %s", h.ip, out, h.refused)}
	case h.failed:
		return Status{NoAnswer, fmt.Sprintf("%s does not answer %s on %s", h.ip, protocol, out)}
	}
	return Status{Resolving, fmt.Sprintf("%s has not answered %s on %s yet", h.ip, protocol, out)}
}
