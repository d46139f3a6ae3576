package dataplane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/bpf"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// lane is two directors over equal tables. One has the express lane before its
// forwarder, the other does without.
type lane struct {
	tb       testing.TB
	steering *bpf.Steering
	memory   *bpf.TableMemory
	with     *bed
	without  *bed
	plain    []byte // the tables of without
	taken    int    // packets that the express lane forwarded
	lagged   int    // expiries that were a tick behind
}

var laneConfig = affinity.Config{Connections4: 500, Connections6: 500, Templates4: 300, Templates6: 300, Servers: bedServers}

// newLane is a lane over new tables, whose steering program claims everything that is for
// the MAC address that packets of the tests have.
func newLane(tb testing.TB) *lane {
	tb.Helper()
	memory, err := bpf.OpenTables(nil, laneConfig.Size())
	if err != nil {
		tb.Fatal(err)
	}
	tables, err := affinity.Format(memory.Bytes(), laneConfig)
	if err != nil {
		tb.Fatal(err)
	}
	l := &lane{tb: tb, memory: memory, with: newBedOver(tb, tables, laneConfig), plain: anonymous(tb, laneConfig.Size())}
	copy(l.plain, memory.Bytes()) // the secret, too
	same, err := affinity.Attach(l.plain, laneConfig)
	if err != nil {
		tb.Fatal(err)
	}
	l.without = newBedOver(tb, same, laneConfig)
	if l.steering, err = bpf.Open(bpf.Options{Tables: memory, Servers: bedServers}); err != nil {
		tb.Fatal(err)
	}
	if err := l.steering.Update([]bpf.Rule{{Claimed: true}}, nil); err != nil {
		tb.Fatal(err)
	}
	if err := l.steering.SetLocals(map[int][]bpf.MAC{here: {DirectorMAC}}); err != nil {
		tb.Fatal(err)
	}
	return l
}

// here is the interface that [bpf.Steering.Run] has the frames come by.
const here = 1

func (l *lane) close() {
	if err := errors.Join(l.steering.Close(), l.memory.Close()); err != nil {
		l.tb.Error(err)
	}
}

// each does something with both directors and tells the express lane of the servers.
func (l *lane) each(do func(b *bed)) {
	l.tb.Helper()
	do(l.without)
	do(l.with)
	if err := l.steering.SetServers(l.servers()); err != nil {
		l.tb.Fatal(err)
	}
}

// servers are those of the snapshot in force.
func (l *lane) servers() (servers []bpf.Server) {
	for t := range l.with.plane.Snapshot().Targets() {
		s := bpf.Server{ID: uint32(t.ID), Interface: here, Ways: bpf.Back, VLAN: t.VLAN, MTU: t.MTU, MACs: t.MACs, Template: uint32(t.Template)}
		for number := range s.Timeouts { // TCP's, and UDP's one
			s.Timeouts[number] = uint32(t.Timeouts[affinity.StateTCPNone+affinity.State(number)])
		}
		s.Timeouts[0] = uint32(t.Timeouts[affinity.StateUDP])
		servers = append(servers, s)
	}
	return servers
}

// send gives a frame to both and holds them together: verdict, frame, tables and
// counters. It reports whether the express lane took it.
func (l *lane) send(frame []byte) bool {
	l.tb.Helper()
	now := midTick()
	l.with.now, l.without.now = now, now
	want, plain := l.without.forward(roomy(frame))
	got, out, action := Verdict{}, frame, bpf.Pass
	if len(frame) >= packet.EthernetLen { // what BPF_PROG_RUN takes
		var err error
		if action, out, err = l.steering.Run(frame); err != nil {
			l.tb.Fatal(err)
		}
	}
	if action == bpf.Transmit {
		l.taken++
	} else {
		got, out = l.with.forward(roomy(out))
	}
	if got != want || !bytes.Equal(plain, out) {
		l.tb.Fatalf("action %d: %+v, want %+v\n% x\nbecame % x\nwant   % x", action, got, want, frame, out, plain)
	}
	if late := midTick() != now; late { // an expiry may differ
		copy(l.plain, l.memory.Bytes())
	}
	l.compareTables()
	l.compareTraffic()
	return action == bpf.Transmit
}

// sendToAnother gives the steering program a frame for another host, which is not for a worker
// to see.
func (l *lane) sendToAnother(frame []byte) {
	l.tb.Helper()
	copy(frame, []byte{2, 0xaa, 0xbb, 0xcc, 0xdd, 1})
	before := l.counters()
	action, out, err := l.steering.Run(frame)
	if err != nil {
		l.tb.Fatal(err)
	}
	before[bpf.OtherHost]++
	if after := l.counters(); action != bpf.Pass || !bytes.Equal(out, frame) || after != before {
		l.tb.Fatalf("for another host: action %d, counted %v, want %v\n% x\nbecame % x", action, after, before, frame, out)
	}
	l.compareTables()
	l.compareTraffic()
}

func (l *lane) counters() bpf.Counters {
	l.tb.Helper()
	c, err := l.steering.Counters()
	if err != nil {
		l.tb.Fatal(err)
	}
	return c
}

// compareTables holds the tables together, word for word. An expiry may be a tick
// behind once or twice: the kernel's coarse clock is, if the CPU that moves it has just
// been stopped.
func (l *lane) compareTables() {
	l.tb.Helper()
	const life = 2 // word of an entry
	with := l.memory.Bytes()[:len(l.plain)]
	if bytes.Equal(with, l.plain) {
		return
	}
	for at := 0; at < len(l.plain); at += 8 {
		a, b := binary.NativeEndian.Uint64(with[at:]), binary.NativeEndian.Uint64(l.plain[at:])
		switch {
		case a == b:
		case a+1 == b && at%32/8 == life && l.lagged < 2:
			l.lagged++
		default:
			l.tb.Fatalf("line %d, word %d: %#x with the express lane, %#x without", at/64, at%64/8, a, b)
		}
	}
	copy(l.plain, with)
}

func (l *lane) compareTraffic() {
	l.tb.Helper()
	l.with.Forwarder.Publish()
	l.without.Forwarder.Publish()
	carried := l.carried()
	for n := range uint32(4) {
		var with, without Traffic
		l.with.Traffic(n, &with)
		l.without.Traffic(n, &without)
		with.Packets += carried[n].Packets
		with.Bytes += carried[n].Bytes
		if with != without {
			l.tb.Fatalf("server %d: %+v with the express lane, %+v without", n, with, without)
		}
	}
}

func (l *lane) carried() map[uint32]bpf.Traffic {
	sums := map[uint32]bpf.Traffic{}
	for n := range uint32(4) {
		sum, err := l.steering.Carried(n)
		if err != nil {
			l.tb.Fatal(err)
		}
		sums[n] = sum
	}
	return sums
}

// wait lets time go by, by taking it from every entry's life.
func (l *lane) wait(d time.Duration) {
	ticks := affinity.Ticks(d)
	for _, memory := range [][]byte{l.memory.Bytes(), l.plain} {
		age(memory, uint32(ticks))
	}
}

// age takes ticks from the expiry of every slot (affinity/layout.go).
func age(memory []byte, ticks uint32) {
	word := func(line, n int) []byte { return memory[line*64+n*8:] }
	for table := range 4 {
		section := binary.NativeEndian.Uint64(word(3, 2*table))
		first, buckets := int(uint32(section)), int(section>>32)
		step := 4 // words a slot
		if table%2 == 1 {
			step = 8
		}
		for slot := range 2 * buckets {
			life := word(first, slot*step+2)
			if word(first, slot*step)[0]&3 == 2 {
				binary.NativeEndian.PutUint32(life, binary.NativeEndian.Uint32(life)-ticks)
			}
		}
	}
}

// midTick is the tick of now, which the kernel's coarse clock agrees with: it lags
// behind by up to ten milliseconds.
func midTick() affinity.Tick {
	for {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic(err)
		}
		const tick = int64(time.Second) / affinity.TicksPerSecond
		if phase := ts.Nano() % tick; phase > int64(12*time.Millisecond) && phase < tick-int64(2*time.Millisecond) {
			return affinity.TickAt(ts.Nano())
		}
	}
}

// serveLane has a service of each kind: under a mark with persistence, whose packets
// refresh the template or not, and by address without, for both families.
func serveLane(b *bed, refresh service.Refresh) {
	timeouts := defaultTimeouts
	timeouts.UDP, timeouts.Established, timeouts.Close = 3*time.Second, 20*time.Second, time.Second
	persistence := service.Persistence{Timeout: 10 * time.Second, Refresh: refresh}
	b.rules = []marks.Rule{rule(1, 80, 443, 53)}
	b.serve(service.VirtualService{Key: service.Key{Mark: 1}, Persistent: true, Persistence: persistence, Timeouts: timeouts}, "10.0.0.1", "10.0.0.2")
	b.serve(service.VirtualService{Key: service.Key{Mark: 1, IPv6: true}, Persistent: true, Persistence: persistence, Timeouts: timeouts}, "fd00::1")
	b.serve(service.VirtualService{Key: service.Key{Protocol: packet.TCP, Addr: netip.MustParseAddr(vip), Port: 8080}, Timeouts: timeouts}, "10.0.0.3")
}

// The express lane does what the forwarder would do: whatever packets come, with
// it and without it the same frames leave, and tables and counters are the same.
func TestExpressLaneIsTheForwardersShortcut(t *testing.T) {
	taken := 0
	fewer(t, 50) // longer ones: what costs is to make the tables
	rapid.Check(t, func(r *rapid.T) {
		l := newLane(t)
		defer l.close()
		refresh := rapid.SampledFrom([]service.Refresh{service.RefreshPacket, service.RefreshConnection}).Draw(r, "refresh")
		l.each(func(b *bed) { serveLane(b, refresh) })
		gone := false
		partial := rapid.Bool().Draw(r, "partial")
		l.each(func(b *bed) { b.ports = []Port{{Interface: here, Partial: partial}} })
		if err := l.steering.SetPartial(map[int]bool{here: partial}); err != nil {
			t.Fatal(err)
		}
		vlan := rapid.SampledFrom([]uint16{0, 0, 7}).Draw(r, "VLAN")
		l.each(func(b *bed) {
			b.behind(func(h *service.NextHop) {
				h.MTU = 100
				if h.Dst == serverMAC(2) {
					h.VLAN = vlan
				}
			})
		})
		for source := range uint16(4) {
			for _, p := range []Packet{IPv4(client, vip), IPv6("2001:db8:c::1", vip6)} {
				for _, flags := range []uint8{packet.SYN, packet.ACK} {
					l.send(p.TCP(source+1, 80).Flags(flags).Frame(t))
					l.send(p.UDP(source+1, 53).Frame(t))
				}
			}
		}
		for range rapid.IntRange(100, 300).Draw(r, "steps") {
			switch rapid.IntRange(0, 30).Draw(r, "step") {
			case 30: // rapid draws low numbers more often
				l.wait(time.Duration(rapid.IntRange(1, 12_000).Draw(r, "wait")) * time.Millisecond)
			case 29: // the neighbour of a server comes and goes
				gone = !gone
				l.each(func(b *bed) {
					for id, hop := range b.hops {
						hop.Port = 0
						if gone && id.Number() == 1 {
							hop.Port = NoPort
						}
						b.hops[id] = hop
					}
					b.publish()
				})
			case 28:
				l.sendToAnother(drawPacket(r).Frame(t))
			case 27:
				l.send(leaveSum(drawPacket(r).Frame(t)))
			default:
				l.send(drawPacket(r).Frame(t))
			}
		}
		taken += l.taken
	})
	if taken < 300 {
		t.Errorf("the express lane took %d packets: too few to tell", taken)
	}
	t.Logf("the express lane took %d packets", taken)
}

// leaveSum leaves the checksum of a TCP segment or UDP datagram partial.
func leaveSum(frame []byte) []byte {
	var p packet.Parsed
	at := 0
	if packet.Parse(frame, &p) == packet.OK && p.Kind == packet.KindFlow {
		at = map[packet.Protocol]int{packet.TCP: 16, packet.UDP: 6}[p.Tuple.Protocol]
	}
	if at != 0 {
		body := frame[p.L4 : p.L3+p.Len]
		pseudo := packet.PseudoHeader(p.Tuple.Src, p.Tuple.Dst, p.Tuple.Protocol, len(body))
		binary.BigEndian.PutUint16(body[at:], ^pseudo.Checksum())
	}
	return frame
}

// fewer is how many times rapid checks what this test has it check.
func fewer(t *testing.T, checks int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	before := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(checks)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Value.Set(before) })
}

// drawPacket is a packet of a few clients, mostly the middle of a connection.
func drawPacket(r *rapid.T) Packet {
	p := IPv4(client, vip)
	if rapid.IntRange(0, 2).Draw(r, "family") == 2 {
		p = IPv6("2001:db8:c::1", vip6)
		if rapid.IntRange(0, 4).Draw(r, "extension") == 4 {
			p = p.Through(HopByHop(8))
		}
	}
	source := uint16(rapid.IntRange(1, 4).Draw(r, "source"))
	destination := rapid.SampledFrom([]uint16{80, 80, 443, 53, 8080, 9}).Draw(r, "destination")
	if rapid.IntRange(0, 9).Draw(r, "tag") == 9 {
		p = p.VLAN(7)
	}
	p = p.Payload(rapid.IntRange(0, 80).Draw(r, "payload")).TTL(rapid.SampledFrom([]uint8{64, 64, 64, 255, 2, 1, 0}).Draw(r, "TTL"))
	switch rapid.IntRange(0, 8).Draw(r, "protocol") {
	case 6, 7:
		p = p.UDP(source, destination)
	case 8:
		p = p.SCTP(source, destination).Chunk(uint8(rapid.IntRange(0, 15).Draw(r, "chunk")))
	default:
		p = p.TCP(source, destination)
		if rapid.IntRange(0, 3).Draw(r, "plain") != 3 {
			p = p.ACK()
		} else {
			p = p.Flags(rapid.Byte().Draw(r, "flags"))
		}
		if rapid.IntRange(0, 15).Draw(r, "opening") == 15 {
			p = p.SYN()
		}
		if rapid.IntRange(0, 19).Draw(r, "lie") == 19 {
			p = p.DataOffset(uint8(rapid.IntRange(0, 15).Draw(r, "offset")))
		}
	}
	if rapid.IntRange(0, 19).Draw(r, "fragment") == 19 {
		p = p.ID(uint32(source)).Fragment(0, 32, true)
	}
	return p
}

// What goes by the express lane, and what needs the worker.
func TestWhatTheExpressLaneTakes(t *testing.T) {
	l := newLane(t)
	defer l.close()
	l.each(func(b *bed) { serveLane(b, service.RefreshConnection) })
	tcp, tcp6, udp := IPv4(client, vip).TCP(1000, 80), IPv6("2001:db8:c::1", vip6).TCP(1000, 80), IPv4(client, vip).UDP(1000, 53)
	for _, step := range []struct {
		what string
		p    Packet
		lane bool
	}{
		{"a SYN", tcp.SYN(), false},
		{"the ACK that establishes", tcp.ACK(), false},
		{"data", tcp.ACK().Payload(100), true},
		{"data with all flags that do not matter", tcp.ACK().Flags(packet.PSH | packet.URG | 0xc0), true},
		{"data behind options", IPv4(client, vip).Options(8).TCP(1000, 80).TCPOptions(12).ACK(), true},
		{"a first fragment", tcp.ACK().Payload(100).ID(7).Fragment(0, 64, true), false},
		{"a later fragment", tcp.ACK().Payload(100).ID(7).Fragment(64, 120, false), false},
		{"a data offset that lies", tcp.ACK().DataOffset(15), false},
		{"no flag at all", tcp, false},
		{"a client that is new", IPv4("192.0.2.9", vip).TCP(1000, 80).ACK(), false},
		{"a SYN, IPv6", tcp6.SYN(), false},
		{"the ACK, IPv6", tcp6.ACK(), false},
		{"data, IPv6", tcp6.ACK().Payload(100), true},
		{"data behind an extension header", IPv6("2001:db8:c::1", vip6).Through(HopByHop(8)).TCP(1000, 80).ACK(), true},
		{"a datagram that opens", udp, false},
		{"the one that assures", udp, false},
		{"the next", udp, true},
		{"a length that lies", udp.UDPLength(100), false},
		{"a FIN", tcp.ACK().FIN(), false},
		{"what follows a FIN", tcp.ACK(), true},
		{"an SCTP packet", IPv4(client, vip).SCTP(1000, 80).Chunk(packet.ChunkInit), false},
		{"a reset", tcp6.RST(), false},
		{"what brings it back", tcp6.ACK(), false},
		{"what follows that", tcp6.ACK(), true},
		{"another reset", tcp6.RST(), false},
	} {
		if step.what == "no flag at all" { // closes the connection: on one of its own
			l.send(IPv4(client, vip).TCP(1001, 80).SYN().Frame(t))
			step.p = IPv4(client, vip).TCP(1001, 80)
		}
		if got := l.send(step.p.Frame(t)); got != step.lane {
			t.Errorf("%s: by the express lane %v, want %v", step.what, got, step.lane)
		}
	}
	l.wait(2 * time.Second)
	if l.send(tcp6.ACK().Frame(t)) {
		t.Error("a packet of an expired connection went by the express lane")
	}
}

// An entry away from its home bucket is found, too.
func TestExpressLaneFindsEveryConnection(t *testing.T) {
	l := newLane(t)
	defer l.close()
	l.each(func(b *bed) { serveLane(b, service.RefreshConnection) })
	for _, p := range []Packet{IPv4(client, vip), IPv6("2001:db8:c::1", vip6)} {
		for port := range uint16(480) {
			l.send(p.TCP(port+1000, 80).SYN().Frame(t))
			l.send(p.TCP(port+1000, 80).ACK().Frame(t))
		}
		for port := range uint16(480) {
			if !l.send(p.TCP(port+1000, 80).ACK().Frame(t)) {
				t.Fatalf("port %d went to the worker", port+1000)
			}
		}
	}
}

// A connection that only the express lane sees lives on, and so does its template
// if packets refresh it.
func TestExpressLaneKeepsConnectionsAlive(t *testing.T) {
	for _, refresh := range []service.Refresh{service.RefreshPacket, service.RefreshConnection} {
		l := newLane(t)
		l.each(func(b *bed) { serveLane(b, refresh) })
		const clients = 200 // in both halves of the buckets
		packets := make([]Packet, clients)
		for i := range packets {
			packets[i] = IPv4(fmt.Sprintf("192.0.2.%d", i), vip).TCP(1000, 80)
			l.send(packets[i].SYN().Frame(t))
			l.send(packets[i].ACK().Frame(t))
		}
		for range 3 {
			l.wait(5 * time.Second)
			for _, p := range packets {
				if !l.send(p.ACK().Frame(t)) {
					t.Fatal("went to the worker")
				}
			}
		}
		refreshed := 0
		l.with.tables.Templates.Range(midTick(), func(t affinity.Template) bool {
			if t.Expiry.Since(midTick()) > 0 {
				refreshed++
			}
			return true
		})
		if want := map[service.Refresh]int{service.RefreshPacket: clients}[refresh]; refreshed != want {
			t.Errorf("refresh %d: %d templates live on, want %d", refresh, refreshed, want)
		}
		l.close()
	}
}

// newKnownLane is newLane with services, and a connection that the lane takes packets of.
func newKnownLane(t *testing.T) (*lane, Packet) {
	t.Helper()
	l := newLane(t)
	l.each(func(b *bed) { serveLane(b, service.RefreshConnection) })
	p := IPv4(client, vip).TCP(1000, 80)
	l.send(p.SYN().Frame(t))
	l.send(p.ACK().Frame(t))
	return l, p
}

// setServers tells the express lane of the servers as changed.
func (l *lane) setServers(change func(*bpf.Server)) error {
	servers := l.servers()
	for i := range servers {
		change(&servers[i])
	}
	return l.steering.SetServers(servers)
}

// A partial checksum is for the worker to complete, where there may be one; elsewhere it is
// like any other.
func TestExpressLaneLeavesPartialChecksums(t *testing.T) {
	l, tcp := newKnownLane(t)
	defer l.close()
	tcp6, udp := IPv6("2001:db8:c::1", vip6).TCP(1000, 80), IPv4(client, vip).UDP(1000, 53)
	for _, p := range []Packet{tcp6.SYN(), tcp6.ACK(), udp, udp} {
		l.send(p.Frame(t))
	}
	packets := map[string]Packet{"TCP": tcp.ACK(), "IPv6": tcp6.ACK().Payload(33), "UDP": udp.Payload(7), "options": tcp.ACK().Options(8)}
	for _, where := range []map[int]bool{{here: true}, {here + 1: true}, {here: true}, nil} {
		l.each(func(b *bed) { b.ports = []Port{{Interface: here, Partial: where[here]}}; b.publish() })
		if err := l.steering.SetPartial(where); err != nil {
			t.Fatal(err)
		}
		for name, p := range packets {
			if !l.send(p.Frame(t)) {
				t.Errorf("%s, partial sums by %v: a whole one went to the worker", name, where)
			}
			if taken := l.send(leaveSum(p.Frame(t))); taken == where[here] {
				t.Errorf("%s, partial sums by %v: a partial one by the lane %v", name, where, taken)
			}
		}
	}
}

// Without the servers' records, or closed, the lane takes nothing.
func TestExpressLaneClosed(t *testing.T) {
	l, p := newKnownLane(t)
	defer l.close()
	send := func(change func(*bpf.Server)) func() error {
		return func() error { return l.setServers(change) }
	}
	steps := []struct {
		what string
		do   func() error
		lane bool
	}{
		{"open", func() error { return nil }, true},
		{"without servers", func() error { return l.steering.SetServers(nil) }, false},
		{"with them again", func() error { l.each(func(*bed) {}); return nil }, true},
		{"the numbers are of other servers", send(func(s *bpf.Server) { s.ID += 1 << service.NumberBits }), false},
		{"the way out is another interface", send(func(s *bpf.Server) { s.Interface = 2 }), false},
		{"as it was", send(func(*bpf.Server) {}), true},
		{"by another method", send(func(s *bpf.Server) { s.Method++ }), false},
		{"behind a VLAN", send(func(s *bpf.Server) { s.VLAN = 7 }), false},
		{"behind a link that is too narrow", send(func(s *bpf.Server) { s.MTU = 39 }), false},
		{"behind one that is not", send(func(s *bpf.Server) { s.MTU = 40 }), true},
		{"for the kernel to stand in", func() error { return l.steering.SetFallback(bpf.FallbackPass) }, false},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		if got := l.send(p.ACK().Frame(t)); got != s.lane {
			t.Errorf("%s: by the express lane %v, want %v", s.what, got, s.lane)
		}
	}
}

// By an interface that sends nothing back, or another one, packets are redirected, if
// that takes them.
func TestExpressLaneRedirects(t *testing.T) {
	l, p := newKnownLane(t)
	defer l.close()
	const other = 2
	for _, c := range []struct {
		by   int
		ways bpf.Ways
		want bpf.Action
	}{
		{here, bpf.Back, bpf.Transmit},
		{here, bpf.Back | bpf.Redirected, bpf.Transmit},
		{here, bpf.Redirected, bpf.Redirect},
		{other, bpf.Redirected, bpf.Redirect},
		{other, bpf.Back | bpf.Redirected, bpf.Redirect},
		{other, bpf.Back, bpf.Drop}, // to the worker, and there is no socket
		{here, 0, bpf.Drop},
	} {
		if err := l.setServers(func(s *bpf.Server) { s.Interface, s.Ways = c.by, c.ways }); err != nil {
			t.Fatal(err)
		}
		before, err := l.steering.Counters()
		if err != nil {
			t.Fatal(err)
		}
		frame := p.ACK().Frame(t)
		action, out, err := l.steering.Run(frame)
		if err != nil {
			t.Fatal(err)
		}
		after, err := l.steering.Counters()
		if err != nil {
			t.Fatal(err)
		}
		taken := c.want != bpf.Drop
		if express := after[bpf.Express] - before[bpf.Express]; action != c.want || (express == 1) != taken {
			t.Errorf("interface %d, ways %d: action %d, %d by the express lane; want action %d", c.by, c.ways, action, express, c.want)
		}
		if rewritten := !bytes.Equal(out[:12], frame[:12]); rewritten != taken {
			t.Errorf("interface %d, ways %d: rewritten %v", c.by, c.ways, rewritten)
		}
	}
}
