package e2e

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/xlvs/xlvs/internal/testnet"
)

// lan is a director between kernels: TCP connections that stay open, through a
// switch with a client and real servers that hold the virtual address.
//
//	   client           director
//	10.9.0.100          10.9.0.1, the virtual address
//	     |                  |
//	  ---+----- switch -----+----------+------------ ...
//	                        |          |
//	                   10.9.0.11   10.9.0.12         servers, which hold
//	                                                 the virtual address too
type lan struct {
	*director
	client *testnet.Namespace
}

// The service of a lan: a greeting with the server's name, then an echo.
const (
	lanPort = 5000
	lanVIP  = "10.9.0.200"
)

func newLAN(t *testing.T, servers ...byte) *lan {
	t.Helper()
	sw := testnet.Fresh(t)
	must(t, sw.AddBridge("br0"))
	join := func(last int, prefix int) *testnet.Namespace {
		ns := testnet.Fresh(t)
		port := fmt.Sprintf("port%d", last)
		must(t, testnet.Pair(testnet.Veth{Namespace: ns, Name: "eth0"}, testnet.Veth{Namespace: sw, Name: port}))
		must(t, sw.Plug(port, "br0"))
		must(t, ns.WireFrames("eth0"))
		must(t, ns.AddAddr("eth0", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(last)}), prefix)))
		return ns
	}
	l := &lan{client: join(100, 24)}
	inside := join(1, 24)
	must(t, inside.AddAddr("eth0", netip.MustParsePrefix(lanVIP+"/32")))
	for _, s := range servers {
		ns := join(int(s), 24)
		must(t, ns.Sysctl("net/ipv4/conf/all/arp_ignore", "1"))
		must(t, ns.Sysctl("net/ipv4/conf/all/arp_announce", "2"))
		must(t, ns.AddAddr("lo", netip.MustParsePrefix(lanVIP+"/32")))
		greet(t, ns, s)
	}
	l.director = newDirector(t, inside)
	return l
}

// greet serves a server's name and then an echo.
func greet(t *testing.T, ns *testnet.Namespace, name byte) {
	t.Helper()
	var listener net.Listener
	must(t, ns.Do(func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf("%s:%d", lanVIP, lanPort))
		return err
	}))
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Write([]byte{name}) //nolint:errcheck // the client sees it
				io.Copy(conn, conn)      //nolint:errcheck // the client sees it
			}()
		}
	}()
}

// session is a TCP connection to the virtual address.
type session struct {
	net.Conn
	server byte
}

func (l *lan) dial() *session {
	l.t.Helper()
	s := &session{}
	must(l.t, l.client.Do(func() (err error) {
		s.Conn, err = net.DialTimeout("tcp", fmt.Sprintf("%s:%d", lanVIP, lanPort), patience)
		return err
	}))
	l.t.Cleanup(func() { s.Close() })
	name := make([]byte, 1)
	must(l.t, s.SetDeadline(time.Now().Add(patience)))
	_, err := io.ReadFull(s, name)
	must(l.t, err)
	s.server = name[0]
	return s
}

// echo says something and waits to hear it.
func (s *session) echo(text string) error {
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := s.Write([]byte(text)); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(s, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("heard %q, not %q", got, text)
	}
	return nil
}

// config is a configuration with these marks and services.
func (l *lan) config(policy string) string {
	return fmt.Sprintf(`
interfaces: [{name: eth0}]
tables: {connections: 65536, connections6: 64, templates: 16384, templates6: 64, servers: 256}
steering: {pin: %s}
control: {socket: %s}
%s`, l.pin, l.socket(), policy)
}
