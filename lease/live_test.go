package lease

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"playnode/internal/seal"
	"playnode/manifests"
)

// onAir is a set of a test DJ's, and its records as they were signed.
type onAir struct {
	*testDJ
	air     Air
	records []manifests.Signed
}

func (d *testDJ) goLive() *onAir {
	o := &onAir{testDJ: d, air: d.sel.GoLive(d.now, d.chain.Newest().N)}
	o.publish()
	return o
}

// turn is the set's next record, from segment from on.
func (o *onAir) turn(from uint64) {
	o.air = o.sel.Turn(o.air, o.now, o.chain.Newest().N, from, o.records[len(o.records)-1].Payload)
	o.publish()
}

func (o *onAir) publish() {
	o.t.Helper()
	payload, err := o.air.Record.Encode()
	if err != nil {
		o.t.Fatal(err)
	}
	s, err := manifests.Sign(manifests.TypeLive, payload, o.pub.Private())
	if err != nil {
		o.t.Fatal(err)
	}
	o.records = append(o.records, s)
	enc, err := o.air.Encode()
	if err == nil {
		o.air, err = DecodeAir(enc)
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// record is the newest record, as a venue reads it.
func (o *onAir) record() *manifests.Live {
	o.t.Helper()
	l, err := o.chain.OpenLive(o.records[len(o.records)-1])
	if err != nil {
		o.t.Fatal(err)
	}
	return l
}

// segment is a sealed segment and the head that announces it.
func (o *onAir) segment(seq uint64, final bool, text string) (*manifests.LiveHead, []byte) {
	o.t.Helper()
	b, err := o.air.Seal(seq, final, &manifests.Segment{At: int64(seq) * 48000, Len: 48000, UTC: o.now * 1000, Open: true, Media: []byte(text)})
	if err != nil {
		o.t.Fatal(err)
	}
	l := o.record()
	h := &manifests.LiveHead{DJ: l.DJ, Live: l.Live, Gen: l.Gen, Cur: l.Cur, Seq: seq, Seg: b.CID, Final: final, IAT: o.now}
	payload, err := h.Encode()
	if err != nil {
		o.t.Fatal(err)
	}
	s, err := manifests.Sign(manifests.TypeLiveHead, payload, o.pub.Private())
	if err == nil {
		h, err = o.chain.OpenLiveHead(s, l)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return h, b.Data
}

func TestASetIsHeardByThoseWhoLease(t *testing.T) {
	d, v, without := newDJ(t, manifests.Day), newVenue(t), newVenue(t)
	v.lease(d, start, start+3*manifests.Day)
	o := d.goLive()
	tuned, err := v.Tune(o.record())
	if err != nil {
		t.Fatal(err)
	}
	if tuned.Until != start+3*manifests.Day || tuned.Period != start+manifests.Day {
		t.Errorf("until %d, period %d", tuned.Until-start, tuned.Period-start)
	}
	h, sealed := o.segment(0, false, "hello")
	if s, err := tuned.Open(h, sealed); err != nil || string(s.Media) != "hello" {
		t.Errorf("heard %v, %v", s, err)
	}
	if bytes.Contains(sealed, []byte("hello")) {
		t.Error("it is in clear")
	}
	_, err = without.Tune(o.record())
	wantErr(t, "without a lease", err, ErrNoLease)
	tuned.Close()
	_, err = tuned.Open(h, sealed)
	wantErr(t, "closed", err, ErrLapsed)
	v.clock.pass(3 * manifests.Day)
	_, err = v.Tune(o.record())
	wantErr(t, "lapsed", err, ErrLapsed)
}

func TestASetGoesOnIntoTheNextPeriod(t *testing.T) {
	d, v, short := newDJ(t, manifests.Day), newVenue(t), newVenue(t)
	v.lease(d, start, start+3*manifests.Day)
	short.lease(d, start, start+manifests.Day)
	o := d.goLive()
	if d.sel.Turned(o.air, start+manifests.Day-1, 1) || !d.sel.Turned(o.air, start+manifests.Day, 1) {
		t.Error("a record does not turn when its period does")
	}
	d.now += manifests.Day
	v.clock.pass(manifests.Day)
	short.clock.pass(manifests.Day)
	o.turn(40)
	tuned, err := v.Tune(o.record())
	if err != nil {
		t.Fatal(err)
	}
	h, sealed := o.segment(40, false, "after midnight")
	if s, err := tuned.Open(h, sealed); err != nil || string(s.Media) != "after midnight" {
		t.Errorf("heard %v, %v", s, err)
	}
	_, err = short.Tune(o.record())
	wantErr(t, "whose lease ended at midnight", err, ErrLapsed)
	early := *h
	early.Seq = 39
	b, err := o.air.Seal(39, false, &manifests.Segment{Media: []byte("too early")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tuned.Open(&early, b.Data)
	wantErr(t, "before the record's first", err, ErrRefused)
}

func TestRevokedIsDeafFromTheNextGeneration(t *testing.T) {
	d, v, stays := newDJ(t, manifests.Day), newVenue(t), newVenue(t)
	v.lease(d, start, start+3*manifests.Day)
	o := d.goLive()
	before, err := v.Tune(o.record())
	if err != nil {
		t.Fatal(err)
	}
	d.sel = d.sel.Revoke()
	if !d.sel.Turned(o.air, start, 1) {
		t.Error("a record does not turn when leases are revoked")
	}
	stays.lease(d, start, start+3*manifests.Day)
	o.turn(7)
	_, err = v.Tune(o.record())
	wantErr(t, "revoked", err, ErrRevoked)
	h, sealed := o.segment(7, false, "for those who stay")
	_, err = before.Open(h, sealed)
	wantErr(t, "with the former key", err, ErrRefused)
	after, err := stays.Tune(o.record())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := after.Open(h, sealed); err != nil || string(s.Media) != "for those who stay" {
		t.Errorf("heard %v, %v", s, err)
	}
	if len(o.air.Spans) != 2 || o.air.Spans[1].From != 7 {
		t.Errorf("spans %v", o.air.Spans)
	}
}

func TestASegmentOpensInItsPlaceOnly(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	v.lease(d, start, start+3*manifests.Day)
	o, other := d.goLive(), d.goLive()
	tuned, err := v.Tune(o.record())
	if err != nil {
		t.Fatal(err)
	}
	h, sealed := o.segment(5, true, "five")
	for name, change := range map[string]func(h *manifests.LiveHead, b []byte){
		"seq":         func(h *manifests.LiveHead, b []byte) { h.Seq = 6 },
		"final":       func(h *manifests.LiveHead, b []byte) { h.Final = false },
		"gen":         func(h *manifests.LiveHead, b []byte) { h.Gen++ },
		"cur":         func(h *manifests.LiveHead, b []byte) { h.Cur++ },
		"dj":          func(h *manifests.LiveHead, b []byte) { h.DJ[0] ^= 1 },
		"another set": func(h *manifests.LiveHead, b []byte) { h.Live = other.air.Record.Live },
		"one flip":    func(h *manifests.LiveHead, b []byte) { b[len(b)-1] ^= 1 },
		"nonce":       func(h *manifests.LiveHead, b []byte) { b[0] ^= 1 },
	} {
		bad, data := *h, bytes.Clone(sealed)
		change(&bad, data)
		_, err := tuned.Open(&bad, data)
		wantErr(t, name, err, ErrRefused)
	}
	if _, err := tuned.Open(h, sealed); err != nil {
		t.Error(err)
	}
	// The same again, and no nonce twice.
	if _, again := o.segment(5, true, "five"); bytes.Equal(again[:24], sealed[:24]) {
		t.Error("a nonce is used twice")
	}
}

// Who has a set's key hears it without a lease, through a turn of the period and
// of the generation, and past what a lease would allow; the key is of no other
// use, and a live key does not lead to it.
func TestASetKeyOpensItsSetAlone(t *testing.T) {
	d := newDJ(t, manifests.Day)
	d.addTrack("one")
	m := d.publish()
	k := NewSetKey(d.chain.DJ())
	o := &onAir{testDJ: d, air: d.sel.GoOpen(k, d.now, d.chain.Newest().N)}
	o.publish()
	other := d.goLive() // of hers too, and closed
	link := k.Link()
	link.Name = d.name
	read, err := manifests.ParseOpenLink(link.String())
	if err != nil {
		t.Fatal(err)
	}
	guest := SetKeyOf(read)
	var first *manifests.Live
	for i, turn := range []func(){func() {}, func() { d.now += manifests.Day }, func() { d.sel = d.sel.Revoke() }} {
		if turn(); i > 0 {
			o.turn(uint64(i * 10))
		}
		seq := uint64(i*10 + 3)
		h, sealed := o.segment(seq, false, "open")
		l := o.record()
		tuned, err := guest.Tune(l)
		if err != nil {
			t.Fatalf("record %d: %v", l.Seq, err)
		}
		if s, err := tuned.Open(h, sealed); err != nil || string(s.Media) != "open" {
			t.Errorf("record %d: %v, %v", l.Seq, s, err)
		}
		tuned.Close()
		if first == nil {
			first = l
		} else if l.LID == first.LID {
			t.Error("two records have one key")
		}
	}
	if enc, err := o.air.Encode(); err != nil {
		t.Fatal(err)
	} else if again, err := DecodeAir(enc); err != nil || again.Open == nil || !again.Open.key.Equal(k.key) || again.Open.ID != k.ID {
		t.Errorf("at rest: %+v, %v", again.Open, err)
	}
	_, err = guest.Tune(other.record())
	wantErr(t, "another set", err, ErrRefused)
	_, err = SetKey{openKey{k.DJ, other.record().Live, k.key}}.Tune(other.record())
	wantErr(t, "another set of that name", err, ErrRefused)
	wrong := guest
	wrong.key[0] ^= 1
	_, err = wrong.Tune(first)
	wantErr(t, "another key", err, ErrRefused)
	lk := SetKey{openKey{k.DJ, k.ID, o.air.LK}}
	_, err = lk.Tune(first)
	wantErr(t, "a live key", err, ErrRefused)
	if _, err := (&Unlocked{dj: m.DJ, sel: m.Sel, mk: k.key}).FileKey(d.entries(m)[0]); err == nil {
		t.Error("a set key is taken for MK")
	}
	key, aad := liveLockFor(k.key, first, first.Cur)
	if _, err := seal.OpenOnce(key, first.Lock[0][:], aad); err == nil {
		t.Error("a set key is taken for a period key")
	}
	h, sealed := other.segment(1, false, "closed")
	if _, err := OpenSegment(segmentKey(k.key, h.Live, 1), h, sealed); err == nil {
		t.Error("a set key opens another set's segment")
	}
}

// FORMATS 10.2: an excerpt's keys are of no other use.
func TestAnExcerptOpensNothingElse(t *testing.T) {
	d := newDJ(t, manifests.Day)
	d.addTrack("one")
	m := d.publish()
	o := d.goLive()
	k := o.air.SegmentKey(5)
	h5, five := o.segment(5, false, "five")
	h6, six := o.segment(6, false, "six")
	if s, err := OpenSegment(k, h5, five); err != nil || string(s.Media) != "five" {
		t.Errorf("excerpt: %v, %v", s, err)
	}
	_, err := OpenSegment(k, h6, six)
	wantErr(t, "another segment", err, ErrRefused)
	l := o.record()
	for name, try := range map[string]func() error{
		"as LK": func() error {
			_, err := OpenSegment(segmentKey(k, l.Live, 6), h6, six)
			return err
		},
		"as MK": func() error {
			u := Unlocked{dj: m.DJ, sel: m.Sel, mk: k}
			_, err := u.FileKey(d.entries(m)[0])
			return err
		},
		"as the key of a live lock": func() error {
			key, aad := liveLockFor(k, l, l.Cur)
			_, err := seal.OpenOnce(key, l.Lock[0][:], aad)
			if err != nil {
				err = ErrRefused
			}
			return err
		},
	} {
		wantErr(t, name, try(), ErrRefused)
	}
	if lid(k, l) == l.LID {
		t.Error("a segment's key is named as the live key")
	}
}

// FORMATS 10.2: a live lock opens no manifest, nor a manifest's lock a set.
func TestLocksOfSetsAndManifestsAreApart(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	v.lease(d, start, start+3*manifests.Day)
	m := d.publish()
	o := d.goLive()
	asManifest := *m
	asManifest.Lock, asManifest.RID = o.air.Record.Lock, o.air.Record.LID
	signed, _ := d.sign(&asManifest)
	_, err := v.Unlock(signed)
	wantErr(t, "live locks in a manifest", err, ErrRefused)
	o.air.Record.Lock, o.air.Record.LID = m.Lock, m.RID
	o.publish()
	_, err = v.Tune(o.record())
	wantErr(t, "a manifest's locks in a live record", err, ErrRefused)
}

// A record names the key that its locks hold: two records never share one.
func TestARecordNamesItsKey(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	v.lease(d, start, start+3*manifests.Day)
	o := d.goLive()
	l := &o.air.Record
	l.LID[0] ^= 1
	for i := range l.Lock {
		p := l.Cur + uint64(i)
		key, aad := liveLockFor(periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, d.sel.Gen, d.sel.Unit, p), l, p)
		l.Lock[i] = manifests.Lock(seal.SealOnce(key, o.air.LK[:], aad))
	}
	o.publish()
	_, err := v.Tune(o.record())
	wantErr(t, "another name", err, ErrRefused)
}

func TestARecordedSetOpens(t *testing.T) {
	d := newDJ(t, manifests.Day)
	o := d.goLive()
	var sealed [][]byte
	rec := manifests.Recorded{Live: o.air.Record.Live, Closed: true}
	for seq, text := range []string{"one", "two", "three"} {
		if seq == 2 {
			d.sel = d.sel.Revoke()
			o.turn(2)
		}
		_, b := o.segment(uint64(seq), seq == 2, text)
		sealed = append(sealed, b)
		rec.AppendSize(len(b), len(text))
	}
	rec.Spans = o.air.Spans
	info := &manifests.Info{Title: "Live", Codec: "mp3", Rate: 48000, Channels: 2, Recorded: &rec}
	plain, err := info.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if info, err = manifests.DecodeInfo(plain); err != nil {
		t.Fatal(err)
	}
	for seq, text := range []string{"one", "two", "three"} {
		s, err := OpenRecorded(d.chain.DJ(), info.Recorded, uint64(seq), 2, sealed[seq])
		if err != nil || string(s.Media) != text {
			t.Errorf("segment %d: %v, %v", seq, s, err)
		}
		_, err = OpenRecorded(manifests.DJ{9}, info.Recorded, uint64(seq), 2, sealed[seq])
		wantErr(t, "as another DJ's", err, ErrRefused)
	}
	file := bytes.Join(sealed, nil)
	r, n, err := OpenTrack(d.chain.DJ(), seal.FileKey{}, info, bytes.NewReader(file), int64(len(file)))
	if err != nil || n != int64(len("onetwothree")) {
		t.Fatalf("opens to %d bytes: %v", n, err)
	}
	if err := iotest.TestReader(io.NewSectionReader(r, 0, n), []byte("onetwothree")); err != nil {
		t.Error(err)
	}
	short := file[:len(file)-len(sealed[2])]
	_, _, err = OpenTrack(d.chain.DJ(), seal.FileKey{}, info, bytes.NewReader(short), int64(len(short)))
	wantErr(t, "cut short", err, ErrRefused)
	bad := bytes.Clone(file)
	bad[len(sealed[0])+40] ^= 1
	r, n, err = OpenTrack(d.chain.DJ(), seal.FileKey{}, info, bytes.NewReader(bad), int64(len(bad)))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	m, err := r.ReadAt(b, 0)
	wantErr(t, "a damaged segment", err, ErrRefused)
	if m != 3 {
		t.Errorf("%d bytes before the damage", m)
	}
}

// The header of a set's first segment goes before all media.
func TestARecordedSetBeginsWithItsHeader(t *testing.T) {
	d := newDJ(t, manifests.Day)
	o := d.goLive()
	rec := &manifests.Recorded{Live: o.air.Record.Live, Spans: o.air.Spans}
	var file []byte
	for seq, s := range []manifests.Segment{
		{Init: &manifests.MediaInit{Codec: "opus", Rate: 48000, Head: []byte("HEAD")}, Media: []byte("12")}, {}, {Media: []byte("345")},
		{Init: &manifests.MediaInit{Codec: "opus", Rate: 48000, Head: []byte("HEAD")}, Media: []byte("6")},
	} {
		b, err := o.air.Seal(uint64(seq), false, &s)
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, b.Data...)
		rec.AppendSize(len(b.Data), len(s.Media))
	}
	r, n, err := OpenTrack(d.chain.DJ(), seal.FileKey{}, &manifests.Info{Recorded: rec}, bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(r, 0, n), []byte("HEAD123456")); err != nil {
		t.Error(err)
	}
}
