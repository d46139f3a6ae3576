package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xlvs/xlvs/internal/testnet"
	"github.com/xlvs/xlvs/perf/result"
)

// TestRun sends frames through the director and through what is there on any
// machine, for a moment each. What it asserts is the counting, not the speed; a run
// of moments that fell into a pause of the machine is made again.
func TestRun(t *testing.T) {
	const runs = 3
	for i := 1; ; i++ {
		var lines []string
		found, err := Run(context.Background(), Options{
			Opponents: []string{"xlvs", "xdp-tx", "asavie", "ipvs"}, Repeat: 1, Loads: []float64{0.1},
			LossFree: true, Latency: true, Fresh: true, Duration: 200 * time.Millisecond, Step: 100 * time.Millisecond, Resolution: 0.9, Tolerance: 0.5,
			Progress: func(p Progress) { lines = append(lines, p.Finished) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if missing := unmeasured(found.Runs[:3]); missing != "" {
			if i < runs {
				t.Logf("run %d: %s", i, missing)
				continue
			}
			t.Error(missing)
		}
		checkFigures(t, found.Runs[:3])
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "xlvs") }) {
			t.Errorf("no line of progress about xlvs in %q", lines)
		}
		checkShape(t, found)
		return
	}
}

// unmeasured tells which figures are missing: of a trial in which no frame came
// through, or of a search in which every trial lost too many.
func unmeasured(runs []result.WireRun) string {
	var missing []string
	for _, run := range runs {
		if run.Skipped != "" || len(run.Rounds) != 1 || run.Mpps <= 0 || run.MppsLossFree <= 0 || run.ConnectionsPerSecond <= 0 || run.Ratio <= 0 || run.Latency.P50 <= 0 {
			missing = append(missing, fmt.Sprintf("%s: skipped %q, rounds %v, %v Mpps, %v loss-free (%v), %v connections a second, ratio %v, p50 %v",
				run.Name, run.Skipped, run.Rounds, run.Mpps, run.MppsLossFree, run.Trials, run.ConnectionsPerSecond, run.Ratio, run.Latency.P50))
		}
	}
	return strings.Join(missing, "\n")
}

func checkFigures(t *testing.T, runs []result.WireRun) {
	t.Helper()
	for _, run := range runs {
		if run.Duplicates != 0 {
			t.Errorf("%s sent %d frames twice", run.Name, run.Duplicates)
		}
		if l := run.Latency; l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
			t.Errorf("%s: latency %+v", run.Name, l)
		}
	}
}

// checkShape checks the names that readers of the JSON rely on.
func checkShape(t *testing.T, found *result.Wire) {
	t.Helper()
	text, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	var shape struct {
		Runs []map[string]any `json:"runs"`
	}
	if err := json.Unmarshal(text, &shape); err != nil {
		t.Fatal(err)
	}
	for _, run := range shape.Runs {
		latency, _ := run["latency_us"].(map[string]any)
		for _, key := range []string{"p50", "p99", "p999"} {
			if _, ok := latency[key].(float64); !ok {
				t.Errorf("%v: no latency_us.%s in %s", run["name"], key, text)
			}
		}
		for _, key := range []string{"mpps", "mpps_loss_free"} {
			if _, ok := run[key].(float64); !ok {
				t.Errorf("%v: no %s in %s", run["name"], key, text)
			}
		}
	}
	var table bytes.Buffer
	if err := WriteTable(&table, found); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"xlvs", "xdp-tx"} {
		if !strings.Contains(table.String(), name) {
			t.Errorf("nothing about %s in\n%s", name, &table)
		}
	}
}

// TestNothingIsLostOrDoubled sends numbered frames at a rate that any machine
// carries, through the director: by its workers, and by its express lane as well.
func TestNothingIsLostOrDoubled(t *testing.T) {
	for express, mode := range map[string]string{"off": "copy", "auto": "copy, express"} {
		for _, queues := range []int{1, 2} {
			t.Run(fmt.Sprintf("express=%s/queues=%d", express, queues), func(t *testing.T) { checkNothingLost(t, queues, express, mode) })
		}
	}
}

func checkNothingLost(t *testing.T, queues int, express, mode string) {
	o := Options{Director: Director{Express: express}}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	b, err := newBed(queues, Traffic{Size: 128, Flows: 1000}, o.generatorCPUs(queues))
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	director, err := startDirector(context.Background(), b, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer director.stop()
	if err := b.await(context.Background(), director); err != nil {
		t.Fatal(err)
	}
	if obtained, err := director.bound(context.Background()); err != nil || obtained != mode {
		t.Errorf("mode %q (%v), want %q", obtained, err, mode)
	}
	got, err := b.ends.trial(context.Background(), load{rate: 10000, duration: time.Second, fresh: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	if got.sent < 1000 || got.received != got.sent || got.duplicates != 0 || got.unnumbered != 0 {
		t.Errorf("sent %d, received %d, %d of them twice, %d not checked", got.sent, got.received, got.duplicates, got.unnumbered)
	}
	if share := float64(got.opened) / float64(got.sent); share < 0.09 || share > 0.11 {
		t.Errorf("%.3f of the frames opened a connection, want 0.1", share)
	}
	if err := director.ended(); err != nil {
		t.Error(err)
	}
}

// TestGenerate measures a balancer that is there already, as on another box.
func TestGenerate(t *testing.T) {
	o := Options{Repeat: 2, Duration: 100 * time.Millisecond}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	near, far := newNamespace(t), newNamespace(t)
	if err := wireUp(near, far, 1); err != nil {
		t.Fatal(err)
	}
	here, err := namespaceSite(near, nearDevice, 1)
	if err != nil {
		t.Fatal(err)
	}
	there, err := namespaceSite(far, farDevice, 1)
	if err != nil {
		t.Fatal(err)
	}
	swap, err := startSwap(context.Background(), &bed{far: there}, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer swap.stop()
	r := &runner{o: &o, total: o.Repeat}
	s := &seat{opponent: opponent{name: "remote"}, queues: 1}
	r.seats = append(r.seats, s)
	if err := r.remote(context.Background(), s, here, Remote{MAC: there.mac, VIP: virtual}); err != nil {
		t.Fatal(err)
	}
	if run := r.results().Runs[0]; len(run.Rounds) != 2 || run.Mpps <= 0 {
		t.Errorf("found %+v", run)
	}
}

// TestHold puts a balancer on an interface and counts what the interface sends.
func TestHold(t *testing.T) {
	o := Options{Hold: 300 * time.Millisecond}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	b, err := newBed(1, Traffic{Size: 64, Flows: 1000}, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = b.ends.generate(ctx, time.Minute, &outcome{}) // ends with an error: it is stopped
		}
	}()
	r, s := &runner{o: &o}, &seat{opponent: opponents[slices.IndexFunc(opponents, func(o opponent) bool { return o.name == "xdp-tx" })]}
	if err := b.ends.prepare(load{}); err != nil {
		t.Fatal(err)
	}
	m, err := r.hold(ctx, s, 0, b.far)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	if m.throughput.bestSecond <= 0 {
		t.Errorf("the interface sent nothing: %+v", m.throughput)
	}
}

func newNamespace(t *testing.T) *testnet.Namespace {
	t.Helper()
	ns, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// TestRunEndsWithItsContext interrupts a run with a balancer at work.
func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o := Options{Opponents: []string{"af-xdp"}, Duration: time.Minute}
	o.Progress = func(p Progress) {
		if strings.Contains(p.Step, "throughput") {
			time.AfterFunc(50*time.Millisecond, cancel)
		}
	}
	begin := time.Now()
	_, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || time.Since(begin) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if left := children(t); left != "" {
		t.Errorf("processes are left: %s", left)
	}
}

// children are the processes that this one has.
func children(t *testing.T) string {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, task := range tasks {
		text, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children") // a thread may have ended
		all.Write(text)
	}
	return strings.TrimSpace(all.String())
}

// TestOpponentThatDies is skipped, with what it said, and the run goes on.
func TestOpponentThatDies(t *testing.T) {
	found, err := Run(context.Background(), Options{
		Opponents: []string{"xlvs", "xdp-tx"}, Repeat: 1, Duration: 100 * time.Millisecond,
		Director: Director{Extra: "nonsense: true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found.Runs[0].Failed || !strings.Contains(found.Runs[0].Skipped, "nonsense") {
		t.Errorf("xlvs: skipped %q, want what its configuration has wrong", found.Runs[0].Skipped)
	}
	if found.Runs[1].Skipped != "" || found.Runs[1].Mpps <= 0 {
		t.Errorf("xdp-tx after it: %+v", found.Runs[1])
	}
}

func TestOptionsSayAllThatIsWrong(t *testing.T) {
	o := Options{
		Opponents: []string{"xlvs", "haproxy"}, Queues: []int{0}, Loads: []float64{2}, Repeat: -1, Duration: time.Nanosecond,
		Size: 63, Flows: -1, Mix: 2, Generators: []int{-1}, Interface: "eth0", VIP: "nowhere", Tolerance: 2,
	}
	err := o.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"haproxy", "0 queues", "load 2", "-1 rounds", "trial of 1ns", "63 bytes", "-1 flows", "new flows of 2", "cpu -1", "nowhere", "no servers", "tolerance 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in: %v", want, err)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		ratios result.Rounds
		want   verdict
	}{
		{result.Rounds{1.4, 1.5}, tooFew},
		{result.Rounds{1.4, 1.5, 1.3}, faster},
		{result.Rounds{0.4, 0.5, 0.3}, slower},
		{result.Rounds{1.4, 0.9, 1.3}, undecided},
		{result.Rounds{1.01, 0.97, 1.03}, equal},
	} {
		if got := judge(test.ratios); got != test.want {
			t.Errorf("%v: %s, want %s", test.ratios, got, test.want)
		}
	}
}

func TestRates(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	best, average := rates([]sample{{at(0), 0}, {at(500), 100}, {at(1000), 300}, {at(1500), 900}, {at(2000), 1000}})
	if best != 800 || average != 500 {
		t.Errorf("best %v, average %v, want 800 and 500", best, average)
	}
	if best, _ := rates([]sample{{at(0), 0}, {at(500), 100}}); best != 200 {
		t.Errorf("half a second: %v, want 200", best)
	}
	if best, average := rates([]sample{{at(0), 7}}); best != 0 || average != 0 {
		t.Errorf("one sample: %v, %v", best, average)
	}
}
