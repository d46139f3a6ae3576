// Package dataplane decides what becomes of each frame and runs the workers
// that carry the frames.
//
// [Forwarder.Forward] is pure: frames, a [Snapshot] and the tables go in, verdicts
// come out and the frames are rewritten in place. A [Worker] feeds it from the
// AF_XDP sockets of one queue; tests and tools call it on plain bytes.
//
// The Director (package control) makes snapshots and publishes them with
// [Plane.Publish]; a worker loads the current one once per batch. A Forwarder
// belongs to one goroutine. On the path of a packet nothing here allocates,
// locks, logs, blocks or reads the clock: the time comes in with the batch.
package dataplane
