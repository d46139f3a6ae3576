package bpf

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// A connection goes on when nobody claims its flow any more: its packets are forwarded, or
// go to the worker, with all that belongs to them.
func TestConnectionBeforeClaims(t *testing.T) {
	memory := openTables(t, nil, laneConfig.Size())
	tables := formatTables(t, memory, laneConfig)
	connect(t, tables, knownFlows(t)...)
	sctp := packettest.IPv4(client, vip).SCTP(40000, 36412)
	association := established
	association.State = affinity.StateSCTPEstablished
	insert(t, tables, tupleOf(t, sctp), association)
	fragments := []packettest.Packet{
		known4.Payload(64).ID(7).Fragment(40, 999, false),
		known6.Payload(64).ID(1<<17).Fragment(40, 999, false),
	}
	for _, p := range fragments {
		noteFragments(t, tables, p)
	}
	s := openLane(t, nil, memory)
	update(t, s, nil, nil)
	expectLane(t, s, true, known...)
	expectLane(t, s, true, known4.Options(8), known6.Through(packettest.HopByHop(8)))
	for name, c := range map[string]struct {
		packet packettest.Packet
		want   Reason
	}{
		"a FIN":                  {known4.FIN(), ClaimedFlow},
		"a SYN":                  {known6.SYN(), ClaimedFlow},
		"a tag":                  {known4.VLAN(7), ClaimedFlow},
		"the last hop":           {known4.TTL(1), ClaimedFlow},
		"the last hop, IPv6":     {known6.TTL(1), ClaimedFlow},
		"SCTP":                   {sctp, ClaimedFlow},
		"a first fragment":       {known4.Payload(64).Fragment(0, 40, true), ClaimedFlow},
		"a later fragment":       {fragments[0], ClaimedFragment},
		"a later fragment, IPv6": {fragments[1], ClaimedFragment},
		"of another packet":      {known4.Payload(64).ID(8).Fragment(40, 999, false), Unclaimed},
		"an error about it":      {packettest.IPv4(router, vip).Unreachable(reply()), ClaimedError},
		"an error, IPv6": {
			packettest.IPv6(router6, vip6).TooBig(1400, reply6()), ClaimedError,
		},
		"another client port":  {packettest.IPv4(client, vip).TCP(40001, 80).ACK(), Unclaimed},
		"another virtual port": {packettest.IPv4(client, vip).TCP(40000, 81).ACK(), Unclaimed},
	} {
		if got := reasonOf(t, s, c.packet.Frame(t)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// noteFragments makes the entry of a packet's fragments.
func noteFragments(t *testing.T, tables *affinity.Tables, p packettest.Packet) {
	t.Helper()
	var parsed packet.Parsed
	m := packet.Parse(p.Frame(t), &parsed)
	if m != packet.OK || parsed.Kind != packet.KindFragment {
		t.Fatalf("%s, kind %d", m, parsed.Kind)
	}
	var key affinity.Key
	key.SetFragment(&parsed.Tuple, parsed.FragmentID)
	init := affinity.ConnInit{Server: laneID, State: affinity.StateFragment, Timeout: day}
	_, outcome := tables.Conns.Insert(tables.Conns.Hash(&key), &key, &init, tick(t))
	if outcome != affinity.Inserted {
		t.Fatal(outcome)
	}
}

// Where the kernel stands in, it has the known connections, too.
func TestKnownConnectionsOfAKernelThatStandsIn(t *testing.T) {
	s, _ := openKnown(t, nil)
	if err := s.SetFallback(FallbackPass); err != nil {
		t.Fatal(err)
	}
	for _, p := range known {
		if action, _, err := s.Run(p.Frame(t)); err != nil || action != Pass {
			t.Errorf("action %d, %v", action, err)
		}
	}
}

// Of segments without a connection, so many a second and CPU get through. What opens a
// connection, has one, is nobody's, or is not TCP is not counted among them.
func TestNoConnectionLimit(t *testing.T) {
	s, _ := openKnown(t, nil)
	onOneCPU(t)
	const limit = 5
	if err := s.SetNoConnectionLimit(limit); err != nil {
		t.Fatal(err)
	}
	stranger4 := packettest.IPv4(client, vip).TCP(1, 80)
	stranger6 := packettest.IPv6(client6, vip6).TCP(1, 80)
	strangers := []packettest.Packet{
		stranger4.ACK(), stranger4.RST(), stranger4.FIN(), stranger4, stranger6.ACK(),
		stranger4.SYN().RST(),
		stranger4.ACK().VLAN(7), stranger6.ACK().Through(packettest.HopByHop(8)),
	}
	if through := throughInOneSecond(t, s, strangers, 6*limit); through != limit {
		t.Errorf("%d segments a second got through, want %d", through, limit)
	}
	for _, p := range []packettest.Packet{
		stranger4.SYN(), stranger6.SYN(), stranger4.SYN().ACK(), known4.FIN(),
		packettest.IPv4(client, vip).UDP(1, 53), packettest.IPv4(client, vip).SCTP(1, 36412),
	} {
		if got := reasonOf(t, s, p.Frame(t)); got != ClaimedFlow {
			t.Errorf("%s: % x", got, p.Frame(t))
		}
	}
	unclaimed := packettest.IPv4(client, vip).TCP(1, 22).ACK()
	if got := reasonOf(t, s, unclaimed.Frame(t)); got != Unclaimed {
		t.Errorf("to a port that nobody claims: %s", got)
	}
	expectLane(t, s, true, known...)
	if err := s.SetNoConnectionLimit(0); err != nil {
		t.Fatal(err)
	}
	if through := throughInOneSecond(t, s, strangers, 6*limit); through != 6*limit {
		t.Errorf("%d of %d segments got through without a limit", through, 6*limit)
	}
}

// throughInOneSecond sends so many frames within one second of the program's clock, and
// counts those that are not dropped for want of a connection.
func throughInOneSecond(t *testing.T, s *Steering, packets []packettest.Packet, frames int) int {
	t.Helper()
	for {
		// The program's clock may be late by less than a tick.
		for tick(t)%affinity.TicksPerSecond != 1 {
			time.Sleep(time.Millisecond)
		}
		began, through := tick(t)/affinity.TicksPerSecond, 0
		for i := range frames {
			if reasonOf(t, s, packets[i%len(packets)].Frame(t)) == ClaimedFlow {
				through++
			}
		}
		if tick(t)/affinity.TicksPerSecond == began {
			return through
		}
	}
}

// onOneCPU keeps the test on the processor that it is on.
func onOneCPU(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}
