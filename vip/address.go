package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ifaProto is IFA_PROTO of linux/if_addr.h: one byte that says who added an
// address, which the kernel keeps and shows (ip address show: "proto 0x78").
// Since Linux 5.18 (commit 47f0bd503210); earlier kernels ignore it.
const ifaProto = 11

// ownMark is our IFA_PROTO. The kernel's own are 1 to 3; the rest is free.
const ownMark = 'x'

// place is an address on an interface.
type place struct {
	link int // interface index
	ip   netip.Addr
}

// address is an address that the host has.
type address struct {
	place
	bits  int    // prefix length
	flags uint32 // IFA_F_*
	mark  byte   // IFA_PROTO; 0: none
}

// host makes the netlink requests of this package.
type host struct {
	links   *netlink.Handle
	sockets map[int]*nl.SocketHandle
	mark    byte // for addresses that are added
}

func openHost() (*host, error) {
	links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE) // to no group
	if err != nil {
		links.Close()
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &host{
		links:   links,
		sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}},
		mark:    ownMark,
	}, nil
}

func (h *host) close() {
	h.links.Close()
	for _, s := range h.sockets {
		s.Close()
	}
}

// linksByName lists the host's interfaces.
func (h *host) linksByName() (map[string]*netlink.LinkAttrs, error) {
	listed, err := dump(h.links.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	byName := make(map[string]*netlink.LinkAttrs, len(listed))
	for _, l := range listed {
		byName[l.Attrs().Name] = l.Attrs()
	}
	return byName, nil
}

// addresses lists the host's addresses.
func (h *host) addresses() ([]address, error) {
	messages, err := dump(func() ([][]byte, error) {
		r := h.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		r.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
		return r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	found := make([]address, 0, len(messages))
	for _, m := range messages {
		if a, ok := parseAddress(m); ok {
			found = append(found, a)
		}
	}
	return found, nil
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

// parseAddress reads a RTM_NEWADDR message: struct ifaddrmsg and attributes.
func parseAddress(m []byte) (a address, ok bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return a, false
	}
	header := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
	if err != nil {
		return a, false
	}
	a.link, a.bits, a.flags = int(header.Index), int(header.Prefixlen), uint32(header.Flags)
	for _, attr := range attrs {
		a.take(attr)
	}
	return a, a.ip.IsValid()
}

func (a *address) take(attr syscall.NetlinkRouteAttr) {
	switch attr.Attr.Type {
	case unix.IFA_LOCAL:
		a.ip, _ = netip.AddrFromSlice(attr.Value)
	case unix.IFA_ADDRESS: // the peer's, if there is a local one
		if !a.ip.IsValid() {
			a.ip, _ = netip.AddrFromSlice(attr.Value)
		}
	case unix.IFA_FLAGS:
		if len(attr.Value) == 4 {
			a.flags = binary.NativeEndian.Uint32(attr.Value)
		}
	case ifaProto:
		if len(attr.Value) == 1 {
			a.mark = attr.Value[0]
		}
	}
}

func (h *host) request(kind, flags int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = h.sockets
	return r
}

// add adds ip as a host address (/32, /128) with our mark.
//
// An IPv6 address is usable at once (no duplicate address detection: it would
// hold the address back for a second at each failover), and deprecated, so that the
// kernel does not choose it as the source of its own connections (RFC 6724, rule 3).
func (h *host) add(at place, loopback bool) error {
	r := h.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	header := ifAddrmsg(at, at.ip.BitLen())
	if loopback {
		header.Scope = unix.RT_SCOPE_HOST
	}
	if at.ip.Is6() {
		header.Flags = unix.IFA_F_NODAD
	}
	r.AddData(header)
	r.AddData(nl.NewRtAttr(unix.IFA_LOCAL, at.ip.AsSlice()))
	r.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, at.ip.AsSlice()))
	if h.mark != 0 {
		r.AddData(nl.NewRtAttr(ifaProto, []byte{h.mark}))
	}
	if at.ip.Is6() {
		const forever = 0xffffffff
		life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: forever, Prefered: 0}}
		r.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
	}
	if _, err := r.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("add address %s: %w", at.ip, err)
	}
	return nil
}

// remove removes an address. One that is gone already is no error.
func (h *host) remove(a address) error {
	r := h.request(unix.RTM_DELADDR, unix.NLM_F_ACK)
	r.AddData(ifAddrmsg(a.place, a.bits))
	r.AddData(nl.NewRtAttr(unix.IFA_LOCAL, a.ip.AsSlice()))
	r.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, a.ip.AsSlice()))
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	if err == nil || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove address %s: %w", a.ip, err)
}

func ifAddrmsg(at place, bits int) *nl.IfAddrmsg {
	family := unix.AF_INET
	if at.ip.Is6() {
		family = unix.AF_INET6
	}
	m := nl.NewIfAddrmsg(family)
	m.Index, m.Prefixlen = uint32(at.link), uint8(bits)
	return m
}
