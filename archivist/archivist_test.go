package archivist_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"playnode/archivist"
	"playnode/fetch"
	"playnode/follow"
	"playnode/ipns"
	"playnode/node"
	"playnode/node/embedded"
	"playnode/node/embedded/pack"
	"playnode/node/nodetest"
	"playnode/publisher"
)

func TestMain(m *testing.M) {
	// A closed leveldb's pool drains for up to a second of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// table is a Store in memory.
type table struct {
	mu sync.Mutex
	m  map[string][]byte
}

func newTable() *table { return &table{m: map[string][]byte{}} }

func (s *table) Get(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key], nil
}

func (s *table) Put(key string, value []byte) error {
	return s.Apply(map[string][]byte{key: value}, nil)
}

func (s *table) Delete(key string) error { return s.Apply(nil, []string{key}) }

func (s *table) Each(prefix string, f func(string, []byte) error) error {
	s.mu.Lock()
	rows := maps.Clone(s.m)
	s.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if strings.HasPrefix(k, prefix) {
			if err := f(k, rows[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *table) Apply(puts map[string][]byte, deletes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.m, puts)
	for _, k := range deletes {
		delete(s.m, k)
	}
	return nil
}

// box is a machine with a real peer on loopback.
type box struct {
	*embedded.Node
	dir       string
	names     *ipns.Namer
	follow    *follow.Follower
	archivist *archivist.Archivist
	rows      [2]*table
}

func newBox(t *testing.T, peers ...string) *box {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{dir: t.TempDir(), rows: [2]*table{newTable(), newTable()}}
	b.Node, err = embedded.New(t.Context(), embedded.Config{
		Dir: b.dir, Identity: key, Network: embedded.None, Peers: peers,
		Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	b.names, err = ipns.New(ipns.Config{Store: b.rows[0], Now: time.Now, Peers: b})
	if err != nil {
		t.Fatal(err)
	}
	blocks := fetch.New(fetch.Config{Local: b, Sources: []fetch.Source{{Name: "bitswap", Getter: b}}, Now: time.Now})
	b.follow, err = follow.New(follow.Config{
		Names: b.names, Fetch: blocks, Blocks: b, Pinner: b, Held: b, Store: b.rows[1], Now: time.Now, Peers: b,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.archivist = archivist.New(archivist.Config{Follow: b.follow, Names: b.names})
	return b
}

// wav writes seconds of a tone under a name that is to stay secret.
func wav(t *testing.T, path string, seconds int) {
	t.Helper()
	const rate = 8000
	data := make([]byte, 2*rate*seconds)
	for i := range len(data) / 2 {
		binary.LittleEndian.PutUint16(data[2*i:], uint16(i*i>>6%9000))
	}
	h := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	h = binary.LittleEndian.AppendUint32(h, rate)
	h = binary.LittleEndian.AppendUint32(h, 2*rate)
	h = append(h, 2, 0, 16, 0, 'd', 'a', 't', 'a')
	h = binary.LittleEndian.AppendUint32(h, uint32(len(data)))
	binary.LittleEndian.PutUint32(h[4:], uint32(len(h)-8+len(data)))
	if err := os.WriteFile(path, append(h, data...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCatalogueSurvivesItsDJ: DJ to archivist, DJ gone, archivist to archivist,
// all over real peers; none of them holds a title or a sound.
func TestCatalogueSurvivesItsDJ(t *testing.T) {
	music := filepath.Join(t.TempDir(), "Zanzibar Nocturne.wav")
	wav(t, music, 60)
	dj := newBox(t)
	keys, err := publisher.OpenKeyring(newTable(), time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := publisher.New(publisher.Config{Keys: keys, Blocks: dj, Store: newTable(), Names: dj.names, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	res, err := pub.Publish(t.Context(), []string{music}, publisher.Options{Playlist: "main"})
	if err != nil {
		t.Fatal(err)
	}
	name := string(res.Name)

	first := newBox(t, dj.Addrs()[0])
	want := archive(t, first, name)
	if want.Missing != 0 || want.Blocks < 10 || want.Seq == 0 {
		t.Fatalf("report %+v", want)
	}
	dj.Close()
	second := newBox(t, first.Addrs()[0])
	if got := archive(t, second, name); !reflect.DeepEqual(got, want) {
		t.Fatalf("from an archivist: %+v, from the DJ: %+v", got, want)
	}
	if got := archive(t, second, name); !reflect.DeepEqual(got, want) {
		t.Fatalf("again: %+v, want %+v", got, want)
	}
	pins, err := second.Pins(t.Context())
	if err != nil || len(pins) != 1 || pins[0].Root != want.Envelope {
		t.Fatalf("pins %v, %v", pins, err)
	}

	// A damaged file of the store comes back from the neighbour.
	hurt := damageLargest(t, second)
	if _, err := second.Read(t.Context(), hurt); !errors.Is(err, node.ErrVerify) {
		t.Fatalf("the damage was not done: %v", err)
	}
	archive(t, second, name)
	if _, err := second.Read(t.Context(), hurt); err != nil {
		t.Fatalf("after the repair: %v", err)
	}

	sound, err := os.ReadFile(music)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	files := 0
	err = filepath.WalkDir(second.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		for _, secret := range [][]byte{[]byte("Zanzibar"), []byte("Nocturne"), sound[50_000:50_064]} {
			if bytes.Contains(data, secret) {
				t.Errorf("%s holds %q", path, secret)
			}
		}
		return err
	})
	if err != nil || files < 5 {
		t.Fatalf("%d files searched, %v", files, err)
	}
	for _, rows := range second.rows {
		for k, v := range rows.m {
			if strings.Contains(k+string(v), "Zanzibar") {
				t.Errorf("row %s holds the title", k)
			}
		}
	}
}

func archive(t *testing.T, b *box, name string) archivist.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	reports, err := b.archivist.Archive(ctx, []string{name}, archivist.Options{Ask: true})
	if err != nil {
		t.Fatal(err)
	}
	return reports[0]
}

// TestOneTrackMovesOneTrack adds one to forty: what an archivist fetches, asking
// for it as hard as it can, is that track and a little.
func TestOneTrackMovesOneTrack(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i := range 41 {
		files = append(files, filepath.Join(dir, fmt.Sprintf("%02d.wav", i)))
		wav(t, files[i], 5+i%3)
		data, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		data[100] = byte(i) // no two are one
		if err := os.WriteFile(files[i], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dj := newBox(t)
	keys, err := publisher.OpenKeyring(newTable(), time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := publisher.New(publisher.Config{Keys: keys, Blocks: dj, Store: newTable(), Names: dj.names, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	res, err := pub.Publish(t.Context(), files[:40], publisher.Options{Playlist: "main"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, dj.Addrs()[0])
	whole := archive(t, b, string(res.Name))
	before := b.Traffic().Received
	if _, err := pub.Publish(t.Context(), files[40:], publisher.Options{Playlist: "main"}); err != nil {
		t.Fatal(err)
	}
	after := archive(t, b, string(res.Name))
	sound, err := os.Stat(files[40])
	if err != nil {
		t.Fatal(err)
	}
	moved := b.Traffic().Received - before
	t.Logf("%d bytes moved for a track of %d, in a catalogue of %d", moved, sound.Size(), after.Bytes)
	if after.Seq != whole.Seq+1 || moved < sound.Size() || moved > sound.Size()+64<<10 {
		t.Fatalf("%d bytes moved for a track of %d", moved, sound.Size())
	}
}

// damageLargest flips a bit in the store's largest block and says whose.
func damageLargest(t *testing.T, b *box) (hurt cid.Cid) {
	t.Helper()
	spots, err := pack.List(filepath.Join(b.dir, "packs"))
	if err != nil || len(spots) == 0 {
		t.Fatalf("%d blocks, %v", len(spots), err)
	}
	largest := slices.MaxFunc(spots, func(x, y pack.Spot) int { return x.Size - y.Size })
	nodetest.Flip(t, largest.File, largest.At+100)
	return largest.CID
}

// TestOneOfTwoFails: a report for each, an error for the one.
func TestOneOfTwoFails(t *testing.T) {
	b := newBox(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, key, _ := ed25519.GenerateKey(nil)
	name, err := ipns.NameOf(key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	reports, err := b.archivist.Archive(ctx, []string{"no name", string(name)}, archivist.Options{Ask: true})
	if len(reports) != 2 || !errors.Is(err, follow.ErrNotFound) || reports[1].Name != name {
		t.Fatalf("%+v, %v", reports, err)
	}
}
