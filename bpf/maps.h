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

/*
 * What the fast path must know of a real server: what nearly every packet needs in one cache
 * line, up to the timeout of ESTABLISHED, the other times in another. It is written in
 * place while the program reads it: see read_server.
 */
#define SERVER_NUMBER 0xfffff /* bits of an id; the others are its generation */
#define STATES 16
struct server {
	__u32 sequence;  /* odd while somebody writes */
	__u32 id;        /* as entries name it; 0: the fast path is closed to it */
	__u32 interface; /* index of the one to send by */
	__u8 ways;       /* how that one can be sent by */
	__u8 method;     /* how packets are forwarded to it */
	__u16 vlan;      /* of the frames to it, 0 without a tag */
	__u16 mtu;       /* bytes of the longest packet to it; 0: any */
	__u16 port;      /* host order; for methods that change it */
	__u32 template;  /* ticks; 0: packets do not refresh templates */
	__u64 addr[2];   /* its address; for methods that need it */
	__u8 macs[12];   /* destination, source */
	__u32 timeouts[STATES]; /* ticks, by number of the connection's state: TCP's; UDP's one is 0 */
	__u32 unused[3];
};

enum ways {
	WAY_BACK = 1,     /* what came by it goes out again by XDP_TX */
	WAY_REDIRECT = 2, /* it takes frames that are redirected to it (ndo_xdp_xmit) */
};

enum method {
	METHOD_DIRECT, /* new MAC addresses; the only one that the fast path has */
};

/*
 * What of an interface is at hand, in a cache line: the MAC addresses that frames for us have, as
 * many as fit.
 */
#define OWN_MACS 6
#define OWN_SETS 64 /* an interface has the set of its index, modulo this */
struct own_macs {
	__u32 interface; /* 0: of none, or nothing is to be forwarded here */
	__u32 partial;   /* its frames may have partial checksums, as on a veth */
	__u64 tick;      /* when it was last; see tick_at */
	__u64 macs[OWN_MACS]; /* as the first six bytes of a frame lie in memory; 0: none */
};

/*
 * All of them. That of zeros says that its interface was told of; its value is partial, as above.
 */
#define MAX_LOCALS 16384
struct local {
	__u32 interface;
	__u8 mac[6];
	__u8 zero[2];
};

/* TCP segments of no connection that one CPU has let through in a second. */
struct budget {
	__u32 second, used;
};

/* What went to a real server by the fast path. */
struct traffic {
	__u64 packets, bytes;
};

/* Words of the map settings, which is for package bpf alone. */
enum setting {
	LAYOUT,     /* version of the maps */
	GENERATION, /* in force */
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
FOR_GO(enum, method);
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

/* The workers' tables. The program is loaded with the map that they are in. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct line);
} tables SEC(".maps");

/* The real servers by number, and what went to them; package bpf sizes both. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct server);
} express_servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct traffic);
} express_traffic SEC(".maps");

/* Whose frames are ours: own has the most of it, locals all. */
struct own_macs own[OWN_SETS] __attribute__((aligned(64)));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_LOCALS);
	__type(key, struct local);
	__type(value, __u8);
} locals SEC(".maps");

/* What becomes of a claimed frame when its queue has no socket. */
volatile __u32 fallback = XDP_DROP;

/* TCP segments of no connection that a CPU lets through in a second; 0: all of them. */
volatile __u32 no_connection_limit;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct budget);
} budgets SEC(".maps");

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

static __always_inline void count(enum reason reason)
{
	__u32 index = reason;
	__u64 *counter = bpf_map_lookup_elem(&counters, &index);

	if (counter)
		*counter += 1;
}
