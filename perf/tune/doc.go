// Package tune shows how a running director and its interfaces are tuned, says
// what is unwise about it, changes what can be changed while frames flow, and
// searches for better settings under load. The command xlvs tune is its caller.
//
// It talks to the director over the control socket and reads the host itself, in
// the director's network namespace. It changes nothing on the host: the director
// does, and knows how to put it back. Calls may block.
package tune
