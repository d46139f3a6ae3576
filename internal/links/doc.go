// Package links knows the host's interfaces and addresses, how interfaces stand upon one
// another, and so which MAC addresses are ours on the wire, and from which of our IP
// addresses an answer comes.
//
// A [Watcher] follows the kernel by netlink and publishes an immutable [Host] after each
// change; it is control plane: two goroutines, in the network namespace of the thread that
// opened it. What is asked of a Host is a pure function of it.
package links
