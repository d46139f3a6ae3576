package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/internal/rtnl"
)

// Options of a Manager. The zero Options are usable.
type Options struct {
	// Logger is told of addresses added and removed. Nil: nobody is.
	Logger *slog.Logger
	// Repeats is how often an address is announced each time: some hosts and
	// switches miss one. 0 is 3, as RFC 4861 has it (MAX_NEIGHBOR_ADVERTISEMENT).
	Repeats int
	// Interval is the time between repetitions; 0 is 1 s.
	Interval time.Duration
}

func (o *Options) defaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Repeats <= 0 {
		o.Repeats = 3
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
}

// Manager keeps virtual addresses on an interface, and announces them. There
// may be one per network namespace: it owns every address with our mark.
type Manager struct {
	// Constant.
	log       *slog.Logger
	repeats   int
	interval  time.Duration
	host      *host
	announcer *announcer
	monitor   *rtnl.Monitor
	events    *events
	stop      chan struct{}
	done      chan struct{}
	close     sync.Once
	closed    error // valid after close

	mu       sync.Mutex // guards all following fields
	want     wanted
	unmarked map[place]bool     // added by us on a kernel that keeps no mark
	stations map[string]station // announced on, as last seen able to send
	pending  []announcement
	lastErr  string // of converging in the background
	stopped  bool
}

// wanted is what Set was called with.
type wanted struct {
	set        bool
	vips       []netip.Addr
	iface      string
	announceOn []string
}

// announcement is one that is to be repeated.
type announcement struct {
	ip   netip.Addr
	on   string // interface
	left int
}

// Open makes a Manager for the current network namespace. It changes nothing:
// what a former run left stays until the first Set or Close. It needs
// CAP_NET_ADMIN and CAP_NET_RAW.
func Open(opt Options) (*Manager, error) {
	opt.defaults()
	m := &Manager{
		log: opt.Logger, repeats: opt.Repeats, interval: opt.Interval,
		events: newEvents(), stop: make(chan struct{}), done: make(chan struct{}),
		unmarked: make(map[place]bool), stations: make(map[string]station),
	}
	var err error
	if m.host, err = openHost(); err != nil {
		return nil, err
	}
	if m.announcer, err = openAnnouncer(); err != nil {
		m.host.close()
		return nil, err
	}
	if m.monitor, err = m.events.follow(); err != nil {
		m.host.close()
		return nil, errors.Join(err, m.announcer.close())
	}
	go m.run()
	return m, nil
}

// Set puts vips on the interface, takes those of ours away that are not among
// them, and announces new ones out of the interfaces announceOn. An address that
// the host has on that interface without us is left as it is, now and at the end.
//
// All addresses are tried, whatever becomes of one; the error joins what failed. The
// Manager keeps to what was set: it tries again when a link or an address
// changes, puts back what others remove, and announces again when a link comes up.
//
// Set(nil, "", nil) takes away what a killed run has left, for a run that is
// no longer to add addresses.
func (m *Manager) Set(vips []netip.Addr, iface string, announceOn []string) error {
	vips, err := check(vips)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return errors.New("virtual addresses: the manager is closed")
	}
	m.want = wanted{set: true, vips: vips, iface: iface, announceOn: slices.Clone(announceOn)}
	return m.converge()
}

// check returns the addresses sorted, once each, or what cannot be a virtual address.
func check(vips []netip.Addr) ([]netip.Addr, error) {
	var bad []error
	checked := make([]netip.Addr, 0, len(vips))
	for _, ip := range vips {
		ip = ip.Unmap()
		if !ip.IsGlobalUnicast() || ip.Zone() != "" {
			bad = append(bad, fmt.Errorf("virtual address %s: not a unicast address that a host can share", ip))
		}
		checked = append(checked, ip)
	}
	slices.SortFunc(checked, netip.Addr.Compare)
	return slices.Compact(checked), errors.Join(bad...)
}

// Close removes our addresses and nothing else. More than one call is harmless.
func (m *Manager) Close() error {
	m.close.Do(func() {
		m.monitor.Close()
		close(m.stop)
		<-m.done
		m.mu.Lock()
		defer m.mu.Unlock()
		m.stopped, m.want = true, wanted{set: true}
		m.closed = errors.Join(m.converge(), m.announcer.close())
		m.host.close()
	})
	return m.closed
}

// run converges again on every change, and repeats announcements.
func (m *Manager) run() {
	defer close(m.done)
	ticker := time.NewTicker(m.interval)
	defer ticker.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-ticker.C:
			m.repeat()
		case <-m.events.wake:
			if !settle(m.stop) {
				return
			}
			m.again()
		}
	}
}

// again converges because something changed, and tells of an error once.
func (m *Manager) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.want.set {
		return
	}
	text := ""
	if err := m.converge(); err != nil {
		text = err.Error()
	}
	if text != "" && text != m.lastErr {
		m.log.Warn("virtual addresses", "error", text)
	}
	m.lastErr = text
}

// converge makes the host's addresses what is wanted. The caller holds mu.
func (m *Manager) converge() error {
	links, err := m.host.linksByName()
	if err != nil {
		return err
	}
	have, err := m.host.addresses()
	if err != nil {
		return err
	}
	m.forget(have)
	added, err := m.addMissing(links, have)
	err = errors.Join(err, m.removeOthers(links, have))
	if m.want.set {
		m.announceNew(links, have, added)
	}
	return err
}

// forget drops what is no longer there from the addresses known to be ours.
func (m *Manager) forget(have []address) {
	for at := range m.unmarked {
		if !slices.ContainsFunc(have, func(a address) bool { return a.place == at }) {
			delete(m.unmarked, at)
		}
	}
}

// owned reports whether an address is there because of us, now or in a former run.
func (m *Manager) owned(a address) bool {
	return a.mark == ownMark || m.unmarked[a.place]
}

// addMissing adds the wanted addresses that the interface does not have.
func (m *Manager) addMissing(links map[string]*netlink.LinkAttrs, have []address) (added []netip.Addr, err error) {
	if len(m.want.vips) == 0 {
		return nil, nil
	}
	link := links[m.want.iface]
	if link == nil {
		return nil, fmt.Errorf("virtual addresses: there is no interface %s to add them to", m.want.iface)
	}
	loopback := link.Flags&net.FlagLoopback != 0
	var failed []error
	for _, ip := range m.want.vips {
		at := place{link: link.Index, ip: ip}
		if slices.ContainsFunc(have, func(a address) bool { return a.place == at }) {
			continue
		}
		switch err := m.host.add(at, loopback); {
		case err == nil:
			m.log.Info("virtual address added", "address", ip, "interface", link.Name)
			if loopback && ip.Is6() {
				m.log.Warn("neighbour discovery is not answered for an address on a loopback interface: "+
					"clients on the link do not find it", "address", ip, "interface", link.Name)
			}
			added = append(added, ip)
		case !errors.Is(err, unix.EEXIST): // somebody else was faster
			failed = append(failed, fmt.Errorf("interface %s: %w", link.Name, err))
		}
	}
	if len(added) > 0 {
		failed = append(failed, m.checkMarks(link.Index, added))
	}
	return added, errors.Join(failed...)
}

// checkMarks looks whether the kernel kept our mark on what was just added,
// and remembers the addresses if not.
func (m *Manager) checkMarks(link int, added []netip.Addr) error {
	have, err := m.host.addresses()
	if err != nil {
		return err
	}
	for _, a := range have {
		if a.link != link || a.mark == ownMark || !slices.Contains(added, a.ip) {
			continue
		}
		if len(m.unmarked) == 0 {
			m.log.Warn("this kernel does not mark addresses (IFA_PROTO, Linux 5.18): " +
				"after a crash of xlvs its virtual addresses stay, and must be removed by hand")
		}
		m.unmarked[a.place] = true
	}
	return nil
}

// removeOthers removes the addresses of ours that are not wanted, or not there.
// While the wanted interface is missing, wanted addresses stay where they are.
func (m *Manager) removeOthers(links map[string]*netlink.LinkAttrs, have []address) error {
	var failed []error
	target := links[m.want.iface]
	for _, a := range have {
		keep := slices.Contains(m.want.vips, a.ip) && (target == nil || target.Index == a.link)
		if keep || !m.owned(a) {
			continue
		}
		if err := m.host.remove(a); err != nil {
			failed = append(failed, err)
			continue
		}
		delete(m.unmarked, a.place)
		m.log.Info("virtual address removed", "address", a.ip, "interface", nameOf(links, a.link))
	}
	return errors.Join(failed...)
}

func nameOf(links map[string]*netlink.LinkAttrs, index int) string {
	for name, l := range links {
		if l.Index == index {
			return name
		}
	}
	return fmt.Sprintf("#%d", index)
}
