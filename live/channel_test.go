package live_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"playnode/live"
	"playnode/live/livetest"
	"playnode/manifests"
)

// programme is what a box that watches a DJ was told of.
type programme struct {
	*box
	mu   sync.Mutex // guards sets, as box.mu does what is the box's
	sets []live.Set
}

func (s *stage) watcher(ctx context.Context, name string, g *sync.WaitGroup, topics bool) *programme {
	p := &programme{}
	p.box = s.box(name, func(c *live.Config) {
		if !topics {
			c.Topics = nil
		}
		c.OnAir = func(set live.Set, _ *manifests.Live) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.sets = append(p.sets, set)
		}
	})
	g.Go(func() { p.carrier.Watch(ctx, s.dj.Set().DJ) })
	synctest.Wait()
	return p
}

func (p *programme) told() []live.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sets)
}

// A DJ's sets of several playlists are told apart: who comes when all are on air hears of each, by asking and by the
// topic, whichever began first.
func TestSeveralSetsOfOneDJ(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		dj := s.box("dj", nil)
		air := dj.air(s)
		want := []live.Set{s.dj.Set()}
		var airs []*live.Air
		var djs []*livetest.DJ
		for sel := range byte(2) {
			<-time.After(time.Minute)
			o := s.dj.Another(sel+2, 1, time.Now())
			a, err := dj.carrier.Go(o.Record())
			if err != nil {
				t.Fatal(err)
			}
			djs, airs, want = append(djs, o), append(airs, a), append(want, o.Set())
		}
		play := func(n int) {
			for range n {
				for i, a := range airs {
					if err := a.Announce(djs[i].Next(time.Now(), size, false)); err != nil {
						t.Fatal(err)
					}
				}
				s.plays(air, 1, false)
			}
		}
		play(3)
		asks, hears := s.watcher(ctx, "asks", &watching, false), s.watcher(ctx, "hears", &watching, true)
		s.Link(dj.Node, asks.Node)
		between := s.watcher(ctx, "between", &watching, true) // passes the topic on, and carries nothing
		s.Link(dj.Node, between.Node)
		s.Link(between.Node, hears.Node)
		play(40)
		for _, w := range []*programme{asks, hears} {
			got := w.told()
			if len(got) != len(want) || slices.ContainsFunc(want, func(x live.Set) bool { return !slices.Contains(got, x) }) {
				t.Errorf("told of %v, on air are %v", got, want)
			}
		}
		cancel()
		watching.Wait()
	})
}

// A set whose DJ has died ends: when she is on air with another one at once, else after ten minutes. When she comes
// back with the same one, who was told of it is told again.
func TestASetThatEndsWithoutAWord(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		dj, v := s.box("dj", nil), s.watcher(ctx, "venue", &watching, true)
		s.Link(dj.Node, v.Node)
		air := dj.air(s)
		v.hear(s)
		s.plays(air, 5, false)
		over := func() error {
			v.box.mu.Lock()
			defer v.box.mu.Unlock()
			return v.ended
		}
		air.Close()
		<-time.After(9 * time.Minute)
		if err := over(); err != nil {
			t.Fatal("given up too soon:", err)
		}
		<-time.After(2 * time.Minute)
		if err := over(); !errors.Is(err, live.ErrOffAir) {
			t.Fatal("waited for in vain:", err)
		}
		v.feed.Close()
		again := dj.air(s)
		s.plays(again, 3, false)
		if got := v.told(); len(got) != 2 || got[1] != s.dj.Set() {
			t.Errorf("told of %v", got)
		}
		v.hear(s)
		s.plays(again, 5, false)
		again.Close()
		next := s.dj.Another(1, 2, time.Now())
		a, err := dj.carrier.Go(next.Record())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Announce(next.Next(time.Now(), size, false)); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if err := over(); !errors.Is(err, live.ErrOffAir) {
			t.Error("another set of the playlist is on air, and the former goes on:", err)
		}
		if got := v.told(); len(got) != 3 || got[2] != next.Set() {
			t.Errorf("told of %v", got)
		}
		v.feed.Close()
		cancel()
		watching.Wait()
	})
}

// While its line is left to others a box hears and gives to its own network alone. Whom it gave to before goes
// elsewhere and misses nothing; who finds nobody is cut off after twenty seconds.
func TestALineThatIsLeftToOthers(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		var quiet atomic.Bool
		near := s.Node("near")
		near.Close()
		stays := func(c *live.Config) { c.Meet = nil } // it knows whom the test has it know
		dj, other := s.box("dj", stays), s.box("other", stays)
		v := s.box("venue", func(c *live.Config) {
			stays(c)
			c.Hush = quiet.Load
			c.Near = func(peer string) bool { return peer == near.ID() }
		})
		n, moves, alone, late := s.box("near", stays), s.box("moves", stays), s.box("alone", stays), s.box("late", stays)
		s.Link(dj.Node, v.Node)
		s.Link(dj.Node, other.Node)
		for _, b := range []*box{n, moves, alone} {
			s.Link(v.Node, b.Node)
		}
		air := dj.air(s)
		v.hear(s)
		other.hear(s)
		s.plays(air, 3, false)
		for _, b := range []*box{n, moves, alone} {
			b.hear(s)
		}
		s.plays(air, 5, false)
		if st := v.feed.Stats(); st.Children != 3 {
			t.Fatalf("before: %+v", st)
		}
		s.Link(moves.Node, other.Node)
		quiet.Store(true)
		s.plays(air, 10, false)
		if seqs, missing := alone.heard(t); missing > 0 || seqs[len(seqs)-1] < 16 {
			t.Errorf("who finds nobody is cut off at once: %v", seqs)
		}
		s.plays(air, 20, false)
		s.Link(v.Node, late.Node)
		late.hear(s)
		sent := v.feed.Stats().Sent
		s.plays(air, 20, false)
		st := v.feed.Stats()
		if st.Children != 1 || st.NearChildren != 1 || st.Parent != dj.ID() {
			t.Errorf("the line is left to others, and %+v", st)
		}
		if seqs, _ := late.heard(t); len(seqs) > 0 {
			t.Errorf("one who comes hears %v", seqs)
		}
		// To the near one goes all; to others words, and no head and no segment.
		if per := float64(st.Sent-sent) / 20; per > 1.1*size {
			t.Errorf("%.0f bytes a second are sent", per)
		}
		for name, b := range map[string]*box{"the venue": v, "one near it": n, "one who has found another": moves} {
			seqs, missing := b.heard(t)
			if missing > 0 || seqs[len(seqs)-1] != 57 {
				t.Errorf("%s hears up to %d, %d missing: %+v", name, seqs[len(seqs)-1], missing, b.feed.Stats())
			}
		}
		if seqs, _ := alone.heard(t); seqs[len(seqs)-1] > 35 {
			t.Errorf("one who has found nobody hears up to %d", seqs[len(seqs)-1])
		}
		quiet.Store(false)
		s.plays(air, 60, false)
		for name, b := range map[string]*box{"one who was cut off": alone, "one who came": late} {
			if seqs, _ := b.heard(t); len(seqs) == 0 || seqs[len(seqs)-1] != 117 {
				t.Errorf("the line is its own again, and %s hears %v", name, seqs)
			}
		}
	})
}

// A DJ whose line is left to others has one listener, who passes the set on.
func TestADJWhoseLineIsLeftToOthers(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		var quiet atomic.Bool
		dj := s.box("dj", func(c *live.Config) { c.Hush = quiet.Load })
		air := dj.air(s)
		s.plays(air, 2, false)
		var all []*box
		for _, name := range []string{"a", "b", "c", "d"} {
			b := s.box(name, nil)
			s.Link(dj.Node, b.Node)
			for _, o := range all {
				s.Link(o.Node, b.Node)
			}
			all = append(all, b.hear(s))
		}
		s.plays(air, 5, false)
		last := uint64(66)
		for ; air.Stats().Children < 2 && last < 120; last++ { // until two stand beside her
			s.plays(air, 1, false)
		}
		if st := air.Stats(); st.Children < 2 {
			t.Errorf("before: %+v", st)
		}
		quiet.Store(true)
		s.plays(air, 60, false)
		if st := air.Stats(); st.Children != 1 {
			t.Errorf("the line is left to others: %+v", st)
		}
		for _, b := range all {
			if seqs, missing := b.heard(t); missing > 0 || seqs[len(seqs)-1] != last {
				t.Errorf("heard %v, %d missing: %+v", seqs, missing, b.feed.Stats())
			}
		}
	})
}
