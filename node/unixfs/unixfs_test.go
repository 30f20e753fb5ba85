package unixfs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	boxo "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/nodetest"
	"playnode/node/unixfs"
)

// store is blocks in memory.
type store map[cid.Cid][]byte

func (s store) read(_ context.Context, c cid.Cid) ([]byte, error) {
	if b, ok := s[c]; ok {
		return b, nil
	}
	return nil, node.ErrNotFound
}

func (s store) put(b node.Block) cid.Cid {
	s[b.CID] = b.Data
	return b.CID
}

func (s store) branch(links []cid.Cid, sizes []uint64) cid.Cid {
	return s.put(nodetest.Branch(boxo.NewFSNode(boxo.TFile), links, sizes))
}

// Leaves of any size lie where the sizes before them say, and every byte is found in its own.
func TestOpen(t *testing.T) {
	s := store{}
	var links []cid.Cid
	sizes := []uint64{1 << 20, 1, 7, 1 << 18, 3}
	total := uint64(0)
	for _, n := range sizes {
		links = append(links, s.put(node.NewBlock(cid.Raw, make([]byte, n))))
		total += n
	}
	inner := s.branch(links[1:], sizes[1:])
	f, err := unixfs.Open(t.Context(), s.branch([]cid.Cid{links[0], inner}, []uint64{sizes[0], total - sizes[0]}), total, s.read)
	if err != nil || f.Size != int64(total) || len(f.Leaves) != len(sizes) {
		t.Fatalf("%+v, %v", f, err)
	}
	at := int64(0)
	for i, n := range sizes {
		if f.Leaves[i] != (unixfs.Leaf{CID: links[i], At: at}) {
			t.Errorf("leaf %d is %+v", i, f.Leaves[i])
		}
		if first, last := f.Find(at), f.Find(at+int64(n)-1); first != i || last != i {
			t.Errorf("leaf %d is found as %d and %d", i, first, last)
		}
		at += int64(n)
		for _, d := range []int{-1, 0, 1} {
			if err := f.Check(i, make([]byte, int(n)+d)); (err == nil) != (d == 0) || err != nil && !errors.Is(err, unixfs.ErrMalformed) {
				t.Errorf("leaf %d of %d bytes: %v", i, int(n)+d, err)
			}
		}
	}
	// A file of one leaf has the leaf's CID.
	if f, err := unixfs.Open(t.Context(), links[2], 7, s.read); err != nil || f.Size != 7 || f.Find(6) != 0 {
		t.Errorf("one leaf: %+v, %v", f, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	s := store{}
	leaf := s.put(node.NewBlock(cid.Raw, make([]byte, 100)))
	cbor := s.put(node.NewBlock(cid.DagCBOR, []byte{0xa0}))
	two := []cid.Cid{leaf, leaf}
	deep := leaf
	for range 7 {
		deep = s.branch([]cid.Cid{deep}, []uint64{100})
	}
	withData := boxo.NewFSNode(boxo.TFile)
	withData.SetData([]byte("inline"))
	b, err := withData.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		root cid.Cid
		size uint64
		want error
	}{
		"leaf over 1 MiB":    {leaf, 1<<20 + 1, unixfs.ErrMalformed},
		"another codec":      {cbor, 1, unixfs.ErrMalformed},
		"another link codec": {s.branch([]cid.Cid{leaf, cbor}, []uint64{100, 1}), 101, unixfs.ErrMalformed},
		"signed size less":   {s.branch(two, []uint64{100, 100}), 199, unixfs.ErrMalformed},
		"signed size more":   {s.branch(two, []uint64{100, 100}), 201, unixfs.ErrMalformed},
		"empty link":         {s.branch(two, []uint64{100, 0}), 100, unixfs.ErrMalformed},
		"a directory":        {s.put(nodetest.Branch(boxo.NewFSNode(boxo.TDirectory), nil, nil)), 0, unixfs.ErrMalformed},
		"too deep":           {deep, 100, unixfs.ErrMalformed},
		"data in a branch":   {s.put(node.NewBlock(cid.DagProtobuf, merkledag.NodeWithData(b).RawData())), 6, unixfs.ErrMalformed},
		"no protobuf":        {s.put(node.NewBlock(cid.DagProtobuf, []byte("\xff\xff\xff"))), 3, unixfs.ErrMalformed},
		"missing":            {cid.NewCidV1(cid.DagProtobuf, leaf.Hash()), 100, node.ErrNotFound},
	} {
		if _, err := unixfs.Open(t.Context(), c.root, c.size, s.read); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
