package fetch_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/node"
	"playnode/node/memory"
)

// record is a dag-cbor block that links to others.
func record(links ...node.Block) node.Block {
	data := []byte{0x80 | byte(len(links))}
	for _, l := range links {
		c := l.CID.Bytes()
		data = append(append(data, 0xd8, 42, 0x58, byte(len(c)+1), 0), c...)
	}
	return node.NewBlock(cid.DagCBOR, data)
}

// file is a dag-pb block that links to others.
func file(links ...node.Block) node.Block {
	var data []byte
	for _, l := range links {
		c := l.CID.Bytes()
		data = append(append(data, 0x12, byte(len(c)+2), 0x0a, byte(len(c))), c...)
	}
	return node.NewBlock(cid.DagProtobuf, data)
}

// catalogue is a graph whose root comes first, then what trees have of it.
func catalogue() (small, leaves []node.Block) {
	leaves = many(6)
	info := node.NewBlock(cid.Raw, []byte("info"))
	inner := file(leaves[:3]...)
	track := file(inner, leaves[3], leaves[4])
	shard := record(track, info, info)
	large := node.NewBlock(cid.Raw, make([]byte, fetch.MaxTree+1))
	root := record(shard, large)
	return []node.Block{root, shard, track, info, inner}, append(leaves, large)
}

// meeting are a giver of blocks, and one who asks.
func meeting(t *testing.T, blocks ...node.Block) (giver, asker *memory.Node, s *fetch.Scheduler) {
	w := memory.NewWorld()
	giver, asker = w.Node("giver"), w.Node("asker")
	put(t, giver, blocks...)
	g := fetch.New(fetch.Config{Local: giver, Now: time.Now, Streams: giver, Peers: giver})
	s = fetch.New(fetch.Config{Local: asker, Now: time.Now, Streams: asker, Peers: asker})
	t.Cleanup(func() { s.Close(); g.Close(); asker.Close(); giver.Close() })
	w.Link(giver, asker)
	return giver, asker, s
}

// TestTrees has records and the inner nodes of files come in one answer, the
// first ones first, and no leaf.
func TestTrees(t *testing.T) {
	small, leaves := catalogue()
	_, asker, s := meeting(t, append(small, leaves...)...)
	b := fetch.NewBulk(s)
	var mu sync.Mutex
	var came []cid.Cid
	each := func(c cid.Cid, size int) {
		if has, _ := asker.Has(t.Context(), c); !has {
			t.Errorf("%s is told of and not here", c)
		}
		mu.Lock()
		defer mu.Unlock()
		came = append(came, c)
	}
	if err := b.Trees(t.Context(), small[0].CID, int64(len(small[0].Data)), each); err != nil || len(came) != 1 || came[0] != small[0].CID {
		t.Fatalf("within the root's bytes: %v, %v", came, err)
	}
	came = nil
	if err := b.Trees(t.Context(), small[0].CID, 1<<20, each); err != nil {
		t.Fatal(err)
	}
	for _, x := range small {
		if !slices.Contains(came, x.CID) {
			t.Errorf("%s has not come", x.CID)
		}
	}
	if len(came) != len(small) {
		t.Errorf("%d came of %d", len(came), len(small))
	}
	if c := s.Counts()[fetch.FromSwarm]; c.Blocks != int64(len(small)+1) {
		t.Errorf("counts %+v", c)
	}
	if err := b.Trees(t.Context(), leaves[0].CID, 1<<20, nil); err != nil {
		t.Errorf("a leaf by itself: %v", err)
	}
	if err := b.Trees(t.Context(), node.NewBlock(cid.Raw, []byte("absent")).CID, 1<<20, nil); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("what nobody has: %v", err)
	}
}

// TestTreesGoOnce as far as they are large: the second who asks is given the rest,
// and the block in the middle by its order, once others have had time to give it.
func TestTreesGoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := node.NewBlock(cid.Raw, make([]byte, 200<<10))
		info := node.NewBlock(cid.Raw, []byte("info"))
		root := record(box, info)
		w := memory.NewWorld()
		giver := w.Node("giver")
		put(t, giver, root, box, info)
		g := fetch.New(fetch.Config{Local: giver, Now: time.Now, Streams: giver, Peers: giver})
		defer giver.Close()
		defer g.Close()
		came := func(name string) map[cid.Cid]bool {
			asker := w.Node(name)
			s := fetch.New(fetch.Config{Local: asker, Now: time.Now, Streams: asker, Peers: asker})
			t.Cleanup(func() { s.Close(); asker.Close() })
			w.Link(giver, asker)
			has := map[cid.Cid]bool{}
			if err := fetch.NewBulk(s).Trees(t.Context(), root.CID, 1<<20, func(c cid.Cid, _ int) { has[c] = true }); err != nil {
				t.Fatal(err)
			}
			return has
		}
		if first := came("first"); !first[root.CID] || !first[box.CID] || !first[info.CID] {
			t.Errorf("the first has %v", first)
		}
		if second := came("second"); !second[root.CID] || second[box.CID] || !second[info.CID] {
			t.Errorf("the second has %v", second)
		}
		<-time.After(10 * time.Second)
		if third := came("third"); len(third) != 3 {
			t.Errorf("the third, later, has %v", third)
		}
		if sent, want := g.Swarm().Sent, int64(2*len(box.Data)); sent < want || sent > want+1000 {
			t.Errorf("%d bytes were sent", sent)
		}
	})
}

// TestTreesAreSought among all who are here: whoever says that it holds nothing of
// them costs a question.
func TestTreesAreSought(t *testing.T) {
	small, _ := catalogue()
	w := memory.NewWorld()
	asker := w.Node("asker")
	s := fetch.New(fetch.Config{Local: asker, Now: time.Now, Streams: asker, Peers: asker})
	t.Cleanup(func() { s.Close(); asker.Close() })
	for i := range 12 {
		n := w.Node(fmt.Sprint("peer", i))
		if i == 7 {
			put(t, n, small...)
		}
		g := fetch.New(fetch.Config{Local: n, Now: time.Now, Streams: n, Peers: n})
		t.Cleanup(func() { g.Close(); n.Close() })
		w.Link(n, asker)
	}
	for range 8 { // in another order each time
		if err := fetch.NewBulk(s).Trees(t.Context(), small[0].CID, 1<<20, nil); err != nil {
			t.Fatal(err)
		}
	}
	if k := s.Counts()[fetch.FromSwarm]; k.Failed != 0 {
		t.Errorf("%+v: who says that it holds nothing has failed in nothing", k)
	}
}

// TestTreesAreBounded by a budget for each peer, and by what is asked for.
func TestTreesAreBounded(t *testing.T) {
	small, leaves := catalogue()
	giver, asker, s := meeting(t, append(small, leaves...)...)
	ask := func(most uint32) (status byte, rest int) {
		st, err := asker.Open(t.Context(), giver.ID(), fetch.TreesProtocol)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Reset()
		c := small[0].CID.Bytes()
		st.Write(append(append(binary.BigEndian.AppendUint32(nil, most), byte(len(c))), c...))
		all, _ := io.ReadAll(st)
		if len(all) == 0 {
			t.Fatal("no answer")
		}
		return all[0], len(all) - 1
	}
	if status, n := ask(0); status != 0 || n != 0 {
		t.Fatalf("of no bytes: %d, %d bytes", status, n)
	}
	for range 4 {
		if status, n := ask(1 << 31); status != 0 || n == 0 {
			t.Fatalf("status %d, %d bytes", status, n)
		}
	}
	if status, n := ask(fetch.MaxTrees); status != 1 || n != 0 {
		t.Fatalf("over the budget: %d, %d bytes", status, n)
	}
	if err := fetch.NewBulk(s).Trees(t.Context(), small[0].CID, fetch.MaxTrees, nil); !errors.Is(err, fetch.ErrBusy) || !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("over the budget: %v", err)
	}
}

// TestHostileTrees are not kept, and who sends them is asked no more.
func TestHostileTrees(t *testing.T) {
	small, leaves := catalogue()
	framed := func(blocks ...node.Block) []byte {
		out := []byte{0}
		for _, b := range blocks {
			out = append(append(out, 0, byte(len(b.Data)>>8), byte(len(b.Data))), b.Data...)
		}
		return out
	}
	for name, c := range map[string]struct {
		answer []byte
		liar   bool
		kept   int
	}{
		"what nothing links": {framed(small[0], small[2]), true, 1},
		"another root":       {framed(small[1]), true, 0},
		"the root twice":     {framed(small[0], small[0]), true, 1},
		"a leaf of a file":   {framed(small[0], small[1], small[2], leaves[3]), true, 3},
		"a long block":       {append(framed(small[0]), 0xff, 0xff, 0xff), true, 1},
		"half a block":       {append(framed(small[0]), 0, 0, 9, 1), false, 1},
		"nothing":            {[]byte{0}, false, 0},
		"an unknown status":  {[]byte{9}, false, 0},
		"silence":            {nil, false, 0},
	} {
		w := memory.NewWorld()
		giver, asker := w.Node("giver"), w.Node("asker")
		asked := 0
		giver.Handle(fetch.TreesProtocol, func(_ string, st node.Stream) {
			asked++
			io.Copy(io.Discard, st)
			st.Write(c.answer)
			st.Close()
		})
		s := fetch.New(fetch.Config{Local: asker, Now: time.Now, Streams: asker, Peers: asker})
		w.Link(giver, asker)
		b := fetch.NewBulk(s)
		err := b.Trees(t.Context(), small[0].CID, 1<<20, nil)
		if errors.Is(err, node.ErrVerify) != c.liar || !c.liar && !errors.Is(err, node.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		kept := 0
		for _, x := range append(small, leaves...) {
			if has, _ := asker.Has(t.Context(), x.CID); has {
				kept++
			}
		}
		if kept > c.kept {
			t.Errorf("%s: %d are kept, want %d", name, kept, c.kept)
		}
		b.Trees(t.Context(), small[0].CID, 1<<20, nil)
		if again := asked == 2; again == c.liar || s.Swarm().Liars > 1 {
			t.Errorf("%s: asked %d times, %d liars", name, asked, s.Swarm().Liars)
		}
		s.Close()
		asker.Close()
		giver.Close()
	}
}

// TestNobodyExpected has a block in no hurry asked of a source at once, where no
// peer may come.
func TestNobodyExpected(t *testing.T) {
	w := memory.NewWorld()
	n := w.Node("alone")
	defer n.Close()
	s := fetch.New(fetch.Config{
		Local: n, Now: time.Now, Streams: n, Peers: n, Expect: func() bool { return false },
		After:   func(time.Duration) <-chan time.Time { return nil }, // nothing that waits ends
		Sources: []fetch.Source{{Name: "a", Getter: &source{data: block.Data}}},
	})
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Get(ctx, block.CID, node.Want{Class: node.Later}); err != nil {
		t.Fatal(err)
	}
}
