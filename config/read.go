package config

import (
	"slices"

	"github.com/xlvs/xlvs/service"
)

// readConfig reads the whole file. It goes on after errors, so as to find all.
func readConfig(root value) *Config {
	f := root.fields("the file", "interfaces", "rings", "workers", "steering", "tables", "defaults",
		"marks", "services", "addresses", "control", "log")
	c := &Config{
		Rings:    readRings(f.at("rings")),
		Workers:  readWorkers(f.at("workers")),
		Steering: readSteering(f.at("steering")),
		Tables:   readTables(f.at("tables")),
		Control:  readControl(f.at("control")),
		Log:      readLog(f.at("log")),
	}
	c.Interfaces = readInterfaces(f)
	marks := readMarks(f.at("marks"), c.Interfaces)
	def := readDefaults(f.at("defaults"))
	c.Refuse, c.ExpireNoDest = def.switches.Refuse, def.switches.ExpireNoDest
	services := readServices(f.at("services"), def, marks)
	c.Marks, c.Services = marks.rules, services.resolved()
	services.check(c.Tables.Servers, f)
	checkLoops(marks, services)
	warnMarks(marks, services)
	c.Addresses = readAddresses(f.at("addresses"), c.Interfaces, marks, services)
	return c
}

// maxQueue is far beyond the queues of any NIC.
const maxQueue = 1023

func readInterfaces(root fields) []Interface {
	v := root.required("the file", "interfaces", "interfaces: [{name: eth0}]")
	var all []Interface
	first := map[string]value{}
	items := v.items()
	if len(items) == 0 && root.has("interfaces") {
		v.errorf("interfaces is empty: name at least one, interfaces: [{name: eth0}]")
	}
	for _, item := range items {
		f := item.fields("an interface", "name", "queues", "mode", "macs")
		i := Interface{
			Name: f.required("interface", "name", "name: eth0").interfaceName(),
			Mode: Mode(f.word("mode", string(Auto), string(Auto), string(ZeroCopy), string(Copy), string(Generic))),
		}
		if q := f.at("queues"); !isWord(q, "all") {
			i.Queues = numbers[int](q.ranges(0, maxQueue))
		}
		i.MACs = f.at("macs").macs()
		at := f.at("name")
		if earlier, ok := first[i.Name]; ok && i.Name != "" {
			at.conflictf(earlier, "first here", "interface %s is listed twice, first on line %d: remove one", i.Name, earlier.place.line)
			continue
		}
		first[i.Name] = at
		all = append(all, i)
	}
	return all
}

// isWord reports whether v is the one word that stands for a default.
func isWord(v value, word string) bool {
	if v.absent() || v.kind() != "a single value" {
		return v.absent()
	}
	s, _ := v.text()
	return s == word
}

func readRings(v value) Rings {
	f := v.fields("rings", "frames", "frame_size", "rx", "tx", "fill", "completion", "batch", "transmit_budget", "huge_pages", "busy_poll")
	const smallest, largest = 64, 1 << 16
	r := Rings{
		Frames:     int(f.number("frames", 8192, 128, 1<<22)),
		FrameSize:  2048,
		RX:         int(f.powerOfTwo("rx", 2048, smallest, largest)),
		TX:         int(f.powerOfTwo("tx", 2048, smallest, largest)),
		Fill:       int(f.powerOfTwo("fill", 4096, smallest, largest)),
		Completion: int(f.powerOfTwo("completion", 2048, smallest, largest)),
		Batch:      int(f.number("batch", 64, 1, 256)),
		HugePages:  f.flag("huge_pages", false),
		BusyPoll:   readBusyPoll(f.at("busy_poll")),
	}
	if f.word("frame_size", "2048", "2048", "4096") == "4096" {
		r.FrameSize = 4096
	}
	// The kernel takes a budget from 32 to the size of the TX ring (XDP_MAX_TX_SKB_BUDGET).
	r.TransmitBudget = int(f.number("transmit_budget", min(512, int64(r.TX)), 32, largest))
	if r.TransmitBudget > r.TX {
		f.at("transmit_budget").errorf("transmit_budget %d is more than the %d descriptors of the TX ring: lower it, or raise tx", r.TransmitBudget, r.TX)
	}
	if need := r.Fill + r.TX + r.Batch; r.Frames < need {
		f.at("frames").errorf("%d frames do not fill the rings: write frames: %d (fill %d + tx %d + batch %d) or more, or make the rings smaller", r.Frames, need, r.Fill, r.TX, r.Batch)
	}
	if r.Batch > min(r.RX, r.TX) {
		f.at("batch").errorf("batch %d is more than a ring holds: write at most %d", r.Batch, min(r.RX, r.TX))
	}
	return r
}

func readWorkers(v value) Workers {
	f := v.fields("workers", "cpus", "spin")
	w := Workers{Spin: f.word("spin", "adaptive", "adaptive", "off") == "adaptive"}
	if cpus := f.at("cpus"); !isWord(cpus, "auto") {
		const maxCPU = 8191 // NR_CPUS of the largest kernels
		w.CPUs = numbers[int](cpus.ranges(0, maxCPU))
	}
	return w
}

func readSteering(v value) Steering {
	f := v.fields("steering", "fallback", "pin", "express")
	return Steering{
		Fallback: Fallback(f.word("fallback", string(Drop), string(Drop), string(Pass))),
		Pin:      f.absolutePath("pin", "/sys/fs/bpf/xlvs", 1024),
		Express:  Express(f.word("express", string(ExpressAuto), string(ExpressAuto), string(ExpressOn), string(ExpressOff))),
	}
}

func readTables(v value) Tables {
	f := v.fields("tables", "connections", "connections6", "templates", "templates6", "servers")
	const smallest, largest = 64, 1 << 28
	return Tables{
		Connections:  int(f.number("connections", 1<<20, smallest, largest)),
		Connections6: int(f.number("connections6", 1<<18, smallest, largest)),
		Templates:    int(f.number("templates", 1<<18, smallest, largest)),
		Templates6:   int(f.number("templates6", 1<<18, smallest, largest)),
		Servers:      int(f.number("servers", 1<<14, 1, service.MaxNumber)),
	}
}

func readControl(v value) Control {
	f := v.fields("control", "socket")
	const maxSocketPath = 107 // sun_path without its final zero
	return Control{Socket: f.absolutePath("socket", "/run/xlvs/xlvs.sock", maxSocketPath)}
}

func readLog(v value) Log {
	f := v.fields("log", "level", "format")
	return Log{
		Level:  f.word("level", "info", "debug", "info", "warn", "error"),
		Format: f.word("format", "text", "text", "json"),
	}
}

// known reports whether an interface is one of those listed.
func known(interfaces []Interface, name string) bool {
	return slices.ContainsFunc(interfaces, func(i Interface) bool { return i.Name == name })
}
