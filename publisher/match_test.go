package publisher

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/publisher/exchange"
)

// Entries are found by a track's URI, by their file, by what they are called, and not by less than that.
func TestMatch(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, data := album(t, 4)
	dir := filepath.Dir(paths[0])
	mustPublish(t, p, paths[:3], Options{Playlist: "main"})
	tracks := playlists(t, p)[0].cids()
	// Two tracks of one name, of other lengths.
	for i, name := range []string{"twin.wav", "other/twin.wav"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		writeWAV(t, path, uint64(50+i), 44100*(1+4*i))
		mustPublish(t, p, []string{path}, Options{Playlist: []string{"main", "night"}[i]})
	}
	all := playlists(t, p)
	short, long := all[0].Tracks[3].CID, all[1].Tracks[0].CID
	copied := filepath.Join(dir, "a copy.wav")
	if err := os.WriteFile(copied, data[1], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c.txt"), data[2], 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(ss ...string) []string { return ss }
	for name, c := range map[string]struct {
		entry exchange.Entry
		label string
		want  cid.Cid
		err   error
	}{
		"by URI":                       {exchange.Entry{IDs: in("urn:x", "ipfs://"+tracks[1].String()), Title: "a"}, "main", tracks[1], nil},
		"by URI where it is":           {exchange.Entry{Locations: in("ipfs://" + tracks[2].String() + "/")}, "main", tracks[2], nil},
		"by CID":                       {exchange.Entry{IDs: in(tracks[0].String())}, "main", tracks[0], nil},
		"of another's":                 {exchange.Entry{IDs: in("ipfs://" + w.read(p).manifests[0].Tracks.String())}, "main", cid.Undef, errUnknown},
		"by a path":                    {exchange.Entry{Locations: in(copied), Title: "nothing of the kind"}, "main", tracks[1], nil},
		"by a relative path":           {exchange.Entry{Locations: in("no.wav", "./a%20copy.wav")}, "main", tracks[1], nil},
		"by a file's URI":              {exchange.Entry{Locations: in("file://" + filepath.ToSlash(paths[0]))}, "main", tracks[0], nil},
		"a file that was not":          {exchange.Entry{Locations: in(paths[3])}, "main", cid.Undef, errUnknown},
		"no sound file":                {exchange.Entry{Locations: in("c.txt"), Title: "x"}, "main", cid.Undef, errUnknown},
		"a folder, and a device":       {exchange.Entry{Locations: in(".", "/dev/zero"), Title: "x"}, "main", cid.Undef, errUnknown},
		"by title":                     {exchange.Entry{Title: " B "}, "main", tracks[1], nil},
		"by the name of a file":        {exchange.Entry{Locations: in(`C:\gone\C.mp3`)}, "main", tracks[2], nil},
		"with another's artist":        {exchange.Entry{Title: "b", Artist: "Somebody"}, "main", cid.Undef, errUnknown},
		"by nothing":                   {exchange.Entry{}, "main", cid.Undef, errUnknown},
		"alike, by length":             {exchange.Entry{Title: "twin", Ms: 5500}, "main", long, nil},
		"alike, by the other's":        {exchange.Entry{Title: "twin", Ms: 1000}, "night", short, nil},
		"alike, by the list":           {exchange.Entry{Title: "twin"}, "night", long, nil},
		"alike, by the other":          {exchange.Entry{Title: "TWIN"}, "main", short, nil},
		"alike, and in neither":        {exchange.Entry{Title: "twin"}, "new", cid.Undef, errAlike},
		"one, and of another length":   {exchange.Entry{Title: "a", Ms: 90_000}, "main", tracks[0], nil},
		"alike, and of no such length": {exchange.Entry{Title: "twin", Ms: 90_000}, "new", cid.Undef, errAlike},
	} {
		got, skipped, err := p.Match(t.Context(), c.label, dir, []exchange.Entry{c.entry})
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.err != nil && (len(got) != 0 || len(skipped) != 1 || !errors.Is(skipped[0].Err, c.err)):
			t.Errorf("%s: %v, %+v", name, got, skipped)
		case c.err == nil && (!slices.Equal(got, []cid.Cid{c.want}) || len(skipped) != 0):
			t.Errorf("%s: %v, %+v", name, got, skipped)
		}
	}
	_, skipped, err := p.Match(t.Context(), "main", dir, []exchange.Entry{{Title: "\x1b[2J\u202eevil"}})
	if err != nil || len(skipped) != 1 || strings.ContainsAny(skipped[0].Path, "\x1b\u202e") {
		t.Errorf("%+q, %v", skipped, err)
	}
}

// A playlist is what was exported, in each format, on a laptop that has its tracks otherwise: all of it is there again, in
// its order, and nothing else; and so is the venue's.
func TestExportedAndReplaced(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	v := w.venue()
	paths, files := album(t, 5)
	mustPublish(t, p, paths[:4], Options{Playlist: "main"})
	mustPublish(t, p, paths[4:], Options{Playlist: "other"})
	grantTo(t, p, v, "main", day)
	l := playlists(t, p)[0]
	found, err := p.Files(t.Context(), []string{filepath.Dir(paths[0])})
	if err != nil || found[l.Tracks[2].CID] != paths[2] || len(found) != 5 {
		t.Fatal(found, err)
	}
	other := playlists(t, p)[1].cids()[0]
	seq := w.of(p, "main").Seq
	for _, as := range []exchange.Format{exchange.M3U8, exchange.XSPF, exchange.JSPF} {
		for _, with := range []map[cid.Cid]string{nil, found} {
			var text bytes.Buffer
			if err := exchange.Write(&text, Written(l, with), as); err != nil {
				t.Fatal(as, err)
			}
			back, err := exchange.Read(&text)
			if err != nil || back.Title != "main" {
				t.Fatal(as, back, err)
			}
			got, skipped, err := p.Match(t.Context(), "main", "/", back.Entries)
			if err != nil || len(skipped) != 0 || !slices.Equal(got, l.cids()) {
				t.Errorf("%s: %v, %+v, %v", as, got, skipped, err)
			}
		}
	}
	if _, err := p.Replace(t.Context(), l.cids(), Options{Playlist: "main"}); err != nil || w.of(p, "main").Seq != seq {
		t.Errorf("the same makes a revision: %v", err)
	}
	was := l.cids()
	want := []cid.Cid{was[3], other, was[0], was[1]}
	if now, err := p.Replace(t.Context(), append(want, other), Options{Playlist: "main"}); err != nil || !slices.Equal(now.cids(), want) {
		t.Fatal(now.cids(), err)
	}
	if m := w.of(p, "main"); m.Seq != seq+1 || len(w.tracks(m)) != 4 {
		t.Errorf("revision %d, after %d, of %d tracks", m.Seq, seq, len(w.tracks(m)))
	}
	got, _ := w.hear(v, w.of(p, "main"))
	for i, k := range []int{3, 4, 0, 1} {
		if len(got) != 4 || !bytes.Equal(got[i], files[k]) {
			t.Fatalf("of %d tracks the %d-th is not %d", len(got), i, k)
		}
	}
	if w.count(rowTrack) != 4 {
		t.Errorf("%d tracks are in the library", w.count(rowTrack))
	}
	if _, err := p.Replace(t.Context(), []cid.Cid{was[0], was[2]}, Options{Playlist: "main"}); !errors.Is(err, ErrTerms) {
		t.Errorf("by one that is gone: %v", err)
	}
	mustPublish(t, p, paths[2:3], Options{Playlist: "main"})
	got, _ = w.hear(v, w.of(p, "main"))
	if len(got) != 5 || !bytes.Equal(got[4], files[2]) {
		t.Errorf("%d tracks are heard", len(got))
	}
}
