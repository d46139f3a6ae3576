package control

import (
	"errors"
	"slices"

	"github.com/xlvs/xlvs/dataplane"
	"github.com/xlvs/xlvs/ring"
)

// failed notes that a worker gave up its socket on a port. The others go on;
// recoverPorts brings it back.
func (d *Director) failed(f dataplane.Failure) {
	p := d.ports[f.Port]
	queue := int(f.Worker.Queue())
	if p.sockets[queue] != f.Socket {
		return // recoverPorts saw it first
	}
	delete(p.sockets, queue)
	p.err = f.Err
	d.log.Warn("socket lost: other queues go on, this one waits for its interface",
		"interface", p.config.Name, "queue", queue, "error", f.Err)
	d.show()
}

// recoverPorts looks at every interface: it notices one that went, came back
// or has other queues, and opens the sockets that are missing.
func (d *Director) recoverPorts() {
	changed := false
	for i, p := range d.ports {
		changed = d.recoverPort(i, p) || changed
	}
	if d.judgeLanes() {
		d.followExpress()
	}
	if changed {
		d.rebuild()
		d.retimePorts()
	}
}

// recoverPort brings one port up to date and tells whether anything changed.
func (d *Director) recoverPort(i int, p *port) bool {
	now := &port{config: p.config}
	err := d.find(now)
	switch {
	case err != nil && p.index != 0:
		d.log.Warn("interface lost", "interface", p.config.Name, "error", err)
		p.index, p.err = 0, err
		return true
	case err != nil:
		return false
	}
	changed := false
	if now.index != p.index {
		d.log.Info("interface found", "interface", p.config.Name, "index", now.index)
		p.index, changed = now.index, true
		p.sockets = map[int]*ring.Socket{} // those of the interface that was there before
		if err := d.attach(p); err != nil {
			d.log.Error("interface cannot be used", "interface", p.config.Name, "error", err)
			p.index, p.err = 0, err
			return true
		}
	}
	if !slices.Equal(now.queues, p.queues) {
		d.log.Warn("interface has other queues", "interface", p.config.Name, "had", p.queues, "has", now.queues)
		p.queues, changed = now.queues, true
		if err := d.addWorkers(); err != nil {
			d.log.Error("new queues cannot be served", "interface", p.config.Name, "error", err)
		}
	}
	d.noteLink(p, now.up)
	p.mtu = now.mtu
	return now.up && d.reopen(i, p) || changed
}

// noteLink tells of a link that went down or came up. Its sockets stay, and carry
// frames again by themselves.
func (d *Director) noteLink(p *port, up bool) {
	if p.down == up {
		p.down = !up
		d.log.Warn("link changed", "interface", p.config.Name, "up", up)
	}
}

// reopen opens the sockets that a port lacks; its interface is up.
func (d *Director) reopen(i int, p *port) bool {
	changed := false
	for _, queue := range p.queues {
		if p.sockets[queue] != nil {
			continue
		}
		if err := d.openPortSocket(i, queue, 0); err != nil {
			if p.err == nil || p.err.Error() != err.Error() {
				d.log.Warn("socket cannot be opened yet", "error", err)
			}
			p.err = err
			continue
		}
		changed = true
	}
	return changed
}

// rebuild makes the policy anew for interfaces whose indices have changed.
func (d *Director) rebuild() {
	p, err := d.builder.build(d.config, d.ifindexes())
	if err == nil {
		d.use(p, d.config)
		err = errors.Join(d.setLocals(), d.steer())
	}
	if err != nil {
		d.log.Error("interfaces changed, but steering did not follow", "error", err)
	}
}
