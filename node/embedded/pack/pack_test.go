package pack_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/embedded/pack"
	"playnode/node/nodetest"
)

func open(t *testing.T, dir string) *pack.Store {
	t.Helper()
	s, err := pack.Open(pack.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// damage flips a bit of a block.
func damage(t *testing.T, dir string, c cid.Cid) {
	t.Helper()
	spots, err := pack.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(spots, func(s pack.Spot) bool { return s.CID == c })
	if i < 0 {
		t.Fatalf("%s is not among %d blocks", c, len(spots))
	}
	nodetest.Flip(t, spots[i].File, spots[i].At+int64(spots[i].Size/2))
}

func TestConformance(t *testing.T) {
	nodetest.Blocks(t, func(t *testing.T) nodetest.Store {
		dir := filepath.Join(t.TempDir(), "packs")
		var reopen func() nodetest.Store
		reopen = func() nodetest.Store {
			s := open(t, dir)
			return nodetest.Store{
				Blocks: s,
				Damage: func(c cid.Cid) { damage(t, dir, c) },
				Reopen: func() nodetest.Store {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					return reopen()
				},
			}
		}
		return reopen()
	})
}

// TestOneAtATime: a second process would write over the first one's blocks.
func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := pack.Open(pack.Config{Dir: dir}); !errors.Is(err, pack.ErrBusy) {
		t.Fatalf("a second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// TestRoomComesBack: what is deleted is the disk's again, and is so after a
// start.
func TestRoomComesBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var all []node.Block
	for i := range 64 {
		all = append(all, node.NewBlock(cid.Raw, append(bytes.Repeat([]byte{1}, 128<<10), byte(i))))
	}
	if err := s.Put(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	full := s.Used()
	if full < 8<<20 {
		t.Fatalf("%d bytes used", full)
	}
	for i, b := range all {
		if i%4 != 0 {
			s.Drop(b.CID)
		}
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if used := s.Used(); used > full/4+full/8 {
			t.Errorf("%d bytes of %d used when three blocks of four are deleted", used, full)
		}
		for i, b := range all {
			data, err := s.Read(t.Context(), b.CID)
			if (i%4 == 0) != (err == nil) || err == nil && !bytes.Equal(data, b.Data) {
				t.Fatalf("block %d: %v", i, err)
			}
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	check()
}

// TestStrangeFiles: what is not understood is left alone, and what a cut has
// left of a pack that never was goes.
func TestStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"0000003.pack": "playpack\x02\x00\x00\x00 of a later version, to be left alone",
		"0000004.pack": "", "0000005.index": "of no pack", "notes.txt": "mine",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	b := node.NewBlock(cid.Raw, []byte("block"))
	if err := errors.Join(s.Put(t.Context(), b), s.Sweep(t.Context())); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"0000003.pack": true, "0000004.pack": false, "0000005.index": true, "0000005.pack": true, "notes.txt": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BenchmarkPut writes 100 MiB in batches of 64 leaves.
func BenchmarkPut(b *testing.B) {
	const leaf, batches, batch = 128 << 10, 13, 64
	b.SetBytes(leaf * batches * batch)
	n := 0
	for b.Loop() {
		b.StopTimer()
		s, err := pack.Open(pack.Config{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		var all [batches][]node.Block
		for i := range all {
			for range batch {
				n++
				all[i] = append(all[i], node.NewBlock(cid.Raw, fmt.Appendf(make([]byte, leaf-8), "%8d", n)))
			}
		}
		b.StartTimer()
		for _, blocks := range all {
			if err := s.Keep(b.Context(), blocks...); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}
