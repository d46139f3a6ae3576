package tune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/control"
	"github.com/xlvs/xlvs/internal/nic"
	"github.com/xlvs/xlvs/perf/wire"
)

const pollingOn = "rings: {busy_poll: {enabled: true, defer_hard_irqs: 3, gro_flush_timeout: 300000}}\n"

var (
	zero  = nic.Timers{}
	three = nic.Timers{DeferHardIRQs: 3, GROFlushTimeout: 300_000}
)

// Everything that can be set is set where it takes effect, and can be set back.
func TestSetOnARunningDirector(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start("")
	before := h.tuning()
	h.must(h.set(0, "batch=128", "transmit_budget=1024", "spin=off", "cpus=0", "express=off", "log_level=debug",
		"busy_poll=on", "busy_poll.microseconds=77", "busy_poll.budget=33", "busy_poll.defer_hard_irqs=3", "busy_poll.gro_flush_timeout=300000"))

	now := h.tuning()
	want, err := Parse([]string{"batch=128", "transmit_budget=1024", "spin=off", "cpus=0", "express=off", "log_level=debug", "busy_poll=on",
		"busy_poll.microseconds=77", "busy_poll.budget=33", "busy_poll.defer_hard_irqs=3", "busy_poll.gro_flush_timeout=300000"})
	h.must(err)
	if diff := cmp.Diff(*want, now.Settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if prefer, spin := h.socketOption(unix.SO_PREFER_BUSY_POLL), h.socketOption(unix.SO_BUSY_POLL); prefer != 1 || spin != 77 {
		t.Errorf("SO_PREFER_BUSY_POLL %d, SO_BUSY_POLL %d", prefer, spin)
	}
	h.wantTimers("busy polling on", three)
	for _, w := range now.Workers {
		if cpus := allowed(t, h.process.Process.Pid, w.Thread); w.CPU != 0 || cpus != "0" {
			t.Errorf("the worker of queue %d is on cpu %d, may be on %s", w.Queue, w.CPU, cpus)
		}
	}
	if len(now.Changes) != 2 || now.Journal != h.journal() {
		t.Errorf("changes %v, journal %s", now.Changes, now.Journal)
	}
	h.must(h.log.has("level=INFO"))

	s := before.Settings
	if _, err := h.client.Tune(t.Context(), &s, 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, h.tuning()); diff != "" {
		t.Errorf("set back (-before +after):\n%s", diff)
	}
	if prefer := h.socketOption(unix.SO_PREFER_BUSY_POLL); prefer != 0 {
		t.Errorf("SO_PREFER_BUSY_POLL %d", prefer)
	}
	h.wantTimers("busy polling off", zero)
	if _, err := os.Stat(h.journal()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a journal of nothing: %v", err)
	}
}

// allowed is the CPUs that a thread may use.
func allowed(t *testing.T, pid, tid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(list)
		}
	}
	t.Fatal("no Cpus_allowed_list")
	return ""
}

// A request is granted as a whole or not at all, and the answer says why.
func TestSetIsAllOrNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start("")
	before := h.tuning()
	for says, arguments := range map[string][]string{
		"batch 300 is out of range":                    {"spin=off", "batch=300"},
		"more than the 2048 descriptors":               {"spin=off", "transmit_budget=4096"},
		"cpu 4000: this host gives":                    {"spin=off", "cpus=4000"},
		"gro_flush_timeout 5 is out of range":          {"spin=off", "busy_poll.gro_flush_timeout=5"},
		"eth9 is not an interface of this director":    {"spin=off", "coalescing.eth9.rx_usecs=5"},
		"operation not supported":                      {"spin=off", "batch=32", "busy_poll=on", "coalescing.eth0.rx_usecs=5"}, // the last step fails
		`"loud" is none of debug, info, warn or error`: {"spin=off", "log_level=loud"},
	} {
		err := h.set(0, arguments...)
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(says, `"loud" is none of `)) && !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", arguments, err, says)
		}
		if diff := cmp.Diff(before, h.tuning()); diff != "" {
			t.Errorf("%v changed something:\n%s", arguments, diff)
		}
	}
	h.wantTimers("nothing was granted", zero)
}

// Settings on trial are taken back when nobody asks for them again, and stay when
// they are asked for for good.
func TestTrialEnds(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start("")
	h.must(h.set(50*time.Millisecond, "batch=16", "busy_poll=on"))
	h.must(h.set(50*time.Millisecond, "batch=17"))
	h.eventually("the trial is over", func() error {
		if now := h.tuning(); now.Trial || *now.Settings.Batch != 64 || *now.Settings.BusyPoll.Enabled {
			return fmt.Errorf("batch %d, trial %v", *now.Settings.Batch, now.Trial)
		}
		return nil
	})
	h.wantTimers("after the trial", zero)
	h.must(h.set(time.Minute, "batch=16"))
	if !h.tuning().Trial {
		t.Error("no trial")
	}
	h.must(h.set(0, "batch=18"))
	if now := h.tuning(); now.Trial || *now.Settings.Batch != 18 {
		t.Errorf("for good: batch %d, trial %v", *now.Settings.Batch, now.Trial)
	}
}

// A reload takes over what the file has changed and leaves what was set since.
func TestReloadTunes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start("")
	h.must(h.set(0, "batch=100"))
	h.write("workers: {spin: off}\nlog: {level: debug}\n" + pollingOn)
	h.must(h.process.Process.Signal(syscall.SIGHUP))
	h.eventually("the reload is done", func() error { return h.log.has("msg=reloaded") })
	now := h.tuning()
	if s := now.Settings; *s.Batch != 100 || *s.Spin || *s.LogLevel != "debug" || !*s.BusyPoll.Enabled {
		t.Errorf("batch %d, spin %v, log %s, busy polling %v", *s.Batch, *s.Spin, *s.LogLevel, *s.BusyPoll.Enabled)
	}
	h.wantTimers("after the reload", three)
	h.write("")
	h.must(h.process.Process.Signal(syscall.SIGHUP))
	h.eventually("busy polling is off", func() error {
		if *h.tuning().Settings.BusyPoll.Enabled {
			return errors.New("it is on")
		}
		return nil
	})
	h.wantTimers("after the second reload", zero)
}

// What busy polling changes on an interface is put back at the end, by the next
// run after a crash, or by who takes away what a dead director left.
func TestTimersArePutBack(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(pollingOn)
	h.wantTimers("running", three)
	h.end(syscall.SIGTERM)
	h.wantTimers("stopped", zero)

	h.start(pollingOn)
	if _, err := control.RestoreHost(h.socket(), nil); err == nil || !strings.Contains(err.Error(), "a director answers") {
		t.Errorf("of a living director: %v", err)
	}
	h.end(syscall.SIGKILL)
	h.wantTimers("killed", three)
	h.start("")
	h.wantTimers("the next run", zero)
	h.must(h.log.has("put back"))
	h.end(syscall.SIGTERM)

	h.start(pollingOn)
	h.end(syscall.SIGKILL)
	h.must(h.ns.Do(func() error {
		done, err := control.RestoreHost(h.socket(), nil)
		if len(done) != 2 {
			t.Errorf("put back %q", done)
		}
		return err
	}))
	h.wantTimers("detached", zero)
}

// An idle director uses less than 2 % of a core, with busy polling too.
func TestIdle(t *testing.T) {
	for name, more := range map[string]string{"defaults": "", "busy polling": pollingOn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.start(more)
			const limit, period = 0.02, 2 * time.Second
			start, before := time.Now(), h.busy()
			time.Sleep(period)
			share := float64(h.busy()-before) / float64(time.Since(start))
			t.Logf("%.2f %% of a core", 100*share)
			if share > limit {
				t.Errorf("%.2f %% of a core with no traffic, want less than %.0f %%", 100*share, 100*limit)
			}
		})
	}
}

// newBench is a bench with a configuration, or the defaults.
func newBench(t *testing.T, base *config.Config, duration time.Duration) *Bench {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBench(t.Context(), wire.Options{
		Opponents: []string{"xlvs"}, Self: []string{exe}, Director: wire.Director{Env: []string{directorEnv + "=1"}}, Flows: 1000,
	}, base, duration)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bench measures a director of its own, with rings of one size and another, and
// leaves nothing behind.
func TestBench(t *testing.T) {
	b := newBench(t, nil, 100*time.Millisecond)
	closed := false
	defer func() {
		if !closed {
			b.Close()
		}
	}()
	facts, err := Gather(t.Context(), b.Client())
	if err != nil {
		t.Fatal(err)
	}
	space, err := Only(Space(), []string{"rings", "coalescing"})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := NewScope(space, facts, b.Terms())
	if err != nil {
		t.Fatal(err)
	}
	if len(scope.LeftOut) != 1 || !strings.Contains(scope.LeftOut[0].String(), `coalescing.far0: driver "veth"`) {
		t.Errorf("left out %v", scope.LeftOut)
	}
	scope.Space[0].Values = [][]string{ringsOf(2048), ringsOf(512)} // each measurement is a restart
	scope.Start[0] = 0
	var lines []string
	o, err := Search(t.Context(), b, scope.Space, scope.Start, Options{Rounds: 4, Confirm: 4, Passes: 1, Progress: func(p Progress) {
		if p.Finished != "" {
			lines = append(lines, p.Finished)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(strings.Join(lines, "\n"))
	if o.Measurements < 2*4 || len(o.Races) < 1 || len(lines) < 1 {
		t.Errorf("%d measurements, %d races", o.Measurements, len(o.Races))
	}
	pid := status(t, b.Client()).PID
	closed = true
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the director is still there: %v", err)
	}
}

// A bench's director is started anew for rings of another size, not for what it
// would refuse, and goes on after a start that failed; nothing of it stays, also
// when it is interrupted meanwhile.
func TestBenchRestarts(t *testing.T) {
	base, err := config.Parse("base", []byte("interfaces: [{name: eth7}]\nrings: {rx: 1024, fill: 2048, batch: 32}\nworkers: {spin: off, cpus: [77]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, base, 100*time.Millisecond)
	closed := false
	defer func() {
		if !closed {
			b.Close()
		}
	}()
	now, err := b.Client().Tuning(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r := now.Rings; r.RX != 1024 || r.Fill != 2048 || r.TX != 2048 || *now.Settings.Batch != 32 || *now.Settings.Spin {
		t.Errorf("it begins with rings %+v, settings %+v", r, now.Settings)
	}
	pid := status(t, b.Client()).PID
	if err := b.Apply(t.Context(), append(ringsOf(512), "transmit_budget=1024")); !errors.As(err, new(Refused)) || status(t, b.Client()).PID != pid {
		t.Errorf("a budget larger than the ring: %v", err)
	}
	if err := b.Apply(t.Context(), []string{"batch=16"}); err != nil || status(t, b.Client()).PID != pid {
		t.Errorf("a restart without need: %v", err)
	}
	if err := b.Apply(t.Context(), append(ringsOf(512), "batch=48", "spin=off")); err != nil {
		t.Fatal(err)
	}
	if now, err = b.Client().Tuning(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := now.Rings; r.RX != 512 || r.Fill != 1024 || r.Frames != 2048 || *now.Settings.Batch != 48 || *now.Settings.Spin {
		t.Errorf("rings %+v, settings %+v", r, now.Settings)
	}
	if s, err := b.Measure(t.Context()); err != nil || s.Score < 1000 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := b.stand.Restart(t.Context(), map[string]string{"rx": "7"}, nil); err == nil || !strings.Contains(err.Error(), "rx") {
		t.Errorf("a start that fails: %v", err)
	}
	b.rings = sizes{} // as Apply has it then
	if err := b.Apply(t.Context(), ringsOf(1024)); err != nil {
		t.Fatal(err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := b.Apply(interrupted, ringsOf(512)); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	closed = true
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(b.stand.Socket())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is still there: %v", err)
	}
}

func status(t *testing.T, client *control.Client) *control.Status {
	t.Helper()
	s, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A live search measures the traffic that there is, and puts back what was there,
// also when it is interrupted.
func TestLive(t *testing.T) {
	b := newBench(t, nil, 250*time.Millisecond)
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	sending := make(chan struct{})
	go func() { // live traffic
		defer close(sending)
		for ctx.Err() == nil {
			b.stand.Throughput(ctx, 10*time.Second) //nolint:errcheck // it ends with the context
		}
	}()
	defer func() { cancel(); <-sending }()

	before, err := b.Client().Tuning(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live, err := NewLive(t.Context(), b.Client(), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Apply(t.Context(), []string{"batch=32", "busy_poll=on"}); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLive(t.Context(), b.Client(), time.Second); err == nil {
		t.Error("a second search at the same director began")
	}
	s, err := live.Measure(t.Context())
	if err != nil || s.Score < 1000 || s.Text == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if err := live.Apply(t.Context(), []string{"batch=257"}); !errors.As(err, new(Refused)) {
		t.Errorf("what the director refuses: %v", err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, err := live.Measure(interrupted); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if err := live.Restore(context.WithoutCancel(interrupted)); err != nil {
		t.Fatal(err)
	}
	after, err := b.Client().Tuning(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("not as before (-before +after):\n%s", diff)
	}
}

// Facts are of the director's namespace, wherever who asks is.
func TestGather(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start(pollingOn)
	f, err := Gather(t.Context(), h.client)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Interfaces) != 1 || f.Interfaces[0].Index != h.index || len(f.Host.CPUs) == 0 || f.Host.PID != h.process.Process.Pid {
		t.Fatalf("%+v", f)
	}
	var b strings.Builder
	advice := Advise(f)
	if err := Print(&b, f, advice); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"busy poll   20 µs", "queue 0 copy, queue 1 copy", "driver      veth", "napi_defer_hard_irqs 3", "put back at the end", "(partial-checksums)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing from\n%s", want, &b)
		}
	}
	if slices.ContainsFunc(advice, func(a Advice) bool { return a.Rule == "napi-missing" || a.Rule == "napi-left-over" }) {
		t.Errorf("%+v", advice)
	}
}
