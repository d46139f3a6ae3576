package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"
)

// outage is what the checks around the director's death hand on.
type outage struct {
	began    time.Time
	read     int64                 // bytes of the downloads when that was seen
	resets   int                   // seen until then
	wentTo   map[netip.Addr]string // the server of each client under the web mark
	waiting  sync.WaitGroup        // requests made while there is no director
	answered []error               // and their errors
}

// afterKill ends the director with SIGKILL and asks its kernel.
func afterKill(ctx context.Context, b *bed) (saw string, err error) {
	o := &b.outage
	o.wentTo = map[netip.Addr]string{}
	for _, c := range b.known() {
		o.wentTo[c.addr] = b.ledger.serversOf(c.addr, markedWeb)[0]
	}
	if o.resets, err = b.resets(); err != nil {
		return "", err
	}
	o.read = bytesRead(b.downloads)
	for _, d := range b.downloads {
		select {
		case <-d.ended:
			return "", fmt.Errorf("a download ended before the director did: %w", errors.Join(d.err))
		default:
		}
	}
	lane, err := b.director.lane(ctx)
	if err != nil {
		return "", err
	}
	b.director.process.Kill()
	o.began = time.Now()

	asking := b.clients[:6]
	o.answered = make([]error, len(asking))
	for i, c := range asking {
		o.waiting.Go(func() { _, o.answered[i] = b.get(ctx, c, overHTTP) })
	}
	if saw, err = ownKernel(ctx, b); err != nil {
		return saw, err
	}
	if !lane.Open {
		err := o.stalled(ctx, b.downloads)
		return "the director is dead, the downloads stand still; " + saw, err
	}
	more, err := o.carried(ctx, b.downloads)
	return fmt.Sprintf("the director is dead, and the downloads go on by the express lane, by %d KiB so far; %s", more>>10, saw), err
}

// carried waits until every download has gone on without a director, by more than
// what was under way.
func (o *outage) carried(ctx context.Context, all []*download) (more int64, err error) {
	const limit = 5 * time.Second
	before := make([]int64, len(all))
	for i, d := range all {
		before[i] = d.read.Load()
	}
	if !await(ctx, limit, func() bool {
		for i, d := range all {
			if d.read.Load()-before[i] < 2*smallBuffer+paceChunk {
				return false
			}
		}
		return true
	}) {
		return 0, fmt.Errorf("not every download goes on without a director; all together read %d bytes since its end", bytesRead(all)-o.read)
	}
	more, o.read = bytesRead(all)-o.read, bytesRead(all)
	return more, nil
}

// stalled waits until the downloads stand still, because no acknowledgement
// reaches their servers: nothing but the director carries them.
func (o *outage) stalled(ctx context.Context, all []*download) error {
	const still, limit = 6 * paceInterval, 5 * time.Second
	read, since := bytesRead(all), time.Now()
	if await(ctx, limit, func() bool {
		if now := bytesRead(all); now != read {
			read, since = now, time.Now()
		}
		return time.Since(since) > still
	}) {
		o.read = read
		return nil
	}
	return fmt.Errorf("the downloads go on without a director, %d bytes since its end", read-o.read)
}

// afterStart starts a new director and lets the downloads end.
func afterStart(ctx context.Context, b *bed) (saw string, err error) {
	o := &b.outage
	if err := b.director.start(ctx, b.director.config); err != nil {
		return "", err
	}
	down := time.Since(o.began)
	for _, d := range b.downloads {
		close(d.hurry)
	}
	for _, d := range b.downloads {
		select {
		case <-d.ended:
			err = errors.Join(err, d.err)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	o.waiting.Wait()
	if err := errors.Join(append(o.answered, err)...); err != nil {
		return "", err
	}
	resets, err := b.resets()
	if err != nil {
		return "", err
	}
	if resets != o.resets {
		err = fmt.Errorf("%d resets", resets-o.resets)
	}
	return fmt.Sprintf("away for %.2f s at %.1f of %.1f MiB; %d downloads ended byte for byte right, %d requests made meanwhile were answered, %d resets",
		down.Seconds(), mebibytes(o.read), mebibytes(int64(len(b.downloads))*downloadSize), len(b.downloads), len(o.answered), resets-o.resets), err
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// keptServers lets all clients of the first director ask the second.
func keptServers(ctx context.Context, b *bed) (saw string, err error) {
	known := b.known()
	err = each(ctx, known, func(ctx context.Context, c *client) error {
		server, err := b.get(ctx, c, overHTTPS)
		if before := b.outage.wentTo[c.addr]; err == nil && server != before {
			err = fmt.Errorf("client %s met %s before and %s after", c.addr, before, server)
		}
		return err
	})
	networks := map[netip.Prefix]bool{}
	for _, c := range known {
		networks[networkOf(c.addr)] = true
	}
	return fmt.Sprintf("%d clients of %d networks came back, each to its server", len(known), len(networks)), err
}

// cleanStop asks the director to end. Then its pins are gone, and its kernel has
// the virtual addresses for itself: it answers, and refuses what was a service.
func cleanStop(ctx context.Context, b *bed) (saw string, err error) {
	began := time.Now()
	if err := b.director.process.Stop(stopTimeout); err != nil {
		return "", fmt.Errorf("SIGTERM: %w%s", err, logTail(b.paths.dir(), directorLog))
	}
	took := time.Since(began)
	if _, err := os.Stat(b.paths.pin()); err == nil {
		return "", fmt.Errorf("%s is still there", b.paths.pin())
	}
	if saw, err := ownKernel(ctx, b); err != nil {
		return saw, err
	}
	if _, err := b.clients[0].get(ctx, overHTTP); !isReset(err) {
		return "", fmt.Errorf("port %d of a kernel without a web server: %w", portHTTP, cmp.Or(err, errors.New("it answers")))
	}
	return fmt.Sprintf("it stopped in %.2f s with exit status 0, nothing is left pinned, and the kernel answers on port %d and refuses port %d",
		took.Seconds(), portSSH, portHTTP), nil
}

// resets counts connections that were reset: those that the director's kernel
// sent, and those that clients of the networks saw.
func (b *bed) resets() (n int, err error) {
	counter := map[string]string{directorName: "OutRsts"}
	for _, network := range networks {
		counter[network.name] = "EstabResets"
	}
	for role, name := range counter {
		counters, err := tcpCounters(b.ns(role))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", role, err)
		}
		n += counters[name]
	}
	return n, nil
}
