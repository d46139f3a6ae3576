package demo

import (
	"net/netip"
	"testing"
)

func TestLedgerFindsSplitClients(t *testing.T) {
	l := newLedger()
	a, b := netip.MustParseAddr("198.18.1.10"), netip.MustParseAddr("198.18.1.11")
	l.met(a, serviceHTTP, "one")
	l.met(a, serviceHTTPS, "one")
	l.met(a, serviceFTP, "two") // another mark: no split
	l.met(a, serviceEcho, "one")
	l.met(a, serviceEcho, "two") // no mark: no split
	l.met(b, serviceHTTP, "one")
	l.met(b, serviceHTTPS, "three")
	l.fail()
	if split := l.splitClients(); len(split) != 1 || split[0] != b {
		t.Errorf("split clients %v, want %v", split, b)
	}
	if requests, failed := l.totals(); requests != 8 || failed != 1 {
		t.Errorf("%d requests, %d failed", requests, failed)
	}
	if met := l.serversOfNetwork(networkOf(a), markedWeb); len(met) != 2 {
		t.Errorf("the network met %v", met)
	}
}
