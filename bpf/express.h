/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The express lane: a packet of a known connection that asks for no decision is
 * forwarded here, as the worker would forward it, and never leaves the kernel.
 *
 * It takes a packet only if all that the worker would do is to let the entry of the
 * connection live on, to count, and to rewrite the MAC addresses: a TCP segment
 * with ACK and without SYN, FIN and RST, or a UDP datagram, whose connection is
 * assured and stays in its state. Whatever else it meets, an entry that somebody
 * changes at this moment included, it leaves to the worker. So it decides nothing,
 * and writes nothing to the tables but an expiry and a grade, by compare-and-swap.
 *
 * affinity/layout.go has the layout of the tables, and dataplane/decide.go what the
 * worker does. A test runs both over the same packets and tables.
 */
#pragma once
#include "maps.h"

#define TABLE_IPV4 0 /* of the connections; the templates' are two further */
#define TABLE_IPV6 1
#define TABLE_TEMPLATES 2

/* Words of a slot. */
#define IDENT 0
#define BIND 1
#define LIFE 2
#define ADDRESS 3
#define HALF 4 /* an IPv4 slot has half a line */

#define IDENT_INCARNATION 2
#define IDENT_PROTOCOL 24
#define IDENT_DESTINATION 32
#define IDENT_SOURCE 48
#define IDENT_KEY (~0ULL << IDENT_PROTOCOL)
#define STATUS_MASK 3
#define STATUS_LIVE 2
#define BIND_TEMPLATE 32
#define LIFE_STATE 32
#define LIFE_GRADE 36
#define LIFE_OWN 44
#define LIFE_OTHER 54
#define LIFE_MASK 0x3ff
#define STATE_MASK 0xf
#define GRADE_MASK 7 /* the highest, too; 0 is unassured */

#define PROBES 31 /* buckets that an entry may be in */
#define WORDS_PER_LINE 16 /* bucket words, 32 bits each */

/* Times are in ticks, an eighth of a second of CLOCK_MONOTONIC. */
#define TICKS_PER_SECOND 8
#define NANOSECONDS_PER_TICK (1000000000 / TICKS_PER_SECOND)

/* Numbers of affinity.State, each within its protocol. */
#define STATE_TCP_ESTABLISHED 1
#define STATE_TCP_FIN_WAIT 4
#define STATE_TCP_TIME_WAIT 5
#define STATE_UDP 0
/* The states that a segment with ACK alone leaves as they are. */
#define STATES_TCP (1 << STATE_TCP_ESTABLISHED | 1 << STATE_TCP_FIN_WAIT | 1 << STATE_TCP_TIME_WAIT)

struct key {
	__u64 ident;
	__u64 addr[4]; /* IPv4: the first */
};

/* One of the tables, and where to look in it. */
struct table {
	const struct header *header;
	void *lines;
	__u32 first, buckets, words; /* line of the first slot, how many, line of the first bucket word */
};

/* An entry as it was found. */
struct found {
	__u32 hash;
	__u64 ident, bind, life;
	__u64 *slot;
};

static __always_inline __u64 *line_of(void *lines, __u32 number)
{
	struct line *line = bpf_map_lookup_elem(lines, &number);

	return line ? line->word : 0;
}

/* Entries change under the reader: what is read is read once, in this order. */
#define READ(word) (*(volatile const __u64 *)&(word))

static __always_inline int owns(__u64 ident, __u64 life)
{
	return !(((life >> LIFE_OWN) ^ (ident >> IDENT_INCARNATION)) & LIFE_MASK);
}

static __always_inline int read_slot(__u64 *slot, const struct key *key, int words, struct found *e)
{
	__u64 ident = READ(slot[IDENT]);

	if ((ident ^ (key->ident | STATUS_LIVE)) & (IDENT_KEY | STATUS_MASK))
		return 0;
	for (int i = 0; i < words; i++)
		if (READ(slot[ADDRESS + i]) != key->addr[i])
			return 0;
	e->bind = READ(slot[BIND]);
	e->life = READ(slot[LIFE]);
	e->ident = ident;
	e->slot = slot;
	return READ(slot[IDENT]) == ident && owns(ident, e->life);
}

static __always_inline int read_bucket(const struct table *t, __u32 bucket, const struct key *key, int ipv6, struct found *e)
{
	__u64 *line = line_of(t->lines, t->first + (ipv6 ? 2 * bucket : bucket));

	if (!line)
		return 0;
	if (read_slot(line, key, ipv6 ? 4 : 1, e))
		return 1;
	if (!ipv6)
		return read_slot(line + HALF, key, 1, e);
	line = line_of(t->lines, t->first + 2 * bucket + 1);
	return line && read_slot(line, key, 4, e);
}

/* Which of the buckets at distances 1 to 30 have entries of this home. */
static __always_inline __u32 away(const struct table *t, __u32 home)
{
	__u64 *line = line_of(t->lines, t->words + home / WORDS_PER_LINE);
	__u64 pair;

	if (!line)
		return 0;
	pair = READ(line[home % WORDS_PER_LINE / 2]);
	return (home & 1 ? pair >> 32 : pair) & ((1U << PROBES) - 1);
}

static __always_inline int find(const struct table *t, __u32 home, const struct key *key, int ipv6, struct found *e)
{
	__u32 bits;

	if (read_bucket(t, home, key, ipv6, e))
		return 1;
	bits = away(t, home);
	for (__u32 d = 1; d < PROBES; d++) {
		__u32 bucket = home + d * (d + 1) / 2;

		if (!(bits >> d))
			return 0;
		if (!(bits >> d & 1))
			continue;
		if (bucket >= t->buckets)
			bucket -= t->buckets;
		if (read_bucket(t, bucket, key, ipv6, e))
			return 1;
	}
	return 0;
}

/* The hash of affinity/hash.go, of which this is the home bucket. */
static __always_inline __u64 pair(const __u64 *m, __u64 w)
{
	return (m[0] + (w >> 32)) * (m[1] + (w & 0xffffffff));
}

static __always_inline __u32 scatter(__u32 h)
{
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	return h ^ h >> 16;
}

/* A connection's hash is of the client's side alone: its address, port and protocol. */
static __always_inline __u32 hash_of(const struct table *t, const struct key *key, int ipv6)
{
	const __u64 *m = t->header->secret;
	__u64 side = (key->ident >> IDENT_DESTINATION & 0xffff0000) | (key->ident >> IDENT_PROTOCOL & 0xff);
	__u64 sum = m[0];

	if (ipv6)
		sum += pair(&m[1], key->addr[0]) + pair(&m[3], key->addr[1]) + (m[5] + side) * m[6];
	else
		sum += (m[1] + (key->addr[0] >> 32)) * (m[2] + side);
	return scatter(sum >> 32);
}

static __always_inline __u32 home_of(const struct table *t, __u32 hash)
{
	return (__u64)hash * t->buckets >> 32;
}

/* Fills in where a table is. */
static __always_inline void open_table(struct table *t, int number)
{
	const __u64 *section = t->header->sections[number];

	t->first = section[0];
	t->buckets = section[0] >> 32;
	t->words = section[1];
}

/* Finds the tables; 0 while the lane is closed. */
static __always_inline int open_tables(struct table *t)
{
	__u32 zero = 0;

	t->header = bpf_map_lookup_elem(&express_header, &zero);
	t->lines = bpf_map_lookup_elem(&express_tables, &zero);
	return t->header && t->lines;
}

static __always_inline int find4(struct table *t, const struct flow *flow, struct key *key, struct found *e)
{
	key->addr[0] = (__u64)bpf_ntohl(flow->source.addr[0]) << 32 | bpf_ntohl(flow->destination.addr[0]);
	open_table(t, TABLE_IPV4);
	e->hash = hash_of(t, key, 0);
	return find(t, home_of(t, e->hash), key, 0, e);
}

static __always_inline __u64 two(const __be32 *words)
{
	return (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

static __always_inline int find6(struct table *t, const struct flow *flow, struct key *key, struct found *e)
{
	key->addr[0] = two(&flow->source.addr[0]);
	key->addr[1] = two(&flow->source.addr[2]);
	key->addr[2] = two(&flow->destination.addr[0]);
	key->addr[3] = two(&flow->destination.addr[2]);
	open_table(t, TABLE_IPV6);
	e->hash = hash_of(t, key, 1);
	return find(t, home_of(t, e->hash), key, 1, e);
}

/* By how much an expiry may lag behind unwritten (step, affinity/entry.go). */
static __always_inline __u32 step_of(__u32 timeout)
{
	__u32 step = (timeout + 7) / 8;

	return step < TICKS_PER_SECOND ? step : TICKS_PER_SECOND;
}

/* The expiry to write for an entry that is to live on for timeout (renewed). */
static __always_inline __u32 renewed(__u32 now, __u32 timeout)
{
	return now + timeout + step_of(timeout) - 1;
}

/* Whether an expiry says already that its entry lives on for timeout (settled). */
static __always_inline int settled(__u64 life, __u32 now, __u32 timeout)
{
	const __u32 late = TICKS_PER_SECOND - 1;

	return renewed(now, timeout) - (__u32)life + late < step_of(timeout) + late;
}

/* Writes an expiry into a life word, unless somebody else changes it at this moment. */
static __always_inline void extend(__u64 *slot, __u64 life, __u64 next, __u32 expiry)
{
	__sync_val_compare_and_swap(&slot[LIFE], life, (next & ~0xffffffffULL) | expiry);
}

/* Whether the grade of a connection rises (rises, affinity/update.go). */
static __always_inline int rises(const struct found *e, __u32 grade, __u32 now, __u32 timeout)
{
	__u32 draw = scatter((e->hash ^ (__u32)(e->ident >> 32) ^ (__u32)e->ident) + now * 0x9e3779b1U);

	return grade < GRADE_MASK && draw < (1ULL << 32 >> grade) * step_of(timeout) / TICKS_PER_SECOND;
}

/* Restarts the timer of a connection that stays in its state, of whatever grade above 0. */
static __always_inline void renew(const struct found *e, __u32 now, __u32 timeout)
{
	__u32 grade = e->life >> LIFE_GRADE & GRADE_MASK;
	__u64 next = e->life;

	if (settled(e->life, now, timeout))
		return;
	if (rises(e, grade, now, timeout))
		next += 1ULL << LIFE_GRADE;
	extend(e->slot, e->life, next, renewed(now, timeout));
}

/* Restarts the timer of the template that a connection holds. */
static __always_inline void renew_template(struct table *t, const struct found *e, int ipv6, __u32 now, __u32 timeout)
{
	__u32 slot = (e->bind >> BIND_TEMPLATE) - 1;
	__u64 *line, life;

	if (!(e->bind >> BIND_TEMPLATE))
		return;
	open_table(t, ipv6 ? TABLE_TEMPLATES + 1 : TABLE_TEMPLATES);
	line = line_of(t->lines, t->first + (ipv6 ? slot : slot / 2));
	if (!line)
		return;
	if (!ipv6 && slot & 1)
		line += HALF;
	life = READ(line[LIFE]);
	if (!(((life >> LIFE_OWN) ^ (e->life >> LIFE_OTHER)) & LIFE_MASK) && !settled(life, now, timeout))
		extend(line, life, life, renewed(now, timeout));
}

/* The states in which the connection of this packet stays; 0 if the packet is for the worker. */
static __always_inline __u32 states_kept(const struct frame *f)
{
	if (f->fragmented)
		return 0;
	if (f->next == PROTO_TCP) {
		struct tcp *tcp = AT(f, tcp);

		if (!HAS(f, tcp) || (tcp->offset >> 4) * 4 < TCP_MIN || (tcp->offset >> 4) * 4 > f->left)
			return 0;
		return (tcp->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK ? STATES_TCP : 0;
	}
	if (f->next == PROTO_UDP) {
		struct udp *udp = AT(f, udp);

		if (!HAS(f, udp) || bpf_ntohs(udp->length) < UDP_MIN || bpf_ntohs(udp->length) > f->left)
			return 0;
		return 1 << STATE_UDP;
	}
	return 0;
}

static __always_inline const struct server *server_of(__u64 bind)
{
	__u32 zero = 0, id = bind, number = id & SERVER_NUMBER;
	void *list = bpf_map_lookup_elem(&express_servers, &zero);
	const struct server *s;

	if (!list)
		return 0;
	s = bpf_map_lookup_elem(list, &number);
	return s && s->id == id && id ? s : 0;
}

static __always_inline void carried(__u32 number, __u64 bytes)
{
	struct traffic *t = bpf_map_lookup_elem(&express_traffic, &number);

	if (t) {
		t->packets += 1;
		t->bytes += bytes;
	}
}

/* The worker's way of direct routing: new MAC addresses, the rest untouched. */
static __always_inline int rewrite(const struct frame *f, const struct server *s)
{
	__u8 *macs = f->data;

	if ((void *)(macs + sizeof(s->macs)) > f->end)
		return 0;
	__builtin_memcpy(macs, s->macs, sizeof(s->macs));
	return 1;
}

/* How a frame that came by one interface gets to a server; XDP_PASS: not from here. */
static __always_inline int way_to(const struct server *s, __u32 from)
{
	if (s->interface == from && s->ways & WAY_BACK)
		return XDP_TX;
	if (s->ways & WAY_REDIRECT)
		return bpf_redirect(s->interface, 0);
	return XDP_PASS;
}

/*
 * Forwards a packet whose flow is claimed, by the action that it returns: XDP_TX or
 * XDP_REDIRECT. XDP_PASS leaves it to the worker. Not static: see skip_extensions.
 */
__attribute__((noinline)) int express(struct xdp_md *ctx, struct frame *parsed, struct flow *flow)
{
	__u32 states, now, state;
	const struct server *server;
	int action;
	struct table table;
	struct frame frame, *f = &frame;
	struct key key = {};
	struct found e;

	if (!parsed || !flow || parsed->at > MAX_AT)
		return XDP_PASS;
	frame = *parsed;
	frame.data = (void *)(long)ctx->data; /* the verifier does not know that these are what they were */
	frame.end = (void *)(long)ctx->data_end;
	states = states_kept(f);
	if (!states || !open_tables(&table))
		return XDP_PASS;
	key.ident = (__u64)flow->source_port << IDENT_SOURCE | (__u64)flow->port << IDENT_DESTINATION |
		    (__u64)f->next << IDENT_PROTOCOL;
	if (!(f->family == 4 ? find4(&table, flow, &key, &e) : find6(&table, flow, &key, &e)))
		return XDP_PASS;
	state = e.life >> LIFE_STATE & STATE_MASK;
	if (!(states >> state & 1) || !(e.life >> LIFE_GRADE & GRADE_MASK))
		return XDP_PASS;
	now = bpf_ktime_get_coarse_ns() / NANOSECONDS_PER_TICK;
	if ((__s32)((__u32)e.life - now) <= 0)
		return XDP_PASS;
	server = server_of(e.bind);
	if (!server)
		return XDP_PASS;
	action = way_to(server, flow->interface);
	if (action == XDP_PASS || !rewrite(f, server))
		return XDP_PASS;
	renew(&e, now, server->timeouts[state]);
	if (server->template)
		renew_template(&table, &e, f->family == 6, now, server->template);
	carried(server->id & SERVER_NUMBER, f->at + f->left - f->l3);
	return action;
}
