package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/xlvs/xlvs/internal/testnet"
)

// requestTimeout is how long a client waits for one answer. It leaves time for
// the second repetition of a SYN, 3 seconds after the first.
const requestTimeout = 8 * time.Second

// client is one client address: everything it does goes through the kernel of
// its namespace, a new connection each time.
type client struct {
	addr netip.Addr
	ns   *testnet.Namespace
	http *http.Client
}

func newClient(t *topology, addr netip.Addr, trusted *x509.CertPool) *client {
	c := &client{addr: addr, ns: t.namespaceOf(addr)}
	c.http = &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			DialContext:       c.dial,
			TLSClientConfig:   &tls.Config{RootCAs: trusted},
			DisableKeepAlives: true,
		},
	}
	return c
}

// dial connects from the client's address and namespace.
func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dialWith(ctx, net.Dialer{}, network, address)
}

func (c *client) dialWith(ctx context.Context, d net.Dialer, network, address string) (conn net.Conn, err error) {
	if network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 0))
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 0))
	}
	// An address without a name is dialled on the calling thread.
	err = c.ns.Do(func() error {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// vip is the virtual address of the client's family with a port.
func (c *client) vip(port int) string {
	return net.JoinHostPort(vipFor(c.addr).String(), strconv.Itoa(port))
}

// get asks for a page by HTTP, or HTTPS, and returns the server that answered.
func (c *client) get(ctx context.Context, s servicePort) (server string, err error) {
	answer, err := c.open(ctx, c.http, s.scheme+"://"+c.vip(s.port)+"/")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return "", fmt.Errorf("%s answer: %w", s.scheme, err)
	}
	return answer.Header.Get(headerServer), nil
}

// open asks for a URL and returns an answer that names its server.
func (c *client) open(ctx context.Context, by *http.Client, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := by.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get(headerServer) == "" {
		answer.Body.Close()
		return nil, fmt.Errorf("%s: status %s, server %q", url, answer.Status, answer.Header.Get(headerServer))
	}
	return answer, nil
}

// servicePort is a kind of request for a page.
type servicePort struct {
	service service
	scheme  string
	port    int
}

var (
	overHTTP  = servicePort{serviceHTTP, "http", portHTTP}
	overHTTPS = servicePort{serviceHTTPS, "https", portHTTPS}
	overShort = servicePort{serviceShort, "http", portShort}
)

// shell talks to the SSH-like port and returns its greeting.
func (c *client) shell(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", c.vip(portSSH))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(requestTimeout))
	greeting := make([]byte, 256)
	n, err := conn.Read(greeting)
	if err != nil {
		return "", fmt.Errorf("greeting: %w", err)
	}
	return string(greeting[:n]), nil
}

// isReset says whether a connection ended with a reset or was refused.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED)
}
