package manifests

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
)

// Whatever is amended, the outcome is what building it whole gives, on both
// sides of a doubling of shards, and reads no more than is touched.
func TestAmendedIsBuilt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 255, 256, 257, 511, 512, 513, 20_000} {
		for _, more := range []int{0, 1, 3} {
			all := testEntries(n + more)
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			before, err := BuildTracks(all[more:])
			if err != nil {
				t.Fatal(err)
			}
			changed := slices.Clone(all[:more])
			want := slices.Clone(all)
			if n > 0 { // one that is listed, with another info
				want[more].Info = testLink(codecRaw, 1<<40)
				changed = append(changed, want[more])
			}
			reads := 0
			get := blocksOf(before)
			a, err := AmendTracks(before[0].CID, changed, func(cs []cid.Cid) ([][]byte, error) {
				reads += len(cs)
				return get(cs)
			})
			if err != nil {
				t.Fatal(n, more, err)
			}
			after, err := BuildTracks(want)
			if err != nil {
				t.Fatal(err)
			}
			if a.Blocks[0].CID != after[0].CID || len(a.New) != more || a.Clash {
				t.Errorf("%d tracks and %d: another spine than of the whole (%d new, clash %v)", n, more, len(a.New), a.Clash)
			}
			if n == 20_000 && (reads > 1+8 || len(a.Blocks) > 1+8) {
				t.Errorf("%d reads and %d blocks for %d entries", reads, len(a.Blocks), len(changed))
			}
			tr, err := ReadTracks(a.Blocks[0].CID, blocksOf(append(before, a.Blocks...)))
			if err != nil || len(tr.Entries) != n+more {
				t.Errorf("%d tracks and %d: %v", n, more, err)
			}
			var tracks []cid.Cid
			for _, e := range all {
				tracks = append(tracks, e.Track)
			}
			listed, err := ListedTracks(before[0].CID, tracks, get)
			for i, c := range tracks {
				if err != nil || listed[c] != (i >= more) {
					t.Fatalf("%d tracks and %d: track %d is listed: %v, %v", n, more, i, listed[c], err)
				}
			}
		}
	}
}

func TestAmendRefusesRubbish(t *testing.T) {
	entries := testEntries(600)
	blocks, err := BuildTracks(entries[1:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range blocks {
		for _, b := range [][]byte{nil, blocks[i].Data[:len(blocks[i].Data)-1], blocks[(i+1)%len(blocks)].Data} {
			get := blocksOf(blocks)
			_, err := AmendTracks(blocks[0].CID, entries, func(cs []cid.Cid) ([][]byte, error) {
				out, err := get(cs)
				for k, c := range cs {
					if c == blocks[i].CID {
						out[k] = b
					}
				}
				return out, err
			})
			if err == nil {
				t.Errorf("block %d of %d bytes is taken for another's", i, len(b))
			}
		}
	}
}

// A track whose digest begins as another's is told, so that playlists name
// both by more.
func TestAmendTellsAClash(t *testing.T) {
	entries := testEntries(3)
	d := Digest(entries[0].Track)
	d[31] ^= 1
	entries[2].Track = digestCID(codecRaw, d)
	blocks, err := BuildTracks(entries[:2])
	if err != nil {
		t.Fatal(err)
	}
	a, err := AmendTracks(blocks[0].CID, entries[2:], blocksOf(blocks))
	if err != nil || !a.Clash {
		t.Errorf("no clash: %v", err)
	}
	a, err = AmendTracks(blocks[0].CID, testEntries(4)[3:], blocksOf(blocks))
	if err != nil || a.Clash {
		t.Errorf("a clash of none: %v", err)
	}
}

// A list that grows by the end of its last block is cut as if it were whole.
func TestOrderContinues(t *testing.T) {
	var order []cid.Cid
	for i := range 5000 {
		order = append(order, testLink(codecRaw, i))
	}
	for _, step := range []int{1, 2, 700, 3000} {
		blocks := CutOrder("main", order[:step])
		for at := step; at < len(order); at += step {
			more := order[at:min(at+step, len(order))]
			last := len(blocks) - 1
			blocks = append(blocks[:last:last], ContinueOrder(blocks[last], more)...)
		}
		whole := CutOrder("main", order)
		if len(blocks) != len(whole) || len(whole) < 4 {
			t.Fatalf("step %d: %d blocks, cut whole %d", step, len(blocks), len(whole))
		}
		for i := range whole {
			if fmt.Sprint(whole[i].Rows) != fmt.Sprint(blocks[i].Rows) {
				t.Errorf("step %d: block %d is another", step, i)
			}
		}
	}
}

// A track that moves rewrites the blocks that it leaves and comes to; other playlists, and what is said of the mixing, stay
// where they are.
func TestReorder(t *testing.T) {
	order := make([]cid.Cid, 2000)
	for i := range order {
		order[i] = NewRawBlock(fmt.Append(nil, "reordered ", i)).CID
	}
	other := []cid.Cid{order[3], order[1]}
	first, err := Playlist{Label: "a", Tracks: order, Mixing: Mixing{Fade: 1}}.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	blocks := slices.Concat(first, CutOrder("b", other))
	entries := make([]Entry, len(order))
	for i, c := range order {
		entries[i].Track = c
	}
	for _, at := range [][2]int{{0, 1999}, {1999, 0}, {700, 701}, {5, 1200}} {
		to := slices.Insert(slices.Delete(slices.Clone(order), at[0], at[0]+1), at[1], order[at[0]])
		moved := Reorder(blocks, "a", to)
		lists, err := Playlists(moved, entries)
		if err != nil || len(lists) != 2 || !slices.Equal(lists[0].Tracks, to) || !slices.Equal(lists[1].Tracks, other) || lists[0].Fade != 1 {
			t.Errorf("%v: %d lists, %v", at, len(lists), err)
		}
		fresh := 0
		for _, m := range moved {
			if !slices.ContainsFunc(blocks, func(o *Meta) bool { return reflect.DeepEqual(o, m) }) {
				fresh++
			}
		}
		if fresh > 3 || len(moved) < 5 || !reflect.DeepEqual(moved[0], blocks[0]) {
			t.Errorf("%v: %d of %d blocks are new", at, fresh, len(moved))
		}
	}
	if got := Reorder(nil, "a", other); len(got) != 1 || got[0].List != "a" {
		t.Errorf("of nothing: %+v", got)
	}
}
