package publisher

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
)

// of is a playlist's newest manifest.
func (w *world) of(p *Publisher, label string) *manifests.Manifest {
	w.t.Helper()
	c := w.read(p)
	i := slices.IndexFunc(c.head.Sels, func(s manifests.Listed) bool { return s.Label == label })
	if i < 0 {
		w.t.Fatalf("no playlist %q", label)
	}
	return c.manifests[i]
}

// What is taken out of a playlist a venue hears no more, and the rest in its order; its cue and its turn to roll out go
// with it, its keys are drawn anew, and nothing keeps its blocks.
func TestRemovedTracks(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.venue()
	paths, files := album(t, 4)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	grantTo(t, p, v, "main", 60*24*time.Hour)
	tracks := playlists(t, p)[0].Tracks
	in := 10 * time.Millisecond
	for _, i := range []int{1, 2} {
		if _, err := p.SetCue(t.Context(), CueTerms{Playlist: "main", Track: tracks[i].CID, In: &in}); err != nil {
			t.Fatal(err)
		}
		if err := p.cfg.Store.Put(rowRoll+"main/"+string(rune('0'+i)), marshal(rollRow{tracks[i].CID, 1})); err != nil {
			t.Fatal(err)
		}
	}
	before := w.read(p).manifests[0]
	l, err := p.Remove(t.Context(), "main", []cid.Cid{tracks[1].CID, tracks[3].CID, tracks[1].CID})
	if err != nil || !slices.Equal(l.cids(), []cid.Cid{tracks[0].CID, tracks[2].CID}) {
		t.Fatal(l.cids(), err)
	}
	m, _, _ := w.receive(p, v)
	if got, _ := w.hear(v, m); len(got) != 2 || !bytes.Equal(got[0], files[0]) || !bytes.Equal(got[1], files[2]) {
		t.Errorf("%d tracks are heard", len(got))
	}
	if x := w.mixed(v, m); len(x.Cues) != 1 || x.Cues[tracks[2].CID].In == nil {
		t.Errorf("cues %+v", x.Cues)
	}
	old, fresh := w.tracks(before), w.tracks(m)
	if i := slices.IndexFunc(old, func(e manifests.Entry) bool { return e.Track == fresh[0].Track }); i < 0 || old[i].Wrap == fresh[0].Wrap || m.Gen != before.Gen {
		t.Error("what is left is wrapped as before, or for another generation")
	}
	roots, err := p.Roots()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(roots, tracks[1].CID) || !slices.Contains(roots, tracks[2].CID) || w.count(rowTrack) != 2 || w.count(rowRoll) != 1 || w.count(rowWithdrawn) != 0 {
		t.Errorf("%d tracks and %d that roll are left, %d are noted as withdrawn", w.count(rowTrack), w.count(rowRoll), w.count(rowWithdrawn))
	}
	p = w.start()
	if l, err = p.Playlist("main"); err != nil || len(l.Tracks) != 2 {
		t.Error(l.Tracks, err)
	}
}

// All are taken out, or none.
func TestRemovingIsWhole(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 3)
	mustPublish(t, p, paths[:2], Options{Playlist: "main"})
	mustPublish(t, p, paths[2:], Options{Playlist: "other"})
	all := playlists(t, p)
	seq := w.read(p).head.Seq
	if _, err := p.Remove(t.Context(), "main", []cid.Cid{all[0].Tracks[0].CID, all[1].Tracks[0].CID}); !errors.Is(err, ErrTerms) {
		t.Error(err)
	}
	if _, err := p.Remove(t.Context(), "none", []cid.Cid{all[0].Tracks[0].CID}); !errors.Is(err, ErrNoPlaylist) {
		t.Error(err)
	}
	if l, err := p.Playlist("main"); err != nil || len(l.Tracks) != 2 || w.read(p).head.Seq != seq {
		t.Error("something was changed", err)
	}
}

// A playlist that has lost its last track is there still, with its leases, and gets others.
func TestTheLastTrackRemoved(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.venue()
	paths, files := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	grantTo(t, p, v, "main", 60*24*time.Hour)
	if l, err := p.Remove(t.Context(), "main", playlists(t, p)[0].cids()); err != nil || len(l.Tracks) != 0 {
		t.Fatal(l.Tracks, err)
	}
	m, _, _ := w.receive(p, v)
	if got, _ := w.hear(v, m); len(got) != 0 || len(w.tracks(m)) != 0 {
		t.Errorf("%d tracks are heard", len(got))
	}
	w.now = w.now.Add(8 * 24 * time.Hour)
	mustPublish(t, p, nil, Options{})
	mustPublish(t, p, paths[1:], Options{Playlist: "main"})
	m, _, _ = w.receive(p, v)
	if got, _ := w.hear(v, m); len(got) != 1 || !bytes.Equal(got[0], files[1]) {
		t.Errorf("%d tracks are heard", len(got))
	}
}

// What was withdrawn from a playlist, and is published there again, is sealed anew, also where another playlist has it
// still; that one, and a third, go on with what they have.
func TestWithdrawnAndPublishedAgain(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 2)
	mustPublish(t, p, paths, Options{Playlist: "a"})
	mustPublish(t, p, paths, Options{Playlist: "b"})
	first := playlists(t, p)[0].cids()
	if !slices.Equal(first, playlists(t, p)[1].cids()) {
		t.Fatal("the same files are other tracks in another playlist")
	}
	if _, err := p.Remove(t.Context(), "a", first[:1]); err != nil {
		t.Fatal(err)
	}
	if res := mustPublish(t, p, paths, Options{Playlist: "b"}); res.Sealed != 0 || len(playlists(t, p)[1].Tracks) != 2 {
		t.Errorf("b: %+v", res)
	}
	if res := mustPublish(t, p, paths, Options{Playlist: "a"}); res.Sealed != 1 {
		t.Errorf("a: %d are sealed anew", res.Sealed)
	}
	again := playlists(t, p)[0].cids()
	if len(again) != 2 || again[0] != first[1] || slices.Contains(first, again[1]) {
		t.Errorf("a has %v, and had %v", again, first)
	}
	if l, err := p.Add(t.Context(), first, Options{Playlist: "a"}); err != nil || !slices.Equal(l.cids(), again) {
		t.Errorf("a, added to what it has already: %v, %v", l.cids(), err)
	}
	for _, label := range []string{"a", "b", "c"} {
		if res := mustPublish(t, p, paths, Options{Playlist: label}); res.Sealed != 0 {
			t.Errorf("%s once more: %d are sealed anew", label, res.Sealed)
		}
		if l, err := p.Playlist(label); err != nil || len(l.Tracks) != 2 {
			t.Errorf("%s once more: %v %v", label, l.cids(), err)
		}
	}
	// Withdrawn a second time, and by all: what is published then is new again, and no row is left of what was.
	for _, label := range []string{"a", "b", "c"} {
		l, err := p.Playlist(label)
		if err == nil {
			_, err = p.Remove(t.Context(), label, l.cids())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if w.count(rowTrack)+w.count(rowWithdrawn) != 0 {
		t.Errorf("%d tracks are left, %d noted as withdrawn", w.count(rowTrack), w.count(rowWithdrawn))
	}
	if res := mustPublish(t, p, paths, Options{Playlist: "a"}); res.Sealed != 2 {
		t.Errorf("after all: %d are sealed", res.Sealed)
	}
}

// A venue hears the new order: nothing is sealed anew for it, what was said of tracks goes with them, and what was
// unlocked stays so. It holds through a later period, and for a revision that is made of rows alone.
func TestMovedTracks(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.venue()
	paths, files := album(t, 4)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	grantTo(t, p, v, "main", 60*24*time.Hour)
	tracks := playlists(t, p)[0].cids()
	in := 10 * time.Millisecond
	if _, err := p.SetCue(t.Context(), CueTerms{Playlist: "main", Track: tracks[2], In: &in}); err != nil {
		t.Fatal(err)
	}
	order := []int{0, 1, 2, 3}
	check := func(when string) {
		t.Helper()
		m, _, _ := w.receive(p, v)
		got, _ := w.hear(v, m)
		for i, k := range order {
			if len(got) != len(order) || !bytes.Equal(got[i], files[k]) {
				t.Fatalf("%s: of %d tracks the %d-th is not %d", when, len(got), i, k)
			}
		}
		if x := w.mixed(v, m); len(x.Cues) != 1 || x.Cues[tracks[2]].In == nil {
			t.Errorf("%s: cues %+v", when, x.Cues)
		}
	}
	spine := w.read(p).manifests[0].Tracks
	for _, step := range []struct{ from, to int }{{2, 0}, {0, 3}, {3, 1}, {1, 2}} {
		k := order[step.from]
		order = slices.Insert(slices.Delete(order, step.from, step.from+1), step.to, k)
		l, err := p.Move(t.Context(), "main", tracks[k], step.to)
		if err != nil || l.find(tracks[k]) != step.to {
			t.Fatal(l.cids(), err)
		}
		check("moved")
	}
	m := w.read(p).manifests[0]
	if m.Tracks != spine {
		t.Error("the tracks' blocks are others")
	}
	if _, err := p.Move(t.Context(), "main", tracks[order[1]], 1); err != nil || w.read(p).manifests[0].Seq != m.Seq {
		t.Errorf("to where it is makes a revision: %v", err)
	}
	for _, to := range []int{-1, 4} {
		if _, err := p.Move(t.Context(), "main", tracks[0], to); !errors.Is(err, ErrTerms) {
			t.Errorf("to %d: %v", to, err)
		}
	}
	if _, err := p.Move(t.Context(), "main", w.read(p).manifests[0].Tracks, 0); !errors.Is(err, ErrTerms) {
		t.Error(err)
	}
	w.now = w.now.Add(8 * 24 * time.Hour)
	mustPublish(t, p, nil, Options{})
	check("in the next week")
	p = w.start()
	p.cfg.Held = nil
	if _, err := p.Move(t.Context(), "main", tracks[order[3]], 0); err != nil {
		t.Fatal(err)
	}
	order = []int{order[3], order[0], order[1], order[2]}
	check("made of the rows alone")
}

// A playlist that is made without tracks can be leased, and lists tracks of another: the very same, for which nothing is
// sealed, in the order in which they are given.
func TestAddedTracks(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.venue()
	if l, err := p.Create(t.Context(), "night"); err != nil || len(l.Tracks) != 0 {
		t.Fatal(l, err)
	}
	grantTo(t, p, v, "night", 60*24*time.Hour)
	if got, _ := w.hear(v, w.read(p).manifests[0]); len(got) != 0 {
		t.Errorf("%d tracks are heard", len(got))
	}
	if _, err := p.Create(t.Context(), "night"); !errors.Is(err, ErrPlaylist) {
		t.Error(err)
	}
	for _, label := range []string{"", "a/b", "a\nb", string(make([]byte, 65))} {
		if _, err := p.Create(t.Context(), label); !errors.Is(err, ErrLabel) {
			t.Errorf("%q: %v", label, err)
		}
	}
	paths, files := album(t, 3)
	mustPublish(t, p, paths, Options{Playlist: "day"})
	day := playlists(t, p)[0].cids()
	night := func() *manifests.Manifest { return w.of(p, "night") }
	blocks, seq := len(w.blocks), night().Seq
	l, err := p.Add(t.Context(), []cid.Cid{day[2], day[0], day[2]}, Options{Playlist: "night"})
	if err != nil || !slices.Equal(l.cids(), []cid.Cid{day[2], day[0]}) {
		t.Fatal(l.cids(), err)
	}
	if n := len(w.blocks) - blocks; n > 10 {
		t.Errorf("%d new blocks", n)
	}
	if got, _ := w.hear(v, night()); len(got) != 2 || !bytes.Equal(got[0], files[2]) || !bytes.Equal(got[1], files[0]) {
		t.Errorf("%d tracks are heard", len(got))
	}
	if _, err := p.Add(t.Context(), day[:1], Options{Playlist: "night"}); err != nil || night().Seq != seq+1 {
		t.Errorf("one that is there already makes revision %d: %v", night().Seq, err)
	}
	for _, c := range []struct {
		label string
		track cid.Cid
		want  error
	}{{"none", day[1], ErrNoPlaylist}, {"night", night().Tracks, ErrTerms}} {
		if _, err := p.Add(t.Context(), []cid.Cid{day[1], c.track}, Options{Playlist: c.label}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.label, err)
		}
	}
	if l, err := p.Playlist("night"); err != nil || len(l.Tracks) != 2 || night().Seq != seq+1 {
		t.Error("something was changed", err)
	}
}

// What was withdrawn from a playlist and is added to it again, a set that was on air as well, is sealed anew: it opens to
// the same sound, with the same said of it, and to the archive key only where it did before. Its file, published again,
// is that track, and so it is when it is added once more.
func TestWithdrawnAndAddedAgain(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.leasedSet(p)
	paths, files := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	mustPublish(t, p, paths[1:], Options{Playlist: "main", NoArchiveKey: true})
	src, set := newDeckOut(t, 1, 44100)
	if _, err := p.OnAir(t.Context(), src, SetOptions{Playlist: "main", Title: "A set", Carrier: &air{w: w, p: p}}); err != nil {
		t.Fatal(err)
	}
	first, err := p.Playlist("main")
	if err != nil || len(first.Tracks) != 3 {
		t.Fatal(first.Tracks, err)
	}
	files = append(files, set)
	if _, err := p.Create(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Add(t.Context(), first.cids(), Options{Playlist: "kept"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Remove(t.Context(), "main", first.cids()); err != nil {
		t.Fatal(err)
	}
	var done, total int64
	again, err := p.Add(t.Context(), first.cids(), Options{Playlist: "main", Progress: func(d, of int64) { done, total = d, of }})
	if err != nil || len(again.Tracks) != 3 {
		t.Fatal(again.Tracks, err)
	}
	if done == 0 || done > total {
		t.Errorf("%d of %d bytes", done, total)
	}
	got, infos := w.hear(v, w.of(p, "main"))
	for i, f := range files {
		was := first.Tracks[i]
		if slices.Contains(again.cids(), was.CID) {
			t.Errorf("track %d is the one that was withdrawn", i)
		}
		if len(got) != len(files) || len(got[i]) != len(f) || !bytes.Equal(got[i][44:], f[44:]) || infos[i].Title != was.Title || infos[i].Samples != was.Samples || infos[i].Recorded != nil {
			t.Errorf("track %d is heard otherwise", i)
		}
		if now, tr := again.Tracks[i], was; now.Title != tr.Title || now.Samples != tr.Samples || now.Rate != tr.Rate || *now.Loudness != *tr.Loudness {
			t.Errorf("track %d: %+v, and was %+v", i, now, tr)
		}
		var sealed bytes.Buffer
		(&blocks{held: w.blocks}).read(t, again.Tracks[i].CID, &sealed)
		if none := bytes.Contains(sealed.Bytes()[:64], []byte("playnode-none")); none != (i == 1) {
			t.Errorf("track %d is sealed to no archive key: %v", i, none)
		}
	}
	if kept, err := p.Playlist("kept"); err != nil || !slices.Equal(kept.cids(), first.cids()) {
		t.Errorf("kept has %v", kept.cids())
	}
	if res := mustPublish(t, p, paths, Options{Playlist: "main"}); res.Sealed != 0 {
		t.Errorf("%d files are sealed anew", res.Sealed)
	}
	if l, err := p.Add(t.Context(), first.cids(), Options{Playlist: "main"}); err != nil || !slices.Equal(l.cids(), again.cids()) {
		t.Errorf("added once more: %v, %v", l.cids(), err)
	}
	if _, err := p.Remove(t.Context(), "main", again.cids()[:1]); err != nil {
		t.Fatal(err)
	}
	l, err := p.Add(t.Context(), first.cids()[:1], Options{Playlist: "main"})
	if err != nil || len(l.Tracks) != 3 || slices.Contains(again.cids(), l.Tracks[2].CID) || l.Tracks[2].CID == first.Tracks[0].CID {
		t.Errorf("withdrawn a second time and added: %v, %v", l.cids(), err)
	}
}
