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

// trip is how long each block takes that is far away.
const trip = 20 * time.Millisecond

// distant is a fetch that takes a round trip for each block.
type distant struct {
	*world
	mu    sync.Mutex // guards what follows
	asked []cid.Cid
	when  map[cid.Cid]time.Time // they were asked for first
}

func (f *distant) Get(ctx context.Context, c cid.Cid, want node.Want) ([]byte, error) {
	f.mu.Lock()
	f.asked = append(f.asked, c)
	if f.when == nil {
		f.when = map[cid.Cid]time.Time{}
	}
	if f.when[c].IsZero() {
		f.when[c] = time.Now()
	}
	f.mu.Unlock()
	select {
	case <-time.After(trip):
		return f.world.Get(ctx, c, want)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A start over the network takes two round trips: one for the metadata, that of
// its neighbours, whose level it may have, and the tree together, one for the first
// leaf. No other leaf is wanted as urgently, nor before that one is here, and the
// last not at all.
func TestAStartTakesTwoRoundTrips(t *testing.T) {
	w, cids := tones(t, 30, 200, 300, 400)
	leaves := w.leaves(cids[0])
	if len(leaves) < 5 {
		t.Fatalf("%d leaves", len(leaves))
	}
	synctest.Test(t, func(t *testing.T) {
		f := &distant{world: w}
		p := w.player()
		p.Prepare(t.Context()) // the order is open, as it is in a daemon
		for _, o := range p.orders {
			o.infos, o.sets = nil, nil
		}
		p.cfg.Fetch = f
		clear(w.wants)
		rm := &room{}
		p.open = rm.open
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began, first := time.Now(), time.Duration(0)
		b, err := p.Open(Request{Sink: "null", Loudness: "-18"}, func(e Event) {
			if e.Kind == Started {
				first = time.Since(began)
				cancel()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		b.Run(ctx)
		if first == 0 || first >= 3*trip {
			t.Errorf("the first sample came after %v", first)
		}
		var now []cid.Cid
		for c, wants := range w.wants {
			if slices.ContainsFunc(wants, func(x node.Want) bool { return x.Class == node.Now }) && slices.Contains(leaves, c) {
				now = append(now, c)
			}
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if d := f.when[leaves[1]].Sub(f.when[leaves[0]]); d < trip {
			t.Errorf("the second leaf is asked for %v after the first", d)
		}
		if len(now) != 1 || now[0] != leaves[0] || slices.Contains(f.asked, leaves[len(leaves)-1]) {
			t.Errorf("%d of %d leaves are wanted now, the last one: %v", len(now), len(leaves), slices.Contains(f.asked, leaves[len(leaves)-1]))
		}
	})
}

// A track in line wants its blocks by its turn, and at once when somebody asks
// for it.
func TestWhatIsInLineIsHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, now: time.Unix(1000, 0), blocks: map[cid.Cid][]byte{}, wants: map[cid.Cid][]node.Want{}}
		b := node.NewBlock(cid.Raw, []byte("block"))
		w.Put(t.Context(), b)
		f := &distant{world: w}
		p := &Player{cfg: Config{Fetch: f, Now: w.clock, Patience: time.Second}}
		u := within(w.now, time.Minute)
		done := make(chan error, 1)
		go func() {
			_, err := u.get(t.Context(), p, b.CID, node.Now, time.Second)
			done <- err
		}()
		<-time.After(trip / 2)
		u.hurry()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		<-time.After(trip)
		w.mu.Lock()
		defer w.mu.Unlock()
		f.mu.Lock()
		defer f.mu.Unlock()
		if x := w.wants[b.CID]; len(x) == 0 || x[0] != (node.Want{Class: node.Next, Deadline: time.Unix(1061, 0)}) || len(f.asked) != 2 {
			t.Errorf("asked for %d times: %+v", len(f.asked), x)
		}
	})
}

// A block is waited for as long as it comes, and no longer.
func TestPatienceIsWithSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := &Player{cfg: Config{Fetch: &blocking{never: map[cid.Cid]bool{{}: true}}, Now: time.Now, Patience: time.Second}}
		p.cfg.Coming = func(cid.Cid) bool { return time.Since(began) < 9500*time.Millisecond }
		_, err := within(began, 0).get(t.Context(), p, cid.Undef, node.Now, 0)
		if took := time.Since(began); took != 10*time.Second || err == nil {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// A track that comes more slowly than it sounds is told from one that does not,
// and from one of which nobody knows.
func TestThinTracks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sizes := store{}, []uint64(nil)
		var links []cid.Cid
		for i := range 10 {
			const leaf = 128 << 10
			links, sizes = append(links, s.leaf(make([]byte, leaf+i))), append(sizes, uint64(leaf+i))
		}
		f, err := s.open(t, s.branch(links, sizes), 10*128<<10+45) // a leaf a second
		if err != nil {
			t.Fatal(err)
		}
		lined := time.Now()
		wait(time.Second)
		if !new(pace).thin(lined, f, 1) || new(pace).thin(lined, f, 2) { // half of the first is heard before it is needed
			t.Error("the next leaf is no sooner needed than the last")
		}
		wait(2 * time.Second)
		for i, want := range []bool{false, true, true, false, false} { // unknown; 1, 2 leaves in 3 s; as quick as it sounds
			if got := new(pace).thin(lined, f, i); got != want {
				t.Errorf("%d leaves in 3 s: %v", i, got)
			}
		}
		var held pace // the beginning is here: what comes after it counts
		soon := time.Now()
		held.thin(soon, f, 4)
		wait(2 * time.Second)
		if held.thin(soon, f, 4) || !held.thin(soon, f, 5) || held.thin(soon, f, 7) {
			t.Error("what was here already was counted")
		}
	})
}
