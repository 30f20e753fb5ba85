package embedded_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	flatfs "github.com/ipfs/go-ds-flatfs"

	"playnode/node"
	"playnode/node/embedded/pack"
	"playnode/node/nodetest"
)

// formerly stores blocks as a node did before there were packs, and tells the
// file of each.
func formerly(t *testing.T, dir string, all ...node.Block) (files []string) {
	t.Helper()
	shard := flatfs.NextToLast(2)
	f, err := flatfs.CreateOrOpen(filepath.Join(dir, "blocks"), shard, false)
	if err != nil {
		t.Fatal(err)
	}
	s := blockstore.NewBlockstore(f, blockstore.NoPrefix())
	for _, b := range all {
		blk, err := blocks.NewBlockWithCid(b.Data, b.CID)
		if err == nil {
			err = s.Put(t.Context(), blk)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		err := filepath.WalkDir(filepath.Join(dir, "blocks"), func(path string, e os.DirEntry, err error) error {
			if data, read := os.ReadFile(path); read == nil && bytes.Equal(data, b.Data) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestFormer: what an earlier version holds is held at once, lies where it
// lay, is verified, and goes when it is let go.
func TestFormer(t *testing.T) {
	cfg := config(t)
	cfg.Grace = time.Nanosecond
	var all []node.Block
	for _, text := range []string{"good", "rotten", "unwanted"} {
		all = append(all, node.NewBlock(cid.Raw, bytes.Repeat([]byte(text), 1000)))
	}
	good, rotten, unwanted := all[0], all[1], all[2]
	files := formerly(t, cfg.Dir, all...)
	nodetest.Flip(t, files[1], 100)
	n, ctx := start(t, cfg), t.Context()
	packed := func() int {
		t.Helper()
		spots, err := pack.List(filepath.Join(cfg.Dir, "packs"))
		if err != nil {
			t.Fatal(err)
		}
		return len(spots)
	}
	listed := func(want int) {
		t.Helper()
		got := 0
		if err := n.Each(ctx, func(c cid.Cid, size int64) error { got++; return nil }); err != nil || got != want {
			t.Fatalf("%d blocks are listed, want %d: %v", got, want, err)
		}
	}
	listed(3)
	before, err := n.Used(ctx)
	if err != nil || before < int64(len(good.Data)+len(unwanted.Data)) {
		t.Fatalf("%d bytes used, %v", before, err)
	}
	if data, err := n.Read(ctx, good.CID); err != nil || !bytes.Equal(data, good.Data) {
		t.Fatal(err)
	}
	if err := n.Put(ctx, good); err != nil || packed() != 0 {
		t.Fatalf("what is held was written again: %d in packs, %v", packed(), err)
	}
	if _, err := n.Read(ctx, rotten.CID); !errors.Is(err, node.ErrNotFound) || !errors.Is(err, node.ErrVerify) {
		t.Fatalf("a damaged block: %v", err)
	}
	if err := n.Put(ctx, rotten); err != nil || packed() != 1 {
		t.Fatalf("the new copy is not in a pack: %d, %v", packed(), err)
	}
	if data, err := n.Read(ctx, rotten.CID); err != nil || !bytes.Equal(data, rotten.Data) {
		t.Fatal(err)
	}
	listed(3)
	if _, _, err := n.Release(ctx, []cid.Cid{unwanted.CID}); err != nil {
		t.Fatal(err)
	}
	if freed, _, err := n.Release(ctx, []cid.Cid{unwanted.CID}); err != nil || freed != 1 {
		t.Fatal(freed, err)
	}
	for i, want := range []bool{true, false, false} {
		if _, err := os.Stat(files[i]); (err == nil) != want {
			t.Errorf("%s: %v", files[i], err)
		}
	}
	if err := n.Delete(ctx, good.CID); err != nil {
		t.Fatal(err)
	}
	listed(1)
	if has, err := n.Has(ctx, good.CID); err != nil || has {
		t.Fatal(has, err)
	}
}
