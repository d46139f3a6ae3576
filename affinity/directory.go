package affinity

import (
	"fmt"
	"net/netip"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// The server directory is part of the tables' memory, so that a number means the
// same real server to the next process. Record n is line headerLines + n - 1:
//
//	word 0   7-0 status   8 the service is IPv6 (Key.IPv6)   9 the service has an address
//	         15-10 forwarding method   23-16 protocol   43-32 generation
//	word 1   31-0 mark   47-32 the service's port   63-48 the server's port
//	word 2,3 the service's address   word 4,5 the server's address   (packet.Addr)
//
// Word 0 is written last when a record is filled. A record goes
//
//	         Assign             Release                  Sweep, no entry left
//	vacant ---------> assigned ---------> released -------------------------> vacant,
//	                     ^------------------'  Assign of the same server      next generation
const (
	recordVacant   = 0
	recordAssigned = 1
	recordReleased = 2

	recordStatusMask = 0xff
	recordIPv6       = 1 << 8
	recordAddress    = 1 << 9
	recordMethod     = 10
	methodMask       = 1<<6 - 1
	recordProtocol   = 16
	recordGeneration = 32
	generationMask   = 1<<(32-service.NumberBits) - 1

	// maxServers is the most servers that numbers can tell apart.
	maxServers = service.MaxNumber
)

// Server is a record of the server directory: a real server of one service.
type Server struct {
	ID      service.ID
	Service service.Key
	Addr    netip.Addr
	Port    uint16
	Method  service.ForwardingMethod
	// Released: it is no longer configured, but entries may refer to it still.
	Released bool
}

// identity is what makes a server the same one after a restart.
type identity struct {
	service service.Key
	addr    netip.Addr
	port    uint16
	method  service.ForwardingMethod
}

// directory is the process's index of the records. Tables.mu guards it.
type directory struct {
	records []line
	numbers map[identity]uint32 // assigned and released
	next    uint32              // where to look for a vacant record first
	// seen is the last pass of Sweep that met an entry of the server; released is the
	// first pass that began after its release.
	seen, released []uint64
}

func newDirectory(records []line) *directory {
	n := len(records) + 1
	d := &directory{records: records, numbers: make(map[identity]uint32),
		seen: make([]uint64, n), released: make([]uint64, n)}
	for i := range records {
		if s, ok := d.load(uint32(i + 1)); ok {
			d.numbers[identity{s.Service, s.Addr, s.Port, s.Method}] = uint32(i + 1)
		}
	}
	return d
}

// load reads the record of a number; it fails if that is vacant or does not exist.
func (d *directory) load(number uint32) (Server, bool) {
	if number == 0 || number > uint32(len(d.records)) {
		return Server{}, false
	}
	r := &d.records[number-1]
	w0, w1 := r[0].Load(), r[1].Load()
	status := w0 & recordStatusMask
	if status != recordAssigned && status != recordReleased {
		return Server{}, false
	}
	s := Server{
		ID: service.MakeID(number, uint16(w0>>recordGeneration&generationMask)),
		Service: service.Key{Mark: uint32(w1), IPv6: w0&recordIPv6 != 0, Port: uint16(w1 >> 32),
			Protocol: packet.Protocol(w0 >> recordProtocol)},
		Addr:     packet.Addr{Hi: r[4].Load(), Lo: r[5].Load()}.Netip(),
		Port:     uint16(w1 >> 48),
		Method:   service.ForwardingMethod(w0 >> recordMethod & methodMask),
		Released: status == recordReleased,
	}
	if w0&recordAddress != 0 {
		s.Service.Addr = packet.Addr{Hi: r[2].Load(), Lo: r[3].Load()}.Netip()
	}
	return s, true
}

// store fills a vacant record.
func (d *directory) store(number uint32, who identity) service.ID {
	r := &d.records[number-1]
	generation := r[0].Load() >> recordGeneration & generationMask
	w0 := recordAssigned | uint64(who.method)<<recordMethod |
		uint64(who.service.Protocol)<<recordProtocol | generation<<recordGeneration
	if who.service.IPv6 {
		w0 |= recordIPv6
	}
	if who.service.Addr.IsValid() {
		w0 |= recordAddress
	}
	virtual, real := packet.AddrFrom(who.service.Addr), packet.AddrFrom(who.addr)
	r[1].Store(uint64(who.service.Mark) | uint64(who.service.Port)<<32 | uint64(who.port)<<48)
	r[2].Store(virtual.Hi)
	r[3].Store(virtual.Lo)
	r[4].Store(real.Hi)
	r[5].Store(real.Lo)
	r[0].Store(w0)
	return service.MakeID(number, uint16(generation))
}

// setStatus changes the status of a record.
func (d *directory) setStatus(number uint32, status uint64) {
	w := &d.records[number-1][0]
	w.Store(w.Load()&^recordStatusMask | status)
}

// holds reports whether an ID names a server that is assigned or released.
func (d *directory) holds(id service.ID) bool {
	s, ok := d.load(id.Number())
	return ok && s.ID == id
}

// Assign returns the ID of a service's real server: the one it has, also if it
// was released meanwhile or assigned by an earlier process, else a new one. Addresses
// are taken without zones, and IPv4 ones unmapped. A server with another forwarding method is
// another server: what lives goes on as it began.
func (t *Tables) Assign(key service.Key, addr netip.Addr, port uint16,
	method service.ForwardingMethod,
) (service.ID, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.directory
	key.Addr = key.Addr.Unmap().WithZone("")
	who := identity{key, addr.Unmap().WithZone(""), port, method & methodMask}
	if number, ok := d.numbers[who]; ok {
		d.setStatus(number, recordAssigned)
		s, _ := d.load(number)
		return s.ID, nil
	}
	for range d.records {
		number := d.next%uint32(len(d.records)) + 1
		d.next = number
		if d.records[number-1][0].Load()&recordStatusMask == recordVacant {
			d.numbers[who] = number
			return d.store(number, who), nil
		}
	}
	return 0, fmt.Errorf("assign a number to real server %v port %d: all %d are taken, "+
		"released ones that entries refer to included; configure room for more servers",
		addr, port, len(d.records))
}

// Release says that a server was removed from the configuration. Its entries
// stay. Its number is given out again, with the next generation, when Sweep has
// been through all the tables twice without meeting one. Call it when every worker
// has the snapshot without the server; the second pass is for those that are late
// with an insertion.
func (t *Tables) Release(id service.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.directory; d.holds(id) {
		d.setStatus(id.Number(), recordReleased)
		d.released[id.Number()] = t.sweep.pass + 1
	}
}

// Server returns the directory's record of an ID, if the ID is in it.
func (t *Tables) Server(id service.ID) (Server, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.directory.load(id.Number())
	return s, ok && s.ID == id
}

// Servers returns all records of the directory by number.
func (t *Tables) Servers() []Server {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Server
	for n := range t.directory.records {
		if s, ok := t.directory.load(uint32(n + 1)); ok {
			all = append(all, s)
		}
	}
	return all
}

// reclaim makes the released records vacant that no entry refers to; pass is the
// pass of Sweep that has just ended.
func (d *directory) reclaim(pass uint64, servers *servers) {
	for who, number := range d.numbers {
		w := &d.records[number-1][0]
		c := servers.counts(number)
		if w.Load()&recordStatusMask != recordReleased || pass < d.released[number]+1 ||
			d.seen[number]+1 >= pass || c.Active.Load()+c.Inactive.Load()+c.Persistent.Load() != 0 {
			continue
		}
		generation := (w.Load()>>recordGeneration + 1) & generationMask
		w.Store(generation << recordGeneration)
		delete(d.numbers, who)
	}
}
