package fetch

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// counted is a source that gives a block at once, and counts.
type counted struct {
	asked atomic.Int64
	b     node.Block
}

func (c *counted) Get(context.Context, cid.Cid, node.Want) ([]byte, error) {
	c.asked.Add(1)
	return c.b.Data, nil
}

// now is a playhead's want.
func now() node.Want { return node.Want{Class: node.Now, Deadline: time.Now()} }

// TestAnUrgentBlockComesOnce: while it comes from a peer, slowly, neither the
// same peers are asked by another protocol, nor a gateway beside them.
func TestAnUrgentBlockComesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		company, gateway := &counted{b: leaf(1)}, &counted{b: leaf(2)}
		n, s := w.box("box", nil)
		s.Add(Source{Name: "company", Getter: company, Company: true})
		w.Link(n, w.stranger("slow", func(st node.Stream, o order) {
			data := leaf(int(o.number)).Data
			head := appendHead(nil, frameBlock, 4+len(data))
			st.Write(append(head, byte(o.number>>24), byte(o.number>>16), byte(o.number>>8), byte(o.number)))
			for at := 0; at < len(data); at += 2 << 10 { // 400 ms
				<-time.After(25 * time.Millisecond)
				st.Write(data[at:][:2<<10])
			}
		}).Node)
		<-time.After(time.Second)
		must(t, s, leaf(1), now())
		s.Add(Source{Name: "gateway", Getter: gateway})
		must(t, s, leaf(2), now())
		if k := s.Counts(); company.asked.Load()+gateway.asked.Load() != 0 || k[FromSwarm].Blocks != 2 {
			t.Errorf("the company was asked %d times, the gateway %d: %+v", company.asked.Load(), gateway.asked.Load(), k)
		}
	})
}

// TestASilentPeerCostsLittle: a gateway is asked at once beside a peer that has
// never said anything, and as long as it goes on so.
func TestASilentPeerCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		n, s := w.box("box", nil)
		mute := w.mute()
		w.Link(n, mute)
		<-time.After(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		s.Get(ctx, leaf(0).CID, node.Want{Class: node.Later}) // its stream is open
		cancel()
		for i := range 3 {
			b := leaf(i)
			gateway := &counted{b: b}
			s.Add(Source{Name: fmt.Sprint("gateway", i), Getter: gateway})
			began := time.Now()
			must(t, s, b, now())
			if took := time.Since(began); took > 0 || gateway.asked.Load() != 1 {
				t.Errorf("block %d took %v, the gateway was asked %d times", i, took, gateway.asked.Load())
			}
			s.mu.Lock()
			s.sources = nil
			s.mu.Unlock()
		}
	})
}

// TestWhatIsNextPassesASilentPeer: a peer that is silent holds up the first block
// that is next, and not the others; and the company is asked after a gateway where
// it is that peer alone.
func TestWhatIsNextPassesASilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		company, gateway := &hanging{}, &counted{}
		n, s := w.box("box", func(c *Config) {
			c.Sources = []Source{{Name: "company", Getter: company, Company: true}, {Name: "gateway", Getter: gateway}}
		})
		mute := w.mute()
		w.Link(n, mute)
		<-time.After(time.Second)
		for i, most := range []time.Duration{2 * bear[node.Next], 0, 0} {
			gateway.b = leaf(i)
			began := time.Now()
			must(t, s, gateway.b, node.Want{Class: node.Next})
			if took := time.Since(began); took > most || company.asked.Load() != 0 {
				t.Errorf("block %d took %v, not %v; the company was asked %d times", i, took, most, company.asked.Load())
			}
		}
	})
}

// hanging is a source that never gives a block, and counts who has left.
type hanging struct{ asked, left atomic.Int64 }

func (h *hanging) Get(ctx context.Context, _ cid.Cid, _ node.Want) ([]byte, error) {
	h.asked.Add(1)
	<-ctx.Done()
	h.left.Add(1)
	return nil, ctx.Err()
}

// TestASilentCompanyCostsLittle: of peers that do not exchange blocks with us nobody
// knows whether they have one. A gateway is asked beside them for a playhead, and
// before them for what comes next once they have let somebody wait, for a while.
func TestASilentCompanyCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		company, gateway := &hanging{}, &counted{}
		_, s := w.box("box", func(c *Config) {
			c.Expect = func() bool { return false }
			c.Sources = []Source{{Name: "company", Getter: company, Company: true}, {Name: "gateway", Getter: gateway}}
		})
		get := func(i int, want node.Want, takes time.Duration) {
			gateway.b = leaf(i)
			began := time.Now()
			must(t, s, gateway.b, want)
			if took := time.Since(began); took != takes {
				t.Errorf("block %d took %v, not %v", i, took, takes)
			}
		}
		get(0, now(), 0)
		get(1, node.Want{Class: node.Next}, bear[node.Next])
		get(2, node.Want{Class: node.Next}, 0)
		get(3, node.Want{Class: node.Soon}, bear[node.Soon]) // a gateway is spared what can wait
		<-time.After(mistrust)
		get(4, node.Want{Class: node.Next}, bear[node.Next])
		if a := company.asked.Load(); a != 4 || s.Swarm().Duplicate != 0 {
			t.Errorf("the company was asked %d times: %+v", a, s.Swarm())
		}
	})
}

// TestARaceEndsWithTheFirstBytes: a gateway that was asked beside a peer that is
// not known is left when that one begins to give, and is not asked again.
func TestARaceEndsWithTheFirstBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		n, s := w.box("box", nil)
		gateway := &hanging{}
		s.Add(Source{Name: "gateway", Getter: gateway})
		far := w.giver("far", func(st node.Stream, orders []order) {
			for _, o := range orders {
				<-time.After(30 * time.Millisecond)
				data := leaf(int(o.number)).Data
				st.Write(partFrame(o.number, 0, len(data), len(data)/2))
				st.Write(data[:len(data)/2])
				<-time.After(30 * time.Millisecond)
				if left := gateway.left.Load(); left != 1 {
					t.Errorf("block %d is half here, and %d have left the gateway", o.number, left)
				}
				st.Write(partFrame(o.number, len(data)/2, len(data), len(data)-len(data)/2))
				st.Write(data[len(data)/2:])
			}
		})
		w.Link(n, far)
		<-time.After(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		s.Get(ctx, leaf(0).CID, node.Want{Class: node.Later}) // its stream is open
		cancel()
		must(t, s, leaf(2), now())
		must(t, s, leaf(3), now())
		if k := s.Swarm(); gateway.asked.Load() != 1 || k.Rescued != 1 || k.Duplicate != 0 {
			t.Errorf("the gateway was asked %d times: %+v", gateway.asked.Load(), k)
		}
	})
}

// TestAPlayheadAsksTheQuickerOne: once it is known who answers sooner, a block
// is asked of that one alone: both would come by one line.
func TestAPlayheadAsksTheQuickerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		n, s := w.box("box", nil)
		var all []node.Block
		for i := range 3 {
			all = append(all, node.NewBlock(cid.Raw, fmt.Append(nil, "small", i)))
		}
		all = append(all, leavesOf(4)...)
		far := w.stranger("far", func(st node.Stream, o order) {
			<-time.After(30 * time.Millisecond)
			quick(all...)(st, o)
		})
		close := w.stranger("close", quick(all...))
		w.Link(n, far.Node)
		w.Link(n, close.Node)
		for _, b := range all[:3] {
			must(t, s, b, now())
		}
		<-time.After(time.Second)
		before := len(far.wants())
		for _, b := range all[3:] {
			must(t, s, b, now())
		}
		if got := len(far.wants()) - before; got != 0 || s.Swarm().Duplicate > 100 {
			t.Errorf("the far one was asked %d times as well: %+v", got, s.Swarm())
		}
	})
}

// TestTheWayIsNotTheQueue: two small blocks that come together say how far a
// peer is, and not that it is next door.
func TestTheWayIsNotTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		n, s := w.box("box", nil)
		a, b := node.NewBlock(cid.Raw, []byte("a")), node.NewBlock(cid.Raw, []byte("b"))
		x := w.giver("x", func(st node.Stream, orders []order) {
			<-time.After(20 * time.Millisecond)
			for _, o := range orders {
				quick(a, b)(st, o)
			}
		})
		w.Link(n, x)
		done := make(chan error, 2)
		for _, c := range []node.Block{a, b} {
			s.Ask(t.Context(), c.CID, now(), func(_ []byte, err error) { done <- err })
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if lag := s.peers.byID[x.ID()].lag; lag < 10*time.Millisecond {
			t.Errorf("a peer 20 ms away is taken to be %v away", lag)
		}
	})
}

// TestComing: a block is coming from a peer that speaks, and from no other.
func TestComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		n, s := w.box("box", nil)
		b := leaf(1)
		if s.Coming(b.CID) {
			t.Error("nobody wants it")
		}
		w.Link(n, w.stranger("slow", func(st node.Stream, o order) { // says that it has it, and then nothing
		}).Node)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.Ask(ctx, b.CID, now(), func([]byte, error) {})
		<-time.After(stalled / 2)
		if !s.Coming(b.CID) {
			t.Error("its peer has spoken")
		}
		mute := w.mute()
		other, o := w.box("other", nil)
		w.Link(other, mute)
		o.Ask(ctx, b.CID, now(), func([]byte, error) {})
		<-time.After(stalled / 2)
		if o.Coming(b.CID) {
			t.Error("its peer has said nothing")
		}
	})
}

// TestABusyPeerBringsNoCompany: what is in no hurry, and asked of a peer that is
// slow to answer, is not sought another way as well: it would come twice.
func TestABusyPeerBringsNoCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		company := &counted{b: leaf(1)}
		n, s := w.box("box", func(c *Config) { c.Sources = []Source{{Name: "company", Getter: company, Company: true}} })
		w.Link(n, w.stranger("busy", func(st node.Stream, o order) {
			<-time.After(4 * time.Second)
			giveBlock(st, o.number, leaf(1).Data)
		}).Node)
		<-time.After(time.Second)
		must(t, s, leaf(1), node.Want{Class: node.Next})
		if company.asked.Load() != 0 {
			t.Errorf("the company was asked %d times", company.asked.Load())
		}
	})
}
