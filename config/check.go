package config

import (
	"net/netip"
	"slices"

	"github.com/xlvs/xlvs/service"
)

// check checks the services together.
func (l *serviceList) check(maxServers int, root fields) {
	total := 0
	for _, s := range l.all {
		total += len(s.Servers)
		if len(s.Servers) > 0 && !slices.ContainsFunc(s.Servers, func(r Server) bool { return r.Weight > 0 }) {
			s.at.warnf("every server of service %s has weight 0: it takes no new client", keyName(s.Key))
		}
		if len(s.Servers) == 0 {
			s.at.warnf("service %s has no servers: its clients are refused", keyName(s.Key))
		}
	}
	if total > maxServers {
		root.at("services").errorf("the services have %d servers, the tables hold %d: raise tables.servers to %d or more", total, maxServers, total)
	}
}

// checkLoops refuses a virtual address that is also a real server's: what the
// director forwards would come back to it.
func checkLoops(marks *markRules, services *serviceList) {
	virtual := map[netip.Addr]value{}
	for _, d := range marks.destinations {
		if d.prefix.IsSingleIP() {
			virtual[d.prefix.Addr()] = d.at
		}
	}
	for _, s := range services.all {
		if s.Key.Addr.IsValid() {
			virtual[s.Key.Addr] = s.address
		}
	}
	for _, s := range services.all {
		for i, server := range s.Servers {
			if vip, ok := virtual[server.Addr]; ok {
				s.servers[i].conflictf(vip, "virtual address",
					"server %s is also a virtual address, its packets would come back to the director: write the server's own address", server.Addr)
			}
		}
	}
}

// warnMarks tells of marks without a service, and the reverse.
func warnMarks(marks *markRules, services *serviceList) {
	for mark, at := range marks.first {
		v4, ok4 := services.byMark(mark, false)
		v6, ok6 := services.byMark(mark, true)
		switch {
		case !ok4 && !ok6:
			at.warnf("mark %d has no service: its packets go to the services by address", mark)
		case !ok6 && marks.family(mark, true):
			v4.warnf("mark %d is given to IPv6 packets too, but the service has no IPv6 server: they go to the services by address", mark)
		case !ok4 && marks.family(mark, false):
			v6.warnf("mark %d is given to IPv4 packets too, but the service has no IPv4 server: they go to the services by address", mark)
		}
	}
	for _, s := range services.all {
		if s.Key.Mark != 0 && !marks.family(s.Key.Mark, s.Key.IPv6) {
			s.at.warnf("no rule in marks gives mark %d to packets of the family of service %s: it has nothing to do", s.Key.Mark, keyName(s.Key))
		}
	}
}

// byMark is where the mark's service of a family is given.
func (l *serviceList) byMark(mark uint32, ipv6 bool) (value, bool) {
	at, ok := l.first[service.Key{Mark: mark, IPv6: ipv6}]
	return at, ok
}
