// Package bpf is what xlvs has in the kernel: the XDP program that steers
// frames to AF_XDP sockets (steer.c), its attachment to interfaces, its pins on
// bpffs, and the memory of the workers' tables.
//
// # Steering
//
// The program redirects exactly what a mark rule with a service or a service
// by address claims, later fragments for a claimed address, and ICMP errors
// about claimed flows. Everything else stays the kernel's ([Reason] has the
// list): a frame that is taken to user space cannot be handed back. [Rule] and
// [Service] say what is claimed; [Steering.Update] compiles them and replaces
// the whole of it at once, without touching the attachment.
//
// # The express lane
//
// The program forwards packets of known connections itself, where that is open:
// [Steering.OpenExpress] gives it the workers' tables, [Steering.SetServers] what it must
// know of real servers. It does what a worker would have done, and leaves to the
// workers whatever asks for more (express.h).
//
// # Lives
//
// What is pinned under a directory of bpffs outlives the process: after a crash
// the program stays attached, the sockets are gone, and claimed frames meet
// the [Fallback], those that the express lane takes apart, while the box itself
// stays reachable. The next [Open] of the same directory takes over, without detaching. The order that loses nothing
// is Open, [Steering.Update], [Steering.Register] for every queue, then
// [Steering.Attach], which is what changes an attached program if it has to
// change.
//
//	PinDir/                 locked (flock) by the director that has it open
//	  sockets interfaces settings counters prefixes ports sources conditions
//	  express_header express_tables express_servers express_traffic
//	  link-IFINDEX          one bpf_link an interface
//	  tables                the workers' tables, see OpenTables
//
// A Steering with no PinDir leaves nothing behind, however the process ends.
// bpffs is mounted on /sys/fs/bpf where it is missing, and left mounted.
//
// # Callers
//
// The Director owns a Steering. Every function here may block and allocate;
// none is for the packet path. Methods are safe for concurrent use.
// Interfaces are those of the calling thread's network namespace.
//
// # Requirements
//
// Linux 5.17 (bpf_loop; bpf_link for XDP came with 5.9) on a little-endian
// machine, CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. CAP_SYS_ADMIN is needed to
// mount bpffs, and to say more of a foreign program than its number;
// CAP_SYS_PTRACE to name the processes of other users behind it.
//
// The program sees frames before the kernel does: a VLAN tag that the card
// strips (rxvlan) is not there to be matched, and on an interface in
// promiscuous mode frames for other hosts are claimed as well.
//
// steer.c and its headers are licensed GPL-2.0 or BSD-2-Clause.
package bpf
