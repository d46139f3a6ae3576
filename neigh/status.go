package neigh

// Reason is why an address has no next hop, or that it has one. Its text is
// short and stable, fit for a metric's label.
type Reason uint8

const (
	// Unknown is an address that is not wanted, or not looked at yet.
	Unknown Reason = iota
	// Resolved is an address with a next hop.
	Resolved
	// Resolving is a first solicitation without an answer so far.
	Resolving
	// NoAnswer is a neighbour that answers no solicitation. It is asked again.
	NoAnswer
	// NoRoute is an address to which no route leads, or one that refuses.
	NoRoute
	// LinkDown is a route by an interface that is down or has no carrier.
	LinkDown
	// ForeignInterface is a route by an interface that is not one of xlvs's.
	ForeignInterface
	// OwnAddress is an address of this host.
	OwnAddress
	// NoEthernet is a route by an interface without MAC addresses.
	NoEthernet
	// UnsupportedTag is a route by VLAN devices whose tags xlvs does not write.
	UnsupportedTag
)

var reasons = [...]string{
	Unknown:          "unknown",
	Resolved:         "resolved",
	Resolving:        "resolving",
	NoAnswer:         "no-answer",
	NoRoute:          "no-route",
	LinkDown:         "link-down",
	ForeignInterface: "foreign-interface",
	OwnAddress:       "own-address",
	NoEthernet:       "no-ethernet",
	UnsupportedTag:   "unsupported-tag",
}

func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "invalid"
}

// Status is what is known of an address. The zero Status is Unknown.
type Status struct {
	Reason Reason
	detail string
}

// OK reports whether the address is resolved.
func (s Status) OK() bool { return s.Reason == Resolved }

// Unreachable reports whether the address is known not to be reachable now. While nothing is
// known yet, it may well be.
func (s Status) Unreachable() bool {
	return s.Reason != Unknown && s.Reason != Resolved && s.Reason != Resolving
}

// String says it for an operator: "10.0.0.9 does not answer ARP on eth0".
func (s Status) String() string {
	if s.detail == "" {
		return s.Reason.String()
	}
	return s.detail
}
