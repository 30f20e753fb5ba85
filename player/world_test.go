package player

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/internal/audio/audiotest"
	"playnode/internal/audio/pcm"
	"playnode/internal/audio/wav"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/publisher"
)

// table is a store in memory.
type table struct {
	mu   sync.Mutex // guards rows
	rows map[string][]byte
}

func newTable() *table { return &table{rows: map[string][]byte{}} }

func (s *table) Get(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.rows[key]), nil
}

func (s *table) Put(key string, value []byte) error {
	return s.Apply(map[string][]byte{key: value}, nil)
}

func (s *table) Each(prefix string, f func(string, []byte) error) error {
	s.mu.Lock()
	rows := maps.Clone(s.rows)
	s.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if strings.HasPrefix(k, prefix) {
			if err := f(k, rows[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *table) Apply(puts map[string][]byte, deletes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range puts {
		s.rows[k] = bytes.Clone(v)
	}
	for _, k := range deletes {
		delete(s.rows, k)
	}
	return nil
}

// world is one DJ who has published, and one venue that holds her blocks.
type world struct {
	t *testing.T

	mu     sync.Mutex // guards now, began, blocks, wants, hook and record
	now    time.Time
	began  time.Time // when a bubble did, in which time goes by; zero outside
	blocks map[cid.Cid][]byte
	wants  map[cid.Cid][]node.Want
	hook   func(c cid.Cid, data []byte) ([]byte, error)
	record ipns.Record

	dj     *publisher.Publisher
	keys   *publisher.Keyring
	venue  *lease.Venue
	device string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Unix(2976*manifests.Week, 0), blocks: map[cid.Cid][]byte{}, wants: map[cid.Cid][]node.Want{}}
	var err error
	if w.keys, err = publisher.OpenKeyring(newTable(), w.now.Unix()); err != nil {
		t.Fatal(err)
	}
	if w.dj, err = publisher.New(publisher.Config{Keys: w.keys, Blocks: w, Held: w, Store: newTable(), Names: w, Now: w.clock}); err != nil {
		t.Fatal(err)
	}
	id, err := lease.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	rec, err := id.Record()
	if err != nil {
		t.Fatal(err)
	}
	w.device = manifests.DeviceText(rec)
	if w.venue, err = lease.NewVenue(lease.Config{Identity: id, Store: newTable(), Clock: w}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() {
		return w.now.Add(time.Since(w.began))
	}
	return w.now
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) Wall() (int64, bool) { return w.clock().Unix(), true }
func (w *world) Boot() (string, time.Duration) {
	return "boot", w.clock().Sub(time.Unix(2976*manifests.Week, 0))
}

func (w *world) Put(_ context.Context, bs ...node.Block) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range bs {
		w.blocks[b.CID] = bytes.Clone(b.Data)
	}
	return nil
}

// Read is the DJ's own store.
func (w *world) Read(_ context.Context, c cid.Cid) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.blocks[c]
	if !ok {
		return nil, node.ErrNotFound
	}
	return b, nil
}

// Get is the venue's fetch: what is not there is not found at once.
func (w *world) Get(ctx context.Context, c cid.Cid, want node.Want) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wants[c] = append(w.wants[c], want)
	b, ok := w.blocks[c]
	if !ok {
		return nil, fmt.Errorf("block %s: %w", c, node.ErrNotFound)
	}
	if w.hook != nil {
		return w.hook(c, b)
	}
	return b, nil
}

func (w *world) Publish(_ context.Context, key ed25519.PrivateKey, value cid.Cid, _ uint64, eol time.Time) (ipns.Record, int, error) {
	name, err := ipns.NameOf(key.Public().(ed25519.PublicKey))
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && string(name) == string(w.keys.Name()) {
		w.record = ipns.Record{Name: name, Value: value, Seq: w.record.Seq + 1, EOL: eol}
	}
	return w.record, 0, err
}

func (w *world) name() ipns.Name { return ipns.Name(w.keys.Name()) }

// newest is the publisher's view of the names.
func (w *world) names(name ipns.Name) (ipns.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.record.Name != name {
		return ipns.Record{}, ipns.ErrNotFound
	}
	return w.record, nil
}

// catalogues is follow's: all that was published, verified.
type catalogues struct{ w *world }

func (c catalogues) Newest(name ipns.Name) (*follow.Catalogue, error) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if name != w.name() || !w.record.Value.Defined() {
		return nil, follow.ErrNotFound
	}
	signed := func(env cid.Cid) manifests.Signed {
		e, err := manifests.OpenEnvelope(w.blocks[env])
		if err != nil {
			w.t.Error(err)
		}
		return manifests.Signed{Env: manifests.Block{CID: env, Data: w.blocks[env]}, Payload: manifests.Block{CID: e.Payload, Data: w.blocks[e.Payload]}}
	}
	head := signed(w.record.Value)
	h, err := manifests.DecodeHead(head.Payload.Data)
	if err != nil {
		return nil, err
	}
	var roots []manifests.Signed
	for _, r := range h.Roots {
		roots = append(roots, signed(r))
	}
	out := &follow.Catalogue{Name: name, Head: h, Envelope: w.record.Value}
	if out.Chain, err = manifests.VerifyChain(roots); err != nil {
		return nil, err
	}
	for _, l := range h.Sels {
		m, err := out.Chain.OpenManifest(signed(l.Manifest))
		if err != nil {
			return nil, err
		}
		tr, err := manifests.ReadTracks(m.Tracks, func(cs []cid.Cid) (b [][]byte, err error) {
			for _, c := range cs {
				b = append(b, w.blocks[c])
			}
			return b, nil
		})
		if err != nil {
			return nil, err
		}
		out.Selections = append(out.Selections, follow.Selection{ID: m.Sel, Label: l.Label, Envelope: l.Manifest, Manifest: m, Entries: tr.Entries})
	}
	return out, nil
}

// Newest makes world the publisher's Names.
func (w *world) Conflict(ipns.Name) (ipns.Record, error) { return ipns.Record{}, ipns.ErrNotFound }

func (w *world) Newest(name ipns.Name) (ipns.Record, error) { return w.names(name) }

// publish puts files into a playlist and returns their tracks' CIDs in order.
func (w *world) publish(label string, paths ...string) []cid.Cid {
	w.t.Helper()
	res, err := w.dj.Publish(w.t.Context(), paths, publisher.Options{Playlist: label})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(res.Skipped) > 0 {
		w.t.Fatalf("skipped %v", res.Skipped)
	}
	p, err := w.dj.Playlist(label)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []cid.Cid
	for _, t := range p.Tracks {
		out = append(out, t.CID)
	}
	return out
}

// grant leases a playlist to the venue.
func (w *world) grant(label string, length time.Duration) {
	w.t.Helper()
	g, err := w.dj.Grant(context.Background(), publisher.Terms{Playlist: label, Device: w.device, For: length})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.venue.Import(g.File); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) player() *Player {
	w.t.Helper()
	p, err := New(Config{Catalogues: catalogues{w}, Leases: w.venue, Fetch: w, Now: w.clock, Patience: 200 * time.Millisecond})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// heard is what a Play did.
type heard struct {
	events []Event
	played Played
	err    error
	info   wav.Info
	pcm    []byte // s16le
}

func (h heard) kinds() (out []Kind) {
	for _, e := range h.events {
		out = append(out, e.Kind)
	}
	return out
}

// play plays all once into a WAV file; each event also goes to watch, if any.
func (w *world) play(p *Player, req Request, watch func(Event)) heard {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "heard.wav")
	req.Sink, req.Once = "wav:"+path, true
	if req.Name == "" {
		req.Name = string(w.name())
	}
	var h heard
	h.played, h.err = p.Play(w.t.Context(), req, func(e Event) {
		h.events = append(h.events, e)
		if watch != nil {
			watch(e)
		}
	})
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return h
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if h.info, err = wav.Parse(bytes.NewReader(b), int64(len(b))); err != nil {
		w.t.Fatal(err)
	}
	h.pcm = b[h.info.Data.Off:][:h.info.Data.Size]
	return h
}

// encoded writes sound as a file of its kind and returns its path.
func encoded(t *testing.T, dir, name string, rate, channels int, sound []float32) string {
	t.Helper()
	path := filepath.Join(dir, name)
	src := path
	if filepath.Ext(name) != ".wav" {
		src = path + ".wav"
	}
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	x, err := wav.NewWriter(f, rate, channels, int64(len(sound)/channels))
	if err == nil {
		err = errors.Join(x.Write(sound), x.Close(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	var cmd *exec.Cmd
	switch filepath.Ext(name) {
	case ".wav":
		return path
	case ".flac":
		cmd = exec.Command("flac", "--silent", "-f", "-o", path, src)
	case ".mp3":
		cmd = exec.Command("lame", "--quiet", "-b", "192", src, path)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v %s", cmd.Args, err, out)
	}
	return path
}

// album cuts a continuous piece at odd places into files of the given names.
func album(t *testing.T, rate, channels int, piece []float32, names ...string) (paths []string, cuts []int) {
	dir := t.TempDir()
	n := len(piece) / channels
	cuts = append(cuts, 0)
	for i, name := range names {
		end := n * (i + 1) / len(names)
		if i+1 < len(names) {
			end += 137*i + 61
		}
		paths = append(paths, encoded(t, dir, name, rate, channels, piece[cuts[i]*channels:end*channels]))
		cuts = append(cuts, end)
	}
	return paths, cuts
}

func bytes16(samples []float32) []byte {
	b := make([]byte, 2*len(samples))
	pcm.S16(b, samples)
	return b
}

func music(rate, channels, frames int) []float32 { return audiotest.Music(rate, channels, frames, 11) }
