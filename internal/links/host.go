package links

import (
	"maps"
	"math"
	"net/netip"
	"slices"
)

// Host is the interfaces and addresses of a network namespace at one moment. Read only.
type Host struct {
	Links     map[int]Link // by interface index
	Addresses []Address    // in the kernel's order: primary ones before secondary ones

	up, down map[int][]int // what stands upon an interface, and what it stands upon; rising
}

// New is the Host of these interfaces and addresses.
func New(links map[int]Link, addresses []Address) *Host {
	h := &Host{Links: links, Addresses: addresses, up: map[int][]int{}, down: map[int][]int{}}
	for _, index := range slices.Sorted(maps.Keys(links)) {
		l := links[index]
		h.stand(index, l.Below)
		h.stand(l.Master, index)
	}
	return h
}

// stand notes that one interface stands upon another, if both are known.
func (h *Host) stand(upper, lower int) {
	_, ok1 := h.Links[upper]
	_, ok2 := h.Links[lower]
	if ok1 && ok2 {
		h.up[lower] = append(h.up[lower], upper)
		h.down[upper] = append(h.down[upper], lower)
	}
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
	return closure(index, h.up)
}

// Beneath is what an interface stands upon, without itself: the device of a VLAN or macvlan,
// the ports of a bridge or bond, and what these stand upon.
func (h *Host) Beneath(index int) []int { return closure(index, h.down)[1:] }

// closure is where steps lead from an interface, each once, the nearest first.
func closure(index int, steps map[int][]int) []int {
	all, seen := []int{index}, map[int]bool{index: true}
	for i := 0; i < len(all); i++ {
		for _, next := range steps[all[i]] {
			if !seen[next] {
				seen[next] = true
				all = append(all, next)
			}
		}
	}
	return all
}

// MACs are the addresses of frames that are ours when they come in by an interface: its
// own, and then those of what stands upon it, each once. A macvtap's is not: its frames are
// a guest's.
func (h *Host) MACs(index int) [][6]byte {
	var macs [][6]byte
	seen := map[[6]byte]bool{{}: true} // all zero is none
	for _, i := range h.Above(index) {
		if l := h.Links[i]; !seen[l.MAC] && l.Kind != "macvtap" {
			seen[l.MAC] = true
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
	ranks := map[int]int{} // of interfaces; those that have nothing to do with index come last
	for rank, i := range above {
		ranks[i] = rank - len(above)
	}
	var best netip.Addr
	lowest := math.MaxInt
	for _, a := range h.Addresses {
		if !a.Global || a.Addr.Is6() != ipv6 {
			continue
		}
		rank := ranks[a.Link]
		if virtual(a.Addr) {
			rank += len(above) + 1
		}
		if rank < lowest {
			best, lowest = a.Addr, rank
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
