package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
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

// openKnown opens a Steering of web services with its lane open, and the tables that it
// looks into: with the known connections, and pinned if it is.
func openKnown(tb testing.TB, o Options) (*Steering, *TableMemory) {
	tb.Helper()
	s, memory := open(tb, o), openTables(tb, o.PinDir, laneConfig.Size())
	update(tb, s, nil, web())
	connect(tb, formatTables(tb, memory, laneConfig), knownFlows(tb)...)
	openLane(tb, s, memory)
	expectLane(tb, s, true, known...)
	return s, memory
}

// openLane opens the lane to the server, over tables.
func openLane(tb testing.TB, s *Steering, m *TableMemory) {
	tb.Helper()
	if err := s.OpenExpress(m); err != nil {
		tb.Fatal(err)
	}
	if err := s.SetServers(laneServers()); err != nil {
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
			copy(frame, laneMACs[:])
		}
		if !bytes.Equal(out, frame) {
			tb.Errorf("action %d with % x, want % x", action, out, frame)
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

// closeAll closes what ends before the test does.
func closeAll(tb testing.TB, closers ...interface{ Close() error }) {
	tb.Helper()
	for _, c := range closers {
		if err := c.Close(); err != nil {
			tb.Fatal(err)
		}
	}
}

// A director that dies leaves the lane open; the next one finds it as it was, opens
// it again without closing it, or closes it.
func TestExpressLaneSurvives(t *testing.T) {
	dir := newPinDir(t)
	options := Options{PinDir: dir, Servers: laneConfig.Servers}
	first, memory := openKnown(t, options)
	before := carried(t, first, laneServer)
	if before.Packets != uint64(len(known)) || before.Bytes == 0 {
		t.Errorf("carried %+v of %d packets", before, len(known))
	}
	closeAll(t, first, memory)

	second := open(t, options)
	expectLane(t, second, true, known...)
	if got, want := carried(t, second, laneServer), (Traffic{2 * before.Packets, 2 * before.Bytes}); got != want {
		t.Errorf("carried %+v after the takeover, want %+v", got, want)
	}
	update(t, second, nil, web())
	memory = openTables(t, dir, laneConfig.Size())
	if !memory.Existed() {
		t.Fatal("the tables are new")
	}
	openLane(t, second, memory)
	expectLane(t, second, true, known...)
	closeAll(t, second, memory)

	third := open(t, options)
	for range 2 { // the second time it is closed
		if err := third.CloseExpress(); err != nil {
			t.Fatal(err)
		}
		expectLane(t, third, false, known...)
	}
}

// A takeover that knows of nothing to send to closes the lane by saying so.
func TestTakeoverWithoutServers(t *testing.T) {
	dir := newPinDir(t)
	options := Options{PinDir: dir, Servers: laneConfig.Servers}
	first, _ := openKnown(t, options)
	closeAll(t, first)
	second := open(t, options)
	expectLane(t, second, true, known...)
	if err := second.SetServers(nil); err != nil {
		t.Fatal(err)
	}
	expectLane(t, second, false, known...)
}

// Room for another number of servers needs other maps: the lane is closed in them,
// and opens as ever. What is attached keeps the old ones until Attach.
func TestRoomForOtherServers(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	dir := newPinDir(t)
	memory := openTables(t, dir, laneConfig.Size())
	connect(t, formatTables(t, memory, laneConfig), knownFlows(t)...)
	var attached uint32 // the program
	for _, servers := range []uint32{8, 100, laneServer, 0} {
		s := open(t, Options{PinDir: dir, Servers: servers})
		if id, _ := runningOn(t, eth0); id != attached {
			t.Errorf("room for %d servers: program %d runs before Attach, want %d", servers, id, attached)
		}
		update(t, s, nil, web())
		expectLane(t, s, false, known...)
		openLane(t, s, memory)
		expectLane(t, s, true, known...)
		if got := s.objects.ExpressTraffic.MaxEntries(); got != servers+1 {
			t.Errorf("room for %d servers: %d counters", servers, got)
		}
		counted := uint64(0)
		if servers >= laneServer {
			counted = uint64(len(known))
		}
		if got := carried(t, s, laneServer); got.Packets != counted {
			t.Errorf("room for %d servers: carried %+v, want %d packets", servers, got, counted)
		}
		attach(t, s, eth0, Native)
		attached = programID(t, s.objects.XlvsSteer)
		if id, _ := runningOn(t, eth0); id != attached {
			t.Errorf("room for %d servers: program %d runs, want %d", servers, id, attached)
		}
		closeAll(t, s)
	}
}

// A number beyond Options.Servers is sent to, but not counted.
func TestServerBeyondTheCounters(t *testing.T) {
	s, _ := openKnown(t, Options{Servers: laneServer - 1})
	for _, number := range []uint32{laneServer - 1, laneServer, 1 << 20, ^uint32(0)} {
		if got := carried(t, s, number); got != (Traffic{}) {
			t.Errorf("server %d: carried %+v", number, got)
		}
	}
	if got := counters(t, s)[Express]; got != uint64(len(known)) {
		t.Errorf("%d frames by the lane, want %d", got, len(known))
	}
}

// An entry that is not whole, or not as it must be, is for the worker.
func TestExpressLaneLeavesTornEntries(t *testing.T) {
	s, memory := open(t, Options{Servers: laneConfig.Servers}), openTables(t, "", laneConfig.Size())
	update(t, s, nil, web())
	connect(t, formatTables(t, memory, laneConfig), tupleOf(t, known4), tupleOf(t, known6)) // one a table
	openLane(t, s, memory)
	const (
		ident, bind, life, address = 0, 1, 2, 3
		state, grade, own          = 32, 36, 44
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
			"not assured":                     {life, 1 << grade},
			"in SYN_RECV":                     {life, (1 ^ 3) << state},
			"in CLOSE":                        {life, (1 ^ 6) << state},
			"expired long ago":                {life, 1 << 31},
			"of a server's former generation": {bind, 1 << 20},
			"of another server":               {bind, 1},
			"of a number that nobody has":     {bind, 1 << 19},
		} {
			word := slot[8*change.word:]
			before := binary.NativeEndian.Uint64(word)
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

// Other tables take the place of those of an open lane; nothing keeps the memory of
// the old ones then.
func TestExpressLaneChangesTables(t *testing.T) {
	dir := newPinDir(t)
	s, old := open(t, Options{PinDir: dir, Servers: laneConfig.Servers}), openTables(t, dir, laneConfig.Size())
	update(t, s, nil, web())
	connect(t, formatTables(t, old, laneConfig), tupleOf(t, known4))
	openLane(t, s, old)
	expectLane(t, s, true, known4)
	expectLane(t, s, false, known6)
	id := mapID(t, old.array)

	fresh, err := ReplaceTables(dir, laneConfig.Size())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, fresh) })
	expectLane(t, s, true, known4) // the pin is not what the program looks at
	connect(t, formatTables(t, fresh, laneConfig), tupleOf(t, known6))
	openLane(t, s, fresh)
	expectLane(t, s, false, known4)
	expectLane(t, s, true, known6)
	closeAll(t, old)
	eventuallyGone(t, id)
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

// What is refused leaves the lane as it was.
func TestOpenExpressRefusesClosedTables(t *testing.T) {
	s, memory := openKnown(t, Options{Servers: laneConfig.Servers})
	gone := openTables(t, "", laneConfig.Size())
	closeAll(t, gone)
	refused := func(open bool) {
		t.Helper()
		if err := s.OpenExpress(gone); err == nil || !strings.Contains(err.Error(), "closed already") {
			t.Errorf("opened over closed tables: %v", err)
		}
		expectLane(t, s, open, known...)
	}
	refused(true)
	refused(true) // and is not taken to be open
	if err := s.CloseExpress(); err != nil {
		t.Fatal(err)
	}
	refused(false)
	openLane(t, s, memory)
	expectLane(t, s, true, known...)
}

// New tables name new servers by the numbers of old ones: at no moment does an entry of
// one meet a server of the other.
func TestFreshTablesMeetNoOldServer(t *testing.T) {
	dir := newPinDir(t)
	options := Options{PinDir: dir, Servers: laneConfig.Servers}
	first, old := openKnown(t, options)
	closeAll(t, first, old)

	second := open(t, options)
	fresh, err := ReplaceTables(dir, laneConfig.Size())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fresh.Remove() })
	expectLane(t, second, true, known...) // the first one's, still
	connect(t, formatTables(t, fresh, laneConfig), knownFlows(t)...)
	if err := second.OpenExpress(fresh); err != nil {
		t.Fatal(err)
	}
	expectLane(t, second, false, known...)
	openLane(t, second, fresh)
	expectLane(t, second, true, known...)
}

// The servers are written when they change, and only then: a write waits for every
// program that runs.
func TestSameServersAgain(t *testing.T) {
	s := open(t, Options{Servers: laneConfig.Servers})
	inForce := func() (id uint32) {
		t.Helper()
		if err := s.objects.ExpressServers.Lookup(uint32(0), &id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	set := func(servers []Server) uint32 {
		t.Helper()
		if err := s.SetServers(servers); err != nil {
			t.Fatal(err)
		}
		return inForce()
	}
	id := set(laneServers())
	if again := set(laneServers()); again != id {
		t.Errorf("map %d, was %d: written again", again, id)
	}
	for _, change := range []func(*Server){
		func(s *Server) { s.ID++ },
		func(s *Server) { s.Interface++ },
		func(s *Server) { s.Ways |= Redirected },
		func(s *Server) { s.MACs[0] ^= 2 },
		func(s *Server) { s.Timeouts[MaxStates-1]++ },
		func(s *Server) { s.Template++ },
	} {
		servers := laneServers()
		change(&servers[0])
		if next := set(servers); next == id {
			t.Errorf("not written: %+v", servers[0])
		} else {
			id = next
		}
	}
	if err := s.CloseExpress(); err != nil {
		t.Fatal(err)
	}
	set(laneServers()) // there are none, whatever was written last
}

// A clean stop leaves neither pins nor the tables' memory, though the lane had it.
func TestRemoveEndsTheExpressLane(t *testing.T) {
	dir := newPinDir(t)
	s, memory := openKnown(t, Options{PinDir: dir, Servers: laneConfig.Servers})
	id := mapID(t, memory.array)
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := memory.Remove(); err != nil {
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
	if err := makePinDir(dir); err != nil {
		t.Fatal(err)
	}
	older, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: tableCell, MaxEntries: 64, Flags: unix.BPF_F_MMAPABLE})
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	if err := older.Pin(filepath.Join(dir, tablesPin)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTables(dir, laneConfig.Size()); err == nil || !strings.Contains(err.Error(), "--fresh-tables") {
		t.Errorf("%v, want --fresh-tables in it", err)
	}
	fresh, err := ReplaceTables(dir, laneConfig.Size()) // what that does
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, fresh)
	if err := open(t, Options{}).OpenExpress(fresh); err != nil {
		t.Error(err)
	}
}
