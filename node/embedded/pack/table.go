package pack

import (
	"hash/maphash"
	"slices"
)

// table tells where a digest is, in some 13 bytes a block: of a digest it
// keeps 44 bits, under a key that is drawn anew in every process, so that
// nobody can make two that are alike. What it finds is therefore to be held
// against the disk, except where being wrong once in 2^44 blocks does no harm.
// Its owner locks it.
type table struct {
	seed   maphash.Seed
	shards [shards]shard
}

const shards = 1 << 12

// shard is sorted by keys.
type shard struct {
	keys   []uint32
	places []place
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

func (t *table) of(d digest) (*shard, uint32) {
	h := maphash.Bytes(t.seed, d[:])
	return &t.shards[h>>52], uint32(h)
}

// find lists where d may be; the caller may keep the list.
func (t *table) find(d digest) []place {
	s, k := t.of(d)
	i, _ := slices.BinarySearch(s.keys, k)
	j := i
	for j < len(s.keys) && s.keys[j] == k {
		j++
	}
	return slices.Clone(s.places[i:j])
}

// has tells whether something that may be d is at p.
func (t *table) has(d digest, p place) bool {
	_, _, ok := t.index(d, p)
	return ok
}

func (t *table) index(d digest, p place) (s *shard, i int, ok bool) {
	s, k := t.of(d)
	i, _ = slices.BinarySearch(s.keys, k)
	for ; i < len(s.keys) && s.keys[i] == k; i++ {
		if s.places[i] == p {
			return s, i, true
		}
	}
	return s, i, false
}

func (t *table) add(d digest, p place) {
	s, k := t.of(d)
	i, _ := slices.BinarySearch(s.keys, k)
	s.keys, s.places = insert(s.keys, i, k), insert(s.places, i, p)
}

// drop removes what may be d at p, and tells whether it was there.
func (t *table) drop(d digest, p place) bool {
	s, i, ok := t.index(d, p)
	if ok {
		s.keys, s.places = slices.Delete(s.keys, i, i+1), slices.Delete(s.places, i, i+1)
	}
	return ok
}

// insert grows by an eighth: append would double what is to stay small.
func insert[T any](s []T, i int, v T) []T {
	if len(s) == cap(s) {
		s = append(make([]T, 0, len(s)+max(8, len(s)/8)), s...)
	}
	return slices.Insert(s, i, v)
}
