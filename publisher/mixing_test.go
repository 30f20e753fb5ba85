package publisher

import (
	"errors"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
)

// mixed is how a venue reads the playlist of a revision to be mixed.
func (w *world) mixed(v venue, m *manifests.Manifest) manifests.Mixing {
	w.t.Helper()
	u, err := v.Unlock(m)
	if err != nil {
		w.t.Fatal(err)
	}
	defer u.Close()
	var meta [][]byte
	for _, c := range m.Meta {
		meta = append(meta, w.blocks[c])
	}
	lists, err := u.Playlists(meta, w.tracks(m))
	if err != nil || len(lists) != 1 {
		w.t.Fatal(len(lists), err)
	}
	return lists[0].Mixing
}

// What the DJ says of a playlist's mixing reaches the venue, and stays through added tracks, a new period, fresh keys, a
// laptop that is started again, and a revision that is made of her rows alone.
func TestMixingReachesTheVenue(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 4)
	mustPublish(t, p, paths[:3], Options{Playlist: "main"})
	v := w.venue()
	grantTo(t, p, v, "main", 60*24*time.Hour)
	tracks := playlists(t, p)[0].Tracks
	fade, album, in, out := 4*time.Second, true, 10*time.Millisecond, lasts(tracks[1])
	if l, err := p.SetMixing(t.Context(), MixTerms{Playlist: "main", Fade: &fade, Album: &album}); err != nil || l.Mixing.Fade != 4000 || !l.Mixing.Album {
		t.Fatal(l.Mixing, err)
	}
	if _, err := p.SetCue(t.Context(), CueTerms{Playlist: "main", Track: tracks[1].CID, In: &in}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.SetCue(t.Context(), CueTerms{Playlist: "main", Track: tracks[1].CID, Out: &out}); err != nil {
		t.Fatal(err)
	}
	seq := w.read(p).head.Seq
	if _, err := p.SetMixing(t.Context(), MixTerms{Playlist: "main", Fade: &fade}); err != nil || w.read(p).head.Seq != seq {
		t.Errorf("saying it again makes a revision: %v", err)
	}
	frame, end := int64(tracks[1].Rate)/100, tracks[1].Samples
	want := manifests.Mixing{Fade: 4000, Album: true, Cues: map[cid.Cid]manifests.Cue{tracks[1].CID: {In: &frame, Out: &end}}}
	check := func(when string) {
		t.Helper()
		m, _, _ := w.receive(p, v)
		if got := w.mixed(v, m); !same(got, want) {
			t.Errorf("%s: %+v", when, got)
		}
	}
	check("at once")
	mustPublish(t, p, paths[3:], Options{Playlist: "main"})
	check("with a track more")
	w.now = w.now.Add(8 * 24 * time.Hour)
	mustPublish(t, p, nil, Options{})
	check("in the next week")
	p = w.start()
	p.cfg.Held = nil
	w.now = w.now.Add(8 * 24 * time.Hour)
	mustPublish(t, p, nil, Options{})
	check("made of the rows alone")
	slow := 6 * time.Second
	if _, err := p.SetMixing(t.Context(), MixTerms{Playlist: "main", Fade: &slow}); err != nil {
		t.Fatal(err)
	}
	want.Fade = 6000
	check("changed")
	if l, err := p.SetCue(t.Context(), CueTerms{Playlist: "main", Track: tracks[1].CID, Clear: true}); err != nil || len(l.Mixing.Cues) != 0 {
		t.Error(l.Mixing, err)
	}
	want.Cues = nil
	check("without the cue")
}

// What makes no sense is refused, and changes nothing.
func TestMixingRefused(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	mustPublish(t, p, paths[1:], Options{Playlist: "other"})
	seq := w.read(p).head.Seq
	tr := playlists(t, p)[0].Tracks[0]
	long, neg, zero, end := 31*time.Second, -time.Millisecond, time.Duration(0), lasts(tr)
	over, half := end+3*time.Millisecond, end/2
	for _, fade := range []time.Duration{long, neg} {
		if _, err := p.SetMixing(t.Context(), MixTerms{Playlist: "main", Fade: &fade}); !errors.Is(err, ErrTerms) {
			t.Errorf("a crossfade of %s: %v", fade, err)
		}
	}
	if _, err := p.SetMixing(t.Context(), MixTerms{Playlist: "none", Fade: &zero}); !errors.Is(err, ErrNoPlaylist) {
		t.Error(err)
	}
	for name, c := range map[string]CueTerms{
		"negative":          {In: &neg},
		"beyond the end":    {Out: &over},
		"in at the end":     {In: &end},
		"out at 0":          {Out: &zero},
		"out before in":     {In: &half, Out: &zero},
		"out at in":         {In: &half, Out: &half},
		"of another's list": {In: &half, Track: playlists(t, p)[1].Tracks[0].CID},
	} {
		c.Playlist = "main"
		if !c.Track.Defined() {
			c.Track = tr.CID
		}
		if _, err := p.SetCue(t.Context(), c); !errors.Is(err, ErrTerms) {
			t.Errorf("a cue that is %s: %v", name, err)
		}
	}
	if l, err := p.Playlist("main"); err != nil || !same(l.Mixing, manifests.Mixing{}) || w.read(p).head.Seq != seq {
		t.Error("something was changed", err)
	}
}
