package demo

// Result is what a demo found, and the object that --json prints.
type Result struct {
	// OK says that every check passed.
	OK bool `json:"ok"`
	// Requests counts what clients asked for, Failed those without an answer:
	// pages, downloads, FTP connections, datagrams.
	Requests int `json:"requests"`
	Failed   int `json:"failed"`
	// SplitClients counts clients that met more than one real server under one mark.
	SplitClients int     `json:"split_clients"`
	Checks       []Check `json:"checks"`
}

// Check is one line of the proof.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was seen, and why that is wrong if it is
}
