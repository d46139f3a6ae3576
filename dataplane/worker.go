package dataplane

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/ring"
)

// publishEvery is how many full batches a worker may go on before it makes its
// counts visible; an idle worker does so at once.
const publishEvery = 32

// Failure tells that a worker's socket on a port is gone: the interface went
// down or away, or its queues changed. The port has no socket from then on.
type Failure struct {
	Worker *Worker
	Port   int
	Socket *ring.Socket // closed; says which one, as the port may have another by now
	Err    error
}

// WorkerConfig is what a worker needs.
type WorkerConfig struct {
	Queue    uint32 // the queue index it serves on every port
	CPU      int    // the CPU it is pinned to, -1 for none
	Batch    int    // frames a batch, 1 to MaxBatch
	Spin     bool   // look for more frames before sleeping while they come fast
	Ports    int    // how many ports there are
	Frames   ring.UMEMConfig
	Failures chan<- Failure // a failure is lost when it is full: make it hold one a port and worker
	Now      func() affinity.Tick
}

// Worker carries frames between the sockets of one queue index on every port.
// It runs on a thread of its own and is the only user of its UMEM and sockets;
// others reach it by Do.
type Worker struct {
	// constant
	config    WorkerConfig
	forwarder *Forwarder
	waiter    *ring.Waiter

	// owned by the worker's thread
	umem      *ring.UMEM
	ports     []port
	sockets   []*ring.Socket // those that are not nil, for the waiter
	descs     []ring.Desc
	frames    []Frame
	verdicts  []Verdict
	fragments []ring.Desc   // of one packet
	held      []heldFrame   // in the order in which they came
	spare     []heldFrame   // as many, for the next order
	again     []heldFrame   // of the batch at hand, if it was held before
	noted     uint32        // as of Plane, when those held were last looked for
	checked   affinity.Tick // when check last looked
	patience  patience

	// shared
	mail    chan func()
	stopped atomic.Bool
	done    chan struct{}
}

// port is one interface as one worker uses it.
type port struct {
	index  int          // of the interface
	socket *ring.Socket // nil while it has none
	out    []ring.Desc  // frames of this batch to send by it
	of     []uint16     // the number of each in the batch
}

// reserve makes room for the frames of a batch.
func (p *port) reserve(n int) { p.out, p.of = make([]ring.Desc, 0, n), make([]uint16, 0, n) }

// NewWorker makes a worker with no sockets; see Open.
func NewWorker(plane *Plane, config WorkerConfig) (*Worker, error) {
	umem, err := ring.NewUMEM(config.Frames)
	if err != nil {
		return nil, fmt.Errorf("worker of queue %d: %w", config.Queue, err)
	}
	w, err := newWorker(plane, config, umem)
	if err != nil {
		umem.Close()
		return nil, fmt.Errorf("worker of queue %d: %w", config.Queue, err)
	}
	return w, nil
}

// newWorker is NewWorker over memory that is there.
func newWorker(plane *Plane, config WorkerConfig, umem *ring.UMEM) (*Worker, error) {
	waiter, err := ring.NewWaiter(umem)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		config:    config,
		forwarder: NewForwarder(plane),
		waiter:    waiter,
		umem:      umem,
		ports:     make([]port, config.Ports),
		descs:     make([]ring.Desc, config.Batch),
		frames:    make([]Frame, config.Batch),
		verdicts:  make([]Verdict, config.Batch),
		fragments: make([]ring.Desc, maxFragments),
		held:      make([]heldFrame, 0, mostHeld),
		spare:     make([]heldFrame, 0, mostHeld),
		mail:      make(chan func(), 16),
		done:      make(chan struct{}),
	}
	for i := range w.ports {
		w.ports[i].reserve(config.Batch)
	}
	w.forwarder.patient = true
	start := time.Now()
	w.patience.now = func() time.Duration { return time.Since(start) }
	return w, nil
}

// Queue is the queue index that the worker serves.
func (w *Worker) Queue() uint32 { return w.config.Queue }

// Forwarder is the worker's, for its counters.
func (w *Worker) Forwarder() *Forwarder { return w.forwarder }

// highPriority is the nice value of a worker's thread: setpriority(2).
const highPriority = -20

// Run carries frames until Stop. It pins its thread, and gives it back to
// nobody: the thread ends with it.
func (w *Worker) Run() error {
	defer close(w.done)
	runtime.LockOSThread()
	if w.config.CPU >= 0 {
		var set unix.CPUSet
		set.Set(w.config.CPU)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("pin worker of queue %d to cpu %d: %w", w.config.Queue, w.config.CPU, err)
		}
	}
	// Ahead of what else wants its CPU. It is not everybody's to ask for.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, highPriority)
	w.loop()
	return w.close()
}

// loop is the life of a worker: rounds of one batch a port, and sleep when
// there is nothing to do.
func (w *Worker) loop() {
	rounds := 0
	for !w.stopped.Load() {
		w.readMail()
		n := w.round()
		switch rounds++; {
		case n > 0:
			w.patience.found(n)
		case !w.config.Spin || !w.patience.lasts():
			w.forwarder.Publish()
			w.sleep()
		default:
			yield()
		}
		if rounds >= publishEvery {
			w.forwarder.Publish()
			rounds = 0
		}
	}
}

// yield lets others have the CPU for a moment: above all the kernel's thread that
// finishes what interrupts began (ksoftirqd), which has frames for us. A worker that
// spins without it holds that up for whole time slices.
func yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// checkPeriod is how often sockets are checked. It bounds a worker's sleep, too.
const checkPeriod = time.Second

// sleep waits for a frame, for room to send, or for Do.
func (w *Worker) sleep() {
	w.flush()
	longest := checkPeriod
	if len(w.held) > 0 {
		longest = heldPoll
	}
	if err := w.waiter.Wait(w.sockets, longest); err != nil {
		// Out of memory or descriptors, which others cause and end.
		time.Sleep(time.Millisecond)
	}
}

// flush hands what was sent to the kernel and gives it frames to receive into.
func (w *Worker) flush() { w.each((*ring.Socket).Flush) }

// each does something with every socket and gives up those that are dead. A
// socket whose link is down is not: it goes on when the link does.
func (w *Worker) each(do func(*ring.Socket) error) {
	for i := range w.ports {
		s := w.ports[i].socket
		if s == nil {
			continue
		}
		if err := do(s); err != nil && !errors.Is(err, ring.ErrLinkDown) {
			w.fail(i, err)
		}
	}
}

// check looks for what no system call tells of its own accord: an interface that
// was deleted, a transmit ring that stalls.
func (w *Worker) check(now affinity.Tick) {
	if now.Since(w.checked) < checkPeriod {
		return
	}
	w.checked = now
	w.each((*ring.Socket).Check)
}

// round takes one batch from every port and returns how many frames there were.
func (w *Worker) round() int {
	total := 0
	now := w.config.Now()
	w.check(now)
	for i := range w.ports {
		s := w.ports[i].socket
		if s == nil {
			continue
		}
		n := s.Receive(w.descs)
		if n > 0 {
			w.batch(i, w.descs[:n], now)
			total += n
		}
	}
	if w.release(now) || total > 0 {
		w.flush()
	}
	return total
}

// batch decides on the frames that came in by a port and hands each of them on:
// to a transmit ring or back to the free ones.
func (w *Worker) batch(in int, descs []ring.Desc, now affinity.Tick) {
	frames, verdicts := w.frames[:len(descs)], w.verdicts[:len(descs)]
	if len(w.held) == 0 && w.again == nil {
		w.noted = w.forwarder.plane.noted.Load() // before any fragment of the batch is looked for
	}
	for i, d := range descs {
		frames[i] = w.frame(d)
	}
	w.forwarder.Forward(frames, w.ports[in].index, now, verdicts)
	for i := range verdicts {
		switch v := &verdicts[i]; {
		case v.Reason == held:
			w.hold(i, descs[i], now)
		case !v.leaves():
			w.umem.Free(descs[i])
		case v.MTU != 0:
			w.sendFragments(i, descs[i])
		default:
			w.send(v.Port, i, w.umem.Part(descs[i], frames[i].Start, frames[i].End))
		}
	}
	for i := range w.ports {
		if len(w.ports[i].out) > 0 {
			w.transmit(&w.ports[i])
		}
	}
}

// fail gives up a port's socket and says so.
func (w *Worker) fail(i int, err error) {
	s := w.ports[i].socket
	w.ports[i].socket = nil
	w.listSockets()
	err = errors.Join(err, s.Close())
	select {
	case w.config.Failures <- Failure{Worker: w, Port: i, Socket: s, Err: err}:
	default: // the supervisor has one for this port already
	}
}

func (w *Worker) listSockets() {
	w.sockets = w.sockets[:0]
	for i := range w.ports {
		if s := w.ports[i].socket; s != nil {
			w.sockets = append(w.sockets, s)
		}
	}
}

func (w *Worker) readMail() {
	for {
		select {
		case f := <-w.mail:
			f()
		default:
			return
		}
	}
}

// Do runs f on the worker's thread between two batches and waits for it. It
// returns false if the worker has ended and f did not run.
func (w *Worker) Do(f func()) bool {
	ran := make(chan struct{})
	select {
	case w.mail <- func() { f(); close(ran) }:
	case <-w.done:
		return false
	}
	w.waiter.Wake()
	select {
	case <-ran:
		return true
	case <-w.done:
		return false
	}
}

// Open gives a port a socket of the worker's own UMEM, in place of the one it
// may have. index is the port's interface. open runs on the worker's thread.
func (w *Worker) Open(i, index int, open func(*ring.UMEM) (*ring.Socket, error)) (s *ring.Socket, err error) {
	if !w.Do(func() {
		if old := w.ports[i].socket; old != nil {
			w.ports[i].socket = nil
			err = old.Close()
		}
		var openErr error
		if s, openErr = open(w.umem); openErr == nil {
			w.ports[i].socket, w.ports[i].index = s, index
		}
		err = errors.Join(err, openErr)
		w.listSockets()
	}) {
		return nil, fmt.Errorf("worker of queue %d has ended", w.config.Queue)
	}
	return s, err
}

// Stop ends the worker and waits until its sockets are closed.
func (w *Worker) Stop() {
	w.stopped.Store(true)
	w.waiter.Wake()
	<-w.done
}

func (w *Worker) close() error {
	var err error
	for i := range w.ports {
		if s := w.ports[i].socket; s != nil {
			err = errors.Join(err, s.Close())
			w.ports[i].socket = nil
		}
	}
	w.forwarder.Publish()
	return errors.Join(err, w.umem.Close(), w.waiter.Close())
}
