package lease

import (
	"testing"

	"playnode/manifests"
)

// An excerpt opens what lies within it and nothing beside it: not the segment
// before or behind, nor LK, nor the set; and another's key opens none of it.
func TestAnExcerptIsAStretch(t *testing.T) {
	d := newDJ(t, manifests.Day)
	o := d.goLive()
	const n = 20
	r := &manifests.Recorded{Live: o.air.Record.Live, Closed: true}
	var heads []*manifests.LiveHead
	var sealed [][]byte
	for i := range uint64(n) {
		if i == 9 { // a turn of the period within it
			d.now += manifests.Day
			o.turn(i)
		}
		s := &manifests.Segment{At: int64(i) * 100, Len: 100, Open: i%2 == 0, Media: []byte{byte(i)}}
		if i == 0 {
			s.Init = &manifests.MediaInit{Codec: "mp3", Rate: 100}
		}
		if i == n-1 {
			s.Len, s.Media = 0, nil
		}
		b, err := o.air.Seal(i, i == n-1, s)
		if err != nil {
			t.Fatal(err)
		}
		l := o.record()
		heads = append(heads, &manifests.LiveHead{DJ: l.DJ, Live: l.Live, Gen: l.Gen, Cur: l.Cur, Seq: i, Seg: b.CID, Final: i == n-1})
		sealed = append(sealed, b.Data)
		r.AppendSize(len(b.Data), len(s.Media))
	}
	r.Spans = o.air.Spans
	read := func(i int) ([]byte, error) { return sealed[i], nil }
	dj := d.chain.DJ()
	for _, c := range []struct {
		from, length int64
		first, parts int
		final        bool
	}{
		{0, 100, 0, 1, false}, {0, 101, 0, 2, false}, {50, 60, 0, 2, false}, {700, 300, 6, 4, false}, {799, 302, 6, 6, false}, {800, 100, 8, 1, false}, {1899, 1, 18, 1, false}, {1700, 1000, 16, 4, true}, {0, 9000, 0, n, true},
	} {
		e, err := Cut(dj, r, n, c.from, c.length, read)
		if err != nil || int(e.First) != c.first || len(e.Parts) != c.parts || e.Final != c.final || e.Live != r.Live || e.Init.Codec != "mp3" {
			t.Fatalf("%d for %d: %+v, %v", c.from, c.length, e, err)
		}
		for i, p := range e.Parts {
			h := heads[c.first+i]
			if s, err := OpenSegment(p.Key, h, sealed[h.Seq]); err != nil || len(s.Media) > 0 && s.Media[0] != byte(h.Seq) {
				t.Errorf("%d for %d: segment %d: %v", c.from, c.length, h.Seq, err)
			}
			if p.Digest != manifests.Digest(h.Seg) || p.Gen != h.Gen || p.Cur != h.Cur {
				t.Errorf("segment %d is not as its head says", h.Seq)
			}
			for j, other := range heads {
				if j == c.first+i {
					continue
				}
				if _, err := OpenSegment(p.Key, other, sealed[j]); err == nil {
					t.Errorf("the key of segment %d opens %d", h.Seq, j)
				}
			}
			if _, err := OpenSegment(segmentKey(p.Key, r.Live, h.Seq), h, sealed[h.Seq]); err == nil {
				t.Error("a segment's key is taken for LK")
			}
		}
	}
	for _, from := range []int64{1900, 5000} {
		_, err := Cut(dj, r, n, from, 100, read)
		wantErr(t, "beyond its end", err, ErrBeyond)
	}
	_, err := Cut(manifests.DJ{1}, r, n, 0, 100, read)
	wantErr(t, "another DJ's", err, ErrRefused)

	e, err := Cut(dj, r, n, 700, 300, read)
	if err != nil {
		t.Fatal(err)
	}
	k := NewExcerptKey(dj)
	b, err := k.Seal(e)
	if err != nil {
		t.Fatal(err)
	}
	link := k.Link()
	link.Name = d.name
	back, err := manifests.ParseOpenLink(link.String())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ExcerptKeyOf(back).Open(b.Data); err != nil || len(got.Parts) != 4 || got.Parts[3] != e.Parts[3] {
		t.Errorf("%+v, %v", got, err)
	}
	for name, bad := range map[string]ExcerptKey{"key": {openKey{k.DJ, k.ID, NewExcerptKey(dj).key}}, "id": {openKey{k.DJ, manifests.LiveID{1}, k.key}}, "dj": {openKey{manifests.DJ{1}, k.ID, k.key}}} {
		_, err := bad.Open(b.Data)
		wantErr(t, "another "+name, err, ErrRefused)
	}
	_, err = SetKey{openKey{k.DJ, r.Live, k.key}}.Tune(o.record())
	wantErr(t, "an excerpt's key as the set's", err, ErrRefused)
}
