package result

// Flood is what `xlvs bench flood` finds: real clients beside spoofed frames.
type Flood struct {
	Runs []FloodRun `json:"runs"`
}

// FloodRun is one flood, with a director and clients of its own.
type FloodRun struct {
	Kind string `json:"kind"`
	Link string `json:"link"` // own: an interface of the attacker's own; shared: the clients' queue
	Rate int    `json:"rate"` // frames a second that were wanted; 0: as many as a core sends

	Seconds       float64 `json:"seconds"`
	Sent          uint64  `json:"sent"` // frames
	SentPerSecond float64 `json:"sent_per_second"`

	// Open is how many connections stayed open for the run, Lost how many of them broke
	// or could not be opened. Moved is answers on one of them from another server.
	Open        int64   `json:"open"`
	Lost        int64   `json:"lost"`
	Moved       int64   `json:"moved"`
	Answers     int64   `json:"answers"`
	SlowAnswers int64   `json:"slow_answers"`         // after half a second or more
	LongestWait float64 `json:"longest_wait_seconds"` // for an answer
	// Elsewhere is how often a client address that came back met another server.
	Elsewhere int64 `json:"elsewhere"`

	Before NewConnections `json:"before"` // the flood
	During NewConnections `json:"during"`
	After  NewConnections `json:"after"`

	Frames   map[string]uint64 `json:"frames"`   // by reason, of the workers; those that are not 0
	Steering map[string]uint64 `json:"steering"` // by reason, of the XDP program
	Warnings []string          `json:"warnings,omitempty"`
}

// NewConnections is what became of connections that clients opened in one phase.
type NewConnections struct {
	Served  int64 `json:"served"`
	Refused int64 `json:"refused"` // not connected within 8 s, or not answered
	Slow    int64 `json:"slow"`    // served, but after half a second or more
}
