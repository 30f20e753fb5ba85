package lease

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
)

// The files open, to what they say they hold.
func TestVectorsOpen(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(vectorDir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var g struct{ DeviceSecret, OpenSecret string }
	if err := json.Unmarshal(read("grant.json"), &g); err != nil {
		t.Fatal(err)
	}
	v := newVenue(t)
	var err error
	if v.id.Sign, err = seal.ParseSigning(g.DeviceSecret); err == nil {
		v.id.Open, err = seal.ParseXWing(g.OpenSecret)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.restart()
	l, err := v.Import(read("grantfile.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	root := manifests.Signed{Env: manifests.NewBlock(read("root.env.cbor")), Payload: manifests.NewBlock(read("root.cbor"))}
	chain, err := manifests.VerifyChain([]manifests.Signed{root})
	if err != nil || chain.DJ() != l.DJ {
		t.Fatal(err)
	}
	if _, err := manifests.VerifyChain([]manifests.Signed{root,
		{Env: manifests.NewBlock(read("root2.env.cbor")), Payload: manifests.NewBlock(read("root2.cbor"))}}); err != nil {
		t.Error(err)
	}
	m, err := chain.OpenManifest(manifests.Signed{Env: manifests.NewBlock(read("manifest.env.cbor")), Payload: manifests.NewBlock(read("manifest.cbor"))})
	if err != nil {
		t.Fatal(err)
	}
	h, err := chain.OpenHead(manifests.Signed{Env: manifests.NewBlock(read("head.env.cbor")), Payload: manifests.NewBlock(read("head.cbor"))})
	if err == nil {
		err = h.Agree([]*manifests.Manifest{m})
	}
	if err != nil {
		t.Error(err)
	}
	mailed := *m
	mailed.Boxes = []cid.Cid{manifests.NewBlock(read("mailboxes.cbor")).CID}
	other := newVenue(t) // which has no grant, and opens the mailbox alone
	other.id = v.id
	other.restart()
	if got, err := other.Receive(chain, &mailed, [][]byte{read("mailboxes.cbor")}); err != nil || len(got) != 1 || got[0].ID != l.ID {
		t.Errorf("the mailbox holds %v: %v", got, err)
	}
	var rq struct{ RequestSecret string }
	if err := json.Unmarshal(read("request.json"), &rq); err != nil {
		t.Fatal(err)
	}
	rk, err := seal.ParseXWing(rq.RequestSecret)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := chain.OpenOffer(manifests.Signed{Env: manifests.NewBlock(read("offer.env.cbor")), Payload: manifests.NewBlock(read("offer.cbor"))})
	if err != nil {
		t.Fatal(err)
	}
	_, asked, _, err := OpenRequest(rk, l.DJ, start, read("requestfile.cbor"))
	if err == nil {
		err = Fits(offer, asked)
	}
	if err != nil || asked.Offer != manifests.Digest(manifests.NewBlock(read("offer.cbor")).CID) {
		t.Errorf("request: %v", err)
	}
	u, err := v.Unlock(m)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[cid.Cid][]byte{}
	for _, n := range []string{"spine", "row", "shard"} {
		b := manifests.NewBlock(read(n + ".cbor"))
		blocks[b.CID] = b.Data
	}
	tracks, err := manifests.ReadTracks(m.Tracks, func(cs []cid.Cid) (out [][]byte, err error) {
		for _, c := range cs {
			out = append(out, blocks[c])
		}
		return out, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lists, err := u.Playlists([][]byte{read("meta.sealed")}, tracks.Entries)
	if err != nil || len(lists) != 1 || len(lists[0].Tracks) != 2 {
		t.Fatal(lists, err)
	}
	for _, e := range tracks.Entries {
		name := "track"
		if sum := sha256.Sum256(read("track-none.age")); sum == manifests.Digest(e.Track) {
			name = "track-none"
		}
		k, err := u.FileKey(e)
		if err != nil {
			t.Fatal(err)
		}
		sealed := read(name + ".age")
		plain, n, err := seal.OpenTrack(k, bytes.NewReader(sealed), int64(len(sealed)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(plain, 0, n))
		if err != nil || !bytes.Equal(got, read("track.plain")) {
			t.Errorf("%s opens to %d other bytes: %v", name, len(got), err)
		}
		if info, err := u.Info(e, read(name+".info")); err != nil || info.Title != "Vector "+name {
			t.Errorf("info of %s: %v", name, err)
		}
	}
}
