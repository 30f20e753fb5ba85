package manifests

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
)

// blocksOf serves blocks to ReadTracks.
func blocksOf(blocks []Block) func([]cid.Cid) ([][]byte, error) {
	m := map[cid.Cid][]byte{}
	for _, b := range blocks {
		m[b.CID] = b.Data
	}
	return func(cs []cid.Cid) (out [][]byte, err error) {
		for _, c := range cs {
			if m[c] == nil {
				return nil, fmt.Errorf("no block %s", c)
			}
			out = append(out, m[c])
		}
		return out, nil
	}
}

func TestTracksAtEverySize(t *testing.T) {
	for n, d := range map[int]uint64{0: 0, 1: 0, 255: 0, 256: 0, 257: 1, 512: 1, 513: 2, 5000: 5, 20000: 7} {
		entries := testEntries(n)
		blocks, err := BuildTracks(entries)
		if err != nil {
			t.Fatal(n, err)
		}
		var s spine
		if err := decode(blocks[0].Data, MaxBlock, &s); err != nil || s.D != d || s.N != uint64(n) {
			t.Errorf("%d tracks: 2^%d shards, want 2^%d (%v)", n, s.D, d, err)
		}
		for _, b := range blocks {
			if len(b.Data) > maxShard {
				t.Errorf("%d tracks: a block of %d bytes", n, len(b.Data))
			}
		}
		tr, err := ReadTracks(blocks[0].CID, blocksOf(blocks))
		if err != nil {
			t.Fatal(n, err)
		}
		var sum uint64
		have := map[cid.Cid]Entry{}
		for _, e := range tr.Entries {
			have[e.Track] = e
		}
		for _, e := range entries {
			sum += e.Size
			if have[e.Track] != e {
				t.Fatalf("%d tracks: %s is lost or changed", n, e.Track)
			}
		}
		if len(tr.Entries) != n || tr.Bytes != sum || len(tr.Blocks) != len(blocks) {
			t.Errorf("%d tracks: %d entries, %d bytes, %d blocks", n, len(tr.Entries), tr.Bytes, len(tr.Blocks))
		}
		slices.Reverse(entries)
		again, err := BuildTracks(entries)
		if err != nil || again[0].CID != blocks[0].CID {
			t.Errorf("%d tracks: another order gives another spine", n)
		}
	}
}

func TestOneTrackMovesLittle(t *testing.T) {
	entries := testEntries(20001)
	before, err := BuildTracks(entries[1:])
	if err != nil {
		t.Fatal(err)
	}
	after, err := BuildTracks(entries)
	if err != nil {
		t.Fatal(err)
	}
	known := map[cid.Cid]bool{}
	for _, b := range before {
		known[b.CID] = true
	}
	moved := 0
	for _, b := range after {
		if !known[b.CID] {
			moved += len(b.Data)
		}
	}
	if moved > 64<<10 {
		t.Errorf("one track more in 20,000 moves %d bytes", moved)
	}
}

func TestTracksAreVerified(t *testing.T) {
	entries := testEntries(600)
	build := func(change func(shards [][]Entry, s *spine, rows *row)) error {
		s := spine{N: 600, D: 2}
		shards := make([][]Entry, 4)
		sorted := slices.Clone(entries)
		slices.SortFunc(sorted, func(a, b Entry) int { return bytes.Compare(a.Track.Bytes(), b.Track.Bytes()) })
		for _, e := range sorted {
			i := shardOf(e.Track, 2)
			shards[i] = append(shards[i], e)
		}
		var r row
		change(shards, &s, &r)
		var blocks []Block
		for i, sh := range shards {
			var c coder
			x := shard(sh)
			x.code(&c)
			b := NewBlock(c.b)
			blocks = append(blocks, b)
			if len(r) <= i {
				r = append(r, rowEntry{b.CID, uint64(len(sh)), x.bytes()})
			}
			r[i].Shard = b.CID
		}
		var c coder
		r.code(&c)
		rb := NewBlock(c.b)
		s.Rows = []cid.Cid{rb.CID}
		c = coder{}
		s.code(&c)
		sb := NewBlock(c.b)
		_, err := ReadTracks(sb.CID, blocksOf(append(blocks, rb, sb)))
		return err
	}
	if err := build(func([][]Entry, *spine, *row) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(shards [][]Entry, s *spine, r *row){
		"n too high":         func(_ [][]Entry, s *spine, _ *row) { s.N++ },
		"d too high":         func(_ [][]Entry, s *spine, _ *row) { s.D++ },
		"a track twice":      func(sh [][]Entry, s *spine, _ *row) { sh[0] = append(sh[0], sh[0][len(sh[0])-1]); s.N++ },
		"unsorted":           func(sh [][]Entry, _ *spine, _ *row) { sh[0][0], sh[0][1] = sh[0][1], sh[0][0] },
		"in the wrong shard": func(sh [][]Entry, _ *spine, _ *row) { sh[0], sh[1] = sh[1], sh[0] },
		"count off": func(sh [][]Entry, _ *spine, r *row) {
			*r = row{{testLink(codecDagCBOR, 1), uint64(len(sh[0]) + 1), shard(sh[0]).bytes()}}
		},
		"bytes off": func(sh [][]Entry, _ *spine, r *row) {
			*r = row{{testLink(codecDagCBOR, 1), uint64(len(sh[0])), shard(sh[0]).bytes() + 1}}
		},
	} {
		if build(change) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPlaylistsKeepTheirOrder(t *testing.T) {
	for _, n := range []int{0, 1, 2, 700, 6000} {
		entries := testEntries(n)
		var order []cid.Cid
		for i := range entries {
			order = append(order, entries[(i*7919)%n].Track)
		}
		if n > 1 {
			order = append(order, order[0], order[1]) // twice in a list is allowed
		}
		blocks := CutOrder("main", order)
		for _, b := range blocks {
			if data, err := b.Encode(); err != nil {
				t.Fatal(len(data), err)
			}
		}
		lists, err := Playlists(append(blocks, &Meta{Kind: "later"}), entries)
		if err != nil || len(lists) != 1 || lists[0].Label != "main" || !slices.Equal(lists[0].Tracks, order) {
			t.Fatalf("%d tracks: %v", n, err)
		}
	}
	// An edit in the middle changes the block that it touches.
	entries := testEntries(6000)
	var order []cid.Cid
	for _, e := range entries {
		order = append(order, e.Track)
	}
	enc := func(order []cid.Cid) map[string]bool {
		out := map[string]bool{}
		for _, b := range CutOrder("main", order) {
			data, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			out[string(data)] = true
		}
		return out
	}
	before, changed := enc(order), 0
	after := enc(slices.Insert(slices.Clone(order), 3000, testLink(codecRaw, -1)))
	for b := range after {
		if !before[b] {
			changed++
		}
	}
	if changed > 2 || len(after) < 5 {
		t.Errorf("one track more changes %d of %d blocks", changed, len(after))
	}
}

func TestReferencesGrowWhereTwoCollide(t *testing.T) {
	var a, b [32]byte
	for i := range 12 {
		a[i], b[i] = 7, 7
	}
	a[12], b[12] = 1, 2
	order := []cid.Cid{digestCID(codecRaw, a), digestCID(codecRaw, b), testLink(codecRaw, 3)}
	m := CutOrder("main", order)[0]
	if len(m.Rows[0]) != 13 || len(m.Rows[1]) != 13 || len(m.Rows[2]) != 8 {
		t.Errorf("references of %d, %d, %d bytes", len(m.Rows[0]), len(m.Rows[1]), len(m.Rows[2]))
	}
	entries := []Entry{{Track: order[0]}, {Track: order[1]}, {Track: order[2]}}
	if lists, err := Playlists([]*Meta{m}, entries); err != nil || !slices.Equal(lists[0].Tracks, order) {
		t.Error(err)
	}
	m.Rows[0] = m.Rows[0][:12]
	if _, err := Playlists([]*Meta{m}, entries); err == nil {
		t.Error("a reference to two tracks is taken")
	}
	m.Rows[0] = make([]byte, 8)
	if _, err := Playlists([]*Meta{m}, entries); err == nil {
		t.Error("a reference to no track is taken")
	}
}

func TestMetaOfAnotherKindIsPassedOver(t *testing.T) {
	raw := append([]byte{0x82, 0x64}, "cues\x83\x01\x02\x03"...)
	m, err := DecodeMeta(raw)
	if err != nil || m.Kind != "cues" {
		t.Fatal(err)
	}
	if again, err := m.Encode(); err != nil || !bytes.Equal(again, raw) {
		t.Error("it does not keep its bytes")
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Cafe\u0301":             "Café",
		"a\x00b\u202ec\r\nd\t e": "abc d e",
		"\xff\xfe":               "\ufffd",
		"  x  ":                  "x",
		"👩\u200d🎤":               "👩\u200d🎤",
		"\u2066ltr\u2069":        "ltr",
		"soft\u00adhyphen":       "softhyphen",
		"e\u200b\u0301":          "é",
	} {
		if got := Clean(in, 100); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	for max := range 12 {
		s := Clean("ab e\u0301é👩 x", max)
		if len(s) > max || Clean(s, max) != s {
			t.Errorf("cut to %d: %q", max, s)
		}
	}
}
