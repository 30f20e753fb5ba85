package archivist_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/archivist"
	"playnode/node"
	"playnode/publisher"
)

// shelf is a Pinning Service in memory that takes its time.
type shelf struct {
	mu     sync.Mutex // guards what follows
	n      int
	pins   []node.Copy
	next   []string // what the newest of ours is at each look, from the next on
	looked func()   // called at each look
	down   bool
}

var errDown = errors.New("the service is down")

func (s *shelf) list(keep func(node.Copy) bool) (out []node.Copy, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	for _, c := range s.pins {
		if keep(c) {
			out = append(out, c)
		}
	}
	return out, nil
}

func (s *shelf) Copies(_ context.Context, name string) ([]node.Copy, error) {
	s.mu.Lock()
	if last := len(s.pins) - 1; last >= 0 && len(s.next) > 0 && s.pins[last].Ours && s.pins[last].State != node.CopyPinned {
		s.pins[last].State, s.next = s.next[0], s.next[1:]
	}
	if s.looked != nil {
		s.looked()
	}
	s.mu.Unlock()
	return s.list(func(c node.Copy) bool { return c.Pin.Name == name })
}

func (s *shelf) Of(_ context.Context, root cid.Cid) ([]node.Copy, error) {
	return s.list(func(c node.Copy) bool { return c.Pin.Root == root })
}

func (s *shelf) Add(_ context.Context, p node.Pin, origins []string) (node.Copy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || len(origins) == 0 {
		return node.Copy{}, errDown
	}
	s.n++
	c := node.Copy{ID: fmt.Sprint(s.n), Pin: p, State: node.CopyQueued, Ours: true, Delegates: []string{"d"}}
	s.pins = append(s.pins, c)
	return c, nil
}

func (s *shelf) Remove(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins = slices.DeleteFunc(s.pins, func(c node.Copy) bool { return c.ID == id })
	return nil
}

// states are those of the pins there, in the order of asking.
func (s *shelf) states() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statesLocked()
}

func (s *shelf) statesLocked() (out []string) {
	for _, c := range s.pins {
		out = append(out, c.State)
	}
	return out
}

// TestCopiesElsewhere follows a name through three versions at a service that
// is slow, fails, holds what others asked for, and is away.
func TestCopiesElsewhere(t *testing.T) {
	dir := t.TempDir()
	dj := newBox(t)
	keys, err := publisher.OpenKeyring(newTable(), time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := publisher.New(publisher.Config{Keys: keys, Blocks: dj, Store: newTable(), Names: dj.names, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(i int) string {
		t.Helper()
		music := filepath.Join(dir, fmt.Sprint(i, ".wav"))
		wav(t, music, i)
		res, err := pub.Publish(t.Context(), []string{music}, publisher.Options{Playlist: "main"})
		if err != nil {
			t.Fatal(err)
		}
		return string(res.Name)
	}
	name := publish(1)
	s, met := &shelf{}, make(chan string, 16)
	b := newBox(t, dj.Addrs()[0])
	b.archivist = archivist.New(archivist.Config{Follow: b.follow, Names: b.names, Elsewhere: archivist.Elsewhere{
		Copies: s, Origins: b.Addrs, Looking: time.Millisecond,
		Meet: func(_ context.Context, addr string) error { met <- addr; return nil },
	}})
	archive := func() (archivist.Report, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		r, err := b.archivist.Archive(ctx, []string{name}, archivist.Options{Ask: true, Placed: true})
		return r[0], err
	}
	want := func(r archivist.Report, err error, states ...string) {
		t.Helper()
		if err != nil || r.Elsewhere != node.CopyPinned || !slices.Equal(s.states(), states) {
			t.Fatalf("%+v, %v; there: %v, want %v", r, err, s.states(), states)
		}
	}

	// Another's, under our very name, of something else: it is to stay.
	foreign := node.Copy{ID: "x", Pin: node.Pin{Name: "playnode/" + name, Root: node.NewBlock(cid.Raw, []byte("x")).CID}, State: "pinned"}
	s.pins = []node.Copy{foreign}
	s.next = []string{node.CopyQueued, node.CopyQueued, node.CopyPinning, node.CopyPinned}
	r, err := archive()
	want(r, err, "pinned", "pinned")
	if got := s.pins[1].Pin; got.Name != "playnode/"+name || got.Root != r.Envelope || <-met != "d" {
		t.Errorf("asked for %+v", got)
	}

	// The newer one fails at first: the older stays until it is there.
	publish(2)
	s.next = []string{node.CopyQueued, node.CopyFailed, node.CopyQueued, node.CopyPinned}
	var seen [][]string
	s.looked = func() { seen = append(seen, s.statesLocked()) }
	r, err = archive()
	want(r, err, "pinned", "pinned")
	if s.pins[1].Pin.Root != r.Envelope {
		t.Errorf("there is %v, not %s", s.pins, r.Envelope)
	}
	if !slices.ContainsFunc(seen, func(v []string) bool { return slices.Equal(v, []string{"pinned", "pinned", "failed"}) }) {
		t.Errorf("it never failed beside the older one: %v", seen)
	}

	// Somebody else has asked for the third already.
	publish(3)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	third, err := b.archivist.Archive(ctx, []string{name}, archivist.Options{Ask: true})
	if err != nil {
		t.Fatal(err)
	}
	s.pins = append(s.pins, node.Copy{ID: "y", Pin: node.Pin{Name: "theirs", Root: third[0].Envelope}, State: "pinned"})
	r, err = archive()
	want(r, err, "pinned", "pinned") // and the second is gone
	if s.pins[1].ID != "y" {
		t.Errorf("there are %v", s.pins)
	}

	s.down = true
	if r, err = archive(); !errors.Is(err, errDown) || r.Elsewhere != node.CopyFailed {
		t.Errorf("%+v, %v", r, err)
	}
	s.down = false
	s.pins = append(s.pins, node.Copy{ID: "z", Ours: true, Pin: node.Pin{Name: "playnode/" + name, Root: third[0].Envelope}, State: "pinned"})
	if err := b.archivist.Forget(ctx, third[0].Name); err != nil || len(s.pins) != 2 || s.pins[0].ID != "x" || s.pins[1].ID != "y" {
		t.Errorf("%v; there are %v", err, s.pins)
	}
}
