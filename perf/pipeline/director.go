package pipeline

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/perf/measure"
	"github.com/xlvs/xlvs/sched"
	"github.com/xlvs/xlvs/service"
)

const (
	serverCount = 8
	mark        = 80
	// roomLeast is what a director has room for if nothing is configured.
	roomLeast = 1 << 20
	// synTimeout and persistence are how long a client that comes once is remembered.
	synTimeout  = time.Minute
	persistence = 5 * time.Minute
)

// director is one without sockets and clocks: a marked, persistent service of eight
// real servers, by weighted round-robin.
type director struct {
	memory []byte
	tables *affinity.Tables
	plane  *dataplane.Plane
	now    affinity.Tick
}

// newDirector makes one with room for that many clients of a family, and half as many more.
func newDirector(clients int, v6 bool) (*director, error) {
	room := uint32(max(roomLeast, clients+clients/2))
	config := affinity.Config{Connections4: room, Templates4: room, Servers: serverCount}
	if v6 {
		config = affinity.Config{Connections6: room, Templates6: room, Servers: serverCount}
	}
	memory, err := measure.Memory(config.Size())
	if err != nil {
		return nil, err
	}
	d := &director{memory: memory, now: 1000 * affinity.TicksPerSecond}
	if d.tables, err = affinity.Format(memory, config); err == nil {
		var snapshot *dataplane.Snapshot
		if snapshot, err = d.snapshot(v6); err == nil {
			d.plane = dataplane.NewPlane(d.tables, serverCount, snapshot)
			return d, nil
		}
	}
	d.close()
	return nil, fmt.Errorf("make a director: %w", err)
}

// close gives the memory back.
func (d *director) close() { measure.Unmap(d.memory) }

func (d *director) snapshot(v6 bool) (*dataplane.Snapshot, error) {
	vip := vip4
	if v6 {
		vip = vip6
	}
	rules, err := marks.Compile([]marks.Rule{{
		Mark: mark, Protocols: []packet.Protocol{packet.TCP},
		Destinations:     []netip.Prefix{netip.PrefixFrom(vip, vip.BitLen())},
		DestinationPorts: []marks.Ports{marks.Port(port), marks.Port(443)},
	}})
	if err != nil {
		return nil, err
	}
	vs, hops, err := d.service(v6)
	if err != nil {
		return nil, err
	}
	table, err := service.NewTable([]*service.VirtualService{vs})
	if err != nil {
		return nil, err
	}
	return dataplane.NewSnapshot(rules, table, serverCount, hops, 1), nil
}

// service is the virtual service and where its real servers are. Connections that
// are established stay, so that those of clients that came once can be let go.
func (d *director) service(v6 bool) (*service.VirtualService, map[service.ID]dataplane.Hop, error) {
	all := packet.Addr{Hi: ^uint64(0), Lo: ^uint64(0)}
	vs := &service.VirtualService{
		Key: service.Key{Mark: mark, IPv6: v6}, SchedulerName: "wrr", Persistent: true,
		Persistence: service.Persistence{Timeout: persistence, Mask: all, Mask6: all},
		Timeouts:    service.Timeouts{SynRecv: synTimeout, Established: affinity.MaxTimeout},
	}
	hops := map[service.ID]dataplane.Hop{}
	for n := range byte(serverCount) {
		addr := netip.AddrFrom4([4]byte{10, 255, 0, 1 + n})
		if v6 {
			addr = netip.AddrFrom16([16]byte{0: 0xfd, 15: 1 + n})
		}
		id, err := d.tables.Assign(vs.Key, addr, 0, service.Direct)
		if err != nil {
			return nil, nil, err
		}
		vs.Servers = append(vs.Servers, &service.RealServer{
			ID: id, Addr: addr, Weight: 1, LastWeight: 1, Counts: d.tables.Counts(id.Number()),
		})
		hops[id] = dataplane.Hop{Next: service.NextHop{Dst: [6]byte{2, 0, 0, 0, 0, 1 + n}, Src: [6]byte{2, 1}}}
	}
	scheduler, err := sched.New(vs.SchedulerName, vs.Servers, sched.Options{})
	vs.Scheduler = scheduler
	return vs, hops, err
}

// forget lets time go by until clients that came once are forgotten, and sweeps them out.
// A template goes a pass after the connection that held it.
func (d *director) forget() {
	for range 2 {
		d.now += affinity.Ticks(synTimeout + persistence + time.Second)
		for !d.tables.Sweep(d.now, 1<<20) {
		}
	}
}
