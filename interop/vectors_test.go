//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const vectors = "../testdata/vectors"

// npm's libraries open every vector: records, signatures, derivations, locks,
// wraps, metadata, a grant, a mailbox, a request, a live segment, an open link
// and an excerpt.
func TestNpmOpensTheVectors(t *testing.T) {
	b := newBench(t)
	dir, err := filepath.Abs(vectors)
	b.ok(err)
	counts := map[string]int{}
	b.ok(json.Unmarshal(b.npm("vectors.mjs", nil, dir), &counts))
	t.Log(counts)
	for kind, least := range map[string]int{
		"record": 20, "signature": 5, "derivation": 8, "lock": 1, "wrap": 1, "info": 2, "mailbox": 64, "grant": 1, "opened mailbox": 1,
		"request": 1, "live segment": 1, "card": 1, "preview": 1, "link": 2, "open link": 1, "excerpt": 1,
	} {
		if counts[kind] < least {
			t.Errorf("npm checked %d of kind %s, want at least %d", counts[kind], kind, least)
		}
	}
}

// Stock age opens the track that has the archive's stanza and refuses the one
// that has none; `ipfs add` gives each its CID.
func TestStockToolsOpenTheTracks(t *testing.T) {
	b := newBench(t)
	list, err := os.ReadFile(filepath.Join(vectors, "tracks.json"))
	b.ok(err)
	var tracks []struct{ Name, Age, CID, Plain string }
	b.ok(json.Unmarshal(list, &tracks))
	if len(tracks) < 2 {
		t.Fatalf("%d tracks", len(tracks))
	}
	k := &kubo{b: b, repo: filepath.Join(b.dir, "kubo")}
	k.run(nil, "init", "--profile=test")
	opened := 0
	for _, track := range tracks {
		sealed, err := os.ReadFile(filepath.Join(vectors, track.Age))
		b.ok(err)
		plain, err := os.ReadFile(filepath.Join(vectors, track.Plain))
		b.ok(err)
		cid := k.run(sealed, "add", "-Q", "--only-hash", "--cid-version=1", "--raw-leaves", "--chunker=size-131072")
		if got := strings.TrimSpace(string(cid)); got != track.CID {
			t.Errorf("%s: ipfs add gives %s, want %s", track.Name, got, track.CID)
		}
		age := exec.CommandContext(b.ctx, b.tool("bin/age"), "-d", "-i", filepath.Join(vectors, "archive.key"))
		if strings.Contains(track.Name, "none") {
			age.Stdin = bytes.NewReader(sealed)
			if out, err := age.CombinedOutput(); err == nil {
				t.Errorf("%s: age opened it: %.80q", track.Name, out)
			}
			continue
		}
		if !bytes.Equal(b.run(age, sealed), plain) {
			t.Errorf("%s: age opened other bytes", track.Name)
		}
		opened++
	}
	if opened == 0 {
		t.Error("age opened no track")
	}
}
