package dataplane

import "sync/atomic"

// Traffic is what went to one real server. Readers may see it a batch late.
type Traffic struct {
	Connections, Packets, Bytes uint64
}

// traffic is the published form of a Traffic: written by one worker, read by anyone.
type traffic struct {
	connections, packets, bytes atomic.Uint64
}

// counters are one Forwarder's. The forwarder counts in plain words of its own
// and publishes them from time to time, because an atomic store a packet would
// cost as much as the rest of the counting.
type counters struct {
	// owned by the forwarder
	reasons [Reasons]uint64
	notes   [Notes]uint64
	servers []Traffic // by server number
	touched []uint32  // numbers that servers holds something for

	// published
	publishedReasons [Reasons]atomic.Uint64
	publishedNotes   [Notes]atomic.Uint64
	publishedServers []traffic
}

func newCounters(servers int) *counters {
	return &counters{
		servers:          make([]Traffic, servers),
		touched:          make([]uint32, 0, servers),
		publishedServers: make([]traffic, servers),
	}
}

// count counts the frames of a batch. Nearly all have one reason; counting these in a
// register spares the wait for the last one's sum.
func (c *counters) count(verdicts []Verdict) {
	forwarded := uint64(0)
	for i := range verdicts {
		switch r := verdicts[i].Reason; r {
		case Forwarded:
			forwarded++
		case held:
		default:
			c.reasons[r]++
		}
	}
	c.reasons[Forwarded] += forwarded
}

// carried counts one packet of n bytes to a server.
func (c *counters) carried(number uint32, n int) {
	s := &c.servers[number]
	if s.Packets == 0 && s.Connections == 0 {
		c.touched = append(c.touched, number)
	}
	s.Packets++
	s.Bytes += uint64(n)
}

// opened counts a new connection of a server.
func (c *counters) opened(number uint32) {
	s := &c.servers[number]
	if s.Packets == 0 && s.Connections == 0 {
		c.touched = append(c.touched, number)
	}
	s.Connections++
}

// publish makes all counts so far visible to readers.
func (c *counters) publish() {
	for i := range c.reasons {
		if n := c.reasons[i]; n != 0 {
			c.publishedReasons[i].Add(n)
			c.reasons[i] = 0
		}
	}
	for i := range c.notes {
		if n := c.notes[i]; n != 0 {
			c.publishedNotes[i].Add(n)
			c.notes[i] = 0
		}
	}
	for _, number := range c.touched {
		s, p := &c.servers[number], &c.publishedServers[number]
		p.connections.Add(s.Connections)
		p.packets.Add(s.Packets)
		p.bytes.Add(s.Bytes)
		*s = Traffic{}
	}
	c.touched = c.touched[:0]
}

// Reasons adds the frames counted so far, by reason, to sum.
func (f *Forwarder) Reasons(sum *[Reasons]uint64) {
	for i := range sum {
		sum[i] += f.counters.publishedReasons[i].Load()
	}
}

// Notes adds what happened to frames beside their verdicts to sum.
func (f *Forwarder) Notes(sum *[Notes]uint64) {
	for i := range sum {
		sum[i] += f.counters.publishedNotes[i].Load()
	}
}

// Traffic adds what this forwarder sent to the real server of a number to sum.
// The counts are of the number: they go on when it is given to another server,
// so readers keep the difference.
func (f *Forwarder) Traffic(number uint32, sum *Traffic) {
	if int(number) >= len(f.counters.publishedServers) {
		return
	}
	p := &f.counters.publishedServers[number]
	sum.Connections += p.connections.Load()
	sum.Packets += p.packets.Load()
	sum.Bytes += p.bytes.Load()
}
