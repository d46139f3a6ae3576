// Package ring moves frames between user space and network interfaces over
// AF_XDP sockets. It knows frames, not packets.
//
// A UMEM is memory cut into frames of one size. A Socket is bound to one queue
// of one interface and shares four rings with the kernel; the sockets of one
// UMEM pass frames to each other without a copy:
//
//	            free frames                     the caller
//	           |          ^                    ^          |
//	    refill |          | reap       Receive |          | Transmit
//	           v          |                    |          v
//	       fill ring   completion ring      RX ring    TX ring
//	           |          ^                    ^          |
//	- - - - - -|- - - - - | - - - - - - - - - -|- - - - - |- - - - - -
//	           v          |     the kernel     |          v
//	           +--------- | -----> RX ---------+          |
//	                      +------- TX <-------------------+
//
// The loop of a worker is Receive, then Transmit or Free for every frame, on
// whichever socket, then Flush once on every socket. Flush makes the system
// calls (one for a batch as a rule), so the other calls are cheap.
//
// # Ownership of frames
//
// At any time a frame is free, or the caller's, or a socket's. Receive and
// Alloc give frames to the caller; Transmit and Free take them back. Package
// ring writes each frame's owner down and checks it at every hand-over: a frame
// that is freed twice, sent twice or was never the caller's is refused and
// counted (Stats.Refused), and what the kernel hands us is checked in the same
// way (Stats.Foreign). Bytes gives memory only for the caller's own frames.
//
// # Who may call, and what it costs
//
// A UMEM, its sockets and its Waiter belong to one goroutine. Only
// Socket.Stats, UMEM.Refused and Waiter.Wake may be called from others.
// Receive, Transmit, Free, Bytes and Flush neither allocate nor block (Flush
// allocates when it has an error to tell for the first time). NewUMEM, Open and
// Close take milliseconds; in the kernel they wait for the RTNL lock.
package ring
