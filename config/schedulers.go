package config

// schedulerFlags are the schedulers of IPVS by name, with the flags of each.
var schedulerFlags = map[string][]string{
	"rr": nil, "wrr": nil, "lc": nil, "wlc": nil, "sed": nil, "nq": nil, "dh": nil,
	"lblc": nil, "lblcr": nil, "fo": nil, "ovf": nil, "twos": nil,
	"sh": {"sh-fallback", "sh-port"},
	"mh": {"mh-fallback", "mh-port"},
}

// schedulerNames are their names in the order of the documentation.
var schedulerNames = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf", "twos"}
