package result

// Table is what `xlvs bench table` finds: the connection table beside others.
type Table struct {
	Tables []TableCase `json:"tables"`
}

// TableCase is one table at one number of entries. Times are in nanoseconds of
// processor time an operation, whatever goroutine of the process used it; those of all
// cores at once are divided by the number of cores, so that they are the time that
// passes if nothing else runs.
type TableCase struct {
	Name    string  `json:"name"`    // xlvs, ristretto, otter, xsync.Map, sync.Map
	Entries int     `json:"entries"` // that were put into it
	Load    float64 `json:"load"`    // entries as a share of what it was made for; 0 if it grows as it likes

	Lookup     float64 `json:"lookup_ns"`      // of a random entry that was put in
	LookupMiss float64 `json:"lookup_miss_ns"` // of a key that was not
	// LookupSingle is a lookup that waits for memory on its own, for a table whose
	// Lookup is one of a batch.
	LookupSingle float64 `json:"lookup_single_ns,omitempty"`
	Insert       float64 `json:"insert_ns"` // until it is full as above
	Expire       float64 `json:"expire_ns"` // to be rid of an entry that is over; 0 if it has no expiry
	LookupAll    float64 `json:"lookup_all_cores_ns"`
	InsertAll    float64 `json:"insert_all_cores_ns"`
	BytesEntry   float64 `json:"bytes_per_entry"` // memory taken from the system for them, over the number of those that were kept
	Cores        int     `json:"cores"`           // that "all cores" means
	// CollectionNs is how long a collection of garbage takes with the table in memory and
	// nothing else that would matter.
	CollectionNs float64 `json:"gc_ns"`
	ExpireNote   string  `json:"expire_note,omitempty"`
	Description  string  `json:"description"` // how the table was set up

	// SplitClients is how many of Clients that opened two connections at once, on two
	// threads, were sent to two servers. LostEntries is how many of Entries were not
	// found again after all of them were put in.
	SplitClients int `json:"split_clients"`
	Clients      int `json:"clients"`
	LostEntries  int `json:"lost_entries"`
	// Present is how many of Entries lookups could find when they were measured: a table
	// that loses what comes too fast was given it again, slowly, as often as it helped.
	Present int `json:"present"`

	// Ratios are the median of the rounds' ratios to the table named xlvs: 2 is twice
	// its time. By the name of the figure.
	Ratios map[string]float64 `json:"times_xlvs,omitempty"`
	Noisy  bool               `json:"noisy"`
	// Rounds of each figure, by its name.
	Rounds map[string]Rounds `json:"rounds,omitempty"`
}
