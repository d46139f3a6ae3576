package dataplane

import (
	"time"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// Direct routing shows the director the client's side of a connection only, so
// states move by the INPUT-ONLY tables of ip_vs_proto_tcp.c and ip_vs_proto_sctp.c.

// The events: what a packet means to the state of its connection.
const (
	eventNone affinity.Event = iota // nothing: UDP

	tcpSyn
	tcpFin
	tcpAck
	tcpRst
	tcpBare // a segment with none of these flags

	sctpData // and SACK, HEARTBEAT, and what has no event of its own
	sctpInit
	sctpInitAck
	sctpCookieEcho
	sctpCookieAck
	sctpShutdown
	sctpShutdownAck
	sctpShutdownComplete
	sctpError
	sctpAbort

	events
)

// tcpEvents is the event of each combination of TCP flags: RST, SYN, FIN and ACK count
// in this order (tcp_state_idx).
var tcpEvents = func() (t [256]affinity.Event) {
	for flags := range t {
		switch f := uint8(flags); {
		case f&packet.RST != 0:
			t[flags] = tcpRst
		case f&packet.SYN != 0:
			t[flags] = tcpSyn
		case f&packet.FIN != 0:
			t[flags] = tcpFin
		case f&packet.ACK != 0:
			t[flags] = tcpAck
		default:
			t[flags] = tcpBare
		}
	}
	return t
}()

// sctpEvents is the event of each SCTP chunk.
var sctpEvents = func() (t [256]affinity.Event) {
	for chunk := range t {
		t[chunk] = sctpData
	}
	for chunk, event := range map[uint8]affinity.Event{
		packet.ChunkInit:             sctpInit,
		packet.ChunkInitAck:          sctpInitAck,
		packet.ChunkCookieEcho:       sctpCookieEcho,
		packet.ChunkCookieAck:        sctpCookieAck,
		packet.ChunkShutdown:         sctpShutdown,
		packet.ChunkShutdownAck:      sctpShutdownAck,
		packet.ChunkShutdownComplete: sctpShutdownComplete,
		packet.ChunkError:            sctpError,
		packet.ChunkAbort:            sctpAbort,
	} {
		t[chunk] = event
	}
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

// begins tells whether an event is the first of a connection: a SYN, an INIT
// (is_new_conn).
func begins(e affinity.Event) bool { return e == tcpSyn || e == sctpInit }

// ended tells whether a connection in this state is over, so that a packet that
// begins one begins another (is_new_conn_expected, conn_reuse_mode 1).
func ended(s affinity.State) bool {
	switch s {
	case affinity.StateTCPTimeWait, affinity.StateTCPClose, affinity.StateSCTPClosed:
		return true
	}
	return false
}

// inputOnly is the state after an event. What it does not name, stays (StateNone).
var inputOnly = func() (m affinity.Moves) {
	setTCP(&m)
	setSCTP(&m)
	return m
}()

// setTCP sets the moves of set_tcp_state. One differs: an ACK opens a closed connection
// again. A reset that the server did not believe, because it was forged, leads into
// CLOSE, too, and there the client's next segment tells that it lives. The tables
// refuse this to a client that had never answered (affinity.Conns.Update).
func setTCP(m *affinity.Moves) {
	row := func(s, syn, fin, ack, rst affinity.State) {
		m[s][tcpSyn], m[s][tcpFin], m[s][tcpAck], m[s][tcpRst] = syn, fin, ack, rst
		m[s][tcpBare] = affinity.StateTCPClose // set_tcp_state has no row for it
	}
	const (
		none   = affinity.StateTCPNone
		est    = affinity.StateTCPEstablished
		sent   = affinity.StateTCPSynSent
		recv   = affinity.StateTCPSynRecv
		fin    = affinity.StateTCPFinWait
		time   = affinity.StateTCPTimeWait
		closed = affinity.StateTCPClose
		wait   = affinity.StateTCPCloseWait
		last   = affinity.StateTCPLastAck
		listen = affinity.StateTCPListen
		synAck = affinity.StateTCPSynAck
	)
	//  state   SYN   FIN     ACK     RST
	row(none, recv, closed, est, closed)
	row(est, est, fin, est, closed)
	row(sent, est, sent, sent, closed)
	row(recv, recv, time, est, recv)
	row(fin, recv, fin, fin, closed)
	row(time, recv, time, time, closed)
	row(closed, recv, closed, est, closed)
	row(wait, recv, wait, wait, closed)
	row(last, recv, last, closed, last)
	row(listen, recv, listen, listen, listen)
	row(synAck, recv, time, est, closed)
}

// setSCTP sets the moves of set_sctp_state. A state names the events that lead out of
// it. Of the states, direct routing comes to INIT1, INIT, COOKIE_ECHOED, ESTABLISHED,
// SHUTDOWN_RECEIVED and CLOSED only.
func setSCTP(m *affinity.Moves) {
	const (
		init1    = affinity.StateSCTPInit1
		init     = affinity.StateSCTPInit
		echoed   = affinity.StateSCTPCookieEchoed
		est      = affinity.StateSCTPEstablished
		received = affinity.StateSCTPShutdownReceived
		rejected = affinity.StateSCTPRejected
		closed   = affinity.StateSCTPClosed
	)
	type moves map[affinity.Event]affinity.State
	for state, out := range map[affinity.State]moves{
		affinity.StateSCTPNone: {
			sctpData: est, sctpInit: init1, sctpInitAck: echoed,
			sctpCookieEcho: est, sctpCookieAck: est,
			sctpShutdown: received, sctpShutdownAck: closed, sctpShutdownComplete: closed,
			sctpError: closed, sctpAbort: closed,
		},
		init1: {
			sctpInit: init, sctpInitAck: echoed, sctpCookieEcho: est,
			sctpShutdownAck: init, sctpShutdownComplete: closed, sctpAbort: closed,
		},
		init: {
			sctpInitAck: echoed, sctpCookieEcho: est,
			sctpShutdownComplete: closed, sctpAbort: closed,
		},
		affinity.StateSCTPCookieSent: {
			sctpInit: init, sctpInitAck: echoed, sctpCookieEcho: est, sctpCookieAck: est,
			sctpShutdownComplete: closed, sctpAbort: closed,
		},
		affinity.StateSCTPCookieReplied: {
			sctpInit: init, sctpInitAck: echoed, sctpCookieEcho: est, sctpCookieAck: est,
			sctpShutdownComplete: closed, sctpAbort: closed,
		},
		affinity.StateSCTPCookieWait: {
			sctpData: est, sctpInit: init, sctpInitAck: echoed, sctpCookieEcho: est,
			sctpAbort: rejected,
		},
		affinity.StateSCTPCookie: {sctpCookieAck: est, sctpAbort: closed},
		echoed:                   {sctpCookieAck: est, sctpAbort: closed},
		est: {
			sctpShutdown: received, sctpShutdownAck: closed, sctpAbort: closed,
		},
		affinity.StateSCTPShutdownSent: {sctpShutdownAck: closed, sctpAbort: closed},
		received:                       {sctpShutdownComplete: closed, sctpAbort: closed},
		affinity.StateSCTPShutdownAckSent: {
			sctpShutdownAck: closed, sctpShutdownComplete: closed, sctpAbort: closed,
		},
		rejected: {sctpInit: init, sctpAbort: closed},
		closed:   {sctpInit: init},
	} {
		for e, to := range out {
			m[state][e] = to
		}
	}
}

// opens tells whether the packet may open a connection, and the state that the
// connection then has (tcp_conn_schedule, sctp_conn_schedule). A sloppy service takes
// any segment but a reset, and any chunk but an ABORT.
func opens(p *packet.Parsed, sloppy bool) (affinity.State, bool) {
	e := eventOf(p)
	switch p.Tuple.Protocol {
	case packet.TCP:
		return inputOnly[affinity.StateTCPNone][e], e == tcpSyn || sloppy && e != tcpRst
	case packet.SCTP:
		return inputOnly[affinity.StateSCTPNone][e], e == sctpInit || sloppy && e != sctpAbort
	}
	return affinity.StateUDP, true
}

// unanswered is how long a first INIT may wait for another packet, and an INIT that was
// refused for the next, at most (sctp_timeouts): clients send another after three seconds.
const unanswered = 4 * time.Second

// TimeoutsOf are the timeouts of a service's entries, for [affinity.Tables.SetTimeouts].
func TimeoutsOf(vs *service.VirtualService) *affinity.Timeouts {
	all := timeoutsOf(&vs.Timeouts, vs.Persistence.Timeout)
	return &all
}

// timeoutsOf are a service's timeouts by state. States that direct routing never comes
// to have those of their neighbours.
func timeoutsOf(t *service.Timeouts, template time.Duration) (all affinity.Timeouts) {
	short := min(t.SCTPInit, unanswered)
	for state, d := range map[affinity.State]time.Duration{
		affinity.StateNone: template,

		affinity.StateTCPNone:        t.SynRecv,
		affinity.StateTCPSynSent:     t.SynRecv,
		affinity.StateTCPSynRecv:     t.SynRecv,
		affinity.StateTCPSynAck:      t.SynRecv,
		affinity.StateTCPListen:      t.SynRecv,
		affinity.StateTCPEstablished: t.Established,
		affinity.StateTCPFinWait:     t.FinWait,
		affinity.StateTCPTimeWait:    t.FinWait, // the same in tcp_timeouts
		affinity.StateTCPCloseWait:   t.FinWait,
		affinity.StateTCPLastAck:     t.FinWait,
		affinity.StateTCPClose:       t.Close,

		affinity.StateUDP: t.UDP,

		affinity.StateSCTPNone:             short,
		affinity.StateSCTPInit1:            short,
		affinity.StateSCTPInit:             t.SCTPInit,
		affinity.StateSCTPCookieSent:       t.SCTPInit,
		affinity.StateSCTPCookieReplied:    t.SCTPInit,
		affinity.StateSCTPCookieWait:       t.SCTPInit,
		affinity.StateSCTPCookie:           t.SCTPInit,
		affinity.StateSCTPCookieEchoed:     t.SCTPInit,
		affinity.StateSCTPEstablished:      t.SCTPEstablished,
		affinity.StateSCTPShutdownSent:     t.SCTPShutdown,
		affinity.StateSCTPShutdownReceived: t.SCTPShutdown,
		affinity.StateSCTPShutdownAckSent:  t.SCTPShutdown,
		affinity.StateSCTPRejected:         short,
		affinity.StateSCTPClosed:           t.SCTPClosed,

		affinity.StateFragment: t.Fragment,
	} {
		all[state] = lasting(d)
	}
	return all
}
