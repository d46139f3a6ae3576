package dataplane

import "github.com/xlvs/xlvs/packet"

// xmit rewrites a frame by its server's forwarding method and counts it.
func (f *Forwarder) xmit(s *server, p *packet.Parsed, frame *Frame) Verdict {
	if s.port == NoPort {
		return Verdict{Reason: NeighbourUnresolved}
	}
	direct(s, frame)
	f.chosen = s.id
	f.counters.carried(s.id.Number(), int(p.Len))
	return Verdict{Port: s.port}
}
