package dataplane

import (
	"iter"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// NoPort is the port of a real server whose next hop is not known.
const NoPort = 0xff

// Snapshot is everything that the packet path reads of the configuration and
// of the network. It is immutable once published.
type Snapshot struct {
	Marks    *marks.Rules
	Services *service.Table
	// What follows may be set before the snapshot is published.

	// Ports are the workers' interfaces, in the order of Hop.Port.
	Ports []Port
	// Own are the addresses of the director itself. What comes from one is not answered.
	Own map[packet.Addr]struct{}
	// ExpireNoDest is what becomes of connections whose service was removed, too: see
	// service.VirtualService.
	ExpireNoDest bool
	// Refuse is what is told to who sent a packet that no service takes.
	Refuse service.Refusal

	// servers by number; number 0 is nobody.
	servers []server
	// Generation counts the snapshots, for logs and listings.
	Generation uint64
}

// Port is what the packet path knows of an interface.
type Port struct {
	Interface int // its index
	// Answer4 and Answer6 are addresses of the director on this side, which ICMP errors
	// about packets in transit come from; the zero Addr stands for the virtual address.
	Answer4, Answer6 packet.Addr
	// Partial: frames that come by it may have partial checksums, as on a veth.
	Partial bool
	// MACs are the addresses of frames that are ours. Others are not answered. nil is any.
	MACs [][packet.MACLen]byte
}

// server is what it takes to forward a packet to a real server: one cache line.
type server struct {
	id   service.ID // as the tables must name it; 0 where no server has the number
	macs [12]byte   // destination and source, as they lie in a frame
	port uint8      // index of the interface to send by; NoPort

	method    service.ForwardingMethod
	refreshed bool // packets refresh the template of their connection

	tagging uint32 // the way out's VLAN tags, 0 or 1 (upper half), and the identifier
	longest uint32 // its longest IP packet; 0 without a way out
	real    *service.RealServer
	svc     *virtual
}

// virtual is a service with its times in ticks.
type virtual struct {
	*service.VirtualService
	timeouts affinity.Timeouts
	template affinity.Tick // timeouts has it, too
}

// Hop is where a real server is on the network.
type Hop struct {
	Port uint8 // index of the interface among the workers' ports
	Next service.NextHop
}

// NewSnapshot makes a snapshot of the services. Server numbers are at most
// capacity; hops has the servers whose next hop is known.
func NewSnapshot(rules *marks.Rules, table *service.Table, capacity int, hops map[service.ID]Hop,
	generation uint64) *Snapshot {
	s := &Snapshot{
		Marks: rules, Services: table, servers: make([]server, capacity+1), Generation: generation,
	}
	for _, vs := range table.All() {
		v := newVirtual(vs)
		for _, real := range vs.Servers {
			entry := server{id: real.ID, port: NoPort, method: real.Method, real: real, svc: v}
			entry.refreshed = vs.Persistent && vs.Persistence.Refresh == service.RefreshPacket
			if hop, ok := hops[real.ID]; ok {
				entry.reach(&hop)
			}
			s.servers[real.ID.Number()] = entry
		}
	}
	return s
}

// reach says of a server where it is.
func (s *server) reach(h *Hop) {
	if h.Port == NoPort {
		return
	}
	s.port, s.longest = h.Port, packet.MaxFrame
	if h.Next.VLAN != 0 {
		s.tagging = 1<<16 | uint32(h.Next.VLAN)
	}
	if h.Next.MTU > 0 && h.Next.MTU < packet.MaxFrame {
		s.longest = uint32(h.Next.MTU)
	}
	copy(s.macs[:6], h.Next.Dst[:])
	copy(s.macs[6:], h.Next.Src[:])
}

func newVirtual(vs *service.VirtualService) *virtual {
	v := &virtual{VirtualService: vs, timeouts: timeoutsOf(&vs.Timeouts, vs.Persistence.Timeout)}
	v.template = v.timeouts[affinity.StateNone]
	return v
}

// lasting is a timeout in ticks that never ends early: the tick of now may be up to
// one behind the time.
func lasting(d time.Duration) affinity.Tick { return affinity.Ticks(d) + 1 }

// lookup finds the server that a table entry names, nil if it is gone.
func (s *Snapshot) lookup(id service.ID) *server {
	n := id.Number()
	if int(n) >= len(s.servers) || s.servers[n].id != id || id == 0 {
		return nil
	}
	return &s.servers[n]
}

// port is the number of the port of an interface, -1 if there is none.
func (s *Snapshot) port(ifindex int) int {
	for i := range s.Ports {
		if s.Ports[i].Interface == ifindex {
			return i
		}
	}
	return -1
}

// Target is what it takes to forward a packet of a known connection to a real
// server.
type Target struct {
	ID       service.ID
	Port     uint8 // as Hop has it
	Method   service.ForwardingMethod
	Addr     netip.Addr // of the server
	RealPort uint16     // its port, 0 for the packet's
	VLAN     uint16     // of the tag that frames leave with, 0 for none
	MTU      uint16     // longest IP packet that the way out takes
	MACs     [12]byte   // destination and source, as they lie in a frame
	Timeouts affinity.Timeouts
	Template affinity.Tick // if packets refresh the template of their connection, else 0
}

// Targets are the servers whose next hop is known, by number.
func (s *Snapshot) Targets() iter.Seq[Target] {
	return func(yield func(Target) bool) {
		for i := range s.servers {
			server := &s.servers[i]
			if server.id == 0 || server.port == NoPort {
				continue
			}
			t := Target{
				ID: server.id, Port: server.port, Method: server.method,
				Addr: server.real.Addr, RealPort: server.real.Port,
				VLAN: uint16(server.tagging), MTU: uint16(server.longest),
				MACs: server.macs, Timeouts: server.svc.timeouts,
			}
			if server.refreshed {
				t.Template = server.svc.template
			}
			if !yield(t) {
				return
			}
		}
	}
}

// Plane is what all workers share: the tables and the current snapshot.
type Plane struct {
	Tables   *affinity.Tables
	servers  int // the highest server number there may be
	snapshot atomic.Pointer[Snapshot]
	// noted counts first fragments. Any worker adds to it.
	noted atomic.Uint32
}

// NewPlane returns a plane with its first snapshot. Server numbers are at most
// servers, in every snapshot.
func NewPlane(tables *affinity.Tables, servers int, first *Snapshot) *Plane {
	p := &Plane{Tables: tables, servers: servers}
	p.Publish(first)
	return p
}

// Publish makes s the snapshot of every batch that starts from now on, and tells the tables
// how long the entries of its servers live.
func (p *Plane) Publish(s *Snapshot) {
	for i := range s.servers {
		if server := &s.servers[i]; server.id != 0 {
			p.Tables.SetTimeouts(server.id.Number(), &server.svc.timeouts)
		}
	}
	p.snapshot.Store(s)
}

// Snapshot is the current one.
func (p *Plane) Snapshot() *Snapshot { return p.snapshot.Load() }
