package table

import (
	"fmt"
	"net/netip"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/perf/measure"
	"github.com/xlvs/xlvs/service"
)

var kindXLVS = kind{
	name:        ours,
	description: "affinity.Conns for IPv4 in memory from mmap with pages of 4 KiB; batches of 64, staged as the workers do",
	open:        openXLVS,
}

const batch = 64

// now is the time of every operation before expire.
const now affinity.Tick = 1000

var vip = netip.MustParseAddr("203.0.113.10")

// xlvsStore is the director's connection table.
type xlvsStore struct {
	mem    []byte
	tables *affinity.Tables
	ids    [servers + 1]service.ID // by serverOf
}

func openXLVS(capacity int) (store, error) {
	config := affinity.Config{Connections4: uint32(capacity), Servers: servers}
	mem, err := measure.Memory(config.Size())
	if err != nil {
		return nil, err
	}
	s := &xlvsStore{mem: mem}
	if s.tables, err = affinity.Format(mem, config); err != nil {
		s.close()
		return nil, err
	}
	key := service.Key{Protocol: packet.TCP, Addr: vip, Port: 80}
	for n := 1; n <= servers; n++ {
		if s.ids[n], err = s.tables.Assign(key, netip.AddrFrom4([4]byte{10, 255, 0, byte(n)}), 80, service.Direct); err != nil {
			s.close()
			return nil, fmt.Errorf("number server %d: %w", n, err)
		}
	}
	return s, nil
}

// keys are those of a batch.
type keys struct {
	key  [batch]affinity.Key
	hash [batch]affinity.Hash
}

// make fills in the first len(clients) keys.
func (k *keys) make(conns *affinity.Conns, clients []uint32) {
	tuple := packet.Tuple{Dst: packet.AddrFrom4(203<<24 | 113<<8 | 10), DstPort: 80, Protocol: packet.TCP}
	for i, n := range clients {
		tuple.Src, tuple.SrcPort = packet.AddrFrom4(0x0a000000+n/16), clientPort(n)
		k.key[i].SetConn(&tuple)
		k.hash[i] = conns.Hash(&k.key[i])
	}
}

func (s *xlvsStore) insert(clients []uint32) {
	conns, k := &s.tables.Conns, keys{}
	for len(clients) > 0 {
		n := min(batch, len(clients))
		k.make(conns, clients[:n])
		conns.Stage(k.key[:n], k.hash[:n])
		for i, client := range clients[:n] {
			init := affinity.ConnInit{
				Server: s.ids[serverOf(client)], State: affinity.StateTCPEstablished, Grade: affinity.Assured,
				Timeout: affinity.Ticks(lifetime),
			}
			conns.Insert(k.hash[i], &k.key[i], &init, now)
		}
		clients = clients[n:]
	}
}

func (s *xlvsStore) lookup(clients []uint32) int { return s.find(clients, true) }

// single looks up without staging: each lookup waits for memory on its own.
func (s *xlvsStore) single(clients []uint32) int { return s.find(clients, false) }

func (s *xlvsStore) find(clients []uint32, staged bool) (found int) {
	conns, k := &s.tables.Conns, keys{}
	for len(clients) > 0 {
		n := min(batch, len(clients))
		k.make(conns, clients[:n])
		if staged && !conns.Cached() {
			conns.Stage(k.key[:n], k.hash[:n])
		}
		for i, client := range clients[:n] {
			e, ok := conns.Lookup(k.hash[i], &k.key[i], now)
			if ok && e.Server() == s.ids[serverOf(client)] {
				found++
			}
		}
		clients = clients[n:]
	}
	return found
}

func (s *xlvsStore) assign(client, server uint32) uint32 {
	conns, k := &s.tables.Conns, keys{}
	k.make(conns, []uint32{client})
	e, ok := conns.Lookup(k.hash[0], &k.key[0], now)
	if !ok {
		init := affinity.ConnInit{Server: s.ids[server], State: affinity.StateTCPSynRecv, Timeout: affinity.Ticks(lifetime)}
		e, _ = conns.Insert(k.hash[0], &k.key[0], &init, now)
	}
	for n, id := range s.ids {
		if id == e.Server() {
			return uint32(n)
		}
	}
	return 0
}

func (s *xlvsStore) settle() {}

func (s *xlvsStore) expire() (left int) {
	over := now + affinity.Ticks(lifetime) + affinity.TicksPerSecond
	for !s.tables.Sweep(over, 1<<20) {
	}
	return int(s.tables.Stats().Connections4.Live)
}

func (s *xlvsStore) memory() int { return int(s.tables.Stats().Connections4.Bytes) }

func (s *xlvsStore) close() { measure.Unmap(s.mem) }
