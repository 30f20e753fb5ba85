package manifests

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"
)

// Amended is what a few entries change of a selection's tracks.
type Amended struct {
	// Blocks are the spine, first, and all else that is not as it was.
	Blocks []Block
	// New are the tracks that were not listed before, as they were given.
	New []cid.Cid
	// Clash says that the first bytes of a new track's digest, by which
	// playlists name tracks, are another's as well.
	Clash bool
}

// AmendTracks is BuildTracks of what a spine covers, with entries added or,
// where their track is listed already, in the place of what it has. It reads
// and makes what they touch only, so long as the shards stay as many. get is
// that of ReadTracks.
func AmendTracks(root cid.Cid, entries []Entry, get func([]cid.Cid) ([][]byte, error)) (*Amended, error) {
	a, err := amend(root, entries, get)
	if err != nil {
		return nil, fmt.Errorf("amend tracks: %w", err)
	}
	return a, nil
}

func amend(root cid.Cid, entries []Entry, get func([]cid.Cid) ([][]byte, error)) (*Amended, error) {
	tracks := make([]cid.Cid, len(entries))
	for i, e := range entries {
		tracks[i] = e.Track
	}
	t, err := touch(root, tracks, get)
	if err != nil {
		return nil, err
	}
	a := &Amended{}
	for _, e := range entries {
		sh := t.shards[shardOf(e.Track, t.spine.D)]
		i, listed := sh.find(e.Track)
		if listed {
			(*sh)[i] = e
			continue
		}
		a.New = append(a.New, e.Track)
		a.Clash = a.Clash || slices.ContainsFunc(*sh, func(o Entry) bool { return refOf(o.Track) == refOf(e.Track) })
		*sh = slices.Insert(*sh, i, e)
	}
	n := t.spine.N + uint64(len(a.New))
	if n > MaxTracks {
		return nil, fmt.Errorf("%d are over %d", n, MaxTracks)
	}
	if shardBits(n) != t.spine.D {
		whole, err := ReadTracks(root, get)
		if err != nil {
			return nil, err
		}
		return PutTracks(whole.Entries, entries)
	}
	t.spine.N = n
	a.Blocks, err = t.blocks()
	return a, err
}

// PutTracks is AmendTracks of entries that are all at hand; it may change all.
func PutTracks(all, entries []Entry) (*Amended, error) {
	a := &Amended{}
	put := make(map[cid.Cid]*Entry, len(entries))
	refs := make(map[[8]byte]cid.Cid, len(entries))
	for i, e := range entries {
		if o, taken := refs[refOf(e.Track)]; taken && o != e.Track {
			a.Clash = true
		}
		put[e.Track], refs[refOf(e.Track)] = &entries[i], e.Track
	}
	for i, e := range all {
		if x := put[e.Track]; x != nil {
			all[i] = *x
			delete(put, e.Track)
		} else if _, taken := refs[refOf(e.Track)]; taken {
			a.Clash = true
		}
	}
	for _, e := range entries {
		if put[e.Track] != nil {
			all, a.New = append(all, e), append(a.New, e.Track)
			delete(put, e.Track)
		}
	}
	var err error
	a.Blocks, err = BuildTracks(all)
	return a, err
}

// ListedTracks tells which of tracks a spine covers; get is that of ReadTracks.
func ListedTracks(root cid.Cid, tracks []cid.Cid, get func([]cid.Cid) ([][]byte, error)) (map[cid.Cid]bool, error) {
	t, err := touch(root, tracks, get)
	if err != nil {
		return nil, fmt.Errorf("look for tracks: %w", err)
	}
	out := map[cid.Cid]bool{}
	for _, c := range tracks {
		_, out[c] = t.shards[shardOf(c, t.spine.D)].find(c)
	}
	return out, nil
}

func refOf(track cid.Cid) [8]byte {
	d := Digest(track)
	return [8]byte(d[:8])
}

func (s *shard) find(track cid.Cid) (int, bool) {
	return slices.BinarySearchFunc(*s, track, func(e Entry, c cid.Cid) int { return bytes.Compare(e.Track.Bytes(), c.Bytes()) })
}

// touched is a spine, and the rows and shards of some of its tracks.
type touched struct {
	spine  spine
	rows   map[int]row
	shards map[uint64]*shard
}

func touch(root cid.Cid, tracks []cid.Cid, get func([]cid.Cid) ([][]byte, error)) (*touched, error) {
	t := &touched{rows: map[int]row{}, shards: map[uint64]*shard{}}
	if err := t.spine.read(root, get); err != nil {
		return nil, err
	}
	for _, c := range tracks {
		i := shardOf(c, t.spine.D)
		t.shards[i], t.rows[int(i/perRow)] = &shard{}, nil
	}
	at := slices.Sorted(maps.Keys(t.rows))
	got, err := getAll(get, pick(at, func(i int) cid.Cid { return t.spine.Rows[i] }))
	if err != nil {
		return nil, err
	}
	for k, i := range at {
		if t.rows[i], err = t.spine.row(i, got[k]); err != nil {
			return nil, err
		}
	}
	which := slices.Sorted(maps.Keys(t.shards))
	got, err = getAll(get, pick(which, func(i uint64) cid.Cid { return t.rows[int(i/perRow)][i%perRow].Shard }))
	if err != nil {
		return nil, err
	}
	for k, i := range which {
		if *t.shards[i], err = readShard(got[k], i, t.spine.D, t.rows[int(i/perRow)][i%perRow]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func pick[T cmp.Ordered](at []T, f func(T) cid.Cid) []cid.Cid {
	out := make([]cid.Cid, len(at))
	for i, x := range at {
		out[i] = f(x)
	}
	return out
}

// blocks are the spine, the rows and the shards as they are now.
func (t *touched) blocks() ([]Block, error) {
	out := make([]Block, 1, 1+len(t.rows)+len(t.shards))
	for i, s := range t.shards {
		data, err := encode(s, maxShard)
		if err != nil {
			return nil, err
		}
		b := NewBlock(data)
		out = append(out, b)
		t.rows[int(i/perRow)][i%perRow] = rowEntry{b.CID, uint64(len(*s)), s.bytes()}
	}
	for i, r := range t.rows {
		data, err := encode(&r, MaxBlock)
		if err != nil {
			return nil, err
		}
		b := NewBlock(data)
		out = append(out, b)
		t.spine.Rows[i] = b.CID
	}
	data, err := encode(&t.spine, MaxBlock)
	out[0] = NewBlock(data)
	return out, err
}
