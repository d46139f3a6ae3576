package control

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/ring"
)

// port is one interface of the configuration, as it stands.
type port struct {
	config config.Interface
	index  int   // interface index, 0 while it does not exist
	mtu    int   // as last seen
	up     bool  // as find saw it
	queues []int // receive queues to serve, rising
	// attached is how the XDP program is attached; valid if index is not 0.
	attached bpf.AttachMode
	sockets  map[int]*ring.Socket // by queue; none where opening failed
	err      error                // why a socket is missing
	lane     Lane                 // whether the XDP program may send by it
	ways     bpf.Ways             // and how
	down     bool                 // the log has it that its link is down
	partial  bool                 // frames may come by it with partial checksums
}

// findPorts looks the interfaces up and refuses what cannot work, before
// anything is changed.
func (d *Director) findPorts() error {
	var errs []error
	for _, c := range d.config.Interfaces {
		p := &port{config: c, sockets: map[int]*ring.Socket{}}
		if err := d.find(p); err != nil {
			errs = append(errs, err)
		} else if err := d.checkMTU(p); err != nil {
			errs = append(errs, err)
		}
		d.ports = append(d.ports, p)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, p := range d.ports[1:] {
		if first := d.ports[0]; !slices.Equal(p.queues, first.queues) {
			return fmt.Errorf("interfaces %s and %s have different queues (%v and %v), but a frame leaves by the queue of the number that it came by: "+
				"give them as many with `ethtool -L`, or list the same `queues` for both",
				first.config.Name, p.config.Name, first.queues, p.queues)
		}
	}
	return nil
}

// find fills in what the host says of a port's interface.
func (d *Director) find(p *port) error {
	name := p.config.Name
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return fmt.Errorf("there is no interface %s on this host", name)
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	has, err := ring.Queues(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	p.queues = p.config.Queues
	if len(p.queues) == 0 {
		p.queues = make([]int, has)
		for q := range p.queues {
			p.queues[q] = q
		}
	}
	if last := p.queues[len(p.queues)-1]; last >= has {
		return fmt.Errorf("interface %s has %d receive queues, but the configuration names queue %d", name, has, last)
	}
	attrs := link.Attrs()
	p.index, p.mtu, p.up = attrs.Index, attrs.MTU, attrs.Flags&net.FlagUp != 0
	return nil
}

// checkMTU tells whether every packet of the interface fits into a frame.
func (d *Director) checkMTU(p *port) error {
	limit := d.umemConfig().MaxMTU()
	if p.mtu <= limit {
		return nil
	}
	size, advice := d.config.Rings.FrameSize, "lower the MTU"
	if size < largestFrame {
		advice += fmt.Sprintf(", or set rings.frame_size to %d", largestFrame)
	}
	return fmt.Errorf("interface %s has MTU %d, but a frame of %d bytes holds packets of %d at most: %s",
		p.config.Name, p.mtu, size, limit, advice)
}

// largestFrame is the largest rings.frame_size: a page, as the kernel demands.
const largestFrame = 4096

// umemConfig is the memory of one worker: its share of every port.
func (d *Director) umemConfig() ring.UMEMConfig {
	r := d.config.Rings
	return ring.UMEMConfig{
		Frames: uint32(r.Frames * len(d.config.Interfaces)), FrameSize: uint32(r.FrameSize), HugePages: r.HugePages,
	}
}

func (d *Director) portNames() []string {
	var names []string
	for _, p := range d.ports {
		names = append(names, p.config.Name)
	}
	return names
}

// ifindexes are the indices of the interfaces that exist, by name.
func (d *Director) ifindexes() map[string]int {
	indexes := map[string]int{}
	for _, p := range d.ports {
		if p.index != 0 {
			indexes[p.config.Name] = p.index
		}
	}
	return indexes
}

// openPorts opens every socket, then lets the XDP program in: no frame is
// redirected to a queue whose socket is not there yet. All sockets must open now;
// later a port may lose and regain them.
func (d *Director) openPorts() error {
	d.onStop(d.removeSteering) // before the sockets close: some drivers want it so
	for i, p := range d.ports {
		for _, queue := range p.queues {
			if err := d.openPortSocket(i, queue, bindTimeout); err != nil {
				return err
			}
		}
		if err := d.attach(p); err != nil {
			return err
		}
	}
	return d.detachStrangers()
}

// detachStrangers takes the XDP program off interfaces that a former run had and
// this one has not.
func (d *Director) detachStrangers() error {
	attached, err := d.steering.Attached()
	if err != nil {
		return err
	}
	for _, index := range attached {
		if d.portOf(index) < 0 {
			err = errors.Join(err, d.steering.Detach(index))
		}
	}
	return err
}

// attach puts the XDP program on a port's interface.
func (d *Director) attach(p *port) error {
	mode := bpf.Auto
	switch p.config.Mode {
	case config.Generic:
		mode = bpf.Generic
	case config.Copy, config.ZeroCopy:
		mode = bpf.Native
	}
	attached, err := d.steering.Attach(p.index, mode)
	if err != nil {
		return err
	}
	p.attached = attached
	d.log.Info("steering", "interface", p.config.Name, "attached", attached)
	return nil
}

// bindTimeout is how long to wait for a queue that a process killed a moment ago
// still has.
const bindTimeout = 2 * time.Second

// socketMode is the mode to open a port's sockets in. The sockets of a worker share
// their memory, and the kernel has zero copy for all of them or for none: auto
// looks at all interfaces at once.
func (d *Director) socketMode(p *port) (mode ring.Mode, why string, err error) {
	mode, err = ring.ParseMode(string(p.config.Mode))
	if err != nil || mode != ring.Auto {
		return mode, "configured", err
	}
	var indexes []int
	for _, p := range d.ports {
		if p.index != 0 {
			indexes = append(indexes, p.index)
		}
	}
	return ring.AutoMode(indexes...)
}

// openPortSocket opens the socket of a port's queue in its worker and tells the XDP
// program. It waits for a queue that is taken as long as patience; the worker waits too.
func (d *Director) openPortSocket(i, queue int, patience time.Duration) error {
	p, r := d.ports[i], d.config.Rings
	mode, why, err := d.socketMode(p)
	if err != nil {
		return err
	}
	s, err := d.worker(queue).Open(i, p.index, func(umem *ring.UMEM) (*ring.Socket, error) {
		return ring.Open(umem, ring.SocketConfig{
			Interface: p.index, Queue: uint32(queue), Mode: mode,
			RX: uint32(r.RX), TX: uint32(r.TX), Fill: uint32(r.Fill), Completion: uint32(r.Completion),
			TXBudget: uint32(d.tuning.budget), BusyPoll: busyPoll(d.tuning.busyPoll), BindTimeout: patience,
		})
	})
	if err != nil {
		return fmt.Errorf("interface %s, queue %d: %w", p.config.Name, queue, err)
	}
	if err := d.steering.Register(p.index, uint32(queue), s.FD()); err != nil {
		return fmt.Errorf("interface %s, queue %d: %w", p.config.Name, queue, err)
	}
	p.sockets[queue], p.err = s, nil
	d.log.Info("socket", "interface", p.config.Name, "queue", queue, "mode", s.Mode(), "because", why)
	return nil
}

// worker is the one of a queue, nil if there is none.
func (d *Director) worker(queue int) *dataplane.Worker {
	i := slices.IndexFunc(d.workers, func(w *dataplane.Worker) bool { return w.Queue() == uint32(queue) })
	if i < 0 {
		return nil
	}
	return d.workers[i]
}
