package ring

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// SocketConfig says what a socket is bound to, and how large its rings are.
// Sizes are powers of two; 0 is the default.
type SocketConfig struct {
	Interface int    // index
	Queue     uint32 // of the interface
	Mode      Mode

	RX, TX uint32 // default 2048 frames
	// Fill is also the most frames that are lent to the kernel for reception,
	// those on the RX ring included. Twice the interface's own RX ring is a good
	// choice in zero-copy mode. Default 2048.
	Fill uint32
	// Completion is at least TX, which is the default.
	Completion uint32

	// TXBudget is how many frames the kernel sends in one system call in the copy
	// modes (XDP_MAX_TX_SKB_BUDGET, Linux 6.17): 32 to TX. 0 is the smaller of
	// 512 and TX. Kernels without the option send 32.
	TXBudget uint32

	// BusyPoll is opt-in; the zero value leaves the queue to interrupts.
	BusyPoll BusyPoll

	// BindTimeout is how long Open tries again when the queue is taken: a queue is
	// not free at once when its socket was closed or its process killed. 0 tries once.
	BindTimeout time.Duration
}

const (
	defaultRing   = 2048
	maxRing       = 1 << 16
	maxTXBudget   = 512
	bindRetry     = 5 * time.Millisecond
	limboDuration = time.Second
)

func (c *SocketConfig) setDefaults() {
	for _, size := range []*uint32{&c.RX, &c.TX, &c.Fill} {
		if *size == 0 {
			*size = defaultRing
		}
	}
	if c.Completion == 0 {
		c.Completion = c.TX
	}
	if c.TXBudget == 0 {
		c.TXBudget = min(maxTXBudget, c.TX)
	}
}

func (c *SocketConfig) validate() error {
	if c.Interface <= 0 {
		return fmt.Errorf("interface index %d", c.Interface)
	}
	if int(c.Mode) >= len(modeNames) {
		return fmt.Errorf("mode %d", c.Mode)
	}
	for kind, size := range c.sizes() {
		if size&(size-1) != 0 || size > maxRing {
			return fmt.Errorf("%s ring of %d: want a power of two up to %d", abi.RingKind(kind), size, maxRing)
		}
	}
	if c.Completion < c.TX {
		return fmt.Errorf("completion ring of %d is smaller than the TX ring of %d", c.Completion, c.TX)
	}
	if err := c.BusyPoll.validate(); err != nil {
		return err
	}
	if c.TX >= defaultTXBudget && (c.TXBudget < defaultTXBudget || c.TXBudget > c.TX) {
		return fmt.Errorf("transmit budget %d: want %d to %d", c.TXBudget, defaultTXBudget, c.TX)
	}
	return nil
}

func (c *SocketConfig) sizes() [4]uint32 {
	return [4]uint32{abi.Fill: c.Fill, abi.Completion: c.Completion, abi.RX: c.RX, abi.TX: c.TX}
}

// The steps of Open, as its errors name them.
const (
	stepSocket  = "socket"
	stepUMEM    = "register UMEM"
	stepOffsets = "ring offsets"
	stepBusy    = "busy polling"
	stepBind    = "bind"
	stepOptions = "read mode back"
	stepProbe   = "first transmission"
)

// Open makes a socket on a queue of an interface of the calling thread's
// network namespace, with its fill ring full.
//
// All live sockets of a UMEM are in zero copy, or all are not (the kernel has
// the mode with the UMEM): the first one decides, Auto follows it, and an
// explicit mode that differs is an error. See AutoMode.
//
// Errors say which step went wrong and what to do about it, and wrap the errno:
// EPERM (capabilities), ENODEV (interface), EINVAL (queue), EOPNOTSUPP (zero
// copy), EBUSY (queue taken), ENOMEM. ErrNoFrames means a UMEM too small.
// Open may sleep: see BindTimeout.
func Open(u *UMEM, config SocketConfig) (*Socket, error) {
	config.setDefaults()
	name, driver, err := u.kernel.Interface(config.Interface)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	where := fmt.Sprintf("%s queue %d", name, config.Queue)
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("open socket on %s: %w", where, err)
	}
	u.expireLimbo()
	slot, err := u.claim(config)
	if err != nil {
		return nil, fmt.Errorf("open socket on %s: %w", where, err)
	}
	want, reason, err := u.decide(config.Mode, driver)
	if err != nil {
		return nil, fmt.Errorf("open socket on %s: %w", where, err)
	}
	s := &Socket{umem: u, config: config, slot: slot, name: name}
	err = s.open(want)
	if err != nil && config.Mode == Auto && want == ZeroCopy && u.mode == Auto {
		reason = fmt.Sprintf("zero copy, which %s should have: %v", driver, err)
		want = Copy
		s = &Socket{umem: u, config: config, slot: slot, name: name}
		err = s.open(want)
	}
	if err != nil {
		return nil, fmt.Errorf("open socket on %s: %w", where, err)
	}
	s.reason = reason
	if config.Mode == Generic {
		s.mode = Generic
	}
	u.sockets[slot], u.mode = s, s.mode
	u.releaseLimbo(config.Interface, config.Queue)
	s.refill() // with what came out of limbo
	return s, nil
}

// decide turns what is asked for into the mode to bind with, ZeroCopy or Copy.
func (u *UMEM) decide(asked Mode, driver string) (want Mode, reason string, err error) {
	live := u.mode // Auto if there is no socket to agree with
	switch asked {
	case Auto:
		if live == ZeroCopy {
			return ZeroCopy, "as the other sockets of its UMEM", nil
		}
		if live != Auto {
			return Copy, "as the other sockets of its UMEM", nil
		}
		want, reason = autoMode(driver, u.kernel.Release())
		return want, reason, nil
	case ZeroCopy:
		if live != Auto && live != ZeroCopy {
			return 0, "", fmt.Errorf("mode %v, but the sockets that share its UMEM are in mode %v: give all interfaces one mode", asked, live)
		}
		return ZeroCopy, "as configured", nil
	default:
		if live == ZeroCopy {
			return 0, "", fmt.Errorf("mode %v, but the sockets that share its UMEM are in mode %v: give all interfaces one mode", asked, live)
		}
		return Copy, "as configured", nil
	}
}

// open makes the socket and binds it. On an error nothing is left of it.
func (s *Socket) open(want Mode) error {
	deadline := s.umem.kernel.Now().Add(s.config.BindTimeout)
	for {
		err := s.tryOpen(want)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		if !s.umem.kernel.Now().Before(deadline) {
			if holder := s.umem.kernel.Holder(s.config.Interface, s.config.Queue); holder != "" {
				return fmt.Errorf("%w: held by %s", err, holder)
			}
			return err
		}
		time.Sleep(bindRetry)
	}
}

// tryOpen shares the UMEM with a live socket, if there is one, or registers it.
func (s *Socket) tryOpen(want Mode) error {
	for _, other := range s.umem.sockets {
		if other == nil || other.dead {
			continue
		}
		err := s.bindShared(want, other)
		if !errors.Is(err, unix.EBADF) {
			return err
		}
		// The kernel took other's interface away, and other has not noticed yet.
		other.fail("share UMEM", unix.EBADF)
	}
	return s.setup(want, -1)
}

func (s *Socket) bindShared(want Mode, other *Socket) error { return s.setup(want, other.fd) }

// setup is one attempt: socket, UMEM, rings, fill ring, bind. With sharedFD
// below 0 the socket registers the UMEM itself.
func (s *Socket) setup(want Mode, sharedFD int) (err error) {
	k := s.umem.kernel
	fail := func(step string, err error) error {
		var errno unix.Errno
		if errors.As(err, &errno) {
			if advice := openAdvice(step, errno, want); advice != "" {
				return fmt.Errorf("%s: %w (%s)", step, err, advice)
			}
		}
		return fmt.Errorf("%s: %w", step, err)
	}
	if s.fd, err = k.Socket(); err != nil {
		return fail(stepSocket, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if sharedFD < 0 {
		c := s.umem.config
		mem := s.umem.mem[:int(c.Frames)*int(c.FrameSize)]
		if err := k.RegisterUMEM(s.fd, mem, c.FrameSize, c.Headroom); err != nil {
			return fail(stepUMEM, err)
		}
	}
	if step, err := s.mapRings(); err != nil {
		return fail(step, err)
	}
	s.tuneTX()
	if s.config.BusyPoll.on() {
		if err := s.SetBusyPoll(s.config.BusyPoll); err != nil {
			return fail(stepBusy, err)
		}
	}
	s.refill() // before bind: some drivers never recover from an empty fill ring
	flags := uint16(unix.XDP_USE_NEED_WAKEUP | unix.XDP_COPY)
	switch {
	case sharedFD >= 0:
		flags = unix.XDP_SHARED_UMEM // the other flags are the first socket's
	case want == ZeroCopy:
		flags = unix.XDP_USE_NEED_WAKEUP | unix.XDP_ZEROCOPY
	}
	if err := k.Bind(s.fd, s.config.Interface, s.config.Queue, flags, sharedFD); err != nil {
		return fail(stepBind, err)
	}
	zeroCopy, err := k.ZeroCopy(s.fd)
	if err != nil {
		return fail(stepOptions, err)
	}
	s.mode = Copy
	if zeroCopy {
		s.mode = ZeroCopy
	}
	if errno := k.Kick(s.fd); classify(errno) == dead {
		return fail(stepProbe, errno)
	}
	return nil
}

// mapRings makes the four rings and lays them over the kernel's memory. On an
// error it names the step.
func (s *Socket) mapRings() (step string, err error) {
	k := s.umem.kernel
	sizes := s.config.sizes()
	for kind, size := range sizes {
		if err := k.SetRing(s.fd, abi.RingKind(kind), size); err != nil {
			return fmt.Sprintf("%s ring of %d", abi.RingKind(kind), size), err
		}
	}
	offsets, err := k.Offsets(s.fd)
	if err != nil {
		return stepOffsets, err
	}
	for kind, size := range sizes {
		length := abi.RingBytes[uint64](offsets[kind], size)
		if abi.RingKind(kind) == abi.RX || abi.RingKind(kind) == abi.TX {
			length = abi.RingBytes[Desc](offsets[kind], size)
		}
		if s.mappings[kind], err = k.MapRing(s.fd, abi.RingKind(kind), length); err != nil {
			return fmt.Sprintf("map %s ring", abi.RingKind(kind)), err
		}
	}
	m, o := &s.mappings, &offsets
	var errs [4]error
	s.fill, errs[0] = abi.NewProducer[uint64](m[abi.Fill], o[abi.Fill], sizes[abi.Fill])
	s.completion, errs[1] = abi.NewConsumer[uint64](m[abi.Completion], o[abi.Completion], sizes[abi.Completion])
	s.rx, errs[2] = abi.NewConsumer[Desc](m[abi.RX], o[abi.RX], sizes[abi.RX])
	s.tx, errs[3] = abi.NewProducer[Desc](m[abi.TX], o[abi.TX], sizes[abi.TX])
	return "lay rings", errors.Join(errs[:]...)
}

// tuneTX raises the limits of copy-mode transmission that are lower than the TX
// ring: frames per call, and bytes of socket buffers under way. A kernel that
// refuses either is merely slower.
func (s *Socket) tuneTX() {
	const skbOverhead = 1024 // an upper bound of what the kernel accounts beside the frame
	k := s.umem.kernel
	_ = k.SetSendBuffer(s.fd, int(s.config.TX)*(int(s.umem.config.FrameSize)+skbOverhead))
	s.budget = defaultTXBudget
	if s.config.TX >= defaultTXBudget && k.SetTXBudget(s.fd, s.config.TXBudget) == nil {
		s.budget = s.config.TXBudget
	}
}

// release undoes setup, whole or half: it unmaps the rings (a mapping keeps the
// socket alive), closes the socket, and takes its frames back.
func (s *Socket) release() error {
	u := s.umem
	var errs []error
	for kind, mem := range s.mappings {
		if mem != nil {
			if err := u.kernel.UnmapRing(mem); err != nil {
				errs = append(errs, fmt.Errorf("unmap %s ring: %w", abi.RingKind(kind), err))
			}
		}
	}
	s.mappings = [4][]byte{}
	s.fill, s.completion = abi.Producer[uint64]{}, abi.Consumer[uint64]{}
	s.rx, s.tx = abi.Consumer[Desc]{}, abi.Producer[Desc]{}
	if err := u.kernel.Close(s.fd); err != nil {
		errs = append(errs, fmt.Errorf("close socket: %w", err))
	}
	u.takeBack(s)
	return errors.Join(errs...)
}
