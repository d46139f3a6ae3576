package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

const benchBatch = 64

// BenchmarkForward prices the balancer's own work: one packet an op, from the
// frame's bytes to the verdict and the rewritten frame, with counters, state and
// timers, in batches of 64. state=hit are packets of known connections in random
// order; state=new are first packets of clients that are new too, so each makes
// a connection entry and a persistence template under a firewall mark. The
// frames stay in the cache, as they do when a NIC delivers them; writing the flow
// into the frame, some 2 ns, is part of the figure.
func BenchmarkForward(b *testing.B) {
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, state := range []string{"hit", "new"} {
			for _, flows := range []int{4096, 1 << 20} {
				b.Run(fmt.Sprintf("family=%s/method=direct/state=%s/flows=%d", family, state, flows), func(b *testing.B) {
					benchmarkForward(b, family == "ipv6", state == "new", flows)
				})
			}
		}
	}
}

func benchmarkForward(b *testing.B, ipv6, fresh bool, flows int) {
	w := newBenchBed(b, ipv6)
	frames := make([]Frame, benchBatch)
	for i := range frames {
		frames[i] = FrameOf(benchFrame(ipv6))
	}
	verdicts := make([]Verdict, benchBatch)
	order := rand.New(rand.NewPCG(1, 2)).Perm(flows)
	flags := packet.SYN
	if !fresh {
		w.all(b, frames, verdicts, order, packet.SYN, ipv6)
		w.all(b, frames, verdicts, order, packet.ACK, ipv6)
		flags = packet.ACK
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done, at := 0, 0; done < b.N; done += benchBatch {
		n := min(benchBatch, b.N-done)
		if at+n > flows {
			at = 0
			if fresh {
				b.StopTimer()
				w.forget()
				b.StartTimer()
			}
		}
		for i := range n {
			setFlow(frames[i].Bytes(), ipv6, uint32(order[at+i]), flags)
		}
		at += n
		w.Forward(frames[:n], 1, w.now, verdicts)
	}
	b.StopTimer()
	for _, v := range verdicts[:min(benchBatch, b.N)] {
		if v.Reason != Forwarded {
			b.Fatalf("a packet was not forwarded: %v", v.Reason)
		}
	}
}

// newBenchBed is a director with a marked, persistent service of 8 servers and
// room for a million and a half of each kind of entry.
func newBenchBed(tb testing.TB, ipv6 bool) *bed {
	const room = 3 << 19
	config := affinity.Config{Connections4: room, Templates4: room}
	vip, servers := "203.0.113.10/32", make([]string, 8)
	for i := range servers {
		servers[i] = fmt.Sprintf("10.0.0.%d", 11+i)
	}
	if ipv6 {
		config = affinity.Config{Connections6: room, Templates6: room}
		vip = "2001:db8::10/128"
		for i := range servers {
			servers[i] = fmt.Sprintf("fd00::%d", 11+i)
		}
	}
	w := newBed(tb, config)
	w.rules = []marks.Rule{{
		Mark: 80, Protocols: []packet.Protocol{packet.TCP},
		Destinations:     []netip.Prefix{netip.MustParsePrefix(vip)},
		DestinationPorts: []marks.Ports{marks.Port(80), marks.Port(443)},
	}}
	w.serve(service.VirtualService{
		Key: service.Key{Mark: 80, IPv6: ipv6}, SchedulerName: "wrr", Persistent: true,
		Persistence: service.Persistence{Timeout: 5 * time.Minute},
	}, servers...)
	return w
}

// all sends one packet of each flow.
func (w *bed) all(tb testing.TB, frames []Frame, verdicts []Verdict, order []int, flags uint8, ipv6 bool) {
	for at := 0; at < len(order); at += len(frames) {
		n := min(len(frames), len(order)-at)
		for i := range n {
			setFlow(frames[i].Bytes(), ipv6, uint32(order[at+i]), flags)
		}
		w.Forward(frames[:n], 1, w.now, verdicts)
		for i := range n {
			if verdicts[i].Reason != Forwarded {
				tb.Fatalf("flow %d was not forwarded: %v", order[at+i], verdicts[i].Reason)
			}
		}
	}
}

// forget lets every entry expire and sweeps it out.
func (w *bed) forget() {
	w.now += affinity.Ticks(time.Hour)
	for range 3 { // connections hold templates, so those go a pass later
		w.sweep()
	}
}

// sweep makes one whole pass.
func (w *bed) sweep() {
	for !w.tables.Sweep(w.now, 1<<20) {
	}
}

// benchFrame is a TCP packet of 64 bytes to port 80 of the virtual address
// (IPv6: 78 bytes).
func benchFrame(ipv6 bool) []byte {
	var f []byte
	if ipv6 {
		f = append(make([]byte, 12), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64)
		f = append(f, netip.MustParseAddr("2001:db8:c::").AsSlice()...)
		f = append(f, netip.MustParseAddr("2001:db8::10").AsSlice()...)
	} else {
		f = append(make([]byte, 12), 8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0)
		f = append(f, 10, 0, 0, 0, 203, 0, 113, 10)
	}
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12] = 5 << 4
	f = append(f, tcp...)
	return append(f, make([]byte, max(0, 64-len(f)))...)
}

// setFlow makes the frame one of client n: an address of its own.
func setFlow(frame []byte, ipv6 bool, n uint32, flags uint8) {
	l4 := 14 + 20
	if ipv6 {
		l4 = 14 + 40
		frame[14+7] = 64 // hop limit
		binary.BigEndian.PutUint32(frame[14+8+12:], n)
	} else {
		binary.BigEndian.PutUint64(frame[14+8:], 64<<56|6<<48|uint64(10<<24+n)) // TTL, protocol, no checksum, source
	}
	binary.BigEndian.PutUint16(frame[l4:], uint16(1024+n%50000))
	frame[l4+13] = flags
}
