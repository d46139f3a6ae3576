package flood

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xlvs/xlvs/internal/testnet"
)

// How long a client waits: to be connected, and for an answer on an open connection.
const (
	dialPatience = 8 * time.Second
	echoPatience = 20 * time.Second
	// talkEvery is the pause between two questions on an open connection.
	talkEvery = 50 * time.Millisecond
	// slow is from when an answer counts as slow.
	slow = 500 * time.Millisecond
)

// clients are the real ones, and what became of them. Its counts may be read while
// they talk.
type clients struct {
	ns        *testnet.Namespace
	addresses int

	opened, lost, moved, answers, slowAnswers atomic.Int64
	longest                                   atomic.Int64 // wait for an answer, nanoseconds

	mu        sync.Mutex
	known     map[int]string // the server that an address has met
	elsewhere atomic.Int64   // how often it met another one
}

// phase counts new connections of one phase of a run.
type phase struct{ served, refused, slow atomic.Int64 }

// dial connects from address n.
func (c *clients) dial(n int) (conn net.Conn, err error) {
	d := net.Dialer{Timeout: dialPatience, LocalAddr: &net.TCPAddr{IP: client4(n % c.addresses).Addr().AsSlice()}}
	err = c.ns.Do(func() (err error) {
		conn, err = d.Dial("tcp", net.JoinHostPort(vip4.String(), fmt.Sprint(webPort)))
		return err
	})
	return conn, err
}

// ask sends a line and returns the number of the server that sends it back.
func ask(conn net.Conn, r *bufio.Reader, line string) (server string, err error) {
	if err := conn.SetDeadline(time.Now().Add(echoPatience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	answer, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	var same string
	if _, err := fmt.Sscan(answer, &server, &same); err != nil || same != line {
		return "", fmt.Errorf("heard %q after %q", answer, line)
	}
	return server, nil
}

// met notes which server an address met.
func (c *clients) met(n int, server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n %= c.addresses
	if was, ok := c.known[n]; ok && was != server {
		c.elsewhere.Add(1)
	}
	c.known[n] = server
}

// stay keeps one connection open and talks on it until the context ends.
func (c *clients) stay(ctx context.Context, n int) {
	conn, err := c.dial(n)
	if err != nil {
		c.lost.Add(1)
		return
	}
	defer conn.Close()
	c.opened.Add(1)
	r := bufio.NewReader(conn)
	mine := ""
	for i := 0; ctx.Err() == nil; i++ {
		start := time.Now()
		server, err := ask(conn, r, fmt.Sprint(i))
		if err != nil {
			c.lost.Add(1)
			return
		}
		c.answered(time.Since(start))
		if mine == "" {
			c.met(n, server)
		} else if mine != server {
			c.moved.Add(1)
		}
		mine = server
		select {
		case <-ctx.Done():
		case <-time.After(talkEvery):
		}
	}
}

func (c *clients) answered(after time.Duration) {
	c.answers.Add(1)
	if after > slow {
		c.slowAnswers.Add(1)
	}
	for {
		longest := c.longest.Load()
		if int64(after) <= longest || c.longest.CompareAndSwap(longest, int64(after)) {
			return
		}
	}
}

// come opens new connections at a rate for a time, and returns when each is served or refused.
func (c *clients) come(ctx context.Context, p *phase, rate int, duration time.Duration) {
	if rate == 0 || duration == 0 {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	end := time.After(duration)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-tick.C:
			all.Go(func() { c.visit(p, n) })
		}
	}
}

// visit is one new connection.
func (c *clients) visit(p *phase, n int) {
	start := time.Now()
	conn, err := c.dial(n)
	if err != nil {
		p.refused.Add(1)
		return
	}
	defer conn.Close()
	server, err := ask(conn, bufio.NewReader(conn), "hello")
	if err != nil {
		p.refused.Add(1)
		return
	}
	if time.Since(start) > slow {
		p.slow.Add(1)
	}
	p.served.Add(1)
	c.met(n, server)
}
