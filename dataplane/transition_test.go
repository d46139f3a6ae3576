package dataplane

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/affinity"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// The INPUT-ONLY tables of the kernel once more, as it turns them: a row for an event, a
// column for a state, in the order of the states' numbers.
const (
	tcpColumns = `NO ES SS SR FW TW CL CW LA LI SA`

	tcpRows = `
		SYN   SR ES ES SR SR SR SR SR SR SR SR
		FIN   CL FW SS TW FW TW CL CW LA LI TW
		ACK   ES ES SS ES FW TW CL CW CL LI ES
		RST   CL CL CL SR CL CL CL CL LA LI CL
		none  CL CL CL CL CL CL CL CL CL CL CL`

	sctpColumns = `NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL`

	sctpRows = `
		DATA               ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL
		INIT               I1 IN IN IN IN IN CO CE ES SS SR SA IN IN
		INIT-ACK           CE CE CE CE CE CE CO CE ES SS SR SA RJ CL
		COOKIE-ECHO        ES ES ES ES ES ES CO CE ES SS SR SA RJ CL
		COOKIE-ACK         ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL
		SHUTDOWN           SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
		SHUTDOWN-ACK       CL IN IN CS CR CW CO CE CL CL SR CL RJ CL
		SHUTDOWN-COMPLETE  CL CL CL CL CL CW CO CE ES SS CL CL RJ CL
		ERROR              CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
		ABORT              CL CL CL CL CL RJ CL CL CL CL CL CL CL CL`
)

// tcpFlags and sctpChunks have what stands for an event in a row.
var tcpFlags = map[string]uint8{
	"SYN": packet.SYN, "FIN": packet.FIN, "ACK": packet.ACK, "RST": packet.RST, "none": 0,
}

var sctpChunks = map[string]uint8{
	"DATA": packet.ChunkData, "INIT": packet.ChunkInit, "INIT-ACK": packet.ChunkInitAck,
	"COOKIE-ECHO": packet.ChunkCookieEcho, "COOKIE-ACK": packet.ChunkCookieAck,
	"SHUTDOWN": packet.ChunkShutdown, "SHUTDOWN-ACK": packet.ChunkShutdownAck,
	"SHUTDOWN-COMPLETE": packet.ChunkShutdownComplete,
	"ERROR":             packet.ChunkError, "ABORT": packet.ChunkAbort,
}

// oracle is one of the kernel's tables: the state's number after an event, by the
// event's name and the state's number.
type oracle map[string][]int

func readOracle(columns, rows string) oracle {
	number := map[string]int{}
	for i, name := range strings.Fields(columns) {
		number[name] = i
	}
	o := oracle{}
	for _, row := range strings.Split(strings.TrimSpace(rows), "\n") {
		cells := strings.Fields(row)
		for _, cell := range cells[1:] {
			o[cells[0]] = append(o[cells[0]], number[cell])
		}
	}
	return o
}

// moved is what the table makes of a state.
func moved(s affinity.State, e affinity.Event) affinity.State {
	if to := inputOnly[s][e]; to != affinity.StateNone {
		return to
	}
	return s
}

func tcpState(number int) affinity.State { return affinity.StateTCPNone + affinity.State(number) }

func sctpState(number int) affinity.State { return affinity.StateSCTPNone + affinity.State(number) }

func TestTCPStatesAreTheKernels(t *testing.T) {
	for event, row := range readOracle(tcpColumns, tcpRows) {
		for from, to := range row {
			from, to := tcpState(from), tcpState(to)
			if from == affinity.StateTCPClose && event == "ACK" {
				to = affinity.StateTCPEstablished // on purpose: see setTCP
			}
			if got := moved(from, tcpEvents[tcpFlags[event]]); got != to {
				t.Errorf("%s in %v leads to %v, want %v", event, from, got, to)
			}
		}
	}
}

func TestSCTPStatesAreTheKernels(t *testing.T) {
	for event, row := range readOracle(sctpColumns, sctpRows) {
		for from, to := range row {
			from, to := sctpState(from), sctpState(to)
			if got := moved(from, sctpEvents[sctpChunks[event]]); got != to {
				t.Errorf("%s in %v leads to %v, want %v", event, from, got, to)
			}
		}
	}
}

// TestEventsMoveTheirProtocolOnly wants no move out of a protocol's states, none by
// another's events, and none of what has but one state.
func TestEventsMoveTheirProtocolOnly(t *testing.T) {
	const perClass = 16
	class := func(e affinity.Event) affinity.State {
		switch {
		case e >= tcpSyn && e <= tcpBare:
			return affinity.StateTCPNone
		case e >= sctpData && e <= sctpAbort:
			return affinity.StateSCTPNone
		}
		return affinity.StateNone
	}
	for from := range affinity.State(affinity.NumStates) {
		for e := range affinity.Event(affinity.MaxEvents) {
			to := inputOnly[from][e]
			if to == affinity.StateNone {
				continue
			}
			if to/perClass != from/perClass || class(e)/perClass != from/perClass {
				t.Errorf("event %d in %v leads to %v", e, from, to)
			}
		}
	}
	if events > affinity.MaxEvents {
		t.Errorf("%d events, there may be %d", events, affinity.MaxEvents)
	}
}

// TestEventsOfFlags wants RST, SYN, FIN, ACK to count in this order (tcp_state_idx).
func TestEventsOfFlags(t *testing.T) {
	for flags := range 256 {
		want := tcpBare
		for _, f := range []struct {
			flag  uint8
			event affinity.Event
		}{{packet.ACK, tcpAck}, {packet.FIN, tcpFin}, {packet.SYN, tcpSyn}, {packet.RST, tcpRst}} {
			if uint8(flags)&f.flag != 0 {
				want = f.event
			}
		}
		p := packet.Parsed{Tuple: packet.Tuple{Protocol: packet.TCP}, Flags: uint8(flags)}
		if got := eventOf(&p); got != want {
			t.Errorf("flags %#02x are event %d, want %d", flags, got, want)
		}
	}
}

// modelled is what the kernel would know of an association: set_sctp_state and what
// ip_vs_in does before it, written down from their sources.
type modelled struct {
	table     oracle
	sloppy    bool
	state     int // -1: there is no entry
	scheduled int // how often a server was chosen
}

const (
	noEntry    = -1
	sctpClosed = 13 // IP_VS_SCTP_S_CLOSED
)

// sctpNames are the names of events by chunk type (sctp_events); beyond, and where there
// is none, it is DATA.
var sctpNames = []string{
	"DATA", "INIT", "INIT-ACK", "DATA", "DATA", "DATA", "ABORT", "SHUTDOWN", "SHUTDOWN-ACK",
	"ERROR", "COOKIE-ECHO", "COOKIE-ACK", "DATA", "DATA", "SHUTDOWN-COMPLETE",
}

// packet moves the model by a packet with these chunks. It reports whether the packet
// goes to a server.
func (m *modelled) packet(chunks []uint8) bool {
	first := chunks[0]
	kind := first
	if (first == packet.ChunkCookieEcho || first == packet.ChunkCookieAck) &&
		len(chunks) > 1 && chunks[1] == packet.ChunkAbort {
		kind = packet.ChunkAbort
	}
	if first == packet.ChunkInit && m.state == sctpClosed { // is_new_conn_expected
		m.state = noEntry
	}
	if m.state == noEntry {
		// sctp_conn_schedule, but for an ABORT behind another chunk: see docs/ipvs.md.
		if kind == packet.ChunkAbort || first != packet.ChunkInit && !m.sloppy {
			return false
		}
		m.state = 0
		m.scheduled++
	}
	name := "DATA"
	if int(kind) < len(sctpNames) {
		name = sctpNames[kind]
	}
	m.state = m.table[name][m.state]
	return true
}

// sctpAlphabet are the packets that sequences are made of, by their chunks: each type,
// some beyond the last, and bundles.
func sctpAlphabet() (all [][]uint8) {
	for kind := range uint8(16) {
		all = append(all, []uint8{kind})
	}
	return append(all, [][]uint8{
		{0x80}, {0xc1}, {0xff},
		{packet.ChunkCookieEcho, packet.ChunkAbort},
		{packet.ChunkCookieAck, packet.ChunkAbort},
		{packet.ChunkCookieEcho, packet.ChunkData},
		{packet.ChunkData, packet.ChunkAbort},
		{packet.ChunkSack, packet.ChunkShutdown},
	}...)
}

// shortAlphabet has one packet for each event.
func shortAlphabet() (all [][]uint8) {
	for _, kind := range sctpChunks {
		all = append(all, []uint8{kind})
	}
	return all
}

// sctpPacket has the chunks in one packet.
func sctpPacket(ip Packet, port uint16, chunks []uint8) Packet {
	p := ip.SCTP(port, 80)
	for _, kind := range chunks[:len(chunks)-1] {
		p = p.Behind(kind, 9)
	}
	return p.Chunk(chunks[len(chunks)-1])
}

// kernelTimeouts are sctp_timeouts, in seconds, by the state's number.
var kernelTimeouts = [...]int{2, 4, 61, 61, 61, 61, 61, 61, 15 * 60, 61, 61, 61, 4, 61}

// TestChunkSequences shows workers every sequence of three packets, and of four with
// one for each event, and holds states, timers and servers against the model.
func TestChunkSequences(t *testing.T) {
	v4, v6 := IPv4(client, vip), IPv6("2001:db8:c::1", vip6)
	for _, walk := range []struct {
		name     string
		alphabet [][]uint8
		length   int
		ip       Packet
	}{
		{"three", sctpAlphabet(), 3, v4},
		{"four", shortAlphabet(), 4, v4},
		{"IPv6", shortAlphabet(), 3, v6},
	} {
		for sloppy, kind := range map[bool]string{false: "strict", true: "sloppy"} {
			t.Run(walk.name+", "+kind, func(t *testing.T) {
				w := newChunkWalk(t, walk.ip, walk.alphabet, sloppy)
				for range pow(len(walk.alphabet), walk.length) {
					w.show(walk.length)
				}
			})
		}
	}
}

// chunkWalk shows sequences of packets to a worker and to the model.
type chunkWalk struct {
	*bed
	sloppy   bool
	table    oracle
	alphabet [][]uint8
	frames   [][]byte // of the alphabet
	scratch  []byte
	key      affinity.Key
	count    int   // of the sequences so far; the next one is this number's digits
	former   uint8 // the server chosen last, by its MAC address
}

func newChunkWalk(t *testing.T, ip Packet, alphabet [][]uint8, sloppy bool) *chunkWalk {
	w := &chunkWalk{
		bed: newBed(t, small), sloppy: sloppy,
		table: readOracle(sctpColumns, sctpRows), alphabet: alphabet,
	}
	for _, chunks := range alphabet {
		w.frames = append(w.frames, sctpPacket(ip, 1000, chunks).Frame(t))
	}
	var p packet.Parsed
	if m := packet.Parse(w.frames[0], &p); m != packet.OK {
		t.Fatal(m)
	}
	w.key.SetConn(&p.Tuple)
	dst, servers := vip, []string{"10.0.0.1", "10.0.0.2"}
	if !p.Tuple.Dst.Is4() {
		dst, servers = vip6, []string{"fd00::1", "fd00::2"}
	}
	vs := service.VirtualService{
		Key:    service.Key{Protocol: packet.SCTP, Addr: netip.MustParseAddr(dst), Port: 80},
		Sloppy: sloppy, Timeouts: defaultTimeouts,
	}
	t61 := &vs.Timeouts
	t61.SCTPInit, t61.SCTPShutdown, t61.SCTPClosed = 61*time.Second, 61*time.Second, 61*time.Second
	w.serve(vs, servers...)
	return w
}

func pow(n, to int) int {
	all := 1
	for range to {
		all *= n
	}
	return all
}

// show shows the next sequence. No entry is left of it.
func (w *chunkWalk) show(length int) {
	m := modelled{table: w.table, sloppy: w.sloppy, state: noEntry}
	var shown [][]uint8
	server, digits := uint8(0), w.count
	for range length {
		which := digits % len(w.alphabet)
		digits /= len(w.alphabet)
		shown = append(shown, w.alphabet[which])
		scheduled := m.scheduled
		goes := m.packet(w.alphabet[which])
		w.scratch = append(w.scratch[:0], w.frames[which]...)
		v := w.send(w.scratch)
		if (v.Reason == Forwarded) != goes {
			w.tb.Fatalf("after %v: verdict %v, forwarded in the model: %t", shown, v.Reason, goes)
		}
		if !goes {
			continue
		}
		if m.scheduled > scheduled { // in turn
			server = w.scratch[5]
			if server == w.former {
				w.tb.Fatalf("after %v: server %d once more", shown, server)
			}
			w.former = server
		}
		if w.scratch[5] != server {
			w.tb.Fatalf("after %v: server %d, want %d", shown, w.scratch[5], server)
		}
		w.compare(shown, &m)
	}
	w.count++
	if entry, found := w.tables.Conns.Lookup(w.tables.Conns.Hash(&w.key), &w.key, w.now); found {
		w.tables.Conns.Delete(&entry)
	}
	w.wait(time.Second)
}

// compare holds the association's entry against the model.
func (w *chunkWalk) compare(shown [][]uint8, m *modelled) {
	entry, found := w.tables.Conns.Lookup(w.tables.Conns.Hash(&w.key), &w.key, w.now)
	if !found {
		w.tb.Fatalf("after %v: no entry", shown)
	}
	if want := sctpState(m.state); entry.State() != want {
		w.tb.Fatalf("after %v: state %v, want %v", shown, entry.State(), want)
	}
	left, want := entry.Expiry().Since(w.now), time.Duration(kernelTimeouts[m.state])*time.Second
	if left < want || left > want+2*time.Second {
		w.tb.Fatalf("after %v: %v in state %v, want %v", shown, left, entry.State(), want)
	}
}

func TestShortTimeoutsOfSCTP(t *testing.T) {
	for init, want := range map[time.Duration]time.Duration{
		time.Minute:     4 * time.Second,
		4 * time.Second: 4 * time.Second,
		2 * time.Second: 2 * time.Second,
	} {
		all := timeoutsOf(&service.Timeouts{SCTPInit: init}, 0)
		for _, s := range []affinity.State{affinity.StateSCTPInit1, affinity.StateSCTPRejected} {
			if all[s] != lasting(want) {
				t.Errorf("%v lasts %v ticks, INIT %v, want %v", s, all[s], init, lasting(want))
			}
		}
		if got := all[affinity.StateSCTPInit]; got != lasting(init) {
			t.Errorf("INIT lasts %v ticks, want %v", got, lasting(init))
		}
	}
}

// TestEveryStateHasItsTimeout wants a time for whatever an entry can be in.
func TestEveryStateHasItsTimeout(t *testing.T) {
	all := timeoutsOf(&defaultTimeouts, time.Minute)
	for s := range affinity.State(affinity.NumStates) {
		if exists := s.String() != "UNKNOWN"; exists != (all[s] > 0) {
			t.Errorf("%v: %v ticks", s, all[s])
		}
	}
}

// remove takes server n, counted from 1, from a service of the bed.
func (b *bed) remove(vs *service.VirtualService, n int) {
	b.tb.Helper()
	vs.Servers = append(vs.Servers[:n-1:n-1], vs.Servers[n:]...)
	b.publish()
}

// state is the state of a packet's connection.
func (b *bed) state(p Packet) affinity.State {
	b.tb.Helper()
	var parsed packet.Parsed
	if m := packet.Parse(p.Frame(b.tb), &parsed); m != packet.OK {
		b.tb.Fatal(m)
	}
	var key affinity.Key
	key.SetConn(&parsed.Tuple)
	entry, found := b.tables.Conns.Lookup(b.tables.Conns.Hash(&key), &key, b.now)
	if !found {
		b.tb.Fatal("no entry")
	}
	return entry.State()
}

func TestAForgedResetEndsNoConnection(t *testing.T) {
	b := newBed(t, small)
	b.serve(tcpService(80), "10.0.0.1", "10.0.0.2")
	conn := IPv4(client, vip).TCP(1, 80)
	n := b.server(conn.SYN())
	b.wants(n, conn.ACK())
	for _, forged := range [][]Packet{
		{conn.RST()}, {conn}, {conn.RST(), conn.RST()}, {conn.RST(), conn.SYN()},
	} {
		for _, p := range forged {
			b.wants(n, p)
		}
		if got := b.state(conn); got == affinity.StateTCPEstablished {
			t.Errorf("%v after %d forged segments", got, len(forged))
		}
		b.wants(n, conn.ACK())
		if got := b.state(conn); got != affinity.StateTCPEstablished {
			t.Errorf("%v after the client's ACK, want ESTABLISHED", got)
		}
		b.wait(5 * time.Second)
	}
}

// TestAnACKOpensNothingClosedThatWasNeverOpen: a sloppy service's first segment may close
// its connection at once, and its client is as unknown after that.
func TestAnACKOpensNothingClosedThatWasNeverOpen(t *testing.T) {
	b := newBed(t, small)
	vs := tcpService(80)
	vs.Sloppy = true
	b.serve(vs, "10.0.0.1")
	conn := IPv4(client, vip).TCP(1, 80)
	b.wants(1, conn.FIN())
	b.wants(1, conn.ACK())
	if got := b.state(conn); got != affinity.StateTCPClose {
		t.Errorf("%v, want CLOSE", got)
	}
}

// TestWhatBeginsAnewOverARemovedServer: the kernel asks whether a connection has ended
// before it asks for its server.
func TestWhatBeginsAnewOverARemovedServer(t *testing.T) {
	tcp, sctp := IPv4(client, vip).TCP(1, 80), IPv4(client, vip).SCTP(1, 80)
	init := sctp.Chunk(packet.ChunkInit)
	established := []Packet{init, sctp.Chunk(packet.ChunkCookieEcho)}
	closed := append(established, sctp.Chunk(packet.ChunkAbort))
	reset := []Packet{tcp.SYN(), tcp.ACK(), tcp.RST()}
	for _, test := range []struct {
		name           string
		before         []Packet
		then           Packet
		anew, template bool
	}{
		{"CLOSE", reset, tcp.SYN(), true, false},
		{"CLOSE, not a SYN", reset, tcp.ACK(), false, false},
		{"CLOSE, with a template", reset, tcp.SYN(), false, true},
		{"TIME_WAIT", []Packet{tcp.SYN(), tcp.FIN()}, tcp.SYN(), true, false},
		{"FIN_WAIT", []Packet{tcp.SYN(), tcp.ACK(), tcp.FIN()}, tcp.SYN(), false, false},
		{"ESTABLISHED", []Packet{tcp.SYN(), tcp.ACK()}, tcp.SYN(), false, false},
		{"SYN_RECV", []Packet{tcp.SYN()}, tcp.SYN(), false, false},
		{"CLOSED", closed, init, true, false},
		{"CLOSED, not an INIT", closed, sctp, false, false},
		{"INIT1", []Packet{init}, init, false, false},
		{"SCTP ESTABLISHED", established, init, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, small)
			b.rules = []marks.Rule{rule(1)}
			vs := markService(1)
			vs.Persistent = test.template
			s := b.serve(vs, "10.0.0.1", "10.0.0.2")
			n := b.server(test.before[0])
			for _, p := range test.before[1:] {
				b.wants(n, p)
			}
			b.remove(s, n)
			if test.anew {
				b.wants(3-n, test.then)
			} else {
				b.drops(ServerGone, test.then)
			}
		})
	}
}
