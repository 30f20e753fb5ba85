package pack

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// filled has a store of many small packs, of which every other block is dead.
func filled(t *testing.T, disk *fragile) (s *Store, live, dead []node.Block) {
	t.Helper()
	s, err := Open(Config{disk: disk, room: smallRoom})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		b := node.NewBlock(cid.Raw, append(bytes.Repeat([]byte{7}, 1000), byte(i), byte(i>>8)))
		if err := s.Keep(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			live = append(live, b)
		} else {
			dead = append(dead, b)
		}
	}
	for _, b := range dead {
		s.Drop(b.CID)
	}
	return s, live, dead
}

// TestListedWhileSwept: what lives all the time is listed, wherever it goes.
func TestListedWhileSwept(t *testing.T) {
	disk := newDisk(1)
	disk.solid = true
	s, live, dead := filled(t, disk)
	before := len(s.all())
	listed := map[string]bool{}
	err := s.Each(t.Context(), func(c cid.Cid, _ int64) error {
		if listed[string(c.Hash())] = true; len(listed) == 10 {
			return s.Sweep(t.Context())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range live {
		if !listed[string(b.CID.Hash())] {
			t.Fatalf("block %d of %d is not listed", i, len(live))
		}
	}
	for _, b := range dead {
		if has, _ := s.Has(t.Context(), b.CID); has || listed[string(b.CID.Hash())] {
			t.Fatal("a deleted block is listed or held")
		}
	}
	if after := len(s.all()); after >= before {
		t.Errorf("%d packs of %d are left", after, before)
	}
}

// moving has a block that lives, and what moves it.
func moving(t *testing.T, disk *fragile) (s *Store, b node.Block, moved *deposit) {
	t.Helper()
	s, live, _ := filled(t, disk)
	moved = &deposit{}
	moved.add(item{digestOf(live[0].CID), live[0].Data, s.find(digestOf(live[0].CID))[0]})
	return s, live[0], moved
}

func (s *Store) writeAlone(t *testing.T, group ...*deposit) {
	t.Helper()
	s.writing <- struct{}{}
	if err := s.write(group); err != nil {
		t.Error(err)
	}
	<-s.writing
}

// TestDeletedWhileMoved: a block that goes while it is moved is gone, also
// after a start; one that is put again meanwhile is there.
func TestDeletedWhileMoved(t *testing.T) {
	for _, again := range []bool{false, true} {
		disk := newDisk(1)
		s, b, moved := moving(t, disk)
		group := []*deposit{moved}
		if again {
			s.Drop(b.CID)
			put := &deposit{}
			put.add(item{digest: digestOf(b.CID), data: b.Data})
			group = append(group, put)
		} else {
			disk.held = func() { disk.held = nil; s.Drop(b.CID) }
		}
		s.writeAlone(t, group...)
		for range 2 {
			if has, _ := s.Has(t.Context(), b.CID); has != again {
				t.Fatalf("put again %v, held %v", again, has)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if s, err = Open(Config{disk: disk.after(), room: smallRoom}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDeletedBeforeMoved: a move brings nothing back that the disk knows to be
// dead, whatever comes before the next flush.
func TestDeletedBeforeMoved(t *testing.T) {
	disk := newDisk(1)
	s, b, moved := moving(t, disk)
	if err := s.Delete(t.Context(), b.CID); err != nil {
		t.Fatal(err)
	}
	s.writeAlone(t, moved)
	s, err := Open(Config{disk: disk.after(), room: smallRoom})
	if err != nil {
		t.Fatal(err)
	}
	if has, _ := s.Has(t.Context(), b.CID); has {
		t.Error("a deleted block is back")
	}
}

// TestPutWhileMoved: of a block that is put while it is moved one copy lives.
func TestPutWhileMoved(t *testing.T) {
	s, b, moved := moving(t, newDisk(1))
	put := &deposit{}
	put.add(item{digest: digestOf(b.CID), data: b.Data})
	s.writeAlone(t, moved, put)
	if n := len(s.find(digestOf(b.CID))); n != 1 {
		t.Errorf("%d copies live", n)
	}
	if data, err := s.Read(t.Context(), b.CID); err != nil || !bytes.Equal(data, b.Data) {
		t.Error(err)
	}
}

// TestMovedWhileDropped: what a sweep takes elsewhere goes all the same.
func TestMovedWhileDropped(t *testing.T) {
	disk := newDisk(1)
	s, b, moved := moving(t, disk)
	disk.read = func() { disk.read = nil; s.writeAlone(t, moved) }
	if was := s.Drop(b.CID); !was {
		t.Error("it was there")
	}
	if has, _ := s.Has(t.Context(), b.CID); has {
		t.Error("a deleted block is held")
	}
}

// TestGoneForGood: no cut brings back a pack of which nothing lived, also when
// somebody was reading it, or the disk failed at first.
func TestGoneForGood(t *testing.T) {
	for seed := range uint64(12) {
		disk := newDisk(seed)
		s, live, _ := filled(t, disk)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, b := range live {
			s.Drop(b.CID)
		}
		left := 1
		switch seed % 3 {
		case 1:
			pk := s.packs[3]
			if _, err := s.hold(pk); err != nil {
				t.Fatal(err)
			}
			defer s.letGo(pk)
			left++
		case 2:
			disk.fails = "names"
			if err := s.Flush(); err == nil {
				t.Fatal("the disk has failed, and nobody was told")
			}
			disk.fails = ""
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if n := len(s.all()); n != left {
			t.Fatalf("%d packs are left for nothing", n)
		}
		s, err := Open(Config{disk: disk.after(), room: smallRoom})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Each(t.Context(), func(c cid.Cid, _ int64) error {
			t.Errorf("seed %d: %s is back", seed, c)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if n := len(s.all()); n > 1 {
			t.Fatalf("%d packs are left for nothing", n)
		}
	}
}

// TestPlaceOfTheDead: where a deleted block lay at a pack's end, and the index
// is lost, nothing is written that would be taken for the dead one.
func TestPlaceOfTheDead(t *testing.T) {
	disk := newDisk(1)
	var s *Store
	reopen := func() {
		t.Helper()
		if s != nil {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if s, err = Open(Config{disk: disk, room: smallRoom}); err != nil {
			t.Fatal(err)
		}
	}
	reopen()
	var all []node.Block
	for i := range 3 {
		all = append(all, node.NewBlock(cid.Raw, append(make([]byte, 2000), byte(i))))
	}
	for _, b := range all[:2] {
		if err := s.Keep(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), all[1].CID); err != nil {
		t.Fatal(err)
	}
	delete(disk.now, indexName(1))
	reopen()
	if err := s.Keep(t.Context(), all[2]); err != nil {
		t.Fatal(err)
	}
	reopen()
	for i, want := range []bool{true, false, true} {
		if has, _ := s.Has(t.Context(), all[i].CID); has != want {
			t.Errorf("block %d held: %v", i, has)
		}
	}
}

// TestStaleRows: rows of packs that are no more go at a start, and no cut in
// that brings back what was deleted.
func TestStaleRows(t *testing.T) {
	for cut := -1; cut < 12; cut++ {
		disk := newDisk(uint64(cut + 1))
		s, live, dead := filled(t, disk)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		x := disk.now[deadName]
		for i := range 2 * staleRows {
			x.now = append(x.now, grave{placeOf(1000, int64(i)*align, 0), salt{}}.row()...)
		}
		long := len(x.now)
		x.kept = x.now
		disk.left = cut
		if s, err := Open(Config{disk: disk, room: smallRoom}); err == nil && cut < 0 {
			if n := len(disk.now[deadName].now); n >= long/2 {
				t.Errorf("%d bytes of rows of %d are left", n, long)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			disk = disk.after()
			s, err := Open(Config{disk: disk, room: smallRoom})
			if err != nil {
				t.Fatal(err)
			}
			for i := range live {
				a, _ := s.Has(t.Context(), live[i].CID)
				b, _ := s.Has(t.Context(), dead[i].CID)
				if !a || b {
					t.Fatalf("cut %d: block %d lives %v, its neighbour %v", cut, i, a, b)
				}
			}
		}
	}
}

// TestSweptInParts: a sweep ends when it has done its part, or is to, and the
// next goes on.
func TestSweptInParts(t *testing.T) {
	disk := newDisk(1)
	disk.solid = true
	s, live, _ := filled(t, disk)
	before := len(s.all())
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Sweep(ended); !errors.Is(err, context.Canceled) || len(s.all()) != before {
		t.Errorf("%d packs of %d are left by what was not to begin: %v", len(s.all()), before, err)
	}
	if len(s.pending) > 0 {
		t.Error("the disk was not told what is dead")
	}
	parts := 0
	for ; s.wasteful() != nil && parts < before; parts++ {
		if err := s.sweep(t.Context(), smallRoom); err != nil {
			t.Fatal(err)
		}
	}
	if s.wasteful() != nil || parts < 3 {
		t.Errorf("%d packs of %d are left, after %d sweeps", len(s.all()), before, parts)
	}
	for _, b := range live {
		if _, err := s.Read(t.Context(), b.CID); err != nil {
			t.Fatal(err)
		}
	}
}
