// Package bpf is what xlvs has in the kernel: the XDP program that steers
// frames to AF_XDP sockets (steer.c), its attachment to interfaces, its pins on
// bpffs, and the memory of the workers' tables.
//
// # Steering
//
// The program asks three things of a frame, in this order: is it for us, has it a
// connection in the workers' tables, is it claimed. What a mark rule with a service or a service
// by address claims goes to a socket, and so do later fragments for a claimed address, and
// ICMP errors about claimed flows. Everything else stays the kernel's ([Reason] has the
// list): a frame that is taken to user space cannot be handed back. [Rule] and
// [Service] say what is claimed; [Steering.Update] compiles them and replaces
// the whole of it at once, without touching the attachment. [Steering.SetLocals] says which MAC
// addresses are ours.
//
// # The express lane
//
// What belongs to a connection needs no claim. The program forwards it itself, to the servers of
// [Steering.SetServers]: it does what a worker would have done, and leaves to the workers whatever
// asks for more (known.h, and docs/design/fast-path.md).
//
// # Lives
//
// What is pinned under a directory of bpffs outlives the process: after a crash
// the program stays attached, the sockets are gone, and what is for them meets
// the [Fallback], while the express lane and the box itself go on.
//
// The next director locks the directory ([OpenPins]), opens the tables ([OpenTables]), and
// loads a program of its own over them ([Open]). The old one goes on over its own until
// [Steering.Attach] exchanges it, in its link and without detaching. The order that loses nothing is
// OpenPins, OpenTables, Open, [Steering.Update], [Steering.Register] for every queue, Attach.
//
//	directory               locked (flock) by the director that has it open
//	  sockets interfaces settings counters prefixes ports sources conditions
//	  express_servers express_traffic
//	  link-IFINDEX          one bpf_link an interface
//	  tables                the workers' tables, see OpenTables
//
// A Steering without pins leaves nothing behind, however the process ends.
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
// strips (rxvlan) is not there to be matched.
//
// steer.c and its headers are licensed GPL-2.0 or BSD-2-Clause.
package bpf
