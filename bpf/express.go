package bpf

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
)

// MaxStates is how many states a connection of one protocol may have in the tables.
const MaxStates = 16

// serverNumber is the part of a Server's ID that is its number; the rest is the
// generation of the number.
const serverNumber = 1<<20 - 1

// Ways are how an XDP program can send by an interface.
type Ways uint32

// The ways. Without any, the lane is closed to the server.
const (
	// Back: what came by the interface, by XDP_TX.
	Back = Ways(steerWaysWAY_BACK)
	// Redirected: whatever is redirected to it (ndo_xdp_xmit), where it came by
	// included, if that has no other way.
	Redirected = Ways(steerWaysWAY_REDIRECT)
)

// Server is what the express lane must know of a real server.
type Server struct {
	ID        uint32   // as entries of the tables name it
	Interface int      // index of the interface to send by
	Ways      Ways     // how that interface can be sent by
	MACs      [12]byte // destination and source, as they lie in a frame
	// Timeouts are how long a connection lives on after a packet, by the number of its state
	// (TCP's; UDP's one is 0), in ticks of the tables (an eighth of a second).
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

// express is the express lane as it was opened last.
type express struct {
	tables  *TableMemory // nil: closed
	servers map[uint32]Server
}

// OpenExpress opens the express lane: packets of the connections in these tables
// that ask for no decision are sent by the program itself, to the servers of
// SetServers. The tables are formatted; their layout is package affinity's. Opening
// it again is no error. Servers that a former run has set for other tables are forgotten.
func (s *Steering) OpenExpress(tables *TableMemory) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.express.tables == tables {
		return nil
	}
	if err := s.changeTables(tables); err != nil {
		return fmt.Errorf("open the express lane: %w", err)
	}
	s.express.tables = tables
	return nil
}

// changeTables puts tables in force, unless a former run has left the same ones.
// Other tables' entries name other servers: those go first. It needs mu.
func (s *Steering) changeTables(tables *TableMemory) error {
	mine, err := tables.id()
	if err != nil {
		return err
	}
	var now ebpf.MapID
	err = s.objects.ExpressTables.Lookup(uint32(0), (*uint32)(&now))
	if err == nil && now == mine {
		return nil
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	if err := s.forgetServers(); err != nil {
		return err
	}
	return tables.into(s.objects.ExpressTables, s.objects.ExpressHeader)
}

// forgetServers closes the lane to all servers. It needs mu.
func (s *Steering) forgetServers() error {
	s.express.servers = nil
	if err := s.objects.ExpressServers.Delete(uint32(0)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

// CloseExpress closes the express lane: every claimed frame goes to a socket.
// Closing it twice is no error.
func (s *Steering) CloseExpress() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.express.tables = nil
	err := s.forgetServers()
	if tables := s.objects.ExpressTables.Delete(uint32(0)); !errors.Is(tables, ebpf.ErrKeyNotExist) {
		err = errors.Join(err, tables)
	}
	if err != nil {
		return fmt.Errorf("close the express lane: %w", err)
	}
	return nil
}

// SetServers says which servers the express lane may send to: those that entries of
// its tables name, so call it after OpenExpress. A packet sees all of the old ones or all
// of the new ones.
func (s *Steering) SetServers(servers []Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[uint32]Server, len(servers))
	highest := uint32(0)
	for _, server := range servers {
		number := server.ID & serverNumber
		next[number], highest = server, max(highest, number)
	}
	if s.express.servers != nil && maps.Equal(next, s.express.servers) {
		return nil
	}
	if err := putInner(s.objects.ExpressServers, 0, s.inner.servers, int(highest)+1, func(m *ebpf.Map) error {
		for number, server := range next {
			record := server.record()
			if err := m.Put(number, &record); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("servers of the express lane: %w", err)
	}
	s.express.servers = next
	return nil
}

// record is the server as the program reads it.
func (s *Server) record() steerServer {
	return steerServer{Id: s.ID, Interface: uint32(s.Interface), Ways: uint32(s.Ways), Macs: s.MACs, Template: s.Template, Timeouts: s.Timeouts}
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
	for c := range slices.Values(cpus) {
		sum.Packets += c.Packets
		sum.Bytes += c.Bytes
	}
	return sum, nil
}
