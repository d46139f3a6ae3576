package nic

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
)

// What drivers call their interrupts.
const interrupts = `           CPU0       CPU1       CPU2       CPU3
  0:         41          0          0          0   IO-APIC   2-edge      timer
 24:          0          0          0          0  PCI-MSI 65536-edge      PCIe PME
 38:          1       7460          2          3  PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0
 39:       6474          0          0          0  PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0
 40:          0          5          0          0  PCI-MSIX-0000:00:03.0   0-edge      virtio21-input.0
 60:         10          0          0          0  IR-PCI-MSI 1572864-edge      i40e-eth1-TxRx-0
 61:          0         11          0          0  IR-PCI-MSI 1572865-edge      i40e-eth1-TxRx-1
 70:          0          0         12          0  IR-PCI-MSI 524289-edge      mlx5_comp3@pci:0000:01:00.0
NMI:          0          0          0          0   Non-maskable interrupts
`

func TestIRQsAreTheInterfaces(t *testing.T) {
	proc := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(proc, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("interrupts", interrupts)
	for irq, cpus := range map[int]string{38: "0-3\n", 60: "0\n", 61: "1\n", 70: "2,3\n"} {
		write("irq/"+strconv.Itoa(irq)+"/smp_affinity_list", cpus)
	}
	type want struct {
		number uint32
		queue  int
		cpus   []int
	}
	for name, test := range map[string]struct {
		device  string
		numbers []uint32
		want    []want
	}{
		"eth0": {"virtio2", nil, []want{{38, 0, []int{0, 1, 2, 3}}, {39, -1, nil}}},
		"eth1": {"0000:02:00.0", nil, []want{{60, 0, []int{0}}, {61, 1, []int{1}}}},
		"eth2": {"0000:01:00.0", []uint32{70}, []want{{70, 3, []int{2, 3}}}},
		"eth":  {"", nil, nil},
	} {
		var got []want
		for _, irq := range ReadIRQs(proc, name, test.device, test.numbers) {
			if len(irq.Counts) != 4 {
				t.Errorf("%s: interrupt %d has counts %v", name, irq.Number, irq.Counts)
			}
			got = append(got, want{irq.Number, irq.Queue, irq.CPUs})
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestCPULists(t *testing.T) {
	for list, want := range map[string][]int{
		"0-3,8": {0, 1, 2, 3, 8}, "5": {5}, "": {}, "x,2": {2}, "3-1": {}, "0-99999999": {}, " 1 , 4-5": {1, 4, 5},
	} {
		if got := ParseCPUList(list); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", list, got, want)
		}
	}
}

func TestRunning(t *testing.T) {
	if !Running("/proc", processName(t)) {
		t.Error("this very process is not found")
	}
	if Running("/proc", "no-such-daemon") {
		t.Error("a process that is not there")
	}
}

func processName(t *testing.T) string {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return string(comm[:len(comm)-1])
}
