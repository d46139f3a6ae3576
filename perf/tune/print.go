package tune

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

// Print writes facts and advice for people.
func Print(w io.Writer, f *Facts, advice []Advice) error {
	p := &printer{w: w}
	p.director(f)
	for i := range f.Director.Interfaces {
		used := &f.Director.Interfaces[i]
		p.used(used)
		if host := f.host(used.Name); host != nil {
			p.host(used, host)
		} else {
			p.line("host", "there is no such interface at the moment")
		}
	}
	p.advice(advice)
	return p.err
}

// printer keeps the first error of its writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// line is a title and what there is to say; nothing to say is no line.
func (p *printer) line(title, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		p.printf("  %-11s %s\n", title, text)
	}
}

func (p *printer) director(f *Facts) {
	d, s := &f.Director, &f.Director.Settings
	balance := "not running"
	if f.Host.Irqbalance {
		balance = "running"
	}
	p.printf("director: xlvs %s, pid %d\n", f.Host.Version, f.Host.PID)
	p.line("host", "kernel %s, %s, irqbalance %s", f.Host.Kernel, plural(len(f.Host.CPUs), "CPU", "CPUs"), balance)
	p.line("rings", "rx %d, tx %d, fill %d, completion %d; %d frames of %d bytes for each interface and queue",
		d.Rings.RX, d.Rings.TX, d.Rings.Fill, d.Rings.Completion, d.Rings.Frames, d.Rings.FrameSize)
	p.line("batch", "%d frames, transmit budget %d, spin %s", value(s.Batch), value(s.TransmitBudget), spinName(value(s.Spin)))
	p.line("busy poll", "%s", busyPollText(s.BusyPoll))
	var workers []string
	for _, w := range d.Workers {
		cpu := "any cpu"
		if w.CPU >= 0 {
			cpu = fmt.Sprintf("cpu %d", w.CPU)
		}
		about := fmt.Sprintf("thread %d", w.Thread)
		if s := f.Schedules[w.Queue]; s.Ran > 0 {
			about += fmt.Sprintf(", waited %.2g %% for it", 100*float64(s.Waited)/float64(s.Ran+s.Waited))
		}
		workers = append(workers, fmt.Sprintf("queue %d on %s (%s)", w.Queue, cpu, about))
	}
	p.line("workers", "%s; GOMAXPROCS %d", strings.Join(workers, ", "), d.GOMAXPROCS)
	p.line("log", "%s", value(s.LogLevel))
	for _, c := range d.Changes {
		p.line("changed", "%s; %s", changeText(&c), "put back at the end")
	}
}

func busyPollText(b *control.BusyPollSettings) string {
	if b == nil || !value(b.Enabled) {
		return "off"
	}
	return fmt.Sprintf("%d µs before sleeping, budget %d, napi_defer_hard_irqs %d, gro_flush_timeout %d ns",
		value(b.Microseconds), value(b.Budget), value(b.DeferHardIRQs), value(b.GROFlushTimeout))
}

func changeText(c *nic.Change) string {
	switch {
	case c.CoalescingSet != nil:
		return fmt.Sprintf("%s: coalescing was %s", c.Interface, coalescingText(c.CoalescingWas))
	case c.NAPI != 0:
		return fmt.Sprintf("%s: NAPI instance %d had %v", c.Interface, c.NAPI, c.TimersWere)
	}
	return fmt.Sprintf("%s: it had %v", c.Interface, c.TimersWere)
}

func (p *printer) used(i *control.InterfaceTuning) {
	p.printf("\ninterface %s\n", i.Name)
	var sockets []string
	for n, queue := range i.Queues {
		sockets = append(sockets, fmt.Sprintf("queue %d %s", queue, i.Modes[n]))
	}
	p.line("sockets", "%s; asked for %s", strings.Join(sockets, ", "), i.Asked)
	p.line("XDP", "%s", i.Attached)
	p.line("auto is", "%s", i.Verdict)
	p.line("express", "%s", i.Express)
	if i.Error != "" {
		p.line("error", "%s", i.Error)
	}
}

func (p *printer) host(used *control.InterfaceTuning, i *nic.Interface) {
	if d := i.Driver; d != nil {
		p.line("driver", "%s", strings.TrimSpace(strings.Join([]string{d.Name, d.Version, labelled("firmware", d.Firmware), labelled("at", d.Bus)}, " ")))
	}
	p.line("MTU", "%d, frames hold %d", i.MTU, used.MaxMTU)
	if c := i.Channels; c != nil {
		p.line("queues", "%d receive, %d served; up to %d", receiveQueues(i), len(used.Queues), max(c.CombinedMax, c.RXMax))
	}
	if r := i.Rings; r != nil {
		p.line("ring", "rx %d of %d, tx %d of %d", r.RX, r.RXMax, r.TX, r.TXMax)
	}
	p.line("hashing", "%s", rssText(i.RSS))
	p.line("offloads", "%s", offloadText(i.Features))
	if i.Coalescing != nil {
		p.line("coalescing", "%s", coalescingText(i.Coalescing))
	}
	for _, n := range i.NAPIs {
		p.line("NAPI", "%s", napiText(&n))
	}
	if len(i.NAPIs) == 0 && i.Timers != nil {
		p.line("NAPI", "%v", i.Timers)
	}
	for _, irq := range i.IRQs {
		queue := ""
		if irq.Queue >= 0 {
			queue = fmt.Sprintf(", queue %d", irq.Queue)
		}
		p.line("interrupt", "%d %s%s, cpus %s, counts %v", irq.Number, irq.Name, queue, cpusYAML(irq.CPUs), irq.Counts)
	}
}

func labelled(label, text string) string {
	if text == "" {
		return ""
	}
	return label + " " + text
}

func rssText(r *nic.RSS) string {
	if r == nil {
		return ""
	}
	var words []string
	if r.Function != "" {
		words = append(words, r.Function)
	}
	if r.Entries > 0 {
		words = append(words, fmt.Sprintf("%d entries to queues %v", r.Entries, r.Queues))
	}
	for _, kind := range []string{"tcp4", "tcp6", "udp4", "udp6"} {
		if fields := r.Fields[kind]; len(fields) > 0 {
			words = append(words, kind+" by "+strings.Join(fields, "+"))
		}
	}
	return strings.Join(words, "; ")
}

// relevant are the offloads that matter to who takes frames below the IP stack.
var relevant = []string{
	"rx-lro", "rx-gro-hw", "rx-gro", "rx-udp-gro-forwarding", "rx-gro-list", "rx-vlan-hw-parse", "rx-vlan-filter",
	"rx-checksum", "tx-checksum-ip-generic", "tx-checksum-ipv4", "rx-hashing", "rx-ntuple-filter",
}

func offloadText(on map[string]bool) string {
	if on == nil {
		return ""
	}
	names := slices.DeleteFunc(slices.Clone(relevant), func(name string) bool { return !on[name] })
	if len(names) == 0 {
		return "none that matter"
	}
	return strings.Join(names, ", ")
}

func coalescingText(c *nic.Coalescing) string { return strings.Join(coalescingWords(c), ", ") }

// coalescingWords are the fields that are set, as ethtool -C takes them.
func coalescingWords(c *nic.Coalescing) (words []string) {
	flag := func(name string, v *bool) {
		if v != nil {
			words = append(words, name+" "+onOff(*v))
		}
	}
	number := func(name string, v *uint32) {
		if v != nil {
			words = append(words, fmt.Sprintf("%s %d", name, *v))
		}
	}
	flag("adaptive-rx", c.AdaptiveRX)
	flag("adaptive-tx", c.AdaptiveTX)
	number("rx-frames", c.RXFrames)
	number("rx-usecs", c.RXMicroseconds)
	number("tx-frames", c.TXFrames)
	number("tx-usecs", c.TXMicroseconds)
	return words
}

func napiText(n *nic.NAPI) string {
	text := fmt.Sprintf("instance %d, queues %v", n.ID, n.Queues)
	if n.IRQ != 0 {
		text += fmt.Sprintf(", interrupt %d", n.IRQ)
	}
	if n.Timers != nil {
		text += ", " + n.Timers.String()
	}
	return text
}

func (p *printer) advice(advice []Advice) {
	if len(advice) == 0 {
		p.printf("\nNothing unwise was found.\n")
		return
	}
	p.printf("\nadvice\n")
	for _, a := range advice {
		p.printf("  %s %s (%s): %s\n", a.Severity, a.Subject, a.Rule, a.Why)
		p.printf("      -> %s\n", a.Do)
	}
}
