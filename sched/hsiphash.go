package sched

import "math/bits"

// hsiphash is hsiphash_1u32 of lib/siphash.c on a 64-bit kernel: SipHash-1-3 of four bytes,
// its low 32 bits, with a key whose two words are both key. A 32-bit kernel has another
// hash there, and chooses other servers.
func hsiphash(v uint32, key uint64) uint32 {
	v0 := 0x736f6d6570736575 ^ key
	v1 := 0x646f72616e646f6d ^ key
	v2 := 0x6c7967656e657261 ^ key
	v3 := 0x7465646279746573 ^ key
	m := 4<<56 | uint64(v) // the length and what is left of the message

	v3 ^= m
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= m
	v2 ^= 0xff
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	return uint32(v0 ^ v1 ^ v2 ^ v3)
}

// sipRound is SIPHASH_PERMUTATION of linux/siphash.h.
func sipRound(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a += b
	b = bits.RotateLeft64(b, 13) ^ a
	a = bits.RotateLeft64(a, 32)
	c += d
	d = bits.RotateLeft64(d, 16) ^ c
	a += d
	d = bits.RotateLeft64(d, 21) ^ a
	c += b
	b = bits.RotateLeft64(b, 17) ^ c
	c = bits.RotateLeft64(c, 32)
	return a, b, c, d
}
