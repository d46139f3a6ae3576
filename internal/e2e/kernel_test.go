package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/internal/packettest"
)

// TestKernelKeepsItsOwn: on a virtual address that is the director's own, only what
// a service claims leaves the kernel.
func TestKernelKeepsItsOwn(t *testing.T) {
	t.Parallel()
	b := newBed(t, 2)
	must(t, b.inside.AddAddr("lo", netip.MustParsePrefix(vip+"/32")))
	b.start(b.config(loadPolicy(0)))
	w := b.wires[0]
	b.probe(w, w, flowOf(1, 1000, udpTo(7)))

	b.kernelAnswers(vip)
	eventually(t, "the kernel answers ARP for the virtual address", func() error {
		w.send(arpRequest(w, vip))
		return b.kernelSent(w, func(f []byte) bool {
			return len(f) >= arpLen && f[12] == 8 && f[13] == 6 && f[21] == 2 && [4]byte(f[28:32]) == netip.MustParseAddr(vip).As4()
		})
	})
	b.listenTCP(vip + ":22")
	eventually(t, "the kernel accepts connections to an SSH-like port", func() error {
		w.sendPacket(packettest.IPv4(host, vip).TCP(1000, 22).SYN())
		return b.kernelSent(w, tcpFlags(0x12)) // SYN, ACK
	})
	eventually(t, "the kernel refuses TCP to a port that a service has for UDP", func() error {
		w.sendPacket(packettest.IPv4(host, vip).TCP(1000, 7).SYN())
		return b.kernelSent(w, tcpFlags(0x14)) // RST, ACK
	})
	eventually(t, "the kernel refuses UDP to other ports", func() error {
		w.sendPacket(packettest.IPv4(host, vip).UDP(1000, 8))
		return b.kernelSent(w, isFrom(vip, 1))
	})

	// A socket of the director's host on a claimed port gets nothing, on another one all.
	claimed, free := b.listenUDP(vip+":7"), b.listenUDP(vip+":8")
	w.take()
	for i := range 20 {
		w.sendPacket(flowOf(i, 1000, udpTo(7)).udp(uint32(i)))
		w.sendPacket(flowOf(i, 1000, udpTo(8)).udp(uint32(i)))
	}
	eventually(t, "both kinds arrive", func() error {
		if free.count() != 20 || w.count() != 20 {
			return fmt.Errorf("%d at the kernel, %d at the servers", free.count(), w.count())
		}
		return nil
	})
	if claimed.count() != 0 {
		t.Errorf("the kernel got %d datagrams of the service", claimed.count())
	}
	b.stop()
}

// kernelSent is an error unless a frame of the kind comes soon.
func (b *bed) kernelSent(w *wire, kind func([]byte) bool) error {
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if len(w.takeOthers(kind)) > 0 {
			return nil
		}
	}
	return errors.New("nothing came")
}

// tcpFlags finds segments from the virtual address with exactly these flags.
func tcpFlags(flags byte) func([]byte) bool {
	return func(f []byte) bool { return isFrom(vip, 6)(f) && len(f) > 47 && f[47] == flags }
}

// arpRequest asks for an address in the name of host.
func arpRequest(w *wire, addr string) []byte {
	mac, from, to := serverMAC(50), netip.MustParseAddr(host).As4(), netip.MustParseAddr(addr).As4()
	body := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	body = append(append(append(body, mac[:]...), from[:]...), make([]byte, 6)...)
	body = append(body, to[:]...)
	return packettest.Ethernet(etherTypeARP, body).From(mac).To(packettest.MAC{255, 255, 255, 255, 255, 255}).Frame(w.t)
}

func (b *bed) listenTCP(addr string) {
	b.t.Helper()
	must(b.t, b.inside.Do(func() error {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			b.t.Cleanup(func() { l.Close() })
		}
		return err
	}))
}

// listener counts the datagrams that a kernel socket got.
type listener struct {
	conn net.PacketConn
	got  int
}

func (b *bed) listenUDP(addr string) *listener {
	b.t.Helper()
	l := &listener{}
	must(b.t, b.inside.Do(func() (err error) {
		l.conn, err = net.ListenPacket("udp", addr)
		return err
	}))
	b.t.Cleanup(func() { l.conn.Close() })
	return l
}

// count takes in what has come so far.
func (l *listener) count() int {
	buffer := make([]byte, 2048)
	for {
		l.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) //nolint:errcheck // the read tells
		if _, _, err := l.conn.ReadFrom(buffer); err != nil {
			return l.got
		}
		l.got++
	}
}

// TestFallback: what becomes of a service's datagrams when no director is there.
func TestFallback(t *testing.T) {
	t.Parallel()
	b := newBed(t, 1)
	must(t, b.inside.AddAddr("lo", netip.MustParsePrefix(vip+"/32")))
	policy := func(fallback string) string {
		return strings.Replace(b.config(loadPolicy(0)), "steering: {", "steering: {fallback: "+fallback+", ", 1)
	}
	kernel := b.listenUDP(vip + ":7")
	w, flow := b.wires[0], flowOf(1, 1000, udpTo(7))
	b.start(policy("drop"))
	for _, fallback := range []string{"drop", "pass", "drop"} {
		if !b.reload(policy(fallback)) {
			t.Fatal("the reload was refused")
		}
		b.probe(w, w, flow)
		b.kill()
		before := kernel.count()
		for range 10 {
			w.sendPacket(flow.udp(0))
		}
		b.kernelAnswers(vip) // what was sent before has been decided on
		if got, want := kernel.count()-before, map[string]int{"drop": 0, "pass": 10}[fallback]; got != want {
			t.Errorf("fallback %s: the kernel got %d datagrams of 10", fallback, got)
		}
		b.start(policy("drop"))
	}
	b.stop()
}
