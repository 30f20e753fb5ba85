package daemon

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/pflag"

	"playnode/internal/repo"
	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/player"
)

// clock is a wall clock that tests move.
type clock struct{ unix atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(c.unix.Load(), 0) }
func (c *clock) forward(d time.Duration) { c.unix.Add(int64(d / time.Second)) }

// box is a repo that serves on loopback in this process.
type box struct {
	*Daemon
	t     testing.TB
	dir   string
	stop  func()
	clock lease.Clock // nil: the wall clock, synchronised
	ticks func(time.Duration) (<-chan time.Time, func())
	args  []string // flags, in place of listening on loopback
	sets  player.Sets
}

func newBox(t testing.TB, c *clock) *box {
	t.Helper()
	b := &box{t: t, dir: tempDir(t)}
	b.start(c)
	return b
}

// tempDir is a directory of a short name, for the socket's sake.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (b *box) start(c *clock) {
	b.t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("network", "none", "")
	for _, list := range []string{"listen", "peer", "allow", "quiet-hours"} {
		flags.StringArray(list, nil, "")
	}
	flags.String("reach", "auto", "")
	flags.Bool("relay", false, "")
	flags.Bool("metered", false, "")
	args := b.args
	if args == nil {
		args = []string{"--listen=/ip4/127.0.0.1/tcp/0"}
	}
	if err := flags.Parse(append([]string{"--network=none"}, args...)); err != nil {
		b.t.Fatal(err)
	}
	opt := Options{Dir: b.dir, Flags: flags, Serve: true, Now: c.now, Clock: b.clock, Ticks: b.ticks, sets: b.sets}
	if err := Init(b.t.Context(), opt); err != nil {
		b.t.Fatal(err)
	}
	d, err := Open(b.t.Context(), opt)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Daemon = d
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- d.Run(ctx, func(Ready) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		b.t.Fatal(err)
	}
	stopped := false
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.t.Errorf("run ended with %v", err)
		}
		if err := d.Close(); err != nil {
			b.t.Errorf("close: %v", err)
		}
	}
	b.t.Cleanup(b.stop)
}

func do[Req, Res any](t testing.TB, c Client, op Op[Req, Res], req Req) Res {
	t.Helper()
	res, err := Call(t.Context(), c, op, req, nil)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return res
}

// tone writes a WAV of so many frames at 44.1 kHz.
func tone(t testing.TB, dir, name string, frames int) string {
	t.Helper()
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x44\xac\x00\x00\x10\xb1\x02\x00\x04\x00\x10\x00data")
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(4*frames))
	le.PutUint32(b[4:], uint32(36+4*frames))
	for i := range frames {
		v := int16(9000 * math.Sin(float64(i)*float64(len(name))/7))
		b = le.AppendUint16(le.AppendUint16(b, uint16(v)), uint16(v/2))
	}
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// pair is a DJ with two tracks, and a venue that follows and is leased.
type pair struct {
	t         testing.TB
	clock     *clock
	dj, venue *box
	name      string
	music     string
}

const firstFrames, secondFrames = 60_000, 44_100

func newPair(t testing.TB, lasts time.Duration) *pair {
	c := &clock{}
	// The middle of a week, so that no test crosses a period by accident.
	c.unix.Store(2970*manifests.Week + manifests.Week/2)
	p := &pair{t: t, clock: c, dj: newBox(t, c), venue: newBox(t, c), music: t.TempDir()}
	p.name = p.publish(tone(t, p.music, "first.wav", firstFrames), tone(t, p.music, "second-longer-name.wav", secondFrames)).Name
	p.follow()
	id := do(t, p.venue, OpID, struct{}{})
	g := do(t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: lasts})
	do(t, p.venue, OpLeaseImport, ImportRequest{Blob: g.Blob})
	return p
}

func (p *pair) publish(paths ...string) Published {
	p.t.Helper()
	return do(p.t, p.dj, OpPublish, PublishRequest{Paths: paths, Playlist: "bar"})
}

func (p *pair) follow() Followed {
	p.t.Helper()
	f, err := p.tryFollow()
	if err != nil {
		p.t.Fatalf("follow: %v", err)
	}
	return f
}

func (p *pair) tryFollow() (Followed, error) {
	name := p.name
	if name == "" {
		name = do(p.t, p.dj, OpID, struct{}{}).Name
	}
	return Call(p.t.Context(), p.venue, OpFollow, FollowRequest{
		Link: name, Once: true, Node: NodeRequest{Peers: []string{p.dj.opened.node.Addrs()[0]}, Timeout: 20 * time.Second},
	}, nil)
}

// play plays once into a file, and tells what went there.
func (p *pair) play(on func(PlayEvent)) (Played, string, error) {
	wav := filepath.Join(p.t.TempDir(), "out.wav")
	var done Played
	_, err := Call(p.t.Context(), p.venue, OpPlay, PlayRequest{Name: p.name + "/bar", Sink: "wav:" + wav, Once: true}, func(e Event) {
		if e.Play != nil {
			if e.Play.Played != nil {
				done = *e.Play.Played
			}
			if on != nil {
				on(*e.Play)
			}
		}
	})
	return done, wav, err
}

func (p *pair) mustPlay(want int64) {
	p.t.Helper()
	got, _, err := p.play(nil)
	if err != nil || got.Samples != want {
		p.t.Errorf("played %d samples (%v), want %d", got.Samples, err, want)
	}
}

// wantKind wants err to mean kind, and no file at path.
func wantKind(t *testing.T, err error, kind Kind, path string) {
	t.Helper()
	if err == nil || KindOf(err) != kind {
		t.Errorf("got %v (%s), want %s", err, KindOf(err), kind)
	}
	if path != "" {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was made", path)
		}
	}
}

// key is one of the DJ's private keys, as a thief would have it.
func (p *pair) key(name string) ed25519.PrivateKey {
	p.t.Helper()
	s, err := p.dj.repo.Secrets("dj")
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := s.Get("key/" + name)
	if err != nil {
		p.t.Fatal(err)
	}
	k, err := seal.ParseSigning(string(text))
	if err != nil {
		p.t.Fatal(err)
	}
	return k.Private()
}

// point signs a record of the DJ's name for any head.
func (p *pair) point(head cid.Cid) {
	p.t.Helper()
	if _, _, err := p.dj.opened.names.Publish(p.t.Context(), p.key("ipns"), head, 0, p.clock.now().Add(24*time.Hour)); err != nil {
		p.t.Fatal(err)
	}
}

// head reads the newest head of the DJ's.
func (p *pair) head() (env manifests.Block, payload []byte) {
	p.t.Helper()
	n, err := ipns.ParseName(p.name)
	if err != nil {
		p.t.Fatal(err)
	}
	rec, err := p.dj.opened.names.Newest(n)
	if err != nil {
		p.t.Fatal(err)
	}
	env = manifests.Block{CID: rec.Value, Data: p.block(rec.Value)}
	e, err := manifests.OpenEnvelope(env.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return env, p.block(e.Payload)
}

func (p *pair) block(c cid.Cid) []byte {
	p.t.Helper()
	b, err := p.dj.opened.node.Read(p.t.Context(), c)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p *pair) put(bs ...manifests.Block) {
	p.t.Helper()
	for _, b := range bs {
		if err := p.dj.opened.node.Put(p.t.Context(), node.Block(b)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestForgeriesChangeNothing shows a venue catalogues that its DJ did not
// sign, under her own name: it refuses them, and plays what it has.
func TestForgeriesChangeNothing(t *testing.T) {
	p := newPair(t, time.Hour)
	first, _ := p.head()
	p.publish(tone(t, p.music, "third.wav", 1000))
	before := p.follow()
	const all = firstFrames + secondFrames + 1000
	p.mustPlay(all)
	_, payload := p.head()
	h, err := manifests.DecodeHead(payload)
	if err != nil {
		t.Fatal(err)
	}
	h.Seq++
	h.IAT++
	edited, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := seal.NewSigning()
	if err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func() cid.Cid{
		"an older one": func() cid.Cid { return first.CID },
		"signed by another key": func() cid.Cid {
			s, err := manifests.Sign(manifests.TypeHead, edited, stranger.Private())
			if err != nil {
				t.Fatal(err)
			}
			p.put(s.Payload, s.Env)
			return s.Env.CID
		},
		"signed by a key that may not": func() cid.Cid {
			s, err := manifests.Sign(manifests.TypeHead, edited, p.key("root"))
			if err != nil {
				t.Fatal(err)
			}
			p.put(s.Payload, s.Env)
			return s.Env.CID
		},
		"edited after signing": func() cid.Cid {
			s, err := manifests.Sign(manifests.TypeHead, edited, p.key("publisher"))
			if err != nil {
				t.Fatal(err)
			}
			env := append([]byte{}, s.Env.Data...)
			env[len(env)-8] ^= 1 // within the signature, which comes last but for its key
			b := manifests.NewBlock(env)
			p.put(s.Payload, b)
			return b.CID
		},
		"no record at all": func() cid.Cid {
			b := manifests.NewBlock([]byte{0xa0})
			p.put(b)
			return b.CID
		},
	} {
		t.Run(name, func(t *testing.T) {
			p.t = t
			p.point(forge())
			_, err := p.tryFollow()
			wantKind(t, err, Verify, "")
			if f := do(t, p.venue, OpFollows, struct{}{})[0]; f.Seq != before.Seq || f.Manifest != before.Manifest {
				t.Errorf("it moved from revision %d to %d", before.Seq, f.Seq)
			}
			p.mustPlay(all)
		})
	}
}

// TestLapse plays up to a lease's end, and not beyond.
func TestLapse(t *testing.T) {
	p := newPair(t, time.Hour)
	p.mustPlay(firstFrames + secondFrames)

	// It ends while the first track plays: that one is heard whole, and
	// nothing further.
	got, wav, err := p.play(func(e PlayEvent) {
		if e.Event == "track" {
			p.clock.forward(2 * time.Hour)
		}
	})
	wantKind(t, err, NoLease, "")
	if !errors.Is(err, lease.ErrLapsed) || got.Samples != firstFrames || got.Skipped != 0 {
		t.Errorf("played %+v, %v; want %d samples and a lapse", got, err, firstFrames)
	}
	if st, err := os.Stat(wav); err != nil || st.Size() != 44+4*firstFrames {
		t.Errorf("the file is not the first track: %v, %v", st, err)
	}

	// Asked again: no file, no sample, and no key on disk any more.
	_, wav, err = p.play(nil)
	wantKind(t, err, NoLease, wav)
	if keys := p.periodKeys(); keys != 0 {
		t.Errorf("%d period keys outlived the lease", keys)
	}
	if l := do(t, p.venue, OpLeases, struct{}{}); len(l) != 1 || l[0].State != "lapsed" || l[0].Playlist != "bar" {
		t.Errorf("leases: %+v", l)
	}

	// A new lease plays with nothing fetched again: there is nobody to ask.
	id := do(t, p.venue, OpID, struct{}{})
	p.venue.stop()
	g := do(t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: time.Hour})
	p.dj.stop()
	p.venue.start(p.clock)
	do(t, p.venue, OpLeaseImport, ImportRequest{Blob: g.Blob})
	p.mustPlay(firstFrames + secondFrames)
	if n := p.venue.opened.node.Traffic().Received; n != 0 {
		t.Errorf("%d bytes were fetched again", n)
	}
}

func (p *pair) periodKeys() (n int) {
	s, err := p.venue.repo.Secrets("leases")
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.Each("key/", func(string, []byte) error { n++; return nil }); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// TestClockSetBack does not lengthen a lease.
func TestClockSetBack(t *testing.T) {
	p := newPair(t, time.Hour)
	p.clock.forward(2 * time.Hour)
	p.publish(tone(t, p.music, "third.wav", 1000)) // signed after the lease's end
	p.follow()
	p.clock.forward(-3 * time.Hour)
	_, wav, err := p.play(nil)
	wantKind(t, err, NoLease, wav)
}

// TestRestart keeps all over a stop: lease, catalogue, time.
func TestRestart(t *testing.T) {
	p := newPair(t, time.Hour)
	p.dj.stop()
	p.venue.stop()
	p.venue.start(p.clock)
	p.mustPlay(firstFrames + secondFrames)
	if _, err := Open(t.Context(), Options{Dir: p.venue.dir, Now: p.clock.now}); KindOf(err) != Locked {
		t.Errorf("a second one: %v", err)
	}
}

// TestNothingSealedInClear looks through a venue's files after play, and an
// archivist's, for a title and for the sound itself.
func TestNothingSealedInClear(t *testing.T) {
	p := newPair(t, time.Hour)
	p.mustPlay(firstFrames + secondFrames)
	pcm, err := os.ReadFile(filepath.Join(p.music, "first.wav"))
	if err != nil {
		t.Fatal(err)
	}
	archive := newBox(t, p.clock)
	do(t, archive, OpArchive, ArchiveRequest{Names: []string{p.name}, Once: true,
		Node: NodeRequest{Peers: []string{p.dj.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}})
	archive.stop()
	p.venue.stop()
	for marker, what := range map[string]string{"second-longer-name": "a title", string(pcm[1000:1032]): "sound"} {
		inDJ, inVenue := holds(t, p.dj.dir, marker), holds(t, p.venue.dir, marker)
		if inVenue || holds(t, archive.dir, marker) {
			t.Errorf("the venue's disk, or the archivist's, has %s in clear", what)
		}
		if what == "a title" && !inDJ {
			t.Error("the search is blind: the DJ's own library is in clear")
		}
	}
}

func holds(t *testing.T, dir, marker string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || strings.Contains(string(b), marker)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestSocket asks a running daemon over its socket.
func TestSocket(t *testing.T) {
	c := &clock{}
	c.unix.Store(2970 * manifests.Week)
	b := newBox(t, c)
	r, ok := Dial(t.Context(), b.dir)
	if !ok {
		t.Fatal("no daemon listens")
	}
	defer r.Close()
	if got, want := do(t, r, OpID, struct{}{}), do(t, b.Daemon, OpID, struct{}{}); got.Device != want.Device {
		t.Error("the socket tells of another device")
	}
	_, err := Call(t.Context(), r, OpPlaylist, PlaylistRequest{Name: "none"}, nil)
	if KindOf(err) != Failed || !strings.Contains(err.Error(), "no such playlist") {
		t.Errorf("an error across the socket: %v (%s)", err, KindOf(err))
	}
	if _, err := r.Do(t.Context(), "nonsense", []byte("{}"), nil); KindOf(err) != Usage {
		t.Errorf("an unknown request: %v", err)
	}
	if _, err := r.Do(t.Context(), "playlist", []byte(`{"name":1}`), nil); KindOf(err) != Usage {
		t.Errorf("a malformed request: %v", err)
	}
	if st, err := os.Stat(repo.SocketPath(b.dir)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", st, err)
	}
	b.stop()
	if _, ok := Dial(t.Context(), b.dir); ok {
		t.Error("somebody still listens")
	}
}
