package fetch

import (
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
