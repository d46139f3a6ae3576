package bpf

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/packettest"
)

// newSocket is an AF_XDP socket with a receive ring, which is all that the map asks for.
func newSocket(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket := os.NewFile(uintptr(fd), "AF_XDP")
	t.Cleanup(func() { socket.Close() }) // unless the test did
	if err := unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_RX_RING, 64); err != nil {
		t.Fatal(err)
	}
	return socket
}

func register(t *testing.T, s *Steering, ifindex int, queue uint32, socket *os.File) {
	t.Helper()
	if err := s.Register(ifindex, queue, int(socket.Fd())); err != nil {
		t.Fatal(err)
	}
}

// Claimed frames go to the socket of their interface and queue, and to no other.
func TestRegister(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	_, eth1 := vethPair(t, ns, "eth1")
	s := steering(t, nil, web())
	frame := packettest.IPv4(client, vip).TCP(1, 80).Frame(t)
	expect := func(ifindex int, want uint32) {
		t.Helper()
		if got := run(t, s, frame, ifindex); got != want {
			t.Errorf("interface %d: %s, want %s", ifindex, actionNames[got], actionNames[want])
		}
	}
	socket := newSocket(t)
	register(t, s, eth0, 0, socket)
	register(t, s, eth1, 1, socket)
	expect(eth0, xdpRedirect)
	expect(eth1, xdpDrop) // queue 0 has none
	if c := counters(t, s); c.Redirected() != 1 || c[NoSocket] != 1 {
		t.Errorf("redirected %d, without socket %d", c.Redirected(), c[NoSocket])
	}
	register(t, s, eth1, 0, newSocket(t))
	expect(eth1, xdpRedirect)

	for range 2 { // the second time there is none
		if err := s.Unregister(eth0, 0); err != nil {
			t.Fatal(err)
		}
	}
	expect(eth0, xdpDrop)
	expect(eth1, xdpRedirect)
	if err := s.SetFallback(FallbackPass); err != nil {
		t.Fatal(err)
	}
	expect(eth0, xdpPass)
}

// A socket that is closed is out of the map, without anybody's doing.
func TestClosedSocketIsGone(t *testing.T) {
	s := steering(t, nil, web())
	frame := packettest.IPv4(client, vip).TCP(1, 80).Frame(t)
	const lo = 1
	socket := newSocket(t)
	register(t, s, lo, 0, socket)
	if got := run(t, s, frame, lo); got != xdpRedirect {
		t.Fatal(actionNames[got])
	}
	socket.Close()
	eventually(t, "the socket to leave the map", func() bool { return run(t, s, frame, lo) == xdpDrop })
}

func TestRegisterRefuses(t *testing.T) {
	s := steering(t, nil, nil)
	if err := s.Register(1, MaxQueues, int(newSocket(t).Fd())); err == nil || !strings.Contains(err.Error(), "ethtool -L") {
		t.Error(err)
	}
	if err := s.Register(1, 0, 0); err == nil {
		t.Error("registered what is no AF_XDP socket")
	}
}

// Slots are given out again: those of interfaces that are gone, and cleared.
func TestSlotsAreReused(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	s := steering(t, nil, web())
	socket := newSocket(t)
	const gone = 100000 // no such interface
	for i := range MaxInterfaces {
		register(t, s, gone+i, 0, socket)
	}
	register(t, s, eth0, 1, socket)
	if got := run(t, s, packettest.IPv4(client, vip).TCP(1, 80).Frame(t), eth0); got != xdpDrop {
		t.Errorf("%s: the slot still has the socket of another interface", actionNames[got])
	}
}

func TestDetachForgetsSockets(t *testing.T) {
	ns := enterNamespace(t)
	_, eth0 := vethPair(t, ns, "eth0")
	s := steering(t, nil, web())
	register(t, s, eth0, 0, newSocket(t))
	attach(t, s, eth0, Generic)
	if err := ns.Delete("eth0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Detach(eth0); err != nil { // of an interface that is gone
		t.Fatal(err)
	}
	if len(s.slots) != 0 || len(s.links) != 0 {
		t.Errorf("slots %v, links %v", s.slots, s.links)
	}
}

// steer.c and this package agree on the size of the map of sockets.
func TestLimitsAgree(t *testing.T) {
	s := steering(t, nil, nil)
	if got := s.objects.Sockets.MaxEntries(); got != MaxInterfaces*MaxQueues {
		t.Errorf("room for %d sockets, want %d", got, MaxInterfaces*MaxQueues)
	}
	if got := s.objects.Interfaces.MaxEntries(); got != MaxInterfaces {
		t.Errorf("room for %d interfaces, want %d", got, MaxInterfaces)
	}
}
