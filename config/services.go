package config

import (
	"fmt"
	"math"

	"github.com/xlvs/xlvs/packet"
	"github.com/xlvs/xlvs/service"
)

// serviceList is the services as read, with what later checks need.
type serviceList struct {
	all []placedService
	// first is where a service is first given.
	first map[service.Key]value
}

// placedService is a service and its place.
type placedService struct {
	Service
	at      value   // its fwmark or address
	address value   // its address
	servers []value // the addresses of its servers
}

func (l *serviceList) resolved() []Service {
	all := make([]Service, len(l.all))
	for i := range l.all {
		all[i] = l.all[i].Service
	}
	return all
}

func readServices(v value, def defaults, marks *markRules) *serviceList {
	l := &serviceList{first: map[service.Key]value{}}
	for _, item := range v.items() {
		l.read(item, def, marks)
	}
	return l
}

// read reads one service of the file, which may be two of ours.
func (l *serviceList) read(v value, def defaults, marks *markRules) {
	f := v.fields("a service", "name", "fwmark", "family", "address", "protocol", "port",
		"scheduler", "flags", keyIndex, keyExpiration, keyCache, "forward", "persistence", "one_packet", "timeouts", "servers",
		"expire_quiescent", "expire_nodest", "sloppy", "persistent_thresholds", keyRefuse, keyUnreachable,
		keyTooBig)
	if f.absent() {
		return
	}
	s := placedService{at: f.at("address"), address: f.at("address")}
	if f.has("fwmark") {
		s.at = f.at("fwmark")
	}
	s.Name = f.label("name")
	s.Key = f.key()
	s.Scheduler = f.scheduler(def.scheduler)
	f.forward()
	s.Persistent = f.has("persistence")
	if s.Persistent {
		s.Persistence = readPersistence(f.at("persistence"))
	}
	s.Timeouts = readTimeouts(f.at("timeouts"), def.timeouts)
	s.OnePacket = f.flag("one_packet", false)
	s.Switches = f.switches(def.switches)
	f.checkKind(&s)
	s.readServers(f.at("servers"))
	for _, one := range s.families(f, marks) {
		l.add(one)
	}
}

// add appends a service, unless there is one of the same key.
func (l *serviceList) add(s placedService) {
	if s.Key == (service.Key{}) {
		return // an error was noted
	}
	if earlier, ok := l.first[s.Key]; ok {
		s.at.conflictf(earlier, "first here", "service %s is listed twice, first on line %d: put all servers into one, or remove one", keyName(s.Key), earlier.place.line)
		return
	}
	l.first[s.Key] = s.at
	l.all = append(l.all, s)
}

// key reads what names the service. It is the zero Key after an error.
func (f fields) key() service.Key {
	switch {
	case f.has("fwmark"):
		return f.markKey()
	case f.has("address") || f.has("protocol") || f.has("port"):
		return f.addressKey()
	}
	f.errorf("service has neither fwmark nor address: add fwmark: 80, or address, protocol and port")
	return service.Key{}
}

func (f fields) markKey() service.Key {
	for _, key := range []string{"address", "protocol", "port"} {
		if f.has(key) {
			f.at(key).conflictf(f.at("fwmark"), "by mark", "a service by fwmark has no %s: remove it; the rules in marks say which packets it takes", key)
		}
	}
	mark, _ := f.at("fwmark").number(1, maxMark)
	return service.Key{Mark: uint32(mark)}
}

func (f fields) addressKey() service.Key {
	if f.has("family") {
		f.at("family").errorf("a service by address has the family of its address: remove family")
	}
	ip, ok1 := f.required("service", "address", "address: 203.0.113.10").address()
	protocol, ok2 := f.required("service", "protocol", "protocol: tcp").protocol()
	port := f.number("port", 0, 0, math.MaxUint16)
	if !ok1 || !ok2 {
		return service.Key{}
	}
	return service.Key{Addr: ip, Port: uint16(port), Protocol: protocol}
}

// checkKind checks what only some kinds of service may have.
func (f fields) checkKind(s *placedService) {
	byAddress := s.Key.Addr.IsValid()
	if byAddress && s.Key.Port == 0 && !s.Persistent {
		at := f.value
		if f.has("port") {
			at = f.at("port")
		}
		at.errorf("service takes all ports but has no persistence, so a client's connections would meet different servers: add persistence: {timeout: 6m}, or a port")
	}
	if byAddress && s.OnePacket && s.Key.Protocol != packet.UDP {
		f.at("one_packet").errorf("one_packet is for UDP, each packet of a connection would meet another server: remove it, or write protocol: udp")
	}
}

// forward checks the forwarding method, of which there is one.
func (f fields) forward() {
	v := f.at("forward")
	switch s, ok := v.text(); {
	case !ok || s == "direct":
	case s == "nat" || s == "tunnel":
		v.errorf("forward %s is not in this version, which forwards by direct routing only: write forward: direct, or leave it out", s)
	default:
		v.errorf("forward %s is not known: write forward: direct, or leave it out", quote(s))
	}
}

// families is the service once for each family that it has servers of. A
// service by mark without servers is of the families of the mark's rules.
func (s placedService) families(f fields, marks *markRules) []placedService {
	if s.Key.Mark == 0 {
		return []placedService{s}
	}
	only := f.word("family", "", "ipv4", "ipv6")
	var all []placedService
	for _, ipv6 := range []bool{false, true} {
		one := s
		one.Key.IPv6 = ipv6
		one.Servers, one.servers = nil, nil
		for i, server := range s.Servers {
			if server.Addr.Is6() == ipv6 {
				one.Servers = append(one.Servers, server)
				one.servers = append(one.servers, s.servers[i])
			}
		}
		wanted := only == "" || (only == "ipv6") == ipv6
		switch {
		case !wanted && len(one.Servers) > 0:
			one.servers[0].conflictf(f.at("family"), "family", "server %s is not of the service's family: remove it, or remove family", one.Servers[0].Addr)
		case wanted && len(one.Servers) > 0,
			wanted && len(s.Servers) == 0 && (only != "" || marks.family(s.Key.Mark, ipv6)):
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		s.Key.IPv6 = only == "ipv6"
		all = append(all, s)
	}
	return all
}

// keyName is how messages and logs call a service.
func keyName(k service.Key) string {
	switch {
	case k.Mark != 0 && k.IPv6:
		return fmt.Sprintf("fwmark %d (ipv6)", k.Mark)
	case k.Mark != 0:
		return fmt.Sprintf("fwmark %d", k.Mark)
	}
	port := "*"
	if k.Port != 0 {
		port = fmt.Sprint(k.Port)
	}
	if k.Addr.Is6() {
		return fmt.Sprintf("%s [%s]:%s", protocolName(k.Protocol), k.Addr, port)
	}
	return fmt.Sprintf("%s %s:%s", protocolName(k.Protocol), k.Addr, port)
}

func protocolName(p packet.Protocol) string {
	for _, known := range protocolNames {
		if known.protocol == p {
			return known.name
		}
	}
	return fmt.Sprint(uint8(p))
}
