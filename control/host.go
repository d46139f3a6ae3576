package control

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/internal/links"
	"github.com/xlvs/xlvs/packet"
)

// openHost starts following the host's interfaces and addresses.
func (d *Director) openHost() error {
	host, err := links.Watch(d.log)
	if err != nil {
		return err
	}
	d.host = host
	d.onStop(host.Close)
	return nil
}

// followHost takes in what has changed of the host's interfaces and addresses: first which
// frames are ours, for those that come meanwhile are not taken.
func (d *Director) followHost() {
	if err := d.setLocals(); err != nil {
		d.log.Error("frames for new MAC addresses are not taken", "error", err)
	}
	var next dataplane.Snapshot
	d.fillHost(&next)
	if now := d.plane.Snapshot(); !sameHost(now, &next) {
		d.publish()
	}
}

// sameHost tells whether two snapshots know the same of the host: most of what changes on a
// host with containers is none of theirs.
func sameHost(a, b *dataplane.Snapshot) bool {
	samePort := func(p, q dataplane.Port) bool {
		return p.Interface == q.Interface && p.Answer4 == q.Answer4 && p.Answer6 == q.Answer6 &&
			slices.Equal(p.MACs, q.MACs)
	}
	return maps.Equal(a.Own, b.Own) && slices.EqualFunc(a.Ports, b.Ports, samePort)
}

// setLocals tells the XDP program which MAC addresses are ours.
func (d *Director) setLocals() error {
	host := d.host.Host()
	locals := map[int][][packet.MACLen]byte{}
	for _, p := range d.ports {
		if p.index != 0 {
			locals[p.index] = portMACs(host, p.index, d.macs(p.config.Name))
		}
	}
	return d.steering.SetLocals(locals)
}

// portMACs are the addresses of frames that are ours, by one interface.
func portMACs(host *links.Host, index int, more [][packet.MACLen]byte) [][packet.MACLen]byte {
	macs := host.MACs(index)
	for _, mac := range more {
		if !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	return macs
}

// macs are the further addresses that the configuration in force gives an interface.
func (d *Director) macs(name string) [][packet.MACLen]byte {
	i := slices.IndexFunc(d.config.Interfaces, func(i config.Interface) bool { return i.Name == name })
	if i < 0 {
		return nil
	}
	return d.config.Interfaces[i].MACs
}

// fillHost completes a snapshot by what it needs of the host.
func (d *Director) fillHost(s *dataplane.Snapshot) {
	host := d.host.Host()
	virtual := d.isVirtual()
	for _, p := range d.ports {
		s.Ports = append(s.Ports, dataplane.Port{
			Interface: p.index,
			Answer4:   answerSource(host, p.index, false, virtual),
			Answer6:   answerSource(host, p.index, true, virtual),
			Partial:   p.partial,
			MACs:      portMACs(host, p.index, d.macs(p.config.Name)),
		})
	}
	s.Own = map[packet.Addr]struct{}{}
	for _, addr := range host.Locals() {
		s.Own[packet.AddrFrom(addr)] = struct{}{}
	}
	s.Refuse, s.ExpireNoDest = d.config.Refuse, d.config.ExpireNoDest
}

// answerSource is where answers come from that leave by an interface; the zero Addr if the host
// has no address of the family.
func answerSource(host *links.Host, index int, ipv6 bool, virtual func(netip.Addr) bool) packet.Addr {
	addr := host.Source(index, ipv6, virtual)
	if !addr.IsValid() {
		return packet.Addr{}
	}
	return packet.AddrFrom(addr)
}

// isVirtual tells virtual addresses from the director's own: what services and rules name.
func (d *Director) isVirtual() func(netip.Addr) bool {
	single := map[netip.Addr]bool{}
	for _, addr := range virtualAddresses(d.config) {
		single[addr] = true
	}
	return func(addr netip.Addr) bool { return single[addr] }
}
