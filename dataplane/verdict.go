package dataplane

// Verdict says what to do with a frame: forward it out of a port, or drop it
// for a reason. It has four fields and no more, so that the compiler keeps it in registers.
type Verdict struct {
	// Reason is Forwarded, or why the frame is dropped.
	Reason Reason
	// Port is the index of the interface to send by; valid if Reason is Forwarded, and for
	// an answer.
	Port uint8
	// Answer: the frame is not what came, but an answer to it, and goes back by Port. It
	// is counted as dropped for its reason, and as answered beside that.
	Answer bool
	// MTU, if not 0: the frame is to leave in fragments of at most so many bytes each. It
	// takes further frames, which Forward has not; see packet.Cut.
	MTU uint16
}

// leaves reports whether there is a frame to send.
func (v *Verdict) leaves() bool { return v.Reason == Forwarded || v.Answer }

// Reason is why a frame left the way it did. Each has a counter of its name.
type Reason uint8

// The reasons.
const (
	// Forwarded: the frame goes to a real server.
	Forwarded Reason = iota
	// NotBalanced: not TCP, UDP or SCTP, nor an ICMP error about them.
	NotBalanced
	// NoService: no virtual service claims the packet.
	NoService
	// NoConnection: neither of a known connection nor able to open one (TCP
	// without SYN, SCTP without INIT).
	NoConnection
	// NoServer: the scheduler has no real server for a new client.
	NoServer
	// ServerGone: the connection's real server was removed from the service.
	ServerGone
	// TableFull: the connection table has no room that it may make.
	TableFull
	// NeighbourUnresolved: the real server's MAC address is not known (yet).
	NeighbourUnresolved
	// NoEgress: this worker has no working socket on the interface to send by.
	NoEgress
	// FragmentUnknown: a later fragment whose first one was not seen.
	FragmentUnknown
	// ErrorUnknown: an ICMP error about no known connection.
	ErrorUnknown
	// FTPDataSource: a new connection from port 20, which IPVS never schedules
	// (ip_vs_core.c, ip_vs_schedule: it belongs to an active FTP session).
	FTPDataSource
	// TransmitFull: the transmit ring had no room.
	TransmitFull
	// TTLExceeded: the packet has been through too many hops.
	TTLExceeded
	// TooBig: the packet is longer than the way out takes, and must not be cut.
	TooBig
	// NoHeadroom: there is no room before the frame for the VLAN tag of the way out.
	NoHeadroom
	// NoFrames: there are no free frames for the fragments of a packet.
	NoFrames
	// ClientPortFull: the client's port has as many connections as it may have.
	ClientPortFull
	// TransmitFailed: the socket refused the frame (it went down).
	TransmitFailed

	// MalformedBase is the first of the reasons of packets that their headers
	// contradict, one for each packet.Malformed but OK, in its order.
	MalformedBase
)

var reasonNames = [MalformedBase]string{
	"forwarded", "not_balanced", "no_service", "no_connection", "no_server", "server_gone",
	"table_full", "neighbour_unresolved", "no_egress", "fragment_unknown", "error_unknown",
	"ftp_data_source", "transmit_full", "ttl_exceeded", "too_big", "no_headroom", "no_frames",
	"client_port_full", "transmit_failed",
}
