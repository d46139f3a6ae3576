package service

// NextHop is how frames reach a real server on the link: out of which
// interface, from which MAC address to which. Package neigh fills it.
type NextHop struct {
	// Interface is the index of the interface that the frame leaves by.
	Interface int
	// Dst and Src are the frame's new MAC addresses.
	Dst, Src [6]byte
}
