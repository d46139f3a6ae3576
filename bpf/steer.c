//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * xlvs_steer decides which frames leave the kernel. A frame that a virtual
 * service or a mark rule claims goes to the AF_XDP socket of its receive queue;
 * every other frame, and every frame that cannot be decided, is XDP_PASS: a
 * frame in user space cannot be handed back to the kernel.
 *
 * The walk of a frame:
 *
 *	parse -> struct flow -> prefixes[destination] -> ports[port] -> claimed, unclaimed
 *	                                                     |
 *	                                                     +-> sources[source] -> conditions, in order
 *
 * Package bpf compiles the rules into the four tables, so that the longest
 * prefix alone knows everything that applies to its addresses; see claims.go.
 * prefixes is replaced as a whole, by one write, and names the generation of
 * the others: a frame sees all of one configuration or all of the next.
 */
#include "kernel.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Limits that package bpf shares, through constants of its own. */
#define MAX_INTERFACES 64
#define MAX_QUEUES 256
#define MAX_EXTENSIONS 8
#define PORTS_PER_WORD 16 /* two bits each */

/* Why a frame went where it went: the index of its counter. reason.go explains them. */
enum reason {
	CLAIMED_FLOW,
	CLAIMED_FRAGMENT,
	CLAIMED_ERROR,
	NO_SOCKET, /* beside one of the above */
	UNCLAIMED,
	NOT_IP,
	NO_PORTS,
	GROUP_ADDRESS,
	TRUNCATED,
	BAD_HEADER,
	TOO_MANY_HEADERS,
	REASONS,
};

/* The state of a destination port: the index of a pair of bits. */
enum port_state {
	PORT_CLAIMED = 1,     /* claimed, unless a condition says otherwise */
	PORT_CONDITIONAL = 2, /* ask the conditions */
};

enum protocol { TCP, UDP, SCTP, PROTOCOLS };

/* An address, or a prefix, within a space: of a family's destinations, or of a walk's sources. */
struct prefix {
	__u32 length;   /* in bits, those of space included */
	__u32 space;    /* destinations: 4 or 6; sources: the number of the walk */
	__be32 addr[4]; /* IPv4: the first word */
};
#define SPACE_BITS 32

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
	__u64 dscps; /* bit n: code point n */
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

/* Words of the map settings. */
enum setting {
	FALLBACK, /* what becomes of a claimed frame when its queue has no socket: XDP_DROP or XDP_PASS */
	LAYOUT,   /* version of the maps, see package bpf */
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

/*
 * A frame under the parser. Offsets are from the frame's first byte: the
 * verifier prunes equal paths over scalars, not over packet pointers.
 */
struct frame {
	void *data, *end;
	__u64 at;        /* offset of the next header */
	__u32 left;      /* bytes from there to the end of the IP packet, as it says itself */
	__u16 vlan;      /* outermost, 0 without a tag */
	__u8 dscp;
	__u8 family;     /* 4 or 6 */
	__u8 next;       /* IP protocol of the next header */
	__u8 fragmented; /* more fragments follow */
	__u32 later;     /* offset of a later fragment in bytes, 0 otherwise */
};

/* What is looked up: client -> virtual address. */
struct flow {
	struct prefix source, destination;
	__u32 port, source_port; /* host order */
	__u32 interface;
	__u16 vlan;
	__u8 dscp;
	/* From inside an ICMP error: interface, vlan and dscp are the error's, not the flow's. */
	__u8 quoted;
};

/* Something to do after a parser: go on, or stop with the reason it returned. */
#define GO_ON REASONS

#define AT(f, type) ((struct type *)((f)->data + (f)->at))
#define HAS(f, header) ((void *)((header) + 1) <= (f)->end)

static __always_inline void count(enum reason reason)
{
	__u32 index = reason;
	__u64 *counter = bpf_map_lookup_elem(&counters, &index);

	if (counter)
		*counter += 1;
}

static __always_inline enum reason parse_ethernet(struct frame *f)
{
	struct ethernet *eth = AT(f, ethernet);
	__be16 type;

	if (!HAS(f, eth))
		return TRUNCATED;
	/* IPVS, too, leaves what is not addressed to this host alone (ip_vs_in_hook, PACKET_HOST). */
	if (eth->destination[0] & 1)
		return GROUP_ADDRESS;
	type = eth->type;
	f->at = sizeof(*eth);
#pragma unroll
	for (int i = 0; i < 2; i++) {
		struct vlan *tag;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD) && type != bpf_htons(ETH_P_9100))
			break;
		tag = AT(f, vlan);
		if (!HAS(f, tag))
			return TRUNCATED;
		if (i == 0)
			f->vlan = bpf_ntohs(tag->tci) & VLAN_VID_MASK;
		type = tag->type;
		f->at += sizeof(*tag);
	}
	if (type == bpf_htons(ETH_P_IP))
		f->family = 4;
	else if (type == bpf_htons(ETH_P_IPV6))
		f->family = 6;
	else
		return NOT_IP;
	return GO_ON;
}

static __always_inline void copy4(__be32 *to, __be32 addr)
{
	to[0] = addr;
	to[1] = to[2] = to[3] = 0;
}

static __always_inline void copy6(__be32 *to, const __be32 *addr)
{
	to[0] = addr[0];
	to[1] = addr[1];
	to[2] = addr[2];
	to[3] = addr[3];
}

/* IPv4-mapped (RFC 4291, 2.5.5.2): not on a wire (ip6_rcv_core), and IPv4 to who reads one. */
static __always_inline int is_mapped(const __be32 *addr)
{
	return !addr[0] && !addr[1] && addr[2] == bpf_htonl(0xffff);
}

/* An IPv4 header. One that an ICMP error quotes may say a length that the quote does not hold. */
static __always_inline enum reason parse_ipv4(struct frame *f, __be32 *source, __be32 *destination, int quoted)
{
	struct ipv4 *ip = AT(f, ipv4);
	__u32 length, header;
	__u16 fragment;

	if (!HAS(f, ip))
		return TRUNCATED;
	header = (ip->version_ihl & 0xf) * 4;
	length = bpf_ntohs(ip->total_length);
	if (ip->version_ihl >> 4 != 4 || header < IPV4_MIN)
		return BAD_HEADER;
	if (quoted) {
		if (f->left < header)
			return BAD_HEADER;
		f->left -= header;
	} else {
		if (length < header)
			return BAD_HEADER;
		if ((void *)ip + length > f->end)
			return TRUNCATED;
		f->left = length - header;
		f->dscp = ip->tos >> 2;
	}
	fragment = bpf_ntohs(ip->fragment);
	f->later = (fragment & IPV4_OFFSET_MASK) * 8;
	f->fragmented = (fragment & IPV4_MORE_FRAGMENTS) != 0;
	if (f->later + f->left > MAX_PACKET - header)
		return BAD_HEADER;
	f->next = ip->protocol;
	f->at += header;
	copy4(source, ip->source);
	copy4(destination, ip->destination);
	return GO_ON;
}

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == PROTO_HOP_BY_HOP || protocol == PROTO_ROUTING || protocol == PROTO_FRAGMENT ||
	       protocol == PROTO_AH || protocol == PROTO_DESTINATION;
}

/* Where a walk over extension headers is; its fields are those of struct frame. */
struct chain {
	__u32 at, left;
	__u32 next, fragmented, later;
	__u32 fragment; /* there was a fragment header */
};
#define MAX_AT 0x7fff /* bytes; more than a frame that XDP sees may have */

/*
 * Skips the extension headers, up to the first header that is none, or into a
 * later fragment. Not static: the verifier looks at a global function once,
 * whatever leads to it, and the paths through a chain of headers are many.
 */
__attribute__((noinline)) int skip_extensions(struct xdp_md *ctx, struct chain *c)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (!c)
		return TRUNCATED;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		struct extension *x;
		__u32 length;

		if (!is_extension(c->next))
			return GO_ON;
		if (c->left < sizeof(*x))
			return BAD_HEADER;
		if (c->at > MAX_AT)
			return TRUNCATED;
		x = data + c->at;
		if ((void *)(x + 1) > end)
			return TRUNCATED;
		length = (x->length + 1) * 8;
		if (c->next == PROTO_AH)
			length = (x->length + 2) * 4;
		if (c->next == PROTO_FRAGMENT) {
			__u16 word = bpf_ntohs(x->word);

			length = sizeof(*x);
			if (c->fragment) /* of a fragment */
				return BAD_HEADER;
			c->fragment = 1;
			c->fragmented = (word & IPV6_MORE_FRAGMENTS) != 0;
			c->later = word & IPV6_OFFSET_MASK;
			if (c->later + c->left - length > MAX_PACKET)
				return BAD_HEADER;
		}
		/* Segments left: the packet is not for its destination yet (RFC 8200, 4.4). */
		if (c->next == PROTO_ROUTING && (bpf_ntohs(x->word) & 0xff))
			return NO_PORTS;
		if (c->left < length)
			return BAD_HEADER;
		c->left -= length;
		c->at += length;
		c->next = x->next;
		if (c->later)
			return GO_ON;
	}
	return is_extension(c->next) ? TOO_MANY_HEADERS : GO_ON;
}

static __always_inline enum reason parse_extensions(struct xdp_md *ctx, struct frame *f)
{
	struct chain c = {.at = f->at, .left = f->left, .next = f->next};
	enum reason reason;

	if (!is_extension(f->next))
		return GO_ON;
	reason = skip_extensions(ctx, &c);
	if (c.at > MAX_AT)
		return TRUNCATED;
	f->at = c.at;
	f->left = c.left;
	f->next = c.next;
	f->fragmented = c.fragmented != 0;
	f->later = c.later;
	return reason;
}

static __always_inline enum reason parse_ipv6(struct xdp_md *ctx, struct frame *f, __be32 *source, __be32 *destination, int quoted)
{
	struct ipv6 *ip = AT(f, ipv6);
	__u32 first;

	if (!HAS(f, ip))
		return TRUNCATED;
	first = bpf_ntohl(ip->version_class_flow);
	if (first >> 28 != 6)
		return BAD_HEADER;
	if (quoted) {
		if (f->left < sizeof(*ip))
			return BAD_HEADER;
		f->left -= sizeof(*ip);
	} else {
		/* A jumbogram (RFC 2675) says 0 here, and ends as BAD_HEADER. */
		f->left = bpf_ntohs(ip->payload_length);
		if ((void *)(ip + 1) + f->left > f->end)
			return TRUNCATED;
		f->dscp = (first >> 22) & 0x3f;
	}
	f->later = f->fragmented = 0;
	f->next = ip->next;
	f->at += sizeof(*ip);
	copy6(source, ip->source);
	copy6(destination, ip->destination);
	if (is_mapped(source) || is_mapped(destination))
		return BAD_HEADER;
	return parse_extensions(ctx, f);
}

static __always_inline enum reason parse_ip(struct xdp_md *ctx, struct frame *f, __be32 *source, __be32 *destination, int quoted)
{
	return f->family == 4 ? parse_ipv4(f, source, destination, quoted)
			      : parse_ipv6(ctx, f, source, destination, quoted);
}

/* The shortest header of a protocol with ports, in bytes; 0 for other protocols. */
static __always_inline __u32 transport_min(__u8 protocol)
{
	switch (protocol) {
	case PROTO_TCP:
		return TCP_MIN;
	case PROTO_UDP:
		return UDP_MIN;
	case PROTO_SCTP:
		return SCTP_MIN;
	}
	return 0;
}

/* Bytes of a transport header that an ICMP error quotes at least (RFC 792). */
#define QUOTED_MIN 8

static __always_inline enum reason parse_ports(struct frame *f, __u32 min, __u32 *source, __u32 *destination)
{
	struct ports *p = AT(f, ports);

	if (f->left < min)
		return BAD_HEADER;
	if (!HAS(f, p))
		return TRUNCATED;
	*source = bpf_ntohs(p->source);
	*destination = bpf_ntohs(p->destination);
	return GO_ON;
}

/* Whether the frame, at its ICMP header, is an error; only then is there a packet inside. */
static __always_inline int is_error(struct frame *f)
{
	__u8 *type = f->data + f->at;

	if (f->left < ICMP_HEADER || f->fragmented || (void *)(type + 1) > f->end)
		return 0;
	if (f->family == 4)
		return f->next == PROTO_ICMP && (*type == ICMP_UNREACHABLE || *type == ICMP_SOURCE_QUENCH ||
						 *type == ICMP_TIME_EXCEEDED || *type == ICMP_PARAMETER_PROBLEM);
	return f->next == PROTO_ICMPV6 && *type >= ICMPV6_UNREACHABLE && *type <= ICMPV6_PARAMETER_PROBLEM;
}

/*
 * The packet that an ICMP error quotes: one of ours towards the client, so the
 * flow is its reverse. It holds the ports at least; a later fragment holds none
 * and is not resolved, as in IPVS.
 */
static __always_inline enum reason parse_quote(struct xdp_md *ctx, struct frame *f, struct flow *flow)
{
	__be32 from[4];
	enum reason reason;

	f->at += ICMP_HEADER;
	f->left -= ICMP_HEADER;
	reason = parse_ip(ctx, f, from, flow->source.addr, 1);
	if (reason != GO_ON)
		return reason;
	if (f->later || !transport_min(f->next))
		return UNCLAIMED;
	/* An error goes to the source of what it is about; another one lies. */
	if (from[0] != flow->destination.addr[0] || from[1] != flow->destination.addr[1] ||
	    from[2] != flow->destination.addr[2] || from[3] != flow->destination.addr[3])
		return UNCLAIMED;
	/* The error's source is a router; the flow's is the quoted destination. */
	flow->quoted = 1;
	return parse_ports(f, QUOTED_MIN, &flow->port, &flow->source_port);
}

static __always_inline enum reason parse(struct xdp_md *ctx, struct frame *f, struct flow *flow)
{
	enum reason reason = parse_ethernet(f);
	__u32 min;

	if (reason != GO_ON)
		return reason;
	reason = parse_ip(ctx, f, flow->source.addr, flow->destination.addr, 0);
	if (reason != GO_ON)
		return reason;
	flow->destination.space = f->family;
	flow->destination.length = flow->source.length = f->family == 4 ? SPACE_BITS + 32 : SPACE_BITS + 128;
	flow->vlan = f->vlan;
	flow->dscp = f->dscp;
	min = transport_min(f->next);
	if (f->later) {
		/* It would overlap the TCP header of the first one (RFC 1858, 3; RFC 3128). */
		if (f->next == PROTO_TCP && f->later < TCP_MIN)
			return BAD_HEADER;
		return min || (f->family == 6 && is_extension(f->next)) ? GO_ON : NO_PORTS;
	}
	if (min)
		return parse_ports(f, min, &flow->source_port, &flow->port);
	if (is_error(f))
		return parse_quote(ctx, f, flow);
	return NO_PORTS;
}

/* bpf_loop's argument: the flow, and where its rules are. */
struct walk {
	const struct flow *flow;
	void *conditions;
	__u32 first;
	__u32 claimed;
};

/*
 * An error says nothing of its flow's interface, VLAN and DSCP. A rule that
 * asks for them is taken to match if it claims, and not to match otherwise: an
 * error about a flow that may be ours is ours.
 */
static __always_inline int path_matches(const struct condition *c, const struct flow *flow)
{
	if (flow->quoted)
		return (c->flags & CONDITION_CLAIMS) || (c->flags & CONDITION_ANY_PATH) == CONDITION_ANY_PATH;
	if (!(c->flags & CONDITION_ANY_INTERFACE) && flow->interface != c->interface[0] &&
	    flow->interface != c->interface[1])
		return 0;
	if (!(c->flags & CONDITION_ANY_VLAN) && flow->vlan != c->vlan[0] && flow->vlan != c->vlan[1])
		return 0;
	return (c->dscps >> (flow->dscp & 63)) & 1;
}

/* One step of the first-match walk; 1 ends it. */
static long step(__u32 i, struct walk *walk)
{
	const struct flow *flow = walk->flow;
	__u32 index = walk->first + i;
	const struct condition *c = bpf_map_lookup_elem(walk->conditions, &index);

	if (!c)
		return 1;
	if (flow->port < c->port_low || flow->port > c->port_high || flow->source_port < c->source_low ||
	    flow->source_port > c->source_high || !path_matches(c, flow))
		return 0;
	walk->claimed |= c->flags & CONDITION_CLAIMS;
	return 1;
}

/*
 * The walk over the rules that ask for more than protocol and destination. The
 * longest prefix of the source knows all those that its addresses may match.
 */
static __always_inline __u32 walk_claims(struct flow *flow, __u32 generation, __u32 number, __u32 claimed)
{
	void *trie = bpf_map_lookup_elem(&sources, &generation);
	struct walk walk = {.flow = flow, .claimed = claimed};
	struct span *span;

	if (!trie)
		return claimed;
	flow->source.space = number;
	span = bpf_map_lookup_elem(trie, &flow->source);
	walk.conditions = bpf_map_lookup_elem(&conditions, &generation);
	if (!span || !walk.conditions)
		return claimed;
	walk.first = span->first;
	bpf_loop(span->count, step, &walk, 0);
	return walk.claimed;
}

/* Whether the port of the flow is claimed, by one protocol's claim on its destination. */
static __always_inline __u32 port_claimed(struct flow *flow, const struct entry *entry, const struct claim *claim)
{
	__u32 generation = entry->generation, index = claim->ports, state;
	void *sets = bpf_map_lookup_elem(&ports, &generation);
	struct port_set *set;

	if (!sets)
		return 0;
	set = bpf_map_lookup_elem(sets, &index);
	if (!set)
		return 0;
	state = set->word[(flow->port & 0xffff) / PORTS_PER_WORD] >> (flow->port % PORTS_PER_WORD * 2);
	if (!(state & PORT_CONDITIONAL))
		return state & PORT_CLAIMED;
	/* If no rule claims it, the services by address do or do not. */
	return walk_claims(flow, generation, claim->walk, state & PORT_CLAIMED);
}

static __always_inline enum reason claim(const struct frame *f, struct flow *flow)
{
	__u32 zero = 0;
	void *trie = bpf_map_lookup_elem(&prefixes, &zero);
	const struct entry *entry;
	const struct claim *claim;

	if (!trie)
		return UNCLAIMED;
	entry = bpf_map_lookup_elem(trie, &flow->destination);
	if (!entry)
		return UNCLAIMED;
	if (f->next == PROTO_TCP) {
		claim = &entry->protocol[TCP];
	} else if (f->next == PROTO_UDP) {
		claim = &entry->protocol[UDP];
	} else if (f->next == PROTO_SCTP) {
		claim = &entry->protocol[SCTP];
	} else {
		/* A later fragment whose protocol the first one has, behind more extension headers. */
		return entry->protocol[TCP].ports || entry->protocol[UDP].ports || entry->protocol[SCTP].ports
			       ? CLAIMED_FRAGMENT
			       : UNCLAIMED;
	}
	if (!claim->ports)
		return UNCLAIMED;
	if (f->later)
		return CLAIMED_FRAGMENT;
	if (!port_claimed(flow, entry, claim))
		return UNCLAIMED;
	return flow->quoted ? CLAIMED_ERROR : CLAIMED_FLOW;
}

/* To the socket of the frame's queue, or what is to be done without one. */
static __always_inline int redirect(struct xdp_md *ctx)
{
	__u32 interface = ctx->ingress_ifindex, queue = ctx->rx_queue_index, setting = FALLBACK;
	__u32 *fallback = bpf_map_lookup_elem(&settings, &setting);
	__u32 *slot = bpf_map_lookup_elem(&interfaces, &interface);
	int action = fallback && *fallback == XDP_PASS ? XDP_PASS : XDP_DROP;

	if (slot && queue < MAX_QUEUES)
		action = bpf_redirect_map(&sockets, *slot * MAX_QUEUES + queue, action);
	if (action != XDP_REDIRECT)
		count(NO_SOCKET);
	return action;
}

SEC("xdp")
int xlvs_steer(struct xdp_md *ctx)
{
	struct frame frame = {
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct flow flow = {.interface = ctx->ingress_ifindex};
	enum reason reason = parse(ctx, &frame, &flow);

	if (reason == GO_ON)
		reason = claim(&frame, &flow);
	count(reason);
	return reason <= CLAIMED_ERROR ? redirect(ctx) : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
