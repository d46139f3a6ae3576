package pipeline

import (
	"fmt"
	"time"

	"github.com/xlvs/xlvs/dataplane"
)

// Options says what to measure. The zero value of a field is its default.
type Options struct {
	Flows    int           // known connections; default 4096, at most MaxFlows
	IPv6     bool          // family of the packets
	Mix      float64       // share of packets that open a connection, 0 to 1
	Size     Size          // of frames; default 64 bytes
	Batch    int           // frames a call; default 64, at most dataplane.MaxBatch
	Rounds   int           // default 5
	Duration time.Duration // of a round, all stages together; default 400 ms
}

// MaxFlows is how many known connections there may be.
const MaxFlows = 1 << 26

// Validate tells whether the options can be measured.
func (o Options) Validate() error {
	_, err := o.withDefaults()
	return err
}

// withDefaults fills in what was left out and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	if o.Flows == 0 {
		o.Flows = 4096
	}
	if len(o.Size.lengths) == 0 {
		o.Size = Size{"64", []int{64}}
	}
	if o.Batch == 0 {
		o.Batch = 64
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Duration == 0 {
		o.Duration = 400 * time.Millisecond
	}
	switch {
	case o.Flows < 1 || o.Flows > MaxFlows:
		return o, fmt.Errorf("%d flows: want 1 to %d", o.Flows, MaxFlows)
	case !(o.Mix >= 0 && o.Mix <= 1):
		return o, fmt.Errorf("mix %v: want a share of new connections from 0 to 1", o.Mix)
	case o.Batch < 1 || o.Batch > dataplane.MaxBatch:
		return o, fmt.Errorf("batch of %d frames: want 1 to %d", o.Batch, dataplane.MaxBatch)
	case o.Rounds < 1:
		return o, fmt.Errorf("%d rounds: want at least 1", o.Rounds)
	case o.Duration < 0:
		return o, fmt.Errorf("rounds of %v: want more than 0", o.Duration)
	}
	return o, nil
}
