// Package nic reads what the kernel says of a network interface beside its
// addresses: driver, rings, channels, offloads, receive hashing, coalescing,
// NAPI instances and interrupts; and it changes those of them that may change
// while frames flow: NAPI's timers and interrupt coalescing.
//
// It speaks generic netlink ("ethtool", "netdev"), which follows the network
// namespace of the calling thread, and falls back to files of sysfs where an
// older kernel has nothing else. What a kernel or driver does not tell is left
// out (nil, "", empty), which is no error: most virtual interfaces tell little.
//
// Calls take a system call or a few, and some take the RTNL lock: nothing for
// the packet path. The package keeps no state and is safe for concurrent use.
package nic
