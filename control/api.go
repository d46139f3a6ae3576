package control

import (
	"net/netip"
	"time"
)

// The types below are what the control socket speaks, as JSON. Times are in
// seconds, sizes in bytes. Fields may be added; none changes its meaning.

// Listing is the answer to GET /v1/services.
type Listing struct {
	Version  string          `json:"version"`
	Capacity uint32          `json:"connection_capacity"` // of the IPv4 connection table
	Services []ServiceStatus `json:"services"`
}

// ServiceStatus is a virtual service as it stands.
type ServiceStatus struct {
	// Protocol is TCP, UDP, SCTP, or FWM for a service by firewall mark.
	Protocol string     `json:"protocol"`
	Mark     uint32     `json:"fwmark,omitempty"`
	IPv6     bool       `json:"ipv6,omitempty"`
	Address  netip.Addr `json:"address,omitzero"`
	Port     uint16     `json:"port,omitempty"`

	Scheduler string   `json:"scheduler"`
	Flags     []string `json:"flags,omitempty"`
	OnePacket bool     `json:"one_packet,omitempty"`
	// Persistence is the template timeout in seconds, 0 without persistence.
	Persistence float64    `json:"persistence,omitempty"`
	Mask        netip.Addr `json:"mask,omitzero"`   // IPv4; 255.255.255.255 is each client for itself
	Mask6       int        `json:"mask6,omitempty"` // IPv6 prefix length

	Stats   Traffic        `json:"stats"`
	Rate    Rate           `json:"rate"`
	Servers []ServerStatus `json:"servers"`
}

// ServerStatus is a real server as it stands.
type ServerStatus struct {
	Address    netip.Addr `json:"address"`
	Port       uint16     `json:"port"`
	Forward    string     `json:"forward"` // Route, as ipvsadm calls direct routing
	Weight     int32      `json:"weight"`
	Active     int64      `json:"active"`
	Inactive   int64      `json:"inactive"`
	Persistent int64      `json:"persistent"`
	Overloaded bool       `json:"overloaded,omitempty"`
	// Unreachable servers get no new clients; see the configuration's unreachable.
	Unreachable bool `json:"unreachable,omitempty"`
	// Reachable tells whether the next hop's MAC address is known; Neighbour is
	// the address and interface, or why it is not.
	Reachable bool   `json:"reachable"`
	Neighbour string `json:"neighbour"`
	// ByRouter: the next hop is a router, not the server itself.
	ByRouter bool    `json:"by_router,omitempty"`
	Stats    Traffic `json:"stats"`
	Rate     Rate    `json:"rate"`
}

// Traffic counts since the director started. Direct routing never sees what
// servers answer, so there are no outgoing counts.
type Traffic struct {
	Connections uint64 `json:"connections"`
	Packets     uint64 `json:"packets"`
	Bytes       uint64 `json:"bytes"` // of IP packets
}

// Rate is what Traffic grows by a second, smoothed as IPVS does (ip_vs_est.c).
type Rate struct {
	Connections float64 `json:"connections"`
	Packets     float64 `json:"packets"`
	Bytes       float64 `json:"bytes"`
}

// Connection is one line of GET /v1/connections.
type Connection struct {
	Protocol    string         `json:"protocol"`
	State       string         `json:"state"`
	Source      netip.AddrPort `json:"source"`
	Virtual     netip.AddrPort `json:"virtual"`
	Destination netip.AddrPort `json:"destination"`
	Expires     float64        `json:"expires"`
	Assured     bool           `json:"assured"`
	Templated   bool           `json:"templated"` // it holds a persistence template
}

// Template is one line of GET /v1/templates.
type Template struct {
	// Mark is the firewall mark, 0 for a template of a service by address, which
	// has a Protocol and a Virtual (port 0: all ports).
	Mark        uint32         `json:"fwmark,omitempty"`
	Protocol    string         `json:"protocol,omitempty"`
	Virtual     netip.AddrPort `json:"virtual,omitzero"`
	Client      netip.Addr     `json:"client"` // masked
	Destination netip.AddrPort `json:"destination"`
	// Expires is when the timer ends; a template with connections outlives it.
	Expires     float64 `json:"expires"`
	Connections uint32  `json:"connections"`
	Assured     bool    `json:"assured"`
}

// Status is the answer to GET /v1/status.
type Status struct {
	Version    string            `json:"version"`
	PID        int               `json:"pid"`
	Started    time.Time         `json:"started"`
	Generation uint64            `json:"generation"`
	Frames     map[string]uint64 `json:"frames"`   // by reason, what workers did with frames
	Steering   map[string]uint64 `json:"steering"` // by reason, what the XDP program did with them
	Tables     []TableStatus     `json:"tables"`
	Sockets    []SocketStatus    `json:"sockets"`
	Addresses  []AddressStatus   `json:"addresses"`
	// Notes count what happened to frames beside their reasons.
	Notes map[string]uint64 `json:"notes"`
	// Warnings are what is wrong with the host now.
	Warnings []string `json:"warnings"`
}

// TableStatus is how full a table is and what it had to do about it.
type TableStatus struct {
	Name      string `json:"name"`
	Live      uint64 `json:"live"`
	Capacity  uint64 `json:"capacity"`
	Inserted  uint64 `json:"inserted"`
	Expired   uint64 `json:"expired"`
	Displaced uint64 `json:"displaced"` // unassured entries that made room
	Refused   uint64 `json:"refused"`   // inserts that found no room
	PortFull  uint64 `json:"port_full"` // of these, those of a client port that had too many connections
}

// SocketStatus is one AF_XDP socket.
type SocketStatus struct {
	Interface string            `json:"interface"`
	Queue     uint32            `json:"queue"`
	Mode      string            `json:"mode"`            // what was obtained; "down" without a socket
	Attached  string            `json:"attached"`        // native or generic
	Error     string            `json:"error,omitempty"` // why it is down
	Counters  map[string]uint64 `json:"counters,omitempty"`
}

// AddressStatus is one virtual address and whether this host has it.
type AddressStatus struct {
	Address netip.Addr `json:"address"`
	Present bool       `json:"present"`
}
