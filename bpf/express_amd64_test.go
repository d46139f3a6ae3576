package bpf

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
)

// What the express lane sees of entries that change relies on the memory order of
// amd64, where alone it is opened.

// Entries come and go while the lane looks at them: it never sends to the server of
// the slot's last or next entry, and never writes to that.
func TestExpressLaneWhileEntriesComeAndGo(t *testing.T) {
	servers := slices.Repeat(laneServers(), 2)
	servers[1].ID++
	memory := openTables(t, nil, laneConfig.Size())
	tables, now := formatTables(t, memory, laneConfig), tick(t)
	s := openLane(t, nil, memory)
	setServers(t, s, servers)
	tuple := tupleOf(t, known4)
	keys := []affinity.Key{keyOf(tuple), keyOf(neighbour(t, tables, memory.Bytes(), tuple))}
	hashes, inits := make([]affinity.Hash, 2), make([]affinity.ConnInit, 2)
	for i := range keys {
		hashes[i], inits[i] = tables.Conns.Hash(&keys[i]), established
		inits[i].Timeout /= 2 // the lane is to renew it
	}
	inits[1].Server++
	whileRunning(t, s, known4, 5_000_000, func() {
		for i := range keys {
			e, _ := tables.Conns.Insert(hashes[i], &keys[i], &inits[i], now)
			if !tables.Conns.Delete(&e) {
				t.Fatal("somebody wrote to the entry of another flow")
			}
		}
	})
	right, wrong := carried(t, s, laneServer), carried(t, s, laneServer+1)
	if right.Packets == 0 || wrong.Packets != 0 {
		t.Errorf("%d packets went to their server, %d to another's", right.Packets, wrong.Packets)
	}
}

// A change of state at the moment when the lane renews the entry is not lost.
func TestExpressLaneWhileStatesChange(t *testing.T) {
	memory := openTables(t, nil, laneConfig.Size())
	tables, now := formatTables(t, memory, laneConfig), tick(t)
	s := openLane(t, nil, memory)
	tuple := tupleOf(t, known4)
	key := keyOf(tuple)
	hash, e := tables.Conns.Hash(&key), insert(t, tables, tuple, established)
	var moves affinity.Moves
	moves[affinity.StateTCPEstablished][1] = affinity.StateTCPFinWait
	moves[affinity.StateTCPFinWait][1] = affinity.StateTCPEstablished
	var timeouts affinity.Timeouts
	for i := range timeouts {
		timeouts[i] = day / 2 // the lane is to renew it
	}
	const runs = 1_000_000
	whileRunning(t, s, known4, runs, func() {
		for _, state := range []affinity.State{affinity.StateTCPFinWait, affinity.StateTCPEstablished} {
			tables.Conns.Update(&e, &moves, 1, now, &timeouts)
			if e, _ = tables.Conns.Lookup(hash, &key, now); e.State() != state {
				t.Fatalf("%s, want %s", e.State(), state)
			}
		}
	})
	if got := carried(t, s, laneServer); got.Packets < runs {
		t.Errorf("%d of %d packets forwarded", got.Packets, runs)
	}
}

// A director takes the tables over while the lane of the last one, which is open
// still, looks and writes into them: every connection lives on in both.
func TestExpressLaneWhileTablesAreTakenOver(t *testing.T) {
	memory := openTables(t, nil, laneConfig.Size())
	tables := formatTables(t, memory, laneConfig)
	s := openLane(t, nil, memory)
	// Attach drops the entries of servers that the directory does not have.
	to := affinity.Server{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80}
	id, err := tables.Assign(to.Service, to.Addr, to.Port, to.Method)
	if err != nil {
		t.Fatal(err)
	}
	servers := laneServers()
	servers[0].ID = uint32(id)
	setServers(t, s, servers)
	init := established
	init.Server, init.Timeout = id, day/2 // the lane is to renew it
	flow := tupleOf(t, known4)
	for range laneConfig.Connections4 {
		insert(t, tables, flow, init)
		flow.Src.Lo++
	}
	const runs = 1_000_000
	whileRunning(t, s, known4, runs, func() {
		if tables, err = affinity.Attach(memory.Bytes(), laneConfig); err != nil {
			t.Fatal(err)
		}
	})
	if live := tables.Stats().Connections4.Live; live != uint64(laneConfig.Connections4) {
		t.Errorf("%d connections, had %d", live, laneConfig.Connections4)
	}
	expectLane(t, s, true, known4)
	key := keyOf(tupleOf(t, known4))
	if e, ok := tables.Conns.Lookup(tables.Conns.Hash(&key), &key, tick(t)+day*3/4); !ok || e.Server() != id {
		t.Errorf("the connection that the lane had: found %v, server %d", ok, e.Server())
	}
}

// whileRunning does something again and again while the program has a packet so many
// times: at least, as a signal has it begin again.
func whileRunning(t *testing.T, s *Steering, p packettest.Packet, runs int, do func()) {
	t.Helper()
	frame, ended := p.Frame(t), make(chan error, 1)
	again := restoring(t, s, frame)
	go func() {
		_, _, err := again.Benchmark(frame, runs, nil)
		ended <- err
	}()
	for len(ended) == 0 {
		do()
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// neighbour is a flow to the same destination whose entry takes the same slot of empty tables.
func neighbour(t *testing.T, tables *affinity.Tables, memory []byte, flow packet.Tuple) packet.Tuple {
	t.Helper()
	slot := func(flow packet.Tuple) *byte {
		e := insert(t, tables, flow, established)
		defer tables.Conns.Delete(&e)
		return &liveSlot(t, memory, 0)[0]
	}
	for other := flow; ; {
		other.Src.Lo++
		if slot(other) == slot(flow) {
			return other
		}
	}
}
