//go:build vmtest

package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/xlvs/xlvs/internal/testnet"
)

// benchRun is a balancer in the output of "xlvs bench wire --json", by the names
// that readers of it rely on.
type benchRun struct {
	Name, Mode, Skipped string
	Mpps                float64
	Offered             float64 `json:"offered_mpps"`
	LossFree            float64 `json:"mpps_loss_free"`
	Latency             struct {
		P50, P99, P999, Max float64
	} `json:"latency_us"`
	Latencies  []struct{ Samples int }
	Duplicates uint64
	OfLimit    float64 `json:"of_limit"`
}

// benchmark runs one of the program's benchmarks in a namespace.
//
// It and what it measures are on this program's CPU. The machine's two CPUs are
// one thread of the emulator, which gives each a turn of 100 ms: from one to the
// other, that is what would be measured.
func benchmark(t *testing.T, ns *testnet.Namespace, command string) []benchRun {
	t.Helper()
	args := append([]string{"bench"}, strings.Fields(command)...)
	c := exec.Command(program, append(args, "--json")...)
	var out, problems bytes.Buffer
	c.Stdout, c.Stderr = &out, &problems
	if err := ns.Do(c.Run); err != nil {
		t.Fatalf("xlvs bench %s: %v\n%s%s", command, err, &problems, &out)
	}
	var found struct{ Runs []benchRun }
	must(t, json.Unmarshal(out.Bytes(), &found))
	for _, run := range found.Runs {
		t.Logf("%+v", run)
	}
	return found.Runs
}

// check looks for what no balancer can have measured, however slow the machine.
func (r benchRun) check(t *testing.T) {
	t.Helper()
	const (
		slack  = 1.25 // two spans of time that are nearly the same
		second = 1e6  // us
	)
	l := r.Latency
	switch {
	case r.Skipped != "":
		t.Errorf("%s was skipped: %s", r.Name, r.Skipped)
	case r.Mpps <= 0 || r.Mpps > slack*r.Offered:
		t.Errorf("%s: %v Mpps arrived of %v", r.Name, r.Mpps, r.Offered)
	case r.Duplicates != 0:
		t.Errorf("%s: %d frames arrived twice", r.Name, r.Duplicates)
	case l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max || l.Max > second:
		t.Errorf("%s: latency %+v us", r.Name, l)
	case len(r.Latencies) != 1 || r.Latencies[0].Samples < 200:
		t.Errorf("%s: samples of latency: %+v", r.Name, r.Latencies)
	}
}

// TestBench has the program measure kernel IPVS beside itself, between what the
// kernel does with less work, and without any.
func TestBench(t *testing.T) {
	names := []string{"xlvs", "ipvs", "nft-dsr", "xdp-tx"}
	runs := benchmark(t, namespace(t), "wire --opponents "+strings.Join(names, ",")+
		" --measure throughput,loss-free,latency --repeat 1 --duration 500ms --step 200ms --flows 1000")
	if len(runs) != len(names) {
		t.Fatalf("%d balancers, expected %d", len(runs), len(names))
	}
	for i, run := range runs {
		if run.Name != names[i] {
			t.Errorf("balancer %d is %q, expected %q", i, run.Name, names[i])
		}
		run.check(t)
		// More than was offered cannot be carried, and a rate that is far below what came
		// through under overload is one that the search has missed.
		if run.LossFree < run.Mpps/4 || run.LossFree > max(run.Mpps, run.Offered) {
			t.Errorf("%s: %v Mpps without loss, %v of %v with", run.Name, run.LossFree, run.Mpps, run.Offered)
		}
		// The express lane comes near the limit, and the two ran at different moments of a
		// machine that others use, too. More than twice the limit is no such moment.
		if work := run.Name != "xdp-tx"; work && (run.OfLimit <= 0 || run.OfLimit >= 2) {
			t.Errorf("%s: %v of what is carried without any work", run.Name, run.OfLimit)
		}
	}
}

// testBench measures the director from the other end of the machine's own wire, as
// from another box. Both ends lose frames by themselves, and do not say so.
func (b *virtioBed) testBench(t *testing.T) {
	mac, err := b.director.MAC("eth0")
	must(t, err)
	runs := benchmark(t, b.hub, fmt.Sprintf("generate --interface eth1 --mac %v --vip %s "+
		"--measure throughput,latency --repeat 1 --duration 500ms --flows 1000 --loads 0.1", mac, untagged.target()))
	if len(runs) != 1 {
		t.Fatalf("%d balancers, expected 1", len(runs))
	}
	runs[0].check(t)
}
