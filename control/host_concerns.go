package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/internal/links"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/service"
)

// portFacts is what of an interface may be wrong for packets.
type portFacts struct {
	name string
	mtu  int
	fits int // the longest packet that a frame of rings.frame_size holds
	// merging are the interfaces below one in generic mode that merge frames (GRO).
	merging []string
	// tagged: frames with VLAN tags matter there.
	tagged bool
	veth   bool
	// features are the offloads that are on; peer and peerFeatures are the other end's of a
	// veth, empty if it is not to be seen.
	features     map[string]bool
	peer         string
	peerFeatures map[string]bool
	// completed: workers have had to complete checksums of late (sumWatch).
	completed bool
}

// Features, as ethtool -k prints them raw.
const (
	featureGRO        = "rx-gro"
	featureStripTags  = "rx-vlan-hw-parse"
	featureInsertTags = "tx-vlan-hw-insert"
)

// checksumFeatures leave the sums of packets to the interface.
var checksumFeatures = []string{"tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"}

// maybePartial tells whether workers must look for partial checksums: a veth hands frames
// over as its peer left them.
func (f *portFacts) maybePartial() bool {
	return f.veth && (f.peerFeatures == nil || f.partial())
}

// partial tells whether frames come with partial checksums. What a peer that is not to be
// seen does shows in what workers have to do.
func (f *portFacts) partial() bool {
	switch {
	case !f.veth:
		return false
	case f.peerFeatures == nil:
		return f.completed
	}
	return slices.ContainsFunc(checksumFeatures, func(name string) bool {
		return f.peerFeatures[name]
	})
}

// concerns are what is wrong with the interface.
func (f *portFacts) concerns() (all []concern) {
	add := func(key, format string, args ...any) {
		text := fmt.Sprintf("interface %s: ", f.name) + fmt.Sprintf(format, args...)
		all = append(all, concern{key + " " + f.name, text})
	}
	if f.mtu > f.fits {
		add("frame", "its MTU is %d, but a frame holds packets of %d bytes at most, "+
			"and longer ones are dropped: lower the MTU, or set rings.frame_size: %d and restart", f.mtu, f.fits, largestFrame)
	}
	for _, below := range f.merging {
		add("merging "+below, "in generic mode it gets the frames that %s below it "+
			"has merged (GRO), and merged frames do not fit: ethtool -K %s gro off", below, below)
	}
	if f.tagged {
		f.tagConcerns(add)
	}
	if f.partial() {
		where := "in another namespace"
		if f.peer != "" {
			where = f.peer
		}
		add("partial", "frames from its peer (%s) have no checksums yet, as veth interfaces send them; "+
			"workers complete them, which takes time: ethtool -K PEER tx off, at the sender", where)
	}
	return all
}

// tagConcerns tells of VLAN tags that an XDP program cannot see.
func (f *portFacts) tagConcerns(add func(key, format string, args ...any)) {
	const unseen = "the tags of its VLANs are taken off before XDP sees the frames (%s), " +
		"so frames of all VLANs look untagged"
	switch {
	case f.veth && f.peerFeatures[featureInsertTags]:
		add("tags", unseen+": ethtool -K %s txvlan off", "its peer leaves them out", f.peer)
	case f.veth && f.peerFeatures == nil:
		add("tags", "VLAN tags of frames from its peer, which is in another namespace, "+
			"may be out of XDP's sight: ethtool -K PEER txvlan off, at the sender")
	case !f.veth && f.features[featureStripTags]:
		add("tags", unseen+": ethtool -K %s rxvlan off", "rx-vlan-offload", f.name)
	}
}

// hopFacts is where a real server is.
type hopFacts struct {
	server netip.Addr
	hop    service.NextHop
}

// hopConcerns are what is wrong with the ways to servers, from interfaces with these MTUs.
func hopConcerns(hops []hopFacts, ports []portFacts) (all []concern) {
	widest := portFacts{}
	for _, p := range ports {
		if p.mtu > widest.mtu {
			widest = p
		}
	}
	var far, narrow []string
	least := widest.mtu
	for _, h := range hops {
		if !h.hop.OnLink {
			far = append(far, h.server.String())
		}
		if h.hop.MTU != 0 && h.hop.MTU < widest.mtu {
			narrow = append(narrow, h.server.String())
			least = min(least, h.hop.MTU)
		}
	}
	if far = distinct(far); len(far) > 0 {
		all = append(all, concern{"far", fmt.Sprintf("%s %s not on link, the router before them routes "+
			"by the virtual address and may send packets back: put them on a link of the director",
			namesOf(far), are(far))})
	}
	if narrow = distinct(narrow); len(narrow) > 0 {
		all = append(all, concern{"mtu", fmt.Sprintf("links differ in MTU, packets of up to %d bytes come "+
			"by %s, but the way to %s takes %d: give all links one MTU, or longer packets are answered",
			widest.mtu, widest.name, namesOf(narrow), least)})
	}
	return all
}

// distinct is the servers sorted, each once: several services may have one.
func distinct(servers []string) []string {
	slices.Sort(servers)
	return slices.Compact(servers)
}

// namesOf are servers in a message, not too many.
func namesOf(servers []string) string {
	const few = 5
	switch n := len(servers); {
	case n == 1:
		return "server " + servers[0]
	case n > few:
		return fmt.Sprintf("servers %s and %d more", strings.Join(servers[:few], ", "), n-few)
	}
	return "servers " + strings.Join(servers, ", ")
}

func are(servers []string) string {
	if len(servers) == 1 {
		return "is"
	}
	return "are"
}

// judgeHost looks for what is wrong with the host, and publishes what the packet path and
// listings need to know of it.
func (d *Director) judgeHost() {
	host := d.host.Host()
	hops := d.hopFacts()
	tagged := d.taggedBy(host, hops)
	var ports []portFacts
	var now []concern
	moved := false
	for i, p := range d.ports {
		if p.index == 0 {
			continue
		}
		f := d.portFacts(host, p, tagged[i])
		// In generic mode frames of guests and containers may come as they left them, too.
		partial := f.maybePartial() || p.attached == bpf.Generic
		moved = moved || partial != p.partial
		p.partial = partial
		ports = append(ports, f)
		now = append(now, f.concerns()...)
	}
	told := d.concerns.set(append(now, hopConcerns(hops, ports)...))
	switch {
	case !d.ready: // what start does next publishes it
	case moved:
		d.publish()
	case told:
		d.show()
	}
}

// judge is judgeHost as a step of the start.
func (d *Director) judge() error {
	d.judgeHost()
	return nil
}

func (d *Director) portFacts(host *links.Host, p *port, tagged bool) portFacts {
	link := host.Links[p.index]
	f := portFacts{
		name: p.config.Name, mtu: link.MTU, fits: d.umemConfig().MaxMTU(),
		tagged: tagged, veth: link.Kind == "veth", completed: d.sums.partial,
	}
	if p.attached == bpf.Generic {
		for _, below := range host.Beneath(p.index) {
			if name := host.Links[below].Name; feature(name, featureGRO) {
				f.merging = append(f.merging, name)
			}
		}
	}
	if tagged && !f.veth {
		f.features, _ = nic.ReadFeatures(f.name) // what a driver does not tell is off
	}
	if peer, ok := host.Links[link.Peer]; ok {
		f.peer = peer.Name
		f.peerFeatures, _ = nic.ReadFeatures(peer.Name)
	}
	return f
}

// feature tells whether an interface's offload is on.
func feature(name, feature string) bool {
	on, err := nic.ReadFeatures(name)
	return err == nil && on[feature]
}

// taggedBy are the ports, by number, where VLAN tags matter: a server or a virtual address
// is on a VLAN device above, or a mark rule asks for VLANs.
func (d *Director) taggedBy(host *links.Host, hops []hopFacts) map[int]bool {
	tagged := map[int]bool{}
	for _, h := range hops {
		if i := d.portOf(h.hop.Interface); i >= 0 && h.hop.VLAN != 0 {
			tagged[i] = true
		}
	}
	virtual, onVLAN := d.isVirtual(), map[int]bool{}
	for _, a := range host.Addresses {
		if host.Links[a.Link].VLAN != 0 && virtual(a.Addr) {
			onVLAN[a.Link] = true
		}
	}
	for i, p := range d.ports {
		if d.asksForVLANs(p.config.Name) {
			tagged[i] = true
		}
		for _, above := range host.Above(p.index) {
			if onVLAN[above] && above != p.index {
				tagged[i] = true
			}
		}
	}
	return tagged
}

// asksForVLANs tells whether a mark rule is about tagged frames of an interface.
func (d *Director) asksForVLANs(name string) bool {
	for _, rule := range d.config.Marks {
		for _, m := range rule.Matches {
			here := len(m.Interfaces) == 0 || slices.Contains(m.Interfaces, name)
			if here && slices.ContainsFunc(m.VLANs, func(vlan uint16) bool { return vlan != 0 }) {
				return true
			}
		}
	}
	return false
}

// hopFacts are the servers whose next hop is known.
func (d *Director) hopFacts() (all []hopFacts) {
	for _, vs := range d.policy.services.All() {
		for _, real := range vs.Servers {
			if hop, status := d.neigh.Lookup(real.Addr); status.OK() {
				all = append(all, hopFacts{real.Addr, hop})
			}
		}
	}
	return all
}
