/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The workers' tables, as the program looks into them; affinity/layout.go has their
 * layout, and a test holds the two together.
 *
 * A lookup ends at the home bucket for nearly all connections. So that alone is compiled
 * into those who look; the walk over the other buckets is a function of its own.
 */
#pragma once
#include "maps.h"

/* Version of their layout; package bpf loads the program over no other. */
enum layout {
	TABLES_VERSION = 2,
};
FOR_GO(enum, layout);

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
#define STATE_MASK 0xf
#define LIFE_GRADE 36
#define GRADE_MASK 7ULL /* 0: unassured */
#define LIFE_OWN 44
#define LIFE_OTHER 54 /* incarnation of the template, if there is one */
#define LIFE_MASK 0x3ff

#define PROBES 31 /* buckets that an entry may be in */
#define WORDS_PER_LINE 16 /* bucket words, 32 bits each */

/* The states of package affinity count within their protocol. */
#define STATE_TCP_ESTABLISHED 1
#define STATE_TCP_FIN_WAIT 4
#define STATE_TCP_TIME_WAIT 5
#define STATE_UDP 0

/* What an entry is found by. */
struct key {
	__u64 ident;
	__u64 addr[4]; /* IPv4: the first */
};

/* An entry as it was found. */
struct found {
	__u64 ident, bind, life;
	__u64 *slot;
	__u32 hash; /* of its key */
};

/* Entries change under the reader: what is read is read once, in this order. */
#define READ(word) (*(volatile typeof(word) *)&(word))

/*
 * What is known when the program is loaded: package bpf puts the numbers in the place of
 * these, so that they are in the instructions, and no load is needed. Two hexadecimal digits
 * name one: secret 00 to 0a, a table's first line 10 to 13, its number of buckets 20 to 23, the
 * first line of its bucket words 30 to 33.
 */
#define CONSTANT(n) ({ __u64 v; asm("%0 = 0x786c7673000000" #n " ll" : "=r"(v)); v; })
#define OF_TABLE(n, table)                                                                  \
	((table) == 0	? CONSTANT(n##0)                                                    \
	 : (table) == 1 ? CONSTANT(n##1)                                                    \
	 : (table) == 2 ? CONSTANT(n##2)                                                    \
			: CONSTANT(n##3))

static __always_inline __u32 first_line(const int table)
{
	return OF_TABLE(1, table);
}

static __always_inline __u32 buckets_of(const int table)
{
	return OF_TABLE(2, table);
}

static __always_inline __u32 first_words(const int table)
{
	return OF_TABLE(3, table);
}

static __always_inline __u64 *line_of(__u32 number)
{
	struct line *line = bpf_map_lookup_elem(&tables, &number);

	return line ? line->word : 0;
}

static __always_inline int owns(__u64 ident, __u64 life)
{
	return !(((life >> LIFE_OWN) ^ (ident >> IDENT_INCARNATION)) & LIFE_MASK);
}

static __always_inline int read_slot(__u64 *slot, const struct key *key, const int ipv6,
				     struct found *e)
{
	__u64 ident = READ(slot[IDENT]);

	if ((ident ^ (key->ident | STATUS_LIVE)) & (IDENT_KEY | STATUS_MASK))
		return 0;
	if (READ(slot[ADDRESS]) != key->addr[0])
		return 0;
	if (ipv6 && (READ(slot[ADDRESS + 1]) != key->addr[1] ||
		     READ(slot[ADDRESS + 2]) != key->addr[2] ||
		     READ(slot[ADDRESS + 3]) != key->addr[3]))
		return 0;
	e->bind = READ(slot[BIND]);
	e->life = READ(slot[LIFE]);
	e->ident = ident;
	e->slot = slot;
	return READ(slot[IDENT]) == ident && owns(ident, e->life);
}

static __always_inline int read_bucket(__u32 bucket, const struct key *key, const int ipv6,
				       struct found *e)
{
	__u64 *line = line_of(first_line(ipv6) + (ipv6 ? 2 * bucket : bucket));

	if (!line)
		return 0;
	if (read_slot(line, key, ipv6, e))
		return 1;
	if (!ipv6)
		return read_slot(line + HALF, key, ipv6, e);
	line = line_of(first_line(ipv6) + 2 * bucket + 1);
	return line && read_slot(line, key, ipv6, e);
}

/* Which of the buckets at distances 1 to 30 have entries of this home: bits 1 to 30. */
static __always_inline __u32 away(int table, __u32 home)
{
	__u64 *line = line_of(first_words(table) + home / WORDS_PER_LINE);
	__u64 pair;

	if (!line)
		return 0;
	pair = READ(line[home % WORDS_PER_LINE / 2]);
	return (home & 1 ? pair >> 32 : pair) & ((1U << PROBES) - 2);
}

/* The walk over the buckets that have entries of a home: the bucket of this one + 1, or 0. */
static __always_inline int walk_buckets(struct key *key, __u32 home, const int ipv6)
{
	__u32 bits = away(ipv6, home), buckets = buckets_of(ipv6);
	struct found e;

	for (__u32 d = 1; d < PROBES; d++) {
		__u32 bucket = home + d * (d + 1) / 2;

		if (!(bits >> d))
			return 0;
		if (!(bits >> d & 1))
			continue;
		if (bucket >= buckets)
			bucket -= buckets;
		if (read_bucket(bucket, key, ipv6, &e))
			return bucket + 1;
	}
	return 0;
}

/*
 * Not static: see skip_extensions. Its key comes in registers, which saves those who look a
 * stack.
 */
__attribute__((noinline)) int elsewhere4(__u64 ident, __u64 addr, __u32 home)
{
	struct key key = {.ident = ident, .addr[0] = addr};

	return walk_buckets(&key, home, 0);
}

__attribute__((noinline)) int elsewhere6(struct key *key, __u32 home)
{
	return key ? walk_buckets(key, home, 1) : 0;
}

/* The hashes of affinity/hash.go. */
#define PAIR(m, n, high, low) ((CONSTANT(m) + (high)) * (CONSTANT(n) + (low)))

static __always_inline __u32 scatter(__u32 h)
{
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	return h ^ h >> 16;
}

/* That of a connection is of its client's side alone, that of fragments of all their key. */
static __always_inline __u32 hash_of(const struct key *key, const int ipv6)
{
	__u64 side = (key->ident >> IDENT_DESTINATION & 0xffff0000) |
		     (key->ident >> IDENT_PROTOCOL & 0xff);
	__u64 sum = CONSTANT(00);

	if (ipv6) {
		sum += PAIR(01, 02, key->addr[0] >> 32, (__u32)key->addr[0]);
		sum += PAIR(03, 04, key->addr[1] >> 32, (__u32)key->addr[1]);
		sum += PAIR(05, 06, side, 0);
	} else {
		sum += PAIR(01, 02, key->addr[0] >> 32, side);
	}
	return scatter(sum >> 32);
}

static __always_inline __u32 hash_of_fragments(const struct key *key, const int ipv6)
{
	__u64 sum = CONSTANT(00);

	sum += PAIR(01, 02, key->ident >> IDENT_DESTINATION, key->ident >> IDENT_PROTOCOL & 0xff);
	sum += PAIR(03, 04, key->addr[0] >> 32, (__u32)key->addr[0]);
	if (ipv6) {
		sum += PAIR(05, 06, key->addr[1] >> 32, (__u32)key->addr[1]);
		sum += PAIR(07, 08, key->addr[2] >> 32, (__u32)key->addr[2]);
		sum += PAIR(09, 0a, key->addr[3] >> 32, (__u32)key->addr[3]);
	}
	return scatter(sum >> 32);
}

static __always_inline int find(struct key *key, __u32 hash, const int ipv6, struct found *e)
{
	__u32 home = (__u64)hash * buckets_of(ipv6) >> 32;
	int bucket;

	e->hash = hash;
	if (read_bucket(home, key, ipv6, e))
		return 1;
	if (!away(ipv6, home))
		return 0;
	bucket = ipv6 ? elsewhere6(key, home) : elsewhere4(key->ident, key->addr[0], home);
	return bucket > 0 && read_bucket(bucket - 1, key, ipv6, e);
}

/*
 * Times are in ticks, an eighth of a second of CLOCK_MONOTONIC. A call of the clock
 * and a division are much for a packet, so its answer is kept as long as jiffies stand,
 * which all CPUs see: it is as late as the coarse clock is, or one jiffy more. It is kept with
 * the low half of jiffies, in the set of an interface.
 */
#define TICKS_PER_SECOND 8
#define NANOSECONDS_PER_TICK (1000000000 / TICKS_PER_SECOND)

static __always_inline __u32 tick_at(__u32 interface)
{
	struct own_macs *o = &own[interface % OWN_SETS];
	__u64 kept = READ(o->tick), jiffies = bpf_jiffies64();
	__u32 now = kept;

	if (now && (__u32)(kept >> 32) == (__u32)jiffies)
		return now;
	now = bpf_ktime_get_coarse_ns() / NANOSECONDS_PER_TICK;
	READ(o->tick) = jiffies << 32 | now;
	return now;
}

/* By how much an expiry may lag behind unwritten (step, affinity/entry.go). */
static __always_inline __u32 step_of(__u32 timeout)
{
	__u32 eighth = (timeout + 7) / 8;

	return eighth < TICKS_PER_SECOND ? eighth : TICKS_PER_SECOND;
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

static __always_inline __u64 extended(__u64 life, __u32 now, __u32 timeout)
{
	return (life & ~0xffffffffULL) | renewed(now, timeout);
}

#define compare_and_swap(word, from, to) __sync_val_compare_and_swap(&(word), from, to)
