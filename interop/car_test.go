//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// Stock Kubo imports our CAR, pins both its roots, and has the whole version
// and, in clear dag-cbor, the name's record, which is good for it.
func TestStockKuboImportsOurCAR(t *testing.T) {
	b := newBench(t)
	dj := b.box("dj")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish"}, sources(b)...)...))
	file := filepath.Join(b.dir, "stick.car")
	var wrote struct{ Blocks int }
	b.ok(dj.JSON(b.ctx, &wrote, "export", pub.Name, file))

	k := &kubo{b: b, repo: filepath.Join(b.dir, "kubo")} // no daemon, no network
	k.run(nil, "init", "--profile=test")
	said := string(k.run(nil, "dag", "import", "--stats", file))
	if !strings.Contains(said, "Pinned root\t"+pub.Manifest+"\tsuccess") || strings.Count(said, "\tsuccess") != 2 {
		t.Fatalf("ipfs dag import said %q", said)
	}
	held := strings.Fields(string(k.run(nil, "refs", "-r", "-u", "--offline", pub.Manifest)))
	if len(held)+2 != wrote.Blocks { // the head and the record's block
		t.Errorf("%d blocks below the head, the file has %d", len(held), wrote.Blocks)
	}
	for _, track := range pub.Playlists[0].Tracks {
		if got := k.run(nil, "cat", "--offline", track.CID); !bytes.HasPrefix(got, []byte("age-encryption.org/v1\n")) {
			t.Errorf("%s is no age file", track.CID)
		}
	}
	found := false
	for _, line := range strings.Split(said, "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 3 || f[0] != "Pinned root" || f[1] == pub.Manifest {
			continue
		}
		c, err := cid.Decode(f[1])
		b.ok(err)
		b.ok(node.Verify(c, k.run(nil, "block", "get", f[1])))
		var seen struct {
			Name   string
			Record map[string]struct{ Bytes string }
		}
		b.ok(json.Unmarshal(k.run(nil, "dag", "get", f[1]), &seen))
		if seen.Name != pub.Name || len(seen.Record["/"].Bytes) < 200 {
			t.Errorf("the record's block is %+v", seen)
		}
		found = true
	}
	if !found {
		t.Error("no root holds the record")
	}
}
