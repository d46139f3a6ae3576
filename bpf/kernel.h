/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What steer.c needs of the kernel's UAPI and of the wire, written down here so
 * that it compiles alike on every machine: linux/bpf.h wants asm/types.h, which
 * distributions keep in different places.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum; /* bpf_helper_defs.h names it */

/* linux/bpf.h: enum bpf_map_type */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12
#define BPF_MAP_TYPE_XSKMAP 17

/* linux/bpf.h: map flags */
#define BPF_F_NO_PREALLOC (1U << 0)
#define BPF_F_MMAPABLE (1U << 10)
#define BPF_F_INNER_MAP (1U << 12)

/* linux/bpf.h: enum xdp_action */
#define XDP_DROP 1
#define XDP_PASS 2
#define XDP_TX 3
#define XDP_REDIRECT 4

/* linux/bpf.h: struct xdp_md */
struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

#define MAX_PACKET 65535 /* bytes */

/* IEEE 802.3, 802.1Q */
#define ETH_P_IP 0x0800
#define ETH_P_8021Q 0x8100
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021AD 0x88a8
#define ETH_P_9100 0x9100 /* outer tag of before 802.1ad */
#define VLAN_VID_MASK 0x0fff

struct ethernet {
	__u8 destination[6];
	__u8 source[6];
	__be16 type;
};

struct vlan {
	__be16 tci;
	__be16 type;
};

/* RFC 791, 3.1 */
struct ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__be16 total_length; /* bytes, this header included */
	__be16 id;
	__be16 fragment; /* reserved, DF, MF, offset in 8 bytes */
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};
#define IPV4_MIN 20
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET_MASK 0x1fff

/* RFC 8200, 3 */
struct ipv6 {
	__be32 version_class_flow;
	__be16 payload_length; /* bytes after this header */
	__u8 next;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

/* RFC 8200, 4: what every extension header begins with; RFC 4302 for AH */
struct extension {
	__u8 next;
	__u8 length; /* in 8 bytes without the first 8; AH: in 4 bytes without the first 8 */
	__be16 word; /* fragment header: offset in 8 bytes (13 bits), reserved, M; routing: type, segments left */
	__be32 id;   /* fragment header only */
};
#define IPV6_OFFSET_MASK 0xfff8
#define IPV6_MORE_FRAGMENTS 0x0001

/* IANA protocol numbers */
#define PROTO_HOP_BY_HOP 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_AH 51
#define PROTO_ICMPV6 58
#define PROTO_DESTINATION 60
#define PROTO_SCTP 132

/* RFC 9293, RFC 768, RFC 9260: ports come first in all three */
struct ports {
	__be16 source;
	__be16 destination;
};
#define TCP_MIN 20
#define UDP_MIN 8
#define SCTP_MIN 16 /* and the header of a chunk: there is no packet without one */

/* RFC 9293, 3.1 */
struct tcp {
	struct ports ports;
	__be32 sequence, acknowledgement;
	__u8 offset; /* upper half: length of the header in 4 bytes */
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* RFC 768 */
struct udp {
	struct ports ports;
	__be16 length; /* bytes, this header included */
	__be16 checksum;
};

/* RFC 792, RFC 4443 */
#define ICMP_HEADER 8
#define ICMP_UNREACHABLE 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_PARAMETER_PROBLEM 4
