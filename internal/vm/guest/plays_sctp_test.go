//go:build vmtest

package guest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// chunks are what the plays of SCTP send: one chunk for each event of the kernel's
// table, and the bundles that it looks into. The second of two has the payload.
var chunks = [][]uint8{
	{packet.ChunkData}, {packet.ChunkInit}, {packet.ChunkInitAck},
	{packet.ChunkCookieEcho}, {packet.ChunkCookieAck},
	{packet.ChunkShutdown}, {packet.ChunkShutdownAck}, {packet.ChunkShutdownComplete},
	{packet.ChunkError}, {packet.ChunkAbort},
	{packet.ChunkCookieEcho, packet.ChunkAbort}, {packet.ChunkCookieAck, packet.ChunkAbort},
	{packet.ChunkSack, packet.ChunkShutdown},
}

// sctp is a packet of a client's association with these chunks.
func (p *play) sctp(client string, port uint16, chunks ...uint8) packettest.Packet {
	out := p.from(client).SCTP(port, 80)
	for _, kind := range chunks[:len(chunks)-1] {
		out = out.Behind(kind, 5)
	}
	return out.Chunk(chunks[len(chunks)-1])
}

// playChunks goes by every pair of packets, after an INIT or as a sloppy service's
// first, through the states of an association.
func playChunks(t *testing.T, sloppy bool, persistence int) {
	p := begin(t, false, with(byAddress("sctp", 80, "rr", persistence, servers(1, 1)...),
		func(s *setup) { s.sloppy = sloppy }))
	port := uint16(1000)
	for _, first := range chunks {
		for _, second := range chunks {
			port++
			path := [][]uint8{{packet.ChunkInit}, first, second}
			if sloppy && !slices.Contains(first, packet.ChunkAbort) { // that begins nothing
				path = path[1:]
			}
			p.walkChunks(port, path)
		}
		p.compare(fmt.Sprintf("after %v and each other", first))
	}
}

// walkChunks shows packets of one association.
func (p *play) walkChunks(port uint16, path [][]uint8) {
	p.Helper()
	for i, one := range path {
		p.alike(fmt.Sprintf("packet %d of the chunks %v", i+1, path), p.sctp("1", port, one...))
	}
}

// playAbortFirst: the first packet that a sloppy service sees.
func playAbortFirst(t *testing.T) {
	p := begin(t, false, with(byAddress("sctp", 80, "rr", 0, servers(1)...),
		func(s *setup) { s.sloppy = true }))
	p.goes("an ABORT", p.sctp("1", 1000, packet.ChunkAbort), nowhere)
	p.setApart("2")
	p.differs("an ABORT behind a COOKIE ECHO",
		p.sctp("2", 1000, packet.ChunkCookieEcho, packet.ChunkAbort), 1, nowhere, abortBegins)
}

// playAssociation: an association from its beginning to its end.
func playAssociation(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byAddress("sctp", 80, "rr", 0, servers(1, 1)...))
	p.goes("an INIT", p.sctp("1", 1000, packet.ChunkInit), 2)
	p.goes("the INIT again", p.sctp("1", 1000, packet.ChunkInit), 2)
	p.goes("its COOKIE ECHO", p.sctp("1", 1000, packet.ChunkCookieEcho), 2)
	p.goes("DATA", p.sctp("1", 1000, packet.ChunkData), 2)
	p.goes("another client", p.sctp("2", 1000, packet.ChunkInit), 1)
	p.goes("SHUTDOWN", p.sctp("1", 1000, packet.ChunkShutdown), 2)
	p.goes("SHUTDOWN COMPLETE", p.sctp("1", 1000, packet.ChunkShutdownComplete), 2)
	p.goes("an INIT after that", p.sctp("1", 1000, packet.ChunkInit), 2)
}

// playNoAssociation: a packet that belongs to no association is answered by an ABORT that
// carries its own tag (RFC 9260, 8.4), which in IPVS the director's own stack does.
func playNoAssociation(t *testing.T, ipv6 bool) {
	p := begin(t, ipv6, byAddress("sctp", 80, "rr", 0, servers(1)...))
	for _, kinds := range chunks {
		what, shown := fmt.Sprintf("chunks %v", kinds), p.sctp("1", 1000, kinds...)
		switch {
		case kinds[0] == packet.ChunkInit: // begins one
		case slices.ContainsFunc(kinds, unanswered):
			p.goes(what, shown, nowhere)
		case kinds[0] == packet.ChunkShutdownAck:
			p.answers(what, shown, "VIP to client: SCTP tag 1 chunk 0e 01 00 04")
		default:
			p.answers(what, shown, "VIP to client: SCTP tag 1 chunk 06 01 00 04")
		}
	}
}

// unanswered tells whether a chunk forbids an answer to its packet.
func unanswered(kind uint8) bool {
	switch kind {
	case packet.ChunkAbort, packet.ChunkShutdownComplete, packet.ChunkCookieAck:
		return true
	}
	return false
}

// playChunksReuse: an INIT over an association that has ended is scheduled anew, also
// when the old one's server was removed.
func playChunksReuse(t *testing.T) {
	p := begin(t, false, byAddress("sctp", 80, "rr", 0, servers(1, 1)...))
	for _, client := range []string{"1", "2", "3"} {
		p.goes("an INIT", p.sctp(client, 1000, packet.ChunkInit), 2)
		p.goes("its COOKIE ECHO", p.sctp(client, 1000, packet.ChunkCookieEcho), 2)
		p.goes("between", p.sctp("9"+client, 1000, packet.ChunkInit), 1)
	}
	p.goes("an INIT while established", p.sctp("1", 1000, packet.ChunkInit), 2)
	p.goes("an ABORT", p.sctp("1", 1000, packet.ChunkAbort), 2)
	p.goes("DATA after that", p.sctp("1", 1000, packet.ChunkData), 2)
	p.goes("an INIT after that", p.sctp("1", 1000, packet.ChunkInit), 2)
	p.goes("its COOKIE ECHO", p.sctp("1", 1000, packet.ChunkCookieEcho), 2)
	aborted := p.sctp("2", 1000, packet.ChunkCookieEcho, packet.ChunkAbort)
	p.goes("an ABORT behind a COOKIE ECHO", aborted, 2)
	p.goes("an INIT after that", p.sctp("2", 1000, packet.ChunkInit), 1)
	p.goes("an ABORT of the third", p.sctp("3", 1000, packet.ChunkAbort), 2)
	p.remove(2)
	p.goes("DATA of a removed server", p.sctp("1", 1000, packet.ChunkData), nowhere)
	p.goes("an INIT over ESTABLISHED of one", p.sctp("1", 1000, packet.ChunkInit), nowhere)
	p.goes("an INIT over CLOSED of one", p.sctp("3", 1000, packet.ChunkInit), 1)
}
