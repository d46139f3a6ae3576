package control

import (
	"maps"
	"math/bits"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/service"
)

// view is what the control socket shows of the director: an immutable copy of
// what its goroutine knows, and the ways to what is counted elsewhere.
type view struct {
	services []*service.VirtualService
	workers  []*dataplane.Worker
	hops     map[service.ID]hopStatus
	bases    map[service.ID]Traffic // what the number's former servers had
	rates    map[service.ID]Rate
	sockets  []socketView
	vips     []AddressStatus
	warnings []string
	capacity uint32 // IPv4 connections
	steering *bpf.Steering
	// generation of the snapshot that goes with this.
	generation uint64
}

type hopStatus struct {
	reachable, byRouter bool
	text                string
}

type socketView struct {
	status SocketStatus
	socket *ring.Socket
}

// show publishes a new view.
func (d *Director) show() {
	v := &view{
		services: d.policy.services.All(), workers: slices.Clone(d.workers),
		hops: map[service.ID]hopStatus{}, rates: map[service.ID]Rate{}, vips: d.vips.status(), warnings: d.concerns.texts(),
		capacity: uint32(d.config.Tables.Connections), generation: d.generation, steering: d.steering,
	}
	for _, vs := range v.services {
		for _, real := range vs.Servers {
			hop, status := d.neigh.Lookup(real.Addr)
			v.hops[real.ID] = hopStatus{status.OK(), status.OK() && !hop.OnLink, status.String()}
			if _, known := d.bases[real.ID]; !known {
				d.bases[real.ID] = v.counted(real.ID)
			}
			if e := d.rates[real.ID]; e != nil {
				v.rates[real.ID] = e.rate
			}
		}
	}
	v.bases = maps.Clone(d.bases)
	for _, p := range d.ports {
		for _, queue := range p.queues {
			v.sockets = append(v.sockets, p.view(queue))
		}
	}
	d.view.Store(v)
}

func (p *port) view(queue int) socketView {
	s := SocketStatus{Interface: p.config.Name, Queue: uint32(queue), Mode: "down"}
	socket := p.sockets[queue]
	if socket != nil {
		s.Mode, s.Attached = socket.Mode().String(), p.attached.String()
	} else if p.err != nil {
		s.Error = p.err.Error()
	}
	return socketView{s, socket}
}

// estimate moves the rates on by one period.
func (d *Director) estimate() {
	v := d.view.Load()
	for _, vs := range v.services {
		for _, real := range vs.Servers {
			e := d.rates[real.ID]
			if e == nil {
				e = &estimator{last: v.traffic(real.ID)}
				d.rates[real.ID] = e
			}
			e.update(v.traffic(real.ID), estimatorPeriod)
		}
	}
	d.show()
}

// counted is what all workers and the express lane sent by a server's number.
func (v *view) counted(id service.ID) Traffic {
	var sum dataplane.Traffic
	for _, w := range v.workers {
		w.Forwarder().Traffic(id.Number(), &sum)
	}
	if t, err := v.steering.Carried(id.Number()); err == nil { // a lookup in an array
		sum.Packets += t.Packets
		sum.Bytes += t.Bytes
	}
	return Traffic(sum)
}

// traffic is what went to a server since the director started.
func (v *view) traffic(id service.ID) Traffic {
	t, base := v.counted(id), v.bases[id]
	return Traffic{t.Connections - base.Connections, t.Packets - base.Packets, t.Bytes - base.Bytes}
}

func (d *Director) listing() *Listing {
	v := d.view.Load()
	l := &Listing{Version: Version, Capacity: v.capacity, Services: []ServiceStatus{}}
	for _, vs := range v.services {
		l.Services = append(l.Services, v.service(vs))
	}
	return l
}

func (v *view) service(vs *service.VirtualService) ServiceStatus {
	s := ServiceStatus{
		Protocol: "FWM", Mark: vs.Key.Mark, IPv6: vs.Key.IPv6, Address: vs.Key.Addr, Port: vs.Key.Port,
		Scheduler: vs.SchedulerName, Flags: vs.Flags, OnePacket: vs.OnePacket, Servers: []ServerStatus{},
	}
	if vs.Key.Mark == 0 {
		s.Protocol = protocolName(vs.Key.Protocol)
	}
	if vs.Persistent {
		s.Persistence = vs.Persistence.Timeout.Seconds()
		if vs.Key.IPv6 || vs.Key.Addr.Is6() {
			s.Mask6 = bits.OnesCount64(vs.Persistence.Mask6.Hi) + bits.OnesCount64(vs.Persistence.Mask6.Lo)
		} else {
			s.Mask = vs.Persistence.Mask.And(packet.AddrFrom4(0xffffffff)).Netip()
		}
	}
	for _, real := range vs.Servers {
		r := v.server(real)
		s.Stats.Connections += r.Stats.Connections
		s.Stats.Packets += r.Stats.Packets
		s.Stats.Bytes += r.Stats.Bytes
		s.Rate.Connections += r.Rate.Connections
		s.Rate.Packets += r.Rate.Packets
		s.Rate.Bytes += r.Rate.Bytes
		s.Servers = append(s.Servers, r)
	}
	return s
}

func (v *view) server(real *service.RealServer) ServerStatus {
	hop := v.hops[real.ID]
	return ServerStatus{
		Address: real.Addr, Port: real.Port, Forward: "Route", Weight: real.Weight,
		Active: real.Counts.Active.Load(), Inactive: real.Counts.Inactive.Load(),
		Persistent: real.Counts.Persistent.Load(), Overloaded: real.Counts.Overloaded.Load(),
		Unreachable: real.Counts.Unreachable.Load(),
		Reachable:   hop.reachable, Neighbour: hop.text, ByRouter: hop.byRouter,
		Stats: v.traffic(real.ID), Rate: v.rates[real.ID],
	}
}

func protocolName(p packet.Protocol) string { return strings.ToUpper(p.String()) }

func (d *Director) status() *Status {
	v := d.view.Load()
	s := &Status{
		Version: Version, PID: os.Getpid(), Started: d.started, Generation: v.generation,
		Frames: map[string]uint64{}, Steering: map[string]uint64{}, Addresses: v.vips,
		Notes: map[string]uint64{}, Warnings: v.warnings,
	}
	var reasons [dataplane.Reasons]uint64
	var notes [dataplane.Notes]uint64
	for _, w := range v.workers {
		w.Forwarder().Reasons(&reasons)
		w.Forwarder().Notes(&notes)
	}
	for i, n := range notes {
		s.Notes[dataplane.Note(i).String()] = n
	}
	for i, n := range reasons {
		s.Frames[dataplane.Reason(i).String()] = n
	}
	if counts, err := d.steering.Counters(); err == nil {
		s.Frames[dataplane.Forwarded.String()] += counts[bpf.Express] - d.expressBefore
		for reason, n := range counts {
			s.Steering[bpf.Reason(reason).String()] = n
		}
	}
	s.Tables = tableStatus(d.tables.Stats())
	for _, k := range v.sockets {
		if k.socket != nil {
			k.status.Counters = socketCounters(k.socket.Stats())
		}
		s.Sockets = append(s.Sockets, k.status)
	}
	return s
}

func tableStatus(stats affinity.Stats) []TableStatus {
	row := func(name string, t affinity.TableStats) TableStatus {
		return TableStatus{
			Name: name, Live: t.Live, Capacity: t.Capacity, Inserted: t.Inserted,
			Expired: t.Expired, Displaced: t.Evicted, Refused: t.Full + t.PortFull, PortFull: t.PortFull,
		}
	}
	return []TableStatus{
		row("connections", stats.Connections4), row("connections6", stats.Connections6),
		row("templates", stats.Templates4), row("templates6", stats.Templates6),
	}
}

// socketCounters are a socket's counters by name.
func socketCounters(s ring.Stats) map[string]uint64 {
	return map[string]uint64{
		"received": s.Received, "transmitted": s.Transmitted, "tx_full": s.TXFull, "foreign": s.Foreign,
		"kicks": s.Kicks, "kicks_suppressed": s.KicksSuppressed, "tx_busy": s.TXBusy, "wakeups": s.Wakeups, "polls": s.Polls,
		"rx_dropped": s.RXDropped, "rx_invalid": s.RXInvalid, "rx_ring_full": s.RXRingFull,
		"fill_ring_empty": s.FillRingEmpty, "tx_invalid": s.TXInvalid,
	}
}

// servers finds the real server that an entry names, for listings: those of the
// policy and those that were removed since.
func (d *Director) servers() map[service.ID]netip.AddrPort {
	all := map[service.ID]netip.AddrPort{}
	for _, s := range d.tables.Servers() {
		all[s.ID] = netip.AddrPortFrom(s.Addr, s.Port)
	}
	return all
}

func (d *Director) connections(yield func(*Connection) bool) {
	now, servers := monotonicTick(), d.servers()
	d.tables.Conns.Range(now, func(c affinity.Conn) bool {
		if c.State == affinity.StateFragment {
			return true
		}
		to := servers[c.Server]
		if to.Port() == 0 { // of all ports: direct routing keeps the packet's
			to = netip.AddrPortFrom(to.Addr(), c.Tuple.DstPort)
		}
		return yield(&Connection{
			Protocol: protocolName(c.Tuple.Protocol), State: c.State.String(),
			Source: c.Tuple.Source(), Virtual: c.Tuple.Destination(), Destination: to,
			Expires: c.Expiry.Since(now).Seconds(), Assured: c.Grade >= affinity.Assured, Templated: c.Persistent,
		})
	})
}

func (d *Director) templates(yield func(*Template) bool) {
	now, servers := monotonicTick(), d.servers()
	d.tables.Templates.Range(now, func(t affinity.Template) bool {
		out := &Template{
			Mark: t.Mark, Client: t.Client.Netip(), Destination: servers[t.Server],
			Expires: max(0, t.Expiry.Since(now).Seconds()), Connections: t.Holders, Assured: t.Grade >= affinity.Assured,
		}
		if t.Mark == 0 {
			out.Protocol, out.Virtual = protocolName(t.Protocol), netip.AddrPortFrom(t.Addr.Netip(), t.Port)
		}
		return yield(out)
	})
}
