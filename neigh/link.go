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
	parent   int // index of the interface below a VLAN device; 0: there is none in this namespace
}

func linkOf(l netlink.Link) link {
	attrs := l.Attrs()
	k := link{
		name:     attrs.Name,
		up:       attrs.Flags&net.FlagUp != 0,
		running:  attrs.Flags&net.FlagUp != 0 && attrs.RawFlags&unix.IFF_RUNNING != 0,
		ethernet: attrs.EncapType == "ether" && len(attrs.HardwareAddr) == 6,
	}
	if k.ethernet {
		k.mac = [6]byte(attrs.HardwareAddr)
	}
	if vlan, ok := l.(*netlink.Vlan); ok && attrs.NetNsID < 0 {
		k.parent = vlan.ParentIndex
	}
	return k
}

// links are the host's interfaces by index.
type links map[int]link

// egress is the interface that frames leave by when the route says index. A
// route by a VLAN device leaves by the interface below it: direct routing keeps
// the tag that the frame came with. What is below a bond or a bridge is not
// looked for: they are reported as they are.
func (ls links) egress(index int) int {
	for range 2 { // at most two tags (802.1ad)
		below := ls[index].parent
		if _, ok := ls[below]; !ok {
			break
		}
		index = below
	}
	return index
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
