package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"playnode/node"
)

func TestFullDisk(t *testing.T) {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if !full(fmt.Errorf("put: %w", &os.PathError{Op: "write", Path: "x", Err: e})) {
			t.Errorf("%v is a full disk", e)
		}
	}
	if full(syscall.EIO) || full(nil) {
		t.Error("not every error is a full disk")
	}
}

// TestFailedBatchLeavesNothing has one block of a batch fail.
func TestFailedBatchLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, &doomed{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var batch []blocks.Block
	for i := range 8 {
		b := node.NewBlock(cid.Raw, []byte{byte(i)})
		blk, err := blocks.NewBlockWithCid(b.Data, b.CID)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, blk)
	}
	// A file where flatfs would make its directory of temporary files.
	temp := filepath.Join(dir, ".temp")
	if err := errors.Join(os.RemoveAll(temp), os.WriteFile(temp, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.write(t.Context(), batch); err == nil {
		t.Fatal("written nowhere")
	}
	if err := errors.Join(os.Remove(temp), os.Mkdir(temp, 0o700)); err != nil {
		t.Fatal(err)
	}
	// A file where a shard's directory would be: the batch fails at its end.
	key := filepath.Join(dir, s.shard.Func()(fileKey(batch[5])))
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.write(t.Context(), batch); err == nil {
		t.Fatal("written into a file")
	}
	if left, err := filepath.Glob(filepath.Join(temp, "batch-*")); err != nil || len(left) != 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := s.write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}
