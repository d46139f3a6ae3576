// Package control runs a director: it turns a configuration into a snapshot,
// keeps the snapshot true to the configuration and the network, owns the
// workers and the steering program, and answers on the control socket.
//
// Director is the only writer of snapshots and of the steering maps. Everything
// here may block, allocate, lock and log; nothing here is on the path of a
// packet.
package control
