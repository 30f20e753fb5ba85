package publisher

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/audio"
	"playnode/internal/audio/clip"
	"playnode/internal/seal"
	"playnode/manifests"
)

// card is the one that the newest head links to.
func (w *world) card(p *Publisher) *manifests.Card {
	w.t.Helper()
	h := w.read(p).head
	if h.Card == nil {
		return nil
	}
	c, err := manifests.DecodeCard(w.blocks[*h.Card])
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func text(s string) *string { return &s }

func TestCard(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	yes, no := true, false
	// Before anything is published it waits; of a playlist that is not there
	// nothing is said.
	if err := p.SetCard(t.Context(), CardEdit{Name: text(" Anna\u202e\n Café ")}); err != nil {
		t.Fatal(err)
	}
	if err := p.SetCard(t.Context(), CardEdit{Playlist: "main", Words: text("x")}); !errors.Is(err, ErrNoPlaylist) {
		t.Errorf("words of no playlist: %v", err)
	}
	paths, _ := album(t, 2)
	r := mustPublish(t, p, paths, Options{Playlist: "main"})
	if c := w.card(p); c == nil || c.Name != "Anna Café" || len(c.Sels) != 0 {
		t.Fatalf("%+v", c)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1000, 2000))); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	if err := p.SetCard(t.Context(), CardEdit{About: text(strings.Repeat("é ", 1000)), Picture: &file, Playlist: "main", Words: text("Until noon")}); err != nil {
		t.Fatal(err)
	}
	c := w.card(p)
	if c.Name != "Anna Café" || len(c.About) > manifests.MaxCardAbout || c.Sels[0].Words != "Until noon" || len(c.Sels[0].Tracks) != 0 || !bytes.HasPrefix(c.Picture, []byte("\xff\xd8\xff")) {
		t.Errorf("%+v", c)
	}
	if h := w.read(p).head; h.Seq != r.Seq+1 {
		t.Errorf("seq %d after %d: one change is one version", h.Seq, r.Seq)
	}
	// Said again, nothing is signed.
	if err := p.SetCard(t.Context(), CardEdit{Playlist: "main", Words: text("Until noon")}); err != nil {
		t.Fatal(err)
	}
	if r2 := mustPublish(t, p, nil, Options{}); r2.Seq != r.Seq+1 {
		t.Errorf("seq %d for nothing", r2.Seq)
	}
	// Titles only when she says so, and not any more when she says no.
	for _, titles := range []*bool{&yes, &no} {
		if err := p.SetCard(t.Context(), CardEdit{Playlist: "main", Titles: titles}); err != nil {
			t.Fatal(err)
		}
		c = w.card(p)
		if got := len(c.Sels[0].Tracks) == 2; got != *titles {
			t.Errorf("titles %v: %+v", *titles, c.Sels[0])
		}
		for _, tr := range c.Sels[0].Tracks {
			if tr.Title.Title != "a" && tr.Title.Title != "b" || tr.Clip != nil {
				t.Errorf("%+v", tr)
			}
		}
	}
	bad := []byte("<svg/>")
	if err := p.SetCard(t.Context(), CardEdit{Picture: &bad}); !errors.Is(err, ErrTerms) {
		t.Errorf("an SVG: %v", err)
	}
	none := []byte{}
	if err := p.SetCard(t.Context(), CardEdit{Name: new(string), About: new(string), Picture: &none, Playlist: "main", Words: new(string)}); err != nil {
		t.Fatal(err)
	}
	if c := w.card(p); c != nil {
		t.Errorf("a card of nothing: %+v", c)
	}
	// A restart finds it again.
	if err := p.SetCard(t.Context(), CardEdit{Name: text("Anna")}); err != nil {
		t.Fatal(err)
	}
	seq := w.read(p).head.Seq
	p = w.start()
	if r := mustPublish(t, p, nil, Options{}); r.Seq != seq || w.card(p).Name != "Anna" {
		t.Errorf("seq %d after a restart, %d before", r.Seq, seq)
	}
}

// plainOf is a file that anyone reads, from its blocks.
func (w *world) plainOf(c cid.Cid) []byte {
	w.t.Helper()
	var b bytes.Buffer
	(&blocks{held: w.blocks}).read(w.t, c, &b)
	return b.Bytes()
}

func TestPreviews(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.cfg.Held = w
	paths, data := album(t, 3)
	mustPublish(t, p, paths[:2], Options{Playlist: "main"})
	for name, terms := range map[string]ClipTerms{"too long": {For: clip.Longest + 1}, "too short": {}, "from before it": {For: time.Second, From: new(time.Duration(-1))}} {
		if _, err := p.SetClips(t.Context(), "main", &terms, nil); !errors.Is(err, ErrTerms) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.SetClips(t.Context(), "none", &ClipTerms{For: time.Second}, nil); !errors.Is(err, ErrNoPlaylist) {
		t.Errorf("no playlist: %v", err)
	}
	half := ClipTerms{For: 30 * time.Second}
	got, err := p.SetClips(t.Context(), "main", &half, nil)
	if err != nil || got.Made != 2 || got.Codecs[audio.Opus] != 2 || got.Why != "" || len(got.Skipped) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	c := w.card(p)
	if len(c.Sels) != 1 || len(c.Sels[0].Tracks) != 2 || c.Sels[0].Tracks[0].Title != nil {
		t.Fatalf("%+v", c)
	}
	// Each is a plain file that a stock reader opens, of its own bytes.
	for _, k := range c.Clips() {
		plain := w.plainOf(k.File)
		src, err := audio.Ingest(t.Context(), bytes.NewReader(plain), int64(len(plain)), "clip")
		if err != nil || uint64(len(plain)) != k.Size || src.Track.Codec != audio.Opus {
			t.Errorf("%d bytes of %d: %+v, %v", len(plain), k.Size, src, err)
		}
		for _, source := range data {
			if common(plain, source, 64) {
				t.Error("a preview shares bytes with its source")
			}
		}
	}
	// Nothing is made twice; a new track gets one by publish; its neighbours'
	// stay.
	if got, err := p.SetClips(t.Context(), "main", &half, nil); err != nil || got.Made != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if r := mustPublish(t, p, paths, Options{Playlist: "main"}); r.Clips != 1 || len(w.card(p).Clips()) != 3 {
		t.Errorf("%d made, card %+v", r.Clips, w.card(p))
	}
	// Cut elsewhere, without ffmpeg: FLAC, said to be.
	t.Run("without ffmpeg", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		at := 100 * time.Millisecond
		got, err := p.SetClips(t.Context(), "main", &ClipTerms{For: time.Second, From: &at}, nil)
		if err != nil || got.Made != 3 || got.Codecs[audio.FLAC] != 3 || got.Why == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, k := range w.card(p).Clips() {
			if plain := w.plainOf(k.File); k.Codec != audio.FLAC || !bytes.HasPrefix(plain, []byte("fLaC")) {
				t.Errorf("%+v", k)
			}
		}
	})
	// ffmpeg is there now: asked again, they are Opus.
	at := 100 * time.Millisecond
	if got, err := p.SetClips(t.Context(), "main", &ClipTerms{For: time.Second, From: &at}, nil); err != nil || got.Made != 3 || got.Codecs[audio.Opus] != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	clips := w.card(p).Clips()
	if got, err := p.SetClips(t.Context(), "main", nil, nil); err != nil || got.Made != 0 || w.card(p) != nil {
		t.Errorf("off: %+v, %v, card %+v", got, err, w.card(p))
	}
	// They are not made anew when they are wanted again, so they are kept.
	roots, err := p.Roots()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range clips {
		if !slices.Contains(roots, k.File) {
			t.Errorf("preview %s is let go", k.File)
		}
	}
}

// A preview is public and opens nothing: no run of its bytes is of the sealed
// file's, and no stretch of it is the file's key.
func TestPreviewOpensNothing(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.cfg.Held = w
	paths, _ := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	track := playlists(t, p)[0].Tracks[0].CID
	if _, err := p.SetClips(t.Context(), "main", &ClipTerms{For: 30 * time.Second}, nil); err != nil {
		t.Fatal(err)
	}
	row, err := p.trackRow(track)
	if err != nil {
		t.Fatal(err)
	}
	key := row.track().Key
	sealed, plain := w.plainOf(track), w.plainOf(w.card(p).Clips()[0].File)
	if common(plain, sealed, 64) {
		t.Error("a preview shares a run with the sealed file")
	}
	if _, _, err := seal.OpenTrack(key, bytes.NewReader(sealed), int64(len(sealed))); err != nil {
		t.Fatalf("the check is blind: %v", err)
	}
	public := [][]byte{plain, w.blocks[*w.read(p).head.Card]}
	for _, b := range public {
		if bytes.Contains(b, key[:]) {
			t.Error("the file's key is in public bytes")
		}
		for i := 0; i+16 <= len(b); i++ {
			var k seal.FileKey
			copy(k[:], b[i:])
			if i%64 != 0 && i > 4096 {
				continue // every stretch of the beginning, and some of the rest
			}
			if _, _, err := seal.OpenTrack(k, bytes.NewReader(sealed), int64(len(sealed))); err == nil {
				t.Fatalf("bytes %d to %d open the file", i, i+16)
			}
		}
	}
}

// common tells whether a and b share a run of n bytes.
func common(a, b []byte, n int) bool {
	seen := map[string]bool{}
	for i := 0; i+n <= len(b); i++ {
		seen[string(b[i:i+n])] = true
	}
	for i := 0; i+n <= len(a); i++ {
		if seen[string(a[i:i+n])] {
			return true
		}
	}
	return false
}

// What does not fit on a card is left off it, and counted.
func TestCardLeavesOffWhatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	var list listRow
	if ok, err := load(p.cfg.Store, rowList+"main", &list); !ok || err != nil {
		t.Fatal(err)
	}
	row, err := p.trackRow(list.Tracks[0])
	if err != nil {
		t.Fatal(err)
	}
	row.Title, row.Artist = strings.Repeat("t", manifests.MaxCardTitle+10), strings.Repeat("a", manifests.MaxCardTitle)
	terms := &ClipTerms{For: time.Second}
	for i := range manifests.MaxCardTracks + 10 {
		c := manifests.NewRawBlock([]byte{byte(i), byte(i >> 8)}).CID
		r := row
		r.CID = c
		list.Tracks = append(list.Tracks, c)
		if err := p.cfg.Store.Apply(map[string][]byte{rowTrack + c.String(): marshal(r), terms.key(c): marshal(clipRow{cid.NewCidV1(cid.DagProtobuf, c.Hash()), manifests.MaxClip, "opus"})}, nil); err != nil {
			t.Fatal(err)
		}
	}
	all := len(list.Tracks)
	for name, x := range map[string]struct {
		says cardList
		want int
	}{
		"clips of 4 MiB": {cardList{Clips: terms}, manifests.MaxClips / manifests.MaxClip},
		"long titles":    {cardList{Titles: true}, 3150},
		"both":           {cardList{Titles: true, Clips: terms}, 3000}, // the titles go on where clips are too many
	} {
		c, err := p.card(cardRow{Picture: append([]byte("\xff\xd8\xff"), make([]byte, manifests.MaxPicture-3)...), Lists: map[string]cardList{"main": x.says}}, []*listRow{&list})
		if err != nil {
			t.Fatal(err)
		}
		data, err := c.Encode()
		n := len(c.Sels[0].Tracks)
		if err != nil || c.Left != all-n || n < x.want-300 || n > x.want+300 {
			t.Errorf("%s: %d of %d tracks in %d bytes, %d left: %v", name, n, all, len(data), c.Left, err)
		}
	}
}
