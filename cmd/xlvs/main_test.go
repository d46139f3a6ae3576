package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xlvs/xlvs/control"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"xlvs": main})
}

// TestScripts runs the command line as users do; testdata/script has the
// sessions. $SOCKET is the control socket of a director that has the listing of
// TestList.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(e *testscript.Env) error { return serve(t, e) },
	})
}

// exits runs a program and checks its exit code: exits CODE PROGRAM ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		code = exit.ExitCode()
	}
	if want, _ := strconv.Atoi(args[0]); code != want {
		ts.Fatalf("exit code %d, want %d: %v", code, want, err)
	}
}

// serve answers like a director's control socket until the script ends.
func serve(t *testing.T, e *testscript.Env) error {
	// The script's own folder has too long a name for a socket.
	dir, err := os.MkdirTemp("", "xlvs")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for pattern, answer := range answers {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(answer)) })
	}
	mux.HandleFunc("PUT /v1/tuning", tuneFake)
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	e.Defer(func() {
		server.Shutdown(context.Background())
		os.RemoveAll(dir)
	})
	e.Setenv("SOCKET", path)
	return nil
}

var answers = map[string]string{
	"/v1/services": marshal(control.Listing{Version: "1.2.3", Capacity: 1048576, Services: []control.ServiceStatus{
		{Protocol: "FWM", Mark: 80, Scheduler: "wrr", Persistence: 360, Mask: netip.MustParseAddr("255.255.255.0"),
			Stats: control.Traffic{Connections: 30, Packets: 123456789, Bytes: 9876543210},
			Rate:  control.Rate{Connections: 3, Packets: 1000, Bytes: 64000},
			Servers: []control.ServerStatus{
				{Address: netip.MustParseAddr("10.0.0.11"), Forward: "Route", Weight: 2, Active: 7, Inactive: 90, Reachable: true,
					Stats: control.Traffic{Connections: 30, Packets: 123456789, Bytes: 9876543210}, Rate: control.Rate{Connections: 3, Packets: 1000, Bytes: 64000}},
				{Address: netip.MustParseAddr("10.0.0.12"), Forward: "Route", Weight: 1, Neighbour: "10.0.0.12 does not answer ARP on eth0"},
			}},
		{Protocol: "UDP", Address: netip.MustParseAddr("2001:db8::10"), Port: 53, Scheduler: "mh", Flags: []string{"mh-port"}, OnePacket: true,
			Servers: []control.ServerStatus{}},
	}}),
	"/v1/connections": marshal(control.Connection{Protocol: "TCP", State: "ESTABLISHED", Expires: 899.5,
		Source: netip.MustParseAddrPort("192.0.2.1:1024"), Virtual: netip.MustParseAddrPort("203.0.113.10:80"),
		Destination: netip.MustParseAddrPort("10.0.0.11:80"), Assured: true}),
	"/v1/templates": marshal(control.Template{Mark: 80, Client: netip.MustParseAddr("192.0.2.0"), Connections: 2, Expires: 61,
		Destination: netip.MustParseAddrPort("10.0.0.11:0")}),
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b) + "\n"
}

func TestLargeNumbersAreIpvsadms(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 99_999_999: "99999999", 100_000_000: "100000K", 99_999_999_999: "99999999K", 100_000_000_000: "100000M",
		100_000_000_000_000: "100000G", 100_000_000_000_000_000: "100000T",
	} {
		if got := large(n); got != want {
			t.Errorf("large(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, command := range []string{"run", "check", "list", "detach", "demo", "bench", "tune", "version"} {
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"xlvs", command, "--help"}, &out, &errs); code != 0 {
			t.Errorf("xlvs %s --help: exit code %d: %s", command, code, errs.String())
		}
		if !strings.Contains(out.String(), "xlvs "+command) {
			t.Errorf("xlvs %s --help shows no example:\n%s", command, out.String())
		}
	}
}
