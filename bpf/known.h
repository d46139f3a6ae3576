/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets of known connections. One that asks for no decision is forwarded here, as the
 * worker would forward it, and never leaves the kernel; the others go to the worker.
 *
 * A packet is forwarded only if all that the worker would do is to let the entry of the
 * connection live on, to count, to decrement the TTL, and to rewrite the MAC addresses: a
 * TCP segment with ACK and without SYN, FIN and RST, or a UDP datagram, whose connection is
 * assured and stays in its state, and which the way to the server takes as it is. Whatever
 * else it meets, an entry that somebody changes at this moment included, it leaves
 * to the worker. So it decides nothing, and writes nothing to the tables but an expiry,
 * with the grade that goes with it, by compare-and-swap.
 *
 * dataplane/decide.go has what the worker does. A test runs both over the same packets and
 * tables.
 */
#pragma once
#include "tables.h"

/* The states that a segment with ACK alone leaves as they are. */
#define STATES_TCP (1 << STATE_TCP_ESTABLISHED | 1 << STATE_TCP_FIN_WAIT | 1 << STATE_TCP_TIME_WAIT)
#define STATES_UDP (1 << STATE_UDP)

/* What becomes of a packet: XDP_TX, XDP_REDIRECT, or one of these. */
#define TO_WORKER 0
#define MISSED (-1) /* it has no entry */

/* A packet as far as it matters here. */
struct packet {
	struct xdp_md *ctx;
	void *data;   /* the frame */
	void *ip;     /* its IP header */
	__u64 l3;     /* and the bytes before that */
	__u32 length; /* bytes from there to the end of the packet, as it says itself */
	__u32 tag;    /* VLAN, 0 without a tag, above all there are if that is no single one */
	__u32 states; /* those that its connection stays in; 0: it is for the worker */
};
#define ODD_TAGS 0x10000

/*
 * The bytes from the IP header to the end of the frame, which may have more than the packet. The
 * verifier wants pointers subtracted as they are.
 */
static __always_inline __u64 room(const struct packet *p)
{
	__u64 bytes = (void *)(long)p->ctx->data_end - (void *)(long)p->ctx->data;

	asm volatile("" : "+r"(bytes));
	return bytes - p->l3;
}

/* The states that a TCP segment leaves as they are. */
static __always_inline __u32 tcp_states(const struct tcp *tcp, __u32 length)
{
	__u32 header = (tcp->offset >> 4) * 4;

	if (header < TCP_MIN || header > length)
		return 0;
	return (tcp->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK ? STATES_TCP : 0;
}

static __always_inline __u32 udp_states(const struct udp *udp, __u32 length)
{
	__u32 says = bpf_ntohs(udp->length);

	return says >= UDP_MIN && says <= length ? STATES_UDP : 0;
}

/*
 * Whether the checksum of a TCP segment or UDP datagram is partial: a sender that leaves the
 * rest to its network card writes the sum of the pseudo header (packet/partial.go). length is
 * that of the segment.
 */
static __always_inline int is_partial(const void *header, const struct key *key, __u8 protocol,
				      __u32 length, const int ipv6)
{
	__u64 sum = (key->addr[0] >> 32) + (__u32)key->addr[0] + protocol;
	const struct tcp *tcp = header;
	const struct udp *udp = header;

	if (ipv6) {
		sum += (key->addr[1] >> 32) + (__u32)key->addr[1];
		sum += (key->addr[2] >> 32) + (__u32)key->addr[2];
		sum += (key->addr[3] >> 32) + (__u32)key->addr[3];
	}
	sum += protocol == PROTO_TCP ? length : bpf_ntohs(udp->length);
	sum = (sum >> 32) + (__u32)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum == bpf_ntohs(protocol == PROTO_TCP ? tcp->checksum : udp->checksum);
}

/*
 * What the record of a server says, all of it at one moment, in the words that it is read by.
 */
struct hop {
	__u64 way;    /* interface, ways, method, vlan */
	__u64 limits; /* mtu, port, template */
	__u64 macs;
	__u32 macs_end;
	__u32 timeout; /* of a connection in one state */
};

/*
 * Reads the record of the server that an entry is bound to; 0 if it is not there, or
 * somebody writes it. Its first word has sequence and id together.
 */
static __always_inline int read_server(__u64 bind, __u32 state, struct hop *hop)
{
	__u32 id = bind, number = id & SERVER_NUMBER;
	struct server *s = bpf_map_lookup_elem(&express_servers, &number);
	__u64 first, *word = (__u64 *)s;

	if (!s)
		return 0;
	first = READ(word[0]);
	if (first >> 32 != id || first & 1)
		return 0;
	hop->way = READ(word[1]);
	hop->limits = READ(word[2]);
	hop->macs = READ(*(__u64 *)&s->macs);
	hop->macs_end = READ(*(__u32 *)&s->macs[8]);
	hop->timeout = READ(s->timeouts[state]);
	return READ(word[0]) == first;
}

static __always_inline __u32 interface_of(const struct hop *hop)
{
	return hop->way;
}

static __always_inline __u32 template_of(const struct hop *hop)
{
	return hop->limits >> 32;
}

/* How a packet gets to its server; TO_WORKER: not from here. */
static __always_inline int way_to(const struct hop *hop, const struct packet *p)
{
	__u32 ways = hop->way >> 32;

	/* Direct routing, to this VLAN, and no longer than it may be: 0 is any length. */
	if (hop->way >> 40 != (p->tag << 8 | METHOD_DIRECT))
		return TO_WORKER;
	if (room(p) > (__u64)(__u16)(hop->limits - 1) + 1)
		return TO_WORKER;
	if (ways & WAY_BACK && interface_of(hop) == p->ctx->ingress_ifindex)
		return XDP_TX;
	return ways & WAY_REDIRECT ? XDP_REDIRECT : TO_WORKER;
}

/*
 * Restarts the timer of a connection unless it stands already, or somebody else changes
 * the word at this moment. With it, the grade rises from g with probability 2^-g, by a
 * draw that the worker would make alike (rises, affinity/update.go).
 */
static __always_inline void renew(const struct found *e, __u32 now, __u32 timeout)
{
	__u64 life = extended(e->life, now, timeout), grade = life >> LIFE_GRADE & GRADE_MASK;
	__u32 draw = scatter((e->hash ^ (__u32)(e->ident >> 32) ^ (__u32)e->ident) + now * 0x9e3779b1U);

	if (grade < GRADE_MASK && draw < ((1ULL << 32) >> grade) * step_of(timeout) / TICKS_PER_SECOND)
		life += 1ULL << LIFE_GRADE;
	compare_and_swap(e->slot[LIFE], e->life, life);
}

static __always_inline void renew_at(__u64 *slot, __u32 own, __u32 now, __u32 timeout)
{
	__u64 life = READ(slot[LIFE]);

	if (!((life >> LIFE_OWN ^ own) & LIFE_MASK) && !settled(life, now, timeout))
		compare_and_swap(slot[LIFE], life, extended(life, now, timeout));
}

/*
 * Restart the timer of the template that a connection holds: that in a slot, if it is of an
 * incarnation. Not static: few services want it, and the others are spared its registers.
 */
__attribute__((noinline)) int renew_template4(__u32 slot, __u32 own, __u32 now, __u32 timeout)
{
	__u64 *line = line_of(first_line(TABLE_TEMPLATES) + slot / 2);

	if (line)
		renew_at(slot & 1 ? line + HALF : line, own, now, timeout);
	return 0;
}

__attribute__((noinline)) int renew_template6(__u32 slot, __u32 own, __u32 now, __u32 timeout)
{
	__u64 *line = line_of(first_line(TABLE_TEMPLATES + 1) + slot);

	if (line)
		renew_at(line, own, now, timeout);
	return 0;
}

/* The same, for whatever connection. */
static __always_inline void renew_template(const struct found *e, const int ipv6, __u32 now,
					   __u32 timeout)
{
	__u32 slot = e->bind >> BIND_TEMPLATE;

	if (!timeout || !slot)
		return;
	if (ipv6)
		renew_template6(slot - 1, e->life >> LIFE_OTHER, now, timeout);
	else
		renew_template4(slot - 1, e->life >> LIFE_OTHER, now, timeout);
}

static __always_inline void carried(__u32 number, __u32 bytes)
{
	struct traffic *t = bpf_map_lookup_elem(&express_traffic, &number);

	if (t) {
		t->packets += 1;
		t->bytes += bytes;
	}
}

/* One hop less to go, and the checksum to match (ip_decrease_ttl); 0 if there is none left. */
static __always_inline int may_hop(const void *header, const int ipv6)
{
	const struct ipv4 *ip4 = header;
	const struct ipv6 *ip6 = header;

	return ipv6 ? ip6->hop_limit > 1 : ip4->ttl > 1;
}

static __always_inline void hop_on(void *header, const int ipv6)
{
	struct ipv4 *ip = header;
	__u32 sum;

	if (ipv6) {
		((struct ipv6 *)header)->hop_limit--;
		return;
	}
	sum = ip->checksum + bpf_htons(0x0100);
	ip->checksum = sum + (sum >= 0xffff);
	ip->ttl--;
}

/*
 * What becomes of a packet whose connection has this entry. The caller has made sure that
 * the frame holds its headers.
 */
static __always_inline int carry(const struct packet *p, const struct found *e, const int ipv6)
{
	__u32 state = e->life >> LIFE_STATE & STATE_MASK, now = tick_at(p->ctx->ingress_ifindex);
	struct hop hop;
	int action;

	if ((__s32)((__u32)e->life - now) <= 0)
		return MISSED;
	if (!(p->states >> state & 1) || !(e->life >> LIFE_GRADE & GRADE_MASK) || !may_hop(p->ip, ipv6))
		return TO_WORKER;
	if (!read_server(e->bind, state, &hop))
		return TO_WORKER;
	action = way_to(&hop, p);
	if (action == TO_WORKER)
		return TO_WORKER;
	if (!settled(e->life, now, hop.timeout))
		renew(e, now, hop.timeout);
	renew_template(e, ipv6, now, template_of(&hop));
	hop_on(p->ip, ipv6);
	*(__u64 *)p->data = hop.macs;
	*(__u32 *)(p->data + 8) = hop.macs_end;
	carried((__u32)e->bind & SERVER_NUMBER, p->length);
	count(EXPRESS);
	if (action == XDP_REDIRECT)
		return bpf_redirect(interface_of(&hop), 0);
	return action;
}
