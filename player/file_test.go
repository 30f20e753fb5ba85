package player

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
	"playnode/node/nodetest"
	ours "playnode/node/unixfs"
)

// store is blocks in memory that are found at once.
type store map[cid.Cid][]byte

func (s store) Get(_ context.Context, c cid.Cid, _ node.Want) ([]byte, error) {
	if b, ok := s[c]; ok {
		return b, nil
	}
	return nil, node.ErrNotFound
}

func (s store) put(b node.Block) cid.Cid {
	s[b.CID] = b.Data
	return b.CID
}

func (s store) leaf(b []byte) cid.Cid { return s.put(node.NewBlock(cid.Raw, b)) }

func (s store) branch(links []cid.Cid, sizes []uint64) cid.Cid {
	return s.put(nodetest.Branch(unixfs.NewFSNode(unixfs.TFile), links, sizes))
}

func (s store) open(t *testing.T, root cid.Cid, size uint64) (*file, error) {
	p := &Player{cfg: Config{Fetch: s, Now: time.Now, Patience: time.Second}}
	return p.openFile(t.Context(), manifests.Entry{Track: root, Size: size, Sec: 10}, within(time.Now(), 0))
}

// Leaves of any size up to 1 MiB, at any depth, read as one file at any place.
func TestFileReadsAnywhere(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, sizes := range [][]int{{0}, {1}, {1000}, {1 << 20}, {5, 7, 1}, {1 << 18, 1 << 18, 1 << 18, 99}, {1 << 20, 3, 1 << 20}} {
		s, want := store{}, []byte(nil)
		var links []cid.Cid
		var lens []uint64
		for _, n := range sizes {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			want = append(want, b...)
			links, lens = append(links, s.leaf(b)), append(lens, uint64(n))
		}
		root := links[0]
		if len(links) > 1 {
			inner := s.branch(links[1:], lens[1:])
			root = s.branch([]cid.Cid{links[0], inner}, []uint64{lens[0], uint64(len(want)) - lens[0]})
		}
		f, err := s.open(t, root, uint64(len(want)))
		if err != nil {
			t.Fatal(sizes, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, f.tree.Size))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v: %d bytes, %v", sizes, len(got), err)
		}
		for range 200 {
			at, n := rnd.IntN(len(want)+2), rnd.IntN(3000)
			b := make([]byte, n)
			m, err := f.ReadAt(b, int64(at))
			end := min(at+n, len(want))
			if at <= len(want) && !bytes.Equal(b[:m], want[min(at, end):end]) || (err == nil) != (at+n <= len(want)) && n > 0 {
				t.Fatalf("%v: %d bytes at %d: %d, %v", sizes, n, at, m, err)
			}
		}
	}
}

// A leaf that is longer or shorter than its link says is no sound.
func TestFileRefusesLeaves(t *testing.T) {
	s := store{}
	leaf := s.leaf(make([]byte, 100))
	for _, n := range []uint64{99, 101} {
		f, err := s.open(t, s.branch([]cid.Cid{leaf, leaf}, []uint64{100, n}), 100+n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.ReadAt(make([]byte, 10), 150); !errors.Is(err, ours.ErrMalformed) {
			t.Errorf("a leaf of 100 bytes linked as %d: %v", n, err)
		}
	}
}
