package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/perf/benchfmt"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"

	"github.com/xlvs/xlvs/perf/result"
)

var machine = result.Machine{
	CPU: "Processor <fast> & \"quick\"", Cores: 2, MemoryMB: 4096, Kernel: "6.18.0 x86_64", GoVersion: "go1.26.8", Version: "1.2.3",
	Commit: "0123456789", Load: "0.1 0.2 0.3",
}

// runs has one of each kind.
func runs() map[string]*result.Run {
	stages := map[string]float64{"parse": 5, "lookup": 20, "forward": -1}
	order := []string{"parse", "lookup", "forward"}
	one := result.PipelineCase{Flows: 4096, Family: "ipv4", Method: "direct", Size: "64", Batch: 64, NsPerPacket: 30, PacketsPerSecond: 1e9 / 30,
		Stages: stages, StageOrder: order, Rounds: result.Rounds{29, 30, 31}}
	two := one
	two.Flows, two.NsPerPacket, two.Rounds, two.Noisy, two.Spread = 1<<20, 60, result.Rounds{40, 60, 90}, true, 0.4
	tables := []result.TableCase{
		{Name: "xlvs", Entries: 4096, Lookup: 10, LookupAll: 5, Insert: 60, BytesEntry: 57, Clients: 100, Cores: 2, Description: "ours",
			Rounds: map[string]result.Rounds{"lookup_ns": {10, 11}, "lookup_all_cores_ns": {5}}},
		{Name: "other", Entries: 4096, Lookup: 20, LookupAll: 9, Insert: 90, BytesEntry: 99, Clients: 100, Cores: 2, Description: "theirs",
			SplitClients: 7, LostEntries: 3, ExpireNote: "it has none", Ratios: map[string]float64{"lookup_ns": 2},
			Rounds: map[string]result.Rounds{"lookup_ns": {20, 22}}},
	}
	cdf := []result.Point{{Us: 0, Share: 0}, {Us: 10, Share: 0.5}, {Us: 90, Share: 0.999}, {Us: 200, Share: 1}}
	tail := []result.Slower{{Us: 10, Frames: 5000}, {Us: 1000, Frames: 42}, {Us: 3900, Frames: 2}}
	latency := result.Latency{Load: 0.5, OfferedMpps: 0.3, Samples: 5000, CDF: cdf, Tail: tail, P999Rounds: result.Rounds{200, 900, 3000},
		Percentiles: result.Percentiles{P50: 10, P90: 20, P99: 80, P999: 900, Max: 3900}}
	wire := []result.WireRun{
		{Name: "xlvs", Queues: 1, Mpps: 0.7, MppsLossFree: 0.6, Rounds: result.Rounds{0.7, 0.7, 0.7}, LossFreeRounds: result.Rounds{0.3, 0.6, 0.9}, Latencies: []result.Latency{latency}},
		{Name: "xlvs", Queues: 2, Mpps: 1.3, Rounds: result.Rounds{1.3}},
		{Name: "testpmd", Queues: 1, Skipped: "there is no <testpmd>"},
		{Name: "asavie", Queues: 1, Mpps: 0.5, Rounds: result.Rounds{0.5}, Failed: true, Skipped: "failed in round 2: it ended"},
	}
	all := map[string]*result.Run{
		"pipeline": {Pipeline: &result.Pipeline{PipelineCase: one, Cases: []result.PipelineCase{one, two}}},
		"table":    {Table: &result.Table{Tables: tables}},
		"wire":     {Wire: &result.Wire{Runs: wire, Interfaces: []result.Interface{{Name: "eth0", Driver: "veth", Queues: 2, MTU: 1500}}}},
	}
	for kind, run := range all {
		run.Command, run.Machine, run.Started = "xlvs bench "+kind, machine, time.Unix(1_700_000_000, 0)
	}
	return all
}

func write(t *testing.T, dir, kind string) string {
	t.Helper()
	page, err := Write(dir, runs()[kind])
	if err != nil {
		t.Fatal(err)
	}
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(html)
}

func TestReportGrowsByEachRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "report")
	var html string
	for n, kind := range []string{"wire", "table", "pipeline", "pipeline"} {
		html = write(t, dir, kind)
		if got, want := strings.Count(html, "<section"), min(n+1, 3); got != want {
			t.Errorf("%d runs: %d sections, want %d", n+1, got, want)
		}
	}
	for _, want := range []string{
		"xlvs bench wire", "xlvs bench pipeline", "~ Too noisy to tell: 1048576 flows", "testpmd with 1 queue was skipped: there is no &lt;testpmd&gt;", "other: expiry was not timed, it has none.",
		"Processor &lt;fast&gt;", "7 of 100 clients split, 3 entries lost", "veth, 2 queues, MTU 1500", "14 November 2023",
		"asavie with 1 queue failed in round 2: it ended", "<td>asavie</td><td>1</td><td>0.500</td>", "slowest 3.9 ms", "<td>3900.0</td><td>42</td>", "<td>~900.0</td>",
		"~ Too noisy to tell: p99.9 of xlvs with 1 queue at 50 % load", "~ Too noisy to tell: loss-free rate of xlvs with 1 queue. The middle half of the rounds spans 50 % of the median.",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	plots := []string{"pipeline-flows", "pipeline-stages", "table-lookup", "table-lookup-all", "table-insert", "table-memory",
		"wire-throughput", "wire-loss-free", "wire-latency-50", "wire-latency-50-tail"}
	if got := strings.Count(html, "<svg "); got != len(plots) {
		t.Errorf("%d plots on the page, want %d", got, len(plots))
	}
	for _, name := range plots {
		checkSVG(t, filepath.Join(dir, name+".svg"))
		checkPNG(t, filepath.Join(dir, name+".png"))
	}
}

// reference is what makes a browser fetch something.
var reference = regexp.MustCompile(`(?i)(src|href|srcset|data|action|poster)\s*=\s*["']?[^"'#\s>]|url\s*\(|@import|<(script|link|iframe|img|object|embed|base)\b`)

func TestPageNeedsNothingElse(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"pipeline", "table", "wire"} {
		run := runs()[kind]
		if err := writeRun(dir, kind, run); err != nil {
			t.Fatal(err)
		}
	}
	html := write(t, dir, "pipeline")
	if found := reference.FindString(html); found != "" {
		t.Errorf("the page refers to something outside: %q", found)
	}
	names := regexp.MustCompile(`https?://[^"\s]*`).FindAllString(html, -1)
	for _, name := range names {
		if !strings.HasPrefix(name, "http://www.w3.org/") { // names of XML, which nobody fetches
			t.Errorf("the page names %s", name)
		}
	}
}

func checkSVG(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	elements := 0
	for d := xml.NewDecoder(f); ; elements++ {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
	}
	if elements < 20 {
		t.Errorf("%s: there are only %d pieces in it", path, elements)
	}
}

// TestPlotsOfTheRunBeforeGo replaces a run by one that draws less.
func TestPlotsOfTheRunBeforeGo(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "wire")
	mine := filepath.Join(dir, "wire-notes.png")
	if err := os.WriteFile(mine, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run := runs()["wire"]
	run.Wire.Runs[0].Latencies[0].Tail = nil // as in results of old
	if _, err := Write(dir, run); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"wire-latency-50.svg": true, "wire-latency-50-tail.svg": false, "wire-latency-50-tail.png": false, "wire-notes.png": true} {
		if _, err := os.Stat(filepath.Join(dir, path)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
}

// TestBalancersKeepTheirColours has one that some plots do not show before one that all do.
func TestBalancersKeepTheirColours(t *testing.T) {
	latencies := runs()["wire"].Wire.Runs[0].Latencies
	figures, err := wireFigures(&result.Wire{Runs: []result.WireRun{
		{Name: "first", Queues: 1, Mpps: 1, MppsLossFree: 1}, {Name: "second", Queues: 1, Mpps: 1, Latencies: latencies},
	}})
	if err != nil || len(figures) != 4 {
		t.Fatalf("%d figures, %v", len(figures), err)
	}
	for _, f := range figures {
		for _, k := range f.legend {
			if want := paint(map[bool]int{false: 0, true: 1}[strings.HasPrefix(k.name, "second")]); k.color != want {
				t.Errorf("%s: %s has another colour", f.name, k.name)
			}
		}
	}
}

// TestLegendStaysOnThePage draws the longest that there is.
func TestLegendStaysOnThePage(t *testing.T) {
	var l legend
	for _, name := range []string{"xlvs", "asavie", "nft-dsr", "nft-nat", "testpmd", "xdp-tx", "asavie-large", "af-xdp", "ipvs"} {
		l = append(l, key{name + ", slowest 3.92 ms", paint(len(l))})
	}
	var canvas recorder.Canvas
	style := newPlot("", "").X.Tick.Label
	height := l.draw(draw.NewCanvas(&canvas, plotWidth, plotHeight), style)
	texts := 0
	for _, action := range canvas.Actions {
		if s, ok := action.(*recorder.FillString); ok {
			texts++
			if right := s.Point.X + style.Width(s.String); right > plotWidth || s.Point.Y < plotHeight-height {
				t.Errorf("%q is at %v, up to %v", s.String, s.Point, right)
			}
		}
	}
	if texts != len(l) {
		t.Errorf("%d texts, want %d", texts, len(l))
	}
	if palette[0] == palette[8] || len(palette) < len(l) {
		t.Error("two of them have one colour")
	}
}

func checkPNG(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	image, err := png.Decode(f)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	colours := map[any]bool{}
	for x := 0; x < image.Bounds().Dx(); x += 3 {
		for y := 0; y < image.Bounds().Dy(); y += 3 {
			colours[image.At(x, y)] = true
		}
	}
	if len(colours) < 5 {
		t.Errorf("%s: %d colours", path, len(colours))
	}
}

func TestRawResultsAreKept(t *testing.T) {
	dir := t.TempDir()
	if err := writeRun(dir, "pipeline", runs()["pipeline"]); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "pipeline.json"))
	if err != nil {
		t.Fatal(err)
	}
	var run result.Run
	if err := json.Unmarshal(raw, &run); err != nil || run.Pipeline.NsPerPacket != 30 || run.Machine.Commit != machine.Commit {
		t.Errorf("%v: %+v", err, run)
	}
}

func TestWriteRefusesWhatIsNoReport(t *testing.T) {
	if _, err := Write(t.TempDir(), &result.Run{}); err == nil {
		t.Error("an empty run was reported")
	}
	dir := t.TempDir()
	for _, content := range []string{"{", "{}", `{"pipeline":{"cases":[{}]}}`} {
		if err := os.WriteFile(filepath.Join(dir, "table.json"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(dir, runs()["pipeline"]); err == nil || !strings.Contains(err.Error(), "table.json") {
			t.Errorf("table.json is %s: %v", content, err)
		}
	}
}

func TestBenchmarksAreReadBack(t *testing.T) {
	var b bytes.Buffer
	for _, kind := range []string{"pipeline", "table", "wire"} {
		if err := WriteBenchmarks(&b, runs()[kind]); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string][]float64{}
	r := benchfmt.NewReader(&b, "test")
	for r.Scan() {
		record, ok := r.Result().(*benchfmt.Result)
		if !ok {
			t.Fatalf("not a result: %v", r.Result())
		}
		if cpu := record.GetConfig("cpu"); cpu != machine.CPU {
			t.Errorf("processor %q", cpu)
		}
		sec, _ := record.Value("sec/op")
		got[string(record.Name)] = append(got[string(record.Name)], sec*1e9)
		if lost, ok := record.Value("lost"); ok && strings.Contains(string(record.Name), "other") && lost != 3 {
			t.Errorf("%s: %v lost, want 3", record.Name, lost)
		}
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	for name, rounds := range map[string]int{
		"Pipeline/family=ipv4/method=direct/size=64/mix=0/flows=4096": 3,
		"Table/op=lookup/table=xlvs/entries=4096-1":                   2,
		"Table/op=lookup/table=xlvs/entries=4096-2":                   1,
		"Table/op=keep/table=other/entries=4096-2":                    1,
		"Wire/balancer=xlvs/size=0/flows=0/queues=1":                  3,
		"WireLatency/balancer=xlvs/size=0/flows=0/queues=1/load=0.5":  4,
	} {
		if len(got[name]) != rounds {
			t.Errorf("%s: %d lines, want %d; there are %v", name, len(got[name]), rounds, got)
		}
	}
	if first := got["Table/op=lookup/table=xlvs/entries=4096-1"]; len(first) > 0 && (first[0] < 9.999 || first[0] > 10.001) {
		t.Errorf("10 ns are read back as %v", first[0])
	}
}

func TestDelaysHaveTheirUnit(t *testing.T) {
	for us, want := range map[float64]string{0.1: "100 ns", 1: "1 µs", 12.34: "12.3 µs", 1000: "1 ms", 3921: "3.92 ms", 1e6: "1 s"} {
		if got := lasting(us); got != want {
			t.Errorf("lasting(%v) = %q, want %q", us, got, want)
		}
	}
}

func TestNumbersAreShort(t *testing.T) {
	for v, want := range map[float64]string{
		0.5: "0.5", 64: "64", 999: "999", 1500: "1.5 k", 4096: "4 Ki", 1 << 20: "1 Mi", 8388608: "8 Mi", 1e6: "1 M", 12_345_678: "12.35 M",
	} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %q, want %q", v, got, want)
		}
	}
}
