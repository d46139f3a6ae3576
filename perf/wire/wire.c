//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The two ends of the wire, and the simplest things that can be between them.
 *
 *	generate   makes frames; run by BPF_PROG_RUN with live frames
 *	sink       counts frames and drops them; on the generator's interface
 *	swap       sends every frame back: the limit of the path
 *	take       hands every frame to AF_XDP sockets
 *
 * The kernel gives generate the pages as they came back from their last trip, so
 * that it writes every byte of the headers anew each time.
 */
#include "../../bpf/kernel.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_STREAMS 64
#define CPUS 256
#define SEEN_WORDS (1 << 20) /* 64 numbers each */
#define SUB_BITS 6	     /* a power of two has 64 buckets: they are wrong by 1.6 % at most */
#define BUCKETS ((32 - SUB_BITS + 1) << SUB_BITS)
#define SHARES 1024
#define MAX_FRAME 2047 /* bytes; what veth and most drivers take */

/* What one generator sends, and how far it is. Byte order is the wire's where it says be. */
struct stream {
	__u64 interval;	    /* 1/256 ns from frame to frame; 0: as fast as it goes */
	__u64 burst;	    /* 1/256 ns that it may be late and still catch up */
	__u64 due;	    /* 1/256 ns: when the next frame leaves */
	__u64 sent;	    /* frames since the start */
	__u64 opened;	    /* SYNs among them */
	__u32 first;	    /* number of the first frame */
	__u32 step;	    /* from one frame's number to the next */
	__u32 clients;	    /* addresses that known flows come from */
	__u32 ports;	    /* that each of them uses */
	__u32 fresh;	    /* SYNs of new flows in 1024 frames */
	__u32 stamp;	    /* whether to write into the frames when they were due */
	__u32 udp_sum;	    /* sums of all that does not change, for the checksums */
	__u32 tcp_sum;
	__u32 ip_sum;	    /* without the protocol */
	__be32 vip;
	__u32 network;	    /* the first client, in the machine's byte order */
	__be16 port;
	__be16 length;	    /* of the IP packet */
	__u8 destination[6];
	__u8 source[6];
} __attribute__((aligned(64))); /* so that no two generators write to one cache line */

/* What the sink saw on one CPU. */
struct tally {
	__u64 frames;
	__u64 bytes;
	__u64 duplicates;
	__u64 unnumbered; /* their number is too large to tick off */
	__u64 stale;	  /* beside frames: sent before the number that was to be the first */
};

/* How the sink knows the generator's frames: by their client. */
struct expected {
	__be32 network;
	__be32 mask;
	__u32 stamp;
	__u32 first; /* number */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_STREAMS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct stream);
} streams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} delays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SEEN_WORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct expected);
} expectation SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_STREAMS);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/*
 * The last bytes of a frame. The first of them are the TCP header's in a short
 * one. The stream is there from the start, for nothing else tells runs apart: a
 * live frame's queue is always 0. Nobody on the way changes it.
 */
struct trailer {
	__u16 header[3];
	__u16 stream;
	__u32 number;
	__u32 time; /* ns, the low word */
};

/* Where the headers of a frame are; there is no 802.1Q tag. */
struct headers {
	struct ethernet *ethernet;
	struct ipv4 *ip;
	struct udp *udp; /* either */
	struct tcp *tcp; /* or */
};

/* Whether a frame has room for all of them. */
static __always_inline int find_headers(struct xdp_md *ctx, struct headers *h)
{
	h->ethernet = (void *)(long)ctx->data;
	h->ip = (void *)(h->ethernet + 1);
	h->udp = (void *)(h->ip + 1);
	h->tcp = (void *)(h->ip + 1);
	return (void *)(h->tcp + 1) <= (void *)(long)ctx->data_end;
}

/* The trailer of a frame, or null. The verifier wants to see the bounds of the offset. */
static __always_inline struct trailer *trailer_of(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 offset = end - data - sizeof(struct trailer);

	if (offset > MAX_FRAME)
		return 0;
	struct trailer *t = data + offset;
	asm volatile("" : "+r"(t)); /* one pointer: what is checked is what is used */
	return (void *)(t + 1) > end ? 0 : t;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void write_udp(struct headers *h, const struct stream *s, __u64 sum)
{
	sum += s->udp_sum;
	h->ip->protocol = PROTO_UDP;
	h->tcp->acknowledgement = 0; /* payload now; the page may have been a SYN before */
	h->tcp->offset = h->tcp->flags = 0;
	h->tcp->window = 0;
	h->tcp->checksum = 0;
	h->tcp->urgent = 0;
	h->udp->length = bpf_htons(bpf_ntohs(s->length) - IPV4_MIN);
	__u16 checksum = fold(sum);
	h->udp->checksum = checksum ? checksum : 0xffff; /* RFC 768: 0 is none */
}

static __always_inline void write_syn(struct headers *h, const struct stream *s, __u64 sum)
{
	sum += s->tcp_sum;
	h->ip->protocol = PROTO_TCP;
	h->tcp->sequence = 0;
	h->tcp->acknowledgement = 0;
	h->tcp->offset = TCP_MIN / 4 << 4;
	h->tcp->flags = TCP_SYN;
	h->tcp->window = 0xffff;
	h->tcp->urgent = 0;
	h->tcp->checksum = fold(sum);
}

/*
 * Whether it is time for the next frame; if so, time becomes when it was due, and
 * the next one's time is set.
 */
static __always_inline int is_due(struct stream *s, __u64 *time)
{
	__u64 fine = *time << 8;

	if (!s->interval)
		return 1;
	if (!s->due)
		s->due = fine; /* the first one */
	if (fine < s->due)
		return 0;
	if (s->due + s->burst < fine)
		s->due = fine - s->burst; /* what a longer stall cost is not made up for */
	*time = s->due >> 8;
	s->due += s->interval;
	return 1;
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct headers header, *h = &header;
	struct trailer *t = trailer_of(ctx);

	if (!t || !find_headers(ctx, h))
		return XDP_DROP;
	__u32 index = t->stream;
	struct stream *s = bpf_map_lookup_elem(&streams, &index);
	if (!s)
		return XDP_DROP;

	__u64 time = s->interval || s->stamp ? bpf_ktime_get_ns() : 0;
	if (!is_due(s, &time))
		return XDP_DROP; /* back into the pool: this turn is not used */

	__u64 n = s->sent++;
	__u32 fresh = n % SHARES * s->fresh % SHARES < s->fresh; /* spread evenly */
	__u64 flow = n;
	__u32 client, port;
	if (fresh) {
		flow = s->opened++ * s->step + s->first;
		client = s->network + (flow & 0xffff) + 0x10000; /* half of 198.18.0.0/15 */
		port = 1024 + (flow >> 16) % 64000;
	} else {
		client = s->network + flow % s->clients;
		port = 1024 + flow / s->clients % s->ports;
	}
	__builtin_memcpy(h->ethernet->destination, s->destination, 6);
	__builtin_memcpy(h->ethernet->source, s->source, 6);
	h->ethernet->type = bpf_htons(ETH_P_IP);
	h->ip->version_ihl = 0x45;
	h->ip->tos = 0;
	h->ip->total_length = s->length;
	h->ip->id = 0;
	h->ip->fragment = 0;
	h->ip->ttl = 64;
	h->ip->source = bpf_htonl(client);
	h->ip->destination = s->vip;
	h->udp->ports.source = bpf_htons(port);
	h->udp->ports.destination = s->port;
	t->number = n * s->step + s->first;
	t->time = s->stamp ? time : 0;

	__u64 changing = h->ip->source;
	__u16 protocol = fresh ? PROTO_TCP : PROTO_UDP;
	h->ip->checksum = fold(changing + s->ip_sum + bpf_htons(protocol));
	changing += (__u64)h->udp->ports.source + t->stream + t->number + t->time;
	if (fresh)
		write_syn(h, s, changing);
	else
		write_udp(h, s, changing);
	return XDP_TX;
}

/* Whether a frame is one of the generator's, whatever happened to it since. */
static __always_inline int is_ours(struct xdp_md *ctx, const struct expected *e)
{
	struct headers h;

	if (!find_headers(ctx, &h))
		return 0;
	return h.ethernet->type == bpf_htons(ETH_P_IP) && (h.ip->source & e->mask) == e->network;
}

/* The bucket of a delay: exact below 128 ns, and then 64 to a power of two. */
static __always_inline __u32 bucket(__u32 delay)
{
	__u32 high = delay >> SUB_BITS, shift = 0;

	if (high >> 16) shift += 16, high >>= 16;
	if (high >> 8) shift += 8, high >>= 8;
	if (high >> 4) shift += 4, high >>= 4;
	if (high >> 2) shift += 2, high >>= 2;
	if (high >> 1) shift += 1;
	return (shift << SUB_BITS) + (delay >> shift);
}

static __always_inline void tick_off(struct tally *tally, __u32 number)
{
	__u32 index = number >> 6;
	__u64 bit = 1ULL << (number & 63);
	__u64 *word = bpf_map_lookup_elem(&seen, &index);

	if (!word)
		tally->unnumbered++;
	else if (__sync_fetch_and_or(word, bit) & bit)
		tally->duplicates++;
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct expected *e = bpf_map_lookup_elem(&expectation, &zero);
	struct tally *tally = bpf_map_lookup_elem(&tallies, &zero);

	if (!e || !tally || !is_ours(ctx, e))
		return XDP_PASS;
	struct trailer *t = trailer_of(ctx);
	if (!t)
		return XDP_DROP;
	__u32 number = t->number - e->first;
	if ((__s32)number < 0) {
		tally->stale++;
		return XDP_DROP;
	}
	tally->frames++;
	tally->bytes += ctx->data_end - ctx->data;
	tick_off(tally, number);
	if (e->stamp) {
		__u32 index = bucket((__u32)bpf_ktime_get_ns() - t->time);
		__u64 *count = bpf_map_lookup_elem(&delays, &index);
		if (count)
			(*count)++;
	}
	return XDP_DROP;
}

SEC("xdp")
int swap(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct expected *e = bpf_map_lookup_elem(&expectation, &zero);
	__u8 other[6];

	if (!e || !is_ours(ctx, e))
		return XDP_PASS;
	struct ethernet *ethernet = (void *)(long)ctx->data;
	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	__builtin_memcpy(other, ethernet->destination, 6);
	__builtin_memcpy(ethernet->destination, ethernet->source, 6);
	__builtin_memcpy(ethernet->source, other, 6);
	return XDP_TX;
}

SEC("xdp")
int take(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct expected *e = bpf_map_lookup_elem(&expectation, &zero);

	if (!e || !is_ours(ctx, e))
		return XDP_PASS;
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
}

char _license[] SEC("license") = "Dual BSD/GPL";
