package affinity

import "github.com/xlvs/xlvs/packet"

// State is the state of a connection: its class, by protocol, and its number within
// that (class<<4 | number). An entry has the number alone; its protocol tells the
// class. The numbers are the kernel's (include/net/ip_vs.h), and part of the layout.
type State uint8

// NumStates is one more than the highest State.
const NumStates = 0x50

// Classes of states.
const (
	classTCP      = 0x10
	classUDP      = 0x20
	classSCTP     = 0x30
	classFragment = 0x40
)

// StateNone is a template's. In a Moves table it keeps the state as it is.
const StateNone State = 0

// States of TCP (IP_VS_TCP_S_...).
const (
	StateTCPNone State = classTCP + iota
	StateTCPEstablished
	StateTCPSynSent
	StateTCPSynRecv
	StateTCPFinWait
	StateTCPTimeWait
	StateTCPClose
	StateTCPCloseWait
	StateTCPLastAck
	StateTCPListen
	StateTCPSynAck
)

// StateUDP is the one state of UDP (IP_VS_UDP_S_NORMAL).
const StateUDP State = classUDP

// States of SCTP (IP_VS_SCTP_S_...).
const (
	StateSCTPNone State = classSCTP + iota
	StateSCTPInit1
	StateSCTPInit
	StateSCTPCookieSent
	StateSCTPCookieReplied
	StateSCTPCookieWait
	StateSCTPCookie
	StateSCTPCookieEchoed
	StateSCTPEstablished
	StateSCTPShutdownSent
	StateSCTPShutdownReceived
	StateSCTPShutdownAckSent
	StateSCTPRejected
	StateSCTPClosed
)

// StateFragment is where the fragments of one packet go; it is no connection.
const StateFragment State = classFragment

// stateInfo is what there is to know of a state.
type stateInfo struct {
	name string
	// active: IPVS counts such a connection in ActiveConn.
	active bool
	// opening: nobody knows yet whether the client exists. A packet that leaves its
	// connection in such a state does not assure it.
	opening bool
}

// stateTable has the names that ipvsadm -Lnc prints (tcp_state_name_table,
// sctp_state_name). Active are, since Linux 4.8, the states before the end of
// TCP's handshake, too (tcp_state_active_table), so that a burst of new
// connections weighs on the least-connection schedulers at once; for SCTP
// established associations; UDP never.
var stateTable = [NumStates]stateInfo{
	StateNone:           {name: "NONE"},
	StateTCPNone:        {name: "NONE"},
	StateTCPEstablished: {name: "ESTABLISHED", active: true},
	StateTCPSynSent:     {name: "SYN_SENT", active: true, opening: true},
	StateTCPSynRecv:     {name: "SYN_RECV", active: true, opening: true},
	StateTCPFinWait:     {name: "FIN_WAIT"},
	StateTCPTimeWait:    {name: "TIME_WAIT"},
	StateTCPClose:       {name: "CLOSE"},
	StateTCPCloseWait:   {name: "CLOSE_WAIT"},
	StateTCPLastAck:     {name: "LAST_ACK"},
	StateTCPListen:      {name: "LISTEN"},
	StateTCPSynAck:      {name: "SYNACK", active: true, opening: true},

	StateUDP: {name: "UDP"},

	StateSCTPNone:             {name: "NONE", opening: true},
	StateSCTPInit1:            {name: "INIT1", opening: true},
	StateSCTPInit:             {name: "INIT", opening: true},
	StateSCTPCookieSent:       {name: "C-SENT", opening: true},
	StateSCTPCookieReplied:    {name: "C-REPLIED", opening: true},
	StateSCTPCookieWait:       {name: "C-WAIT", opening: true},
	StateSCTPCookie:           {name: "COOKIE", opening: true},
	StateSCTPCookieEchoed:     {name: "C-ECHOED", opening: true},
	StateSCTPEstablished:      {name: "ESTABLISHED", active: true},
	StateSCTPShutdownSent:     {name: "S-SENT"},
	StateSCTPShutdownReceived: {name: "S-RECEIVED"},
	StateSCTPShutdownAckSent:  {name: "S-ACK-SENT"},
	StateSCTPRejected:         {name: "REJECTED"},
	StateSCTPClosed:           {name: "CLOSED"},

	StateFragment: {name: "FRAGMENT"},
}

// info returns what there is to know of a state, of those that do not exist nothing.
func (s State) info() *stateInfo {
	if s < NumStates {
		return &stateTable[s]
	}
	return &stateTable[NumStates-1]
}

// String is the state's name in ipvsadm -Lnc.
func (s State) String() string {
	if name := s.info().name; name != "" {
		return name
	}
	return "UNKNOWN"
}

// Active reports whether a connection in this state counts as active
// (ActiveConn of ipvsadm); every other connection counts as inactive.
func (s State) Active() bool { return s.info().active }

// opening reports whether a packet that leaves a connection in this state says nothing
// of whether the client exists.
func (s State) opening() bool { return s.info().opening }

// class of each protocol's states.
var class = [256]State{
	packet.TCP: classTCP, packet.UDP: classUDP, packet.SCTP: classSCTP,
	protocolFragment: classFragment,
}

// stateOf returns the state of a connection from two words of its slot.
func stateOf(id, lived uint64) State {
	return class[uint8(id>>identProtocol)] | State(lived>>lifeState&stateMask)
}

// Grade is how well an entry is known, from 0 to MaxGrade. See Conns.Update.
type Grade uint8

// The grades that mean something.
const (
	// Unassured: nothing but a first packet was seen; its sender may be invented.
	Unassured Grade = 0
	// Assured is the least grade of an entry whose client answered, or came back.
	Assured Grade = 1
	// Lasting is the least grade of a connection that never gives way.
	Lasting  Grade = 4
	MaxGrade Grade = 7
)

// Timeouts are how long an entry lives without another packet, by its state. Index
// StateNone has the time of templates.
type Timeouts [NumStates]Tick

// Event is what a packet means to a connection's state. What the numbers mean is the
// caller's choice.
type Event uint8

// MaxEvents is one more than the highest Event.
const MaxEvents = 32

// Moves is the state of a connection after an event. StateNone keeps it as it is.
type Moves [NumStates][MaxEvents]State
