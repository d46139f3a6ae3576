/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whether a rule or a service claims a flow:
 *
 *	struct flow -> prefixes[destination] -> ports[port] -> claimed, unclaimed
 *	                                            |
 *	                                            +-> sources[source] -> conditions, in order
 *
 * Package bpf compiles the rules into the four tables, so that the longest
 * prefix alone knows everything that applies to its addresses; see claims.go.
 * prefixes is replaced as a whole, by one write, and names the generation of
 * the others: a frame sees all of one configuration or all of the next.
 */
#pragma once
#include "maps.h"

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

/* What of an entry is about a protocol; none of it is. */
static __always_inline const struct claim *claim_of(const struct entry *entry, __u8 protocol)
{
	switch (protocol) {
	case PROTO_TCP:
		return &entry->protocol[TCP];
	case PROTO_UDP:
		return &entry->protocol[UDP];
	case PROTO_SCTP:
		return &entry->protocol[SCTP];
	}
	return 0;
}

static __always_inline const struct entry *entry_of(const struct flow *flow)
{
	__u32 zero = 0;
	void *trie = bpf_map_lookup_elem(&prefixes, &zero);

	return trie ? bpf_map_lookup_elem(trie, &flow->destination) : 0;
}

/* Whether somebody claims the flow of a packet whose ports are known. */
static __always_inline int flow_claimed(struct flow *flow, __u8 protocol)
{
	const struct entry *entry = entry_of(flow);
	const struct claim *claim = entry ? claim_of(entry, protocol) : 0;

	return claim && claim->ports && port_claimed(flow, entry, claim);
}

/* Whether somebody claims a later fragment. */
static __always_inline int fragment_claimed(const struct flow *flow, __u8 protocol)
{
	const struct entry *entry = entry_of(flow);
	const struct claim *claim;

	if (!entry)
		return 0;
	claim = claim_of(entry, protocol);
	if (claim)
		return claim->ports != 0;
	/* The first one has its protocol, behind more extension headers. */
	return entry->protocol[TCP].ports || entry->protocol[UDP].ports || entry->protocol[SCTP].ports;
}

/* Not static: see skip_extensions. */
__attribute__((noinline)) int claims(struct parsed *f, struct flow *flow)
{
	if (!f || !flow)
		return UNCLAIMED;
	if (f->later)
		return fragment_claimed(flow, f->next) ? CLAIMED_FRAGMENT : UNCLAIMED;
	if (!flow_claimed(flow, f->next))
		return UNCLAIMED;
	return flow->quoted ? CLAIMED_ERROR : CLAIMED_FLOW;
}
