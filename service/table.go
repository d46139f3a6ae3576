package service

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/xlvs/xlvs/packet"
)

// Ports with a meaning of their own in IPVS's lookup order (ip_vs.h FTPPORT and FTPDATA;
// net.ipv4.ip_unprivileged_port_start at its default).
const (
	ftpPort           = 21
	ftpDataPort       = 20
	firstUnprivileged = 1024
)

// Table finds the virtual service of a packet. It never changes once made, so that any
// number of threads may look into it. The zero Table has no service.
//
// It is one flat array with open addressing, at most half full: a lookup of one key, found
// or not, touches one or two cache lines.
type Table struct {
	slots []slot // power of two
	shift uint8  // of a 64-bit hash, to an index into slots

	// What there is no service of is not looked for, as in IPVS (ftpsvc_counter,
	// nullsvc_counter).
	hasMark, hasFTP, hasAllPorts bool

	services []*VirtualService
}

// slot is an entry of the table; service is nil if it is empty.
type slot struct {
	key     tableKey
	service *VirtualService
}

// tableKey is a [Key] in a form that is compared and hashed in a few instructions.
type tableKey struct {
	addr packet.Addr // the virtual address; a mark is in addr.Lo
	kind uint64      // protocol<<16 | port, or one of the two below
}

// Kinds of key that no protocol and port can be.
const (
	mark4 = 1 << 32
	mark6 = 2 << 32
)

func addressKey(a packet.Addr, p packet.Protocol, port uint16) tableKey {
	return tableKey{addr: a, kind: uint64(p)<<16 | uint64(port)}
}

func markKey(mark uint32, ipv6 bool) tableKey {
	if ipv6 {
		return tableKey{addr: packet.Addr{Lo: uint64(mark)}, kind: mark6}
	}
	return tableKey{addr: packet.Addr{Lo: uint64(mark)}, kind: mark4}
}

// hash folds two 128-bit products (wyhash's mixing step). Virtual addresses are an
// administrator's choice and the array is at most half full, so it need not be keyed: a
// stranger chooses only which empty or full slot he asks for.
func (k tableKey) hash() uint64 {
	h, l := bits.Mul64(k.addr.Hi^0xa0761d6478bd642f, k.addr.Lo^0xe7037ed1a0b428db)
	h, l = bits.Mul64(h^l^k.kind, 0x9e3779b97f4a7c15)
	return h ^ l
}

// NewTable returns the table of services. Two services of one key, and a service with
// neither a mark nor an address, are errors; all of them are reported.
func NewTable(services []*VirtualService) (*Table, error) {
	size := 1 << bits.Len(uint(2*len(services))) // more than twice as many, so never full
	t := &Table{
		slots:    make([]slot, size),
		shift:    uint8(64 - bits.Len(uint(size-1))),
		services: slices.Clone(services),
	}
	var errs []error
	for i, s := range services {
		if err := t.add(s); err != nil {
			errs = append(errs, fmt.Errorf("service %d: %w", i+1, err))
		}
	}
	if len(errs) != 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

func (t *Table) add(s *VirtualService) error {
	if s == nil {
		return errors.New("nil virtual service")
	}
	var key tableKey
	switch k := s.Key; {
	case k.Mark != 0:
		key = markKey(k.Mark, k.IPv6)
		t.hasMark = true
	case !k.Addr.IsValid():
		return errors.New("neither a firewall mark nor an address")
	default:
		key = addressKey(packet.AddrFrom(k.Addr), k.Protocol, k.Port)
		t.hasFTP = t.hasFTP || followsFTP(s)
		t.hasAllPorts = t.hasAllPorts || k.Port == 0
	}
	i := key.hash() >> t.shift
	for ; t.slots[i].service != nil; i = (i + 1) & uint64(len(t.slots)-1) {
		if t.slots[i].key == key {
			return fmt.Errorf("%v is there twice; remove one of them or merge their servers", s.Key)
		}
	}
	t.slots[i] = slot{key, s}
	return nil
}

// followsFTP reports whether s takes the data connections of FTP clients as well. In IPVS
// any service of TCP port 21 is found for them, and one without persistence then refuses to
// schedule them (ip_vs_schedule), since it could not tell the control connection's server;
// here it is not found in the first place, which leaves them to a service of all ports.
func followsFTP(s *VirtualService) bool {
	return s.Persistent && s.Key.Protocol == packet.TCP && s.Key.Port == ftpPort
}

// Lookup returns the service that a packet of firewall mark mark (0 is none) and tuple tp
// belongs to, nil if there is none. The order is IPVS's (ip_vs_service_find): the mark's
// service of the packet's family; the exact protocol, address and port; for FTP data
// connections the address's persistent service of TCP port 21; the address's service of all
// ports.
func (t *Table) Lookup(mark uint32, tp *packet.Tuple) *VirtualService {
	if mark != 0 && t.hasMark {
		if s := t.find(markKey(mark, !tp.Dst.Is4())); s != nil {
			return s
		}
	}
	if s := t.find(addressKey(tp.Dst, tp.Protocol, tp.DstPort)); s != nil {
		return s
	}
	if t.hasFTP && tp.Protocol == packet.TCP && (tp.DstPort == ftpDataPort || tp.DstPort >= firstUnprivileged) {
		if s := t.find(addressKey(tp.Dst, packet.TCP, ftpPort)); s != nil && s.Persistent {
			return s
		}
	}
	if t.hasAllPorts {
		return t.find(addressKey(tp.Dst, tp.Protocol, 0))
	}
	return nil
}

func (t *Table) find(key tableKey) *VirtualService {
	if len(t.slots) == 0 {
		return nil
	}
	mask := uint64(len(t.slots) - 1)
	for i := key.hash() >> t.shift; ; i++ {
		s := &t.slots[i&mask]
		if s.service == nil || s.key == key {
			return s.service
		}
	}
}

// All returns the services in the order in which NewTable was given them. The slice is the
// table's own: read only.
func (t *Table) All() []*VirtualService { return t.services }
