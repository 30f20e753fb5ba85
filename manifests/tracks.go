package manifests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/ipfs/go-cid"
)

const (
	// MaxTracks is how many tracks a selection can have.
	MaxTracks = 1 << 20

	maxShard = 64 << 10
	perShard = 256 // entries, on average, at which the shards double
	perRow   = 64
)

// Wrap is a track's file key, sealed under the revision's MK.
type Wrap [32]byte

// Entry is one track of a selection, as everyone may see it.
type Entry struct {
	Track cid.Cid // of the sealed file's UnixFS root
	Wrap  Wrap
	Size  uint64  // of the sealed file, exact, in bytes
	Sec   uint64  // duration, rounded up
	Info  cid.Cid // sealed metadata
}

func (e *Entry) code(c *coder) {
	c.tuple(5)
	c.link(&e.Track, codecRaw, codecDagPB)
	c.fixed(e.Wrap[:])
	number(c, &e.Size, MaxInt)
	number(c, &e.Sec, MaxInt)
	c.link(&e.Info, codecRaw)
}

// spine is the root of a selection's tracks.
type spine struct {
	N    uint64
	D    uint64
	Rows []cid.Cid
}

func (s *spine) code(c *coder) {
	c.fields(3, func() {
		c.key("d")
		number(c, &s.D, 12)
		c.key("n")
		number(c, &s.N, MaxTracks)
		c.key("rows")
		list(c, &s.Rows, 1, 1<<12/perRow, func(l *cid.Cid) { c.link(l, codecDagCBOR) })
	})
}

func (s *spine) check() error {
	if s.D != shardBits(s.N) || len(s.Rows) != (1<<s.D+perRow-1)/perRow {
		return invalid("spine of %d tracks with 2^%d shards in %d rows", s.N, s.D, len(s.Rows))
	}
	return nil
}

// shardBits is the least d with n <= 256*2^d.
func shardBits(n uint64) uint64 {
	if n <= perShard {
		return 0
	}
	return uint64(bits.Len64((n - 1) / perShard))
}

// row lists up to 64 shards.
type row []rowEntry

type rowEntry struct {
	Shard cid.Cid
	Count uint64
	Bytes uint64 // sum of its entries' sizes
}

func (r *row) code(c *coder) {
	list(c, (*[]rowEntry)(r), 1, perRow, func(e *rowEntry) {
		c.tuple(3)
		c.link(&e.Shard, codecDagCBOR)
		number(c, &e.Count, maxShard)
		number(c, &e.Bytes, MaxInt)
	})
}

func (r *row) check() error { return nil }

// shard lists the tracks whose digest starts with the shard's bits.
type shard []Entry

func (s *shard) code(c *coder) {
	list(c, (*[]Entry)(s), 0, maxShard, func(e *Entry) { e.code(c) })
}

func (s *shard) check() error {
	if !ascending(*s, func(e *Entry) []byte { return e.Track.Bytes() }) {
		return invalid("shard's tracks are not sorted")
	}
	return nil
}

// shardOf is the first d bits of the track's digest.
func shardOf(track cid.Cid, d uint64) uint64 {
	x := Digest(track)
	return binary.BigEndian.Uint64(x[:8]) >> 1 >> (63 - d)
}

// BuildTracks lays entries out in spine, rows and shards, the spine first.
// Equal entries give equal blocks, in whatever order they come.
func BuildTracks(entries []Entry) ([]Block, error) {
	n := uint64(len(entries))
	if n > MaxTracks {
		return nil, fmt.Errorf("build tracks: %d are over %d", n, MaxTracks)
	}
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int { return bytes.Compare(a.Track.Bytes(), b.Track.Bytes()) })
	d := shardBits(n)
	shards := make([]shard, 1<<d)
	for _, e := range sorted {
		i := shardOf(e.Track, d)
		shards[i] = append(shards[i], e)
	}
	s := spine{N: n, D: d}
	blocks := make([]Block, 1, 2+len(shards))
	for first := 0; first < len(shards); first += perRow {
		var r row
		for _, sh := range shards[first:min(first+perRow, len(shards))] {
			data, err := encode(&sh, maxShard)
			if err != nil {
				return nil, fmt.Errorf("build tracks: %w", err)
			}
			b := NewBlock(data)
			blocks = append(blocks, b)
			r = append(r, rowEntry{b.CID, uint64(len(sh)), sh.bytes()})
		}
		data, err := encode(&r, MaxBlock)
		if err != nil {
			return nil, fmt.Errorf("build tracks: %w", err)
		}
		b := NewBlock(data)
		blocks, s.Rows = append(blocks, b), append(s.Rows, b.CID)
	}
	data, err := encode(&s, MaxBlock)
	if err != nil {
		return nil, fmt.Errorf("build tracks: %w", err)
	}
	blocks[0] = NewBlock(data)
	return blocks, nil
}

func (s shard) bytes() (sum uint64) {
	for _, e := range s {
		sum += e.Size
	}
	return sum
}

// Tracks is what a verified spine covers.
type Tracks struct {
	Entries []Entry   // by shard, then by CID
	Blocks  []cid.Cid // spine, rows and shards
	Bytes   uint64    // sum of the tracks' sizes
}

// ReadTracks reads and verifies all that the spine covers. get returns the
// blocks of the CIDs, in their order, whose bytes match them; it is called
// three times: for the spine, the rows, the shards.
func ReadTracks(root cid.Cid, get func([]cid.Cid) ([][]byte, error)) (*Tracks, error) {
	t := &Tracks{Blocks: []cid.Cid{root}}
	var s spine
	if err := s.read(root, get); err != nil {
		return nil, err
	}
	got, err := getAll(get, s.Rows)
	if err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", root, err)
	}
	var listed []rowEntry
	for i, data := range got {
		r, err := s.row(i, data)
		if err != nil {
			return nil, err
		}
		listed = append(listed, r...)
	}
	cids := make([]cid.Cid, len(listed))
	for i, e := range listed {
		cids[i] = e.Shard
	}
	t.Blocks = append(append(t.Blocks, s.Rows...), cids...)
	if got, err = getAll(get, cids); err != nil {
		return nil, fmt.Errorf("read shards of %s: %w", root, err)
	}
	for i, data := range got {
		sh, err := readShard(data, uint64(i), s.D, listed[i])
		if err != nil {
			return nil, err
		}
		t.Entries, t.Bytes = append(t.Entries, sh...), t.Bytes+listed[i].Bytes
	}
	if uint64(len(t.Entries)) != s.N {
		return nil, fmt.Errorf("read spine %s: %d tracks, not %d: %w", root, len(t.Entries), s.N, ErrInvalid)
	}
	return t, nil
}

func (s *spine) read(root cid.Cid, get func([]cid.Cid) ([][]byte, error)) error {
	got, err := getAll(get, []cid.Cid{root})
	if err == nil {
		err = decode(got[0], MaxBlock, s)
	}
	if err != nil {
		return fmt.Errorf("read spine %s: %w", root, err)
	}
	return nil
}

// row is the spine's row i, of these bytes.
func (s *spine) row(i int, data []byte) (r row, err error) {
	if err = decode(data, MaxBlock, &r); err == nil && len(r) != min(perRow, 1<<s.D-i*perRow) {
		err = invalid("%d shards", len(r))
	}
	if err != nil {
		return nil, fmt.Errorf("read row %s: %w", s.Rows[i], err)
	}
	return r, nil
}

func getAll(get func([]cid.Cid) ([][]byte, error), cids []cid.Cid) ([][]byte, error) {
	got, err := get(cids)
	if err == nil && len(got) != len(cids) {
		err = fmt.Errorf("%d blocks for %d CIDs", len(got), len(cids))
	}
	return got, err
}

// readShard is the shard of an index among 2^d, which its row lists as want.
func readShard(data []byte, index, d uint64, want rowEntry) (s shard, err error) {
	if err = decode(data, maxShard, &s); err == nil && (uint64(len(s)) != want.Count || s.bytes() != want.Bytes) {
		err = invalid("shard's count or bytes differ from its row's")
	}
	for _, e := range s {
		if err == nil && shardOf(e.Track, d) != index {
			err = invalid("track %s in the wrong shard", e.Track)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read shard %s: %w", want.Shard, err)
	}
	return s, nil
}
