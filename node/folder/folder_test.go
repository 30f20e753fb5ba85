package folder_test

import (
	"bytes"
	"errors"
	"io"
	stdhttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/folder"
	"playnode/node/nodetest"
)

func open(t *testing.T, cfg folder.Config) *folder.Folder {
	t.Helper()
	f, err := folder.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestConformance(t *testing.T) {
	nodetest.Blocks(t, func(t *testing.T) nodetest.Store {
		dir := t.TempDir()
		var store func() nodetest.Store
		store = func() nodetest.Store {
			f := open(t, folder.Config{Dir: dir})
			return nodetest.Store{
				Blocks: f,
				Damage: func(c cid.Cid) {
					if err := os.WriteFile(filepath.Join(dir, "ipfs", c.String()), []byte("rot"), 0o644); err != nil {
						t.Fatal(err)
					}
				},
				Reopen: func() nodetest.Store { f.Close(); return store() },
			}
		}
		return store()
	})
}

// TestServed has a web host that knows nothing serve the folder.
func TestServed(t *testing.T) {
	dir := t.TempDir()
	f := open(t, folder.Config{Dir: dir})
	b := node.NewBlock(cid.DagCBOR, []byte{0x80})
	if err := errors.Join(f.Put(t.Context(), b), f.PutRecord("k51name", []byte("old")), f.PutRecord("k51name", []byte("new"))); err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(stdhttp.FileServer(stdhttp.Dir(dir)))
	defer host.Close()
	for path, want := range map[string][]byte{"/ipfs/" + b.CID.String() + "?format=raw": b.Data, "/ipns/k51name?format=ipns-record": []byte("new")} {
		res, err := host.Client().Get(host.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || !bytes.Equal(got, want) {
			t.Errorf("%s: %s, %q", path, res.Status, got)
		}
	}
	for path, mode := range map[string]os.FileMode{"ipfs/" + b.CID.String(): 0o644, "ipns/k51name": 0o644, "ipfs": 0o755, ".playnode": 0o700} {
		if st, err := os.Stat(filepath.Join(dir, path)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	if got, err := f.Records(); err != nil || len(got) != 1 || string(got["k51name"]) != "new" {
		t.Errorf("records %q, %v", got, err)
	}
	for _, bad := range []string{"", "../x", ".x", `a\b`} {
		if f.PutRecord(bad, []byte("x")) == nil {
			t.Errorf("a record of %q was taken", bad)
		}
	}
}

// TestRelease has blocks go after the grace, which outlives the process, and
// files of others stay.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_000_000, 0)
	cfg := folder.Config{Dir: dir, Grace: time.Hour, Now: func() time.Time { return now }}
	f := open(t, cfg)
	a, b := node.NewBlock(cid.Raw, []byte("a")), node.NewBlock(cid.Raw, []byte("b"))
	if err := f.Put(t.Context(), a, b); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "ipfs", "index.html")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	release := func(want int, unwanted ...cid.Cid) {
		t.Helper()
		n, bytes, err := f.Release(t.Context(), unwanted)
		if err != nil || n != want || bytes != int64(want) {
			t.Fatalf("released %d of %d bytes, %v; want %d", n, bytes, err, want)
		}
	}
	release(0, a.CID, b.CID)
	now = now.Add(59 * time.Minute)
	release(0, a.CID) // b is wanted again
	f.Close()
	f = open(t, cfg)
	now = now.Add(time.Minute)
	release(1, a.CID, b.CID)
	seen := 0
	if err := f.Each(t.Context(), func(c cid.Cid, size int64) error {
		seen++
		if c != b.CID || size != 1 {
			t.Errorf("%s of %d bytes is here", c, size)
		}
		return nil
	}); err != nil || seen != 1 {
		t.Fatalf("%d blocks, %v", seen, err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// TestOpen refuses what is not ours, clears what was half written, and lets
// one in at a time.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "site")
	if err := errors.Join(os.MkdirAll(filepath.Join(site, "ipfs"), 0o755), os.WriteFile(filepath.Join(site, "ipfs", "x"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if f, err := folder.Open(folder.Config{Dir: site}); err == nil {
		f.Close()
		t.Error("a folder of somebody else's was taken")
	}
	own := filepath.Join(dir, "own")
	f := open(t, folder.Config{Dir: own})
	if _, err := folder.Open(folder.Config{Dir: own}); !errors.Is(err, folder.ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	f.Close()
	half := filepath.Join(own, "ipfs", ".new-x")
	if err := os.WriteFile(half, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, folder.Config{Dir: own})
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a file is still there: %v", err)
	}
}

// TestWrite leaves the file that was there where a new one fails.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	f := open(t, folder.Config{Dir: dir})
	write := func(s string, fail error) error {
		return f.Write("x.car", func(w io.Writer) error { _, err := io.WriteString(w, s); return errors.Join(err, fail) })
	}
	if err := write("one", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("two", io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "x.car")); err != nil || string(got) != "one" {
		t.Fatalf("%q, %v", got, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 {
		t.Errorf("%v is left", entries)
	}
}

// TestLeavesNothing has a write fail, as on a full disk: what was there stays,
// and nothing half written takes room.
func TestLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := open(t, folder.Config{Dir: dir})
	a, b := node.NewBlock(cid.Raw, []byte("a")), node.NewBlock(cid.Raw, []byte("b"))
	if err := f.Put(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	// A folder where a block's file would be.
	if err := os.MkdirAll(filepath.Join(dir, "ipfs", b.CID.String(), "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), b); err == nil {
		t.Fatal("written over a folder")
	}
	if has, err := f.Has(t.Context(), b.CID); has || err != nil {
		t.Errorf("it is said to be here: %v, %v", has, err)
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "ipfs")); len(entries) != 2 {
		t.Errorf("left over: %v", entries)
	}
	if got, err := f.Read(t.Context(), a.CID); err != nil || string(got) != "a" {
		t.Errorf("%q, %v", got, err)
	}
}
