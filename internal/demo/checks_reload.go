package demo

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// underReload changes the configuration many times, with a mark and a service
// more and less each time, while all clients ask on and numbered datagrams
// stream, of which nothing is repeated when it is lost.
func underReload(ctx context.Context, b *bed) (saw string, err error) {
	const reloads = 12
	const pace, patience = 2 * time.Millisecond, 2 * time.Second
	before, _ := b.ledger.totals()
	done := make(chan struct{})
	group, groupCtx := errgroup.WithContext(ctx)
	streams := make([]*stream, 4)
	for i := range streams {
		group.Go(func() (err error) {
			streams[i], err = b.clients[i].streamDatagrams(groupCtx, done, pace, patience)
			return err
		})
	}
	group.Go(func() error {
		return each(groupCtx, b.clients, func(ctx context.Context, c *client) error { return b.askUntil(ctx, c, done) })
	})
	for range reloads {
		if err = b.director.reload(groupCtx, b.director.config.withExtra(!b.director.config.extra)); err != nil {
			break
		}
	}
	close(done)
	if groupErr := group.Wait(); err == nil {
		err = groupErr
	}
	requests, _ := b.ledger.totals()
	sent, lost, twice := 0, 0, 0
	for _, s := range streams {
		if s != nil {
			sent, lost, twice = sent+s.sent, lost+s.lost(), twice+s.twice
		}
	}
	if err == nil && lost+twice > 0 {
		err = fmt.Errorf("%d of %d datagrams were lost, %d came twice", lost, sent, twice)
	}
	if split := b.ledger.splitClients(); err == nil && len(split) > 0 {
		err = fmt.Errorf("a client was moved: %s", split[0])
	}
	return fmt.Sprintf("%d reloads during %d requests and %d datagrams that nothing repeats: %d datagrams lost, %d doubled",
		reloads, requests-before, sent, lost, twice), err
}

// askUntil makes requests, at least one, until done is closed.
func (b *bed) askUntil(ctx context.Context, c *client, done <-chan struct{}) error {
	for {
		if _, err := b.get(ctx, c, overHTTP); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
}
