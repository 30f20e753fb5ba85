package fetch

import (
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestWhoIsAloneWaitsForNoTurn: one who is given to by itself has all that it
// wants under way at once, though it says of none that it has come.
func TestWhoIsAloneWaitsForNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		all := leavesOf(2 * mostTurns)
		giver, s := w.box("giver", nil, all...)
		given := func(name string) (n int) {
			_, st := w.asker(name, giver)
			defer st.Reset()
			var b []byte
			for i, l := range all {
				b = appendWants(b, frameWant, []order{{uint32(i), node.Later, false, digestOf(l.CID)}})
			}
			st.Write(b)
			time.AfterFunc(leastTurn-50*time.Millisecond, func() { st.Reset() })
			for {
				kind, _, err := frame(st)
				if err != nil {
					return n
				}
				if kind == frameBlock {
					n++
				}
			}
		}
		if n := given("alone"); n != len(all) {
			t.Errorf("%d of %d blocks were under way to the only one", n, len(all))
		}
		synctest.Wait()
		g := s.giver
		g.mu.Lock()
		g.turns.held++ // somebody else is given to
		g.mu.Unlock()
		if n := given("other"); n > mostTurns {
			t.Errorf("%d blocks were under way to one of two", n)
		}
	})
}
