package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/packettest"
	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/packet"
)

// eachWay runs a test with the express lane and with the workers alone.
func eachWay(t *testing.T, test func(t *testing.T, express string)) {
	for _, express := range []string{"auto", "off"} {
		t.Run("express "+express, func(t *testing.T) {
			t.Parallel()
			test(t, express)
		})
	}
}

// express puts the choice of the lane into a configuration.
func express(config, choice string) string { return withSteering(config, "express: "+choice) }

// rainPolicy has the lan's service by mark, with more keys for it.
func rainPolicy(ports, servers, more string) string {
	return fmt.Sprintf(`
marks:
  - {mark: 7, match: {protocol: tcp, destination: %s, ports: %s}}
services:
  - {fwmark: 7, scheduler: rr, servers: %s%s}
  - {address: %s, protocol: udp, port: 53, scheduler: rr, servers: %s%s}
`, lanVIP, ports, servers, more, lanVIP, servers, more)
}

// TestClaimsThatEndCutNothing: a connection outlives the rule and the port range that it
// came by; new ones to the port are the kernel's.
func TestClaimsThatEndCutNothing(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		l := newExpressLAN(t, 11)
		policy := func(ports string) string {
			return express(l.config(rainPolicy(ports, "[{address: 10.9.0.11}]", "")), way)
		}
		l.start(policy("[4000-6000]"))
		s := l.dial()
		must(t, s.echo("before"))
		if !l.reload(policy("[4000-4999]")) {
			t.Fatal("the narrower rule was refused")
		}
		for i := range 5 {
			if err := s.echo(fmt.Sprint("after ", i)); err != nil {
				t.Fatalf("the connection ended with its rule: %v", err)
			}
		}
		if _, err := l.tryDial(); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("a new connection to the port that nobody claims: %v, not refused by the kernel", err)
		}
		l.stop()
	})
}

// TestRefusalsAreSaid: without a server, clients hear so at once, unless the
// configuration wants silence.
func TestRefusalsAreSaid(t *testing.T) {
	t.Parallel()
	for _, refuse := range []string{"answer", "drop"} {
		t.Run(refuse, func(t *testing.T) {
			t.Parallel()
			l := newExpressLAN(t, 11)
			l.start(l.config(rainPolicy("[5000]", "[{address: 10.9.0.11, weight: 0}]", ", refuse: "+refuse)))
			tcp := l.try("tcp", fmt.Sprint(lanPort))
			udp := l.try("udp", "53")
			if refuse == "drop" {
				for _, err := range []error{tcp, udp} {
					if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.ETIMEDOUT) && !isTimeout(err) {
						t.Errorf("%v, not silence", err)
					}
				}
			} else {
				for _, err := range []error{tcp, udp} {
					if !errors.Is(err, unix.ECONNREFUSED) {
						t.Errorf("%v, not a refusal", err)
					}
				}
			}
			if n := l.status().Frames["no_server"]; n == 0 {
				t.Error("no_server counts nothing")
			}
			l.stop()
		})
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// try connects to a port of the virtual address, says something if that is
// UDP, and waits a moment for an answer.
func (l *lan) try(network, port string) error {
	l.t.Helper()
	const moment = 2 * time.Second
	return l.client.Do(func() error {
		c, err := net.DialTimeout(network, net.JoinHostPort(lanVIP, port), moment)
		if err != nil {
			return err
		}
		defer c.Close()
		must(l.t, c.SetDeadline(time.Now().Add(moment)))
		if _, err := c.Write([]byte("?")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
}

// TestForgottenConnectionIsReset: a director that does not know a segment's connection
// says so, and the client need not wait for hours.
func TestForgottenConnectionIsReset(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		l := newExpressLAN(t, 11, 12)
		config := express(l.config(rainPolicy("[5000]", bothServers, "")), way)
		l.start(config)
		s := l.dial()
		must(t, s.echo("before"))
		l.kill()
		l.start(config, "fresh-tables")
		if err := s.echo("after"); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%v, not a reset", err)
		}
		l.stop()
	})
}

// TestPartialChecksumsEitherWay: a client behind a veth that leaves checksums to hardware which
// nobody has is served all the same, from its first request.
func TestPartialChecksumsEitherWay(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		l := newExpressLAN(t, 11)
		must(t, l.client.SetFeatures("eth0", true, "tx-checksum-ip-generic"))
		l.start(express(l.config(rainPolicy("[5000]", "[{address: 10.9.0.11}]", "")), way))
		s := l.dial()
		for i := range 50 {
			if err := s.echo(fmt.Sprint("request ", i)); err != nil {
				t.Fatalf("request %d: %v; %v", i, err, nonZero(l.status().Frames))
			}
		}
		l.stop()
	})
}

// TestFragmentsOfManySockets: plain sockets send datagrams of three fragments to two
// servers, so that identifications repeat all the time. The servers get them all.
func TestFragmentsOfManySockets(t *testing.T) {
	t.Parallel()
	l := newExpressLAN(t, 11, 12)
	var arrived atomic.Int64
	for _, s := range l.servers {
		count(t, s, &arrived)
	}
	l.start(l.config(rainPolicy("[5000]", bothServers, "")))
	const sockets, rounds = 10, 300
	var all sync.WaitGroup
	for range sockets {
		var c net.Conn
		must(t, l.client.Do(func() (err error) {
			c, err = net.Dial("udp", net.JoinHostPort(lanVIP, "53"))
			return err
		}))
		defer c.Close()
		all.Go(func() {
			for range rounds {
				if _, err := c.Write(make([]byte, 4000)); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Millisecond) // a rate, not a guess
			}
		})
	}
	all.Wait()
	eventually(t, "all datagrams arrive", func() error {
		if n := arrived.Load(); n != sockets*rounds {
			return fmt.Errorf("%d of %d arrived; %v", n, sockets*rounds, nonZero(l.status().Frames))
		}
		return nil
	})
	l.stop()
}

// count counts the datagrams that come to a server's port 53.
func count(t *testing.T, ns *testnet.Namespace, arrived *atomic.Int64) {
	t.Helper()
	var c net.PacketConn
	must(t, ns.Do(func() (err error) {
		c, err = net.ListenPacket("udp4", net.JoinHostPort(lanVIP, "53"))
		return err
	}))
	must(t, c.(*net.UDPConn).SetReadBuffer(8<<20))
	t.Cleanup(func() { c.Close() })
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, _, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			if n == 4000 {
				arrived.Add(1)
			}
		}
	}()
}

// rainBed is two wires: clients on the first, servers behind the second.
func rainBed(t *testing.T, way string) (b *bed, clients, servers *wire) {
	t.Helper()
	b = newBed(t, 1, 1)
	b.start(express(b.config(fmt.Sprintf(`
services:
  - {address: %s, protocol: udp, port: 7, scheduler: rr, servers: [{address: 10.1.0.11}]}
  - {address: "%s", protocol: udp, port: 7, scheduler: rr, servers: [{address: "fd00:1::11"}]}
`, vip, vip6)), way))
	return b, b.wires[0], b.wires[1]
}

// frames returns the frames without a number that came so far, and forgets them.
func (w *wire) frames() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.others
	w.others = nil
	return all
}

// awaitFrame waits for a frame that is wanted.
func (w *wire) awaitFrame(what string, wanted func(p *packet.Parsed, f []byte) bool) (frame []byte) {
	w.t.Helper()
	eventually(w.t, what, func() error {
		frames := w.frames()
		for _, f := range frames {
			var p packet.Parsed
			if packet.Parse(f, &p) == packet.OK && wanted(&p, f) {
				frame = f
				return nil
			}
		}
		return fmt.Errorf("not among %d frames", len(frames))
	})
	return frame
}

// TestFramesForOthersAreLeftAlone: what a switch floods to everybody is not ours.
func TestFramesForOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		b, in, out := rainBed(t, way)
		f := flowOf(1, 1000, udpTo(7))
		b.probe(in, out, f) // known, so that the fast path has it
		stranger := packettest.MAC{2, 0xaa, 0xbb, 0xcc, 0xdd, 1}
		before := b.status().Steering["other_host"]
		const n = 20
		for i := range n {
			in.send(f.udp(uint32(i)).To(stranger).Frame(t))
			in.send(flowOf(100+i, 1000, udpTo(7)).udp(uint32(i)).To(stranger).Frame(t))
		}
		eventually(t, "they are counted", func() error {
			if got := b.status().Steering["other_host"] - before; got < 2*n {
				return fmt.Errorf("%d of %d", got, 2*n)
			}
			return nil
		})
		b.probe(in, out, f) // whatever came before it has been forwarded by now
		if got := out.count(); got > 0 {
			for _, a := range out.take() {
				if a.number < n {
					t.Errorf("number %d of another host was forwarded", a.number)
				}
			}
		}
		for key := range b.connections() {
			if !strings.Contains(key, f.client.String()) {
				t.Errorf("another host's frame made a connection: %s", key)
			}
		}
		b.stop()
	})
}

// TestTTLCountsDown on the way through, and ends a packet that has gone too far.
func TestTTLCountsDown(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		b, in, out := rainBed(t, way)
		for _, f := range []flow{flowOf(1, 1000, udpTo(7)), flowOf(1, 1000, netip.AddrPortFrom(netip.MustParseAddr(vip6), 7))} {
			b.probe(in, out, f)
			b.probe(in, out, f)
			out.frames()
			in.sendPacket(f.udp(0).Data([]byte("unnumbered")).TTL(9))
			out.awaitFrame("a packet has one hop less", func(p *packet.Parsed, _ []byte) bool {
				return p.Kind == packet.KindFlow && p.TTL == 8
			})
			in.frames()
			in.sendPacket(f.udp(0).Data([]byte("unnumbered")).TTL(1))
			in.awaitFrame("time exceeded comes back", func(p *packet.Parsed, frame []byte) bool {
				want := uint8(11)
				if p.Tuple.Src.Is4() != f.client.Addr().Is4() {
					return false
				}
				if !f.client.Addr().Is4() {
					want = 3
				}
				return p.Kind == packet.KindError && frame[p.L4] == want
			})
		}
		b.stop()
	})
}

// TestNothingLongerThanTheLinkLeaves: the sender is told, or the packet is cut up.
func TestNothingLongerThanTheLinkLeaves(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		const mtu, long = 1400, 1472
		b, in, out := rainBed(t, way)
		lowerMTU(t, b, "eth1", mtu)
		f4, f6 := flowOf(1, 1000, udpTo(7)), flowOf(1, 1000, netip.AddrPortFrom(netip.MustParseAddr(vip6), 7))
		b.probe(in, out, f4)
		b.probe(in, out, f6)
		tooBig := func(kind, code uint8) func(p *packet.Parsed, f []byte) bool {
			return func(p *packet.Parsed, f []byte) bool {
				return p.Kind == packet.KindError && f[p.L4] == kind && f[p.L4+1] == code &&
					binary.BigEndian.Uint32(f[p.L4+4:]) == mtu
			}
		}
		send := func(p packettest.Packet) func() { return func() { in.sendPacket(p) } }
		until(t, in, "IPv4 with DF: fragmentation needed", send(f4.udp(0).Payload(long).DontFragment()), tooBig(3, 4))
		until(t, in, "IPv6: packet too big", send(f6.udp(0).Payload(1452)), tooBig(2, 0))
		out.frames()
		in.sendPacket(f4.udp(0).Payload(long).ID(77))
		longest := map[packet.Kind]int{}
		eventually(t, "IPv4 without DF: a first fragment and a later one", func() error {
			for _, f := range out.frames() {
				var p packet.Parsed
				if packet.Parse(f, &p) == packet.OK {
					longest[p.Kind] = max(longest[p.Kind], int(p.Len))
				}
			}
			if longest[packet.KindFirst] == 0 || longest[packet.KindFragment] == 0 {
				return fmt.Errorf("%v; %v", longest, nonZero(b.status().Frames))
			}
			return nil
		})
		if longest[packet.KindFirst] > mtu || longest[packet.KindFragment] > mtu {
			t.Errorf("fragments of %v bytes by a link of %d", longest, mtu)
		}
		b.stop()
	})
}

// until repeats a frame until an answer comes that is wanted: a link's new MTU takes a
// moment to be noticed.
func until(t *testing.T, w *wire, what string, send func(), wanted func(p *packet.Parsed, f []byte) bool) {
	t.Helper()
	eventually(t, what, func() error {
		send()
		time.Sleep(5 * time.Millisecond)
		for _, f := range w.frames() {
			var p packet.Parsed
			if packet.Parse(f, &p) == packet.OK && wanted(&p, f) {
				return nil
			}
		}
		return errors.New("nothing comes back")
	})
}

// lowerMTU gives the director's end of a wire an MTU.
func lowerMTU(t *testing.T, b *bed, name string, mtu int) {
	t.Helper()
	link, err := b.inside.Netlink().LinkByName(name)
	must(t, err)
	must(t, b.inside.Netlink().LinkSetMTU(link, mtu))
}
