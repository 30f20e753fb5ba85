package player

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// slowly is a store whose other blocks come one after the other, each after so
// long, and are here then.
type slowly struct {
	store
	each time.Duration
	here *sync.Map
}

func (s slowly) Get(ctx context.Context, c cid.Cid, want node.Want) ([]byte, error) {
	if _, ok := s.here.Load(c); !ok {
		select {
		case <-time.After(s.each):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		s.here.Store(c, true)
	}
	return s.store.Get(ctx, c, want)
}

func (s slowly) Has(_ context.Context, c cid.Cid) (bool, error) {
	_, ok := s.here.Load(c)
	return ok, nil
}

// TestWhatHasComeIsNotThin: a track in line that came more slowly than it sounds is
// neither short nor thin any more once all of it is here.
func TestWhatHasComeIsNotThin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowly{store{}, 9 * time.Second, &sync.Map{}}
		var links []cid.Cid
		var sizes []uint64
		for i := range 2 {
			links, sizes = append(links, s.leaf(make([]byte, 128<<10+i))), append(sizes, uint64(128<<10+i))
		}
		f, err := s.open(t, s.branch(links, sizes), 2*128<<10+1)
		if err != nil {
			t.Fatal(err)
		}
		b := &Playback{p: &Player{cfg: Config{Fetch: s, Held: s, Now: time.Now, Patience: time.Minute}}, opened: make(chan struct{}, 1)}
		o := &opening{since: time.Now(), urge: within(time.Now(), 0)}
		went := make(chan struct{})
		go func() { b.watch(t.Context(), o, &deck{file: f}); close(went) }()
		wait(10 * time.Second)
		if !o.short.Load() || !o.thin.Load() {
			t.Errorf("half of it is here: short %v, thin %v", o.short.Load(), o.thin.Load())
		}
		<-went
		if o.short.Load() || o.thin.Load() || len(b.opened) == 0 {
			t.Errorf("all of it is here: short %v, thin %v, told: %v", o.short.Load(), o.thin.Load(), len(b.opened) > 0)
		}
	})
}

// noting is a world some of whose blocks never come, and which takes note of how
// urgent the first want of each was.
type noting struct {
	*blocking
	mu    sync.Mutex // guards first
	first map[cid.Cid]node.Want
}

func (f *noting) Get(ctx context.Context, c cid.Cid, want node.Want) ([]byte, error) {
	f.mu.Lock()
	if _, ok := f.first[c]; !ok {
		f.first[c] = want
	}
	f.mu.Unlock()
	return f.blocking.Get(ctx, c, want)
}

// TestWhatStandsByIsInNoHurry: tracks that are lined up in case the next is late do
// not take the line from it: theirs are wanted after its own, each after the one
// before.
func TestWhatStandsByIsInNoHurry(t *testing.T) {
	w, cids := tones(t, 12, 200, 300, 400, 500)
	synctest.Test(t, func(t *testing.T) {
		f := &noting{blocking: &blocking{world: w, never: map[cid.Cid]bool{w.leaves(cids[1])[0]: true}}, first: map[cid.Cid]node.Want{}}
		r := begin(t, w.player(), Request{}, func(p *Player) { p.cfg.Fetch = f })
		defer r.end()
		wait(5 * time.Second)
		began := w.clock()
		f.mu.Lock()
		defer f.mu.Unlock()
		var until []time.Duration
		for i, c := range cids[1:3] {
			x, ok := f.first[c]
			if !ok || x.Class != node.Next {
				t.Fatalf("track %d: asked for, %v, as %+v", i+1, ok, x)
			}
			until = append(until, x.Deadline.Sub(began))
		}
		if !slices.IsSorted(until) || until[0] <= 0 || until[1]-until[0] < 8*time.Second {
			t.Errorf("those in line are wanted in %v", until)
		}
	})
}

// TestALeafIsDueWhenItsChunkIs: what begins in a leaf that has come is sealed with what
// comes with the next: that one is wanted so much sooner.
func TestALeafIsDueWhenItsChunkIs(t *testing.T) {
	s := store{}
	var links []cid.Cid
	var sizes []uint64
	for i := range 3 {
		links, sizes = append(links, s.leaf(make([]byte, 128<<10+i))), append(sizes, uint64(128<<10+i))
	}
	f, err := s.open(t, s.branch(links, sizes), 3*128<<10+3)
	if err != nil {
		t.Fatal(err)
	}
	pace := float64(3*128<<10+3) / 10
	for _, c := range []struct {
		leaf  int
		at    int64
		bytes int64
	}{{0, 0, 0}, {1, 0, 128<<10 - unread}, {1, 128<<10 - 1, 0}, {2, 0, 256<<10 + 1 - unread}, {2, 100 << 10, 156<<10 + 1 - unread}} {
		if in, want := f.until(c.leaf, c.at), time.Duration(float64(c.bytes)/pace*float64(time.Second)); in != want {
			t.Errorf("leaf %d is due %v after byte %d, and not %v", c.leaf, in, c.at, want)
		}
	}
}

// stalling is a slowly of which one block does not come.
type stalling struct {
	slowly
	never cid.Cid
}

func (s stalling) Get(ctx context.Context, c cid.Cid, want node.Want) ([]byte, error) {
	if c == s.never {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.slowly.Get(ctx, c, want)
}

// TestWhatComesInTimeIsNotShort: a track in line of which all comes in time, by how it
// has come so far, is as good as whole; and is short when it comes no more.
func TestWhatComesInTimeIsNotShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowly{store{}, 2 * time.Second, &sync.Map{}}
		var links []cid.Cid
		var sizes []uint64
		for i := range 2 {
			links, sizes = append(links, s.leaf(make([]byte, 128<<10+i))), append(sizes, uint64(128<<10+i))
		}
		stalls := stalling{s, links[1]}
		f, err := s.open(t, s.branch(links, sizes), 2*128<<10+1)
		if err != nil {
			t.Fatal(err)
		}
		f.pace /= 4 // 40 s
		b := &Playback{p: &Player{cfg: Config{Fetch: stalls, Held: s, Now: time.Now, Patience: time.Minute}}, opened: make(chan struct{}, 1)}
		o := &opening{since: time.Now(), urge: within(time.Now(), 0)}
		ctx, cancel := context.WithCancel(t.Context())
		went := make(chan struct{})
		go func() { b.watch(ctx, o, &deck{file: f}); close(went) }()
		wait(time.Second + time.Millisecond)
		if !o.short.Load() {
			t.Error("nothing is here, and it is not short")
		}
		wait(2 * time.Second)
		if o.short.Load() || o.thin.Load() {
			t.Errorf("it comes in time: short %v, thin %v", o.short.Load(), o.thin.Load())
		}
		wait(20 * time.Second)
		if !o.short.Load() || !o.thin.Load() {
			t.Errorf("it comes no more: short %v, thin %v", o.short.Load(), o.thin.Load())
		}
		cancel()
		<-went
	})
}
