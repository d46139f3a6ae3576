package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// MaxStates is how many states a connection of one protocol may have in the tables.
const MaxStates = 16

// serverNumber is the part of a Server's ID that is its number; the rest is the
// generation of the number.
const serverNumber = 1<<20 - 1

// Ways are how an XDP program can send by an interface.
type Ways uint8

// The ways. Without any, the lane is closed to the server.
const (
	// Back: what came by the interface, by XDP_TX.
	Back = Ways(steerWaysWAY_BACK)
	// Redirected: whatever is redirected to it (ndo_xdp_xmit), where it came by
	// included, if that has no other way.
	Redirected = Ways(steerWaysWAY_REDIRECT)
)

// MethodDirect is direct routing, the one forwarding method that the express lane has.
const MethodDirect = uint8(steerMethodMETHOD_DIRECT)

// Server is what the express lane must know of a real server.
type Server struct {
	ID        uint32   // as entries of the tables name it
	Interface int      // index of the interface to send by
	Ways      Ways     // how that interface can be sent by
	Method    uint8    // how packets are forwarded to it
	VLAN      uint16   // of the frames to it, 0 without a tag
	MTU       uint16   // bytes of the longest packet to it; 0: any
	Port      uint16   // for methods that change it
	Addr      [16]byte // for methods that need it
	MACs      [12]byte // destination and source, as they lie in a frame
	// Timeouts are how long a connection lives on after a packet, by the number of its
	// state within its protocol, in ticks of the tables (an eighth of a second).
	Timeouts [MaxStates]uint32
	// Template is the same for the template that a connection holds, in ticks; 0 for a
	// service whose packets do not refresh it.
	Template uint32
}

// Traffic is what the express lane sent to a real server.
type Traffic struct{ Packets, Bytes uint64 }

// Action is what the program does with a frame.
type Action uint32

// The actions (enum xdp_action).
const (
	Drop     Action = 1
	Pass     Action = 2 // to the kernel
	Transmit Action = 3 // by the express lane
	Redirect Action = 4 // to a socket, or by the express lane to an interface
)

// Run gives a frame to the program as if the loopback interface had received it,
// and returns what it does with the frame, and the frame as it is afterwards. Nothing
// is sent, but it counts, and its connection lives on. It is for tests, and for
// explaining.
func (s *Steering) Run(frame []byte) (Action, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame))}
	action, err := s.objects.XlvsSteer.Run(o)
	if err != nil {
		return 0, nil, fmt.Errorf("run the steering program: %w", err)
	}
	return Action(action), o.DataOut, nil
}

// record is a server as the program reads it (struct server). It is written in place, while
// the program reads it. The first word has a sequence number, odd while somebody
// writes, and in its upper half the ID, 0 for none.
type record [recordWords]uint64

const recordWords = 128 / 8

// first joins the first word of a record.
func first(sequence, id uint32) uint64 { return uint64(id)<<32 | uint64(sequence) }

// record is the server's, with sequence number 0.
func (s *Server) record() (r record, err error) {
	var b [recordWords * 8]byte
	_, err = binary.Encode(b[:], binary.NativeEndian, &steerServer{
		Id: s.ID, Interface: uint32(s.Interface), Ways: uint8(s.Ways), Method: s.Method,
		Vlan: s.VLAN, Mtu: s.MTU, Port: s.Port, Template: s.Template,
		Addr: [2]uint64{
			binary.NativeEndian.Uint64(s.Addr[:8]), binary.NativeEndian.Uint64(s.Addr[8:]),
		},
		Macs: s.MACs, Timeouts: s.Timeouts,
	})
	for i := range r {
		r[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	return r, err
}

// SetServers says which servers the express lane may send to; for all others, packets of
// known connections go to the sockets. A packet sees of each server what was said before or
// what is said now.
func (s *Steering) SetServers(servers []Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		return errors.New("servers of the express lane: closed already")
	}
	next := make(map[uint32]record, len(servers))
	for i := range servers {
		number := servers[i].ID & serverNumber
		if limit := s.objects.ExpressServers.MaxEntries(); number >= limit {
			return fmt.Errorf("server %d of the express lane: the highest number is %d",
				number, limit-1)
		}
		r, err := servers[i].record()
		if err != nil {
			return fmt.Errorf("server %d of the express lane: %w", number, err)
		}
		next[number] = r
	}
	for number := range s.recorded {
		if _, stays := next[number]; !stays {
			next[number] = record{}
		}
	}
	for number, r := range next {
		s.write(number, &r)
	}
	return nil
}

// mapRecords maps the records of the servers, and finds out which numbers have one: a
// former run may have left some.
func (s *Steering) mapRecords() error {
	m := s.objects.ExpressServers
	var err error
	s.mapped, err = unix.Mmap(m.FD(), 0, int(m.MaxEntries())*recordWords*8,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", steerMapExpressServers, err)
	}
	s.records, s.recorded = viewRecords(s.mapped), map[uint32]struct{}{}
	for number := range s.records {
		if s.records[number][0].Load() != 0 {
			s.recorded[uint32(number)] = struct{}{}
		}
	}
	return nil
}

// unmapRecords is the end of the records for this process. It needs mu.
func (s *Steering) unmapRecords() error {
	if s.mapped == nil {
		return nil
	}
	err := unix.Munmap(s.mapped)
	s.mapped, s.records = nil, nil
	return err
}

// write puts a record in place while the program reads it, unless it is there. It needs mu.
func (s *Steering) write(number uint32, r *record) {
	to := &s.records[number]
	sequence, id := uint32(to[0].Load()), uint32(r[0]>>32)
	same := to[0].Load() == first(sequence&^1, id) // it is odd if a director died in between
	for i := 1; same && i < recordWords; i++ {
		same = to[i].Load() == r[i]
	}
	if same {
		return
	}
	sequence |= 1
	to[0].Store(first(sequence, 0))
	for i := 1; i < recordWords; i++ {
		to[i].Store(r[i])
	}
	to[0].Store(first(sequence+1, id))
	s.recorded[number] = struct{}{}
	if id == 0 {
		delete(s.recorded, number)
	}
}

// Carried is what the express lane sent to the server of a number since the
// program's counters were made. The counts are of the number: they go on when it is
// given to another server.
func (s *Steering) Carried(number uint32) (sum Traffic, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number >= s.objects.ExpressTraffic.MaxEntries() {
		return sum, nil
	}
	var cpus []steerTraffic
	if err := s.objects.ExpressTraffic.Lookup(number, &cpus); err != nil {
		return sum, fmt.Errorf("traffic of server %d: %w", number, err)
	}
	for _, c := range cpus {
		sum.Packets += c.Packets
		sum.Bytes += c.Bytes
	}
	return sum, nil
}
