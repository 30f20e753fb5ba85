package player

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"playnode/manifests"
	"playnode/node"
)

// store is blocks in memory that are found at once.
type store map[cid.Cid][]byte

func (s store) Get(_ context.Context, c cid.Cid, _ node.Want) ([]byte, error) {
	if b, ok := s[c]; ok {
		return b, nil
	}
	return nil, node.ErrNotFound
}

func (s store) put(codec uint64, b []byte) cid.Cid {
	sum, err := multihash.Sum(b, multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	c := cid.NewCidV1(codec, sum)
	s[c] = b
	return c
}

// branch links leaves that claim the given sizes.
func (s store) branch(kind func() *unixfs.FSNode, links []cid.Cid, sizes []uint64) cid.Cid {
	fs := kind()
	n := merkledag.NodeWithData(nil)
	for i, c := range links {
		fs.AddBlockSize(sizes[i])
		if err := n.AddRawLink("", &ipld.Link{Cid: c, Size: sizes[i]}); err != nil {
			panic(err)
		}
	}
	b, err := fs.GetBytes()
	if err != nil {
		panic(err)
	}
	n.SetData(b)
	return s.put(cid.DagProtobuf, n.RawData())
}

func plainFile() *unixfs.FSNode { return unixfs.NewFSNode(unixfs.TFile) }
func directory() *unixfs.FSNode { return unixfs.NewFSNode(unixfs.TDirectory) }

func (s store) open(t *testing.T, root cid.Cid, size uint64) (*file, error) {
	p := &Player{cfg: Config{Fetch: s, Now: time.Now, Patience: time.Second}}
	return p.openFile(t.Context(), manifests.Entry{Track: root, Size: size, Sec: 10})
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
			links, lens = append(links, s.put(cid.Raw, b)), append(lens, uint64(n))
		}
		root := links[0]
		if len(links) > 1 {
			inner := s.branch(plainFile, links[1:], lens[1:])
			root = s.branch(plainFile, []cid.Cid{links[0], inner}, []uint64{lens[0], uint64(len(want)) - lens[0]})
		}
		f, err := s.open(t, root, uint64(len(want)))
		if err != nil {
			t.Fatal(sizes, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, f.size))
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

func TestFileRefuses(t *testing.T) {
	s := store{}
	leaf := s.put(cid.Raw, make([]byte, 100))
	two := []cid.Cid{leaf, leaf}
	deep := leaf
	for range maxDepth + 1 {
		deep = s.branch(plainFile, []cid.Cid{deep}, []uint64{100})
	}
	withData := plainFile()
	withData.SetData([]byte("inline"))
	b, err := withData.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		root cid.Cid
		size uint64
	}{
		"leaf over 1 MiB":    {leaf, 1<<20 + 1},
		"another codec":      {s.put(cid.DagCBOR, []byte{0xa0}), 1},
		"another link codec": {s.branch(plainFile, []cid.Cid{leaf, s.put(cid.DagCBOR, []byte{0xa0})}, []uint64{100, 1}), 101},
		"signed size less":   {s.branch(plainFile, two, []uint64{100, 100}), 199},
		"signed size more":   {s.branch(plainFile, two, []uint64{100, 100}), 201},
		"empty link":         {s.branch(plainFile, two, []uint64{100, 0}), 100},
		"a directory":        {s.branch(directory, nil, nil), 0},
		"too deep":           {deep, 100},
		"data in a branch":   {s.put(cid.DagProtobuf, merkledag.NodeWithData(b).RawData()), 6},
		"no protobuf":        {s.put(cid.DagProtobuf, []byte("\xff\xff\xff")), 3},
		"missing":            {cid.NewCidV1(cid.DagProtobuf, leaf.Hash()), 100},
	} {
		if _, err := s.open(t, c.root, c.size); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	// A leaf that is longer or shorter than its link says.
	for _, n := range []uint64{99, 101} {
		f, err := s.open(t, s.branch(plainFile, two, []uint64{100, n}), 100+n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.ReadAt(make([]byte, 10), 150); !errors.Is(err, errFile) {
			t.Errorf("a leaf of 100 bytes linked as %d: %v", n, err)
		}
	}
}
