package control

import (
	"context"
	"time"
)

// recoverPeriod is how often a port without sockets is tried again, the interfaces are
// looked at for changes that nobody announces, and the counters for floods.
const recoverPeriod = time.Second

// loop is the director's life: it reacts until the context ends.
func (d *Director) loop(ctx context.Context) {
	rates := time.NewTicker(estimatorPeriod)
	defer rates.Stop()
	recover := time.NewTicker(recoverPeriod)
	defer recover.Stop()
	for {
		select {
		case <-ctx.Done():
			d.log.Info("stopping", "reason", context.Cause(ctx))
			return
		case <-d.options.Reload:
			d.reload()
		case <-d.neigh.Changed():
			d.publish()
		case <-d.host.Changed():
			d.followHost()
		case failure := <-d.failures:
			d.failed(failure)
		case <-d.vips.changed():
			d.show()
		case <-recover.C:
			d.watchCounters(time.Now())
			d.judgeHost()
			d.recoverPorts()
		case do := <-d.requests:
			do()
		case <-d.trialEnds():
			d.endTrial()
		case <-rates.C:
			d.estimate()
		}
	}
}

// publish gives the workers and the express lane a new snapshot, and the control socket a new view.
func (d *Director) publish() {
	d.plane.Publish(d.snapshot())
	d.followExpress()
	d.show()
}
