//go:build interop

package interop

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	drive "playnode/testnet/binary"
	"playnode/testnet/music"
	"playnode/testnet/music/piece"
)

// published is what publish prints.
type published struct {
	Name, Manifest string
	Seq            uint64
	Playlists      []struct {
		Name   string
		Tracks []struct{ CID, Title string }
	}
}

// Stock Kubo fetches a published record from our daemon, and stock age with the
// DJ's archive identity gives back the sound of every source; the documented
// `ipfs add` gives the same CIDs; a pin of the head holds this version whole
// and the one before not at all; our IPNS record is good for Kubo.
func TestStockKuboAndAge(t *testing.T) {
	b := newBench(t)
	files := sources(b)
	dj := b.box("dj")
	var first, pub published
	b.ok(dj.JSON(b.ctx, &first, "publish", files[0]))
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish"}, files...)...))
	identity := b.run(dj.Command(b.ctx, "keys", "archive"), nil)
	key := filepath.Join(b.dir, "dj.key")
	b.ok(os.WriteFile(key, identity, 0o600))
	d := b.start(dj, "--gateway", "127.0.0.1:0")

	k := b.kubo("kubo")
	k.run(nil, "swarm", "connect", d.Addrs[0])
	tracks := pub.Playlists[0].Tracks
	if len(tracks) != len(files) {
		t.Fatalf("published %+v", pub)
	}
	sealed := map[string][]byte{}
	for i, track := range tracks {
		sealed[track.CID] = k.run(nil, "cat", track.CID)
		if !bytes.HasPrefix(sealed[track.CID], []byte("age-encryption.org/v1\n")) {
			t.Fatalf("%s is no age file", track.CID)
		}
		plain := b.run(exec.CommandContext(b.ctx, b.tool("bin/age"), "-d", "-i", key), sealed[track.CID])
		sounds(b, files[i], plain)
		cid := k.run(sealed[track.CID], "add", "-Q", "--only-hash", "--cid-version=1", "--raw-leaves", "--chunker=size-131072")
		if got := strings.TrimSpace(string(cid)); got != track.CID {
			t.Errorf("ipfs add gives %s for track %s", got, track.CID)
		}
	}

	k.run(nil, "pin", "add", pub.Manifest)
	held := strings.Fields(string(k.run(nil, "refs", "-r", "-u", pub.Manifest)))
	for cid := range sealed {
		if !slices.Contains(held, cid) {
			t.Errorf("a pin of the head does not hold track %s", cid)
		}
	}
	if slices.Contains(held, first.Manifest) {
		t.Errorf("a pin of the head holds the version before it, %s", first.Manifest)
	}
	b.canonical(k, append(held, pub.Manifest))

	record := fetch(b, "http://"+d.Gateway+"/ipns/"+pub.Name+"?format=ipns-record", "application/vnd.ipfs.ipns-record")
	file := filepath.Join(b.dir, "record")
	b.ok(os.WriteFile(file, record, 0o600))
	var seen struct {
		Validation struct{ Valid bool }
		Entry      struct{ Value string }
	}
	b.ok(json.Unmarshal(k.run(nil, "name", "inspect", "--enc=json", "--verify="+pub.Name, file), &seen))
	if !seen.Validation.Valid || seen.Entry.Value != "/ipfs/"+pub.Manifest {
		t.Errorf("ipfs name inspect: %+v, want /ipfs/%s", seen, pub.Manifest)
	}
	k.run(nil, "name", "put", "--allow-offline", pub.Name, file)
	if got := strings.TrimSpace(string(k.run(nil, "name", "resolve", "--nocache", pub.Name))); got != "/ipfs/"+pub.Manifest {
		t.Errorf("ipfs name resolve gives %s, want /ipfs/%s", got, pub.Manifest)
	}

	// With its source gone Kubo has all of it; what it never had it has not.
	b.ok(d.Stop())
	for cid, want := range sealed {
		if got := k.run(nil, "cat", "--offline", cid); !bytes.Equal(got, want) {
			t.Errorf("%s from the pin differs", cid)
		}
	}
	k.fails("cat", "--offline", first.Manifest)
}

// A stranger with stock Kubo reads a preview by `ipfs cat` and plays it by
// ffmpeg; a pin of the head holds the card and the previews too.
func TestStockKuboReadsPreviews(t *testing.T) {
	b := newBench(t)
	files := sources(b)
	dj := b.box("dj")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish"}, files...)...))
	b.run(dj.Command(b.ctx, "card", "set", "--dj", "Anna", "--playlist", "main", "--words", "Until noon"), nil)
	b.run(dj.Command(b.ctx, "card", "preview", "main"), nil)
	b.ok(dj.JSON(b.ctx, &pub, "publish")) // tells the newest manifest
	var card struct {
		Playlists []struct {
			Tracks []struct{ Preview struct{ CID string } }
		}
	}
	b.ok(dj.JSON(b.ctx, &card, "card", "show"))
	d := b.start(dj)
	k := b.kubo("kubo")
	k.run(nil, "swarm", "connect", d.Addrs[0])
	k.run(nil, "pin", "add", pub.Manifest)
	held := strings.Fields(string(k.run(nil, "refs", "-r", "-u", pub.Manifest)))
	b.canonical(k, append(held, pub.Manifest))
	b.ok(d.Stop())
	if len(card.Playlists) != 1 || len(card.Playlists[0].Tracks) != len(files) {
		t.Fatalf("%+v", card)
	}
	for i, tr := range card.Playlists[0].Tracks {
		if !slices.Contains(held, tr.Preview.CID) {
			t.Errorf("a pin of the head does not hold preview %d", i)
		}
		clip := k.run(nil, "cat", "--offline", tr.Preview.CID)
		cid := k.run(clip, "add", "-Q", "--only-hash", "--cid-version=1", "--raw-leaves", "--chunker=size-131072")
		if got := strings.TrimSpace(string(cid)); got != tr.Preview.CID {
			t.Errorf("ipfs add gives %s for preview %s", got, tr.Preview.CID)
		}
		file := filepath.Join(b.dir, "clip")
		b.ok(os.WriteFile(file, clip, 0o600))
		sound, err := drive.Decode(file, 48000)
		b.ok(err)
		loud := slices.Max(sound.PCM)
		if n := len(sound.PCM) / 2; n < 5*48000 || n > 30*48000 || loud < 2000 {
			t.Errorf("preview %d: %d samples, the loudest %d", i, n, loud)
		}
	}
}

// sources writes one record's tracks as FLAC, WAV and mp3.
func sources(b *bench) []string {
	pcm := piece.Render(44100)
	sound := drive.Sound{Rate: 44100, PCM: make([]int16, 2*300_007)}
	for i := range sound.PCM {
		sound.PCM[i] = int16(pcm[2*500_000+i] * 32767)
	}
	flac, err := sound.Encode(b.dir, "1", "One", "flac")
	b.ok(err)
	wav, err := sound.Encode(b.dir, "2", "Two", "wav")
	b.ok(err)
	mp3, err := sound.Encode(b.dir, "3", "Three", "mp3", "-V", "2")
	b.ok(err)
	return []string{flac, wav, mp3, shipped(b, "3-morning.mp3")[0]}
}

// shipped writes the demo's own tracks, which takes no encoding.
func shipped(b *bench, names ...string) (files []string) {
	b.Helper()
	for _, name := range names {
		content, err := fs.ReadFile(music.Files(), name)
		b.ok(err)
		files = append(files, filepath.Join(b.dir, name))
		b.ok(os.WriteFile(files[len(files)-1], content, 0o600))
	}
	return files
}

// sounds fails unless plain, which was sealed, sounds as the file at path does,
// to decoders that are not ours. Of an mp3 it must be the very audio frames.
func sounds(b *bench, path string, plain []byte) {
	b.Helper()
	opened := filepath.Join(b.TempDir(), "opened"+filepath.Ext(path))
	b.ok(os.WriteFile(opened, plain, 0o600))
	if filepath.Ext(path) != ".mp3" {
		want, err := drive.Decode(path, 44100)
		b.ok(err)
		got, err := drive.Decode(opened, 44100)
		b.ok(err)
		if !slices.Equal(got.PCM, want.PCM) {
			b.Errorf("%s: %d samples opened, %d in the source, or others", path, len(got.PCM), len(want.PCM))
		}
		return
	}
	source, err := os.ReadFile(path)
	b.ok(err)
	if len(plain) < len(source)*9/10 || !bytes.Contains(source, plain) {
		b.Errorf("%s: what was sealed, %d bytes, is not a stretch of the source's %d", path, len(plain), len(source))
	}
	untrimmed := func(file string) []byte {
		return b.run(exec.CommandContext(b.ctx, "mpg123", "-q", "--no-gapless", "-e", "s16", "-s", file), nil)
	}
	if !bytes.Equal(untrimmed(opened), untrimmed(path)) {
		b.Errorf("%s: mpg123 hears another sound in what was sealed", path)
	}
}

// canonical has npm's dag-cbor read every record among cids.
func (b *bench) canonical(k *kubo, cids []string) {
	b.Helper()
	var frames []byte
	for _, cid := range cids {
		if !strings.HasPrefix(cid, "bafyrei") {
			continue
		}
		block := k.run(nil, "block", "get", cid)
		frames = binary.BigEndian.AppendUint32(frames, uint32(len(block)))
		frames = append(frames, cid...)
		frames = append(frames, block...)
	}
	counts := map[string]int{}
	b.ok(json.Unmarshal(b.npm("cbor.mjs", frames), &counts))
	for _, t := range []string{"envelope head", "envelope root", "envelope manifest", "block"} {
		if counts[t] == 0 {
			b.Errorf("npm read %v: no %s", counts, t)
		}
	}
}

func fetch(b *bench, url, accept string) []byte {
	b.Helper()
	req, err := http.NewRequestWithContext(b.ctx, "GET", url, nil)
	b.ok(err)
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	b.ok(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.ok(err)
	if res.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s: %.200s", url, res.Status, body)
	}
	return body
}
