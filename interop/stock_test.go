//go:build interop

package interop

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"playnode/ipns"
	kuborpc "playnode/node/kubo"
	"playnode/testnet/binary"
)

// Stock Kubo takes those of IPIP-428's six records that we take and refuses
// those that we refuse; what it gives back our Namer believes.
func TestKuboTakesTheVectors(t *testing.T) {
	b := newBench(t)
	var names *kuborpc.Names
	anew := func(name string) {
		k := b.kubo(name, [2]string{"Ipns.UsePubsub", "true"}, [2]string{"Routing.Type", `"none"`}) // a DHT would wait for others
		var err error
		names, err = kuborpc.NewNames(k.rpc(), "")
		b.ok(err)
	}
	anew("kubo")
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)) // the vectors'
	name, err := ipns.NameOf(key.Public().(ed25519.PublicKey))
	b.ok(err)
	asked := func() (ipns.Record, error) {
		n, err := ipns.New(ipns.Config{Store: &rows{}, Now: time.Now, Routers: []ipns.Router{ipns.Delegated("kubo", names)}})
		b.ok(err)
		defer n.Close()
		return n.Ask(b.ctx, name)
	}
	for _, vector := range []struct {
		file string
		good bool
	}{
		{"v1", false}, {"v1-v2-other-value-in-v1", false}, {"v1-v2-broken-signature-v2", false},
		{"v1-v2-broken-signature-v1", true}, {"v1-v2", true}, {"v2", true},
	} {
		raw, err := os.ReadFile(filepath.Join("..", "ipns", "testdata", "records", vector.file+".ipns-record"))
		b.ok(err)
		if err := names.PutRecord(b.ctx, name.String(), raw); (err == nil) != vector.good {
			t.Errorf("%s given to kubo: %v, and good is %v", vector.file, err, vector.good)
		}
		if !vector.good {
			continue
		}
		if rec, err := asked(); err != nil || rec.Seq != 5 {
			t.Errorf("%s had from kubo: %+v, %v", vector.file, rec, err)
		}
		anew(vector.file) // of two that are of one sequence it takes the first
	}
}

// Stock Kubo follows the name and pins what it says, by hand; with the DJ gone
// it fills a venue by bitswap and another by its gateway, name and all, and both
// play the very samples of one that the DJ filled.
func TestStockKuboServesVenues(t *testing.T) {
	b := newBench(t)
	dj := b.box("dj")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish"}, shipped(b, "1-lamp.flac", "2-harbour.mp3")...)...))
	play := func(venue binary.Box) []byte {
		t.Helper()
		wav := filepath.Join(b.dir, "venue.wav")
		_, err := venue.Play(b.ctx, pub.Name+"/main", "--sink", "wav:"+wav, "--once")
		b.ok(err)
		sound, err := os.ReadFile(wav)
		b.ok(err)
		return sound
	}
	venues := map[string]binary.Box{}
	for _, name := range []string{"reference", "bitswap", "gateway"} {
		v := b.box(name)
		var id struct{ Device string }
		b.ok(v.JSON(b.ctx, &id, "id"))
		grant := filepath.Join(b.dir, name+".lease")
		b.run(dj.Command(b.ctx, "lease", "grant", "main", "--device", id.Device, "--for", "30d", "--out", grant), nil)
		b.run(v.Command(b.ctx, "lease", "import", grant), nil)
		venues[name] = v
	}
	b.ok(dj.JSON(b.ctx, &pub, "publish")) // tells the newest manifest
	d := b.start(dj)
	b.ok(venues["reference"].JSON(b.ctx, nil, "follow", "--once", pub.Name, "--peer", d.Addrs[0]))
	want := play(venues["reference"])
	if len(want) < 1<<20 {
		t.Fatalf("%d bytes of sound", len(want))
	}

	k := b.kubo("kubo", [2]string{"Ipns.UsePubsub", "true"}, [2]string{"Routing.Type", `"none"`})
	k.run(nil, "swarm", "connect", d.Addrs[0])
	k.resolved(pub.Name, "/ipfs/"+pub.Manifest)
	k.run(nil, "pin", "add", "--name", "by hand", pub.Manifest)
	b.ok(d.Stop())

	gateway, err := os.ReadFile(filepath.Join(k.repo, "gateway"))
	b.ok(err)
	for name, args := range map[string][]string{
		"bitswap": {"--peer", strings.Fields(string(k.run(nil, "id", "-f", "<addrs>")))[0]},
		"gateway": {"--origin", strings.TrimSpace(string(gateway))},
	} {
		v := venues[name]
		d := b.start(v, args...)
		var got archived
		b.ok(v.JSON(b.ctx, &got, "follow", "--once", pub.Name))
		if got.Manifest != pub.Manifest || got.Missing != 0 {
			t.Errorf("by %s: %+v", name, got)
		}
		var s struct {
			Traffic struct{ BySource map[string]int64 }
			Storage struct{ Used int64 }
		}
		b.ok(v.JSON(b.ctx, &s, "status"))
		for source, n := range s.Traffic.BySource {
			by := source == name || name == "gateway" && strings.HasPrefix(source, "http ")
			if by && n < 400<<10 || !by && n != 0 {
				t.Errorf("by %s: %d bytes came from %s", name, n, source)
			}
		}
		if !bytes.Equal(play(v), want) {
			t.Errorf("by %s: other samples", name)
		}
		b.ok(d.Stop())
	}
}
