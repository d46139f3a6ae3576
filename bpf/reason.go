package bpf

import "fmt"

// Reason says why the program sent a frame where it sent it. Every frame counts
// once, and once more as NoSocket if it was for a socket that is not there, or as Express if
// it never went to one.
type Reason uint8

// The reasons. The first three are frames for user space, but for those that count as
// Express. NoConnection is dropped. The others are the kernel's (XDP_PASS).
const (
	// ClaimedFlow: the flow has a connection, or a rule or service claims it.
	ClaimedFlow = Reason(steerReasonCLAIMED_FLOW)
	// ClaimedFragment: a later fragment, whose ports are not known, of a packet whose first
	// one was forwarded, or for an address of which something is claimed in its protocol.
	ClaimedFragment = Reason(steerReasonCLAIMED_FRAGMENT)
	// ClaimedError: an ICMP error about such a flow.
	ClaimedError = Reason(steerReasonCLAIMED_ERROR)
	// NoSocket: for a socket, but the receive queue had no socket. The Fallback applied.
	NoSocket = Reason(steerReasonNO_SOCKET)
	// Unclaimed: TCP, UDP or SCTP, or an error about it, that nobody claims.
	Unclaimed = Reason(steerReasonUNCLAIMED)
	// NotIP: ARP, LLDP, LACP and all that is neither IPv4 nor IPv6, also behind
	// more than two VLAN tags.
	NotIP = Reason(steerReasonNOT_IP)
	// NoPorts: an IP protocol that cannot be claimed: ping, neighbour discovery,
	// VRRP, ESP, OSPF and others; also IPv6 with a routing header that has
	// segments left.
	NoPorts = Reason(steerReasonNO_PORTS)
	// GroupAddress: to a broadcast or multicast MAC address.
	GroupAddress = Reason(steerReasonGROUP_ADDRESS)
	// Truncated: the frame ends before a header, or before the end of the packet.
	Truncated = Reason(steerReasonTRUNCATED)
	// BadHeader: a version, length, fragment offset or address that no sound packet has.
	BadHeader = Reason(steerReasonBAD_HEADER)
	// TooManyHeaders: more IPv6 extension headers than the program follows (8).
	TooManyHeaders = Reason(steerReasonTOO_MANY_HEADERS)

	// Express: of a known connection, and forwarded by the program itself.
	Express = Reason(steerReasonEXPRESS)
	// OtherHost: unicast, to a MAC address that is none of ours; see SetLocals.
	OtherHost = Reason(steerReasonOTHER_HOST)
	// NoConnection: a claimed TCP segment that has no connection and opens none,
	// dropped because the second had enough of them; see SetNoConnectionLimit.
	NoConnection = Reason(steerReasonNO_CONNECTION)

	// NumReasons is the number of reasons.
	NumReasons = int(steerReasonREASONS)
)

var reasonNames = [NumReasons]string{
	ClaimedFlow:     "claimed_flow",
	ClaimedFragment: "claimed_fragment",
	ClaimedError:    "claimed_error",
	NoSocket:        "no_socket",
	Unclaimed:       "unclaimed",
	NotIP:           "not_ip",
	NoPorts:         "no_ports",
	GroupAddress:    "group_address",
	Truncated:       "truncated",
	BadHeader:       "bad_header",
	TooManyHeaders:  "too_many_headers",
	Express:         "express",
	OtherHost:       "other_host",
	NoConnection:    "no_connection",
}

// String is the reason's name in metrics and listings.
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Counters are frames since the program's counters were made, by Reason, over
// all interfaces and CPUs.
type Counters [NumReasons]uint64

// Redirected is how many frames went to a socket.
func (c *Counters) Redirected() uint64 {
	return c[ClaimedFlow] + c[ClaimedFragment] + c[ClaimedError] - c[NoSocket] - c[Express]
}

// Fallback says what becomes of claimed frames when their queue has no socket.
type Fallback uint8

// The fallbacks.
const (
	// FallbackDrop drops them. A kernel that has the virtual address and no
	// listener would answer every client with a reset.
	FallbackDrop Fallback = iota
	// FallbackPass gives them to the kernel, for a box where kernel IPVS stands
	// by with the same services.
	FallbackPass
)

// String is the fallback's name in the configuration.
func (f Fallback) String() string {
	if f == FallbackPass {
		return "pass"
	}
	return "drop"
}
