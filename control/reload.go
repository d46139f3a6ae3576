package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/bpf"
	"github.com/xlvs/xlvs/config"
)

// reload reads the configuration again and brings everything to where a start
// with it would have brought it, connections and templates apart. A
// configuration that cannot be had leaves everything as it was.
func (d *Director) reload() {
	d.notifyReloading()
	defer d.notifyReady()
	cfg, err := d.options.Load()
	if err == nil {
		err = d.apply(cfg)
	}
	if err != nil {
		d.log.Error("reload refused: the running configuration stays", "error", err)
		return
	}
	d.log.Info("reloaded", "services", len(d.policy.services.All()), "snapshot", d.plane.Snapshot().Generation)
}

// apply makes cfg the running configuration. All that can be refused is refused
// before anything changes.
func (d *Director) apply(cfg *config.Config) error {
	old := d.config
	if keys := config.RestartNeeded(old, cfg); len(keys) > 0 {
		return fmt.Errorf("%s cannot change without a restart", strings.Join(keys, ", "))
	}
	next := d.tuningAfter(old, cfg)
	if err := d.checkTuning(cfg, next); err != nil {
		return err
	}
	p, err := d.builder.build(cfg, d.ifindexes())
	if err == nil {
		err = bpf.Check(p.steerRules, p.steerServices)
	}
	if err != nil {
		d.builder.release(d.policy.services)
		return err
	}
	was := d.policy
	known := serverAddrs(was)
	added := slices.DeleteFunc(serverAddrs(p), func(addr netip.Addr) bool { return slices.Contains(known, addr) })
	d.neigh.Want(append(known, added...))
	d.awaitNeighbours(added)
	d.use(p, cfg) // the workers know a new service before its packets come to them
	if err := errors.Join(d.setLocals(), d.steer()); err != nil {
		d.use(was, old)
		d.builder.release(was.services)
		return errors.Join(err, d.setLocals(), d.steer())
	}
	d.neigh.Want(serverAddrs(p))
	d.builder.release(p.services)
	if err := errors.Join(d.steering.SetFallback(fallback(cfg.Steering.Fallback)), d.vips.set(cfg), d.retune(next)); err != nil {
		d.log.Error("the new configuration is in force, but for this", "error", err)
	}
	for _, change := range config.Diff(old, cfg) {
		d.log.Info("changed", "what", change.String())
	}
	return nil
}

// use makes a policy the one in force and publishes it.
func (d *Director) use(p *policy, cfg *config.Config) {
	d.policy, d.config, d.builder.previous = p, cfg, p.services
	d.builder.bound(p.services)
	d.publish()
}
