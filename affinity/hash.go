package affinity

import (
	"crypto/rand"
	"encoding/binary"
)

// Hash is the keyed hash of a Key; it decides on the home line in every table
// of the key's family.
type Hash uint32

// secretWords is how many random words the hash needs: one, and two for each
// of the five pairs of 32-bit words of an IPv6 key.
const secretWords = 11

// secret keys the hash, so that nobody outside can aim packets at one line.
type secret [secretWords]uint64

// newSecret draws a secret. crypto/rand does not fail (it ends the process).
func newSecret() (s secret) {
	var b [8 * secretWords]byte
	rand.Read(b[:])
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return s
}

// Both hashes are the multilinear hash with half the multiplications of Lemire and
// Kaser ("Strongly universal string hashing is fast", 2014, multilinear-HM)
// over 32-bit words w, in pairs:
//
//	m0 + (m1+w0)(m2+w1) + (m3+w2)(m4+w3) + ...   mod 2^64, its upper half
//
// For any two keys the hashes are independent and uniform over the choice of
// the secret m. That alone would map a run of neighbours to another evenly
// spaced run, so a bijection scatters them. It takes nothing but multiplications,
// shifts and exclusive ors of 64 bits, so that an XDP program can compute it.

// conn is the hash of a connection or of fragments. That of a connection is of the
// client's side alone, as in IPVS (ip_vs_conn_hashkey): a reply, which
// knows that side only, finds it, too. The words are the client's address, and
// its port with the protocol; for IPv6 a 0 fills the last pair. Fragments are found by
// all of their key.
func (s *secret) conn(k *Key) Hash {
	sum := s[0]
	switch {
	case k.fragment():
		return s.whole(k)
	case k.v6:
		sum += (s[1] + k.addr[0]>>32) * (s[2] + k.addr[0]&0xffffffff)
		sum += (s[3] + k.addr[1]>>32) * (s[4] + k.addr[1]&0xffffffff)
		sum += (s[5] + k.side()) * s[6]
	default:
		sum += (s[1] + k.addr[0]>>32) * (s[2] + k.side())
	}
	return scatter(uint32(sum >> 32))
}

// whole is the hash of a template: of all its key. With a mask of 0, the templates of all
// clients would have one home else. The words are the ports, the protocol, and
// the addresses.
func (s *secret) whole(k *Key) Hash {
	sum := s[0] + (s[1]+k.ident>>identPorts)*(s[2]+k.ident>>identProtocol&0xff)
	sum += (s[3] + k.addr[0]>>32) * (s[4] + k.addr[0]&0xffffffff)
	if k.v6 {
		sum += (s[5] + k.addr[1]>>32) * (s[6] + k.addr[1]&0xffffffff)
		sum += (s[7] + k.addr[2]>>32) * (s[8] + k.addr[2]&0xffffffff)
		sum += (s[9] + k.addr[3]>>32) * (s[10] + k.addr[3]&0xffffffff)
	}
	return scatter(uint32(sum >> 32))
}

// scatter is the finaliser of MurmurHash3, a bijection on 32 bits that carries
// every bit to every other.
func scatter(h uint32) Hash {
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	h ^= h >> 16
	return Hash(h)
}

// hash is the hash of a key in this table.
func (t *table) hash(k *Key) Hash {
	if t.templates == nil {
		return t.secret.whole(k)
	}
	return t.secret.conn(k)
}
