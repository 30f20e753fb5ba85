package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/memory"
)

// leaf is a block that is large enough not to be given to everyone.
func leaf(i int) node.Block {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	data := make([]byte, 32<<10)
	for j := range data {
		data[j] = byte(r.Uint32())
	}
	return node.NewBlock(cid.Raw, data)
}

func leavesOf(n int) (out []node.Block) {
	for i := range n {
		out = append(out, leaf(i))
	}
	return out
}

// stage is a world in memory with lines that take 5 ms.
type stage struct {
	*memory.World
	t *testing.T
}

func newStage(t *testing.T) *stage {
	w := memory.NewWorld()
	w.Delay = 5 * time.Millisecond
	return &stage{w, t}
}

// giver is a peer that gives by f what each of its frames of wants asks for, and
// listens to nothing meanwhile.
func (w *stage) giver(name string, f func(node.Stream, []order)) *memory.Node {
	n := w.Node(name)
	w.t.Cleanup(func() { n.Close() })
	n.Handle(BlocksProtocol, func(_ string, st node.Stream) {
		for {
			kind, body, err := frame(st)
			if err != nil {
				return
			}
			if orders, _ := parseWants(body); kind == frameWant {
				f(st, orders)
			}
		}
	})
	return n
}

// box is a node with a Scheduler on it.
func (w *stage) box(name string, change func(*Config), blocks ...node.Block) (*memory.Node, *Scheduler) {
	n := w.Node(name)
	n.Put(w.t.Context(), blocks...)
	cfg := Config{
		Local: n, Streams: n, Peers: n, Meet: func(ctx context.Context, addr, _ string) error { return n.Connect(ctx, addr) }, Now: time.Now, After: time.After,
		Rand: rand.New(rand.NewPCG(1, uint64(len(name)))),
	}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	w.t.Cleanup(func() { s.Close(); n.Close() })
	return n, s
}

// told is one frame that a stranger has heard, and when.
type told struct {
	kind byte
	body []byte
	at   time.Time
}

// stranger is a peer whose giving side is made by hand. It says that it holds
// all that it is asked about, and has want answer.
type stranger struct {
	*memory.Node
	mu     sync.Mutex // guards what follows
	heard  []told
	opened int
}

func (w *stage) stranger(name string, want func(st node.Stream, o order)) *stranger {
	x := &stranger{Node: w.Node(name)}
	w.t.Cleanup(func() { x.Close() })
	x.Handle(BlocksProtocol, func(_ string, st node.Stream) {
		defer st.Reset()
		x.mu.Lock()
		x.opened++
		x.mu.Unlock()
		for {
			kind, body, err := frame(st)
			if err != nil {
				return
			}
			x.mu.Lock()
			x.heard = append(x.heard, told{kind, body, time.Now()})
			x.mu.Unlock()
			switch kind {
			case frameAsk:
				base, digests, _ := parseAsk(body)
				all := make([]bool, len(digests))
				for i := range all {
					all[i] = true
				}
				st.Write(appendHeld(nil, base, all))
			case frameWant:
				orders, _ := parseWants(body)
				for _, o := range orders {
					if want != nil {
						want(st, o)
					}
				}
			}
		}
	})
	return x
}

// mute is a peer that hears all that is said, and says nothing.
func (w *stage) mute() *memory.Node {
	n := w.Node("mute")
	w.t.Cleanup(func() { n.Close() })
	n.Handle(BlocksProtocol, func(_ string, st node.Stream) {
		for _, _, err := frame(st); err == nil; _, _, err = frame(st) {
		}
	})
	return n
}

// wants are the times at which x was asked for a block.
func (x *stranger) wants() (out []time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, h := range x.heard {
		if h.kind == frameWant {
			for range len(h.body) / wantSize {
				out = append(out, h.at)
			}
		}
	}
	return out
}

func frame(r io.Reader) (byte, []byte, error) {
	kind, n, err := readHead(r)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(r, body)
	return kind, body, err
}

func giveBlock(st node.Stream, number uint32, data []byte) {
	b := appendHead(nil, frameBlock, 4+len(data))
	b = append(b, byte(number>>24), byte(number>>16), byte(number>>8), byte(number))
	st.Write(append(b, data...))
}

// quick is a stranger's answer with the right bytes.
func quick(blocks ...node.Block) func(st node.Stream, o order) {
	return func(st node.Stream, o order) {
		for _, b := range blocks {
			if digestOf(b.CID) == o.digest {
				giveBlock(st, o.number, b.Data)
			}
		}
	}
}

func must(t *testing.T, s *Scheduler, b node.Block, w node.Want) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if got, err := s.Get(ctx, b.CID, w); err != nil || !bytes.Equal(got, b.Data) {
		t.Fatalf("get: %d bytes, %v", len(got), err)
	}
}

// TestADeadlineIsKept has one peer say that it holds a block and give nothing:
// another is asked before the deadline, and no sooner than it must be.
func TestADeadlineIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		n, s := w.box("box", nil)
		mute := w.stranger("mute", nil)
		w.Link(n, mute.Node)
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		came := make(chan time.Duration, 1)
		s.Ask(ctx, b.CID, node.Want{Class: node.Later, Deadline: began.Add(4 * time.Second)}, func(_ []byte, err error) {
			if err != nil {
				t.Error(err)
			}
			came <- time.Since(began)
		})
		<-time.After(time.Second)
		good := w.stranger("good", quick(b))
		w.Link(n, good.Node)
		took := <-came
		if took > 4*time.Second || len(good.wants()) != 1 || len(mute.wants()) != 1 {
			t.Fatalf("took %v, the good one was asked %d times, the mute one %d", took, len(good.wants()), len(mute.wants()))
		}
		if s.Swarm().Rescued != 1 || took < time.Second {
			t.Fatalf("%v: %+v", took, s.Swarm())
		}
	})
}

// TestFewAreAskedForOneBlock bounds what a block may cost when all are slow.
func TestFewAreAskedForOneBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		n, s := w.box("box", nil)
		var all []*stranger
		for i := range 6 {
			x := w.stranger(fmt.Sprint("slow", i), func(st node.Stream, o order) {
				<-time.After(4 * time.Second)
				giveBlock(st, o.number, b.Data)
			})
			w.Link(n, x.Node)
			all = append(all, x)
		}
		must(t, s, b, node.Want{Class: node.Now})
		<-time.After(10 * time.Second)
		asked := 0
		for _, x := range all {
			asked += len(x.wants())
		}
		if asked < 2 || asked > 3 {
			t.Fatalf("%d were asked", asked)
		}
		if d := s.Swarm(); d.Duplicate > int64(2*len(b.Data)) || d.Received != d.Duplicate+int64(len(b.Data)) {
			t.Fatalf("%+v", d)
		}
	})
}

// TestALiarIsDroppedAtItsFirstBlock has it come back, too.
func TestALiarIsDroppedAtItsFirstBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, wrong := range [][]byte{nil, []byte("wrong"), leaf(9).Data} {
			w := newStage(t)
			blocks := leavesOf(5)
			n, s := w.box("box", nil)
			liar := w.stranger("liar", func(st node.Stream, o order) { giveBlock(st, o.number, wrong) })
			w.Link(n, liar.Node)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if data, err := s.Get(ctx, blocks[0].CID, node.Want{Class: node.Next}); err == nil {
				t.Fatalf("%d bytes of a liar's came out", len(data))
			}
			cancel()
			good, _ := w.box("good", nil, blocks...)
			w.Link(n, good)
			w.Cut(n, liar.Node)
			w.Link(n, liar.Node)
			for _, b := range blocks {
				must(t, s, b, node.Want{Class: node.Later})
			}
			if d := s.Swarm(); d.Liars != 1 || liar.opened != 1 || len(liar.wants()) != 1 {
				t.Fatalf("%+v, opened %d times, asked %d times", d, liar.opened, len(liar.wants()))
			}
		}
	})
}

// TestAStallIsLeft has a peer fall silent in the middle of a block.
func TestAStallIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		n, s := w.box("box", nil)
		stuck := w.stranger("stuck", func(st node.Stream, o order) {
			st.Write(append(appendHead(nil, frameBlock, 4+len(b.Data)), byte(o.number>>24), byte(o.number>>16), byte(o.number>>8), byte(o.number), b.Data[0]))
		})
		w.Link(n, stuck.Node)
		began := time.Now()
		done := make(chan error, 1)
		s.Ask(t.Context(), b.CID, node.Want{Class: node.Later}, func(_ []byte, err error) { done <- err })
		<-time.After(time.Second)
		good, _ := w.box("good", nil, b)
		w.Link(n, good)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > dripping+3*time.Second {
			t.Fatalf("took %v", took)
		}
		<-time.After(stalled + time.Second)
		if d := s.Swarm(); d.Asked != 1 {
			t.Fatalf("the stuck one's stream is still there: %+v", d)
		}
	})
}

// TestFalseHoldersAreLeft has a peer say that it holds everything, and give
// nothing.
func TestFalseHoldersAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		blocks := leavesOf(40)
		n, s := w.box("box", nil)
		boaster := w.stranger("boaster", func(st node.Stream, o order) { st.Write(appendNumbers(nil, frameNot, []uint32{o.number})) })
		w.Link(n, boaster.Node)
		good, _ := w.box("good", nil, blocks...)
		w.Link(n, good)
		var wg sync.WaitGroup
		for _, b := range blocks {
			wg.Add(1)
			s.Ask(t.Context(), b.CID, node.Want{Class: node.Later}, func(_ []byte, err error) {
				if err != nil {
					t.Error(err)
				}
				wg.Done()
			})
		}
		wg.Wait()
		if n := len(boaster.wants()); n > 16 {
			t.Fatalf("the boaster was asked for %d blocks", n)
		}
	})
}

// TestWhoGaveNothingComesLast has one say that it holds everything, and be silent:
// what was taken off it is not asked of it again while another gives, slowly.
func TestWhoGaveNothingComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		blocks := leavesOf(8)
		n, s := w.box("box", nil)
		boaster := w.stranger("boaster", nil)
		w.Link(n, boaster.Node)
		give := quick(blocks...)
		slow := w.stranger("slow", func(st node.Stream, o order) {
			<-time.After(400 * time.Millisecond)
			give(st, o)
		})
		first := make(chan error, 1)
		s.Ask(t.Context(), blocks[0].CID, node.Want{Class: node.Later}, func(_ []byte, err error) { first <- err })
		<-time.After(100 * time.Millisecond) // it is asked of the only one there is
		w.Link(n, slow.Node)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks[1:] {
			must(t, s, b, node.Want{Class: node.Later})
		}
		if n := len(boaster.wants()); n != 1 {
			t.Fatalf("the boaster was asked for %d blocks", n)
		}
	})
}

// TestASourceRefers has two who know the source alone: the second has the
// block from the first, which the source names.
func TestASourceRefers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		source, from := w.box("source", nil, b)
		n1, s1 := w.box("one", nil)
		n2, s2 := w.box("two", nil)
		w.Link(n1, source)
		w.Link(n2, source)
		must(t, s1, b, node.Want{Class: node.Later})
		must(t, s2, b, node.Want{Class: node.Later})
		synctest.Wait() // what was given is counted once it is written
		if d := from.Swarm(); d.Sent != int64(len(b.Data)) || d.Referred == 0 {
			t.Fatalf("source: %+v", d)
		}
		if d := s1.Swarm(); d.Sent != int64(len(b.Data)) {
			t.Fatalf("the first: %+v", d)
		}
	})
}

// TestWhoReachesNobodyIsServed has the first be one that cannot be dialled.
func TestWhoReachesNobodyIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		source, from := w.box("source", nil, b)
		shut := func(c *Config) {
			c.Meet = func(context.Context, string, string) error { return errors.New("no way there") }
		}
		n1, s1 := w.box("one", shut)
		n2, s2 := w.box("two", shut)
		w.Link(n1, source)
		w.Link(n2, source)
		must(t, s1, b, node.Want{Class: node.Later})
		began := time.Now()
		must(t, s2, b, node.Want{Class: node.Later})
		if took := time.Since(began); took > alone[node.Later]+time.Second {
			t.Fatalf("took %v", took)
		}
		if d := from.Swarm(); d.Sent != 2*int64(len(b.Data)) {
			t.Fatalf("source: %+v", d)
		}
	})
}

// TestNowIsNotPutOff has the playhead served whoever was before.
func TestNowIsNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		source, from := w.box("source", nil, b)
		for i := range 3 {
			n, s := w.box(fmt.Sprint("box", i), func(c *Config) { c.Meet = nil })
			w.Link(n, source)
			began := time.Now()
			must(t, s, b, node.Want{Class: node.Now})
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Fatalf("took %v", took)
			}
		}
		if d := from.Swarm(); d.Referred > 0 {
			t.Fatalf("source: %+v", d)
		}
	})
}

// opened is a stream of blocks to a peer, by hand.
func (w *stage) opened(name string, to *memory.Node) (*memory.Node, node.Stream) {
	n := w.Node(name)
	w.t.Cleanup(func() { n.Close() })
	w.Link(n, to)
	st, err := n.Open(w.t.Context(), to.ID(), BlocksProtocol)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { st.Reset() })
	return n, st
}

// asker is such a stream of one that has said hello.
func (w *stage) asker(name string, to *memory.Node) (*memory.Node, node.Stream) {
	n, st := w.opened(name, to)
	st.Write(appendHello(nil, hello{}))
	return n, st
}

// deaf is such a stream of one that takes no notice of what it is given.
func (w *stage) deaf(name string, to *memory.Node) node.Stream {
	_, st := w.opened(name, to)
	go func() {
		for _, _, err := frame(st); err == nil; _, _, err = frame(st) {
		}
	}()
	return st
}

// TestOrder is by class, by deadline, and the rarest first; for the playhead as
// asked.
func TestOrder(t *testing.T) {
	now := time.Now()
	row := []*want{
		{Want: node.Want{Class: node.Now, Deadline: now}, number: 9},
		{Want: node.Want{Class: node.Now}, number: 2, rank: 9, has: 7},
		{Want: node.Want{Class: node.Now}, number: 3, rank: 1, has: 1},
		{Want: node.Want{Class: node.Soon, Deadline: now.Add(time.Second)}},
		{Want: node.Want{Class: node.Soon}, has: 1, number: 8, rank: 1},
		{Want: node.Want{Class: node.Soon}, has: 2, number: 7, rank: 2},
		{Want: node.Want{Class: node.Soon}, has: 3, rank: 0},
		{Want: node.Want{Class: node.Later}, has: 1},
	}
	for i, a := range row {
		for j, b := range row {
			if a.before(b) != (i < j) {
				t.Errorf("%d before %d: %v", i, j, a.before(b))
			}
		}
	}
}

// TestAHelloKeepsWhatLeadsHere: where words leave room for few addresses, those
// that lead nowhere from elsewhere are left out.
func TestAHelloKeepsWhatLeadsHere(t *testing.T) {
	near := []string{"/ip4/127.0.0.1/tcp/1/p2p/x", "/ip6/::1/tcp/1/p2p/x"}
	var far []string
	for i := range maxAddrs - 2 {
		far = append(far, fmt.Sprintf("/ip4/11.0.0.%d/tcp/1/p2p/x", i))
	}
	for name, c := range map[string]struct{ addrs, want []string }{
		"all have room": {slices.Concat(near, far[:4]), slices.Concat(near, far[:4])},
		"too many":      {slices.Concat(near, far), far},
		"one too many":  {slices.Concat(near, far[1:]), append(slices.Clone(far[1:]), near[0])},
	} {
		was := slices.Clone(c.addrs)
		h, err := parseHello(appendHello(nil, hello{c.addrs, true, true})[4:], "x")
		if err != nil || !h.parts || !h.dialled || !slices.Equal(h.addrs, c.want) || !slices.Equal(c.addrs, was) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

// FuzzFrames reads whatever a stranger may send, and writes it again as it
// was.
func FuzzFrames(f *testing.F) {
	d := digestOf(leaf(1).CID)
	for _, seed := range [][]byte{
		appendHello(nil, hello{[]string{"/ip4/127.0.0.1/tcp/1/p2p/x"}, true, true}), appendAsk(nil, 7, []Digest{d, d}),
		appendWants(nil, frameWant, []order{{1, node.Now, false, d}, {2, node.Later, true, d}}),
		appendNumbers(nil, frameCancel, []uint32{1, 2}), appendDone(nil, []Digest{d}), appendHeld(nil, 3, []bool{true, false, true}),
		appendLater(nil, 1, 500, []referral{{peer: "x", addrs: []string{"/ip4/127.0.0.1/tcp/1/p2p/x"}}, {peer: "y"}}),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, body, err := frame(bytes.NewReader(data))
		if err != nil {
			return
		}
		data = data[:4+len(body)]
		var again []byte
		switch kind {
		case frameHello:
			if h, err := parseHello(body, "x"); err == nil && len(h.addrs) > maxAddrs {
				t.Fatal(len(h.addrs))
			}
			return
		case frameAsk:
			base, digests, e := parseAsk(body)
			again, err = appendAsk(nil, base, digests), e
		case frameWant, frameHurry:
			orders, e := parseWants(body)
			if err = e; len(orders) > 0 {
				again = appendWants(nil, kind, orders)
			}
		case frameCancel, frameGain, frameNot, frameGot:
			numbers, e := parseNumbers(body)
			if err = e; len(numbers) > 0 {
				again = appendNumbers(nil, kind, numbers)
			}
		case frameDone:
			digests, e := parseDigests(body)
			if err = e; len(digests) > 0 {
				again = appendDone(nil, digests)
			}
		case frameHeld:
			base, held, e := parseHeld(body)
			again, err = appendHeld(nil, base, held), e
		case frameLater:
			number, wait, refs, e := parseLater(body)
			for _, r := range refs {
				if !slices.Equal(r.addrs, ofPeer(r.addrs, r.peer)) {
					t.Fatal(r)
				}
			}
			if e == nil {
				_, _, twice, _ := parseLater(appendLater(nil, number, wait, refs)[4:])
				if !reflect.DeepEqual(refs, twice) {
					t.Fatal(refs, twice)
				}
			}
			return
		}
		if err == nil && again != nil && !bytes.Equal(again, data) {
			t.Fatalf("type %d: %x came back as %x", kind, data, again)
		}
	})
}
