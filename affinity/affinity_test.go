package affinity

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// heapMemory returns aligned memory of Go's heap, which the race detector watches.
func heapMemory(config Config) []byte {
	b := make([]byte, config.Size()+lineBytes)
	for skip := 0; ; skip++ {
		if _, err := viewLines(b[skip:]); err == nil {
			return b[skip : skip+config.Size()]
		}
	}
}

// mappedMemory returns memory as a director has it, outside of Go's heap.
func mappedMemory(tb testing.TB, config Config) []byte {
	tb.Helper()
	mem, err := syscall.Mmap(-1, 0, config.Size(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	syscall.Madvise(mem, syscall.MADV_HUGEPAGE)
	tb.Cleanup(func() { syscall.Munmap(mem) })
	return mem
}

// format makes tables and n servers, and fails the test if that fails.
func format(tb testing.TB, mem []byte, config Config, n int) (*Tables, []service.ID) {
	tb.Helper()
	t, err := Format(mem, config)
	if err != nil {
		tb.Fatal(err)
	}
	return t, assign(tb, t, n)
}

var testService = service.Key{Addr: netip.MustParseAddr("203.0.113.10"), Port: 80, Protocol: packet.TCP}

// assign gives numbers to n servers of testService, 10.0.0.1 and on.
func assign(tb testing.TB, t *Tables, n int) []service.ID {
	tb.Helper()
	ids := make([]service.ID, n)
	for i := range ids {
		id, err := t.Assign(testService, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i + 1)}), 80, service.Direct)
		if err != nil {
			tb.Fatal(err)
		}
		ids[i] = id
	}
	return ids
}

// client returns the tuple of the nth client, in either family.
func client(n int, v6 bool) packet.Tuple {
	t := packet.Tuple{SrcPort: uint16(1024 + n%16), DstPort: 80, Protocol: packet.TCP}
	if v6 {
		t.Src = packet.Addr{Hi: 0x20010db800000000 | uint64(n/16)<<8, Lo: 1}
		t.Dst = packet.Addr{Hi: 0x20010db8ffff0000, Lo: 0x10}
		return t
	}
	t.Src = packet.AddrFrom4(0x0a000000 + uint32(n/16))
	t.Dst = packet.AddrFrom4(0xcb00710a)
	return t
}

// clientKey returns the key of the nth client's connection.
func clientKey(n int, v6 bool) (k Key) {
	t := client(n, v6)
	k.SetConn(&t)
	return k
}

// networkKey returns the key of the template of the nth client's address under mark 80.
func networkKey(n int, v6 bool) (k Key) {
	k.SetMark(client(n, v6).Src, 80)
	return k
}

// anyMove moves a connection to the state whose number within the protocol is the event.
// Event stay keeps the state.
var anyMove = func() (m Moves) {
	for s := State(classTCP); s < classFragment; s++ {
		for number := range State(stateMask + 1) {
			m[s][number] = s&^stateMask | number
		}
	}
	return m
}()

const stay Event = MaxEvents - 1

// event is the event of anyMove that leads to a state.
func event(s State) Event { return Event(s & stateMask) }

// lasting are timeouts that are the same for all states.
func lasting(timeout Tick) *Timeouts {
	var t Timeouts
	for i := range t {
		t[i] = timeout
	}
	return &t
}

// establish moves a connection to ESTABLISHED, which assures it.
func (t *Tables) establish(e *Entry, now, timeout Tick) bool {
	_, u := t.Conns.Update(e, &anyMove, event(StateTCPEstablished), now, lasting(timeout))
	return u != Gone
}
