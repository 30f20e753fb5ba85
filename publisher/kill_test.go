package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
	"playnode/node"
)

// counter notes the largest put.
type counter struct {
	*world
	most *int
}

func (c *counter) Put(ctx context.Context, bs ...node.Block) error {
	n := 0
	for _, b := range bs {
		n += len(b.Data)
	}
	c.mu.Lock()
	*c.most = max(*c.most, n)
	c.mu.Unlock()
	return c.world.Put(ctx, bs...)
}

// sealings counts the age files that were ever begun.
func (w *world) sealings() (n int) {
	for _, b := range w.blocks {
		if bytes.HasPrefix(b, []byte("age-encryption.org/v1\n")) {
			n++
		}
	}
	return n
}

// A kill at any durable write, landed or not: the next run ends with the
// whole catalogue, seals again at most what was in flight, and no key and
// nonce has sealed two texts.
func TestKillAnywhere(t *testing.T) {
	paths, data := album(t, 3)
	const workers = 2
	story := func(w *world) error {
		p := w.start0()
		if _, err := p.Publish(context.Background(), paths[:2], Options{Playlist: "main"}); err != nil {
			return err
		}
		if _, err := p.Publish(context.Background(), paths[2:], Options{Playlist: "main"}); err != nil {
			return err
		}
		w.now = w.now.Add(manifests.Week * time.Second)
		_, err := p.Publish(context.Background(), nil, Options{})
		return err
	}
	whole := newWorld(t)
	whole.start()
	begin := whole.writes
	if err := story(whole); err != nil {
		t.Fatal(err)
	}
	if whole.writes-begin < 15 {
		t.Fatalf("the story has %d writes only", whole.writes-begin)
	}
	for k := begin + 1; k <= whole.writes; k++ {
		for _, lands := range []bool{false, true} {
			if testing.Short() && k%5 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("write %d lands %v", k, lands), func(t *testing.T) {
				w := newWorld(t)
				w.start()
				w.killAt, w.lands = k, lands
				if err := story(w); !errors.Is(err, errKilled) {
					t.Fatalf("write %d was not reached: %v", k, err)
				}
				p := w.start()
				r, err := p.Publish(context.Background(), paths, Options{Playlist: "main"})
				if err != nil {
					t.Fatal(err)
				}
				if len(playlists(t, p)[0].Tracks) != 3 || r.Added != 3 {
					t.Fatalf("%+v", r)
				}
				if n := w.sealings(); n > len(paths)+workers {
					t.Errorf("%d files sealed for %d", n, len(paths))
				}
				v := w.venue()
				grantTo(t, p, v, "main", 24*time.Hour)
				sound, _ := w.hear(v, w.read(p).manifests[0])
				for i := range sound {
					if !bytes.Equal(sound[i], data[i]) {
						t.Errorf("track %d is not the file", i)
					}
				}
				w.noReuse(p)
			})
		}
	}
}

// start0 is start without coming back to life.
func (w *world) start0() *Publisher {
	w.mu.Lock()
	at := w.killAt
	w.mu.Unlock()
	p := w.start()
	w.mu.Lock()
	w.killAt = at
	w.mu.Unlock()
	return p
}

// noReuse looks at every manifest that ever reached the disk, also those of
// runs that were killed, with the DJ's own secrets: no key with nonce 0
// sealed two texts, and no random nonce is there twice.
func (w *world) noReuse(p *Publisher) {
	w.t.Helper()
	lists, err := p.lists()
	if err != nil {
		w.t.Fatal(err)
	}
	once := map[seal.Key]string{}
	note := func(k seal.Key, sealed []byte) {
		if o, ok := once[k]; ok && o != string(sealed) {
			w.t.Fatal("one key and nonce sealed two texts")
		}
		once[k] = string(sealed)
	}
	for c, b := range w.blocks {
		if c.Type() != cid.DagCBOR {
			continue
		}
		m, err := manifests.DecodeManifest(b)
		if err != nil {
			continue
		}
		for _, l := range lists {
			s, err := l.selection()
			if err != nil {
				w.t.Fatal(err)
			}
			if s.Sel != m.Sel || s.GID() != m.GID {
				continue // of a run whose secrets never reached the disk: it can have no successor; or of a former root's keys
			}
			r := s.R
			var mk seal.Key
			for i, lock := range m.Lock {
				n := m.Cur + uint64(i)
				kp := r.Derive(seal.Period, m.DJ[:], m.Sel[:], seal.U64(m.Gen), seal.U64(uint64(m.Unit)), seal.U64(n))
				lk := kp.Derive(seal.Lock, m.RID[:])
				note(lk, lock[:])
				got, err := seal.OpenOnce(lk, lock[:], seal.CTX(seal.Lock, m.DJ[:], m.Sel[:], seal.U64(m.Gen), seal.U64(uint64(m.Unit)), seal.U64(n)))
				if err != nil {
					w.t.Fatal(err)
				}
				mk = seal.Key(got)
			}
			for _, e := range w.tracksIfWhole(m) {
				note(mk.Derive(seal.Track, m.DJ[:], m.Sel[:], e.Track.Bytes()), e.Wrap[:])
			}
		}
	}
	if len(once) < 8 {
		w.t.Errorf("looked at %d keys only", len(once))
	}
	nonces := map[string]bool{}
	for c, b := range w.blocks {
		if c.Type() != cid.Raw || strings.HasPrefix(string(b), "age-") || len(b)%1024 != 40 {
			continue
		}
		if n := string(b[:24]); nonces[n] {
			w.t.Error("a random nonce is there twice")
		} else {
			nonces[n] = true
		}
	}
	keys := map[string]bool{}
	for k, row := range w.rows {
		var tr trackRow
		if strings.HasPrefix(k, rowTrack) {
			if ok, err := load(table{w, w.rows}, k, &tr); err != nil || !ok || keys[string(tr.Key)] {
				w.t.Errorf("two tracks with one file key, or a row that does not read (%d bytes): %v", len(row), err)
			}
			keys[string(tr.Key)] = true
		}
	}
}

// tracksIfWhole is the manifest's entries, or none where a kill kept some of
// its blocks from the disk.
func (w *world) tracksIfWhole(m *manifests.Manifest) []manifests.Entry {
	tr, err := manifests.ReadTracks(m.Tracks, func(cs []cid.Cid) (out [][]byte, err error) {
		for _, c := range cs {
			if w.blocks[c] == nil {
				return nil, errors.New("missing")
			}
			out = append(out, w.blocks[c])
		}
		return out, nil
	})
	if err != nil {
		return nil
	}
	return tr.Entries
}
