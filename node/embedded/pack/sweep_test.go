package pack

import (
	"bytes"
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
			return s.Sweep()
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

// TestDeletedWhileMoved: a block that goes while it is moved is gone, also
// after a start; one that is put again meanwhile is there.
func TestDeletedWhileMoved(t *testing.T) {
	for _, again := range []bool{false, true} {
		disk := newDisk(1)
		s, live, _ := filled(t, disk)
		b := live[0]
		sum := digestOf(b.CID)
		moved, put := &deposit{}, &deposit{}
		moved.add(item{sum, b.Data, s.find(sum)[0]})
		put.add(item{digest: sum, data: b.Data})
		s.Drop(b.CID)
		group := []*deposit{moved}
		if again {
			group = append(group, put)
		}
		s.writing <- struct{}{}
		if err := s.write(group); err != nil {
			t.Fatal(err)
		}
		<-s.writing
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
