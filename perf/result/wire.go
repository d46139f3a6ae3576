package result

// Wire is what `xlvs bench wire` finds: balancers between a generator and a sink.
type Wire struct {
	Runs []WireRun `json:"runs"`
	// Interfaces are those that the balancers were put on.
	Interfaces []Interface `json:"interfaces,omitempty"`
}

// Interface is a network interface that balancers were put on. A run's Mode is how
// each of them was bound to it.
type Interface struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	Queues int    `json:"queues"` // receive queues
	MTU    int    `json:"mtu"`
}

// WireRun is one balancer with one number of queues.
type WireRun struct {
	Name   string `json:"name"` // xlvs, asavie, nft-dsr, nft-nat, testpmd, xdp-tx
	Queues int    `json:"queues"`
	Size   int    `json:"size"`  // bytes of a frame
	Flows  int    `json:"flows"` // connections that the generator opens and keeps sending in
	Mode   string `json:"mode"`  // as bound: zerocopy, copy, generic; empty if it has none
	// Skipped is why there is no figure; the figures below are then 0.
	Skipped string `json:"skipped,omitempty"`
	// Failed tells that it was to be had, and then went wrong. Figures of rounds before
	// that are there.
	Failed bool `json:"failed,omitempty"`

	// Mpps is the throughput at the sink with more offered than it can take, in millions
	// of packets a second; OfferedMpps is what was offered.
	Mpps        float64 `json:"mpps"`
	OfferedMpps float64 `json:"offered_mpps"`
	// MppsLossFree is the highest rate that lost nothing (RFC 2544, section 26.1); Trials
	// is how it was searched for.
	MppsLossFree float64 `json:"mpps_loss_free"`
	Trials       []Trial `json:"trials,omitempty"`
	// LossFreeRounds are the MppsLossFree of each round in which it was searched for; 0
	// is a round in which no rate was carried without loss.
	LossFreeRounds Rounds `json:"rounds_mpps_loss_free,omitempty"`
	// Latency is at the load nearest to one half; Latencies has each load that was tried.
	Latency   Percentiles `json:"latency_us"`
	Latencies []Latency   `json:"latencies,omitempty"`
	// ConnectionsPerSecond is new connections, each of one packet, at the sink.
	ConnectionsPerSecond float64 `json:"connections_per_second"`
	// CPUNsPerPacket is what its process uses of processors for a packet, the kernel's
	// work at its behest included, interrupts not. 0 if it has no process.
	CPUNsPerPacket float64 `json:"cpu_ns_per_packet,omitempty"`
	// Lost and Duplicates are frames of the throughput trials of all rounds: lost by
	// overload, and seen twice, which no load excuses.
	Lost       uint64 `json:"lost"`
	Duplicates uint64 `json:"duplicates"`

	Spread float64 `json:"spread"` // of Mpps
	Noisy  bool    `json:"noisy"`
	// Rounds are the Mpps of each round; Ratios are to the limit (xdp-tx), by round.
	Rounds Rounds  `json:"rounds_mpps,omitempty"`
	Ratio  float64 `json:"of_limit,omitempty"` // median of the rounds' ratios to xdp-tx
}

// Trial is one step of a search for the loss-free rate.
type Trial struct {
	OfferedMpps float64 `json:"offered_mpps"`
	Sent        uint64  `json:"sent"`
	Received    uint64  `json:"received"`
}

// Percentiles are of the time from generator to sink, in microseconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Latency is a distribution at one load. Percentiles are medians of the rounds', but
// for Max; Samples, Max, CDF and Tail are of all rounds together.
type Latency struct {
	OfferedMpps float64 `json:"offered_mpps"`
	// Load is the rate as a share of what one balancer, the same for all, carries: of
	// its loss-free rate if that was searched for, else of its throughput.
	Load    float64 `json:"load"`
	Samples int64   `json:"samples"` // frames that were timed
	Lost    uint64  `json:"lost"`    // frames that were sent and never came
	Percentiles
	// P999Rounds are the 99.9th percentiles of the rounds, in microseconds.
	P999Rounds Rounds `json:"rounds_p999_us,omitempty"`
	// BalancerWaited and GeneratorWaited are the shares of the time in which a thread that
	// carried frames, or a generator, was ready to run while something else had its CPU. A
	// delay counts from when a frame was due, so that packets wait for either. 0 if the
	// kernel does not tell, or the balancer is the kernel.
	BalancerWaited  float64 `json:"balancer_waited"`
	GeneratorWaited float64 `json:"generator_waited"`
	// Stolen is the time that a hypervisor took from all the machine's processors
	// together, as a share of the time in all rounds.
	Stolen float64 `json:"stolen"`
	// CDF are points of the distribution, by rising share: which share of the packets
	// took at most that many microseconds.
	CDF []Point `json:"cdf,omitempty"`
	// Tail is the histogram from its slow end, by rising delay: how many frames took at
	// least so long. It has the powers of ten and about twenty delays between two of
	// them, of those that no frame lies between only the longest, and ends with the slowest.
	Tail []Slower `json:"tail,omitempty"`
}

// SlowerThan is how many of the timed frames took at least so many microseconds; exact,
// to the histogram's resolution of some 1 %, for powers of ten.
func (l *Latency) SlowerThan(us float64) int64 {
	for _, s := range l.Tail {
		if s.Us >= us {
			return s.Frames
		}
	}
	return 0
}

// Point is one point of a cumulative distribution.
type Point struct {
	Us    float64 `json:"us"`
	Share float64 `json:"share"`
}

// Slower is how many frames took at least Us microseconds.
type Slower struct {
	Us     float64 `json:"us"`
	Frames int64   `json:"frames"`
}
