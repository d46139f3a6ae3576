package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A slow download reads paceChunk bytes every paceInterval, so that it could go
// on for minutes, until it is told to hurry.
const (
	downloadSize = 16 << 20
	paceChunk    = 8 << 10
	paceInterval = 50 * time.Millisecond
	// smallBuffer keeps most of the file at the server: what the client has not
	// read has not been sent.
	smallBuffer = 64 << 10
)

// download is one slow HTTP download.
type download struct {
	client *client
	server string
	read   atomic.Int64

	hurry chan struct{}
	ended chan struct{} // err is set before
	err   error
}

// startDownloads opens a download for each client and lets them run on.
func startDownloads(ctx context.Context, b *bed, clients []*client) ([]*download, error) {
	all := make([]*download, len(clients))
	for i, c := range clients {
		all[i] = &download{client: c, hurry: make(chan struct{}), ended: make(chan struct{})}
	}
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i, d := range all {
		wait.Go(func() { errs[i] = d.open(ctx, b) })
	}
	wait.Wait()
	return all, firstError(errs)
}

// open asks for the file, and reads on in a goroutine of its own.
func (d *download) open(ctx context.Context, b *bed) error {
	by := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.client.dialWith(ctx, net.Dialer{Control: smallReceiveBuffer, Timeout: requestTimeout}, network, address)
		}}}
	url := "http://" + d.client.vip(portHTTP) + downloadPath + "?bytes=" + strconv.Itoa(downloadSize)
	answer, err := d.client.open(ctx, by, url)
	if err != nil {
		b.ledger.fail()
		return fmt.Errorf("download of %s: %w", d.client.addr, err)
	}
	d.server = answer.Header.Get(headerServer)
	b.ledger.met(d.client.addr, serviceHTTP, d.server)
	go func() {
		defer close(d.ended)
		defer answer.Body.Close()
		d.err = d.copy(ctx, answer.Body)
	}()
	return nil
}

func smallReceiveBuffer(_, _ string, c syscall.RawConn) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer)
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}

// copy reads the file, slowly at first, and compares its hash.
func (d *download) copy(ctx context.Context, body io.Reader) error {
	got := sha256.New()
	ticker := time.NewTicker(paceInterval)
	defer ticker.Stop()
	for slow := true; ; {
		n, err := io.CopyN(got, body, paceChunk)
		d.read.Add(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("download of %s from %s, after %d bytes: %w", d.client.addr, d.server, d.read.Load(), err)
		}
		if !slow {
			continue
		}
		select {
		case <-ticker.C:
		case <-d.hurry:
			slow = false
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if want := downloadHash(); hex.EncodeToString(got.Sum(nil)) != want || d.read.Load() != downloadSize {
		return fmt.Errorf("download of %s from %s: %d of %d bytes, and not those that were sent", d.client.addr, d.server, d.read.Load(), downloadSize)
	}
	return nil
}

// downloadHash is what a whole download hashes to.
var downloadHash = sync.OnceValue(func() string {
	want := sha256.New()
	io.CopyN(want, downloadContent(), downloadSize)
	return hex.EncodeToString(want.Sum(nil))
})

// bytesRead is what all downloads have read.
func bytesRead(all []*download) (sum int64) {
	for _, d := range all {
		sum += d.read.Load()
	}
	return sum
}
