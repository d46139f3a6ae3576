// Package packet reads and writes the headers of one frame in place.
//
// The packet path calls it for every frame, tests and tools for theirs. It
// keeps nothing: every function works on bytes that the caller owns, and none
// of them blocks or allocates. It imports the standard library only.
//
// Ports and addresses are in host order once they are in a [Tuple]; the typed
// views ([IPv4], [UDP], ...) convert at their accessors.
package packet
