package control

import (
	"fmt"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// The service manager's protocol is sd_notify(3), Type=notify-reload. Without a
// service manager these do nothing.

func (d *Director) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		d.log.Warn("service manager not notified", "error", err)
	}
}

func (d *Director) notifyReady() {
	d.notify(fmt.Sprintf("%s\nSTATUS=%d services, %d workers", daemon.SdNotifyReady, len(d.policy.services.All()), len(d.workers)))
}

func (d *Director) notifyReloading() {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return
	}
	d.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, ts.Nano()/1000))
}

func (d *Director) notifyStopping() { d.notify(daemon.SdNotifyStopping) }
