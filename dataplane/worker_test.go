package dataplane

import (
	"bytes"
	"testing"

	"github.com/xlvs/xlvs/affinity"
	. "github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/ringtest"
	"github.com/xlvs/xlvs/service"
)

// rig is a worker between two interfaces of a kernel that is not there. Clients are
// behind interface 1, which is port 1, and servers behind interface 2, port 0.
type rig struct {
	*bed
	worker    *Worker
	near, far *ringtest.NIC
}

const rigRing = 64

func newRig(t *testing.T, spare uint32) *rig {
	t.Helper()
	b := newAnswering(t)
	k := ringtest.New()
	r := &rig{bed: b, near: k.AddNIC(1, 1), far: k.AddNIC(2, 1)}
	config := WorkerConfig{CPU: -1, Batch: 16, Ports: 2, Frames: ring.UMEMConfig{Frames: 4*rigRing + spare, FrameSize: 2048}}
	umem, err := k.NewUMEM(config.Frames)
	if err != nil {
		t.Fatal(err)
	}
	config.Now = func() affinity.Tick { return b.now }
	if r.worker, err = newWorker(b.plane, config, umem); err != nil {
		t.Fatal(err)
	}
	for i, index := range []int{2, 1} {
		s, err := ring.Open(umem, ring.SocketConfig{Interface: index, RX: rigRing, TX: rigRing, Fill: rigRing})
		if err != nil {
			t.Fatal(err)
		}
		r.worker.ports[i].socket, r.worker.ports[i].index = s, index
	}
	r.worker.flush()
	t.Cleanup(func() {
		if err := r.worker.close(); err != nil {
			t.Error(err)
		}
		if v := k.Violations(); len(v) > 0 {
			t.Errorf("the kernel's rules were broken: %v", v)
		}
	})
	return r
}

// carry delivers frames by the clients' interface and returns what leaves by either.
func (r *rig) carry(frames ...[]byte) (near, far [][]byte) {
	r.tb.Helper()
	for _, f := range frames {
		if err := r.near.Deliver(0, f); err != nil {
			r.tb.Fatal(err)
		}
	}
	for r.worker.round() > 0 {
	}
	r.worker.flush()
	if n := r.worker.umem.Refused(); n != 0 {
		r.tb.Fatalf("%d descriptors were refused", n)
	}
	return r.near.Sent(0), r.far.Sent(0)
}

func TestWorkerSendsFramesThatGrewAndShrank(t *testing.T) {
	r := newRig(t, 64)
	r.behind(func(h *service.NextHop) { h.VLAN = 5 })
	udp := IPv4(client, vip).UDP(1, 80).Payload(50)
	near, far := r.carry(udp.Frame(t), IPv4(client, vip).UDP(1, 81).Frame(t), udp.VLAN(9).Frame(t))
	if len(near) != 1 || len(far) != 2 {
		t.Fatalf("%d frames to clients and %d to servers, want 1 and 2", len(near), len(far))
	}
	for _, f := range far {
		Check(t, f, OneHopFurther(udp.VLAN(5).Frame(t)), HasDstMAC(serverMAC(1)))
	}
	Check(t, near[0], HasError(3, 3, 0), HasDstMAC(RouterMAC), ChecksumsOK())
	r.behind(func(h *service.NextHop) { h.VLAN = 0 })
	if _, far = r.carry(udp.VLAN(9).Frame(t)); len(far) != 1 {
		t.Fatalf("%d frames to servers, want 1", len(far))
	}
	Check(t, far[0], OneHopFurther(udp.Frame(t)))
}

func TestWorkerCutsWhatIsTooLong(t *testing.T) {
	r := newRig(t, 64)
	r.behind(func(h *service.NextHop) { h.MTU, h.VLAN = 400, 5 })
	p := IPv4(client, vip).ID(9).UDP(1, 80).Payload(1400)
	var frames [][]byte
	for range 20 { // more fragments than there is room in a batch
		frames = append(frames, p.Frame(t))
	}
	_, far := r.carry(frames[:10]...)
	_, rest := r.carry(frames[10:]...)
	far = append(far, rest...)
	if want := 4 * len(frames); len(far) != want {
		t.Fatalf("%d fragments, want %d", len(far), want)
	}
	for i := 0; i < len(far); i += 4 {
		var payload []byte
		for n, f := range far[i : i+4] {
			Check(t, f, HasVLAN(5), HasTTL(63), HasDstMAC(serverMAC(1)), HasSrcMAC(directorMAC))
			h := packet.IPv4(f[18:])
			if len(h) > 400 || h.ID() != 9 || h.FragmentOffset() != len(payload) || h.MoreFragments() != (n < 3) {
				t.Errorf("fragment %d: %d bytes, ID %d, offset %d, more %v", n, len(h), h.ID(), h.FragmentOffset(), h.MoreFragments())
			}
			payload = append(payload, h[h.HeaderLen():]...)
		}
		if !bytes.Equal(payload, p.Frame(t)[34:]) {
			t.Errorf("packet %d: the fragments make another", i/4)
		}
	}
	if free := r.worker.umem.FreeFrames(); free < 64 {
		t.Errorf("%d frames are free, want 64 at least", free)
	}
}

// Without frames for all fragments, none leaves.
func TestWorkerDropsWhatItHasNoFramesFor(t *testing.T) {
	r := newRig(t, 2)
	r.behind(func(h *service.NextHop) { h.MTU = 400 })
	var taken []ring.Desc
	for {
		d, ok := r.worker.umem.Alloc(64)
		if !ok {
			break
		}
		taken = append(taken, d)
	}
	_, far := r.carry(IPv4(client, vip).UDP(1, 80).Payload(1400).Frame(t))
	if len(far) != 0 {
		t.Errorf("%d fragments left", len(far))
	}
	for _, d := range taken {
		r.worker.umem.Free(d)
	}
	reasons := r.reasons()
	var notes [Notes]uint64
	r.worker.forwarder.Notes(&notes)
	if reasons[NoFrames] != 1 || reasons[Forwarded] != 0 || notes[Fragmented] != 0 {
		t.Errorf("no_frames %d, forwarded %d, fragmented %d, want 1, 0, 0",
			reasons[NoFrames], reasons[Forwarded], notes[Fragmented])
	}
}

// What a ring has no room for is counted as that, an answer as not given.
func TestWorkerTakesBackWhatItCannotSend(t *testing.T) {
	r := newRig(t, 64)
	r.worker.ports[1].socket.Close()
	r.worker.ports[1].socket = nil
	umem := r.worker.umem
	frames := [][]byte{IPv4(client, vip).UDP(1, 81).Frame(t), IPv4(client, vip).UDP(1, 80).Frame(t)}
	descs := make([]ring.Desc, len(frames))
	for i, f := range frames {
		d, ok := umem.Alloc(uint32(len(f)))
		if !ok {
			t.Fatal("no frame")
		}
		copy(umem.Bytes(d), f)
		descs[i] = d
	}
	r.worker.batch(1, descs, r.now)
	reasons := r.reasons()
	var notes [Notes]uint64
	r.worker.forwarder.Notes(&notes)
	if reasons[NoServer] != 1 || reasons[Forwarded] != 1 || notes[Answered] != 0 {
		t.Errorf("no_server %d, forwarded %d, answered %d, want 1, 1, 0", reasons[NoServer], reasons[Forwarded], notes[Answered])
	}
}

// reasons are the counts so far.
func (r *rig) reasons() (sum [Reasons]uint64) {
	r.worker.forwarder.Publish()
	r.worker.forwarder.Reasons(&sum)
	return sum
}

func TestWorkerHoldsFragmentsForTheirFirst(t *testing.T) {
	r := newRig(t, 128)
	of := func(port uint16, id uint32) [][]byte {
		return IPv4(client, vip).UDP(port, 80).Payload(3000).ID(id).Fragments(t, 1200)
	}
	one, two := of(1, 7), of(2, 8)
	if _, far := r.carry(one[2], two[1], one[1], two[2]); len(far) != 0 {
		t.Fatalf("%d fragments left before their first", len(far))
	}
	_, far := r.carry(one[0])
	want := [][]byte{one[0], one[2], one[1]} // the others as they came
	if len(far) != len(want) {
		t.Fatalf("%d fragments behind their first, want %d", len(far), len(want))
	}
	for i := range far {
		Check(t, far[i], OneHopFurther(want[i]))
	}
	r.now++
	if _, far = r.carry(two[0]); len(far) != 3 {
		t.Errorf("%d fragments of the second, want 3", len(far))
	}
	if got := r.reasons(); got[Forwarded] != 6 || got[FragmentUnknown] != 0 {
		t.Errorf("forwarded %d, fragment_unknown %d, want 6 and 0", got[Forwarded], got[FragmentUnknown])
	}
}

// The first fragment may come by another queue, so to another worker.
func TestWorkerHoldsFragmentsForAFirstElsewhere(t *testing.T) {
	r := newRig(t, 128)
	fragments := IPv6(client6, vip6).UDP(1, 80).Payload(3000).ID(7).Fragments(t, 1200)
	r.carry(fragments[1:]...)
	other := NewForwarder(r.plane)
	other.Forward([]Frame{roomy(fragments[0])}, 1, r.now, []Verdict{{}})
	if _, far := r.carry(); len(far) != len(fragments)-1 {
		t.Errorf("%d fragments left, want %d", len(far), len(fragments)-1)
	}
}

func TestWorkerHoldsFragmentsForAMoment(t *testing.T) {
	r := newRig(t, 128)
	free := r.worker.umem.FreeFrames()
	fragments := IPv4(client, vip).UDP(1, 80).Payload(3000).ID(7).Fragments(t, 1200)
	r.carry(fragments[1:]...)
	r.now += heldFor - 1
	r.carry()
	if n := r.reasons()[FragmentUnknown]; n != 0 {
		t.Errorf("%d fragments given up after a tick, want none", n)
	}
	r.now++
	r.carry()
	if n := r.reasons()[FragmentUnknown]; n != 2 {
		t.Errorf("%d fragments given up, want 2", n)
	}
	if now := r.worker.umem.FreeFrames(); now != free {
		t.Errorf("%d frames are free, before %d", now, free)
	}
	if _, far := r.carry(fragments[0]); len(far) != 1 {
		t.Errorf("%d fragments left, want the first", len(far))
	}
}

func TestWorkerHoldsSoManyFragments(t *testing.T) {
	r := newRig(t, 256)
	later := func(id int) []byte {
		return IPv4(client, vip).UDP(1, 80).Payload(64).ID(uint32(id)).Fragment(32, 72, false).Frame(t)
	}
	for id := range mostHeld + 10 {
		r.carry(later(id))
	}
	if n := r.reasons()[FragmentUnknown]; n != 10 {
		t.Errorf("%d fragments given up, want 10", n)
	}
	first := IPv4(client, vip).UDP(1, 80).Payload(64).ID(3).Fragment(0, 32, true).Frame(t)
	if _, far := r.carry(first); len(far) != 2 {
		t.Errorf("%d fragments left, want two", len(far))
	}
	var notes [Notes]uint64
	r.worker.forwarder.Notes(&notes)
	if notes[FragmentHeld] != mostHeld {
		t.Errorf("%d held, want %d", notes[FragmentHeld], mostHeld)
	}
}
