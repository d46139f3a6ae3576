package service

// NextHop is how frames reach a real server on the link: out of which
// interface, from which MAC address to which. Package neigh fills it.
type NextHop struct {
	// Interface is the index of the interface that the frame leaves by.
	Interface int
	// Dst and Src are the frame's new MAC addresses.
	Dst, Src [6]byte
	// VLAN is the identifier of the tag that the frame leaves with (1 to 4094), 0 for none.
	VLAN uint16
	// MTU is the longest IP packet that the way out takes, in bytes; 0 if it is not known.
	MTU int
	// OnLink: the server itself has the address Dst. Otherwise a router has.
	OnLink bool
}
