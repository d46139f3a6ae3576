package affinity

import (
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// Conn is a connection as a listing shows it.
type Conn struct {
	// Tuple is the client and the virtual address. For StateFragment its ports are 0.
	Tuple      packet.Tuple
	FragmentID uint32 // for StateFragment
	Server     service.ID
	State      State
	Grade      Grade
	Expiry     Tick
	// Persistent: it holds a template.
	Persistent bool
}

// Template is a persistence template as a listing shows it.
type Template struct {
	// Client is the client's address, masked.
	Client packet.Addr
	// Mark is the firewall mark of the service, or 0 for a service by the rest.
	Mark     uint32
	Protocol packet.Protocol
	Addr     packet.Addr
	Port     uint16

	Server  service.ID
	Grade   Grade
	Expiry  Tick
	Holders uint32 // connections that hold it; it does not expire while there are any
}

// Range calls yield for each connection until it returns false. It takes no
// lock and stalls nobody. Each connection is consistent in itself; one that is
// inserted or deleted meanwhile may be shown or not, one that is there throughout is
// shown once.
func (c *Conns) Range(now Tick, yield func(Conn) bool) {
	for _, t := range []*table{c.v4, c.v6} {
		more := t.scan(now, func(k *Key, e *Entry) bool { return yield(listConn(k, e)) })
		if !more {
			return
		}
	}
}

// Range calls yield for each template until it returns false, as Conns.Range does.
func (t *Templates) Range(now Tick, yield func(Template) bool) {
	for _, t := range []*table{t.v4, t.v6} {
		more := t.scan(now, func(k *Key, e *Entry) bool { return yield(listTemplate(k, e)) })
		if !more {
			return
		}
	}
}

// scan calls yield for each valid entry.
func (t *table) scan(now Tick, yield func(*Key, *Entry) bool) (more bool) {
	for n := range t.slots() {
		s := t.slot(n)
		id := s[ident].Load()
		if id&statusMask != statusLive {
			continue
		}
		k := t.key(n, id)
		// read looks at ident once more, so the key is this entry's, too.
		e, ok := t.entry(n, id)
		if ok && t.valid(&e, now) && !yield(&k, &e) {
			return false
		}
	}
	return true
}

func listConn(k *Key, e *Entry) Conn {
	c := Conn{Server: e.Server(), State: e.State(), Grade: e.Grade(), Expiry: e.Expiry(), Persistent: e.HasTemplate()}
	src, dst, ports, protocol := k.parts()
	c.Tuple = packet.Tuple{Src: src, Dst: dst, SrcPort: uint16(ports >> 16), DstPort: uint16(ports), Protocol: protocol}
	if protocol == protocolFragment {
		c.FragmentID = ports
		c.Tuple.SrcPort, c.Tuple.DstPort = 0, 0
		if !k.v6 {
			c.FragmentID = ports >> 16
			c.Tuple.Protocol = packet.Protocol(ports)
		}
	}
	return c
}

func listTemplate(k *Key, e *Entry) Template {
	t := Template{Server: e.Server(), Grade: e.Grade(), Expiry: e.Expiry(), Holders: e.Holders()}
	src, dst, ports, protocol := k.parts()
	t.Client = src
	if protocol == 0 {
		t.Mark = uint32(dst.Lo)
		return t
	}
	t.Protocol, t.Addr, t.Port = protocol, dst, uint16(ports)
	return t
}

// TableStats is what one table counts. All but Live and Capacity only grow.
type TableStats struct {
	Live     uint64 // entries, expired ones that were not swept included
	Capacity uint64 // entries that there is room for
	Bytes    uint64 // memory
	Attached uint64 // entries taken over from an earlier process
	Inserted uint64 // entries made
	Removed  uint64 // entries that went, for whatever reason
	Expired  uint64 // of these, ended by their time
	Evicted  uint64 // of these, displaced by a new one before their time
	Full     uint64 // insertions refused: no room, and nothing that may be displaced
	PortFull uint64 // insertions refused: the client's port has too many connections
}

// Stats is what all tables count.
type Stats struct {
	Connections4, Connections6, Templates4, Templates6 TableStats
}

// Stats returns what the tables count.
func (t *Tables) Stats() Stats {
	return Stats{
		Connections4: t.tables[connections4].stats(), Connections6: t.tables[connections6].stats(),
		Templates4: t.tables[templates4].stats(), Templates6: t.tables[templates6].stats(),
	}
}

func (t *table) stats() TableStats {
	removed, live := t.removed.Load(), uint64(max(0, t.live.Load()))
	return TableStats{
		Live:     live,
		Capacity: uint64(t.capacity),
		Bytes:    uint64(len(t.lines)*lineBytes + len(t.buckets)*4),
		Attached: t.attached,
		Inserted: live + removed - t.attached,
		Removed:  removed,
		Expired:  t.expired.Load(),
		Evicted:  t.evicted.Load(),
		Full:     t.full.Load(),
		PortFull: t.portFull.Load(),
	}
}
