package demo

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReportIsPlainInALog(t *testing.T) {
	var out bytes.Buffer
	r := newReporter(&out, 2, func() string { return "" })
	done := r.begin("looking")
	done()
	r.check(Check{Name: "it works", OK: true, Detail: strings.Repeat("word ", 30)}, 1200*time.Millisecond)
	r.check(Check{Name: "it holds", Detail: "no\nsaw this"}, 0)
	r.close()
	want := "ok    it works  1.2 s\n" +
		"      " + strings.TrimSpace(strings.Repeat("word ", 20)) + "\n" +
		"      " + strings.TrimSpace(strings.Repeat("word ", 10)) + "\n" +
		"FAIL  it holds  0.0 s\n      no\n      saw this\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONKeepsItsKeys(t *testing.T) {
	var out bytes.Buffer
	must(t, writeJSON(&out, Result{Checks: []Check{{Name: "a", Detail: "b"}}}))
	var got map[string]any
	must(t, json.Unmarshal(out.Bytes(), &got))
	want := map[string]any{
		"ok": false, "requests": 0., "failed": 0., "split_clients": 0.,
		"checks": []any{map[string]any{"name": "a", "ok": false, "detail": "b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTableCountsRequests(t *testing.T) {
	l := newLedger()
	l.met(netip.MustParseAddr("198.18.1.10"), serviceHTTP, "one")
	l.met(netip.MustParseAddr("198.18.1.10"), serviceHTTPS, "one")
	l.met(netip.MustParseAddr("198.18.1.11"), serviceFTP, "three")
	l.met(newcomer(3, true), serviceEcho, "two")
	l.met(newcomer(3, true), serviceShort, "two") // in no column
	var out bytes.Buffer
	writeTable(&out, l)
	for _, want := range []string{
		"198.18.1.0/24                          2        2      .      .        .      .      1        .      .      .\n",
		"2001:db8:f000::/36 newcomers           1        .      .      .        .      .      .        .      1      .\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}

func TestCutKeepsTheWidth(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "exactly 10": "exactly 10", "more than 10": "more than…"} {
		if got := cut(text, 10); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestTCPCountersOfTheKernelsFile(t *testing.T) {
	got, err := parseTCPCounters("Ip: a b\nIp: 1 2\nTcp: OutRsts MaxConn\nTcp: 7 -1\n")
	must(t, err)
	if diff := cmp.Diff(map[string]int{"OutRsts": 7, "MaxConn": -1}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := parseTCPCounters("Ip: a\n"); err == nil {
		t.Error("no error without TCP counters")
	}
}
