package embedded

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/embedded/pack"
	"playnode/node/nodetest"
)

// TestPinReadsWhatIsOld has a pin take what was just written as verified, and
// read everything else: after another pin, and what was there before.
func TestPinReadsWhatIsOld(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n, err := New(t.Context(), Config{Dir: dir, Identity: key, Network: None, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
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
		spots, err := pack.List(filepath.Join(dir, "packs"))
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(spots, func(s pack.Spot) bool { return s.CID == b.CID })
		nodetest.Flip(t, spots[i].File, spots[i].At)
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
