package embedded

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"playnode/node"
)

// TestLearn: a record is believed from the one it is of, and no other.
func TestLearn(t *testing.T) {
	identity := func() (crypto.PrivKey, peer.ID) {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return key, id
	}
	key, id := identity()
	thief, _ := identity()
	sealed := func(by crypto.PrivKey, of peer.ID, addrs int) []byte {
		r := &peer.PeerRecord{PeerID: of, Seq: 7}
		for i := range addrs {
			r.Addrs = append(r.Addrs, ma.StringCast(fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", 1+i)))
		}
		env, err := record.Seal(r, by)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := env.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if r, err := learn(sealed(key, id, node.MaxPeerAddrs)); err != nil || r.PeerID != id || r.Seq != 7 {
		t.Errorf("its own: %v, %v", r, err)
	}
	for what, raw := range map[string][]byte{
		"signed by another":  sealed(thief, id, 1),
		"without addresses":  sealed(key, id, 0),
		"too many addresses": sealed(key, id, node.MaxPeerAddrs+1),
		"cut":                sealed(key, id, 1)[:40],
		"too long":           make([]byte, node.MaxPeerRecord+1),
	} {
		if r, err := learn(raw); err == nil {
			t.Errorf("%s: %v was believed", what, r)
		}
	}
}
