// Package abi is the boundary between package ring and the kernel: the
// memory layout of the AF_XDP rings, and the system calls on AF_XDP sockets
// as an interface that tests can stand in for.
//
// It holds no policy. Which calls are made in which order, what an errno
// means, and who owns a frame are decided in package ring. All of ring's
// unsafe code is here, in the files named *_unsafe.go.
package abi
