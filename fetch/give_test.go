package fetch

import (
	"fmt"
	"slices"
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
		g := from.giver
		g.mu.Lock()
		defer g.mu.Unlock()
		if rows := len(g.ledger.rows); rows != len(large) {
			t.Errorf("%d blocks are noted, of %d that were large", rows, len(large))
		}
		held := 0
		for _, data := range g.cache {
			held += cap(data)
		}
		if held > recent || len(g.cached) != len(g.cache) {
			t.Errorf("%d bytes are kept, in %d blocks of which %d are noted", held, len(g.cache), len(g.cached))
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

// TestWhoKeepsItToItselfComesAfter: a peer that has blocks which nobody else is
// seen to have waits for the others, and what it was given goes to another soon;
// one whose blocks go on does not.
func TestWhoKeepsItToItselfComesAfter(t *testing.T) {
	now := time.Unix(1000, 0)
	g := newGiver(Config{Now: func() time.Time { return now }}, nil, nil)
	l, there := &g.ledger, func(string) bool { return true }
	give := func(d byte, peer string) {
		l.begin(Digest{d}, peer, now)
		l.gave(Digest{d}, now)
	}
	wait := func(d byte) time.Duration {
		wait, _, _ := l.putOff(order{class: node.Later, digest: Digest{d}}, "asker", now, 0, there)
		return wait
	}
	for d := range byte(2 * maxOwed) {
		give(d, "hoarder")
		give(100+d, "friend")
		l.holds(Digest{100 + d}, "friend") // as it says itself
		l.holds(Digest{100 + d}, "third")
	}
	hoarder, friend := &client{peer: "hoarder"}, &client{peer: "friend"}
	for _, c := range []*client{hoarder, friend} {
		c.orders = []order{{class: node.Later}}
		g.turns.waiting = append(g.turns.waiting, c)
	}
	if g.rank(hoarder) < g.rank(friend)+2 {
		t.Errorf("the hoarder has rank %d, the friend %d", g.rank(hoarder), g.rank(friend))
	}
	give(50, "friend")
	if h, f := wait(0), wait(50); h != unproven || f != hold[node.Later] {
		t.Errorf("others wait %v for what the hoarder has, and %v for what the friend has", h, f)
	}
	if give(51, "third"); wait(51) != unproven {
		t.Errorf("others wait %v for what one has that was given nothing before", wait(51))
	}
	l.holds(Digest{0}, "somebody")
	if x := l.guests["hoarder"]; x.owes != 2*maxOwed-1 || x.gives != 1 {
		t.Errorf("what has gone on is not seen: %+v", x)
	}
}

// TestOneMoreThanThereIsRoomFor is told who is here; when one has been here for
// long that one goes.
func TestOneMoreThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		giver, s := w.box("giver", nil, leaf(1))
		for i := range maxClients {
			x := w.Node(fmt.Sprint("guest", i))
			t.Cleanup(func() { x.Close() })
			w.Link(x, giver)
			st, err := x.Open(t.Context(), giver.ID(), BlocksProtocol)
			if err != nil {
				t.Fatal(err)
			}
			st.Write(appendHello(nil, []string{"/memory/1/p2p/" + x.ID()}))
		}
		<-time.After(time.Second)
		_, st := w.asker("late", giver)
		kind, body, err := frame(st)
		if err != nil || kind != frameLater {
			t.Fatalf("heard %d, %v", kind, err)
		}
		number, wait, refs, err := parseLater(body)
		if err != nil || number != 0 || len(refs) != maxReferred || wait < 28_000 || wait > 29_100 {
			t.Errorf("was told %d, %d ms, %d peers, %v", number, wait, len(refs), err)
		}
		if d := s.Swarm(); d.Given != maxClients {
			t.Errorf("%d are given to", d.Given)
		}
		<-time.After(clientTerm)
		w.asker("later", giver)
		<-time.After(time.Second)
		s.giver.mu.Lock()
		defer s.giver.mu.Unlock()
		if len(s.giver.clients) != maxClients {
			t.Errorf("%d are given to", len(s.giver.clients))
		}
	})
}
