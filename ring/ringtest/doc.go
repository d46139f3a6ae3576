// Package ringtest stands in for the kernel behind package ring, so that all
// that is built on rings can be tested without root and without interfaces.
//
// A Kernel has NICs with queues. Deliver puts a frame on a queue as the wire
// would, Sent gives what went out, and the other methods make trouble: links
// that go down, kernels that take fewer descriptors than offered, completions
// that come late, drivers that must be woken up.
//
//	kernel := ringtest.New()
//	nic := kernel.AddNIC(1, 1)
//	umem, err := kernel.NewUMEM(ring.UMEMConfig{Frames: 256, FrameSize: 2048})
//	socket, err := ring.Open(umem, ring.SocketConfig{Interface: 1, RX: 64, TX: 64, Fill: 64})
//	err = nic.Deliver(0, frame)
//	n := socket.Receive(batch)
//
// The Kernel keeps its own account of the frames that it was lent, apart from
// ring's, and Violations lists what a kernel would have been harmed by: a frame
// lent twice, an address outside of the UMEM.
//
// A Kernel and its NICs may be used from any goroutine. Faults apply from the
// next call on.
package ringtest
