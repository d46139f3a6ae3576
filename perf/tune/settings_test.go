package tune

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
)

func TestParse(t *testing.T) {
	got, err := Parse([]string{
		"batch=128", "rings.transmit_budget=0x200", "spin=off", "cpus=2,4-5", "busy_poll=on", "busy_poll.budget=8",
		"log.level=debug", "coalescing.eth0.100.rx_usecs=20", "coalescing.eth0.100.adaptive_rx=off", "coalescing.eth1=before",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &control.Settings{
		Batch: ptr(128), TransmitBudget: ptr(512), Spin: ptr(false), CPUs: &[]int{2, 4, 5}, LogLevel: ptr("debug"),
		BusyPoll:   &control.BusyPollSettings{Enabled: ptr(true), Budget: ptr(8)},
		Coalescing: map[string]nic.Coalescing{"eth0.100": {RXMicroseconds: ptr(uint32(20)), AdaptiveRX: ptr(false)}, "eth1": {}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for argument, says := range map[string]string{
		"":                            "not KEY=VALUE",
		"batch":                       "not KEY=VALUE",
		"batch=":                      "not a whole number",
		"batch=-1":                    "not a whole number",
		"batch=1e3":                   "not a whole number",
		"spin=yes":                    "neither adaptive nor off",
		"cpus=first":                  "neither auto nor a list",
		"busy_poll=maybe":             "neither on nor off",
		"rings.rx=1024":               "needs a restart",
		"mode=copy":                   "needs a restart",
		"tables.connections=1":        "needs a restart",
		"speed=11":                    "no such setting: there are batch",
		"coalescing.eth0=5":           "want coalescing.INTERFACE.KEY",
		"coalescing.eth0.speed=5":     "rx_usecs",
		"coalescing.eth0.rx_usecs=no": "not a whole number",
	} {
		_, err := Parse([]string{"batch=64", argument})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", argument, err, says)
		}
	}
	if _, err := Parse(nil); err == nil {
		t.Error("nothing to set is no error")
	}
	if _, err := Parse([]string{"batch=x", "spin=x"}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want both errors: %v", err)
	}
}

// What is printed for the file is good in a file, and means what was set.
func TestYAML(t *testing.T) {
	changed, err := Parse([]string{"batch=128", "transmit_budget=1024", "spin=off", "cpus=1,3", "busy_poll=on", "log_level=warn"})
	if err != nil {
		t.Fatal(err)
	}
	now := good().Director.Settings
	now.Batch, now.TransmitBudget, now.Spin, now.CPUs, now.LogLevel = changed.Batch, changed.TransmitBudget, changed.Spin, changed.CPUs, changed.LogLevel
	now.BusyPoll.Enabled = ptr(true)
	text := YAML(changed, &now)
	c, err := config.Parse("printed", []byte("interfaces: [{name: eth0}]\n"+text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if c.Rings.Batch != 128 || c.Rings.TransmitBudget != 1024 || c.Workers.Spin || !cmp.Equal(c.Workers.CPUs, []int{1, 3}) ||
		!c.Rings.BusyPoll.Enabled || c.Rings.BusyPoll.GROFlushTimeout != 200_000 || c.Log.Level != "warn" {
		t.Errorf("%s", text)
	}
	if text := YAML(&control.Settings{Batch: ptr(32)}, &control.Settings{Batch: ptr(32), Spin: ptr(true)}); text != "rings:\n  batch: 32\n" {
		t.Errorf("%q", text)
	}
}
