package ring

import (
	"time"

	"golang.org/x/sys/unix"
)

// stallTimeout is how long the kernel may leave the TX ring untouched before
// the socket counts as down: the interface has lost the queue, or has lost so
// many completions that the completion ring has no room.
const stallTimeout = 3 * time.Second

// fail notes that the kernel refuses service, and returns the error to tell.
// The same trouble gives the same error again, so that a link that is down
// costs no allocation per batch.
func (s *Socket) fail(doing string, errno unix.Errno) error {
	if last, ok := s.down.(*DownError); ok && last.Errno == errno {
		return last
	}
	advice := ""
	switch {
	case classify(errno) == dead:
		s.dead = true
		advice = "the interface or its queue is gone: open the socket anew"
	case errno == unix.ENETDOWN:
		advice = "the interface is administratively down"
	}
	s.down = &DownError{Socket: s.String(), Doing: doing, Errno: errno, Advice: advice}
	return s.down
}

// Check asks the kernel whether the socket still carries frames, for a socket
// that is idle hears of nothing: a poll sleeps on when the interface is deleted
// under it. Call it about once a second. It never blocks; its error wraps ErrDown.
func (s *Socket) Check() error {
	s.umem.expireLimbo()
	if s.dead {
		return s.down
	}
	errno := s.umem.kernel.Wake(s.fd)
	switch classify(errno) {
	case linkDown, dead:
		s.stalled = time.Time{}
		return s.fail("recvfrom", errno)
	}
	return s.checkStall()
}

// checkStall finds a TX ring that the kernel has stopped to serve.
func (s *Socket) checkStall() error {
	pending := s.tx.Outstanding()
	taken := uint32(s.counters.transmitted.load()) - pending // since Open, modulo 2^32
	now := s.umem.kernel.Now()
	switch {
	case pending == 0:
		s.stalled = time.Time{}
	case s.stalled.IsZero() || taken != s.takenBefore:
		s.stalled, s.takenBefore = now, taken
	case now.Sub(s.stalled) >= stallTimeout:
		s.dead = true
		s.down = &DownError{
			Socket: s.String(), Doing: "transmit", Errno: unix.ETIMEDOUT,
			Advice: "the kernel takes nothing off the TX ring: open the socket anew",
		}
		return s.down
	}
	return nil
}
