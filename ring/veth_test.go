package ring_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/ring"
)

// The tests of this file and of traffic_test.go need root. They run on real
// sockets of real interfaces:
//
//	namespace "outside"          namespace "director"
//	+------------------+         +-------------------------------+
//	| packet sockets   |  veth   | XDP: redirect to the XSKMAP,  |
//	| out0, out1 ... --+---------+-- in0, in1 ...  ring.Sockets  |
//	+------------------+         +-------------------------------+

// wire is veth pairs between two namespaces.
type wire struct {
	outside, director *testnet.Namespace
	maps              map[string]*ebpf.Map // XSKMAP by interface of the director
}

func newWire(t testing.TB) *wire {
	t.Helper()
	w := &wire{maps: make(map[string]*ebpf.Map)}
	for _, ns := range []**testnet.Namespace{&w.outside, &w.director} {
		made, err := testnet.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { made.Close() })
		// The kernel's own IPv6 packets would be among the frames.
		if err := made.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil {
			t.Fatal(err)
		}
		*ns = made
	}
	return w
}

// pair adds out<i> and in<i> with queues each, and a program on both that
// sends every frame to the socket of its queue on the director's side, and
// nowhere on the other. It returns the index of in<i>.
func (w *wire) pair(t testing.TB, i, queues int, flags link.XDPAttachFlags) (ifindex int) {
	t.Helper()
	in, out := fmt.Sprintf("in%d", i), fmt.Sprintf("out%d", i)
	err := testnet.Pair(testnet.Veth{Namespace: w.outside, Name: out, Queues: queues},
		testnet.Veth{Namespace: w.director, Name: in, Queues: queues})
	if err != nil {
		t.Fatal(err)
	}
	w.maps[in] = newXSKMap(t, queues)
	w.attach(t, w.director, in, redirect(t, w.maps[in]), flags)
	w.attach(t, w.outside, out, pass(t), flags) // a veth takes XDP's frames only if the peer has a program
	ifindex, err = w.director.Index(in)
	if err != nil {
		t.Fatal(err)
	}
	return ifindex
}

func newXSKMap(t testing.TB, queues int) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// redirect is bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_DROP).
func redirect(t testing.TB, xsks *ebpf.Map) *ebpf.Program {
	return program(t, asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 16, asm.Word), // rx_queue_index
		asm.LoadMapPtr(asm.R1, xsks.FD()),
		asm.Mov.Imm(asm.R3, 1), // XDP_DROP
		asm.FnRedirectMap.Call(),
		asm.Return(),
	})
}

func pass(t testing.TB) *ebpf.Program {
	return program(t, asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()})
}

func program(t testing.TB, instructions asm.Instructions) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, Instructions: instructions, License: "Dual MIT/GPL"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func (w *wire) attach(t testing.TB, ns *testnet.Namespace, name string, p *ebpf.Program, flags link.XDPAttachFlags) {
	t.Helper()
	index, err := ns.Index(name)
	if err != nil {
		t.Fatal(err)
	}
	err = ns.Do(func() error {
		l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: index, Flags: flags})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a socket in the director's namespace and puts it into the XSKMAP.
func (w *wire) open(t testing.TB, u *ring.UMEM, c ring.SocketConfig) *ring.Socket {
	t.Helper()
	s, err := w.tryOpen(u, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (w *wire) tryOpen(u *ring.UMEM, c ring.SocketConfig) (s *ring.Socket, err error) {
	err = w.director.Do(func() error {
		s, err = ring.Open(u, c)
		if err != nil {
			return err
		}
		ifi, err := net.InterfaceByIndex(c.Interface)
		if err != nil {
			return err
		}
		return w.maps[ifi.Name].Put(c.Queue, uint32(s.FD()))
	})
	return s, err
}

func newUMEM(t testing.TB, frames uint32) *ring.UMEM {
	t.Helper()
	u, err := ring.NewUMEM(ring.UMEMConfig{Frames: frames, FrameSize: 2048})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// tap is a packet socket on an interface of the outside.
type tap struct {
	fd int
	to unix.SockaddrLinklayer
}

func (w *wire) tap(t testing.TB, name string) *tap {
	t.Helper()
	index, err := w.outside.Index(name)
	if err != nil {
		t.Fatal(err)
	}
	tp := &tap{to: unix.SockaddrLinklayer{Protocol: 0x0008 /* ETH_P_IP, big-endian */, Ifindex: index}}
	err = w.outside.Do(func() (err error) {
		tp.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(tp.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(tp.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		return unix.Bind(tp.fd, &tp.to)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(tp.fd) })
	return tp
}

// frame is an IPv4 frame of 64 bytes with a number in it. The source address
// varies with flow, so that flows spread over queues where the kernel hashes.
func (tp *tap) frame(n uint64, flow byte) []byte {
	frame := make([]byte, 64)
	copy(frame, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0})
	ip := frame[14:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 50, 64, testProtocol
	copy(ip[12:], []byte{192, 0, 2, flow, 198, 51, 100, 1})
	binary.BigEndian.PutUint64(ip[20:], n)
	return frame
}

// testProtocol marks the tests' frames: an IP protocol for experiments (RFC 3692).
const testProtocol = 253

// send sends frame(n, flow).
func (tp *tap) send(n uint64, flow byte) error {
	return unix.Sendto(tp.fd, tp.frame(n, flow), 0, &tp.to)
}

// receive takes what has come back into seen.
func (tp *tap) receive(seen map[uint64]int) error {
	var frame [2048]byte
	for {
		n, _, err := unix.Recvfrom(tp.fd, frame[:], 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		if n == 64 && frame[14+9] == testProtocol {
			seen[binary.BigEndian.Uint64(frame[14+20:])]++
		}
	}
}

// reflector forwards everything its sockets receive: out[i] is where what in[i]
// receives is sent.
type reflector struct {
	umem  *ring.UMEM
	in    []*ring.Socket
	out   map[*ring.Socket]*ring.Socket
	batch []ring.Desc
	lost  int // frames that no TX ring took
}

func newReflector(u *ring.UMEM, in ...*ring.Socket) *reflector {
	r := &reflector{umem: u, in: in, out: make(map[*ring.Socket]*ring.Socket), batch: make([]ring.Desc, 64)}
	for _, s := range in {
		r.out[s] = s
	}
	return r
}

// step is one turn of a worker's loop.
func (r *reflector) step() (moved int, err error) {
	for _, s := range r.in {
		n := s.Receive(r.batch)
		moved += n
		took := r.out[s].Transmit(r.batch[:n])
		for _, d := range r.batch[took:n] {
			r.umem.Free(d)
			r.lost++
		}
	}
	for _, s := range r.in {
		err = errors.Join(err, s.Flush())
	}
	return moved, err
}

// until runs step until condition or a deadline.
func (r *reflector) until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			for _, s := range r.in {
				t.Logf("%v: %+v", s, s.Stats())
			}
			t.Fatalf("%s: not within 10 s", what)
		}
		if _, err := r.step(); err != nil && !errors.Is(err, ring.ErrDown) {
			t.Fatal(err)
		}
	}
}
