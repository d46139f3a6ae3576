package e2e

import (
	"fmt"
	"testing"
)

// TestPartialChecksums: a client whose kernel leaves checksums to a network card that is not
// there. Its connections work, from the first byte on and when they are established; the log
// says what costs, and takes it back when it is cured.
func TestPartialChecksums(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 11)
	must(t, l.network.SetGRO(directorPort, true)) // or the express lane stays closed
	must(t, l.client.SetFeatures("eth0", true, "tx-checksum-ip-generic"))
	l.start(l.config(fmt.Sprintf(`
services:
  - {address: %s, protocol: tcp, port: %d, servers: [{address: 10.9.0.11}]}
`, lanVIP, lanPort)))
	l.awaitLane("open")

	first := l.dial()
	must(t, first.echo("a first request"))
	eventually(t, "it is told", func() error { return l.log.has("level=WARN", "have no checksums yet", "tx off") })
	for range 20 {
		must(t, first.echo("more of it"))
	}

	must(t, l.client.SetFeatures("eth0", false, "tx-checksum-ip-generic"))
	eventually(t, "the cure is told", func() error {
		must(t, first.echo("and on"))
		return l.log.has("level=INFO", "no longer so", "have no checksums yet")
	})
	must(t, first.echo("to the end"))
	l.stop()
}
