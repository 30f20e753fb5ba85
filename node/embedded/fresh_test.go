package embedded

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TestPinReadsWhatIsOld has a pin take what was just written as verified, and
// read everything else: after another pin, and what was there before.
func TestPinReadsWhatIsOld(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(t.Context(), Config{Dir: t.TempDir(), Identity: key, Network: None, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	leaf := node.NewBlock(cid.Raw, []byte("leaf"))
	other := node.NewBlock(cid.Raw, []byte("other"))
	root := node.NewBlock(cid.DagCBOR, append([]byte{0x81, 0xd8, 42, 0x58, 37, 0}, leaf.CID.Bytes()...))
	if err := n.Put(t.Context(), leaf, other, root); err != nil {
		t.Fatal(err)
	}
	rot := func(b node.Block) {
		t.Helper()
		blk, _ := blocks.NewBlockWithCid(b.Data, b.CID)
		key := fileKey(blk)
		if err := os.WriteFile(filepath.Join(n.store.dir, n.store.shard.Func()(key), key+".data"), []byte("rot"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pin := func(c cid.Cid) error { return n.Pin(context.Background(), node.Pin{Name: "x", Root: c}) }
	rot(leaf)
	if err := pin(root.CID); err != nil {
		t.Fatalf("what was just written was read again: %v", err)
	}
	rot(other)
	if err := pin(other.CID); !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("after another pin: %v", err)
	}
	// One that has gone meanwhile is missed, written just now or not.
	if err := errors.Join(n.Put(t.Context(), other), n.Delete(t.Context(), other.CID)); err != nil {
		t.Fatal(err)
	}
	if err := pin(other.CID); !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("of what was deleted: %v", err)
	}
}
