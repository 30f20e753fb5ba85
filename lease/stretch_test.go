package lease

import (
	"testing"

	"playnode/manifests"
)

// A stretch is heard as a set is: a record for each that its segments were under, heads in order, and each opens by the
// excerpt alone. The first says how the media begins and what is on. A set's own key opens the excerpt that is all of it.
func TestAStretchIsHeardAsASet(t *testing.T) {
	d := newDJ(t, manifests.Day)
	k := NewSetKey(d.chain.DJ())
	o := &onAir{testDJ: d, air: d.sel.GoOpen(k, d.now, d.chain.Newest().N)}
	o.publish()
	e := &manifests.Excerpt{Live: k.ID, First: 3, Final: true, Init: manifests.MediaInit{Codec: "mp3", Rate: 100}, Text: "A night"}
	var sealed [][]byte
	for i := range uint64(9) {
		if i == 6 { // a turn of the period within it
			d.now += manifests.Day
			o.turn(i)
		}
		b, err := o.air.Seal(i, i == 8, &manifests.Segment{At: int64(i) * 100, Len: 100, Media: []byte{byte(i)}})
		if err != nil {
			t.Fatal(err)
		}
		if l := o.record(); i >= 3 {
			e.Parts = append(e.Parts, manifests.Part{Digest: manifests.Digest(b.CID), Key: o.air.SegmentKey(i), Len: 100, Gen: l.Gen, Cur: l.Cur})
		}
		sealed = append(sealed, b.Data)
	}
	block, err := k.Recording().Seal(e)
	if err != nil {
		t.Fatal(err)
	}
	link := k.Link()
	s, err := ExcerptKeyOf(link).Stretch(block.Data)
	if err != nil || s.Len() != 6 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := NewExcerptKey(d.chain.DJ()).Stretch(block.Data); err == nil {
		t.Error("another key opens it")
	}
	var tuned *Tuned
	for i := range s.Len() {
		if l := s.Record(i); (l != nil) != (i == 0 || i == 3) {
			t.Errorf("a record at %d: %v", i, l)
		} else if l != nil {
			if tuned, err = s.Tune(l); err != nil {
				t.Fatal(err)
			}
		}
		h := s.Head(i)
		seg, err := tuned.Open(h, sealed[3+i])
		if err != nil || seg.Media[0] != byte(3+i) || h.Seq != uint64(3+i) || h.Final != (i == 5) {
			t.Fatalf("segment %d: %+v, %+v, %v", i, h, seg, err)
		}
		if begins := seg.Init != nil && seg.Init.Codec == "mp3" && seg.Text == "A night"; begins != (i == 0) {
			t.Errorf("segment %d: %+v", i, seg)
		}
	}
	for name, seq := range map[string]uint64{"before it": 2, "behind it": 9} {
		h := *s.Head(0)
		h.Seq = seq
		early, err := s.Tune(&manifests.Live{DJ: h.DJ, Live: h.Live, Gen: h.Gen, Cur: h.Cur})
		if err != nil {
			t.Fatal(err)
		}
		_, err = early.Open(&h, sealed[min(seq, 8)])
		wantErr(t, "a segment "+name, err, ErrRefused)
	}
	_, err = s.Tune(&manifests.Live{DJ: d.chain.DJ(), Live: manifests.LiveID{9}})
	wantErr(t, "another set", err, ErrRefused)
}
