package marks

import "github.com/xlvs/xlvs/packet"

// Match returns the mark of a packet that came in by the interface of index
// ifindex, 0 if no rule matches it. A packet of KindOther has no mark. An ICMP
// error has the mark of the flow that it is about, as far as addresses, ports
// and protocol go. Rules about ports do not match a later fragment
// (KindFragment): ask for what its first fragment left behind before.
func (r *Rules) Match(p *packet.Parsed, ifindex uint32) Mark {
	if i := r.find(p, ifindex); i >= 0 {
		return r.marks[i]
	}
	return 0
}

// Explain returns the index of the rule that gives a packet its mark; ok is
// false if none does.
func (r *Rules) Explain(p *packet.Parsed, ifindex uint32) (index int, ok bool) {
	i := r.find(p, ifindex)
	return max(i, 0), i >= 0
}

// find returns the first rule that matches, -1 if there is none.
func (r *Rules) find(p *packet.Parsed, ifindex uint32) int {
	if len(r.marks) == 0 || p.Kind == packet.KindOther {
		return -1
	}
	var (
		numbers [dimensions]uint32 // rows of the dimensions that rules look at
		n       int
		sums    = ^uint64(0)
	)
	and := func(row uint32) {
		numbers[n] = row
		n++
		sums &= r.rows.sums[row]
	}
	if d := r.protocol; d != nil {
		and(d.row[p.Tuple.Protocol])
	}
	hasPorts := p.Kind != packet.KindFragment
	if d := r.destinationPort; d != nil {
		and(d.port(p.Tuple.DstPort, hasPorts))
	}
	if d := r.sourcePort; d != nil {
		and(d.port(p.Tuple.SrcPort, hasPorts))
	}
	if d := r.vlan; d != nil {
		and(d.row[p.VLAN&vlanMask])
	}
	if d := r.dscp; d != nil {
		and(d.row[p.DSCP&maxDSCP])
	}
	if d := r.interfaces; d != nil {
		and(d.lookup(ifindex))
	}
	if sums == 0 {
		return -1
	}
	if d := r.destination; d != nil {
		and(d.lookup(p.Tuple.Dst))
	}
	if d := r.source; d != nil && sums != 0 {
		and(d.lookup(p.Tuple.Src))
	}
	return r.rows.first(sums, numbers[:n])
}
