package follow_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/node"
	"playnode/node/folder"
)

// shelf is a folder that is looked at after every write, and whose disk may
// fill up.
type shelf struct {
	*folder.Folder
	t    *testing.T
	left int // writes that the disk takes; below 0: any number
}

func newShelf(t *testing.T, dir string, now *time.Time, left int) *shelf {
	t.Helper()
	f, err := folder.Open(folder.Config{Dir: dir, Grace: time.Hour, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &shelf{f, t, left}
}

func (s *shelf) write(f func() error) error {
	if s.left == 0 {
		return node.ErrNoSpace
	}
	s.left--
	err := f()
	s.whole()
	return err
}

// Put writes the blocks one by one, so that there are more moments.
func (s *shelf) Put(ctx context.Context, blocks ...node.Block) error {
	for _, b := range blocks {
		if err := s.write(func() error { return s.Folder.Put(ctx, b) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) PutRecord(name string, raw []byte) error {
	return s.write(func() error { return s.Folder.PutRecord(name, raw) })
}

// whole fails the test unless all that the records point at is there. It
// returns how many blocks that is.
func (s *shelf) whole() int {
	s.t.Helper()
	records, err := s.Records()
	if err != nil {
		s.t.Fatal(err)
	}
	seen := map[cid.Cid]bool{}
	for name, raw := range records {
		rec, err := ipns.Open(ipns.Name(name), raw)
		if err != nil {
			s.t.Fatal(err)
		}
		for todo := []cid.Cid{rec.Value}; len(todo) > 0; todo = todo[1:] {
			if seen[todo[0]] {
				continue
			}
			seen[todo[0]] = true
			data, err := s.Read(s.t.Context(), todo[0])
			if err != nil {
				s.t.Fatalf("a reader of %s finds no %s: %v", name, todo[0], err)
			}
			links, _ := node.Links(todo[0], data)
			todo = append(todo, links...)
		}
	}
	return len(seen)
}

func (s *shelf) held() (n int) {
	s.t.Helper()
	if err := s.Each(s.t.Context(), func(cid.Cid, int64) error { n++; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestMirror brings version after version to a folder; at every write of it,
// and wherever the disk fills up, a reader finds all that a record points at.
func TestMirror(t *testing.T) {
	_, d, venue := stage(t)
	a, b := d.track(900, 100), d.track(400, 100)
	clock := now
	dir := t.TempDir()
	s := newShelf(t, dir, &clock, -1)
	d.publish(1, a)
	first, err := d.box.follow.Mirror(t.Context(), d.name, s, nil)
	if err != nil || first.Fresh != first.Blocks || !first.Renewed || s.whole() != first.Blocks {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := d.box.follow.Mirror(t.Context(), d.name, s, nil); err != nil || again.Fresh != 0 || again.Renewed || again.Freed != 0 {
		t.Fatalf("again: %+v, %v", again, err)
	}
	second := d.publish(2, a, b)
	for left := 0; ; left++ { // the disk fills up after every write there is
		s.left = left
		var progress []int
		m, err := d.box.follow.Mirror(t.Context(), d.name, s, func(done, total int) { progress = append(progress, done, total) })
		if err == nil {
			if m.Envelope != second || !m.Renewed || len(progress) > 0 && progress[len(progress)-2] != progress[len(progress)-1] {
				t.Fatalf("%+v, progress %v", m, progress)
			}
			break
		}
		if !errors.Is(err, node.ErrNoSpace) {
			t.Fatal(err)
		}
		s.Close() // and the process ends
		s = newShelf(t, dir, &clock, 0)
	}
	// Who has the old record still finds its blocks, until the grace is over.
	both := s.held()
	if both <= s.whole() {
		t.Fatalf("%d blocks, the newest version has %d", both, s.whole())
	}
	clock = clock.Add(2 * time.Hour)
	s.left = -1
	m, err := d.box.follow.Mirror(t.Context(), d.name, s, nil)
	if err != nil || m.Freed != both-s.held() || s.held() != s.whole() {
		t.Fatalf("%+v, %v: %d blocks, %d needed", m, err, s.held(), s.whole())
	}
	// A follower's mirror is the same, and a stale one does not go back.
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	other := newShelf(t, t.TempDir(), &clock, -1)
	if _, err := venue.follow.Mirror(t.Context(), name, other, nil); err != nil || other.whole() != s.whole() {
		t.Fatalf("%d blocks, %v", other.whole(), err)
	}
	d.publish(3, b)
	if _, err := d.box.follow.Mirror(t.Context(), d.name, other, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := venue.follow.Mirror(t.Context(), name, other, nil); !errors.Is(err, follow.ErrVerify) || !errors.Is(err, ipns.ErrRollback) {
		t.Fatalf("an older version over a newer: %v", err)
	}
}

// TestMirrorOfTwo has two DJs in one folder: the one's next version leaves the
// other's blocks alone.
func TestMirrorOfTwo(t *testing.T) {
	w, d, _ := stage(t)
	e := newDJ(t, newBox(t, w, "other"), "e")
	clock := now
	s := newShelf(t, t.TempDir(), &clock, -1)
	d.publish(1, d.track(900, 100))
	e.publish(1, e.track(500, 100))
	for _, dj := range []*dj{d, e} {
		if _, err := dj.box.follow.Mirror(t.Context(), dj.name, s, nil); err != nil {
			t.Fatal(err)
		}
	}
	d.publish(2, d.track(300, 100))
	for range 2 {
		if _, err := d.box.follow.Mirror(t.Context(), d.name, s, nil); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(2 * time.Hour)
	}
	if s.whole() != s.held() {
		t.Fatalf("%d blocks, %d needed", s.held(), s.whole())
	}
}
