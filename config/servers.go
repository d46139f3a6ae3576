package config

import (
	"math"
	"net/netip"
)

// readServers reads the service's servers.
func (s *placedService) readServers(v value) {
	first := map[netip.Addr]value{}
	for _, item := range v.items() {
		f := item.fields("a real server", "address", "port", "weight", "upper_threshold", "lower_threshold")
		server, ok := f.server(s)
		if !ok {
			continue
		}
		at := f.at("address")
		if earlier, ok := first[server.Addr]; ok {
			at.conflictf(earlier, "first here", "server %s is listed twice, first on line %d: remove one", server.Addr, earlier.place.line)
			continue
		}
		first[server.Addr] = at
		s.Servers = append(s.Servers, server)
		s.servers = append(s.servers, at)
	}
}

// server reads one server. It reports false if it has no usable address.
func (f fields) server(s *placedService) (Server, bool) {
	server := Server{
		Port:           s.Key.Port,
		Weight:         int32(f.number("weight", 1, 0, math.MaxInt32)),
		UpperThreshold: uint32(f.number("upper_threshold", 0, 0, math.MaxUint32)),
		LowerThreshold: uint32(f.number("lower_threshold", 0, 0, math.MaxUint32)),
	}
	f.checkPort(s)
	switch up, low := server.UpperThreshold, server.LowerThreshold; {
	case low > 0 && up == 0:
		f.at("lower_threshold").errorf("lower_threshold %d has no upper_threshold above it: add one, or remove it", low)
	case low > up:
		f.at("lower_threshold").conflictf(f.at("upper_threshold"), "upper", "lower_threshold %d is above upper_threshold %d: lower it", low, up)
	}
	ip, ok := f.required("server", "address", "address: 10.0.0.11").address()
	if !ok {
		return server, false
	}
	server.Addr = ip
	if vip := s.Key.Addr; vip.IsValid() && vip.Is4() != ip.Is4() {
		f.at("address").conflictf(s.address, "virtual address",
			"server %s is not of the family of %s: direct routing leaves the packet as it is, so write a server of the same family", ip, vip)
		return server, false
	}
	return server, true
}

// checkPort refuses a port that direct routing could not reach.
func (f fields) checkPort(s *placedService) {
	v := f.at("port")
	port, ok := v.number(0, math.MaxUint16)
	switch {
	case !ok:
	case s.Key.Mark != 0 && port != 0:
		v.errorf("port %d has no effect, direct routing keeps the port that the client asked for: remove it", port)
	case s.Key.Addr.IsValid() && uint16(port) != s.Key.Port:
		v.errorf("port %d differs from the service's %d, and direct routing keeps the port that the client asked for: remove it", port, s.Key.Port)
	}
}
