package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"playnode/fetch"
	"playnode/node"
	"playnode/node/memory"
	"playnode/node/nodetest"
)

func TestMain(m *testing.M) {
	// A closed leveldb's pool drains for up to a second of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// source answers after a delay by the virtual clock.
type source struct {
	delay  time.Duration
	data   []byte
	err    error
	asked  atomic.Int64
	hanged atomic.Int64 // asks whose context ended first
}

func (s *source) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) {
	s.asked.Add(1)
	select {
	case <-time.After(s.delay):
		return slices.Clone(s.data), s.err
	case <-ctx.Done():
		s.hanged.Add(1)
		return nil, ctx.Err()
	}
}

// disk is a store that counts batches, and may be slow or full.
type disk struct {
	*memory.Node
	delay   time.Duration
	full    bool
	batches atomic.Int64
}

func (d *disk) Put(ctx context.Context, blocks ...node.Block) error {
	d.batches.Add(1)
	if d.delay > 0 {
		<-time.After(d.delay)
	}
	if d.full {
		return fmt.Errorf("put: %w", node.ErrNoSpace)
	}
	return d.Node.Put(ctx, blocks...)
}

func newDisk() *disk { return &disk{Node: memory.NewWorld().Node("disk")} }

func scheduler(d *disk, sources ...*source) *fetch.Scheduler {
	s := fetch.New(fetch.Config{Local: d, Now: time.Now})
	for i, src := range sources {
		s.Add(fetch.Source{Name: string(rune('a' + i)), Getter: src})
	}
	return s
}

var block = node.NewBlock(cid.Raw, []byte("block"))

func TestConformance(t *testing.T) {
	nodetest.Getter(t, func(t *testing.T) nodetest.Source {
		w := memory.NewWorld()
		a, b := w.Node("a"), w.Node("b")
		t.Cleanup(func() { a.Close(); b.Close() })
		w.Link(a, b)
		return nodetest.Source{
			Getter: fetch.New(fetch.Config{Local: a, Now: time.Now, Sources: []fetch.Source{{Name: "memory", Getter: a}}}),
			Give:   func(blocks ...node.Block) { b.Put(context.Background(), blocks...) },
			Lie:    b.Lie, Waits: true,
		}
	})
}

func TestLocalFirst(t *testing.T) {
	d, src := newDisk(), &source{data: block.Data}
	s := scheduler(d, src)
	for range 3 {
		if got, err := s.Get(t.Context(), block.CID, node.Want{}); err != nil || string(got) != "block" {
			t.Fatal(got, err)
		}
	}
	if src.asked.Load() != 1 {
		t.Fatalf("source asked %d times", src.asked.Load())
	}
	if c := s.Counts(); c["a"] != (fetch.Count{Blocks: 1, Bytes: 5}) || c["local"] != (fetch.Count{Blocks: 2, Bytes: 10}) {
		t.Fatalf("counts %+v", c)
	}
	d.Damage(block.CID)
	if got, err := s.Get(t.Context(), block.CID, node.Want{}); err != nil || string(got) != "block" || src.asked.Load() != 2 {
		t.Fatalf("after damage: %q, %v", got, err)
	}
}

// TestHedging measures by the virtual clock how long a class bears silence.
func TestHedging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			want node.Want
			took time.Duration
		}{
			{node.Want{Class: node.Now}, 150*time.Millisecond + time.Second},
			{node.Want{Class: node.Next}, 500*time.Millisecond + time.Second},
			{node.Want{Class: node.Soon}, 2*time.Second + time.Second},
			{node.Want{Class: node.Later}, 5*time.Second + time.Second},
			{node.Want{Class: node.Later, Deadline: time.Now().Add(1200 * time.Millisecond)}, 400*time.Millisecond + time.Second},
		} {
			slow, quick := &source{delay: time.Hour}, &source{delay: time.Second, data: block.Data}
			began := time.Now()
			if !c.want.Deadline.IsZero() {
				c.want.Deadline = began.Add(1200 * time.Millisecond)
			}
			if _, err := scheduler(newDisk(), slow, quick).Get(t.Context(), block.CID, c.want); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != c.took {
				t.Errorf("%+v took %v, want %v", c.want, took, c.took)
			}
			synctest.Wait()
			if slow.hanged.Load() != 1 {
				t.Error("the silent source was not given up")
			}
		}
	})
}

func TestFailureMovesOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none, good := &source{err: node.ErrNotFound}, &source{delay: time.Second, data: block.Data}
		began := time.Now()
		if _, err := scheduler(newDisk(), none, none, good).Get(t.Context(), block.CID, node.Want{Class: node.Later}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Fatalf("took %v", took)
		}
		if _, err := scheduler(newDisk(), none, none).Get(t.Context(), block.CID, node.Want{}); !errors.Is(err, node.ErrNotFound) {
			t.Fatalf("nobody has it: %v", err)
		}
		if _, err := scheduler(newDisk()).Get(t.Context(), block.CID, node.Want{}); !errors.Is(err, node.ErrNotFound) {
			t.Fatalf("nobody to ask: %v", err)
		}
	})
}

func TestOneFetchForManyAtThePaceOfTheMostUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := &source{delay: time.Hour}, &source{delay: time.Second, data: block.Data}
		s := scheduler(newDisk(), slow, quick)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				w := node.Want{Class: node.Later}
				if i == 9 {
					<-time.After(time.Second)
					w.Class = node.Now
				}
				if _, err := s.Get(t.Context(), block.CID, w); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took != 2*time.Second || quick.asked.Load() != 1 || slow.asked.Load() != 1 {
			t.Fatalf("took %v, asked %d and %d times", took, slow.asked.Load(), quick.asked.Load())
		}
	})
}

func TestLiarIsDropped(t *testing.T) {
	d := newDisk()
	liar, good := &source{data: []byte("wrong")}, &source{data: block.Data}
	s := scheduler(d, liar, good)
	if got, err := s.Get(t.Context(), block.CID, node.Want{}); err != nil || string(got) != "block" {
		t.Fatal(got, err)
	}
	if c := s.Counts()["a"]; !c.Dropped || c.Failed != 1 || c.Blocks != 0 {
		t.Fatalf("the liar's row: %+v", c)
	}
	other := node.NewBlock(cid.Raw, []byte("other"))
	good.data = other.Data
	if _, err := s.Get(t.Context(), other.CID, node.Want{}); err != nil || liar.asked.Load() != 1 {
		t.Fatalf("the liar was asked %d times (%v)", liar.asked.Load(), err)
	}
	alone := scheduler(newDisk(), &source{data: []byte("wrong")})
	if got, err := alone.Get(t.Context(), block.CID, node.Want{}); got != nil || !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("from a liar alone: %q, %v", got, err)
	}
}

func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{delay: time.Minute, data: block.Data}
		s := scheduler(newDisk(), src)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Get(ctx, block.CID, node.Want{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		synctest.Wait()
		if src.hanged.Load() != 1 {
			t.Fatal("the source is still asked for nobody")
		}
		if _, err := s.Get(t.Context(), block.CID, node.Want{}); err != nil || src.asked.Load() != 2 {
			t.Fatalf("the next Get: %v", err)
		}
	})
}

func TestFullDisk(t *testing.T) {
	d := newDisk()
	d.full = true
	s := scheduler(d, &source{data: block.Data})
	if got, err := s.Get(t.Context(), block.CID, node.Want{Class: node.Now}); err != nil || string(got) != "block" {
		t.Fatalf("for the playhead: %q, %v", got, err)
	}
	if _, err := s.Get(t.Context(), block.CID, node.Want{Class: node.Next}); !errors.Is(err, node.ErrNoSpace) {
		t.Fatalf("to keep: %v, want ErrNoSpace", err)
	}
}

// TestAPlayheadDoesNotWaitForTheDisk: what is verified is heard before it is
// stored, by who asks while it is, too. Whoever is to keep it waits until it is.
func TestAPlayheadDoesNotWaitForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.delay = time.Second
		s := scheduler(d, &source{data: block.Data})
		began := time.Now()
		get := func(w node.Want, least time.Duration) {
			got, err := s.Get(t.Context(), block.CID, w)
			if took := time.Since(began); err != nil || string(got) != "block" || took != least {
				t.Errorf("%+v gave %q after %v: %v", w, got, took, err)
			}
		}
		var wg sync.WaitGroup
		for _, w := range []node.Want{{Class: node.Now}, {Class: node.Next, Deadline: began}} {
			wg.Go(func() { get(w, d.delay) })
		}
		synctest.Wait()
		get(node.Want{Class: node.Now, Deadline: began}, 0)
		<-time.After(d.delay / 2)
		get(node.Want{Class: node.Now, Deadline: began}, d.delay/2)
		wg.Wait()
		if has, _ := d.Has(t.Context(), block.CID); !has || d.batches.Load() != 1 {
			t.Errorf("it is not stored, or %d times", d.batches.Load())
		}
	})
}

// keeper is a disk that believes who has verified.
type keeper struct {
	*disk
	kept atomic.Int64
}

func (k *keeper) Keep(ctx context.Context, blocks ...node.Block) error {
	k.kept.Add(int64(len(blocks)))
	return k.disk.Node.Put(ctx, blocks...)
}

// TestVerifiedOnce has a store that believes its caller not hash anew what was
// hashed on its way here.
func TestVerifiedOnce(t *testing.T) {
	d := &keeper{disk: newDisk()}
	s := fetch.New(fetch.Config{Local: d, Now: time.Now, Sources: []fetch.Source{{Name: "a", Getter: &source{data: block.Data}}}})
	if _, err := s.Get(t.Context(), block.CID, node.Want{Class: node.Next}); err != nil {
		t.Fatal(err)
	}
	if kept, put := d.kept.Load(), d.batches.Load(); kept != 1 || put != 0 {
		t.Fatalf("%d kept, %d put", kept, put)
	}
}

// echo gives every block of a set.
type echo map[cid.Cid][]byte

func (e echo) Get(_ context.Context, c cid.Cid, _ node.Want) ([]byte, error) { return e[c], nil }

func TestManyBlocksShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, all := newDisk(), echo{}
		d.delay = 10 * time.Millisecond
		for i := range 100 {
			b := node.NewBlock(cid.Raw, []byte{byte(i)})
			all[b.CID] = b.Data
		}
		s := fetch.New(fetch.Config{Local: d, Now: time.Now, Sources: []fetch.Source{{Name: "a", Getter: all}}})
		var wg sync.WaitGroup
		for c := range all {
			wg.Go(func() {
				if _, err := s.Get(t.Context(), c, node.Want{}); err != nil {
					t.Error(err)
				}
				if has, _ := d.Has(t.Context(), c); !has {
					t.Error("Get returned before the block was kept")
				}
			})
		}
		wg.Wait()
		if n := d.batches.Load(); n > 4 {
			t.Fatalf("%d syncs for 100 blocks at once", n)
		}
	})
}
