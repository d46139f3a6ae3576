package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// What the express lane does with packets is held to what the forwarder does by a
// test of package dataplane. Here is how the lane is opened, outlives directors and
// ends.

// laneConfig is small tables of both families.
var laneConfig = affinity.Config{Connections4: 100, Connections6: 100, Templates4: 1, Templates6: 1, Servers: 8}

// laneServer is the number of the one server, and laneID that with a generation.
const (
	laneServer = 5
	laneID     = laneServer | 3<<20
)

var (
	day      = affinity.Ticks(24 * time.Hour)
	laneMACs = [12]byte{2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 0xd}
	known4   = packettest.IPv4(client, vip).TCP(40000, 80).ACK()
	known6   = packettest.IPv6(client6, vip6).TCP(40000, 80).ACK()
	known    = []packettest.Packet{known4, known6, packettest.IPv4(client, vip).UDP(40000, 53), packettest.IPv6(client6, vip6).UDP(40000, 53)}
)

// laneServers is the server, behind the interface that [Steering.Run] has frames come by.
func laneServers() []Server {
	s := Server{ID: laneID, Interface: 1, Ways: Back, MACs: laneMACs}
	for i := range s.Timeouts {
		s.Timeouts[i] = uint32(day)
	}
	return []Server{s}
}

// formatTables makes empty tables in memory.
func formatTables(tb testing.TB, m *TableMemory, config affinity.Config) *affinity.Tables {
	tb.Helper()
	tables, err := affinity.Format(m.Bytes(), config)
	if err != nil {
		tb.Fatal(err)
	}
	return tables
}

// established is what connections begin with: with a packet in each direction, for a day.
var established = affinity.ConnInit{Server: laneID, State: affinity.StateTCPEstablished, Grade: affinity.Assured, Timeout: day}

// connect makes the connections of flows.
func connect(tb testing.TB, tables *affinity.Tables, flows ...packet.Tuple) {
	tb.Helper()
	for _, flow := range flows {
		init := established
		if flow.Protocol == packet.UDP {
			init.State = affinity.StateUDP
		}
		insert(tb, tables, flow, init)
	}
}

func insert(tb testing.TB, tables *affinity.Tables, flow packet.Tuple, init affinity.ConnInit) affinity.Entry {
	tb.Helper()
	key := keyOf(flow)
	e, outcome := tables.Conns.Insert(tables.Conns.Hash(&key), &key, &init, tick(tb))
	if outcome != affinity.Inserted {
		tb.Fatalf("%+v: %s", flow, outcome)
	}
	return e
}

func keyOf(flow packet.Tuple) (key affinity.Key) {
	key.SetConn(&flow)
	return key
}

// tupleOf is the flow of a packet.
func tupleOf(tb testing.TB, p packettest.Packet) packet.Tuple {
	tb.Helper()
	var parsed packet.Parsed
	if m := packet.Parse(p.Frame(tb), &parsed); m != packet.OK {
		tb.Fatal(m)
	}
	return parsed.Tuple
}

func knownFlows(tb testing.TB) (flows []packet.Tuple) {
	for _, p := range known {
		flows = append(flows, tupleOf(tb, p))
	}
	return flows
}

// tick is the tick of now.
func tick(tb testing.TB) affinity.Tick {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		tb.Fatal(err)
	}
	return affinity.TickAt(ts.Nano())
}

// openKnown is openLane over tables with the known connections, pinned if it is.
func openKnown(tb testing.TB, pins *Pins) (*Steering, *TableMemory) {
	tb.Helper()
	memory := openTables(tb, pins, laneConfig.Size())
	connect(tb, formatTables(tb, memory, laneConfig), knownFlows(tb)...)
	s := openLane(tb, pins, memory)
	expectLane(tb, s, true, known...)
	return s, memory
}

// openLane opens a Steering of web services over formatted tables, with the lane open to
// the server.
func openLane(tb testing.TB, pins *Pins, m *TableMemory) *Steering {
	tb.Helper()
	s := openOver(tb, pins, m)
	setServers(tb, s, laneServers())
	return s
}

// openOver is openLane without servers, but those that a former one left.
func openOver(tb testing.TB, pins *Pins, m *TableMemory) *Steering {
	tb.Helper()
	s := open(tb, Options{Pins: pins, Tables: m, Servers: laneConfig.Servers})
	update(tb, s, nil, web())
	setLocals(tb, s, map[int][]MAC{1: {packettest.DirectorMAC}})
	return s
}

func setLocals(tb testing.TB, s *Steering, locals map[int][]MAC) {
	tb.Helper()
	if err := s.SetLocals(locals); err != nil {
		tb.Fatal(err)
	}
}

func setServers(tb testing.TB, s *Steering, servers []Server) {
	tb.Helper()
	if err := s.SetServers(servers); err != nil {
		tb.Fatal(err)
	}
}

// expectLane gives the packets to the program, which is to forward all of them to the
// server, or to leave all of them to sockets that there are not.
func expectLane(tb testing.TB, s *Steering, open bool, packets ...packettest.Packet) {
	tb.Helper()
	want := map[bool]Action{true: Transmit, false: Drop}[open]
	for _, p := range packets {
		frame := p.Frame(tb)
		action, out, err := s.Run(frame)
		if err != nil {
			tb.Fatal(err)
		}
		if action != want {
			tb.Errorf("action %d, want %d: % x", action, want, frame)
			continue
		}
		if open {
			frame = p.TTL(63).Frame(tb)
			copy(frame, laneMACs[:])
		}
		if !bytes.Equal(out, frame) {
			tb.Errorf("action %d with\n% x, want\n% x", action, out, frame)
		}
	}
}

func carried(tb testing.TB, s *Steering, number uint32) Traffic {
	tb.Helper()
	sum, err := s.Carried(number)
	if err != nil {
		tb.Fatal(err)
	}
	return sum
}

// A director that dies leaves the lane open; the next one finds it as it was, over the same
// tables and servers, or closes it.
func TestExpressLaneSurvives(t *testing.T) {
	dir := newPinDir(t)
	pins := openPins(t, dir)
	first, memory := openKnown(t, pins)
	before := carried(t, first, laneServer)
	if before.Packets != uint64(len(known)) || before.Bytes == 0 {
		t.Errorf("carried %+v of %d packets", before, len(known))
	}
	closeAll(t, first, memory, pins)

	pins = openPins(t, dir)
	memory = openTables(t, pins, laneConfig.Size())
	if !memory.Existed() {
		t.Fatal("the tables are new")
	}
	second := openOver(t, pins, memory)
	expectLane(t, second, true, known...)
	if got, want := carried(t, second, laneServer), (Traffic{2 * before.Packets, 2 * before.Bytes}); got != want {
		t.Errorf("carried %+v after the takeover, want %+v", got, want)
	}
	setServers(t, second, laneServers())
	expectLane(t, second, true, known...)
	setServers(t, second, nil)
	expectLane(t, second, false, known...)
	closeAll(t, second, memory, pins)

	pins = openPins(t, dir)
	third := openOver(t, pins, openTables(t, pins, laneConfig.Size()))
	expectLane(t, third, false, known...) // as it was left
	setServers(t, third, laneServers())
	expectLane(t, third, true, known...)
}

// A director that dies while it writes a record leaves one that nobody reads, until the
// next one writes it.
func TestRecordHalfWritten(t *testing.T) {
	dir := newPinDir(t)
	pins := openPins(t, dir)
	first, memory := openKnown(t, pins)
	half := &first.records[laneServer][0]
	half.Store(half.Load() | 1)
	expectLane(t, first, false, known...)
	closeAll(t, first, memory, pins)

	pins = openPins(t, dir)
	second := openOver(t, pins, openTables(t, pins, laneConfig.Size()))
	expectLane(t, second, false, known...)
	setServers(t, second, laneServers())
	expectLane(t, second, true, known...)
}

// Room for another number of servers needs other maps. What is attached keeps the old ones
// until Attach.
func TestRoomForOtherServers(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	pins := openPins(t, newPinDir(t))
	memory := openTables(t, pins, laneConfig.Size())
	connect(t, formatTables(t, memory, laneConfig), knownFlows(t)...)
	var attached uint32 // the program
	for _, servers := range []uint32{8, 100, laneServer} {
		s := open(t, Options{Pins: pins, Tables: memory, Servers: servers})
		if id, _ := runningOn(t, eth0); id != attached {
			t.Errorf("room for %d servers: program %d runs before Attach, want %d", servers, id, attached)
		}
		update(t, s, nil, web())
		expectLane(t, s, false, known...)
		setServers(t, s, laneServers())
		expectLane(t, s, true, known...)
		if got := s.objects.ExpressTraffic.MaxEntries(); got != servers+1 {
			t.Errorf("room for %d servers: %d counters", servers, got)
		}
		if got := carried(t, s, laneServer); got.Packets != uint64(len(known)) {
			t.Errorf("room for %d servers: carried %+v, want %d packets", servers, got, len(known))
		}
		attach(t, s, eth0, Native)
		attached = programID(t, s.objects.XlvsSteer)
		if id, _ := runningOn(t, eth0); id != attached {
			t.Errorf("room for %d servers: program %d runs, want %d", servers, id, attached)
		}
		closeAll(t, s)
	}
}

// A number that there is no room for is refused, and the others stay as they were.
func TestServerWithoutRoom(t *testing.T) {
	s, _ := openKnown(t, nil)
	servers := append(laneServers(), Server{ID: laneConfig.Servers + 1})
	if err := s.SetServers(servers); err == nil || !strings.Contains(err.Error(), "highest number is 8") {
		t.Errorf("number %d: %v", laneConfig.Servers+1, err)
	}
	expectLane(t, s, true, known...)
	for _, number := range []uint32{laneConfig.Servers, laneConfig.Servers + 1, 1 << 20, ^uint32(0)} {
		if got := carried(t, s, number); got != (Traffic{}) {
			t.Errorf("server %d: carried %+v", number, got)
		}
	}
}

// An entry that is not whole, or not as it must be, is for the worker.
func TestExpressLaneLeavesTornEntries(t *testing.T) {
	memory := openTables(t, nil, laneConfig.Size())
	connect(t, formatTables(t, memory, laneConfig), tupleOf(t, known4), tupleOf(t, known6)) // one a table
	s := openLane(t, nil, memory)
	const (
		ident, bind, life, address = 0, 1, 2, 3
		state, own                 = 32, 44
		anyGrade                   = 7 << 36
	)
	for family, p := range []packettest.Packet{known4, known6} {
		slot := liveSlot(t, memory.Bytes(), family)
		for what, change := range map[string]struct {
			word int
			bits uint64
		}{
			"being filled":                    {ident, 2},
			"of a status that is none":        {ident, 1},
			"of another incarnation":          {ident, 1 << 2},
			"of another protocol":             {ident, 1 << 24},
			"of another port":                 {ident, 1 << 32},
			"of another address":              {address, 1 << 63},
			"its life is its predecessor's":   {life, 1 << own},
			"not assured":                     {life, anyGrade},
			"in SYN_RECV":                     {life, (1 ^ 3) << state},
			"in CLOSE":                        {life, (1 ^ 6) << state},
			"expired long ago":                {life, 1 << 31},
			"of a server's former generation": {bind, 1 << 20},
			"of another server":               {bind, 1},
			"of a number that nobody has":     {bind, 1 << 19},
		} {
			word := slot[8*change.word:]
			before := binary.NativeEndian.Uint64(word)
			if change.bits == anyGrade { // it may have risen
				change.bits &= before
			}
			binary.NativeEndian.PutUint64(word, before^change.bits)
			expectLane(t, s, false, p)
			if t.Failed() {
				t.Fatalf("an entry %s was honoured, or written to", what)
			}
			if got := binary.NativeEndian.Uint64(word); got != before^change.bits {
				t.Errorf("an entry %s was written to: %#x, was %#x", what, got, before^change.bits)
			}
			binary.NativeEndian.PutUint64(word, before)
			expectLane(t, s, true, p)
		}
	}
}

// liveSlot is the one slot of a connection table, IPv4's or IPv6's, that has an entry
// (affinity/layout.go).
func liveSlot(t *testing.T, memory []byte, ipv6 int) []byte {
	t.Helper()
	section := binary.NativeEndian.Uint64(memory[3*tableCell+ipv6*16:])
	slots, size := memory[uint32(section)*tableCell:], tableCell/2<<ipv6
	for range section >> 32 * 2 {
		if slots[0]&3 == 2 {
			return slots[:size]
		}
		slots = slots[size:]
	}
	t.Fatal("no entry")
	return nil
}

func mapID(t *testing.T, m *ebpf.Map) ebpf.MapID {
	t.Helper()
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, ok := info.ID()
	if !ok {
		t.Fatal("a map without an id")
	}
	return id
}

// eventuallyGone waits for the kernel to free a map.
func eventuallyGone(t *testing.T, id ebpf.MapID) {
	t.Helper()
	eventually(t, "the map to go", func() bool {
		m, err := ebpf.NewMapFromID(id)
		if err == nil {
			m.Close()
		}
		return errors.Is(err, fs.ErrNotExist)
	})
}

// The program is for the layout that package affinity has, and is loaded over no other.
// Whoever changes the one changes the other, both versions, and what the tests of this package
// know of it.
func TestLayoutOfTheTables(t *testing.T) {
	memory := openTables(t, nil, laneConfig.Size())
	formatTables(t, memory, laneConfig)
	version := memory.Bytes()[tableVersion:]
	open(t, Options{Tables: memory})
	for _, other := range []uint64{0, uint64(steerLayoutTABLES_VERSION) - 1, uint64(steerLayoutTABLES_VERSION) + 1} {
		binary.NativeEndian.PutUint64(version, other)
		if _, err := Open(Options{Tables: memory}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("version %d,", other)) {
			t.Errorf("over tables of version %d: %v", other, err)
		}
	}
}

// A program is not loaded over tables that are closed.
func TestOpenRefusesClosedTables(t *testing.T) {
	gone := openTables(t, nil, laneConfig.Size())
	closeAll(t, gone)
	if _, err := Open(Options{Tables: gone}); err == nil || !strings.Contains(err.Error(), "closed already") {
		t.Errorf("opened over closed tables: %v", err)
	}
}

// New tables name new servers by the numbers of old ones: at no moment does an entry of
// one meet a server of the other. The program that is attached goes on over the old ones of
// both, until it is exchanged; then nothing keeps their memory.
func TestFreshTablesMeetNoOldServer(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	dir := newPinDir(t)
	pins := openPins(t, dir)
	first, old := openKnown(t, pins)
	attach(t, first, eth0, Native)
	gone := []ebpf.MapID{mapID(t, old.array), mapID(t, first.objects.ExpressServers)}
	running := keepProgram(t, first)
	closeAll(t, first, old, pins)

	pins = openPins(t, dir)
	fresh, err := ReplaceTables(pins, laneConfig.Size())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, fresh) })
	connect(t, formatTables(t, fresh, laneConfig), knownFlows(t)...)
	second := openOver(t, pins, fresh)
	expectLane(t, second, false, known...)
	setServers(t, second, nil)
	if action, err := running.Run(&ebpf.RunOptions{Data: known4.Frame(t)}); err != nil || Action(action) != Transmit {
		t.Errorf("the old program: action %d, %v", action, err)
	}
	setServers(t, second, laneServers())
	expectLane(t, second, true, known...)
	closeAll(t, running)
	attach(t, second, eth0, Native)
	for _, id := range gone {
		eventuallyGone(t, id)
	}
}

// keepProgram keeps the program of a Steering beyond its end.
func keepProgram(t *testing.T, s *Steering) *ebpf.Program {
	t.Helper()
	program, err := s.objects.XlvsSteer.Clone()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return program
}

// A record is written when it changes, and only then.
func TestSameServersAgain(t *testing.T) {
	s := open(t, Options{Servers: laneConfig.Servers})
	set := func(servers []Server) uint32 {
		t.Helper()
		setServers(t, s, servers)
		return uint32(s.records[laneServer][0].Load())
	}
	sequence := set(laneServers())
	if again := set(laneServers()); again != sequence || again%2 != 0 {
		t.Errorf("sequence %d, was %d: written again", again, sequence)
	}
	for _, change := range []func(*Server){
		func(s *Server) { s.ID += 1 << 20 },
		func(s *Server) { s.Interface++ },
		func(s *Server) { s.Ways |= Redirected },
		func(s *Server) { s.Method++ },
		func(s *Server) { s.VLAN++ },
		func(s *Server) { s.MTU++ },
		func(s *Server) { s.Port++ },
		func(s *Server) { s.Addr[15]++ },
		func(s *Server) { s.MACs[0] ^= 2 },
		func(s *Server) { s.Timeouts[MaxStates-1]++ },
		func(s *Server) { s.Template++ },
	} {
		servers := laneServers()
		change(&servers[0])
		if next := set(servers); next == sequence {
			t.Errorf("not written: %+v", servers[0])
		} else {
			sequence = next
		}
	}
	if next := set(nil); next == sequence {
		t.Error("not taken back")
	}
	setServers(t, s, nil) // there are none, whatever was written last
}

// A clean stop leaves neither pins nor the tables' memory, though the program had it.
func TestRemoveEndsTheExpressLane(t *testing.T) {
	dir := newPinDir(t)
	pins := openPins(t, dir)
	s, memory := openKnown(t, pins)
	id := mapID(t, memory.array)
	if err := errors.Join(s.Remove(), memory.Remove(), pins.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s after Remove: %v", dir, err)
	}
	eventuallyGone(t, id)
}

// Tables that an older xlvs pinned cannot be put before a program.
func TestOlderTablesAreRefused(t *testing.T) {
	dir := newPinDir(t)
	pins := openPins(t, dir)
	older, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: tableCell, MaxEntries: 64,
		Flags: unix.BPF_F_MMAPABLE | unix.BPF_F_INNER_MAP})
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	if err := older.Pin(filepath.Join(dir, tablesPin)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTables(pins, laneConfig.Size()); err == nil || !strings.Contains(err.Error(), "--fresh-tables") {
		t.Errorf("%v, want --fresh-tables in it", err)
	}
	fresh, err := ReplaceTables(pins, laneConfig.Size()) // what that does
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, fresh)
	formatTables(t, fresh, laneConfig)
	if err := open(t, Options{Tables: fresh}).Close(); err != nil {
		t.Error(err)
	}
}
