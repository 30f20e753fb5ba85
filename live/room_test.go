package live_test

import (
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"playnode/live"
)

// A box gives to as many as its line bears, and refers the others to them.
func TestALineBearsSoMany(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		upload := func(n int64) func(*live.Config) { return func(c *live.Config) { c.Upload = n } }
		dj := s.box("dj", upload(48_000)) // two
		air := dj.air(s)
		s.plays(air, 10, false) // so that its rate is known
		var all []*box
		for i := range 8 {
			v := s.box(fmt.Sprint("v", i), upload(48_000))
			s.Link(dj.Node, v.Node)
			all = append(all, v.hear(s))
			s.plays(air, 2, false)
		}
		s.plays(air, 10, true)
		<-time.After(2 * time.Second)
		for _, v := range all {
			// Where lines bear so little, who moves may lack one.
			if _, missing := v.heard(t); missing > 4 || v.ended != io.EOF || v.feed.Stats().Children > 2 {
				t.Errorf("%d missing, %v: %+v", missing, v.ended, v.feed.Stats())
			}
		}
		if st := air.Stats(); st.Children != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// Who was refused is told as soon as there is room, and does not find out when it asks again.
func TestWhoWaitsIsToldOfRoom(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", func(c *live.Config) { c.Upload = 24_000 }) // one
		air := dj.air(s)
		s.plays(air, 10, false)
		shut := func(c *live.Config) { c.Upload, c.Dialable = 1, func() bool { return false } } // and carries for nobody
		first, second := s.box("first", shut), s.box("second", shut)
		s.Link(dj.Node, first.Node)
		first.hear(s)
		s.plays(air, 3, false)
		s.Link(dj.Node, second.Node)
		second.hear(s)
		s.plays(air, 1, false)
		if second.feed.Stats().Parent != "" {
			t.Fatal("it has the set, and there is no room")
		}
		first.feed.Close()
		<-time.After(250 * time.Millisecond)
		if p := second.feed.Stats(); p.Parent != dj.ID() {
			t.Errorf("%+v", p)
		}
	})
}

// Who was asked before it had the set itself says so when it has.
func TestWhoAskedTooEarlyIsTold(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj, relay, late := s.box("dj", nil), s.box("relay", nil), s.box("late", nil)
		air := dj.air(s)
		s.plays(air, 3, false)
		s.Link(relay.Node, late.Node)
		relay.hear(s)
		late.hear(s)
		<-time.After(time.Second)
		s.Link(dj.Node, relay.Node)
		<-time.After(400 * time.Millisecond)
		if a, b := relay.feed.Stats(), late.feed.Stats(); a.Parent != dj.ID() || b.Parent != relay.ID() {
			t.Errorf("%+v, %+v", a, b)
		}
	})
}

// Who has the set and room for one at the same moment says so once: who has asked
// since would take a second word for a refusal.
func TestWhoWaitsIsToldOnce(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		var quick atomic.Bool
		dj, late := s.box("dj", nil), s.box("late", func(c *live.Config) { c.Meet = nil }) // it stays where it is
		relay := s.box("relay", func(c *live.Config) {
			c.Upload, c.Hush = 30_000, func() bool { return !quick.Load() }
		})
		air := dj.air(s)
		s.plays(air, 3, false)
		s.Link(relay.Node, late.Node)
		relay.hear(s)
		late.hear(s)
		<-time.After(time.Second)
		s.Link(dj.Node, relay.Node)
		<-time.After(10 * time.Millisecond) // the DJ's answer is on its way
		quick.Store(true)
		<-time.After(390 * time.Millisecond)
		if a, b := relay.feed.Stats(), late.feed.Stats(); a.Parent != dj.ID() || b.Parent != relay.ID() {
			t.Errorf("%+v, %+v", a, b)
		}
	})
}

// Who can carry for others takes the place of who cannot, which loses nothing.
func TestWhoCarriesStandsNearer(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", func(c *live.Config) { c.Upload = 24_000 }) // one
		air := dj.air(s)
		s.plays(air, 10, false)
		shut := s.box("shut", func(c *live.Config) { c.Dialable = func() bool { return false } })
		s.Link(dj.Node, shut.Node)
		shut.hear(s)
		s.plays(air, 3, false)
		strong := s.box("strong", func(c *live.Config) { c.Upload = 400_000 })
		s.Link(dj.Node, strong.Node)
		strong.hear(s)
		s.plays(air, 20, false)
		if p := strong.feed.Stats(); p.Parent != dj.ID() || p.Depth != 0 {
			t.Errorf("%+v", p)
		}
		if p := shut.feed.Stats(); p.Parent != strong.ID() || p.Depth != 1 {
			t.Errorf("%+v", p)
		}
		if _, missing := shut.heard(t); missing > 0 {
			t.Errorf("%d missing", missing)
		}
	})
}
