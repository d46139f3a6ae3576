package dataplane

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
)

// Direct routing shows the director the client's side of a connection only, so
// the states are those of the INPUT_ONLY tables of ip_vs_proto_tcp.c and
// ip_vs_proto_sctp.c. TIME_WAIT, which they reach from SYN_RECV by a FIN, has the
// timeout of FIN_WAIT, as there.

// states is how many states a connection entry can hold (four bits).
const states = 16

// event is what a packet means to a connection's state.
type event uint8

const (
	eventNone event = iota // changes nothing
	eventSyn
	eventFin
	eventAck
	eventRst
	eventOdd // a TCP segment with none of these flags
	events
)

// tcpEvents is the event of each combination of TCP flags (tcp_state_idx: RST,
// SYN, FIN, ACK in this order).
var tcpEvents = func() (t [256]event) {
	for flags := range t {
		switch f := uint8(flags); {
		case f&packet.RST != 0:
			t[flags] = eventRst
		case f&packet.SYN != 0:
			t[flags] = eventSyn
		case f&packet.FIN != 0:
			t[flags] = eventFin
		case f&packet.ACK != 0:
			t[flags] = eventAck
		default:
			t[flags] = eventOdd
		}
	}
	return t
}()

// SCTP chunk types (RFC 9260, 3.2).
const (
	chunkInit             = 1
	chunkAbort            = 6
	chunkShutdown         = 7
	chunkShutdownAck      = 8
	chunkCookieEcho       = 10
	chunkShutdownComplete = 14
)

// sctpEvents is the event of each first chunk of an SCTP packet.
var sctpEvents = func() (t [256]event) {
	for chunk := range t {
		switch chunk {
		case chunkInit:
			t[chunk] = eventSyn
		case chunkAbort, chunkShutdownComplete:
			t[chunk] = eventRst
		case chunkShutdown, chunkShutdownAck:
			t[chunk] = eventFin
		default: // COOKIE ECHO, DATA, SACK, HEARTBEAT: the client has its handshake
			t[chunk] = eventAck
		}
	}
	return t
}()

// next is the state after an event. A row of zeros keeps every state.
var next = func() (t [states][events]affinity.State) {
	for state := range t {
		for e := range t[state] {
			t[state][e] = affinity.State(state)
		}
	}
	row := func(s affinity.State, syn, fin, ack, rst affinity.State) {
		t[s][eventSyn], t[s][eventFin], t[s][eventAck], t[s][eventRst] = syn, fin, ack, rst
	}
	row(affinity.StateSynRecv, affinity.StateSynRecv, affinity.StateTimeWait, affinity.StateEstablished, affinity.StateSynRecv)
	row(affinity.StateEstablished, affinity.StateEstablished, affinity.StateFinWait, affinity.StateEstablished, affinity.StateClose)
	row(affinity.StateFinWait, affinity.StateSynRecv, affinity.StateFinWait, affinity.StateFinWait, affinity.StateClose)
	row(affinity.StateTimeWait, affinity.StateSynRecv, affinity.StateTimeWait, affinity.StateTimeWait, affinity.StateClose)
	row(affinity.StateClose, affinity.StateSynRecv, affinity.StateClose, affinity.StateClose, affinity.StateClose)

	for _, s := range []affinity.State{affinity.StateSynRecv, affinity.StateEstablished, affinity.StateFinWait, affinity.StateTimeWait} {
		t[s][eventOdd] = affinity.StateClose // set_tcp_state has no row for it
	}

	row(affinity.StateSCTPInit, affinity.StateSCTPInit, affinity.StateSCTPShutdown, affinity.StateSCTPEstablished, affinity.StateSCTPClosed)
	row(affinity.StateSCTPEstablished, affinity.StateSCTPEstablished, affinity.StateSCTPShutdown, affinity.StateSCTPEstablished, affinity.StateSCTPClosed)
	row(affinity.StateSCTPShutdown, affinity.StateSCTPInit, affinity.StateSCTPShutdown, affinity.StateSCTPShutdown, affinity.StateSCTPClosed)
	row(affinity.StateSCTPClosed, affinity.StateSCTPInit, affinity.StateSCTPClosed, affinity.StateSCTPClosed, affinity.StateSCTPClosed)
	return t
}()

// eventOf is what the packet means to its connection.
func eventOf(p *packet.Parsed) event {
	switch p.Tuple.Protocol {
	case packet.TCP:
		return tcpEvents[p.Flags]
	case packet.SCTP:
		return sctpEvents[p.Flags]
	}
	return eventNone
}

// opens tells whether the packet may open a connection, and the state that the
// connection then has (tcp_conn_schedule, sctp_conn_schedule). A sloppy
// service takes any packet but a reset.
func opens(p *packet.Parsed, sloppy bool) (affinity.State, bool) {
	switch p.Tuple.Protocol {
	case packet.TCP:
		switch tcpEvents[p.Flags] {
		case eventSyn:
			return affinity.StateSynRecv, true
		case eventAck:
			return affinity.StateEstablished, sloppy
		case eventFin, eventOdd:
			return affinity.StateClose, sloppy
		}
		return 0, false
	case packet.SCTP:
		switch sctpEvents[p.Flags] {
		case eventSyn:
			return affinity.StateSCTPInit, true
		case eventAck:
			return affinity.StateSCTPEstablished, sloppy
		}
		return 0, false
	}
	return affinity.StateUDP, true
}
