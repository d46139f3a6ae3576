/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What package bpf writes and the program reads, and the counters. */
#pragma once
#include "parse.h"

/* Limits that package bpf shares, through constants of its own. */
#define MAX_INTERFACES 64
#define MAX_QUEUES 256
#define PORTS_PER_WORD 16 /* two bits each */

/* The state of a destination port: the index of a pair of bits. */
enum port_state {
	PORT_CLAIMED = 1,     /* claimed, unless a condition says otherwise */
	PORT_CONDITIONAL = 2, /* ask the conditions */
};

enum protocol { TCP, UDP, SCTP, PROTOCOLS };

/* What is claimed of the addresses of one prefix. */
struct entry {
	__u32 generation; /* of ports, sources and conditions: 0 or 1 */
	struct claim {
		__u32 ports; /* index into ports; 0 claims nothing */
		__u32 walk;  /* space in sources, for ports that are conditional */
	} protocol[PROTOCOLS];
};

/* One state, of two bits, for each of 65536 destination ports. */
struct port_set {
	__u32 word[65536 / PORTS_PER_WORD];
};

/* The conditions that may hold for the sources of one prefix, in order. */
struct span {
	__u32 first, count; /* in conditions */
};

/* What a rule asks beyond protocol and addresses. Half a cache line. */
struct condition {
	__u64 dscps;               /* bit n: code point n */
	__u16 port_low, port_high; /* destination; host order */
	__u16 source_low, source_high;
	__u32 interface[2];
	__u16 vlan[2];
	__u32 flags;
};
enum condition_flags {
	CONDITION_CLAIMS = 1,        /* a service exists for the rule's mark */
	CONDITION_ANY_INTERFACE = 2,
	CONDITION_ANY_VLAN = 4,
	CONDITION_ANY_DSCP = 8,
};
#define CONDITION_ANY_PATH (CONDITION_ANY_INTERFACE | CONDITION_ANY_VLAN | CONDITION_ANY_DSCP)

/* A line of the workers' tables; package affinity has the layout. */
struct line {
	__u64 word[8];
};

/* Lines 1 to 3 of the tables: they never change. */
struct header {
	__u64 secret[16];     /* 11 of them are used */
	__u64 sections[4][2]; /* a table's first line (low half) and number of buckets (high half); first line of bucket words */
};

/* What the express lane must know of a real server. */
#define SERVER_NUMBER 0xfffff /* bits of an id; the others are its generation */
#define STATES 16
struct server {
	__u32 id;        /* as entries name it; 0: the lane is closed to it */
	__u32 interface; /* index of the one to send by */
	__u32 ways;      /* how that one can be sent by */
	__u8 macs[12];   /* destination, source */
	__u32 template;  /* ticks; 0: packets do not refresh templates */
	__u32 timeouts[STATES]; /* ticks, by number of the connection's state: TCP's; UDP's one is 0 */
};

enum ways {
	WAY_BACK = 1,     /* what came by it goes out again by XDP_TX */
	WAY_REDIRECT = 2, /* it takes frames that are redirected to it (ndo_xdp_xmit) */
};

/* What went to a real server by the express lane. */
struct traffic {
	__u64 packets, bytes;
};

/* Words of the map settings. */
enum setting {
	FALLBACK,   /* what becomes of a claimed frame when its queue has no socket: XDP_DROP or XDP_PASS */
	LAYOUT,     /* version of the maps, for package bpf alone */
	GENERATION, /* in force, for package bpf alone */
	SETTINGS,
};

/* bpf2go makes Go types of these; the section keeps them from becoming a map. */
#define FOR_GO(kind, name) const kind name *go_##name SEC("go_types")
FOR_GO(enum, reason);
FOR_GO(enum, port_state);
FOR_GO(enum, condition_flags);
FOR_GO(enum, setting);
FOR_GO(struct, prefix);
FOR_GO(struct, entry);
FOR_GO(struct, port_set);
FOR_GO(struct, span);
FOR_GO(struct, condition);
FOR_GO(struct, server);
FOR_GO(enum, ways);
FOR_GO(struct, traffic);

struct trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct prefix));
	__uint(value_size, sizeof(struct entry));
};

struct source_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct prefix));
	__uint(value_size, sizeof(struct span));
};

struct port_sets {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct port_set));
};

struct condition_list {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct condition));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct trie);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct port_sets);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct source_trie);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct condition_list);
} conditions SEC(".maps");

struct lines {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct line));
};

struct server_list {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct server));
};

/* The workers' tables; empty while the express lane is closed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct lines);
} express_tables SEC(".maps");

/* Of those tables. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct header);
} express_header SEC(".maps");

/* The real servers by number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct server_list);
} express_servers SEC(".maps");

/* By number of the real server; package bpf sizes it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic);
} express_traffic SEC(".maps");

/* Interface index -> slot; its queue q is sockets[slot * MAX_QUEUES + q]. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, __u32);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_INTERFACES * MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SETTINGS);
	__type(key, __u32);
	__type(value, __u32);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");
