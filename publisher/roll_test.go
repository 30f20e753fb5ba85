package publisher

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
)

// rolled has a set played in parts of 300 ms, each of which is a track before the next segment is cut.
func (w *world) rolled(p *Publisher, src *deckOut, a *air, keep time.Duration, each func(n int)) ([]Track, error) {
	var parting sync.WaitGroup
	src.before = func(n int) {
		parting.Wait()
		each(n)
	}
	return p.OnAir(w.t.Context(), src, SetOptions{
		Playlist: "main", Title: "Channel", Carrier: a, Part: 300 * time.Millisecond, Keep: keep,
		parts: func() func() { parting.Add(1); return parting.Done },
	})
}

// rows counts the library's with a prefix.
func (w *world) count(prefix string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.rows {
		if strings.HasPrefix(k, prefix) {
			n++
		}
	}
	return n
}

// A long set is made tracks of while it is on air, each of its own stretch of it; all are heard as they were sent, and
// what is noted of the set does not grow.
func TestALongSetIsTracksOneAfterTheOther(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.leasedSet(p)
	src, file := newDeckOut(t, 1, 44100)
	a := &air{w: w, p: p, says: "Channel: Nobody – One"}
	var listed []int
	row := 0
	tracks, err := w.rolled(p, src, a, 0, func(n int) {
		pl, err := p.Playlist("main")
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, len(pl.Tracks))
		now, err := p.cfg.Store.Get(rowSet + "main")
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			row = len(now)
		}
		if got := len(now); n > 1 && got > row+8 {
			t.Errorf("before segment %d the set's row has %d bytes, and had %d", n, got, row)
		}
		if got := w.count(rowSegment); got > 4 {
			t.Errorf("before segment %d the library has rows of %d", n, got)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3}; !slices.Equal(listed, want) {
		t.Errorf("listed before each segment: %v", listed)
	}
	if media, deaf := a.heard(v); !bytes.Equal(media, file[44:]) || deaf > 0 {
		t.Errorf("heard %d bytes of %d, deaf to %d", len(media), len(file)-44, deaf)
	}
	var titles []string
	for _, tr := range tracks {
		titles = append(titles, tr.Title)
	}
	if want := []string{"Channel", "Channel (2)", "Channel (3)", "Channel (4)"}; !slices.Equal(titles, want) {
		t.Errorf("tracks %q", titles)
	}
	got, _ := w.hear(v, w.read(p).manifests[0])
	var whole []byte
	for i, b := range got {
		if !bytes.Equal(b[:44], file[:44]) || i < 3 && len(b) != 44+3*4*4410 {
			t.Errorf("track %d has %d bytes", i, len(b))
		}
		whole = append(whole, b[44:]...)
	}
	if !bytes.Equal(whole, file[44:]) {
		t.Error("the tracks are not the set")
	}
	if rows := w.setRows(); len(rows) > 0 {
		t.Errorf("left: %v", rows)
	}
}

// A list that rolls has the newest, of this set and those before, and of what has rolled out nothing stays: no row, no
// page, no cue and no root. What else the playlist has stays where it is.
func TestAListThatRolls(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.leasedSet(p)
	paths, files := album(t, 2)
	if _, err := p.Publish(t.Context(), paths, Options{Playlist: "main"}); err != nil {
		t.Fatal(err)
	}
	const keep = 2 * time.Second // tracks of 300 ms count as one second each
	var out []Track
	gone := map[cid.Cid]bool{}
	for day := range 3 {
		src, file := newDeckOut(t, uint64(day+1), 44100)
		tracks, err := w.rolled(p, src, &air{w: w, p: p}, keep, func(n int) {
			pl, err := p.Playlist("main")
			if err != nil {
				t.Fatal(err)
			}
			if len(pl.Tracks) > 4 {
				t.Errorf("day %d, segment %d: %d tracks", day, n, len(pl.Tracks))
			}
			for _, tr := range pl.Tracks[2:] {
				gone[tr.CID] = true
			}
			if n == 5 && day == 1 { // of a track that rolls out
				x, err := p.AddExcerpt(t.Context(), pl.Tracks[2].CID, 0, 100*time.Millisecond, "")
				if err != nil {
					t.Fatal(err)
				}
				if block, ok := p.ExcerptBlock(x.Link.ID); !ok || !block.Defined() {
					t.Errorf("no block of an excerpt: %s", block)
				}
			}
			if n == 5 && day == 2 {
				at := 50 * time.Millisecond
				if _, err := p.SetCue(t.Context(), CueTerms{Playlist: "main", Track: pl.Tracks[2].CID, In: &at}); err != nil {
					t.Fatal(err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(12 * time.Hour)
		out = tracks
		got, _ := w.hear(v, w.read(p).manifests[0])
		if len(got) != 4 || !bytes.Equal(got[0], files[0]) && len(got[0]) != len(files[0]) {
			t.Fatalf("day %d: %d tracks", day, len(got))
		}
		if last := append(bytes.Clone(got[2][44:]), got[3][44:]...); !bytes.HasSuffix(file, last) {
			t.Errorf("day %d: what is left is not the set's end", day)
		}
	}
	pl, err := p.Playlist("main")
	if err != nil || len(out) != 2 || len(pl.Tracks) != 4 || pl.Tracks[2].CID != out[0].CID || pl.Tracks[3].CID != out[1].CID {
		t.Errorf("%+v of %+v, %v", out, pl.Tracks, err)
	}
	card, err := p.Card()
	if left, more := p.Excerpts(); err != nil || more != nil || len(left) != 0 || len(card.Open) != 0 {
		t.Errorf("excerpts of what has rolled out: %+v, on the card %+v; %v %v", left, card.Open, err, more)
	}
	if len(pl.Mixing.Cues) != 0 {
		t.Errorf("cues %+v", pl.Mixing.Cues)
	}
	for _, tr := range out {
		delete(gone, tr.CID)
	}
	roots, err := p.Roots()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roots {
		if gone[r] {
			t.Errorf("%s has rolled out, and stays", r)
		}
	}
	if len(gone) < 8 || w.count(rowTrack) != 4 || w.count(rowRoll) != 2 {
		t.Errorf("%d tracks have gone, %d are in the library, %d roll", len(gone), w.count(rowTrack), w.count(rowRoll))
	}
}

// Where a part becomes several tracks, of which the newer ones are all that is kept, the others are not listed; what was
// made later is newer, whatever the clock said.
func TestWhatRollsOutAsItIsMade(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	of := func(s string) cid.Cid { return manifests.NewRawBlock([]byte(s)).CID }
	ahead := rowRoll + "main/00000000ffffffff/0000000000000001/0000"
	if err := p.cfg.Store.Apply(map[string][]byte{ahead: marshal(rollRow{of("ahead"), 9})}, nil); err != nil {
		t.Fatal(err)
	}
	var made []*trackRow
	e := edit{label: "main"}
	for _, s := range []string{"a", "b", "c"} {
		made = append(made, &trackRow{CID: of(s), Sec: 2})
		e.add = append(e.add, of(s))
	}
	if err := p.roll(&e, made, setRow{Keep: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(e.add, []cid.Cid{of("b"), of("c")}) || !slices.Equal(e.drop, []cid.Cid{of("a"), of("ahead")}) || len(e.puts) != 2 {
		t.Errorf("adds %v, drops %v, and %d stay", e.add, e.drop, len(e.puts))
	}
	for key := range e.puts {
		if key <= ahead {
			t.Errorf("%s is not behind %s", key, ahead)
		}
	}
}

// Tracks are taken from any page of a playlist, and the rest stays in order.
func TestPagesWithoutSomeTracks(t *testing.T) {
	for _, n := range []int{1, pageTracks - 1, pageTracks, pageTracks + 1, 2*pageTracks + 3} {
		w := newWorld(t)
		p := w.start()
		l := &listRow{Label: "main"}
		puts := map[string][]byte{}
		var all, left []cid.Cid
		var drop []cid.Cid
		for i := range n {
			c := manifests.NewRawBlock(fmt.Append(nil, i)).CID
			if all = append(all, c); i%3 == 0 {
				drop = append(drop, c)
			} else {
				left = append(left, c)
			}
		}
		l.add(all, puts)
		if err := p.cfg.Store.Apply(puts, nil); err != nil {
			t.Fatal(err)
		}
		var gone []string
		got, err := p.without(l, []*listRow{l}, drop, puts, &gone)
		if err != nil || !slices.Equal(got, left) || len(gone) != len(drop) {
			t.Fatalf("%d: %d left, %d gone, %v", n, len(got), len(gone), err)
		}
		clear(puts)
		gone = nil
		l.replace(got, puts, &gone)
		if err := p.cfg.Store.Apply(puts, gone); err != nil {
			t.Fatal(err)
		}
		if order, err := p.order(l); err != nil || !slices.Equal(order, left) || w.count(rowPage) != l.Pages {
			t.Errorf("%d: %d in %d pages, of which %d are stored, %v", n, len(order), l.Pages, w.count(rowPage), err)
		}
	}
}

// A kill while a part of a set becomes a track loses nothing of it and doubles nothing.
func TestAKillBetweenParts(t *testing.T) {
	step := 5
	if testing.Short() {
		step = 11
	}
	for kill := step; ; kill += step {
		w := newWorld(t)
		p := w.start()
		src, file := newDeckOut(t, 1, 6*441)
		src.step = 4 * 441
		a := &air{w: w, p: p}
		w.killAt, w.lands = w.writes+kill, kill%2 == 0
		_, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main", Carrier: a, Part: 20 * time.Millisecond, Keep: time.Hour})
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("kill %d: %v", kill, err)
		}
		died := w.dead
		p = w.start()
		v := w.leasedSet(p)
		if _, err := p.Publish(t.Context(), nil, Options{}); err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		if rows := w.setRows(); len(rows) > 0 {
			t.Errorf("kill %d leaves %v", kill, rows)
		}
		w.receive(p, v)
		files, _ := w.hear(v, w.read(p).manifests[0])
		var whole []byte
		for _, f := range files {
			whole = append(whole, f[44:]...)
		}
		if n := len(whole) / src.step; !bytes.HasPrefix(file[44:], whole) || n < min(len(a.segments), 6) {
			t.Errorf("kill %d after %d segments: %d of them in %d tracks", kill, len(a.segments), n, len(files))
		}
		if !died {
			return
		}
	}
}
