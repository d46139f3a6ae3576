package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/packet"
)

// wire is a packet socket on the far end of a veth pair. It sends frames,
// answers ARP for the servers, and notes every numbered frame that arrives.
type wire struct {
	t         testing.TB
	namespace *testnet.Namespace
	name      string
	fd        int
	far       packettest.MAC // the director's
	done      chan struct{}

	mu       sync.Mutex
	closing  bool
	arrivals []arrival
	others   [][]byte // frames without a number
}

// arrival is one numbered frame that the director sent.
type arrival struct {
	number uint32
	server byte // by its MAC address; 0 is no server's
	source netip.AddrPort
	at     time.Time
}

const socketBuffer = 64 << 20

func newWire(t testing.TB, ns *testnet.Namespace, name string, far packettest.MAC) *wire {
	t.Helper()
	w := &wire{t: t, namespace: ns, name: name, far: far, done: make(chan struct{})}
	index, err := ns.Index(name)
	must(t, err)
	must(t, ns.Do(func() error {
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	timeout := unix.NsecToTimeval((50 * time.Millisecond).Nanoseconds())
	must(t, errors.Join(
		unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer),
		unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index})))
	go w.read()
	return w
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (w *wire) close() {
	w.mu.Lock()
	first := !w.closing
	w.closing = true
	w.mu.Unlock()
	if first {
		<-w.done
		unix.Close(w.fd)
	}
}

// read takes in frames until the wire is closed.
func (w *wire) read() {
	defer close(w.done)
	buffer := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(w.fd, buffer, 0)
		w.mu.Lock()
		closing := w.closing
		w.mu.Unlock()
		if closing {
			return
		}
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case err != nil:
			time.Sleep(10 * time.Millisecond) // the interface is down: the next one may be better
		default:
			w.frame(buffer[:n])
		}
	}
}

// frame notes a frame, or answers it.
func (w *wire) frame(f []byte) {
	if w.answerARP(f) {
		return
	}
	var p packet.Parsed
	if packet.Parse(f, &p) == packet.OK && p.Kind == packet.KindFlow {
		if number, ok := numberOf(f[p.L4:], p.Tuple.Protocol); ok {
			a := arrival{number: number, source: p.Tuple.Source(), at: time.Now()}
			if dst := [6]byte(f[:6]); dst == serverMAC(dst[5]) {
				a.server = dst[5]
			}
			w.mu.Lock()
			w.arrivals = append(w.arrivals, a)
			w.mu.Unlock()
			return
		}
	}
	w.mu.Lock()
	w.others = append(w.others, append([]byte(nil), f...))
	w.mu.Unlock()
}

// numberOf finds the number in a transport header's payload.
func numberOf(l4 []byte, protocol packet.Protocol) (uint32, bool) {
	at := map[packet.Protocol]int{packet.UDP: packet.UDPLen, packet.TCP: packet.TCPLen}[protocol]
	if at == 0 || len(l4) < at+8 || string(l4[at:at+4]) != numberMagic {
		return 0, false
	}
	return binary.BigEndian.Uint32(l4[at+4:]), true
}

// Of ARP for IPv4 on Ethernet: the type and length of its frames.
const (
	etherTypeARP = packet.EtherType(unix.ETH_P_ARP)
	arpLen       = 42
)

// answerARP answers a request for a server's address (RFC 826) and says
// whether the frame was one.
func (w *wire) answerARP(f []byte) bool {
	const length, request, reply = arpLen, 1, 2
	if len(f) < length || packet.Ethernet(f).Type() != etherTypeARP {
		return false
	}
	target := f[38:42]
	if binary.BigEndian.Uint16(f[20:]) != request || target[0] != 10 || target[3] < 11 || target[3] > 99 {
		return false
	}
	mac := serverMAC(target[3])
	out := append([]byte(nil), f[:length]...)
	copy(out[0:6], f[6:12])
	copy(out[6:12], mac[:])
	out[21] = reply
	copy(out[22:28], mac[:])
	copy(out[28:32], target)
	copy(out[32:42], f[22:32])
	unix.Write(w.fd, out) //nolint:errcheck // it is asked again
	return true
}

// send sends a frame to the director. It returns once the kernel has taken it.
func (w *wire) send(frame []byte) {
	w.t.Helper()
	if err := w.trySend(frame); err != nil {
		w.t.Fatalf("%s: send: %v", w.name, err)
	}
}

// trySend is send for when the interface may be down. A frame that the kernel
// dropped and said so is sent again.
func (w *wire) trySend(frame []byte) error {
	deadline := time.Now().Add(patience)
	for {
		_, err := unix.Write(w.fd, frame)
		if err == nil || !(errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR)) || time.Now().After(deadline) {
			return err
		}
	}
}

// frameOf builds a packet to the director.
func (w *wire) frameOf(p packettest.Packet) []byte { return p.To(w.far).Frame(w.t) }

func (w *wire) sendPacket(p packettest.Packet) { w.t.Helper(); w.send(w.frameOf(p)) }

// count is how many numbered frames have arrived.
func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.arrivals)
}

// countFrom is how many have arrived of those with at least this number.
func (w *wire) countFrom(number int) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.arrivals {
		if int(w.arrivals[i].number) >= number {
			n++
		}
	}
	return n
}

// take returns the arrivals so far and forgets them.
func (w *wire) take() []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.arrivals
	w.arrivals = nil
	return all
}

// find returns the arrival of a number.
func (w *wire) find(number uint32) (arrival, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.arrivals) - 1; i >= 0; i-- {
		if w.arrivals[i].number == number {
			return w.arrivals[i], true
		}
	}
	return arrival{}, false
}

// probe numbers are above those of the tests' own frames.
var probes struct {
	sync.Mutex
	n uint32
}

func nextProbe() uint32 {
	probes.Lock()
	defer probes.Unlock()
	probes.n++
	return 1<<31 + probes.n
}

// probe sends a datagram of the flow by one wire until it comes out of another,
// and returns the server it was for.
func (b *bed) probe(in, out *wire, f flow) byte {
	b.t.Helper()
	var got arrival
	eventually(b.t, fmt.Sprintf("a datagram from %s to %s is forwarded", f.client, f.virtual), func() error {
		number := nextProbe()
		in.sendPacket(f.udp(number))
		for deadline := time.Now().Add(50 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			var ok bool
			if got, ok = out.find(number); ok {
				return nil
			}
		}
		return fmt.Errorf("nothing came of it: %v", b.status().Frames)
	})
	return got.server
}

// dropped is how many frames an interface lost when sending.
func dropped(t testing.TB, ns *testnet.Namespace, name string) uint64 {
	t.Helper()
	link, err := ns.Netlink().LinkByName(name)
	must(t, err)
	return link.Attrs().Statistics.TxDropped
}

// lost is how many frames the packet socket had no room for. Reading it begins it anew.
func (w *wire) lost() uint64 {
	w.t.Helper()
	s, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	must(w.t, err)
	return uint64(s.Drops)
}
