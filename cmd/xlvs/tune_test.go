package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/control"
)

func ptr[T any](v T) *T { return &v }

// tuned is the director of the scripts: its interface is not on this host.
func tuned() control.Tuning {
	return control.Tuning{
		Settings: control.Settings{
			Batch: ptr(64), TransmitBudget: ptr(32), Spin: ptr(true), CPUs: &[]int{}, LogLevel: ptr("info"),
			BusyPoll: &control.BusyPollSettings{Enabled: ptr(false), Microseconds: ptr(20), Budget: ptr(64), DeferHardIRQs: ptr(2), GROFlushTimeout: ptr(200_000)},
		},
		Rings: control.RingSizes{Frames: 8192, FrameSize: 2048, RX: 2048, TX: 2048, Fill: 4096, Completion: 2048}, GOMAXPROCS: 8,
		Workers: []control.WorkerTuning{{Queue: 0, CPU: 1, Thread: 4711}},
		Interfaces: []control.InterfaceTuning{{Name: "xlvs-gone0", Asked: "auto", Modes: []string{"copy"}, Attached: "generic",
			Verdict: "copy: driver veth is not known to be sound with zero copy", Queues: []int{0}, MaxMTU: 1770}},
	}
}

func init() {
	answers["/v1/status"] = marshal(control.Status{Version: "1.2.3", PID: os.Getpid()})
	answers["/v1/tuning"] = marshal(tuned())
}

// tuneFake grants what a director would, but for a batch of 300.
func tuneFake(w http.ResponseWriter, r *http.Request) {
	var s control.Settings
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := tuned()
	if s.Batch != nil {
		if *s.Batch > 256 {
			http.Error(w, "batch 300 is out of range: write a whole number from 1 to 256", http.StatusUnprocessableEntity)
			return
		}
		now.Settings.Batch = s.Batch
	}
	if s.BusyPoll != nil && s.BusyPoll.Enabled != nil {
		now.Settings.BusyPoll.Enabled = s.BusyPoll.Enabled
	}
	w.Write([]byte(marshal(now)))
}

// The help of a search tells the whole space.
func TestSearchHelp(t *testing.T) {
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"xlvs", "tune", "search", "--help"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	for _, want := range []string{"batch=16; batch=32", "transmit_budget=2048", "busy_poll=off;", "rings: ", "512; 1024; 2048; 4096",
		"cpus: ", "coalescing: ", "rx_usecs=5", "--only", "--max-loss", "--live"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out.String())
		}
	}
}
