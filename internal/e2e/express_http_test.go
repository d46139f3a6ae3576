package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// expressServices has the web by mark and with persistence, and questions by UDP.
const expressServices = `
marks:
  - {mark: 80, match: {protocol: tcp, destination: [` + lanVIP + `, "` + lanVIP6 + `"], ports: [80, 443]}}
services:
  - fwmark: 80
    scheduler: rr
    persistence: {timeout: 10m}
    servers: [{address: 10.9.0.11}, {address: 10.9.0.12}, {address: "fd00:9::11"}, {address: "fd00:9::12"}]
  - {address: ` + lanVIP + `, protocol: udp, port: 53, scheduler: rr, servers: [{address: 10.9.0.11}, {address: 10.9.0.12}]}
  - {address: "` + lanVIP6 + `", protocol: udp, port: 53, scheduler: rr, servers: [{address: "fd00:9::11"}, {address: "fd00:9::12"}]}
`

// certificateName is in the certificate of every httptest.Server.
const certificateName = "example.com"

// serveWeb has a server take what is put to ports 80 and 443, and say who it is and
// how much it was. The TLS configuration is for clients.
func (l *lan) serveWeb(name byte) (trust *tls.Config) {
	l.t.Helper()
	take := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d took %d: %v", name, n, err)
	})
	for _, vip := range []string{lanVIP, lanVIP6} {
		for _, port := range []string{"80", "443"} {
			s := httptest.NewUnstartedServer(take)
			must(l.t, s.Listener.Close())
			must(l.t, l.servers[name].Do(func() (err error) {
				s.Listener, err = net.Listen("tcp", net.JoinHostPort(vip, port))
				return err
			}))
			if port == "80" {
				s.Start()
			} else {
				s.StartTLS()
				trust = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			}
			l.t.Cleanup(s.Close)
		}
	}
	trust.ServerName = certificateName
	return trust
}

// serveQuestions answers datagrams with the server's name before them.
func (l *lan) serveQuestions(name byte) {
	l.t.Helper()
	for _, vip := range []string{lanVIP, lanVIP6} {
		var conn net.PacketConn
		must(l.t, l.servers[name].Do(func() (err error) {
			conn, err = net.ListenPacket("udp", net.JoinHostPort(vip, "53"))
			return err
		}))
		l.t.Cleanup(func() { conn.Close() })
		go func() {
			question := make([]byte, 2048)
			for {
				n, from, err := conn.ReadFrom(question)
				if err != nil {
					return
				}
				conn.WriteTo(append([]byte{name}, question[:n]...), from) //nolint:errcheck // who asked sees it
			}
		}()
	}
}

// browser is a client of the web that keeps its connections.
type browser struct {
	*lan
	http.Client
	source netip.Addr
	server string // which it is with

	mu    sync.Mutex
	ports map[string]string // of the connection to a virtual address and port
}

// inFlight is how much a browser has under way, in bytes: less than the ring of a
// veth holds (256 frames), so that nothing is lost and every frame can be asked for.
const inFlight = 64 << 10

// newBrowser is a client with an address of its own.
func (l *lan) newBrowser(source string, trust *tls.Config) *browser {
	b := &browser{lan: l, source: netip.MustParseAddr(source), ports: map[string]string{}}
	b.Client = http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: trust,
		DialContext: func(ctx context.Context, network, to string) (conn net.Conn, err error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: b.source.AsSlice()}}
			err = l.client.Do(func() error {
				conn, err = d.DialContext(ctx, network, to)
				return err
			})
			if err != nil {
				return nil, err
			}
			b.mu.Lock()
			b.ports[to] = conn.LocalAddr().String()
			b.mu.Unlock()
			return conn, conn.(*net.TCPConn).SetWriteBuffer(inFlight)
		},
	}}
	return b
}

// put uploads a body and wants to be with the server that it was with.
func (b *browser) put(scheme string, size int) {
	b.t.Helper()
	vip := lanVIP
	if b.source.Is6() {
		vip = "[" + lanVIP6 + "]"
	}
	response, err := b.Post(scheme+"://"+vip+"/", "application/octet-stream", bytes.NewReader(make([]byte, size)))
	must(b.t, err)
	said, err := io.ReadAll(response.Body)
	must(b.t, err)
	must(b.t, response.Body.Close())
	server, rest, _ := strings.Cut(string(said), " ")
	if b.server == "" {
		b.server = server
	}
	if want := fmt.Sprintf("took %d: <nil>", size); rest != want || server != b.server {
		b.t.Errorf("%s by %s: server %s says %q; it was server %s, and %q is wanted", b.source, scheme, server, rest, b.server, want)
	}
}

// state is that of the only connection to a port.
func (b *browser) state(port string) string {
	b.t.Helper()
	vip := lanVIP
	if b.source.Is6() {
		vip = lanVIP6
	}
	to := net.JoinHostPort(vip, port)
	b.mu.Lock()
	from := b.ports[to]
	b.mu.Unlock()
	return b.connections()[fmt.Sprint("TCP ", from, " ", to)].State
}

// ask sends questions by one socket, one after the other, and wants all answers from
// one server.
func (l *lan) ask(vip string, questions int) {
	l.t.Helper()
	var conn net.Conn
	must(l.t, l.client.Do(func() (err error) {
		conn, err = net.Dial("udp", net.JoinHostPort(vip, "53"))
		return err
	}))
	defer conn.Close()
	must(l.t, conn.SetDeadline(time.Now().Add(patience)))
	answer, server := make([]byte, 2048), byte(0)
	for i := range questions {
		question := fmt.Sprint("question ", i)
		_, err := conn.Write([]byte(question))
		must(l.t, err)
		n, err := conn.Read(answer)
		must(l.t, err)
		if i == 0 {
			server = answer[0]
		}
		if string(answer[1:n]) != question || answer[0] != server {
			l.t.Fatalf("to %q server %d says %q; it was server %d", question, answer[0], answer[1:n], server)
		}
	}
}

// sent is what the client's interface has sent, in packets and bytes of IP packets.
func (l *lan) sent() (packets, octets uint64) {
	l.t.Helper()
	const ethernet = 14
	eth0, err := l.client.Netlink().LinkByName("eth0")
	must(l.t, err)
	s := eth0.Attrs().Statistics
	return s.TxPackets, s.TxBytes - ethernet*s.TxPackets
}

// TestExpressCarriesServices has browsers upload through the lane, and asks
// questions by it; every packet is accounted for.
func TestExpressCarriesServices(t *testing.T) {
	t.Parallel()
	for what, takes := range takers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLAN(t, 11, 12)
			must(t, takes(l, true))
			must(t, l.client.AddAddr("eth0", netip.MustParsePrefix("10.9.0.101/24"), netip.MustParsePrefix("fd00:9::101/64")))
			trust := l.serveWeb(11)
			l.serveWeb(12)
			l.serveQuestions(11)
			l.serveQuestions(12)
			l.start(l.config(expressServices))
			l.awaitLane("open")
			carryServices(t, l, trust)
			l.stop()
		})
	}
}

// carryServices is what TestExpressCarriesServices does on a lan that is ready.
func carryServices(t *testing.T, l *lan, trust *tls.Config) {
	packets, octets := l.sent()
	const questions = 50
	l.ask(lanVIP, questions)
	l.ask(lanVIP6, questions)
	if n := l.status().Steering["express"]; n < 2*(questions-2) {
		t.Errorf("the lane carried %d of %d questions", n, 2*questions)
	}

	var browsers []*browser
	servers := map[string]bool{}
	for _, source := range []string{"10.9.0.100", "10.9.0.101", "fd00:9::100", "fd00:9::101"} {
		b := l.newBrowser(source, trust)
		browsers = append(browsers, b)
		for range 2 {
			b.put("http", 1<<20)
			b.put("https", 1<<20)
		}
		servers[b.server] = true
	}
	if len(servers) != 2 {
		t.Errorf("the browsers are with servers %v: both are wanted", servers)
	}
	for _, b := range browsers {
		for _, port := range []string{"80", "443"} {
			if state := b.state(port); state != "ESTABLISHED" {
				t.Errorf("%s, port %s: an open connection is in state %q", b.source, port, state)
			}
		}
		b.CloseIdleConnections()
		eventually(t, "closed connections are seen to close", func() error {
			// TLS says goodbye in either direction, which a socket that is gone answers with a reset.
			if plain, secure := b.state("80"), b.state("443"); plain != "FIN_WAIT" || !slices.Contains([]string{"FIN_WAIT", "CLOSE"}, secure) {
				return fmt.Errorf("%s: states %q and %q", b.source, plain, secure)
			}
			return nil
		})
		b.put("http", 1) // by a new connection, to the same server
		b.CloseIdleConnections()
	}
	eventually(t, "every packet is accounted for", func() error { return l.accounted(packets, octets) })
}

// accounted is an error unless the servers' traffic is what the client has sent since
// it had sent so much, most of it by the lane.
func (l *lan) accounted(packets, octets uint64) error {
	s := l.status()
	var toServers, toServersBytes, received uint64
	for _, vs := range l.services() {
		for _, real := range vs.Servers {
			toServers += real.Stats.Packets
			toServersBytes += real.Stats.Bytes
		}
	}
	for _, socket := range s.Sockets {
		received += socket.Counters["received"]
	}
	sent, sentBytes := l.sent()
	sent, sentBytes = sent-packets, sentBytes-octets
	express, claimed, forwarded := s.Steering["express"], s.Steering["claimed_flow"], s.Frames["forwarded"]
	// The client's neighbour discovery, no packet of it large.
	const others, othersBytes = 64, 64 * 128
	text := fmt.Sprintf("sent %d, %d bytes; claimed %d = express %d + received %d; forwarded %d of %v; to servers %d, %d bytes",
		sent, sentBytes, claimed, express, received, forwarded, nonZero(s.Frames), toServers, toServersBytes)
	switch {
	case claimed != express+received, claimed != forwarded, len(nonZero(s.Frames)) != 1, toServers != forwarded,
		sent < toServers, sent > toServers+others, sentBytes < toServersBytes, sentBytes > toServersBytes+othersBytes:
		return errors.New("it does not add up: " + text)
	case express < forwarded*9/10:
		return errors.New("the lane carried too few: " + text)
	}
	l.t.Log(text)
	return nil
}
