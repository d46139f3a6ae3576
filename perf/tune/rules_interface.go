package tune

import (
	"fmt"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

// missingSocket: frames of a queue whose socket is gone are dropped.
func missingSocket(f *Facts, say sayer) {
	for _, used := range f.Director.Interfaces {
		for i, mode := range used.Modes {
			if mode == "down" {
				say(Warning, used.Name, fmt.Sprintf("queue %d has no socket, so its frames are dropped: %s", used.Queues[i], used.Error),
					"look at the log; the director tries again every second")
			}
		}
	}
}

// unservedQueues: what the interface spreads to a queue without a socket never
// reaches a worker.
func unservedQueues(f *Facts, say sayer) {
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		has := receiveQueues(host)
		if has > len(used.Queues) {
			say(Warning, used.Name, fmt.Sprintf("it has %s and %s a socket: frames on the others are dropped",
				plural(has, "receive queue", "receive queues"), plural(len(used.Queues), "has", "have")),
				fmt.Sprintf("serve all of them (queues: all), or have it use fewer: ethtool -X %s equal %d, then ethtool -L %s combined %d",
					used.Name, len(used.Queues), used.Name, len(used.Queues)))
		}
	})
}

func receiveQueues(i *nic.Interface) int {
	if i.Channels == nil {
		return 0
	}
	return int(i.Channels.RX + i.Channels.Combined)
}

// hashTable: the indirection table of receive hashing decides which queues get
// frames at all.
func hashTable(f *Facts, say sayer) {
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if host.RSS == nil || host.RSS.Entries == 0 {
			return
		}
		var idle []int
		for _, q := range used.Queues {
			if !slices.Contains(host.RSS.Queues, uint32(q)) {
				idle = append(idle, q)
			}
		}
		if len(idle) > 0 {
			say(Warning, used.Name, fmt.Sprintf("receive hashing sends nothing to queues %v, whose workers idle", idle),
				fmt.Sprintf("ethtool -X %s equal %d", used.Name, len(used.Queues)))
		}
	})
}

// hashFields: without ports all connections of a client go to one queue. UDP is another
// matter: later fragments have no ports, so that with ports in the hash they come by another
// queue than the first one, and often before it.
func hashFields(f *Facts, say sayer) {
	const port = "source port"
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if host.RSS == nil || len(used.Queues) < 2 {
			return
		}
		for _, kind := range []string{"tcp4", "tcp6"} {
			fields := host.RSS.Fields[kind]
			if len(fields) > 0 && !slices.Contains(fields, port) {
				say(Note, used.Name, fmt.Sprintf("%s frames are spread by %s alone: all connections of a client go to one queue",
					kind, strings.Join(fields, ", ")), fmt.Sprintf("ethtool -N %s rx-flow-hash %s sdfn", used.Name, kind))
			}
		}
		for _, kind := range f.Director.Fragments {
			if slices.Contains(host.RSS.Fields[kind], port) {
				say(Note, used.Name, fmt.Sprintf("%s frames are spread by ports, too: the later fragments of a packet, "+
					"which have none, come by another queue than the first and may be dropped", kind),
					fmt.Sprintf("ethtool -N %s rx-flow-hash %s sd, where clients send fragments", used.Name, kind))
			}
		}
	})
}

// fillRing: with fewer frames than the interface's ring and the socket's RX ring
// hold, a full RX ring leaves the interface with none.
func fillRing(f *Facts, say sayer) {
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if host.Rings == nil || !slices.Contains(used.Modes, "zerocopy") {
			return // who copies takes frames as they come
		}
		r := f.Director.Rings
		if need := r.RX + int(host.Rings.RX); r.Fill < need {
			say(Warning, used.Name, fmt.Sprintf("the fill ring of %d is smaller than the interface's ring (%d) and the RX ring (%d) together: "+
				"the interface runs out of frames while the RX ring is full", r.Fill, host.Rings.RX, r.RX),
				fmt.Sprintf("rings: {fill: %d, frames: %d} (restart), or ethtool -G %s rx %d",
					powerOfTwo(need), powerOfTwo(need)+r.Frames-r.Fill, used.Name, max(r.Fill-r.RX, 64)))
		}
	})
}

// powerOfTwo is the smallest that is not below n.
func powerOfTwo(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// hardwareRing: a small ring of the interface's own loses frames while a worker
// or the kernel is busy elsewhere for a moment.
func hardwareRing(f *Facts, say sayer) {
	const small = 512
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if r := host.Rings; r != nil && r.RX > 0 && r.RX < small && r.RXMax >= small {
			say(Note, used.Name, fmt.Sprintf("its own receive ring has %d descriptors of %d possible: short bursts are lost", r.RX, r.RXMax),
				fmt.Sprintf("ethtool -G %s rx %d, and a fill ring that goes with it", used.Name, min(2*small, int(r.RXMax))))
		}
	})
}

// mtu: longer packets than a frame of the UMEM holds are dropped by the kernel.
func mtu(f *Facts, say sayer) {
	const tunnel = 60 // IPv6 header and GUE, or IPv4 with options
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		switch {
		case host.MTU > used.MaxMTU:
			say(Warning, used.Name, fmt.Sprintf("its MTU of %d is above the %d that frames hold: longer packets are dropped", host.MTU, used.MaxMTU),
				fmt.Sprintf("ip link set %s mtu %d, or rings: {frame_size: 4096} (restart)", used.Name, used.MaxMTU))
		case host.MTU > used.MaxMTU-tunnel:
			say(Note, used.Name, fmt.Sprintf("its MTU of %d is close to the %d that frames hold", host.MTU, used.MaxMTU),
				"rings: {frame_size: 4096} (restart) leaves room")
		}
	})
}

// mergedFrames: offloads that make one frame of several hand a worker what no
// wire carries, or keep an XDP program from being attached.
func mergedFrames(f *Facts, say sayer) {
	why := map[string]string{
		"rx-lro":                "the interface merges TCP segments before XDP sees them, and they leave as one frame that is too long",
		"rx-gro-hw":             "the interface may merge TCP segments; most drivers end this while an XDP program is attached, not all do",
		"rx-udp-gro-forwarding": "the kernel merges UDP datagrams that are forwarded",
	}
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		for _, feature := range []string{"rx-lro", "rx-gro-hw", "rx-udp-gro-forwarding"} {
			if host.Features[feature] {
				severity := Note
				if feature == "rx-lro" {
					severity = Warning
				}
				say(severity, used.Name, feature+" is on: "+why[feature], fmt.Sprintf("ethtool -K %s %s off", used.Name, feature))
			}
		}
	})
}

// vlanStripping: a tag that the interface takes off is not in the frame that the
// XDP program and the workers see.
func vlanStripping(f *Facts, say sayer) {
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if f.Director.VLANs && host.Features["rx-vlan-hw-parse"] && driver(host) != "veth" {
			say(Warning, used.Name, "mark rules match VLAN tags, but the interface takes tags off: every frame looks untagged",
				fmt.Sprintf("ethtool -K %s rxvlan off", used.Name))
		}
	})
}

// partialChecksums: a veth's peer leaves checksums to hardware that is not there.
func partialChecksums(f *Facts, say sayer) {
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if driver(host) == "veth" {
			say(Note, used.Name, "local senders at the other end of a veth leave out checksums, and workers complete them, which takes time",
				"ethtool -K PEER tx off, on the other end, if clients are local")
		}
	})
}

// copyMode: a driver that is sound with zero copy could do without the kernel's copy.
func copyMode(f *Facts, say sayer) {
	for _, used := range f.Director.Interfaces {
		if strings.HasPrefix(used.Verdict, "zerocopy") && slices.Contains(used.Modes, "copy") {
			say(Warning, used.Name, "frames are copied although zero copy is to be had: "+used.Verdict,
				"mode: auto or mode: zerocopy for all interfaces (restart); see the log for why it was not obtained")
		}
	}
}

// genericMode: XDP on socket buffers costs an allocation for each frame.
func genericMode(f *Facts, say sayer) {
	for _, used := range f.Director.Interfaces {
		if used.Attached == "generic" {
			say(Warning, used.Name, "the XDP program runs in generic mode, on socket buffers: the slowest way",
				"mode: auto (restart), if the driver knows XDP; some want spare queues or a smaller MTU for it")
		}
	}
}

// expressLane: where it could be open and is not, known connections cost what new ones do.
func expressLane(f *Facts, say sayer) {
	f.each(func(used *control.InterfaceTuning, host *nic.Interface) {
		if used.Express.Open || value(f.Director.Settings.Express) == "off" || slices.Contains(used.Modes, "zerocopy") {
			return
		}
		do := "xlvs tune set express=off"
		if host.Driver != nil && host.Driver.Name == "veth" {
			do = "switch GRO on at the other end: ethtool -K PEER gro on"
		}
		say(Note, used.Name, "the express lane is closed, so that workers carry known connections, too: "+used.Express.Why, do)
	})
}
