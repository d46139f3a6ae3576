package affinity

import "math/bits"

// stageSize is how many keys are staged together: enough for the waits to overlap,
// few enough for what was loaded to be in the first cache still when it is used.
const stageSize = 64

// touch loads the first word of each line of the home bucket.
func (t *table) touch(h Hash) uint64 {
	home := t.home(h)
	if t.v6 {
		return t.lines[2*home][ident].Load() ^ t.lines[2*home+1][ident].Load()
	}
	return t.lines[home][ident].Load()
}

// stageFrom is from how many entries on staging pays for known keys. Fewer fit a
// processor's second cache, where there is no wait worth the work.
const stageFrom = 8192

// cached reports whether the entries of both tables are few enough to be in a cache.
func cached(v4, v6 *table) bool { return v4.live.Load() < stageFrom && v6.live.Load() < stageFrom }

// stage is Stage over a pair of tables, or StageNew if most are new. One key in six at
// the design load is not in its home bucket. Those are gathered before their bucket words
// and then the lines that these name are loaded, each load independent of the last: a
// wrongly predicted branch between two loads would make the second wait for the first. Of
// a million entries, lookups staged so take two thirds of the time that Touch alone leaves.
// Of new keys none is at home, so that their bucket words are loaded with their homes.
func stage(v4, v6 *table, keys []Key, hashes []Hash, mostNew bool) (folded uint64) {
	for len(keys) > stageSize && len(hashes) > stageSize {
		folded ^= stageSome(v4, v6, keys[:stageSize], hashes[:stageSize], mostNew)
		keys, hashes = keys[stageSize:], hashes[stageSize:]
	}
	return folded ^ stageSome(v4, v6, keys, hashes, mostNew)
}

// stageSome is stage for at most stageSize keys.
func stageSome(v4, v6 *table, keys []Key, hashes []Hash, mostNew bool) (folded uint64) {
	n := min(len(keys), len(hashes), stageSize)
	keys, hashes = keys[:n], hashes[:n]
	for i, h := range hashes {
		t := choose(v4, v6, &keys[i])
		folded ^= t.touch(h)
		if mostNew {
			folded ^= uint64(t.buckets[t.home(h)].Load())
		}
	}
	var away [stageSize]uint8
	count := 0
	for i, h := range hashes {
		away[count%stageSize] = uint8(i) // overwritten by the next if this one is at home
		if !choose(v4, v6, &keys[i]).atHome(h, &keys[i]) {
			count++
		}
	}
	for _, i := range away[:count] {
		t := choose(v4, v6, &keys[i])
		folded ^= uint64(t.buckets[t.home(hashes[i])].Load())
	}
	for _, i := range away[:count] {
		folded ^= choose(v4, v6, &keys[i]).touchAway(hashes[i])
	}
	return folded
}

// choose returns the table of a key's family.
func choose(v4, v6 *table, k *Key) *table {
	if k.v6 {
		return v6
	}
	return v4
}

// atHome reports whether a key's entry seems to be in its home bucket.
func (t *table) atHome(h Hash, k *Key) bool {
	home := t.home(h)
	if t.v6 {
		return match(t.lines[2*home][ident].Load(), k) || match(t.lines[2*home+1][ident].Load(), k)
	}
	l := &t.lines[home]
	return match(l[ident].Load(), k) && l[address].Load() == k.addr[0] ||
		match(l[4+ident].Load(), k) && l[4+address].Load() == k.addr[0]
}

// touchAway loads the nearest bucket away from home that has an entry of that home; if
// there is none, the one where a new entry goes: home, or the next one if home is full.
func (t *table) touchAway(h Hash) uint64 {
	home := t.home(h)
	b := t.buckets[home].Load() & (bucketProbes - 1)
	first, second := t.slot(2 * home)[ident].Load(), t.slot(2*home + 1)[ident].Load()
	d := bits.TrailingZeros32(b)
	if b == 0 {
		d = int(first & second / statusLive % 2) // 1 if both are live; no branch to be predicted wrongly
	}
	n := t.probe(home, d)
	if t.v6 {
		return t.lines[2*n][ident].Load() ^ t.lines[2*n+1][ident].Load()
	}
	return t.lines[n][ident].Load()
}
