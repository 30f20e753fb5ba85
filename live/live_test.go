package live_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/live"
	"playnode/manifests"
	"playnode/node"
)

// A set goes from box to box, whole, in order and to its end, over a new record.
func TestASetGoesFromBoxToBox(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		still := func(c *live.Config) { c.Meet = nil } // each stays where it is
		dj, a, b, c := s.box("dj", nil), s.box("a", still), s.box("b", still), s.box("c", still)
		s.Link(dj.Node, a.Node)
		s.Link(a.Node, b.Node)
		s.Link(b.Node, c.Node)
		air := dj.air(s)
		s.plays(air, 1, false)
		for _, x := range []*box{a, b, c} {
			x.hear(s)
			<-time.After(500 * time.Millisecond)
		}
		s.plays(air, 10, false)
		if err := air.Record(s.dj.Turn(time.Now())); err != nil {
			t.Fatal(err)
		}
		s.plays(air, 10, true)
		<-time.After(time.Second)
		for i, x := range []*box{a, b, c} {
			x.hears(t, 0, 20)
			if st := x.feed.Stats(); st.Depth != i || st.Twice > 0 || st.Forks > 0 {
				t.Errorf("%+v", st)
			}
			var records []uint64
			for _, item := range x.items {
				if item.Record != nil {
					records = append(records, item.Record.From)
				}
			}
			if !slices.Equal(records, []uint64{0, 11}) || x.ended != io.EOF {
				t.Errorf("records from %v, ended with %v", records, x.ended)
			}
		}
		st := air.Stats()
		if st.Children != 1 || st.Depth != -1 || st.Edge != 21 {
			t.Errorf("%+v", st)
		}
		if all := dj.carrier.Carried(); len(all) != 1 || all[0].Set != s.dj.Set() || all[0].Stats != st {
			t.Errorf("carries %+v", all)
		}
	})
}

// Who comes late has sound at once, from the edge on.
func TestWhoComesLateStartsAtTheEdge(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", nil)
		air := dj.air(s)
		s.plays(air, 100, false)
		late := s.box("late", nil)
		s.Link(dj.Node, late.Node)
		late.hear(s)
		<-time.After(400 * time.Millisecond)
		if seqs, _ := late.heard(t); !slices.Equal(seqs, []uint64{98, 99}) {
			t.Errorf("heard %v", seqs)
		}
		s.plays(air, 5, false)
		late.hears(t, 98, 104)
	})
}

// A parent that dies, with a word or without, or is cut off, costs nothing that
// is heard.
func TestAParentIsLost(t *testing.T) {
	for name, kill := range map[string]func(s *stage, b *box){
		"closed": func(s *stage, b *box) { b.stop() },
		"cut":    func(s *stage, b *box) { s.Cut(s.all[0].Node, b.Node) }, // it lives, and has nothing
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				dj := s.box("dj", nil)
				air := dj.air(s)
				s.plays(air, 1, false)
				var relays []*box
				for _, n := range []string{"a", "b", "c"} {
					r := s.box(n, nil)
					s.Link(dj.Node, r.Node)
					relays = append(relays, r.hear(s))
				}
				leaf := s.box("leaf", nil)
				for _, r := range relays {
					s.Link(r.Node, leaf.Node)
				}
				<-time.After(time.Second)
				leaf.hear(s)
				s.plays(air, 10, false)
				for _, r := range relays {
					if r.ID() == leaf.feed.Stats().Parent {
						kill(s, r)
					}
				}
				s.plays(air, 20, false)
				seqs, missing := leaf.heard(t)
				if missing > 0 || seqs[len(seqs)-1] != 30 || leaf.feed.Stats().Parents < 1 {
					t.Errorf("heard %v, %d missing: %+v", seqs, missing, leaf.feed.Stats())
				}
			})
		})
	}
}

// Boxes of one network have one copy come into it, also when the one that takes
// it goes.
func TestOneCopyForANetwork(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", nil)
		air := dj.air(s)
		s.plays(air, 1, false)
		var lan []*box
		var ids sync.Map
		near := func(peer string) bool { _, ok := ids.Load(peer); return ok }
		for i := range 4 {
			lan = append(lan, s.box(fmt.Sprint("lan", i), func(c *live.Config) { c.Near = near }))
			ids.Store(lan[i].ID(), true)
		}
		for i, b := range lan {
			s.Link(dj.Node, b.Node)
			for _, o := range lan[:i] {
				s.Link(o.Node, b.Node)
			}
			b.hear(s) // all at once
		}
		far := func() (n int) {
			for _, b := range lan {
				if b.feed.Stats().Parent == dj.ID() {
					n++
				}
			}
			return n
		}
		s.plays(air, 20, false)
		if n := far(); n != 1 {
			t.Errorf("%d copies come in", n)
		}
		for i, b := range lan {
			if b.feed.Stats().Parent == dj.ID() {
				b.feed.Close()
				b.stop()
				lan = slices.Delete(slices.Clone(lan), i, i+1)
				break
			}
		}
		s.plays(air, 40, false)
		if n := far(); n != 1 {
			t.Errorf("%d copies come in after one has gone", n)
		}
		for _, b := range lan {
			if _, missing := b.heard(t); missing > 0 {
				t.Errorf("%d missing: %+v", missing, b.feed.Stats())
			}
		}
	})
}

// A segment leaves whole, to one after the other, at the pace of the line.
func TestALineIsPaced(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", func(c *live.Config) { c.Upload = 20_000 })
		air := dj.air(s)
		var all []*box
		for i := range 3 {
			v := s.box(fmt.Sprint("v", i), func(c *live.Config) { c.Meet = nil })
			s.Link(dj.Node, v.Node)
			all = append(all, v.hear(s))
		}
		for range 10 {
			if err := air.Announce(s.dj.Next(time.Now(), 1000, false)); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		s.plays(air, 1, false)
		<-time.After(5 * time.Second)
		var came []time.Time
		for _, v := range all {
			v.hears(t, 0, 10)
			came = append(came, v.items[len(v.items)-1].Came)
		}
		slices.SortFunc(came, time.Time.Compare)
		for i, c := range came[1:] {
			if gap := c.Sub(came[i]); gap < 800*time.Millisecond || gap > 1100*time.Millisecond {
				t.Errorf("one has it %s after the one before", gap)
			}
		}
	})
}

// Who is to be the parent need only give, not be the first.
func TestANewParentMayBeTheLater(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", nil)
		air := dj.air(s)
		type pair struct {
			h   manifests.Signed
			seg manifests.Block
		}
		said := make(chan pair, 100)
		say := func(st node.Stream) {
			st.Write(stateOf(0))
			readFrame(st) // it is asked for everything
			st.Write(cat(stateOf(2), signedOf(19, s.dj.Record())))
			for p := range said {
				<-time.After(300 * time.Millisecond)
				h, err := manifests.DecodeLiveHead(p.h.Payload.Data)
				if err != nil {
					t.Error(err)
				}
				st.Write(cat(signedOf(20, p.h), segmentOf(h.Seq, p.seg)))
			}
		}
		defer close(said)
		var x *stranger
		b := s.box("b", func(c *live.Config) { c.Near = func(peer string) bool { return x != nil && peer == x.ID() } })
		for i := 0; x == nil || x.ID() > b.ID(); i++ { // of two in one building the lesser id stays
			x = s.stranger(fmt.Sprint("x", i), say)
		}
		s.Link(dj.Node, b.Node)
		b.hear(s)
		<-time.After(time.Second)
		s.Link(x.Node, b.Node)
		for range 6 {
			h, seg := s.dj.Next(time.Now(), size, false)
			if err := air.Announce(h, seg); err != nil {
				t.Fatal(err)
			}
			said <- pair{h, seg}
			<-time.After(time.Second)
		}
		if st := b.feed.Stats(); st.Parent != x.ID() {
			t.Errorf("%+v", st)
		}
		b.hears(t, 0, 5)
	})
}

// What comes is stored, and what no neighbour on air gives is fetched.
func TestSegmentsAreKeptAndFetched(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", nil)
		a := s.box("a", func(c *live.Config) { c.Keep = s.all[0].Node })
		_ = a
		var b *box
		b = s.box("b", func(c *live.Config) {
			c.Keep = lazyPutter{func() node.Putter { return b }}
			c.Fetch = dj.Node
		})
		s.Link(dj.Node, b.Node)
		air := dj.air(s)
		b.hear(s)
		var blocks []manifests.Block
		for range 5 {
			h, seg := s.dj.Next(time.Now(), size, false)
			blocks = append(blocks, seg)
			if err := air.Announce(h, seg); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		for _, seg := range blocks {
			if ok, _ := b.Has(t.Context(), seg.CID); !ok {
				t.Errorf("%s is not kept", seg.CID)
			}
		}
	})
	onStage(t, func(t *testing.T, s *stage) {
		var mu sync.Mutex
		kept := map[cid.Cid][]byte{}
		h0, seg0 := s.dj.Next(time.Now(), size, false)
		h1, seg1 := s.dj.Next(time.Now(), size, false)
		kept[seg1.CID] = seg1.Data
		// It gives heads, and no second segment.
		x := s.stranger("x", func(st node.Stream) {
			st.Write(cat(stateOf(2), signedOf(19, s.dj.Record()), signedOf(20, h0), segmentOf(0, seg0), signedOf(20, h1)))
		})
		b := s.box("b", func(c *live.Config) {
			c.Fetch = getter(func(c cid.Cid, w node.Want) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				if w.Class != node.Now || w.Deadline.IsZero() {
					t.Errorf("%+v", w)
				}
				return kept[c], nil
			})
		})
		s.Link(x.Node, b.Node)
		b.hear(s)
		<-time.After(5 * time.Second)
		b.hears(t, 0, 1)
		if st := b.feed.Stats(); st.Fetched != 1 {
			t.Errorf("%+v", st)
		}
	})
}

type lazyPutter struct{ to func() node.Putter }

func (l lazyPutter) Put(ctx context.Context, b ...node.Block) error { return l.to().Put(ctx, b...) }

type getter func(cid.Cid, node.Want) ([]byte, error)

func (g getter) Get(_ context.Context, c cid.Cid, w node.Want) ([]byte, error) { return g(c, w) }

// However long a set is, a window of it is in memory.
func TestMemoryIsBounded(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj, a := s.box("dj", nil), s.box("a", nil)
		s.Link(dj.Node, a.Node)
		air := dj.air(s)
		a.hear(s)
		s.plays(air, 300, false)
		for _, st := range []live.Stats{air.Stats(), a.feed.Stats()} {
			if st.Held > 61 || st.Held < 55 || st.HeldBytes != int64(st.Held*size) {
				t.Errorf("%+v", st)
			}
		}
		// A reader that has slept is told what it has missed, and goes on.
		slow := a.carrier.Hear(s.dj.Set(), 0)
		defer slow.Close()
		next := func() live.Item {
			i, err := slow.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return i
		}
		next()
		first := next().Seq
		s.plays(air, 100, false)
		if i := next(); i.Missing < 30 || i.Seq != first+1 {
			t.Errorf("%+v", i)
		}
		if i := next(); i.Head == nil {
			t.Errorf("%+v", i)
		}
	})
}

// Those who watch a DJ hear within a moment that she is on air; who comes to
// watch later asks.
func TestGoingOnAirIsHeardOf(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		var mu sync.Mutex
		told := map[string]time.Duration{}
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watcher := func(name string) *box {
			b := s.box(name, func(c *live.Config) {
				c.OnAir = func(set live.Set, _ *manifests.Live) {
					mu.Lock()
					defer mu.Unlock()
					if _, twice := told[name]; twice || set != s.dj.Set() {
						t.Errorf("%s is told %v", name, set)
					}
					told[name] = time.Since(began)
				}
			})
			watching.Go(func() { b.carrier.Watch(ctx, s.dj.Set().DJ) })
			synctest.Wait()
			return b
		}
		dj, a, b := s.box("dj", nil), watcher("a"), watcher("b")
		s.Link(dj.Node, a.Node)
		s.Link(a.Node, b.Node)
		<-time.After(time.Minute)
		began = time.Now()
		air := dj.air(s)
		s.plays(air, 3, false)
		late := watcher("late")
		s.Link(dj.Node, late.Node)
		s.plays(air, 2, false)
		mu.Lock()
		if a, b, late := told["a"], told["b"], told["late"]; a == 0 || b == 0 || late == 0 || max(a, b) > 200*time.Millisecond || late > 4*time.Second {
			t.Errorf("%v", told)
		}
		mu.Unlock()
		// An hour later nobody is told of it by who recorded that.
		air.Close()
		<-time.After(time.Hour)
		fool := watcher("fool")
		x := s.Node("x")
		defer x.Close()
		s.Link(x, fool.Node)
		<-time.After(time.Second)
		h, _ := s.dj.Next(time.Now().Add(-time.Hour), size, false)
		x.Publish(t.Context(), live.Topic(s.dj.Set().DJ), cat(signedOf(19, s.dj.Record()), signedOf(20, h)))
		<-time.After(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if _, ok := told["fool"]; ok {
			t.Error("an old set is on air")
		}
		cancel()
		watching.Wait()
	})
}

// A set ends for who holds it no more.
func TestClose(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj, a := s.box("dj", nil), s.box("a", nil)
		s.Link(dj.Node, a.Node)
		air := dj.air(s)
		if _, err := dj.carrier.Go(s.dj.Record()); err == nil {
			t.Error("on air twice")
		}
		a.hear(s)
		s.plays(air, 2, false)
		f := a.carrier.Hear(s.dj.Set(), time.Second)
		f.Close()
		f.Close()
		if _, err := f.Next(t.Context()); !errors.Is(err, live.ErrOffAir) {
			t.Error(err)
		}
		s.plays(air, 2, false)
		a.hears(t, 0, 3)
		a.feed.Close()
		synctest.Wait()
		if !errors.Is(a.ended, live.ErrOffAir) {
			t.Error(a.ended)
		}
		<-time.After(time.Second)
		if st := air.Stats(); st.Children != 0 {
			t.Errorf("%+v", st)
		}
		air.Close()
		air.Close()
		if err := air.Announce(s.dj.Next(time.Now(), size, false)); err == nil {
			t.Error("announced off air")
		}
	})
}

// Who is not known to follow a DJ is not asked about her; one who is known later
// is asked then.
func TestStrangersAreNotAsked(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		var known atomic.Bool
		told := make(chan time.Time, 1)
		dj := s.box("dj", nil)
		v := s.box("venue", func(c *live.Config) {
			c.Topics = nil // asking is the only way
			c.Known = func(manifests.DJ) []string {
				if known.Load() {
					return []string{dj.ID()}
				}
				return nil
			}
			c.OnAir = func(live.Set, *manifests.Live) { told <- time.Now() }
		})
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { v.carrier.Watch(ctx, s.dj.Set().DJ) })
		air := dj.air(s)
		s.plays(air, 3, false)
		s.Link(dj.Node, v.Node)
		s.plays(air, 40, false)
		select {
		case <-told:
			t.Error("a stranger was asked")
		default:
		}
		known.Store(true)
		v.carrier.Met(dj.ID())
		s.plays(air, 2, false)
		select {
		case <-told:
		default:
			t.Error("one who is known was not asked")
		}
		cancel()
		watching.Wait()
	})
}
