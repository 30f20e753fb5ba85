package embedded

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TestPublicStartsAndStops has bootstrap peers that nobody is at.
func TestPublicStartsAndStops(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Dir: t.TempDir(), Identity: key, Network: Public,
		Listen:    []string{"/ip4/127.0.0.1/tcp/0"},
		Bootstrap: []string{"/ip4/127.0.0.1/tcp/9/p2p/12D3KooWJtxMSiy5aZMkDTByBMYi4bCnHDFbE5T9ezBbsCTyoRZ6"},
	}
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.GetValue(t.Context(), "/ipns/x"); err == nil {
		t.Error("a value from nobody")
	}
	b := node.NewBlock(cid.Raw, []byte("root"))
	if err := n.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := n.Pin(t.Context(), node.Pin{Name: "x", Root: b.CID}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("Close took %v", took)
	}
	cfg.Bootstrap = []string{"nonsense"}
	if _, err := New(t.Context(), cfg); err == nil {
		t.Fatal("nonsense was taken for a bootstrap peer")
	}
}

// TestLAN starts and stops, where mDNS works and where it does not.
func TestLAN(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(t.Context(), Config{Dir: t.TempDir(), Identity: key, Network: LAN, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.PutValue(t.Context(), "/ipns/x", nil); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("PutValue without a DHT = %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
