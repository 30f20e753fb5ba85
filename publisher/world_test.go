package publisher

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

var errKilled = errors.New("killed")

// world is a DJ's disk and what she has put out: what a kill leaves behind.
type world struct {
	t   *testing.T
	now time.Time

	mu      sync.Mutex // guards all below
	rows    map[string][]byte
	keys    map[string][]byte
	blocks  map[cid.Cid][]byte
	records map[ipns.Name]ipns.Record
	writes  int  // durable writes so far
	killAt  int  // the write that is the last; 0 means none
	lands   bool // whether it reaches the disk
	dead    bool
}

func newWorld(t *testing.T) *world {
	return &world{t: t, now: time.Unix(2976*manifests.Week, 0), rows: map[string][]byte{}, keys: map[string][]byte{},
		blocks: map[cid.Cid][]byte{}, records: map[ipns.Name]ipns.Record{}}
}

// write does one durable write, or dies over it. some does a part of it.
func (w *world) write(all, some func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errKilled
	}
	if w.writes++; w.writes != w.killAt {
		all()
		return nil
	}
	w.dead = true
	if w.lands {
		all()
	} else {
		some()
	}
	return errKilled
}

// table is a Store over one of the world's maps.
type table struct {
	w    *world
	rows map[string][]byte
}

func (s table) Get(key string) ([]byte, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return bytes.Clone(s.rows[key]), nil
}

func (s table) Each(prefix string, f func(string, []byte) error) error {
	s.w.mu.Lock()
	rows := map[string][]byte{}
	for k, v := range s.rows {
		if strings.HasPrefix(k, prefix) {
			rows[k] = v
		}
	}
	s.w.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if err := f(k, rows[k]); err != nil {
			return err
		}
	}
	return nil
}

func (s table) Put(key string, value []byte) error {
	return s.Apply(map[string][]byte{key: value}, nil)
}

func (s table) Apply(puts map[string][]byte, deletes []string) error {
	return s.w.write(func() {
		for k, v := range puts {
			s.rows[k] = bytes.Clone(v)
		}
		for _, k := range deletes {
			delete(s.rows, k)
		}
	}, func() {})
}

// Put stores blocks; of a call that is killed half may be there.
func (w *world) Put(_ context.Context, bs ...node.Block) error {
	put := func(bs []node.Block) {
		for _, b := range bs {
			w.blocks[b.CID] = bytes.Clone(b.Data)
		}
	}
	return w.write(func() { put(bs) }, func() { put(bs[:len(bs)/2]) })
}

// Publish keeps the record, as a Namer does before it tells anyone.
func (w *world) Publish(_ context.Context, key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (ipns.Record, int, error) {
	name, err := ipns.NameOf(key.Public().(ed25519.PublicKey))
	if err != nil {
		return ipns.Record{}, 0, err
	}
	var r ipns.Record
	err = w.write(func() {
		r = ipns.Record{Name: name, Value: value, Seq: max(seq, w.records[name].Seq+1), EOL: eol}
		w.records[name] = r
	}, func() {})
	return r, 0, err
}

func (w *world) Newest(name ipns.Name) (ipns.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.records[name]
	if !ok {
		return r, ipns.ErrNotFound
	}
	return r, nil
}

func (w *world) Conflict(ipns.Name) (ipns.Record, error) { return ipns.Record{}, ipns.ErrNotFound }

// start opens the publisher as a new process would.
func (w *world) start() *Publisher {
	w.t.Helper()
	w.mu.Lock()
	w.dead, w.killAt = false, 0
	w.mu.Unlock()
	keys, err := OpenKeyring(table{w, w.keys}, w.now.Unix())
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := New(Config{Keys: keys, Blocks: w, Held: w, Store: table{w, w.rows}, Names: w, Now: func() time.Time { return w.now }, Workers: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// writeWAV makes a file of quiet noise that a seed determines.
func writeWAV(t *testing.T, path string, seed uint64, frames int) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	pcm := make([]byte, 4*frames)
	for i := 0; i < len(pcm); i += 2 {
		binary.LittleEndian.PutUint16(pcm[i:], uint16(int16(r.IntN(4000)-2000)))
	}
	h := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x44\xac\x00\x00\x10\xb1\x02\x00\x04\x00\x10\x00data\x00\x00\x00\x00")
	binary.LittleEndian.PutUint32(h[4:], uint32(36+len(pcm)))
	binary.LittleEndian.PutUint32(h[40:], uint32(len(pcm)))
	b := append(h, pcm...)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// album writes n files, and returns their paths and bytes.
func album(t *testing.T, n int) (paths []string, data [][]byte) {
	dir := t.TempDir()
	for i := range n {
		paths = append(paths, filepath.Join(dir, string(rune('a'+i))+".wav"))
		data = append(data, writeWAV(t, paths[i], uint64(i), 18000+100*i))
	}
	return paths, data
}

// catalogue is what a reader makes of the newest record.
type catalogue struct {
	chain     *manifests.Chain
	head      *manifests.Head
	manifests []*manifests.Manifest
	signed    []manifests.Signed
}

func (w *world) signedAt(env cid.Cid) manifests.Signed {
	w.t.Helper()
	e, err := manifests.OpenEnvelope(w.blocks[env])
	if err != nil {
		w.t.Fatal(err)
	}
	return manifests.Signed{Env: manifests.Block{CID: env, Data: w.blocks[env]}, Payload: manifests.Block{CID: e.Payload, Data: w.blocks[e.Payload]}}
}

// read verifies the catalogue that the name points at.
func (w *world) read(p *Publisher) catalogue {
	w.t.Helper()
	rec, err := w.Newest(ipns.Name(p.cfg.Keys.Name()))
	if err != nil {
		w.t.Fatal(err)
	}
	s := w.signedAt(rec.Value)
	h, err := manifests.DecodeHead(s.Payload.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	var roots []manifests.Signed
	for _, r := range h.Roots {
		roots = append(roots, w.signedAt(r))
	}
	c := catalogue{}
	if c.chain, err = manifests.VerifyChain(roots); err != nil {
		w.t.Fatal(err)
	}
	if c.head, err = c.chain.OpenHead(s); err != nil {
		w.t.Fatal(err)
	}
	for _, l := range h.Sels {
		ms := w.signedAt(l.Manifest)
		m, err := c.chain.OpenManifest(ms)
		if err != nil {
			w.t.Fatal(err)
		}
		c.manifests, c.signed = append(c.manifests, m), append(c.signed, ms)
		for _, b := range append(slices.Clone(m.Boxes), m.Meta...) {
			if w.blocks[b] == nil {
				w.t.Fatalf("block %s of %s is missing", b, m.ID())
			}
		}
	}
	if err := c.head.Agree(c.manifests); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) tracks(m *manifests.Manifest) []manifests.Entry {
	w.t.Helper()
	tr, err := manifests.ReadTracks(m.Tracks, func(cs []cid.Cid) (out [][]byte, err error) {
		for _, c := range cs {
			if w.blocks[c] == nil {
				return nil, errors.New("no block " + c.String())
			}
			out = append(out, w.blocks[c])
		}
		return out, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return tr.Entries
}

// venue is a leased venue's idea of the time, and its keys.
type venue struct {
	*lease.Venue
	device string
}

func (w *world) Wall() (int64, bool)           { return w.now.Unix(), true }
func (w *world) Boot() (string, time.Duration) { return "boot", 0 }

func (w *world) venue() venue {
	w.t.Helper()
	id, err := lease.NewIdentity()
	if err != nil {
		w.t.Fatal(err)
	}
	rec, err := id.Record()
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := lease.NewVenue(lease.Config{Identity: id, Store: table{newWorld(w.t), map[string][]byte{}}, Clock: w})
	if err != nil {
		w.t.Fatal(err)
	}
	return venue{v, manifests.DeviceText(rec)}
}

// hear opens a leased selection as a player would, and returns each track's
// sealed bytes opened, in the playlist's order, with their infos.
func (w *world) hear(v venue, m *manifests.Manifest) (sound [][]byte, infos []*manifests.Info) {
	w.t.Helper()
	u, err := v.Unlock(m)
	if err != nil {
		w.t.Fatal(err)
	}
	var meta [][]byte
	for _, c := range m.Meta {
		meta = append(meta, w.blocks[c])
	}
	entries := w.tracks(m)
	lists, err := u.Playlists(meta, entries)
	if err != nil || len(lists) != 1 {
		w.t.Fatal(len(lists), err)
	}
	for _, c := range lists[0].Tracks {
		e := entries[slices.IndexFunc(entries, func(e manifests.Entry) bool { return e.Track == c })]
		k, err := u.FileKey(e)
		if err != nil {
			w.t.Fatal(err)
		}
		var sealed bytes.Buffer
		(&blocks{held: w.blocks}).read(w.t, c, &sealed)
		if uint64(sealed.Len()) != e.Size {
			w.t.Errorf("track %s: %d bytes sealed, its entry says %d", c, sealed.Len(), e.Size)
		}
		info, err := u.Info(e, w.blocks[e.Info])
		if err != nil {
			w.t.Fatal(err)
		}
		r, n, err := lease.OpenTrack(m.DJ, k, info, bytes.NewReader(sealed.Bytes()), int64(sealed.Len()))
		if err != nil {
			w.t.Fatal(err)
		}
		plain, err := io.ReadAll(io.NewSectionReader(r, 0, n))
		if err != nil {
			w.t.Fatal(err)
		}
		sound, infos = append(sound, plain), append(infos, info)
	}
	return sound, infos
}
