package config

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// Config is a valid configuration with every default filled in. It is
// read-only. examples/reference.yaml says what each part means, and its limits.
type Config struct {
	Interfaces []Interface
	Rings      Rings
	Workers    Workers
	Steering   Steering
	Tables     Tables
	Marks      []MarkRule // first match wins
	Services   []Service  // in the file's order
	// Refuse is what is told to who sent a packet that is claimed but has no service.
	Refuse service.Refusal
	// ExpireNoDest is what becomes of connections whose service was removed.
	ExpireNoDest bool
	Addresses    Addresses
	Control      Control
	Log          Log

	warnings Errors
}

// Interface is a network interface that takes part.
type Interface struct {
	Name string
	// Queues are the receive queues to serve, rising; none means all that the
	// interface has.
	Queues []int
	Mode   Mode
	// MACs are further addresses of frames that are ours, rising.
	MACs [][6]byte
}

// Mode is how AF_XDP sockets are to be bound to an interface.
type Mode string

// The modes.
const (
	Auto     Mode = "auto"     // zero copy where the driver is known to be sound, else copy
	ZeroCopy Mode = "zerocopy" // or refuse to start
	Copy     Mode = "copy"     // native XDP, the kernel copies
	Generic  Mode = "generic"  // XDP on socket buffers: any driver, slowly
)

// Rings are the sizes of the AF_XDP sockets, one per interface and queue.
type Rings struct {
	Frames         int // per interface and queue
	FrameSize      int // bytes
	RX, TX         int // descriptors
	Fill           int // descriptors
	Completion     int // descriptors
	Batch          int // frames a worker takes in at once
	TransmitBudget int // frames that the kernel sends per call in copy mode
	HugePages      bool
	BusyPoll       BusyPoll
}

// Workers are the threads that move packets.
type Workers struct {
	// CPUs are where to run them, in turn; none means wherever the Director
	// finds best.
	CPUs []int
	// Spin lets a worker look for more frames before it sleeps, while they come fast.
	Spin bool
}

// Steering is about the XDP program.
type Steering struct {
	Fallback Fallback
	// Pin is the directory on a BPF file system for what outlives the process.
	Pin     string
	Express Express
}

// Express is whether the XDP program itself forwards the packets of known
// connections.
type Express string

// The choices.
const (
	ExpressAuto Express = "auto" // on interfaces in native mode without zero copy
	ExpressOn   Express = "on"   // on every interface that can
	ExpressOff  Express = "off"
)

// Fallback is what becomes of a frame for a service when no socket takes it.
type Fallback string

// The fallbacks.
const (
	Drop Fallback = "drop"
	Pass Fallback = "pass" // to the kernel, which then must have the same services
)

// Tables are the numbers of entries that the tables in shared memory hold.
type Tables struct {
	Connections, Connections6 int
	Templates, Templates6     int
	Servers                   int // real servers of all services together
}

// MarkRule gives its mark to a packet that any of its matches takes.
type MarkRule struct {
	Mark    uint32 // never 0
	Matches []Match
}

// Match takes a packet for which every list that is not empty has an element
// that fits.
type Match struct {
	Protocols    []packet.Protocol // none: TCP, UDP and SCTP
	Destinations []netip.Prefix    // never empty
	Sources      []netip.Prefix
	Ports        []Range // of the destination, rising, apart
	SourcePorts  []Range
	Interfaces   []string // each one of Config.Interfaces
	VLANs        []uint16 // 0: untagged
	DSCPs        []uint8
}

// Service is a virtual service. One service by mark in the file that has
// servers of both families is two here, one after the other.
type Service struct {
	Key       service.Key
	Name      string // for people, may be empty
	Scheduler Scheduler
	Method    service.ForwardingMethod
	// Persistence counts if Persistent is set; otherwise it is zero.
	Persistent  bool
	Persistence service.Persistence
	Timeouts    service.Timeouts
	OnePacket   bool
	Switches
	Servers []Server
}

// Switches are the choices of behaviour that every service has; see
// [service.VirtualService].
type Switches struct {
	ExpireQuiescent, ExpireNoDest, Sloppy, PersistentThresholds bool
	Refuse                                                      service.Refusal
	KeepUnreachable                                             bool
	AnswerTooBig                                                bool
}

// Server is a real server of a service.
type Server struct {
	Addr                           netip.Addr
	Port                           uint16 // the service's
	Weight                         int32
	UpperThreshold, LowerThreshold uint32 // connections; 0: none
}

// Addresses is about virtual addresses that the director itself looks after.
// It is zero unless Add is set.
type Addresses struct {
	Add bool
	// Interface is where VIPs, which are sorted, are added with their full length.
	Interface string
	VIPs      []netip.Addr
	// AnnounceOn are the interfaces to announce them on; none means not at all.
	AnnounceOn       []string
	AnnounceCount    int
	AnnounceInterval time.Duration
}

// Control is the socket that list and the other commands talk to.
type Control struct{ Socket string }

// Log is what is logged, and how: Level is debug, info, warn or error, Format
// text or json.
type Log struct{ Level, Format string }

// Load reads and validates the file at path.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse validates the text of a file; name is what errors call it. The error
// is of type [Errors], and then there is no Config.
func Parse(name string, data []byte) (*Config, error) {
	f := &file{name: name, noted: map[noted]bool{}}
	root, ok := f.open(data)
	var c *Config
	if ok {
		c = readConfig(root)
	}
	if len(f.errors) > 0 {
		return nil, f.errors.sorted()
	}
	c.warnings = f.warnings.sorted()
	return c, nil
}

// Warnings is what is legal in the file but most likely not meant.
func (c *Config) Warnings() Errors { return slices.Clone(c.warnings) }
