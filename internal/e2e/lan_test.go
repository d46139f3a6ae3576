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
// switch with a client and real servers that hold the virtual addresses.
//
//	   client           director
//	10.9.0.100          10.9.0.1, the virtual addresses
//	fd00:9::100         fd00:9::1
//	     |                  |
//	  port100             port1
//	  ---+----- switch -----+----------+------------ ...
//	                        |          |
//	                   10.9.0.11   10.9.0.12         servers, which hold
//	                   fd00:9::11  fd00:9::12        the virtual addresses too
type lan struct {
	*director
	client, network *testnet.Namespace
	servers         map[byte]*testnet.Namespace // by the last number of their addresses
}

// directorPort is the port of the switch that the director is at.
const directorPort = "port1"

// The service of a lan: a greeting with the server's name, then an echo.
const (
	lanPort = 5000
	lanVIP  = "10.9.0.200"
	lanVIP6 = "fd00:9::200"
)

func newLAN(t *testing.T, servers ...byte) *lan {
	t.Helper()
	l := &lan{network: testnet.Fresh(t), servers: map[byte]*testnet.Namespace{}}
	must(t, l.network.AddBridge("br0"))
	l.client = l.join(t, 100)
	inside := l.join(t, 1)
	must(t, inside.AddAddr("eth0", netip.MustParsePrefix(lanVIP+"/32"), netip.MustParsePrefix(lanVIP6+"/128")))
	for _, s := range servers {
		ns := l.join(t, s)
		must(t, ns.Sysctl("net/ipv4/conf/all/arp_ignore", "1"))
		must(t, ns.Sysctl("net/ipv4/conf/all/arp_announce", "2"))
		must(t, ns.AddAddr("lo", netip.MustParsePrefix(lanVIP+"/32"), netip.MustParsePrefix(lanVIP6+"/128")))
		greet(t, ns, s)
		l.servers[s] = ns
	}
	l.director = newDirector(t, inside)
	return l
}

// join makes a host at the switch, by the last number of its addresses.
func (l *lan) join(t *testing.T, last byte) *testnet.Namespace {
	t.Helper()
	ns := testnet.Fresh(t)
	port := fmt.Sprintf("port%d", last)
	must(t, testnet.Pair(testnet.Veth{Namespace: ns, Name: "eth0"}, testnet.Veth{Namespace: l.network, Name: port}))
	must(t, l.network.Plug(port, "br0"))
	must(t, ns.WireFrames("eth0"))
	must(t, ns.AddAddr("eth0", netip.MustParsePrefix(fmt.Sprintf("10.9.0.%d/24", last)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:9::%d/64", last))))
	return ns
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
	s, err := l.tryDial()
	must(l.t, err)
	return s
}

// tryDial is dial for when there may be no answer.
func (l *lan) tryDial() (*session, error) {
	s := &session{}
	err := l.client.Do(func() (err error) {
		s.Conn, err = net.DialTimeout("tcp", fmt.Sprintf("%s:%d", lanVIP, lanPort), patience)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.t.Cleanup(func() { s.Close() })
	name := make([]byte, 1)
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(s, name)
	s.server = name[0]
	return s, err
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
tables: {connections: 65536, connections6: 4096, templates: 16384, templates6: 64, servers: 256}
steering: {pin: %s}
control: {socket: %s}
%s`, l.pin, l.socket(), policy)
}
