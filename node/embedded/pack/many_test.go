package pack

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"
)

// TestManyBlocks opens a store of 13 GB, in files that have nothing in them
// but their heads, by what the indexes say: 102,400 leaves of 128 KiB.
func TestManyBlocks(t *testing.T) {
	const leaf, leaves, batch = 128 << 10, 102_400, 64
	path := t.TempDir()
	disk := dir(path)
	n := uint64(0)
	for number := uint32(1); n < leaves; number++ {
		k := salt{byte(number), byte(number >> 8)}
		f, err := disk.open(packName(number), true)
		if err != nil {
			t.Fatal(err)
		}
		x, err := disk.open(indexName(number), true)
		if err != nil {
			t.Fatal(err)
		}
		b := packHead(number, k)
		at := int64(headSize)
		for at+batch*takes(leaf) <= packRoom && n < leaves {
			var recs []record
			for range batch {
				r := record{at: at, size: leaf}
				binary.BigEndian.PutUint64(r.digest[:], n*0x9e3779b97f4a7c15)
				recs = append(recs, r)
				at += takes(leaf)
				n++
			}
			b = append(b, frame(k, recs, at)...)
		}
		if _, err := f.WriteAt(packHead(number, k), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.truncate(at); err != nil {
			t.Fatal(err)
		}
		if _, err := x.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		x.Close()
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	s, err := Open(Config{Dir: path})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d blocks in %d packs: opened in %v, %.1f MB", n, len(s.packs), took, float64(grown)/1e6)
	if grown > 20*leaves {
		t.Errorf("%d bytes of memory for %d blocks", grown, n)
	}
	live := int64(0)
	for _, pk := range s.all() {
		live += pk.live
	}
	// In one run of thousands two hashes are alike, and the heads that would
	// tell them apart are not there.
	if live < (leaves-2)*takes(leaf) || live > leaves*takes(leaf) || s.open.Load() > handles {
		t.Errorf("%d bytes live, %d files open", live, s.open.Load())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
