package dataplane

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
)

// Direct routing shows the director the client's side of a connection only, so
// the states are those of the INPUT_ONLY tables of ip_vs_proto_tcp.c and
// ip_vs_proto_sctp.c. TIME_WAIT, which they reach from SYN_RECV by a FIN, has the
// timeout of FIN_WAIT, as there.

// What a packet means to a connection's state.
const (
	eventNone affinity.Event = iota // changes nothing
	eventSyn
	eventFin
	eventAck
	eventRst
	eventOdd // a TCP segment with none of these flags
)

// tcpEvents is the event of each combination of TCP flags (tcp_state_idx: RST,
// SYN, FIN, ACK in this order).
var tcpEvents = func() (t [256]affinity.Event) {
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
var sctpEvents = func() (t [256]affinity.Event) {
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

// moves is the state after an event. An acknowledgement brings a connection back from CLOSE:
// the reset may have been forged.
var moves = func() (t affinity.Moves) {
	row := func(s affinity.State, syn, fin, ack, rst affinity.State) {
		t[s][eventSyn], t[s][eventFin], t[s][eventAck], t[s][eventRst] = syn, fin, ack, rst
	}
	const (
		synRecv, established = affinity.StateTCPSynRecv, affinity.StateTCPEstablished
		finWait, timeWait    = affinity.StateTCPFinWait, affinity.StateTCPTimeWait
		closed               = affinity.StateTCPClose
	)
	row(synRecv, synRecv, timeWait, established, synRecv)
	row(established, established, finWait, established, closed)
	row(finWait, synRecv, finWait, finWait, closed)
	row(timeWait, synRecv, timeWait, timeWait, closed)
	row(closed, synRecv, closed, established, closed)
	for _, s := range []affinity.State{synRecv, established, finWait, timeWait} {
		t[s][eventOdd] = closed // set_tcp_state has no row for it
	}

	const (
		initial, associated = affinity.StateSCTPInit, affinity.StateSCTPEstablished
		shutdown, ended     = affinity.StateSCTPShutdownReceived, affinity.StateSCTPClosed
	)
	row(initial, initial, shutdown, associated, ended)
	row(associated, associated, shutdown, associated, ended)
	row(shutdown, initial, shutdown, shutdown, ended)
	row(ended, initial, ended, ended, ended)
	return t
}()

// eventOf is what the packet means to its connection.
func eventOf(p *packet.Parsed) affinity.Event {
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
			return affinity.StateTCPSynRecv, true
		case eventAck:
			return affinity.StateTCPEstablished, sloppy
		case eventFin, eventOdd:
			return affinity.StateTCPClose, sloppy
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
