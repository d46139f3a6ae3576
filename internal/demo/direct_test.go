package demo

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newTestBed is the demo's network and hosts, without a director.
func newTestBed(t *testing.T) *bed {
	t.Helper()
	executable, err := os.Executable()
	must(t, err)
	b, err := newBed(testContext(t), testName(), executable)
	must(t, err)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// route sends what is for the virtual addresses to one host straight away, so
// that what clients and servers say to each other is tested alone.
func (b *bed) route(t *testing.T, to leg) {
	t.Helper()
	must(t, b.ns(routerName).ReplaceRoute(hostPrefix(vip4), to.addr4()))
	must(t, b.ns(routerName).ReplaceRoute(hostPrefix(vip6), to.addr6()))
}

func bothFamilies(t *testing.T, f func(t *testing.T, addr netip.Addr)) {
	t.Run("ipv4", func(t *testing.T) { f(t, host(networks[0].wire.prefix4, 11)) })
	t.Run("ipv6", func(t *testing.T) { f(t, host(networks[0].wire.prefix6, 11)) })
	t.Run("ipv4 newcomer", func(t *testing.T) { f(t, newcomer(7, false)) })
	t.Run("ipv6 newcomer", func(t *testing.T) { f(t, newcomer(7, true)) })
}

func TestClientsMeetARealServer(t *testing.T) {
	b := newTestBed(t)
	b.route(t, servers[1].leg)
	bothFamilies(t, func(t *testing.T, addr netip.Addr) {
		ctx, c := testContext(t), b.client(addr)
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
	b := newTestBed(t)
	b.route(t, servers[0].leg)
	const size = 1 << 20
	want := make([]byte, size)
	_, err := io.ReadFull(downloadContent(), want)
	must(t, err)
	c := b.client(host(networks[1].wire.prefix4, 10))
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
	b := newTestBed(t)
	b.route(t, servers[2].leg)
	ctx, c := testContext(t), b.client(host(networks[2].wire.prefix4, 10))
	s := streamUntil(t, ctx, c, 50)
	if s.lost() != 0 || s.twice != 0 {
		t.Errorf("%d sent, %d lost, %d twice", s.sent, s.lost(), s.twice)
	}
	must(t, b.ns("three").Down(uplink))
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
	b := newTestBed(t)
	bothFamilies(t, func(t *testing.T, addr netip.Addr) {
		ctx, c := testContext(t), b.client(addr)
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
