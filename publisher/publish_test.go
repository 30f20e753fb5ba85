package publisher

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
)

func mustPublish(t *testing.T, p *Publisher, paths []string, opt Options) Result {
	t.Helper()
	r, err := p.Publish(context.Background(), paths, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func playlists(t *testing.T, p *Publisher) []Playlist {
	t.Helper()
	l, err := p.Playlists()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func grantTo(t *testing.T, p *Publisher, v venue, label string, length time.Duration) {
	t.Helper()
	g, err := p.Grant(t.Context(), Terms{Playlist: label, Device: v.device, For: length})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Import(g.File); err != nil {
		t.Fatal(err)
	}
}

func TestPublishedIsHeard(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, data := album(t, 3)
	var last, total int64
	r := mustPublish(t, p, paths, Options{Playlist: "main", Progress: func(d, n int64) {
		if d < last || d > n {
			t.Errorf("progress %d after %d of %d", d, last, n)
		}
		last, total = d, n
	}})
	if last != total || total == 0 {
		t.Errorf("progress ends at %d of %d", last, total)
	}
	if r.Seq != 1 || r.Added != 3 || r.Sealed != 3 || len(playlists(t, p)) != 1 || len(r.Skipped) != 0 {
		t.Fatalf("%+v", r)
	}
	v := w.venue()
	grantTo(t, p, v, "main", 30*24*time.Hour)
	c := w.read(p)
	sound, infos := w.hear(v, c.manifests[0])
	for i := range data {
		if !bytes.Equal(sound[i], data[i]) {
			t.Errorf("track %d is not the file", i)
		}
		if infos[i].Title != string(rune('a'+i)) || infos[i].Samples != int64(18000+100*i) || infos[i].Rate != 44100 || infos[i].Loudness == nil {
			t.Errorf("track %d: %q, %d samples at %d, %v", i, infos[i].Title, infos[i].Samples, infos[i].Rate, infos[i].Loudness)
		}
		if tr := playlists(t, p)[0].Tracks[i]; tr.Title != infos[i].Title || tr.Samples != infos[i].Samples {
			t.Errorf("track %d: %+v", i, tr)
		}
	}
	// Nothing changed: nothing is signed again.
	before := len(w.blocks)
	if r := mustPublish(t, p, nil, Options{}); r.Seq != 2 || len(w.blocks) != before {
		t.Errorf("seq %d and %d blocks for nothing", r.Seq, len(w.blocks)-before)
	}
	// The same files again, under other names: recognised, not added twice.
	dir := t.TempDir()
	other := filepath.Join(dir, "other.wav")
	if err := os.WriteFile(other, data[1], 0o600); err != nil {
		t.Fatal(err)
	}
	if r := mustPublish(t, p, append(paths, other), Options{Playlist: "main"}); r.Seq != 2 || r.Sealed != 0 || r.Added != 4 || len(playlists(t, p)[0].Tracks) != 3 {
		t.Errorf("%+v", r)
	}
	// In another playlist: the sealed file is shared, the selection is not.
	if r := mustPublish(t, p, paths[:1], Options{Playlist: "late"}); r.Seq != 3 || r.Sealed != 0 || len(playlists(t, p)) != 2 {
		t.Errorf("%+v", r)
	}
	c = w.read(p)
	if len(c.manifests) != 2 || c.manifests[0].Sel == c.manifests[1].Sel || c.manifests[0].GID == c.manifests[1].GID {
		t.Error("two playlists share a selection")
	}
	late := c.manifests[slices.IndexFunc(c.head.Sels, func(l manifests.Listed) bool { return l.Label == "late" })]
	if _, err := v.Unlock(late); !errors.Is(err, lease.ErrNoLease) {
		t.Errorf("a lease of one playlist opens another: %v", err)
	}
}

func TestANewPeriodIsSignedAnew(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, data := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	v := w.venue()
	grantTo(t, p, v, "main", 60*24*time.Hour)
	first := w.read(p).manifests[0]
	w.now = w.now.Add(manifests.Week * time.Second)
	p = w.start()
	if r := mustPublish(t, p, nil, Options{}); r.Seq != 3 {
		t.Errorf("seq %d", r.Seq)
	}
	second := w.read(p).manifests[0]
	if second.Seq != 3 || second.Cur != first.Cur+1 || second.Tracks == first.Tracks || *second.Prev != manifests.Digest(w.read(p).signedOf(first, w)) {
		t.Errorf("seq %d of period %d", second.Seq, second.Cur)
	}
	if sound, _ := w.hear(v, second); !bytes.Equal(sound[0], data[0]) {
		t.Error("the next period's revision opens to another file")
	}
	// A clock that was set back signs nothing older.
	w.now = w.now.Add(-3 * manifests.Week * time.Second)
	p = w.start()
	more, _ := album(t, 2)
	mustPublish(t, p, more[1:], Options{Playlist: "main"})
	if third := w.read(p).manifests[0]; third.IAT < second.IAT || third.Seq != 4 {
		t.Errorf("iat fell from %d to %d", second.IAT, third.IAT)
	}
}

// signedOf is the payload's CID of a manifest read before.
func (c catalogue) signedOf(m *manifests.Manifest, w *world) cid.Cid {
	b, err := m.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	return manifests.NewBlock(b).CID
}

// TestNameLife: a record is good for as long as the DJ says, and no shorter
// than what it points at.
func TestNameLife(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 1)
	for _, life := range []time.Duration{90 * day, day} {
		p.cfg.NameLife = life
		mustPublish(t, p, paths, Options{Playlist: "main", Reanalyse: false})
		rec, err := w.Newest(ipns.Name(p.cfg.Keys.Name()))
		if err != nil {
			t.Fatal(err)
		}
		exp := time.Unix(w.read(p).head.Exp, 0)
		if rec.EOL.Before(w.now.Add(life)) || rec.EOL.Before(exp) {
			t.Errorf("life %v: the record ends %v, the head %v", life, rec.EOL.Sub(w.now), exp.Sub(w.now))
		}
		w.now = w.now.Add(8 * day) // another period: another head
	}
}

func TestBadFilesAreSkipped(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 2)
	dir := filepath.Dir(paths[0])
	for name, data := range map[string]string{"bad.wav": "RIFF nothing", "cover.jpg": "x", "notes.txt": "x", "empty.mp3": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := mustPublish(t, p, []string{dir, filepath.Join(dir, "gone.wav")}, Options{Playlist: "main"})
	var skipped []string
	for _, s := range r.Skipped {
		skipped = append(skipped, filepath.Base(s.Path))
	}
	slices.Sort(skipped)
	if fmt.Sprint(skipped) != "[bad.wav empty.mp3 gone.wav]" || r.Added != 2 {
		t.Errorf("skipped %v, added %d", skipped, r.Added)
	}
	_, err := p.Publish(context.Background(), []string{filepath.Join(dir, "bad.wav")}, Options{Playlist: "main"})
	if !errors.Is(err, ErrNothing) {
		t.Errorf("nothing at all: %v", err)
	}
	for _, label := range []string{"", "a/b", "x\u202e"} {
		if _, err := p.Publish(context.Background(), paths, Options{Playlist: label}); !errors.Is(err, ErrLabel) {
			t.Errorf("playlist %q: %v", label, err)
		}
	}
}

// A file that is written to while it is read is not sealed under the digest
// of what it was.
func TestAFileThatChangesIsSkipped(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 2)
	var once sync.Once
	r := mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	if r.Added != 1 {
		t.Fatalf("%+v", r)
	}
	_, err := p.Publish(context.Background(), paths[1:], Options{Playlist: "main", Progress: func(int64, int64) {
		once.Do(func() {
			f, err := os.OpenFile(paths[1], os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.Write(make([]byte, 4))
				f.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}})
	if !errors.Is(err, ErrNothing) {
		t.Errorf("published: %v", err)
	}
	if r := mustPublish(t, p, paths[1:], Options{Playlist: "main"}); r.Added != 1 || r.Sealed != 1 {
		t.Errorf("at rest again: %+v", r)
	}
}

func TestArchiveKeyRecovers(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	mustPublish(t, p, paths[1:], Options{Playlist: "main", NoArchiveKey: true})
	a, b := playlists(t, p)[0].Tracks[0].CID, playlists(t, p)[0].Tracks[1].CID
	if !bytes.Contains(w.blocks[a], []byte("-> mlkem768x25519 ")) {
		t.Errorf("no stanza for the archive key: %q", w.blocks[a][:80])
	}
	if !bytes.Contains(w.blocks[b], []byte("-> "+seal.NoRecipient+"\n")) {
		t.Errorf("a stanza in spite of NoArchiveKey: %q", w.blocks[b][:80])
	}
	if again := w.start(); again.cfg.Keys.archive().Reveal() != p.cfg.Keys.archive().Reveal() || again.cfg.Keys.DJ() != p.cfg.Keys.DJ() {
		t.Error("another process draws other keys")
	}
}

func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	dir := t.TempDir()
	big := filepath.Join(dir, "big.wav")
	writeWAV(t, big, 1, 2_500_000) // 10 MB
	most := 0
	counting := &counter{world: w, most: &most}
	p.cfg.Blocks = counting
	mustPublish(t, p, []string{big}, Options{Playlist: "main"})
	if most > 5<<20 {
		t.Errorf("%d bytes of blocks in one put", most)
	}
}

// hurried is Names that has f called with what each Publish is called with.
type hurried struct {
	*world
	f func(ctx context.Context)
}

func (h hurried) Publish(ctx context.Context, key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (ipns.Record, int, error) {
	h.f(ctx)
	return h.world.Publish(ctx, key, value, seq, eol)
}

// TestUnhurried: what a name waits for has longer than the network has, and ends
// with who publishes, also once the network's time is up.
func TestUnhurried(t *testing.T) {
	p := newWorld(t).start()
	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	p.cfg.Names = hurried{p.cfg.Names.(*world), func(short context.Context) {
		calls++
		over, cancel := context.WithTimeout(short, 0)
		defer cancel()
		longer := Unhurried(over)
		if _, bounded := short.Deadline(); !bounded {
			t.Error("the network has for ever")
		}
		if _, bounded := longer.Deadline(); bounded || calls == 1 && longer.Err() != nil {
			t.Errorf("hurried: %v", longer.Err())
		}
		if stop(); longer.Err() == nil {
			t.Error("it does not end")
		}
	}}
	paths, _ := album(t, 1)
	if _, err := p.Publish(ctx, paths, Options{Playlist: "one"}); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if calls == 0 {
		t.Error("nothing was announced")
	}
}
