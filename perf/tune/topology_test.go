package tune

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadTopology(t *testing.T) {
	sys := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(sys, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n")
	write("devices/system/cpu/cpu0/node1/cpulist", "")
	write("devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n")
	write("devices/system/cpu/cpu2/node1/cpulist", "")
	write("devices/system/cpu/cpu3/topology/core_id", "3\n")
	got := readTopology(sys, []int{0, 2, 3})
	if diff := cmp.Diff([]CPU{{0, 0, 1}, {2, 0, 1}, {3, 3, -1}}, got); diff != "" {
		t.Error(diff)
	}
	write("bus/pci/devices/0000:01:00.0/numa_node", "1\n")
	write("bus/pci/devices/0000:02:00.0/numa_node", "-1\n")
	for device, want := range map[string]int{"0000:01:00.0": 1, "0000:02:00.0": -1, "0000:03:00.0": -1, "": -1} {
		if got := readNode(sys, device); got != want {
			t.Errorf("node of %q: %d, want %d", device, got, want)
		}
	}
}
