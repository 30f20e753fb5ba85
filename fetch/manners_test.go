package fetch

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TestRest: while the line is left to others what is in no hurry comes from
// peers that are near alone, and what is to be heard from anywhere; after, all
// comes.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		blocks := leavesOf(5)
		var rest atomic.Bool
		rest.Store(true)
		near, _ := w.box("near", nil, blocks[0])
		n, s := w.box("box", func(c *Config) {
			c.Manners = func() Manners { return Manners{Rest: rest.Load()} }
			c.Near = func(p string) bool { return p == near.ID() }
			c.Sources = []Source{{Name: "http", Getter: sourceOf{blocks[4]}}}
		})
		far, _ := w.box("far", nil, blocks[1:4]...)
		w.Link(n, near)
		w.Link(n, far)
		came := make([]atomic.Bool, len(blocks))
		ask := func(i int, class node.Class) {
			s.Ask(t.Context(), blocks[i].CID, node.Want{Class: class}, func(_ []byte, err error) { came[i].Store(err == nil) })
		}
		for i, class := range []node.Class{node.Later, node.Now, node.Next, node.Later, node.Later} {
			ask(i, class)
		}
		<-time.After(5 * time.Minute)
		for i, want := range []bool{true, true, true, false, false} {
			if came[i].Load() != want {
				t.Errorf("at rest: block %d is here: %v", i, !want)
			}
		}
		rest.Store(false)
		<-time.After(2 * time.Minute)
		if !came[3].Load() || !came[4].Load() {
			t.Errorf("after it: from afar %v, from a source %v", came[3].Load(), came[4].Load())
		}
	})
}

// TestAtRestNobodyFarOutdoesWhoIsNear: one that is near and was slow once is asked
// while nobody else may be.
func TestAtRestNobodyFarOutdoesWhoIsNear(t *testing.T) {
	for _, rest := range []bool{false, true} {
		_, s := newStage(t).box("box", func(c *Config) { c.Manners = func() Manners { return Manners{Rest: rest} } })
		near, far := &peer{id: "near", near: true, bit: 1, taken: 1}, &peer{id: "far", bit: 2, hits: 9}
		x := &want{Want: node.Want{Class: node.Later}, said: 3, has: 3}
		s.mu.Lock()
		s.peers.open = []*peer{near, far}
		now := time.Now()
		if s.mayAsk(x, near, now) != rest || s.mayAsk(x, far, now) == rest {
			t.Errorf("at rest %v: near may be asked: %v, far: %v", rest, s.mayAsk(x, near, now), s.mayAsk(x, far, now))
		}
		s.peers.open = nil
		s.mu.Unlock()
	}
}

// TestKeep: while the line is left to others nothing is given but to peers that
// are near, however urgent; what they were told before does not help them.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		blocks := leavesOf(4)
		var keep atomic.Bool
		m, near := w.box("near", nil)
		giver, s := w.box("giver", func(c *Config) {
			c.Manners = func() Manners { return Manners{Keep: keep.Load()} }
			c.Near = func(p string) bool { return p == m.ID() }
		}, blocks...)
		n, far := w.box("far", nil)
		w.Link(n, giver)
		w.Link(m, giver)
		came := make([]atomic.Bool, len(blocks))
		ask := func(s *Scheduler, i int, class node.Class) {
			s.Ask(t.Context(), blocks[i].CID, node.Want{Class: class}, func(_ []byte, err error) { came[i].Store(err == nil) })
		}
		ask(far, 0, node.Later)
		<-time.After(10 * time.Second)
		before := s.Swarm().Sent
		keep.Store(true)
		ask(far, 1, node.Now)
		<-time.After(10 * time.Minute)
		if !came[0].Load() || came[1].Load() || s.Swarm().Sent != before {
			t.Errorf("here are %v and %v, and %d bytes were given", came[0].Load(), came[1].Load(), s.Swarm().Sent-before)
		}
		ask(near, 2, node.Later)
		<-time.After(time.Minute)
		if !came[2].Load() {
			t.Error("a peer that is near was given nothing")
		}
		keep.Store(false)
		<-time.After(6 * time.Minute)
		if !came[1].Load() {
			t.Error("after it nothing was given")
		}
	})
}

// sourceOf has one block.
type sourceOf struct{ block node.Block }

func (s sourceOf) Get(_ context.Context, c cid.Cid, _ node.Want) ([]byte, error) {
	if c != s.block.CID {
		return nil, node.ErrNotFound
	}
	return s.block.Data, nil
}
