// Package e2e has tests of the whole director: a child process in a network
// namespace of its own, with real AF_XDP sockets on veth pairs, a control
// socket and a pin directory. Frames come from and go to packet sockets, so
// that each one can be numbered and asked for, or kernel TCP on both sides.
//
// There is nothing here for other packages. All tests need root.
package e2e
