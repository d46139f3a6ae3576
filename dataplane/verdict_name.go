package dataplane

import "github.com/xlvs/xlvs/packet"

// Reasons is how many reasons there are, those of malformed packets included.
const Reasons = int(MalformedBase) + packet.Malformations - 1

// malformed is the reason of a malformed packet; m is not packet.OK.
func malformed(m packet.Malformed) Reason { return MalformedBase + Reason(m) - 1 }

// String is the reason's name, which is also its counter's.
func (r Reason) String() string {
	switch {
	case r < MalformedBase:
		return reasonNames[r]
	case r == held:
		return "held"
	}
	return "malformed_" + packet.Malformed(r-MalformedBase+1).String()
}
