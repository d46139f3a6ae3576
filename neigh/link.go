package neigh

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// link is the part of an interface that matters here.
type link struct {
	name     string
	up       bool // set up by its administrator
	running  bool // and able to send: it has carrier
	ethernet bool
	mac      [6]byte
	mtu      int
	parent   int    // index of the interface below a VLAN device; 0: there is none in this namespace
	vlan     uint16 // of a VLAN device: the identifier in its tags
	provider bool   // of a VLAN device: its tags are of IEEE 802.1ad
}

func linkOf(l netlink.Link) link {
	attrs := l.Attrs()
	k := link{
		name:     attrs.Name,
		up:       attrs.Flags&net.FlagUp != 0,
		running:  attrs.Flags&net.FlagUp != 0 && attrs.RawFlags&unix.IFF_RUNNING != 0,
		ethernet: attrs.EncapType == "ether" && len(attrs.HardwareAddr) == 6,
		mtu:      attrs.MTU,
	}
	if k.ethernet {
		k.mac = [6]byte(attrs.HardwareAddr)
	}
	if vlan, ok := l.(*netlink.Vlan); ok && attrs.NetNsID < 0 {
		k.parent, k.vlan = vlan.ParentIndex, uint16(vlan.VlanId)
		k.provider = vlan.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD
	}
	return k
}

// links are the host's interfaces by index.
type links map[int]link

// egress is how frames leave that a route sends by an interface.
type egress struct {
	link int    // index of the interface that sends them
	vlan uint16 // the tag that they have; 0 for none
	mtu  int    // of the narrowest interface on the way
	tags int    // how many tags they would need
	// provider: a tag would be of another kind than 802.1Q.
	provider bool
}

// egress is the way out when the route says index. A route by a VLAN device leaves by the
// interface below it, with a tag, unless the VLAN device itself is one of xlvs's. What is
// below a bond or a bridge is not looked for: they are reported as they are.
func (ls links) egress(index int, allowed map[string]bool) egress {
	e := egress{link: index, mtu: ls[index].mtu}
	for range 8 { // far more tags than the kernel stacks
		l := ls[e.link]
		below, ok := ls[l.parent]
		if !ok || allowed[l.name] {
			break
		}
		e.link, e.vlan, e.mtu = l.parent, l.vlan, min(e.mtu, below.mtu)
		e.tags++
		e.provider = e.provider || l.provider
	}
	return e
}

// check says what is wrong with a way out, or is OK.
func (e egress) check(route string) Status {
	switch {
	case e.tags > 1:
		return Status{UnsupportedTag, fmt.Sprintf("route leaves by %s, whose frames have %d VLAN tags: "+
			"xlvs writes one", route, e.tags)}
	case e.provider:
		return Status{UnsupportedTag, fmt.Sprintf("route leaves by %s, whose VLAN tags are of 802.1ad: "+
			"xlvs writes those of 802.1Q", route)}
	}
	return Status{Reason: Resolved}
}

// check says what is wrong with an interface as an egress, or is OK.
// allowed are xlvs's interfaces by name; none: any is.
func (l link) check(allowed map[string]bool) Status {
	switch {
	case l.name == "":
		return Status{LinkDown, "the route's interface is gone"}
	case !l.up:
		return Status{LinkDown, fmt.Sprintf("interface %s is down", l.name)}
	case !l.running:
		return Status{LinkDown, fmt.Sprintf("interface %s has no carrier", l.name)}
	case len(allowed) > 0 && !allowed[l.name]:
		return Status{ForeignInterface, fmt.Sprintf("route leaves by %s, which is not one of xlvs's interfaces", l.name)}
	case !l.ethernet:
		return Status{NoEthernet, fmt.Sprintf("interface %s has no Ethernet address", l.name)}
	}
	return Status{Reason: Resolved}
}
