package dataplane

import (
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// An answer is the frame itself, turned round: MAC addresses swapped, VLAN tags kept, sent
// by the port that it came by. answer_icmp.go, answer_tcp.go and answer_sctp.go make
// answers; they are pure. Here is who gets one.

// refuse drops a packet for a reason, and tells its sender if the policy says so: what
// was no server's to take is unreachable (ip_vs_leave), what belongs to no connection
// is reset.
func (f *Forwarder) refuse(reason Reason, how service.Refusal, p *packet.Parsed,
	frame *Frame) Verdict {
	v := Verdict{Reason: reason}
	if how == service.RefuseDrop {
		return v
	}
	build := unreachable
	if reason != NoServer {
		switch p.Tuple.Protocol {
		case packet.TCP:
			build = reset
		case packet.SCTP:
			build = abort
		}
	}
	return f.answer(v, &f.newcomers, build, p, frame)
}

// builder makes an answer of a frame. It is false, and the frame as it was, if the
// packet is one that must not be answered. about says the rest that it needs.
type builder func(frame *Frame, p *packet.Parsed, about *about) bool

// about is what an answer needs beside the frame.
type about struct {
	from packet.Addr // of the director, on the client's side
	mtu  int
}

// answer makes an answer of a frame that has been given a verdict, if its sender may have
// one and the budget suffices.
func (f *Forwarder) answer(v Verdict, b *budget, build builder, p *packet.Parsed,
	frame *Frame) Verdict {
	if f.in < 0 || !f.answerable(&f.snapshot.Ports[f.in], p, frame) {
		return v
	}
	group := f.group(p.Tuple.Src)
	if !b.ask(group, f.now) {
		f.counters.notes[AnswerLimited]++
		return v
	}
	f.about.from = f.snapshot.Ports[f.in].from(p.Tuple.Dst)
	if !build(frame, p, &f.about) {
		return v
	}
	b.take(group)
	f.counters.notes[Answered]++
	v.Answer, v.Port = true, uint8(f.in)
	return v
}

// answerable tells whether a packet may be answered at all (RFC 1122, 3.2.2; RFC 1812,
// 4.3.2.7; RFC 4443, 2.4): it was sent to us alone by somebody who may be answered, and is
// neither an ICMP error nor a later fragment.
func (f *Forwarder) answerable(port *Port, p *packet.Parsed, frame *Frame) bool {
	if p.Kind != packet.KindFlow && p.Kind != packet.KindFirst {
		return false
	}
	eth := packet.Ethernet(frame.Bytes())
	if packet.IsGroup(eth.Src()) || !port.has(eth.Dst()) {
		return false
	}
	t := &p.Tuple
	if !isHost(t.Src) || !isHost(t.Dst) || t.Src == t.Dst {
		return false
	}
	_, own := f.snapshot.Own[t.Src]
	return !own
}

// isHost reports whether an address may be that of one host on another machine: not
// unspecified, "this network" (0/8), loopback, multicast, broadcast or class E.
func isHost(a packet.Addr) bool {
	if a.Is4() {
		switch first := a.V4() >> 24; {
		case first == 0, first == 127, first >= 224:
			return false
		}
		return true
	}
	const multicast, loopback = 0xff, 1
	return a.Hi>>56 != multicast && (a.Hi != 0 || a.Lo > loopback)
}

// has reports whether a frame for a MAC address was sent to us. Groups are never us.
func (p *Port) has(mac [packet.MACLen]byte) bool {
	if packet.IsGroup(mac) {
		return false
	}
	for i := range p.MACs {
		if p.MACs[i] == mac {
			return true
		}
	}
	return p.MACs == nil
}

// from is the address that errors about packets to a virtual address come from.
func (p *Port) from(vip packet.Addr) packet.Addr {
	from := p.Answer6
	if vip.Is4() {
		from = p.Answer4
	}
	if from == (packet.Addr{}) {
		return vip
	}
	return from
}
