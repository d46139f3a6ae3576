package links

import (
	"maps"
	"net/netip"
	"slices"
)

// Host is the interfaces and addresses of a network namespace at one moment. Read only.
type Host struct {
	Links     map[int]Link // by interface index
	Addresses []Address    // in the kernel's order: primary ones before secondary ones
}

// Link is the part of an interface that matters here.
type Link struct {
	Name string
	Kind string // as "ip -d link" has it: vlan, macvlan, veth; "" or "device" for a NIC
	MTU  int
	Up   bool
	MAC  [6]byte // zero: it has none
	// Below is the interface that a VLAN, macvlan or ipvlan device stands upon, Master the
	// bridge, bond or VRF that the interface is a part of, Peer the other end of a veth; 0 if
	// there is none in this namespace.
	Below, Master, Peer int
	VLAN                uint16 // of a VLAN device
}

// Address is an IP address of the host.
type Address struct {
	Link int // interface index
	Addr netip.Addr
	// Global: others can reach it, and it is fit to send from.
	Global bool
}

// equal reports whether two Hosts are alike.
func (h *Host) equal(other *Host) bool {
	return maps.Equal(h.Links, other.Links) && slices.Equal(h.Addresses, other.Addresses)
}

// Index is the index of an interface by name, 0 if there is none.
func (h *Host) Index(name string) int {
	for index, l := range h.Links {
		if l.Name == name {
			return index
		}
	}
	return 0
}

// Above is what stands upon an interface, itself first: the bridge or bond that it is a part
// of, VLAN and macvlan devices, and what stands upon those.
func (h *Host) Above(index int) []int {
	if _, ok := h.Links[index]; !ok {
		return nil
	}
	above := []int{index}
	for i := 0; i < len(above); i++ {
		from := above[i]
		if master := h.Links[from].Master; h.known(master) && !slices.Contains(above, master) {
			above = append(above, master)
		}
		for _, upper := range slices.Sorted(maps.Keys(h.Links)) {
			if h.Links[upper].Below == from && !slices.Contains(above, upper) {
				above = append(above, upper)
			}
		}
	}
	return above
}

// Beneath is what an interface stands upon, without itself: the device of a VLAN or macvlan,
// the ports of a bridge or bond, and what these stand upon.
func (h *Host) Beneath(index int) []int {
	found := []int{index}
	for i := 0; i < len(found); i++ {
		from := found[i]
		for _, lower := range slices.Sorted(maps.Keys(h.Links)) {
			if (h.Links[lower].Master == from || h.Links[from].Below == lower) && !slices.Contains(found, lower) {
				found = append(found, lower)
			}
		}
	}
	return found[1:]
}

func (h *Host) known(index int) bool { _, ok := h.Links[index]; return ok }

// MACs are the addresses of frames that are ours when they come in by an interface: its
// own, and then those of what stands upon it, each once. A macvtap's is not: its frames are
// a guest's.
func (h *Host) MACs(index int) [][6]byte {
	var macs [][6]byte
	for _, i := range h.Above(index) {
		l := h.Links[i]
		if l.MAC != [6]byte{} && l.Kind != "macvtap" && !slices.Contains(macs, l.MAC) {
			macs = append(macs, l.MAC)
		}
	}
	return macs
}

// Source is the address of a family that answers come from which leave by an interface: one
// of the interface, else of what stands upon it, else any of the host. Virtual addresses are
// taken only if there is no other. It is invalid if there is none at all.
func (h *Host) Source(index int, ipv6 bool, virtual func(netip.Addr) bool) netip.Addr {
	above := h.Above(index)
	var best netip.Addr
	rank := 1 << 30
	for _, a := range h.Addresses {
		if !a.Global || a.Addr.Is6() != ipv6 {
			continue
		}
		r := slices.Index(above, a.Link)
		if r < 0 {
			r = len(above)
		}
		if virtual(a.Addr) {
			r += len(above) + 1
		}
		if r < rank {
			best, rank = a.Addr, r
		}
	}
	return best
}

// Locals are the host's addresses, sorted.
func (h *Host) Locals() []netip.Addr {
	var all []netip.Addr
	for _, a := range h.Addresses {
		all = append(all, a.Addr)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// On are the indices of the interfaces that have an address.
func (h *Host) On(addr netip.Addr) []int {
	var on []int
	for _, a := range h.Addresses {
		if a.Addr == addr {
			on = append(on, a.Link)
		}
	}
	return on
}
