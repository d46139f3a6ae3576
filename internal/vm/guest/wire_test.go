//go:build vmtest

package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/packet"
)

// The addresses on a director's wire. Real server n is 10.0.0.(10+n) and
// fd00::(10+n), both decimal as written, so that IPv6 has ::11 as the vectors do.
const (
	realNet4 = "10.0.0."
	realNet6 = "fd00::"
	vips4    = "198.51.100.0/24"
	vips6    = "2001:db8:1::/64"
	// sentinel is a service of every director under test: see wire.exchange.
	sentinelVIP    = "198.51.100.250"
	sentinelPort   = 9
	sentinelServer = 89
)

// real4 and real6 are the addresses of a real server.
func real4(n int) netip.Addr { return address(fmt.Sprint(realNet4, 10+n)) }
func real6(n int) netip.Addr { return address(fmt.Sprint(realNet6, 10+n)) }

// serverOf is the number of a real server.
func serverOf(a netip.Addr) int {
	for n := 1; n <= sentinelServer; n++ {
		if a == real4(n) || a == real6(n) {
			return n
		}
	}
	return 0
}

// serverMAC is the MAC address of a real server; routerMAC that of the router to
// the clients.
func serverMAC(n int) packettest.MAC { return packettest.MAC{2, 0, 0, 0, 11, byte(n)} }

var routerMAC = packettest.RouterMAC

// outcome is what became of a packet: the number of the real server that it
// went to, or one of those below.
type outcome int

const (
	nowhere  outcome = 0  // no trace of it
	returned outcome = -1 // an answer of the director's own to the client: an ICMP error, a TCP reset
)

func (o outcome) String() string {
	switch o {
	case nowhere:
		return "nowhere"
	case returned:
		return "back"
	}
	return fmt.Sprintf("server %d", int(o))
}

// trace is what came out of a director for one packet.
type trace struct {
	outcome outcome
	sent    []byte
	came    [][]byte // several where a packet was cut into fragments
}

// wire is the far end of a director's only interface: it sends as all clients,
// and receives as all real servers and as the clients' router. None of them is
// really there: the director's kernel has fixed neighbour entries for them.
type wire struct {
	socket   int
	director packettest.MAC
	serial   uint32 // of the packet sent last
	buffer   []byte
}

// directorLink is the name of a director's interface, and directorMTU its MTU: less than
// the wire's. A veth takes frames that are four bytes longer than its MTU allows, which
// is how a packet can be too long for the way out.
const (
	directorLink = "eth0"
	directorMTU  = 1400
	tooLong      = directorMTU + 4
)

// newWire prepares a namespace as a director's, joined to a wire. What a wire
// sends is received in order only if it is sent from one CPU (a veth hands frames
// to the CPU that it is on), so this program runs on one: see the guest's init.
func newWire(t testing.TB, director *testnet.Namespace) *wire {
	t.Helper()
	far := namespace(t)
	must(t, far.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"))
	must(t, testnet.Pair(testnet.Veth{Namespace: director, Name: directorLink, MTU: directorMTU}, testnet.Veth{Namespace: far, Name: "wire", MTU: 1500}))
	for _, p := range []string{"10.0.0.1/24", "fd00::1/64"} {
		must(t, director.AddAddr(directorLink, prefix(p)))
	}
	for n := 1; n <= 9; n++ {
		neighbour(t, director, real4(n), serverMAC(n))
		neighbour(t, director, real6(n), serverMAC(n))
	}
	neighbour(t, director, real4(sentinelServer), serverMAC(sentinelServer))
	for gateway, all := range map[string]string{"10.0.0.254": "0.0.0.0/0", "fd00::fe": "::/0"} {
		neighbour(t, director, address(gateway), routerMAC)
		must(t, director.ReplaceRoute(prefix(all), address(gateway)))
	}
	// A director's host takes every virtual address for its own, and answers as often as
	// there is something to answer.
	for _, all := range []string{vips4, vips6} {
		must(t, director.AddLocalRoute(prefix(all)))
	}
	for _, key := range []string{"net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"} {
		must(t, director.Sysctl(key, "0"))
	}
	mac, err := director.MAC(directorLink)
	must(t, err)
	w := &wire{director: packettest.MAC(mac), buffer: make([]byte, 1<<16)}
	w.socket = packetSocket(t, far, "wire")
	return w
}

// neighbour makes a neighbour entry that the kernel never doubts.
func neighbour(t testing.TB, ns *testnet.Namespace, addr netip.Addr, mac packettest.MAC) {
	t.Helper()
	index, err := ns.Index(directorLink)
	must(t, err)
	must(t, ns.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: index, IP: addr.AsSlice(), HardwareAddr: net.HardwareAddr(mac[:]), State: netlink.NUD_PERMANENT,
	}))
}

// packetSocket receives every frame that comes in by an interface, whole.
func packetSocket(t testing.TB, ns *testnet.Namespace, name string) int {
	t.Helper()
	index, err := ns.Index(name)
	must(t, err)
	var fd int
	must(t, ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	short := unix.NsecToTimeval((100 * time.Millisecond).Nanoseconds())
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &short))
	const everything = 0x0300 // ETH_P_ALL in network order
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: index}))
	return fd
}

// exchange sends packets to the director and tells what became of each, by
// destination MAC address of what came out.
//
// That nothing came out is known without waiting on a guess: a packet for the
// sentinel's service follows, which goes the same way in the same order.
func (w *wire) exchange(t testing.TB, packets ...packettest.Packet) []outcome {
	t.Helper()
	first := w.serial + 1
	for _, p := range packets {
		w.send(t, p)
	}
	got := make([]outcome, len(packets))
	w.untilSentinel(t, func(frame []byte) {
		if serial, ok := serialOf(frame); ok && serial >= first {
			got[serial-first] = outcomeOf(frame)
		}
	})
	return got
}

// ask is exchange for one packet, and tells all that came out for it: also what does
// not end in the packet's number, such as a reset.
func (w *wire) ask(t testing.TB, p packettest.Packet) trace {
	t.Helper()
	got := trace{sent: w.send(t, p)}
	w.untilSentinel(t, func(frame []byte) {
		to := outcomeOf(frame)
		if to == nowhere || !isIP(frame) {
			return
		}
		got.outcome = to
		got.came = append(got.came, bytes.Clone(frame))
	})
	return got
}

// untilSentinel sends the sentinel and hands on what comes out of the director before it.
func (w *wire) untilSentinel(t testing.TB, see func(frame []byte)) {
	t.Helper()
	w.send(t, packettest.IPv4("192.0.2.250", sentinelVIP).UDP(9, sentinelPort))
	for deadline := time.Now().Add(patience); ; {
		if time.Now().After(deadline) {
			t.Fatalf("the sentinel behind packet %d did not come out of the director within %v", w.serial, patience)
		}
		frame := w.receive(t)
		serial, ok := serialOf(frame)
		switch {
		case frame == nil:
		case ok && serial == w.serial && outcomeOf(frame) == sentinelServer:
			return
		default:
			see(frame)
		}
	}
}

// send numbers a packet, puts it on the wire, and returns the frame.
func (w *wire) send(t testing.TB, p packettest.Packet) []byte {
	t.Helper()
	w.serial++
	frame := p.From(routerMAC).To(w.director).ID(w.serial & 0xffff).Append(payload(w.serial)).Frame(t)
	if _, err := unix.Write(w.socket, frame); err != nil {
		t.Fatalf("send packet %d: %v", w.serial, err)
	}
	return frame
}

// receive returns the next frame, nil after a moment without one.
func (w *wire) receive(t testing.TB) []byte {
	t.Helper()
	n, err := unix.Read(w.socket, w.buffer)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	must(t, err)
	return w.buffer[:n]
}

// payloadMark begins the payload of what a wire sends; the packet's number follows.
const payloadMark = 0x786c76735f767400

func payload(serial uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, payloadMark), serial)
}

// serialOf is the number of the packet that a frame is, or that an ICMP error
// quotes to its end.
func serialOf(frame []byte) (uint32, bool) {
	const length = 12
	if len(frame) < packet.EthernetLen+length {
		return 0, false
	}
	tail := frame[len(frame)-length:]
	return binary.BigEndian.Uint32(tail[8:]), binary.BigEndian.Uint64(tail) == payloadMark
}

func outcomeOf(frame []byte) outcome {
	mac := packettest.MAC(frame[:packet.MACLen])
	if mac == routerMAC {
		return returned
	}
	if n := int(mac[5]); mac == serverMAC(n) {
		return outcome(n)
	}
	return nowhere
}

func isIP(frame []byte) bool {
	etherType := packet.EtherType(binary.BigEndian.Uint16(frame[12:]))
	return etherType == packet.EtherTypeIPv4 || etherType == packet.EtherTypeIPv6
}
