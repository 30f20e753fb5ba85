package fetch

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TestGivingTakesLittleMemory gives much, small and large, and sees what of it
// the giver keeps.
func TestGivingTakesLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		large := leavesOf(2 * recent / len(leaf(0).Data))
		var small []node.Block
		for i := range 100 {
			small = append(small, node.NewBlock(cid.Raw, []byte{byte(i)}))
		}
		all := slices.Concat(large, small)
		source, from := w.box("source", nil, all...)
		n, s := w.box("one", nil)
		w.Link(n, source)
		for _, b := range all {
			must(t, s, b, node.Want{Class: node.Later})
		}
		synctest.Wait()
		kept := func(g *giver) (bytes, blocks, noted int) {
			g.mu.Lock()
			defer g.mu.Unlock()
			for _, l := range g.latest.blocks {
				bytes += cap(l.data)
			}
			return bytes, len(g.latest.blocks), len(g.latest.order)
		}
		for _, g := range []*giver{from.giver, s.giver} {
			if bytes, blocks, noted := kept(g); bytes == 0 || bytes > recent || noted != blocks {
				t.Errorf("%d bytes are kept, in %d blocks of which %d are noted", bytes, blocks, noted)
			}
		}
		from.giver.mu.Lock()
		if rows := len(from.giver.ledger.rows); rows != len(large) {
			t.Errorf("%d blocks are noted, of %d that were large", rows, len(large))
		}
		from.giver.mu.Unlock()
		s.giver.mu.Lock()
		if came := len(s.giver.ledger.from[0]); came != len(large) {
			t.Errorf("%d blocks are noted as others', of %d that were large", came, len(large))
		}
		s.giver.mu.Unlock()
		<-time.After(2 * lingers)
		synctest.Wait()
		for _, g := range []*giver{from.giver, s.giver} {
			if bytes, blocks, _ := kept(g); bytes != 0 || blocks != 0 {
				t.Errorf("%d bytes in %d blocks are kept at rest", bytes, blocks)
			}
		}
	})
}

// lender lends copies of its blocks, and spoils those that are given back.
type lender struct {
	node.Blocks
	out atomic.Int64
}

func (l *lender) Lend(ctx context.Context, c cid.Cid) ([]byte, func(), error) {
	data, err := l.Read(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	data = slices.Clone(data)
	l.out.Add(1)
	var once atomic.Bool
	return data, func() {
		if once.Swap(true) {
			panic("given back twice")
		}
		clear(data)
		l.out.Add(-1)
	}, nil
}

// TestWhatIsLentIsGivenBack has a giver lend more than it keeps at hand, and sees
// that it uses nothing which it has given back, and gives back all.
func TestWhatIsLentIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		all := leavesOf(2 * recent / len(leaf(0).Data))
		var l *lender
		source, from := w.box("source", func(c *Config) {
			l = &lender{Blocks: c.Local}
			c.Local = l
		}, all...)
		used, err := from.giver.read(digestOf(all[0].CID)) // as by one who takes long
		if err != nil {
			t.Fatal(err)
		}
		var boxes []*Scheduler
		for _, name := range []string{"one", "two"} {
			n, s := w.box(name, nil)
			w.Link(n, source)
			boxes = append(boxes, s)
		}
		for _, s := range boxes {
			for _, b := range all {
				must(t, s, b, node.Want{Class: node.Now})
			}
		}
		if from.giver.atHand(digestOf(all[0].CID)) != nil {
			t.Error("all is at hand yet")
		}
		if !bytes.Equal(used.data, all[0].Data) {
			t.Error("what is used was given back")
		}
		from.giver.mu.Lock()
		from.giver.release(used)
		from.giver.mu.Unlock()
		if len(boxes[0].Liars())+len(boxes[1].Liars()) > 0 {
			t.Error("wrong bytes were given")
		}
		<-time.After(2 * lingers)
		synctest.Wait()
		if n := l.out.Load(); n != 0 {
			t.Errorf("%d blocks are not given back", n)
		}
	})
}

// TestNowIsNotPutOffForABlockUnderWay: who else is being given it does not
// matter to the playhead, and does to all others.
func TestNowIsNotPutOffForABlockUnderWay(t *testing.T) {
	l, now, there := newLedger(), time.Unix(1000, 0), func(string) bool { return true }
	off := func(peer string, class node.Class) bool {
		_, _, off := l.putOff(order{class: class, digest: Digest{1}}, peer, now, 0, there)
		return off
	}
	if off("first", node.Later) {
		t.Fatal("the first one was put off")
	}
	l.begin(Digest{1}, "first", now)
	if !off("second", node.Later) || !off("second", node.Next) {
		t.Error("given to two at once")
	}
	if off("third", node.Now) {
		t.Error("the playhead was put off")
	}
}

// TestWhoHoldsABlockIsNotTold has two want a block that one of them then has: the
// other, which has it from there, says nothing of it.
func TestWhoHoldsABlockIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		n, first := w.box("first", nil)
		m, second := w.box("second", nil)
		w.Link(n, m)
		done := make(chan error, 2)
		for _, s := range []*Scheduler{first, second} {
			s.Ask(t.Context(), b.CID, node.Want{Class: node.Later}, func(_ []byte, err error) { done <- err })
		}
		<-time.After(time.Second)
		said := func() (words int64, watching int) {
			g := second.giver
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.did.Words, g.watching
		}
		before, watching := said()
		if before == 0 || watching != 1 {
			t.Fatalf("%d bytes were said and %d blocks are waited for: nobody has asked", before, watching)
		}
		if err := first.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Second)
		if after, watching := said(); after != before || watching != 0 {
			t.Errorf("%d bytes were said to who holds it, and %d blocks are waited for", after-before, watching)
		}
	})
}

// TestWhoHoldsABlockHearsThatItIsHere, where it saves its line, and who does not
// hold it, or gave small ones to anyone, does not.
func TestWhoHoldsABlockHearsThatItIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		large, other, small := leaf(1), leaf(2), node.NewBlock(cid.Raw, []byte("small"))
		n, s := w.box("box", nil)
		saves := w.stranger("saves", func(st node.Stream, o order) {
			if o.digest == digestOf(other.CID) {
				st.Write(appendNumbers(nil, frameNot, []uint32{o.number}))
			} else {
				st.Write(appendLater(nil, o.number, 10_000, nil))
			}
		})
		w.Link(n, saves.Node)
		done := make(chan error, 3)
		for _, b := range []node.Block{large, other, small} {
			s.Ask(t.Context(), b.CID, node.Want{Class: node.Later}, func(_ []byte, err error) { done <- err })
		}
		<-time.After(time.Second)
		gives := w.stranger("gives", quick(large, other, small))
		w.Link(n, gives.Node)
		for range 3 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Second)
		saves.mu.Lock()
		defer saves.mu.Unlock()
		var heard []Digest
		for _, h := range saves.heard {
			if h.kind == frameDone {
				digests, _ := parseDigests(h.body)
				heard = append(heard, digests...)
			}
		}
		if want := []Digest{digestOf(large.CID)}; !slices.Equal(heard, want) {
			t.Errorf("it heard that %d blocks are here, want the one that it holds", len(heard))
		}
	})
}

// endless lends more than a block may have.
type endless struct {
	node.Blocks
	out int
}

func (l *endless) Lend(context.Context, cid.Cid) ([]byte, func(), error) {
	l.out++
	return make([]byte, node.MaxBlock+1), func() { l.out-- }, nil
}

// TestWhatIsTooLargeIsGivenBack, and is not given.
func TestWhatIsTooLargeIsGivenBack(t *testing.T) {
	l := &endless{}
	g := newGiver(Config{Local: l, Now: time.Now}, nil, nil)
	if _, err := g.read(Digest{1}); err == nil || l.out != 0 {
		t.Errorf("%d are lent yet, and the answer is %v", l.out, err)
	}
}
