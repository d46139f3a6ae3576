package nic

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// IRQ is one interrupt line.
type IRQ struct {
	Number uint32   `json:"irq"`
	Name   string   `json:"name"`
	Counts []uint64 `json:"counts"` // by CPU that is online
	// CPUs are those that may serve it, by smp_affinity_list; none if it does not tell.
	CPUs []int `json:"cpus"`
	// Queue is the receive queue that it is for, -1 if it is not known.
	Queue int `json:"queue"`
}

// ReadIRQs reads the interrupts of an interface from a /proc: those that its
// driver numbers in sysfs (numbers), and those that are named after it or its
// device ("virtio3").
func ReadIRQs(proc, name, device string, numbers []uint32) []IRQ {
	text, err := os.ReadFile(filepath.Join(proc, "interrupts"))
	if err != nil {
		return nil
	}
	var all []IRQ
	for line := range strings.Lines(string(text)) {
		irq, ok := parseIRQ(line)
		if !ok || !slices.Contains(numbers, irq.Number) && !namedAfter(irq.Name, name) && !namedAfter(irq.Name, device) {
			continue
		}
		list, err := os.ReadFile(filepath.Join(proc, "irq", strconv.Itoa(int(irq.Number)), "smp_affinity_list"))
		if err == nil {
			irq.CPUs = ParseCPUList(strings.TrimSpace(string(list)))
		}
		all = append(all, irq)
	}
	return all
}

// parseIRQ reads a line of /proc/interrupts: a number, a count for each CPU, and
// words of which the last ones are the name.
func parseIRQ(line string) (irq IRQ, ok bool) {
	number, rest, ok := strings.Cut(line, ":")
	if !ok {
		return irq, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
	if err != nil {
		return irq, false // NMI, LOC and so on
	}
	irq.Number = uint32(n)
	words := strings.Fields(rest)
	for len(words) > 0 {
		count, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil {
			break
		}
		irq.Counts, words = append(irq.Counts, count), words[1:]
	}
	if len(words) == 0 {
		return irq, false
	}
	irq.Name = words[len(words)-1]
	irq.Queue = queueOf(irq.Name)
	return irq, true
}

// receiveName is how drivers name the interrupt of a receive queue: eth0-TxRx-3,
// i40e-eth0-TxRx-3, mlx5_comp3@pci:0000:01:00.0, virtio3-input.3, eth0-rx-3.
var receiveName = regexp.MustCompile(`(?i)(?:TxRx-|comp|input\.|rx-|rx|-)(\d+)(?:@.*)?$`)

func queueOf(name string) int {
	if strings.Contains(strings.ToLower(name), "output") {
		return -1
	}
	m := receiveName.FindStringSubmatch(name)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}

// namedAfter tells whether owner is a word of an interrupt's name.
func namedAfter(irq, owner string) bool {
	if owner == "" {
		return false
	}
	return slices.Contains(strings.FieldsFunc(irq, func(r rune) bool { return strings.ContainsRune("-@.:_ ,/", r) }), owner)
}

// ParseCPUList reads "0-3,8" as the kernel writes lists of CPUs. What cannot be
// read is left out.
func ParseCPUList(list string) []int {
	cpus := []int{}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		lo, err1 := strconv.Atoi(first)
		hi, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || hi-lo > 1<<13 {
			continue
		}
		for cpu := lo; cpu <= hi; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// Running tells whether a process of that name runs, by /proc/PID/comm.
func Running(proc, name string) bool {
	paths, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	return slices.ContainsFunc(paths, func(path string) bool {
		comm, err := os.ReadFile(path)
		return err == nil && strings.TrimSpace(string(comm)) == name
	})
}
