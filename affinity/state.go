package affinity

// State is the state of a connection. Direct routing shows the client's side
// only, so these are the states that IPVS reaches with its INPUT_ONLY table
// (ip_vs_proto_tcp.c, ip_vs_proto_sctp.c).
type State uint8

// The states. They are part of the layout of the tables: a number never
// changes its meaning.
const (
	StateNone            State = iota // a template
	StateSynRecv                      // SYN seen
	StateEstablished                  // ACK seen
	StateFinWait                      // FIN seen
	StateClose                        // RST seen
	StateUDP                          // a UDP packet seen
	StateSCTPInit                     // INIT seen
	StateSCTPEstablished              // COOKIE ECHO or data seen
	StateSCTPShutdown                 // SHUTDOWN seen
	StateSCTPClosed                   // ABORT or SHUTDOWN COMPLETE seen
	StateFragment                     // where the fragments of one packet go; not a connection
	StateTimeWait                     // FIN seen straight after SYN
	maxState             = 15         // four bits
)

// stateNames are IPVS's names, as ipvsadm prints them.
var stateNames = [...]string{
	"NONE", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE", "UDP",
	"INIT", "ESTABLISHED", "SHUTDOWN_RECEIVED", "CLOSED", "FRAGMENT", "TIME_WAIT",
}

// String is the state's name in ipvsadm -Lnc.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "UNKNOWN"
}

// activeStates has a bit for each state that IPVS counts in a server's active
// connections: since Linux 4.8 the ones before the handshake's end too
// (tcp_state_active_table), so that a burst of new connections weighs on the
// least-connection schedulers at once; for SCTP established associations; UDP never.
const activeStates = 1<<StateSynRecv | 1<<StateEstablished | 1<<StateSCTPEstablished

// Active reports whether a connection in this state counts as active
// (ActiveConn of ipvsadm); every other connection counts as inactive.
func (s State) Active() bool { return activeStates>>s&1 != 0 }

// Flags are what is known of an entry beside its state. They are only ever added.
type Flags uint8

// The flags.
const (
	// Assured: the client has answered, it is not an invented address. An assured
	// entry is never displaced (IP_VS_CTPL_S_ASSURED for templates).
	Assured Flags = 1 << iota
)
