package result

import "time"

// Run is one call of a benchmark: where, when and how, and what it found. One of
// Pipeline, Table, Wire and Flood is set.
type Run struct {
	Command  string    `json:"command"` // the command line, to do it again
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"` // how long it took
	Machine  Machine   `json:"machine"`
	Pipeline *Pipeline `json:"pipeline,omitempty"`
	Table    *Table    `json:"table,omitempty"`
	Wire     *Wire     `json:"wire,omitempty"`
	Flood    *Flood    `json:"flood,omitempty"`
}

// Machine is what the figures depend on beside the program.
type Machine struct {
	Host       string `json:"host,omitempty"`
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	MemoryMB   uint64 `json:"memory_mb"`
	Caches     string `json:"caches,omitempty"` // of the first core, by level
	Hypervisor bool   `json:"hypervisor"`       // the processor says it is a virtual one
	Governor   string `json:"governor,omitempty"`
	HugePages  string `json:"transparent_huge_pages,omitempty"`
	Kernel     string `json:"kernel"`
	GoVersion  string `json:"go"`
	Version    string `json:"version"`
	Commit     string `json:"commit,omitempty"` // "+dirty" behind it if the tree had changes
	Load       string `json:"load"`             // average of 1, 5 and 15 minutes, when the run began
}
