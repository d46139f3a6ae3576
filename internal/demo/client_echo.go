package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// echo sends one datagram from a new port, as often as it takes, and returns
// the server that sent it back.
func (c *client) echo(ctx context.Context) (server string, err error) {
	conn, err := c.dial(ctx, "udp", c.vip(portEcho))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	const tries = 5
	answer := make([]byte, 256)
	for range tries {
		if _, err = conn.Write([]byte(echoText)); err != nil {
			return "", fmt.Errorf("echo: %w", err)
		}
		conn.SetReadDeadline(time.Now().Add(requestTimeout / tries))
		n, err := conn.Read(answer)
		if err != nil {
			continue
		}
		if server, ok := strings.CutSuffix(string(answer[:n]), " "+echoText); ok {
			return server, nil
		}
		return "", fmt.Errorf("echo: answer %q", answer[:n])
	}
	return "", fmt.Errorf("echo: no answer to %d datagrams", tries)
}

const echoText = "are you there?"

// stream is numbered datagrams of one socket, sent at a steady pace. Nothing
// repeats a datagram, so what is not answered was lost.
type stream struct {
	conn     net.Conn
	sent     int
	answered map[uint64]bool
	twice    int // answers that came again

	distinct atomic.Int64 // len(answered), for the sender
}

// lost is the datagrams that nothing answered.
func (s *stream) lost() int { return s.sent - len(s.answered) }

// streamDatagrams sends numbered datagrams until done is closed, and then waits
// for the answers still on their way, at most for patience.
func (c *client) streamDatagrams(ctx context.Context, done <-chan struct{}, pace, patience time.Duration) (*stream, error) {
	conn, err := c.dial(ctx, "udp", c.vip(portEcho))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	s := &stream{conn: conn, answered: map[uint64]bool{}}
	received := make(chan struct{})
	go func() {
		defer close(received)
		s.receive()
	}()
	err = s.send(ctx, done, pace)
	await(ctx, patience, func() bool { return s.distinct.Load() == int64(s.sent) })
	conn.SetReadDeadline(time.Now())
	<-received
	return s, err
}

func (s *stream) send(ctx context.Context, done <-chan struct{}, pace time.Duration) error {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	datagram := make([]byte, 8)
	for {
		binary.BigEndian.PutUint64(datagram, uint64(s.sent))
		if _, err := s.conn.Write(datagram); err != nil {
			return fmt.Errorf("datagram %d: %w", s.sent, err)
		}
		s.sent++
		select {
		case <-ticker.C:
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive notes answers until the connection's deadline.
func (s *stream) receive() {
	answer := make([]byte, 256)
	for {
		n, err := s.conn.Read(answer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		_, number, _ := strings.Cut(string(answer[:n]), " ")
		if err != nil || len(number) != 8 {
			continue // an ICMP error, say: its datagram stays unanswered
		}
		key := binary.BigEndian.Uint64([]byte(number))
		if s.answered[key] {
			s.twice++
		}
		s.answered[key] = true
		s.distinct.Store(int64(len(s.answered)))
	}
}
