package demo

import (
	"context"
	"io"
	"strings"
	"testing"
)

// The checks must fail when there is something to see. Without a director all
// clients meet one real server, the one that the router is told.
func TestChecksFailWithoutADirector(t *testing.T) {
	b := newTestBed(t)
	b.route(t, servers[0].leg)
	for _, c := range []struct {
		check
		complaint string // "" passes
	}{
		{check{"one server", oneServer}, ""},
		{check{"neighbours", neighbours}, ""},
		{check{"ftp", ftpSessions}, ""},
		{check{"echo", echoes}, ""},
		{check{"spread", spread}, "of weight"},
		{check{"own kernel", ownKernel}, "port 22"},
		{check{"expiry", expiry}, "control socket"},
	} {
		saw, err := c.run(testContext(t), b)
		t.Logf("%s: %s; %v", c.name, saw, err)
		switch {
		case c.complaint == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.complaint != "" && (err == nil || !strings.Contains(err.Error(), c.complaint)):
			t.Errorf("%s: error %v, want one on %q", c.name, err, c.complaint)
		}
	}
	if requests, failed := b.ledger.totals(); requests == 0 || failed != 0 {
		t.Errorf("%d requests, %d failed", requests, failed)
	}

	b.route(t, servers[1].leg) // every client is moved
	for _, c := range []check{{"one server", oneServer}, {"neighbours", neighbours}} {
		if saw, err := c.run(testContext(t), b); err == nil {
			t.Errorf("%s: all clients met two servers, yet it saw %s", c.name, saw)
		}
	}
	if split := b.ledger.splitClients(); len(split) == 0 {
		t.Error("no client is split")
	}
}

func TestDownloadsOutliveAnOutage(t *testing.T) {
	b := newTestBed(t)
	b.route(t, servers[0].leg)
	ctx := testContext(t)
	all, err := startDownloads(ctx, b, b.clients[:2])
	must(t, err)
	if !await(ctx, requestTimeout, func() bool { return bytesRead(all) > 4*paceChunk }) {
		t.Fatal("the downloads do not go on")
	}
	must(t, b.ns(switchName).Down(routerName)) // nobody reaches anybody
	stuck := bytesRead(all)
	must(t, b.ns(switchName).Up(routerName))
	for _, d := range all {
		close(d.hurry)
	}
	for _, d := range all {
		<-d.ended
		must(t, d.err)
	}
	if stuck >= downloadSize {
		t.Errorf("%d bytes were read before: the download is not slow", stuck)
	}
}

func TestDownloadOfOtherBytesFails(t *testing.T) {
	d := &download{client: &client{}, hurry: make(chan struct{})}
	close(d.hurry)
	if err := d.copy(context.Background(), strings.NewReader("short")); err == nil {
		t.Error("a short download passed")
	}
	other := downloadContent()
	other.Read(make([]byte, 1))
	d = &download{client: &client{}, hurry: d.hurry}
	if err := d.copy(context.Background(), limited(other)); err == nil {
		t.Error("a download of other bytes passed")
	}
}

func limited(r io.Reader) io.Reader { return io.LimitReader(r, downloadSize) }
