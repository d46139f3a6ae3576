package ring_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
)

// model drives sockets of one UMEM on two NICs with random steps and faults,
// and keeps an account of its own: what it holds, and what number is in every
// frame that is somewhere. Nothing may be lost, doubled or owned twice.
type model struct {
	kernel  *ringtest.Kernel
	nics    [2]*ringtest.NIC
	deleted [2]bool
	umem    *ring.UMEM
	frames  int
	sockets map[int]*ring.Socket // by modelQueue

	next  uint64           // number of the next frame
	wire  map[int][]uint64 // by modelQueue: delivered, not yet received, in order
	held  map[uint64]held  // by base address of the frame: the caller's
	freed []ring.Desc      // not the caller's any more
	queue map[int][]uint64 // by modelQueue: transmitted, not yet seen outside, in order
	drops map[int]bool     // by NIC: frames transmitted may vanish
}

type held struct {
	desc   ring.Desc
	number uint64
}

const (
	modelQueues = 4 // two per NIC
	modelRing   = 8
	frameSize   = 2048
)

func newModel(t *rapid.T) *model {
	m := &model{
		kernel:  ringtest.New(),
		sockets: make(map[int]*ring.Socket),
		wire:    make(map[int][]uint64),
		held:    make(map[uint64]held),
		queue:   make(map[int][]uint64),
		drops:   make(map[int]bool),
	}
	m.kernel.SetFirstIndex(rapid.SampledFrom([]uint32{0, 1<<32 - 5, 1<<31 - 3}).Draw(t, "first index"))
	for i := range m.nics {
		m.nics[i] = m.kernel.AddNIC(i+1, 2)
		m.nics[i].SetDriver("mlx5_core", true)
	}
	if rapid.Bool().Draw(t, "copy") {
		m.nics[0].SetDriver("veth", false)
		m.nics[1].SetDriver("veth", false)
	}
	m.frames = modelQueues*2*modelRing + rapid.IntRange(0, 16).Draw(t, "spare frames")
	var err error
	m.umem, err = m.kernel.NewUMEM(ring.UMEMConfig{Frames: uint32(m.frames), FrameSize: frameSize, Headroom: 64})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func nicOf(q int) int { return q / 2 }

// aSocket draws an open socket; without one the step is skipped.
func (m *model) aSocket(t *rapid.T) (int, *ring.Socket) {
	var open []int
	for q := range modelQueues {
		if m.sockets[q] != nil {
			open = append(open, q)
		}
	}
	if len(open) == 0 {
		t.Skip("no socket")
	}
	q := rapid.SampledFrom(open).Draw(t, "queue")
	return q, m.sockets[q]
}

func (m *model) open(t *rapid.T) {
	q := rapid.IntRange(0, modelQueues-1).Draw(t, "queue")
	if m.sockets[q] != nil {
		t.Skip("open")
	}
	s, err := ring.Open(m.umem, ring.SocketConfig{
		Interface: nicOf(q) + 1, Queue: uint32(q % 2),
		RX: modelRing, TX: modelRing, Fill: modelRing, Completion: modelRing,
	})
	if m.deleted[nicOf(q)] {
		if !errors.Is(err, unix.ENODEV) {
			t.Fatalf("open on a deleted interface: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.sockets[q] = s
}

func (m *model) close(t *rapid.T) {
	q, s := m.aSocket(t)
	m.look(t, q)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	delete(m.sockets, q)
	m.wire[q], m.queue[q] = nil, nil // what was on its rings is gone, its frames are not
	if s.Receive(make([]ring.Desc, 4)) != 0 || s.Flush() == nil || s.Check() == nil || s.Close() != nil {
		t.Fatal("a closed socket works")
	}
}

func (m *model) deliver(t *rapid.T) {
	q := rapid.IntRange(0, modelQueues-1).Draw(t, "queue")
	for range rapid.IntRange(1, 12).Draw(t, "frames") {
		if m.nics[nicOf(q)].Deliver(uint32(q%2), numbered(m.next)) == nil {
			m.wire[q] = append(m.wire[q], m.next)
		}
		m.next++
	}
}

func (m *model) receive(t *rapid.T) {
	q, s := m.aSocket(t)
	batch := make([]ring.Desc, rapid.IntRange(0, 12).Draw(t, "batch"))
	n := s.Receive(batch)
	if want := min(len(batch), len(m.wire[q])); n != want && s.Check() == nil {
		t.Fatalf("received %d frames, want %d", n, want)
	}
	for i, d := range batch[:n] {
		base := d.Addr &^ (frameSize - 1)
		if other, twice := m.held[base]; twice {
			t.Fatalf("frame at %#x was received, and is held as %d", base, other.number)
		}
		if got := number(m.umem.Bytes(d)); got != m.wire[q][i] {
			t.Fatalf("received %d, want %d", got, m.wire[q][i])
		}
		m.held[base] = held{d, m.wire[q][i]}
	}
	m.wire[q] = m.wire[q][n:]
}

// some takes a few of the frames that the caller holds.
func (m *model) some(t *rapid.T) (picked []held) {
	n := rapid.IntRange(1, 12).Draw(t, "frames")
	for base := uint64(0); base < uint64(m.frames*frameSize) && len(picked) < n; base += frameSize {
		if h, ok := m.held[base]; ok {
			picked = append(picked, h)
			delete(m.held, base)
		}
	}
	return picked
}

func (m *model) transmit(t *rapid.T) {
	q, s := m.aSocket(t)
	picked := m.some(t)
	batch := make([]ring.Desc, len(picked))
	for i, h := range picked {
		batch[i] = h.desc
		if h.desc.Addr%2 == 0 { // grow into the headroom and back, as a tunnel would
			d, ok := m.umem.Prepend(h.desc, 20)
			if !ok {
				t.Fatalf("no headroom before %#x", h.desc.Addr)
			}
			batch[i], _ = m.umem.Trim(d, 20)
		}
	}
	took := s.Transmit(batch)
	for _, h := range picked[:took] {
		m.queue[q] = append(m.queue[q], h.number)
		m.freed = append(m.freed, h.desc)
	}
	for _, h := range picked[took:] {
		m.held[h.desc.Addr&^(frameSize-1)] = h
	}
}

func (m *model) free(t *rapid.T) {
	for _, h := range m.some(t) {
		if !m.umem.Free(h.desc) {
			t.Fatalf("free of %#x refused", h.desc.Addr)
		}
		m.freed = append(m.freed, h.desc)
	}
}

func (m *model) alloc(t *rapid.T) {
	d, ok := m.umem.Alloc(64)
	if !ok {
		if free := m.umem.FreeFrames(); free != 0 {
			t.Fatalf("no frame, with %d free", free)
		}
		return
	}
	base := d.Addr &^ (frameSize - 1)
	if _, twice := m.held[base]; twice {
		t.Fatalf("allocated %#x, which is held", base)
	}
	copy(m.umem.Bytes(d), numbered(m.next))
	m.held[base] = held{d, m.next}
	m.next++
}

// abuse gives back what is not the caller's, and what is nobody's.
func (m *model) abuse(t *rapid.T) {
	var bad []ring.Desc
	for range rapid.IntRange(1, 3).Draw(t, "number") {
		bad = append(bad, ring.Desc{Addr: rapid.Uint64().Draw(t, "addr"), Len: 64})
	}
	if len(m.freed) > 0 {
		bad = append(bad, m.freed[rapid.IntRange(0, len(m.freed)-1).Draw(t, "old")])
	}
	for _, d := range bad {
		if _, ours := m.held[d.Addr&^(frameSize-1)]; ours {
			continue
		}
		if m.umem.Bytes(d) != nil {
			t.Fatalf("bytes of a foreign frame at %#x", d.Addr)
		}
		before, free := m.umem.Refused(), m.umem.FreeFrames()
		want := before + 1
		if m.umem.Free(d) {
			t.Fatalf("freed a foreign frame at %#x", d.Addr)
		}
		for _, s := range m.sockets {
			want += uint64(s.Transmit([]ring.Desc{d}))
			break
		}
		if got := m.umem.Refused(); got != want || m.umem.FreeFrames() != free {
			t.Fatalf("refused %d, want %d; %d free, were %d", got, want, m.umem.FreeFrames(), free)
		}
	}
}

func (m *model) flush(t *rapid.T) {
	q, s := m.aSocket(t)
	if err := s.Flush(); err != nil && !errors.Is(err, ring.ErrDown) {
		t.Fatal(err)
	}
	m.look(t, q)
}

// inspect asks a socket for its health, as a worker does now and then.
func (m *model) inspect(t *rapid.T) {
	_, s := m.aSocket(t)
	if err := s.Check(); err != nil && !errors.Is(err, ring.ErrDown) {
		t.Fatal(err)
	}
}

// look compares what went out with what was transmitted.
func (m *model) look(t *rapid.T, q int) {
	sent := m.nics[nicOf(q)].Sent(uint32(q % 2))
	for _, frame := range sent {
		got := number(frame)
		for m.drops[nicOf(q)] && len(m.queue[q]) > 0 && m.queue[q][0] != got {
			m.queue[q] = m.queue[q][1:] // dropped by the NIC
		}
		if len(m.queue[q]) == 0 || m.queue[q][0] != got {
			t.Fatalf("queue %d sent %d, want one of %v", q, got, m.queue[q])
		}
		m.queue[q] = m.queue[q][1:]
	}
}

func (m *model) trouble(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "NIC")
	n := m.nics[i]
	switch rapid.IntRange(0, 9).Draw(t, "trouble") {
	case 0:
		n.SetLimit(uint32(rapid.IntRange(0, 3).Draw(t, "limit")))
	case 1:
		n.SetStuck(rapid.Bool().Draw(t, "stuck"))
	case 2:
		n.SetLate(true)
	case 3:
		n.SetLate(false)
		n.Complete(rapid.IntRange(0, 10).Draw(t, "completions"))
	case 4:
		n.SetUp(rapid.Bool().Draw(t, "up"))
	case 5:
		on := rapid.Bool().Draw(t, "drop")
		m.drops[i] = true
		n.SetDrop(on)
	case 6:
		n.SetBusy(rapid.Bool().Draw(t, "busy"))
	case 7:
		n.Step()
	case 8:
		errno := rapid.SampledFrom([]unix.Errno{unix.EINTR, unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.ENETDOWN}).Draw(t, "errno")
		m.kernel.FailNext(rapid.SampledFrom([]string{"Kick", "Wake"}).Draw(t, "call"), errno)
	case 9:
		m.kernel.Advance(400 * time.Millisecond)
	}
}

func (m *model) deleteNIC(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	i := rapid.IntRange(0, 1).Draw(t, "NIC")
	for q := range modelQueues {
		if nicOf(q) == i {
			m.look(t, q)
		}
	}
	m.nics[i].Delete()
	m.deleted[i] = true
}

// check is the invariant: every frame has exactly one owner.
func (m *model) check(t *rapid.T) {
	a := m.umem.Account()
	if a.Caller != len(m.held) {
		t.Fatalf("%d frames are the caller's, it holds %d", a.Caller, len(m.held))
	}
	for _, h := range m.held {
		if b := m.umem.Bytes(h.desc); b == nil || number(b) != h.number {
			t.Fatalf("frame at %#x has changed under its owner", h.desc.Addr)
		}
	}
	if err := a.Err(); err != nil {
		t.Fatal(err)
	}
	if v := m.kernel.Violations(); len(v) > 0 {
		t.Fatal("violation: ", v)
	}
	if sum := a.Free + a.Caller + a.Limbo + a.Sockets; sum != m.frames {
		t.Fatalf("%+v: %d frames of %d", a, sum, m.frames)
	}
}

// end closes everything; all frames must be back.
func (m *model) end(t *rapid.T) {
	for _, s := range m.sockets {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range m.held {
		if !m.umem.Free(h.desc) {
			t.Fatal("the last free is refused")
		}
	}
	m.kernel.Advance(2 * time.Second)
	m.umem.ExpireLimbo()
	if free := m.umem.FreeFrames(); free != m.frames {
		t.Fatalf("%d frames of %d are back", free, m.frames)
	}
	if err := m.umem.Close(); err != nil {
		t.Fatal(err)
	}
	if sockets, mappings := m.kernel.Leaks(); sockets != 0 || mappings != 0 {
		t.Fatalf("leaked %d sockets and %d mappings", sockets, mappings)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"open": m.open, "close": m.close,
			"deliver": m.deliver, "deliver more": m.deliver, "receive": m.receive, "receive more": m.receive,
			"transmit": m.transmit, "transmit more": m.transmit, "free": m.free, "alloc": m.alloc, "abuse": m.abuse,
			"flush": m.flush, "flush more": m.flush, "trouble": m.trouble, "check": m.inspect, "delete": m.deleteNIC,
			"": m.check,
		})
		m.end(t)
	})
}
