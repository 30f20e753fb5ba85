package publisher

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/lease"
	"playnode/manifests"
)

// deckOut is a source: a WAV file, its header first, so many bytes at a time.
type deckOut struct {
	init   *manifests.MediaInit
	pcm    []byte
	step   int
	before func(n int) // cut n
	n      int
}

func newDeckOut(t *testing.T, seed uint64, frames int) (*deckOut, []byte) {
	path := filepath.Join(t.TempDir(), "set.wav")
	writeWAV(t, path, seed, frames)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &deckOut{init: &manifests.MediaInit{Codec: "wav", Rate: 44100, Head: file[:44]}, pcm: file[44:], step: 4 * 4410}, file
}

func (d *deckOut) Next(ctx context.Context) (Cut, error) {
	if err := ctx.Err(); err != nil {
		return Cut{}, err
	}
	if d.before != nil {
		d.before(d.n)
	}
	if len(d.pcm) == 0 {
		return Cut{}, io.EOF
	}
	c := Cut{Open: true}
	if d.n == 0 {
		c.Init, c.Text = d.init, "Nobody – One"
	}
	n := min(d.step, len(d.pcm))
	c.Media, d.pcm, c.Len = bytes.Clone(d.pcm[:n]), d.pcm[n:], int64(n/4)
	d.n++
	return c, nil
}

// air is a carrier: what followers hear of.
type air struct {
	w        *world
	records  []manifests.Signed
	heads    []manifests.Signed
	segments []manifests.Block
	p        *Publisher
	says     string // what is on, by the segments that say it; "" for a set without a title
}

func (a *air) Record(_ context.Context, r manifests.Signed) error {
	a.records = append(a.records, r)
	return nil
}

func (a *air) Segment(_ context.Context, h manifests.Signed, s manifests.Block) error {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	if a.w.blocks[s.CID] == nil {
		a.w.t.Errorf("announced before it is kept: %s", s.CID)
	}
	a.heads, a.segments = append(a.heads, h), append(a.segments, s)
	return nil
}

// heard is what a venue makes of what is carried, from the record it can open
// on, and how many segments it could not.
func (a *air) heard(v venue) (media []byte, deaf int) {
	t := a.w.t
	t.Helper()
	chain := a.p.cfg.Keys.chain()
	var records []*manifests.Live
	tuned := map[*manifests.Live]*lease.Tuned{}
	for _, s := range a.records {
		l, err := chain.OpenLive(s)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, l)
		if tuned[l], err = v.Tune(l); err != nil && !errors.Is(err, lease.ErrRevoked) {
			t.Fatal(err)
		}
	}
	prev := manifests.Digest(a.records[0].Payload.CID)
	for i, s := range a.heads {
		l := records[0]
		for _, r := range records[1:] {
			if r.From <= uint64(i) {
				l = r
			}
		}
		h, err := chain.OpenLiveHead(s, l)
		if err != nil {
			t.Fatal(err)
		}
		if h.Seq != uint64(i) || h.Prev != prev || h.Seg != a.segments[i].CID || h.Final != (i == len(a.heads)-1) {
			t.Errorf("head %d: %+v", i, h)
		}
		prev = manifests.Digest(s.Payload.CID)
		if tuned[l] == nil {
			deaf++
			continue
		}
		seg, err := tuned[l].Open(h, a.segments[i].Data)
		if err != nil {
			t.Fatal(err)
		}
		if seg.Init != nil && seg.Text != cmp.Or(a.says, "Nobody – One") {
			t.Errorf("segment %d says how media begins, and %q is on", h.Seq, seg.Text)
		}
		if h.Seq == l.From && seg.Init == nil {
			t.Errorf("segment %d, the first of a record, has no beginning", h.Seq)
		}
		media = append(media, seg.Media...)
	}
	return media, deaf
}

// leasedSet has a venue lease a playlist, which is made for it.
func (w *world) leasedSet(p *Publisher) venue {
	w.t.Helper()
	p.mu.Lock()
	err := p.revise(w.t.Context(), edit{label: "main", create: true})
	p.mu.Unlock()
	if err != nil {
		w.t.Fatal(err)
	}
	v := w.venue()
	w.mustGrant(p, v, 30*day)
	w.receive(p, v)
	return v
}

func TestASetIsHeardAndBecomesATrack(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.leasedSet(p)
	src, file := newDeckOut(t, 1, 44100)
	a := &air{w: w, p: p, says: "Tonight: Nobody – One"}
	var linked *cid.Cid
	src.before = func(n int) {
		if n == 5 {
			list, _, err := p.selection("main")
			if err != nil {
				t.Fatal(err)
			}
			m, err := manifests.DecodeManifest(w.signedAt(*list.Env).Payload.Data)
			if err != nil {
				t.Fatal(err)
			}
			linked = m.Live
		}
	}
	var events []SetEvent
	tracks, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main", Title: "Tonight", Carrier: a, Tell: func(e SetEvent) { events = append(events, e) }})
	if err != nil {
		t.Fatal(err)
	}
	if media, deaf := a.heard(v); !bytes.Equal(media, file[44:]) || deaf != 0 {
		t.Errorf("heard %d bytes of %d, deaf to %d", len(media), len(file)-44, deaf)
	}
	if linked == nil || *linked != a.records[0].Env.CID {
		t.Errorf("while on air the manifest links to %v", linked)
	}
	last := events[len(events)-1]
	if len(events) != 12 || len(last.Tracks) != 1 || last.Text != a.says || last.Length != time.Second || last.Segments != 11 {
		t.Errorf("%d events, last %+v", len(events), last)
	}
	cat := w.read(p)
	if cat.manifests[0].Live != nil {
		t.Error("off air, the manifest still links to the set")
	}
	if len(tracks) != 1 || tracks[0].Samples != 44100 || tracks[0].Title != "Tonight" || tracks[0].Loudness == nil {
		t.Errorf("tracks %+v", tracks)
	}
	got, _ := w.hear(v, w.read(p).manifests[0])
	if len(got) != 1 || !bytes.Equal(got[0], file) {
		t.Errorf("the track is %d files", len(got))
	}
	if rows := len(w.setRows()); rows != 0 {
		t.Errorf("%d rows of the set are left", rows)
	}
}

func (w *world) setRows() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.rows {
		if strings.HasPrefix(k, rowSet) || strings.HasPrefix(k, rowRun) || strings.HasPrefix(k, rowSegment) {
			out = append(out, k)
		}
	}
	return out
}

// What is put when a set ends is its tree and records: no segment twice.
func TestAnEndedSetSendsNothingAgain(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	src, _ := newDeckOut(t, 1, 44100)
	var before map[cid.Cid][]byte
	src.before = func(n int) {
		if len(src.pcm) == 0 {
			before = maps.Clone(w.blocks)
		}
	}
	if _, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main"}); err != nil {
		t.Fatal(err)
	}
	more := 0
	for c, b := range w.blocks {
		if before[c] == nil {
			more += len(b)
		}
	}
	if more == 0 || more > 20_000 {
		t.Errorf("the end of a set of 176 kB put %d bytes", more)
	}
}

// A title is told until the source says what is on, and then before that; neither is longer than a segment has room for,
// nor anything but text.
func TestWhoHearsASetIsToldItsTitle(t *testing.T) {
	long := strings.Repeat("ü", 300)
	for _, c := range []struct{ title, text, before, after string }{
		{"Tonight", "Nobody – One", "Tonight", "Tonight: Nobody – One"},
		{"Tonight", "Tonight", "Tonight", "Tonight"},
		{"", "Nobody – One", "", "Nobody – One"},
		{"To\x1b[31mnight\u202e", "<b>One</b>\x00", "To[31mnight", "To[31mnight: <b>One</b>"},
		{long, long, long[:480], long[:480] + ": " + long[:30]},
	} {
		w := newWorld(t)
		p := w.start()
		v := w.leasedSet(p)
		src, _ := newDeckOut(t, 1, 8820)
		a := &air{w: w, p: p}
		if _, err := p.OnAir(t.Context(), &later{deckOut: src, text: c.text}, SetOptions{Playlist: "main", Title: c.title, Carrier: a}); err != nil {
			t.Fatal(err)
		}
		if got := a.texts(v); len(got) != 3 || got[0] != c.before || got[1] != c.after {
			t.Errorf("%q says %q", c.title, got)
		}
	}
}

// later is a source that says what is on with its second cut.
type later struct {
	*deckOut
	text string
}

func (l *later) Next(ctx context.Context) (Cut, error) {
	c, err := l.deckOut.Next(ctx)
	if c.Text = ""; l.n == 2 {
		c.Text = l.text
	}
	return c, err
}

// texts is what each segment says is on.
func (a *air) texts(v venue) (out []string) {
	l, err := a.p.cfg.Keys.chain().OpenLive(a.records[0])
	if err != nil {
		a.w.t.Fatal(err)
	}
	tuned, err := v.Tune(l)
	if err != nil {
		a.w.t.Fatal(err)
	}
	for i, s := range a.heads {
		h, err := manifests.DecodeLiveHead(s.Payload.Data)
		if err != nil {
			a.w.t.Fatal(err)
		}
		seg, err := tuned.Open(h, a.segments[i].Data)
		if err != nil {
			a.w.t.Fatal(err)
		}
		out = append(out, seg.Text)
	}
	return out
}

func TestARevokedVenueIsDeafInMidSet(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.leasedSet(p)
	stays := w.venue()
	granted := w.mustGrant(p, stays, 30*day)
	w.receive(p, stays)
	src, file := newDeckOut(t, 1, 44100)
	a := &air{w: w, p: p}
	src.before = func(n int) {
		switch n {
		case 3:
			ls, err := p.Leases()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range ls {
				if l.ID != granted.ID {
					if _, err := p.Revoke(t.Context(), []manifests.LeaseID{l.ID}); err != nil {
						t.Fatal(err)
					}
				}
			}
		case 5: // who stays is given the new generation's keys by mailbox
			w.receive(p, stays)
		case 7: // into the next week
			w.now = w.now.Add(7 * day)
		}
	}
	if _, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main", Carrier: a}); err != nil {
		t.Fatal(err)
	}
	if len(a.records) != 3 {
		t.Fatalf("%d records", len(a.records))
	}
	if media, deaf := a.heard(stays); !bytes.Equal(media, file[44:]) || deaf != 0 {
		t.Errorf("who stays hears %d bytes of %d, deaf to %d", len(media), len(file)-44, deaf)
	}
	_, deaf := a.heard(v)
	if deaf != len(a.heads)-3 {
		t.Errorf("deaf to %d of %d segments, not all from the third on", deaf, len(a.heads))
	}
}

func TestAnotherStreamIsAnotherTrack(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	one, first := newDeckOut(t, 1, 8820)
	two, second := newDeckOut(t, 2, 9000)
	v := w.leasedSet(p)
	a := &air{w: w, p: p, says: "Tonight: Nobody – One"}
	tracks, err := p.OnAir(t.Context(), &both{one, two}, SetOptions{Playlist: "main", Title: "Tonight", Carrier: a})
	if err != nil || len(tracks) != 2 || tracks[1].Title != "Tonight (2)" {
		t.Fatal(tracks, err)
	}
	if media, deaf := a.heard(v); !bytes.Equal(media, append(bytes.Clone(first[44:]), second[44:]...)) || deaf > 0 || len(a.records) != 1 {
		t.Errorf("heard %d bytes, deaf to %d, %d records", len(media), deaf, len(a.records))
	}
	got, _ := w.hear(v, w.read(p).manifests[0])
	if len(got) != 2 || !bytes.Equal(got[0], first) || !bytes.Equal(got[1], second) {
		t.Errorf("%d tracks", len(got))
	}
}

// both is one source after another.
type both struct{ a, b *deckOut }

func (b *both) Next(ctx context.Context) (Cut, error) {
	c, err := b.a.Next(ctx)
	if errors.Is(err, io.EOF) {
		return b.b.Next(ctx)
	}
	return c, err
}

func TestASetThatCannotBe(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	src, _ := newDeckOut(t, 1, 0)
	if _, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main"}); !errors.Is(err, ErrSilence) {
		t.Errorf("silence: %v", err)
	}
	src, _ = newDeckOut(t, 1, 8820)
	if _, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "a/b"}); !errors.Is(err, ErrLabel) {
		t.Errorf("label: %v", err)
	}
	src.before = func(n int) {
		if n == 1 {
			again, _ := newDeckOut(t, 1, 8820)
			if _, err := p.OnAir(t.Context(), again, SetOptions{Playlist: "main"}); !errors.Is(err, ErrOnAir) {
				t.Errorf("twice: %v", err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	one := src.before
	src.before = func(n int) {
		if one(n); n == 1 {
			cancel() // ^C
		}
	}
	tracks, err := p.OnAir(ctx, src, SetOptions{Playlist: "main"})
	if err != nil || len(tracks) != 1 || tracks[0].Samples != 8820 {
		t.Errorf("^C: %+v, %v", tracks, err)
	}
}

// joinLeaves makes the tree that buildDAG does.
func TestJoinedLeavesAreAFileAsAny(t *testing.T) {
	for _, n := range []int{1, 2, 174, 175, 349} {
		w := newWorld(t)
		data := make([]byte, n*leafSize)
		for i := range n {
			data[i*leafSize], data[i*leafSize+1] = byte(i), byte(i>>8)
		}
		want, err := buildDAG(t.Context(), bytes.NewReader(data), w)
		if err != nil {
			t.Fatal(err)
		}
		var leaves []segmentRow
		for i := range n {
			b := manifests.NewRawBlock(data[i*leafSize : (i+1)*leafSize])
			leaves = append(leaves, segmentRow{CID: b.CID, Sealed: len(b.Data)})
		}
		if got, err := joinLeaves(t.Context(), leaves, w); err != nil || got != want {
			t.Errorf("%d leaves: %s, %v; want %s", n, got, err, want)
		}
	}
}

// A kill at any durable write leaves a set that the next start closes, with
// all that was announced in it.
func TestAKilledSetIsClosed(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 5
	}
	for kill := step; ; kill += step {
		w := newWorld(t)
		p := w.start()
		src, file := newDeckOut(t, 1, 8820)
		src.step = 4 * 2205
		a := &air{w: w, p: p}
		w.killAt, w.lands = w.writes+kill, kill%2 == 0
		_, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main", Title: "Cut short", Carrier: a})
		done := err == nil
		if !done && !errors.Is(err, errKilled) {
			t.Fatalf("kill %d: %v", kill, err)
		}
		p = w.start()
		if _, err := p.Publish(t.Context(), nil, Options{}); err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		if rows := w.setRows(); len(rows) > 0 {
			t.Errorf("kill %d leaves %v", kill, rows)
		}
		announced := 0
		for range a.segments {
			announced++
		}
		if announced > 0 {
			pl, err := p.Playlist("main")
			if err != nil {
				t.Fatalf("kill %d: %v", kill, err)
			}
			if len(pl.Tracks) != 1 || pl.Tracks[0].Title != "Cut short" || pl.Tracks[0].Samples < int64(min(announced, 4))*2205 || pl.Tracks[0].Samples > 8820 {
				t.Errorf("kill %d after %d segments: %+v", kill, announced, pl.Tracks)
			}
		}
		if done {
			if kill < 15 {
				t.Errorf("only %d kills", kill)
			}
			_ = file
			return
		}
	}
}

// The link of an open set leads, once that is over, to all of it: what was heard, in order, by the link's key alone. Who
// takes it back, or the track, takes that.
func TestAnOpenSetStaysOpen(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	src, file := newDeckOut(t, 1, 44100)
	src.before = func(n int) {
		if n == 5 { // a turn within it
			w.now = w.now.Add(8 * 24 * time.Hour)
		}
	}
	k := lease.NewSetKey(p.cfg.Keys.DJ())
	tracks, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main", Title: "Tonight", Carrier: &air{w: w, p: p}, Open: &k})
	if err != nil || len(tracks) != 1 {
		t.Fatal(tracks, err)
	}
	all, err := p.Excerpts()
	if err != nil || len(all) != 1 || all[0].Track != tracks[0].CID || all[0].Text != "Tonight" || all[0].For != time.Second || all[0].Link.ID != k.ID {
		t.Fatalf("open are %+v, %v", all, err)
	}
	card, err := p.Card()
	if err != nil || len(card.Open) != 1 || card.Open[0].ID != k.ID {
		t.Fatalf("the card leads to %+v, %v", card.Open, err)
	}
	block, err := w.Read(t.Context(), card.Open[0].Block)
	if err != nil {
		t.Fatal(err)
	}
	s, err := lease.ExcerptKeyOf(all[0].Link).Stretch(block)
	if err != nil {
		t.Fatal(err)
	}
	var media []byte
	var tuned *lease.Tuned
	records := 0
	for i := range s.Len() {
		if l := s.Record(i); l != nil {
			records++
			if tuned, err = s.Tune(l); err != nil {
				t.Fatal(err)
			}
		}
		h := s.Head(i)
		sealed, err := w.Read(t.Context(), h.Seg)
		if err != nil {
			t.Fatal(err)
		}
		seg, err := tuned.Open(h, sealed)
		if err != nil || h.Final != (i == s.Len()-1) {
			t.Fatalf("segment %d of %d: %+v, %v", i, s.Len(), h, err)
		}
		media = append(media, seg.Media...)
	}
	if !bytes.Equal(media, file[44:]) || records != 2 {
		t.Errorf("%d bytes of %d, under %d records", len(media), len(file)-44, records)
	}
	if err := p.RemoveExcerpt(t.Context(), k.ID.String()); err != nil {
		t.Fatal(err)
	}
	if card, err = p.Card(); err != nil || len(card.Open) != 0 {
		t.Errorf("taken back, the card leads to %+v, %v", card.Open, err)
	}
	// Of a channel nothing stays open, and a set without a link leaves none.
	for _, opt := range []SetOptions{{Playlist: "main", Carrier: &air{w: w, p: p}}, {Playlist: "night", Keep: time.Hour, Carrier: &air{w: w, p: p}, Open: new(lease.NewSetKey(p.cfg.Keys.DJ()))}} {
		src, _ := newDeckOut(t, 2, 44100)
		if _, err := p.OnAir(t.Context(), src, opt); err != nil {
			t.Fatal(err)
		}
	}
	if all, err = p.Excerpts(); err != nil || len(all) != 0 {
		t.Errorf("open are %+v, %v", all, err)
	}
}
