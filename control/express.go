package control

import (
	"runtime"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/ring"
)

// Lane is whether the express lane is open on an interface, and why.
type Lane struct {
	Open bool   `json:"open"`
	Why  string `json:"why"`
}

func (l Lane) String() string {
	if l.Open {
		return "open: " + l.Why
	}
	return "closed: " + l.Why
}

// lane judges the express lane of a port as things are now, and in which ways an
// XDP program can send by it.
func (d *Director) lane(p *port) (Lane, bpf.Ways) {
	switch choice := d.tuning.express; {
	case choice == config.ExpressOff:
		return Lane{false, "configured"}, 0
	case runtime.GOARCH != "amd64":
		// Elsewhere a program would see the words of an entry in another order than they
		// are written in: BPF has loads that acquire since Linux 6.14 only.
		return Lane{false, "it relies on the memory order of amd64"}, 0
	case choice == config.ExpressAuto && p.zeroCopy():
		return Lane{false, "the sockets have zero copy"}, 0
	case p.attached == bpf.Generic && choice == config.ExpressAuto:
		// And would send them merged, past the checks of the way out.
		return Lane{false, "in generic mode the kernel may have merged frames (GRO) before the program sees them"}, 0
	case p.attached == bpf.Generic:
		return Lane{true, "configured; in generic mode the kernel itself sends"}, bpf.Back
	}
	return driverLane(p, d.tuning.express == config.ExpressOn)
}

// zeroCopy tells whether a socket of the port has it.
func (p *port) zeroCopy() bool {
	for _, s := range p.sockets {
		if s.Mode() == ring.ZeroCopy {
			return true
		}
	}
	return false
}

// driverLane is lane by what the driver can do. Drivers that run programs send back
// what came by their interface. A veth does not: the kernel leaves such frames in
// the peer's ring until something else wakes the peer (veth_xdp_flush), unless the peer has a
// program of its own. What is redirected to a veth arrives, if the peer has a program
// or GRO; Linux tells since 6.3.
func driverLane(p *port, anyway bool) (Lane, bpf.Ways) {
	features, err := nic.ReadXDPFeatures(p.index)
	takes := err == nil && features&nic.XDPTransmit != 0
	if driver, err := nic.ReadDriver(p.config.Name); err != nil || driver.Name != "veth" {
		ways := bpf.Back
		if takes {
			ways |= bpf.Redirected
		}
		return Lane{true, "its driver sends back what XDP hands to it"}, ways
	}
	switch {
	case takes:
		return Lane{true, "its peer takes XDP frames"}, bpf.Redirected
	case err != nil && anyway:
		return Lane{true, "configured, though the kernel does not tell whether the peer takes XDP frames"}, bpf.Redirected
	case err != nil:
		return Lane{false, "the kernel does not tell whether the peer takes XDP frames"}, 0
	}
	return Lane{false, "its peer takes no XDP frames, having neither GRO nor an XDP program"}, 0
}

// judgeLanes judges all ports and tells whether anything is new.
func (d *Director) judgeLanes() (changed bool) {
	for _, p := range d.ports {
		if p.index == 0 {
			continue
		}
		now, ways := d.lane(p)
		now, ways = d.bothEnds(p, now, ways)
		if now != p.lane {
			d.log.Info("express lane", "interface", p.config.Name, "open", now.Open, "because", now.Why)
		}
		changed = changed || now != p.lane || ways != p.ways
		p.lane, p.ways = now, ways
	}
	return changed
}

// setExpress judges all ports and opens or closes the express lane accordingly.
func (d *Director) setExpress() error {
	d.judgeLanes()
	return d.openExpress()
}

// openExpress opens the express lane to the servers of the snapshot in force, on
// the ports that may have it as last judged, and closes it to all others.
func (d *Director) openExpress() error {
	partial := map[int]bool{}
	for _, p := range d.plane.Snapshot().Ports {
		partial[p.Interface] = p.Partial
	}
	if err := d.steering.SetPartial(partial); err != nil {
		return err
	}
	return d.steering.SetServers(d.expressServers())
}

// followExpress is openExpress for what changes of itself, where there is nobody to
// return an error to. A lane that cannot be told of new servers is closed.
func (d *Director) followExpress() {
	if err := d.openExpress(); err != nil {
		d.log.Error("express lane closed", "error", err)
		if err := d.steering.SetServers(nil); err != nil {
			d.log.Error("express lane cannot be closed", "error", err)
		}
	}
}

// noteCarried remembers what the express lane has sent for a former run, and may still
// be sending: one reading a server's number, and the sum of them, so that the
// counts of servers and the count of all frames begin at the same packet.
func (d *Director) noteCarried() error {
	counts, err := d.steering.Counters()
	if err != nil || counts[bpf.Express] == 0 {
		return err
	}
	before := make([]Traffic, d.config.Tables.Servers+1)
	for number := range before {
		t, err := d.steering.Carried(uint32(number))
		if err != nil {
			return err
		}
		before[number] = Traffic{Packets: t.Packets, Bytes: t.Bytes}
		d.expressBefore += t.Packets
	}
	for _, vs := range d.policy.services.All() {
		for _, real := range vs.Servers {
			d.bases[real.ID] = before[real.ID.Number()]
		}
	}
	return nil
}

// expressServers are the servers behind ports whose lane is open.
func (d *Director) expressServers() (servers []bpf.Server) {
	for t := range d.plane.Snapshot().Targets() {
		p := d.ports[t.Port]
		if p.ways == 0 || p.index == 0 {
			continue
		}
		s := bpf.Server{
			ID: uint32(t.ID), Interface: p.index, Ways: p.ways, Method: uint8(t.Method),
			VLAN: t.VLAN, MTU: t.MTU, Port: t.RealPort, Addr: t.Addr.As16(), MACs: t.MACs, Template: uint32(t.Template),
		}
		for number := range s.Timeouts { // TCP's, and UDP's one
			s.Timeouts[number] = uint32(t.Timeouts[affinity.StateTCPNone+affinity.State(number)])
		}
		s.Timeouts[0] = uint32(t.Timeouts[affinity.StateUDP])
		servers = append(servers, s)
	}
	return servers
}
