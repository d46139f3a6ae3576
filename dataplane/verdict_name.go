package dataplane

import "github.com/xlvs/xlvs/packet"

// Reasons is how many reasons there are, those of malformed packets included.
const Reasons = int(MalformedBase) + packet.Malformations

// String is the reason's name, which is also its counter's.
func (r Reason) String() string {
	if r < MalformedBase {
		return reasonNames[r]
	}
	return "malformed_" + packet.Malformed(r-MalformedBase).String()
}
