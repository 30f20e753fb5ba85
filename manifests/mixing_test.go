package manifests

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/ipfs/go-cid"
)

func at(n int64) *int64 { return &n }

// A playlist and all that is said of its mixing come out of its blocks as they went in, for any number of cues; an edit
// of one cue rewrites one block, and the order none.
func TestMixingRoundTrips(t *testing.T) {
	for _, n := range []int{1, 2, 700, 4000} {
		entries := testEntries(n)
		p := Playlist{Label: "main", Mixing: Mixing{Fade: MaxFade, Album: n%2 == 0, Cues: map[cid.Cid]Cue{}}}
		for i, e := range entries {
			p.Tracks = append(p.Tracks, e.Track)
			p.Cues[e.Track] = []Cue{{In: at(0)}, {Out: at(1)}, {In: at(int64(i)), Out: at(MaxInt)}}[i%3]
		}
		sealed := func(p Playlist) (out [][]byte) {
			blocks, err := p.Blocks()
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range blocks {
				data, err := b.Encode()
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, data)
			}
			return out
		}
		var read []*Meta
		first := sealed(p)
		for _, data := range first {
			m, err := DecodeMeta(data)
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, m)
		}
		lists, err := Playlists(read, entries)
		if err != nil || len(lists) != 1 || !reflect.DeepEqual(lists[0], p) {
			t.Fatalf("%d tracks: another playlist came back: %v", n, err)
		}
		if last := read[len(read)-1]; last.Kind != KindOrder {
			t.Errorf("the last block is of kind %q", last.Kind)
		}
		x := p.Mixing
		x.Cues = map[cid.Cid]Cue{}
		for t, q := range p.Cues {
			x.Cues[t] = q
		}
		x.Cues[p.Tracks[n/2]] = Cue{In: at(7)}
		again, err := Remix(read, "main", x)
		if err != nil || len(again) != len(read) {
			t.Fatal(len(again), err)
		}
		changed := 0
		for i, m := range again {
			if data, err := m.Encode(); err != nil || !bytes.Equal(data, first[i]) {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%d tracks: one cue changes %d of %d blocks", n, changed, len(again))
		}
	}
}

// Two tracks whose digests begin alike keep their own cues.
func TestCuesOfTracksThatLookAlike(t *testing.T) {
	var a, b [32]byte
	a[12], b[12] = 1, 2
	p := Playlist{Label: "main", Tracks: []cid.Cid{digestCID(codecRaw, a), digestCID(codecRaw, b)}}
	p.Cues = map[cid.Cid]Cue{p.Tracks[0]: {In: at(1)}, p.Tracks[1]: {In: at(2)}}
	blocks, err := p.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	lists, err := Playlists(blocks, []Entry{{Track: p.Tracks[0]}, {Track: p.Tracks[1]}})
	if err != nil || !reflect.DeepEqual(lists[0], p) {
		t.Fatal(lists, err)
	}
	p.Cues[testLink(codecRaw, 5)] = Cue{In: at(3)}
	if _, err := p.Blocks(); err == nil {
		t.Error("a cue of a track that is not in the list is laid out")
	}
}

// What a mixing may not say is neither written nor read.
func TestHostileMixing(t *testing.T) {
	ref := make([]byte, 8)
	for name, m := range map[string]*Meta{
		"no list":             {Kind: KindMix, Fade: 1, Gain: gainTrack},
		"a list with a slash": {Kind: KindMix, List: "a/b", Fade: 1, Gain: gainTrack},
		"a fade too long":     {Kind: KindMix, List: "main", Fade: MaxFade + 1, Gain: gainTrack},
		"a negative fade":     {Kind: KindMix, List: "main", Fade: -1, Gain: gainTrack},
		"another gain":        {Kind: KindMix, List: "main", Fade: 1, Gain: "loud"},
		"nothing":             {Kind: KindMix, List: "main", Gain: gainTrack},
		"no cues":             {Kind: KindCue, List: "main"},
		"an empty cue":        {Kind: KindCue, List: "main", Cues: []cueRow{{Ref: ref}}},
		"out before in":       {Kind: KindCue, List: "main", Cues: []cueRow{{ref, Cue{at(2), at(1)}}}},
		"out at in":           {Kind: KindCue, List: "main", Cues: []cueRow{{ref, Cue{at(2), at(2)}}}},
		"out at 0":            {Kind: KindCue, List: "main", Cues: []cueRow{{ref, Cue{nil, at(0)}}}},
		"a negative cue":      {Kind: KindCue, List: "main", Cues: []cueRow{{ref, Cue{at(-1), nil}}}},
		"a cue over 2^53":     {Kind: KindCue, List: "main", Cues: []cueRow{{ref, Cue{nil, at(MaxInt + 1)}}}},
		"a ref of 7 bytes":    {Kind: KindCue, List: "main", Cues: []cueRow{{ref[:7], Cue{at(1), nil}}}},
		"a ref of 33 bytes":   {Kind: KindCue, List: "main", Cues: []cueRow{{make([]byte, 33), Cue{at(1), nil}}}},
		"refs out of order":   {Kind: KindCue, List: "main", Cues: []cueRow{{bytes.Repeat([]byte{1}, 8), Cue{at(1), nil}}, {ref, Cue{at(1), nil}}}},
		"a ref twice":         {Kind: KindCue, List: "main", Cues: []cueRow{{ref, Cue{at(1), nil}}, {ref, Cue{at(1), nil}}}},
	} {
		if _, err := m.Encode(); err == nil {
			t.Errorf("%s is written", name)
		}
		var c coder // as somebody writes it who does not check
		m.code(&c)
		if _, err := DecodeMeta(c.b); c.err == nil && err == nil {
			t.Errorf("%s is read", name)
		}
	}
	// Negative numbers as CBOR has them.
	for _, raw := range [][]byte{
		append([]byte{0x82, 0x63}, "mix\xa3\x64fade\x20\x64gain\x65album\x64list\x64main"...),
		append([]byte{0x82, 0x63}, "cue\xa2\x64list\x64main\x64rows\x81\x83\x4812345678\x20\xf6"...),
	} {
		if _, err := DecodeMeta(raw); err == nil {
			t.Errorf("%q is read", raw)
		}
	}
	entries := testEntries(2)
	order := CutOrder("main", []cid.Cid{entries[0].Track, entries[1].Track})
	mix := &Meta{Kind: KindMix, List: "main", Fade: 1, Gain: gainTrack}
	cue := func(list string, ref []byte) *Meta {
		return &Meta{Kind: KindCue, List: list, Cues: []cueRow{{ref, Cue{In: at(1)}}}}
	}
	short, long := Digest(entries[0].Track), Digest(entries[0].Track)
	for name, bad := range map[string][]*Meta{
		"two mixings of one list":    {mix, mix},
		"a mixing of no list":        {{Kind: KindMix, List: "other", Fade: 1, Gain: gainTrack}},
		"cues of no list":            {cue("other", short[:8])},
		"a cue of no track":          {cue("main", make([]byte, 8))},
		"two cues of one track":      {cue("main", short[:8]), cue("main", short[:8])},
		"two cues by other lengths":  {cue("main", short[:8]), cue("main", long[:9])},
		"a cue of a track and again": {{Kind: KindCue, List: "main", Cues: []cueRow{{short[:8], Cue{In: at(1)}}, {long[:20], Cue{In: at(1)}}}}},
	} {
		if _, err := Playlists(append(bad, order...), entries); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
