package vip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/rtnl"
)

// Status says whether a virtual address is on this host.
type Status struct {
	Address netip.Addr
	// Interface has the address; "" if the host does not.
	Interface string
	// Duplicate: the kernel found the IPv6 address in use by another host and
	// does not answer for it (RFC 4862, 5.4).
	Duplicate bool
}

// Present reports whether this host answers for the address.
func (s Status) Present() bool { return s.Interface != "" && !s.Duplicate }

// String says it for an operator.
func (s Status) String() string {
	switch {
	case s.Duplicate:
		return fmt.Sprintf("virtual address %s is on %s, but another host uses it (duplicate address detection)", s.Address, s.Interface)
	case s.Interface != "":
		return fmt.Sprintf("virtual address %s is on %s", s.Address, s.Interface)
	}
	protocol := "ARP"
	if s.Address.Is6() {
		protocol = "neighbour discovery"
	}
	return fmt.Sprintf("virtual address %s is not on this host: clients' %s is not answered here (standby?)", s.Address, protocol)
}

// Watcher follows which virtual addresses are on this host. It changes nothing.
type Watcher struct {
	// Constant.
	log     *slog.Logger
	host    *host
	monitor *rtnl.Monitor
	events  *events
	changed chan struct{} // capacity 1
	stop    chan struct{}
	done    chan struct{}
	close   sync.Once

	mu    sync.Mutex // guards all following fields
	where map[netip.Addr]Status
	want  []netip.Addr
}

// Watch makes a Watcher for the current network namespace. It logs addresses
// that come and go to log, nil for nobody. Close it.
func Watch(log *slog.Logger) (*Watcher, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{
		log: log, events: newEvents(), changed: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	var err error
	if w.host, err = openHost(); err != nil {
		return nil, err
	}
	if w.monitor, err = w.events.follow(); err != nil {
		w.host.close()
		return nil, err
	}
	go w.run()
	return w, nil
}

// Want sets the addresses to follow. When it returns, Lookup knows them.
func (w *Watcher) Want(vips []netip.Addr) error {
	want := make([]netip.Addr, 0, len(vips))
	for _, ip := range vips {
		want = append(want, ip.Unmap())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want = want
	return w.look()
}

// Changed becomes readable after what Lookup returns has changed for any
// address, once for many changes. It is never closed.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Lookup says where an address is. One that was not wanted is nowhere.
func (w *Watcher) Lookup(vip netip.Addr) Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.where[vip.Unmap()]; ok {
		return s
	}
	return Status{Address: vip.Unmap()}
}

// Close ends it. Lookup keeps its last answers. More than one call is harmless.
func (w *Watcher) Close() error {
	w.close.Do(func() {
		w.monitor.Close()
		close(w.stop)
		<-w.done
		w.host.close()
	})
	return nil
}

func (w *Watcher) run() {
	defer close(w.done)
	for {
		select {
		case <-w.stop:
			return
		case <-w.events.wake:
		}
		if !settle(w.stop) {
			return
		}
		w.mu.Lock()
		err := w.look()
		w.mu.Unlock()
		if err != nil {
			w.log.Warn("virtual addresses are not followed until the next change", "error", err)
		}
	}
}

// look lists the host's addresses anew. The caller holds mu.
func (w *Watcher) look() error {
	links, err := w.host.linksByName()
	if err != nil {
		return err
	}
	have, err := w.host.addresses()
	if err != nil {
		return err
	}
	where := make(map[netip.Addr]Status, len(w.want))
	for _, ip := range w.want {
		where[ip] = Status{Address: ip}
	}
	for _, a := range have {
		if s, ok := where[a.ip]; ok && !s.Present() {
			where[a.ip] = Status{
				Address: a.ip, Interface: nameOf(links, a.link),
				Duplicate: a.flags&unix.IFA_F_DADFAILED != 0,
			}
		}
	}
	w.publish(where)
	return nil
}

// publish replaces the answers and tells of the differences.
func (w *Watcher) publish(where map[netip.Addr]Status) {
	changed := len(where) != len(w.where)
	for ip, s := range where {
		if before, known := w.where[ip]; known && before == s {
			continue
		}
		changed = true
		if s.Present() {
			w.log.Info(s.String())
		} else {
			w.log.Warn(s.String())
		}
	}
	w.where = where
	if changed {
		notify(w.changed)
	}
}
