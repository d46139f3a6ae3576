package demo

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// directBed is the demo's network without a director: the router sends what is
// for the virtual addresses to one real server straight away, so that what
// clients and servers say to each other is tested alone.
func directBed(t *testing.T, role string) (*topology, *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	top, err := buildTopology(testName())
	must(t, err)
	t.Cleanup(func() {
		if err := top.Close(); err != nil {
			t.Error(err)
		}
	})
	trusted, err := makeCertificate(dir)
	must(t, err)
	executable, err := os.Executable()
	must(t, err)
	for _, host := range []string{role, directorName} {
		p, err := startHost(testContext(t), top, host, executable, dir)
		must(t, err)
		t.Cleanup(func() {
			if err := p.stop(5 * time.Second); err != nil && host != directorName {
				t.Log(logTail(dir, host))
			}
		})
	}
	for _, s := range servers {
		if s.name == role {
			must(t, top.ns(routerName).ReplaceRoute(hostPrefix(vip4), s.leg.addr4()))
			must(t, top.ns(routerName).ReplaceRoute(hostPrefix(vip6), s.leg.addr6()))
		}
	}
	return top, trusted
}

func bothFamilies(t *testing.T, f func(t *testing.T, addr netip.Addr)) {
	t.Run("ipv4", func(t *testing.T) { f(t, host(networks[0].wire.prefix4, 11)) })
	t.Run("ipv6", func(t *testing.T) { f(t, host(networks[0].wire.prefix6, 11)) })
	t.Run("ipv4 newcomer", func(t *testing.T) { f(t, newcomer(7, false)) })
	t.Run("ipv6 newcomer", func(t *testing.T) { f(t, newcomer(7, true)) })
}

func TestClientsMeetARealServer(t *testing.T) {
	top, trusted := directBed(t, "two")
	bothFamilies(t, func(t *testing.T, addr netip.Addr) {
		ctx, c := testContext(t), newClient(top, addr, trusted)
		for _, over := range []servicePort{overHTTP, overHTTPS, overShort} {
			if server, err := c.get(ctx, over); err != nil || server != "two" {
				t.Errorf("%s: server %q, %v", over.service, server, err)
			}
		}
		if server, err := c.echo(ctx); err != nil || server != "two" {
			t.Errorf("echo: server %q, %v", server, err)
		}
		seen, err := c.ftpSession(ctx)
		if err != nil {
			t.Error(err)
		}
		if got := strings.Join(seen.servers(), " "); got != "two two two two two" {
			t.Errorf("ftp: servers %s", got)
		}
		for _, port := range seen.ports {
			if port < passiveFirst || port > passiveLast {
				t.Errorf("ftp: passive port %d", port)
			}
		}
		if _, err := c.shell(ctx); !isReset(err) {
			t.Errorf("a real server answers on the SSH port: %v", err)
		}
	})
}

func TestDownloadIsByteExact(t *testing.T) {
	top, trusted := directBed(t, "one")
	const size = 1 << 20
	want := make([]byte, size)
	_, err := io.ReadFull(downloadContent(), want)
	must(t, err)
	c := newClient(top, host(networks[1].wire.prefix4, 10), trusted)
	answer, err := c.open(testContext(t), c.http, "http://"+c.vip(portHTTP)+downloadPath+"?bytes="+strconv.Itoa(size))
	must(t, err)
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the content differs from the generator's")
	}
}

func TestDatagramStreamCountsWhatIsLost(t *testing.T) {
	top, trusted := directBed(t, "three")
	ctx, c := testContext(t), newClient(top, host(networks[2].wire.prefix4, 10), trusted)
	s := streamUntil(t, ctx, c, 50)
	if s.lost() != 0 || s.twice != 0 {
		t.Errorf("%d sent, %d lost, %d twice", s.sent, s.lost(), s.twice)
	}
	must(t, top.ns("three").Down(uplink))
	if s := streamUntil(t, ctx, c, 50); s.lost() != s.sent {
		t.Errorf("nobody answers, yet %d of %d are lost", s.lost(), s.sent)
	}
}

// streamUntil streams at least so many datagrams.
func streamUntil(t *testing.T, ctx context.Context, c *client, datagrams int) *stream {
	t.Helper()
	const pace = time.Millisecond
	done := make(chan struct{})
	timer := time.AfterFunc(time.Duration(datagrams)*pace, func() { close(done) })
	defer timer.Stop()
	s, err := c.streamDatagrams(ctx, done, pace, 100*time.Millisecond)
	must(t, err)
	return s
}

func TestDirectorsKernelAnswersItself(t *testing.T) {
	top, trusted := directBed(t, "one")
	// The route past the director is for the services' test: take it back.
	must(t, top.ns(routerName).ReplaceRoute(hostPrefix(vip4), directorLeg.addr4()))
	must(t, top.ns(routerName).ReplaceRoute(hostPrefix(vip6), directorLeg.addr6()))
	bothFamilies(t, func(t *testing.T, addr netip.Addr) {
		ctx, c := testContext(t), newClient(top, addr, trusted)
		if took, err := c.ping(ctx); err != nil || took <= 0 {
			t.Errorf("ping: %v, %v", took, err)
		}
		if greeting, err := c.shell(ctx); err != nil || !strings.HasPrefix(greeting, shellGreeting) {
			t.Errorf("shell: greeting %q, %v", greeting, err)
		}
		if _, err := c.get(ctx, overHTTP); !isReset(err) {
			t.Errorf("a host without a web server answers on port 80: %v", err)
		}
	})
}

func TestLedgerFindsSplitClients(t *testing.T) {
	l := newLedger()
	a, b := netip.MustParseAddr("198.18.1.10"), netip.MustParseAddr("198.18.1.11")
	l.met(a, serviceHTTP, "one")
	l.met(a, serviceHTTPS, "one")
	l.met(a, serviceFTP, "two") // another mark: no split
	l.met(a, serviceEcho, "one")
	l.met(a, serviceEcho, "two") // no mark: no split
	l.met(b, serviceHTTP, "one")
	l.met(b, serviceHTTPS, "three")
	l.fail()
	if split := l.splitClients(); len(split) != 1 || split[0] != b {
		t.Errorf("split clients %v, want %v", split, b)
	}
	if requests, failed := l.totals(); requests != 8 || failed != 1 {
		t.Errorf("%d requests, %d failed", requests, failed)
	}
	if met := l.serversOfNetwork(networkOf(a), markedWeb); len(met) != 2 {
		t.Errorf("the network met %v", met)
	}
}
