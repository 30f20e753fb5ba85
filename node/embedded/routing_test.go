package embedded

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

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

// TestFind: in a DHT of their own, nodes find who holds a root by what it has
// announced, its own in place of the one before, and by its pins.
func TestFind(t *testing.T) {
	var all []*Node
	for i := range 7 {
		all = append(all, opened(t, func(c *Config) {
			c.Network, c.Prefix = Public, "/fleet"
			c.Bootstrap = []string{"/ip4/127.0.0.1/tcp/9/p2p/12D3KooWJtxMSiy5aZMkDTByBMYi4bCnHDFbE5T9ezBbsCTyoRZ6"}
			if i > 0 {
				c.Bootstrap = all[0].Addrs()[:1]
				c.Peers = all[(i-1)/2].Addrs()[:1]
			}
		}))
	}
	root := func(s string) cid.Cid { return node.NewBlock(cid.Raw, []byte(s)).CID }
	dj, archivist, venue := all[5], all[6], all[3]
	dj.Announce("head", root("old"))
	dj.Announce("head", root("new"))
	b := node.NewBlock(cid.Raw, []byte("new"))
	if err := archivist.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := archivist.Pin(t.Context(), node.Pin{Name: "x", Root: b.CID}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := func(by *Node) bool {
		found, err := by.dht.FindProviders(ctx, b.CID)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(found, func(i peer.AddrInfo) bool { return i.ID == dj.host.ID() }) &&
			slices.ContainsFunc(found, func(i peer.AddrInfo) bool { return i.ID == archivist.host.ID() })
	}
	for !told(venue) {
		select {
		case <-time.After(20 * time.Millisecond): // the announcements are under way
		case <-ctx.Done():
		}
	}
	for _, id := range []peer.ID{dj.host.ID(), archivist.host.ID()} {
		venue.host.Network().ClosePeer(id)
	}
	if _, err := venue.Find(ctx, b.CID, 4); err != nil { // how many it had to dial is the DHT's to say: it asks them, too
		t.Error(err)
	}
	if have := venue.Connected(); !slices.Contains(have, dj.ID()) || !slices.Contains(have, archivist.ID()) {
		t.Errorf("it is connected with %v", have)
	}
	lonely := opened(t, nil)
	if _, err := lonely.Find(t.Context(), b.CID, 4); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("Find without a DHT: %v", err)
	}
}
