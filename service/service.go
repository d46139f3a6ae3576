package service

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/xlvs/xlvs/packet"
)

// Key names a virtual service, as in IPVS: by firewall mark (and family), or
// by protocol, address and port. Comparable.
type Key struct {
	// Mark is the firewall mark, 0 for a service by address.
	Mark uint32
	// IPv6 tells the family of a service by mark: one mark may have one service
	// a family. It is false for services by address.
	IPv6 bool
	// Addr, Port and Protocol are of a service by address; Port 0 is all ports.
	Addr     netip.Addr
	Port     uint16
	Protocol packet.Protocol
}

// ForwardingMethod is how a packet reaches a real server.
type ForwardingMethod uint8

// The forwarding methods.
const (
	Direct ForwardingMethod = iota // direct routing, ipvsadm -g: a new destination MAC, the packet untouched
)

// ID names a real server of one service in the connection and template
// tables: its number in the low 20 bits, the number's generation in the high
// 12. A number is given out again, with the next generation, only when no
// entry of the tables names it any more, so an ID that the tables hold never
// means another server. The zero ID is no server.
type ID uint32

// NumberBits is how many bits of an ID are the server's number.
const NumberBits = 20

// MaxNumber is the highest number of a real server.
const MaxNumber = 1<<NumberBits - 1

// MakeID returns the ID of a server's number (1 to MaxNumber) and generation (12 bits).
func MakeID(number uint32, generation uint16) ID {
	return ID(number&MaxNumber | uint32(generation)<<NumberBits)
}

// Number is the index of the server in arrays by number.
func (id ID) Number() uint32 { return uint32(id) & MaxNumber }

// Generation tells two servers that had the same number apart.
func (id ID) Generation() uint16 { return uint16(id >> NumberBits) }

// Counts is what the tables hold of one real server, kept by package affinity,
// read by schedulers and listings. One cache line, so that two servers do not
// share one.
type Counts struct {
	Active     atomic.Int64 // connections in an active state (IPVS ActiveConn)
	Inactive   atomic.Int64 // connections in another state (IPVS InActConn)
	Persistent atomic.Int64 // persistence templates
	// Overloaded is set when the upper threshold is reached and cleared at the
	// lower one (ip_vs_dest_update_overload); no scheduler picks the server then.
	Overloaded atomic.Bool
	// Unreachable is set while the server's next hop does not answer.
	Unreachable atomic.Bool
	_           [32]byte
}

// Refusal is what is told to who sent a packet that is refused.
type Refusal uint8

// The refusals.
const (
	RefuseAnswer Refusal = iota // a reset, an abort or an ICMP error
	RefuseDrop                  // nothing
)

// String is the refusal as in a configuration.
func (r Refusal) String() string {
	if r == RefuseDrop {
		return "drop"
	}
	return "answer"
}

// RealServer is a real server of one virtual service. It is immutable once
// published; what moves is in Counts.
type RealServer struct {
	ID   ID
	Addr netip.Addr
	// Port is the service's own port under direct routing.
	Port   uint16
	Method ForwardingMethod
	// Weight is the server's share (0 to 2^31-1). 0 is quiesced: no new clients,
	// those with a connection or a template stay.
	Weight int32
	// UpperThreshold and LowerThreshold bound connections (active and inactive); 0 is none.
	UpperThreshold, LowerThreshold uint32
	// LastWeight is the last weight that was not 0; mh keeps a quiesced
	// server's slots by it (ip_vs_dest last_weight).
	LastWeight int32
	// Counts is shared by all versions of this server; never nil.
	Counts *Counts
}

// Available reports whether a scheduler may pick the server for a new client.
func (r *RealServer) Available() bool {
	return r.Weight > 0 && !r.Counts.Overloaded.Load() && !r.Counts.Unreachable.Load()
}

// Request is what a scheduler may look at: the packet that opens a connection.
type Request struct {
	Tuple packet.Tuple
	// Now is the time in seconds on a clock that never goes back.
	Now uint32
}

// Scheduler chooses a real server for a new client. Workers call Schedule from
// many threads at once; it neither blocks nor allocates. It returns nil if no
// server is to be had.
type Scheduler interface {
	Schedule(r *Request) *RealServer
}

// Persistence is a service's persistence.
type Persistence struct {
	// Timeout is how long a template lives without being refreshed, from 1 s to 31 days.
	Timeout time.Duration
	// Mask and Mask6 are and-ed to a client's address; bits of the mapped prefix
	// are set in Mask, so that a masked IPv4 address stays one.
	Mask, Mask6 packet.Addr
	// Refresh says what restarts a template's timer.
	Refresh Refresh
}

// Refresh says what restarts a template's timer.
type Refresh uint8

// What refreshes a template.
const (
	RefreshConnection Refresh = iota // each new connection, as IPVS does
	RefreshPacket                    // each packet of the client's connections
	RefreshNone                      // nothing: it ends Timeout after the first connection
)

// Timeouts are a service's connection timeouts; none is zero once built.
type Timeouts struct {
	// TCP states as direct routing sees them (ip_vs_proto_tcp.c): the client's side only.
	SynRecv, Established, FinWait, Close time.Duration
	UDP                                  time.Duration
	// SCTP (ip_vs_proto_sctp.c): SCTPInit is for INIT and the COOKIE states, SCTPShutdown for
	// the three of a shutdown. INIT1 and REJECTED have SCTPInit, but four seconds at most.
	SCTPInit, SCTPEstablished, SCTPShutdown, SCTPClosed time.Duration
	// Fragment is how long the fragments of a packet may lag behind the first.
	Fragment time.Duration
}

// VirtualService is a virtual service with all that a packet needs of it.
// Immutable once published.
type VirtualService struct {
	Key Key
	// Scheduler chooses among Servers; SchedulerName is its IPVS name.
	Scheduler     Scheduler
	SchedulerName string
	Flags         []string // the scheduler's flags by their IPVS names, sh-port for one
	Method        ForwardingMethod
	Servers       []*RealServer
	// Persistent tells whether Persistence is used.
	Persistent  bool
	Persistence Persistence
	Timeouts    Timeouts
	// OnePacket schedules each UDP packet anew and keeps no entry (ipvsadm --ops).
	OnePacket bool
	// ExpireQuiescent: templates of a server of weight 0 are void (net.ipv4.vs.expire_quiescent_template).
	ExpireQuiescent bool
	// ExpireNoDest: a connection whose server was removed is forgotten at its
	// next packet and scheduled anew, instead of its packets being dropped
	// (net.ipv4.vs.expire_nodest_conn).
	ExpireNoDest bool
	// Sloppy schedules on any TCP packet, not only SYN (net.ipv4.vs.sloppy_tcp).
	Sloppy bool
	// PersistentThresholds makes an overloaded server's templates void. IPVS
	// ignores thresholds for persistent clients (ip_vs_check_template); so does
	// xlvs unless this is set.
	PersistentThresholds bool
	// Refuse is what a client is told that gets no server, and one whose connection is not known.
	Refuse Refusal
	// KeepUnreachable: a server whose next hop does not answer is chosen all the same, as IPVS does.
	KeepUnreachable bool
	// AnswerTooBig: an IPv4 packet without DF that is longer than the way out takes is answered
	// as one with DF is, instead of fragmented.
	AnswerTooBig bool
}
