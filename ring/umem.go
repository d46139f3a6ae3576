package ring

import (
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// Desc describes a frame's contents: Len bytes at offset Addr of the UMEM.
type Desc = abi.Desc

const (
	// packetHeadroom is XDP_PACKET_HEADROOM: what the kernel leaves free before
	// a received frame, beside the headroom that the UMEM asks for.
	packetHeadroom = unix.XDP_PACKET_HEADROOM
	// ethernetHeader is the least that is ever sent: drivers rely on it being there.
	ethernetHeader = 14
	// vlanTags is the room for two VLAN tags, which an MTU does not count.
	vlanTags = 8
)

// UMEMConfig says how much memory a UMEM has and how it is cut.
type UMEMConfig struct {
	// Frames is their number. Sockets need Fill + TX frames each (see
	// SocketConfig), and the caller's batch comes on top.
	Frames uint32
	// FrameSize is 2048 or 4096 bytes.
	FrameSize uint32
	// Headroom is kept free before each received frame, in bytes, beside the
	// 256 that the kernel always keeps. A multiple of 8.
	Headroom uint32
	// HugePages asks for explicit huge pages (vm.nr_hugepages). Transparent ones
	// are used in any case where the system has them.
	HugePages bool
}

// MaxMTU is the largest MTU of an interface whose frames always fit into one
// frame of the UMEM, with an Ethernet header and two VLAN tags before the
// packet. Longer frames are dropped by the kernel (XDP_STATISTICS, rx_dropped),
// so refuse larger MTUs. A driver may have a lower limit for XDP programs.
func (c UMEMConfig) MaxMTU() int {
	return int(c.FrameSize) - int(c.Headroom) - packetHeadroom - ethernetHeader - vlanTags
}

func (c UMEMConfig) validate() error {
	if c.FrameSize != 2048 && c.FrameSize != 4096 {
		return fmt.Errorf("UMEM: frame size %d: want 2048 or 4096", c.FrameSize)
	}
	if c.Headroom%8 != 0 || c.MaxMTU() < minMTU {
		return fmt.Errorf("UMEM: headroom %d: want a multiple of 8 that leaves room for an MTU of %d in frames of %d",
			c.Headroom, minMTU, c.FrameSize)
	}
	if c.Frames == 0 || c.Frames > maxFrames {
		return fmt.Errorf("UMEM: %d frames: want 1 to %d", c.Frames, maxFrames)
	}
	return nil
}

const (
	minMTU    = 576
	maxFrames = 1 << 22 // 16 GiB of 4096-byte frames
)

// UMEM is the memory that the frames of a worker's sockets are in, and the
// account of who owns each.
type UMEM struct {
	// Constant after NewUMEM.
	kernel     abi.Kernel
	config     UMEMConfig
	mem        []byte
	frameShift uint   // log2 of the frame size
	offsetMask uint64 // frame size - 1

	// Owned by the worker.
	frames  frames
	sockets [maxSockets]*Socket // by slot
	mode    Mode                // of the live sockets; Auto while there are none

	refused counter // atomic
}

// NewUMEM makes a UMEM. It is registered with the kernel by the first Open.
func NewUMEM(config UMEMConfig) (*UMEM, error) {
	return NewUMEMOn(abi.Linux{}, config)
}

// NewUMEMOn makes a UMEM on a stand-in for the kernel. Package ringtest has one.
func NewUMEMOn(kernel abi.Kernel, config UMEMConfig) (*UMEM, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	size := int(config.Frames) * int(config.FrameSize)
	if config.HugePages {
		const hugePage = 2 << 20
		size = (size + hugePage - 1) &^ (hugePage - 1)
	}
	mem, err := kernel.MapMemory(size, config.HugePages)
	if err != nil {
		advice := ""
		if config.HugePages {
			advice = " (raise vm.nr_hugepages, or do without huge pages)"
		}
		return nil, fmt.Errorf("UMEM of %d frames of %d bytes: mmap: %w%s", config.Frames, config.FrameSize, err, advice)
	}
	return &UMEM{
		kernel:     kernel,
		config:     config,
		mem:        mem,
		frameShift: uint(bits.TrailingZeros32(config.FrameSize)),
		offsetMask: uint64(config.FrameSize) - 1,
		frames:     newFrames(config.Frames),
	}, nil
}

// Config is what NewUMEM was given.
func (u *UMEM) Config() UMEMConfig { return u.config }

// Close gives the memory back. Close the sockets first; descriptors and byte
// slices of the UMEM are dead afterwards.
func (u *UMEM) Close() error {
	if u.mem == nil {
		return nil
	}
	for _, s := range u.sockets {
		if s != nil {
			return fmt.Errorf("UMEM: close: socket of %s is open", s)
		}
	}
	mem := u.mem
	u.mem, u.frames = nil, frames{}
	if err := u.kernel.UnmapMemory(mem); err != nil {
		return fmt.Errorf("UMEM: munmap: %w", err)
	}
	return nil
}

// frame is the number of the frame that an address is in; it may not exist.
func (u *UMEM) frame(addr uint64) uint64 { return addr >> u.frameShift }

// fits tells whether d lies within one frame.
func (u *UMEM) fits(d Desc) bool {
	return d.Addr&u.offsetMask+uint64(d.Len) <= uint64(u.config.FrameSize)
}

// Bytes is the contents of a frame of the caller's, or nil if d describes
// anything else: no descriptor reaches memory outside of its own frame. The
// caller owns the bytes until it transmits or frees the frame.
func (u *UMEM) Bytes(d Desc) []byte {
	if !u.frames.owned(u.frame(d.Addr), ownerCaller) || !u.fits(d) {
		return nil
	}
	end := d.Addr + uint64(d.Len)
	return u.mem[d.Addr:end:end]
}

// Whole is the frame that d describes, its headroom included, and where in it the
// contents begin: they are buffer[start:start+d.Len]. The buffer is nil where Bytes
// is. See Part for who moves them.
func (u *UMEM) Whole(d Desc) (buffer []byte, start uint32) {
	if !u.frames.owned(u.frame(d.Addr), ownerCaller) || !u.fits(d) {
		return nil, 0
	}
	first := d.Addr &^ u.offsetMask
	end := first + u.offsetMask + 1
	return u.mem[first:end:end], uint32(d.Addr & u.offsetMask)
}

// Part describes the bytes from start to end of the frame that d is in.
func (u *UMEM) Part(d Desc, start, end uint32) Desc {
	return Desc{Addr: d.Addr&^u.offsetMask + uint64(start), Len: end - start}
}

// Prepend grows a frame at its front by n bytes, which hold anything. It is
// false, and d as it was, when the headroom does not suffice; n up to 256 plus
// the configured headroom always fits a frame as it was received.
func (u *UMEM) Prepend(d Desc, n uint32) (Desc, bool) {
	if d.Addr&u.offsetMask < uint64(n) || !u.fits(d) {
		return d, false
	}
	d.Addr -= uint64(n)
	d.Len += n
	return d, true
}

// Trim takes n bytes off the front of a frame. It is false, and d as it was,
// when there are fewer.
func (u *UMEM) Trim(d Desc, n uint32) (Desc, bool) {
	if d.Len < n {
		return d, false
	}
	d.Addr += uint64(n)
	d.Len -= n
	return d, true
}

// Alloc takes a free frame for n bytes of the caller's own making, with the
// headroom of a received one. It is false when no frame is free or n is too long.
func (u *UMEM) Alloc(n uint32) (Desc, bool) {
	headroom := packetHeadroom + u.config.Headroom
	if n > u.config.FrameSize-headroom {
		return Desc{}, false
	}
	frame, ok := u.frames.pop(ownerCaller)
	if !ok {
		return Desc{}, false
	}
	return Desc{Addr: uint64(frame)<<u.frameShift + uint64(headroom), Len: n}, true
}

// Free gives a frame of the caller's back. A frame that is not the caller's is
// refused: the result is false, and Refused counts it.
func (u *UMEM) Free(d Desc) bool {
	frame := u.frame(d.Addr)
	if !u.frames.owned(frame, ownerCaller) {
		u.refused.add(1)
		return false
	}
	u.frames.push(frame)
	return true
}

// Refused is how often Free or Transmit were given a frame that was not the
// caller's, or a descriptor that does not fit a frame: a bug of the caller's
// each time. Any goroutine may ask.
func (u *UMEM) Refused() uint64 { return u.refused.load() }

// FreeFrames is the number of frames that nobody owns.
func (u *UMEM) FreeFrames() int { return len(u.frames.free) }

// ErrNoFrames: the UMEM has too few frames for another socket.
var ErrNoFrames = errors.New("too few frames")

// claim finds a slot for a socket and checks that there are frames for it.
func (u *UMEM) claim(c SocketConfig) (slot int, err error) {
	need := c.Fill + c.TX
	slot = -1
	for i, s := range u.sockets {
		switch {
		case s == nil:
			if slot < 0 {
				slot = i
			}
		case s.config.Interface == c.Interface && s.config.Queue == c.Queue:
			return -1, fmt.Errorf("this UMEM already has a socket there: %w", unix.EBUSY)
		default:
			need += s.config.Fill + s.config.TX
		}
	}
	if slot < 0 {
		return -1, fmt.Errorf("a UMEM has at most %d sockets", maxSockets)
	}
	if need > u.config.Frames {
		return -1, fmt.Errorf("UMEM of %d frames, the fill and TX rings of its sockets can hold %d: %w",
			u.config.Frames, need, ErrNoFrames)
	}
	return slot, nil
}
