/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * From a frame to the flow that it belongs to, or to the reason why it belongs
 * to none. package packet does the same in Go, and a test holds the two together.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_EXTENSIONS 8 /* IPv6 extension headers that are followed, as in package packet */

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
	EXPRESS, /* not beside CLAIMED_FLOW: that is for the reader to add */
	OTHER_HOST,
	NO_CONNECTION,
	REASONS,
};

/* An address, or a prefix, within a space: of a family's destinations, or of a walk's sources. */
struct prefix {
	__u32 length;   /* in bits, those of space included */
	__u32 space;    /* destinations: 4 or 6; sources: the number of the walk */
	__be32 addr[4]; /* IPv4: the first word */
};
#define SPACE_BITS 32

/*
 * A frame under the parser. Offsets are from the frame's first byte: the
 * verifier prunes equal paths over scalars, not over packet pointers.
 */
struct frame {
	void *data, *end;
	__u64 at;        /* offset of the next header */
	__u64 l3;        /* offset of the IP header */
	__u32 left;      /* bytes from there to the end of the IP packet, as it says itself */
	__u16 vlan;      /* outermost, 0 without a tag */
	__u8 dscp;
	__u8 family;     /* 4 or 6 */
	__u8 next;       /* IP protocol of the next header */
	__u8 fragmented; /* more fragments follow */
	__u32 later;     /* offset of a later fragment in bytes, 0 otherwise */
	__u32 id;        /* identification of a fragment's packet */
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

/* What a step of the parser returns if it found no reason to stop. */
#define GO_ON REASONS

#define AT(f, type) ((struct type *)((f)->data + (f)->at))
#define HAS(f, header) ((void *)((header) + 1) <= (f)->end)

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
	f->l3 = f->at;
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
	f->id = bpf_ntohs(ip->id);
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
	__u32 id;
};
#define MAX_AT 0x7fff /* bytes; more than a frame that XDP sees may have */
#define MAX_L3 22     /* bytes before the IP header: Ethernet's and two tags */

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
			c->id = bpf_ntohl(x->id);
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
	f->id = c.id;
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

static __always_inline enum reason parse_all(struct xdp_md *ctx, struct frame *f, struct flow *flow)
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

/* What the parser found beside the flow, for others. */
struct parsed {
	__u32 at, l3, left; /* as in struct frame */
	__u32 later, id;
	__u8 next, fragmented;
};

/* Parses a frame. Not static: see skip_extensions. */
__attribute__((noinline)) int parse(struct xdp_md *ctx, struct parsed *found, struct flow *flow)
{
	struct frame f = {.data = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end};
	enum reason reason;

	if (!found || !flow)
		return TRUNCATED;
	flow->interface = ctx->ingress_ifindex;
	reason = parse_all(ctx, &f, flow);
	found->at = f.at;
	found->l3 = f.l3;
	found->left = f.left;
	found->later = f.later;
	found->id = f.id;
	found->next = f.next;
	found->fragmented = f.fragmented;
	return reason;
}
