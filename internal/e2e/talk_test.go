package e2e

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// talk is a session in which something is said and echoed all the time, until it is
// ended.
type talk struct {
	*session
	rounds atomic.Uint64
	end    chan struct{}
	err    chan error
}

// keepTalking begins a talk.
func (s *session) keepTalking(t *testing.T) *talk {
	k := &talk{session: s, end: make(chan struct{}), err: make(chan error, 1)}
	go func() {
		for {
			select {
			case <-k.end:
				k.err <- nil
				return
			case <-time.After(time.Millisecond): // a breath, for the sake of the other tests
			}
			if err := s.echo(fmt.Sprintf("round %d", k.rounds.Load())); err != nil {
				k.err <- err
				return
			}
			k.rounds.Add(1)
		}
	}()
	t.Cleanup(func() { s.Close() })
	return k
}

// goesOn waits for some more rounds.
func (k *talk) goesOn(t *testing.T, when string) {
	t.Helper()
	const more = 10
	before := k.rounds.Load()
	eventually(t, "the talk goes on "+when, func() error {
		select {
		case err := <-k.err:
			t.Fatalf("the talk broke %s: %v", when, err)
		default:
		}
		if now := k.rounds.Load(); now < before+more {
			return fmt.Errorf("%d rounds of %d", now-before, more)
		}
		return nil
	})
}

// finish ends the talk, which must not have broken.
func (k *talk) finish(t *testing.T) {
	t.Helper()
	close(k.end)
	if err := <-k.err; err != nil {
		t.Errorf("the talk with server %d broke after %d rounds: %v", k.server, k.rounds.Load(), err)
	}
}
