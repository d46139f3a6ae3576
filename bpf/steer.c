//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * xlvs_steer decides which frames leave the kernel, and forwards those that need no
 * worker. The walk of a frame:
 *
 *	own MAC address? -> connection? -> forward here, or the socket of the queue
 *	      |                  |
 *	      no                 no -> claimed by a rule or service? -> the socket of the queue
 *	      |                                  |
 *	      '----------------------------------'-> XDP_PASS
 *
 * A connection is asked for before the claims, as in IPVS: an edit of the rules does not
 * cut what lives, and a known packet does not pay for the rules. What is neither
 * known nor claimed, and what cannot be decided, is XDP_PASS: a frame in user space cannot
 * be handed back to the kernel.
 *
 * xlvs_steer itself is the fast path (known.h) of the common packet: with one VLAN tag or none,
 * IPv4 without options or IPv6 without extension headers, TCP or UDP. If it is not known, only
 * the claims are left (claims.h). All else goes the slow path, which has a parser for
 * everything (parse.h).
 */
#include "kernel.h"
#include "maps.h"
#include "parse.h"
#include "claims.h"
#include "known.h"

/* Where the socket of the frame's queue is in sockets; 0: there is no place for one. */
static __always_inline int socket_index(struct xdp_md *ctx, __u32 *index)
{
	__u32 interface = ctx->ingress_ifindex, queue = ctx->rx_queue_index;
	__u32 *slot = bpf_map_lookup_elem(&interfaces, &interface);

	if (!slot || queue >= MAX_QUEUES)
		return 0;
	*index = *slot * MAX_QUEUES + queue;
	return 1;
}

/* Whether the kernel stands in for a director that is gone, and has its known connections, too. */
static __always_inline int stood_in_for(struct xdp_md *ctx)
{
	__u32 index;

	if (fallback != XDP_PASS)
		return 0;
	return !socket_index(ctx, &index) || !bpf_map_lookup_elem(&sockets, &index);
}

/* To the socket of the frame's queue, or what is to be done without one. */
static __always_inline int redirect(struct xdp_md *ctx, __u32 reason)
{
	int action = fallback == XDP_PASS ? XDP_PASS : XDP_DROP;
	__u32 index;

	count(reason);
	if (socket_index(ctx, &index))
		action = bpf_redirect_map(&sockets, index, action);
	if (action != XDP_REDIRECT)
		count(NO_SOCKET);
	return action;
}

/* Not static: see skip_extensions. */
__attribute__((noinline)) int to_socket(struct xdp_md *ctx, __u32 reason)
{
	return redirect(ctx, reason);
}

/*
 * Whether a unicast frame is for another host. An interface of which nobody was told
 * anything takes what comes; package bpf tells before it attaches.
 */
static __always_inline int for_another(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct local local = {.interface = ctx->ingress_ifindex};
	struct ethernet *eth = data;

	if ((void *)(eth + 1) > end || eth->destination[0] & 1)
		return 0;
	__builtin_memcpy(local.mac, eth->destination, sizeof(local.mac));
	if (bpf_map_lookup_elem(&locals, &local))
		return 0;
	__builtin_memset(local.mac, 0, sizeof(local.mac));
	return bpf_map_lookup_elem(&locals, &local) != 0;
}

/*
 * Whether a TCP segment, at this offset, is none that opens a connection, and this second has
 * had enough of them.
 */
static __always_inline int one_too_many(struct xdp_md *ctx, __u64 at)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 limit = no_connection_limit, zero = 0, second;
	struct budget *budget;
	struct tcp *tcp;

	if (!limit || at > MAX_AT)
		return 0;
	tcp = data + at;
	if ((void *)(tcp + 1) > end || (tcp->flags & (TCP_SYN | TCP_RST)) == TCP_SYN)
		return 0;
	budget = bpf_map_lookup_elem(&budgets, &zero);
	if (!budget)
		return 0;
	second = tick_at(ctx->ingress_ifindex) / TICKS_PER_SECOND;
	if (budget->second != second) {
		budget->second = second;
		budget->used = 0;
	}
	if (budget->used >= limit)
		return 1;
	budget->used++;
	return 0;
}

static __always_inline __u64 two(const __be32 *words)
{
	return (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

/* What the entry of a parsed packet is found by. */
static __always_inline void key_of(const struct parsed *f, const struct flow *flow, struct key *key,
				   const int ipv6)
{
	if (f->later)
		key->ident = (ipv6 ? f->id : (__u64)(f->id << 16 | f->next)) << IDENT_DESTINATION |
			     (__u64)PROTO_FRAGMENT << IDENT_PROTOCOL;
	else
		key->ident = (__u64)flow->source_port << IDENT_SOURCE |
			     (__u64)flow->port << IDENT_DESTINATION | (__u64)f->next << IDENT_PROTOCOL;
	if (!ipv6) {
		key->addr[0] = (__u64)bpf_ntohl(flow->source.addr[0]) << 32 |
			       bpf_ntohl(flow->destination.addr[0]);
		return;
	}
	key->addr[0] = two(&flow->source.addr[0]);
	key->addr[1] = two(&flow->source.addr[2]);
	key->addr[2] = two(&flow->destination.addr[0]);
	key->addr[3] = two(&flow->destination.addr[2]);
}

/* Whether the frames of an interface may have partial checksums. */
static __always_inline int may_be_partial(__u32 interface)
{
	const struct own_macs *o = &own[interface % OWN_SETS];
	struct local local = {.interface = interface};
	__u8 *partial;

	if (READ(o->interface) == interface)
		return READ(o->partial);
	partial = bpf_map_lookup_elem(&locals, &local);
	return partial && *partial;
}

/* The states that a parsed packet leaves its connection in. */
static __always_inline __u32 states_kept(const struct parsed *f, const struct flow *flow,
					 const struct key *key, void *header, void *end,
					 const int ipv6)
{
	int partial = may_be_partial(flow->interface);

	if (f->fragmented || f->later || flow->quoted)
		return 0;
	if (f->next == PROTO_TCP && header + sizeof(struct tcp) <= end &&
	    !(partial && is_partial(header, key, PROTO_TCP, f->left, ipv6)))
		return tcp_states(header, f->left);
	if (f->next == PROTO_UDP && header + sizeof(struct udp) <= end &&
	    !(partial && is_partial(header, key, PROTO_UDP, f->left, ipv6)))
		return udp_states(header, f->left);
	return 0;
}

/* The VLAN of a parsed frame that has at most the one tag. */
static __always_inline __u32 tag_of(const struct parsed *f, __u16 vlan, const struct ethernet *eth)
{
	if (f->l3 == sizeof(*eth))
		return 0;
	if (f->l3 == sizeof(*eth) + sizeof(struct vlan) && vlan && eth->type == bpf_htons(ETH_P_8021Q))
		return vlan;
	return ODD_TAGS;
}

static __always_inline int carry_parsed(struct xdp_md *ctx, const struct parsed *f,
					const struct flow *flow, const int ipv6)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 at = f->at, l3 = f->l3;
	struct packet p = {.ctx = ctx, .data = data, .l3 = l3, .length = at + f->left - l3};
	struct key key;
	struct found e;

	key_of(f, flow, &key, ipv6);
	if (!find(&key, f->later ? hash_of_fragments(&key, ipv6) : hash_of(&key, ipv6), ipv6, &e))
		return MISSED;
	/* The verifier does not know that the parser has seen to this. */
	if (at > MAX_AT || l3 > MAX_L3)
		return TO_WORKER;
	p.ip = data + l3;
	if (data + sizeof(struct ethernet) > end ||
	    p.ip + (ipv6 ? sizeof(struct ipv6) : sizeof(struct ipv4)) > end)
		return TO_WORKER;
	p.tag = tag_of(f, flow->vlan, data);
	p.states = states_kept(f, flow, &key, data + at, end, ipv6);
	return carry(&p, &e, ipv6);
}

/* What becomes of a packet that the parser has seen. Not static: see skip_extensions. */
__attribute__((noinline)) int known4(struct xdp_md *ctx, struct parsed *parsed, struct flow *flow)
{
	return parsed && flow ? carry_parsed(ctx, parsed, flow, 0) : MISSED;
}

__attribute__((noinline)) int known6(struct xdp_md *ctx, struct parsed *parsed, struct flow *flow)
{
	return parsed && flow ? carry_parsed(ctx, parsed, flow, 1) : MISSED;
}

/* What a frame counts as that the parser has seen, and that goes to a socket. */
static __always_inline __u32 reason_of(const struct parsed *f, const struct flow *flow)
{
	if (f->later)
		return CLAIMED_FRAGMENT;
	return flow->quoted ? CLAIMED_ERROR : CLAIMED_FLOW;
}

#define SLOW (-2)    /* not a common packet */
#define FOREIGN (-3) /* nobody looked whether the frame is for us */

/*
 * The slow path: what is no common packet, or has no MAC address that is at hand. Not static:
 * see skip_extensions.
 */
__attribute__((noinline)) int slow(struct xdp_md *ctx, int why)
{
	int stood_in = stood_in_for(ctx), action = MISSED;
	struct parsed found = {};
	struct flow flow = {};
	__u32 reason;

	if (why == FOREIGN && for_another(ctx)) {
		count(OTHER_HOST);
		return XDP_PASS;
	}
	reason = parse(ctx, &found, &flow);
	if (reason != GO_ON) {
		count(reason);
		return XDP_PASS;
	}
	if (!stood_in && flow.destination.space == 4)
		action = known4(ctx, &found, &flow);
	else if (!stood_in)
		action = known6(ctx, &found, &flow);
	if (action > TO_WORKER)
		return action;
	reason = action == TO_WORKER ? reason_of(&found, &flow) : claims(&found, &flow);
	if (reason > CLAIMED_ERROR) {
		count(reason);
		return XDP_PASS;
	}
	if (action == MISSED && reason == CLAIMED_FLOW && found.next == PROTO_TCP && !stood_in &&
	    one_too_many(ctx, found.at)) {
		count(NO_CONNECTION);
		return XDP_DROP;
	}
	return to_socket(ctx, reason);
}

/* A common packet without an entry: only the claims are left. Its flow is filled in. */
static __always_inline int newcomer(struct xdp_md *ctx, struct flow *flow, __u32 tag, __u8 protocol,
				    __u64 at)
{
	__u32 bits = flow->destination.space == 4 ? 32 : 128;

	flow->vlan = tag;
	flow->destination.length = flow->source.length = SPACE_BITS + bits;
	flow->interface = ctx->ingress_ifindex;
	if (!flow_claimed(flow, protocol)) {
		count(UNCLAIMED);
		return XDP_PASS;
	}
	if (protocol == PROTO_TCP && one_too_many(ctx, at)) {
		count(NO_CONNECTION);
		return XDP_DROP;
	}
	return redirect(ctx, CLAIMED_FLOW);
}

/* newcomer for a packet that common4 has seen. Not static: see skip_extensions. */
__attribute__((noinline)) int newcomer4(struct xdp_md *ctx, __u32 l3, __u32 tag)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv4 *ip = data + l3;
	struct ports *ports = (void *)(ip + 1);
	struct flow flow = {.destination.space = 4};

	if (l3 > MAX_L3 || (void *)(ports + 1) > end)
		return XDP_PASS;
	copy4(flow.source.addr, ip->source);
	copy4(flow.destination.addr, ip->destination);
	flow.source_port = bpf_ntohs(ports->source);
	flow.port = bpf_ntohs(ports->destination);
	flow.dscp = ip->tos >> 2;
	return newcomer(ctx, &flow, tag, ip->protocol, l3 + sizeof(*ip));
}

/* The same for common6. */
__attribute__((noinline)) int newcomer6(struct xdp_md *ctx, __u32 l3, __u32 tag)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6 *ip = data + l3;
	struct ports *ports = (void *)(ip + 1);
	struct flow flow = {.destination.space = 6};

	if (l3 > MAX_L3 || (void *)(ports + 1) > end)
		return XDP_PASS;
	copy6(flow.source.addr, ip->source);
	copy6(flow.destination.addr, ip->destination);
	if (is_mapped(ip->source) || is_mapped(ip->destination)) {
		count(BAD_HEADER);
		return XDP_PASS;
	}
	flow.source_port = bpf_ntohs(ports->source);
	flow.port = bpf_ntohs(ports->destination);
	flow.dscp = (bpf_ntohl(ip->version_class_flow) >> 22) & 0x3f;
	return newcomer(ctx, &flow, tag, ip->next, l3 + sizeof(*ip));
}

/* Whether a frame has a MAC address of its interface, one of those that are at hand. */
static __always_inline int is_ours(const void *data, __u32 interface, const struct own_macs *o)
{
	__u64 mac = *(__u64 *)data << 16 >> 16; /* the machine is little-endian */

	if (READ(o->interface) != interface)
		return 0;
	if (READ(o->macs[0]) == mac)
		return 1;
	for (int i = 1; i < OWN_MACS; i++)
		if (READ(o->macs[i]) == mac)
			return 1;
	return 0;
}

/* The states that a common packet leaves its connection in. */
static __always_inline __u32 transport_states(void *header, const struct key *key, __u32 length,
					      int partial, const int ipv6)
{
	__u8 protocol = key->ident >> IDENT_PROTOCOL;

	if (partial && is_partial(header, key, protocol, length, ipv6))
		return 0;
	return protocol == PROTO_TCP ? tcp_states(header, length) : udp_states(header, length);
}

/* How a common packet came. */
struct way {
	__u32 l3;  /* bytes before its IP header */
	__u32 tag; /* VLAN, 0 without a tag */
	__u32 partial; /* its checksum may be partial */
};

static __always_inline int common4(struct xdp_md *ctx, void *data, void *end, const struct way *way)
{
	struct packet p = {.ctx = ctx, .data = data, .l3 = way->l3, .tag = way->tag};
	struct ipv4 *ip = p.ip = data + p.l3;
	struct key key;
	struct found e;

	if ((void *)(ip + 1) + TCP_MIN > end)
		return SLOW;
	p.length = bpf_ntohs(ip->total_length);
	if (ip->version_ihl != 0x45 ||
	    ip->fragment & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK) ||
	    (ip->protocol != PROTO_TCP && ip->protocol != PROTO_UDP) ||
	    p.length < sizeof(*ip) + (ip->protocol == PROTO_TCP ? TCP_MIN : UDP_MIN) ||
	    (void *)ip + p.length > end)
		return SLOW;
	key.ident = (__u64)bpf_ntohl(*(__be32 *)(ip + 1)) << IDENT_DESTINATION |
		    (__u64)ip->protocol << IDENT_PROTOCOL;
	key.addr[0] = bpf_be64_to_cpu(*(__u64 *)&ip->source);
	if (!find(&key, hash_of(&key, 0), 0, &e))
		return MISSED;
	p.states = transport_states(ip + 1, &key, p.length - sizeof(*ip), way->partial, 0);
	return carry(&p, &e, 0);
}

/* Not static, so that its keys do not lie on the stack of xlvs_steer. */
__attribute__((noinline)) int common6(struct xdp_md *ctx, __u32 l3, __u32 tag, __u32 partial)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet p = {.ctx = ctx, .data = data, .l3 = l3, .tag = tag};
	struct ipv6 *ip = p.ip = data + p.l3;
	struct key key;
	struct found e;
	__u32 payload;

	if (l3 > MAX_L3 || data + sizeof(struct ethernet) > end || (void *)(ip + 1) + TCP_MIN > end)
		return SLOW;
	payload = bpf_ntohs(ip->payload_length);
	if ((ip->version_class_flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000) ||
	    (ip->next != PROTO_TCP && ip->next != PROTO_UDP) ||
	    payload < (ip->next == PROTO_TCP ? TCP_MIN : UDP_MIN) || (void *)(ip + 1) + payload > end)
		return SLOW;
	p.length = sizeof(*ip) + payload;
	key.ident = (__u64)bpf_ntohl(*(__be32 *)(ip + 1)) << IDENT_DESTINATION |
		    (__u64)ip->next << IDENT_PROTOCOL;
	key.addr[0] = bpf_be64_to_cpu(*(__u64 *)&ip->source[0]);
	key.addr[1] = bpf_be64_to_cpu(*(__u64 *)&ip->source[2]);
	key.addr[2] = bpf_be64_to_cpu(*(__u64 *)&ip->destination[0]);
	key.addr[3] = bpf_be64_to_cpu(*(__u64 *)&ip->destination[2]);
	if (!find(&key, hash_of(&key, 1), 1, &e))
		return MISSED;
	p.states = transport_states(ip + 1, &key, payload, partial, 1);
	return carry(&p, &e, 1);
}

SEC("xdp")
int xlvs_steer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct own_macs *o = &own[ctx->ingress_ifindex % OWN_SETS];
	struct way way = {.l3 = sizeof(struct ethernet), .partial = READ(o->partial)};
	struct ethernet *eth = data;
	struct vlan *tag = data + sizeof(*eth);
	int action = SLOW;
	__be16 type;

	if ((void *)(tag + 1) > end || !is_ours(data, ctx->ingress_ifindex, o))
		return slow(ctx, FOREIGN);
	type = eth->type;
	if (type == bpf_htons(ETH_P_8021Q)) {
		way.l3 += sizeof(*tag);
		way.tag = bpf_ntohs(tag->tci) & VLAN_VID_MASK;
		if (!way.tag) /* of priority alone */
			return slow(ctx, SLOW);
		type = tag->type;
	}
	if (type == bpf_htons(ETH_P_IP)) {
		action = common4(ctx, data, end, &way);
		if (action == MISSED)
			return newcomer4(ctx, way.l3, way.tag);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		action = common6(ctx, way.l3, way.tag, way.partial);
		if (action == MISSED)
			return newcomer6(ctx, way.l3, way.tag);
	}
	if (action > TO_WORKER)
		return action;
	return action == TO_WORKER ? to_socket(ctx, CLAIMED_FLOW) : slow(ctx, SLOW);
}

char _license[] SEC("license") = "Dual BSD/GPL";
