package result

// Pipeline is what `xlvs bench pipeline` finds: the balancer's own work from the
// bytes of a frame to its verdict, without any network. The first case stands in the
// object itself; all of them are in Cases.
type Pipeline struct {
	PipelineCase
	Cases []PipelineCase `json:"cases"`
}

// PipelineCase is the work at one number of flows.
type PipelineCase struct {
	Flows  int     `json:"flows"`
	Family string  `json:"family"` // ipv4, ipv6
	Method string  `json:"method"` // direct, nat, tunnel
	Size   string  `json:"size"`   // bytes of a frame, or imix
	Mix    float64 `json:"mix"`    // share of packets that open a connection, 0 to 1
	Batch  int     `json:"batch"`  // frames a call

	NsPerPacket      float64 `json:"ns_per_packet"`
	HarnessNs        float64 `json:"harness_ns"` // what writing a frame takes; not in NsPerPacket
	PacketsPerSecond float64 `json:"packets_per_second"`
	AllocsPerPacket  float64 `json:"allocs_per_packet"`
	BytesPerPacket   float64 `json:"bytes_allocated_per_packet"`
	GCCycles         uint32  `json:"gc_cycles"` // that the packets caused, all rounds together

	// Stages is what each stage costs, in nanoseconds a packet; their sum is about
	// NsPerPacket. StageOrder is the order in which a packet goes through them.
	Stages     map[string]float64 `json:"stages"`
	StageOrder []string           `json:"stage_order"`

	Spread float64 `json:"spread"` // of NsPerPacket, see Rounds.Spread
	Noisy  bool    `json:"noisy"`
	// Rounds are the nanoseconds a packet of each round.
	Rounds Rounds `json:"rounds_ns"`
}
