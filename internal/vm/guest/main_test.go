//go:build vmtest

package guest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/xlvs/xlvs/internal/testnet"
)

// patience is how long anything may take before a test gives up on it. The
// guest's processor is emulated: only what is wrong takes this long.
const patience = 30 * time.Second

// pollInterval is how often a condition is looked at.
const pollInterval = 20 * time.Millisecond

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			t.Fatalf("%v passed without %s", patience, what)
		}
	}
}

func namespace(t testing.TB) *testnet.Namespace {
	t.Helper()
	ns, err := testnet.New()
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	for _, key := range []string{
		"net.ipv6.conf.default.accept_dad",
		"net.ipv6.conf.default.accept_ra",
		"net.ipv6.conf.default.router_solicitations",
	} {
		must(t, ns.Sysctl(key, "0"))
	}
	return ns
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func address(s string) netip.Addr { return netip.MustParseAddr(s) }
