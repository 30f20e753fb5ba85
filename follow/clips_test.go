package follow_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/manifests"
	"playnode/node"
)

// withCard publishes one track and a card; edit may break the card's bytes.
func (d *dj) withCard(seq uint64, card *manifests.Card, edit func([]byte) []byte) cid.Cid {
	d.t.Helper()
	s, m := d.manifest(0, seq, []manifests.Entry{d.track(950, 300)}, nil)
	data := must(card.Encode())
	if edit != nil {
		data = edit(data)
	}
	b := manifests.NewBlock(data)
	d.put(b)
	envelope := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, func(h *manifests.Head) { h.Card = &b.CID })
	d.point(envelope)
	return envelope
}

// clips is a card with these files as previews.
func clips(ks ...manifests.Clip) *manifests.Card {
	s := manifests.CardSel{}
	for i, k := range ks {
		s.Tracks = append(s.Tracks, manifests.CardTrack{Track: [32]byte{byte(i)}, Clip: &k})
	}
	return &manifests.Card{Name: "Anna", Sels: []manifests.CardSel{s}}
}

// node is a dag-pb node of a UnixFS file over links of these sizes.
func (d *dj) node(links []cid.Cid, sizes []uint64, pad int) manifests.Block {
	inner := []byte{1 << 3, 2}
	for _, n := range sizes {
		inner = binary.AppendUvarint(append(inner, 4<<3), n)
	}
	var data []byte
	for _, l := range links {
		link := append([]byte{1<<3 | 2, byte(l.ByteLen())}, l.Bytes()...)
		link = append(binary.AppendUvarint(append(link, 2<<3|2), uint64(pad)), make([]byte, pad)...) // its name
		data = append(binary.AppendUvarint(append(data, 2<<3|2), uint64(len(link))), link...)
	}
	data = append(binary.AppendUvarint(append(data, 1<<3|2), uint64(len(inner))), inner...)
	b := manifests.NewBlock(data)
	b.CID = cid.NewCidV1(cid.DagProtobuf, b.CID.Hash())
	d.put(b)
	return b
}

func (d *dj) leaf(n int) manifests.Block {
	b := manifests.NewRawBlock(d.bytes(n))
	d.put(b)
	return b
}

// A card and its previews come with the head, are pinned with it, and are
// there from disk alone, also for an archivist's eyes.
func TestCardComesWithTheHead(t *testing.T) {
	w, d, venue := stage(t)
	leaf, a, b := d.leaf(700), d.leaf(300), d.leaf(41)
	file := d.node([]cid.Cid{a.CID, b.CID, a.CID}, []uint64{300, 41, 300}, 0)
	card := clips(manifests.Clip{File: leaf.CID, Size: 700, Codec: "opus"}, manifests.Clip{File: file.CID, Size: 641, Codec: "flac"},
		manifests.Clip{File: a.CID, Size: 300, Codec: "opus"})
	envelope := d.withCard(1, card, nil)
	name := mustFollow(t, venue, string(d.name))
	c, err := venue.follow.Sync(t.Context(), name, follow.Options{Ask: true})
	if err != nil || c.Card == nil || c.Card.Name != "Anna" || len(c.Card.Clips()) != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	if pins, _ := venue.Pins(t.Context()); len(pins) != 1 || pins[0].Root != envelope {
		t.Fatalf("pins %v", pins)
	}
	if s := venue.follow.Follows()[0]; s.Progress.Missing != 0 {
		t.Errorf("%+v", s.Progress)
	}
	w.Cut(d.box.Node, venue.Node)
	venue = venue.restart(t)
	if c, err = venue.follow.Newest(name); err != nil || c.Card.Name != "Anna" {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, x := range []manifests.Block{leaf, a, b, file} {
		if _, err := venue.Read(t.Context(), x.CID); err != nil {
			t.Errorf("%s: %v", x.CID, err)
		}
	}
}

// A card that would have more fetched than it says is refused, and what lies
// beyond its budget is not fetched.
func TestCardHasABudget(t *testing.T) {
	for name, make := range map[string]func(d *dj) (card *manifests.Card, edit func([]byte) []byte, never cid.Cid){
		"not canonical": func(d *dj) (*manifests.Card, func([]byte) []byte, cid.Cid) {
			return clips(), func(b []byte) []byte { return append(b, 0) }, cid.Undef
		},
		"a leaf of another size": func(d *dj) (*manifests.Card, func([]byte) []byte, cid.Cid) {
			return clips(manifests.Clip{File: d.leaf(700).CID, Size: 699, Codec: "opus"}), nil, cid.Undef
		},
		"children that add up to more": func(d *dj) (*manifests.Card, func([]byte) []byte, cid.Cid) {
			l := d.leaf(500)
			return clips(manifests.Clip{File: d.node([]cid.Cid{l.CID, l.CID}, []uint64{500, 500}, 0).CID, Size: 999, Codec: "opus"}), nil, l.CID
		},
		"a child larger than its size": func(d *dj) (*manifests.Card, func([]byte) []byte, cid.Cid) {
			l := d.leaf(5000)
			return clips(manifests.Clip{File: d.node([]cid.Cid{l.CID}, []uint64{10}, 0).CID, Size: 10, Codec: "opus"}), nil, cid.Undef
		},
		"a node over a node": func(d *dj) (*manifests.Card, func([]byte) []byte, cid.Cid) {
			l := d.leaf(500)
			low := d.node([]cid.Cid{l.CID}, []uint64{500}, 0)
			return clips(manifests.Clip{File: d.node([]cid.Cid{low.CID}, []uint64{500}, 0).CID, Size: 500, Codec: "opus"}), nil, low.CID
		},
		"a large node": func(d *dj) (*manifests.Card, func([]byte) []byte, cid.Cid) {
			l := d.leaf(500)
			return clips(manifests.Clip{File: d.node([]cid.Cid{l.CID}, []uint64{500}, manifests.MaxClipNode).CID, Size: 500, Codec: "opus"}), nil, l.CID
		},
		"many small leaves": func(d *dj) (*manifests.Card, func([]byte) []byte, cid.Cid) {
			l := d.leaf(1)
			var links []cid.Cid
			var sizes []uint64
			for range manifests.MaxClipLeaves + 1 {
				links, sizes = append(links, l.CID), append(sizes, 1)
			}
			return clips(manifests.Clip{File: d.node(links, sizes, 0).CID, Size: uint64(len(links)), Codec: "opus"}), nil, l.CID
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, d, venue := stage(t)
			card, edit, never := make(d)
			d.withCard(1, card, edit)
			id := mustFollow(t, venue, string(d.name))
			if _, err := syncOnce(t, venue, id); !errors.Is(err, follow.ErrVerify) {
				t.Fatalf("Sync = %v", err)
			}
			if pins, _ := venue.Pins(t.Context()); len(pins) != 0 {
				t.Errorf("pinned %v", pins)
			}
			if has, _ := venue.Has(context.Background(), never); never.Defined() && has {
				t.Error("what no card may ask for was fetched")
			}
			// The honest version that follows is taken.
			d.withCard(2, clips(), nil)
			if c := mustSync(t, venue, id); c.Head.Seq != 2 {
				t.Errorf("seq %d", c.Head.Seq)
			}
		})
	}
}

// A pin by stock software goes no further than the card says: what it names of
// tracks are no links.
func TestCardLinksToItsPreviewsAlone(t *testing.T) {
	k := manifests.Clip{File: manifests.NewRawBlock([]byte("a")).CID, Size: 1, Codec: "opus"}
	card := clips(k)
	data := must(card.Encode())
	links := must(node.Links(manifests.NewBlock(data).CID, data))
	if len(links) != 1 || links[0] != k.File {
		t.Errorf("%v", links)
	}
}
