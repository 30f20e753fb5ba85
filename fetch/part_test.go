package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// large is a block of so many bytes.
func large(size int) node.Block {
	data := make([]byte, size)
	for r, i := rand.New(rand.NewPCG(8, uint64(size))), 0; i < size; i++ {
		data[i] = byte(r.Uint32())
	}
	return node.NewBlock(cid.Raw, data)
}

// TestThePlayheadOvertakesABlock: on a line of 100 kB/s a block of a megabyte is
// ten seconds on its way, on the same stream, and what is for a playhead goes
// between its parts, once its own bytes have room. Who takes no parts waits.
func TestThePlayheadOvertakesABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		much, urgent := large(1<<20), large(32<<10)
		from, _ := w.box("giver", func(c *Config) { c.Upload = 100_000 }, much, urgent)
		n, one := w.box("one", nil)
		w.Link(n, from)
		later := make(chan error, 1)
		one.Ask(t.Context(), much.CID, node.Want{Class: node.Later}, func(_ []byte, err error) { later <- err })
		<-time.After(3 * time.Second)
		began := time.Now()
		must(t, one, urgent, now())
		if took := time.Since(began); took > time.Second {
			t.Errorf("the playhead's block took %v", took)
		}
		select {
		case err := <-later:
			t.Errorf("the other was there before: %v", err)
		default:
		}
		if err := <-later; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("the other took %v", took)
		}
		if k := one.Swarm(); k.Received != 1<<20+32<<10 || k.Duplicate != 0 {
			t.Errorf("%+v", k)
		}
	})
}

// TestACancelledBlockGoesNoFurther: what nobody waits for any more leaves the
// line to others, and may be asked for again.
func TestACancelledBlockGoesNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		much := large(1 << 20)
		from, s := w.box("giver", func(c *Config) { c.Upload = 100_000 }, much)
		n, one := w.box("one", nil)
		w.Link(n, from)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if _, err := one.Get(ctx, much.CID, node.Want{Class: node.Later}); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
		}
		<-time.After(30 * time.Second)
		if k := s.Swarm(); k.Sent < 500_000 || k.Sent > 700_000 {
			t.Errorf("%d bytes went in six seconds", k.Sent)
		}
		must(t, one, much, node.Want{Class: node.Later})
		if k := one.Swarm(); k.Liars != 0 || one.Counts()[FromSwarm].Blocks != 1 {
			t.Errorf("%+v", k)
		}
	})
}

// slow is a disk that takes a second a block.
type slow struct{ node.Blocks }

func (s slow) Read(ctx context.Context, c cid.Cid) ([]byte, error) {
	<-time.After(time.Second)
	return s.Blocks.Read(ctx, c)
}

// TestCancelledBeforeItIsRead: a block that nobody waits for any more once it is
// read goes nowhere.
func TestCancelledBeforeItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		much := large(64 << 10)
		from, s := w.box("giver", func(c *Config) { c.Local = slow{c.Local} }, much)
		n, one := w.box("one", nil)
		w.Link(n, from)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		one.Get(ctx, much.CID, node.Want{Class: node.Later})
		cancel()
		<-time.After(10 * time.Second)
		if k := s.Swarm(); k.Sent != 0 {
			t.Errorf("%d bytes went", k.Sent)
		}
		must(t, one, much, node.Want{Class: node.Later})
	})
}

// TestAskedAnewForThePlayhead: what was cancelled goes no further where the same
// block is for a playhead now.
func TestAskedAnewForThePlayhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		much := large(200_000)
		from, s := w.box("giver", func(c *Config) { c.Upload = 20_000 }, much)
		st := w.deaf("one", from)
		o := order{number: 5, class: node.Later, digest: digestOf(much.CID)}
		st.Write(appendWants(appendHello(nil, hello{parts: true}), frameWant, []order{o}))
		<-time.After(2 * time.Second)
		o.class = node.Now
		st.Write(appendWants(appendNumbers(nil, frameCancel, []uint32{5}), frameWant, []order{o}))
		<-time.After(30 * time.Second)
		if k := s.Swarm(); k.Sent < 200_000 || k.Sent > 300_000 {
			t.Errorf("%d bytes went", k.Sent)
		}
	})
}

// TestACancelledBlockThatComesEndsItsTurn: one that was written before it was
// cancelled is on its way for seconds, and the next comes right after it.
func TestACancelledBlockThatComesEndsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		first, second := large(60<<10), large(30<<10)
		from, _ := w.box("giver", nil, first, second)
		n, one := w.box("one", func(c *Config) { c.Download = 10_000 })
		w.Link(n, from)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if _, err := one.Get(ctx, first.CID, node.Want{Class: node.Next}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
		began := time.Now()
		must(t, one, second, node.Want{Class: node.Next})
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the next took %v", took)
		}
	})
}

// TestHostileParts break a rule each, and their giver is left; or do not, and
// the block comes.
func TestHostileParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := leaf(1)
		size := len(b.Data)
		part := func(number uint32, at, n int) []byte {
			return append(partFrame(number, at, size, n), b.Data[at:at+n]...)
		}
		for name, c := range map[string]struct {
			say  func(o order) []byte
			good bool
		}{
			"whole":         {func(o order) []byte { return append(part(o.number, 0, 100), part(o.number, 100, size-100)...) }, true},
			"anew":          {func(o order) []byte { return append(part(o.number, 0, 100), part(o.number, 0, size)...) }, true},
			"a hole":        {func(o order) []byte { return append(part(o.number, 0, 100), part(o.number, 101, size-101)...) }, false},
			"no beginning":  {func(o order) []byte { return part(o.number, 100, size-100) }, false},
			"twice":         {func(o order) []byte { return append(part(o.number, 0, 200), part(o.number, 100, size-100)...) }, false},
			"nobody's":      {func(o order) []byte { return part(o.number+9, 0, 100) }, false},
			"nothing":       {func(o order) []byte { return part(o.number, 0, 0) }, false},
			"over its size": {func(o order) []byte { return append(partFrame(o.number, 0, 99, 100), b.Data[:100]...) }, false},
			"over all":      {func(o order) []byte { return append(partFrame(o.number, 0, node.MaxBlock+1, 100), b.Data[:100]...) }, false},
			"another size": {func(o order) []byte {
				return append(part(o.number, 0, 100), append(partFrame(o.number, 100, size+1, 1), 0)...)
			}, false},
			"an overflow": {func(o order) []byte { return append(partFrame(o.number, 0xffffffff, size, 100), b.Data[:100]...) }, false},
			"wrong bytes": {func(o order) []byte {
				return append(part(o.number, 0, size-1), append(partFrame(o.number, size-1, size, 1), b.Data[size-1]+1)...)
			}, false},
			"a part of a head": {func(o order) []byte { return appendHead(nil, framePart, partHead-1) }, false},
		} {
			w := newStage(t)
			n, s := w.box("box", nil)
			x := w.stranger("x", func(st node.Stream, o order) { st.Write(c.say(o)) })
			w.Link(n, x.Node)
			done := make(chan error, 1)
			s.Ask(t.Context(), b.CID, node.Want{Class: node.Next}, func(_ []byte, err error) { done <- err })
			<-time.After(time.Second)
			if d := s.Swarm(); (d.Asked == 1) != c.good {
				t.Errorf("%s: %+v", name, d)
			}
			if c.good {
				if err := <-done; err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

// TestFewHalves: a giver may have two blocks of one stream come in part, and is
// left at the third.
func TestFewHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for many := range maxHalves + 2 {
			w := newStage(t)
			n, s := w.box("box", nil)
			begun := 0
			x := w.stranger("x", func(st node.Stream, o order) {
				if begun++; begun <= many {
					st.Write(append(partFrame(o.number, 0, 1000, 1), 0))
				}
			})
			w.Link(n, x.Node)
			for i := range many + 1 {
				s.Ask(t.Context(), leaf(i).CID, node.Want{Class: node.Later}, func([]byte, error) {})
			}
			<-time.After(time.Second)
			if d := s.Swarm(); (d.Asked == 1) != (many <= maxHalves) {
				t.Errorf("%d halves: %+v", many, d)
			}
		}
	})
}

// TestPartsGrow: on a quick line a block is soon given whole, on a slow one in
// the smallest parts.
func TestPartsGrow(t *testing.T) {
	c := &client{part: leastPart}
	for range 8 {
		c.paced(c.part, time.Millisecond)
	}
	if c.part != freePiece {
		t.Errorf("on a quick line %d", c.part)
	}
	c.paced(c.part, time.Second)
	if c.part != leastPart {
		t.Errorf("on a slow one %d", c.part)
	}
	c.paced(1, 0) // a rest says nothing
	if c.part != leastPart {
		t.Errorf("after a rest %d", c.part)
	}
}

// TestTwoWantsUnderOneNumber: a number stands for one block at a time. Who wants
// another under it, or the same again while it is given, is left; who says a want
// twice is given it once.
func TestTwoWantsUnderOneNumber(t *testing.T) {
	much, small := large(200_000), large(1000)
	for _, c := range []struct {
		name  string
		first []node.Block // wanted under one number in one frame
		then  []node.Block // and when its first parts have gone, for a playhead
		sent  int64
	}{
		{"once", []node.Block{much}, nil, 200_000},
		{"said twice", []node.Block{much, much}, nil, 200_000},
		{"two at once", []node.Block{much, small}, nil, 0},
		{"the same while it is given", []node.Block{much}, []node.Block{much}, 100_000},
		{"another while it is given", []node.Block{much}, []node.Block{small}, 100_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				from, s := w.box("giver", func(c *Config) { c.Upload = 20_000 }, much, small)
				st := w.deaf("one", from)
				wants := func(b []byte, class node.Class, blocks []node.Block) {
					var orders []order
					for _, x := range blocks {
						orders = append(orders, order{number: 5, class: class, digest: digestOf(x.CID)})
					}
					st.Write(appendWants(b, frameWant, orders))
				}
				wants(appendHello(nil, hello{parts: true}), node.Later, c.first)
				<-time.After(2 * time.Second)
				wants(nil, node.Now, c.then)
				<-time.After(30 * time.Second)
				k := s.Swarm()
				if good := c.sent == 200_000; (k.Given == 1) != good || k.Sent > c.sent || good && k.Sent < c.sent {
					t.Errorf("%+v", k)
				}
			})
		})
	}
}

// TestTheSameNumberGivenMeanwhile: where a number was given again between two parts of
// its block, the first goes no further.
func TestTheSameNumberGivenMeanwhile(t *testing.T) {
	g := newGiver(Config{Now: func() time.Time { return time.Unix(1000, 0) }}, newBucket(0, Config{}, nil), nil)
	c := &client{handing: map[uint32]*handing{}}
	if cancelled, ok := g.between(c, &order{number: 5, class: node.Later}); !cancelled || !ok {
		t.Errorf("it goes on: %t, %t", cancelled, ok)
	}
}

// TestAWantThatWasNotSaidIsNotCancelled, but taken back: wanted anew it is wanted once.
func TestAWantThatWasNotSaidIsNotCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		_, s := w.box("box", nil)
		p := &peer{asks: map[uint32]*ask{}, usual: &s.peers.rate, kick: make(chan struct{}, 1), hasty: make(chan struct{}, 1)}
		x := &want{number: 5}
		now := time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.askPeer(x, p, now)
		s.drop(x.asks[0])
		s.askPeer(x, p, now)
		if len(p.wants) != 1 || len(p.cancels) != 0 || p.crossing != 0 {
			t.Errorf("it says wants %v, and cancels %v", p.wants, p.cancels)
		}
		p.wants = p.wants[:0] // said
		s.drop(x.asks[0])
		if len(p.cancels) != 1 || p.crossing != 1 {
			t.Errorf("what was said is not cancelled")
		}
	})
}
