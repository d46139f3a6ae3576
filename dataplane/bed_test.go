package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/affinity"
	"github.com/xlvs/xlvs/marks"
	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/sched"
	"github.com/xlvs/xlvs/service"
)

// bed is a plane over anonymous memory with a forwarder: everything of a
// director but sockets and clocks.
type bed struct {
	tb     testing.TB
	tables *affinity.Tables
	plane  *Plane
	*Forwarder
	now          affinity.Tick
	services     []*service.VirtualService
	rules        []marks.Rule
	hops         map[service.ID]Hop
	ports        []Port // none: nothing is answered
	own          map[packet.Addr]struct{}
	refuse       service.Refusal
	expireNoDest bool
}

const bedServers = 256

// defaultTimeouts are IPVS's.
var defaultTimeouts = service.Timeouts{
	SynRecv: time.Minute, Established: 15 * time.Minute, FinWait: 2 * time.Minute, Close: 10 * time.Second,
	UDP: 5 * time.Minute, SCTPInit: time.Minute, SCTPEstablished: 15 * time.Minute,
	SCTPShutdown: time.Minute, SCTPClosed: time.Minute, Fragment: 30 * time.Second,
}

func newBed(tb testing.TB, config affinity.Config) *bed {
	tb.Helper()
	if config.Servers == 0 {
		config.Servers = bedServers
	}
	tables, err := affinity.Format(anonymous(tb, config.Size()), config)
	if err != nil {
		tb.Fatal(err)
	}
	return newBedOver(tb, tables, config)
}

// anonymous is memory for tables that ends with the test.
func anonymous(tb testing.TB, size int) []byte {
	tb.Helper()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

// newBedOver is newBed over tables that are there.
func newBedOver(tb testing.TB, tables *affinity.Tables, config affinity.Config) *bed {
	tb.Helper()
	b := &bed{tb: tb, tables: tables, now: 1000 * affinity.TicksPerSecond, hops: map[service.ID]Hop{}}
	b.plane = NewPlane(tables, int(config.Servers), b.snapshot())
	b.Forwarder = NewForwarder(b.plane)
	return b
}

// serve adds a service with real servers of the given addresses and weight 1.
// Server n has the MAC 02:00:00:00:00:n, counted from 1 in the order of addresses.
func (b *bed) serve(vs service.VirtualService, addrs ...string) *service.VirtualService {
	b.tb.Helper()
	if vs.SchedulerName == "" {
		vs.SchedulerName = "rr"
	}
	if vs.Timeouts == (service.Timeouts{}) {
		vs.Timeouts = defaultTimeouts
	}
	if vs.Persistent && vs.Persistence.Mask == (packet.Addr{}) {
		vs.Persistence.Mask = packet.Addr{Hi: ^uint64(0), Lo: ^uint64(0)}
		vs.Persistence.Mask6 = vs.Persistence.Mask
	}
	if vs.Persistent && vs.Persistence.Timeout == 0 {
		vs.Persistence.Timeout = 5 * time.Minute
	}
	for i, a := range addrs {
		addr := netip.MustParseAddr(a)
		id, err := b.tables.Assign(vs.Key, addr, vs.Key.Port, service.Direct)
		if err != nil {
			b.tb.Fatal(err)
		}
		vs.Servers = append(vs.Servers, &service.RealServer{
			ID: id, Addr: addr, Port: vs.Key.Port, Weight: 1, LastWeight: 1, Counts: b.tables.Counts(id.Number()),
		})
		b.hops[id] = Hop{Next: service.NextHop{Dst: serverMAC(i + 1), Src: directorMAC}}
	}
	b.services = append(b.services, &vs)
	b.publish()
	return &vs
}

var directorMAC = [6]byte{2, 0xd, 0, 0, 0, 0}

func serverMAC(n int) [6]byte { return [6]byte{2, 0, 0, 0, 0, byte(n)} }

// publish makes schedulers for the services as they are and publishes a snapshot.
func (b *bed) publish() {
	b.tb.Helper()
	for _, vs := range b.services {
		scheduler, err := sched.New(vs.SchedulerName, vs.Servers, sched.Options{Flags: vs.Flags, Previous: vs.Scheduler})
		if err != nil {
			b.tb.Fatal(err)
		}
		vs.Scheduler = scheduler
	}
	b.plane.Publish(b.snapshot())
}

func (b *bed) snapshot() *Snapshot {
	b.tb.Helper()
	table, err := service.NewTable(b.services)
	if err != nil {
		b.tb.Fatal(err)
	}
	rules, err := marks.Compile(b.rules)
	if err != nil {
		b.tb.Fatal(err)
	}
	s := NewSnapshot(rules, table, bedServers, b.hops, 1)
	s.Ports, s.Own, s.Refuse, s.ExpireNoDest = b.ports, b.own, b.refuse, b.expireNoDest
	return s
}

// send forwards one frame, which has no room around it, and returns the verdict.
func (b *bed) send(frame []byte) Verdict {
	v, _ := b.forward(FrameOf(frame))
	return v
}

// headroom is what a frame of a UMEM has before it at least.
const headroom = 256

// roomy is a frame as it lies in a UMEM.
func roomy(frame []byte) Frame {
	buffer := make([]byte, 2048)
	for i := range buffer {
		buffer[i] = 0xa5 // what others left there
	}
	return Frame{Buffer: buffer, Start: headroom, End: uint32(headroom + copy(buffer[headroom:], frame))}
}

// forward forwards one frame and returns the verdict, and the frame as it is then.
func (b *bed) forward(f Frame) (Verdict, []byte) {
	frames, verdicts := []Frame{f}, []Verdict{{}}
	b.Forward(frames, 1, b.now, verdicts)
	return verdicts[0], frames[0].Bytes()
}

// framesOf are frames that have no room around them.
func framesOf(contents ...[]byte) []Frame {
	frames := make([]Frame, len(contents))
	for i, c := range contents {
		frames[i] = FrameOf(c)
	}
	return frames
}

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }

// wait lets time go by.
func (b *bed) wait(d time.Duration) { b.now += affinity.Ticks(d) }
