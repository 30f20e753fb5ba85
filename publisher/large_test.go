package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
)

// fill puts n made-up tracks into the library, and returns their CIDs.
func fill(t testing.TB, p *Publisher, from, n int) []cid.Cid {
	t.Helper()
	out := make([]cid.Cid, n)
	puts := map[string][]byte{}
	for i := range out {
		var seed [8]byte
		binary.BigEndian.PutUint64(seed[:], uint64(from+i))
		key := sha256.Sum256(seed[:])
		row := trackRow{CID: manifests.NewRawBlock(seed[:]).CID, Info: manifests.NewRawBlock(key[:]).CID, Key: key[:16],
			Size: 4 << 20, Sec: 240, Title: "A title", Artist: "An artist", Codec: "mp3", Rate: 44100, Channels: 2, Samples: 240 * 44100}
		out[i] = row.CID
		puts[rowTrack+row.CID.String()] = marshal(row)
	}
	if err := p.cfg.Store.Apply(puts, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

// tally counts what passes between a publisher and its disk.
type tally struct {
	Store
	node.Putter
	Held
	gets, reads     int
	rows, blocks    int // bytes written
	largest, pieces int
}

func (c *tally) Get(key string) ([]byte, error) { c.gets++; return c.Store.Get(key) }

func (c *tally) Each(prefix string, f func(string, []byte) error) error {
	return c.Store.Each(prefix, func(k string, v []byte) error { c.gets++; return f(k, v) })
}

func (c *tally) Apply(puts map[string][]byte, deletes []string) error {
	for _, v := range puts {
		c.rows += len(v)
	}
	return c.Store.Apply(puts, deletes)
}

func (c *tally) Put(key string, value []byte) error {
	return c.Apply(map[string][]byte{key: value}, nil)
}

func (c *tally) Read(ctx context.Context, id cid.Cid) ([]byte, error) {
	c.reads++
	return c.Held.Read(ctx, id)
}

// putter is the tally as a node.Putter, whose Put is another.
type putter struct{ *tally }

func (c putter) Put(ctx context.Context, bs ...node.Block) error {
	for _, b := range bs {
		c.blocks += len(b.Data)
		c.largest = max(c.largest, len(b.Data))
		c.pieces++
	}
	return c.Putter.Put(ctx, bs...)
}

// watch has p count what it reads and writes.
func watch(p *Publisher) *tally {
	c := &tally{Store: p.cfg.Store, Putter: p.cfg.Blocks, Held: p.cfg.Held}
	p.cfg.Store, p.cfg.Blocks, p.cfg.Held = c, putter{c}, c
	return c
}

// A change of one track in a catalogue of 100,000 moves at most 64 KiB of new
// blocks, and neither reads nor writes more than one in a catalogue of 1,000.
func TestOneTrackOfAHundredThousand(t *testing.T) {
	var small tally
	many := 100_000
	if testing.Short() {
		many = 10_000
	}
	for _, n := range []int{1_000, many} {
		w := newWorld(t)
		p := w.start()
		add := fill(t, p, 0, n+2)
		if err := p.revise(t.Context(), edit{label: "main", add: add[:n]}); err != nil {
			t.Fatal(err)
		}
		for i, e := range []struct {
			what string
			edit edit
			do   func()
		}{
			{"one added", edit{label: "main", add: add[n : n+1]}, func() {}},
			{"one added, and one that is there", edit{label: "main", add: []cid.Cid{add[7], add[n+1], add[n+1]}}, func() {}},
			{"another info", edit{}, func() {
				row, err := p.trackRow(add[n/2])
				if err != nil {
					t.Fatal(err)
				}
				row.Info = manifests.NewRawBlock([]byte("info")).CID
				l, err := p.lists()
				if err != nil {
					t.Fatal(err)
				}
				l[0].Changed = []cid.Cid{row.CID}
				if err := p.cfg.Store.Apply(map[string][]byte{rowTrack + row.CID.String(): marshal(row), rowList + "main": marshal(l[0])}, nil); err != nil {
					t.Fatal(err)
				}
			}},
		} {
			e.do()
			counted := &Publisher{cfg: p.cfg}
			c := watch(counted)
			if err := counted.revise(t.Context(), e.edit); err != nil {
				t.Fatal(e.what, err)
			}
			t.Logf("%d tracks, %s: %d blocks of %d bytes, the largest %d; %d bytes of rows; %d rows and %d blocks read",
				n, e.what, c.pieces, c.blocks, c.largest, c.rows, c.gets, c.reads)
			if c.blocks > 64<<10 || c.blocks == 0 {
				t.Errorf("%d tracks, %s: %d bytes of new blocks", n, e.what, c.blocks)
			}
			if n == 1_000 && i == 0 {
				small = *c
			} else if c.gets > small.gets+4 || c.reads > small.reads+4 || c.pieces > small.pieces+2 || c.rows > 64<<10 {
				t.Errorf("%d tracks, %s: %d rows and %d blocks read, %d blocks and %d bytes of rows written",
					n, e.what, c.gets, c.reads, c.pieces, c.rows)
			}
		}
		if err := p.announce(t.Context(), new(Result)); err != nil {
			t.Fatal(err)
		}
		m := w.read(p).manifests[0]
		entries := w.tracks(m)
		if len(entries) != n+2 || m.Seq != 4 {
			t.Fatalf("%d entries of %d at seq %d", len(entries), n+2, m.Seq)
		}
		if order := playlists(t, p)[0].Tracks; len(order) != n+2 || order[n].CID != add[n] || order[n+1].CID != add[n+1] {
			t.Errorf("%d tracks listed of %d", len(order), n+2)
		}
		i := slices.IndexFunc(entries, func(e manifests.Entry) bool { return e.Track == add[n/2] })
		if entries[i].Info != manifests.NewRawBlock([]byte("info")).CID {
			t.Error("the other info is not listed")
		}
		for row := range w.rows {
			if strings.HasPrefix(row, rowPage) && len(w.rows[row]) > 32<<10 {
				t.Errorf("%s has %d bytes", row, len(w.rows[row]))
			}
		}
	}
}
