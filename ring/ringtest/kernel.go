package ringtest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring"
	"github.com/xlvs/xlvs/ring/internal/abi"
)

// Kernel is a kernel with network interfaces and AF_XDP, all in this process.
type Kernel struct {
	mu         sync.Mutex
	nics       map[int]*NIC
	sockets    map[int]*socket
	mappings   int
	failures   map[string]unix.Errno
	elapsed    time.Duration
	firstIndex uint32
	noBudget   bool
	release    string
	violations []string
}

var _ abi.Kernel = (*Kernel)(nil)

// New makes a kernel without interfaces.
func New() *Kernel {
	return &Kernel{
		nics:     make(map[int]*NIC),
		sockets:  make(map[int]*socket),
		failures: make(map[string]unix.Errno),
		release:  "6.18.0-ringtest",
	}
}

// NewUMEM is ring.NewUMEM on this kernel.
func (k *Kernel) NewUMEM(config ring.UMEMConfig) (*ring.UMEM, error) {
	return ring.NewUMEMOn(k, config)
}

// AddNIC adds an interface that is up, "fake<ifindex>", of a driver that has no
// zero copy. An index is used once in a Kernel's life, or after Delete.
func (k *Kernel) AddNIC(ifindex, queues int) *NIC {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := &NIC{kernel: k, ifindex: ifindex, driver: "fake", up: true, sent: make([][][]byte, queues)}
	k.nics[ifindex] = n
	return n
}

// SetRelease makes the kernel say that it is another one.
func (k *Kernel) SetRelease(release string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.release = release
}

// SetFirstIndex makes the indices of rings made from now on start there
// instead of at 0, so that they wrap within a test.
func (k *Kernel) SetFirstIndex(index uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.firstIndex = index
}

// SetOld makes the kernel one without XDP_MAX_TX_SKB_BUDGET.
func (k *Kernel) SetOld(old bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.noBudget = old
}

// FailNext makes the next call of a method of the kernel fail: "Socket",
// "RegisterUMEM", "SetRing", "Offsets", "MapRing", "Bind", "ZeroCopy", "MapMemory",
// "Kick", "Wake". An errno of 0 takes it back.
func (k *Kernel) FailNext(method string, errno unix.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failures[method] = errno
}

// Advance moves the kernel's clock on.
func (k *Kernel) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.elapsed += d
}

// Violations lists what the user of the kernel did wrong.
func (k *Kernel) Violations() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.violations)
}

// Leaks tells how many sockets and mappings are open.
func (k *Kernel) Leaks() (sockets, mappings int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.sockets), k.mappings
}

func (k *Kernel) violatef(format string, args ...any) {
	if len(k.violations) < 100 {
		k.violations = append(k.violations, fmt.Sprintf(format, args...))
	}
}

// failing takes the failure that FailNext ordered for a method. k.mu is held.
func (k *Kernel) failing(method string) unix.Errno {
	errno := k.failures[method]
	delete(k.failures, method)
	return errno
}

// Now implements abi.Kernel.
func (k *Kernel) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Now().Add(k.elapsed)
}

// Release implements abi.Kernel.
func (k *Kernel) Release() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.release
}

// Interface implements abi.Kernel.
func (k *Kernel) Interface(ifindex int) (name, driver string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.nics[ifindex]
	if !ok {
		return "", "", fmt.Errorf("interface index %d: %w", ifindex, unix.ENODEV)
	}
	return fmt.Sprintf("fake%d", ifindex), n.driver, nil
}

// Holder implements abi.Kernel.
func (k *Kernel) Holder(ifindex int, queue uint32) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.on(ifindex, queue); s != nil {
		return fmt.Sprintf("socket %d", s.fd)
	}
	return ""
}

// on finds the socket that is bound to a queue. k.mu is held.
func (k *Kernel) on(ifindex int, queue uint32) *socket {
	for _, s := range k.sockets {
		if s.nic != nil && s.nic.ifindex == ifindex && s.queue == queue {
			return s
		}
	}
	return nil
}

// MapMemory implements abi.Kernel.
func (k *Kernel) MapMemory(length int, _ bool) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if errno := k.failing("MapMemory"); errno != 0 {
		return nil, errno
	}
	return k.mmap(length)
}

// mmap makes memory that is aligned as rings need it. k.mu is held.
func (k *Kernel) mmap(length int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err == nil {
		k.mappings++
	}
	return mem, err
}

// UnmapMemory implements abi.Kernel.
func (k *Kernel) UnmapMemory(mem []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mappings--
	return unix.Munmap(mem)
}
