package embedded

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// TestIDsAsTexts: what is remembered is what libp2p says, each text of an id is
// the id, and strangers do not make more of it than is to be.
func TestIDsAsTexts(t *testing.T) {
	var x ids
	for range maxIDs + maxIDs/2 {
		_, key, _ := ed25519.GenerateKey(rand.Reader)
		private, err := crypto.UnmarshalEd25519PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, text := range []string{peer.ToCid(id).String(), id.String()} {
				if got, err := x.id(text); err != nil || got != id {
					t.Fatalf("%s is %s, %v", text, got, err)
				}
			}
			if got := x.text(id); got != id.String() {
				t.Fatalf("the text of %s is %s", id, got)
			}
		}
		if len(x.texts) > maxIDs || len(x.known) > maxIDs {
			t.Fatalf("%d and %d are remembered", len(x.texts), len(x.known))
		}
	}
	if _, err := x.id("nobody"); err == nil {
		t.Error("nobody is a peer")
	}
}
