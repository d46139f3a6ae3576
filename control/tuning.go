package control

import (
	"github.com/xlvs/xlvs/config"
	"github.com/xlvs/xlvs/internal/nic"
)

// Tuning is the answer to GET /v1/tuning: what can be tuned, as it stands.
type Tuning struct {
	Settings Settings `json:"settings"`
	// What follows is as it was at the start, or the Director's own choice.
	Rings      RingSizes         `json:"rings"`
	GOMAXPROCS int               `json:"gomaxprocs"`
	CPUs       []int             `json:"cpus"` // that the process may use
	Workers    []WorkerTuning    `json:"workers"`
	Interfaces []InterfaceTuning `json:"interfaces"`
	// Changes are the settings of interfaces that are changed at the moment and
	// will be put back, and Journal is the file that knows them.
	Changes []nic.Change `json:"changes"`
	Journal string       `json:"journal"`
	// Trial tells that the settings are on trial: see Client.Tune.
	Trial bool `json:"trial,omitempty"`
	// VLANs tells whether mark rules match VLAN tags.
	VLANs bool `json:"vlans"`
	// Fragments are the kinds of packets, as ethtool calls flows (udp4, udp6), that services
	// take and that senders may fragment.
	Fragments []string `json:"fragments"`
}

// Settings are what may change while the director runs. In a request, what is
// nil stays as it is. The keys of the configuration have the same names, units
// and limits.
type Settings struct {
	Batch          *int              `json:"batch,omitempty"`
	TransmitBudget *int              `json:"transmit_budget,omitempty"`
	Spin           *bool             `json:"spin,omitempty"`
	CPUs           *[]int            `json:"cpus,omitempty"` // empty: the Director's choice
	BusyPoll       *BusyPollSettings `json:"busy_poll,omitempty"`
	Express        *string           `json:"express,omitempty"` // auto, on or off
	LogLevel       *string           `json:"log_level,omitempty"`
	// Coalescing is by interface. An interface that is not named stays; an empty
	// Coalescing is what the interface had before.
	Coalescing map[string]nic.Coalescing `json:"coalescing,omitempty"`
}

// BusyPollSettings are [config.BusyPoll].
type BusyPollSettings struct {
	Enabled         *bool `json:"enabled,omitempty"`
	Microseconds    *int  `json:"microseconds,omitempty"`
	Budget          *int  `json:"budget,omitempty"`
	DeferHardIRQs   *int  `json:"defer_hard_irqs,omitempty"`
	GROFlushTimeout *int  `json:"gro_flush_timeout,omitempty"`
}

// RingSizes are of the sockets of each interface and queue.
type RingSizes struct {
	Frames     int  `json:"frames"`
	FrameSize  int  `json:"frame_size"`
	RX         int  `json:"rx"`
	TX         int  `json:"tx"`
	Fill       int  `json:"fill"`
	Completion int  `json:"completion"`
	HugePages  bool `json:"huge_pages"`
}

// WorkerTuning is a worker and where it runs.
type WorkerTuning struct {
	Queue  uint32 `json:"queue"`
	CPU    int    `json:"cpu"` // -1: any
	Thread int    `json:"thread"`
}

// InterfaceTuning is an interface as the director uses it.
type InterfaceTuning struct {
	Name     string   `json:"name"`
	Asked    string   `json:"asked"`    // the mode of the configuration
	Modes    []string `json:"modes"`    // what each queue's socket obtained
	Attached string   `json:"attached"` // of the XDP program: native or generic
	Verdict  string   `json:"verdict"`  // the mode that auto would be, and why
	Express  Lane     `json:"express"`
	Queues   []int    `json:"queues"`          // served
	MaxMTU   int      `json:"max_mtu"`         // that frames hold
	Error    string   `json:"error,omitempty"` // why a socket is missing
}

// tuning is the settings in force, in full.
type tuning struct {
	batch, budget int
	spin          bool
	cpus          []int
	busyPoll      config.BusyPoll
	express       config.Express
	logLevel      string
	coalescing    map[string]nic.Coalescing // what was changed
}

// tuningOf is what a configuration says.
func tuningOf(c *config.Config) tuning {
	return tuning{
		batch: c.Rings.Batch, budget: c.Rings.TransmitBudget, spin: c.Workers.Spin, cpus: c.Workers.CPUs,
		busyPoll: c.Rings.BusyPoll, express: c.Steering.Express, logLevel: c.Log.Level, coalescing: map[string]nic.Coalescing{},
	}
}

// with is the tuning after a request. The parts of t are not changed.
func (t tuning) with(s *Settings) tuning {
	set(&t.batch, s.Batch)
	set(&t.budget, s.TransmitBudget)
	set(&t.spin, s.Spin)
	set(&t.cpus, s.CPUs)
	set(&t.express, (*config.Express)(s.Express))
	set(&t.logLevel, s.LogLevel)
	if b := s.BusyPoll; b != nil {
		set(&t.busyPoll.Enabled, b.Enabled)
		set(&t.busyPoll.Microseconds, b.Microseconds)
		set(&t.busyPoll.Budget, b.Budget)
		set(&t.busyPoll.DeferHardIRQs, b.DeferHardIRQs)
		set(&t.busyPoll.GROFlushTimeout, b.GROFlushTimeout)
	}
	coalescing := map[string]nic.Coalescing{}
	for name, c := range t.coalescing {
		coalescing[name] = c
	}
	for name, c := range s.Coalescing {
		if c == (nic.Coalescing{}) {
			delete(coalescing, name)
		} else {
			coalescing[name] = coalescing[name].With(c)
		}
	}
	t.coalescing = coalescing
	return t
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// settings is the tuning as the control socket tells it.
func (t tuning) settings() Settings {
	b := t.busyPoll
	cpus := append([]int{}, t.cpus...)
	return Settings{
		Batch: &t.batch, TransmitBudget: &t.budget, Spin: &t.spin, CPUs: &cpus, Express: (*string)(&t.express), LogLevel: &t.logLevel,
		BusyPoll: &BusyPollSettings{
			Enabled: &b.Enabled, Microseconds: &b.Microseconds, Budget: &b.Budget,
			DeferHardIRQs: &b.DeferHardIRQs, GROFlushTimeout: &b.GROFlushTimeout,
		},
		Coalescing: t.coalescing,
	}
}
