package config

import (
	"time"

	"github.com/xlvs/xlvs/sched"
	"github.com/xlvs/xlvs/service"
)

// defaults are what every service has that does not say otherwise.
type defaults struct {
	scheduler string
	timeouts  service.Timeouts
	switches  Switches
}

// The defaults' own defaults: IPVS's, of net/netfilter/ipvs/ip_vs_proto_tcp.c,
// _udp.c and _sctp.c.
const (
	defaultScheduler = "wlc" // keepalived's and ipvsadm's
	sctpMaxRTO       = 61 * time.Second
)

func defaultTimeouts() service.Timeouts {
	return service.Timeouts{
		SynRecv:         time.Minute,
		Established:     15 * time.Minute,
		FinWait:         2 * time.Minute,
		Close:           10 * time.Second,
		UDP:             5 * time.Minute,
		SCTPInit:        sctpMaxRTO,
		SCTPEstablished: 15 * time.Minute,
		SCTPShutdown:    sctpMaxRTO,
		SCTPClosed:      sctpMaxRTO,
		Fragment:        30 * time.Second, // net.ipv4.ipfrag_time
	}
}

func readDefaults(v value) defaults {
	f := v.fields("defaults", "scheduler", "timeouts",
		"expire_quiescent", "expire_nodest", "sloppy", "persistent_thresholds", keyRefuse, keyUnreachable,
		keyTooBig)
	return defaults{
		scheduler: f.word("scheduler", defaultScheduler, sched.Names()...),
		timeouts:  readTimeouts(f.at("timeouts"), defaultTimeouts()),
		switches:  f.switches(Switches{}),
	}
}

// switches reads the keys of Switches.
func (f fields) switches(def Switches) Switches {
	return Switches{
		ExpireQuiescent:      f.flag("expire_quiescent", def.ExpireQuiescent),
		ExpireNoDest:         f.flag("expire_nodest", def.ExpireNoDest),
		Sloppy:               f.flag("sloppy", def.Sloppy),
		PersistentThresholds: f.flag("persistent_thresholds", def.PersistentThresholds),
		Refuse:               f.refusal(def.Refuse),
		KeepUnreachable:      f.keepUnreachable(def.KeepUnreachable),
		AnswerTooBig:         f.answerTooBig(def.AnswerTooBig),
	}
}

// Keys of switches that have words for values.
const (
	keyRefuse      = "refuse"
	keyUnreachable = "unreachable"
	keyTooBig      = "too_big"
)

func (f fields) refusal(def service.Refusal) service.Refusal {
	drop := service.RefuseDrop.String()
	if f.word(keyRefuse, def.String(), service.RefuseAnswer.String(), drop) == drop {
		return service.RefuseDrop
	}
	return service.RefuseAnswer
}

func (f fields) keepUnreachable(def bool) bool {
	return f.word(keyUnreachable, unreachableName(def), unreachableName(false), unreachableName(true)) ==
		unreachableName(true)
}

func (f fields) answerTooBig(def bool) bool {
	return f.word(keyTooBig, tooBigName(def), tooBigName(false), tooBigName(true)) == tooBigName(true)
}

// tooBigName is what becomes of packets that the way out does not take, as in a file.
func tooBigName(answer bool) string {
	if answer {
		return "answer"
	}
	return "fragment"
}

// unreachableName is what happens to servers that cannot be reached, as in a file.
func unreachableName(keep bool) string {
	if keep {
		return "keep"
	}
	return "skip"
}

const (
	minTimeout = time.Second
	maxTimeout = 31 * 24 * time.Hour // as of a persistence timeout in ipvsadm and keepalived
)

func readTimeouts(v value, def service.Timeouts) service.Timeouts {
	f := v.fields("timeouts", "tcp", "udp", "sctp", "fragment")
	tcp := f.at("tcp").fields("tcp timeouts", "syn_recv", "established", "fin_wait", "close")
	sctp := f.at("sctp").fields("sctp timeouts", "init", "established", "shutdown", "closed")
	return service.Timeouts{
		SynRecv:         tcp.timeout("syn_recv", def.SynRecv),
		Established:     tcp.timeout("established", def.Established),
		FinWait:         tcp.timeout("fin_wait", def.FinWait),
		Close:           tcp.timeout("close", def.Close),
		UDP:             f.timeout("udp", def.UDP),
		SCTPInit:        sctp.timeout("init", def.SCTPInit),
		SCTPEstablished: sctp.timeout("established", def.SCTPEstablished),
		SCTPShutdown:    sctp.timeout("shutdown", def.SCTPShutdown),
		SCTPClosed:      sctp.timeout("closed", def.SCTPClosed),
		Fragment:        f.duration("fragment", def.Fragment, minTimeout, 2*time.Minute),
	}
}

func (f fields) timeout(key string, def time.Duration) time.Duration {
	return f.duration(key, def, minTimeout, maxTimeout)
}
