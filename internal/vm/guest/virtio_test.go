//go:build vmtest

package guest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/testnet"
)

// TestVirtio is zero copy and VLANs, on NICs that have both as hardware would.
func TestVirtio(t *testing.T) {
	b := newVirtioBed(t)
	b.serve(t)
	for _, run := range []struct{ mode, obtained, attached string }{
		{"zerocopy", "zerocopy", "native"},
		{"auto", "copy", "native"}, // the table of drivers known to be sound has no virtio_net
		{"copy", "copy", "native"},
		{"generic", "generic", "generic"},
	} {
		t.Run("mode "+run.mode, func(t *testing.T) {
			b.start(t, run.mode)
			t.Cleanup(func() {
				if err := b.xlvs.stop(); err != nil {
					t.Errorf("stop: %v", err)
				}
				if t.Failed() {
					t.Logf("the director's log:\n%s", b.xlvs.log(t))
				}
			})
			if s := b.socket(t); s.Mode != run.obtained || s.Attached != run.attached {
				t.Fatalf("socket in mode %s, program attached %s; expected %s, %s", s.Mode, s.Attached, run.obtained, run.attached)
			}
			t.Run("ping", b.testPing)
			t.Run("TCP", func(t *testing.T) { b.testTCP(t, untagged) })
			t.Run("numbered datagrams", func(t *testing.T) { b.testDatagrams(t, untagged) })
			t.Run("VLAN TCP", func(t *testing.T) { b.testTCP(t, tagged) })
			t.Run("VLAN tag and mark", b.testTag)
			t.Run("bench generate", b.testBench)
			if run.mode != "zerocopy" {
				return
			}
			t.Run("VLAN datagrams", func(t *testing.T) { b.testDatagrams(t, tagged) })
			t.Run("link down and up", b.testLinkDown)
			t.Run("restart after a crash", b.testRestart)
			t.Run("list", b.testList)
		})
	}
}

// testPing: the kernel still answers for the virtual address.
func (b *virtioBed) testPing(t *testing.T) {
	for _, n := range []network{untagged, tagged} {
		out, err := b.run(b.client, "ping", "-c", "2", "-W", "5", n.vip)
		if err != nil || !strings.Contains(out, " 0% packet loss") {
			t.Errorf("ping %s: %v\n%s", n.vip, err, out)
		}
	}
}

func (b *virtioBed) run(ns *testnet.Namespace, name string, args ...string) (string, error) {
	var out []byte
	err := ns.Do(func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	return string(out), err
}

// testTCP: connections of the kernel's TCP reach both servers and carry data both ways.
func (b *virtioBed) testTCP(t *testing.T, n network) {
	seen := map[int]int{}
	for range 4 {
		c, server := b.dial(t, n)
		exchange(t, c, 20_000)
		c.Close()
		seen[server]++
	}
	if seen[1] != 2 || seen[2] != 2 {
		t.Errorf("connections by server: %v, expected two each", seen)
	}
}

// dial opens a connection and reads which server it is with.
func (b *virtioBed) dial(t *testing.T, n network) (net.Conn, int) {
	t.Helper()
	var c net.Conn
	must(t, b.client.Do(func() (err error) {
		c, err = net.DialTimeout("tcp4", n.target(), patience)
		return err
	}))
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	number := make([]byte, 1)
	_, err := io.ReadFull(c, number)
	must(t, err)
	return c, int(number[0])
}

// exchange sends bytes and reads their echo.
func exchange(t *testing.T, c net.Conn, size int) {
	t.Helper()
	sent, got := make([]byte, size), make([]byte, size)
	for i := range sent {
		sent[i] = byte(i >> 3)
	}
	must(t, c.SetDeadline(time.Now().Add(patience)))
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		wrote <- err
	}()
	_, err := io.ReadFull(c, got)
	must(t, errors.Join(err, <-wrote))
	if string(got) != string(sent) {
		t.Error("the echo is not what was sent")
	}
}

// Numbered datagrams: how many, from how many ports, and how many at most are under
// way at once. More than that, and an emulated NIC loses some by itself.
const (
	datagrams = 1500
	sources   = 30
	inFlight  = 30
)

// testDatagrams: of numbered datagrams none is lost or doubled, and each source's
// meet one server.
func (b *virtioBed) testDatagrams(t *testing.T, n network) {
	conns := make([]net.Conn, sources)
	for i := range conns {
		must(t, b.client.Do(func() (err error) {
			conns[i], err = net.Dial("udp4", n.target())
			return err
		}))
		defer conns[i].Close()
	}
	server := make([]byte, sources)
	buffer := make([]byte, 2048)
	for first := uint32(0); first < datagrams; first += inFlight {
		for i := range uint32(inFlight) {
			_, err := conns[i%sources].Write(binary.BigEndian.AppendUint32(nil, first+i))
			must(t, err)
		}
		for i := range uint32(inFlight) {
			at := i % sources
			must(t, conns[at].SetReadDeadline(time.Now().Add(patience)))
			m, err := conns[at].Read(buffer)
			if err != nil {
				t.Fatalf("datagram %d: %v; frames: %v", first+i, err, b.xlvs.status(t).Frames)
			}
			if m != 5 || binary.BigEndian.Uint32(buffer[1:]) != first+i {
				t.Fatalf("datagram %d: the answer is % x", first+i, buffer[:m])
			}
			if server[at] == 0 {
				server[at] = buffer[0]
			}
			if server[at] != buffer[0] {
				t.Fatalf("datagram %d went to server %d, its source's earlier ones to %d", first+i, buffer[0], server[at])
			}
		}
	}
	for i, c := range conns { // nothing may be left
		must(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		if m, err := c.Read(buffer); err == nil {
			t.Errorf("source %d got one more: % x", i, buffer[:m])
		}
	}
}

// testTag: frames of the tagged network keep their tag on the director's parent
// interface, and the mark is by VLAN: the tagged network's real servers get what
// comes tagged, also for the other network's virtual address.
func (b *virtioBed) testTag(t *testing.T) {
	capture := packetSocket(t, b.hub, "eth1")
	must(t, unix.SetsockoptInt(capture, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
	const marker = "a tag is kept"
	var c net.Conn
	must(t, b.client.Do(func() (err error) {
		c, err = net.Dial("udp4", tagged.target())
		return err
	}))
	defer c.Close()
	_, err := c.Write([]byte(marker))
	must(t, err)
	buffer := make([]byte, 2048)
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = c.Read(buffer)
	must(t, err)

	mac, err := b.servers[buffer[0]-1].MAC(tagged.bridge)
	must(t, err)
	for deadline := time.Now().Add(patience); ; {
		if time.Now().After(deadline) {
			t.Fatal("the frame to the real server was not seen on the wire")
		}
		vlan, frame := receiveTagged(t, capture, buffer)
		if frame == nil || string(frame[:6]) != string(mac) || !strings.HasSuffix(string(frame), marker) {
			continue
		}
		if vlan != tagged.vlan {
			t.Errorf("the frame to the real server has VLAN %d, expected %d", vlan, tagged.vlan)
		}
		break
	}
	before := b.connections(t, 100)
	c2, _ := b.dialFrom(t, tagged, untagged.vip)
	c2.Close()
	if after := b.connections(t, 100); after != before+1 {
		t.Errorf("the tagged mark has %d connections after %d and one more, to the other virtual address", after, before)
	}
}

// receiveTagged receives a frame and the VLAN of its tag, which the kernel tells beside it.
func receiveTagged(t *testing.T, socket int, buffer []byte) (vlan int, frame []byte) {
	t.Helper()
	control := make([]byte, 256)
	n, controls, _, _, err := unix.Recvmsg(socket, buffer, control, 0)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	must(t, err)
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	must(t, err)
	for _, m := range messages {
		// struct tpacket_auxdata: the status is its first word, the tag's TCI at 16.
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
			vlan = int(binary.NativeEndian.Uint16(m.Data[16:])) & 0xfff
		}
	}
	return vlan, buffer[:n]
}

// dialFrom is dial to another virtual address by a network's gateway.
func (b *virtioBed) dialFrom(t *testing.T, n network, vip string) (net.Conn, int) {
	t.Helper()
	to := netip.PrefixFrom(address(vip), 32)
	must(t, b.client.ReplaceRoute(to, n.host(directorHost)))
	defer func() { must(t, b.client.ReplaceRoute(to, untagged.host(directorHost))) }()
	other := n
	other.vip = vip
	return b.dial(t, other)
}

// connections counts those that a mark's service has had.
func (b *virtioBed) connections(t *testing.T, mark uint32) uint64 {
	t.Helper()
	for _, s := range b.xlvs.services(t) {
		if s.Mark == mark {
			return s.Stats.Connections
		}
	}
	t.Fatalf("no service by mark %d", mark)
	return 0
}

// testLinkDown: the director survives its link's going down, and an open
// connection goes on when it is up again.
func (b *virtioBed) testLinkDown(t *testing.T) {
	c, _ := b.dial(t, untagged)
	exchange(t, c, 1000)
	must(t, b.director.Down("eth0"))
	await(t, "the director's noticing", func() bool {
		for _, s := range b.xlvs.services(t) {
			for _, r := range s.Servers {
				if r.Reachable {
					return false
				}
			}
		}
		return true
	})
	must(t, b.director.Up("eth0"))
	b.xlvs.reachable(t)
	exchange(t, c, 20_000)
	await(t, "the socket's return", func() bool { return b.socket(t).Mode == "zerocopy" })
	b.testDatagrams(t, untagged)
}

// testRestart: after SIGKILL the host can be reached, and the next start carries on
// the open connection, in zero copy again.
func (b *virtioBed) testRestart(t *testing.T) {
	c, _ := b.dial(t, untagged)
	exchange(t, c, 1000)
	b.xlvs.kill()
	// The kernel takes the queue back from a dead socket in the background
	// (xp_release_deferred), and what comes meanwhile is lost.
	await(t, "an answer to a ping", func() bool {
		_, err := b.run(b.client, "ping", "-c", "1", "-W", "1", untagged.vip)
		return err == nil
	})
	b.testPing(t)
	b.start(t, "zerocopy")
	if s := b.socket(t); s.Mode != "zerocopy" {
		t.Errorf("socket in mode %s after a restart", s.Mode)
	}
	exchange(t, c, 20_000)
	b.testDatagrams(t, untagged)
}

// testList: the command line shows the mode and the connections.
func (b *virtioBed) testList(t *testing.T) {
	for _, run := range []struct{ flag, want string }{
		{"--status", "zerocopy"},
		{"--connections", untagged.target()},
	} {
		out, err := b.run(b.director, program, "list", run.flag, "--socket", b.xlvs.path("socket"))
		if err != nil || !strings.Contains(out, run.want) {
			t.Errorf("xlvs list %s does not show %s: %v\n%s", run.flag, run.want, err, out)
		}
	}
}
