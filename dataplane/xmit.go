package dataplane

import (
	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// xmit rewrites a frame by its server's forwarding method, takes a hop from its TTL, as
// ip_vs_xmit.c does since Linux 4.10, and counts it. entry is the packet's connection, nil if
// it has none yet.
func (f *Forwarder) xmit(s *server, p *packet.Parsed, frame *Frame, entry *affinity.Entry) Verdict {
	v := Verdict{Port: s.port}
	if !s.takes(p, frame) {
		if v = f.adapt(s, p, frame, entry); v.Reason != Forwarded {
			return v
		}
	}
	s.rewrite(p, frame)
	f.sent(s, p)
	return v
}

// takes reports whether the frame may leave to the server as it is.
func (s *server) takes(p *packet.Parsed, frame *Frame) bool {
	return p.TTL > 1 && uint32(p.Tags)<<16|uint32(p.VLAN) == s.tagging &&
		frame.End-frame.Start-uint32(p.L3) <= s.longest &&
		(p.Tags == 0 || packet.Ethernet(frame.Bytes()).Type() == packet.EtherTypeVLAN)
}

// rewrite makes the frame what it is on its way to the server.
func (s *server) rewrite(p *packet.Parsed, frame *Frame) {
	b := frame.Buffer[frame.Start:]
	switch s.method {
	case service.Direct:
		direct(s, b)
	}
	hop(b[p.L3:])
}

// sent counts a packet to a server.
func (f *Forwarder) sent(s *server, p *packet.Parsed) {
	f.chosen = s.id
	f.counters.carried(s.id.Number(), int(p.Len))
}

// hop takes one hop from the TTL or hop limit, which is at least 2.
func hop(ip []byte) {
	if ip[0]>>4 == 4 {
		packet.IPv4(ip).DecrementTTL()
	} else {
		packet.IPv6(ip).DecrementHopLimit()
	}
}

// adapt makes a frame fit for the way out, or says why it does not leave. A flood of first
// packets leaves assured connections their answers: path MTU discovery needs them.
func (f *Forwarder) adapt(s *server, p *packet.Parsed, frame *Frame,
	entry *affinity.Entry) Verdict {
	b := &f.newcomers
	if entry != nil && entry.Grade() > affinity.Assured { // two packets are no acquaintance
		b = &f.acquainted
	}
	v, mtu := Verdict{Port: s.port}, uint16(s.longest)
	switch {
	case s.port == NoPort:
		return Verdict{Reason: NeighbourUnresolved}
	case p.TTL <= 1:
		return f.answer(Verdict{Reason: TTLExceeded}, b, timeExceeded, p, frame)
	case p.Len > mtu && (s.svc.AnswerTooBig || !divisible(p, frame)):
		f.about.mtu = int(mtu)
		return f.answer(Verdict{Reason: TooBig}, b, tooBig, p, frame)
	case p.Len > mtu:
		v.MTU = mtu
	}
	if frame.End-frame.Start > uint32(p.L3)+s.longest {
		frame.shorten(int(p.L3) + int(p.Len)) // what is behind the packet might not fit
	}
	if !retag(frame, p, uint8(s.tagging>>16), uint16(s.tagging)) {
		return Verdict{Reason: NoHeadroom}
	}
	if v.MTU != 0 {
		f.counters.notes[Fragmented]++
	}
	return v
}

// divisible tells whether routers may cut the packet into fragments (RFC 791).
func divisible(p *packet.Parsed, frame *Frame) bool {
	return p.Tuple.Src.Is4() && !packet.IPv4(frame.Bytes()[p.L3:]).DontFragment()
}

// retag gives the frame the one VLAN tag of the way out, or none: tags is how many. A
// tag that is there keeps its priority. It is false, and the frame as it was, without
// headroom for a tag.
func retag(frame *Frame, p *packet.Parsed, tags uint8, vlan uint16) bool {
	const at = 2 * packet.MACLen
	switch change := int(tags) - int(p.Tags); {
	case change > 0:
		if !frame.insert(at, packet.VLANTagLen) {
			return false
		}
		packet.Ethernet(frame.Bytes()).PutTag(0)
		p.L3, p.L4 = p.L3+packet.VLANTagLen, p.L4+packet.VLANTagLen
	case change < 0:
		n := -change * packet.VLANTagLen
		frame.remove(at, n)
		p.L3, p.L4 = p.L3-uint16(n), p.L4-uint16(n)
	}
	if tags > 0 {
		packet.Ethernet(frame.Bytes()).SetVLAN(vlan)
	}
	p.Tags, p.VLAN = tags, vlan
	return true
}
