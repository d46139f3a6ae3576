package demo

import (
	"net/netip"
	"slices"
	"sync"
)

// service is what a client asked for, as the table of the demo names it.
type service string

const (
	serviceHTTP  service = "HTTP"
	serviceHTTPS service = "HTTPS"
	serviceFTP   service = "FTP"
	serviceEcho  service = "UDP echo"
	serviceShort service = "HTTP :8080"
)

// The services of one firewall mark, and so of one server a client.
var (
	markedWeb = []service{serviceHTTP, serviceHTTPS}
	markedFTP = []service{serviceFTP}
)

// visit is a client's request, and the server that answered it.
type visit struct {
	client  netip.Addr
	service service
	server  string
}

// ledger is who went where. It may be used from any goroutine.
type ledger struct {
	mu     sync.Mutex
	counts map[visit]int
	failed int
}

func newLedger() *ledger { return &ledger{counts: map[visit]int{}} }

// met notes an answered request.
func (l *ledger) met(client netip.Addr, s service, server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[visit{client, s, server}]++
}

// fail notes a request without its answer.
func (l *ledger) fail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
}

// totals is all requests, and those that failed.
func (l *ledger) totals() (requests, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.counts {
		requests += n
	}
	return requests + l.failed, l.failed
}

// copy is the counts at this moment.
func (l *ledger) copy() map[visit]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[visit]int, len(l.counts))
	for v, n := range l.counts {
		counts[v] = n
	}
	return counts
}

// serversOf is the servers that a client met under services, sorted.
func (l *ledger) serversOf(client netip.Addr, services []service) []string {
	return l.servers(services, func(c netip.Addr) bool { return c == client })
}

// serversOfNetwork is the servers that all clients of a network met under services, sorted.
func (l *ledger) serversOfNetwork(p netip.Prefix, services []service) []string {
	return l.servers(services, p.Contains)
}

func (l *ledger) servers(services []service, of func(netip.Addr) bool) []string {
	var met []string
	for v := range l.copy() {
		if of(v.client) && slices.Contains(services, v.service) {
			met = append(met, v.server)
		}
	}
	slices.Sort(met)
	return slices.Compact(met)
}

// splitClients is the clients that met more than one server under one mark, sorted.
func (l *ledger) splitClients() []netip.Addr {
	type marked struct {
		client netip.Addr
		mark   int
	}
	met := map[marked]string{}
	var split []netip.Addr
	for v := range l.copy() {
		mark := markOf(v.service)
		if mark == 0 {
			continue
		}
		key := marked{v.client, mark}
		if before, ok := met[key]; ok && before != v.server {
			split = append(split, v.client)
		}
		met[key] = v.server
	}
	slices.SortFunc(split, netip.Addr.Compare)
	return slices.Compact(split)
}

// markOf is the mark whose template binds a service's clients for the whole
// demo, 0 if none does.
func markOf(s service) int {
	switch {
	case slices.Contains(markedWeb, s):
		return markWeb
	case slices.Contains(markedFTP, s):
		return markFTP
	}
	return 0
}
